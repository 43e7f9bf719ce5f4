//! The whole driver over pipes and a paused clock: the test is the app and the provider.

mod message;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::relay::Login;
use super::serve_with;
use crate::auth::{Credentials, Stores};
use crate::bridge::{Accounts, Context};
use crate::mail::{Account, Deadlines};
use crate::mailbox::Resources;
use crate::net::tls::{Roots, trust};
use crate::net::{ConnectError, Connector};
use crate::upstream::UpstreamError;
use crate::upstream::submission::Submission;
use crate::upstream::submission::scripted::{Scripted, account, pipe};
use crate::upstream::tokens::{self, Listed};

/// Hands out one pipe a login; without one left upstream cannot be reached.
struct Pipes {
    streams: Arc<Mutex<VecDeque<DuplexStream>>>,
    /// Shown in place of what the app's password opens.
    tokens: Option<Credentials>,
}

impl Login for Pipes {
    async fn login(&self, account: &Account, credentials: &Credentials) -> Result<Submission, UpstreamError> {
        let stream = self.streams.lock().unwrap().pop_front().ok_or_else(|| ConnectError::Unreachable {
            host: "mx.example.org".into(),
            port: 465,
            source: io::ErrorKind::ConnectionRefused.into(),
        })?;
        let credentials = self.tokens.as_ref().unwrap_or(credentials);
        Submission::login_over(stream, &Deadlines::default(), account, credentials).await
    }
}

/// A bridge with an app connected, and the server ends of the connections it may make.
struct Scene {
    app: Scripted,
    upstreams: VecDeque<Scripted>,
    unused: Arc<Mutex<VecDeque<DuplexStream>>>,
    stopping: CancellationToken,
    served: JoinHandle<io::Result<Option<DuplexStream>>>,
}

/// ana logs in.
const AUTH: &str = "AUTH PLAIN AGFuYUBleGFtcGxlLm9yZwBodW50ZXIy";

/// What most providers offer.
const OFFERS: &[&str] = &["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 1000"];

async fn scene_of(account: Account, connections: usize) -> Scene {
    scene_with(account, connections, None).await
}

async fn scene_with(account: Account, connections: usize, tokens: Option<Credentials>) -> Scene {
    let (stream, mut app) = pipe();
    let (streams, upstreams): (VecDeque<_>, VecDeque<_>) = (0..connections).map(|_| pipe()).unzip();
    let unused = Arc::new(Mutex::new(streams));
    let stopping = CancellationToken::new();
    let context = Context {
        app_tls: crate::mail::AppTls::Off,
        accounts: Accounts::new([Arc::new(account)]),
        stores: Stores::new(None),
        connector: Connector::new(trust(Roots::Bundled, &[]).unwrap().config, Deadlines::default()),
        resources: Resources::in_memory(0),
        stopping: stopping.clone(),
    };
    let served = tokio::spawn(serve_with(stream, context, Pipes { streams: unused.clone(), tokens }));
    app.hears("220 localhost ESMTP footbridge").await;
    Scene { app, upstreams, unused, stopping, served }
}

async fn scene(connections: usize) -> Scene {
    scene_of(account(), connections).await
}

/// A scene in which ana is logged in, and her upstream.
async fn logged_in(connections: usize, offers: &[&str]) -> (Scene, Scripted) {
    logged_in_as(account(), connections, offers).await
}

async fn logged_in_as(account: Account, connections: usize, offers: &[&str]) -> (Scene, Scripted) {
    let mut scene = scene_of(account, connections).await;
    scene.app.says("EHLO my pc").await;
    scene.app.reply().await;
    scene.app.says(AUTH).await;
    let upstream = scene.next_upstream(offers).await;
    scene.app.hears("235 2.7.0 authentication successful").await;
    (scene, upstream)
}

impl Scene {
    async fn next_upstream(&mut self, offers: &[&str]) -> Scripted {
        let mut upstream = self.upstreams.pop_front().expect("another connection");
        upstream.serves(offers).await;
        upstream
    }

    /// App says, app hears.
    async fn exchange(&mut self, said: &str, heard: &str) {
        self.app.says(said).await;
        self.app.hears(heard).await;
    }

    /// From MAIL to 354 with one recipient.
    async fn begin(&mut self, upstream: &mut Scripted) {
        self.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
        self.app.says("RCPT TO:<bob@example.net>").await;
        upstream.hears("MAIL FROM:<ana@example.org>").await;
        upstream.hears("RCPT TO:<bob@example.net>").await;
        upstream.says("250 2.1.0 ok\r\n250 2.1.5 ok").await;
        self.app.hears("250 2.1.5 ok").await;
        self.app.says("DATA").await;
        upstream.answers("DATA", "354 go").await;
        self.app.hears("354 end with a dot on a line of its own").await;
    }

    fn connections_left(&self) -> usize {
        self.unused.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn the_greeting_and_ehlo_wait_for_nobody_and_offer_what_we_hold() {
    let mut scene = scene(0).await;
    scene.app.says("EHLO what ever").await;
    let lines = scene.app.reply().await;
    for line in [
        "250-PIPELINING",
        "250-8BITMIME",
        "250-ENHANCEDSTATUSCODES",
        "250-AUTH PLAIN LOGIN",
        "250-SIZE 1073741824",
    ] {
        assert!(lines.iter().any(|heard| heard == line), "{line} in {lines:?}");
    }
    scene.exchange("MAIL FROM:<a@b>", "530 5.7.0 authentication required").await;
    scene.exchange("QUIT", "221 2.0.0 goodbye").await;
    assert_eq!(scene.app.rest().await, "");
    scene.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn ehlo_after_auth_offers_what_holds_at_both_ends_rfc_5321_section_2_2() {
    let (mut scene, _upstream) = logged_in(1, &["SIZE 1000", "DSN"]).await;
    scene.app.says("EHLO x").await;
    assert_eq!(scene.app.reply().await, ["250-localhost", "250-SIZE 1000", "250 DSN"]);
    scene.exchange("MAIL FROM:<a@b> BODY=8BITMIME", "555 5.5.4 parameter not offered").await;
    scene.exchange("MAIL FROM:<a@b> SIZE=1001", "552 5.3.4 the message may have 1000 octets").await;
    scene
        .exchange(
            "MAIL FROM:<a@b> SMTPUTF8",
            "550 5.6.7 addresses in other scripts need SMTPUTF8, which is not to be had here",
        )
        .await;
    scene.exchange("MAIL FROM:<a@b> RET=HDRS", "250 2.1.0 ok").await;
}

/// RFC 4954 §6, RFC 4616 §2: an empty password is none, and no provider should see it and count it.
#[tokio::test(start_paused = true)]
async fn an_empty_password_is_535_and_does_not_go_upstream() {
    let mut scene = scene(1).await;
    scene.app.says("EHLO x").await;
    scene.app.reply().await;
    let refused = "535 5.7.8 no password was given; enter it in the mail program";
    scene.exchange("AUTH PLAIN AGFuYUBleGFtcGxlLm9yZwA=", refused).await;
    scene.exchange("AUTH LOGIN YW5hQGV4YW1wbGUub3Jn", "334 UGFzc3dvcmQ6").await;
    scene.exchange("", refused).await;
    assert_eq!(scene.connections_left(), 1);
    scene.app.says(AUTH).await;
    scene.next_upstream(&[]).await;
    scene.app.hears("235 2.7.0 authentication successful").await;
}

#[tokio::test(start_paused = true)]
async fn auth_login_asks_with_the_words_old_apps_compare() {
    let mut scene = scene(1).await;
    scene.app.says("EHLO x").await;
    scene.app.reply().await;
    scene.exchange("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    scene.exchange("YW5hQGV4YW1wbGUub3Jn", "334 UGFzc3dvcmQ6").await;
    scene.app.says("aHVudGVyMg==").await;
    scene.next_upstream(&[]).await;
    scene.app.hears("235 2.7.0 authentication successful").await;
    scene.exchange(AUTH, "503 5.5.1 already authenticated").await;
}

#[tokio::test(start_paused = true)]
async fn upstream_judges_the_password_before_the_app_hears_235() {
    let mut scene = scene(1).await;
    scene.app.says("EHLO x").await;
    scene.app.reply().await;
    scene.app.says(AUTH).await;
    let mut upstream = scene.upstreams.pop_front().unwrap();
    upstream.greets(&["mx", "AUTH PLAIN"]).await;
    upstream.hears("AUTH PLAIN AGFuYQBodW50ZXIy").await;
    assert!(scene.app.is_silent().await);
    upstream.says("535 5.7.8 bad").await;
    let reply = scene.app.line().await;
    assert!(reply.starts_with("535 5.7.8 ana@example.org: the provider refused the password"), "{reply}");
    // The same password is not shown upstream again, and the app is told so in the words for any wrong one.
    scene.app.says(AUTH).await;
    assert!(scene.app.line().await.starts_with("535 5.7.8 "));
    scene.app.says("AUTH PLAIN AGV2ZUBleGFtcGxlLm9yZwB4").await;
    assert!(scene.app.line().await.starts_with("535 5.7.8 "));
    assert_eq!(scene.connections_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn upstream_out_of_reach_is_temporary_rfc_4954_section_6() {
    let mut scene = scene(0).await;
    scene.app.says("EHLO x").await;
    scene.app.reply().await;
    scene.app.says(AUTH).await;
    let reply = scene.app.line().await;
    assert!(reply.starts_with("454 4.7.0 ana@example.org: mx.example.org:465 cannot be reached"), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn mail_travels_with_the_first_recipient() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.exchange("MAIL FROM: ana@example.org SIZE=10", "250 2.1.0 ok").await;
    assert!(upstream.is_silent().await);
    scene.app.says("RCPT TO:<@relay:bob@example.net>").await;
    upstream.hears("MAIL FROM:<ana@example.org> SIZE=10").await;
    upstream.hears("RCPT TO:<bob@example.net>").await;
    upstream.says("250 ok\r\n251-2.1.5 will\r\n251 2.1.5 forward").await;
    assert_eq!(scene.app.reply().await, ["251-2.1.5 will", "251 2.1.5 forward"]);
}

#[tokio::test(start_paused = true)]
async fn pipelined_recipients_go_together_and_answers_keep_their_order_rfc_2920_section_3_2() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    let lines = ["MAIL FROM:<ana@example.org>", "RCPT TO:<a@b>", "RCPT TO:<>", "RCPT TO:<c@d>", "NOOP"];
    scene.app.says(&lines.join("\r\n")).await;
    upstream.hears("MAIL FROM:<ana@example.org>").await;
    upstream.hears("RCPT TO:<a@b>").await;
    upstream.hears("RCPT TO:<c@d>").await;
    upstream.says("250 ok\r\n250 2.1.5 first\r\n450 4.2.1 second").await;
    for heard in [
        "250 2.1.0 ok",
        "250 2.1.5 first",
        "501 5.1.3 bad recipient address syntax",
        "450 4.2.1 second",
        "250 2.0.0 ok",
    ] {
        scene.app.hears(heard).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_sender_shows_at_each_recipient_until_rset() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.exchange("MAIL FROM:<eve@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<a@b>").await;
    upstream.hears("MAIL FROM:<eve@example.org>").await;
    upstream.hears("RCPT TO:<a@b>").await;
    upstream.says("550 5.7.60 not yours\r\n503 5.5.1 no").await;
    scene.app.hears("550 5.7.60 not yours").await;
    scene.exchange("RCPT TO:<c@d>", "550 5.7.60 not yours").await;
    scene.exchange("DATA", "554 5.5.1 no valid recipients").await;
    scene.exchange("RSET", "250 2.0.0 forgotten").await;
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<a@b>").await;
    upstream.hears("RSET").await;
    upstream.hears("MAIL FROM:<ana@example.org>").await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_meanwhile_is_replaced_once_and_unseen() {
    for goodbye in ["", "421 4.4.2 idle for too long"] {
        let (mut scene, mut upstream) = logged_in(2, OFFERS).await;
        if !goodbye.is_empty() {
            upstream.says(goodbye).await;
        }
        drop(upstream);
        scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
        scene.app.says("RCPT TO:<a@b>").await;
        let mut upstream = scene.next_upstream(OFFERS).await;
        upstream.hears("MAIL FROM:<ana@example.org>").await;
        upstream.hears("RCPT TO:<a@b>").await;
        upstream.says("250 ok\r\n250 2.1.5 ok").await;
        scene.app.hears("250 2.1.5 ok").await;
    }
}

/// Logs in with a token, as XOAUTH2 shows it.
async fn serves_token(upstream: &mut Scripted, token: &str, verdict: &str) {
    let message = format!("user=ana\u{1}auth=Bearer {token}\u{1}\u{1}");
    upstream.answers(&format!("AUTH XOAUTH2 {}", BASE64_STANDARD.encode(message)), verdict).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ended_is_renewed_unseen_at_login_and_before_data() {
    // A connection that upstream ended, or on which the login counts no longer (RFC 4954 §6).
    for goodbye in ["421 4.7.0 token expired", "530 5.7.57 Client not authenticated to send mail", ""] {
        let tokens = Listed::new([Ok("first"), Ok("second"), Ok("third")]);
        let mut scene = scene_with(account(), 2, Some(tokens.credentials())).await;
        scene.app.says("EHLO my pc").await;
        scene.app.reply().await;
        scene.app.says(AUTH).await;
        let mut old = scene.upstreams.pop_front().unwrap();
        old.greets(&["mx", "AUTH XOAUTH2", "PIPELINING"]).await;
        serves_token(&mut old, "first", "535 5.7.8 expired").await;
        serves_token(&mut old, "second", "235 2.7.0 ok").await;
        scene.app.hears("235 2.7.0 authentication successful").await;
        scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
        if goodbye.is_empty() {
            drop(old);
            scene.app.says("RCPT TO:<bob@example.net>").await;
        } else {
            scene.app.says("RCPT TO:<bob@example.net>").await;
            old.hears("MAIL FROM:<ana@example.org>").await;
            old.hears("RCPT TO:<bob@example.net>").await;
            old.says(&format!("{goodbye}\r\n503 5.5.1 no")).await;
        }
        let mut new = scene.upstreams.pop_front().unwrap();
        new.greets(&["mx", "AUTH XOAUTH2", "PIPELINING"]).await;
        serves_token(&mut new, "second", "535 5.7.8 expired").await;
        serves_token(&mut new, "third", "235 2.7.0 ok").await;
        new.hears("MAIL FROM:<ana@example.org>").await;
        new.answers("RCPT TO:<bob@example.net>", "250 2.1.0 ok\r\n250 2.1.5 ok").await;
        scene.app.hears("250 2.1.5 ok").await;
        assert_eq!(tokens.renewals(), ["first", "second"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_refused_for_want_of_a_login_over_a_fresh_connection_too_is_told() {
    let (mut scene, mut upstream) = logged_in(2, OFFERS).await;
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<bob@example.net>").await;
    let refusal = "530 5.7.57 Client not authenticated\r\n503 5.5.1 no";
    upstream.hears("MAIL FROM:<ana@example.org>").await;
    upstream.answers("RCPT TO:<bob@example.net>", refusal).await;
    let mut fresh = scene.next_upstream(OFFERS).await;
    fresh.hears("MAIL FROM:<ana@example.org>").await;
    fresh.answers("RCPT TO:<bob@example.net>", refusal).await;
    scene.app.hears("530 5.7.57 Client not authenticated").await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_is_needed_is_535_and_a_token_server_that_is_down_454_rfc_4954_section_6() {
    let sign_in = "; run: footbridge account sign-in ana@example.org";
    for (fault, code, advice) in [
        (tokens::signed_out(), "535 5.7.8", sign_in),
        (tokens::silent(), "454 4.7.0", "login.example.org does not answer; try again later"),
    ] {
        let mut scene = scene_with(account(), 1, Some(Listed::new([Err(fault)]).credentials())).await;
        scene.app.says("EHLO my pc").await;
        scene.app.reply().await;
        scene.app.says(AUTH).await;
        let said = scene.app.line().await;
        assert!(said.starts_with(&format!("{code} ana@example.org: ")) && said.ends_with(advice), "{said}");
        assert_eq!(said.contains("sign-in"), advice == sign_in, "{said}");
    }
    let tokens = Listed::new([Ok("old"), Ok("new")]);
    let mut scene = scene_with(account(), 1, Some(tokens.credentials())).await;
    scene.app.says("EHLO my pc").await;
    scene.app.reply().await;
    scene.app.says(AUTH).await;
    let mut upstream = scene.upstreams.pop_front().unwrap();
    upstream.greets(&["mx", "AUTH XOAUTH2"]).await;
    serves_token(&mut upstream, "old", "535 5.7.8 no").await;
    serves_token(&mut upstream, "new", "535 5.7.8 no").await;
    let said = scene.app.line().await;
    assert!(said.starts_with("535 5.7.8 ana@example.org: the provider refused the sign-in: "), "{said}");
    assert!(said.ends_with(sign_in), "{said}");
}

#[tokio::test(start_paused = true)]
async fn without_a_token_for_a_new_connection_the_transaction_is_void() {
    let tokens = Listed::new([Ok("first"), Err(tokens::signed_out())]);
    let mut scene = scene_with(account(), 2, Some(tokens.credentials())).await;
    scene.app.says("EHLO my pc").await;
    scene.app.reply().await;
    scene.app.says(AUTH).await;
    let mut old = scene.upstreams.pop_front().unwrap();
    old.greets(&["mx", "AUTH XOAUTH2"]).await;
    serves_token(&mut old, "first", "235 ok").await;
    scene.app.hears("235 2.7.0 authentication successful").await;
    drop(old);
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<bob@example.net>").await;
    let mut new = scene.upstreams.pop_front().unwrap();
    new.greets(&["mx", "AUTH XOAUTH2"]).await;
    serves_token(&mut new, "first", "535 5.7.8 expired").await;
    let said = scene.app.line().await;
    assert!(
        said.starts_with("451 4.7.0 ana@example.org: the sign-in was revoked; run: footbridge "),
        "{said}"
    );
}

/// A changed password ends sessions at many providers; each login with the old one counts for a lock of the account.
#[tokio::test(start_paused = true)]
async fn a_login_refused_in_mid_session_is_not_tried_again_by_the_next_messages() {
    let (mut scene, upstream) = logged_in(3, OFFERS).await;
    drop(upstream);
    for message in 0..3 {
        scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
        scene.app.says("RCPT TO:<bob@example.net>").await;
        if message == 0 {
            let mut upstream = scene.upstreams.pop_front().unwrap();
            upstream.greets(&["mx", "AUTH PLAIN"]).await;
            upstream.answers("AUTH PLAIN AGFuYQBodW50ZXIy", "535 5.7.8 bad").await;
        }
        let reply = scene.app.line().await;
        assert!(reply.starts_with("451 4.7.0 ana@example.org: the provider refused the password"), "{reply}");
        scene.exchange("RSET", "250 2.0.0 forgotten").await;
    }
    assert_eq!(scene.connections_left(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_that_is_lost_too_is_told() {
    let (mut scene, upstream) = logged_in(3, OFFERS).await;
    drop(upstream);
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<a@b>").await;
    let mut upstream = scene.next_upstream(OFFERS).await;
    upstream.hears("MAIL FROM:<ana@example.org>").await;
    upstream.says("421 4.3.2 going down").await;
    let reply = scene.app.line().await;
    assert!(reply.starts_with("451 4.3.2 ana@example.org: the provider cannot serve now"), "{reply}");
    assert_eq!(scene.connections_left(), 1, "replaced once");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_lost_after_a_recipient_was_accepted_stays_lost_until_rset() {
    let (mut scene, mut upstream) = logged_in(2, OFFERS).await;
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<a@b>").await;
    upstream.hears("MAIL FROM:<ana@example.org>").await;
    upstream.hears("RCPT TO:<a@b>").await;
    upstream.says("250 ok\r\n250 2.1.5 ok").await;
    scene.app.hears("250 2.1.5 ok").await;
    drop(upstream);
    for command in ["RCPT TO:<c@d>", "RCPT TO:<e@f>", "DATA"] {
        scene.app.says(command).await;
        let reply = scene.app.line().await;
        assert!(reply.starts_with("451 4.4.2 ana@example.org: "), "{reply}");
    }
    assert_eq!(scene.connections_left(), 1, "no second transaction without the accepted recipient");
    scene.exchange("RSET", "250 2.0.0 forgotten").await;
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.says("RCPT TO:<a@b>").await;
    scene.next_upstream(OFFERS).await.hears("MAIL FROM:<ana@example.org>").await;
}

#[tokio::test(start_paused = true)]
async fn long_lines_rfc_5321_section_4_5_3_1_4_rfc_4954_section_4() {
    let mut scene = scene(0).await;
    scene.exchange(&format!("NOOP {}", "x".repeat(2043)), "250 2.0.0 ok").await;
    scene.exchange(&"x".repeat(5000), "500 5.5.2 line too long").await;
    scene.exchange(&"x".repeat(50_000), "500 5.5.2 line too long").await;
    scene.exchange("NOOP", "250 2.0.0 ok").await;
    scene.app.says("EHLO x").await;
    scene.app.reply().await;
    let answer = "A".repeat(12_288 - "AUTH PLAIN ".len());
    scene
        .exchange(&format!("AUTH PLAIN {answer}"), "501 5.5.2 this is not what the mechanism asks for")
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_mail_app_is_shown_out_without_echo() {
    for said in ["GET /index.html HTTP/1.1", "Host: localhost", "\u{16}\u{3}\u{1}\u{2}"] {
        let mut scene = scene(0).await;
        scene.app.says(said).await;
        // Who is still sending must not be reset before the words are read.
        scene.app.sends(&[b'x'; 100_000]).await;
        let rest = scene.app.rest().await;
        assert!(rest.starts_with("221 ") || rest.starts_with("421 "), "{rest}");
        assert!(!rest.contains("index") && !rest.contains("Host"), "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_mistakes_are_forgiven() {
    let mut scene = scene(0).await;
    for _ in 0..20 {
        scene.exchange("FOO", "500 5.5.1 command not recognised").await;
    }
    scene.exchange("FOO", "421 4.7.0 too many errors, goodbye").await;
    assert_eq!(scene.app.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn lines_of_text_after_login_are_mistakes_like_others_rfc_5321_section_4_2_4() {
    let (mut scene, _upstream) = logged_in(1, OFFERS).await;
    let text = [".", "..", "-", "<a@b>", "<html>", "{\"a\":1}", " "];
    for line in text.into_iter().cycle().take(20) {
        scene.exchange(line, "500 5.5.1 command not recognised").await;
    }
    scene.exchange(".", "421 4.7.0 too many errors, goodbye").await;
    assert_eq!(scene.app.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn silence_and_a_missing_login_end_the_session_rfc_5321_section_4_5_3_2_7() {
    let mut stranger = scene(0).await;
    stranger.app.hears("421 4.4.2 silent for too long, goodbye").await;
    let (mut scene, _upstream) = logged_in(1, OFFERS).await;
    let since = tokio::time::Instant::now();
    scene.app.hears("421 4.4.2 silent for too long, goodbye").await;
    assert!(since.elapsed().as_secs() >= 300);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_stops_says_421_rfc_5321_section_3_8() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.stopping.cancel();
    scene.app.hears("421 4.3.2 the bridge is stopping, try again later").await;
    upstream.answers("QUIT", "221 bye").await;
    scene.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn quit_says_goodbye_upstream_and_does_not_wait_for_it() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.exchange("QUIT", "221 2.0.0 goodbye").await;
    assert_eq!(scene.app.rest().await, "");
    upstream.hears("QUIT").await;
    scene.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_command_without_its_line_end_is_none() {
    let (mut scene, mut upstream) = logged_in(1, OFFERS).await;
    scene.exchange("MAIL FROM:<ana@example.org>", "250 2.1.0 ok").await;
    scene.app.sends(b"RCPT TO:<a@b>").await;
    drop(scene.app);
    upstream.hears("QUIT").await;
}
