//! `footbridge check` against servers that work and servers that do not: one sentence a fault, and what to do.

mod support;

use std::process::{Output, Stdio};

use support::bridge::{Config, command};
use support::certs::Kind;
use support::provider::{Provider, plain};
use support::scripted::{Begin, Upstream};

const ADDRESS: &str = "ana@example.org";
const PASSWORD: &str = "CANARY pass";

/// Runs `check` with these lines on its standard input.
async fn check(config: &Config, input: &'static str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("footbridge.toml");
    std::fs::write(&file, config.text()).expect("written");
    let output = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut child = command();
        let child = child.args(["--log", "trace", "--config"]).arg(file).arg("check");
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("footbridge starts");
        // One that does not ask has closed it already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    });
    let Output { status, stdout, stderr } = output.await.expect("no panic");
    let told = String::from_utf8(stdout).expect("UTF-8");
    let log = String::from_utf8(stderr).expect("UTF-8");
    let encoded = plain(ADDRESS, PASSWORD);
    for secret in [PASSWORD, "CANARY", &encoded] {
        assert!(!told.contains(secret) && !log.contains(secret), "{told}{log}");
    }
    (status.code(), told)
}

/// Every sentence is one line that begins with its account.
fn assert_told(told: &str, clauses: &[&str]) {
    assert!(told.lines().all(|line| line.starts_with(&format!("{ADDRESS}: "))), "{told}");
    for clause in clauses {
        assert!(told.contains(clause), "nothing of {clause:?} in\n{told}");
    }
}

#[tokio::test]
async fn without_a_password_names_and_certificates_are_looked_at() {
    for (kind, code, clauses) in [
        (Kind::Good, 0, ["no login was tried", "its certificate is trusted"]),
        (Kind::Expired, 1, ["expired", "no password was sent"]),
        (Kind::WrongName, 1, ["certificate", "no password was sent"]),
        (Kind::UnknownAuthority, 1, ["certificate", "no password was sent"]),
    ] {
        let upstream = Upstream::bind(Begin::Tls, kind).await.expect("a free port");
        let config = Config::new(ADDRESS, &upstream.remote());
        let serving = tokio::spawn(async move {
            loop {
                let _ = upstream.accept().await;
            }
        });
        let (ended, told) = check(&config, "").await;
        serving.abort();
        assert_eq!(ended, Some(code), "{kind:?}: {told}");
        assert_told(&told, &clauses);
    }
}

#[tokio::test]
async fn a_login_that_works_tells_what_pop3_deletions_do() {
    let provider = Provider::start(&[plain(ADDRESS, PASSWORD)]).await;
    let config = Config::new(ADDRESS, &provider.imap);
    let (ended, told) = check(&config, "CANARY pass\n").await;
    assert_eq!(ended, Some(0), "{told}");
    assert_told(
        &told,
        &[
            "IMAP login at localhost works, INBOX has 0 messages",
            "moved to the folder Bin",
            "can read but not send",
        ],
    );
}

/// RFC 3501 §6.4.3: what has neither UIDPLUS nor MOVE can only expunge whatever is marked.
#[tokio::test]
async fn what_each_value_of_delete_does_is_said_in_words() {
    let able = "IMAP4rev1 UIDPLUS MOVE SASL-IR AUTH=PLAIN";
    let (uidplus, old) = ("IMAP4rev1 UIDPLUS SASL-IR AUTH=PLAIN", "IMAP4rev1 SASL-IR AUTH=PLAIN");
    let bare = "the server can only expunge all that is marked deleted";
    for (delete, capabilities, said, guarded) in [
        ("auto", able, "moved to the folder Bin", false),
        ("trash", uidplus, "moved to the folder Bin", false),
        ("trash", old, "moved to the folder Bin", true),
        ("expunge", uidplus, "removed for good", false),
        ("expunge", old, "removed for good", true),
        ("flag", old, "marked deleted and left where they are", false),
        ("hide", old, "left as they are and not shown to POP3 apps any more", false),
        ("keep", old, "left as they are", false),
    ] {
        let provider = Provider::that_can(capabilities, &[plain(ADDRESS, PASSWORD)]).await;
        let config = Config::new(ADDRESS, &provider.imap).account(&format!("pop3.delete = \"{delete}\""));
        let (ended, told) = check(&config, "CANARY pass\n").await;
        assert_eq!(ended, Some(0), "{told}");
        assert_told(&told, &[&format!("messages that a POP3 app deletes are {said}\n")]);
        assert_eq!(told.contains(bare), guarded, "{delete}: {told}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_a_fault() {
    let provider = Provider::start(&[plain(ADDRESS, PASSWORD)]).await;
    let config = Config::new(ADDRESS, &provider.imap).account("pop3.delete = \"archive\"");
    let (ended, told) = check(&config, "CANARY pass\n").await;
    assert_eq!(ended, Some(1), "{told}");
    assert_told(&told, &["IMAP login at localhost works", "there is no folder"]);
}

#[tokio::test]
async fn a_refused_login_is_a_fault_with_the_providers_words() {
    let provider = Provider::start(&[]).await;
    let config = Config::new(ADDRESS, &provider.imap);
    let (ended, told) = check(&config, "CANARY pass\n").await;
    assert_eq!(ended, Some(1), "{told}");
    assert_told(&told, &["refused the password", "not this one", "check user name and password"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_stored_secret_is_taken_and_one_that_cannot_be_read_is_a_fault() {
    let provider = Provider::start(&[plain(ADDRESS, PASSWORD)]).await;
    let good =
        Config::new(ADDRESS, &provider.imap).account("secret = { command = [\"echo\", \"CANARY pass\"] }");
    let (ended, told) = check(&good, "").await;
    assert_eq!(ended, Some(0), "{told}");
    assert_told(&told, &["IMAP login at localhost works"]);
    let bad = Config::new(ADDRESS, &provider.imap).account("secret = { command = [\"false\", \"CANARY\"] }");
    let (ended, told) = check(&bad, "").await;
    assert_eq!(ended, Some(1), "{told}");
    assert_told(&told, &["the stored password cannot be read: the command false failed"]);
}
