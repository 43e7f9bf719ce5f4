//! POP3 apps.

use tempfile::TempDir;

use super::{python, run, succeed};
use crate::support::bridge::Program;
use crate::support::dovecot::{Dovecot, ODD, PASSWORD};
use crate::support::imap::Imap;
use crate::support::pop3::as_pop3_has_it;

fn messages() -> Vec<Vec<u8>> {
    (1..=5).map(|n| format!("Subject: number {n}\r\n\r\n.line {n}\r\nsecond\r\n").into_bytes()).collect()
}

async fn poplib_over(user: &str, config: crate::support::bridge::Config) {
    let mut direct = crate::fill(user, &messages()).await;
    let bridge = Program::start(&config, "debug");
    python(include_str!("poplib_session.py"), bridge.pop3(), &[user, PASSWORD]);
    let left: Vec<u32> = direct.messages("INBOX").await.iter().map(|stored| stored.uid).collect();
    assert_eq!(left, [1, 3, 4]);
    assert_eq!(direct.messages("Trash").await.len(), 2);
}

#[tokio::test]
async fn poplib_over_tls() {
    let user = "poplib@example.test";
    poplib_over(user, crate::config_for(user, &Dovecot::shared().imaps())).await;
}

#[tokio::test]
async fn poplib_over_starttls() {
    let user = "poplib-starttls@example.test";
    poplib_over(user, crate::config_for(user, &Dovecot::shared().imap())).await;
}

#[tokio::test]
async fn curl_lists_and_retrieves() {
    let user = "curl-pop3@example.test";
    crate::fill(user, &messages()).await;
    let bridge = crate::bridge_for(user);
    let login = format!("{user}:{PASSWORD}");
    for options in
        [&["-s"][..], &["-s", "--login-options", "AUTH=PLAIN"], &["-s", "--login-options", "AUTH=LOGIN"]]
    {
        let url = format!("pop3://{}/", bridge.pop3());
        let listed = succeed("curl", &[options, &["-u", &login, &url]].concat(), b"");
        assert_eq!(String::from_utf8_lossy(&listed).lines().count(), 5, "{options:?}");
        let url = format!("pop3://{}/3", bridge.pop3());
        let given = succeed("curl", &[options, &["-u", &login, &url]].concat(), b"");
        assert_eq!(given, as_pop3_has_it(&messages()[2]), "{options:?}");
    }
}

#[tokio::test]
async fn curl_with_a_wrong_password_is_refused() {
    let user = "curl-wrong@example.test";
    let bridge = crate::bridge_for(user);
    let url = format!("pop3://{}/", bridge.pop3());
    let done = run("curl", &["-sS", "-u", &format!("{user}:wrong"), &url], b"");
    assert!(!done.success && done.said.contains("denied"), "{}", done.said);
}

/// Quotes, backslashes, spaces, percent signs and what is not ASCII reach upstream's login as they are.
#[tokio::test]
async fn a_password_that_needs_quoting() {
    let (user, password) = ODD;
    let bridge = crate::bridge_for(user);
    for options in
        [&["-s", "--login-options", "AUTH=PLAIN"][..], &["-s", "--login-options", "AUTH=LOGIN"], &["-s"]]
    {
        let url = format!("pop3://{}/", bridge.pop3());
        succeed("curl", &[options, &["-u", &format!("{user}:{password}"), &url]].concat(), b"");
    }
}

/// mpop pipelines, remembers unique-ids, and deletes what it delivered.
#[tokio::test]
async fn mpop_delivers_each_message_once() {
    let user = "mpop@example.test";
    let mut direct = crate::fill(user, &messages()).await;
    let bridge = crate::bridge_for(user);
    let folder = TempDir::new().expect("a temporary folder");
    let inbox = folder.path().join("inbox");
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(inbox.join(part)).expect("a folder is made");
    }
    let mpop = |keep: &str| {
        let port = format!("--port={}", bridge.pop3().port());
        let deliver = format!("--delivery=maildir,{}", inbox.display());
        let uidls = format!("--uidls-file={}", folder.path().join("uidls").display());
        let arguments = [
            "--host=127.0.0.1",
            &port,
            "--auth=user",
            &format!("--user={user}"),
            &format!("--passwordeval=echo {PASSWORD}"),
            "--tls=off",
            &deliver,
            &uidls,
            keep,
            "--received-header=off",
        ];
        succeed("mpop", &arguments, b"");
        std::fs::read_dir(inbox.join("new")).expect("the maildir").count()
    };
    assert_eq!(mpop("--keep=on"), 5);
    assert_eq!(mpop("--keep=on"), 5, "the unique-ids are the same in the next session (RFC 1939 §7)");
    assert_eq!(direct.messages("INBOX").await.len(), 5);
    direct.ok("UNSELECT").await;
    direct.append("INBOX", b"Subject: a sixth\r\n\r\n").await;
    assert_eq!(mpop("--keep=off"), 6);
    assert!(direct.messages("INBOX").await.is_empty());
    assert_eq!(Imap::direct(Dovecot::shared().imaps().port, user).await.messages("Trash").await.len(), 6);
}
