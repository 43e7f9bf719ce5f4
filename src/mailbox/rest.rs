//! The rest of a body that turned out damaged in the cache while an app had a part of it already.
//!
//! What the app has is right, each chunk was checked. So the message is fetched anew, over a session of its own as the
//! mailbox's may be at work, what the app has is skipped, and the rest follows. A fetch of a part would be shorter and
//! is wrong at some servers; this is too rare to matter. The session counts among the account's own as long as it lasts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Resources;
use super::held::{Held, InUse};
use super::keeping::Keeping;
use super::line::Spare;
use crate::mail::Account;
use crate::store::{Bodies, BodyKey};
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Fetched, Part, Session, Wanted};

/// What it takes to have the rest.
#[derive(Debug)]
pub(super) struct Rest {
    spare: Option<Spare>,
    bodies: Bodies,
    held: Held,
    account: Arc<Account>,
    key: BodyKey,
    stall: Duration,
}

/// The rest, as it comes.
#[derive(Debug)]
pub(super) struct Coming {
    /// Ends with the body.
    session: Option<(Session, InUse)>,
    fetched: Fetched,
    keeping: Option<Keeping>,
    /// Octets that the app has.
    skip: u64,
}

const LOST: UpstreamError = UpstreamError::Lost { command: "FETCH" };

impl Rest {
    pub(super) fn new(
        spare: Option<Spare>,
        resources: &Resources,
        account: &Arc<Account>,
        key: BodyKey,
        stall: Duration,
    ) -> Self {
        let (bodies, held) = (resources.bodies.clone(), resources.held.clone());
        Self { spare, bodies, held, account: account.clone(), key, stall }
    }

    /// Fetches the message, of which the app has `had` octets of `octets`.
    ///
    /// # Errors
    /// It cannot be had, or is another one now.
    pub(super) async fn fetch(self, had: u64, octets: u64) -> Result<Coming, UpstreamError> {
        let in_use = self.held.enter(&self.account);
        let session = self.spare.ok_or(LOST)?.open().await?;
        let wanted = Wanted { uid: self.key.uid, uid_validity: self.key.uid_validity, part: Part::Whole };
        let fetched = session.fetch(wanted, self.stall).await?;
        if fetched.octets != octets {
            return Err(LOST);
        }
        let keeping = Keeping::begin(&self.bodies, self.key, octets);
        Ok(Coming { session: Some((session, in_use)), fetched, keeping, skip: had })
    }
}

impl Coming {
    /// The next octets; `None` at the end of a complete body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(mut chunk) = self.fetched.chunk().await? {
            if let Some(keeping) = &mut self.keeping {
                keeping.take(&chunk);
            }
            let had = chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= had as u64;
            let rest = chunk.split_off(had);
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
        if let Some(keeping) = self.keeping.take() {
            keeping.complete().await;
        }
        if let Some((session, in_use)) = self.session.take() {
            tokio::spawn(async move {
                session.log_out().await;
                drop(in_use);
            });
        }
        Ok(None)
    }
}
