//! Message bodies in memory, weighed by octets.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::mail::{Uid, UidValidity};

/// What an entry costs beyond its octets: the key, its reference counts and the cache's own bookkeeping, rounded up.
const OVERHEAD: usize = 256;

/// What names a body: all four parts, always.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BodyKey {
    /// The account's address.
    pub account: Arc<str>,
    /// The mailbox as upstream names it.
    pub mailbox: Arc<str>,
    /// The numbering `uid` belongs to.
    pub uid_validity: UidValidity,
    /// The message.
    pub uid: Uid,
}

/// Complete, checked bodies; shared by all sessions.
///
/// Least recently used goes first. moka's own choice of what to admit looks at how often a key was asked for, and
/// would turn away every body of a mailbox that is read for the first time.
#[derive(Clone, Debug)]
pub struct Bodies(Option<Cache<BodyKey, Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    body: Bytes,
    pop3_octets: u64,
}

impl Bodies {
    /// Keeps at most `octets` of bodies; 0 keeps none.
    pub fn new(octets: u64) -> Self {
        Self((octets > 0).then(|| {
            Cache::builder()
                .max_capacity(octets)
                .weigher(weight)
                .eviction_policy(EvictionPolicy::lru())
                .build()
        }))
    }

    /// The whole body, if it is here.
    pub async fn get(&self, key: &BodyKey) -> Option<Bytes> {
        Some(self.0.as_ref()?.get(key).await?.body)
    }

    /// Takes in a complete body, exactly as upstream sent it, and the octets POP3 counts for it.
    pub async fn insert(&self, key: BodyKey, body: Bytes, pop3_octets: u64) {
        if let Some(cache) = &self.0 {
            cache.insert(key, Entry { body, pop3_octets }).await;
            // At once, not when the cache finds time: the bound is the user's memory.
            cache.run_pending_tasks().await;
        }
    }

    /// The exact POP3 sizes of the bodies of one mailbox that are here.
    pub fn pop3_octets(&self, account: &str, mailbox: &str, uid_validity: UidValidity) -> HashMap<Uid, u64> {
        let entries = self.0.iter().flat_map(|cache| cache.iter());
        entries
            .filter(|(key, _)| {
                *key.account == *account && *key.mailbox == *mailbox && key.uid_validity == uid_validity
            })
            .map(|(key, entry)| (key.uid, entry.pop3_octets))
            .collect()
    }
}

fn weight(key: &BodyKey, entry: &Entry) -> u32 {
    let octets = entry.body.len() + key.account.len() + key.mailbox.len() + OVERHEAD;
    u32::try_from(octets).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(account: &str, mailbox: &str, uid_validity: u32, uid: u32) -> BodyKey {
        BodyKey {
            account: account.into(),
            mailbox: mailbox.into(),
            uid_validity: UidValidity::new(uid_validity).unwrap(),
            uid: Uid::new(uid).unwrap(),
        }
    }

    #[tokio::test]
    async fn all_four_parts_name_a_body() {
        let bodies = Bodies::new(1 << 20);
        let kept = key("ana", "INBOX", 1, 1);
        bodies.insert(kept.clone(), Bytes::from_static(b"x"), 3).await;
        assert_eq!(bodies.get(&kept).await, Some(Bytes::from_static(b"x")));
        for other in [
            key("bob", "INBOX", 1, 1),
            key("ana", "Trash", 1, 1),
            key("ana", "INBOX", 2, 1),
            key("ana", "INBOX", 1, 2),
        ] {
            assert_eq!(bodies.get(&other).await, None);
        }
        let sizes = bodies.pop3_octets("ana", "INBOX", UidValidity::new(1).unwrap());
        assert_eq!(sizes, HashMap::from([(Uid::new(1).unwrap(), 3)]));
        assert!(bodies.pop3_octets("ana", "INBOX", UidValidity::new(2).unwrap()).is_empty());
    }

    #[tokio::test]
    async fn the_bound_holds_after_every_insertion_and_the_newest_stays() {
        let bodies = Bodies::new(10_000);
        for uid in 1..100 {
            bodies.insert(key("ana", "INBOX", 1, uid), Bytes::from(vec![0; 1000]), 1000).await;
            let cache = bodies.0.as_ref().unwrap();
            assert!(cache.weighted_size() <= 10_000, "{}", cache.weighted_size());
            assert!(bodies.get(&key("ana", "INBOX", 1, uid)).await.is_some());
        }
    }

    #[tokio::test]
    async fn nothing_keeps_nothing() {
        let bodies = Bodies::new(0);
        bodies.insert(key("ana", "INBOX", 1, 1), Bytes::from_static(b"x"), 1).await;
        assert_eq!(bodies.get(&key("ana", "INBOX", 1, 1)).await, None);
    }
}
