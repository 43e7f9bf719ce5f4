//! What is behind an app's session: nothing yet, a mailbox that is on its way, or an open one.
//!
//! ```text
//!  PASS, its session upstream was held ──▶ +OK ──▶ Coming ──▶ Open, as after any other login
//!                                                     └─────▶ -ERR to the next command, which is the last
//! ```
//!
//! What is on its way moves whenever the driver waits: for the app's next line, or for the mailbox itself.

use std::sync::Arc;

use tokio::time::Instant;

use super::provider::{Arriving, Inbox, Provider};
use crate::bridge::Admitted;
use crate::mail::Account;
use crate::mailbox::Listing;
use crate::upstream::UpstreamError;

/// See the module.
pub(super) enum Behind<P: Provider> {
    /// No login, or no mailbox for it.
    Nothing,
    Coming(Coming<P::Coming>),
    Open(Open<P::Maildrop>),
}

/// A mailbox that is on its way, of a login that was accepted.
pub(super) struct Coming<C> {
    pub(super) admitted: Admitted,
    /// With the folder that this session shows.
    pub(super) account: Arc<Account>,
    pub(super) mailbox: C,
}

/// An open mailbox.
pub(super) struct Open<M> {
    pub(super) account: Arc<Account>,
    pub(super) mailbox: M,
    /// When upstream last heard of us.
    pub(super) touched: Instant,
}

impl<P: Provider> Behind<P> {
    pub(super) fn open(&self) -> Option<&Open<P::Maildrop>> {
        match self {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Open<P::Maildrop>> {
        match self {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }

    /// What comes of a mailbox that is on its way; never where none is. Cancel-safe. `Driver::arrived` is next, and
    /// nothing before it.
    pub(super) async fn arrival(&mut self) -> Result<(P::Maildrop, Listing), UpstreamError> {
        match self {
            Self::Coming(coming) => coming.mailbox.arrival().await,
            _ => std::future::pending().await,
        }
    }

    /// The app has left, `well` where its session upstream may be held.
    pub(super) async fn left(self, well: bool) {
        match self {
            Self::Open(open) if well => open.mailbox.leave().await,
            Self::Open(open) => open.mailbox.close().await,
            Self::Coming(coming) if well => coming.mailbox.leave().await,
            Self::Coming(_) | Self::Nothing => {}
        }
    }
}
