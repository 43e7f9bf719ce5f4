//! What the session says is next, done: one function a step.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::app::End;
use super::provider::{Inbox, Provider};
use super::transfer::{self, Failure};
use super::{Driver, refusal};
use crate::mail::Uid;
use crate::mail::account::Seen;
use crate::proto::line::Line;
use crate::proto::pop3::{Code, Listing, MessageNumber, Reply, Step};
use crate::upstream::UpstreamError;

/// TOP for more lines than this is answered from the whole message's stream: what is held must stay small, and
/// some apps ask for a hundred million lines where they want the message.
const HELD_LINES: u32 = 1000;

/// Lines of a listing made at a time, in octets.
const LISTING: usize = 8 * 1024;

impl<S, P> Driver<S, P>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Provider,
{
    pub(super) async fn obey(&mut self, line: Line) -> Result<(), End> {
        let (command, step) = self.session.handle_line(line);
        debug!(command);
        let step = match step {
            Step::Login(offer) => self.log_in(offer).await?,
            Step::Await(command) => self.await_mailbox(command).await?,
            step => step,
        };
        match step {
            Step::List(reply, listing) => self.list(&reply, listing).await,
            Step::Retrieve { number, uid, octets } => self.retrieve(number, uid, octets).await,
            Step::Top { number, uid, lines } => self.top(number, uid, lines).await,
            Step::Update { retrieved, deleted } => self.update(&retrieved, &deleted).await,
            Step::BeginTls(reply) => self.begin_tls(&reply).await,
            step => self.say(step).await,
        }
    }

    async fn begin_tls(&mut self, reply: &Reply) -> Result<(), End> {
        if !self.app.unread().is_empty() {
            self.app.reply(&Reply::err("nothing may follow STLS, goodbye")).await?;
            return Err(End::Injected);
        }
        self.app.reply(reply).await?;
        self.app.flush().await?;
        Err(End::BeginsTls)
    }

    async fn say(&mut self, step: Step) -> Result<(), End> {
        match step {
            Step::Reply(reply) => self.app.reply(&reply).await,
            Step::Finish(reply) => {
                self.app.reply(&reply).await?;
                Err(End::Finished)
            }
            _ => self.app.reply(&Reply::err("not in this state")).await,
        }
    }

    async fn list(&mut self, reply: &Reply, mut listing: Listing) -> Result<(), End> {
        self.app.reply(reply).await?;
        let mut lines = Vec::with_capacity(LISTING + 64);
        let mut more = true;
        while more {
            lines.clear();
            more = match self.session.maildrop() {
                Some(maildrop) => listing.write(maildrop, LISTING, &mut lines),
                None => false,
            };
            self.app.send(&lines).await?;
        }
        Ok(())
    }

    async fn retrieve(&mut self, number: MessageNumber, uid: Uid, listed: u64) -> Result<(), End> {
        let (Some(open), Some(maildrop)) = (self.behind.open_mut(), self.session.maildrop()) else {
            return self.app.reply(&Reply::err("not in this state")).await;
        };
        let body = match self.app.awaited(open.mailbox.retrieve(uid, maildrop)).await? {
            Ok(body) => body,
            Err(error) => return self.refuse(number, &error).await,
        };
        let sent = transfer::whole(&mut self.app, body, listed, open.mailbox.vouch(uid)).await;
        open.touched = Instant::now();
        match sent {
            Ok(sent) => {
                open.mailbox.learnt(uid, sent.unstuffed);
                self.session.retrieved(number);
                self.done.retrieved += 1;
                self.done.octets = self.done.octets.saturating_add(sent.octets);
                Ok(())
            }
            Err(failure) => self.not_sent(number, failure).await,
        }
    }

    async fn top(&mut self, number: MessageNumber, uid: Uid, lines: u32) -> Result<(), End> {
        let (Some(open), Some(maildrop)) = (self.behind.open_mut(), self.session.maildrop()) else {
            return self.app.reply(&Reply::err("not in this state")).await;
        };
        open.touched = Instant::now();
        if lines > HELD_LINES {
            return self.streamed_top(number, uid, lines).await;
        }
        match self.app.awaited(open.mailbox.look(uid, lines, maildrop)).await? {
            Ok(beginning) => transfer::held_top(&mut self.app, &beginning, lines).await,
            Err(UpstreamError::TooLarge) => self.streamed_top(number, uid, lines).await,
            Err(error) => self.refuse(number, &error).await,
        }
    }

    async fn streamed_top(&mut self, number: MessageNumber, uid: Uid, lines: u32) -> Result<(), End> {
        let (Some(open), Some(maildrop)) = (self.behind.open_mut(), self.session.maildrop()) else {
            return Ok(());
        };
        let body = match self.app.awaited(open.mailbox.retrieve(uid, maildrop)).await? {
            Ok(body) => body,
            Err(error) => return self.refuse(number, &error).await,
        };
        match transfer::top(&mut self.app, body, lines).await {
            Ok(()) => Ok(()),
            Err(failure) => self.not_sent(number, failure).await,
        }
    }

    /// Upstream gave nothing: this number alone is refused, and the session goes on.
    async fn refuse(&mut self, number: MessageNumber, error: &UpstreamError) -> Result<(), End> {
        let Some(open) = self.behind.open() else { return Ok(()) };
        warn!(number = number.get(), "{}", error.sentence(&open.account));
        let reply = match error {
            UpstreamError::Gone => Reply::err("the message is no longer there"),
            error => refusal(error, &open.account),
        };
        self.app.reply(&reply).await
    }

    async fn not_sent(&mut self, number: MessageNumber, failure: Failure) -> Result<(), End> {
        match failure {
            Failure::App(end) => Err(end),
            Failure::NotBegun(error) => {
                self.session.broke(number);
                self.refuse(number, &error).await
            }
            Failure::Broken(error) => {
                if let Some(open) = self.behind.open() {
                    warn!(number = number.get(), "{}", error.sentence(&open.account));
                }
                Err(End::Broken)
            }
        }
    }

    /// UPDATE (RFC 1939 §6): `+OK` only after upstream has done it all.
    async fn update(&mut self, retrieved: &[Uid], deleted: &[Uid]) -> Result<(), End> {
        let refusal = self.removal(retrieved, deleted).await?;
        let step = self.session.updated(refusal);
        self.say(step).await
    }

    async fn removal(&mut self, retrieved: &[Uid], deleted: &[Uid]) -> Result<Option<Reply>, End> {
        let Some(open) = self.behind.open_mut() else { return Ok(None) };
        let seen = match open.account.pop3.seen {
            Seen::Never => &[],
            Seen::Retrieved => retrieved,
            Seen::Deleted => deleted,
        };
        if seen.is_empty() && deleted.is_empty() {
            return Ok(None);
        }
        match self.app.finished(open.mailbox.update(seen, deleted)).await {
            Ok(()) => {
                self.done.deleted = deleted.len();
                Ok(None)
            }
            Err(error) => {
                warn!("{}", error.sentence(&open.account));
                Ok(Some(not_updated(&error, &open.account, deleted.len())))
            }
        }
    }
}

/// What remained first: the sentence behind it may be cut.
fn not_updated(error: &UpstreamError, account: &crate::mail::Account, deleted: usize) -> Reply {
    let code = if error.needs_user() { Code::SysPerm } else { Code::SysTemp };
    let remained = match (error, deleted) {
        (_, 0) => "messages not marked as read",
        (UpstreamError::UidValidityChanged { .. } | UpstreamError::NotHidden { .. }, _) => {
            "no message was removed"
        }
        _ => "some messages marked deleted were not removed",
    };
    Reply::err_with(code, &format!("{remained}: {}", error.sentence(account)))
}
