//! What all mailboxes of one run share.

use super::Held;
use super::ahead::Budget;
use super::removal::{Copies, Turns};
use crate::store::{Bodies, Carried, Ledger, Views};
use crate::upstream::imap::{Backoffs, Meters};

/// For the life of the bridge; cheap to clone.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Bodies once fetched.
    pub bodies: Bodies,
    /// What mailboxes had when they were listed last.
    pub ledger: Ledger,
    /// What POP3 apps are not shown of them.
    pub views: Views,
    /// Unique-ids that outlive a UIDVALIDITY.
    pub carried: Carried,
    /// Memory for bodies read ahead.
    pub ahead: Budget,
    /// Sessions upstream whose apps have left.
    pub held: Held,
    /// Accounts that upstream asks to leave alone.
    pub backoffs: Backoffs,
    /// What upstream has sent of late.
    pub meters: Meters,
    /// What was copied and could not be removed.
    pub(super) copies: Copies,
    /// Who may expunge whatever is marked.
    pub(super) turns: Turns,
}

impl Resources {
    /// Bodies in memory alone, at most so many octets of them; 0 keeps none. Nothing can be hidden.
    pub fn in_memory(octets: u64) -> Self {
        Self {
            bodies: Bodies::new(octets),
            ledger: Ledger::none(),
            views: Views::none(),
            carried: Carried::none(),
            ahead: Budget::default(),
            held: Held::default(),
            backoffs: Backoffs::default(),
            meters: Meters::default(),
            copies: Copies::default(),
            turns: Turns::default(),
        }
    }
}
