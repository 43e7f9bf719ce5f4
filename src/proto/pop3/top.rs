//! TOP's part of a message (RFC 1939 §7): the headers, the empty line, so many lines of the body.

use memchr::memchr_iter;

/// Cuts a message that comes in chunks; any split gives the same octets.
#[derive(Debug)]
pub struct TopCutter {
    part: Part,
    /// Whether the present line has nothing but CRs so far: more than one comes from mended line ends.
    empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Headers {
        lines: u32,
    },
    /// So many lines are still wanted.
    Body(u32),
}

impl TopCutter {
    /// At a message's first octet, for so many lines of its body.
    pub fn new(lines: u32) -> Self {
        Self { part: Part::Headers { lines }, empty: true }
    }

    /// As much of the message's next octets as belongs to the answer.
    pub fn take<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let mut from = 0;
        for lf in memchr_iter(b'\n', chunk) {
            if self.is_complete() {
                break;
            }
            self.line_end(chunk.get(from..lf).unwrap_or_default());
            from = lf + 1;
        }
        if self.is_complete() {
            return chunk.get(..from).unwrap_or_default();
        }
        self.empty &= nothing(chunk.get(from..).unwrap_or_default());
        chunk
    }

    /// Whether all that was asked for has gone by.
    pub fn is_complete(&self) -> bool {
        self.part == Part::Body(0)
    }

    fn line_end(&mut self, rest_of_line: &[u8]) {
        let empty = std::mem::replace(&mut self.empty, true) && nothing(rest_of_line);
        self.part = match self.part {
            Part::Headers { lines } if empty => Part::Body(lines),
            Part::Headers { lines } => Part::Headers { lines },
            Part::Body(lines) => Part::Body(lines.saturating_sub(1)),
        };
    }
}

fn nothing(line: &[u8]) -> bool {
    line.iter().all(|octet| *octet == b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn top(lines: u32, chunks: &[&[u8]]) -> String {
        let mut cutter = TopCutter::new(lines);
        let taken: Vec<u8> = chunks.iter().flat_map(|chunk| cutter.take(chunk).to_vec()).collect();
        String::from_utf8_lossy(&taken).into_owned()
    }

    #[test]
    fn rfc1939_7_headers_the_empty_line_and_so_many_lines() {
        let message = b"A: b\r\n c\r\n\r\none\r\n\r\nthree\r\nfour";
        for (lines, end) in [(0, 12), (1, 17), (2, 19), (3, 26), (4, 30), (99, 30)] {
            assert_eq!(top(lines, &[message]).len(), end, "{lines}");
        }
    }

    #[test]
    fn no_body_and_no_empty_line() {
        assert_eq!(top(5, &[b"A: b\r\n\r\n"]), "A: b\r\n\r\n");
        assert_eq!(top(0, &[b"A: b\r\n"]), "A: b\r\n");
        assert_eq!(top(0, &[b"\r\nbody\r\n"]), "\r\n");
        assert_eq!(top(1, &[b"A: b\n\none\ntwo\n"]), "A: b\n\none\n");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "[a\r\n]{0,30}", lines in 0u32..4, cut in 0usize..30) {
            let text = text.as_bytes();
            let (first, second) = text.split_at(cut.min(text.len()));
            let octets: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(top(lines, &[first, second]), top(lines, &[text]));
            prop_assert_eq!(top(lines, &octets), top(lines, &[text]));
        }
    }
}
