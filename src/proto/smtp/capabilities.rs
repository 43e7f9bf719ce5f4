//! What a submission server offers, read from its EHLO reply (RFC 5321 §4.1.1.1).

use super::Reply;

/// The extensions we know; what we do not know we cannot pass on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// SIZE (RFC 1870): offered at all.
    pub size: bool,
    /// Its largest message in octets; `None` where it names no fixed maximum.
    pub largest: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH PLAIN (RFC 4954, RFC 4616).
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
    /// AUTH XOAUTH2.
    pub auth_xoauth2: bool,
    /// AUTH OAUTHBEARER (RFC 7628).
    pub auth_oauthbearer: bool,
}

/// What an app may use right now.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    /// Octets of a message.
    pub largest: u64,
    /// BODY.
    pub body: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// NOTIFY, ORCPT, RET, ENVID.
    pub dsn: bool,
}

impl Capabilities {
    /// Reads the lines behind the first, in any case; `AUTH=LOGIN` is the old form of `AUTH LOGIN`.
    ///
    /// ```abnf
    /// ehlo-line = ehlo-keyword *( SP ehlo-param )     ; RFC 5321 §4.1.1.1
    /// ```
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.text().skip(1) {
            found.line(&line.to_ascii_uppercase());
        }
        found
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split(|c: char| c == '=' || c.is_whitespace()).filter(|word| !word.is_empty());
        match words.next() {
            Some("SIZE") => {
                self.size = true;
                self.largest = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            }
            Some("8BITMIME") => self.eight_bit_mime = true,
            Some("SMTPUTF8") => self.smtputf8 = true,
            Some("DSN") => self.dsn = true,
            Some("PIPELINING") => self.pipelining = true,
            Some("ENHANCEDSTATUSCODES") => self.enhanced_status_codes = true,
            Some("STARTTLS") => self.starttls = true,
            Some("AUTH") => words.for_each(|mechanism| self.mechanism(mechanism)),
            _ => {}
        }
    }

    fn mechanism(&mut self, name: &str) {
        self.auth_plain |= name == "PLAIN";
        self.auth_login |= name == "LOGIN";
        self.auth_xoauth2 |= name == "XOAUTH2";
        self.auth_oauthbearer |= name == "OAUTHBEARER";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(lines: &[&'static str]) -> Capabilities {
        Capabilities::from_ehlo(&Reply::lines(250, lines.iter().map(|line| (*line).into())))
    }

    #[test]
    fn keywords_in_any_case_and_the_old_form_of_auth() {
        let found = offered(&["mx", "size 35882577", "8bitmime", "AUTH=LOGIN PLAIN", "Pipelining"]);
        assert_eq!((found.size, found.largest), (true, Some(35_882_577)));
        assert!(found.eight_bit_mime && found.auth_login && found.auth_plain && found.pipelining);
        assert!(!found.dsn && !found.starttls && !found.auth_xoauth2);
        let found = offered(&["mx", "auth login xoauth2 OAuthBearer"]);
        assert!(found.auth_xoauth2 && found.auth_oauthbearer && !found.auth_plain);
    }

    #[test]
    fn size_without_or_with_zero_or_garbage_names_no_maximum_rfc_1870_section_4() {
        for line in ["SIZE", "SIZE 0", "SIZE x", "SIZE 99999999999999999999999"] {
            assert_eq!((offered(&["mx", line]).size, offered(&["mx", line]).largest), (true, None), "{line}");
        }
    }

    #[test]
    fn the_greeting_line_of_the_reply_offers_nothing() {
        assert_eq!(offered(&["DSN"]), Capabilities::default());
    }
}
