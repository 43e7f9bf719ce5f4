//! The app's end: lines in, replies and bodies out, with the patience an app is given.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::bridge::{SENT_AHEAD, Standing, watched};
use crate::net::Buffered;
use crate::proto::line::{Line, LineFramer};
use crate::proto::pop3::Reply;

/// Replies wait for each other up to this much, so that a pipelining app gets them in few writes.
const QUEUE: usize = 16 * 1024;

/// Octets of a body from which on a write of their own is cheaper than a copy. Most mail is smaller: its announcement,
/// its octets and its dot leave in one write.
const DIRECT: usize = 16 * 1024;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// QUIT, or something we had to say last.
    #[error("finished")]
    Finished,
    /// The app closed the connection without QUIT.
    #[error("the app hung up")]
    HungUp,
    /// No command for too long, or no login.
    #[error("the app was silent for too long")]
    Silent,
    /// The app takes nothing of what we have for it.
    #[error("the app stopped reading")]
    Stalled,
    /// More octets before login than a login needs.
    #[error("too much before login")]
    Flooded,
    /// A body broke off.
    #[error("a message broke off")]
    Broken,
    /// STLS: what follows is TLS, and another session.
    #[error("TLS begins")]
    BeginsTls,
    /// Octets came in the clear right behind STLS, put there by somebody between (RFC 2595 §4, as CVE-2011-0411).
    #[error("octets in the clear behind STLS")]
    Injected,
    /// SIGTERM.
    #[error("the bridge is stopping")]
    Stopping,
    /// The connection broke.
    #[error("the app's connection broke: {0}")]
    Io(#[from] io::Error),
}

/// An app's connection.
#[derive(Debug)]
pub(super) struct App<S> {
    wire: Buffered<S>,
    framer: LineFramer,
    stall: Duration,
    received: u64,
}

impl<S> App<S> {
    /// `stall` is how long it may take nothing.
    pub(super) fn new(io: S, limit: usize, stall: Duration) -> Self {
        Self { wire: Buffered::new(io), framer: LineFramer::new(limit), stall, received: 0 }
    }

    /// The next line, if it is all here.
    pub(super) fn take_line(&mut self, limit: usize) -> Option<Line> {
        self.framer.set_limit(limit);
        self.framer.take(self.wire.input())
    }

    /// The octets that are no line yet.
    pub(super) fn unread(&mut self) -> &[u8] {
        self.wire.input()
    }

    /// Octets read in all.
    pub(super) fn received(&self) -> u64 {
        self.received
    }
}

impl<S> App<S> {
    /// The stream; what was read and not taken is dropped.
    pub(super) fn into_stream(self) -> S {
        self.wire.into_parts().0
    }
}

impl<S: AsyncRead + Unpin> App<S> {
    /// Waits for octets. Cancel-safe.
    pub(super) async fn fill(&mut self) -> Result<(), End> {
        match self.wire.fill().await? {
            0 => Err(End::HungUp),
            octets => {
                self.received = self.received.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
                Ok(())
            }
        }
    }

    /// Lets the app hear our last word.
    pub(super) async fn linger(&mut self) {
        self.wire.linger().await;
    }
}

impl<S: AsyncWrite + Unpin> App<S> {
    /// Sends a reply with those that come right behind it.
    pub(super) async fn reply(&mut self, reply: &Reply) -> Result<(), End> {
        self.gather(reply.octets()).await
    }

    /// Sends octets: small ones gathered, large ones straight from where they are.
    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), End> {
        if octets.len() < DIRECT {
            return self.gather(octets).await;
        }
        self.wire.write_moving(octets, self.stall).await.map_err(taken)
    }

    async fn gather(&mut self, octets: &[u8]) -> Result<(), End> {
        self.wire.queue(octets);
        if self.wire.queued() >= QUEUE { self.flush().await } else { Ok(()) }
    }

    /// Sends what waits. Cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        self.wire.flush_moving(self.stall).await.map_err(taken)
    }

    /// Waits for upstream; an app that waits for earlier replies gets them meanwhile, but not in a write of their
    /// own if upstream's answer is here already.
    pub(super) async fn meanwhile<F: Future>(&mut self, upstream: F) -> Result<F::Output, End> {
        let mut upstream = std::pin::pin!(upstream);
        tokio::select! {
            biased;
            answer = &mut upstream => return Ok(answer),
            flushed = self.flush() => flushed?,
        }
        Ok(upstream.await)
    }

    /// The same for what may take however long upstream makes it: an app that has hung up and takes no answer keeps
    /// nothing busy for longer than one that stops reading. Before that it may want its answer (RFC 9293 §3.6).
    pub(super) async fn awaited<F: Future>(&mut self, upstream: F) -> Result<F::Output, End>
    where
        S: AsyncRead,
    {
        let mut upstream = std::pin::pin!(upstream);
        tokio::select! {
            biased;
            answer = &mut upstream => return Ok(answer),
            flushed = self.flush() => flushed?,
        }
        let before = self.wire.input().len();
        let stall = self.stall;
        let hung_up = async {
            self.wire.ended(SENT_AHEAD).await?;
            sleep(stall).await;
            Err(End::HungUp)
        };
        let awaited = tokio::select! {
            biased;
            answer = &mut upstream => Ok(answer),
            end = hung_up => end,
        };
        self.count_since(before);
        awaited
    }

    /// The same for what is done to its end whatever becomes of the app; a reply that cannot be sent is found out by the
    /// next one.
    pub(super) async fn finished<F: Future>(&mut self, upstream: F) -> F::Output {
        let mut upstream = std::pin::pin!(upstream);
        tokio::select! {
            biased;
            answer = &mut upstream => return answer,
            _ = self.flush() => {}
        }
        upstream.await
    }

    fn count_since(&mut self, before: usize) {
        let octets = self.wire.input().len().saturating_sub(before);
        self.received = self.received.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
    }

    /// The same while an app's password is judged, with an eye on the app.
    pub(super) async fn watched<F: Future>(
        &mut self,
        standing: &Standing,
        judged: F,
    ) -> Result<F::Output, End>
    where
        S: AsyncRead,
    {
        let mut judged = std::pin::pin!(judged);
        tokio::select! {
            biased;
            judged = &mut judged => return Ok(judged),
            flushed = self.flush() => flushed?,
        }
        let before = self.wire.input().len();
        let judged = watched(&mut self.wire, standing, judged).await;
        self.count_since(before);
        Ok(judged?)
    }

    /// Sends what waits and closes our direction.
    pub(super) async fn close(&mut self) -> Result<(), End> {
        self.wire.shutdown_moving(self.stall).await.map_err(taken)
    }
}

fn taken(error: io::Error) -> End {
    if error.kind() == io::ErrorKind::TimedOut { End::Stalled } else { End::Io(error) }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    /// Counts writes.
    #[derive(Debug, Default)]
    struct Writes(usize);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            octets: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0 += 1;
            Poll::Ready(Ok(octets.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_small_message_leaves_with_its_announcement_and_its_dot_in_one_write() {
        let mut app = App::new(Writes::default(), 512, Duration::from_secs(1));
        app.reply(&Reply::ok("8000 octets")).await.expect("taken");
        app.send(&[b'x'; 8_000]).await.expect("taken");
        app.send(b".\r\n").await.expect("taken");
        app.flush().await.expect("taken");
        assert_eq!(app.wire.get_ref().0, 1);
    }
}
