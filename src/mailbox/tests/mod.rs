//! Conversations of a mailbox with a scripted upstream.

mod again;
mod ahead;
mod any_order;
mod bodies;
mod held;
mod hidden;
mod listing;
mod names;
mod removal;
mod throttled;
mod watched;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::line::Dial;
use super::*;
use crate::mail::account::{
    Auth, BareNewline, Delete, Endpoint, FolderNames, Pop3Options, SecretSource, Security, Seen, Service,
    SmtpOptions,
};
use crate::mail::{Quirk, Quirks};
use crate::store::{Carried, Ledger, Views};
use crate::upstream::imap::script;

const STALL: Duration = Duration::from_secs(120);

/// An account whose upstream plays one script a session.
struct Provider {
    account: Account,
    resources: Resources,
    plays: Arc<Mutex<Vec<JoinHandle<()>>>>,
    left: Arc<Mutex<Vec<&'static str>>>,
}

impl Provider {
    fn new(scripts: &[&'static str]) -> Self {
        Self {
            account: account(),
            resources: Resources::in_memory(1 << 20),
            plays: Arc::default(),
            left: Arc::new(Mutex::new(scripts.iter().rev().copied().collect())),
        }
    }

    fn folder(mut self, folder: &str) -> Self {
        self.account.pop3.folder = folder.to_owned();
        self
    }

    fn quirks(mut self, quirks: &[Quirk]) -> Self {
        self.account.quirks = quirks.iter().copied().collect::<Quirks>();
        self
    }

    fn delete(mut self, delete: Delete) -> Self {
        self.account.pop3.delete = delete;
        self
    }

    /// With a ledger, and what goes with it, in a folder of its own, which goes with the guard.
    fn ledger(mut self) -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        self.use_folder(&folder);
        (self, folder)
    }

    /// As a bridge does that starts.
    fn use_folder(&mut self, folder: &tempfile::TempDir) {
        self.resources.ledger = Ledger::in_folder(&folder.path().join("state"));
        self.resources.carried = Carried::in_folder(&folder.path().join("state"));
        self.resources.views = Views::in_folder(&folder.path().join("state"));
    }

    async fn open(&self) -> Result<(Mailbox, Listing), UpstreamError> {
        self.open_with(None).await
    }

    async fn open_with(&self, claim: Option<Claim>) -> Result<(Mailbox, Listing), UpstreamError> {
        self.begin(claim).await?.listed().await
    }

    async fn begin(&self, claim: Option<Claim>) -> Result<Opening, UpstreamError> {
        let (plays, left) = (self.plays.clone(), self.left.clone());
        let backoff = self.resources.backoffs.of(&self.account);
        let dial: Dial = Arc::new(move || {
            if let Some(error) = backoff.refuses() {
                return Box::pin(async move { Err(error) });
            }
            let script = left.lock().unwrap().pop().expect("one session too many");
            let (session, play) = script::session_heeding(script, &backoff);
            plays.lock().unwrap().push(play);
            Box::pin(async move { Ok(session) })
        });
        Mailbox::open_by(dial, Arc::new(self.account.clone()), self.resources.clone(), STALL, claim).await
    }

    /// Every script was played, and kept to.
    async fn kept(self) {
        assert!(self.left.lock().unwrap().is_empty(), "a session was not used");
        let plays = std::mem::take(&mut *self.plays.lock().unwrap());
        for play in plays {
            play.await.unwrap();
        }
    }
}

/// A login that proves nothing, over the sessions that `dial` makes.
async fn open_over(
    dial: Dial,
    account: Account,
    resources: Resources,
) -> Result<(Mailbox, Listing), UpstreamError> {
    Mailbox::open_by(dial, Arc::new(account), resources, STALL, None).await?.listed().await
}

fn account() -> Account {
    Account {
        address: "ana@example.org".to_owned(),
        logins: vec!["ana@example.org".to_owned()],
        provider: None,
        imap: Service {
            endpoint: Endpoint { host: "imap.example.org".to_owned(), port: 993, security: Security::Tls },
            usernames: vec!["ana".to_owned()],
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
        quirks: Quirks::default(),
        folders: FolderNames::default(),
        imap_connections: None,
        imap_down_a_day: None,
        help: None,
    }
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// All of a body, and whether it was told complete.
async fn whole(body: &mut Body) -> (Vec<u8>, Result<(), UpstreamError>) {
    let mut octets = Vec::new();
    loop {
        match body.chunk().await {
            Ok(Some(chunk)) => octets.extend_from_slice(&chunk),
            Ok(None) => return (octets, Ok(())),
            Err(error) => return (octets, Err(error)),
        }
    }
}
