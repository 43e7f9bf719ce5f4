//! The scanner of what upstream answers, and the readers of its values: any split gives the same responses and
//! bodies, and every value is a part of the text it was read from.

use bytes::BytesMut;
use footbridge::proto::imap::response::{self, Response};
use footbridge::proto::imap::scan::{Event, Scanner, TooLarge};
use footbridge::proto::imap::value::{self, Value, Values};

/// Small, so that refusals happen; larger than every announcement.
const LIMIT: usize = 1024;

#[derive(Debug, PartialEq)]
enum Seen {
    Response(Vec<u8>),
    Body { announced: u64, octets: Vec<u8> },
    Refused,
}

pub fn run(input: &[u8]) {
    let [whole, octets, pieces] = super::splits(input).map(|pieces| scanned(&pieces));
    // A refusal may come before the end of a line that is refused at once when it comes whole.
    assert_eq!(octets, whole);
    assert_eq!(pieces, whole);
    for seen in &whole {
        if let Seen::Response(text) = seen {
            read(text);
        }
    }
}

fn scanned(pieces: &[&[u8]]) -> Vec<Seen> {
    let (mut scanner, mut input, mut seen) = (Scanner::new(LIMIT), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match scanner.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Response(text))) => {
                    assert_eq!(scanner.body_left(), 0);
                    assert!(text.len() <= LIMIT + "{0}\r\n".len());
                    seen.push(Seen::Response(text.to_vec()));
                }
                Ok(Some(Event::Body { octets })) => {
                    let list = fetch_list(scanner.so_far());
                    assert!(value::last_name(list).is_none_or(|name| name.len() < list.len()));
                    seen.push(Seen::Body { announced: octets, octets: Vec::new() });
                }
                Ok(Some(Event::BodyPart(part))) => match seen.last_mut() {
                    Some(Seen::Body { announced, octets }) => {
                        octets.extend_from_slice(&part);
                        assert_eq!(octets.len() as u64 + scanner.body_left(), *announced);
                    }
                    other => panic!("a part of no body behind {other:?}"),
                },
                Err(TooLarge) => {
                    seen.push(Seen::Refused);
                    return seen;
                }
            }
        }
        assert!(scanner.so_far().len() + input.len() <= 2 * LIMIT, "more is held than the limit");
    }
    seen
}

fn fetch_list(text: &[u8]) -> &[u8] {
    let list = text.iter().position(|octet| *octet == b'(').unwrap_or(text.len());
    &text[list..]
}

fn read(text: &[u8]) {
    match response::parse(text) {
        Some(Response::Fetch(list)) => {
            let found = value::items(list);
            assert_ne!(found.uid, Some(0));
            if let Some(body) = found.body.and_then(Value::octets) {
                assert!(body.len() <= list.len());
            }
            values(list, list);
        }
        Some(Response::List(rest) | Response::Search(rest) | Response::Capability(rest)) => {
            values(rest, rest)
        }
        Some(Response::Tagged { tag, .. }) => assert!(tag.iter().all(u8::is_ascii_alphanumeric)),
        _ => values(text, text),
    }
}

/// Every value, and those in lists, as deep as a reader of ours goes.
fn values(list: &[u8], text: &[u8]) {
    let mut values = Values::new(list);
    let mut left = values.rest().len();
    while let Some(value) = values.next() {
        assert!(values.rest().len() < left, "a value of no octets");
        left = values.rest().len();
        if let Value::Atom(inside) | Value::Quoted(inside) | Value::Literal(inside) | Value::List(inside) =
            value
        {
            assert!(text.as_ptr_range().start <= inside.as_ptr() && inside.len() <= text.len());
        }
        if let Value::List(inside) = value {
            Values::new(inside).for_each(|value| drop(value.octets()));
        }
        drop(value.octets());
    }
}
