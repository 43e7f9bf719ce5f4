//! The text of one line of a transcript: octets, variables, and what is not pinned.
//!
//! ```text
//! \0 \r \n \t \s \xNN          the octet (\s is a space that an editor may not strip)
//! \\ \. \$ \{ \}               the character itself; any other backslash stays as it is: (\Deleted)
//! ...                          where we listen: any octets; where we speak: three dots
//! $name                        where we listen and it is not bound yet: a run of octets without space, kept
//! {=TEXT}                      an IMAP literal of TEXT: {12}CRLF and its octets
//! {*1000:TEXT}                 TEXT a thousand times
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// Values of the `$names`.
pub type Variables = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Octets(Vec<u8>),
    Any,
    Variable(String),
    Literal(Vec<Piece>),
    Times(usize, Vec<Piece>),
}

/// A parsed text; shown as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    written: String,
    pieces: Vec<Piece>,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Text {
    /// Parses; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut chars = text.chars().peekable();
        let pieces = pieces(&mut chars, false)?;
        Ok(Self { written: text.to_owned(), pieces })
    }

    /// The variable at the very beginning: a tag.
    pub fn tag(&self) -> Option<&str> {
        match self.pieces.first() {
            Some(Piece::Variable(name)) => Some(name),
            _ => None,
        }
    }

    /// The octets to say; fails where a variable has no value.
    pub fn render(&self, variables: &Variables) -> Result<Vec<u8>, String> {
        render(&self.pieces, variables)
    }

    /// Whether `line` is this text; binds the variables that have no value yet.
    pub fn matches(&self, line: &[u8], variables: &mut Variables) -> bool {
        match matched(&self.pieces, line, variables.clone()) {
            Some(bound) => {
                *variables = bound;
                true
            }
            None => false,
        }
    }
}

/// Octets as a transcript would show them.
pub fn shown(octets: &[u8]) -> String {
    const MOST: usize = 300;
    let mut text = String::new();
    for octet in octets.iter().take(MOST) {
        match octet {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            0 => text.push_str("\\0"),
            b' '..=b'~' => text.push(char::from(*octet)),
            other => text.push_str(&format!("\\x{other:02X}")),
        }
    }
    if octets.len() > MOST {
        text.push_str(&format!(" (and {} more octets)", octets.len() - MOST));
    }
    text
}

fn pieces(chars: &mut Peekable<Chars<'_>>, nested: bool) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    while let Some(c) = chars.next() {
        match c {
            '}' if nested => return Ok(pieces),
            '\\' => octets(&mut pieces, &escaped(chars)?),
            '.' if ahead(chars, "..") => {
                chars.nth(1);
                pieces.push(Piece::Any);
            }
            '$' if chars.peek().is_some_and(char::is_ascii_lowercase) => {
                pieces.push(Piece::Variable(name(chars)))
            }
            '{' if ahead(chars, "=") => {
                chars.next();
                pieces.push(Piece::Literal(self::pieces(chars, true)?));
            }
            '{' if ahead(chars, "*") => {
                chars.next();
                let count: String = chars.by_ref().take_while(|c| *c != ':').collect();
                let count = count.parse().map_err(|_| format!("{count:?} is not a number of times"))?;
                pieces.push(Piece::Times(count, self::pieces(chars, true)?));
            }
            other => octets(&mut pieces, other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if nested { Err("a { without its }".into()) } else { Ok(pieces) }
}

fn ahead(chars: &Peekable<Chars<'_>>, text: &str) -> bool {
    let mut ahead = chars.clone();
    text.chars().all(|c| ahead.next() == Some(c))
}

fn octets(pieces: &mut Vec<Piece>, more: &[u8]) {
    match pieces.last_mut() {
        Some(Piece::Octets(octets)) => octets.extend_from_slice(more),
        _ => pieces.push(Piece::Octets(more.to_vec())),
    }
}

fn escaped(chars: &mut Peekable<Chars<'_>>) -> Result<Vec<u8>, String> {
    let octet = match chars.peek() {
        Some('0') => 0,
        Some('r') => b'\r',
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('s') => b' ',
        Some('x') => {
            chars.next();
            let digits: String = chars.by_ref().take(2).collect();
            return u8::from_str_radix(&digits, 16)
                .map(|octet| vec![octet])
                .map_err(|_| format!("\\x{digits}"));
        }
        Some('\\') => b'\\',
        Some('.') => b'.',
        Some('$') => b'$',
        Some('{') => b'{',
        Some('}') => b'}',
        _ => return Ok(b"\\".to_vec()),
    };
    chars.next();
    Ok(vec![octet])
}

fn name(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_') {
        name.push(c);
    }
    name
}

fn render(pieces: &[Piece], variables: &Variables) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Octets(more) => octets.extend_from_slice(more),
            Piece::Any => octets.extend_from_slice(b"..."),
            Piece::Variable(name) => {
                let value = variables.get(name).ok_or_else(|| format!("${name} has no value yet"))?;
                octets.extend_from_slice(value);
            }
            Piece::Literal(inner) => {
                let inner = render(inner, variables)?;
                octets.extend_from_slice(format!("{{{}}}\r\n", inner.len()).as_bytes());
                octets.extend_from_slice(&inner);
            }
            Piece::Times(count, inner) => octets.extend_from_slice(&render(inner, variables)?.repeat(*count)),
        }
    }
    Ok(octets)
}

/// The variables after a match, or none.
fn matched(pieces: &[Piece], line: &[u8], variables: Variables) -> Option<Variables> {
    let Some((first, rest)) = pieces.split_first() else {
        return line.is_empty().then_some(variables);
    };
    let fixed = match first {
        Piece::Any => {
            return (0..=line.len()).find_map(|skip| matched(rest, &line[skip..], variables.clone()));
        }
        Piece::Variable(name) if !variables.contains_key(name) => return bound(name, rest, line, &variables),
        other => render(std::slice::from_ref(other), &variables).ok()?,
    };
    matched(rest, line.strip_prefix(fixed.as_slice())?, variables)
}

fn bound(name: &str, rest: &[Piece], line: &[u8], variables: &Variables) -> Option<Variables> {
    let longest = line.iter().take_while(|octet| !octet.is_ascii_whitespace()).count();
    (1..=longest).rev().find_map(|length| {
        let (value, behind) = line.split_at(length);
        let mut variables = variables.clone();
        variables.insert(name.to_owned(), value.to_vec());
        matched(rest, behind, variables)
    })
}
