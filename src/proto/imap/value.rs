//! Values within a response: atoms, strings, lists (RFC 3501 §4), and the items of FETCH.

use std::borrow::Cow;

use memchr::memchr;

use super::literal::announced;
use crate::mail::ObjectId;

/// One value, borrowed from its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// NIL.
    Nil,
    /// An atom, a number or a flag.
    Atom(&'a [u8]),
    /// A quoted string as it stands between its quotes, escapes and all.
    Quoted(&'a [u8]),
    /// A literal's octets.
    Literal(&'a [u8]),
    /// A parenthesized list: what stands between its parentheses.
    List(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The octets of a string or an atom; `None` for NIL and lists.
    pub fn octets(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Value::Nil | Value::List(_) => None,
            Value::Atom(octets) | Value::Literal(octets) => Some(Cow::Borrowed(octets)),
            Value::Quoted(inside) => Some(unquoted(inside)),
        }
    }
}

fn unquoted(inside: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', inside).is_none() {
        return Cow::Borrowed(inside);
    }
    let mut escaped = false;
    let octets = inside.iter().copied().filter(|octet| {
        escaped = *octet == b'\\' && !escaped;
        !escaped
    });
    Cow::Owned(octets.collect())
}

/// Values one after another, parted by any number of spaces. Ends at what is no value; [`Values::rest`] tells.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    /// The values in `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// What was not read; empty when all of the text was values.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.rest = trim_spaces(self.rest);
        let (value, rest) = value(self.rest)?;
        self.rest = rest;
        Some(value)
    }
}

fn trim_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|octet| **octet == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

fn value(text: &[u8]) -> Option<(Value<'_>, &[u8])> {
    match text.first()? {
        b'(' => {
            let end = list_end(text)?;
            Some((Value::List(text.get(1..end - 1)?), text.get(end..)?))
        }
        b'"' => {
            let end = quoted_end(text)?;
            Some((Value::Quoted(text.get(1..end - 1)?), text.get(end..)?))
        }
        b'{' | b'~' if literal_at(text).is_some() => {
            let (from, to) = literal_at(text)?;
            Some((Value::Literal(text.get(from..to)?), text.get(to..)?))
        }
        b')' => None,
        _ => {
            let (atom, rest) = text.split_at(atom_end(text));
            if atom.is_empty() {
                return None;
            }
            let nil = atom.eq_ignore_ascii_case(b"NIL");
            Some((if nil { Value::Nil } else { Value::Atom(atom) }, rest))
        }
    }
}

/// An atom, a section's brackets and what stands between them included: `BODY[HEADER.FIELDS (DATE)]<0>`.
fn atom_end(text: &[u8]) -> usize {
    let mut brackets = false;
    for (at, octet) in text.iter().enumerate() {
        match octet {
            b'[' => brackets = true,
            b']' => brackets = false,
            b' ' | b'(' | b')' if !brackets => return at,
            b'\r' | b'\n' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Behind the closing quote of the string that `text` begins with.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(found) == Some(&b'"') {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// `~{`, the nineteen digits of 63 bits, `+}` and CRLF, and some zeros: no announcement is longer. Whoever sends one brace
/// after another is not looked through to the end of the response for each.
const ANNOUNCEMENT: usize = 30;

/// Where the octets of the literal that `text` begins with begin and end.
fn literal_at(text: &[u8]) -> Option<(usize, usize)> {
    let line = memchr(b'\n', text.get(..ANNOUNCEMENT).unwrap_or(text))?;
    let announcement = text.get(..line)?;
    let literal = announced(announcement.strip_suffix(b"\r").unwrap_or(announcement))?;
    let end = usize::try_from(literal.octets).ok()?.checked_add(line + 1)?;
    (literal.at == 0 && end <= text.len()).then_some((line + 1, end))
}

/// Behind the closing parenthesis of the list that `text` begins with. A counter, not recursion: depth is upstream's
/// to choose, our stack is not.
fn list_end(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0usize);
    loop {
        let here = text.get(at..)?;
        match here.first()? {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            b'"' => at += quoted_end(here)? - 1,
            b'{' => at += literal_at(here).map_or(0, |(_, end)| end - 1),
            _ => {}
        }
        at += 1;
    }
}

/// What we ask FETCH for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Items<'a> {
    /// `UID`; 0 and what is no number is none at all.
    pub uid: Option<u32>,
    /// `RFC822.SIZE`; `None` also for what is no number.
    pub size: Option<u64>,
    /// `EMAILID` or `X-GM-MSGID`; `None` also for what is neither an objectid nor a number.
    pub object_id: Option<ObjectId<'a>>,
    /// The first `BODY[]`, whole or in part; sections of it are none.
    pub body: Option<Value<'a>>,
    /// The first `BODY[HEADER]`.
    pub header: Option<Value<'a>>,
    /// Whether the whole list was items and nothing else.
    pub complete: bool,
}

/// Reads the items of a FETCH response: in any order, doubled ones once, unknown ones skipped.
///
/// ```abnf
/// msg-att = "(" item *(SP item) ")"     ; RFC 3501 §9; spaces more than that, and an empty list, are seen
/// ```
pub fn items(list: &[u8]) -> Items<'_> {
    let mut found = Items::default();
    // Without its closing parenthesis while a body is still to come.
    let inside = list.strip_prefix(b"(").unwrap_or_default();
    let mut values = Values::new(inside);
    while let Some(name) = values.next() {
        let Value::Atom(name) = name else { return found };
        let Some(value) = values.next() else { return found };
        take(&mut found, name, value);
    }
    found.complete = trim_spaces(values.rest()) == b")";
    found
}

fn take<'a>(found: &mut Items<'a>, name: &[u8], value: Value<'a>) {
    let digits = if let Value::Atom(digits) = value { digits } else { b"" };
    if name.eq_ignore_ascii_case(b"UID") {
        found.uid = found.uid.or(super::response::number(digits).filter(|uid| *uid != 0));
    } else if name.eq_ignore_ascii_case(b"RFC822.SIZE") {
        found.size = found.size.or(super::response::number(digits));
    } else if name.eq_ignore_ascii_case(b"EMAILID") {
        found.object_id = found.object_id.or(email_id(value));
    } else if name.eq_ignore_ascii_case(b"X-GM-MSGID") {
        found.object_id = found.object_id.or(super::response::number(digits).map(ObjectId::Gmail));
    } else if whole_body(name).is_some() {
        found.body = found.body.or(Some(value));
    } else if is_header(name) {
        found.header = found.header.or(Some(value));
    }
}

/// ```abnf
/// fetch-emailid-resp = "EMAILID" SP "(" objectid ")"     ; RFC 8474 §7
/// objectid = 1*255(ALPHA / DIGIT / "_" / "-")
/// ```
fn email_id(value: Value<'_>) -> Option<ObjectId<'_>> {
    let Value::List(id) = value else { return None };
    let id = id.trim_ascii();
    let is_one = (1..=255).contains(&id.len())
        && id.iter().all(|octet| octet.is_ascii_alphanumeric() || b"_-".contains(octet));
    is_one.then_some(ObjectId::Email(id))
}

/// Whether `name` is the item of a message's octets from `from` on: `BODY[]`, or `BODY[]<from>`. A section of it is
/// not; servers that leave the origin out are believed.
pub fn is_body(name: &[u8], from: u64) -> bool {
    let origin =
        whole_body(name).map(|origin| origin.strip_prefix(b"<").and_then(|it| it.strip_suffix(b">")));
    origin.is_some_and(|origin| origin.is_none_or(|origin| super::response::number(origin) == Some(from)))
}

/// Whether `name` is the item of a message's headers.
pub fn is_header(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"BODY[HEADER]")
}

/// What stands behind `BODY[]`.
fn whole_body(name: &[u8]) -> Option<&[u8]> {
    let (item, origin) = name.split_at_checked(6)?;
    item.eq_ignore_ascii_case(b"BODY[]").then_some(origin)
}

/// The name of the last item of a FETCH list that may not be all there.
pub fn last_name(list: &[u8]) -> Option<&[u8]> {
    names(list.strip_prefix(b"(")?).last()
}

/// The names of the items in the rest of a FETCH list: every other value.
pub fn names(tail: &[u8]) -> impl Iterator<Item = &[u8]> {
    Values::new(tail).step_by(2).map(|name| if let Value::Atom(name) = name { name } else { b"" })
}

/// The set behind ALL in the answer to SEARCH RETURN (ALL); `None` where it has none, or is not of UIDs.
///
/// ```abnf
/// esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)     ; RFC 4731 §3.1
/// ```
pub fn all_found(answer: &[u8]) -> Option<&[u8]> {
    let mut values = Values::new(answer).skip_while(|value| matches!(value, Value::List(_)));
    let is = |value: Option<Value<'_>>, name: &[u8]| matches!(value, Some(Value::Atom(atom)) if atom.eq_ignore_ascii_case(name));
    if !is(values.next(), b"UID") {
        return None;
    }
    while let Some(name) = values.next() {
        let value = values.next()?;
        if is(Some(name), b"ALL") {
            return if let Value::Atom(set) = value { Some(set) } else { None };
        }
    }
    None
}

/// Whether a FETCH item has this name: those of RFC 3501 and its extensions, and those of providers.
pub fn is_item(name: &[u8]) -> bool {
    const NAMES: &[&str] =
        &["FLAGS", "UID", "INTERNALDATE", "ENVELOPE", "MODSEQ", "EMAILID", "THREADID", "SAVEDATE", "PREVIEW"];
    const BEGINNINGS: &[&str] = &["RFC822", "BODY", "BINARY", "X-", "ANNOTATION"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || BEGINNINGS.iter().any(|known| {
            name.get(..known.len()).is_some_and(|name| name.eq_ignore_ascii_case(known.as_bytes()))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_one_after_another() {
        let text =
            b"NIL abc \"a \\\" b\" {3}\r\n( )  (a (b \")\" {1}\r\n)) c) BODY[HEADER.FIELDS (A B)]<0> x";
        let values: Vec<Value> = Values::new(text).collect();
        assert_eq!(
            values,
            [
                Value::Nil,
                Value::Atom(b"abc"),
                Value::Quoted(b"a \\\" b"),
                Value::Literal(b"( )"),
                Value::List(b"a (b \")\" {1}\r\n)) c"),
                Value::Atom(b"BODY[HEADER.FIELDS (A B)]<0>"),
                Value::Atom(b"x"),
            ]
        );
        assert_eq!(values[2].octets().unwrap(), &b"a \" b"[..]);
    }

    #[test]
    fn items_in_any_order_and_company() {
        // RFC 3501 §7.4.2.
        let found = items(b"(FLAGS (\\Seen) RFC822.SIZE 12 UID 7 UID 8 BODY[] NIL X-GM-LABELS (\"a)\"))");
        let expected = Items {
            uid: Some(7),
            size: Some(12),
            body: Some(Value::Nil),
            complete: true,
            ..Items::default()
        };
        assert_eq!(found, expected);
        assert_eq!(
            items(b"(UID 7 body[Header] x BODY[HEADER.FIELDS (A)] y)").header,
            Some(Value::Atom(b"x"))
        );
        assert_eq!(items(b"()"), Items { complete: true, ..Items::default() });
        for list in ["(UID 7", "(UID 7) x", "(UID", "UID 7", "", "(UID 7 (a) b)", "(UID 0 FLAGS"] {
            assert!(!items(list.as_bytes()).complete, "{list}");
        }
        for (list, uid, size) in [
            ("(UID 0 RFC822.SIZE -1)", None, None),
            ("(uid 4294967296 rfc822.size 99999999999999999999)", None, None),
            ("(UID \"7\" RFC822.SIZE 1.5)", None, None),
        ] {
            let found = items(list.as_bytes());
            assert_eq!((found.uid, found.size), (uid, size), "{list}");
        }
    }

    #[test]
    fn what_a_server_says_of_a_messages_identity() {
        let long = |octets| format!("(EMAILID ({}))", "M".repeat(octets)).into_bytes();
        for (list, expected) in [
            (&b"(UID 7 EMAILID (M6d99ac3275bb4e_-))"[..], Some(ObjectId::Email(b"M6d99ac3275bb4e_-"))),
            (b"(emailid ( M1 ) UID 7)", Some(ObjectId::Email(b"M1"))),
            (b"(X-GM-MSGID 1278455344230334865 UID 7)", Some(ObjectId::Gmail(1_278_455_344_230_334_865))),
            (b"(EMAILID NIL X-GM-MSGID x)", None),
            (b"(EMAILID ())", None),
            (b"(EMAILID (M1 M2))", None),
            (b"(EMAILID M1)", None),
            (b"(X-GM-MSGID 18446744073709551616)", None),
            (b"(X-GM-MSGID \"1\")", None),
            (&long(256), None),
        ] {
            assert_eq!(items(list).object_id, expected, "{}", String::from_utf8_lossy(list));
        }
        assert!(items(&long(255)).object_id.is_some());
    }

    #[test]
    fn a_section_is_no_body_and_another_origin_another_part() {
        // RFC 3501 §7.4.2.
        for (name, from, expected) in [
            ("BODY[]", 0, true),
            ("body[]", 0, true),
            ("BODY[]", 5, true),
            ("BODY[]<5>", 5, true),
            ("BODY[]<0>", 5, false),
            ("BODY[]<x>", 0, false),
            ("BODY[TEXT]", 0, false),
            ("BODY[HEADER]<0>", 0, false),
            ("BODY", 0, false),
            ("RFC822", 0, false),
        ] {
            assert_eq!(is_body(name.as_bytes(), from), expected, "{name} from {from}");
        }
        assert_eq!(last_name(b"(UID 7 FLAGS (a b) BODY[]<0> {0}\r\n"), Some(&b"BODY[]<0>"[..]));
        assert_eq!(items(b"(BODY[TEXT] x BODY[] y)").body, Some(Value::Atom(b"y")));
    }

    #[test]
    fn the_set_of_an_extended_search() {
        // RFC 4731 §3.1, RFC 9051 §7.3.4: the correlator may be missing, other results may come first.
        for (answer, set) in [
            ("(TAG \"B3\") UID ALL 1:3,5", Some("1:3,5")),
            ("UID all 7", Some("7")),
            ("(TAG \"B3\") uid MIN 1 X (1 2) ALL 1:9", Some("1:9")),
            ("(TAG \"B3\") UID", None),
            ("(TAG \"B3\") ALL 1:3", None),
            ("(TAG \"B3\") UID ALL", None),
            ("(TAG \"B3\") UID ALL (1)", None),
            ("", None),
        ] {
            assert_eq!(all_found(answer.as_bytes()), set.map(str::as_bytes), "{answer}");
        }
    }

    #[test]
    fn an_announcement_is_looked_for_no_further_than_one_can_be() {
        let announced = |zeros| format!("~{{{}3+}}\r\nabc", "0".repeat(zeros));
        assert_eq!(Values::new(announced(18).as_bytes()).next(), Some(Value::Literal(b"abc")));
        assert_eq!(Values::new(announced(23).as_bytes()).next(), Some(Value::Literal(b"abc")));
        let longer = announced(24);
        assert!(matches!(Values::new(longer.as_bytes()).next(), Some(Value::Atom(_))));
        let list = format!("({longer})");
        assert!(matches!(Values::new(list.as_bytes()).next(), Some(Value::List(_))));
        assert!(!items(format!("(UID 7 X {longer})").as_bytes()).complete);
    }

    #[test]
    fn depth_costs_no_stack() {
        let mut deep = vec![b'('; 1_000_000];
        assert_eq!(Values::new(&deep).next(), None);
        deep.extend(vec![b')'; 1_000_000]);
        assert!(matches!(Values::new(&deep).next(), Some(Value::List(_))));
    }

    proptest! {
        #[test]
        fn any_octets_are_values_or_not(text in any::<Vec<u8>>(), list in "[()\"\\\\{}0-9~A-Z \r\n\\[\\]]{0,40}") {
            items(&text);
            items(list.as_bytes());
            all_found(&text);
            all_found(list.as_bytes());
            let values: Vec<Value> = Values::new(list.as_bytes()).collect();
            values.into_iter().for_each(|value| drop(value.octets()));
        }
    }
}
