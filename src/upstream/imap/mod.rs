//! IMAP sessions with the provider: async-imap talks, our own scanner carries the octets.

mod backoff;
mod catch_up;
mod completion;
mod conversation;
mod fetch;
#[cfg(test)]
mod flood_tests;
mod greeting;
mod headers;
mod heard;
mod idle;
mod listing;
mod login;
#[cfg(test)]
mod login_tests;
mod meter;
mod open;
mod refusal;
#[cfg(test)]
pub(crate) mod script;
mod session;
mod shelf;
mod watch;
mod window;
mod wire;
#[cfg(test)]
mod wire_tests;

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::UpstreamError;
use crate::auth::Credentials;
use crate::mail::Account;
use crate::net::{Buffered, Connector, Stream};
use conversation::Conversation;

pub use backoff::{Backoff, Backoffs};
pub use conversation::has;
pub use fetch::{DRAINED, Part, Wanted};
pub use headers::{Headers, Looked};
pub use heard::{Answer, Folder, HIDDEN, KEPT, Standing};
pub use listing::{Examined, Selected, quoted};
pub use meter::{Meter, Meters};
pub use session::{Fetched, Session, Settled, WeakSession};
pub use shelf::{LARGE, Shelf, Way};
pub use watch::Keeping;
pub use window::Window;

/// A session right after login, for an IMAP app to take over.
#[derive(Debug)]
pub struct Spliceable {
    /// The stream; its input buffer holds what upstream said after the login's tagged OK.
    pub wire: Buffered<Stream>,
    /// Upstream's capabilities after login, as upstream spelled them.
    pub capabilities: Vec<String>,
    /// Whole untagged lines, CRLF included, that the app should see: `* OK [ALERT] ...` said during login.
    pub alerts: Vec<Bytes>,
}

/// Connects, logs in (greeting, capabilities, LOGIN or AUTHENTICATE, ID where a quirk asks for it), and where a quirk
/// asks for that makes sure that a mailbox stands behind the login.
///
/// Runs the conversation in a task of its own, so that a panic on a provider's line is [`UpstreamError::Lost`].
/// Dropping the future ends the conversation.
pub async fn login_for_splice(
    connector: &Connector,
    account: &Arc<Account>,
    credentials: &Credentials,
) -> Result<Spliceable, UpstreamError> {
    let (connector, account, credentials) = (connector.clone(), account.clone(), credentials.clone());
    apart(async move {
        let provider = login::Provider { connector: &connector, account: &account };
        let logged_in = async {
            let mut conversation = login::log_in(&provider, &account, &credentials).await?;
            login::connected(&mut conversation, &account).await?;
            spliceable(conversation).await
        };
        in_time(&connector, logged_in).await
    })
    .await
}

async fn log_in(
    connector: &Connector,
    account: &Account,
    credentials: &Credentials,
) -> Result<Conversation<Stream>, UpstreamError> {
    let provider = login::Provider { connector, account };
    in_time(connector, login::log_in(&provider, account, credentials)).await
}

async fn in_time<T>(
    connector: &Connector,
    login: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    let deadlines = connector.deadlines();
    // Every wait in it has its own deadline by progress; this one is for an upstream that dribbles.
    let after =
        deadlines.connect + deadlines.handshake + deadlines.greeting + deadlines.upstream_progress * 2;
    let late = Err(UpstreamError::TimedOut { command: "login", after });
    tokio::time::timeout(after, login).await.unwrap_or(late)
}

async fn spliceable(mut conversation: Conversation<Stream>) -> Result<Spliceable, UpstreamError> {
    let capabilities = conversation.capabilities().await?.to_vec();
    let alerts = std::mem::take(&mut conversation.heard().alerts);
    let wire = conversation.into_stream().ok_or(UpstreamError::Lost { command: "login" })?;
    Ok(Spliceable { wire, capabilities, alerts })
}

/// Runs `work` in a task of its own.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, UpstreamError>> + Send + 'static,
) -> Result<T, UpstreamError> {
    let task = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
    task.await.unwrap_or_else(|ended| {
        if ended.is_panic() {
            tracing::warn!("the provider said something that made the parser panic");
        }
        Err(UpstreamError::Lost { command: "login" })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_conversation_is_a_lost_connection() {
        let outcome: Result<(), UpstreamError> = apart(async { panic!("at a provider's line") }).await;
        assert!(matches!(outcome, Err(UpstreamError::Lost { .. })));
    }
}
