//! Headers and some lines of a message, without the rest of it (RFC 1939 §7, TOP).
//!
//! Windows of the message are fetched, each twice the last, until the lines are there. Where the server's partial
//! fetches are broken the headers are, or with lines of the body the whole message streams, and is looked at no further
//! than needed.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{Body, Mailbox};
use crate::mail::{Quirk, Uid};
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Part, Wanted};

/// The first window: headers and a screen of text of nearly every mail.
pub(super) const FIRST: u64 = 16 * 1024;

/// No window is larger, so that an app that wants few lines of long ones does not wait for many.
const LARGEST: u64 = 1 << 20;

/// The longest beginning that is held: headers of a megabyte have been seen, and nobody reads lines by the
/// hundred thousand. An app that asks for more lines than this holds is better served by [`Mailbox::body`].
const BEGINNING: usize = 8 << 20;

impl Mailbox {
    /// The message's headers, the empty line and at least `lines` lines of the body where there are as many:
    /// a prefix of what [`Mailbox::body`] gives. Partial fetches, unless those of the server are broken.
    ///
    /// # Errors
    /// [`UpstreamError::TooLarge`] where that takes more than 8 MiB; [`Mailbox::body`] has no such bound.
    pub async fn beginning(&mut self, uid: Uid, lines: u32) -> Result<Bytes, UpstreamError> {
        if let Some(kept) = self.kept(uid).await {
            return of_whole(kept, lines).await;
        }
        if !self.account.quirks.has(Quirk::NoPartialFetch) {
            return self.windows(uid, lines).await;
        }
        if lines == 0
            && let Some(header) = self.header(uid).await?
        {
            return Ok(header);
        }
        of_whole(self.body(uid).await?, lines).await
    }

    /// The headers and the empty line; `None` where that is not what came.
    async fn header(&mut self, uid: Uid) -> Result<Option<Bytes>, UpstreamError> {
        let header = self.part(uid, Part::Header, BEGINNING as u64).await?;
        Ok(cut_of_header(&header))
    }

    async fn windows(&mut self, uid: Uid, lines: u32) -> Result<Bytes, UpstreamError> {
        let (mut wanted, mut held, mut octets) = (Lines::new(lines), BytesMut::new(), FIRST);
        loop {
            let from = held.len() as u64;
            let window = self.part(uid, Part::Window { from, octets }, octets).await?;
            if window.is_empty() && from == 0 {
                // Empty, or not given: the whole one knows.
                return of_whole(self.body(uid).await?, lines).await;
            }
            let done = wanted.look(&window).is_some() || (window.len() as u64) < octets;
            held.extend_from_slice(&window);
            if done {
                return Ok(held.freeze());
            }
            if held.len() >= BEGINNING {
                return Err(UpstreamError::TooLarge);
            }
            octets = (octets * 2).min(LARGEST);
        }
    }

    /// A part of a message, at most `most` octets.
    async fn part(&mut self, uid: Uid, part: Part, most: u64) -> Result<Bytes, UpstreamError> {
        self.stop_ahead();
        let (uid_validity, stall) = (self.uid_validity, self.stall);
        let part = self.line.read(|session| {
            Box::pin(async move {
                let mut part = session.fetch(Wanted { uid, uid_validity, part }, stall).await?;
                if part.octets > most {
                    return Err(UpstreamError::TooLarge);
                }
                let mut held = BytesMut::new();
                while let Some(chunk) = part.chunk().await? {
                    held.extend_from_slice(&chunk);
                }
                Ok(held.freeze())
            })
        });
        part.await
    }
}

/// The beginning of a message that is here.
pub(super) fn cut(body: &Bytes, lines: u32) -> Bytes {
    let end = Lines::new(lines).look(body).unwrap_or(body.len());
    body.slice(..end)
}

/// The same of its beginning, if that is long enough.
pub(super) fn cut_of_beginning(beginning: &Bytes, lines: u32) -> Option<Bytes> {
    let whole = (beginning.len() as u64) < FIRST;
    let end = Lines::new(lines).look(beginning).or_else(|| whole.then_some(beginning.len()))?;
    Some(beginning.slice(..end))
}

/// The headers, if the empty line behind them is there: without it they may be all of the message, or not what was
/// asked for.
pub(super) fn cut_of_header(header: &Bytes) -> Option<Bytes> {
    let end = Lines::new(0).look(header)?;
    Some(header.slice(..end))
}

/// The beginning of a message that comes whole; what follows is dropped, which costs the session if upstream has much of
/// it to send.
async fn of_whole(mut body: Body, lines: u32) -> Result<Bytes, UpstreamError> {
    let (mut wanted, mut held) = (Lines::new(lines), BytesMut::new());
    while let Some(chunk) = body.chunk().await? {
        let end = wanted.look(&chunk);
        held.extend_from_slice(chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default());
        if end.is_some() {
            break;
        }
        if held.len() >= BEGINNING {
            return Err(UpstreamError::TooLarge);
        }
    }
    Ok(held.freeze())
}

/// Counts lines until the headers, the empty line and so many more have gone by.
#[derive(Debug)]
struct Lines {
    /// Line ends still wanted behind the headers; `None`: the headers are not over.
    left: Option<u32>,
    lines: u32,
    /// What is known of the line that is not over: nothing but a CR.
    blank: bool,
}

impl Lines {
    fn new(lines: u32) -> Self {
        Self { left: None, lines, blank: true }
    }

    /// Looks at the next octets; where in them the last line wanted ends.
    fn look(&mut self, octets: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let rest = octets.get(at..).unwrap_or_default();
            let end = memchr(b'\n', rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.blank &= line.iter().all(|octet| *octet == b'\r');
            at += end? + 1;
            let blank = std::mem::replace(&mut self.blank, true);
            self.left = match self.left {
                None => blank.then_some(self.lines),
                Some(left) => Some(left.saturating_sub(1)),
            };
            if self.left == Some(0) {
                return Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beginning(message: &[u8], lines: u32) -> &[u8] {
        let end = Lines::new(lines).look(message).unwrap_or(message.len());
        &message[..end]
    }

    #[test]
    fn headers_the_empty_line_and_so_many_lines() {
        // RFC 1939 §7.
        let message = b"a: b\r\nc: d\r\n\r\none\r\ntwo\r\nthree";
        assert_eq!(beginning(message, 0), b"a: b\r\nc: d\r\n\r\n");
        assert_eq!(beginning(message, 2), b"a: b\r\nc: d\r\n\r\none\r\ntwo\r\n");
        assert_eq!(beginning(message, 3), message);
        assert_eq!(beginning(message, u32::MAX), message);
        assert_eq!(beginning(b"a: b\n\none\ntwo\n", 1), b"a: b\n\none\n");
        assert_eq!(beginning(b"a: b\r\nno empty line\r\n", 0), b"a: b\r\nno empty line\r\n");
        assert_eq!(beginning(b"", 0), b"");
    }

    proptest! {
        #[test]
        fn any_split_finds_the_same_end(
            message in "[a\r\n]{0,60}",
            at in 0usize..60,
            lines in 0u32..5,
        ) {
            let message = message.as_bytes();
            let (first, second) = message.split_at(at.min(message.len()));
            let mut split = Lines::new(lines);
            let end = split.look(first).or_else(|| split.look(second).map(|end| first.len() + end));
            prop_assert_eq!(end, Lines::new(lines).look(message));
        }
    }
}
