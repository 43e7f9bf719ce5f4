//! How much a provider has sent for an account in the last day, where it is known how much it sends in one.
//!
//! Beyond that it locks the account out for a day, other programs too. The log tells beforehand: nothing is stopped, since
//! others may have fetched the rest, or nobody. In memory only: a bridge that is started anew begins at nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::mail::Account;

/// The last one is begun.
const HOURS: usize = 24;

/// Of what is allowed, in percent.
const TOLD_AT: u64 = 80;

const MEGABYTE: u64 = 1_000_000;

/// All accounts'; a clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Meters(Arc<Mutex<HashMap<Arc<str>, Meter>>>);

impl Meters {
    /// One account's.
    pub fn of(&self, account: &Account) -> Meter {
        let Some(allowed) = account.imap_down_a_day else { return Meter::default() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address: Arc<str> = account.address.as_str().into();
        all.entry(address.clone()).or_insert_with(|| Meter::new(address, allowed)).clone()
    }
}

/// One account's; a clone is the same. That of an account without a limit counts nothing.
#[derive(Clone, Debug, Default)]
pub struct Meter(Option<Arc<Counting>>);

#[derive(Debug)]
struct Counting {
    address: Arc<str>,
    /// Octets a day.
    allowed: u64,
    day: Mutex<Day>,
}

#[derive(Debug, Default)]
struct Day {
    /// The hour that is running, since 1970.
    hour: u64,
    /// Octets of it, and of those before it.
    hours: [u64; HOURS],
    told: bool,
}

impl Meter {
    fn new(address: Arc<str>, allowed: u64) -> Self {
        Self(Some(Arc::new(Counting { address, allowed, day: Mutex::default() })))
    }

    /// So many octets have come.
    pub fn count(&self, octets: u64) {
        let Some(counting) = self.0.as_ref().filter(|_| octets > 0) else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut day = counting.day.lock().unwrap_or_else(PoisonError::into_inner);
        if day.count(octets, now.as_secs() / 3600, counting.allowed) {
            tracing::warn!(
                "{}: the provider has sent {} MB in 24 hours and sends {} MB a day; beyond that it may lock the account \
                 out for a day, so fetch no old mail until tomorrow",
                counting.address,
                day.octets() / MEGABYTE,
                counting.allowed / MEGABYTE,
            );
        }
    }
}

/// What tests see.
#[cfg(test)]
impl Meter {
    pub(crate) fn allowing(octets: u64) -> Self {
        Self::new("ana@example.org".into(), octets)
    }

    pub(crate) fn counted(&self) -> u64 {
        self.0.as_ref().map_or(0, |counting| counting.day.lock().unwrap().octets())
    }
}

impl Day {
    fn octets(&self) -> u64 {
        self.hours.iter().fold(0, |sum, octets| sum.saturating_add(*octets))
    }

    /// Whether that has to be told: once, until it is less again.
    fn count(&mut self, octets: u64, hour: u64, allowed: u64) -> bool {
        // A clock that was set back changes nothing until it is where it was.
        let passed = usize::try_from(hour.saturating_sub(self.hour)).unwrap_or(HOURS).min(HOURS);
        self.hour = self.hour.max(hour);
        self.hours.rotate_right(passed % HOURS);
        if let Some(new) = self.hours.get_mut(..passed) {
            new.fill(0);
        }
        let [running, ..] = &mut self.hours;
        *running = running.saturating_add(octets);
        let much = self.octets() >= allowed / 100 * TOLD_AT;
        !std::mem::replace(&mut self.told, much) && much
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_in_the_last_24_hours_is_told_once_at_four_fifths() {
        let (mut day, start) = (Day::default(), 490_000u64);
        let mut told = |octets, hour| day.count(octets, start + hour, 1000);
        assert!(!told(799, 0));
        assert!(told(1, 0));
        assert!(!told(1000, 23), "it was told");
        assert!(!told(0, 24), "of the 1800 octets 1000 are left, which is more than 800");
        assert!(!told(0, 47), "less");
        assert!(told(800, 47));
        assert!(!told(1, 46), "a clock that was set back");
        assert!(!told(0, 1000), "long ago");
        assert!(told(2000, 1000));
    }
}
