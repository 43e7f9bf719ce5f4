//! What survived of the configuration: host names are host names, certificates are loaded.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use crate::mail::{Account, Deadlines};

/// A configuration that a running bridge finds no fault in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the apps connect.
    pub listen: Listen,
    /// Trust upstream, from `[tls]`.
    pub tls: Arc<ClientConfig>,
    /// Octets of bodies kept in memory; 0 keeps none.
    pub cache_memory: u64,
    /// `[log] level`.
    pub log_level: tracing::level_filters::LevelFilter,
    /// Every `[[account]]`.
    pub accounts: Vec<Arc<Account>>,
    /// Waiting times; not in the file, tests shrink them.
    pub deadlines: Deadlines,
}

/// `[listen]`: loopback addresses; port 0 lets the system choose, and the log tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// POP3.
    pub pop3: Vec<SocketAddr>,
    /// IMAP.
    pub imap: Vec<SocketAddr>,
    /// Submission.
    pub smtp: Vec<SocketAddr>,
}
