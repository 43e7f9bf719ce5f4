//! A small provider inside the process: an account with some mail, for trying the bridge without one of one's own.
//!
//! TLS IMAP and TLS submission on loopback ports that the system chooses. Nothing is on disk; all is gone with the
//! process. A message that is submitted arrives in INBOX, whoever it is for, and never leaves this machine.
//!
//! ```text
//!  bridge ══ TLS ══ imap ── session ──▶ mailbox: folders, messages     entity, header: what is in a message
//!                   smtp ─────────────▶    └─ fetch, search ───────────────┘
//! ```
//!
//! Commands are parsed and responses written by imap-codec; submission is [`crate::proto::smtp`] with another driver.

mod certificate;
mod decode;
mod entity;
mod fetch;
mod header;
mod imap;
mod mailbox;
mod sample;
mod search;
mod smtp;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, FixedOffset};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::mail::Secret;
use mailbox::Store;

/// What an app logs in as.
pub const ADDRESS: &str = "demo@footbridge.test";

/// The password, which guards nothing: the mail is made up, and what comes to it is gone at the end.
pub const PASSWORD: &str = "demo";

/// Connections at the same time: what the bridge itself lets in.
const CONNECTIONS: usize = 400;

/// A TLS handshake on the loopback interface takes milliseconds.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// When an accept fails, descriptors for example are used up, the next try waits a moment.
const AGAIN: Duration = Duration::from_millis(100);

/// A running provider; it serves as long as the runtime does.
#[derive(Debug)]
pub struct Provider {
    /// Where IMAP over TLS is spoken.
    pub imap: SocketAddr,
    /// Where submission over TLS is spoken.
    pub smtp: SocketAddr,
    /// Trusts this provider's certificate, made for this run, and nothing else.
    pub trust: Arc<ClientConfig>,
}

impl Provider {
    /// Makes a certificate and some mail, and begins to serve.
    ///
    /// # Errors
    /// The system gives no port, or no certificate can be made.
    pub async fn start() -> io::Result<Self> {
        let certificate = certificate::make().map_err(io::Error::other)?;
        let account = Arc::new(Account::new(
            sample::store(now()).map_err(|refusal| io::Error::other(refusal.clause()))?,
        ));
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (imap, smtp) = (any().await?, any().await?);
        let at = (imap.local_addr()?, smtp.local_addr()?);
        let serving = account.clone();
        accept(imap, certificate.server.clone(), move |stream| imap::serve(stream, serving.clone()));
        accept(smtp, certificate.server, move |stream| smtp::serve(stream, account.clone()));
        Ok(Self { imap: at.0, smtp: at.1, trust: certificate.client })
    }
}

/// Serves each connection in a task of its own.
fn accept<F, S>(listener: TcpListener, tls: Arc<ServerConfig>, serve: F)
where
    F: Fn(TlsStream<TcpStream>) -> S + Clone + Send + 'static,
    S: Future<Output = io::Result<()>> + Send,
{
    let acceptor = TlsAcceptor::from(tls);
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok(seat) = seats.clone().acquire_owned().await else { return };
            let Ok((tcp, _)) = listener.accept().await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let (acceptor, serve) = (acceptor.clone(), serve.clone());
            tokio::spawn(async move {
                let _ = tcp.set_nodelay(true);
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(tcp)).await
                    && let Err(error) = serve(stream).await
                {
                    debug!(%error, "a connection to the demo's provider broke");
                }
                drop(seat);
            });
        }
    });
}

/// Octets of messages that are on their way in, of all connections together.
const UPLOADS: usize = 4 * mailbox::LARGEST_MESSAGE as usize;

/// What is answered where they are more.
const UPLOADS_FULL: &str = "other messages on their way fill the demo's memory; send it again later";

/// The one account: its mail, and who waits for news of it.
#[derive(Debug)]
struct Account {
    store: Mutex<Store>,
    /// A permit an octet.
    uploads: Arc<Semaphore>,
    changes: watch::Sender<u64>,
}

impl Account {
    fn new(store: Store) -> Self {
        let (changes, _) = watch::channel(store.changes());
        Self { store: Mutex::new(store), uploads: Arc::new(Semaphore::new(UPLOADS)), changes }
    }

    /// Looks at the mail or changes it; who waits hears of a change.
    fn with<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        // A panic elsewhere leaves a store that is whole: every change of it is one step.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = act(&mut store);
        let changes = store.changes();
        drop(store);
        self.changes.send_if_modified(|told| std::mem::replace(told, changes) != changes);
        outcome
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Room for so many octets of a message that is on its way; it ends with the permit.
    fn upload(&self, octets: u32) -> Option<OwnedSemaphorePermit> {
        self.uploads.clone().try_acquire_many_owned(octets).ok()
    }

    fn admits(&self, login: &str, password: &Secret) -> bool {
        login.eq_ignore_ascii_case(ADDRESS) && password.same_as(&Secret::new(PASSWORD))
    }
}

/// The time by the wall clock, in UTC, to the second.
fn now() -> DateTime<FixedOffset> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().fixed_offset()
}
