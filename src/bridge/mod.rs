//! The drivers: the only rooms that await an app and upstream.

pub mod imap;
pub mod login;
pub mod pop3;
pub mod smtp;

pub use login::{Accounts, LoginError};

use tokio_util::sync::CancellationToken;

use crate::net::Connector;
use crate::store::Bodies;

/// What every driver is handed: cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// The accounts and their gates.
    pub accounts: Accounts,
    /// The way upstream.
    pub connector: Connector,
    /// Bodies in memory.
    pub bodies: Bodies,
    /// Cancelled at SIGTERM: finish what runs within `deadlines.stop`, then go.
    pub stopping: CancellationToken,
}
