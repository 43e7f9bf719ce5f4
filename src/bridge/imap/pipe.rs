//! One direction of a splice: octets read, judged, and written from where they were read to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proto::imap::splice::Act;

/// Bulk moves in this much a write: four TLS records, and few system calls.
const BULK: usize = 64 * 1024;

/// What an idle direction keeps. Commands and small answers fit; hundreds of idle connections stay cheap.
const IDLE: usize = 2 * 1024;

/// Up to so much is copied to go out together with what precedes it, rather than in a write of its own.
const TOGETHER: usize = 4 * 1024;

/// Octets on their way from one side to the other.
///
/// ```text
///  side ─▶ │ cleared │ not judged yet │ room │      out goes side first, then what is cleared
///          start                      end
/// ```
#[derive(Debug)]
pub(super) struct Pipe {
    octets: Vec<u8>,
    start: usize,
    cleared: usize,
    end: usize,
    /// What goes out before the cleared octets: things of ours, and cleared octets that preceded them.
    side: BytesMut,
    unflushed: bool,
    end_of_input: Option<End>,
    /// Octets that went out.
    pub(super) carried: u64,
    /// Octets that came in.
    pub(super) taken: u64,
}

/// How a peer came to say nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It closed its direction.
    Said,
    /// The connection broke.
    Broken,
}

impl Pipe {
    /// A direction in which `read` has been read already.
    pub(super) fn new(read: &[u8]) -> Self {
        let mut octets = read.to_vec();
        octets.resize(read.len().max(IDLE), 0);
        Self {
            octets,
            start: 0,
            cleared: 0,
            end: read.len(),
            side: BytesMut::new(),
            unflushed: false,
            end_of_input: None,
            carried: 0,
            taken: 0,
        }
    }

    /// Whether the peer that is read from has said its last octet, and how that was.
    pub(super) fn end(&self) -> Option<End> {
        self.end_of_input
    }

    /// A number that changes whenever octets move, in or out.
    pub(super) fn progress(&self) -> u64 {
        self.carried + self.taken
    }

    /// Whether something waits to be written.
    pub(super) fn has_output(&self) -> bool {
        self.cleared > 0 || !self.side.is_empty() || self.unflushed
    }

    /// Puts octets behind everything that was cleared.
    pub(super) fn say(&mut self, octets: &[u8]) {
        self.settle();
        self.side.extend_from_slice(octets);
    }

    /// Asks `verdict` about what is not judged yet until it waits.
    pub(super) fn judge(&mut self, mut verdict: impl FnMut(&[u8]) -> Act) {
        loop {
            let unjudged = self.octets.get(self.start + self.cleared..self.end).unwrap_or_default();
            match verdict(unjudged) {
                Act::Pass(octets) => self.cleared += octets.min(unjudged.len()),
                Act::Drop(octets) => self.replace(octets, b""),
                Act::Replace(octets, ours) => self.replace(octets, &ours),
                Act::Wait => return,
            }
        }
    }

    fn replace(&mut self, octets: usize, ours: &[u8]) {
        self.say(ours);
        self.start = (self.start + octets).min(self.end);
    }

    /// Moves what is cleared to the side, so that something can stand behind it.
    fn settle(&mut self) {
        let cleared = self.octets.get(self.start..self.start + self.cleared).unwrap_or_default();
        self.side.extend_from_slice(cleared);
        self.start += self.cleared;
        self.cleared = 0;
    }

    /// Writes everything cleared; `Ready` when nothing is left to write. The number tells how much went.
    pub(super) fn poll_write<W>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        if !self.side.is_empty() && self.cleared <= TOGETHER {
            self.settle();
        }
        while !self.side.is_empty() {
            let written = written(ready!(Pin::new(&mut *sink).poll_write(cx, &self.side))?)?;
            self.side.advance(written);
            self.wrote(written);
        }
        if self.side.capacity() > TOGETHER {
            self.side = BytesMut::new();
        }
        while self.cleared > 0 {
            let cleared = self.octets.get(self.start..self.start + self.cleared).unwrap_or_default();
            let written = written(ready!(Pin::new(&mut *sink).poll_write(cx, cleared))?)?;
            self.start += written;
            self.cleared -= written;
            self.wrote(written);
        }
        if self.unflushed {
            ready!(Pin::new(sink).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, octets: usize) {
        self.carried += octets as u64;
        self.unflushed = true;
    }

    /// Reads until nothing more is ready or the room is full. `Ready` when something came, or the end: what came before
    /// an end or an error is still to be judged.
    pub(super) fn poll_read<R>(&mut self, cx: &mut Context<'_>, source: &mut R) -> Poll<()>
    where
        R: AsyncRead + Unpin,
    {
        let before = self.end - self.start;
        while self.end_of_input.is_none() && self.make_room() {
            let mut room = ReadBuf::new(self.octets.get_mut(self.end..).unwrap_or_default());
            match Pin::new(&mut *source).poll_read(cx, &mut room) {
                Poll::Ready(Ok(())) if room.filled().is_empty() => self.end_of_input = Some(End::Said),
                Poll::Ready(Ok(())) => {
                    let taken = room.filled().len();
                    self.end += taken;
                    self.taken += taken as u64;
                }
                Poll::Ready(Err(_)) => self.end_of_input = Some(End::Broken),
                Poll::Pending => break,
            }
        }
        let came = self.end_of_input.is_some() || self.end - self.start > before;
        if came { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether there is room for more; a buffer that came full grows once, to bulk.
    fn make_room(&mut self) -> bool {
        if self.start > 0 && (self.start == self.end || self.end == self.octets.len()) {
            self.octets.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.octets.len() && self.octets.len() < BULK {
            self.octets.resize(BULK, 0);
        }
        self.end < self.octets.len()
    }

    /// Whether it holds more memory than an idle direction needs.
    pub(super) fn is_big(&self) -> bool {
        self.octets.len() > IDLE && self.start == self.end
    }

    /// Gives back what bulk needed.
    pub(super) fn shrink(&mut self) {
        if self.is_big() {
            self.octets = vec![0; IDLE];
            (self.start, self.end) = (0, 0);
        }
    }
}

fn written(octets: usize) -> io::Result<usize> {
    if octets == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(octets) }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;

    /// Gives these, one a read, then nothing yet; `None` is an error.
    struct Source(VecDeque<Option<Vec<u8>>>);

    impl AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.0.pop_front() {
                None => Poll::Pending,
                Some(None) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Some(Some(octets)) => {
                    let (fits, rest) = octets.split_at(octets.len().min(room.remaining()));
                    room.put_slice(fits);
                    if !rest.is_empty() {
                        self.0.push_front(Some(rest.to_vec()));
                    }
                    Poll::Ready(Ok(()))
                }
            }
        }
    }

    /// Takes a few octets a write, and what it took.
    struct Sink(usize, Vec<u8>);

    impl AsyncWrite for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            octets: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = octets.len().min(self.0);
            self.1.extend_from_slice(&octets[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn pass_all(input: &[u8]) -> Act {
        if input.is_empty() { Act::Wait } else { Act::Pass(input.len()) }
    }

    #[test]
    fn what_came_before_an_error_is_there_to_be_judged() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut pipe = Pipe::new(b"");
        let mut source = Source([Some(b"* BYE\r\n".to_vec()), None].into());
        assert!(pipe.poll_read(&mut cx, &mut source).is_ready());
        assert_eq!(pipe.end(), Some(End::Broken));
        pipe.judge(pass_all);
        let mut sink = Sink(3, Vec::new());
        assert!(matches!(pipe.poll_write(&mut cx, &mut sink), Poll::Ready(Ok(()))));
        assert_eq!((sink.1.as_slice(), pipe.carried), (&b"* BYE\r\n"[..], 7));
    }

    #[test]
    fn no_more_is_held_than_a_bulk_write_and_little_when_idle() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut pipe = Pipe::new(b"");
        let mut source = Source([Some(vec![7; 1 << 20])].into());
        let mut sink = Sink(usize::MAX, Vec::new());
        while pipe.poll_read(&mut cx, &mut source).is_ready() {
            assert!(pipe.octets.len() <= BULK);
            pipe.judge(pass_all);
            assert!(matches!(pipe.poll_write(&mut cx, &mut sink), Poll::Ready(Ok(()))));
        }
        assert_eq!(sink.1, vec![7; 1 << 20]);
        assert!(pipe.is_big());
        pipe.shrink();
        assert_eq!((pipe.octets.len(), pipe.octets.capacity()), (IDLE, IDLE));
    }

    #[test]
    fn ours_stands_where_it_was_put() {
        let mut cx = Context::from_waker(Waker::noop());
        let long = vec![b'x'; 3 * TOGETHER];
        let mut pipe = Pipe::new(&[&long[..], b"-y", &long[..]].concat());
        let mut acts = VecDeque::from([
            Act::Pass(long.len()),
            Act::Replace(0, b"<".to_vec()),
            Act::Drop(1),
            Act::Pass(1),
            Act::Replace(0, b">".to_vec()),
            Act::Pass(long.len()),
        ]);
        pipe.judge(|_| acts.pop_front().unwrap_or(Act::Wait));
        let mut sink = Sink(1000, Vec::new());
        assert!(matches!(pipe.poll_write(&mut cx, &mut sink), Poll::Ready(Ok(()))));
        assert_eq!(sink.1, [&long[..], b"<y>", &long[..]].concat());
    }
}
