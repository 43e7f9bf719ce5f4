//! `[oauth2.NAME]`: authorization servers, completed from the provider table, and who we are to them.
//!
//! Nobody's client id is compiled in but a packager's own: `FOOTBRIDGE_OAUTH2_CLIENTS="google=ID:SECRET,microsoft=ID"`
//! in the environment of the build.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::faults::{Faults, did_you_mean, shown};
use super::file;
use super::permissions;
use super::secret;
use super::values::{choice, plain};
use crate::mail::Secret;
use crate::mail::oauth2::{Grant, Mechanism, OAuth2, Redirect};
use crate::provider::oauth2::{Redirects, Required};
use crate::provider::{AuthorizationServer, Table};

/// Clients that the packager of this program registered.
const PACKAGED: Option<&str> = option_env!("FOOTBRIDGE_OAUTH2_CLIENTS");

/// The authorization servers accounts may name.
pub(super) struct Known(HashMap<String, Option<Arc<OAuth2>>>);

impl Known {
    /// `Err` where there is none of that name; `Ok(None)` where its faults were told.
    pub(super) fn get(&self, id: &str) -> Result<Option<Arc<OAuth2>>, ()> {
        self.0.get(id).cloned().ok_or(())
    }

    /// The names there are.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Those of the file, and those of the table that the file does not touch.
pub(super) fn check_all(
    tables: &BTreeMap<String, Spanned<file::OAuth2>>,
    path: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Known {
    let table = Table::builtin();
    let mut known = HashMap::new();
    for id in table.oauth2_ids() {
        if !tables.contains_key(id) {
            let nothing = Spanned::new(0..0, file::OAuth2::default());
            if let Some(server) = check(id, &nothing, path, faults, warnings) {
                known.insert(id.to_owned(), Some(Arc::new(server)));
            }
        }
    }
    for (id, given) in tables {
        known.insert(id.clone(), check(id, given, path, faults, warnings).map(Arc::new));
    }
    Known(known)
}

/// One server; `None` after its faults were told.
fn check(
    id: &str,
    given: &Spanned<file::OAuth2>,
    path: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Option<OAuth2> {
    let span = given.span();
    let given = given.get_ref();
    let row = Table::builtin().oauth2(id);
    let key = |name: &str| format!("[oauth2.{}] {name}", clean(id));
    let tenant = tenant(&given.tenant, &key("tenant"), faults);
    let tenant = tenant.or_else(|| row.and_then(|row| row.tenant.clone()));
    let words = [("authorization_code", Grant::User), ("client_credentials", Grant::ClientCredentials)];
    let grant = choice(&given.grant, &key("grant"), &words, faults);
    let grant = grant.unwrap_or_else(|| row.map_or(Grant::User, |row| row.grant));
    let mut endpoint = |text: &Option<Spanned<String>>, name: &str, of_row: Option<&String>| {
        let text = match text {
            Some(text) => Some(url(text, &key(name), faults)?),
            None => of_row.cloned(),
        };
        let Some(text) = text else { return Some(None) };
        match (&tenant, text.contains("{tenant}")) {
            (_, false) => Some(Some(text)),
            (Some(tenant), true) => Some(Some(text.replace("{tenant}", tenant))),
            (None, true) => {
                // Nobody uses a server of the table that the file does not name, unless an account does.
                if span != (0..0) {
                    faults.at(
                        span.clone(),
                        format!("{} is missing: the id or the domain of the organisation", key("tenant")),
                    );
                }
                None
            }
        }
    };
    let authorization_endpoint = endpoint(
        &given.authorization_endpoint,
        "authorization_endpoint",
        row.and_then(|row| row.authorization_endpoint.as_ref()),
    );
    let device_authorization_endpoint = endpoint(
        &given.device_authorization_endpoint,
        "device_authorization_endpoint",
        row.and_then(|row| row.device_authorization_endpoint.as_ref()),
    );
    let token_endpoint =
        endpoint(&given.token_endpoint, "token_endpoint", row.map(|row| &row.token_endpoint));
    let client_id = plain(&given.client_id, &key("client_id"), faults);
    let client_secret = client_secret(given, &key("client_secret"), path, faults, warnings);
    let redirect = redirect(given, row, client_id.is_some(), &key("redirect"), faults);
    let scopes = scopes(given, row, &key("scopes"), faults);
    let mechanisms = mechanisms(given, row, &key("sasl"), faults);
    let (authorization_endpoint, device_authorization_endpoint) =
        (authorization_endpoint?, device_authorization_endpoint?);
    let Some(token_endpoint) = token_endpoint? else {
        let cure = match did_you_mean(id, Table::builtin().oauth2_ids()) {
            Some(meant) => format!("did you mean [oauth2.{meant}]?"),
            None => "name its authorization_endpoint and token_endpoint".to_owned(),
        };
        faults.at(span, format!("[oauth2.{}] is not in the provider table; {cure}", clean(id)));
        return None;
    };
    if grant == Grant::User && authorization_endpoint.is_none() && device_authorization_endpoint.is_none() {
        faults
            .at(span, format!("{} is missing; without it nobody can sign in", key("authorization_endpoint")));
        return None;
    }
    let packaged = packaged(PACKAGED.unwrap_or_default(), id).filter(|_| client_id.is_none());
    let (client_id, client_secret) = match packaged {
        Some((id, secret)) => (Some(id), secret),
        None => (client_id, client_secret?),
    };
    let wants_secret = row.is_some_and(|row| row.client_secret == Some(Required::Required));
    if client_id.is_some() && client_secret.is_none() && wants_secret {
        let name = row.map_or(id, |row| &row.name);
        warnings.push(format!(
            "{name} refuses a client without its secret; write {} = \"...\"",
            key("client_secret")
        ));
    }
    Some(OAuth2 {
        id: id.to_owned(),
        name: row.map_or_else(|| id.to_owned(), |row| row.name.clone()),
        authorization_endpoint,
        token_endpoint,
        device_authorization_endpoint,
        scopes: scopes?,
        extra_authorize: row.map(|row| row.extra_authorize.clone()).unwrap_or_default().into_iter().collect(),
        login_hint: row.is_none_or(|row| row.login_hint),
        redirect: redirect?,
        grant,
        mechanisms: mechanisms?,
        client_id,
        client_secret,
        registration: row.and_then(|row| row.registration.clone()),
    })
}

/// A key of odd characters is not shown: it may be a slip of something secret.
fn clean(id: &str) -> &str {
    let plain = id.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-'));
    if plain && !id.is_empty() && id.len() <= 40 { id } else { "NAME" }
}

/// It becomes a part of a path.
fn tenant(text: &Option<Spanned<String>>, key: &str, faults: &mut Faults<'_>) -> Option<String> {
    let text = text.as_ref()?;
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
    if text.get_ref().is_empty() || !text.get_ref().bytes().all(fits) {
        let given = shown(text.get_ref());
        faults.at(text.span(), format!("{key} = {given} is not a tenant; write its id or its domain"));
        return None;
    }
    Some(text.get_ref().clone())
}

/// Tokens go over TLS (RFC 6749 §3.2), unless they stay on this machine.
fn url(text: &Spanned<String>, key: &str, faults: &mut Faults<'_>) -> Option<String> {
    let url = text.get_ref();
    let rest =
        url.strip_prefix("https://").or_else(|| url.strip_prefix("http://").filter(|rest| is_here(rest)));
    let graphic = url.bytes().all(|octet| octet.is_ascii_graphic());
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) || !graphic || url.contains('#') {
        let given = shown(url);
        faults.at(text.span(), format!("{key} = {given} is not a URL of https (http only on this machine)"));
        return None;
    }
    Some(url.clone())
}

/// Whether what stands behind `http://` is this machine (RFC 8252 §7.3), for certain.
fn is_here(rest: &str) -> bool {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix("[::1]") {
        Some(port) => return port.is_empty() || port.starts_with(':'),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !authority.contains('@') && matches!(host, "127.0.0.1" | "localhost")
}

/// In the file itself, or where the file says; read at start.
fn client_secret(
    given: &file::OAuth2,
    key: &str,
    path: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Option<Option<Secret>> {
    let Some(secret) = &given.client_secret else { return Some(None) };
    match secret.get_ref() {
        file::Secret::Word(word) if word.is_empty() || word.chars().any(char::is_control) => {
            faults.at(secret.span(), format!("{key} is empty or has a control character; write it again"));
            None
        }
        file::Secret::Word(word) => {
            if std::fs::metadata(path).is_ok_and(|metadata| permissions::others_may_read(&metadata)) {
                let file = path.display();
                warnings.push(format!("others may read {key} in {file}; run: chmod 600 {file}"));
            }
            Some(Some(Secret::new(word.as_str())))
        }
        file::Secret::Place(place) => match secret::read_now(place, path) {
            Ok(secret) => Some(Some(secret)),
            Err(fault) => {
                faults.at(secret.span(), format!("{key}: {fault}"));
                None
            }
        },
    }
}

fn redirect(
    given: &file::OAuth2,
    row: Option<&AuthorizationServer>,
    registered: bool,
    key: &str,
    faults: &mut Faults<'_>,
) -> Option<Redirect> {
    let loopback = |host| Some(Redirect::Loopback { host });
    let Some(text) = &given.redirect else {
        return match row.and_then(|row| row.redirect) {
            Some(Redirects::Localhost) => loopback("localhost"),
            Some(Redirects::Fixed) if registered => {
                let span = given.client_id.as_ref().map(Spanned::span).unwrap_or_default();
                faults.at(
                    span,
                    format!("{key} is missing: the redirect URL as it was registered with this client_id"),
                );
                None
            }
            // Without a client id nobody is sent anywhere.
            Some(Redirects::Address | Redirects::Fixed) | None => loopback("127.0.0.1"),
        };
    };
    match text.get_ref().trim_end_matches('/') {
        "http://127.0.0.1" => loopback("127.0.0.1"),
        "http://localhost" => loopback("localhost"),
        _ => url(text, key, faults).map(Redirect::Fixed),
    }
}

/// Each once, reading before submission.
fn scopes(
    given: &file::OAuth2,
    row: Option<&AuthorizationServer>,
    key: &str,
    faults: &mut Faults<'_>,
) -> Option<Vec<String>> {
    if let Some(texts) = &given.scopes {
        // RFC 6749 §3.3: scope-token.
        let odd = |text: &&Spanned<String>| {
            let token = |octet: u8| octet.is_ascii_graphic() && octet != b'"' && octet != b'\\';
            text.get_ref().is_empty() || !text.get_ref().bytes().all(token)
        };
        if let Some(text) = texts.iter().find(odd) {
            let given = shown(text.get_ref());
            faults.at(text.span(), format!("{key}: {given} is not a scope; write one a string"));
            return None;
        }
        return Some(texts.iter().map(|text| text.get_ref().clone()).collect());
    }
    let mut scopes: Vec<String> = Vec::new();
    for scope in row.into_iter().flat_map(|row| row.scopes_imap.iter().chain(&row.scopes_smtp)) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    Some(scopes)
}

fn mechanisms(
    given: &file::OAuth2,
    row: Option<&AuthorizationServer>,
    key: &str,
    faults: &mut Faults<'_>,
) -> Option<Vec<Mechanism>> {
    let Some(texts) = &given.sasl else {
        let both = || vec![Mechanism::XOAuth2, Mechanism::OAuthBearer];
        return Some(row.map_or_else(both, |row| row.mechanisms.clone()));
    };
    let mut mechanisms = Vec::new();
    for text in texts {
        let Some(mechanism) = Mechanism::from_name(text.get_ref()) else {
            let given = shown(text.get_ref());
            faults.at(
                text.span(),
                format!("{key}: {given} is not known; write \"XOAUTH2\" or \"OAUTHBEARER\""),
            );
            return None;
        };
        mechanisms.push(mechanism);
    }
    if mechanisms.is_empty() {
        faults.at(texts_span(given), format!("{key} names no mechanism; leave it out for its default"));
        return None;
    }
    Some(mechanisms)
}

fn texts_span(given: &file::OAuth2) -> std::ops::Range<usize> {
    given.client_id.as_ref().map(Spanned::span).unwrap_or_default()
}

/// The packager's client of this name: `NAME=ID` or `NAME=ID:SECRET`, between commas.
fn packaged(list: &str, id: &str) -> Option<(String, Option<Secret>)> {
    let client =
        list.split(',').find_map(|entry| entry.trim().split_once('=').filter(|(name, _)| *name == id))?.1;
    match client.split_once(':') {
        Some((client, secret)) => Some((client.to_owned(), Some(Secret::new(secret)))),
        None => Some((client.to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packagers_clients_are_told_apart() {
        let list = "google=1.apps:s3cret, microsoft=2";
        let (id, secret) = packaged(list, "google").expect("there");
        assert_eq!(id, "1.apps");
        assert!(secret.is_some_and(|secret| secret.same_as(&Secret::new("s3cret"))));
        assert!(matches!(packaged(list, "microsoft"), Some((id, None)) if id == "2"));
        assert!(packaged(list, "yahoo").is_none() && packaged("", "google").is_none());
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for here in ["127.0.0.1/x", "127.0.0.1:80/", "localhost", "localhost:1?x", "[::1]:8/x", "[::1]"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in [
            "127.0.0.1.example.org/",
            "localhost@example.org/",
            "localhost:x@example.org/",
            "[::1].example.org/",
            "example.org/",
            "",
            "127.0.0.2/",
        ] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
