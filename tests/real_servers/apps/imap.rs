//! IMAP apps.

use super::{python, run, succeed};
use crate::support::bridge::Program;
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::process::folder;

#[tokio::test]
async fn imaplib_over_tls_and_starttls() {
    for (user, remote) in [
        ("imaplib@example.test", Dovecot::shared().imaps()),
        ("imaplib-s@example.test", Dovecot::shared().imap()),
    ] {
        let bridge = Program::start(&crate::config_for(user, &remote), "debug");
        python(include_str!("imaplib_session.py"), bridge.imap(), &[user, PASSWORD]);
        let mut direct = Imap::direct(Dovecot::shared().imaps().port, user).await;
        let left = direct.messages("INBOX").await;
        assert_eq!(left.len(), 1);
        assert!(left[0].octets.starts_with(b"Subject: two"));
        assert_eq!(direct.messages("\"Entw&APw-rfe\"").await.len(), 1);
    }
}

#[tokio::test]
async fn curl_uploads_searches_lists_and_fetches() {
    let user = "curl-imap@example.test";
    let bridge = crate::bridge_for(user);
    let login = format!("{user}:{PASSWORD}");
    let message = b"Subject: by curl\r\n\r\n8-bit \xe4 and a dot\r\n.\r\n";
    let folder = folder("footbridge-curl-");
    let file = folder.path().join("message");
    std::fs::write(&file, message).expect("a file is written");
    let inbox = format!("imap://{}/INBOX", bridge.imap());
    for options in
        [&["-s"][..], &["-s", "--login-options", "AUTH=PLAIN"], &["-s", "--login-options", "AUTH=LOGIN"]]
    {
        succeed("curl", &[options, &["-u", &login, "-T", &file.to_string_lossy(), &inbox]].concat(), b"");
    }
    let found = succeed("curl", &["-s", "-u", &login, &inbox, "-X", "SEARCH SUBJECT \"by curl\""], b"");
    assert_eq!(found, b"* SEARCH 1 2 3\r\n");
    let fetched = succeed("curl", &["-s", "-u", &login, &format!("{inbox};UID=2")], b"");
    assert_eq!(fetched, message);
    let listed = succeed("curl", &["-s", "-u", &login, &format!("imap://{}/", bridge.imap())], b"");
    let listed = String::from_utf8_lossy(&listed).into_owned();
    assert!(listed.contains("Trash") && listed.contains("INBOX"), "{listed}");
}

#[tokio::test]
async fn curl_with_a_wrong_password_is_refused() {
    let user = "curl-imap-wrong@example.test";
    let bridge = crate::bridge_for(user);
    let done =
        run("curl", &["-sS", "-u", &format!("{user}:wrong"), &format!("imap://{}/", bridge.imap())], b"");
    assert!(!done.success && done.said.contains("denied"), "{}", done.said);
}

/// RFC 2177: what happens upstream reaches an idling app unasked.
#[tokio::test]
async fn idle_brings_new_mail_and_expunges() {
    let user = "idle@example.test";
    let bridge = crate::bridge_for(user);
    let mut direct = crate::fill(user, &[b"Subject: old\r\n\r\n".to_vec()]).await;
    let mut app = Imap::through(bridge.imap(), user).await;
    app.ok("SELECT INBOX").await;
    let tag = app.send("IDLE").await;
    assert!(app.hear().await.text.starts_with('+'));
    direct.append("INBOX", b"Subject: new\r\n\r\n").await;
    assert_eq!(app.hear().await.text, "* 2 EXISTS");
    direct.ok("SELECT INBOX").await;
    direct.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("EXPUNGE").await;
    loop {
        let heard = app.hear().await.text;
        if heard == "* 1 EXPUNGE" {
            break;
        }
        assert!(heard.ends_with("RECENT") || heard.contains(" FETCH "), "{heard}");
    }
    app.wire().say("DONE").await;
    let last = app.until(&tag).await.pop().expect("the tagged response");
    assert!(last.text.contains(" OK "), "{}", last.text);
}
