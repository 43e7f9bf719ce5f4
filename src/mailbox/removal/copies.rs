//! What earlier QUITs copied and could not remove, so that a later one need not copy it once more: a server that refuses
//! STORE or EXPUNGE each time would otherwise be given one more copy with each.
//!
//! ```text
//!  QUIT   STATUS of the folder ─▶ COPY ─▶ EXPUNGE refused ─▶ remembered, with that STATUS
//!  QUIT   STATUS again: all that came since is still there? then no COPY
//! ```
//!
//! A copy counts only while nothing has left its folder since before it was made: each message that comes takes one UID
//! (RFC 3501 §2.3.1.1), so the folder has grown by as many messages as UIDNEXT has by UIDs. Anything else, and it is copied
//! anew. With UIDPLUS, where that is rare, STATUS is asked from the second QUIT on, and the second copy is the last one.
//!
//! A message is copied anew, too, where a UID names a message of another size, as in a mailbox that was restored from a
//! backup, and by a bridge that was started since: this is in memory alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::mail::{ToldSize, Uid, UidValidity};
use crate::upstream::imap::Standing;

/// Mailboxes kept in mind.
const MAILBOXES: usize = 64;

/// Messages kept in mind of one: some 200 KiB.
const MESSAGES: usize = 10_000;

/// Whose mailbox, and which.
type Key = (Arc<str>, Arc<str>);

/// For the life of the bridge; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::mailbox) struct Copies(Arc<Mutex<HashMap<Key, Remembered>>>);

#[derive(Clone, Debug)]
struct Remembered {
    numbering: UidValidity,
    copied: Copied,
    /// What upstream told of their sizes.
    told: BTreeMap<Uid, ToldSize>,
}

/// Messages that have their copy, unless one has left the folder since.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    /// The folder, as it stands in a command.
    pub(super) folder: String,
    /// How it stood before, if it was asked.
    pub(super) before: Option<Standing>,
    /// How many were copied since.
    pub(super) made: usize,
    pub(super) uids: BTreeSet<Uid>,
}

impl Copies {
    /// What is remembered of a mailbox, as far as it is of messages of the same size.
    pub(super) fn of(
        &self,
        key: &Key,
        numbering: UidValidity,
        told: impl Fn(Uid) -> ToldSize,
    ) -> Option<Copied> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()?;
        let mut copied = remembered.copied;
        copied.uids.retain(|uid| remembered.told.get(uid) == Some(&told(*uid)));
        (remembered.numbering == numbering).then_some(copied)
    }

    /// Remembers `copied` and nothing else of this mailbox.
    pub(super) fn remember(
        &self,
        key: Key,
        numbering: UidValidity,
        copied: Option<Copied>,
        told: impl Fn(Uid) -> ToldSize,
    ) {
        let mut mailboxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.remove(&key);
        let Some(mut copied) = copied.filter(|_| mailboxes.len() < MAILBOXES) else { return };
        let told: BTreeMap<Uid, ToldSize> = copied
            .uids
            .iter()
            .map(|uid| (*uid, told(*uid)))
            .filter(|(_, told)| *told != ToldSize::UNKNOWN)
            .take(MESSAGES)
            .collect();
        if !told.is_empty() {
            copied.uids = told.keys().copied().collect();
            mailboxes.insert(key, Remembered { numbering, copied, told });
        }
    }
}

impl Copied {
    /// Whether nothing has left the folder since before they were made.
    pub(super) fn is_there(&self, now: Standing) -> bool {
        let Some(before) = self.before else { return false };
        let came = now.uid_next.checked_sub(before.uid_next);
        let more = now.messages.checked_sub(before.messages);
        let made = came.and_then(|came| usize::try_from(came).ok());
        now.uid_validity == before.uid_validity && came == more && made.is_some_and(|made| made >= self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3501_2_3_1_1_a_folder_that_lost_nothing_has_grown_by_as_many_messages_as_uids() {
        let standing = |uid_validity, uid_next, messages| Standing { uid_validity, uid_next, messages };
        let copied = Copied {
            folder: String::new(),
            before: Some(standing(1, 10, 5)),
            made: 3,
            uids: BTreeSet::new(),
        };
        for (now, there) in [
            (standing(1, 13, 8), true),
            (standing(1, 20, 15), true),
            // One is gone; one is gone and another came; numbers were skipped.
            (standing(1, 13, 7), false),
            (standing(1, 14, 8), false),
            (standing(1, 15, 9), false),
            // Not even the copies; renumbered; less than there was.
            (standing(1, 12, 7), false),
            (standing(2, 13, 8), false),
            (standing(1, 9, 4), false),
        ] {
            assert_eq!(copied.is_there(now), there, "{now:?}");
        }
    }
}
