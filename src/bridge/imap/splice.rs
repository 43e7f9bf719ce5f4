//! The splice: both directions at once in one task, each read, judged and written on its own.
//!
//! A direction reads only when all it has is written, so what one side does not take is not taken from the other, and
//! memory stays flat. Neither direction ever waits for the other, but for the few octets that `proto::imap::splice`
//! holds back, so traffic both ways cannot lock up.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::FAREWELL;
use super::clock::Clock;
use super::pipe::{End, Pipe};
use crate::mail::{Account, Deadlines};
use crate::net::{Buffered, QuickAck, linger};
use crate::proto::imap::splice::{Act, Conversation, Patience};
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Backoff, Meter};

/// Upstream's IDLE is renewed after this long: below the 29 minutes of RFC 2177 §3 and the 30 after which a server may
/// log out (RFC 3501 §5.4), with room for a slow line.
const RENEW_IDLE: Duration = Duration::from_secs(27 * 60);

/// Quiet for so long, a direction gives back what bulk needed.
const SHRINK: Duration = Duration::from_secs(1);

/// Two streams and the conversation between them.
pub(super) struct Splice<A, U> {
    app: A,
    upstream: U,
    down: Pipe,
    up: Pipe,
    conversation: Conversation,
    deadlines: Deadlines,
    clock: Clock,
    /// When octets moved last, either way.
    moved: Instant,
    /// What the directions' progress was then.
    progress: u64,
    /// Where what comes from upstream is counted, and what has been.
    meter: Meter,
    metered: u64,
    /// Who waits where upstream asks this app to.
    backoff: Backoff,
    /// Upstream takes no more octets.
    up_broken: bool,
    /// How much the app had been told when its pieces were last to be acknowledged at once, which lasts until it is
    /// told more.
    acknowledged: Option<u64>,
    /// Which IDLE upstream is in, and since when we know.
    idling: Option<(u32, Instant)>,
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// LOGOUT, or a BYE that has gone by.
    Finished,
    /// The app hung up without LOGOUT.
    AppGone,
    /// The app took nothing for too long.
    AppStalled,
    /// The app said nothing for too long.
    AppIdle,
    /// Upstream is lost.
    Upstream(UpstreamError),
    /// The bridge stops.
    Stopping,
}

/// What there is to tell of a session.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) ending: Ending,
    pub(super) down: u64,
    pub(super) up: u64,
    pub(super) logout: bool,
}

impl<A, U> Splice<A, U>
where
    A: AsyncRead + AsyncWrite + QuickAck + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Joins the two. What either has read already is judged first; what either has queued goes out first.
    pub(super) fn new(
        app: Buffered<A>,
        upstream: Buffered<U>,
        conversation: Conversation,
        deadlines: Deadlines,
    ) -> Self {
        let (app, from_app, to_app) = app.into_parts();
        let (upstream, from_upstream, to_upstream) = upstream.into_parts();
        let (mut down, mut up) = (Pipe::new(&from_upstream), Pipe::new(&from_app));
        down.say(&to_app);
        up.say(&to_upstream);
        Self {
            app,
            upstream,
            down,
            up,
            conversation,
            deadlines,
            clock: Clock::new(),
            moved: Instant::now(),
            progress: 0,
            meter: Meter::default(),
            backoff: Backoff::default(),
            metered: 0,
            up_broken: false,
            acknowledged: None,
            idling: None,
        }
    }

    /// Has what comes from upstream counted there.
    pub(super) fn counted_on(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// Has the account's other sessions wait as long as upstream asks this one to.
    pub(super) fn backing_off(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Carries octets until one side ends it, says the last words to the app and drops both. Upstream never hears a
    /// CLOSE, an EXPUNGE or a LOGOUT that the app did not say.
    pub(super) async fn run(mut self, account: &Arc<Account>, stopping: &CancellationToken) -> Facts {
        let ending = tokio::select! {
            ending = poll_fn(|cx| self.poll(cx)) => ending,
            () = stopping.cancelled() => {
                // A response that has begun may end within the time there is.
                let _ = timeout(self.deadlines.stop, poll_fn(|cx| self.poll_to_boundary(cx))).await;
                Ending::Stopping
            }
        };
        self.count();
        self.part(&ending, account).await;
        Facts {
            ending,
            down: self.down.carried,
            up: self.up.carried,
            logout: self.conversation.logout_seen(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            if let Poll::Ready(ending) = self.poll_up(cx) {
                return Poll::Ready(ending);
            }
            if let Poll::Ready(ending) = self.poll_down(cx) {
                return Poll::Ready(ending);
            }
            if self.up_broken && !self.down.has_output() {
                return Poll::Ready(self.lost());
            }
            if self.up.end().is_some() && !self.conversation.busy() && !self.down.has_output() {
                return Poll::Ready(Ending::AppGone);
            }
            if self.conversation.take_news() {
                continue; // What came down may let go what is held going up.
            }
            match self.poll_clock(cx) {
                Poll::Ready(Some(ending)) => return Poll::Ready(ending),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            match self.up.poll_write(cx, &mut self.upstream) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    // Its reason, a BYE perhaps, may have come: `poll` looks at what is there before it gives up.
                    self.up_broken = true;
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
            self.up.judge(|input| {
                let act = self.conversation.from_app(input);
                if let Some(command) = self.conversation.take_started() {
                    tracing::debug!(command, "command");
                }
                act
            });
            if self.up.has_output() {
                continue;
            }
            match self.up.end() {
                Some(End::Said) => return Poll::Pending, // Half closed: what was asked is still answered.
                Some(End::Broken) => return Poll::Ready(Ending::AppGone),
                None => {
                    self.acknowledge();
                    ready!(self.up.poll_read(cx, &mut self.app));
                }
            }
        }
    }

    /// An app that writes a literal piece by piece, Nagle's algorithm on, waits for our acknowledgement of each piece.
    fn acknowledge(&mut self) {
        let told = Some(self.down.carried);
        if self.conversation.literal_coming() && self.acknowledged != told {
            self.app.acknowledge_at_once();
            self.acknowledged = told;
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            match self.down.poll_write(cx, &mut self.app) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Ending::AppGone),
                Poll::Pending => return Poll::Pending,
            }
            if self.conversation.finished() {
                return Poll::Ready(Ending::Finished);
            }
            self.down.judge(|input| {
                let act = self.conversation.from_upstream(input);
                if let Some(line) = self.conversation.take_refusal() {
                    self.backoff.heed_line(&line);
                }
                act
            });
            if self.down.has_output() {
                continue;
            }
            if self.down.end().is_some() || self.conversation.lost_count() {
                return Poll::Ready(self.lost());
            }
            ready!(self.down.poll_read(cx, &mut self.upstream));
        }
    }

    /// Downwards only, and no further than the end of the response that is going by.
    fn poll_to_boundary(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.down.poll_write(cx, &mut self.app)).is_err()
                || self.down.end().is_some()
                || self.conversation.lost_count()
            {
                return Poll::Ready(());
            }
            let conversation = &mut self.conversation;
            self.down.judge(|input| match conversation.between_responses() {
                true => Act::Wait,
                false => conversation.from_upstream(input),
            });
            if self.down.has_output() {
                continue;
            }
            if self.conversation.between_responses() {
                return Poll::Ready(());
            }
            ready!(self.down.poll_read(cx, &mut self.upstream));
        }
    }

    fn lost(&self) -> Ending {
        let (command, _) = self.conversation.running().unwrap_or(("the session", Patience::Prompt));
        Ending::Upstream(UpstreamError::Lost { command })
    }

    /// `Ready(None)` when a deadline came that ends nothing, and all is to be looked at again.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let now = Instant::now();
        self.note(now);
        let (due, deadline) = self.next_deadline();
        if due > now {
            return self.clock.poll(cx, due).map(|()| None);
        }
        Poll::Ready(match deadline {
            Deadline::Ends(ending) => Some(ending),
            Deadline::Shrink => {
                self.down.shrink();
                self.up.shrink();
                None
            }
            Deadline::RenewIdle => {
                self.idling = self.idling.map(|(idle, _)| (idle, now));
                self.conversation.renew_idle();
                None
            }
        })
    }

    fn count(&mut self) {
        let came = self.down.taken;
        self.meter.count(came.saturating_sub(std::mem::replace(&mut self.metered, came)));
    }

    /// Takes down what has changed since the last look.
    fn note(&mut self, now: Instant) {
        let progress = self.down.progress() + self.up.progress();
        if progress != self.progress {
            (self.progress, self.moved) = (progress, now);
            self.count();
        }
        let idling = self.conversation.idling();
        if idling != self.idling.map(|(idle, _)| idle) {
            self.idling = idling.map(|idle| (idle, now));
        }
    }

    fn next_deadline(&self) -> (Instant, Deadline) {
        let (due, deadline) = self.ending_deadline();
        let shrink = self.moved + SHRINK;
        if (self.down.is_big() || self.up.is_big()) && shrink < due {
            (shrink, Deadline::Shrink)
        } else {
            (due, deadline)
        }
    }

    /// Whom we are waiting for, and how long.
    fn ending_deadline(&self) -> (Instant, Deadline) {
        if self.down.has_output() {
            return (self.moved + self.deadlines.app_stall, Deadline::Ends(Ending::AppStalled));
        }
        let running = self.conversation.running();
        if running.is_some() || self.up.has_output() {
            let (command, patience) = running.unwrap_or(("a command", Patience::Prompt));
            let after = match patience {
                Patience::Prompt => self.deadlines.upstream_progress,
                Patience::Laborious => self.deadlines.upstream_work,
            };
            let silence = UpstreamError::TimedOut { command, after };
            return (self.moved + after, Deadline::Ends(Ending::Upstream(silence)));
        }
        match self.idling {
            Some((_, since)) => (since + RENEW_IDLE, Deadline::RenewIdle),
            None => (self.moved + self.deadlines.imap_idle, Deadline::Ends(Ending::AppIdle)),
        }
    }

    /// The last words, where the app can understand them, and the end of both streams.
    async fn part(&mut self, ending: &Ending, account: &Account) {
        if matches!(ending, Ending::AppGone | Ending::AppStalled) {
            let _ = timeout(FAREWELL, self.upstream.shutdown()).await;
            return;
        }
        let words = match ending {
            Ending::Upstream(error) => {
                self.conversation.last_words("[UNAVAILABLE] ", &error.sentence(account))
            }
            Ending::AppIdle => self.conversation.last_words("", "the app was silent for too long"),
            Ending::Stopping => self.conversation.last_words("", "footbridge is stopping"),
            _ => None,
        };
        if let Some(words) = words {
            self.down.say(&words);
        }
        let app = async {
            if matches!(timeout(FAREWELL, close(&mut self.app, &mut self.down)).await, Ok(Ok(()))) {
                linger(&mut self.app).await;
            }
        };
        // Upstream need not wait for a slow app.
        let _ = tokio::join!(app, timeout(FAREWELL, self.upstream.shutdown()));
    }
}

/// Writes what is left to be said and ends our direction.
async fn close<A: AsyncWrite + Unpin>(app: &mut A, down: &mut Pipe) -> io::Result<()> {
    poll_fn(|cx| down.poll_write(cx, app)).await?;
    app.shutdown().await
}

/// What is to be done at a deadline.
enum Deadline {
    Ends(Ending),
    Shrink,
    RenewIdle,
}

#[cfg(test)]
mod tests;
