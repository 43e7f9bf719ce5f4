//! POP3's command lines (RFC 1939 §3, RFC 2449 §4, RFC 5034 §4).
//!
//! ```abnf
//! command  = keyword *(SP param) *SP CRLF      ; keyword in any case; spaces at the end break nothing
//! keyword  = 3*4ALPHA
//! ```
//!
//! A tab counts as a space, since people type it and some scripts write it. PASS is the exception: its argument is all
//! that follows the first of them, octet for octet.

use std::num::NonZeroU32;

use crate::mail::Secret;

/// A message's number in one session, counted from 1 (RFC 1939 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(NonZeroU32);

impl MessageNumber {
    /// `None` for 0, which is no message.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number itself.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// What an app asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// `USER name`; the name is as the app sent it, without control characters.
    User(String),
    /// `PASS secret`, octet for octet; empty where the app sent none. `None` where it has CR or NUL, which no
    /// password can have.
    Pass(Option<Secret>),
    /// `AUTH`: which mechanisms are there (older than RFC 5034, and still asked).
    AuthList,
    /// `AUTH mechanism [initial-response]`.
    Auth {
        /// Its name, upper case; maybe one we do not have.
        mechanism: Vec<u8>,
        /// As it stood on the line, still in base64.
        initial: Option<Secret>,
    },
    /// `STLS` (RFC 2595 §4).
    Stls,
    /// `CAPA`.
    Capa,
    /// `UTF8` (RFC 6856 §2).
    Utf8,
    /// `LANG [language]` (RFC 6856 §3), as the app spelled it.
    Lang(Option<Vec<u8>>),
    /// `STAT`.
    Stat,
    /// `LIST [msg]`.
    List(Option<MessageNumber>),
    /// `UIDL [msg]`.
    Uidl(Option<MessageNumber>),
    /// `RETR msg`.
    Retr(MessageNumber),
    /// `TOP msg n`.
    Top(MessageNumber, u32),
    /// `DELE msg`.
    Dele(MessageNumber),
    /// `RSET`.
    Rset,
    /// `NOOP`.
    Noop,
    /// `QUIT`.
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// Nothing but spaces: harmless, an app's stray line end.
    Empty,
    /// No such keyword.
    Unknown,
    /// A command we know and do not have: APOP, whose digest could not be forwarded as a login.
    NotHere,
    /// The keyword is known, its arguments are not what it takes.
    Arguments,
    /// A message-number that no message can have: 0, or beyond 32 bits.
    NoSuchMessage,
    /// Longer than a command may be.
    TooLong,
}

/// Octets of a line, CRLF included, other than AUTH: more than any password; RFC 2449 §4 wants 255.
pub const COMMAND_LIMIT: usize = 2048;

/// Octets of an AUTH line or a SASL answer, CRLF included: RFC 4954 §4 names 12,288 for the longest tokens.
pub const SASL_LIMIT: usize = 16 * 1024;

impl Command {
    /// Its keyword, for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::User(_) => "USER",
            Self::Pass(_) => "PASS",
            Self::AuthList | Self::Auth { .. } => "AUTH",
            Self::Stls => "STLS",
            Self::Capa => "CAPA",
            Self::Utf8 => "UTF8",
            Self::Lang(_) => "LANG",
            Self::Stat => "STAT",
            Self::List(_) => "LIST",
            Self::Uidl(_) => "UIDL",
            Self::Retr(_) => "RETR",
            Self::Top(..) => "TOP",
            Self::Dele(_) => "DELE",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
        }
    }

    /// Parses one command line, its line end already taken off.
    ///
    /// # Errors
    /// [`SyntaxError`], each of which is answered `-ERR`.
    pub fn parse(line: &[u8]) -> Result<Self, SyntaxError> {
        let (keyword, tail) = split_word(line);
        let keyword = keyword.to_ascii_uppercase();
        if line.len() + 2 > COMMAND_LIMIT && keyword != b"AUTH" {
            return Err(SyntaxError::TooLong);
        }
        let words: Vec<&[u8]> =
            tail.split(|octet| is_blank(*octet)).filter(|word| !word.is_empty()).collect();
        match (keyword.as_slice(), words.as_slice()) {
            (b"PASS", _) => Ok(Self::Pass(secret(tail))),
            (b"USER", [_, ..]) => name(tail).map(Self::User),
            (b"AUTH", []) => Ok(Self::AuthList),
            (b"AUTH", [mechanism]) => Ok(auth(mechanism, None)),
            (b"AUTH", [mechanism, initial]) => Ok(auth(mechanism, Some(initial))),
            (b"STLS", []) => Ok(Self::Stls),
            (b"CAPA", []) => Ok(Self::Capa),
            (b"UTF8", []) => Ok(Self::Utf8),
            (b"LANG", []) => Ok(Self::Lang(None)),
            (b"LANG", [language]) => Ok(Self::Lang(Some(language.to_vec()))),
            (b"STAT", []) => Ok(Self::Stat),
            (b"LIST", []) => Ok(Self::List(None)),
            (b"LIST", [msg]) => number(msg).map(|number| Self::List(Some(number))),
            (b"UIDL", []) => Ok(Self::Uidl(None)),
            (b"UIDL", [msg]) => number(msg).map(|number| Self::Uidl(Some(number))),
            (b"RETR", [msg]) => number(msg).map(Self::Retr),
            (b"TOP", [msg, lines]) => top(msg, lines),
            (b"DELE", [msg]) => number(msg).map(Self::Dele),
            (b"RSET", []) => Ok(Self::Rset),
            (b"NOOP", []) => Ok(Self::Noop),
            (b"QUIT", []) => Ok(Self::Quit),
            (b"", []) => Err(SyntaxError::Empty),
            (b"APOP", _) => Err(SyntaxError::NotHere),
            (keyword, _) if KEYWORDS.contains(&keyword) => Err(SyntaxError::Arguments),
            _ => Err(SyntaxError::Unknown),
        }
    }
}

/// Those whose arguments can be wrong.
const KEYWORDS: &[&[u8]] = &[
    b"USER", b"AUTH", b"CAPA", b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"DELE", b"RSET", b"NOOP",
    b"QUIT", b"STLS", b"UTF8", b"LANG",
];

fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = line.splitn(2, |octet| is_blank(*octet));
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

fn secret(octets: &[u8]) -> Option<Secret> {
    (!octets.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0))).then(|| Secret::new(octets))
}

/// A name that is not UTF-8 belongs to no account; it is taken, since USER tells nothing (RFC 1939 §13).
fn name(octets: &[u8]) -> Result<String, SyntaxError> {
    let name = String::from_utf8_lossy(octets.trim_ascii());
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(SyntaxError::Arguments);
    }
    Ok(name.into_owned())
}

fn auth(mechanism: &[u8], initial: Option<&[u8]>) -> Command {
    Command::Auth { mechanism: mechanism.to_ascii_uppercase(), initial: initial.map(Secret::new) }
}

/// ```abnf
/// msg = 1*DIGIT            ; RFC 1939 §5, counted from 1
/// ```
fn number(digits: &[u8]) -> Result<MessageNumber, SyntaxError> {
    let number = decimal(digits).ok_or(SyntaxError::Arguments)?;
    u32::try_from(number).ok().and_then(MessageNumber::new).ok_or(SyntaxError::NoSuchMessage)
}

/// A count of lines beyond 32 bits means all of them.
fn top(msg: &[u8], lines: &[u8]) -> Result<Command, SyntaxError> {
    let lines = decimal(lines).ok_or(SyntaxError::Arguments)?;
    Ok(Command::Top(number(msg)?, u32::try_from(lines).unwrap_or(u32::MAX)))
}

/// Digits only; what does not fit is as large as can be.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &[u8]) -> Result<Command, SyntaxError> {
        Command::parse(line)
    }

    fn shown(line: &str) -> String {
        parse(line.as_bytes()).map_or_else(|error| format!("{error:?}"), |command| format!("{command:?}"))
    }

    #[test]
    fn rfc1939_3_keywords_in_any_case_and_spaces_at_the_end() {
        for line in ["stat", "STAT", "sTaT  ", "STAT "] {
            assert_eq!(shown(line), "Stat");
        }
        assert_eq!(shown("retr  2 "), shown("RETR 2"));
        assert_eq!(shown("USER ana@example.org  "), r#"User("ana@example.org")"#);
    }

    #[test]
    fn a_tab_is_a_space_but_not_within_a_password() {
        assert_eq!(shown("stat\t"), "Stat");
        assert_eq!(shown("TOP\t1 \t 2"), shown("TOP 1 2"));
        assert_eq!(shown("USER\tana\t"), r#"User("ana")"#);
        assert!(
            matches!(parse(b"PASS\ta\tb "), Ok(Command::Pass(Some(secret))) if secret.expose() == b"a\tb ")
        );
    }

    #[test]
    fn rfc1939_5_a_message_number_is_digits_and_not_zero() {
        assert_eq!(shown("RETR 007"), "Retr(MessageNumber(7))");
        for line in ["RETR 0", "DELE 00", "LIST 4294967296", "TOP 99999999999999999999999 1", "UIDL 0"] {
            assert_eq!(shown(line), "NoSuchMessage", "{line}");
        }
        for line in
            ["RETR -1", "RETR +1", "RETR 1x", "RETR x", "RETR", "RETR 1 2", "TOP 1", "TOP 1 -1", "TOP 1 1 1"]
        {
            assert_eq!(shown(line), "Arguments", "{line}");
        }
        assert_eq!(shown("TOP 1 99999999999999999999999"), "Top(MessageNumber(1), 4294967295)");
    }

    #[test]
    fn rfc1939_7_pass_keeps_every_octet() {
        let pass = |line: &[u8]| match parse(line) {
            Ok(Command::Pass(secret)) => secret.map(|secret| secret.expose().to_vec()),
            other => panic!("{other:?}"),
        };
        assert_eq!(pass(b"PASS  two words "), Some(b" two words ".to_vec()));
        assert_eq!(pass("pass p\u{e4}ss".as_bytes()), Some("p\u{e4}ss".into()));
        assert_eq!(pass(b"PASS \xff\xfe"), Some(b"\xff\xfe".to_vec()));
        assert_eq!(pass(&[b"PASS ".as_slice(), &[b'x'; 200]].concat()), Some(vec![b'x'; 200]));
        assert_eq!(pass(b"PASS"), Some(vec![]));
        assert_eq!(pass(b"PASS a\rb"), None);
        assert_eq!(pass(b"PASS a\0b"), None);
    }

    #[test]
    fn what_is_no_command() {
        for (line, error) in [
            ("", "Empty"),
            ("  ", "Empty"),
            ("XTND XMIT", "Unknown"),
            ("GET / HTTP/1.1", "Unknown"),
            ("APOP ana c4c9334bac560ecc979e58001b3e22fb", "NotHere"),
            ("STLS now", "Arguments"),
            ("QUIT now", "Arguments"),
            ("UTF8 now", "Arguments"),
            ("LANG en de", "Arguments"),
            ("USER", "Arguments"),
            ("USER a\0b", "Arguments"),
            (" STAT", "Unknown"),
        ] {
            assert_eq!(shown(line), error, "{line:?}");
        }
    }

    #[test]
    fn rfc2449_4_255_octets_are_taken_and_only_auth_may_be_longer_than_a_password() {
        assert!(parse(format!("USER {}", "x".repeat(248)).as_bytes()).is_ok());
        assert_eq!(shown(&format!("NOOP {}", "x".repeat(COMMAND_LIMIT))), "TooLong");
        assert!(parse(format!("AUTH PLAIN {}", "x".repeat(12_288)).as_bytes()).is_ok());
    }

    #[test]
    fn secrets_do_not_show() {
        assert_eq!(shown("PASS hunter2"), "Pass(Some(<secret>))");
        assert!(!shown("AUTH PLAIN aHVudGVyMg==").contains("aHVu"));
    }

    proptest! {
        #[test]
        fn any_octets_make_a_command_or_an_error(line in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&line);
        }

        #[test]
        fn a_number_comes_back(number in 1u32..) {
            let Ok(Command::Dele(parsed)) = parse(format!("dele {number}").as_bytes()) else { panic!() };
            prop_assert_eq!(parsed.get(), number);
        }
    }
}
