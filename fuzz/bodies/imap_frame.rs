//! The framing of lines and literals: every octet goes by once, and any split gives what a reader with the whole
//! stream before it sees.

use footbridge::proto::imap::frame::{Frame, Piece};
use footbridge::proto::imap::literal::announced;

/// Octets of a literal before a line's end, and what that end announces; the last has no end.
type Seen = Vec<(u64, Option<(u64, bool)>)>;

pub fn run(input: &[u8]) {
    let expected = reference(input);
    for pieces in super::splits(input) {
        assert_eq!(framed(&pieces), expected);
    }
}

fn reference(mut input: &[u8]) -> Seen {
    let (mut seen, mut behind) = (Vec::new(), 0);
    while let Some(end) = input.iter().position(|octet| *octet == b'\n') {
        let (line, rest) = input.split_at(end + 1);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let literal = announced(line.strip_suffix(b"\r").unwrap_or(line));
        seen.push((behind, literal.map(|literal| (literal.octets, literal.non_synchronising))));
        let octets = literal.map_or(0, |literal| literal.octets);
        let there = usize::try_from(octets).unwrap_or(usize::MAX).min(rest.len());
        behind = there as u64;
        input = &rest[there..];
    }
    seen.push((behind, None));
    seen
}

fn framed(pieces: &[&[u8]]) -> Seen {
    let (mut frame, mut input, mut seen, mut literal) = (Frame::default(), Vec::new(), Vec::new(), 0);
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(piece) = frame.next(&input) {
            let octets = piece.octets();
            assert!((1..=input.len()).contains(&octets), "{octets} of {}", input.len());
            match piece {
                Piece::Literal(octets) => literal += octets as u64,
                Piece::Part(_) => {}
                Piece::End { literal: announced, .. } => {
                    let announced = announced.map(|literal| (literal.octets, literal.non_synchronising));
                    seen.push((std::mem::take(&mut literal), announced));
                }
            }
            input.drain(..octets);
        }
        assert!(input.len() <= 3, "left lying: {}", input.escape_ascii());
    }
    seen.push((literal, None));
    seen
}
