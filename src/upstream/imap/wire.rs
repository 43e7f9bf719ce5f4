//! The stream under async-imap.
//!
//! ```text
//!  async-imap ◀── "A0001 NO done"  one harmless response at a time ── Wire ◀── Buffered ◀── upstream
//!      └───────── its four writes a command, gathered into one ──────▶ │
//!                                          Heard ◀── every response ───┘
//! ```
//!
//! async-imap ends a session at the first line it cannot parse, panics at some, holds whole messages in memory and
//! hides refusals. So it is shown what it needs to conduct a command, in words it cannot choke on: greeting,
//! continuation requests and completions. What they and all other responses said is in [`Heard`].
//!
//! Since it is never given more than one response, nothing is ever lost in its own buffer: the stream can be borrowed
//! for commands of our own between two of its commands, and taken back for good.
//!
//! Waiting is bounded by progress: an upstream that is silent for `patience` while something is read or written
//! is [`io::ErrorKind::TimedOut`], on whichever path the waiting happens. So is what is read without waiting: an upstream
//! that speaks faster than it is read leaves others their turn.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::heard::Heard;
use super::meter::Meter;
use crate::net::Buffered;
use crate::proto::imap::response::{self, Response, Status};
use crate::proto::imap::scan::{Event, Scanner};
use crate::upstream::sasl;

/// No exchange of ours has more than two steps; async-imap would answer continuation requests for ever.
const INVITATIONS: u32 = 8;

/// Reads in a row without having to wait, at most a megabyte: then whoever else has a part in this task is looked at, and
/// the other tasks have their turn.
const IN_A_ROW: u32 = 16;

/// How long a session that was left alone has for the first octet of its next answer: an app that waits gives up after
/// some half a minute, and a fresh session has to be made in that.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Whoever has said BYE closes the connection (RFC 3501 §7.1.5); some forget to.
const AFTER_BYE: Duration = Duration::from_secs(3);

/// See the module.
pub struct Wire<S> {
    /// `None` once it was taken back.
    stream: Option<Buffered<S>>,
    scanner: Scanner,
    /// What async-imap reads next.
    shown: BytesMut,
    heard: Heard,
    patience: Duration,
    /// The same for a command that upstream works through in silence.
    work: Duration,
    laborious: bool,
    /// How long it may be silent until its next octet, where it was left alone for long.
    sign_of_life: Option<Duration>,
    alarm: Pin<Box<Sleep>>,
    /// Something was queued that may not be sent to its end.
    unsent: bool,
    /// The alarm runs since the last progress.
    waiting: bool,
    /// Continuation requests shown during the current command.
    invitations: u32,
    /// Commands of our own so far.
    commands: u32,
    received: u64,
    /// Reads since one had to wait.
    in_a_row: u32,
    /// Others had their turn since the last one.
    has_more: bool,
    meter: Meter,
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // async-imap wants it; what goes over the wire is nobody's business.
        f.debug_struct("Wire").field("received", &self.received).finish_non_exhaustive()
    }
}

impl<S> Wire<S> {
    /// A wire over a stream of which nothing was read, or whose unread octets are responses.
    pub fn new(stream: Buffered<S>, patience: Duration) -> Self {
        Self {
            stream: Some(stream),
            scanner: Scanner::default(),
            shown: BytesMut::new(),
            heard: Heard::default(),
            patience,
            work: patience,
            laborious: false,
            sign_of_life: None,
            alarm: Box::pin(tokio::time::sleep(patience)),
            unsent: false,
            waiting: false,
            invitations: 0,
            commands: 0,
            received: 0,
            in_a_row: 0,
            has_more: false,
            meter: Meter::default(),
        }
    }

    /// What upstream said.
    pub fn heard(&mut self) -> &mut Heard {
        &mut self.heard
    }

    /// Has what is received from now on counted there too.
    pub fn count_on(&mut self, meter: Meter) {
        self.meter = meter;
    }

    /// Octets received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether reading stopped for others' sake: there may be octets that nobody has read yet.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// How long upstream may be silent.
    pub fn patience(&self) -> Duration {
        let patience = if self.laborious { self.work } else { self.patience };
        if self.heard.bye.is_some() { patience.min(AFTER_BYE) } else { patience }
    }

    /// How long it may be silent over [`Wire::laborious`] commands.
    pub fn allow_for_work(&mut self, work: Duration) {
        self.work = work;
    }

    /// The command that begins is one that upstream may work through in silence before it answers.
    pub fn laborious(&mut self) {
        self.laborious = true;
    }

    /// Upstream was left alone for long and may be gone without a word: it has five seconds for its next octet, and is lost
    /// without one.
    pub fn expect_sign_of_life(&mut self) {
        self.sign_of_life = Some(SIGN_OF_LIFE);
    }

    /// Forgets the last command's answer and starts waiting afresh.
    pub fn begin(&mut self) {
        self.heard.begin();
        self.invitations = 0;
        self.waiting = false;
        self.laborious = false;
    }

    /// The text of the response that is not complete yet.
    pub fn so_far(&self) -> &[u8] {
        self.scanner.so_far()
    }

    /// The octets of the current body that are still to come.
    pub fn body_left(&self) -> u64 {
        self.scanner.body_left()
    }

    /// Whether the first octets can begin a greeting (RFC 3501 §7.1): `None` while there are none.
    fn greets(&mut self) -> Option<bool> {
        let first = self.stream.as_mut()?.input().first()?;
        Some(*first == b'*')
    }

    /// The stream for good, nothing lost; the wire is dead afterwards.
    ///
    /// `None` in the middle of a response, where nobody could read on.
    pub fn take(&mut self) -> Option<Buffered<S>> {
        if !self.scanner.between_responses() || !self.shown.is_empty() {
            return None;
        }
        self.stream.take()
    }

    fn next_tag(&mut self) -> String {
        self.commands = self.commands.wrapping_add(1);
        format!("B{}", self.commands)
    }

    /// Hears one response, and shows async-imap what concerns it.
    fn hear(&mut self, text: &[u8]) -> io::Result<()> {
        self.heard.hear(text)?;
        match response::parse(text) {
            Some(Response::Tagged { tag, status, .. }) => {
                let status: &[u8] = match status {
                    Status::Ok => b" OK done\r\n",
                    Status::No => b" NO refused\r\n",
                    _ => b" BAD refused\r\n",
                };
                self.shown.extend_from_slice(tag);
                self.shown.extend_from_slice(status);
            }
            Some(Response::Continue(challenge)) => {
                self.invitations += 1;
                if self.invitations > INVITATIONS {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                // Base64 that means something, or nothing: words behind the plus are none.
                self.shown.extend_from_slice(sasl::encoded("+ ", &sasl::decoded(challenge)).as_bytes());
                self.shown.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Whether upstream's first octets look like an IMAP greeting, as soon as there are any.
    pub async fn speaks_imap(&mut self) -> io::Result<bool> {
        loop {
            if let Some(greets) = self.greets() {
                return Ok(greets);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next response, heard; for waits that are not async-imap's.
    pub async fn response(&mut self) -> io::Result<BytesMut> {
        loop {
            if let Event::Response(text) = self.event().await? {
                self.heard.hear(&text)?;
                return Ok(text);
            }
        }
    }

    /// The same between two commands, however long upstream says nothing. Cancel-safe.
    pub async fn unasked(&mut self) -> io::Result<BytesMut> {
        loop {
            match self.event_at_hand()? {
                Some(Event::Response(text)) => return self.heard.hear(&text).map(|()| text),
                Some(_) => {}
                None => {
                    if std::future::poll_fn(|cx| self.poll_read_on(cx)).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// Hears what is here already, between two commands.
    pub fn hear_at_hand(&mut self) -> io::Result<()> {
        while let Some(event) = self.event_at_hand()? {
            if let Event::Response(text) = event {
                self.heard.hear(&text)?;
            }
        }
        Ok(())
    }

    /// The next event, not heard.
    pub async fn event(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.event_at_hand()? {
                return Ok(event);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next event that can be had without waiting.
    pub fn event_at_hand(&mut self) -> io::Result<Option<Event>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.scanner.next(stream.input()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
    }

    /// Waits for more octets, at most `patience`; 0 is the end of the stream.
    pub async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// [`Wire::fill`], for those that must not wait.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = self.poll_read_on(cx) {
            self.waiting = false;
            self.sign_of_life = None;
            return Poll::Ready(result);
        }
        self.poll_alarm(cx).map(Err)
    }

    /// More octets, whenever they come, counted.
    fn poll_read_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.in_a_row >= IN_A_ROW {
            (self.in_a_row, self.has_more) = (0, true);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        // Made anew each time: a fill that waits has not begun anything.
        let Poll::Ready(result) = pin!(stream.fill()).poll(cx) else {
            (self.in_a_row, self.has_more) = (0, false);
            return Poll::Pending;
        };
        self.in_a_row += 1;
        let octets = result.as_ref().map_or(0, |octets| *octets as u64);
        self.received += octets;
        self.meter.count(octets);
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Queues a command of our own, CRLF excluded, and returns its tag.
    pub fn queue(&mut self, command: &str) -> String {
        let tag = self.next_tag();
        if let Some(stream) = &mut self.stream {
            stream.queue(format!("{tag} {command}\r\n").as_bytes());
            self.unsent = true;
        }
        tag
    }

    /// Queues octets that end no command.
    pub fn queue_octets(&mut self, octets: &[u8]) {
        if let Some(stream) = &mut self.stream {
            stream.queue(octets);
            self.unsent = true;
        }
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_send(cx)).await
    }

    /// [`Wire::fill`], while what is queued is sent: an upstream that takes no command before its answers are read is
    /// read.
    pub async fn fill_and_flush(&mut self) -> io::Result<usize>
    where
        S: AsyncRead,
    {
        std::future::poll_fn(|cx| {
            // Sending what is not there would be progress each time.
            match self.unsent.then(|| self.poll_send(cx)) {
                Some(Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                _ => self.poll_fill(cx),
            }
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let queued = stream.queued();
        let sent = pin!(stream.flush()).poll(cx);
        self.waiting &= sent.is_pending() && queued == stream.queued();
        if sent.is_ready() {
            self.unsent = false;
            return sent;
        }
        self.poll_alarm(cx).map(Err)
    }
}

impl<S> Wire<S> {
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.waiting {
            self.waiting = true;
            let patience = self.patience().min(self.sign_of_life.unwrap_or(Duration::MAX));
            self.alarm.as_mut().reset(Instant::now() + patience);
        }
        ready!(self.alarm.as_mut().poll(cx));
        Poll::Ready(match self.sign_of_life {
            Some(_) => io::ErrorKind::UnexpectedEof.into(),
            None => io::ErrorKind::TimedOut.into(),
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.shown.is_empty() {
                let part = this.shown.len().min(buf.remaining());
                buf.put_slice(this.shown.get(..part).unwrap_or_default());
                this.shown.advance(part);
                return Poll::Ready(Ok(()));
            }
            match this.event_at_hand()? {
                Some(Event::Response(text)) => this.hear(&text)?,
                // A body nobody asked for goes by.
                Some(_) => {}
                None => {
                    if ready!(this.poll_fill(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// Queued only: async-imap flushes at the end of each command, which then leaves in one write.
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.stream.is_none() {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        this.queue_octets(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut().stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        pin!(stream.shutdown()).poll(cx)
    }
}
