//! Message bodies in memory, weighed by octets.

use bytes::Bytes;

use crate::mail::{Uid, UidValidity};

/// What names a body: all four parts, always.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BodyKey {
    /// The account's address.
    pub account: std::sync::Arc<str>,
    /// The mailbox as upstream names it.
    pub mailbox: std::sync::Arc<str>,
    /// The numbering `uid` belongs to.
    pub uid_validity: UidValidity,
    /// The message.
    pub uid: Uid,
}

/// Complete, checked bodies; shared by all sessions.
#[derive(Clone, Debug)]
pub struct Bodies {}

impl Bodies {
    /// Keeps at most `octets` of bodies; 0 keeps none.
    pub fn new(octets: u64) -> Self {
        let _ = octets;
        Self {}
    }

    /// The whole body, if it is here.
    pub async fn get(&self, key: &BodyKey) -> Option<Bytes> {
        let _ = key;
        None
    }

    /// Takes in a complete body, exactly as upstream sent it.
    pub async fn insert(&self, key: BodyKey, body: Bytes) {
        let _ = (key, body);
    }
}
