//! What POP3 asks of a mailbox: listing, bodies, removal.

use std::sync::Arc;

use bytes::Bytes;

use crate::mail::{Account, Credential, Uid, UidValidity};
use crate::net::Connector;
use crate::store::Bodies;
use crate::upstream::UpstreamError;

/// One app's view of one mailbox; holds an upstream session while it lasts and replaces a lost one
/// behind the scenes where UIDVALIDITY is still the same.
#[derive(Debug)]
pub struct Mailbox {}

/// The mailbox as it stood at login.
#[derive(Debug)]
pub struct Listing {
    /// The numbering of every UID below.
    pub uid_validity: UidValidity,
    /// By ascending UID.
    pub messages: Vec<Message>,
}

/// One message of a [`Listing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID.
    pub uid: Uid,
    /// RFC822.SIZE, or the exact octets once the body was seen.
    pub octets: u64,
}

/// What QUIT does with messages marked deleted; its `Display` is a clause for the user, "moved to the folder Trash".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalPlan {
    /// Moved to this folder; named as the user sees it (UTF-8).
    MoveTo(String),
    /// Removed for good.
    Expunge,
    /// Marked `\Deleted` and left where they are.
    Flag,
    /// Left as they are.
    Keep,
}

impl std::fmt::Display for RemovalPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MoveTo(folder) => write!(f, "moved to the folder {folder}"),
            Self::Expunge => f.write_str("removed for good"),
            Self::Flag => f.write_str("marked deleted and left where they are"),
            Self::Keep => f.write_str("left as they are"),
        }
    }
}

/// A message's octets on their way, exactly as upstream has them: no dot-stuffing, line ends untouched.
#[derive(Debug)]
pub struct Body {}

impl Mailbox {
    /// Logs in, examines the mailbox (read-only until [`Mailbox::update`]) and lists it in one stream.
    pub async fn open(
        connector: Connector,
        account: Arc<Account>,
        credential: Credential,
        bodies: Bodies,
    ) -> Result<(Mailbox, Listing), UpstreamError> {
        let _ = (connector, account, credential, bodies);
        unimplemented!()
    }

    /// The whole message, `BODY.PEEK[]`. Returns once upstream's literal has been announced, or from the cache.
    ///
    /// A body that is dropped before its end costs the upstream session, which the next call replaces.
    pub async fn body(&mut self, uid: Uid) -> Result<Body, UpstreamError> {
        let _ = uid;
        unimplemented!()
    }

    /// The message's headers, the empty line and at least `lines` lines of the body where there are as many:
    /// a prefix of what [`Mailbox::body`] gives. Partial fetches, unless the server's partial fetches are broken.
    pub async fn beginning(&mut self, uid: Uid, lines: u32) -> Result<Bytes, UpstreamError> {
        let _ = (uid, lines);
        unimplemented!()
    }

    /// What a DELE will come to, found out without changing anything: the target folder is looked up, and a
    /// missing one is [`UpstreamError::NoFolder`].
    pub async fn removal_plan(&mut self) -> Result<RemovalPlan, UpstreamError> {
        unimplemented!()
    }

    /// The UPDATE state: sets `\Seen` on `seen`, then removes `deleted` as the account's `delete` says.
    ///
    /// Checks first that UIDVALIDITY is what it was at login. UIDs already gone count as removed.
    pub async fn update(&mut self, seen: &[Uid], deleted: &[Uid]) -> Result<(), UpstreamError> {
        let _ = (seen, deleted);
        unimplemented!()
    }

    /// Keeps the upstream session from timing out while the app is silent; call now and then.
    pub async fn keep_alive(&mut self) -> Result<(), UpstreamError> {
        Ok(())
    }

    /// Ends the upstream session politely (LOGOUT, never CLOSE).
    pub async fn close(self) {}
}

impl Body {
    /// The literal's length, exact; upstream's octets, not POP3's.
    pub fn octets(&self) -> u64 {
        0
    }

    /// The next octets; `None` at the end of a complete body. After an error the body is not complete and must
    /// not be ended as if it were.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        Ok(None)
    }
}
