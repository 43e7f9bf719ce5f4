//! A set of UIDs as runs of neighbours: an app that takes mail and deletes it leaves few of them.

use crate::mail::Uid;

/// First and last of each run, ascending; no two of them touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(Vec<(u32, u32)>);

impl FromIterator<Uid> for Runs {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut uids: Vec<u32> = uids.into_iter().map(Uid::get).collect();
        uids.sort_unstable();
        let mut runs = Self::default();
        uids.into_iter().for_each(|uid| runs.push((uid, uid)));
        runs
    }
}

impl Runs {
    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Each of them, ascending.
    pub fn uids(&self) -> impl Iterator<Item = Uid> {
        self.0.iter().flat_map(|(first, last)| *first..=*last).filter_map(Uid::new)
    }

    /// The highest.
    pub fn last(&self) -> Option<Uid> {
        self.0.last().and_then(|(_, last)| Uid::new(*last))
    }

    /// Whether it has this one.
    pub fn has(&self, uid: Uid) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= uid.get());
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| uid.get() <= *last)
    }

    /// What is in either.
    pub fn with(&self, other: &Self) -> Self {
        let mut both = [self.0.as_slice(), &other.0].concat();
        both.sort_unstable();
        let mut runs = Self::default();
        both.into_iter().for_each(|run| runs.push(run));
        runs
    }

    /// What is in this one and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        let mut holes = other.0.iter().copied().peekable();
        for (mut first, last) in self.0.iter().copied() {
            while holes.next_if(|hole| hole.1 < first).is_some() {}
            while let Some((from, to)) = holes.peek().copied().filter(|hole| hole.0 <= last) {
                if from > first {
                    left.push((first, from - 1));
                }
                if to >= last {
                    // The hole may go on in the next run.
                    first = 0;
                    break;
                }
                first = to + 1;
                holes.next();
            }
            if first != 0 {
                left.push((first, last));
            }
        }
        left
    }

    /// In ascending order of its first; what touches the last run makes it longer.
    fn push(&mut self, (first, last): (u32, u32)) {
        match self.0.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => self.0.push((first, last)),
        }
    }

    /// Each run as the distance to the one before and its length, less what they are at least; seven bits an octet,
    /// lowest first, the eighth says that more come.
    pub(super) fn encode(&self, octets: &mut Vec<u8>) {
        let mut end = 0;
        for (first, last) in &self.0 {
            for mut number in [first - end - 1, last - first] {
                while number >= 0x80 {
                    octets.push(number.to_le_bytes()[0] | 0x80);
                    number >>= 7;
                }
                octets.push(number.to_le_bytes()[0]);
            }
            end = *last;
        }
    }

    /// `None` for what [`Runs::encode`] never writes.
    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let mut octets = octets.iter().copied();
        let mut runs = Vec::new();
        let mut end = 0u32;
        while let Some(distance) = number(&mut octets) {
            let length = number(&mut octets)??;
            let distance = distance?;
            if distance == 0 && end != 0 {
                return None;
            }
            let first = end.checked_add(distance)?.checked_add(1)?;
            end = first.checked_add(length)?;
            runs.push((first, end));
        }
        Some(Self(runs))
    }
}

/// The next number: `None` at the end, `Some(None)` for what is none.
fn number(octets: &mut impl Iterator<Item = u8>) -> Option<Option<u32>> {
    let mut octet = octets.next()?;
    let mut number = u64::from(octet & 0x7f);
    let mut bits = 7;
    while octet & 0x80 != 0 {
        match octets.next() {
            Some(next) if bits < 35 => octet = next,
            _ => return Some(None),
        }
        number |= u64::from(octet & 0x7f) << bits;
        bits += 7;
    }
    Some(u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type Set = BTreeSet<u32>;

    fn runs(set: &Set) -> Runs {
        set.iter().rev().filter_map(|number| Uid::new(*number)).collect()
    }

    fn set() -> impl Strategy<Value = Set> {
        prop_oneof![
            prop::collection::btree_set(1u32..40, 0..40),
            prop::collection::btree_set(prop_oneof![1u32..1000, u32::MAX - 3..=u32::MAX], 0..20),
        ]
    }

    proptest! {
        #[test]
        fn they_are_what_sets_are(one in set(), other in set()) {
            let (a, b) = (runs(&one), runs(&other));
            prop_assert_eq!(a.with(&b), runs(&one.union(&other).copied().collect()));
            prop_assert_eq!(a.without(&b), runs(&one.difference(&other).copied().collect()));
            prop_assert_eq!(a.last().map(Uid::get), one.last().copied());
            prop_assert!((1..50).filter_map(Uid::new).all(|uid| a.has(uid) == one.contains(&uid.get())));
            prop_assert_eq!(a.has(Uid::new(u32::MAX).unwrap()), one.contains(&u32::MAX));
            prop_assert_eq!(a.uids().map(Uid::get).collect::<Set>(), one.clone());
            prop_assert_eq!((a.count(), a.is_empty()), (one.len() as u64, one.is_empty()));
        }

        #[test]
        fn they_come_back_as_they_were_written_and_nothing_else_is_taken(set in set(), odd in any::<Vec<u8>>()) {
            let runs = runs(&set);
            let mut octets = Vec::new();
            runs.encode(&mut octets);
            prop_assert_eq!(Runs::decode(&octets), Some(runs));
            if let Some(read) = Runs::decode(&odd) {
                let mut again = Vec::new();
                read.encode(&mut again);
                prop_assert_eq!(Runs::decode(&again), Some(read));
            }
        }
    }

    #[test]
    fn a_mailbox_that_was_emptied_takes_a_few_octets() {
        let mut octets = Vec::new();
        (1..=1_000_000).filter_map(Uid::new).collect::<Runs>().encode(&mut octets);
        assert_eq!(octets.len(), 4);
        for odd in [&[0x80u8][..], &[0], &[0, 0, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], &[0xff; 9]] {
            assert_eq!(Runs::decode(odd), None, "{odd:x?}");
        }
    }
}
