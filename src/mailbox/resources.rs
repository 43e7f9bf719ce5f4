//! What all mailboxes of one run share.

use super::Held;
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
    /// Sessions upstream whose apps have left.
    pub held: Held,
}

impl Resources {
    /// Bodies in memory alone, at most so many octets of them; 0 keeps none.
    pub fn in_memory(octets: u64) -> Self {
        let (bodies, ledger) = (Bodies::new(octets), Ledger::none());
        Self { bodies, ledger, ahead: Budget::default(), held: Held::default() }
    }
}
