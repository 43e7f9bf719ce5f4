use std::sync::Mutex;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::conversation::Conversation;
use super::login::{Dial, log_in};
use super::wire::Wire;
use super::{greeting, script};
use crate::auth::Credentials;
use crate::mail::account::{Auth, SecretSource};
use crate::mail::account::{
    BareNewline, Delete, Endpoint, FolderNames, Pop3Options, Security, Seen, Service, SmtpOptions,
};
use crate::mail::{Account, Quirk, Quirks, Secret};
use crate::net::Buffered;
use crate::upstream::UpstreamError;

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
    let scripts = Scripts::new(scripts);
    let outcome = log_in(&scripts, account, &Credentials::Password(Secret::new(password))).await;
    match outcome {
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
    let heard = check(&[], "x\r\ny", &["S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready"]).await;
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
