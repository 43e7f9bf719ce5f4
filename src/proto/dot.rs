//! Dot-stuffing and line ends: a message's octets made fit for a multi-line reply (RFC 1939 §3, RFC 5321 §4.5.2).
//!
//! ```text
//!  line that begins with "."    another "." before it
//!  LF without CR                CRLF: an app that looks for CRLF alone must not miss a line's end,
//!                               and one that takes LF must not see a dot line that is none
//!  no CRLF at the end           CRLF
//!  all else, NUL, 8-bit, CR     untouched
//! ```
//!
//! Nothing is copied: out come slices of what went in, and single octets between them.

use memchr::memchr_iter;

/// The state between two chunks of one message; any split of the message gives the same octets.
#[derive(Clone, Debug)]
pub struct DotEncoder {
    at: At,
    /// LFs that had no CR.
    mended: u64,
}

/// What the last octet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// LF, or none: a dot here is doubled.
    LineStart,
    /// CR: an LF here is not bare.
    BehindCr,
    /// Anything else.
    MidLine,
}

impl DotEncoder {
    /// At a message's first octet.
    pub fn new() -> Self {
        Self { at: At::LineStart, mended: 0 }
    }

    /// What to send for the message's next octets.
    ///
    /// The iterator must be run to its end before the next chunk.
    pub fn encode<'a>(&'a mut self, chunk: &'a [u8]) -> Pieces<'a> {
        Pieces { encoder: self, rest: chunk, admitted: false }
    }

    /// What to send behind the last chunk: the line end if it is missing, and the dot.
    pub fn finish(&self) -> &'static [u8] {
        match self.at {
            At::LineStart => b".\r\n",
            At::BehindCr | At::MidLine => b"\r\n.\r\n",
        }
    }

    /// What an app counts of a message whose `octets` have all gone through here: see [`unstuffed_octets`].
    pub fn unstuffed(&self, octets: u64) -> u64 {
        let end = if self.at == At::LineStart { 0 } else { 2 };
        octets.saturating_add(self.mended).saturating_add(end)
    }
}

/// What an app counts of a message: line ends as two octets, the last one always there, no dots put in
/// (RFC 1939 §11).
pub fn unstuffed_octets(message: &[u8]) -> u64 {
    let mut counted = Unstuffed::default();
    counted.take(message);
    counted.octets()
}

/// The same for a message that comes in chunks; any split of it gives the same number.
#[derive(Clone, Debug, Default)]
pub struct Unstuffed {
    encoder: DotEncoder,
    taken: u64,
}

impl Unstuffed {
    /// The message's next octets.
    pub fn take(&mut self, chunk: &[u8]) {
        self.encoder.encode(chunk).for_each(drop);
        self.taken = self.taken.saturating_add(chunk.len() as u64);
    }

    /// What an app counts of all that was taken, if that is the whole message.
    pub fn octets(&self) -> u64 {
        self.encoder.unstuffed(self.taken)
    }
}

impl Default for DotEncoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The octets to send, in order; none of them is empty.
#[derive(Debug)]
pub struct Pieces<'a> {
    encoder: &'a mut DotEncoder,
    rest: &'a [u8],
    /// Whether what must go before the first octet of `rest` has gone.
    admitted: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let first = *self.rest.first()?;
        if !std::mem::replace(&mut self.admitted, true) {
            let inserted = self.encoder.before(first);
            if !inserted.is_empty() {
                return Some(inserted);
            }
        }
        let (piece, rest) = self.rest.split_at_checked(untouched(self.rest)).unwrap_or((self.rest, &[]));
        self.rest = rest;
        self.admitted = false;
        self.encoder.went(piece);
        Some(piece)
    }
}

/// How many octets from the front on go out as they are; the first one has been admitted.
fn untouched(octets: &[u8]) -> usize {
    let cut = memchr_iter(b'\n', octets).find_map(|lf| {
        let bare = lf.checked_sub(1).is_some_and(|before| octets.get(before) != Some(&b'\r'));
        match octets.get(lf + 1) {
            _ if bare => Some(lf),
            Some(b'.') => Some(lf + 1),
            _ => None,
        }
    });
    cut.unwrap_or(octets.len())
}

impl DotEncoder {
    fn before(&mut self, octet: u8) -> &'static [u8] {
        match (self.at, octet) {
            (At::LineStart, b'.') => b".",
            (At::LineStart | At::MidLine, b'\n') => {
                self.mended += 1;
                b"\r"
            }
            _ => b"",
        }
    }

    fn went(&mut self, piece: &[u8]) {
        self.at = match piece.last() {
            Some(b'\n') => At::LineStart,
            Some(b'\r') => At::BehindCr,
            Some(_) => At::MidLine,
            None => self.at,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut out) = (DotEncoder::new(), Vec::new());
        for chunk in chunks {
            for piece in encoder.encode(chunk) {
                assert!(!piece.is_empty());
                out.extend_from_slice(piece);
            }
        }
        out.extend_from_slice(encoder.finish());
        out
    }

    /// RFC 1939 §3 said the slow way, octet by octet.
    fn by_the_book(message: &[u8]) -> Vec<u8> {
        let (mut out, mut line_start, mut last) = (Vec::new(), true, 0);
        for octet in message {
            match octet {
                b'.' if line_start => out.extend_from_slice(b".."),
                b'\n' if last != b'\r' => out.extend_from_slice(b"\r\n"),
                _ => out.push(*octet),
            }
            line_start = *octet == b'\n';
            last = *octet;
        }
        out.extend_from_slice(if line_start { b".\r\n" } else { b"\r\n.\r\n" });
        out
    }

    #[test]
    fn rfc1939_3_each_rule_once() {
        for (message, sent) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r", "a\r\r\n.\r\n"),
            (".\r\n..\r\n", "..\r\n...\r\n.\r\n"),
            ("a\n.b\n\n", "a\r\n..b\r\n\r\n.\r\n"),
            ("a\r.b\r\n", "a\r.b\r\n.\r\n"),
            ("\n.", "\r\n..\r\n.\r\n"),
            ("a\0\u{e4}\r\n", "a\0\u{e4}\r\n.\r\n"),
        ] {
            assert_eq!(encoded(&[message.as_bytes()]), sent.as_bytes(), "{message:?}");
        }
    }

    #[test]
    fn a_clean_chunk_leaves_in_one_piece() {
        let text = b"Subject: x\r\n\r\nline\r\nline\r\nhalf a li";
        let mut encoder = DotEncoder::new();
        assert_eq!(encoder.encode(text).collect::<Vec<_>>(), [&text[..]]);
    }

    #[test]
    fn rfc1939_11_line_ends_count_two_and_the_last_one_is_there() {
        for (message, octets) in
            [("", 0), (".\r\n", 3), ("a\nb\n", 6), ("a\r\nb", 6), ("a\r", 4), ("\n\n", 4)]
        {
            assert_eq!(unstuffed_octets(message.as_bytes()), octets, "{message:?}");
        }
    }

    /// Octets that matter, so that short texts meet every rule.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop::sample::select(b"\r\n.a\0\xff".to_vec()), 0..40)
    }

    proptest! {
        #[test]
        fn any_split_gives_what_the_book_says(text in text(), mut cuts in prop::collection::vec(0usize..40, 0..6)) {
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(text.len()));
            cuts.sort_unstable();
            let (mut chunks, mut from) = (Vec::new(), 0);
            for cut in cuts {
                chunks.push(&text[from..cut]);
                from = cut;
            }
            chunks.push(&text[from..]);
            prop_assert_eq!(encoded(&chunks), by_the_book(&text));
        }

        #[test]
        fn the_end_is_there_once_and_only_at_the_end(text in text()) {
            let sent = encoded(&[&text]);
            let whole = [b"\r\n".as_slice(), &sent].concat();
            let ends = whole.windows(5).filter(|at| at == b"\r\n.\r\n").count();
            prop_assert_eq!(ends, 1);
            prop_assert!(whole.ends_with(b"\r\n.\r\n"));
        }
    }
}
