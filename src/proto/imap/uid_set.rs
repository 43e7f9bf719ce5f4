//! Sets of UIDs as they stand in a command and in an answer (RFC 3501 §9, `sequence-set`).

use std::fmt::Write;

use super::response::number;
use crate::mail::Uid;

/// The ranges of a set, first and last, ascending each, in the order they come in; `None` for what is no number, `*`
/// among it: an answer names what there is.
pub fn ranges_of(set: &[u8]) -> impl Iterator<Item = Option<(Uid, Uid)>> {
    let uid = |digits| number(digits).and_then(Uid::new);
    set.split(|octet| *octet == b',').map(move |item| {
        let colon = memchr::memchr(b':', item).unwrap_or(item.len());
        let (first, last) = item.split_at(colon);
        let (first, last) = (uid(first)?, uid(last.strip_prefix(b":").unwrap_or(first))?);
        // `9:1` is `1:9` (RFC 3501 §9).
        Some((first.min(last), first.max(last)))
    })
}

/// How many UIDs these ranges name.
pub fn count(ranges: &[(Uid, Uid)]) -> u64 {
    ranges.iter().map(|(first, last)| u64::from(last.get().abs_diff(first.get())) + 1).sum()
}

/// The sets that name exactly `uids`, ascending, each at most `octets` long (RFC 2683 §3.2.1.5 wants short lines)
/// and naming at most `most` of them; neighbours are written as ranges.
///
/// A range never spans a UID that is not among `uids`, and never ends in `*`: what it names must not depend on what
/// else the mailbox holds.
pub fn sets(uids: &[Uid], octets: usize, most: usize) -> Vec<String> {
    let mut uids: Vec<u32> = uids.iter().map(|uid| uid.get()).collect();
    uids.sort_unstable();
    uids.dedup();
    let mut sets: Vec<String> = Vec::new();
    let (mut set, mut named) = (String::new(), 0);
    for range in ranges(&uids, most.max(1)) {
        let (first, last, count) = range;
        let mut item = first.to_string();
        if last != first {
            let _ = write!(item, ":{last}");
        }
        if !set.is_empty() && (set.len() + 1 + item.len() > octets || named + count > most) {
            sets.push(std::mem::take(&mut set));
            named = 0;
        }
        if !set.is_empty() {
            set.push(',');
        }
        set.push_str(&item);
        named += count;
    }
    if !set.is_empty() {
        sets.push(set);
    }
    sets
}

/// Runs of neighbours, first and last and how many, none longer than `most`.
fn ranges(uids: &[u32], most: usize) -> impl Iterator<Item = (u32, u32, usize)> {
    let runs = uids.chunk_by(|before, after| *after - *before == 1);
    runs.flat_map(move |run| run.chunks(most))
        .filter_map(|run| Some((*run.first()?, *run.last()?, run.len())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().filter_map(|number| Uid::new(*number)).collect()
    }

    #[test]
    fn neighbours_become_ranges_and_nothing_between_is_named() {
        let set = sets(&uids(&[9, 1, 2, 3, 5, 7, 8, 8, u32::MAX]), 900, usize::MAX);
        assert_eq!(set, ["1:3,5,7:9,4294967295"]);
        assert_eq!(sets(&uids(&[1, 2, 3, 4, 6]), 900, 1), ["1", "2", "3", "4", "6"]);
        assert_eq!(sets(&uids(&[1, 2, 3, 4, 6]), 900, 3), ["1:3", "4,6"]);
        assert!(sets(&[], 900, 9).is_empty());
    }

    fn named(set: &str) -> Vec<u32> {
        let range = |item: &str| {
            let (first, last) = item.split_once(':').unwrap_or((item, item));
            first.parse::<u32>().unwrap()..=last.parse().unwrap()
        };
        set.split(',').flat_map(range).collect()
    }

    #[test]
    fn ranges_out_of_an_answer() {
        let all = |set: &str| -> Option<Vec<(u32, u32)>> {
            ranges_of(set.as_bytes())
                .map(|range| range.map(|(first, last)| (first.get(), last.get())))
                .collect()
        };
        assert_eq!(all("1,3:5,9:7,4294967295"), Some(vec![(1, 1), (3, 5), (7, 9), (u32::MAX, u32::MAX)]));
        for odd in ["", "1,", "0", "1:*", "1:2:3", ":", "4294967296", "1 2"] {
            assert_eq!(all(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_uids_and_no_longer_than_allowed(
            numbers in prop::collection::btree_set(1u32..500, 0..200),
            octets in 11usize..60,
            most in 1usize..30,
        ) {
            let numbers: Vec<u32> = numbers.into_iter().collect();
            let sets = sets(&uids(&numbers), octets, most);
            prop_assert!(sets.iter().all(|set| set.len() <= octets && named(set).len() <= most));
            prop_assert_eq!(sets.iter().flat_map(|set| named(set)).collect::<Vec<_>>(), numbers);
        }
    }
}
