//! The server end of a pipe, for tests: says and hears what a test tells it to.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::time::timeout;

use crate::auth::Credentials;
use crate::mail::account::{
    Account, Auth, BareNewline, Delete, Endpoint, FolderNames, Pop3Options, SecretSource, Security, Seen,
    Service, SmtpOptions,
};
use crate::mail::{Quirks, Secret};

/// One end of a pipe, line by line.
#[derive(Debug)]
pub(crate) struct Scripted(BufReader<DuplexStream>);

/// A pipe: the end to hand over, and the end the test speaks on.
pub(crate) fn pipe() -> (DuplexStream, Scripted) {
    let (theirs, ours) = duplex(1 << 20);
    (theirs, Scripted(BufReader::new(ours)))
}

impl Scripted {
    /// Sends `text` and CRLF.
    pub(crate) async fn says(&mut self, text: &str) {
        self.sends(format!("{text}\r\n").as_bytes()).await;
    }

    /// Sends octets.
    pub(crate) async fn sends(&mut self, octets: &[u8]) {
        self.0.write_all(octets).await.unwrap();
    }

    /// The next line without CRLF, empty at the end of the stream.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await.unwrap();
        String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()
    }

    /// The next line must be this.
    pub(crate) async fn hears(&mut self, expected: &str) {
        assert_eq!(self.line().await, expected);
    }

    /// Hears a line and answers it.
    pub(crate) async fn answers(&mut self, heard: &str, said: &str) {
        self.hears(heard).await;
        self.says(said).await;
    }

    /// Every line of one reply.
    pub(crate) async fn reply(&mut self) -> Vec<String> {
        let mut lines = vec![self.line().await];
        while lines.last().is_some_and(|line| line.as_bytes().get(3) == Some(&b'-')) {
            lines.push(self.line().await);
        }
        lines
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A peer that dropped its end without reading is as gone as one that closed.
        let _ = self.0.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether nothing comes, however long one waits (under a paused clock).
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(1), self.0.fill_buf()).await.is_err()
    }

    /// Octets up to and with the first `CRLF.CRLF`.
    pub(crate) async fn message(&mut self) -> String {
        let mut message = Vec::from(*b"\r\n");
        while !message.ends_with(b"\r\n.\r\n") {
            message.push(self.0.read_u8().await.unwrap());
        }
        String::from_utf8_lossy(message.get(2..).unwrap()).into_owned()
    }

    /// Greets, and answers EHLO with these lines.
    pub(crate) async fn greets(&mut self, offers: &[&str]) {
        self.says("220 mx.example.org ESMTP").await;
        self.hears("EHLO [127.0.0.1]").await;
        for offer in offers {
            self.says(&format!("250-{offer}")).await;
        }
        self.says("250 HELP").await;
    }

    /// The same and takes the login of [`account`].
    pub(crate) async fn serves(&mut self, offers: &[&str]) {
        self.greets(&[&["mx.example.org", "AUTH PLAIN LOGIN"], offers].concat()).await;
        self.answers("AUTH PLAIN AGFuYQBodW50ZXIy", "235 2.7.0 ok").await;
    }
}

/// ana@example.org, whose user name is `ana` and whose password is `hunter2`.
pub(crate) fn account() -> Account {
    let endpoint = |port| Endpoint { host: "mx.example.org".into(), port, security: Security::Tls };
    Account {
        address: "ana@example.org".into(),
        logins: vec!["ana@example.org".into()],
        provider: None,
        imap: Service { endpoint: endpoint(993), usernames: vec!["ana".into()] },
        smtp: Some(Service { endpoint: endpoint(465), usernames: vec!["ana".into()] }),
        auth: Auth::Password,
        secret: SecretSource::App,
        mask: Vec::new(),
        pop3: Pop3Options {
            folder: "INBOX".into(),
            delete: Delete::Keep,
            seen: Seen::Never,
            recent: None,
            watch: false,
        },
        smtp_options: SmtpOptions { bare_newline: BareNewline::Mend },
        quirks: Quirks::default(),
        folders: FolderNames::default(),
        imap_connections: None,
        imap_down_a_day: None,
        help: None,
    }
}

/// Its password.
pub(crate) fn credentials() -> Credentials {
    Credentials::Password(Secret::new("hunter2"))
}
