use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::login::LoggedIn;
use super::*;
use crate::auth::{Credentials, Stores};
use crate::config;
use crate::mail::account::Account;
use crate::mail::{Deadlines, Secret};
use crate::net::{ConnectError, Connector};
use crate::upstream::UpstreamError;
use crate::upstream::imap::script;
use crate::upstream::tokens;

/// Answers logins one after the other; what they were given is noted.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: Vec<Result<LoggedIn<DuplexStream>, UpstreamError>>,
    offered: Vec<Vec<u8>>,
}

impl Provider for Scripted {
    type Stream = DuplexStream;

    async fn login(
        &self,
        _: &Arc<Account>,
        credentials: &Credentials,
    ) -> Result<LoggedIn<DuplexStream>, UpstreamError> {
        let Credentials::Password(secret) = credentials else { panic!("{credentials:?}") };
        let mut script = self.0.lock().expect("no panic");
        script.offered.push(secret.expose().to_vec());
        script.answers.remove(0)
    }
}

struct Bridge {
    app: DuplexStream,
    context: Context,
    session: JoinHandle<io::Result<Option<DuplexStream>>>,
    script: Scripted,
}

fn bridge(answers: Vec<Result<LoggedIn<DuplexStream>, UpstreamError>>) -> Bridge {
    let text = "[[account]]\naddress = \"ana@gmx.net\"\nmask = [\"MOVE\"]\n";
    let settings = config::parse(text, Path::new("test.toml")).expect("a good configuration");
    let context = Context::new(
        &settings.accounts,
        Connector::new(settings.tls, Deadlines::default()),
        0,
        Stores::new(None),
    );
    let script = Scripted::default();
    script.0.lock().expect("no panic").answers = answers;
    let (app, app_side) = duplex(4096);
    let session = tokio::spawn(serve_with(app_side, context.clone(), script.clone()));
    Bridge { app, context, session, script }
}

/// An upstream that has let somebody in, and the splice's end of it.
fn let_in() -> (DuplexStream, LoggedIn<DuplexStream>) {
    let (upstream, upstream_side) = duplex(4096);
    let capabilities = ["IMAP4rev1", "AUTH=PLAIN", "MOVE", "IDLE"].map(str::to_owned).to_vec();
    let alerts = vec![Bytes::from_static(b"* OK [ALERT] your box is full\r\n")];
    (upstream, LoggedIn { wire: Buffered::new(upstream_side), capabilities, alerts })
}

async fn line(app: &mut DuplexStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(app.read_u8().await.expect("a line comes"));
    }
    String::from_utf8(line).expect("text").trim_end().to_owned()
}

async fn say(app: &mut DuplexStream, text: &str) {
    app.write_all(text.as_bytes()).await.expect("the bridge reads");
}

#[tokio::test(start_paused = true)]
async fn the_tagged_ok_carries_the_list_and_what_follows_is_spliced() {
    let (mut upstream, logged_in) = let_in();
    let Bridge { mut app, session, script, .. } = bridge(vec![Ok(logged_in)]);
    assert!(line(&mut app).await.starts_with("* OK [CAPABILITY "));
    say(&mut app, "a LOGIN Ana@GMX.net \"s p\"\r\nb SELECT INBOX\r\n").await;
    assert_eq!(line(&mut app).await, "* OK [ALERT] your box is full");
    assert_eq!(line(&mut app).await, "a OK [CAPABILITY IMAP4rev1 IDLE LITERAL+ ID] logged in");
    assert_eq!(line(&mut upstream).await, "b SELECT INBOX");
    assert_eq!(script.0.lock().expect("no panic").offered, [b"s p"]);
    say(&mut upstream, "* BYE\r\n").await;
    assert_eq!(line(&mut app).await, "* BYE");
    assert!(session.await.expect("no panic").is_ok());
}

/// RFC 5530 §3 LIMIT: a connection that is held for POP3 may be the one too many.
#[tokio::test(start_paused = true)]
async fn one_that_is_refused_for_now_is_tried_again_where_a_held_connection_could_give_way() {
    let busy = || UpstreamError::Unavailable { text: "too many connections [LIMIT]".into(), wait: None };
    let throttled = UpstreamError::Unavailable { text: "slow".into(), wait: Some(Duration::from_secs(9)) };
    for (holds, answer, accepted, tries) in
        [(true, busy(), true, 2), (false, busy(), false, 1), (true, throttled, false, 1)]
    {
        let (_upstream, logged_in) = let_in();
        let Bridge { mut app, context, script, .. } = bridge(vec![Err(answer), Ok(logged_in)]);
        if holds {
            let other = context.accounts.admit("ana@gmx.net", &Secret::new("y")).await.expect("unknown");
            let (session, _) = script::session("C: $a LOGOUT\nS: * BYE x\nS: $a OK x\nEOF");
            context.resources.held.leave_one(&other.account, other.proof().clone(), session).await;
        }
        line(&mut app).await;
        say(&mut app, "a LOGIN ana@gmx.net x\r\n").await;
        while !line(&mut app).await.starts_with(if accepted { "a OK" } else { "a NO [UNAVAILABLE]" }) {}
        assert_eq!(script.0.lock().expect("no panic").offered.len(), tries);
    }
}

/// An empty password is none (RFC 3501 §6.2.3, RFC 4616 §2): no provider should see it and count it.
#[tokio::test(start_paused = true)]
async fn an_empty_password_is_answered_here_and_the_right_one_behind_it_is_shown() {
    let (_upstream, logged_in) = let_in();
    let Bridge { mut app, script, .. } = bridge(vec![Ok(logged_in)]);
    line(&mut app).await;
    say(&mut app, "a LOGIN ana@gmx.net \"\"\r\n").await;
    let refused = "NO [AUTHENTICATIONFAILED] no password was given; enter it in the mail program";
    assert_eq!(line(&mut app).await, format!("a {refused}"));
    say(&mut app, "b AUTHENTICATE PLAIN AGFuYUBnbXgubmV0AA==\r\n").await;
    assert_eq!(line(&mut app).await, format!("b {refused}"));
    say(&mut app, "c LOGIN ana@gmx.net x\r\n").await;
    assert!(line(&mut app).await.starts_with("* OK [ALERT] your box"));
    assert!(line(&mut app).await.starts_with("c OK "));
    assert_eq!(script.0.lock().expect("no panic").offered, [b"x"]);
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_refusal_has_its_code_and_the_app_may_try_again() {
    // RFC 5530 §3.
    let refused = UpstreamError::LoginRefused { text: "no".into() };
    let passing = UpstreamError::Unavailable { text: "busy".into(), wait: None };
    let certificate = ConnectError::Tls {
        host: "imap.gmx.net".into(),
        reason: "its certificate has expired".into(),
        source: io::ErrorKind::InvalidData.into(),
    };
    let (_upstream, logged_in) = let_in();
    let answers = vec![Err(refused), Err(passing), Err(certificate.into()), Ok(logged_in)];
    let Bridge { mut app, .. } = bridge(answers);
    line(&mut app).await;
    say(&mut app, "a LOGIN eve@gmx.net x\r\n").await;
    let nobody = line(&mut app).await;
    assert!(nobody.starts_with("a NO [AUTHENTICATIONFAILED] ") && !nobody.contains("eve"), "{nobody}");
    say(&mut app, "b LOGIN ana@gmx.net x1\r\n").await;
    assert!(line(&mut app).await.starts_with("* OK [ALERT] ana@gmx.net: "));
    assert!(line(&mut app).await.starts_with("b NO [AUTHENTICATIONFAILED] ana@gmx.net: "));
    say(&mut app, "c LOGIN ana@gmx.net x2\r\n").await;
    assert!(line(&mut app).await.starts_with("c NO [UNAVAILABLE] ana@gmx.net: "));
    say(&mut app, "d LOGIN ana@gmx.net x2\r\n").await;
    // The ALERT of this connection has been said.
    let expired = line(&mut app).await;
    assert!(
        expired.starts_with("d NO [UNAVAILABLE] ana@gmx.net: ") && expired.contains("expired"),
        "{expired}"
    );
    say(&mut app, "e LOGIN ana@gmx.net x2\r\n").await;
    assert!(line(&mut app).await.starts_with("* OK [ALERT] your box"));
    assert!(line(&mut app).await.starts_with("e OK "));
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_is_needed_is_an_alert_and_a_token_server_that_is_down_is_not() {
    // RFC 5530 §3; the ALERT is said once a connection.
    let sign_in = "; run: footbridge account sign-in ana@gmx.net";
    let cases = [
        (UpstreamError::TokenRefused { text: "no".into() }, "AUTHENTICATIONFAILED", sign_in),
        (tokens::signed_out().into(), "AUTHENTICATIONFAILED", sign_in),
        (UpstreamError::NotServed { text: "no".into() }, "UNAVAILABLE", "too many connections are open"),
    ];
    for (error, code, advice) in cases {
        let again = UpstreamError::from(tokens::signed_out());
        let silent = UpstreamError::from(tokens::silent());
        let Bridge { mut app, .. } = bridge(vec![Err(silent), Err(error), Err(again)]);
        line(&mut app).await;
        say(&mut app, "a LOGIN ana@gmx.net x1\r\n").await;
        let silent = line(&mut app).await;
        assert!(silent.starts_with("a NO [UNAVAILABLE] ana@gmx.net: the token server "), "{silent}");
        assert!(!silent.contains("sign-in"), "{silent}");
        say(&mut app, "b LOGIN ana@gmx.net x1\r\n").await;
        let alert = line(&mut app).await;
        assert!(alert.starts_with("* OK [ALERT] ana@gmx.net: ") && alert.ends_with(advice), "{alert}");
        let refused = line(&mut app).await;
        assert!(
            refused.starts_with(&format!("b NO [{code}] ana@gmx.net: ")) && refused.ends_with(advice),
            "{refused}"
        );
        say(&mut app, "c LOGIN ana@gmx.net x2\r\n").await;
        let again = line(&mut app).await;
        assert!(
            again.starts_with("c NO [AUTHENTICATIONFAILED] ana@gmx.net: the sign-in was revoked"),
            "{again}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_under_a_spliced_session_is_upstreams_bye_and_the_end() {
    // Exchange says it and keeps the connection.
    let (mut upstream, logged_in) = let_in();
    let Bridge { mut app, session, .. } = bridge(vec![Ok(logged_in)]);
    line(&mut app).await;
    say(&mut app, "a LOGIN ana@gmx.net x\r\n").await;
    while !line(&mut app).await.starts_with("a OK ") {}
    say(&mut app, "b SELECT INBOX\r\n").await;
    assert_eq!(line(&mut upstream).await, "b SELECT INBOX");
    say(&mut upstream, "* BYE Session invalidated - AccessTokenExpired\r\n").await;
    assert_eq!(line(&mut app).await, "* BYE Session invalidated - AccessTokenExpired");
    assert!(session.await.expect("no panic").is_ok());
    assert_eq!(app.read(&mut [0; 1]).await.expect("an end"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_password_upstream_refused_is_not_shown_to_it_again() {
    let refused = UpstreamError::LoginRefused { text: "no".into() };
    let Bridge { mut app, script, .. } = bridge(vec![Err(refused)]);
    line(&mut app).await;
    for tag in ["a", "b"] {
        say(&mut app, &format!("{tag} LOGIN ana@gmx.net x\r\n")).await;
        while !line(&mut app).await.starts_with(&format!("{tag} NO [")) {}
    }
    assert_eq!(script.0.lock().expect("no panic").offered.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_app_without_login_is_let_go() {
    let Bridge { mut app, session, .. } = bridge(Vec::new());
    let begun = Instant::now();
    line(&mut app).await;
    say(&mut app, "a NOOP\r\nb LOG").await;
    assert_eq!(line(&mut app).await, "a OK NOOP completed");
    assert!(line(&mut app).await.starts_with("* BYE "));
    assert_eq!(begun.elapsed().as_secs(), Deadlines::default().app_login.as_secs());
    assert!(session.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_login_is_a_bye() {
    let Bridge { mut app, context, session, .. } = bridge(Vec::new());
    line(&mut app).await;
    context.stopping.cancel();
    assert_eq!(line(&mut app).await, "* BYE footbridge is stopping");
    drop(app);
    assert!(tokio::time::timeout(Duration::from_secs(1), session).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_app_that_reads_nothing_before_login_is_let_go() {
    let Bridge { mut app, session, .. } = bridge(Vec::new());
    say(&mut app, &"a CAPABILITY\r\n".repeat(200)).await;
    let begun = Instant::now();
    assert!(tokio::time::timeout(Duration::from_secs(600), session).await.is_ok(), "it is still there");
    assert!(begun.elapsed() >= Deadlines::default().app_login);
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_may_still_be_sending() {
    let Bridge { mut app, .. } = bridge(Vec::new());
    say(&mut app, "POST / HTTP/1.1\r\n").await;
    say(&mut app, &"x".repeat(100_000)).await;
    assert!(line(&mut app).await.starts_with("* OK "));
    assert_eq!(line(&mut app).await, "* BYE this is an IMAP server");
}
