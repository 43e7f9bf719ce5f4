//! The stream under lettre: shared with us, so that reply lines are kept as upstream wrote them and the octets of
//! a message never pass through lettre.
//!
//! ```text
//!  upstream ──▶ input ──line by line──▶ recorded verbatim ──▶ Reply (ours)
//!                                  └──▶ mended ────────────▶ lettre
//!  lettre's commands, our message octets ──▶ upstream
//! ```
//!
//! lettre is handed one line at a time, so nothing of a later reply is lost in its buffer, and of each reply the last
//! line only: it parses a reply from its beginning for every line that comes, which takes minutes for the longest it
//! takes. And only lines that it can parse: it knows no second digit above 5, no bare `250`, no bare LF, nothing but
//! UTF-8, nothing over 1,000 octets; and it panics at an EHLO line of spaces.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use lettre::transport::smtp::client::AsyncTokioStream;
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::proto::smtp::Reply;
use crate::proto::smtp::reply::{is_continued, reply_code};

/// A reply line may be so long; RFC 5321 §4.5.3.1.5 says 512 octets, and some servers put whole pages in one.
const LONGEST_LINE: usize = 64 * 1024;

/// What one read takes at least.
const FILL: usize = 1024;

/// What is kept of a line.
const KEPT: usize = 512;

/// What lettre is shown of a line's text; it takes 1,000 octets.
const SHOWN: usize = 900;

/// What is kept of a reply, in lines.
const LINES: usize = 100;

/// A reply of more lines than this never ends.
const LONGEST_REPLY: usize = 10_000;

/// What an SMTP connection runs over.
pub trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Transport for T {}

/// A handle on the stream; lettre has one, we have another.
#[derive(Debug)]
pub(super) struct Wire<S>(Arc<Mutex<State<S>>>);

#[derive(Debug)]
struct State<S> {
    /// `None` once it was taken away for TLS.
    io: Option<S>,
    input: BytesMut,
    /// Octets of the input already searched for LF.
    searched: usize,
    /// The line lettre reads next.
    mended: BytesMut,
    /// Lines of the reply that is being read.
    lines: Vec<Vec<u8>>,
    /// How many there were, those not kept too.
    line_count: usize,
    /// Whole replies; `None` is what was no reply.
    replies: VecDeque<Option<Reply>>,
    ended: bool,
}

impl<S> Clone for Wire<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Transport> Wire<S> {
    pub(super) fn new(io: S) -> Self {
        Self(Arc::new(Mutex::new(State {
            io: Some(io),
            input: BytesMut::new(),
            searched: 0,
            mended: BytesMut::new(),
            lines: Vec::new(),
            line_count: 0,
            replies: VecDeque::new(),
            ended: false,
        })))
    }

    /// Lets lettre read a greeting that upstream does not send again after STARTTLS.
    pub(super) fn make_up_greeting(&self) {
        self.state().mended.extend_from_slice(b"220 made up\r\n");
    }

    /// The oldest reply read and not taken yet: `Some(None)` was no reply.
    pub(super) fn take_reply(&self) -> Option<Option<Reply>> {
        self.state().replies.pop_front()
    }

    /// Takes the stream away, and whatever was read behind the last reply.
    pub(super) fn take_stream(&self) -> Option<(S, BytesMut)> {
        let mut state = self.state();
        let unread = std::mem::take(&mut state.input);
        state.io.take().map(|io| (io, unread))
    }

    /// Waits until upstream says a line, or is gone.
    pub(super) async fn speaks(&self) {
        std::future::poll_fn(|cx| self.state().poll_speaks(cx)).await;
    }

    /// Sends what waits below us while waiting until upstream says a line, or is gone.
    pub(super) async fn speaks_while_flushing(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if let Poll::Ready(Err(_)) = state.poll_flush(cx) {
                return Poll::Ready(());
            }
            state.poll_speaks(cx)
        })
        .await;
    }

    /// Writes some octets, unless upstream speaks first: then `None`.
    pub(super) async fn write_unless_spoken_to(&self, octets: &[u8]) -> io::Result<Option<usize>> {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if state.poll_speaks(cx).is_ready() {
                return Poll::Ready(Ok(None));
            }
            state.poll_write(cx, octets).map_ok(Some)
        })
        .await
    }

    // A panic under the lock has ended this connection's task already.
    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Transport> State<S> {
    fn poll_speaks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.ended || self.line_end().is_some() || self.input.len() > LONGEST_LINE {
                return Poll::Ready(());
            }
            if ready!(self.poll_fill(cx)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    /// Reads more; a stream that ended or failed is remembered as ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else {
            self.ended = true;
            return Poll::Ready(Ok(()));
        };
        // An EHLO reply fits; between replies nothing is held.
        self.input.reserve(FILL);
        let read = ready!(pin!(io.read_buf(&mut self.input)).poll(cx));
        self.ended |= !matches!(read, Ok(1..));
        Poll::Ready(read.map(|_| ()))
    }

    fn line_end(&mut self) -> Option<usize> {
        let from = self.searched.min(self.input.len());
        let found = self.input.get(from..).and_then(|unsearched| memchr(b'\n', unsearched));
        if found.is_none() {
            self.searched = self.input.len();
        }
        found.map(|at| from + at)
    }

    /// Moves one whole line from the input to the record and to lettre.
    fn next_line(&mut self) -> io::Result<bool> {
        let Some(end) = self.line_end() else {
            return if self.input.len() > LONGEST_LINE {
                Err(io::ErrorKind::InvalidData.into())
            } else {
                Ok(false)
            };
        };
        self.searched = 0;
        let line = self.input.split_to(end + 1);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.record(line);
        if is_continued(line) && reply_code(line).is_some() {
            self.line_count += 1;
            if self.line_count > LONGEST_REPLY {
                return Err(io::ErrorKind::InvalidData.into());
            }
        } else {
            self.line_count = 0;
            self.mend(line);
        }
        Ok(true)
    }

    fn record(&mut self, line: &[u8]) {
        if reply_code(line).is_none() {
            self.lines.clear();
            return self.replies.push_back(None);
        }
        if self.lines.len() < LINES || !is_continued(line) {
            self.lines.push(line.get(..KEPT).unwrap_or(line).to_vec());
        }
        if !is_continued(line) {
            let reply = Reply::from_upstream(&std::mem::take(&mut self.lines));
            self.replies.push_back(reply);
        }
    }

    /// Code and ASCII text, which is all that lettre needs; what is no reply it shall refuse.
    fn mend(&mut self, line: &[u8]) {
        let Some(_) = reply_code(line) else {
            return self.mended.extend_from_slice(b"no reply\r\n");
        };
        for (at, digit) in line.iter().take(3).enumerate() {
            self.mended.extend_from_slice(&[if at == 1 && *digit > b'5' { b'5' } else { *digit }]);
        }
        self.mended.extend_from_slice(b" ");
        let text = line.get(4..).unwrap_or_default().trim_ascii();
        let shown = if text.is_empty() { b"-" } else { text.get(..SHOWN).unwrap_or(text) };
        self.mended.extend(shown.iter().map(|octet| match octet {
            b' '..=b'~' => *octet,
            _ => b'?',
        }));
        self.mended.extend_from_slice(b"\r\n");
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_write(cx, octets),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_flush(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: Transport> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        while state.mended.is_empty() {
            if state.next_line()? {
                continue;
            }
            if state.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(state.poll_fill(cx))?;
        }
        let length = state.mended.len().min(buf.remaining());
        buf.put_slice(state.mended.get(..length).unwrap_or_default());
        state.mended.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: Transport> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state().io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Transport> AsyncTokioStream for Wire<S> {
    /// lettre never asks; there may be none below us.
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv4Addr::UNSPECIFIED, 0).into())
    }
}
