//! Replies: ours, and upstream's on their way to the app (RFC 5321 §4.2, RFC 2034).

use std::borrow::Cow;

/// 512 octets, CRLF included (RFC 5321 §4.5.3.1.5).
const LINE: usize = 512;

/// What is left for text beside code, enhanced code and CRLF.
const TEXT: usize = LINE - 24;

/// More lines than any server's help text has; the rest of a longer reply is left out.
const LINES: usize = 64;

/// One reply: a code, perhaps an enhanced code, and at least one line of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    lines: Vec<Cow<'static, str>>,
}

/// `class.subject.detail` (RFC 3463); the class is always the reply code's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Enhanced {
    subject: u16,
    detail: u16,
}

impl Reply {
    /// A reply with an enhanced code `subject.detail` of the reply code's class (RFC 2034 §4).
    pub fn new(code: u16, subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: Some(Enhanced { subject, detail }), lines: vec![clean(text.into())] }
    }

    /// A reply that has no enhanced code: the greeting, EHLO, 334, 354 (RFC 2034 §4).
    pub fn bare(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::lines(code, [text.into()])
    }

    /// 334 with a challenge, already in base64, which may be empty (RFC 4954 §4).
    pub fn challenge(text: &'static str) -> Self {
        Self { code: 334, enhanced: None, lines: vec![text.into()] }
    }

    /// The same of several lines; never empty.
    pub fn lines(code: u16, lines: impl IntoIterator<Item = Cow<'static, str>>) -> Self {
        let mut lines: Vec<_> = lines.into_iter().take(LINES).map(clean).collect();
        if lines.is_empty() {
            lines.push(clean("".into()));
        }
        Self { code, enhanced: None, lines }
    }

    /// Upstream's reply from its lines as they came, CRLF taken off; `None` if they are no reply.
    ///
    /// ```abnf
    /// Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF   ; RFC 5321 §4.2
    /// ```
    ///
    /// A code of another class than the reply's is put right, text is cleaned and cut, an absent enhanced code
    /// stays absent until [`Reply::for_app`].
    pub fn from_upstream(raw: &[Vec<u8>]) -> Option<Self> {
        let code = reply_code(raw.first()?)?;
        let mut enhanced = None;
        let mut lines = Vec::new();
        for line in raw.iter().take(LINES) {
            if reply_code(line)? != code {
                return None;
            }
            let (found, text) = split_enhanced(line.get(4..).unwrap_or_default());
            enhanced = enhanced.or(found);
            lines.push(clean(String::from_utf8_lossy(text).into_owned().into()));
        }
        Some(Self { code, enhanced, lines })
    }

    /// Three digits, 200 to 599.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The first digit: 2, 3, 4 or 5.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.class() == 2
    }

    /// The lines without codes.
    pub fn text(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(AsRef::as_ref)
    }

    /// Code, enhanced code and all lines as one, at most `TEXT` octets, for a person and the log: mail addresses,
    /// which replies like to repeat, are left out.
    pub fn sentence(&self) -> String {
        let text = self.lines.join(" ");
        let words = text.split(' ').map(|word| if word.contains('@') { "(address)" } else { word });
        let mut text = self.prefix(' ') + &words.collect::<Vec<_>>().join(" ");
        text.truncate(TEXT); // All ASCII.
        text
    }

    /// As the app gets it where it asked for a verdict: with an enhanced code (RFC 2034 §4). 421 becomes 451, since
    /// it is upstream that closes and not we (RFC 5321 §3.8), and so does 3yz, which is no verdict.
    pub fn for_app(mut self) -> Self {
        if self.code == 421 || self.class() == 3 {
            self.code = 451;
        }
        if self.enhanced.is_none() {
            self.enhanced = Some(Enhanced { subject: 0, detail: 0 });
        }
        self
    }

    /// The octets on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(64);
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let separator = if at == last { ' ' } else { '-' };
            octets.extend_from_slice(self.prefix(separator).as_bytes());
            octets.extend_from_slice(line.as_bytes());
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }

    fn prefix(&self, separator: char) -> String {
        match self.enhanced {
            Some(Enhanced { subject, detail }) => {
                format!("{}{separator}{}.{subject}.{detail} ", self.code, self.class())
            }
            None => format!("{}{separator}", self.code),
        }
    }
}

/// The code of a reply line, if it is one: `250 text`, `250-text` or a bare `250`.
///
/// ```abnf
/// Reply-code = %x32-35 %x30-35 %x30-39      ; second digits 6 to 9 are in use too, 571 for example
/// ```
pub fn reply_code(line: &[u8]) -> Option<u16> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !matches!(rest.first(), None | Some(b' ' | b'-')) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    (200..600).contains(&code).then_some(code)
}

/// Whether another line of the same reply follows.
pub fn is_continued(line: &[u8]) -> bool {
    line.get(3) == Some(&b'-')
}

/// ```abnf
/// status-code = class "." subject "." detail     ; RFC 2034 §4, RFC 3463 §2
/// class       = "2" / "4" / "5"
/// subject     = 1*3DIGIT
/// detail      = 1*3DIGIT
/// ```
fn split_enhanced(text: &[u8]) -> (Option<Enhanced>, &[u8]) {
    let word = text.split(|octet| *octet == b' ').next().unwrap_or_default();
    let mut parts = word.split(|octet| *octet == b'.');
    let (class, subject, detail) = (parts.next(), parts.next(), parts.next());
    match (class, subject.and_then(number), detail.and_then(number), parts.next()) {
        (Some(b"2" | b"4" | b"5"), Some(subject), Some(detail), None) => (
            Some(Enhanced { subject, detail }),
            text.get(word.len()..).unwrap_or_default().trim_ascii_start(),
        ),
        _ => (None, text),
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    ((1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// Printable ASCII, one line, bounded, never empty: a code alone upsets some apps.
fn clean(text: Cow<'static, str>) -> Cow<'static, str> {
    let printable = |c: char| matches!(c, ' '..='~');
    if !text.is_empty() && text.len() <= TEXT && text.chars().all(printable) {
        return text;
    }
    let cleaned: String = text
        .trim()
        .chars()
        .take(TEXT)
        .map(|c| {
            if printable(c) {
                c
            } else if c.is_control() {
                ' '
            } else {
                '?'
            }
        })
        .collect();
    if cleaned.is_empty() { "no text given".into() } else { cleaned.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn upstream(lines: &[&str]) -> Option<Reply> {
        let raw: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        Reply::from_upstream(&raw)
    }

    fn shown(reply: Reply) -> String {
        String::from_utf8(reply.encode()).unwrap()
    }

    #[test]
    fn the_enhanced_code_is_on_every_line_rfc_2034_section_4() {
        let reply = upstream(&["550-5.1.1 no such", "550 5.1.1 mailbox"]).unwrap();
        assert_eq!(shown(reply.for_app()), "550-5.1.1 no such\r\n550 5.1.1 mailbox\r\n");
    }

    #[test]
    fn an_absent_or_contradicting_enhanced_code_is_put_right() {
        assert_eq!(shown(upstream(&["250 ok"]).unwrap().for_app()), "250 2.0.0 ok\r\n");
        assert_eq!(shown(upstream(&["550 4.7.1 no"]).unwrap().for_app()), "550 5.7.1 no\r\n");
        assert_eq!(shown(upstream(&["571 5.7.1 no"]).unwrap().for_app()), "571 5.7.1 no\r\n");
        assert_eq!(shown(upstream(&["250"]).unwrap().for_app()), "250 2.0.0 no text given\r\n");
        assert_eq!(shown(upstream(&["250 2.1.5"]).unwrap().for_app()), "250 2.1.5 no text given\r\n");
    }

    #[test]
    fn upstream_closing_is_not_our_closing_rfc_5321_section_3_8() {
        assert_eq!(shown(upstream(&["421 4.7.0 wait"]).unwrap().for_app()), "451 4.7.0 wait\r\n");
        assert_eq!(shown(upstream(&["354 what"]).unwrap().for_app()), "451 4.0.0 what\r\n");
    }

    #[test]
    fn the_log_shows_no_address_of_a_reply() {
        let reply = upstream(&["550-5.1.1 <bob@example.net>: no", "550 5.1.1 such user"]).unwrap();
        assert_eq!(reply.sentence(), "550 5.1.1 (address) no such user");
    }

    #[test]
    fn two_codes_in_one_reply_are_none() {
        assert_eq!(upstream(&["250-a", "550 b"]), None);
        assert_eq!(upstream(&["SSH-2.0-x"]), None);
        assert_eq!(upstream(&["199 x"]), None);
        assert_eq!(upstream(&["2500 x"]), None);
    }

    #[test]
    fn a_line_keeps_to_512_octets_rfc_5321_section_4_5_3_1_5() {
        let long = format!("550 5.7.1 {}", "x".repeat(10_000));
        assert!(upstream(&[&long]).unwrap().encode().len() <= 512);
    }

    proptest! {
        #[test]
        fn any_octets_make_a_proper_reply_or_none(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..5)) {
            let lines: Vec<Vec<u8>> = lines.into_iter().map(|mut l| { l.splice(0..0, *b"550 "); l }).collect();
            if let Some(reply) = Reply::from_upstream(&lines) {
                let octets = reply.for_app().encode();
                let text = std::str::from_utf8(&octets).unwrap();
                prop_assert!(text.ends_with("\r\n"));
                for line in text.trim_end_matches("\r\n").split("\r\n") {
                    prop_assert!(line.starts_with("550") && line.len() > 4);
                    prop_assert!(line.bytes().all(|o| (32..127).contains(&o)));
                }
            }
        }
    }
}
