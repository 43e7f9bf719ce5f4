//! A message on its way to a POP3 app: what the app makes of the dot-stuffed octets is the message, LFs made CRLF,
//! and TOP cuts it at the same place however it comes.

use footbridge::proto::dot::{DotEncoder, unstuffed_octets};
use footbridge::proto::pop3::TopCutter;

pub fn run(input: &[u8]) {
    let message = mended(input);
    for pieces in super::splits(input) {
        let mut encoder = DotEncoder::new();
        let mut sent: Vec<u8> = Vec::new();
        for piece in &pieces {
            encoder.encode(piece).for_each(|octets| sent.extend_from_slice(octets));
        }
        sent.extend_from_slice(encoder.finish());
        let received = unstuffed(&sent);
        assert_eq!(received.escape_ascii().to_string(), message.escape_ascii().to_string());
    }
    assert_eq!(unstuffed_octets(input), message.len() as u64);
    for lines in 0..3 {
        let [whole, octets, pieces] = super::splits(input).map(|pieces| top(&pieces, lines));
        assert!(input.starts_with(&whole));
        assert_eq!(octets, whole);
        assert_eq!(pieces, whole);
    }
}

/// LF made CRLF, and a CRLF at the end.
fn mended(input: &[u8]) -> Vec<u8> {
    let (mut message, mut last) = (Vec::new(), None);
    for octet in input {
        if *octet == b'\n' && last != Some(b'\r') {
            message.push(b'\r');
        }
        message.push(*octet);
        last = Some(*octet);
    }
    if last.is_some_and(|last| last != b'\n') {
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// RFC 1939 §3, to the letter: panics unless the dot line is the last and the only one.
fn unstuffed(sent: &[u8]) -> Vec<u8> {
    let (mut message, mut rest) = (Vec::new(), sent);
    loop {
        if rest.starts_with(b".\r\n") {
            assert_eq!(rest.len(), 3, "a dot line within the message");
            return message;
        }
        rest = rest.strip_prefix(b".").unwrap_or(rest);
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line ends with CRLF") + 2;
        message.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
    }
}

fn top(pieces: &[&[u8]], lines: u32) -> Vec<u8> {
    let (mut cutter, mut taken) = (TopCutter::new(lines), Vec::new());
    for piece in pieces {
        if !cutter.is_complete() {
            taken.extend_from_slice(cutter.take(piece));
        }
    }
    taken
}
