//! The SMTP driver: awaits the app and upstream, and has no protocol in it.
//!
//! A message goes through as it came: nothing is added (no Received, Date or Message-ID), nothing removed (Bcc is
//! the app's affair), nothing wrapped. The one change is decision and setting of the account: bare CRs and LFs
//! become CRLF, or the message is refused.
//!
//! ```text
//!  app ◀── replies, queued ──┐                  ┌──▶ upstream: login, envelope, DATA
//!  app ─── lines ──▶ session ┴── Step ── Request ┘
//!  app ─── octets behind 354 ──▶ reception ──────────▶ upstream, read by read
//! ```
//!
//! What the app is told about a message is what upstream said; 250 never before upstream's 250. Once its end
//! went upstream nothing is tried again.

mod message;
mod relay;

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{Span, debug, info};

use super::{Context, tell_of_late_tls, watched};
use crate::mail::Deadlines;
use crate::net::{Buffered, QuickAck};
use crate::proto::line::{Line, LineFramer};
use crate::proto::smtp::session::{Answer, LONGEST_LINE, Request, Step};
use crate::proto::smtp::{Reply, Session};
use relay::{Login, Relay};

/// Serves one app until it leaves. The greeting never waits for upstream.
///
/// Gives the stream back where the app was told to begin TLS on it: it is to be served again, as
/// [`AppTls::Upgraded`](crate::mail::AppTls::Upgraded).
///
/// # Errors
/// The app's connection broke; the session's end has been logged all the same.
pub async fn serve<S>(app: S, context: Context) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + QuickAck + Unpin + Send,
{
    let connector = context.connector.clone();
    serve_with(app, context, connector).await
}

/// The same with another way upstream.
async fn serve_with<S, L>(app: S, context: Context, login: L) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + QuickAck + Unpin + Send,
    L: Login,
{
    let session = Session::with_tls(context.app_tls);
    let greets = context.app_tls.greets();
    let mut conversation = Conversation {
        app: Buffered::new(app),
        framer: LineFramer::new(LONGEST_LINE),
        session,
        deadlines: context.connector.deadlines().clone(),
        relay: Relay::new(login, context.accounts.clone()),
        context,
        since: Instant::now(),
        stopped_by: Arc::default(),
        sent: Sent::default(),
        begins_tls: false,
    };
    if greets {
        conversation.app.queue(&Session::greeting().encode());
    }
    let ended = conversation.run().await;
    if conversation.begins_tls && ended.is_ok() {
        return Ok(Some(conversation.app.into_parts().0)); // Nobody has logged in, so there is no upstream yet.
    }
    let Sent { messages, recipients, octets } = conversation.sent;
    let how = ended.as_ref().map_or_else(|error| error.to_string(), |how| how.to_string());
    info!(end = how, messages, recipients, octets, "session ended");
    let Conversation { app, relay, .. } = conversation;
    drop(app); // An app that is gone, or has heard all, does not wait for upstream's farewell.
    relay.leave().await;
    ended.map(|_| None)
}

struct Conversation<S, L> {
    app: Buffered<S>,
    framer: LineFramer,
    session: Session,
    deadlines: Deadlines,
    relay: Relay<L>,
    context: Context,
    since: Instant,
    /// By when a message under way must have ended, once the bridge stops.
    stopped_by: Arc<OnceLock<Instant>>,
    sent: Sent,
    /// The app was told so, and nothing more is to be said in the clear.
    begins_tls: bool,
}

/// What upstream accepted in this session.
#[derive(Debug, Default)]
struct Sent {
    messages: u64,
    recipients: u64,
    octets: u64,
}

/// Goes on, or says how it ended.
type Flow = std::ops::ControlFlow<&'static str>;

impl<S, L> Conversation<S, L>
where
    S: AsyncRead + AsyncWrite + QuickAck + Unpin + Send,
    L: Login,
{
    async fn run(&mut self) -> io::Result<&'static str> {
        loop {
            let line = self.framer.take(self.app.input());
            if self.session.is_gathering()
                && !matches!(&line, Some(Line::Whole(line)) if self.session.gathers(line))
            {
                let settled = self.session.settle();
                if let Flow::Break(how) = self.follow(settled).await? {
                    return Ok(how);
                }
            }
            let step = match line {
                Some(Line::Whole(line)) => {
                    debug!(command = self.session.name_of(&line));
                    self.session.handle_line(&line)
                }
                Some(Line::TooLong) => self.session.handle_too_long(),
                None => match self.more().await? {
                    Flow::Break(how) => return Ok(how),
                    Flow::Continue(()) => continue,
                },
            };
            if let Flow::Break(how) = self.follow(step).await? {
                return Ok(how);
            }
        }
    }

    /// Does what the session wants until it wants another line.
    async fn follow(&mut self, step: Step) -> io::Result<Flow> {
        let mut step = step;
        loop {
            step = match step {
                Step::Gathered => return Ok(Flow::Continue(())),
                Step::Reply(reply) => {
                    self.queue(&reply);
                    return Ok(Flow::Continue(()));
                }
                Step::Replies(replies) => {
                    replies.iter().for_each(|reply| self.queue(reply));
                    return Ok(Flow::Continue(()));
                }
                Step::BeginTls(reply) => return self.begin_tls(&reply).await.map(Flow::Break),
                Step::Finish(reply) => return self.finish(&reply, "closed in order").await.map(Flow::Break),
                Step::Ask(request) => {
                    let stop = self.stop();
                    tokio::select! {
                        biased;
                        answer = self.ask(request) => self.session.resume(answer?),
                        () = stop => {
                            self.relay.drop_upstream();
                            Step::Finish(shutting_down())
                        }
                    }
                }
                Step::Receive { reply, largest, eight_bit } => {
                    self.queue(&reply);
                    match self.receive(largest, eight_bit).await? {
                        message::End::Told(reply) => self.session.resume(Answer::Received(reply)),
                        message::End::Closed(how) => return Ok(Flow::Break(how)),
                    }
                }
            };
        }
    }

    async fn begin_tls(&mut self, reply: &Reply) -> io::Result<&'static str> {
        if !self.app.input().is_empty() {
            // Put there by somebody between (RFC 3207 §6, as CVE-2011-0411).
            let reply = Reply::new(421, 7, 0, "nothing may follow STARTTLS, goodbye");
            return self.finish(&reply, "octets in the clear behind STARTTLS").await;
        }
        self.queue(reply);
        self.flush().await?;
        self.begins_tls = true;
        Ok("TLS begins")
    }

    /// Comes when what is under way must end: some time after the bridge was told to stop, of which a quarter is
    /// kept to say so.
    fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        let (stopping, patience) = (self.context.stopping.clone(), self.deadlines.stop * 3 / 4);
        let stopped_by = self.stopped_by.clone();
        async move {
            stopping.cancelled().await;
            sleep_until(*stopped_by.get_or_init(|| Instant::now() + patience)).await;
        }
    }

    async fn ask(&mut self, request: Request) -> io::Result<Answer> {
        Ok(match request {
            Request::Login(offer) => {
                let judged = self.relay.admit(&offer);
                let answer = match watched(&mut self.app, self.context.accounts.standing(), judged).await? {
                    Ok(admitted) => self.relay.login(admitted).await,
                    Err(reply) => Answer::NotLoggedIn(reply),
                };
                if let Some(account) = self.relay.account() {
                    Span::current().record("account", account.address.as_str());
                }
                answer
            }
            Request::Envelope(envelope) => self.relay.envelope(&envelope).await,
            Request::Data => self.relay.data().await,
        })
    }

    /// Sends what waits, then reads: nothing more is ready, so every reply so far leaves in one write.
    async fn more(&mut self) -> io::Result<Flow> {
        self.flush().await?;
        let (deadline, silence) = if self.session.is_logged_in() {
            (Instant::now() + self.deadlines.smtp_idle, "the app was silent for too long")
        } else {
            (self.since + self.deadlines.app_login, "the app did not log in in time")
        };
        let stopping = self.context.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {
                self.finish(&shutting_down(), "the bridge is stopping").await.map(Flow::Break)
            }
            read = timeout_at(deadline, self.app.fill()) => match read {
                Err(_) => {
                    let reply = Reply::new(421, 4, 2, "silent for too long, goodbye");
                    self.finish(&reply, silence).await.map(Flow::Break)
                }
                Ok(Err(error)) => Err(error),
                Ok(Ok(0)) => Ok(Flow::Break("the app hung up")),
                Ok(Ok(_)) if self.session.is_foreign(self.app.input()) => {
                    tell_of_late_tls(self.app.input(), self.context.app_tls);
                    let reply = Reply::new(421, 7, 0, "this is a mail submission port, goodbye");
                    self.finish(&reply, "not a mail app").await.map(Flow::Break)
                }
                Ok(Ok(_)) => Ok(Flow::Continue(())),
            }
        }
    }

    fn queue(&mut self, reply: &Reply) {
        debug!(code = reply.code(), "reply");
        self.app.queue(&reply.encode());
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.app.flush_moving(self.deadlines.app_stall).await
    }

    async fn finish(&mut self, reply: &Reply, how: &'static str) -> io::Result<&'static str> {
        self.queue(reply);
        self.app.shutdown_moving(self.deadlines.app_stall).await?;
        self.app.linger().await;
        Ok(how)
    }
}

/// RFC 5321 §3.8.
fn shutting_down() -> Reply {
    Reply::new(421, 3, 2, "the bridge is stopping, try again later")
}

#[cfg(test)]
mod tests;
