//! What a token server answers: what is taken is a token that a mail protocol can carry, and what is told of anything
//! else is one plain clause of our own, whatever markup or control characters came.
//!
//! The first octet is the status, in hundreds and ones: 2, 4 or 5 as the usual digit, others from a table.

use footbridge::auth::oauth::fault::Fault;
use footbridge::auth::oauth::{Grant, exchange};
use footbridge::mail::OAuth2;
use footbridge::mail::oauth2::{self, Mechanism, Redirect};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};

pub fn run(input: &[u8]) {
    let (first, body) = input.split_first().unwrap_or((&b'2', input));
    let status = match first {
        b'2' => 200,
        b'4' => 400,
        b'5' => 503,
        other => [204, 302, 401, 403, 404, 408, 429, 500][usize::from(other % 8)],
    };
    let status = StatusCode::from_u16(status).expect("a status");
    let mut headers = HeaderMap::new();
    // The start of the answer once more: what a pause is read from may be anything, too.
    if let Ok(value) = HeaderValue::from_bytes(&body[..body.len().min(24)]) {
        headers.insert(RETRY_AFTER, value);
    }
    match exchange::understood(&server(), status, &headers, body) {
        Ok(answer) => {
            assert!(status.is_success(), "{status}");
            for token in std::iter::once(&answer.access_token).chain(&answer.refresh_token) {
                let octets = token.expose();
                assert!(
                    (1..=16 * 1024).contains(&octets.len())
                        && octets.iter().all(|o| matches!(o, b' '..=b'~'))
                );
            }
            assert!(answer.scopes.len() <= 64);
            for scope in &answer.scopes {
                assert!(
                    scope.len() <= 200 && scope.bytes().all(|octet| octet.is_ascii_graphic()),
                    "{scope:?}"
                );
            }
            assert!(!format!("{answer:?}").contains("CANARY"));
            let grant = Grant::new(answer, "our-client", 1_000_000);
            assert!((60..=365 * 24 * 3600).contains(&(grant.expires_at - grant.obtained_at)));
        }
        Err(fault) => assert_told(&fault),
    }
}

/// One clause of printable ASCII without markup, of which at most the error's name is the server's.
#[track_caller]
pub(super) fn assert_told(fault: &Fault) {
    let told = fault.to_string();
    assert!(told.chars().all(|c| matches!(c, ' '..='~')), "{told:?}");
    assert!(!told.contains(['<', '>', '&', '\\']), "{told:?}");
    assert!((1..600).contains(&told.len()), "{} octets: {told}", told.len());
}

pub(super) fn server() -> OAuth2 {
    OAuth2 {
        id: "example".into(),
        name: "Example".into(),
        authorization_endpoint: Some("https://login.example.org/authorize".into()),
        token_endpoint: "https://login.example.org/token".into(),
        device_authorization_endpoint: None,
        scopes: vec!["mail".into()],
        extra_authorize: Vec::new(),
        login_hint: true,
        redirect: Redirect::Loopback { host: "127.0.0.1" },
        grant: oauth2::Grant::User,
        mechanisms: vec![Mechanism::XOAuth2],
        client_id: Some("our-client".into()),
        client_secret: None,
        registration: None,
    }
}
