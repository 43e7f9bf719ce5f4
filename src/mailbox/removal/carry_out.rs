//! A plan carried out over one session, from wherever an earlier one left the work.

use super::guarded;
use super::plan::Plan;
use super::work::{Command, Part, Work, there};
use crate::mail::Uid;
use crate::proto::imap::uid_set;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Answer, Session, has};

impl Work {
    /// Does what is left to do in the mailbox that `session` has selected.
    pub(super) async fn carry_out(&mut self, session: &Session, plan: &Plan) -> Result<(), UpstreamError> {
        if self.again {
            guarded::put_back(session, self).await?;
            guarded::look_again(session, self).await?;
        }
        self.store(session, &self.seen, "+FLAGS.SILENT (\\Seen)").await?;
        if self.left.is_empty() {
            return Ok(());
        }
        match (self.insist(session, plan).await, plan) {
            // RFC 3501 §6.4.7. Folders are not created unasked.
            (Err(UpstreamError::Refused { text, .. }), Plan::MoveTo { name, .. })
                if text.contains("[TRYCREATE") =>
            {
                Err(UpstreamError::NoFolder { folder: name.clone() })
            }
            (outcome, _) => outcome,
        }
    }

    /// A refusal is looked into: it may have been done all the same, or in part, or refused because some of the messages
    /// are gone. What is left is gone on with as long as it gets less.
    async fn insist(&mut self, session: &Session, plan: &Plan) -> Result<(), UpstreamError> {
        loop {
            let wanted = self.left.len();
            let error = match self.remove(session, plan).await {
                Err(error @ (UpstreamError::Refused { .. } | UpstreamError::CannotSearch { .. })) => error,
                outcome => return outcome,
            };
            self.left = self.present(session, &self.left).await?;
            match self.left.len() {
                0 => return Ok(()),
                left if left < wanted => {}
                _ => return Err(error),
            }
        }
    }

    async fn remove(&mut self, session: &Session, plan: &Plan) -> Result<(), UpstreamError> {
        match plan {
            Plan::Hide | Plan::Keep => Ok(()),
            Plan::Flag => {
                self.marks_last()?;
                self.store(session, &self.left, "+FLAGS.SILENT (\\Deleted)").await
            }
            Plan::Expunge => {
                let capabilities = self.heeded(session).await?;
                self.expunge(session, &capabilities).await
            }
            Plan::MoveTo { argument, .. } => {
                let capabilities = self.heeded(session).await?;
                self.move_to(session, argument, &capabilities).await
            }
        }
    }

    /// What this session's server can do, and how much of it at a time: the next one's may be another, behind the same name.
    async fn heeded(&mut self, session: &Session) -> Result<Vec<String>, UpstreamError> {
        let capabilities = session.capabilities().await?;
        self.heed_limit(&capabilities);
        Ok(capabilities)
    }

    async fn move_to(
        &mut self,
        session: &Session,
        folder: &str,
        capabilities: &[String],
    ) -> Result<(), UpstreamError> {
        if self.no_move || !has(capabilities, "MOVE") {
            self.marks_last()?;
            if !has(capabilities, "UIDPLUS") {
                self.take_turn().await;
                self.look_before_copying(session, folder).await?;
            } else if self.earlier.is_some() {
                self.recall(session, folder).await?;
            }
            self.copy(session, folder).await?;
            return self.expunge_copied(session, capabilities).await;
        }
        // Each moves what it names, whatever becomes of the others.
        let moves = self.commands("MOVE", &self.left, folder.len(), |set| format!("UID MOVE {set} {folder}"));
        self.run_and_look(session, moves).await
    }

    /// Where EXPUNGE may be refused: what would be copied in vain, and what has been.
    async fn look_before_copying(&mut self, session: &Session, folder: &str) -> Result<(), UpstreamError> {
        if self.uncopied().is_empty() {
            return Ok(());
        }
        self.recall(session, folder).await?;
        if self.uncopied().is_empty() {
            return Ok(());
        }
        guarded::rehearse(session, self).await
    }

    fn uncopied(&self) -> Vec<Uid> {
        self.left.iter().copied().filter(|uid| !self.copied.contains(uid)).collect()
    }

    /// Copies what has no copy yet. An error leaves everything where it is.
    async fn copy(&mut self, session: &Session, folder: &str) -> Result<(), UpstreamError> {
        for part in self.parts(&self.uncopied(), folder.len()) {
            self.copying = true;
            let copied = session.run("COPY", format!("UID COPY {} {folder}", part.set)).await;
            self.copying = matches!(copied, Err(UpstreamError::Lost { .. }));
            self.copied.extend(copied_of(part, copied?));
        }
        Ok(())
    }

    /// What COPY said OK to and left out is not removed.
    async fn expunge_copied(
        &mut self,
        session: &Session,
        capabilities: &[String],
    ) -> Result<(), UpstreamError> {
        let left_out = self.uncopied();
        self.left.retain(|uid| !left_out.contains(uid));
        let expunged = if self.left.is_empty() { Ok(()) } else { self.expunge(session, capabilities).await };
        self.left.extend(&left_out);
        if expunged.is_ok() && !left_out.is_empty() {
            let text = "it left out some of the messages".to_owned();
            return Err(UpstreamError::Refused { command: "COPY", text });
        }
        expunged
    }

    async fn expunge(&mut self, session: &Session, capabilities: &[String]) -> Result<(), UpstreamError> {
        self.marks_last()?;
        if !has(capabilities, "UIDPLUS") {
            self.take_turn().await;
            return guarded::expunge(session, self).await;
        }
        // Not in one flight: beside another client Dovecot has brought a message back that was expunged before it had
        // taken in the mark.
        self.store(session, &self.left, "+FLAGS.SILENT (\\Deleted)").await?;
        let expunges = self.commands("EXPUNGE", &self.left, 0, |set| format!("UID EXPUNGE {set}"));
        self.run_and_look(session, expunges).await
    }

    /// Runs what removes all that is left. How many EXPUNGE responses come tells nothing, for they may be those of another
    /// client's removals: so a look at what is there still travels along.
    async fn run_and_look(
        &mut self,
        session: &Session,
        mut commands: Vec<Command>,
    ) -> Result<(), UpstreamError> {
        let before = commands.len();
        commands.extend(self.looking(&self.left));
        let answers = self.run_all(session, commands).await?;
        self.left = there(&self.left, answers.into_iter().skip(before));
        if self.left.is_empty() { Ok(()) } else { Err(left_there()) }
    }
}

/// All that was named, but where upstream tells of some of it alone (RFC 4315 §3). What tells of others is not this
/// command's.
fn copied_of(part: Part, answer: Answer) -> Vec<Uid> {
    let told = answer.copied.filter(|ranges| ranges.len() <= part.uids.len());
    let Some(ranges) = told else { return part.uids };
    let is_told = |uid: &Uid| ranges.iter().any(|(first, last)| first <= uid && uid <= last);
    let named: Vec<Uid> = part.uids.iter().copied().filter(is_told).collect();
    let all = u64::try_from(named.len()).is_ok_and(|named| named == uid_set::count(&ranges));
    if all { named } else { part.uids }
}

fn left_there() -> UpstreamError {
    UpstreamError::Refused { command: "EXPUNGE", text: "it left messages in the mailbox".to_owned() }
}
