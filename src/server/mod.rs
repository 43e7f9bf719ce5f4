//! Listeners, limits, shutdown, and the socket by which the command line asks.
//!
//! ```text
//!  listener ══ accept loop ══▶ one task, one span a connection ══ door ══ a seat ══ bridge
//!                                          another user's program │          │ all with a login
//!                                                                 └──────────┴─▶ one line in the protocol's words, closed
//! ```
//!
//! Where no seat is free a connection that has not logged in gives its own up: see `limits`.
//!
//! Knows no protocol beyond that line, and TLS around it: the drivers of `bridge` greet, and end themselves when told to stop.

mod accept;
mod app;
pub mod control;
mod door;
mod lent;
mod limits;
mod listen;
mod protocol;
mod refused;
mod state;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::bridge::{Carried, Context, Ledger, Standing, Stores, StoresError, Views};
use crate::config::Settings;
use crate::net::Connector;
use crate::net::local_tls::{LocalTls, LocalTlsError};
use control::{Control, Kept};
use door::Door;
use limits::Limits;
use listen::Listener;
use protocol::Protocol;
use state::State;

pub use listen::BindError;

/// How long the tasks of sessions that were cut off may take to let go; together with `deadlines.stop` (4 s) the
/// process ends within 5 s.
const LETTING_GO: Duration = Duration::from_millis(500);

/// Bound listeners, and what their connections are served with.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    door: Door,
    context: Context,
    /// Where apps are shown a certificate.
    tls: Option<LocalTls>,
    /// The state folder, as long as nobody else runs with it.
    state: Option<State>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Addresses that cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No certificate for the apps.
    #[error(transparent)]
    Tls(#[from] LocalTlsError),
    /// Accounts have no place for what they keep.
    #[error(transparent)]
    Stores(#[from] StoresError),
    /// Another bridge runs with the state folder.
    #[error(
        "{}: another footbridge runs with this state folder; stop it first, or name another folder with --state DIR",
        path.display()
    )]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// No certificate, for want of a place.
    #[error(
        "there is no place for the certificate that mail programs are shown; name a folder with --state DIR"
    )]
    NoStateFolder,
}

/// Where the listeners ended up, for callers that asked for port 0.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// POP3.
    pub pop3: Vec<SocketAddr>,
    /// IMAP.
    pub imap: Vec<SocketAddr>,
    /// Submission.
    pub smtp: Vec<SocketAddr>,
    /// POP3, TLS from the first octet.
    pub pop3s: Vec<SocketAddr>,
    /// IMAP, TLS from the first octet.
    pub imaps: Vec<SocketAddr>,
    /// Submission, TLS from the first octet.
    pub smtps: Vec<SocketAddr>,
}

impl Server {
    /// Binds every listener of the settings.
    ///
    /// An address family this machine lacks is a warning where the protocol has another listener.
    ///
    /// # Errors
    /// Every address that cannot be had, each with its cure, or why there is no certificate or no place for what accounts
    /// keep; nothing listens then.
    pub async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let tls = local_tls(settings)?;
        let connector = Connector::new(settings.tls.clone(), settings.deadlines.clone());
        let stores = Stores::open(
            settings.state.as_deref(),
            settings.vault_key.clone(),
            &settings.accounts,
            &connector,
        )?;
        let state = State::open(settings.state.as_deref())?;
        let listeners = listen::bind(&settings.listen)?;
        let mut context = Context::new(&settings.accounts, connector, settings.cache_memory, stores);
        if let Some(disk) = state.as_ref().and_then(|state| state.disk(settings.cache_disk, &context.stores))
        {
            context.resources.bodies = context.resources.bodies.with_disk(disk);
        }
        context.app_tls = settings.local_tls;
        if let Some(state) = &settings.state {
            context.resources.ledger = Ledger::in_folder(state);
            context.resources.views = Views::in_folder(state);
            context.resources.carried = Carried::in_folder(state);
        }
        let door = Door::new(&settings.listen.allow_users);
        Ok(Self { listeners, door, context, tls, state })
    }

    /// Where apps can connect.
    pub fn bound(&self) -> Bound {
        let of = |protocol| {
            let mine = self.listeners.iter().filter(|listener| listener.protocol == protocol);
            mine.map(|listener| listener.address).collect()
        };
        Bound {
            pop3: of(Protocol::Pop3),
            imap: of(Protocol::Imap),
            smtp: of(Protocol::Smtp),
            pop3s: of(Protocol::Pop3s),
            imaps: of(Protocol::Imaps),
            smtps: of(Protocol::Smtps),
        }
    }

    /// Accepts and serves until `stopping` is cancelled and the sessions have ended or `deadlines.stop` is over.
    pub async fn run(self, stopping: CancellationToken) {
        let context = Context { stopping: stopping.clone(), ..self.context };
        let patience = context.connector.deadlines().stop;
        let (tls, stores, resources) = (self.tls, context.stores.clone(), context.resources.clone());
        let serve =
            move |protocol, app, standing| app::stay(protocol, app, context.clone(), tls.clone(), standing);
        let kept = stores.keep(stopping.clone());
        let control = self.state.as_ref().and_then(State::control);
        let kept_here = Kept { bodies: resources.bodies.clone(), ledger: resources.ledger.clone() };
        let asked = answer(control, kept_here, stopping.clone());
        let held = resources.held.clone();
        let released = async {
            stopping.clone().cancelled_owned().await;
            held.close().await;
        };
        let served =
            serve_all(self.listeners, Limits::default(), self.door, stopping.clone(), patience, serve);
        tokio::join!(served, kept, asked, released);
        tokio::join!(stores.close(), resources.ledger.close(), resources.bodies.close());
    }
}

/// Answers the command line, where there is a way to.
async fn answer(control: Option<Control>, kept: Kept, stopping: CancellationToken) {
    if let Some(control) = control {
        control.serve(kept, stopping).await;
    }
}

/// The certificate, where apps are shown one; nothing is made where they are not.
fn local_tls(settings: &Settings) -> Result<Option<LocalTls>, StartError> {
    if !settings.shows_certificate() {
        return Ok(None);
    }
    let source = settings.certificate_source().ok_or(StartError::NoStateFolder)?;
    let tls = LocalTls::open(&source)?;
    tls.tell();
    Ok(Some(tls))
}

/// One app's whole stay.
type Session = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// [`Server::run`] with any way to serve a connection.
async fn serve_all<F>(
    listeners: Vec<Listener>,
    limits: Limits,
    door: Door,
    stopping: CancellationToken,
    patience: Duration,
    serve: F,
) where
    F: Fn(Protocol, TcpStream, Standing) -> Session + Clone + Send + 'static,
{
    let sessions = accept::Sessions::new(limits, door);
    let loops = TaskTracker::new();
    for listener in listeners {
        let taking = sessions.clone().take(listener.protocol, listener.socket, serve.clone());
        loops.spawn(stopping.clone().run_until_cancelled_owned(taking));
    }
    stopping.cancelled().await;
    loops.close();
    loops.wait().await;
    stop(sessions, patience).await;
}

/// Waits for the sessions, who know already, and cuts off those that do not end.
async fn stop(sessions: accept::Sessions, patience: Duration) {
    let open = sessions.running();
    if open > 0 {
        info!(sessions = open, "waiting for the sessions to end");
    }
    if timeout(patience, sessions.ended()).await.is_ok() {
        return;
    }
    warn!(sessions = sessions.running(), "sessions did not end in time and are cut off");
    sessions.cut_off();
    let _ = timeout(LETTING_GO, sessions.ended()).await;
}

#[cfg(test)]
mod tests;
