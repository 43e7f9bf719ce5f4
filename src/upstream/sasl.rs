//! SASL messages as we show them upstream, the same for IMAP and submission: PLAIN (RFC 4616), OAUTHBEARER
//! (RFC 7628) and XOAUTH2, which was there before it.
//!
//! ```text
//!  message ──▶ taken
//!     └──────▶ challenge: why not, in JSON (RFC 7628 §3.2.2) ──▶ dismissed ──▶ NO, 535
//! ```

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::UpstreamError;
use crate::mail::account::{Auth, Endpoint};
use crate::mail::oauth2::Mechanism;
use crate::mail::{Account, Secret};

/// An IMAP command line with a message in it is no longer than this; what is longer follows in a line of its own.
///
/// Exchange refuses lines of some 10,000 octets.
pub(super) const LONGEST_LINE: usize = 8000;

/// A challenge that says why not is some hundred octets.
const LONGEST_CHALLENGE: usize = 4096;

/// Of each thing a challenge says, what gets into a sentence.
const WORDS: usize = 80;

/// A mechanism's name.
pub(super) fn name(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::XOAuth2 => "XOAUTH2",
        Mechanism::OAuthBearer => "OAUTHBEARER",
    }
}

/// The mechanism for a token: the first of the account's that upstream offers.
///
/// # Errors
/// None is offered: no token goes anywhere.
pub(super) fn for_token(
    account: &Account,
    command: &'static str,
    offers: impl Fn(Mechanism) -> bool,
) -> Result<Mechanism, UpstreamError> {
    let wanted = match &account.auth {
        Auth::OAuth2(oauth2) => oauth2.mechanisms.as_slice(),
        Auth::Password => &[Mechanism::XOAuth2, Mechanism::OAuthBearer],
    };
    let found = wanted.iter().copied().find(|mechanism| offers(*mechanism));
    found.ok_or_else(|| {
        let names: Vec<_> = wanted.iter().map(|mechanism| name(*mechanism)).collect();
        let text = format!(
            "it offers no login with OAuth2 ({}) here; check host, port and auth in the account",
            names.join(" or ")
        );
        UpstreamError::Refused { command, text }
    })
}

/// Whether all this can be sent, in whichever mechanism: what would end a line or a field of a message is refused before
/// a connection is made.
pub(super) fn sendable(usernames: &[String], password: Option<&Secret>) -> Result<(), UpstreamError> {
    let ends = |octet: &u8| b"\r\n\0".contains(octet);
    let username = |name: &String| name.bytes().any(|octet| octet == 1 || ends(&octet));
    if usernames.iter().any(username) || password.is_some_and(|password| password.expose().iter().any(ends)) {
        let text = "user name or password holds a character that cannot be sent".to_owned();
        return Err(UpstreamError::LoginRefused { text });
    }
    Ok(())
}

/// The message of RFC 4616 §2.
pub(super) fn plain(username: &str, password: &Secret) -> Zeroizing<Vec<u8>> {
    joined(&[b"\0", username.as_bytes(), b"\0", password.expose()])
}

/// The message that shows a token.
///
/// ```abnf
/// oauthbearer = "n,a=" saslname "," %x01 "host=" host %x01 "port=" port %x01 auth %x01   ; RFC 7628 §3.1
/// xoauth2     = "user=" name %x01 auth %x01
/// auth        = "auth=Bearer " token %x01                                                ; RFC 6750 §2.1
/// ```
///
/// # Errors
/// The token is none: whoever made it could write further fields with it.
pub(super) fn bearer(
    mechanism: Mechanism,
    username: &str,
    endpoint: &Endpoint,
    token: &Secret,
) -> Result<Zeroizing<Vec<u8>>, UpstreamError> {
    let token = token.expose();
    if token.is_empty() || !token.iter().all(|octet| matches!(octet, b'!'..=b'~')) {
        let text = "what the token server gave is no access token".to_owned();
        return Err(UpstreamError::TokenRefused { text });
    }
    Ok(match mechanism {
        Mechanism::XOAuth2 => {
            joined(&[b"user=", username.as_bytes(), b"\x01auth=Bearer ", token, b"\x01\x01"])
        }
        Mechanism::OAuthBearer => {
            // RFC 5801 §4: a comma would end the name.
            let name = username.replace('=', "=3D").replace(',', "=2C");
            let place = format!(",\x01host={}\x01port={}\x01auth=Bearer ", endpoint.host, endpoint.port);
            joined(&[b"n,a=", name.as_bytes(), place.as_bytes(), token, b"\x01\x01"])
        }
    })
}

/// In one piece from the start: what a buffer outgrew would not be wiped.
fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(parts.concat())
}

/// What the server is answered once it said why not; it says NO then (RFC 7628 §3.2.3).
pub(super) fn dismissal(mechanism: Mechanism) -> &'static [u8] {
    match mechanism {
        Mechanism::XOAuth2 => b"",
        Mechanism::OAuthBearer => b"\x01",
    }
}

/// A message in base64.
pub(super) fn encoded(before: &str, message: &[u8]) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(before.len() + message.len().div_ceil(3) * 4 + 2));
    line.push_str(before);
    BASE64_STANDARD.encode_string(message, &mut line);
    line
}

/// A challenge without its base64; nothing where it is none, or is longer than any we know.
pub(super) fn decoded(challenge: &[u8]) -> Vec<u8> {
    if challenge.len() > LONGEST_CHALLENGE {
        return Vec::new();
    }
    BASE64_STANDARD.decode(challenge.trim_ascii()).unwrap_or_default()
}

/// What a challenge says of a token that is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// In words.
    said: String,
    /// It is no judgement of the token: the server cannot judge now.
    passing: bool,
}

impl Fault {
    /// Reads a challenge, its base64 taken off; `None` where it says nothing.
    pub(super) fn read(challenge: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(challenge).ok()?;
        let mut said = Vec::new();
        let mut passing = false;
        for (key, name) in [("status", "status"), ("scope", "scope"), ("schemes", "schemes")] {
            let text = match json.get(key) {
                Some(Value::String(text)) => clean(text),
                Some(Value::Number(number)) => number.to_string(),
                _ => continue,
            };
            if key == "status" {
                passing = is_passing(&text);
            }
            if !text.is_empty() {
                said.push(format!("{name} {text}"));
            }
        }
        (!said.is_empty()).then(|| Self { said: said.join(", "), passing })
    }
}

/// What a challenge as it came says, and whether that passes by itself: fuzz/ has it from here.
#[doc(hidden)]
pub fn challenge_says(challenge: &[u8]) -> Option<(String, bool)> {
    Fault::read(&decoded(challenge)).map(|fault| (fault.said, fault.passing))
}

/// HTTP's codes, as Google has them, or those of OAuth (RFC 6749 §4.1.2.1).
fn is_passing(status: &str) -> bool {
    let http = status.parse().is_ok_and(|code: u16| code == 429 || (500..600).contains(&code));
    http || matches!(status, "temporarily_unavailable" | "server_error")
}

fn clean(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' });
    printable.take(WORDS).collect::<String>().trim().to_owned()
}

/// What a refused login comes to where it was a token that was shown.
pub(super) fn judged(error: UpstreamError, fault: Option<Fault>) -> UpstreamError {
    match (error, fault) {
        (UpstreamError::LoginRefused { text }, None) => UpstreamError::TokenRefused { text },
        (UpstreamError::LoginRefused { text }, Some(Fault { said, passing: true })) => {
            UpstreamError::Unavailable { text: format!("{text} ({said})"), wait: None }
        }
        (UpstreamError::LoginRefused { text }, Some(Fault { said, .. })) => {
            UpstreamError::TokenRefused { text: format!("{text} ({said})") }
        }
        // Said why not and hung up.
        (UpstreamError::Lost { .. }, Some(Fault { said, passing: false })) => {
            UpstreamError::TokenRefused { text: said }
        }
        (error, _) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::account::Security;

    fn message(mechanism: Mechanism, username: &str, token: &str) -> Result<String, UpstreamError> {
        let endpoint = Endpoint { host: "imap.example.org".to_owned(), port: 993, security: Security::Tls };
        let message = bearer(mechanism, username, &endpoint, &Secret::new(token))?;
        Ok(String::from_utf8(message.to_vec()).expect("text"))
    }

    #[test]
    fn the_messages_of_both_mechanisms_rfc_7628_section_3_1() {
        assert_eq!(
            message(Mechanism::XOAuth2, "ana@example.org", "t0ken==").expect("a token"),
            "user=ana@example.org\x01auth=Bearer t0ken==\x01\x01"
        );
        assert_eq!(
            message(Mechanism::OAuthBearer, "a=n,a@example.org", "t0ken").expect("a token"),
            "n,a=a=3Dn=2Ca@example.org,\x01host=imap.example.org\x01port=993\x01auth=Bearer t0ken\x01\x01"
        );
    }

    #[test]
    fn a_token_that_could_write_fields_of_its_own_is_none() {
        for token in ["", "a\x01user=eve", "a\r\nb", "a b", "\u{e9}"] {
            let error = message(Mechanism::XOAuth2, "ana", token).expect_err(token);
            assert!(matches!(error, UpstreamError::TokenRefused { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_user_name_that_could_write_fields_or_lines_is_refused() {
        for name in ["a\x01auth=Bearer x", "a\r", "a\nb", "a\0b"] {
            assert!(sendable(&["ana".to_owned(), name.to_owned()], None).is_err(), "{name:?}");
        }
        assert!(sendable(&["ana,=@example.org".to_owned()], Some(&Secret::new("\x01"))).is_ok());
        assert!(sendable(&["ana".to_owned()], Some(&Secret::new("a\nb"))).is_err());
    }

    #[test]
    fn a_challenge_says_why_rfc_7628_section_3_2_2() {
        let said =
            |challenge: &str| Fault::read(challenge.as_bytes()).map(|fault| (fault.said, fault.passing));
        assert_eq!(
            said(r#"{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}"#),
            Some(("status 401, scope https://mail.google.com/, schemes bearer mac".to_owned(), false))
        );
        assert_eq!(said(r#"{"status":400}"#), Some(("status 400".to_owned(), false)));
        assert_eq!(said(r#"{"status":"503"}"#), Some(("status 503".to_owned(), true)));
        for nothing in ["", "{}", "[]", "null", "{", "<html>", r#"{"status":[]}"#] {
            assert_eq!(said(nothing), None, "{nothing}");
        }
        // As deep and as long as somebody likes.
        assert_eq!(said(&"[".repeat(4000)), None);
        assert_eq!(decoded(&b"e30=".repeat(2000)), b"");
        assert_eq!(
            (decoded(b" e30= "), decoded(b"go ahead"), decoded(b"")),
            (b"{}".to_vec(), vec![], vec![])
        );
        let (said, _) = said(&format!(r#"{{"scope":"a\r\nb{}"}}"#, "x".repeat(3000))).expect("words");
        assert!(said.starts_with("scope a  bxx") && said.len() < 100, "{said}");
    }
}
