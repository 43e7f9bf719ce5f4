//! The drivers: the only rooms that await an app and upstream.

pub mod imap;
pub mod login;
pub mod pop3;
mod refusal;
#[cfg(test)]
mod shown;
pub mod smtp;
#[cfg(test)]
mod tests;
mod told;

pub use crate::auth::{Reached, Standing, Stores, StoresError};
pub use crate::store::{Carried, Ledger, Views};
pub use login::{Accounts, Admitted, Seat};
pub use refusal::{LoginError, Refusal};

use std::io;
use std::sync::Arc;

use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::mail::{Account, AppTls};
use crate::mailbox::Resources;
use crate::net::{Buffered, Connector};

/// Tells what to do where an app that was greeted in the clear begins TLS all the same (RFC 8446 §5.1: a handshake's
/// first octet), set to it or slow to begin. It heard the greeting as TLS, so this connection cannot be saved.
fn tell_of_late_tls(first: &[u8], tls: AppTls) {
    const HANDSHAKE: u8 = 22;
    if first.first() != Some(&HANDSHAKE) {
        return;
    }
    match tls {
        AppTls::Off => info!(
            "the mail program began TLS, which is off here; set it to no encryption, or set local = \"offer\" in [tls]"
        ),
        AppTls::Offered | AppTls::Required => info!(
            "the mail program began TLS only after it was greeted in the clear; set it to STARTTLS, or give it a port of \
             pop3s, imaps or smtps in [listen]"
        ),
        AppTls::Implicit | AppTls::Upgraded => {
            info!("the mail program began TLS within TLS; set it to one of SSL/TLS and STARTTLS");
        }
    }
}

/// What is read from an app while its password is judged: enough for the commands an app sends ahead, whatever a guesser
/// sends behind its guess.
const SENT_AHEAD: usize = 4 * 1024;

/// Waits for what becomes of an app's password, with an eye on the app: a guesser that is gone keeps nothing.
///
/// A connection that breaks is an error at once. One whose app has ended its direction is not: an app may send its
/// commands and the end (RFC 9293 §3.6), and wants its answers all the same. It is noted down as hung up; `server`
/// looks whether anybody is there to hear them, and needs its seat first where seats are rare.
async fn watched<S, F>(app: &mut Buffered<S>, standing: &Standing, judged: F) -> io::Result<F::Output>
where
    S: AsyncRead + Unpin,
    F: Future,
{
    let mut judged = std::pin::pin!(judged);
    tokio::select! {
        biased;
        judged = &mut judged => return Ok(judged),
        ended = app.ended(SENT_AHEAD) => ended?,
    }
    standing.hang_up();
    Ok(judged.await)
}

/// What every driver is handed: cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// The accounts and their gates.
    pub accounts: Accounts,
    /// What the gates keep on this machine.
    pub stores: Stores,
    /// The way upstream.
    pub connector: Connector,
    /// What mailboxes share.
    pub resources: Resources,
    /// How this app stands to TLS.
    pub app_tls: AppTls,
    /// Cancelled at SIGTERM: finish what runs within `deadlines.stop`, then go.
    pub stopping: CancellationToken,
}

impl Context {
    /// For all connections of one run; `cache_memory` are the octets of bodies kept, 0 keeps none.
    pub fn new(accounts: &[Arc<Account>], connector: Connector, cache_memory: u64, stores: Stores) -> Self {
        Self {
            accounts: Accounts::with_stores(accounts.iter().cloned(), &stores),
            stores,
            connector,
            resources: Resources::in_memory(cache_memory),
            app_tls: AppTls::Off,
            stopping: CancellationToken::new(),
        }
    }
}
