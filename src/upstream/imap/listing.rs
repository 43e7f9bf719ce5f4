//! A mailbox opened and listed in one flight (RFC 3501 §6.3.2, §6.4.5).
//!
//! ```text
//!  B1 EXAMINE "INBOX"  ──▶ EXISTS n, UIDVALIDITY, UIDNEXT
//!  B2 UID FETCH 1:*    ──▶ n × (UID, RFC822.SIZE), each read and forgotten but for two numbers
//! ```
//!
//! Where an earlier listing is known, B2 begins at its last message; see [`super::catch_up`]. Where upstream can tell
//! which messages are the same under whatever UIDVALIDITY (RFC 8474, or Gmail's way), B2 asks for that too.

use std::cmp::Reverse;

use super::completion::Completion;
use super::conversation::{Conversation, Octets, has};
use super::heard::Answer;
use super::refusal;
use crate::mail::{Identity, Listed, MessageSize, Uid, UidValidity};
use crate::proto::imap::response::{self, Response, Status};
use crate::proto::imap::scan::Event;
use crate::proto::imap::{mutf7, uid_set, value};
use crate::upstream::UpstreamError;

/// A message larger than this is none: 1 TiB. Servers have been seen to count below zero.
const BELIEVABLE: u64 = 1 << 40;

/// How often the messages below those listed are asked for, where a server stops early (RFC 9738).
const MORE: usize = 1000;

/// What is kept of one listing, in octets: 36 for each of a million messages and identities, and of more messages without
/// these.
///
/// What a login makes of a listing takes more still, under 100 octets a message: over a mailbox of a million messages that
/// is more than the 64 MiB beyond which no provider should drive us. But an honest one with so many is to work, and one
/// that means harm can tell of as many. It pays for each with a row, and EXISTS has to have announced them.
const KEPT: usize = 36 << 20;

const _: () = assert!(1_000_000 * (size_of::<(Uid, MessageSize)>() + size_of::<(Uid, Identity)>()) <= KEPT);

/// Rows beyond EXISTS: mail that comes meanwhile, and messages that are told of twice.
const SPARE: usize = 1 << 16;

/// A mailbox as it stands.
#[derive(Debug)]
pub struct Examined {
    /// What is in it; sizes as RFC822.SIZE says, unless an exact one was known.
    pub listed: Listed,
    /// Whether it was all known before, so that there is nothing to be remembered of it.
    pub as_known: bool,
    /// Whether upstream was asked; else it has told of nothing since it was, and what it tells late is not in it.
    pub asked: bool,
    /// Whether its UIDs outlive the session; where they do not, nothing may be remembered (RFC 4315 §3).
    pub lasting: bool,
    /// What upstream told of the identities of the messages that were not known, ascending, each UID once; `None` where
    /// it tells none.
    pub identities: Option<Identities>,
}

/// Messages and their identities.
pub type Identities = Vec<(Uid, Identity)>;

/// Ranges of UIDs, first and last, ascending.
pub(super) type Ranges = Vec<(Uid, Uid)>;

/// What a SELECT or EXAMINE tells.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    /// The numbering of the UIDs.
    pub uid_validity: UidValidity,
    /// `[READ-ONLY]`.
    pub read_only: bool,
    /// Messages may bear [`HIDDEN`](super::HIDDEN), and will still when the session is over.
    pub may_hide: bool,
    /// A `\Deleted` would not last, or is not taken at all.
    pub forgets_deleted: bool,
}

/// A mailbox name as it stands in a command: modified UTF-7, always quoted, which holds every name there is.
pub fn quoted(folder: &str) -> String {
    format!("\"{}\"", mutf7::encode(folder).replace('\\', "\\\\").replace('"', "\\\""))
}

impl<S: Octets> Conversation<S> {
    /// Opens `folder` read-only and lists it; of what is `known` from before only what changed is asked for.
    ///
    /// # Errors
    /// A listing that was refused, or in which messages are missing, is an error and never a small mailbox.
    pub(super) async fn examine_and_list(
        &mut self,
        folder: &str,
        known: Option<Listed>,
    ) -> Result<Examined, UpstreamError> {
        self.may_fetch()?;
        let from = known.as_ref().and_then(behind).unwrap_or(Uid::FIRST);
        let mut list = List { from: Some(from), identity: self.identity(), ..List::default() };
        let examine = self.wire_at_start().queue(&format!("EXAMINE {}", quoted(folder)));
        self.heard().open.begin();
        // Of the last message that is known, too: its size has to be as it was.
        let first = known.as_ref().and_then(last_of).unwrap_or(from);
        let fetch = self.wire().queue(&list.command(&format!("{first}:*")));
        // Of what is told before the mailbox is open nothing counts.
        let mut none = List { exists: Some(0), ..List::default() };
        let selected = self.completed(&examine, &mut none, "EXAMINE").await?;
        self.heard().open.done(selected.status);
        list.exists = self.heard().answer.exists;
        self.heard().answer.expunged = 0;
        let (uid_validity, uid_next) = (self.heard().open.uid_validity, self.heard().answer.uid_next);
        let fetched = self.completed(&fetch, &mut list, "FETCH").await?;
        opened(folder, "EXAMINE", &selected)?;
        let uid_validity = uid_validity.ok_or_else(|| no_uid_validity("EXAMINE"))?;
        let lasting = !self.heard().answer.uids_not_sticky && selected.code_name() != "UIDNOTSTICKY";
        let examined = |messages, as_known, list: List| {
            let listed = Listed { uid_validity, uid_next, messages };
            Examined { listed, as_known, asked: true, lasting, identities: list.identities() }
        };
        if list.exists == Some(0) {
            // `1:*` names no message here, and some servers say so with BAD.
            return Ok(examined(list.sorted(), false, list));
        }
        let mut known = known.filter(|known| lasting && known.uid_validity == uid_validity);
        // What it offers it may not understand all the same.
        let too_much = fetched.status == Status::Bad && list.identity.is_some();
        if from == Uid::FIRST && !too_much {
            done("FETCH", &fetched)?;
        } else {
            if fetched.status == Status::Ok
                && let Some(known) = &mut known
            {
                let caught_up = self.catch_up(known, uid_next, &mut list).await?;
                if let Some((messages, as_known)) = caught_up {
                    return Ok(examined(messages, as_known, list));
                }
            }
            // What is known does not make up what is there.
            self.may_fetch()?;
            let identity = list.identity.filter(|_| !too_much);
            list = List { exists: list.exists, identity, ..List::default() };
            let tag = self.wire().queue(&list.command("1:*"));
            done("FETCH", &self.completed(&tag, &mut list, "FETCH").await?)?;
        }
        self.fill_in(&mut list).await?;
        let mut messages = list.sorted();
        MessageSize::keep_exact(&mut messages, &known.map_or_else(Vec::new, |known| known.messages));
        Ok(examined(messages, false, list))
    }

    /// The FETCH item by which upstream tells that messages are the same, as far as it said so by now: it is not worth a
    /// round trip.
    pub(super) fn identity(&mut self) -> Option<&'static str> {
        let offered = self.heard().capabilities.as_ref()?;
        let item = |capability, item| has(offered, capability).then_some(item);
        // Gmail's own is what it has had all along.
        item("X-GM-EXT-1", "X-GM-MSGID").or(item("OBJECTID", "EMAILID"))
    }

    /// Asks for what is missing. Messages that went meanwhile are no loss, once upstream has said so.
    async fn fill_in(&mut self, list: &mut List) -> Result<(), UpstreamError> {
        for _ in 0..MORE {
            let before = list.settle();
            let lowest = list.messages.first().map_or(1, |(uid, _)| uid.get());
            if self.missing(list) == 0 || lowest == 1 {
                break;
            }
            let tag = self.wire().queue(&list.command(&format!("1:{}", lowest - 1)));
            let completion = self.completed(&tag, list, "FETCH").await?;
            done("FETCH", &completion)?;
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
        let exists = self.heard().answer.exists.unwrap_or(u32::MAX);
        let there = self.there(list).min(usize::try_from(exists).unwrap_or(usize::MAX));
        there.saturating_sub(list.messages.len())
    }

    /// How many messages were there when the mailbox was opened and are not known to be gone.
    pub(super) fn there(&mut self, list: &List) -> usize {
        let there = list.exists.unwrap_or(0).saturating_sub(self.heard().answer.expunged);
        usize::try_from(there).unwrap_or(usize::MAX)
    }

    /// Reads to the completion of the command with `tag`.
    pub(super) async fn completed(
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
                Some(Response::Fetch(items)) => list.take(items, KEPT)?,
                Some(Response::Search(numbers)) => list.find(response::words(numbers)),
                Some(Response::Esearch(answer)) => list.find(value::all_found(answer)),
                Some(Response::Tagged { tag: done, status, text }) if done == tag.as_bytes() => {
                    let completion = self.heard().completed(status, &text);
                    self.heard().open.still_numbered(name)?;
                    return Ok(completion);
                }
                _ => self.heard().hear(&text).map_err(|error| self.fault(name, &error))?,
            }
        }
    }
}

/// The first UID that none of the messages known can have: later ones have higher UIDs (RFC 3501 §2.3.1.1), whatever
/// UIDNEXT was said to be. `None` where there is nothing to build upon.
fn behind(known: &Listed) -> Option<Uid> {
    Uid::new(last_of(known)?.get().checked_add(1)?)
}

/// The last message that is known, where there is something to build upon.
fn last_of(known: &Listed) -> Option<Uid> {
    known.uid_next?;
    known.messages.last().map(|(uid, _)| *uid).filter(|uid| uid.get() < u32::MAX)
}

/// What a command that was refused comes to.
fn done(name: &'static str, completion: &Completion) -> Result<(), UpstreamError> {
    match completion.status {
        Status::Ok => Ok(()),
        _ => Err(refusal::of_command(name, completion)),
    }
}

/// What a SELECT or EXAMINE that was not done comes to.
fn opened(folder: &str, name: &'static str, done: &Completion) -> Result<(), UpstreamError> {
    self::done(name, done).map_err(|error| unopened(folder, error))
}

/// What the answer to a SELECT or EXAMINE comes to.
pub(super) fn selected(
    name: &'static str,
    folder: &str,
    answer: Result<Answer, UpstreamError>,
) -> Result<Selected, UpstreamError> {
    let answer = answer.map_err(|error| unopened(folder, error))?;
    Ok(Selected {
        uid_validity: answer.open.uid_validity.ok_or_else(|| no_uid_validity(name))?,
        may_hide: answer.open.may_hide,
        forgets_deleted: answer.open.forgets_deleted,
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

/// Ascending, each UID once; of a message of which two were told, none.
pub(super) fn one_each(mut identities: Identities) -> Identities {
    identities.sort_unstable();
    identities.dedup();
    let alone = |group: &&[(Uid, Identity)]| group.len() == 1;
    if !identities.chunk_by(|(one, _), (next, _)| one == next).all(|group| alone(&group)) {
        let groups = identities.chunk_by(|(one, _), (next, _)| one == next);
        identities = groups.filter(alone).flatten().copied().collect();
    }
    identities.shrink_to_fit();
    identities
}

/// Sixteen octets a message, and twenty more where upstream tells identities.
#[derive(Debug, Default)]
pub(super) struct List {
    exists: Option<u32>,
    /// Messages below are known: the last one of them, or that of all, since `n:*` names the last one even where it is
    /// below n (RFC 3501 §6.4.8).
    from: Option<Uid>,
    pub(super) messages: Vec<(Uid, MessageSize)>,
    /// The last one of those that was told.
    pub(super) last_known: Option<(Uid, MessageSize)>,
    /// The FETCH item that is asked for beside the size.
    identity: Option<&'static str>,
    identities: Identities,
    /// What SEARCH found.
    pub(super) found: Ranges,
    /// SEARCH found what is no set of UIDs, or more ranges than anybody has messages.
    pub(super) unread: bool,
}

impl List {
    /// Takes note of one row. Where identities take more than there is room for they are done without: they serve to know
    /// messages again, and the messages come first.
    ///
    /// # Errors
    /// [`UpstreamError::TooLarge`]: there are more rows than EXISTS announced, or than `kept` octets hold.
    fn take(&mut self, items: &[u8], kept: usize) -> Result<(), UpstreamError> {
        let items = value::items(items);
        if let Some(uid) = items.uid.and_then(Uid::new) {
            let octets = items.size.filter(|octets| *octets <= BELIEVABLE);
            let message = (uid, octets.map_or(MessageSize::UNKNOWN, MessageSize::told));
            if self.from.is_some_and(|from| uid < from) {
                if octets.is_some() && self.last_known.is_none_or(|(last, _)| last <= uid) {
                    self.last_known = Some(message);
                }
                return Ok(());
            }
            self.messages.push(message);
            if let Some(id) = items.object_id.filter(|_| self.identity.is_some()) {
                self.identities.push((uid, Identity::told(id)));
            }
            if self.octets() > kept {
                (self.identity, self.identities) = (None, Identities::new());
            }
            let announced =
                self.exists.map_or(usize::MAX, |exists| usize::try_from(exists).unwrap_or(usize::MAX));
            if self.octets() > kept || self.messages.len() > announced.saturating_add(SPARE) {
                return Err(UpstreamError::TooLarge);
            }
        }
        Ok(())
    }

    /// What it takes in memory.
    fn octets(&self) -> usize {
        size_of_val(self.messages.as_slice())
            + size_of_val(self.identities.as_slice())
            + size_of_val(self.found.as_slice())
    }

    fn command(&self, set: &str) -> String {
        let (space, item) = self.identity.map_or(("", ""), |item| (" ", item));
        format!("UID FETCH {set} (UID RFC822.SIZE{space}{item})")
    }

    fn identities(self) -> Option<Identities> {
        self.identity.map(|_| one_each(self.identities))
    }

    fn find<'a>(&mut self, sets: impl IntoIterator<Item = &'a [u8]>) {
        for range in sets.into_iter().flat_map(uid_set::ranges_of) {
            match range {
                Some(range) if self.octets() < KEPT => self.found.push(range),
                _ => self.unread = true,
            }
        }
    }

    /// Sorts, takes doubled ones out (the one that tells a size stays) and returns how many there are.
    pub(super) fn settle(&mut self) -> usize {
        self.messages.sort_unstable_by_key(|(uid, size)| (*uid, !size.is_known(), Reverse(size.octets())));
        self.messages.dedup_by_key(|(uid, _)| *uid);
        self.messages.len()
    }

    fn sorted(&mut self) -> Vec<(Uid, MessageSize)> {
        self.settle();
        self.messages.shrink_to_fit();
        std::mem::take(&mut self.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(exists: u32) -> List {
        List { exists: Some(exists), identity: Some("EMAILID"), ..List::default() }
    }

    #[test]
    fn rows_beyond_exists_are_refused() {
        let rows = |exists, same: bool| {
            let mut list = list(exists);
            let row = |number| format!("(UID {} RFC822.SIZE 1)", if same { 1 } else { number });
            (1..=u32::MAX).take_while(|number| list.take(row(*number).as_bytes(), KEPT).is_ok()).count()
        };
        for same in [false, true] {
            assert_eq!(rows(0, same), SPARE);
            assert_eq!(rows(1000, same), SPARE + 1000);
        }
    }

    #[test]
    fn where_there_is_no_room_for_identities_the_messages_are_kept() {
        let mut list = list(1000);
        let row = |number| format!("(UID {number} RFC822.SIZE 1 EMAILID (M{number}))");
        let kept = 100 * 36;
        let mut take = |numbers: std::ops::RangeInclusive<u32>| {
            let all = numbers.into_iter().try_for_each(|number| list.take(row(number).as_bytes(), kept));
            (all.is_ok(), list.messages.len(), list.identity.map(|_| list.identities.len()))
        };
        assert_eq!(take(1..=100), (true, 100, Some(100)));
        assert_eq!(take(101..=225), (true, 225, None));
        assert_eq!(take(226..=226), (false, 226, None));
    }
}
