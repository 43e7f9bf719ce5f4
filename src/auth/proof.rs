//! What a login shows upstream, without showing it: for logins that take over what an earlier one left.

use std::fmt;

use super::verdicts::Mark;

/// A login's; good for as long as the process lives.
#[derive(Clone)]
pub struct Proof {
    mark: Mark,
    /// Upstream took the very same the last time it was shown it.
    good: bool,
}

impl Proof {
    pub(super) fn new(mark: Mark, good: bool) -> Self {
        Self { mark, good }
    }

    /// Whether this login would show upstream what the `earlier` one showed it, the same password or the tokens of the
    /// same sign-in, and upstream has not refused it since. Only then may it have what that one left.
    pub fn repeats(&self, earlier: &Self) -> bool {
        self.good && self.mark.is(&earlier.mark)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("good", &self.good).finish_non_exhaustive()
    }
}
