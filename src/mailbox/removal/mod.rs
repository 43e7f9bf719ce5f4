//! What DELE comes to, at QUIT: the UPDATE state (RFC 1939 §6).
//!
//! ```text
//!  plan ──▶ SELECT, same UIDVALIDITY, writable ──▶ \Seen ──▶ by the plan:
//!    move      UID MOVE (RFC 6851), or UID COPY and then as below
//!    expunge   UID STORE +FLAGS.SILENT (\Deleted), UID EXPUNGE (RFC 4315), or the guarded way
//!    flag      UID STORE +FLAGS.SILENT (\Deleted)
//!    hide      nothing is removed: see `hidden`
//! ```
//!
//! What need not wait for an answer goes in one flight: SELECT with LIST, UID MOVE or UID EXPUNGE with a look at what is
//! left, the parts of a long set; never a copy with what relies on it. So QUIT costs two round trips where MOVE does it,
//! three with UIDPLUS.
//!
//! Never a sequence number, never CLOSE, never a set that ends in `*`. A copy that fails stops everything: what is
//! not safe elsewhere is not removed here. Another UIDVALIDITY that upstream tells on the way stops everything too: the
//! session sends nothing by UIDs from then on. Nor is anything copied that cannot be removed here, as far as that shows
//! beforehand. A connection that is lost on the way is replaced once, and what is left to do is found out by UID; what may
//! have happened and must not happen twice is not repeated. Once [`Mailbox::update`] has returned, nothing is done any
//! more. Where it is dropped, as by a bridge that is stopped, the one command that was sent may still be done and no
//! further one is: after a COPY that is a second copy, never none.

mod carry_out;
mod copies;
mod guarded;
mod plan;
mod recall;
mod turns;
mod work;

use std::time::Duration;

use tokio::time::timeout;

use super::Mailbox;
use crate::mail::{Quirk, Uid};
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Session, has};
pub(super) use copies::Copies;
pub(super) use plan::Plan;
pub(super) use turns::Turns;
use work::Work;
pub(super) use work::{FLIGHT, LIMITED};

pub use plan::RemovalPlan;

/// What the marks of another program may hold up a QUIT for, beyond what went wrong before.
const MENDING: Duration = Duration::from_secs(30);

impl Mailbox {
    /// What a DELE will come to, found out without changing anything: the target folder is looked up, and a
    /// missing one is [`UpstreamError::NoFolder`].
    pub async fn removal_plan(&mut self) -> Result<RemovalPlan, UpstreamError> {
        self.stop_ahead();
        self.plan().await.map(|plan| plan.shown())
    }

    /// Whether that comes to the bare EXPUNGE, which removes whatever is marked and needs the guarded way.
    pub async fn expunges_all_marked(&mut self, plan: &RemovalPlan) -> Result<bool, UpstreamError> {
        let capabilities = self.line.read(|session| Box::pin(session.capabilities())).await?;
        let no_uidplus = !has(&capabilities, "UIDPLUS");
        let no_move = self.account.quirks.has(Quirk::NoMove) || !has(&capabilities, "MOVE");
        Ok(match plan {
            RemovalPlan::Expunge => no_uidplus,
            RemovalPlan::MoveTo(_) => no_uidplus && no_move,
            RemovalPlan::Flag | RemovalPlan::Hide | RemovalPlan::Keep => false,
        })
    }

    /// The UPDATE state: sets `\Seen` on `seen`, then removes `deleted` as the account's `delete` says.
    ///
    /// Checks first that UIDVALIDITY is what it was at login. UIDs already gone count as removed.
    ///
    /// # Errors
    /// Any error means that some of `deleted` may be left; what is left is left unharmed, at most marked.
    pub async fn update(&mut self, seen: &[Uid], deleted: &[Uid]) -> Result<(), UpstreamError> {
        let hides = self.hiding.is_some() && !deleted.is_empty();
        let mut outcome = self.remove(seen, if hides { &[] } else { deleted }).await;
        if hides && outcome.is_ok() {
            outcome = self.hide(deleted).await;
        }
        // A session that watches may not have been told yet.
        self.in_use.news();
        outcome
    }

    async fn remove(&mut self, seen: &[Uid], deleted: &[Uid]) -> Result<(), UpstreamError> {
        let nothing = deleted.is_empty() || self.keeps();
        if nothing && seen.is_empty() {
            return Ok(());
        }
        self.stop_ahead();
        let deleted = if nothing { &[] } else { deleted };
        let turn = self.resources.turns.of(&self.whose, &self.folder);
        let mut work = Work::new(seen, deleted, &self.account.quirks, turn);
        let whose = (self.whose.clone(), self.folder.clone());
        let copies = self.resources.copies.clone();
        work.earlier = copies.of(&whose, self.uid_validity, |uid| self.told(uid));
        let outcome = self.attempts(&mut work).await;
        copies.remember(whose, self.uid_validity, work.copied_in_vain(), |uid| self.told(uid));
        let renumbered = matches!(outcome, Err(UpstreamError::UidValidityChanged { .. }));
        if !work.lifted.is_empty() && !renumbered && timeout(MENDING, self.mend(&mut work)).await.is_err() {
            tracing::debug!("a fresh connection does not take the marks of another program back either");
        }
        outcome
    }

    async fn attempts(&mut self, work: &mut Work) -> Result<(), UpstreamError> {
        if let Some(session) = self.line.take().await {
            match self.attempt(&session, work).await {
                Err(UpstreamError::Lost { .. }) if work.may_go_on() => {
                    tracing::debug!("the connection was lost during removal: once more over a fresh one");
                }
                outcome => return self.keep(session, outcome),
            }
        }
        let session = self.line.dial().await?;
        let outcome = self.attempt(&session, work).await;
        self.keep(session, outcome)
    }

    /// Gives the marks of another program back over a fresh connection, where the one that lifted them could not.
    async fn mend(&mut self, work: &mut Work) {
        let Ok(session) = self.line.dial().await else { return };
        let Ok(selected) = session.open("SELECT", &self.folder).await else { return };
        if self.line.same(selected.uid_validity).is_ok() {
            if work.expunging && guarded::look_again(&session, work).await.is_err() {
                tracing::debug!("nor does it tell what EXPUNGE has removed");
            }
            guarded::take_back(&session, work).await;
            self.line.changed(session, self.uid_validity);
        }
    }

    async fn attempt(&mut self, session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
        let plan = match &self.plan {
            _ if work.left.is_empty() => Some(Plan::Keep),
            Some(plan) => Some(plan.clone()),
            None => self.settled_plan(&session.capabilities().await?),
        };
        let (selected, plan) = match plan {
            Some(plan) => (session.open("SELECT", &self.folder).await?, Ok(plan)),
            None => self.open_and_plan(session).await?,
        };
        self.line.same(selected.uid_validity)?;
        if selected.read_only {
            let text = "the mailbox is read-only".to_owned();
            return Err(UpstreamError::Refused { command: "SELECT", text });
        }
        work.forgets_marks = selected.forgets_deleted;
        work.carry_out(session, &plan?).await
    }

    fn keep(&mut self, session: Session, outcome: Result<(), UpstreamError>) -> Result<(), UpstreamError> {
        self.line.changed(session, self.uid_validity);
        if outcome.is_err() {
            self.claim = None;
        }
        outcome
    }
}
