//! Apps that speak TLS to the bridge.

use std::path::PathBuf;

use super::{python, run, succeed};
use crate::support::bridge::{Config, Program, command};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::mail;
use crate::support::pop3::as_pop3_has_it;
use crate::support::postfix::Postfix;

/// A bridge that takes no password without TLS, and the file of the authority it made.
async fn requiring(user: &str) -> (Program, PathBuf) {
    crate::fill(user, &[b"Subject: one\r\n\r\nx\r\n".to_vec()]).await;
    let config = Config::new(user, &Dovecot::shared().imaps()).smtp(&Postfix::shared().smtps());
    let bridge = Program::start(&config.setting("tls.local = \"require\""), "debug");
    let authority = bridge.state().with_extension("pem");
    let mut export = command();
    export.arg("--config").arg(bridge.config_file()).arg("--state").arg(bridge.state());
    let done = export.args(["certificate", "export"]).arg(&authority).status().expect("footbridge starts");
    assert!(done.success());
    (bridge, authority)
}

#[tokio::test]
async fn pythons_libraries_by_starttls_and_by_tls_at_once() {
    let user = "tls-python@example.test";
    let (bridge, authority) = requiring(user).await;
    let (imap, smtp) = (bridge.imap().port().to_string(), bridge.smtp().port().to_string());
    let authority = authority.to_str().expect("UTF-8");
    let arguments = [user, PASSWORD, &imap, &smtp, authority];
    python(include_str!("tls_session.py"), bridge.pop3(), &arguments);
}

#[tokio::test]
async fn curl_by_starttls_and_by_tls_at_once() {
    let user = "tls-curl@example.test";
    let (bridge, authority) = requiring(user).await;
    let login = format!("{user}:{PASSWORD}");
    let trust = ["-sS", "--ssl-reqd", "--cacert", authority.to_str().expect("UTF-8"), "-u", &login];
    let (pop3, imap, smtp) = (bridge.pop3().port(), bridge.imap().port(), bridge.smtp().port());
    for secure in ["", "s"] {
        succeed("curl", &[&trust[..], &[&format!("pop3{secure}://localhost:{pop3}/1")]].concat(), b"");
        let got = succeed(
            "curl",
            &[&trust[..], &[&format!("imap{secure}://localhost:{imap}/INBOX;UID=1")]].concat(),
            b"",
        );
        assert!(got.starts_with(b"Subject: one"));
        let url = format!("smtp{secure}://localhost:{smtp}");
        let message = ["--mail-from", user, "--mail-rcpt", "grace@example.test", "-T", "-", &url];
        succeed("curl", &[&trust[..], &message].concat(), b"Subject: by curl\r\n\r\nx\r\n");
    }
    let plain = run("curl", &["-sS", "-u", &login, &format!("pop3://localhost:{pop3}/")], b"");
    assert!(!plain.success, "{}", plain.said);
}

/// Megabytes cross TLS on both sides octet for octet.
#[tokio::test]
async fn a_large_message_crosses_whole() {
    let user = "tls-large@example.test";
    let (bridge, authority) = requiring(user).await;
    let large = mail::large(5_000_000);
    Imap::direct(Dovecot::shared().imaps().port, user).await.append("INBOX", &large).await;
    let login = format!("{user}:{PASSWORD}");
    let trust = ["-sS", "--cacert", authority.to_str().expect("UTF-8"), "-u", &login];
    let pop3 = format!("pop3s://localhost:{}/2", bridge.pop3().port());
    assert!(succeed("curl", &[&trust[..], &[&pop3]].concat(), b"") == as_pop3_has_it(&large));
    let imap = format!("imaps://localhost:{}/INBOX;UID=2", bridge.imap().port());
    assert!(succeed("curl", &[&trust[..], &[&imap]].concat(), b"") == large);
}

/// OpenSSL takes the chain at its strictest, and the authority's constraints are as they should be.
#[tokio::test]
async fn openssl_verifies_the_chain() {
    let user = "tls-openssl@example.test";
    let (bridge, authority) = requiring(user).await;
    let authority = authority.to_str().expect("UTF-8");
    let connect = format!("localhost:{}", bridge.pop3().port());
    let strict =
        ["-CAfile", authority, "-x509_strict", "-verify_return_error", "-verify_hostname", "localhost"];
    for more in [&["-starttls", "pop3"][..], &["-tls1_2"], &["-tls1_3"]] {
        let arguments = [&["s_client", "-connect", &connect, "-quiet"], &strict[..], more].concat();
        let done = run("openssl", &arguments, b"QUIT\r\n");
        assert!(
            done.said.contains("verify return:1") && !done.said.contains("verify error"),
            "{}",
            done.said
        );
    }
    let shown = run("openssl", &["x509", "-in", authority, "-noout", "-text"], b"").said;
    for part in
        ["Name Constraints: critical", "DNS:localhost", "IP:127.0.0.1/255.255.255.255", "CA:TRUE, pathlen:0"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}
