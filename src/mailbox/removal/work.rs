//! What is to be removed and what is known to have been done, in case a second session has to go on; and the
//! commands a removal is made of.
//!
//! Not here: which of them, and in what order; that is `carry_out` and `guarded`.

use std::collections::BTreeSet;

use tokio::sync::OwnedMutexGuard;

use super::copies::Copied;
use super::turns::Turn;
use crate::mail::{Quirk, Quirks, Uid};
use crate::proto::imap::uid_set::sets;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Answer, KEPT, Session, Standing};

/// A command line of at most 1000 octets (RFC 2683 §3.2.1.5), less verb, flags and tag.
const LINE: usize = 900;

/// Commands in a flight: 14 KB, which no server refuses to read before its first answer is read.
pub(in crate::mailbox) const FLIGHT: usize = 16;

/// What it is called, and its text.
pub(super) type Command = (&'static str, String);

/// What servers that cut commands short take of messages in one (RFC 9738); what they say is never less.
pub(in crate::mailbox) const LIMITED: usize = 500;

/// What is to be done, and what is known to have been done.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) seen: Vec<Uid>,
    /// What was to be removed at first.
    pub(super) wanted: BTreeSet<Uid>,
    /// What is not known to be gone.
    pub(super) left: Vec<Uid>,
    /// Of those, what has its copy.
    pub(super) copied: BTreeSet<Uid>,
    /// What an earlier QUIT copied; once asked, only what is there still.
    pub(super) earlier: Option<Copied>,
    /// The folder that copies go to, and how it stood before the first of them.
    pub(super) before: Option<(String, Standing)>,
    /// A COPY was sent and not answered.
    pub(super) copying: bool,
    /// Of those, what bears a `\Deleted` that is ours.
    pub(super) marked: BTreeSet<Uid>,
    /// Foreign `\Deleted` marks that were lifted and must be put back.
    pub(super) lifted: BTreeSet<Uid>,
    /// A bare EXPUNGE was sent and not answered: it may still be done.
    pub(super) expunging: bool,
    /// A session was lost: what is left has to be found out.
    pub(super) again: bool,
    pub(super) no_move: bool,
    turn: Turn,
    /// No other removal in this bridge expunges whatever is marked there, until this one ends.
    has_turn: Option<OwnedMutexGuard<()>>,
    /// The mailbox takes no `\Deleted` from us, or forgets it.
    pub(super) forgets_marks: bool,
    most: usize,
}

impl Work {
    pub(super) fn new(seen: &[Uid], deleted: &[Uid], quirks: &Quirks, turn: Turn) -> Self {
        let most = if quirks.has(Quirk::DeleteSingly) {
            1
        } else if quirks.has(Quirk::MessageLimit) {
            LIMITED
        } else {
            usize::MAX
        };
        Self {
            seen: seen.to_vec(),
            wanted: deleted.iter().copied().collect(),
            left: deleted.to_vec(),
            copied: BTreeSet::new(),
            earlier: None,
            before: None,
            copying: false,
            marked: BTreeSet::new(),
            lifted: BTreeSet::new(),
            expunging: false,
            again: false,
            no_move: quirks.has(Quirk::NoMove),
            turn,
            has_turn: None,
            forgets_marks: false,
            most,
        }
    }

    /// Heeds what upstream says it takes of messages in one command (RFC 9738 §3).
    pub(super) fn heed_limit(&mut self, capabilities: &[String]) {
        let limits = capabilities.iter().filter_map(|capability| {
            let (name, limit) = capability.split_once('=')?;
            limit.parse::<usize>().ok().filter(|_| name.eq_ignore_ascii_case("MESSAGELIMIT"))
        });
        self.most = limits.fold(self.most, usize::min).max(1);
    }

    /// Waits until no other removal in this bridge lifts marks in this mailbox, or expunges whatever is marked.
    pub(super) async fn take_turn(&mut self) {
        if self.has_turn.is_none() {
            self.has_turn = Some(self.turn.clone().lock_owned().await);
        }
    }

    /// Before anything is copied or marked that would be of no use without a mark.
    pub(super) fn marks_last(&self) -> Result<(), UpstreamError> {
        if !self.forgets_marks {
            return Ok(());
        }
        let text = "it does not let this account mark messages deleted there".to_owned();
        Err(UpstreamError::Refused { command: "STORE", text })
    }

    /// Whether another session may go on: not where a copy may have been made or not.
    pub(super) fn may_go_on(&mut self) -> bool {
        self.again = true;
        !self.copying
    }

    /// Runs commands whose order and success do not matter to each other: several in a flight. The first failure ends it
    /// with the flight it is in, and so does an upstream that says more than is kept of one.
    pub(super) async fn run_all(
        &self,
        session: &Session,
        commands: Vec<Command>,
    ) -> Result<Vec<Answer>, UpstreamError> {
        let mut answers = Vec::with_capacity(commands.len());
        for flight in commands.chunks(FLIGHT) {
            if answers.iter().map(Answer::octets).sum::<usize>() > KEPT {
                return Err(UpstreamError::TooLarge);
            }
            let mut failed = None;
            for answer in session.flight(flight.to_vec()).await? {
                match answer {
                    Ok(answer) => answers.push(answer),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(answers)
    }

    /// `UID STORE` of flags on messages, those that are gone looked past.
    pub(super) async fn store(
        &self,
        session: &Session,
        uids: &[Uid],
        flags: &str,
    ) -> Result<(), UpstreamError> {
        self.run_all(session, self.storing(uids, flags)).await.map(drop)
    }

    pub(super) fn storing(&self, uids: &[Uid], flags: &str) -> Vec<Command> {
        self.commands("STORE", uids, 0, |set| format!("UID STORE {set} {flags}"))
    }

    /// A command for each set of these; `taken` are the octets of what else is long in it.
    pub(super) fn commands(
        &self,
        name: &'static str,
        uids: &[Uid],
        taken: usize,
        command: impl Fn(&str) -> String,
    ) -> Vec<Command> {
        self.sets(uids, taken).iter().map(|set| (name, command(set))).collect()
    }

    /// Which of these are there.
    pub(super) async fn present(&self, session: &Session, uids: &[Uid]) -> Result<Vec<Uid>, UpstreamError> {
        let answers = self.run_all(session, self.looking(uids)).await?;
        Ok(there(uids, answers))
    }

    pub(super) fn looking(&self, uids: &[Uid]) -> Vec<Command> {
        self.commands("FETCH", uids, 0, |set| format!("UID FETCH {set} (UID)"))
    }

    fn sets(&self, uids: &[Uid], taken: usize) -> Vec<String> {
        sets(uids, room(taken), self.most)
    }

    /// The sets, each with the UIDs it names.
    pub(super) fn parts(&self, uids: &[Uid], taken: usize) -> Vec<Part> {
        let mut uids = uids.to_vec();
        uids.sort_unstable();
        uids.dedup();
        let mut parts = Vec::new();
        for set in self.sets(&uids, taken) {
            let last = set.rsplit([',', ':']).next().and_then(|last| last.parse().ok()).and_then(Uid::new);
            let named = uids.iter().take_while(|uid| Some(**uid) <= last).count();
            parts.push(Part { set, uids: uids.drain(..named).collect() });
        }
        parts
    }
}

impl Drop for Work {
    /// However the removal ended, a stopping bridge among it.
    fn drop(&mut self) {
        if !self.lifted.is_empty() {
            tracing::warn!("marks of another program that were lifted for EXPUNGE could not be put back");
        }
    }
}

/// Those of `uids` of which these answers to FETCH tell.
pub(super) fn there(uids: &[Uid], answers: impl IntoIterator<Item = Answer>) -> Vec<Uid> {
    let there: BTreeSet<Uid> =
        answers.into_iter().flat_map(|answer| answer.fetched).map(|(uid, _)| uid).collect();
    uids.iter().copied().filter(|uid| there.contains(uid)).collect()
}

/// A set and the UIDs it names.
pub(super) struct Part {
    pub(super) set: String,
    pub(super) uids: Vec<Uid>,
}

/// What a folder's name leaves of a line; a set needs some.
fn room(taken: usize) -> usize {
    LINE.saturating_sub(taken).max(50)
}
