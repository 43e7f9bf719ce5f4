//! The line framer: any split gives the lines that splitting at LF gives, and what waits stays within the limit.

use bytes::BytesMut;
use footbridge::proto::line::{Line, LineFramer};

pub fn run(input: &[u8]) {
    for limit in [2, 16, 255] {
        let expected = reference(input, limit);
        for pieces in super::splits(input) {
            assert_eq!(framed(&pieces, limit), expected, "limit {limit}");
        }
    }
}

/// `None` is a line over the limit.
fn reference(input: &[u8], limit: usize) -> Vec<Option<Vec<u8>>> {
    let whole = input.split_inclusive(|octet| *octet == b'\n').filter(|line| line.ends_with(b"\n"));
    whole
        .map(|line| {
            let text = line.strip_suffix(b"\n").expect("ends with LF");
            (line.len() <= limit).then(|| text.strip_suffix(b"\r").unwrap_or(text).to_vec())
        })
        .collect()
}

fn framed(pieces: &[&[u8]], limit: usize) -> Vec<Option<Vec<u8>>> {
    let (mut framer, mut input, mut lines) = (LineFramer::new(limit), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(line) = framer.take(&mut input) {
            lines.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert!(input.len() < limit, "{} octets wait under a limit of {limit}", input.len());
    }
    lines
}
