//! What a browser brings back from the provider's pages: octets to meaning, no I/O (RFC 6749 §4.1.2).
//!
//! ```text
//!  a request to the loopback address ── asked ──▶ query ─┐
//!  the address a person pastes ──────── pasted ─▶ query ─┴─ read, state equal? ──▶ a code, or a refusal
//! ```

use hyper::header::HOST;
use hyper::{Method, Request};
use oauth2::url::form_urlencoded;

use crate::mail::Secret;

/// The longest request head, and the longest text pasted, in octets: codes have up to some 2,000.
pub const LONGEST: usize = 16 * 1024;

/// What the browser brought.
#[derive(Debug)]
pub enum Redirected {
    /// What tokens are got with; never empty.
    Code(Secret),
    /// The provider, or the person, said no.
    Refused {
        /// The error's name (RFC 6749 §4.1.2.1) as it came; empty where there is none.
        error: String,
        /// The server's words as they came: they are not for showing.
        description: Option<String>,
    },
}

/// Reads a redirect's query; `None` where it is not the answer to the attempt with this state.
pub fn read(query: &str, state: &Secret) -> Option<Redirected> {
    let (mut code, mut given, mut error, mut description) = (None, None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "code" => &mut code,
            "state" => &mut given,
            "error" => &mut error,
            "error_description" => &mut description,
            _ => continue,
        };
        // RFC 6749 §3.1: none may be there twice. Who sends two of a kind hopes that we look at the other one.
        if place.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    if !Secret::new(given?).same_as(state) {
        return None;
    }
    match (error, code) {
        (None, Some(code)) if !code.is_empty() => Some(Redirected::Code(Secret::new(code))),
        (error, _) => Some(Redirected::Refused { error: error.unwrap_or_default(), description }),
    }
}

/// The query of an address that a person pasted, or of what they took for it; `None` where it cannot be the whole one.
pub fn pasted(text: &str) -> Option<&str> {
    let text = text.trim();
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    (text.len() <= LONGEST && query.contains("state=")).then_some(query)
}

/// Why a request is not for the one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It is for another host, or leaves open for which.
    Host,
    /// It is for another path.
    Path,
    /// It does not fetch (RFC 9110 §9.3.1).
    Method,
}

/// The query of a request for the one address, whose host and port `authority` is; empty where it has none.
///
/// # Errors
/// It asks for something else.
pub fn asked<B>(request: &Request<B>, authority: &str) -> Result<String, Foreign> {
    // A web page whose name leads here (DNS rebinding) has its own name in this header.
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let ours = host.is_some_and(|host| host.eq_ignore_ascii_case(authority));
    if !ours || hosts.next().is_some() || request.uri().authority().is_some() {
        return Err(Foreign::Host);
    }
    if request.uri().path() != "/" {
        return Err(Foreign::Path);
    }
    if request.method() != Method::GET {
        return Err(Foreign::Method);
    }
    Ok(request.uri().query().unwrap_or_default().to_owned())
}
