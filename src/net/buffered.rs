//! A stream with its unread octets and its unsent octets.
//!
//! Knows nothing of lines or protocols: `proto` looks at [`Buffered::input`] and takes what it understands.
//! Replies are queued and leave in one write when nothing more is ready (two writes cost a peer with delayed
//! acknowledgements 40 ms).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::linger;

/// A read takes at most this much: a few TLS records, so that bulk moves in few system calls.
const READ: usize = 64 * 1024;

/// The first read: a command fits.
const FIRST_READ: usize = 4 * 1024;

/// A stream, what was read from it and not yet taken, and what is to be written and not yet sent.
#[derive(Debug)]
pub struct Buffered<S> {
    io: S,
    input: BytesMut,
    /// The size of the next read: grows while reads come back full, falls back when they do not.
    appetite: usize,
    output: Vec<u8>,
    /// How much of `output` is gone.
    sent: usize,
}

impl<S> Buffered<S> {
    /// Wraps a stream of which nothing was read yet.
    pub fn new(io: S) -> Self {
        Self { io, input: BytesMut::new(), appetite: FIRST_READ, output: Vec::new(), sent: 0 }
    }

    /// What was read and not taken yet; take from its front.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Puts octets behind those that wait to be sent.
    pub fn queue(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }

    /// How many octets wait to be sent.
    pub fn queued(&self) -> usize {
        self.output.len() - self.sent
    }

    /// The stream itself, for its addresses and options.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// The stream, its unread and its unsent octets.
    pub fn into_parts(self) -> (S, BytesMut, BytesMut) {
        let unsent = BytesMut::from(waiting(&self.output, self.sent));
        (self.io, self.input, unsent)
    }
}

impl<S: AsyncRead + Unpin> Buffered<S> {
    /// Waits for more input and returns how much came; 0 is the end of the stream. Cancel-safe.
    ///
    /// While it waits, little is held beyond what is unread and unsent.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = self.appetite;
        self.input.reserve(wanted);
        let mut io = (&mut self.io).take(wanted as u64);
        // The future has no state of its own: what was read is in the input.
        let read = pin!(io.read_buf(&mut self.input)).poll(cx);
        let Poll::Ready(outcome) = read else {
            self.slim();
            return Poll::Pending;
        };
        let taken = outcome?;
        if taken == wanted {
            self.appetite = (wanted * 4).min(READ);
        } else if taken < FIRST_READ {
            self.appetite = FIRST_READ;
        }
        Poll::Ready(Ok(taken))
    }

    /// Returns when the peer ends its direction; what it says before is taken in. Once `most` octets are unread nothing
    /// more is, and this never returns. Cancel-safe.
    pub async fn ended(&mut self, most: usize) -> io::Result<()> {
        while self.input.len() < most {
            if self.fill().await? == 0 {
                return Ok(());
            }
        }
        std::future::pending().await
    }

    /// Lets the peer hear our last words after [`Buffered::shutdown`]: see [`linger()`].
    pub async fn linger(&mut self) {
        self.input.clear();
        linger(&mut self.io).await;
    }

    /// Gives memory back: the wait may be long. A long piece that somebody collects is not copied again and again.
    fn slim(&mut self) {
        if self.input.len() <= FIRST_READ {
            self.input = BytesMut::from(self.input.as_ref());
        }
        if self.queued() == 0 {
            self.output = Vec::new();
        }
    }
}

impl<S: AsyncWrite + Unpin> Buffered<S> {
    /// Sends everything queued. Cancel-safe: what was sent is no longer queued.
    pub async fn flush(&mut self) -> io::Result<()> {
        while self.queued() > 0 {
            self.write_some(&[]).await?;
        }
        self.io.flush().await
    }

    /// The same for a peer that may stop reading: [`io::ErrorKind::TimedOut`] when it takes nothing for `stall`. Judged
    /// write by write, not by the whole: slow but moving is never cut. Cancel-safe.
    pub async fn flush_moving(&mut self, stall: Duration) -> io::Result<()> {
        self.write_moving(&[], stall).await?;
        moving(stall, self.io.flush()).await
    }

    /// Sends what is queued, then `octets` without copying them, with the patience of [`Buffered::flush_moving`] and
    /// without its flush of the stream. Not cancel-safe.
    pub async fn write_moving(&mut self, octets: &[u8], stall: Duration) -> io::Result<()> {
        let mut rest = octets;
        while self.queued() > 0 || !rest.is_empty() {
            let gone = moving(stall, self.write_some(rest)).await?;
            rest = rest.get(gone..).unwrap_or_default();
        }
        Ok(())
    }

    /// [`Buffered::shutdown`] with the patience of [`Buffered::flush_moving`].
    pub async fn shutdown_moving(&mut self, stall: Duration) -> io::Result<()> {
        self.flush_moving(stall).await?;
        moving(stall, self.io.shutdown()).await
    }

    /// Makes one write of what is queued with `octets` behind it; returns how many of `octets` went along.
    ///
    /// Cancel-safe, and each return is progress: its caller can tell a slow peer from one that takes nothing.
    /// Does not flush the stream under it.
    pub async fn write_some(&mut self, octets: &[u8]) -> io::Result<usize> {
        let parts = [IoSlice::new(waiting(&self.output, self.sent)), IoSlice::new(octets)];
        let wrote = match &parts {
            [queued, octets] if queued.is_empty() => self.io.write(octets).await?,
            parts => self.io.write_vectored(parts).await?,
        };
        if wrote == 0 && self.queued() + octets.len() > 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let queued = self.queued();
        if wrote < queued {
            self.sent += wrote;
            return Ok(0);
        }
        self.output.clear();
        self.sent = 0;
        Ok(wrote - queued)
    }

    /// Sends what is queued and closes our direction.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.io.shutdown().await
    }
}

async fn moving<T>(stall: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(stall, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What of the output is not sent yet.
fn waiting(output: &[u8], sent: usize) -> &[u8] {
    output.get(sent..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
