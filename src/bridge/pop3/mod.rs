//! The POP3 driver: awaits the app and the mailbox, and has no protocol in it.
//!
//! ```text
//!  app ── line ──▶ proto::pop3::Session ── Step ──▶ the mailbox, or a reply
//!   ▲                      ▲                            │
//!   └── replies, bodies ───┴───────── answers ──────────┘
//! ```
//!
//! A mailbox may still be on its way when its login is accepted: see `behind`.
//!
//! However a session ends, only a whole `QUIT` line in TRANSACTION removes anything (RFC 1939 §6).

mod app;
mod behind;
mod login;
mod obey;
mod provider;
mod transfer;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::app::{App, End};
use self::behind::Behind;
use self::provider::{Inbox, Provider, Upstream};
use super::{Accounts, Context, tell_of_late_tls};
use crate::mail::{Account, Deadlines};
use crate::proto::line::Line;
use crate::proto::pop3::{Code, Reply, Session};
use crate::upstream::UpstreamError;

/// Octets an app may send before it has logged in: several of the longest SASL exchanges.
const BEFORE_LOGIN: u64 = 128 * 1024;

/// Serves one app until it leaves. The greeting never waits for upstream.
///
/// Gives the stream back where the app was told to begin TLS on it: it is to be served again, as
/// [`AppTls::Upgraded`](crate::mail::AppTls::Upgraded).
///
/// # Errors
/// The app's connection broke; the session's end has been logged all the same.
pub async fn serve<S>(app: S, context: Context) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let deadlines = context.connector.deadlines().clone();
    let upstream = Upstream { connector: context.connector, resources: context.resources };
    let session = Session::with_tls(context.app_tls);
    Driver::new(app, session, context.accounts, upstream, deadlines, context.stopping).serve().await
}

/// One session.
struct Driver<S, P: Provider> {
    app: App<S>,
    session: Session,
    accounts: Accounts,
    provider: P,
    behind: Behind<P>,
    deadlines: Deadlines,
    stopping: CancellationToken,
    login_by: Instant,
    /// When the last command was answered.
    answered: Instant,
    done: Done,
}

/// What a session came to, for the log.
#[derive(Debug, Default)]
struct Done {
    retrieved: u64,
    octets: u64,
    /// What the app deleted and upstream did with as `delete` says, which may be to keep it.
    deleted: usize,
}

impl<S, P> Driver<S, P>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Provider,
{
    fn new(
        io: S,
        session: Session,
        accounts: Accounts,
        provider: P,
        deadlines: Deadlines,
        stopping: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        Self {
            app: App::new(io, session.line_limit(), deadlines.app_stall),
            session,
            accounts,
            provider,
            behind: Behind::Nothing,
            login_by: now + deadlines.app_login,
            deadlines,
            stopping,
            answered: now,
            done: Done::default(),
        }
    }

    async fn serve(mut self) -> io::Result<Option<S>> {
        let end = match self.converse().await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        if matches!(end, End::BeginsTls) {
            return Ok(Some(self.app.into_stream()));
        }
        let Done { retrieved, octets, deleted } = self.done;
        info!(%end, retrieved, octets, deleted, "session ended");
        let behind = std::mem::replace(&mut self.behind, Behind::Nothing);
        let well = matches!(end, End::Finished | End::HungUp);
        // LOGOUT is a courtesy: nobody waits for it long.
        let left = timeout(self.deadlines.stop, behind.left(well));
        // First: an app that hears our goodbye may be back at once.
        let _ = tokio::join!(left, self.part(&end));
        match end {
            End::Io(error) => Err(error),
            _ => Ok(None),
        }
    }

    /// The app's end of the connection: a last word is heard to its end, and anything else is just over.
    async fn part(&mut self, end: &End) {
        // What came before a broken message was whole.
        let farewell = matches!(end, End::Finished | End::Broken | End::Injected);
        if farewell && self.app.close().await.is_ok() {
            self.app.linger().await;
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        if let Some(greeting) = self.session.greeting() {
            self.app.reply(&greeting).await?;
        }
        loop {
            let line = self.next_line().await?;
            let over = grace(self.stopping.clone(), self.deadlines.stop);
            tokio::select! {
                biased;
                answered = self.answer(line) => answered?,
                () = over => return Err(End::Stopping),
            }
        }
    }

    async fn answer(&mut self, line: Line) -> Result<(), End> {
        self.obey(line).await?;
        if self.stopping.is_cancelled() {
            self.app.flush().await?; // The last answer is a whole one.
        }
        self.answered = Instant::now();
        Ok(())
    }

    async fn next_line(&mut self) -> Result<Line, End> {
        loop {
            if self.stopping.is_cancelled() {
                return Err(End::Stopping);
            }
            if let Some(line) = self.app.take_line(self.session.line_limit()) {
                return Ok(line);
            }
            let stopping = self.stopping.clone();
            tokio::select! {
                flushed = self.app.flush() => flushed?,
                () = stopping.cancelled() => return Err(End::Stopping),
            }
            self.listen().await?;
        }
    }

    /// Waits for octets, or does what is due in an app's silence.
    async fn listen(&mut self) -> Result<(), End> {
        let patience = match self.session.is_logged_in() {
            true => self.answered + self.deadlines.pop3_idle,
            false => self.login_by,
        };
        let due = self.behind.open().map(|open| open.touched + self.deadlines.pop3_keep_alive);
        tokio::select! {
            filled = self.app.fill() => {
                filled?;
                self.look_at_stranger().await
            }
            outcome = self.behind.arrival() => {
                self.arrived(outcome);
                Ok(())
            }
            () = sleep_until(patience) => Err(End::Silent),
            () = sleep_until(due.unwrap_or(patience)), if due.is_some() => self.keep_alive().await,
            () = self.stopping.cancelled() => Err(End::Stopping),
        }
    }
}

impl<S, P> Driver<S, P>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Provider,
{
    /// What the first octets tell, and how many there may be before login.
    async fn look_at_stranger(&mut self) -> Result<(), End> {
        if self.session.is_logged_in() {
            return Ok(());
        }
        if self.app.received() > BEFORE_LOGIN {
            return Err(End::Flooded);
        }
        let (received, unread) = (self.app.received(), self.app.unread());
        if u64::try_from(unread.len()).is_ok_and(|unread| unread == received)
            && let Some(reply) = self.session.dismisses(unread)
        {
            tell_of_late_tls(unread, self.session.tls());
            self.app.reply(&reply).await?;
            return Err(End::Finished);
        }
        Ok(())
    }

    /// A session upstream that is lost is replaced by the next command; the app need not hear of it.
    async fn keep_alive(&mut self) -> Result<(), End> {
        if let Some(open) = self.behind.open_mut() {
            open.mailbox.keep_alive().await;
            open.touched = Instant::now();
        }
        Ok(())
    }
}

/// Over when the bridge has been stopping for as long as a running command may still take.
async fn grace(stopping: CancellationToken, patience: std::time::Duration) {
    stopping.cancelled().await;
    sleep(patience).await;
}

/// An upstream error as an app is told: the code by what has to be done about it (RFC 3206 §4).
fn refusal(error: &UpstreamError, account: &Account) -> Reply {
    let code = if error.needs_user() { Code::SysPerm } else { Code::SysTemp };
    Reply::err_with(code, &error.sentence(account))
}

#[cfg(test)]
mod tests;
