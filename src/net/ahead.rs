//! Reads ahead of a reader that asks for little at a time.
//!
//! rustls asks its socket for 4 KiB at a time: in bulk that is a quarter of a million system calls a gigabyte. Below
//! it, this takes what has come in one read and hands it on from memory. While little comes, nothing is held and
//! nothing is copied.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A read ahead takes at most this much: four TLS records. More saves little, and a reader's caches are small.
const AHEAD: usize = 64 * 1024;

/// A stream, and what was read from it before anybody asked.
#[derive(Debug)]
pub struct Ahead<S> {
    io: S,
    ready: BytesMut,
    /// The last read brought all that was asked for: more has come, most likely.
    bulk: bool,
}

impl<S> Ahead<S> {
    /// Wraps a stream.
    pub fn new(io: S) -> Self {
        Self { io, ready: BytesMut::new(), bulk: false }
    }
}

impl<S: AsyncRead + Unpin> Ahead<S> {
    /// Reads as much as there is, up to the bound. Whoever has to wait holds nothing meanwhile.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.ready.reserve(AHEAD);
        let mut io = (&mut self.io).take(AHEAD as u64);
        // The future has no state of its own: what was read is in `ready`.
        let read = pin!(io.read_buf(&mut self.ready)).poll(cx);
        if self.ready.is_empty() {
            self.ready = BytesMut::new();
        }
        read
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ready.is_empty() {
            let wanted = buf.remaining();
            if !this.bulk || wanted >= AHEAD {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                this.bulk = wanted > 0 && buf.filled().len() - before == wanted;
                return Poll::Ready(Ok(()));
            }
            this.bulk = ready!(this.poll_ahead(cx))? >= wanted;
        }
        let length = this.ready.len().min(buf.remaining());
        buf.put_slice(this.ready.get(..length).unwrap_or_default());
        this.ready.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    /// Counts reads that reach the stream.
    struct Counted<S>(S, usize);

    impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    async fn read(ahead: &mut Ahead<impl AsyncRead + Unpin>, wanted: usize) -> Vec<u8> {
        let mut octets = vec![0; wanted];
        let length = ahead.read(&mut octets).await.expect("a stream in memory");
        octets.truncate(length);
        octets
    }

    #[tokio::test]
    async fn bulk_takes_few_reads_of_the_stream() {
        let octets = vec![7; 32 * 4096];
        let mut ahead = Ahead::new(Counted(octets.as_slice(), 0));
        let mut whole = Vec::new();
        while whole.len() < octets.len() {
            whole.extend(read(&mut ahead, 4096).await);
        }
        assert_eq!(whole, octets);
        assert_eq!(ahead.io.1, 3, "4 KiB, then 64 KiB at a time");
    }

    #[tokio::test]
    async fn little_is_read_without_a_detour() {
        let (mut peer, io) = tokio::io::duplex(1024);
        let mut ahead = Ahead::new(io);
        for _ in 0..3 {
            peer.write_all(b"* OK\r\n").await.expect("room");
            assert_eq!(read(&mut ahead, 4096).await, b"* OK\r\n");
            assert_eq!(ahead.ready.capacity(), 0);
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_after_bulk_holds_nothing() {
        let (mut peer, io) = tokio::io::duplex(1 << 20);
        let mut ahead = Ahead::new(io);
        peer.write_all(&[7; 4096 * 3]).await.expect("room");
        for _ in 0..3 {
            assert_eq!(read(&mut ahead, 4096).await.len(), 4096);
        }
        let mut octets = [0; 4096];
        let waits = std::future::poll_fn(|cx| {
            let waits = Pin::new(&mut ahead).poll_read(cx, &mut ReadBuf::new(&mut octets)).is_pending();
            Poll::Ready(waits)
        });
        assert!(waits.await);
        assert_eq!(ahead.ready.capacity(), 0);
    }

    proptest! {
        #[test]
        fn any_sizes_of_reads_and_writes_give_the_same_octets(
            writes in prop::collection::vec(1usize..200_000, 1..6),
            reads in prop::collection::vec(1usize..100_000, 1..6),
        ) {
            let octets: Vec<u8> = (0..writes.iter().sum()).map(|at: usize| (at % 251) as u8).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let got = runtime.block_on(async {
                let (mut peer, io) = tokio::io::duplex(70_000);
                let (sent, mut ahead) = (octets.clone(), Ahead::new(io));
                tokio::spawn(async move {
                    let mut rest = sent.as_slice();
                    for size in writes {
                        let (now, later) = rest.split_at(size);
                        peer.write_all(now).await.expect("the reader reads all");
                        rest = later;
                    }
                });
                let mut got = Vec::new();
                for size in reads.iter().cycle() {
                    match read(&mut ahead, *size).await {
                        piece if piece.is_empty() => break,
                        piece => got.extend(piece),
                    }
                }
                got
            });
            prop_assert_eq!(got, octets);
        }
    }
}
