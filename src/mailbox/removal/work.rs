//! What is to be removed and what is known to have been done, in case a second session has to go on; and the
//! commands a removal is made of.
//!
//! Not here: which of them, and in what order; that is `carry_out` and `guarded`.

use std::collections::BTreeSet;

use crate::mail::{Quirk, Quirks, Uid, UidValidity};
use crate::proto::imap::uid_set::sets;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Answer, Session};

/// A command line of at most 1000 octets (RFC 2683 §3.2.1.5), less verb, flags and tag.
const LINE: usize = 900;

/// What servers that cut commands short take of messages in one (RFC 9738); what they say is never less.
const LIMITED: usize = 500;

/// What is to be done, and what is known to have been done.
#[derive(Debug)]
pub(super) struct Work {
    numbering: UidValidity,
    pub(super) seen: Vec<Uid>,
    /// What is not known to be gone.
    pub(super) left: Vec<Uid>,
    /// Of those, what has its copy.
    pub(super) copied: BTreeSet<Uid>,
    /// A COPY was sent and not answered.
    pub(super) copying: bool,
    /// Of those, what bears a `\Deleted` that is ours.
    pub(super) marked: BTreeSet<Uid>,
    /// Foreign `\Deleted` marks that were lifted and must be put back.
    pub(super) lifted: Vec<Uid>,
    /// A session was lost: what is left has to be found out.
    pub(super) again: bool,
    pub(super) no_move: bool,
    most: usize,
}

impl Work {
    pub(super) fn new(numbering: UidValidity, seen: &[Uid], deleted: &[Uid], quirks: &Quirks) -> Self {
        let most = if quirks.has(Quirk::DeleteSingly) {
            1
        } else if quirks.has(Quirk::MessageLimit) {
            LIMITED
        } else {
            usize::MAX
        };
        Self {
            numbering,
            seen: seen.to_vec(),
            left: deleted.to_vec(),
            copied: BTreeSet::new(),
            copying: false,
            marked: BTreeSet::new(),
            lifted: Vec::new(),
            again: false,
            no_move: quirks.has(Quirk::NoMove),
            most,
        }
    }

    /// Whether another session may go on: not where a copy may have been made or not.
    pub(super) fn may_go_on(&mut self) -> bool {
        self.again = true;
        !self.copying
    }

    /// Runs a command. A mailbox that is renumbered meanwhile, which upstream may say unasked, ends the removal.
    pub(super) async fn run(
        &self,
        session: &Session,
        name: &'static str,
        command: String,
    ) -> Result<Answer, UpstreamError> {
        let answer = session.run(name, command).await?;
        match answer.uid_validity {
            Some(now) if now != self.numbering => {
                Err(UpstreamError::UidValidityChanged { was: self.numbering, now })
            }
            _ => Ok(answer),
        }
    }

    /// `UID STORE` of flags on messages, those that are gone looked past.
    pub(super) async fn store(
        &self,
        session: &Session,
        uids: &[Uid],
        flags: &str,
    ) -> Result<(), UpstreamError> {
        for set in self.sets(uids, 0) {
            self.run(session, "STORE", format!("UID STORE {set} {flags}")).await?;
        }
        Ok(())
    }

    /// Which of these are there.
    pub(super) async fn present(&self, session: &Session, uids: &[Uid]) -> Result<Vec<Uid>, UpstreamError> {
        let mut there = BTreeSet::new();
        for set in self.sets(uids, 0) {
            let answer = self.run(session, "FETCH", format!("UID FETCH {set} (UID)")).await?;
            there.extend(answer.fetched.into_iter().map(|(uid, _)| uid));
        }
        Ok(uids.iter().copied().filter(|uid| there.contains(uid)).collect())
    }

    pub(super) fn sets(&self, uids: &[Uid], taken: usize) -> Vec<String> {
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

/// A set and the UIDs it names.
pub(super) struct Part {
    pub(super) set: String,
    pub(super) uids: Vec<Uid>,
}

/// What a folder's name leaves of a line; a set needs some.
fn room(taken: usize) -> usize {
    LINE.saturating_sub(taken).max(50)
}
