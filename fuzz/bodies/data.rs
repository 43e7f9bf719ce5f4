//! The octets of a message from an app: only `CRLF.CRLF` ends it, no bare CR or LF leaves, and what upstream makes of
//! it is what a slow reader of the RFC makes of the app's octets.

use bytes::BytesMut;
use footbridge::mail::account::BareNewline;
use footbridge::proto::smtp::Reception;
use footbridge::proto::smtp::reception::Rules;

const LARGEST: u64 = 512;

pub fn run(input: &[u8]) {
    let (message, end) = reference(input);
    let mended = message.mended;
    for pieces in super::splits(input) {
        let rules = |largest, bare_newline| Rules { largest, eight_bit: true, bare_newline };
        let passed = receive(&pieces, rules(u64::MAX, BareNewline::Mend));
        assert_eq!(passed.behind.as_deref(), end.map(|end| &input[end..]), "the end of the message");
        let arrived = unstuffed(&passed.left);
        if !passed.refused {
            assert_eq!(arrived.len() as u64, passed.octets);
            let expected = if end.is_some() { &message.octets[..] } else { &message.octets[..arrived.len()] };
            assert_eq!(arrived.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
        let strict = receive(&pieces, rules(u64::MAX, BareNewline::Reject));
        assert_eq!(strict.behind, passed.behind, "a refusal changes where the message ends");
        if end.is_some() {
            assert_eq!(strict.refused, passed.refused || mended);
        }
        let small = receive(&pieces, rules(LARGEST, BareNewline::Mend));
        assert_eq!(small.behind, passed.behind);
        assert!(unstuffed(&small.left).len() as u64 <= LARGEST);
    }
}

struct Received {
    /// What left for upstream.
    left: Vec<u8>,
    /// What came behind the end; `None` while it did not come.
    behind: Option<Vec<u8>>,
    octets: u64,
    refused: bool,
}

fn receive(pieces: &[&[u8]], rules: Rules) -> Received {
    let (mut reception, mut input, mut left, mut ended) =
        (Reception::new(rules), BytesMut::new(), Vec::new(), false);
    for piece in pieces {
        input.extend_from_slice(piece);
        if !ended {
            let refused = reception.refusal().is_some();
            let decoded = reception.take(&mut input);
            assert!(!refused || decoded.octets.is_empty(), "octets leave behind a refusal");
            left.extend_from_slice(&decoded.octets);
            ended = decoded.ended;
            assert!(ended || input.len() <= 2, "left lying: {}", input.escape_ascii());
        }
    }
    Received {
        left,
        behind: ended.then(|| input.to_vec()),
        octets: reception.octets(),
        refused: reception.refusal().is_some(),
    }
}

struct Message {
    octets: Vec<u8>,
    mended: bool,
}

/// RFC 5321 §4.5.2 and our mending, octet by octet: the message, and how many of the input's octets belong to it.
fn reference(input: &[u8]) -> (Message, Option<usize>) {
    let (mut message, mut at) = (Message { octets: Vec::new(), mended: false }, 0);
    let mut line_start = true;
    while at < input.len() {
        let rest = &input[at..];
        if line_start && rest.starts_with(b".\r\n") {
            return (message, Some(at + 3));
        }
        let stuffing = usize::from(line_start && rest[0] == b'.');
        line_start = false;
        let rest = &rest[stuffing..];
        at += stuffing;
        match rest {
            [] => {}
            [b'\r', b'\n', ..] => {
                message.octets.extend_from_slice(b"\r\n");
                line_start = true;
                at += 2;
            }
            [b'\r' | b'\n', ..] => {
                message.octets.extend_from_slice(b"\r\n");
                message.mended = true;
                at += 1;
            }
            [octet, ..] => {
                message.octets.push(*octet);
                at += 1;
            }
        }
    }
    (message, None)
}

/// What a server that knows only CRLF makes of it; panics at a bare CR or LF, and at an end.
fn unstuffed(octets: &[u8]) -> Vec<u8> {
    let (mut message, mut rest) = (Vec::new(), octets);
    let mut line_start = true;
    while let Some(first) = rest.first() {
        if line_start && *first == b'.' {
            assert!(!rest.starts_with(b".\r\n"), "an end of message that is not the app's");
            rest = &rest[1..];
        }
        line_start = rest.starts_with(b"\r\n");
        let octets = if line_start { 2 } else { 1 };
        let (these, behind) = rest.split_at(octets.min(rest.len()));
        assert!(line_start || !matches!(these, b"\r" | b"\n"), "a bare CR or LF leaves");
        message.extend_from_slice(these);
        rest = behind;
    }
    message
}
