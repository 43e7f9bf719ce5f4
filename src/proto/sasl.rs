//! SASL PLAIN and LOGIN as apps speak them; the same for POP3, IMAP and SMTP.
//!
//! ```text
//!  PLAIN   (initial response or empty challenge) ──▶ authzid NUL authcid NUL passwd      RFC 4616 §2
//!  LOGIN   "Username:" ──▶ name   "Password:" ──▶ passwd                                 draft-murchison-sasl-login-00
//! ```

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::mail::Secret;

/// Padding may be missing: some old apps leave it out, and nothing else can be meant.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an app offers at login. No CR, LF or NUL in the login name; none in the secret either.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The login name as the app sent it.
    pub login: String,
    /// The password.
    pub secret: Secret,
}

/// Mechanisms an app may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Two prompts; obsolete, and all that some apps speak.
    Login,
}

/// What the app is sent next, or what came of it.
#[derive(Debug)]
pub enum Progress {
    /// A challenge, already in base64; it goes behind `+ ` or `334 `.
    Challenge(&'static str),
    /// The exchange is over.
    Offer(Offer),
    /// The app gave up with `*`.
    Cancelled,
    /// Not base64, or not what the mechanism says.
    Malformed,
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    login: Option<String>,
}

/// Base64 of `Username:`, to the letter: apps compare it.
const USERNAME: &str = "VXNlcm5hbWU6";
/// Base64 of `Password:`.
const PASSWORD: &str = "UGFzc3dvcmQ6";

impl Mechanism {
    /// By its SASL name, in any case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"PLAIN") {
            Some(Self::Plain)
        } else if name.eq_ignore_ascii_case(b"LOGIN") {
            Some(Self::Login)
        } else {
            None
        }
    }
}

impl Exchange {
    /// Begins; `initial` is the initial response as it stood on the command line, where `=` is an empty one
    /// (RFC 4954 §4, RFC 5034 §4, RFC 4959 §3).
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>) -> (Self, Progress) {
        let mut exchange = Self { mechanism, login: None };
        let progress = match initial {
            Some(b"=") => exchange.decoded(b""),
            Some(text) => exchange.answer(text),
            None if mechanism == Mechanism::Login => Progress::Challenge(USERNAME),
            None => Progress::Challenge(""),
        };
        (exchange, progress)
    }

    /// Takes the app's next line, its CRLF already taken off.
    pub fn answer(&mut self, line: &[u8]) -> Progress {
        let text = line.trim_ascii_end();
        if text == b"*" {
            return Progress::Cancelled;
        }
        match BASE64.decode(text) {
            Ok(octets) => self.decoded(&Zeroizing::new(octets)),
            Err(_) => Progress::Malformed,
        }
    }

    fn decoded(&mut self, octets: &[u8]) -> Progress {
        match (self.mechanism, self.login.take()) {
            (Mechanism::Plain, _) => plain(octets).map_or(Progress::Malformed, Progress::Offer),
            (Mechanism::Login, None) => match name(octets) {
                Some(login) => {
                    self.login = Some(login);
                    Progress::Challenge(PASSWORD)
                }
                None => Progress::Malformed,
            },
            (Mechanism::Login, Some(login)) => match secret(octets) {
                Some(secret) => Progress::Offer(Offer { login, secret }),
                None => Progress::Malformed,
            },
        }
    }
}

/// ```abnf
/// message = [authzid] UTF8NUL authcid UTF8NUL passwd     ; RFC 4616 §2
/// ```
/// An authorization identity other than the login name is refused: nobody acts for another here.
fn plain(message: &[u8]) -> Option<Offer> {
    let mut parts = message.splitn(3, |octet| *octet == 0);
    let (authzid, authcid, passwd) = (parts.next()?, parts.next()?, parts.next()?);
    let offer = Offer { login: name(authcid)?, secret: secret(passwd)? };
    (authzid.is_empty() || authzid.eq_ignore_ascii_case(authcid)).then_some(offer)
}

fn name(octets: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(octets).ok()?;
    (!name.is_empty() && !name.chars().any(char::is_control)).then(|| name.to_owned())
}

fn secret(octets: &[u8]) -> Option<Secret> {
    let forbidden = |octet: &u8| matches!(octet, b'\r' | b'\n' | 0);
    (!octets.iter().any(forbidden)).then(|| Secret::new(octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_STANDARD;

    fn offer(progress: Progress) -> Option<(String, Vec<u8>)> {
        match progress {
            Progress::Offer(offer) => Some((offer.login, offer.secret.expose().to_vec())),
            _ => None,
        }
    }

    #[test]
    fn plain_with_an_initial_response() {
        let text = BASE64_STANDARD.encode("\0ana@example.org\0 p\u{e4}ss ");
        let (_, progress) = Exchange::begin(Mechanism::Plain, Some(text.as_bytes()));
        assert_eq!(offer(progress), Some(("ana@example.org".into(), " p\u{e4}ss ".into())));
    }

    #[test]
    fn plain_after_a_challenge_and_without_padding() {
        let (mut exchange, progress) = Exchange::begin(Mechanism::Plain, None);
        assert!(matches!(progress, Progress::Challenge("")));
        let text = BASE64_STANDARD.encode("\0a\0bc");
        let text = text.trim_end_matches('=');
        assert_eq!(offer(exchange.answer(text.as_bytes())), Some(("a".into(), b"bc".to_vec())));
    }

    #[test]
    fn plain_refuses_another_identity_control_octets_and_missing_parts() {
        for message in ["eve\0ana\0x", "\0ana", "", "\0\0x", "\0an\ra\0x", "\0ana\0x\r\nQUIT", "\0ana\0x\0y"]
        {
            let text = BASE64_STANDARD.encode(message);
            let (_, progress) = Exchange::begin(Mechanism::Plain, Some(text.as_bytes()));
            assert!(matches!(progress, Progress::Malformed), "{message:?}");
        }
        let (_, progress) = Exchange::begin(Mechanism::Plain, Some(b"="));
        assert!(matches!(progress, Progress::Malformed));
        let (_, progress) = Exchange::begin(Mechanism::Plain, Some(b"!!"));
        assert!(matches!(progress, Progress::Malformed));
    }

    #[test]
    fn login_asks_twice_and_takes_the_name_as_initial_response() {
        let (mut exchange, progress) = Exchange::begin(Mechanism::Login, None);
        assert!(matches!(progress, Progress::Challenge("VXNlcm5hbWU6")));
        assert!(matches!(exchange.answer(b"YW5h"), Progress::Challenge("UGFzc3dvcmQ6")));
        assert_eq!(offer(exchange.answer(b"eA==")), Some(("ana".into(), b"x".to_vec())));
        let (_, progress) = Exchange::begin(Mechanism::Login, Some(b"YW5h"));
        assert!(matches!(progress, Progress::Challenge("UGFzc3dvcmQ6")));
    }

    #[test]
    fn a_star_cancels() {
        let (mut exchange, _) = Exchange::begin(Mechanism::Plain, None);
        assert!(matches!(exchange.answer(b"*"), Progress::Cancelled));
    }
}
