//! Authorization servers of the table; what the words mean stands in `config/providers.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::mail::oauth2::{Grant, Mechanism};

/// `[oauth2.NAME]`: all but our own registration there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationServer {
    /// What a person calls it.
    pub name: String,
    /// How tokens are got.
    #[serde(default, deserialize_with = "grant")]
    pub grant: Grant,
    /// Where a browser goes; may hold `{tenant}`.
    pub authorization_endpoint: Option<String>,
    /// Where tokens come from; may hold `{tenant}`.
    pub token_endpoint: String,
    /// Where device codes come from; may hold `{tenant}`.
    pub device_authorization_endpoint: Option<String>,
    /// What `{tenant}` stands for where nobody says.
    pub tenant: Option<String>,
    /// Scopes for reading.
    pub scopes_imap: Vec<String>,
    /// Scopes for submission.
    pub scopes_smtp: Vec<String>,
    /// Parameters of the authorization request beyond the standard's.
    #[serde(default)]
    pub extra_authorize: BTreeMap<String, String>,
    /// Whether the address may go along as `login_hint`.
    #[serde(default)]
    pub login_hint: bool,
    /// Where the browser is sent back to.
    pub redirect: Option<Redirects>,
    /// Who registers a client.
    pub client: Registrar,
    /// Whether the server refuses a client without a secret.
    pub client_secret: Option<Required>,
    #[serde(rename = "sasl", deserialize_with = "mechanisms")]
    /// SASL mechanisms, the one to use first.
    pub mechanisms: Vec<Mechanism>,
    /// A page where a client is registered.
    pub registration: Option<String>,
}

/// Where the browser may be sent back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Redirects {
    /// `http://127.0.0.1:PORT` with any port.
    #[serde(rename = "127.0.0.1")]
    Address,
    /// `http://localhost:PORT` with any port.
    #[serde(rename = "localhost")]
    Localhost,
    /// As registered.
    #[serde(rename = "fixed")]
    Fixed,
}

/// Who registers a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Registrar {
    /// Anybody, free of charge.
    Own,
    /// The server, after approval or by contract.
    Gated,
    /// A program (RFC 7591).
    Dynamic,
}

/// The one word of `client_secret`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Required {
    /// Without one the server refuses.
    Required,
}

fn grant<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Grant, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "client_credentials" => Ok(Grant::ClientCredentials),
        other => Err(serde::de::Error::custom(format!("unknown grant {other}"))),
    }
}

fn mechanisms<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Mechanism>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = |name: &String| {
        Mechanism::from_name(name)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown mechanism {name}")))
    };
    names.iter().map(known).collect()
}
