mod pause;

use super::login::{Dial, authenticated, greeted, offer_starttls};
use super::scripted::{Scripted, account, credentials, pipe};
use super::*;
use crate::mail::account::{Endpoint, Security};
use crate::mail::oauth2::Mechanism;
use crate::mail::{Quirk, Quirks, Secret};
use crate::proto::smtp::Command;
use crate::proto::smtp::parameters::{MailFrom, RcptTo};
use crate::upstream::sasl;
use crate::upstream::tokens::{self, Listed};
use tokio::io::DuplexStream;

fn mail(line: &str) -> MailFrom {
    match Command::parse(line.as_bytes()) {
        Ok(Command::Mail(mail)) => mail,
        other => panic!("{other:?}"),
    }
}

fn rcpt(line: &str) -> RcptTo {
    match Command::parse(line.as_bytes()) {
        Ok(Command::Rcpt(rcpt)) => rcpt,
        other => panic!("{other:?}"),
    }
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        mail: Some(mail("MAIL FROM:<ana@example.org>")),
        recipients: recipients.iter().map(|path| rcpt(&format!("RCPT TO:<{path}>"))).collect(),
    }
}

/// Logs in while `script` plays the server.
async fn login_as(
    account: Account,
    script: impl AsyncFnOnce(&mut Scripted),
) -> (Result<Submission, UpstreamError>, Scripted) {
    login_with(account, &credentials(), script).await
}

async fn login_with(
    account: Account,
    credentials: &Credentials,
    script: impl AsyncFnOnce(&mut Scripted),
) -> (Result<Submission, UpstreamError>, Scripted) {
    let (stream, mut server) = pipe();
    let deadlines = Deadlines::default();
    let (login, ()) =
        tokio::join!(Submission::login_over(stream, &deadlines, &account, credentials), script(&mut server));
    (login, server)
}

async fn login(script: impl AsyncFnOnce(&mut Scripted)) -> (Result<Submission, UpstreamError>, Scripted) {
    login_as(account(), script).await
}

async fn logged_in(offers: &[&str]) -> (Submission, Scripted) {
    let (login, server) = login(async |server| server.serves(offers).await).await;
    (login.unwrap(), server)
}

fn codes(settled: Result<Settled, UpstreamError>) -> Vec<String> {
    match settled.unwrap() {
        Settled::Recipients(replies) => replies.iter().map(Reply::sentence).collect(),
        Settled::SenderRefused(reply) => vec![format!("sender {}", reply.sentence())],
    }
}

#[tokio::test(start_paused = true)]
async fn plain_with_initial_response_is_used_where_it_is_offered_rfc_4954_section_4() {
    let (submission, mut server) = logged_in(&["SIZE 1000", "PIPELINING", "8BITMIME"]).await;
    assert_eq!(submission.capabilities().largest, Some(1000));
    let ((), ()) = tokio::join!(submission.quit(), server.answers("QUIT", "221 bye"));
    assert_eq!(server.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn login_is_used_where_only_the_old_form_of_auth_offers_it() {
    let (login, _) = login(async |server| {
        server.greets(&["mx", "AUTH=LOGIN"]).await;
        server.answers("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
        server.answers("YW5h", "334 whatever").await;
        server.answers("aHVudGVyMg==", "235 ok").await;
    })
    .await;
    assert!(login.is_ok());
}

#[tokio::test(start_paused = true)]
async fn login_is_tried_where_plain_is_offered_and_not_to_be_had() {
    let (login, _) = login(async |server| {
        server.greets(&["mx", "AUTH PLAIN LOGIN"]).await;
        server.answers("AUTH PLAIN AGFuYQBodW50ZXIy", "504 5.7.4 unrecognized").await;
        server.answers("AUTH LOGIN", "334 ").await;
        server.answers("YW5h", "334").await;
        server.answers("aHVudGVyMg==", "235 ok").await;
    })
    .await;
    assert!(login.is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_mechanism_that_was_not_offered_rfc_4954_section_4() {
    let (login, mut server) = login(async |server| server.greets(&["mx", "AUTH CRAM-MD5"]).await).await;
    assert!(matches!(login, Err(UpstreamError::Refused { command: "AUTH", .. })), "{login:?}");
    drop(login);
    assert!(!server.rest().await.contains("AUTH"), "no password was sent");
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_login_are_told_apart_rfc_4954_section_6() {
    for (said, refused) in [
        ("535 5.7.8 wrong", true),
        ("534-5.7.9 app password\r\n534 5.7.9 see page", true),
        ("454 4.7.0 later", false),
        ("421 4.7.0 too many", false),
        ("432 4.3.2 concurrent", false),
    ] {
        let (login, _) = login(async |server| {
            server.greets(&["mx", "AUTH PLAIN"]).await;
            server.answers("AUTH PLAIN AGFuYQBodW50ZXIy", said).await;
        })
        .await;
        match login {
            Err(UpstreamError::LoginRefused { text }) => assert!(refused && text.starts_with("53"), "{text}"),
            Err(UpstreamError::Unavailable { .. }) => assert!(!refused, "{said}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn user_names_are_tried_in_their_order() {
    let mut account = account();
    account.smtp.as_mut().unwrap().usernames = vec!["x".into(), "ana".into()];
    let (login, _) = login_as(account, async |server| {
        server.greets(&["mx", "AUTH PLAIN"]).await;
        server.answers("AUTH PLAIN AHgAaHVudGVyMg==", "535 no").await;
        server.answers("AUTH PLAIN AGFuYQBodW50ZXIy", "235 yes").await;
    })
    .await;
    assert!(login.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_keeps_smtp_off_is_pointed_to() {
    let mut account = account();
    account.quirks = Quirks::from_iter([Quirk::SmtpOff]);
    let (login, _) = login_as(account.clone(), async |server| {
        server.greets(&["mx", "AUTH PLAIN"]).await;
        server.answers("AUTH PLAIN AGFuYQBodW50ZXIy", "535 5.7.139 disabled").await;
    })
    .await;
    assert!(login.unwrap_err().sentence(&account).contains("switched on"));
}

#[tokio::test(start_paused = true)]
async fn greetings_that_are_none() {
    for said in
        ["HTTP/1.1 400 Bad Request", "SSH-2.0-OpenSSH_9", "* OK IMAP4 ready", "+OK POP3", "\u{15}\u{3}"]
    {
        let (login, mut server) = login(async |server| server.says(said).await).await;
        assert!(matches!(login, Err(UpstreamError::NotTheProtocol { .. })), "{said}: {login:?}");
        assert_eq!(server.rest().await, "", "nothing was said to it");
    }
    for said in ["421 4.3.2 busy", "554 5.7.1 go away", "554-go\r\n554 away"] {
        let (login, _) = login(async |server| server.says(said).await).await;
        assert!(matches!(login, Err(UpstreamError::Unavailable { .. })), "{said}: {login:?}");
    }
    let (login, _) = login(async |_| {}).await;
    assert!(matches!(login, Err(UpstreamError::TimedOut { .. })), "silence: {login:?}");
    let (stream, server) = pipe();
    drop(server);
    let login = Submission::login_over(stream, &Deadlines::default(), &account(), &credentials()).await;
    assert!(matches!(login, Err(UpstreamError::Lost { .. })), "{login:?}");
}

#[tokio::test(start_paused = true)]
async fn without_ehlo_there_is_no_login() {
    let (login, _) = login(async |server| {
        server.says("220 old").await;
        server.answers("EHLO [127.0.0.1]", "502 what").await;
    })
    .await;
    assert!(matches!(login, Err(UpstreamError::Refused { command: "EHLO", .. })), "{login:?}");
}

#[tokio::test(start_paused = true)]
async fn replies_lettre_cannot_read_are_mended_and_kept_as_they_were() {
    let (login, mut server) = login(async |server| {
        // An EHLO line of spaces made lettre panic.
        server.sends(b"220\n").await;
        server.hears("EHLO [127.0.0.1]").await;
        server.sends(b"250-\r\n250-   \r\n250-AUTH PLAIN\n250 caf\xe9\r\n").await;
        server.answers("AUTH PLAIN AGFuYQBodW50ZXIy", "235").await;
    })
    .await;
    let mut submission = login.unwrap();
    let long = "x".repeat(5000);
    let script = async {
        server.answers("MAIL FROM:<ana@example.org>", "250").await;
        server.answers("RCPT TO:<a@b>", "571 5.7.1 no").await;
        server.answers("RCPT TO:<c@d>", &format!("250 {long}")).await;
        server.hears("RCPT TO:<e@f>").await;
        server.sends(b"299-\xe4\n299 ok\n").await;
    };
    let envelope = envelope(&["a@b", "c@d", "e@f"]);
    let (settled, ()) = tokio::join!(submission.envelope(&envelope), script);
    let codes = codes(settled);
    assert_eq!(codes[0], "571 5.7.1 no");
    assert!(codes[1].starts_with("250 xxx") && codes[1].len() <= 512);
    assert_eq!(codes[2], "299 ? ok");
}

#[tokio::test(start_paused = true)]
async fn envelopes_are_pipelined_only_where_upstream_pipelines_rfc_2920_section_3_1() {
    let (mut submission, mut server) = logged_in(&["PIPELINING"]).await;
    let script = async {
        server.hears("MAIL FROM:<ana@example.org>").await;
        server.hears("RCPT TO:<a@b>").await;
        server.hears("RCPT TO:<c@d>").await;
        server.says("250 2.1.0 ok\r\n550-5.1.1 no\r\n550 5.1.1 such\r\n250 2.1.5 ok").await;
    };
    let envelope = envelope(&["a@b", "c@d"]);
    let (settled, ()) = tokio::join!(submission.envelope(&envelope), script);
    assert_eq!(codes(settled), ["550 5.1.1 no such", "250 2.1.5 ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_sender_refuses_all_and_the_next_one_begins_with_rset() {
    let (mut submission, mut server) = logged_in(&["PIPELINING"]).await;
    let script = async {
        server.hears("MAIL FROM:<ana@example.org>").await;
        server.hears("RCPT TO:<a@b>").await;
        server.says("550 5.7.60 not yours\r\n503 5.5.1 MAIL first").await;
        server.hears("RSET").await;
        server.hears("MAIL FROM:<ana@example.org>").await;
        server.hears("RCPT TO:<a@b>").await;
        server.says("250 ok\r\n250 ok\r\n250 ok").await;
    };
    let envelope = envelope(&["a@b"]);
    let ask = async {
        assert_eq!(codes(submission.envelope(&envelope).await), ["sender 550 5.7.60 not yours"]);
        assert_eq!(codes(submission.envelope(&envelope).await), ["250 ok"]);
    };
    tokio::join!(ask, script);
}

#[tokio::test(start_paused = true)]
async fn the_dot_is_written_by_finish_alone() {
    let (mut submission, mut server) = logged_in(&[]).await;
    let ((), ()) = tokio::join!(
        async { assert_eq!(submission.data().await.unwrap().code(), 354) },
        server.answers("DATA", "354 go")
    );
    submission.send(b"a\r\n").await.unwrap();
    drop(submission);
    assert_eq!(server.rest().await, "a\r\n", "dropped: no dot, no QUIT");
}

#[tokio::test(start_paused = true)]
async fn garbage_in_a_reply_ends_the_connection() {
    for said in ["250-a\r\n550 b", "hello", "", "99 x", "250-a\r\nb"] {
        let (mut submission, mut server) = logged_in(&[]).await;
        let envelope = envelope(&["a@b"]);
        let (settled, ()) = tokio::join!(submission.envelope(&envelope), async {
            server.answers("MAIL FROM:<ana@example.org>", said).await;
        });
        assert!(matches!(settled, Err(UpstreamError::Lost { .. })), "{said}: {settled:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_line_is_not_taken() {
    let (mut submission, mut server) = logged_in(&[]).await;
    let envelope = envelope(&["a@b"]);
    let (settled, ()) = tokio::join!(submission.envelope(&envelope), async {
        server.hears("MAIL FROM:<ana@example.org>").await;
        server.sends(&[b'2'; 200_000]).await;
    });
    assert!(matches!(settled, Err(UpstreamError::Lost { .. })), "{settled:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_very_many_lines_is_read_and_one_without_end_is_not() {
    for (lines, read) in [(9_000, true), (11_000, false)] {
        let (mut submission, mut server) = logged_in(&[]).await;
        let (reply, ()) = tokio::join!(submission.data(), async {
            server.hears("DATA").await;
            server.sends("550-no\r\n".repeat(lines).as_bytes()).await;
            server.says("550 and no").await;
        });
        assert_eq!(reply.is_ok_and(|reply| reply.code() == 550), read, "{lines}");
    }
}

async fn starttls(script: impl AsyncFnOnce(&mut Scripted)) -> Result<DuplexStream, UpstreamError> {
    let (stream, mut server) = pipe();
    let endpoint = Endpoint { host: "mx.example.org".into(), port: 587, security: Security::StartTls };
    let deadlines = Deadlines::default();
    tokio::join!(offer_starttls(stream, &endpoint, &deadlines), script(&mut server)).0
}

#[tokio::test(start_paused = true)]
async fn starttls_is_mandatory_rfc_3207_section_4() {
    let taken = starttls(async |server| {
        server.greets(&["mx", "STARTTLS"]).await;
        server.answers("STARTTLS", "220 go").await;
    })
    .await;
    assert!(taken.is_ok());
    let stripped = starttls(async |server| server.greets(&["mx", "AUTH PLAIN"]).await).await;
    assert!(matches!(stripped, Err(UpstreamError::NoTls { .. })), "{stripped:?}");
    let refused = starttls(async |server| {
        server.greets(&["mx", "STARTTLS"]).await;
        server.answers("STARTTLS", "454 not now").await;
    })
    .await;
    assert!(matches!(refused, Err(UpstreamError::NoTls { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn octets_behind_the_220_are_fatal_rfc_3207_section_6() {
    let injected = starttls(async |server| {
        server.greets(&["mx", "STARTTLS"]).await;
        server.answers("STARTTLS", "220 go\r\n235 2.7.0 believe me").await;
    })
    .await;
    assert!(matches!(injected, Err(UpstreamError::NoTls { .. })), "{injected:?}");
}

#[tokio::test]
async fn an_account_without_smtp_is_refused_without_a_connection() {
    let mut account = account();
    account.smtp = None;
    let (login, _) = login_as(account, async |_| {}).await;
    assert!(matches!(login, Err(UpstreamError::NoSubmission)));
}

const BOTH: &[Mechanism] = &[Mechanism::XOAuth2, Mechanism::OAuthBearer];

/// `{"status":"400"}`.
const CHALLENGE: &str = "334 eyJzdGF0dXMiOiI0MDAifQ==";

/// ana, who logs in with these.
fn by(mechanisms: &[Mechanism]) -> Account {
    Account { auth: tokens::by(mechanisms), ..account() }
}

/// ana's token as a mechanism shows it.
fn shown(mechanism: Mechanism, token: &str) -> String {
    let endpoint = account().smtp.unwrap().endpoint;
    let message = sasl::bearer(mechanism, "ana", &endpoint, &Secret::new(token)).unwrap();
    sasl::encoded("", &message).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_token_by_the_first_mechanism_of_the_account_that_is_offered_rfc_7628() {
    for (mechanisms, offer, name) in [
        (BOTH, "AUTH LOGIN OAUTHBEARER XOAUTH2", "XOAUTH2"),
        (&[Mechanism::OAuthBearer, Mechanism::XOAuth2], "AUTH PLAIN OAUTHBEARER XOAUTH2", "OAUTHBEARER"),
    ] {
        let tokens = Listed::new([Ok("t0ken")]);
        let (login, _) = login_with(by(mechanisms), &tokens.credentials(), async |server| {
            server.greets(&["mx", offer]).await;
            let message = shown(mechanisms[0], "t0ken");
            server.answers(&format!("AUTH {name} {message}"), "235 2.7.0 Accepted").await;
        })
        .await;
        assert!(login.is_ok() && tokens.renewals().is_empty(), "{login:?}");
    }
    let tokens = Listed::new([Ok("t0ken")]);
    let (login, mut server) = login_with(by(BOTH), &tokens.credentials(), async |server| {
        server.greets(&["mx", "AUTH PLAIN LOGIN"]).await;
    })
    .await;
    let error = login.unwrap_err().sentence(&account());
    assert!(error.contains("it offers no login with OAuth2 (XOAUTH2 or OAUTHBEARER) here"), "{error}");
    assert!(!server.rest().await.contains("AUTH"), "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_in_two_lines_where_one_would_not_do_rfc_4954_section_4() {
    let tokens = Listed::new([Ok("t0ken")]);
    let message = shown(Mechanism::XOAuth2, "t0ken");
    // Too long for the server, or asked for although it went with the command.
    for refusal in ["500 5.5.2 Error: line too long", "334 ", "334"] {
        let (login, _) = login_with(by(BOTH), &tokens.credentials(), async |server| {
            server.greets(&["mx", "AUTH XOAUTH2"]).await;
            server.answers(&format!("AUTH XOAUTH2 {message}"), refusal).await;
            if refusal.starts_with('5') {
                server.answers("AUTH XOAUTH2", "334 ").await;
            }
            server.answers(&message, "235 ok").await;
        })
        .await;
        assert!(login.is_ok(), "{refusal}: {login:?}");
    }
    // Postfix takes 2,048 octets, CRLF included, and calls what it cut a bad token.
    for octets in 1400..1600 {
        let long: &str = "x".repeat(octets).leak();
        let message = shown(Mechanism::XOAuth2, long);
        let line = format!("AUTH XOAUTH2 {message}");
        let (login, _) = login_with(by(BOTH), &Listed::new([Ok(long)]).credentials(), async |server| {
            server.greets(&["mx", "AUTH XOAUTH2"]).await;
            if line.len() + 2 <= 2048 {
                server.answers(&line, "235 ok").await;
                return;
            }
            server.answers("AUTH XOAUTH2", "334 ").await;
            server.answers(&message, "235 ok").await;
        })
        .await;
        assert!(login.is_ok(), "{octets}: {login:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_is_renewed_once_and_nobody_hears_of_it_rfc_7628_section_3_2_3() {
    for mechanism in BOTH {
        let dismissal = if *mechanism == Mechanism::XOAuth2 { "" } else { "AQ==" };
        let tokens = Listed::new([Ok("old"), Ok("new")]);
        let (login, _) = login_with(by(&[*mechanism]), &tokens.credentials(), async |server| {
            server.greets(&["mx", "AUTH XOAUTH2 OAUTHBEARER"]).await;
            let name = sasl::name(*mechanism);
            server.answers(&format!("AUTH {name} {}", shown(*mechanism, "old")), CHALLENGE).await;
            server.answers(dismissal, "535 5.7.8 not accepted").await;
            server.answers(&format!("AUTH {name} {}", shown(*mechanism, "new")), "235 ok").await;
        })
        .await;
        assert!(login.is_ok(), "{login:?}");
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

/// Connections, the last one first.
struct Streams(Vec<DuplexStream>);

impl Dial for Streams {
    async fn dial(&mut self) -> Result<Submission, UpstreamError> {
        greeted(self.0.pop().expect("one connection too many"), &Deadlines::default(), &account()).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_token_goes_over_a_new_connection_where_upstream_closed_the_old_one() {
    let (first, second) = (shown(Mechanism::XOAuth2, "old"), shown(Mechanism::XOAuth2, "new"));
    for refusal in [Some("535 5.7.3 Authentication unsuccessful"), None] {
        let tokens = Listed::new([Ok("old"), Ok("new")]);
        let ((one, mut old), (two, mut new)) = (pipe(), pipe());
        let (account, credentials) = (by(BOTH), tokens.credentials());
        let login = authenticated(Streams(vec![two, one]), &account, &credentials);
        let (login, ()) = tokio::join!(login, async {
            old.greets(&["mx", "AUTH XOAUTH2"]).await;
            old.answers(&format!("AUTH XOAUTH2 {first}"), CHALLENGE).await;
            old.hears("").await;
            if let Some(refusal) = refusal {
                old.says(refusal).await;
            }
            drop(old);
            new.greets(&["mx", "AUTH XOAUTH2"]).await;
            new.answers(&format!("AUTH XOAUTH2 {second}"), "235 ok").await;
        });
        assert!(login.is_ok(), "{refusal:?}: {login:?}");
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_is_refused_is_the_end_of_it_and_the_reason_is_told() {
    let tokens = Listed::new([Ok("old"), Ok("new"), Ok("third")]);
    let (login, mut server) = login_with(by(BOTH), &tokens.credentials(), async |server| {
        server.greets(&["mx", "AUTH XOAUTH2"]).await;
        for token in ["old", "new"] {
            let message = shown(Mechanism::XOAuth2, token);
            server.answers(&format!("AUTH XOAUTH2 {message}"), CHALLENGE).await;
            server
                .answers("", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.")
                .await;
        }
    })
    .await;
    let error = login.unwrap_err();
    assert!(matches!(error, UpstreamError::TokenRefused { .. }), "{error:?}");
    let sentence = error.sentence(&account());
    for part in [
        "ana@example.org: the provider refused the sign-in: 535 5.7.139 ",
        "(status 400) (whoever administers the mailbox has to allow authenticated SMTP)",
        "; run: footbridge account sign-in ana@example.org",
    ] {
        assert!(sentence.contains(part), "{part} in {sentence}");
    }
    assert_eq!(tokens.renewals(), ["old"]);
    assert_eq!(server.rest().await, "QUIT\r\n");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_judgement_costs_no_token() {
    for said in ["454 4.7.0 Temporary authentication failure", "421 4.7.0 too many", "432 4.3.2 concurrent"] {
        let tokens = Listed::new([Ok("old"), Ok("new")]);
        let (login, _) = login_with(by(BOTH), &tokens.credentials(), async |server| {
            server.greets(&["mx", "AUTH XOAUTH2"]).await;
            server.answers(&format!("AUTH XOAUTH2 {}", shown(Mechanism::XOAuth2, "old")), said).await;
        })
        .await;
        assert!(matches!(login, Err(UpstreamError::Unavailable { .. })), "{said}: {login:?}");
        assert_eq!(tokens.renewals().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_upstream_is_not_even_greeted() {
    for fault in [tokens::signed_out(), tokens::silent()] {
        let (login, mut server) =
            login_with(by(BOTH), &Listed::new([Err(fault)]).credentials(), async |_| {}).await;
        assert!(matches!(login, Err(UpstreamError::NoToken(_))), "{login:?}");
        assert_eq!(server.rest().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_name_that_could_write_fields_goes_nowhere() {
    for name in ["ana\x01auth=Bearer x", "ana\r\nQUIT", "ana\0"] {
        let mut account = by(BOTH);
        account.smtp.as_mut().unwrap().usernames = vec!["ana".into(), name.into()];
        for credentials in [Listed::new([Ok("t0ken")]).credentials(), credentials()] {
            let (login, mut server) = login_with(account.clone(), &credentials, async |_| {}).await;
            assert!(matches!(login, Err(UpstreamError::LoginRefused { .. })), "{name:?}: {login:?}");
            assert_eq!(server.rest().await, "");
        }
    }
}
