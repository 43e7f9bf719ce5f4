//! Requests to a token server: a code, a refresh token or our own name for an access token.
//!
//! The oauth2 crate speaks the grammar, `net::http` carries it. The crate is strict where servers are not, so it is
//! shown what they said in canonical form: lives that came as text, scopes that came as a list, errors under status
//! 200. What is no answer of a token server at all never reaches it.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use oauth2::basic::{BasicClient, BasicTokenResponse};
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet, ErrorResponseType,
    HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardErrorResponse, TokenResponse, TokenUrl,
};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::fault::{self, Fault, Unheard};
use crate::mail::{OAuth2, Secret};
use crate::net::http::Client as Http;

/// The longest token taken: a mail protocol carries it in one line. Those of large tenants have some 4,000 octets.
const TOKEN: usize = 16 * 1024;

/// Scopes of an answer that are kept.
const SCOPES: usize = 64;

/// The longest pause between two questions that a server may ask for, in seconds: the crate adds to it.
const INTERVAL: u64 = 3600;

/// A successful answer (RFC 6749 §5.1).
#[derive(Clone, Debug)]
pub struct Answer {
    /// What upstream is shown.
    pub access_token: Secret,
    /// What gets the next one, where the server gives one or changes it.
    pub refresh_token: Option<Secret>,
    /// The access token's life in seconds, where the server tells it.
    pub expires_in: Option<u64>,
    /// What it is good for, where the server tells it.
    pub scopes: Vec<String>,
}

/// A client of the oauth2 crate that knows where tokens come from.
pub(super) type TokenClient<D = EndpointNotSet> =
    BasicClient<EndpointNotSet, D, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A code for tokens (RFC 6749 §4.1.3), with the verifier of PKCE (RFC 7636 §4.5).
///
/// # Errors
/// The server refuses or cannot be asked.
pub async fn code(
    server: &OAuth2,
    http: &Http,
    code: &Secret,
    verifier: &Secret,
    redirect: &str,
) -> Result<Answer, Fault> {
    let client = client(server)?;
    let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| fault::setting(server, "redirect"))?;
    let client = client.set_redirect_uri(redirect);
    let request = client
        .exchange_code(AuthorizationCode::new(text(code)?))
        .set_pkce_verifier(PkceCodeVerifier::new(text(verifier)?));
    answered(server, request.request_async(&asking(http)).await, fault::refused_code)
}

/// A refresh token for an access token (RFC 6749 §6). No scope is named: it stays what was granted.
///
/// # Errors
/// The server refuses or cannot be asked.
pub async fn refresh(server: &OAuth2, http: &Http, token: &Secret) -> Result<Answer, Fault> {
    let (client, token) = (client(server)?, RefreshToken::new(text(token)?));
    let request = client.exchange_refresh_token(&token);
    answered(server, request.request_async(&asking(http)).await, fault::refused)
}

/// Our own name and secret for an access token (RFC 6749 §4.4).
///
/// # Errors
/// The server refuses or cannot be asked.
pub async fn client_credentials(server: &OAuth2, http: &Http) -> Result<Answer, Fault> {
    let client = client(server)?;
    let request = client.exchange_client_credentials().add_scopes(scopes(server));
    answered(server, request.request_async(&asking(http)).await, fault::refused)
}

/// The crate's client for a server.
///
/// # Errors
/// There is no client id, or the address of the server is none.
pub(super) fn client(server: &OAuth2) -> Result<TokenClient, Fault> {
    let id = server.client_id.clone().ok_or_else(|| fault::no_client_id(server))?;
    let url = TokenUrl::new(server.token_endpoint.clone());
    let mut client = BasicClient::new(ClientId::new(id))
        // Every server takes it so, not every one takes the other way (RFC 6749 §2.3.1).
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(url.map_err(|_| fault::setting(server, "token_endpoint"))?);
    if let Some(secret) = &server.client_secret {
        client = client.set_client_secret(ClientSecret::new(text(secret)?));
    }
    Ok(client)
}

pub(super) fn scopes(server: &OAuth2) -> impl Iterator<Item = Scope> + '_ {
    server.scopes.iter().cloned().map(Scope::new)
}

/// Tokens are ASCII (RFC 6749 appendix A).
fn text(secret: &Secret) -> Result<String, Fault> {
    let text = secret.expose_str().map(str::to_owned);
    text.ok_or_else(|| Fault::sign_in("the stored token is no text"))
}

/// What the crate made of the answer; `refused` puts a refusal into words.
pub(super) fn answered<E>(
    server: &OAuth2,
    outcome: Result<BasicTokenResponse, RequestTokenError<Unheard, StandardErrorResponse<E>>>,
    refused: fn(&OAuth2, &str, Option<&str>) -> Fault,
) -> Result<Answer, Fault>
where
    E: ErrorResponseType + AsRef<str> + Display + 'static,
{
    let answer = match outcome {
        Ok(answer) => answer,
        Err(RequestTokenError::ServerResponse(error)) => {
            let description = error.error_description().map(String::as_str);
            return Err(refused(server, error.error().as_ref(), description));
        }
        Err(RequestTokenError::Request(unheard)) => return Err(unheard.into()),
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
            return Err(not_understood(&server.token_endpoint).into());
        }
    };
    let sound = |token: &str| {
        let visible = token.bytes().all(|octet| (0x20..0x7f).contains(&octet));
        !token.is_empty() && token.len() <= TOKEN && visible
    };
    let refresh_token =
        answer.refresh_token().map(|token| token.secret().as_str()).filter(|token| sound(token));
    if !sound(answer.access_token().secret()) {
        return Err(not_understood(&server.token_endpoint).into());
    }
    Ok(Answer {
        access_token: Secret::new(answer.access_token().secret().as_str()),
        refresh_token: refresh_token.map(Secret::new),
        expires_in: answer.expires_in().map(|life| life.as_secs()),
        scopes: answer.scopes().map(|scopes| told(scopes)).unwrap_or_default(),
    })
}

/// Scopes as they may be shown: printable ASCII (RFC 6749 §3.3), bounded.
fn told(scopes: &[Scope]) -> Vec<String> {
    let plain = |scope: &&str| scope.len() <= 200 && scope.bytes().all(|octet| octet.is_ascii_graphic());
    scopes.iter().map(|scope| scope.as_str()).filter(plain).take(SCOPES).map(str::to_owned).collect()
}

pub(super) fn not_understood(url: &str) -> Unheard {
    let host = url.parse::<hyper::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    Unheard::NotUnderstood { host: host.unwrap_or_default(), status: 200 }
}

/// The oauth2 crate's way to ask: gives each answer in the form the crate understands.
pub(super) fn asking(http: &Http) -> impl Fn(HttpRequest) -> Asked + Send + Sync + use<> {
    let http = http.clone();
    move |request| {
        let http = http.clone();
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let (head, body) = http.send(request).await?.into_parts();
            heard(&host, head.status, &head.headers, &Zeroizing::new(body))
        })
    }
}

/// What was answered, in the form the crate understands.
fn heard(host: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<HttpResponse, Unheard> {
    if matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error() {
        let (host, status) = (host.to_owned(), status.as_u16());
        return Err(Unheard::Trouble { host, status, pause: pause(headers) });
    }
    canonical(host, status, body)
}

/// What comes of an answer to [`refresh`] that did not have to be asked for: fuzz/ has it from here.
///
/// # Errors
/// As there.
#[doc(hidden)]
pub fn understood(
    server: &OAuth2,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Answer, Fault> {
    let (client, token) = (client(server)?, RefreshToken::new(String::new()));
    let answer =
        |request: HttpRequest| heard(request.uri().host().unwrap_or_default(), status, headers, body);
    answered(server, client.exchange_refresh_token(&token).request(&answer), fault::refused)
}

pub(super) type Asked = Pin<Box<dyn Future<Output = Result<HttpResponse, Unheard>> + Send>>;

/// `Retry-After` in seconds (RFC 9110 §10.2.3); as a date nobody sends it here.
fn pause(headers: &HeaderMap) -> Duration {
    let told = headers.get(RETRY_AFTER).and_then(|told| told.to_str().ok());
    Duration::from_secs(told.and_then(|told| told.trim().parse().ok()).unwrap_or(0))
}

/// The answer as RFC 6749 §5 would have it.
fn canonical(host: &str, status: StatusCode, body: &[u8]) -> Result<HttpResponse, Unheard> {
    let not_understood = || Unheard::NotUnderstood { host: host.to_owned(), status: status.as_u16() };
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) if status.is_success() || status.is_client_error() => fields,
        _ => return Err(not_understood()),
    };
    let refused =
        !status.is_success() || (fields.contains_key("error") && !fields.contains_key("access_token"));
    let fields = if refused { refusal(&fields).ok_or_else(not_understood)? } else { success(fields) };
    let octets = serde_json::to_vec(&fields).map_err(|_| not_understood())?;
    let mut answer = HttpResponse::new(octets);
    *answer.status_mut() = if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// RFC 6749 §5.2; what refines the error elsewhere is put into its description.
fn refusal(fields: &Map<String, Value>) -> Option<Map<String, Value>> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let words = [text("error_description"), text("error_subtype"), text("suberror")];
    let description = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut canonical = Map::new();
    canonical.insert("error".into(), text("error")?.into());
    canonical.insert("error_description".into(), description.into());
    Some(canonical)
}

/// RFC 6749 §5.1, and RFC 8628 §3.2 with the same habits.
fn success(mut fields: Map<String, Value>) -> Map<String, Value> {
    for name in ["expires_in", "interval"] {
        if let Some(told) = fields.remove(name)
            && let Some(seconds) = seconds(&told)
        {
            let most = if name == "interval" { INTERVAL } else { u64::MAX };
            fields.insert(name.into(), seconds.min(most).into());
        }
    }
    let scope = match fields.remove("scope") {
        Some(Value::String(scopes)) => scopes,
        Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    if !scope.is_empty() {
        fields.insert("scope".into(), scope.into());
    }
    if !fields.get("refresh_token").is_some_and(Value::is_string) {
        fields.remove("refresh_token");
    }
    // Where it is missing or odd: what a mail server takes is a bearer token.
    fields.insert("token_type".into(), "bearer".into());
    fields
}

/// A number of seconds, also as text or with a fraction.
fn seconds(told: &Value) -> Option<u64> {
    let whole = |text: &str| text.split('.').next().and_then(|whole| whole.trim().parse().ok());
    match told {
        Value::Number(number) => number.as_u64().or_else(|| whole(&number.to_string())),
        Value::String(text) => whole(text),
        _ => None,
    }
}
