//! The octets between 354 and the end of a message (RFC 5321 §4.1.1.4, §4.5.2).
//!
//! Both sides stuff dots and end lines with CRLF, so what is already right passes from the read buffer to
//! upstream untouched and uncopied. What is not is mended, in this order: unstuffed by the app's `CRLF`s, every
//! bare CR and bare LF made CRLF, stuffed again. So no line end of our making can make an end of message that
//! the app did not send, and only its own `CRLF.CRLF` is one.
//!
//! ```text
//!  app's octets ──scan──▶ clean ─────────▶ the same octets
//!                  └────▶ a bare CR or LF ──mend──▶ a copy
//! ```

use bytes::{Buf, BytesMut};
use memchr::{memchr_iter, memchr2};

/// Finds the end of a message and the line ends that are none.
#[derive(Debug)]
pub struct Decoder {
    line: LineStart,
    /// Octets of the message so far, without stuffing.
    octets: u64,
    mended: u64,
}

/// Where the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineStart {
    /// Within a line.
    No,
    /// Behind the app's CRLF, or at the start of the message: a dot here is stuffing or the end.
    App,
    /// Behind a CRLF that is ours: a dot here is the message's own.
    Mended,
}

/// What came of one look at the input.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Stuffed, with CRLF only: ready for upstream. The end's own dot is not among them.
    pub octets: BytesMut,
    /// Whether the app's `CRLF.CRLF` came; what is left of the input is the next command.
    pub ended: bool,
}

enum Scan {
    /// So many octets can pass; the rest, two at most, waits for more.
    Clean(usize),
    /// So many octets can pass, then the end of the message.
    End(usize),
    /// There is a bare CR or LF, or a dot that must be stuffed again.
    Dirty,
}

/// What a line that begins with a dot is.
enum Dot {
    End,
    Stuffed,
    Unknown,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { line: LineStart::App, octets: 0, mended: 0 }
    }
}

impl Decoder {
    /// Octets of the message so far, as it will be stored: without stuffing, line ends mended.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// How many bare CRs and LFs were made CRLF.
    pub fn mended(&self) -> u64 {
        self.mended
    }

    /// Takes what can be judged from the front of the input; at most two octets stay there until more comes.
    pub fn decode(&mut self, input: &mut BytesMut) -> Decoded {
        match self.scan(input) {
            Scan::Clean(length) => Decoded { octets: input.split_to(length), ended: false },
            Scan::End(length) => {
                let octets = input.split_to(length);
                input.advance(3); // The dot and its CRLF.
                Decoded { octets, ended: true }
            }
            Scan::Dirty => self.mend(input),
        }
    }

    fn scan(&mut self, input: &[u8]) -> Scan {
        let (mut line, mut dots, mut crlfs) = (0, 0, 0);
        let mut end = None;
        match (self.line, dot(input)) {
            (LineStart::Mended, Some(_)) => return Scan::Dirty,
            (LineStart::App, Some(Dot::End)) => return Scan::End(0),
            (LineStart::App, Some(Dot::Unknown)) => return Scan::Clean(0),
            (LineStart::App, Some(Dot::Stuffed)) => dots += 1,
            (_, _) => {}
        }
        for lf in memchr_iter(b'\n', input) {
            if lf == 0 || input.get(lf - 1) != Some(&b'\r') {
                return Scan::Dirty;
            }
            crlfs += 1;
            line = lf + 1;
            match input.get(line..).and_then(dot) {
                None => {}
                Some(Dot::Stuffed) => dots += 1,
                Some(Dot::End) => {
                    end = Some(Scan::End(line));
                    break;
                }
                Some(Dot::Unknown) => {
                    end = Some(Scan::Clean(line));
                    break;
                }
            }
        }
        let length = match end {
            Some(Scan::End(length) | Scan::Clean(length)) => length,
            // A CR may be half of a CRLF.
            _ => input.len() - usize::from(input.ends_with(b"\r")),
        };
        // Counting is much cheaper than looking at each CR; every CRLF has one, any other is bare.
        if memchr_iter(b'\r', input.get(..length).unwrap_or_default()).count() != crlfs {
            return Scan::Dirty;
        }
        if length > 0 {
            self.line = if line == length { LineStart::App } else { LineStart::No };
        }
        self.octets += (length - dots) as u64;
        end.unwrap_or(Scan::Clean(length))
    }

    /// The slow way, line by line.
    fn mend(&mut self, input: &mut BytesMut) -> Decoded {
        let mut out = BytesMut::with_capacity(input.len() + input.len() / 32 + 64);
        let mut ended = false;
        let mut rest: &[u8] = input;
        while let Some(first) = rest.first() {
            if self.line == LineStart::App && *first == b'.' {
                match dot(rest) {
                    Some(Dot::End) => {
                        rest = rest.get(3..).unwrap_or_default();
                        ended = true;
                        break;
                    }
                    Some(Dot::Unknown) => break,
                    _ => {
                        rest = rest.get(1..).unwrap_or_default();
                        self.line = LineStart::Mended;
                        continue;
                    }
                }
            }
            match rest {
                [b'\r'] => break,
                [b'\r', b'\n', after @ ..] => {
                    out.extend_from_slice(b"\r\n");
                    (self.line, self.octets, rest) = (LineStart::App, self.octets + 2, after);
                }
                [b'\r' | b'\n', after @ ..] => {
                    out.extend_from_slice(b"\r\n");
                    (self.line, self.octets, rest) = (LineStart::Mended, self.octets + 2, after);
                    self.mended += 1;
                }
                _ => {
                    let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    let (run, after) = rest.split_at_checked(length).unwrap_or((rest, b""));
                    if self.line != LineStart::No && *first == b'.' {
                        out.extend_from_slice(b".");
                    }
                    out.extend_from_slice(run);
                    (self.line, self.octets, rest) = (LineStart::No, self.octets + run.len() as u64, after);
                }
            }
        }
        let taken = input.len() - rest.len();
        input.advance(taken);
        Decoded { octets: out, ended }
    }
}

/// What a line is that begins here, `None` if not with a dot.
fn dot(line: &[u8]) -> Option<Dot> {
    match line {
        [b'.', b'\r', b'\n', ..] => Some(Dot::End),
        [b'.'] | [b'.', b'\r'] => Some(Dot::Unknown),
        [b'.', ..] => Some(Dot::Stuffed),
        _ => None,
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
