//! What a file holds: the numberings a mailbox had, and the names carried into the last of them.
//!
//! ```text
//!  numberings 4 | UIDVALIDITY 4, returned 4 each, the last is the one that is
//!  names        | UID 4, UIDVALIDITY 4, returned 4, UID then 4 each, by ascending UID
//! ```
//!
//! Little-endian.

use bytes::Buf;

use super::Renumbered;
use crate::mail::{Name, Names, Numbering, Uid, UidValidity};

/// Numberings kept: a server that renumbers at each login must not fill the file.
const NUMBERINGS: usize = 1024;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Oldest first.
    numberings: Vec<Numbering>,
    /// Of the last of them, by ascending UID.
    carried: Vec<(Uid, Name)>,
}

impl History {
    /// The names of the messages, if this is the numbering they are of.
    pub(super) fn names(&self, now: UidValidity) -> Option<Names> {
        let last = self.last(now)?;
        Some(Names::carried(last, self.carried.clone()))
    }

    /// The same.
    pub(super) fn into_names(self, now: UidValidity) -> Option<Names> {
        let last = self.last(now)?;
        Some(Names::carried(last, self.carried))
    }

    fn last(&self, now: UidValidity) -> Option<Numbering> {
        self.numberings.last().copied().filter(|last| last.uid_validity == now)
    }

    /// The numbering that a mailbox with this UIDVALIDITY has: the last one, or a new one.
    pub(super) fn numbering(&self, now: UidValidity) -> Numbering {
        if let Some(last) = self.last(now) {
            return last;
        }
        match self.latest(now) {
            Some(before) => Numbering { returned: before.returned.saturating_add(1), ..before },
            None => Numbering::first(now),
        }
    }

    /// The names under a numbering that was, the last with this UIDVALIDITY: those carried where none came behind it.
    pub(super) fn names_under(&self, was: UidValidity) -> Names {
        // Nothing was to be kept of an earlier renumbering, or it could not be.
        let own = || Names::own(self.latest(was).unwrap_or(Numbering::first(was)));
        self.names(was).unwrap_or_else(own)
    }

    /// The last numbering with this UIDVALIDITY.
    fn latest(&self, uid_validity: UidValidity) -> Option<Numbering> {
        let carried = self.carried.iter().map(|(_, name)| name.numbering);
        let known = self.numberings.iter().copied().chain(carried);
        known.filter(|numbering| numbering.uid_validity == uid_validity).max()
    }

    /// What it is when the mailbox has been renumbered: each message that is the same keeps the name it had.
    pub(super) fn after(&self, renumbered: &Renumbered) -> Self {
        let Renumbered { was, now, same } = renumbered;
        let before = self.names_under(*was);
        let mut after = Self { numberings: self.numberings.clone(), carried: Vec::new() };
        if was != now && !after.numberings.contains(&before.now()) {
            after.numberings.push(before.now());
        }
        let next = self.numbering(*now);
        after.numberings.push(next);
        let beyond = after.numberings.len().saturating_sub(NUMBERINGS);
        after.numberings.drain(..beyond);
        after.carried.reserve_exact(same.len());
        let names = same.iter().map(|(uid, old)| (*uid, before.of(*old)));
        after.carried.extend(names.filter(|(_, name)| name.numbering != next));
        after.carried.sort_unstable_by_key(|(uid, _)| *uid);
        after.carried.dedup_by_key(|(uid, _)| *uid);
        after
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(4 + self.numberings.len() * 8 + self.carried.len() * 16);
        octets.extend(u32::try_from(self.numberings.len()).unwrap_or_default().to_le_bytes());
        for numbering in &self.numberings {
            put(&mut octets, *numbering);
        }
        for (uid, name) in &self.carried {
            octets.extend(uid.get().to_le_bytes());
            put(&mut octets, name.numbering);
            octets.extend(name.uid.get().to_le_bytes());
        }
        octets
    }

    /// `None`: nobody wrote this.
    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let mut rest = octets;
        let count = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
        if count > NUMBERINGS || count == 0 {
            return None;
        }
        let numberings = (0..count).map(|_| numbering(&mut rest)).collect::<Option<Vec<_>>>()?;
        let mut carried: Vec<(Uid, Name)> = Vec::with_capacity(rest.len() / 16);
        while !rest.is_empty() {
            let uid = Uid::new(rest.try_get_u32_le().ok()?)?;
            let numbering = numbering(&mut rest)?;
            let name = Name { numbering, uid: Uid::new(rest.try_get_u32_le().ok()?)? };
            let ascends = carried.last().is_none_or(|(last, _)| *last < uid);
            if !ascends || Some(&numbering) == numberings.last() {
                return None;
            }
            carried.push((uid, name));
        }
        Some(Self { numberings, carried })
    }
}

fn put(octets: &mut Vec<u8>, numbering: Numbering) {
    octets.extend(numbering.uid_validity.get().to_le_bytes());
    octets.extend(numbering.returned.to_le_bytes());
}

fn numbering(rest: &mut &[u8]) -> Option<Numbering> {
    let uid_validity = UidValidity::new(rest.try_get_u32_le().ok()?)?;
    Some(Numbering { uid_validity, returned: rest.try_get_u32_le().ok()? })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn validity(number: u32) -> UidValidity {
        UidValidity::new(number).unwrap()
    }

    fn renumbered(was: u32, now: u32, same: &[(u32, u32)]) -> Renumbered {
        let same = same.iter().map(|(now, was)| (uid(*now), uid(*was))).collect();
        Renumbered { was: validity(was), now: validity(now), same }
    }

    fn name(uid_validity: u32, returned: u32, number: u32) -> Name {
        let numbering = Numbering { uid_validity: validity(uid_validity), returned };
        Name { numbering, uid: uid(number) }
    }

    fn named(history: &History, now: u32, number: u32) -> Name {
        history.names(validity(now)).unwrap().of(uid(number))
    }

    #[test]
    fn the_oldest_name_stays_through_any_number_of_renumberings() {
        let first = History::default().after(&renumbered(7, 8, &[(1, 10), (2, 20)]));
        let second = first.after(&renumbered(8, 9, &[(5, 1), (6, 3)]));
        let of = [5, 6, 7].map(|number| named(&second, 9, number));
        assert_eq!(of, [name(7, 0, 10), name(8, 0, 3), name(9, 0, 7)]);
        assert_eq!(second.names(validity(8)), None);
        assert_eq!(History::decode(&second.encode()), Some(second));
    }

    /// RFC 3501 §2.3.1.1 forbids it: UIDs may be those of other messages then, so only what is proven keeps its name.
    #[test]
    fn a_uidvalidity_that_comes_back_is_another_one() {
        let away = History::default().after(&renumbered(7, 8, &[(1, 10)]));
        let back = away.after(&renumbered(8, 7, &[(10, 1), (20, 2)]));
        let of = [10, 20, 30].map(|number| named(&back, 7, number));
        assert_eq!(of, [name(7, 0, 10), name(8, 0, 2), name(7, 1, 30)]);
        let again = back.after(&renumbered(7, 8, &[(1, 30)])).after(&renumbered(8, 7, &[(3, 1)]));
        assert_eq!([3, 4].map(|number| named(&again, 7, number)), [name(7, 1, 30), name(7, 2, 4)]);
    }

    #[test]
    fn what_was_missed_in_between_takes_no_name_away_and_gives_none_twice() {
        let first = History::default().after(&renumbered(7, 8, &[(1, 10)]));
        // The ledger knows the numbering before, and what it had then.
        let second = first.after(&renumbered(7, 9, &[(1, 10), (2, 11)]));
        assert_eq!([1, 2].map(|number| named(&second, 9, number)), [name(7, 0, 10), name(7, 0, 11)]);
        // Or one that was never heard of.
        let none = second.after(&renumbered(4, 4, &[]));
        assert_eq!((none.numberings.len(), named(&none, 4, 1)), (4, name(4, 0, 1)));
        let third = second.after(&renumbered(5, 6, &[(1, 10)]));
        assert_eq!(named(&third, 6, 1), name(5, 0, 10));
    }

    #[test]
    fn a_server_that_renumbers_each_time_does_not_fill_the_file() {
        let mut history = History::default();
        for now in 2..2000 {
            history = history.after(&renumbered(now - 1, now, &[(now, if now == 2 { 9 } else { now - 1 })]));
        }
        assert_eq!(named(&history, 1999, 1999), name(1, 0, 9));
        assert!(history.numberings.len() <= NUMBERINGS);
        assert_eq!(History::decode(&history.encode()), Some(history));
    }

    proptest! {
        /// A mailbox that is renumbered again and again, each message told apart, some of them recognized.
        #[test]
        fn no_name_is_ever_that_of_two_messages(
            steps in prop::collection::vec(
                (1u32..4, prop::collection::btree_map(1u32..12, (0u32..20, any::<bool>()), 0..8)),
                1..12,
            ),
        ) {
            let mut history = History::default();
            let mut whose: HashMap<Name, u32> = HashMap::new();
            // UIDVALIDITY, and which message has which UID.
            let mut before: (u32, BTreeMap<u32, u32>) = (9, BTreeMap::new());
            for (now, mut messages) in steps {
                if now == before.0 {
                    continue;
                }
                let mut there = HashSet::new();
                messages.retain(|_, (message, _)| there.insert(*message));
                let same: Vec<(u32, u32)> = messages.iter()
                    .filter(|(_, (_, recognized))| *recognized)
                    .filter_map(|(number, (message, _))| {
                        Some((*number, *before.1.iter().find(|(_, old)| *old == message)?.0))
                    })
                    .collect();
                let known: HashMap<u32, Name> = same.iter()
                    .map(|(_, old)| (before.1[old], history.names(validity(before.0)).map_or_else(
                        || Names::own(Numbering::first(validity(before.0))).of(uid(*old)),
                        |names| names.of(uid(*old)),
                    )))
                    .collect();
                history = history.after(&renumbered(before.0, now, &same));
                prop_assert_eq!(History::decode(&history.encode()), Some(history.clone()));
                let mut shown = HashSet::new();
                for (number, (message, _)) in &messages {
                    let name = named(&history, now, *number);
                    prop_assert!(shown.insert(name), "two alike in one listing");
                    prop_assert_eq!(*whose.entry(name).or_insert(*message), *message, "used again");
                    if same.iter().any(|(uid, _)| uid == number) {
                        prop_assert_eq!(Some(&name), known.get(message));
                    }
                }
                before = (now, messages.into_iter().map(|(number, (message, _))| (number, message)).collect());
            }
        }

        #[test]
        fn any_octets_are_a_history_or_none(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(history) = History::decode(&octets) {
                prop_assert_eq!(history.encode(), octets);
            }
        }
    }
}
