//! Submission to the provider (RFC 6409) over lettre's low level.

use std::sync::Arc;

use super::UpstreamError;
use crate::mail::{Account, Credential};
use crate::net::Connector;

/// Logs in as an app's AUTH would and leaves again. An account without smtp is [`UpstreamError::Refused`].
pub async fn check_login(
    connector: &Connector,
    account: &Arc<Account>,
    credential: &Credential,
) -> Result<(), UpstreamError> {
    let _ = (connector, account, credential);
    unimplemented!()
}
