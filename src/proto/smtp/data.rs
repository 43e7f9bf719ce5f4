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
use memchr::{memchr2, memmem};

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
        let seen = look(input);
        if seen.bare || input.first() == Some(&b'\n') {
            return Scan::Dirty;
        }
        let mut dots = 0;
        match (self.line, dot(input)) {
            (LineStart::Mended, Some(_)) => return Scan::Dirty,
            (LineStart::App, Some(Dot::End)) => return Scan::End(0),
            (LineStart::App, Some(Dot::Unknown)) => return Scan::Clean(0),
            (LineStart::App, Some(Dot::Stuffed)) => dots += 1,
            (_, _) => {}
        }
        // A CR may be half of a CRLF.
        let mut found = Scan::Clean(input.len() - usize::from(input.ends_with(b"\r")));
        if seen.dotted {
            for lf in memmem::find_iter(input, b"\n.") {
                match input.get(lf + 1..).and_then(dot) {
                    Some(Dot::End) => found = Scan::End(lf + 1),
                    Some(Dot::Unknown) => found = Scan::Clean(lf + 1),
                    _ => {
                        dots += 1;
                        continue;
                    }
                }
                break;
            }
        }
        if let Scan::Clean(length @ 1..) | Scan::End(length @ 1..) = found {
            let ends_line = input.get(length - 1) == Some(&b'\n');
            self.line = if ends_line { LineStart::App } else { LineStart::No };
            self.octets += (length - dots) as u64;
        }
        found
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

/// What there is in a piece of a message.
struct Seen {
    /// A CR without LF or an LF without CR; the last octet may still get its other half.
    bare: bool,
    /// A line that begins with a dot.
    dotted: bool,
}

/// One pass over neighbours without a branch, which the compiler turns into vector instructions: a look for each
/// line end would cost several times as much, and every octet of every message comes by here.
fn look(input: &[u8]) -> Seen {
    let (mut bare, mut dotted) = (false, false);
    let next = input.get(1..).unwrap_or_default();
    for (this, next) in input.iter().zip(next) {
        bare |= (*this == b'\r') != (*next == b'\n');
        dotted |= (*this == b'\n') & (*next == b'.');
    }
    Seen { bare, dotted }
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
