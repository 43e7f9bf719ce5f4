//! Browsers are played by hand, the token server is scripted.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::url::form_urlencoded;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;
use crate::auth::oauth::fault::tests::server;
use crate::auth::oauth::token_server::{Answer, TokenServer, refusal, tokens};
use crate::mail::Deadlines;
use crate::net::Connector;
use crate::net::tls::{Roots, trust};

/// An attempt that waits for its browser.
struct Waiting {
    token_server: TokenServer,
    /// Of the URL.
    asked: BTreeMap<String, String>,
    /// `Host` of the loopback address.
    authority: String,
    finishing: JoinHandle<(Attempt, Result<Grant, SignInError>)>,
}

fn http() -> Http {
    Http::new(Connector::new(trust(Roots::Bundled, &[]).unwrap().config, Deadlines::default()))
}

fn query_of(url: &str) -> BTreeMap<String, String> {
    let (_, query) = url.split_once('?').expect("a query");
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

async fn begun(answer: Answer) -> (TokenServer, Attempt) {
    let token_server = TokenServer::start(move |_| answer.clone()).await;
    let row = server(&token_server.url("/token"));
    let attempt = Attempt::begin(&row, Some("ana@example.org")).await.unwrap();
    (token_server, attempt)
}

async fn waiting(answer: Answer) -> Waiting {
    let (token_server, mut attempt) = begun(answer).await;
    let (asked, authority) = (query_of(&attempt.url), attempt.redirect().replace("http://", ""));
    let finishing = tokio::spawn(async move {
        let outcome = attempt.finish(&http(), PATIENCE).await;
        (attempt, outcome)
    });
    Waiting { token_server, asked, authority, finishing }
}

impl Waiting {
    fn state(&self) -> &str {
        &self.asked["state"]
    }

    /// A GET as browsers send it; the whole answer.
    async fn get(&self, target: &str) -> String {
        self.say(&format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.authority)).await
    }

    async fn say(&self, request: &str) -> String {
        let mut io = TcpStream::connect(&self.authority).await.expect("the listener is there");
        io.write_all(request.as_bytes()).await.expect("room");
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.expect("UTF-8");
        answer
    }

    async fn ended(self) -> (TokenServer, Attempt, Result<Grant, SignInError>) {
        let (attempt, outcome) = self.finishing.await.expect("no panic");
        (self.token_server, attempt, outcome)
    }
}

fn good() -> Answer {
    tokens("access", "refresh", 3600)
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// RFC 6749 §4.1.1 and RFC 7636 §4.3: what the URL asks for.
#[tokio::test]
async fn the_url_has_all_that_the_server_wants_and_no_secret() {
    let (_token_server, attempt) = begun(good()).await;
    assert!(attempt.url.starts_with("https://login.example.org/authorize?audience=mail&"), "{}", attempt.url);
    let asked = query_of(&attempt.url);
    let field = |name: &str| asked[name].as_str();
    assert_eq!((field("response_type"), field("client_id")), ("code", "our-client"));
    assert_eq!((field("scope"), field("prompt")), ("imap smtp", "select_account"));
    assert_eq!((field("code_challenge_method"), field("login_hint")), ("S256", "ana@example.org"));
    assert_eq!(field("redirect_uri"), attempt.redirect());
    assert!(attempt.redirect().starts_with("http://127.0.0.1:"), "{}", attempt.redirect());
    assert!(field("state").len() >= 43, "256 random bits");
    assert!(!attempt.url.contains(attempt.verifier.expose_str().unwrap()));
    let shown = format!("{:?} {:?}", attempt.state, attempt.verifier);
    assert_eq!(shown, "<secret> <secret>");
}

/// RFC 7636 §4.6: the verifier that goes with the code is the one whose hash went ahead.
#[tokio::test]
async fn a_browser_that_comes_back_brings_a_grant() {
    let waiting = waiting(good()).await;
    let challenge = waiting.asked["code_challenge"].clone();
    let answer = waiting.get(&format!("/?code=the%2Fcode&state={}&session_state=x", waiting.state())).await;
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("You can close this window"), "{answer}");
    assert!(!answer.contains("code="), "{answer}");

    let authority = waiting.authority.clone();
    let (token_server, mut attempt, outcome) = waiting.ended().await;
    let grant = outcome.unwrap();
    assert_eq!(grant.refresh_token.unwrap().expose(), b"refresh");
    assert_eq!((grant.client_id.as_str(), grant.scopes.join(" ").as_str()), ("our-client", "imap smtp"));
    let heard = token_server.heard().remove(0);
    assert_eq!((heard.field("grant_type"), heard.field("code")), ("authorization_code", "the/code"));
    assert_eq!(heard.field("redirect_uri"), format!("http://{authority}"));
    let hash = ring::digest::digest(&ring::digest::SHA256, heard.field("code_verifier").as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(hash.as_ref()), challenge);

    // The state is good once, and nobody listens any more.
    assert!(TcpStream::connect(&authority).await.is_err());
    assert!(matches!(attempt.finish(&http(), PATIENCE).await, Err(SignInError::Used)));
    assert!(matches!(attempt.paste(&http(), "http://x/?code=a&state=b").await, Err(SignInError::Used)));
    assert_eq!(token_server.heard().len(), 1);
}

/// RFC 6749 §10.12: a page elsewhere may send the browser here with a code of its own.
#[tokio::test]
async fn codes_without_our_state_change_nothing() {
    let waiting = waiting(good()).await;
    let state = waiting.state().to_owned();
    for target in [
        "/".to_owned(),
        "/?".to_owned(),
        "/?code=injected".to_owned(),
        "/?code=injected&state=".to_owned(),
        "/?code=injected&state=wrong".to_owned(),
        format!("/?code=injected&state={}x", state),
        format!("/?code=injected&state={}", &state[1..]),
        format!("/?code=injected&state=wrong&state={state}"),
        format!("/?code=injected&state={state}&state={state}"),
        format!("/?code=injected&code=x&state={state}"),
        format!("/?error=access_denied&error=x&state={state}"),
        "/?error=access_denied".to_owned(),
    ] {
        let answer = waiting.get(&target).await;
        assert_eq!(status(&answer), "400", "{target}");
        assert!(!answer.contains("injected"), "{answer}");
    }
    // It waits on for the right one.
    assert_eq!(status(&waiting.get(&format!("/?code=right&state={state}")).await), "200");
    let (token_server, _, outcome) = waiting.ended().await;
    outcome.unwrap();
    let heard = token_server.heard();
    assert_eq!((heard.len(), heard[0].field("code")), (1, "right"));
}

/// Nothing but a GET of the one address, under its own name, means anything; and no page repeats what it was asked.
#[tokio::test]
async fn other_requests_are_turned_away_without_an_echo() {
    let waiting = waiting(good()).await;
    let (host, state) = (waiting.authority.clone(), waiting.state().to_owned());
    let right = format!("/?code=marker&state={state}");
    let port = host.rsplit(':').next().unwrap();
    for (request, expected) in [
        (format!("POST {right} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"), "405"),
        (format!("HEAD {right} HTTP/1.1\r\nHost: {host}\r\n\r\n"), "405"),
        (format!("PUT {right} HTTP/1.1\r\nHost: {host}\r\n\r\n"), "405"),
        (format!("GET /marker{right} HTTP/1.1\r\nHost: {host}\r\n\r\n"), "404"),
        (format!("GET //{right} HTTP/1.1\r\nHost: {host}\r\n\r\n"), "404"),
        (format!("GET /favicon.ico HTTP/1.1\r\nHost: {host}\r\n\r\n"), "404"),
        // DNS rebinding: the name is the attacker's.
        (format!("GET {right} HTTP/1.1\r\nHost: marker.example.org:{port}\r\n\r\n"), "400"),
        (format!("GET {right} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), "400"),
        (format!("GET {right} HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"), "400"),
        (format!("GET {right} HTTP/1.1\r\n\r\n"), "400"),
        (format!("GET http://marker.example.org{right} HTTP/1.1\r\nHost: {host}\r\n\r\n"), "400"),
        (format!("marker {right}\r\n\r\n"), "400"),
    ] {
        let answer = waiting.say(&request).await;
        assert_eq!(status(&answer), expected, "{request}");
        assert!(!answer.contains("marker"), "{answer}");
    }
    let refused = waiting.say(&format!("POST / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.to_lowercase();
    assert!(refused.contains("allow: get\r\n"), "{refused}");
    assert!(!waiting.finishing.is_finished());
    assert!(waiting.token_server.heard().is_empty());
}

#[tokio::test]
async fn every_page_is_barred_from_doing_anything() {
    let waiting = waiting(good()).await;
    let state = waiting.state().to_owned();
    for target in ["/nothing".to_owned(), "/".to_owned(), format!("/?code=c&state={state}")] {
        let answer = waiting.get(&target).await.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "x-content-type-options: nosniff\r\n",
            "x-frame-options: deny\r\n",
            "referrer-policy: no-referrer\r\n",
            "cache-control: no-store\r\n",
            "connection: close\r\n",
        ] {
            assert!(answer.contains(header), "{header} is missing in {answer}");
        }
    }
}

/// RFC 6749 §4.1.2.1: a refusal is told in our words; its own may hold markup.
#[tokio::test]
async fn a_refusal_is_told_in_words_without_markup() {
    let markup = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for (error, description, words) in [
        ("access_denied", "AADSTS65004%3A+User+declined", "the consent was declined"),
        ("access_denied", markup, "access was denied"),
        (markup, markup, "the token server refuses the request"),
    ] {
        let waiting = waiting(good()).await;
        let target = format!("/?error={error}&error_description={description}&state={}", waiting.state());
        let answer = waiting.get(&target).await;
        assert!(
            answer.contains(words) && !answer.contains("script") && !answer.contains("alert"),
            "{answer}"
        );
        let (token_server, _, outcome) = waiting.ended().await;
        let told = outcome.unwrap_err().to_string();
        assert!(told.contains(words) && !told.contains("script"), "{told}");
        assert!(token_server.heard().is_empty());
    }
    assert_eq!(escaped("<a b=\"c\" d='e'>&"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
}

#[tokio::test]
async fn a_code_that_the_token_server_refuses_is_told_in_the_browser_too() {
    let waiting = waiting(refusal("invalid_grant")).await;
    let answer = waiting.get(&format!("/?code=c&state={}", waiting.state())).await;
    assert!(answer.contains("Not signed in") && answer.contains("came to nothing"), "{answer}");
    let (_, _, outcome) = waiting.ended().await;
    let told = outcome.unwrap_err().to_string();
    assert!(told.starts_with("the token server does not take the code"), "{told}");
}

/// The right state with neither code nor error is an answer, too, and ends the attempt.
#[tokio::test]
async fn an_empty_answer_ends_the_attempt() {
    let waiting = waiting(good()).await;
    waiting.get(&format!("/?code=&state={}", waiting.state())).await;
    let (token_server, _, outcome) = waiting.ended().await;
    assert!(matches!(outcome, Err(SignInError::Fault(_))));
    assert!(token_server.heard().is_empty());
}

/// Browsers open connections to spare; so may anybody on this machine.
#[tokio::test]
async fn silent_connections_hold_up_nobody() {
    let waiting = waiting(good()).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS - 1 {
        silent.push(TcpStream::connect(&waiting.authority).await.unwrap());
    }
    let answer = waiting.get(&format!("/?code=c&state={}", waiting.state())).await;
    assert_eq!(status(&answer), "200");
    waiting.ended().await.2.unwrap();
}

#[tokio::test]
async fn heads_without_an_end_are_not_held() {
    let waiting = waiting(good()).await;
    let long = format!(
        "GET /?{} HTTP/1.1\r\nHost: {}\r\n\r\n",
        "x".repeat(3 * redirect::LONGEST),
        waiting.authority
    );
    let mut io = TcpStream::connect(&waiting.authority).await.unwrap();
    // It is cut off while it writes, or hears a refusal; it is never served.
    let _ = io.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = io.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || matches!(status(&answer), "414" | "431" | "400"), "{answer}");
    assert_eq!(status(&waiting.get(&format!("/?code=c&state={}", waiting.state())).await), "200");
}

#[tokio::test]
async fn an_attempt_ends_by_itself() {
    let (_token_server, mut attempt) = begun(good()).await;
    let outcome = attempt.finish(&http(), Duration::from_millis(20)).await;
    assert!(matches!(outcome, Err(SignInError::TimedOut { .. })));
    let told = SignInError::TimedOut { after: PATIENCE }.to_string();
    assert_eq!(told, "nobody finished the sign-in within 5 minutes");
}

/// A machine without a browser: the address is copied from where the browser is.
#[tokio::test]
async fn the_address_may_be_pasted() {
    let (token_server, mut attempt) = begun(good()).await;
    let state = query_of(&attempt.url)["state"].clone();
    for wrong in ["", "the-code", "http://127.0.0.1:1/?code=c", &"state=".repeat(redirect::LONGEST)] {
        let told = attempt.paste(&http(), wrong).await.unwrap_err();
        assert!(matches!(told, SignInError::NotOurs(_)), "{told}");
    }
    let told = attempt.paste(&http(), "http://127.0.0.1:1/?code=injected&state=wrong").await.unwrap_err();
    assert!(told.to_string().contains("another sign-in"), "{told}");
    assert!(token_server.heard().is_empty());
    let text = format!("  {}/?code=the-code&state={state}#fragment\n", attempt.redirect());
    attempt.paste(&http(), &text).await.unwrap();
    assert_eq!(token_server.heard()[0].field("code"), "the-code");
    assert!(matches!(attempt.paste(&http(), &text).await, Err(SignInError::Used)));
}

/// Waiting may be broken off for a paste, and taken up again.
#[tokio::test]
async fn a_wait_that_was_dropped_loses_nothing() {
    let (token_server, mut attempt) = begun(good()).await;
    let state = query_of(&attempt.url)["state"].clone();
    assert!(timeout(Duration::from_millis(20), attempt.finish(&http(), PATIENCE)).await.is_err());
    attempt.paste(&http(), &format!("?code=pasted&state={state}")).await.unwrap();
    assert_eq!(token_server.heard()[0].field("code"), "pasted");
}

/// Where a server sends browsers to one registered address only, nobody listens.
#[tokio::test]
async fn a_fixed_redirect_is_for_pasting() {
    let token_server = TokenServer::start(|_| good()).await;
    let mut row = server(&token_server.url("/token"));
    row.redirect = Redirect::Fixed("https://localhost/back".into());
    row.login_hint = false;
    let mut attempt = Attempt::begin(&row, Some("ana@example.org")).await.unwrap();
    let asked = query_of(&attempt.url);
    assert!(!attempt.listens() && !asked.contains_key("login_hint"));
    assert_eq!(asked["redirect_uri"], "https://localhost/back");
    let text = format!("https://localhost/back?state={}&code=c", asked["state"]);
    attempt.paste(&http(), &text).await.unwrap();
    assert_eq!(token_server.heard()[0].field("redirect_uri"), "https://localhost/back");
}

/// Some servers want `localhost`, and browsers choose which of its addresses they try first.
#[tokio::test]
async fn localhost_is_heard_on_both_families() {
    let (listeners, port) = listen("localhost").await.unwrap();
    for listener in &listeners {
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback() && address.port() == port, "{address}");
    }
    let six = TcpListener::bind("[::1]:0").await.is_ok();
    assert_eq!(listeners.len(), if six { 2 } else { 1 });
    let token_server = TokenServer::start(|_| good()).await;
    let mut row = server(&token_server.url("/token"));
    row.redirect = Redirect::Loopback { host: "localhost" };
    let attempt = Attempt::begin(&row, None).await.unwrap();
    assert!(attempt.redirect().starts_with("http://localhost:"), "{}", attempt.redirect());
    assert!(!query_of(&attempt.url).contains_key("login_hint"));
}

#[tokio::test]
async fn a_server_without_the_flow_says_so() {
    let mut row = server("https://login.example.org/token");
    row.authorization_endpoint = None;
    let told = Attempt::begin(&row, None).await.unwrap_err().to_string();
    assert_eq!(told, "Example offers no sign-in with a browser");
    row.authorization_endpoint = Some("not an address".into());
    let told = Attempt::begin(&row, None).await.unwrap_err().to_string();
    assert_eq!(told, "authorization_endpoint of [oauth2.example] is no web address");
    row.client_id = None;
    assert!(Attempt::begin(&row, None).await.unwrap_err().to_string().starts_with("no client_id is set"));
}

/// The state stands in the command line of the browser, where every user of the machine may read it. Only root can start
/// a program of another user, so elsewhere there is nothing to test.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_of_another_user_brings_nothing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: u32 = 65534;
    const VISIT: &str = "exec 3<>/dev/tcp/127.0.0.1/$0 || exit 9; printf '%s' \"$1\" >&3; cat <&3";
    let waiting = waiting(good()).await;
    let (_, port) = waiting.authority.split_once(':').expect("a port");
    let injected =
        format!("GET /?code=eves&state={} HTTP/1.1\r\nHost: {}\r\n\r\n", waiting.state(), waiting.authority);
    let mut program = tokio::process::Command::new("bash");
    program.args(["-c", VISIT, port, &injected]).uid(NOBODY).gid(NOBODY).current_dir("/");
    let heard = program.output().await.expect("bash is there");
    assert_ne!(heard.status.code(), Some(9), "it connects");
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "");
    assert_eq!(status(&waiting.get(&format!("/?code=ours&state={}", waiting.state())).await), "200");
    let (token_server, _, outcome) = waiting.ended().await;
    assert!(outcome.is_ok());
    let heard = token_server.heard();
    assert_eq!((heard.len(), heard[0].field("code")), (1, "ours"));
}

/// Another user's program that leaves at once would else be taken for one that nobody knows, and its code, or its
/// refusal, for the browser's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_is_gone_before_being_looked_at_brings_nothing() {
    use std::io::Write as _;
    let waiting = waiting(good()).await;
    for end in ["code=injected", "error=access_denied"] {
        // Nothing of the attempt runs between the first and the last of these.
        let mut gone = std::net::TcpStream::connect(&waiting.authority).unwrap();
        let request =
            format!("GET /?{end}&state={} HTTP/1.1\r\nHost: {}\r\n\r\n", waiting.state(), waiting.authority);
        gone.write_all(request.as_bytes()).unwrap();
        drop(gone);
    }
    let answer = waiting.get(&format!("/?code=good&state={}", waiting.state())).await;
    assert!(answer.contains("You can close this window"), "{answer}");
    let (token_server, _, outcome) = waiting.ended().await;
    assert!(outcome.is_ok());
    assert_eq!(token_server.heard().remove(0).field("code"), "good");
}
