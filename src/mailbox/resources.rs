//! What all mailboxes of one run share.

use super::ahead::Budget;
use crate::store::{Bodies, Ledger};

/// For the life of the bridge; cheap to clone.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Bodies once fetched.
    pub bodies: Bodies,
    /// What mailboxes had when they were listed last.
    pub ledger: Ledger,
    /// Memory for bodies read ahead.
    pub ahead: Budget,
}

impl Resources {
    /// Bodies in memory alone, at most so many octets of them; 0 keeps none.
    pub fn in_memory(octets: u64) -> Self {
        Self { bodies: Bodies::new(octets), ledger: Ledger::none(), ahead: Budget::default() }
    }
}
