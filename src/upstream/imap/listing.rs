//! A mailbox opened and listed in one flight (RFC 3501 §6.3.2, §6.4.5).
//!
//! ```text
//!  B1 EXAMINE "INBOX"  ──▶ EXISTS n, UIDVALIDITY
//!  B2 UID FETCH 1:*    ──▶ n × (UID, RFC822.SIZE), each read and forgotten but for two numbers
//! ```

use super::conversation::{Conversation, Octets};
use super::heard::{Answer, Completion};
use super::refusal;
use crate::mail::{Uid, UidValidity};
use crate::proto::imap::response::{self, Response, Status};
use crate::proto::imap::scan::Event;
use crate::proto::imap::{mutf7, value};
use crate::upstream::UpstreamError;

/// A message larger than this is none: 1 TiB. Servers have been seen to count below zero.
const BELIEVABLE: u64 = 1 << 40;

/// How often the messages below those listed are asked for, where a server stops early (RFC 9738).
const MORE: usize = 1000;

/// More messages than this nobody's mailbox has: a server that goes on is out of its mind, and our memory is not its.
const MESSAGES: usize = 4 << 20;

/// A mailbox as it stands.
#[derive(Debug)]
pub struct Listed {
    /// The numbering of the UIDs.
    pub uid_validity: UidValidity,
    /// Ascending, each once; octets as RFC822.SIZE says, 0 where it says nothing believable.
    pub messages: Vec<(Uid, u64)>,
}

/// What a SELECT or EXAMINE tells.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    /// The numbering of the UIDs.
    pub uid_validity: UidValidity,
    /// `[READ-ONLY]`.
    pub read_only: bool,
}

/// A mailbox name as it stands in a command: modified UTF-7, always quoted, which holds every name there is.
pub fn quoted(folder: &str) -> String {
    format!("\"{}\"", mutf7::encode(folder).replace('\\', "\\\\").replace('"', "\\\""))
}

impl<S: Octets> Conversation<S> {
    /// Opens `folder` read-only and lists it.
    ///
    /// # Errors
    /// A listing that was refused, or in which messages are missing, is an error and never a small mailbox.
    pub async fn examine_and_list(&mut self, folder: &str) -> Result<Listed, UpstreamError> {
        let mut list = List::default();
        let examine = self.wire_at_start().queue(&format!("EXAMINE {}", quoted(folder)));
        let fetch = self.wire().queue("UID FETCH 1:* (UID RFC822.SIZE)");
        let selected = self.completed(&examine, &mut List::default(), "EXAMINE").await?;
        list.exists = self.heard().answer.exists;
        self.heard().answer.expunged = 0;
        let uid_validity = self.heard().answer.uid_validity;
        let listed = self.completed(&fetch, &mut list, "FETCH").await?;
        opened(folder, "EXAMINE", &selected)?;
        let uid_validity = uid_validity.ok_or_else(|| no_uid_validity("EXAMINE"))?;
        if list.exists == Some(0) {
            // `1:*` names no message here, and some servers say so with BAD.
            return Ok(Listed { uid_validity, messages: list.sorted() });
        }
        if listed.status != Status::Ok {
            return Err(refusal::of_command("FETCH", &listed));
        }
        self.fill_in(&mut list).await?;
        Ok(Listed { uid_validity, messages: list.sorted() })
    }

    /// Asks for what is missing. Messages that went meanwhile are no loss, once upstream has said so.
    async fn fill_in(&mut self, list: &mut List) -> Result<(), UpstreamError> {
        for _ in 0..MORE {
            let before = list.settle();
            let lowest = list.messages.first().map_or(1, |(uid, _)| uid.get());
            if self.missing(list) == 0 || lowest == 1 {
                break;
            }
            let command = format!("UID FETCH 1:{} (UID RFC822.SIZE)", lowest - 1);
            let tag = self.wire().queue(&command);
            let completion = self.completed(&tag, list, "FETCH").await?;
            if completion.status != Status::Ok {
                return Err(refusal::of_command("FETCH", &completion));
            }
            if list.settle() == before {
                break;
            }
        }
        if self.missing(list) > 0 {
            let tag = self.wire().queue("NOOP");
            self.completed(&tag, list, "NOOP").await?;
        }
        match self.missing(list) {
            0 => Ok(()),
            missing => Err(UpstreamError::Refused {
                command: "FETCH",
                text: format!("it left {missing} messages out of its listing"),
            }),
        }
    }

    /// How many messages were there when the mailbox was opened, are not known to be gone, and were not listed.
    fn missing(&mut self, list: &List) -> usize {
        let answer = &self.heard().answer;
        let there =
            list.exists.unwrap_or(0).saturating_sub(answer.expunged).min(answer.exists.unwrap_or(u32::MAX));
        usize::try_from(there).unwrap_or(usize::MAX).saturating_sub(list.messages.len())
    }

    /// Reads to the completion of the command with `tag`.
    async fn completed(
        &mut self,
        tag: &str,
        list: &mut List,
        name: &'static str,
    ) -> Result<Completion, UpstreamError> {
        self.wire().flush().await.map_err(|error| self.fault(name, &error))?;
        loop {
            let event = self.wire().event().await.map_err(|error| self.fault(name, &error))?;
            let Event::Response(text) = event else { continue };
            match response::parse(&text) {
                Some(Response::Fetch(_)) if list.messages.len() >= MESSAGES => {
                    return Err(UpstreamError::TooLarge);
                }
                Some(Response::Fetch(items)) => list.take(items),
                Some(Response::Tagged { tag: done, status, text }) if done == tag.as_bytes() => {
                    return Ok(Completion::new(status, &text));
                }
                _ if self.heard().hear(&text) => {}
                _ => return Err(UpstreamError::Lost { command: name }),
            }
        }
    }
}

/// What a SELECT or EXAMINE that was not done comes to.
fn opened(folder: &str, name: &'static str, done: &Completion) -> Result<(), UpstreamError> {
    match done.status {
        Status::Ok => Ok(()),
        _ => Err(unopened(folder, refusal::of_command(name, done))),
    }
}

/// What the answer to a SELECT or EXAMINE comes to.
pub(super) fn selected(
    name: &'static str,
    folder: &str,
    answer: Result<Answer, UpstreamError>,
) -> Result<Selected, UpstreamError> {
    let answer = answer.map_err(|error| unopened(folder, error))?;
    Ok(Selected {
        uid_validity: answer.uid_validity.ok_or_else(|| no_uid_validity(name))?,
        read_only: answer.completion.is_some_and(|done| done.code_name() == "READ-ONLY"),
    })
}

/// The same, of a refusal: whether it says that there is no such folder, by code or by words.
fn unopened(folder: &str, error: UpstreamError) -> UpstreamError {
    const SAID: &[&str] = &[
        "[nonexistent",
        "[trycreate",
        "not exist",
        "n't exist",
        "unknown mailbox",
        "no such",
        "not found",
        "selectable",
    ];
    match &error {
        UpstreamError::Refused { text, .. }
            if SAID.iter().any(|said| text.to_ascii_lowercase().contains(said)) =>
        {
            UpstreamError::NoFolder { folder: folder.to_owned() }
        }
        _ => error,
    }
}

fn no_uid_validity(command: &'static str) -> UpstreamError {
    UpstreamError::Refused { command, text: "it gives the mailbox no UIDVALIDITY".to_owned() }
}

/// Sixteen octets a message.
#[derive(Debug, Default)]
struct List {
    exists: Option<u32>,
    messages: Vec<(Uid, u64)>,
}

impl List {
    fn take(&mut self, items: &[u8]) {
        let items = value::items(items);
        if let Some(uid) = items.uid.and_then(Uid::new) {
            let octets = items.size.filter(|octets| *octets <= BELIEVABLE).unwrap_or(0);
            self.messages.push((uid, octets));
        }
    }

    /// Sorts, takes doubled ones out (the one that tells a size stays) and returns how many there are.
    fn settle(&mut self) -> usize {
        self.messages.sort_unstable_by_key(|(uid, octets)| (*uid, u64::MAX - octets));
        self.messages.dedup_by_key(|(uid, _)| *uid);
        self.messages.len()
    }

    fn sorted(mut self) -> Vec<(Uid, u64)> {
        self.settle();
        self.messages.shrink_to_fit();
        self.messages
    }
}
