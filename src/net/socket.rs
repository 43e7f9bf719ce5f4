//! A TCP stream under TLS that takes bulk in few system calls.
//!
//! rustls asks its stream for 4 KiB at a time, a quarter of a record. While such reads come back full this reads
//! 64 KiB ahead and hands them out; an idle connection holds no buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Four TLS records: beyond that a larger read saves nothing that shows.
const AHEAD: usize = 64 * 1024;

/// The TCP stream and what was read ahead from it.
#[derive(Debug)]
pub struct Socket<S = TcpStream> {
    io: S,
    ahead: Ahead,
}

/// Octets read and not handed out.
#[derive(Debug, Default)]
struct Ahead {
    /// Empty while nothing says that much is coming.
    buffer: Vec<u8>,
    taken: usize,
    filled: usize,
    /// The last read came back full.
    bulk: bool,
}

impl<S> Socket<S> {
    /// Wraps a stream of which nothing was read yet.
    pub(super) fn new(io: S) -> Self {
        Self { io, ahead: Ahead::default() }
    }

    /// The stream itself, for its addresses and options.
    pub fn get_ref(&self) -> &S {
        &self.io
    }
}

impl Ahead {
    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.taken..self.filled).unwrap_or_default()
    }

    /// Hands out what `out` has room for.
    fn hand_out(&mut self, out: &mut ReadBuf<'_>) {
        let waiting = self.waiting();
        let part = waiting.get(..out.remaining()).unwrap_or(waiting);
        out.put_slice(part);
        self.taken += part.len();
    }

    fn release(&mut self) {
        *self = Self::default();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, ahead } = self.get_mut();
        if ahead.waiting().is_empty() {
            if !ahead.bulk || out.remaining() >= AHEAD {
                return poll_direct(Pin::new(io), ahead, cx, out);
            }
            ready!(poll_ahead(Pin::new(io), ahead, cx))?;
        }
        ahead.hand_out(out);
        Poll::Ready(Ok(()))
    }
}

/// Reads what was asked for, and notes whether more seems to be there.
fn poll_direct<S: AsyncRead>(
    io: Pin<&mut S>,
    ahead: &mut Ahead,
    cx: &mut Context<'_>,
    out: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    ready!(io.poll_read(cx, out))?;
    ahead.bulk = out.remaining() == 0;
    Poll::Ready(Ok(()))
}

/// Fills the buffer anew; gives it back where nothing is there now.
fn poll_ahead<S: AsyncRead>(
    io: Pin<&mut S>,
    ahead: &mut Ahead,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    ahead.buffer.resize(AHEAD, 0);
    let mut read = ReadBuf::new(&mut ahead.buffer);
    let Poll::Ready(outcome) = io.poll_read(cx, &mut read) else {
        ahead.release();
        return Poll::Pending;
    };
    (ahead.taken, ahead.filled) = (0, read.filled().len());
    Poll::Ready(outcome)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn octets_come_out_as_they_went_in_whatever_is_asked() {
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for ask in [1_usize, 7, 4096, 5000, AHEAD, 2 * AHEAD] {
            let (mut far, near) = tokio::io::duplex(100_000);
            let octets = sent.clone();
            let writer = tokio::spawn(async move { far.write_all(&octets).await });
            let (mut socket, mut got) = (Socket::new(near), Vec::new());
            let mut part = vec![0; ask];
            loop {
                let n = socket.read(&mut part).await.unwrap();
                if n == 0 {
                    break;
                }
                got.extend_from_slice(&part[..n]);
            }
            writer.await.unwrap().unwrap();
            assert!(got == sent, "asked by {ask}");
        }
    }

    #[tokio::test]
    async fn bulk_is_read_ahead_and_an_idle_stream_holds_no_buffer() {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        far.write_all(&vec![b'x'; 20_000]).await.unwrap();
        let mut socket = Socket::new(near);
        let mut part = [0; 4096];
        assert_eq!(socket.read(&mut part).await.unwrap(), 4096);
        assert!(socket.ahead.buffer.is_empty(), "one full read may be all there is");
        assert_eq!(socket.read(&mut part).await.unwrap(), 4096);
        assert_eq!(socket.ahead.waiting().len(), 20_000 - 2 * 4096);
        while !socket.ahead.waiting().is_empty() {
            assert_ne!(socket.read(&mut part).await.unwrap(), 0);
        }
        {
            let more = std::pin::pin!(socket.read(&mut part));
            assert!(more.poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        }
        assert_eq!(socket.ahead.buffer.capacity(), 0);
    }
}
