//! Over a scripted token server and a clock of their own.

mod client_credentials;
mod clocks;
mod ended;
mod faults;
mod keeping;
mod renewal;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::auth::oauth::fault::tests::server;
use crate::auth::oauth::token_server::{Answer as Said, Heard, TokenServer, json, refusal, tokens};
use crate::mail::Deadlines;
use crate::net::Connector;
use crate::net::tls::{Roots, trust};

/// When the tests begin, in seconds since 1970.
const BEGIN: u64 = 1_800_000_000;

/// Where grants are kept in a test.
#[derive(Debug, Default)]
struct Shelf {
    grant: Mutex<Option<Grant>>,
    /// Why it can be neither read nor written.
    fault: Mutex<Option<String>>,
    saves: AtomicUsize,
    /// Where a save waits, once it has begun, until it is let go on.
    gate: Mutex<Option<(mpsc::UnboundedSender<()>, std::sync::mpsc::Receiver<()>)>>,
}

impl Grants for Shelf {
    fn load(&self) -> Result<Option<Grant>, NoToken> {
        match self.fault.lock().unwrap().clone() {
            Some(reason) => Err(NoToken::Later { reason }),
            None => Ok(self.grant.lock().unwrap().clone()),
        }
    }

    fn save(&self, grant: &Grant) -> Result<(), String> {
        self.put(grant.clone());
        Ok(())
    }

    fn renew(&self, before: Option<&Grant>, grant: &Grant) -> Result<bool, String> {
        if let Some((begun, go)) = self.gate.lock().unwrap().take() {
            begun.send(()).unwrap();
            go.recv().unwrap();
        }
        if let Some(reason) = self.fault.lock().unwrap().clone() {
            return Err(reason);
        }
        let mut kept = self.grant.lock().unwrap();
        let still = same(before, kept.as_ref());
        if still {
            self.saves.fetch_add(1, Ordering::SeqCst);
            *kept = Some(grant.clone());
        }
        Ok(still)
    }
}

impl Shelf {
    /// The refresh tokens that are kept.
    fn kept(&self) -> (String, Option<String>) {
        let text = |secret: &Secret| secret.expose_str().unwrap().to_owned();
        let grant = self.grant.lock().unwrap().clone().unwrap();
        (grant.refresh_token.map(|s| text(&s)).unwrap(), grant.previous_refresh_token.map(|s| text(&s)))
    }

    fn put(&self, grant: Grant) {
        *self.grant.lock().unwrap() = Some(grant);
    }

    fn break_with(&self, reason: Option<&str>) {
        *self.fault.lock().unwrap() = reason.map(str::to_owned);
    }
}

/// An account, its token server, what it keeps, and what time it is.
struct Bench {
    tokens: Tokens,
    server: TokenServer,
    shelf: Arc<Shelf>,
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
}

/// The first sign-in: an access token of an hour.
fn signed_in() -> Grant {
    grant_of("access-0", "refresh-0")
}

fn grant_of(access: &str, refresh: &str) -> Grant {
    let answer = Answer {
        access_token: Secret::new(access),
        refresh_token: Some(Secret::new(refresh)),
        expires_in: Some(3600),
        scopes: Vec::new(),
    };
    Grant::new(answer, "our-client", BEGIN)
}

/// Gives `access-1` and `refresh-1` to the first request, and so on.
fn rotating(heard: &Heard) -> Said {
    let number = heard.number + 1;
    tokens(&format!("access-{number}"), &format!("refresh-{number}"), 3600)
}

impl Bench {
    async fn new(answer: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Self {
        Self::with(answer, Kind::User, Deadlines::default()).await
    }

    async fn with(
        answer: impl Fn(&Heard) -> Said + Send + Sync + 'static,
        kind: Kind,
        deadlines: Deadlines,
    ) -> Self {
        let token_server = TokenServer::start(answer).await;
        let mut row = server(&token_server.url("/token"));
        row.grant = kind;
        if kind == Kind::ClientCredentials {
            row.client_secret = Some(Secret::new("our-secret"));
        }
        let shelf = Arc::new(Shelf::default());
        shelf.put(signed_in());
        let (wall, steady) = (Arc::new(AtomicU64::new(BEGIN)), Arc::new(AtomicU64::new(0)));
        let (walls, steadies, begun) = (wall.clone(), steady.clone(), Instant::now());
        let clock: Clock = Arc::new(move || Moment {
            wall: walls.load(Ordering::SeqCst),
            steady: begun + Duration::from_secs(steadies.load(Ordering::SeqCst)),
        });
        let http = Http::new(Connector::new(trust(Roots::Bundled, &[]).unwrap().config, deadlines));
        let tokens = Tokens::with_clock("ana@example.org", Arc::new(row), http, shelf.clone(), clock);
        Self { tokens, server: token_server, shelf, wall, steady }
    }

    fn pass(&self, seconds: u64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.steady.fetch_add(seconds, Ordering::SeqCst);
    }

    fn set_clock(&self, wall: u64) {
        self.wall.store(wall, Ordering::SeqCst);
    }

    async fn current(&self) -> Result<String, NoToken> {
        self.tokens.current().await.map(text)
    }

    async fn renewed(&self, refused: &str) -> Result<String, NoToken> {
        self.tokens.renewed(Secret::new(refused)).await.map(text)
    }

    fn requests(&self) -> usize {
        self.server.heard().len()
    }
}

fn text(secret: Secret) -> String {
    secret.expose_str().unwrap().to_owned()
}

fn later(outcome: Result<String, NoToken>) -> String {
    match outcome {
        Err(NoToken::Later { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn sign_in(outcome: Result<String, NoToken>) -> String {
    match outcome {
        Err(NoToken::SignIn { reason }) => reason,
        other => panic!("{other:?}"),
    }
}
