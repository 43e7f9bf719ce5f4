//! Sign-in with a code that is typed in on another device (RFC 8628): for machines without a browser.

use std::future::Future;
use std::time::Duration;

use oauth2::{
    DeviceAuthorizationUrl, EndpointNotSet, EndpointSet, RequestTokenError,
    StandardDeviceAuthorizationResponse,
};
use tokio::time::{sleep, timeout};

use super::exchange::{self, TokenClient};
use super::sign_in::SignInError;
use super::{Grant, fault, grant};
use crate::mail::OAuth2;
use crate::net::http::{Client as Http, is_this_machine};

/// The server is not asked more often, whatever it allows.
const INTERVAL: Duration = Duration::from_secs(1);

/// And not for longer, whatever it promises; most give 15 minutes.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// The longest code a person types.
const USER_CODE: usize = 64;

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Device {
    /// What the person types, printable ASCII.
    pub user_code: String,
    /// Where, a web address.
    pub verification_uri: String,
    /// The same with the code in it, where the server gives one.
    pub verification_uri_complete: Option<String>,
    /// How long the code is good.
    pub expires_in: Duration,
    server: OAuth2,
    codes: StandardDeviceAuthorizationResponse,
}

/// Asks for a code (RFC 8628 §3.1).
///
/// # Errors
/// The server has no such flow, refuses, or cannot be asked.
pub async fn begin(server: &OAuth2, http: &Http) -> Result<Device, SignInError> {
    let client = client(server)?;
    let request = client.exchange_device_code().add_scopes(exchange::scopes(server));
    let codes = request.request_async(&exchange::asking(http)).await;
    let codes: StandardDeviceAuthorizationResponse = match codes {
        Ok(codes) => codes,
        Err(RequestTokenError::ServerResponse(error)) => {
            let description = error.error_description().map(String::as_str);
            return Err(fault::refused(server, error.error().as_ref(), description).into());
        }
        Err(RequestTokenError::Request(unheard)) => return Err(fault::Fault::from(unheard).into()),
        Err(_) => return Err(senseless(server)),
    };
    let user_code = codes.user_code().secret().clone();
    let verification_uri = codes.verification_uri().to_string();
    let complete = codes.verification_uri_complete().map(|uri| uri.secret().clone());
    let typable = !user_code.is_empty() && user_code.len() <= USER_CODE && is_printable(&user_code);
    if !typable || !is_page(&verification_uri) {
        return Err(senseless(server));
    }
    Ok(Device {
        user_code,
        verification_uri,
        verification_uri_complete: complete.filter(|uri| is_page(uri)),
        expires_in: codes.expires_in().min(LONGEST),
        server: server.clone(),
        codes,
    })
}

impl Device {
    /// Asks until the person has signed in (RFC 8628 §3.4), as often as the server wants to be asked (§3.5).
    ///
    /// # Errors
    /// It is refused, or the code has expired.
    pub async fn finish(&self, http: &Http) -> Result<Grant, SignInError> {
        self.poll(http, sleep).await
    }

    async fn poll<F>(&self, http: &Http, sleep: impl Fn(Duration) -> F) -> Result<Grant, SignInError>
    where
        F: Future<Output = ()>,
    {
        let client = client(&self.server)?;
        let request = client.exchange_device_access_token(&self.codes);
        let ask = exchange::asking(http);
        let pause = |interval: Duration| sleep(interval.max(INTERVAL));
        let outcome =
            timeout(self.expires_in, request.request_async(&ask, pause, Some(self.expires_in))).await;
        let outcome = outcome.map_err(|_| SignInError::TimedOut { after: self.expires_in })?;
        let answer = exchange::answered(&self.server, outcome, fault::refused)?;
        let client_id = self.server.client_id.as_deref().unwrap_or_default();
        Ok(Grant::new(answer, client_id, grant::unix_now()))
    }
}

fn client(server: &OAuth2) -> Result<TokenClient<EndpointSet>, SignInError> {
    let Some(endpoint) = server.device_authorization_endpoint.clone() else {
        let way = "sign-in with a code typed in on another device";
        return Err(SignInError::NotOffered { server: server.name.clone(), way });
    };
    let endpoint = DeviceAuthorizationUrl::new(endpoint);
    let client: TokenClient<EndpointNotSet> = exchange::client(server)?;
    Ok(client.set_device_authorization_url(
        endpoint.map_err(|_| fault::setting(server, "device_authorization_endpoint"))?,
    ))
}

fn senseless(server: &OAuth2) -> SignInError {
    let url = server.device_authorization_endpoint.as_deref().unwrap_or_default();
    fault::Fault::from(exchange::not_understood(url)).into()
}

/// What is printed on a terminal: no control character.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|octet| (0x20..0x7f).contains(&octet))
}

/// A page that a person may be sent to.
fn is_page(uri: &str) -> bool {
    let host =
        |uri: &str| oauth2::url::Url::parse(uri).ok().and_then(|uri| uri.host_str().map(str::to_owned));
    let safe = uri.starts_with("https://")
        || (uri.starts_with("http://") && host(uri).is_some_and(|host| is_this_machine(&host)));
    safe && uri.len() <= 2000 && is_printable(uri)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::auth::oauth::fault::tests::server;
    use crate::auth::oauth::token_server::{Answer, Heard, TokenServer, json, refusal, tokens};
    use crate::mail::Deadlines;
    use crate::net::Connector;
    use crate::net::tls::{Roots, trust};

    const CODES: &str = r#"{"device_code":"dev-1","user_code":"ABCD-EFGH","verification_uri":"https://example.org/d",
        "expires_in":"900","interval":5,"message":"unknown"}"#;

    fn http() -> Http {
        Http::new(Connector::new(trust(Roots::Bundled, &[]).unwrap().config, Deadlines::default()))
    }

    async fn offering(answer: impl Fn(&Heard) -> Answer + Send + Sync + 'static) -> (TokenServer, OAuth2) {
        let token_server = TokenServer::start(answer).await;
        let mut row = server(&token_server.url("/token"));
        row.device_authorization_endpoint = Some(token_server.url("/device"));
        (token_server, row)
    }

    /// The pauses made, and how it ended.
    async fn polled(
        answer: impl Fn(usize) -> Answer + Send + Sync + 'static,
    ) -> (Vec<u64>, Result<Grant, SignInError>, Vec<Heard>) {
        let (token_server, row) = offering(move |heard| match heard.path.as_str() {
            "/device" => json(200, CODES),
            _ => answer(heard.number),
        })
        .await;
        let device = begin(&row, &http()).await.unwrap();
        assert_eq!((device.user_code.as_str(), device.expires_in.as_secs()), ("ABCD-EFGH", 900));
        assert_eq!(device.verification_uri, "https://example.org/d");
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let made = pauses.clone();
        let pause = |pause: Duration| {
            made.lock().unwrap().push(pause.as_secs());
            std::future::ready(())
        };
        let outcome = device.poll(&http(), pause).await;
        let pauses = pauses.lock().unwrap().clone();
        (pauses, outcome, token_server.heard())
    }

    /// RFC 8628 §3.1, §3.4 and §3.5: what is asked; slow_down adds five seconds for good.
    #[tokio::test]
    async fn the_server_is_asked_as_often_as_it_wants() {
        let (pauses, outcome, heard) = polled(|number| match number {
            1 | 3 => refusal("authorization_pending"),
            2 => refusal("slow_down"),
            _ => tokens("access", "refresh", 3600),
        })
        .await;
        assert_eq!(outcome.unwrap().refresh_token.unwrap().expose(), b"refresh");
        assert_eq!(pauses, [5, 10, 10]);
        assert_eq!((heard[0].field("scope"), heard[0].field("client_id")), ("imap smtp", "our-client"));
        assert_eq!(heard[1].field("grant_type"), "urn:ietf:params:oauth:grant-type:device_code");
        assert_eq!(heard[1].field("device_code"), "dev-1");
    }

    #[tokio::test]
    async fn trouble_of_the_server_is_waited_out() {
        let (pauses, outcome, _) = polled(|number| match number {
            1 | 2 => Answer::Say(503, "text/html", "<html>".into()),
            _ => tokens("access", "refresh", 3600),
        })
        .await;
        assert!(outcome.is_ok());
        assert_eq!(pauses, [10, 10]);
    }

    /// RFC 8628 §3.5 adds five seconds: to the longest pause there is, that would be a panic.
    #[tokio::test]
    async fn an_interval_without_measure_is_bounded() {
        let codes = CODES.replace("\"interval\":5", "\"interval\":18446744073709551615");
        let (_token_server, row) = offering(move |heard| match heard.path.as_str() {
            "/device" => json(200, codes.clone()),
            _ => refusal(if heard.number == 1 { "slow_down" } else { "access_denied" }),
        })
        .await;
        let device = begin(&row, &http()).await.unwrap();
        let told = device.poll(&http(), |_| std::future::ready(())).await.unwrap_err().to_string();
        assert!(told.contains("access was denied"), "{told}");
    }

    #[tokio::test]
    async fn refusals_end_it_in_words() {
        for (error, words) in [
            ("expired_token", "the time to enter the code is over"),
            ("access_denied", "access was denied"),
            ("invalid_client", "does not know this client_id"),
        ] {
            let (_, outcome, heard) = polled(move |_| refusal(error)).await;
            let told = outcome.unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
            assert_eq!(heard.len(), 2);
        }
    }

    /// What goes to a terminal holds no escape sequences, and a person is sent to no page without TLS.
    #[tokio::test]
    async fn codes_and_pages_that_make_no_sense_are_not_shown() {
        for codes in [
            CODES.replace("ABCD", "\\u001b[2J"),
            CODES.replace("ABCD", &"A".repeat(100)),
            CODES.replace("https:", "http:"),
            CODES.replace("https://example.org/d", "javascript:alert(1)"),
            CODES.replace("device_code", "other"),
            "<html>".to_owned(),
        ] {
            let (_token_server, row) = offering(move |_| json(200, codes.clone())).await;
            let told = begin(&row, &http()).await.unwrap_err().to_string();
            assert!(told.contains("none of a token server"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_server_without_the_flow_says_so() {
        let told = begin(&server("https://login.example.org/token"), &http()).await.unwrap_err().to_string();
        assert_eq!(told, "Example offers no sign-in with a code typed in on another device");
    }
}
