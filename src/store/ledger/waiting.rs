//! What is yet to be written, in its order, and what a reader makes of it.
//!
//! ```text
//!  write ──▶ waiting ──oldest──▶ file       one after the other
//!               └──over what the file holds──▶ whoever reads meanwhile
//! ```
//!
//! It says what the file will hold, or would if it could be written, and came from upstream as that did. A reader may
//! meet what has just been written both here and in the file, which is the same as once; and it may have found here what
//! is older than what it then finds in the file: a mailbox as it once stood, like all in the ledger.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Key;
use super::file::{Before, News};
use crate::mail::{Listed, MessageSize};

/// Oldest first. A reader has what it may change copied, and nothing else.
#[derive(Default)]
pub(super) struct Waiting(Mutex<VecDeque<(Key, Option<Arc<News>>)>>);

/// What is being written; no longer waiting when dropped, whatever came of it.
pub(super) struct Oldest<'w> {
    waiting: &'w Waiting,
    pub(super) key: Key,
    /// `None`: only what was learnt.
    pub(super) news: Option<Arc<News>>,
}

impl Waiting {
    pub(super) fn push(&self, key: Key, news: Option<News>) {
        self.queue().push_back((key, news.map(Arc::new)));
    }

    /// What is to be written next; only for whose turn it is.
    pub(super) fn oldest(&self) -> Option<Oldest<'_>> {
        let (key, news) = self.queue().front().cloned()?;
        Some(Oldest { waiting: self, key, news })
    }

    /// Forgets what there is about mailboxes of these names; only for whose turn it is.
    pub(super) fn forget(&self, keys: &RangeInclusive<Key>) {
        self.queue().retain(|(key, _)| !keys.contains(key));
    }

    /// What there is about one mailbox.
    pub(super) fn about(&self, key: Key) -> Vec<Arc<News>> {
        let waiting = self.queue();
        waiting.iter().filter(|(whose, _)| *whose == key).filter_map(|(_, news)| news.clone()).collect()
    }

    /// Nothing is left half done under this lock.
    fn queue(&self) -> MutexGuard<'_, VecDeque<(Key, Option<Arc<News>>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Oldest<'_> {
    fn drop(&mut self) {
        self.waiting.queue().pop_front();
    }
}

impl News {
    /// The mailbox once this is written, `before` being what is.
    pub(super) fn over(&self, before: Option<Listed>) -> Listed {
        let mut listed = self.listed.clone();
        if let Some(before) = before.filter(|before| before.uid_validity == listed.uid_validity) {
            MessageSize::keep_exact(&mut listed.messages, &before.messages);
        }
        listed
    }

    /// The same with identities: what upstream told last counts.
    pub(super) fn over_all(&self, before: Option<Before>) -> Before {
        let before = before.filter(|before| before.listed.uid_validity == self.listed.uid_validity);
        let (listed, known) = before.map_or((None, Vec::new()), |it| (Some(it.listed), it.identities));
        let mut after = Before { listed: self.over(listed), identities: self.identities.clone() };
        after.fill_in(known.into_iter());
        let there = &after.listed.messages;
        after.identities.retain(|(uid, _)| there.binary_search_by_key(uid, |(uid, _)| *uid).is_ok());
        after
    }
}
