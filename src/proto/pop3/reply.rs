//! POP3's replies (RFC 1939 §3, RFC 2449 §3, response codes of RFC 2449 §8 and RFC 3206).
//!
//! ```abnf
//! response = status [SP "[" resp-code "]"] [SP text] CRLF      ; at most 512 octets
//! status   = "+OK" / "-ERR"                                    ; upper case, always
//! ```

/// What a reply line may have, CRLF included (RFC 1939 §3, RFC 2449 §4).
pub const REPLY_LIMIT: usize = 512;

/// A whole reply as it goes over the wire, its line ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(Vec<u8>);

/// Why it did not work, for the app's program (RFC 3206).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The credentials are wrong.
    Auth,
    /// It may work later.
    SysTemp,
    /// Somebody has to do something first.
    SysPerm,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::Auth => "[AUTH] ",
            Self::SysTemp => "[SYS/TEMP] ",
            Self::SysPerm => "[SYS/PERM] ",
        }
    }
}

impl Reply {
    /// `+OK text`.
    pub fn ok(text: &str) -> Self {
        Self(line(if text.is_empty() { "+OK" } else { "+OK " }, "", text))
    }

    /// `-ERR text`.
    pub fn err(text: &str) -> Self {
        Self(line("-ERR ", "", text))
    }

    /// `-ERR [code] text`.
    pub fn err_with(code: Code, text: &str) -> Self {
        Self(line("-ERR ", code.text(), text))
    }

    /// `+ challenge`, the space there even if the challenge is empty (RFC 5034 §4).
    pub fn challenge(base64: &str) -> Self {
        Self(line("+ ", "", base64))
    }

    /// `+OK text`, lines, and the dot; for short lists of our own words, which never begin with a dot.
    pub fn lines(text: &str, lines: &[&str]) -> Self {
        let Self(mut octets) = Self::ok(text);
        for line in lines {
            octets.extend_from_slice(line.as_bytes());
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(b".\r\n");
        Self(octets)
    }

    /// The octets to send.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// Printable ASCII and no more than fits: a text may carry upstream's words.
fn line(status: &str, code: &str, text: &str) -> Vec<u8> {
    let clean = text.chars().map(|c| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    });
    let room = REPLY_LIMIT - 2;
    let mut octets: Vec<u8> = status.bytes().chain(code.bytes()).collect();
    octets.extend(clean.take(room.saturating_sub(octets.len())).filter_map(|c| u8::try_from(c).ok()));
    octets.extend_from_slice(b"\r\n");
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        assert_eq!(Reply::ok("").octets(), b"+OK\r\n");
        assert_eq!(Reply::ok("2 320").octets(), b"+OK 2 320\r\n");
        assert_eq!(Reply::err_with(Code::Auth, "no").octets(), b"-ERR [AUTH] no\r\n");
        assert_eq!(Reply::challenge("").octets(), b"+ \r\n");
        assert_eq!(Reply::lines("", &["TOP", "UIDL"]).octets(), b"+OK\r\nTOP\r\nUIDL\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn rfc2449_4_one_line_of_at_most_512_printable_octets(text in "\\PC{0,40}|[\\x00-\\x7f]{0,2000}|\u{e4}{600}") {
            for reply in [Reply::ok(&text), Reply::err(&text), Reply::err_with(Code::SysTemp, &text)] {
                let octets = reply.octets();
                prop_assert!(octets.len() <= 512 && octets.ends_with(b"\r\n"));
                prop_assert!(octets[..octets.len() - 2].iter().all(|octet| matches!(octet, b' '..=b'~')));
            }
        }
    }
}
