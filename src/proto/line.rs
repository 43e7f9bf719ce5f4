//! Lines out of a buffer, with a limit.

use bytes::BytesMut;
use memchr::memchr;

/// Takes command lines from the front of a buffer.
///
/// A line ends with LF; a CR before it is taken off too, since old apps end commands with LF alone. A line over
/// the limit is eaten to its end and reported once, so that the next line is a command again.
#[derive(Debug)]
pub struct LineFramer {
    limit: usize,
    /// Octets already searched without finding LF, so that slow arrival costs no second look.
    searched: usize,
    discarding: bool,
}

/// One framed line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its line end.
    Whole(BytesMut),
    /// A line over the limit went by.
    TooLong,
}

impl LineFramer {
    /// `limit` counts the line end.
    pub fn new(limit: usize) -> Self {
        Self { limit, searched: 0, discarding: false }
    }

    /// Another limit from the next line on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next line, or `None` when its end has not come yet.
    pub fn take(&mut self, input: &mut BytesMut) -> Option<Line> {
        let from = self.searched.min(input.len());
        let Some(end) = input.get(from..).and_then(|unsearched| memchr(b'\n', unsearched)) else {
            self.wait(input);
            return None;
        };
        self.searched = 0;
        let mut line = input.split_to(from + end + 1);
        if std::mem::take(&mut self.discarding) || line.len() > self.limit {
            return Some(Line::TooLong);
        }
        line.truncate(line.len() - 1);
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        Some(Line::Whole(line))
    }

    fn wait(&mut self, input: &mut BytesMut) {
        if input.len() >= self.limit {
            self.discarding = true;
        }
        if self.discarding {
            input.clear();
        }
        self.searched = input.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Line> {
        let (mut framer, mut input, mut found) = (LineFramer::new(limit), BytesMut::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(line) = framer.take(&mut input) {
                found.push(line);
            }
        }
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().into())
    }

    #[test]
    fn crlf_and_lf_end_a_line_and_a_bare_cr_does_not() {
        assert_eq!(lines(100, &[b"a\r\nb\nc\rd\r\n"]), [whole("a"), whole("b"), whole("c\rd")]);
    }

    #[test]
    fn any_split_gives_the_same_lines() {
        let text: Vec<&[u8]> = b"USER a\r\n\r\nPASS b\n".chunks(1).collect();
        assert_eq!(lines(100, &text), [whole("USER a"), whole(""), whole("PASS b")]);
    }

    #[test]
    fn an_over_long_line_is_eaten_and_told_once() {
        assert_eq!(
            lines(4, &[b"ab\r\nabcdefgh", b"ijk", b"\r\ncd\r\n"]),
            [whole("ab"), Line::TooLong, whole("cd")]
        );
        assert_eq!(lines(4, &[b"abc\r\n"]), [Line::TooLong]);
    }
}
