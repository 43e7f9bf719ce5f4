//! Text as a person reads it, for SEARCH: transfer encodings, encoded words and charsets undone, in lower case.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::entity::{Content, Entity};
use super::header;

/// Base64 as mail has it: the padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest encoded word that is undone, in octets: RFC 2047 §2 says 75, and some programs write a whole subject as
/// one.
const WORD: usize = 4096;

/// A field's value, its encoded words (RFC 2047) undone.
pub(super) fn value(value: &[u8]) -> String {
    let mut rest = value;
    let mut found = String::new();
    let mut behind_word = false;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at(at);
        match encoded_word(from) {
            Some((text, behind)) => {
                // White space between two encoded words is not part of the text (RFC 2047 §6.2).
                if !(behind_word && before.trim_ascii().is_empty()) {
                    found.push_str(&charset(before, b"utf-8"));
                }
                found.push_str(&text);
                (rest, behind_word) = (behind, true);
            }
            None => {
                let (odd, behind) = from.split_at(2.min(from.len()));
                found.push_str(&charset(&[before, odd].concat(), b"utf-8"));
                (rest, behind_word) = (behind, false);
            }
        }
    }
    found.push_str(&charset(rest, b"utf-8"));
    found.to_lowercase()
}

/// Every text in the message's body; attachments are not looked into.
pub(super) fn body(entity: &Entity<'_>) -> String {
    match &entity.content {
        Content::Parts(parts) => parts.iter().map(body).collect::<Vec<_>>().join("\n"),
        Content::Message(inner) => body(inner),
        Content::Leaf if !entity.kind.word.starts_with("text/") => String::new(),
        Content::Leaf => {
            let encoding = header::value(entity.header, "Content-Transfer-Encoding").unwrap_or_default();
            let octets = match encoding.to_ascii_lowercase().as_slice() {
                b"base64" => base64(entity.body),
                b"quoted-printable" => quoted_printable(entity.body, false),
                _ => entity.body.to_vec(),
            };
            charset(&octets, entity.kind.parameter("charset").unwrap_or(b"utf-8")).to_lowercase()
        }
    }
}

/// `=?charset?encoding?text?=` at the front, and what is behind it.
fn encoded_word(octets: &[u8]) -> Option<(String, &[u8])> {
    // Where no end is near, none is looked for: there may be very many beginnings.
    let word = octets.get(..WORD).unwrap_or(octets);
    let mut pieces = word.strip_prefix(b"=?")?.splitn(3, |octet| *octet == b'?');
    let (name, encoding, rest) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let end = memchr::memmem::find(rest, b"?=")?;
    let text = rest.get(..end)?;
    let found = match encoding {
        b"b" | b"B" => base64(text),
        b"q" | b"Q" => quoted_printable(text, true),
        _ => return None,
    };
    let behind = word.len() - rest.len() + end + 2;
    Some((charset(&found, name), octets.get(behind..)?))
}

fn base64(text: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = text.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    BASE64.decode(text).unwrap_or_default()
}

/// RFC 2045 §6.7; with `_` for a space in encoded words (RFC 2047 §4.2).
fn quoted_printable(text: &[u8], in_word: bool) -> Vec<u8> {
    let mut found = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'_' if in_word => found.push(b' '),
            b'=' => match behind {
                [b'\r', b'\n', more @ ..] | [b'\n', more @ ..] => rest = more,
                [high, low, more @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    found.push(hex(*high) << 4 | hex(*low));
                    rest = more;
                }
                _ => found.push(b'='),
            },
            other => found.push(*other),
        }
    }
    found
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or_default()
}

/// Latin-1 is read as such; everything else is UTF-8 where it can be, and Latin-1 where it cannot.
fn charset(octets: &[u8], name: &[u8]) -> String {
    let latin = || octets.iter().copied().map(char::from).collect();
    if name.to_ascii_lowercase().starts_with(b"iso-8859-1") {
        return latin();
    }
    std::str::from_utf8(octets).map_or_else(|_| latin(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words_of_rfc_2047() {
        assert_eq!(
            value(b"=?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus?= =?iso-8859-1?b?S/ZsbiE=?= (=?x"),
            "grüße ausköln! (=?x"
        );
        assert_eq!(value("naïve =?".as_bytes()), "naïve =?");
        let long = |length: usize| format!("=?utf-8?q?{}?= behind", "=41".repeat(length));
        assert_eq!(value(long(1000).as_bytes()), format!("{} behind", "a".repeat(1000)));
        assert_eq!(value(long(2000).as_bytes()), long(2000), "longer than a word of mail");
    }

    #[test]
    fn bodies_are_read_through_their_encoding() {
        let read = |mail: &str| body(&Entity::read(mail.as_bytes()));
        assert_eq!(read("Content-Transfer-Encoding: Base64\r\n\r\nR3LD\r\nvMOfZQ\r\n"), "grüße");
        let printable = "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
        assert_eq!(read(&format!("{printable}K=F6=\r\nln =5")), "köln =5");
        assert_eq!(read("Content-Type: image/png\r\n\r\ntext"), "");
    }

    proptest! {
        #[test]
        fn any_octets_are_text(octets: Vec<u8>, odd in "(=\\?|\\?=|\\?|q|=|a){0,20}") {
            value(&octets);
            value(odd.as_bytes());
            quoted_printable(odd.as_bytes(), true);
        }
    }
}
