//! IMAP sessions with the provider: async-imap talks, our own scanner carries the octets.

use std::sync::Arc;

use bytes::Bytes;

use super::UpstreamError;
use crate::mail::{Account, Credential};
use crate::net::{Buffered, Connector, Stream};

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

/// Connects, logs in (greeting, capabilities, LOGIN or AUTHENTICATE PLAIN, ID where a quirk asks for it).
///
/// Runs the conversation in a task of its own, so that a panic on a provider's line is [`UpstreamError::Lost`].
pub async fn login_for_splice(
    connector: &Connector,
    account: &Arc<Account>,
    credential: &Credential,
) -> Result<Spliceable, UpstreamError> {
    let _ = (connector, account, credential);
    unimplemented!()
}
