//! An authorization server, and what we are to it (RFC 6749).

use super::Secret;

/// Everything that must be known to get tokens for an account; one for each `[oauth2.NAME]`.
#[derive(Clone, Debug)]
pub struct OAuth2 {
    /// `NAME` of `[oauth2.NAME]`.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Where a browser goes (RFC 6749 §3.1); `None` where there is no such flow.
    pub authorization_endpoint: Option<String>,
    /// Where tokens come from (RFC 6749 §3.2): https, or http on this machine.
    pub token_endpoint: String,
    /// Where device codes come from (RFC 8628 §3.1); `None` where the flow is not to be had for mail.
    pub device_authorization_endpoint: Option<String>,
    /// What is asked for, reading and submission together, each once.
    pub scopes: Vec<String>,
    /// Parameters of the authorization request beyond the standard's.
    pub extra_authorize: Vec<(String, String)>,
    /// Whether the address may go along as `login_hint`.
    pub login_hint: bool,
    /// Where the browser is sent back to.
    pub redirect: Redirect,
    /// How tokens are got.
    pub grant: Grant,
    /// SASL mechanisms, the one to use first.
    pub mechanisms: Vec<Mechanism>,
    /// Our name there (RFC 6749 §2.2); `None` until somebody registered one.
    pub client_id: Option<String>,
    /// What goes with it, where the server demands it.
    pub client_secret: Option<Secret>,
    /// A page where a client is registered.
    pub registration: Option<String>,
}

/// How tokens are got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// A person signs in: with a browser (RFC 6749 §4.1) or a device code (RFC 8628).
    #[default]
    User,
    /// Nobody is present (RFC 6749 §4.4).
    ClientCredentials,
}

/// Where the browser is sent back to (RFC 8252 §7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// `http://HOST:PORT` with a port the system chooses.
    Loopback {
        /// `127.0.0.1` or `localhost`, as the server's rules have it.
        host: &'static str,
    },
    /// Exactly what was registered; the user pastes what the browser shows.
    Fixed(String),
}

/// A SASL mechanism for bearer tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Google's, taken over by others.
    XOAuth2,
    /// RFC 7628.
    OAuthBearer,
}

impl Mechanism {
    /// By its name in SASL, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = [("XOAUTH2", Self::XOAuth2), ("OAUTHBEARER", Self::OAuthBearer)];
        known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, mechanism)| mechanism)
    }
}
