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
