//! Which messages keep their unique-ids when upstream has given the mailbox another UIDVALIDITY.
//!
//! ```text
//!  the ledger ── what the messages were, and by what each would be known again ──┐
//!  upstream ──── what they are now, and the same of each ────────────────────────┴─▶ those that are the same
//!  store::carried ── the names they had ──▶ and have from now on, on the disk before any is shown
//! ```
//!
//! An app takes a unique-id it knows for a message it has, so a wrong one would lose mail, and none costs a message that
//! is fetched again. So a name is carried only from one message to one: where two had the same identity, or two have it
//! now, neither keeps its name.

use std::collections::HashMap;

use tracing::info;

use crate::mail::{Identity, Names, Uid, UidValidity};
use crate::store::{Before, KeptNames, Page, Renamed, Renumbered};
use crate::upstream::imap::Examined;

/// What was known of the mailbox before it was listed.
#[derive(Debug)]
pub(super) struct Earlier {
    /// UIDVALIDITY, as the ledger has it.
    pub(super) was: Option<UidValidity>,
    /// The names that were kept.
    pub(super) kept: KeptNames,
    /// Where they are.
    pub(super) renamed: Renamed,
}

impl Earlier {
    /// The names of the messages that were listed. Where they were renumbered, before the ledger is written anew.
    pub(super) async fn names(self, examined: &mut Examined, page: &Page) -> Names {
        let now = examined.listed.uid_validity;
        if let Some(names) = self.kept.names(now) {
            return names;
        }
        let renumbered = self.was.is_some_and(|was| was != now) || self.kept.is_there();
        if !renumbered || !examined.lasting {
            return self.kept.own(now);
        }
        let before = page.before().await.filter(|before| before.listed.uid_validity != now);
        let same = match &before {
            Some(before) => same(before, examined.identities.as_deref().unwrap_or_default()),
            None => Vec::new(),
        };
        let was = before.map_or(now, |before| before.listed.uid_validity);
        let names = self.renamed.renumbered(&self.kept, Renumbered { was, now, same }).await;
        info!(
            messages = examined.listed.messages.len(),
            unique_ids_kept = names.count(),
            "the provider renumbered the mailbox"
        );
        names
    }
}

/// The messages that are certainly the same: their UIDs now, ascending, and what they were.
fn same(before: &Before, now: &[(Uid, Identity)]) -> Vec<(Uid, Uid)> {
    let (was, is) = (alone(&before.identities), alone(now));
    let mut same: Vec<(Uid, Uid)> =
        is.iter().filter_map(|(identity, now)| Some((*now, *was.get(identity)?))).collect();
    same.sort_unstable();
    same
}

/// The identities that one message alone has, and which.
fn alone(identities: &[(Uid, Identity)]) -> HashMap<Identity, Uid> {
    let mut whose: HashMap<Identity, Option<Uid>> = HashMap::with_capacity(identities.len());
    for (uid, identity) in identities {
        whose.entry(*identity).and_modify(|other| *other = None).or_insert(Some(*uid));
    }
    whose.into_iter().filter_map(|(identity, uid)| Some((identity, uid?))).collect()
}
