//! A message as a tree of MIME entities (RFC 2045, RFC 2046 §5), and where IMAP's part numbers point in it.

use std::num::NonZeroU32;

use super::header::{self, Parameterized};

/// Multiparts within multiparts: mail has four or five levels, and a stack has an end.
const DEPTH: u32 = 20;

/// Entities of one message; mail has some dozens. What lies beyond is not looked for.
const PARTS: usize = 500;

/// A header and what it heads.
#[derive(Debug)]
pub(super) struct Entity<'a> {
    /// With the empty line.
    pub(super) header: &'a [u8],
    pub(super) body: &'a [u8],
    /// `type/subtype`, in lower case, and its parameters.
    pub(super) kind: Parameterized,
    pub(super) content: Content<'a>,
}

/// What is within.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Leaf,
    /// Never empty.
    Parts(Vec<Entity<'a>>),
    Message(Box<Entity<'a>>),
}

impl<'a> Entity<'a> {
    /// Any octets are a message.
    pub(super) fn read(octets: &'a [u8]) -> Self {
        Self::nested(octets, "text/plain", DEPTH, &mut { PARTS })
    }

    fn nested(octets: &'a [u8], usual: &str, depth: u32, left: &mut usize) -> Self {
        let (header, body) = octets.split_at(header_end(octets));
        let mut kind = header::value(header, "Content-Type")
            .map_or_else(Parameterized::default, |value| Parameterized::read(&value));
        if !kind.word.contains('/') {
            kind = Parameterized { word: usual.to_owned(), parameters: Vec::new() };
        }
        let mut entity = Self { header, body, kind, content: Content::Leaf };
        if depth > 0 {
            entity.content = entity.within(depth - 1, left);
        }
        entity
    }

    fn within(&self, depth: u32, left: &mut usize) -> Content<'a> {
        if self.kind.word == "message/rfc822" {
            return Content::Message(Box::new(Self::nested(self.body, "text/plain", depth, left)));
        }
        let boundary = self.kind.parameter("boundary").filter(|_| self.kind.word.starts_with("multipart/"));
        let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else { return Content::Leaf };
        // RFC 2046 §5.1.5.
        let usual = if self.kind.word == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        let parts = parts(self.body, boundary, *left);
        *left = left.saturating_sub(parts.len());
        let parts: Vec<_> = parts.into_iter().map(|part| Self::nested(part, usual, depth, left)).collect();
        if parts.is_empty() { Content::Leaf } else { Content::Parts(parts) }
    }

    /// The entity of a part number (RFC 3501 §6.4.5): a message that is no multipart has a part 1, its body.
    pub(super) fn part(&self, numbers: &[NonZeroU32]) -> Option<&Self> {
        let (first, rest) = numbers.split_first()?;
        let found = match &self.content {
            Content::Parts(parts) => parts.get(usize::try_from(first.get()).ok()?.checked_sub(1)?)?,
            _ => Some(self).filter(|_| first.get() == 1)?,
        };
        match (&found.content, rest) {
            (_, []) => Some(found),
            (Content::Message(inner), rest) => inner.part(rest),
            (Content::Parts(_), rest) if !std::ptr::eq(self, found) => found.part(rest),
            _ => None,
        }
    }

    /// Lines of the body, as BODYSTRUCTURE counts them.
    pub(super) fn lines(&self) -> usize {
        memchr::memchr_iter(b'\n', self.body).count()
    }
}

/// Behind the empty line.
fn header_end(octets: &[u8]) -> usize {
    let mut at = 0;
    for end in memchr::memchr_iter(b'\n', octets) {
        let line = octets.get(at..=end).unwrap_or_default();
        at = end + 1;
        if line == b"\r\n" || line == b"\n" {
            return at;
        }
    }
    octets.len()
}

/// What stands between the delimiter lines (RFC 2046 §5.1.1); the line end before a delimiter is the delimiter's.
fn parts<'a>(body: &'a [u8], boundary: &[u8], most: usize) -> Vec<&'a [u8]> {
    let (mut found, mut begun, mut at) = (Vec::new(), None, 0);
    while at < body.len() && found.len() < most {
        let rest = body.get(at..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or_default();
        if let Some(closes) = delimiter(line, boundary) {
            if let Some(begun) = begun.take() {
                found.push(without_line_end(body.get(begun..at).unwrap_or_default()));
            }
            if closes {
                return found;
            }
            begun = Some(at + length);
        }
        at += length;
    }
    // A part that nothing ends, ends with the body.
    found.extend(begun.filter(|_| found.len() < most).and_then(|begun| body.get(begun..)));
    found
}

/// Whether the line is a delimiter, and the last one.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    match line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii() {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

fn without_line_end(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NESTED: &str = "Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n\
        --a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
        --b\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n\
        --a\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n--a--\r\nepilogue\r\n";

    fn body<'a>(entity: &'a Entity<'_>, numbers: &[u32]) -> Option<&'a str> {
        let numbers: Vec<_> = numbers.iter().map(|n| NonZeroU32::new(*n).unwrap()).collect();
        entity.part(&numbers).map(|part| std::str::from_utf8(part.body).unwrap())
    }

    #[test]
    fn part_numbers_of_rfc_3501_6_4_5() {
        let entity = Entity::read(NESTED.as_bytes());
        assert_eq!(body(&entity, &[1, 1]), Some("plain"));
        assert_eq!(body(&entity, &[1, 2]), Some("<p>"));
        assert_eq!(body(&entity, &[2]), Some("Subject: inner\r\n\r\ninner body"));
        assert_eq!(body(&entity, &[2, 1]), Some("inner body"));
        assert_eq!(body(&entity, &[1, 1, 1]), None);
        assert_eq!(body(&entity, &[3]), None);
        let simple = Entity::read(b"Subject: x\r\n\r\nbody\r\n");
        assert_eq!(
            (body(&simple, &[1]), body(&simple, &[2]), body(&simple, &[1, 1])),
            (Some("body\r\n"), None, None)
        );
    }

    #[test]
    fn a_message_without_a_body_or_with_a_bad_multipart_is_a_leaf() {
        assert_eq!(Entity::read(b"Subject: x\r\n").body, b"");
        let empty = Entity::read(b"Content-Type: multipart/mixed; boundary=a\r\n\r\nnothing\r\n");
        assert!(matches!(empty.content, Content::Leaf));
    }

    #[test]
    fn parts_of_all_levels_together_have_a_number() {
        fn count(entity: &Entity<'_>) -> usize {
            match &entity.content {
                Content::Leaf => 1,
                Content::Message(inner) => 1 + count(inner),
                Content::Parts(parts) => 1 + parts.iter().map(count).sum::<usize>(),
            }
        }
        let inner =
            format!("--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n".repeat(100));
        let mail = format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{}", inner.repeat(100));
        assert_eq!(count(&Entity::read(mail.as_bytes())), PARTS + 1);
        let few = format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{}", inner.repeat(2));
        assert!(count(&Entity::read(few.as_bytes())) > 200);
    }

    #[test]
    fn depth_has_an_end() {
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
        Entity::read(deep.as_bytes());
    }

    proptest! {
        #[test]
        fn any_octets_are_a_message(octets: Vec<u8>, tail in "(--a(--)?\r\n|\r\n|x|Content-Type: multipart/mixed; boundary=a\r\n){0,9}") {
            Entity::read(&[octets.as_slice(), tail.as_bytes()].concat());
            Entity::read(tail.as_bytes());
        }
    }
}
