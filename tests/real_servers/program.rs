//! The program itself: what it logs, how it stops, and what `check` says.

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::apps::succeed;
use crate::support::bridge::{Config, Program, command};
use crate::support::certs::Kind;
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::mail::{self, CANARY};
use crate::support::pop3::Pop3;
use crate::support::postfix::Postfix;
use crate::support::wire::Wire;

/// What must be in no log: the password and what was tried instead, as they are and in the forms that SASL gives
/// them, and mail.
fn canaries(user: &str) -> Vec<String> {
    let mut canaries = vec![CANARY.to_owned(), "Wr0ng-one".to_owned()];
    for password in [PASSWORD, "Wr0ng-one"] {
        canaries.push(password.to_owned());
        canaries.push(BASE64_STANDARD.encode(password));
        canaries.push(BASE64_STANDARD.encode(format!("\0{user}\0{password}")));
        canaries.push(BASE64_STANDARD.encode(format!("{user}\0{user}\0{password}")));
        // The password within the octets of a longer base64, at each of three places.
        for before in ["", "x", "xx"] {
            let encoded = BASE64_STANDARD.encode(format!("{before}{password}"));
            canaries.push(encoded[4..encoded.len() - 4].to_owned());
        }
    }
    canaries
}

/// Passwords and mail are in no log line at the most talkative level, whatever happens, and in no argument.
#[tokio::test]
async fn no_secret_and_no_mail_in_the_log_or_the_arguments() {
    let user = "canary@example.test";
    crate::fill(user, &[mail::large(10_000), mail::mixed(1).remove(0)]).await;
    let config = Config::new(user, &Dovecot::shared().imaps()).smtp(&Postfix::shared().smtps());
    let mut bridge = Program::start(&config, "trace");
    pop3(&bridge, user).await;
    imap(&bridge, user).await;
    smtp(&bridge, user).await;
    let arguments = std::fs::read(format!("/proc/{}/cmdline", bridge.id())).expect("our own child");
    bridge.terminate();
    let log = bridge.log();
    assert!(log.contains(user) && log.contains("session ended"), "the log tells what happened:\n{log}");
    let written = log + &String::from_utf8_lossy(&arguments);
    for canary in canaries(user) {
        let line = written.lines().find(|line| line.contains(&canary));
        assert!(line.is_none(), "{canary} is in the log: {}", line.unwrap_or_default());
    }
}

async fn pop3(bridge: &Program, user: &str) {
    let mut session = Pop3::connect(bridge.pop3()).await;
    session.ok(&format!("USER {user}")).await;
    session.err("PASS Wr0ng-one").await;
    session.ok(&format!("USER {user}")).await;
    session.ok(&format!("PASS {PASSWORD}")).await;
    session.lines("RETR 1").await;
    session.lines("TOP 2 1").await;
    session.err(&format!("WIBBLE {PASSWORD}")).await;
    session.err(&format!("USER {PASSWORD}")).await;
    session.ok("QUIT").await;
    let mut session = Pop3::connect(bridge.pop3()).await;
    session.wire().ask("AUTH PLAIN", "+").await;
    session.ok(&BASE64_STANDARD.encode(format!("\0{user}\0{PASSWORD}"))).await;
    session.ok("QUIT").await;
    // A password where a command belongs, by a confused app.
    let mut session = Pop3::connect(bridge.pop3()).await;
    session.err(PASSWORD).await;
}

async fn imap(bridge: &Program, user: &str) {
    let mut session = Wire::connect(bridge.imap()).await.expect("the bridge answers");
    session.expect("* OK").await;
    session.ask(&format!("a LOGIN {user} Wr0ng-one"), "a NO").await;
    session.ask(&format!("a LOGIN {{{}}}", user.len()), "+").await;
    session.ask(&format!("{user} {{{}}}", PASSWORD.len()), "+").await;
    session.ask(PASSWORD, "a OK").await;
    let mut session = Wire::connect(bridge.imap()).await.expect("the bridge answers");
    session.expect("* OK").await;
    session.ask(&format!("a {PASSWORD} b"), "a BAD").await;
    session.ask("a AUTHENTICATE PLAIN", "+").await;
    session.ask(&BASE64_STANDARD.encode(format!("\0{user}\0{PASSWORD}")), "a OK").await;
    let mut session = Imap::through(bridge.imap(), user).await;
    session.messages("INBOX").await;
    session.append("INBOX", CANARY.as_bytes()).await;
}

async fn smtp(bridge: &Program, user: &str) {
    let login = format!("{user}:{PASSWORD}");
    let url = format!("smtp://{}", bridge.smtp());
    for mechanism in ["AUTH=PLAIN", "AUTH=LOGIN"] {
        let to = ["--mail-from", user, "--mail-rcpt", "grace@example.test", "--login-options", mechanism];
        let message = format!("Subject: {CANARY}\r\n\r\n{CANARY}\r\n");
        succeed("curl", &[&["-sS", "-u", &login, "-T", "-", &url], &to[..]].concat(), message.as_bytes());
    }
    let mut session = Wire::connect(bridge.smtp()).await.expect("the bridge answers");
    session.expect("220").await;
    session.say("EHLO x").await;
    while !session.hear().await.starts_with("250 ") {}
    session.ask(&format!("{PASSWORD} x"), "500").await;
    let wrong = BASE64_STANDARD.encode(format!("\0{user}\0Wr0ng-one"));
    session.ask(&format!("AUTH PLAIN {wrong}"), "535").await;
}

/// SIGTERM with sessions open: the end comes within five seconds, the exit code is 0, and nothing is removed.
#[tokio::test]
async fn sigterm_ends_open_sessions_within_five_seconds() {
    let user = "sigterm@example.test";
    let mut direct = crate::fill(user, &mail::mixed(3)[..2]).await;
    let config = Config::new(user, &Dovecot::shared().imaps()).smtp(&Postfix::shared().smtps());
    let mut bridge = Program::start(&config, "info");
    let mut pop3 = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    pop3.ok("DELE 1").await;
    let mut imap = Imap::through(bridge.imap(), user).await;
    imap.ok("SELECT INBOX").await;
    imap.send("IDLE").await;
    assert!(imap.hear().await.text.starts_with('+'));
    let mut smtp = Wire::connect(bridge.smtp()).await.expect("the bridge answers");
    smtp.expect("220").await;
    let begun = Instant::now();
    let status = bridge.terminate();
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert_eq!(status.code(), Some(0));
    smtp.expect("421").await;
    assert_eq!(direct.messages("INBOX").await.len(), 2);
}

/// `footbridge check` with this password on its standard input.
fn check(config: &Config, password: &str) -> Output {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("footbridge.toml");
    std::fs::write(&file, config.text()).expect("the configuration is written");
    let mut child = command()
        .arg("check")
        .arg("--config")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("footbridge starts");
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "{password}").expect("it reads a line");
    drop(stdin);
    child.wait_with_output().expect("our own child")
}

fn said(output: &Output) -> String {
    [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat()
}

#[test]
fn check_with_the_right_password_says_what_dele_does() {
    let config =
        Config::new("check@example.test", &Dovecot::shared().imaps()).smtp(&Postfix::shared().submission());
    let output = check(&config, PASSWORD);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("check@example.test") && said.contains("Trash"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

#[test]
fn check_with_a_wrong_password_says_so() {
    let config =
        Config::new("check@example.test", &Dovecot::shared().imap()).smtp(&Postfix::shared().smtps());
    let output = check(&config, "Wr0ng-one");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("refused the password").count(), 2, "IMAP and SMTP: {said}");
    assert!(!said.contains("Wr0ng-one"), "{said}");
}

#[test]
fn check_of_a_server_with_a_wrong_certificate_sends_no_password() {
    for (kind, reason) in
        [(Kind::Expired, "expired"), (Kind::WrongName, "name"), (Kind::UnknownAuthority, "authority")]
    {
        let dovecot = Dovecot::start(kind, None);
        for remote in [dovecot.imaps(), dovecot.imap()] {
            let output = check(&Config::new("check@example.test", &remote), PASSWORD);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("no password was sent") && said.contains(reason), "{kind:?}: {said}");
        }
        assert!(!dovecot.log().contains("method=PLAIN"), "{}", dovecot.log());
    }
}

/// A folder that `delete` names and that is not there is found before any message is deleted.
#[test]
fn check_finds_that_the_target_folder_is_missing() {
    let dovecot = Dovecot::shared();
    let config = Config::new("check@example.test", &dovecot.imaps()).account("pop3.folder = \"Nowhere\"");
    let output = check(&config, PASSWORD);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no folder Nowhere"), "{}", said(&output));
}
