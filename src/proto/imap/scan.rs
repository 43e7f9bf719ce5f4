//! Responses out of what upstream sends, literal by literal (RFC 3501 §7).
//!
//! ```text
//!  octets ──▶ text ──{n}──▶ a body of FETCH: Body, BodyPart, BodyPart ...   as they come, never held
//!               ▲  └─{n}──▶ any other literal: kept in place, bounded
//!               └──────────────────────────────────────────────┘
//!             text ──line end──▶ Response: the whole text, each body in it replaced by an empty literal
//! ```
//!
//! Lenient as servers are strange: a line may end with LF alone, and what a response says is for
//! [`super::response`] to find out. Only the announcement of a literal is looked at here.

use bytes::BytesMut;
use memchr::memchr;

use super::literal::announced;

/// The longest response we hold, literals that are no body among it. The longest honest ones are answers to
/// SEARCH: 100,000 numbers of ten digits.
pub const RESPONSE: usize = 1 << 20;

/// Bodies of one response: what we ask for brings one. Each is looked at with all that stands before it, so that many would
/// cost the square of the response's length.
const BODIES: u32 = 16;

/// Finds responses at the front of a buffer. Any split of the same octets gives the same events, but for the
/// borders between the parts of a body.
#[derive(Debug)]
pub struct Scanner {
    limit: usize,
    /// The response so far.
    text: BytesMut,
    /// Octets of the line already searched without finding its end.
    searched: usize,
    state: State,
    /// `None` before the response's first line is over: it tells, and is not looked at again.
    kind: Option<Kind>,
    /// Bodies of the response so far.
    bodies: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Human-readable to its end.
    Text,
    Fetch,
    /// Any other that may carry literals.
    Data,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Line,
    Kept(u64),
    Body(u64),
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole response without its line end; kept literals are in place, bodies are empty literals.
    Response(BytesMut),
    /// A body of a FETCH response was announced; [`Scanner::so_far`] tells what stood before it.
    Body {
        /// Its length. Upstream's word: no memory was taken for it.
        octets: u64,
    },
    /// Octets of the body announced last.
    BodyPart(BytesMut),
}

/// A response over the limit, or of more bodies than anybody asks for; the stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Default for Scanner {
    fn default() -> Self {
        Self::new(RESPONSE)
    }
}

impl Scanner {
    /// A scanner at the beginning of a response; one longer than `limit` octets is refused.
    pub fn new(limit: usize) -> Self {
        Self { limit, text: BytesMut::new(), searched: 0, state: State::Line, kind: None, bodies: 0 }
    }

    /// The text of the response that is not complete yet.
    pub fn so_far(&self) -> &[u8] {
        &self.text
    }

    /// Whether the next octet begins a response.
    pub fn between_responses(&self) -> bool {
        self.state == State::Line && self.text.is_empty() && self.searched == 0
    }

    /// The octets of the current body that are still to come.
    pub fn body_left(&self) -> u64 {
        if let State::Body(left) = self.state { left } else { 0 }
    }

    /// The next event, or `None` when more input is needed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, TooLarge> {
        loop {
            match self.state {
                State::Body(0) | State::Kept(0) => self.state = State::Line,
                State::Body(left) => return Ok(self.body_part(left, input)),
                State::Kept(left) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    self.keep(left, input);
                }
                State::Line => {
                    let Some(line) = self.line(input)? else { return Ok(None) };
                    if let Some(event) = self.end_of_line(line)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    fn body_part(&mut self, left: u64, input: &mut BytesMut) -> Option<Event> {
        if input.is_empty() {
            return None;
        }
        let part = input.split_to(at_most(left, input.len()));
        self.state = State::Body(left - part.len() as u64);
        Some(Event::BodyPart(part))
    }

    fn keep(&mut self, left: u64, input: &mut BytesMut) {
        let part = input.split_to(at_most(left, input.len()));
        self.state = State::Kept(left - part.len() as u64);
        self.text.extend_from_slice(&part);
    }

    /// The next line without its end; the limit is looked at before the line is complete.
    fn line(&mut self, input: &mut BytesMut) -> Result<Option<BytesMut>, TooLarge> {
        let from = self.searched.min(input.len());
        let found = input.get(from..).and_then(|unsearched| memchr(b'\n', unsearched));
        let length = found.map_or(input.len(), |at| from + at + 1);
        if self.text.len() + length > self.limit {
            return Err(TooLarge);
        }
        if found.is_none() {
            self.searched = input.len();
            return Ok(None);
        }
        self.searched = 0;
        let mut line = input.split_to(length);
        line.truncate(length - 1);
        if line.ends_with(b"\r") {
            line.truncate(length - 2);
        }
        Ok(Some(line))
    }

    fn end_of_line(&mut self, line: BytesMut) -> Result<Option<Event>, TooLarge> {
        let literal = announced(&line);
        let behind = literal.map_or(0, |literal| line.len() - literal.at);
        if self.text.is_empty() {
            self.text = line;
        } else {
            self.text.extend_from_slice(&line);
        }
        if let Some(literal) = literal {
            let kind = *self.kind.get_or_insert_with(|| kind(&self.text));
            if kind != Kind::Text {
                return self.begin_literal(kind, literal.octets, self.text.len() - behind);
            }
        }
        (self.kind, self.bodies) = (None, 0);
        Ok(Some(Event::Response(std::mem::take(&mut self.text))))
    }

    fn begin_literal(&mut self, kind: Kind, octets: u64, at: usize) -> Result<Option<Event>, TooLarge> {
        if kind == Kind::Fetch && names_body(self.text.get(..at).unwrap_or_default()) {
            self.bodies += 1;
            if self.bodies > BODIES {
                return Err(TooLarge);
            }
            self.text.truncate(at);
            self.text.extend_from_slice(b"{0}\r\n");
            self.state = State::Body(octets);
            return Ok(Some(Event::Body { octets }));
        }
        let held = self.text.len() as u64;
        if held.saturating_add(octets) > self.limit as u64 {
            return Err(TooLarge);
        }
        self.text.extend_from_slice(b"\r\n");
        self.state = State::Kept(octets);
        Ok(None)
    }
}

fn at_most(left: u64, there: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(there)
}

/// What a response is that begins with this line. Status responses, tagged ones and continuation requests end in
/// human-readable text, `{5}` there means nothing.
fn kind(line: &[u8]) -> Kind {
    const TEXTS: [&[u8]; 5] = [b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"];
    let Some(rest) = line.strip_prefix(b"*") else { return Kind::Text };
    let mut words = rest.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    if TEXTS.iter().any(|status| first.eq_ignore_ascii_case(status)) {
        return Kind::Text;
    }
    let fetch = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"FETCH"));
    if fetch { Kind::Fetch } else { Kind::Data }
}

/// Whether a literal behind `before`, in a FETCH response, is a body: `... BODY[] ` or `... BODY[]<0> `. No other item's
/// name ends with a bracket.
fn names_body(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let section = match before.strip_suffix(b">") {
        Some(origin) => {
            let digits = origin.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
            origin.get(..origin.len() - digits).and_then(|section| section.strip_suffix(b"<"))
        }
        None => Some(before),
    };
    section.is_some_and(|section| section.ends_with(b"]"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Responses as text, bodies as `<n>octets`, `!` for a refusal; parts of a body joined.
    fn scan(limit: usize, pieces: &[&[u8]]) -> String {
        let (mut scanner, mut input, mut found) = (Scanner::new(limit), BytesMut::new(), String::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match scanner.next(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Event::Response(text))) => found += &format!("|{}\n", text.escape_ascii()),
                    Ok(Some(Event::Body { octets })) => found += &format!("<{octets}>"),
                    Ok(Some(Event::BodyPart(part))) => found += &part.escape_ascii().to_string(),
                    Err(TooLarge) => return found + "!",
                }
            }
        }
        found
    }

    #[test]
    fn a_body_streams_and_other_literals_stay_in_place() {
        // RFC 3501 §4.3, RFC 3516 §4.2.
        let said = b"* 1 FETCH (UID 7 BODY[] {3}\r\na\r\n FLAGS ())\r\n\
            * 1 FETCH (BODY[TEXT]<0> ~{2}\r\n\0\xff)\r\n\
            * LIST () \"/\" {3}\r\na b\r\n\
            * 2 FETCH (X {2}\r\n{} BODY[] {0}\r\n)\r\n";
        let expected = r#"<3>a\r\n|* 1 FETCH (UID 7 BODY[] {0}\r\n FLAGS ())
<2>\x00\xff|* 1 FETCH (BODY[TEXT]<0> {0}\r\n)
|* LIST () \"/\" {3}\r\na b
<0>|* 2 FETCH (X {2}\r\n{} BODY[] {0}\r\n)
"#;
        assert_eq!(scan(RESPONSE, &[said]), expected);
    }

    #[test]
    fn words_of_a_status_announce_nothing() {
        // RFC 3501 §7.1: text, which may end as it likes.
        let said = b"* OK see {5}\r\n* NO {5}\r\n* BYE {5}\r\nB1 BAD BODY[] {5}\r\n+ {5}\r\n";
        let expected = "|* OK see {5}\n|* NO {5}\n|* BYE {5}\n|B1 BAD BODY[] {5}\n|+ {5}\n";
        assert_eq!(scan(RESPONSE, &[said]), expected);
    }

    #[test]
    fn lf_alone_ends_a_line_and_cr_alone_does_not() {
        assert_eq!(scan(RESPONSE, &[b"* OK a\n* OK b\rc\r\n\r\n"]), "|* OK a\n|* OK b\\rc\n|\n");
    }

    #[test]
    fn the_limit_is_looked_at_before_memory_is_taken() {
        assert_eq!(scan(10, &[b"* OK 45678\r\n"]), "!");
        assert_eq!(scan(10, &[b"* OK 4567890"]), "!");
        assert_eq!(scan(30, &[b"* LIST {9223372036854775807}\r\n"]), "!");
        assert_eq!(scan(30, &[b"* X {9}\r\n123456789 {9}\r\n"]), "!");
        // A body is never held, so its length is nobody's memory.
        assert_eq!(scan(50, &[b"* 1 FETCH (BODY[] {9223372036854775807}\r\nab"]), "<9223372036854775807>ab");
    }

    #[test]
    fn a_response_of_many_bodies_is_refused() {
        // Each would be looked at with all of those before it.
        let bodies = |count| format!("* 1 FETCH (UID 7{})\r\n", " BODY[] {0}\r\n".repeat(count));
        let most = BODIES as usize;
        let two = [bodies(most), bodies(most)].concat();
        let expected =
            format!("{}|* 1 FETCH (UID 7{})\n", "<0>".repeat(most), r" BODY[] {0}\r\n".repeat(most));
        assert_eq!(scan(RESPONSE, &[two.as_bytes()]), expected.repeat(2));
        assert_eq!(scan(RESPONSE, &[bodies(most + 1).as_bytes()]), "<0>".repeat(most) + "!");
    }

    #[test]
    fn what_a_response_is_its_first_line_tells_and_nobody_looks_again() {
        // Else a long beginning would be gone through once for each literal.
        assert_eq!(
            scan(RESPONSE, &[b"* {1}\r\n1 FETCH (BODY[] {2}\r\nab)\r\n"]),
            r"|* {1}\r\n1 FETCH (BODY[] {2}\r\nab)".to_owned() + "\n"
        );
    }

    fn said() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop_oneof![
            Just(b"* 1 FETCH (UID 7 BODY[] ".to_vec()),
            Just(b"* LIST () ".to_vec()),
            Just(b"{3}\r\n".to_vec()),
            Just(b"~{1}\r\n".to_vec()),
            Just(b"{0}\n".to_vec()),
            Just(b"BODY[]<9> ".to_vec()),
            Just(b")\r\n".to_vec()),
            Just(b"* OK x {2}\r\n".to_vec()),
            any::<Vec<u8>>(),
            "[ -~]{0,8}".prop_map(String::into_bytes),
        ];
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_split_of_any_octets_gives_the_same(said in said(), size in 1usize..9, limit in 1usize..60) {
            let pieces: Vec<&[u8]> = said.chunks(size).collect();
            prop_assert_eq!(scan(RESPONSE, &pieces), scan(RESPONSE, &[&said]));
            // Under a small limit too, up to the refusal.
            let (split, whole) = (scan(limit, &pieces), scan(limit, &[&said]));
            prop_assert_eq!(split.trim_end_matches('!'), whole.trim_end_matches('!'));
        }
    }
}
