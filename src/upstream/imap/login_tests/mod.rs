mod access_tokens;
mod greetings;
mod passwords;

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
        pop3: Pop3Options {
            folder: "INBOX".to_owned(),
            delete: Delete::Auto,
            seen: Seen::Never,
            recent: None,
            watch: false,
        },
        smtp_options: SmtpOptions { bare_newline: BareNewline::Mend },
        quirks: quirks.iter().copied().collect::<Quirks>(),
        folders: FolderNames::default(),
        imap_connections: None,
        imap_down_a_day: None,
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
