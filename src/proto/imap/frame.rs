//! Where lines and literals begin and end in a stream of IMAP octets, in either direction.
//!
//! Holds no octets of anybody's: it looks at what lies in front of it and says how much of that is what. A
//! literal of any size and a line of any length go by in pieces.
//!
//! ```text
//!  Start ──octets──▶ Line ──CRLF──▶ Start
//!                     ▲ └─{n}CRLF─▶ Literal(n) ──n octets──▶ Behind ─┐
//!                     └──────────────────────────────────────────────┘
//! ```
//!
//! RFC 3501 §2.2, §4.3. What the lines mean is for `splice` and `prelogin` to know.

use memchr::{memchr, memrchr};

use super::literal::{self, Announced};

/// `{`, nineteen digits, `+}` and CR: an announcement is never longer but for zeros in front of its number, so no more
/// of a line's end need be remembered.
const TAIL: usize = 23;

/// The framing of one direction.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    state: State,
    /// The part of this line that has gone by, from its last `{` on, without zeros in front of a number; empty where
    /// nothing can be announced any more.
    tail: Vec<u8>,
    /// This line is human-readable text, whose end announces nothing.
    text: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Line,
    Literal(u64),
    /// The next octet is the first behind a literal.
    Behind,
}

/// What lies at the front of the input; the caller takes exactly so many octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A part of a line, not its end.
    Part(usize),
    /// The rest of a line, line end included. With a literal, the octets behind it belong to the same command
    /// or response; without one, this was its last line.
    End {
        /// Octets, line end included.
        octets: usize,
        /// What the line's end announces. For `{n+}` the `+`, `}` and line end are among these octets.
        literal: Option<Announced>,
    },
    /// Octets of a literal.
    Literal(usize),
}

impl Piece {
    /// How many octets of the input it is.
    pub fn octets(&self) -> usize {
        match *self {
            Self::Part(octets) | Self::Literal(octets) | Self::End { octets, .. } => octets,
        }
    }
}

impl Frame {
    /// Whether the next octet is the first of a command or response.
    pub fn at_start(&self) -> bool {
        self.state == State::Start
    }

    /// Whether the next octet is one of a literal's.
    pub fn within_literal(&self) -> bool {
        matches!(self.state, State::Literal(_))
    }

    /// Whether the next octet is the first behind a literal.
    pub fn behind_literal(&self) -> bool {
        self.state == State::Behind
    }

    /// The line whose first octets lie in front is human-readable text (OK, NO, BAD, BYE, PREAUTH, `+`): it may end in
    /// `{5}` and announce nothing (RFC 3501 §7.1).
    pub fn line_is_text(&mut self) {
        self.text = true;
    }

    /// The command ended without the literal it announced: its receiver refused it (RFC 3501 §7.5).
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// The piece at the front of `input`, or `None` when more octets are needed to say.
    ///
    /// At most three octets are left lying, `+}` and CR, until it is known whether they announce a literal: so
    /// whoever makes a synchronising literal of a non-synchronising one finds them together.
    pub fn next(&mut self, input: &[u8]) -> Option<Piece> {
        if input.is_empty() {
            return None;
        }
        match self.state {
            State::Literal(left) => Some(self.literal(left, input.len())),
            State::Start | State::Line | State::Behind => match memchr(b'\n', input) {
                Some(end) => self.end(input.get(..=end)?),
                None => self.part(input),
            },
        }
    }

    fn literal(&mut self, left: u64, available: usize) -> Piece {
        let octets = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        let left = left.saturating_sub(octets as u64);
        self.state = if left == 0 { State::Behind } else { State::Literal(left) };
        Piece::Literal(octets)
    }

    fn part(&mut self, input: &[u8]) -> Option<Piece> {
        let kept = ["+}\r", "+}", "+"].iter().find(|end| input.ends_with(end.as_bytes()));
        let (part, _) = input.split_at_checked(input.len() - kept.map_or(0, |end| end.len()))?;
        if part.is_empty() {
            return None;
        }
        self.state = State::Line;
        self.remember(part);
        Some(Piece::Part(part.len()))
    }

    fn end(&mut self, line: &[u8]) -> Option<Piece> {
        self.remember(line.strip_suffix(b"\n").unwrap_or(line));
        let tail = self.tail.strip_suffix(b"\r").unwrap_or(&self.tail);
        let literal = if self.text { None } else { literal::announced(tail) };
        self.tail.clear();
        self.text = false;
        self.state = match literal {
            Some(Announced { octets: 0, .. }) => State::Behind,
            Some(Announced { octets, .. }) => State::Literal(octets),
            None => State::Start,
        };
        Some(Piece::End { octets: line.len(), literal })
    }

    fn remember(&mut self, part: &[u8]) {
        let begun = memrchr(b'{', part);
        let rest = match begun.and_then(|at| part.get(at + 1..)) {
            Some(behind) => {
                self.tail.clear();
                self.tail.push(b'{');
                behind
            }
            None => part,
        };
        for octet in rest {
            if self.tail.is_empty() {
                return;
            }
            if self.tail == b"{0" && octet.is_ascii_digit() {
                self.tail.pop();
            }
            self.tail.push(*octet);
            if self.tail.len() > TAIL {
                self.tail.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ends (with what they announce) and literal octets of `stream` fed in chunks of these sizes; and how many
    /// octets went by.
    fn framed(stream: &[u8], chunks: &[usize]) -> (Vec<String>, usize) {
        let (mut frame, mut seen, mut input, mut at) = (Frame::default(), Vec::new(), Vec::new(), 0);
        let (mut literal, mut gone) = (0, 0);
        let mut chunks = chunks.iter().copied().cycle();
        while at < stream.len() {
            let end = (at + chunks.next().unwrap_or(1).max(1)).min(stream.len());
            input.extend_from_slice(&stream[at..end]);
            at = end;
            while let Some(piece) = frame.next(&input) {
                match piece {
                    Piece::Literal(octets) => literal += octets,
                    Piece::End { literal: announced, .. } => {
                        let announced = announced.map(|a| (a.octets, a.non_synchronising));
                        seen.push(format!("{} {announced:?}", std::mem::take(&mut literal)));
                    }
                    Piece::Part(_) => {}
                }
                gone += piece.octets();
                input.drain(..piece.octets());
            }
        }
        (seen, gone + input.len())
    }

    #[test]
    fn lines_and_literals_of_every_kind() {
        let stream = b"a APPEND x {3}\r\n{9} (\\Seen) ~{2+}\r\n\r\n {0}\r\n\r\nb NOOP\r\nc X {2}\n\r\n\n";
        let expected = [
            "0 Some((3, false))",
            "3 Some((2, true))",
            "2 Some((0, false))",
            "0 None",
            "0 None",
            "0 Some((2, false))",
            "2 None",
        ];
        for chunk in 1..stream.len() {
            assert_eq!(framed(stream, &[chunk]).0, expected, "{chunk} at a time");
        }
    }

    #[test]
    fn zeros_before_a_number_are_part_of_it() {
        // RFC 3501 §9: number = 1*DIGIT. Whoever counts otherwise than the peer takes a literal for a command.
        let stream = format!("a X {{{}3+}}\r\nabc {{{}}}\r\n\r\n", "0".repeat(40), "0".repeat(25));
        for chunk in 1..stream.len() {
            let seen = framed(stream.as_bytes(), &[chunk]).0;
            assert_eq!(seen, ["0 Some((3, true))", "3 Some((0, false))", "0 None"], "{chunk} at a time");
        }
    }

    #[test]
    fn text_announces_nothing() {
        let mut frame = Frame::default();
        frame.line_is_text();
        assert_eq!(frame.next(b"* OK {5}\r\n"), Some(Piece::End { octets: 10, literal: None }));
        assert!(frame.at_start());
        assert!(matches!(frame.next(b"* X {5}\r\n"), Some(Piece::End { literal: Some(_), .. })));
    }

    #[test]
    fn the_plus_is_left_lying_until_the_line_end_shows_what_it_is() {
        let mut frame = Frame::default();
        assert_eq!(frame.next(b"a LOGIN {5+"), Some(Piece::Part(10)));
        assert_eq!(frame.next(b"+}\r"), None);
        assert!(
            matches!(frame.next(b"+}\r\n"), Some(Piece::End { octets: 4, literal: Some(l) }) if l.non_synchronising)
        );
    }

    #[test]
    fn a_line_of_a_megabyte_is_not_remembered() {
        let mut frame = Frame::default();
        assert_eq!(frame.next(&vec![b'x'; 1 << 20]), Some(Piece::Part(1 << 20)));
        assert!(frame.tail.capacity() < 64);
        assert!(matches!(frame.next(b" {7}\r\n"), Some(Piece::End { literal: Some(_), .. })));
    }

    proptest! {
        #[test]
        fn any_octets_at_any_split_give_the_same_pieces(
            parts in prop::collection::vec(
                prop_oneof![
                    "[a-z{}+~0-9 \\r]{0,12}", Just("\r\n".to_owned()), Just("{3}\r\n".to_owned()),
                    Just("{12+}\r\n".to_owned()), Just("~{1}\r\n".to_owned()),
                ],
                0..20,
            ),
            chunks in prop::collection::vec(1usize..9, 1..8),
        ) {
            let stream = parts.concat().into_bytes();
            let (whole, all) = framed(&stream, &[stream.len().max(1)]);
            let (split, same) = framed(&stream, &chunks);
            prop_assert_eq!(whole, split);
            prop_assert_eq!((all, same), (stream.len(), stream.len()));
        }
    }
}
