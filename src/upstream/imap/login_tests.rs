use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::conversation::Conversation;
use super::login::{Dial, connected, log_in};
use super::wire::Wire;
use super::{greeting, script};
use crate::auth::Credentials;
use crate::mail::account::{Auth, SecretSource};
use crate::mail::account::{
    BareNewline, Delete, Endpoint, FolderNames, Pop3Options, Security, Seen, Service, SmtpOptions,
};
use crate::mail::oauth2::Mechanism;
use crate::mail::{Account, Quirk, Quirks, Secret};
use crate::net::Buffered;
use crate::upstream::UpstreamError;
use crate::upstream::sasl;
use crate::upstream::tokens::{self, Listed};

const GREETING: Duration = Duration::from_secs(25);
const PATIENCE: Duration = Duration::from_secs(55);

/// Hands out one scripted connection after the other.
struct Scripts(Mutex<Vec<(DuplexStream, JoinHandle<()>)>>, Mutex<Vec<JoinHandle<()>>>);

impl Scripts {
    fn new(scripts: &[&'static str]) -> Self {
        let played = scripts.iter().rev().map(|script| script::play(script)).collect();
        Self(Mutex::new(played), Mutex::new(Vec::new()))
    }

    /// Every connection was used and every script kept to.
    async fn kept(self) {
        assert_eq!(self.0.into_inner().unwrap().len(), 0, "a connection was not used");
        for play in self.1.into_inner().unwrap() {
            play.await.unwrap();
        }
    }
}

impl Dial for Scripts {
    type Octets = DuplexStream;

    async fn dial(&self) -> Result<async_imap::Client<Wire<DuplexStream>>, UpstreamError> {
        let (stream, play) = self.0.lock().unwrap().pop().expect("one connection too many");
        self.1.lock().unwrap().push(play);
        greeting::greeted(Wire::new(Buffered::new(stream), PATIENCE), "imap.example.org", GREETING).await
    }
}

fn account(usernames: &[&str], quirks: &[Quirk]) -> Account {
    Account {
        address: "ana@example.org".to_owned(),
        logins: vec!["ana@example.org".to_owned()],
        provider: None,
        imap: Service {
            endpoint: Endpoint { host: "imap.example.org".to_owned(), port: 993, security: Security::Tls },
            usernames: usernames.iter().map(|name| (*name).to_owned()).collect(),
        },
        smtp: None,
        auth: Auth::Password,
        secret: SecretSource::App,
        mask: Vec::new(),
        pop3: Pop3Options { folder: "INBOX".to_owned(), delete: Delete::Auto, seen: Seen::Never },
        smtp_options: SmtpOptions { bare_newline: BareNewline::Mend },
        quirks: quirks.iter().copied().collect::<Quirks>(),
        folders: FolderNames::default(),
        imap_connections: None,
        help: None,
    }
}

type Outcome = Result<Conversation<DuplexStream>, UpstreamError>;

async fn attempt(account: &Account, password: &str, scripts: &[&'static str]) -> Outcome {
    attempt_with(account, &Credentials::Password(Secret::new(password)), scripts).await
}

async fn attempt_with(account: &Account, credentials: &Credentials, scripts: &[&'static str]) -> Outcome {
    let scripts = Scripts::new(scripts);
    let outcome = async {
        let mut conversation = log_in(&scripts, account, credentials).await?;
        connected(&mut conversation, account).await?;
        Ok(conversation)
    };
    match outcome.await {
        Ok(mut conversation) => {
            // Whoever logs in asks this next; then the connection may end.
            conversation.capabilities().await?;
            let alerts = std::mem::take(&mut conversation.heard().alerts);
            let capabilities = conversation.heard().capabilities.clone();
            let stream = conversation.into_stream().unwrap();
            drop(stream);
            scripts.kept().await;
            Err(UpstreamError::Refused { command: "test", text: format!("{capabilities:?} {alerts:?}") })
        }
        Err(error) => {
            scripts.kept().await;
            Err(error)
        }
    }
}

/// The sentence an attempt ends with; after a good login `Ok`, capabilities and alerts.
async fn check(quirks: &[Quirk], password: &str, scripts: &[&'static str]) -> String {
    let error = attempt(&account(&["ana@example.org", "ana"], quirks), password, scripts).await.unwrap_err();
    match error {
        UpstreamError::Refused { command: "test", text } => format!("Ok {text}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn plain_with_initial_response_and_nothing_asked_twice() {
    // RFC 4959; capabilities from the greeting before login, from the OK code behind it.
    let heard = check(
        &[],
        "secret",
        &[r"
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN LOGINDISABLED] ready
        C: $a AUTHENTICATE PLAIN AGFuYUBleGFtcGxlLm9yZwBzZWNyZXQ=
        S: * OK [ALERT] disk almost full
        S: $a OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE] welcome
    "],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "UIDPLUS", "MOVE"]) [b"* OK [ALERT] disk almost full\r\n"]"#);
}

#[tokio::test]
async fn plain_in_two_steps_with_lines_between_and_words_behind_the_plus() {
    // RFC 3501 §6.2.2. async-imap alone would wait for ever after the untagged line.
    let heard = check(
        &[],
        "secret",
        &[r"
        S: * OK ready
        C: $a CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: $a OK
        C: $b AUTHENTICATE PLAIN
        S: * OK one moment
        S: + go ahead
        C: AGFuYUBleGFtcGxlLm9yZwBzZWNyZXQ=
        S: * CAPABILITY IMAP4rev1 IDLE
        S: $b ok
    "],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "IDLE"]) []"#);
}

#[tokio::test]
async fn login_where_plain_is_not_offered_and_capabilities_asked_behind_it() {
    let heard = check(
        &[],
        "se cret",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "se cret"
        S: $a OK hello
        C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1 NAMESPACE
        S: $b OK done
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "NAMESPACE"]) []"#);
}

#[tokio::test]
async fn a_password_that_cannot_be_quoted_goes_as_a_literal() {
    // RFC 3501 §4.3: 8-bit octets are not for quoted strings.
    let heard = check(
        &[],
        "s\u{e9}\"",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN {15}
        S: + yes
        C: ana@example.org {4}
        S: + yes
        C: s\xc3\xa9"
        S: $a OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1"]) []"#);
    let heard = check(
        &[],
        "\"",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1 LITERAL-] ready
        C: $a LOGIN {15+}
        C: ana@example.org {1+}
        C: "
        S: $a OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1"]) []"#);
}

#[tokio::test]
async fn user_names_in_turn_over_one_connection_while_it_lasts() {
    let heard = check(
        &[],
        "x",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
        S: $a NO [AUTHENTICATIONFAILED] no
        C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: $b OK done
        C: $c LOGIN "ana" "x"
        S: $c OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert!(heard.starts_with("Ok"), "{heard}");
    let heard = check(
        &[],
        "x",
        &[
            r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
        S: * BYE that was it
        S: $a NO wrong
        EOF
    "#,
            r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana" "x"
        S: $a NO wrong too
    "#,
        ],
    )
    .await;
    assert_eq!(heard, r#"LoginRefused { text: "wrong" }"#);
}

#[tokio::test]
async fn plain_vs_login_tries_login_once() {
    let heard = check(
        &[Quirk::PlainVsLogin],
        "x",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready
        C: $a AUTHENTICATE PLAIN AGFuYUBleGFtcGxlLm9yZwB4
        S: $a NO failed
        C: $b LOGIN "ana@example.org" "x"
        S: $b OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert!(heard.starts_with("Ok"), "{heard}");
}

#[tokio::test]
async fn id_after_login_names_us_and_nobody_else() {
    let heard = check(
        &[Quirk::IdAfterLogin],
        "x",
        &[concat!(
            r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
        S: $a OK [CAPABILITY IMAP4rev1] hello
        C: $b ID ("name" "footbridge" "version" ""#,
            env!("CARGO_PKG_VERSION"),
            r#"" "vendor" "footbridge")
        S: $b BAD what
    "#
        )],
    )
    .await;
    assert!(heard.starts_with("Ok"), "{heard}");
}

#[tokio::test]
async fn no_password_where_none_may_go() {
    // RFC 3501 §6.2.3: LOGINDISABLED is a prohibition.
    let heard = check(&[], "x", &["S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2] ready"]).await;
    assert_eq!(heard, r#"Refused { command: "LOGIN", text: "it takes no password here" }"#);
    // CR, LF, NUL: into no command line, not even in base64.
    let heard = check(&[], "x\r\ny", &[]).await;
    assert!(heard.starts_with("LoginRefused"), "{heard}");
}

#[tokio::test]
async fn refusals_by_code_and_by_words() {
    async fn refusal(line: &'static str) -> String {
        let script =
            format!("S: * OK [CAPABILITY IMAP4rev1] ready\nC: $a LOGIN \"ana\" \"x\"\nS: {line}\nEOF");
        let error = attempt(&account(&["ana"], &[]), "x", &[script.leak()]).await.unwrap_err();
        format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
    }
    for line in [
        "$a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        "$a NO [EXPIRED] password expired",
        "$a NO Login failed",
        "$a NO",
        "$a NO [ALERT] Application-specific password required",
        "$a NO [WEBALERT https://example.org/] Web login required",
    ] {
        assert_eq!(refusal(line).await, "LoginRefused", "{line}");
    }
    for line in [
        "$a NO [UNAVAILABLE] Temporary authentication failure",
        "$a NO Temporary authentication failure",
        "$a NO [INUSE] x",
        "$a NO [LIMIT] x",
        "$a NO [SERVERBUG] x",
        "$a NO [ALERT] Too many simultaneous connections. (Failure)",
        "$a NO Login rate limit reached, try again later",
        "$a BAD User is authenticated but not connected.",
        "$a BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds",
        "* BYE Server Unavailable. 15",
    ] {
        assert_eq!(refusal(line).await, "Unavailable", "{line}");
    }
    assert_eq!(refusal("$a BAD what?").await, "Refused");
    assert_eq!(refusal("<html>").await, "Lost");
}

#[tokio::test]
async fn a_line_that_makes_imap_proto_panic_does_no_harm() {
    let heard = check(
        &[],
        "x",
        &[r#"
        R: * OK [CAPABILITY IMAP4rev1]\xc3\xa9cole\r\n
        C: $a LOGIN "ana@example.org" "x"
        R: * OK [ALERT]\xc3\xa9cole\r\n* NAMESPACE NIL NIL NIL\r\n* 1 FETCH ()\r\n\r\n* OK\r\n
        R: $a OK [CAPABILITY IMAP4rev1]\xc3\xa9cole\n
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1"]) [b"* OK [ALERT] \xc3\xa9cole\r\n"]"#);
}

#[tokio::test]
async fn greetings_that_are_none() {
    for (script, expected) in [
        ("S: SSH-2.0-OpenSSH_9.2", "NotTheProtocol"),
        ("S: HTTP/1.1 400 Bad Request", "NotTheProtocol"),
        ("S: +OK POP3 ready", "NotTheProtocol"),
        ("S: 220 mail ESMTP", "NotTheProtocol"),
        ("R: \\x15\\x03\\x01", "NotTheProtocol"),
        ("S: * 5 EXISTS", "NotTheProtocol"),
        ("S: * PREAUTH welcome", "NoTls"),
        ("S: * BYE overloaded", "Unavailable"),
        ("EOF", "Lost"),
    ] {
        let (stream, _play) = script::play(script);
        let wire = Wire::new(Buffered::new(stream), PATIENCE);
        let error = greeting::greeted(wire, "imap.example.org", GREETING).await.unwrap_err();
        let error = format!("{error:?}");
        assert!(error.starts_with(expected), "{script}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_never_ends_costs_its_deadline_and_silence_at_login_costs_its_own() {
    let (stream, _play) = script::play("R: * OK al");
    let wire = Wire::new(Buffered::new(stream), PATIENCE);
    let error = greeting::greeted(wire, "h", GREETING).await.unwrap_err();
    assert!(matches!(error, UpstreamError::TimedOut { command: "greeting", after: GREETING }));
    let begun = tokio::time::Instant::now();
    let heard = check(
        &[],
        "x",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
    "#],
    )
    .await;
    assert_eq!(heard, r#"TimedOut { command: "LOGIN", after: 55s }"#);
    assert_eq!(begun.elapsed(), PATIENCE);
}

/// ana's token `token` as XOAUTH2 shows it.
fn xoauth2(token: &str) -> String {
    shown(Mechanism::XOAuth2, "ana", token)
}

fn shown(mechanism: Mechanism, username: &str, token: &str) -> String {
    let endpoint = account(&[], &[]).imap.endpoint;
    let message = sasl::bearer(mechanism, username, &endpoint, &Secret::new(token)).unwrap();
    sasl::encoded("", &message).to_string()
}

/// What Google says to a token that it does not take.
const CHALLENGE: &str =
    "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";

const BOTH: &[Mechanism] = &[Mechanism::XOAuth2, Mechanism::OAuthBearer];

/// The error of a login as ana with the tokens of this list, or `Ok`.
async fn check_tokens(tokens: &Arc<Listed>, mechanisms: &[Mechanism], scripts: &[String]) -> String {
    check_tokens_of(&Account { auth: tokens::by(mechanisms), ..account(&["ana"], &[]) }, tokens, scripts)
        .await
}

async fn check_tokens_of(account: &Account, tokens: &Arc<Listed>, scripts: &[String]) -> String {
    let scripts: Vec<&'static str> = scripts.iter().map(|script| &*script.clone().leak()).collect();
    match attempt_with(account, &tokens.credentials(), &scripts).await.unwrap_err() {
        UpstreamError::Refused { command: "test", text } => format!("Ok {text}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_by_the_first_mechanism_of_the_account_that_is_offered() {
    let greeting = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER AUTH=XOAUTH2] ready";
    for (mechanisms, name) in
        [(BOTH, "XOAUTH2"), (&[Mechanism::OAuthBearer, Mechanism::XOAuth2], "OAUTHBEARER")]
    {
        let tokens = Listed::new([Ok("t0ken")]);
        let message = shown(mechanisms[0], "ana", "t0ken");
        let script = format!(
            "{greeting}\nC: $a AUTHENTICATE {name} {message}\nS: * CAPABILITY IMAP4rev1 MOVE\nS: $a OK welcome"
        );
        let heard = check_tokens(&tokens, mechanisms, &[script]).await;
        assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "MOVE"]) []"#);
        assert_eq!(tokens.renewals().len(), 0);
    }
    let tokens = Listed::new([Ok("t0ken")]);
    let script = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2] ready".to_owned();
    let heard = check_tokens(&tokens, &[Mechanism::OAuthBearer], &[script]).await;
    assert!(
        heard.starts_with(
            r#"Refused { command: "AUTHENTICATE", text: "it offers no login with OAuth2 (OAUTHBEARER)"#
        ),
        "{heard}"
    );
}

#[tokio::test]
async fn a_token_goes_in_two_lines_where_one_would_not_do() {
    // No SASL-IR (RFC 4959); and Exchange takes no line of 10,000 octets.
    let long: &str = "x".repeat(9000).leak();
    for (ir, token) in [("", "t0ken"), (" SASL-IR", long)] {
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1{ir} AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2
            S: +
            C: {}
            S: $a OK [CAPABILITY IMAP4rev1] welcome",
            xoauth2(token)
        );
        let heard = check_tokens(&Listed::new([Ok(token)]), BOTH, &[script]).await;
        assert!(heard.starts_with("Ok"), "{heard}");
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_once_and_nobody_hears_of_it_rfc_7628_section_3_2_3() {
    let (old, new) = (xoauth2("old"), xoauth2("new"));
    let again = format!(
        "C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2
        S: $b OK done
        C: $c AUTHENTICATE XOAUTH2 {new}
        S: $c OK [CAPABILITY IMAP4rev1] welcome"
    );
    let fresh = format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
        C: $a AUTHENTICATE XOAUTH2 {new}
        S: $a OK [CAPABILITY IMAP4rev1] welcome"
    );
    let refused = |end: &str| {
        format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {old}
            S: + {CHALLENGE}
            C: \n{end}"
        )
    };
    for scripts in [
        // The connection stays, says goodbye, hangs up with NO, hangs up without.
        vec![refused(&format!("S: $a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\n{again}"))],
        vec![refused("S: * BYE wrong\nS: $a NO AUTHENTICATE failed.\nEOF"), fresh.clone()],
        vec![refused("S: $a NO AUTHENTICATE failed.\nEOF"), fresh.clone()],
        vec![refused("EOF"), fresh.clone()],
    ] {
        let tokens = Listed::new([Ok("old"), Ok("new")]);
        let heard = check_tokens(&tokens, BOTH, &scripts).await;
        assert!(heard.starts_with("Ok"), "{heard}\n{scripts:?}");
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_the_end_of_it_and_the_reason_is_told() {
    for mechanism in BOTH {
        let answer = match mechanism {
            Mechanism::XOAuth2 => "",
            Mechanism::OAuthBearer => "AQ==", // RFC 7628 §3.2.3
        };
        let name = sasl::name(*mechanism);
        let (old, new) = (shown(*mechanism, "ana", "old"), shown(*mechanism, "ana", "new"));
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1 AUTH={name} SASL-IR] ready
            C: $a AUTHENTICATE {name} {old}
            S: + {CHALLENGE}
            C: {answer}
            S: $a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)
            C: $b CAPABILITY
            S: * CAPABILITY IMAP4rev1 AUTH={name}
            S: $b OK done
            C: $c AUTHENTICATE {name}
            S: + okay
            C: {new}
            S: + {CHALLENGE}
            C: {answer}
            S: $c NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
        );
        let tokens = Listed::new([Ok("old"), Ok("new"), Ok("third")]);
        let heard = check_tokens(&tokens, BOTH, &[script]).await;
        let text = "Invalid credentials (Failure) [AUTHENTICATIONFAILED] \
                    (status 400, scope https://mail.google.com/, schemes Bearer)";
        assert_eq!(heard, format!("TokenRefused {{ text: \"{text}\" }}"));
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

#[tokio::test]
async fn user_names_are_tried_before_a_token_is_renewed() {
    // A guess at the name that is wrong must not cost a request to the token server at each login.
    let account = Account { auth: tokens::by(BOTH), ..account(&["ana@example.org", "ana"], &[]) };
    let script = format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
        C: $a AUTHENTICATE XOAUTH2 {}
        S: $a NO AUTHENTICATE failed.
        C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2
        S: $b OK done
        C: $c AUTHENTICATE XOAUTH2 {}
        S: $c OK [CAPABILITY IMAP4rev1] welcome",
        shown(Mechanism::XOAuth2, "ana@example.org", "t0ken"),
        xoauth2("t0ken")
    );
    let tokens = Listed::new([Ok("t0ken")]);
    let heard = check_tokens_of(&account, &tokens, &[script]).await;
    assert!(heard.starts_with("Ok") && tokens.renewals().is_empty(), "{heard}");
}

#[tokio::test]
async fn a_server_that_cannot_judge_now_costs_no_token() {
    let challenge = sasl::encoded("", br#"{"status":"503"}"#);
    for answer in [
        format!("S: + {}\nC: \nS: $a NO failed", *challenge),
        "S: $a NO [UNAVAILABLE] later".to_owned(),
        "S: $a NO [ALERT] Too many simultaneous connections. (Failure)".to_owned(),
    ] {
        let tokens = Listed::new([Ok("old"), Ok("new")]);
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {}
            {answer}",
            xoauth2("old")
        );
        let heard = check_tokens(&tokens, BOTH, &[script]).await;
        assert!(heard.starts_with("Unavailable"), "{answer}: {heard}");
        assert_eq!(tokens.renewals().len(), 0);
    }
}

#[tokio::test]
async fn without_a_token_no_connection_is_made_and_without_another_one_no_second_try() {
    for (fault, kind) in [(tokens::signed_out(), "NoToken(SignIn"), (tokens::silent(), "NoToken(Later")] {
        let heard = check_tokens(&Listed::new([Err(fault.clone())]), BOTH, &[]).await;
        assert!(heard.starts_with(kind), "{heard}");
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {}
            S: $a NO AUTHENTICATE failed.",
            xoauth2("old")
        );
        let tokens = Listed::new([Ok("old"), Err(fault)]);
        let heard = check_tokens(&tokens, BOTH, &[script]).await;
        assert!(heard.starts_with(kind), "{heard}");
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

#[tokio::test]
async fn a_user_name_that_could_write_fields_goes_nowhere() {
    for name in ["ana\x01auth=Bearer x", "ana\r\nx LOGOUT", "ana\n", "ana\0"] {
        let account = Account { auth: tokens::by(BOTH), ..account(&["ana", name], &[]) };
        let heard = check_tokens_of(&account, &Listed::new([Ok("t0ken")]), &[]).await;
        assert!(heard.starts_with("LoginRefused"), "{name:?}: {heard}");
        assert!(
            matches!(attempt(&account, "x", &[]).await, Err(UpstreamError::LoginRefused { .. })),
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn a_login_that_is_taken_with_no_mailbox_behind_it_is_found_out_at_once() {
    // Exchange, in the flight with the capabilities; not asked where a server is not known for it.
    let account = Account { auth: tokens::by(BOTH), ..account(&["ana"], &[Quirk::LateAuthFailure]) };
    let login = |capabilities: &str, end: &str| {
        format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {}
            S: $a OK {capabilities}AUTHENTICATE completed.
            {end}",
            xoauth2("t0ken")
        )
    };
    let asked = "C: $b CAPABILITY
            C: $c NAMESPACE
            S: * CAPABILITY IMAP4 IMAP4rev1 MOVE
            S: $b OK CAPABILITY completed.";
    let refused = "S: $c BAD User is authenticated but not connected.";
    let tokens = Listed::new([Ok("t0ken")]);
    for script in [
        login("", &format!("{asked}\n{refused}")),
        login(
            "[CAPABILITY IMAP4rev1] ",
            "C: $c NAMESPACE\nS: $c BAD User is authenticated but not connected.",
        ),
        login("", &format!("{asked}\nS: $c BAD Command Error. 12")),
    ] {
        let heard = check_tokens_of(&account, &tokens, &[script]).await;
        assert!(heard.starts_with("NotServed"), "{heard}");
    }
    let fine = format!("{asked}\nS: * NAMESPACE ((\"\" \"/\")) NIL NIL\nS: $c OK NAMESPACE completed.");
    let heard = check_tokens_of(&account, &tokens, &[login("", &fine)]).await;
    assert_eq!(heard, r#"Ok Some(["IMAP4", "IMAP4rev1", "MOVE"]) []"#);
    let busy =
        format!("{asked}\nS: $c BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds");
    let heard = check_tokens_of(&account, &tokens, &[login("", &busy)]).await;
    assert!(heard.starts_with("Unavailable"), "{heard}");
    assert_eq!(tokens.renewals().len(), 0, "another token would not help");
}
