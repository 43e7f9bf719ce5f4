//! Which files there are and which was used last, within the bound: no disk, no clock.
//!
//! The law: `octets` + `promised` ≤ the bound, at every moment.

use std::collections::{BTreeMap, HashMap};

use super::format::Name;

/// Files at most. The index costs some 100 octets each; the mail of most people has more than 20 KiB a message, of
/// which the usual bound holds about as many.
pub(super) const MOST_FILES: usize = 100_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    bound: u64,
    octets: u64,
    /// Octets of files that are being written, each as long as it will be.
    promised: u64,
    files: HashMap<Name, Entry>,
    by_use: BTreeMap<u64, Name>,
    uses: u64,
    /// Files that somebody reads, and how many do.
    readers: HashMap<Name, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    octets: u64,
    used: u64,
}

impl Index {
    pub(super) fn new(bound: u64) -> Self {
        Self {
            bound,
            octets: 0,
            promised: 0,
            files: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            readers: HashMap::new(),
        }
    }

    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    pub(super) fn bound(&self) -> u64 {
        self.bound
    }

    pub(super) fn has(&self, name: Name) -> bool {
        self.files.contains_key(&name)
    }

    /// A file that is there, used just now.
    pub(super) fn add(&mut self, name: Name, octets: u64) {
        self.remove(name);
        self.uses += 1;
        self.files.insert(name, Entry { octets, used: self.uses });
        self.by_use.insert(self.uses, name);
        self.octets += octets;
    }

    /// Says whether there is such a file.
    pub(super) fn touch(&mut self, name: Name) -> bool {
        let Some(entry) = self.files.get_mut(&name) else { return false };
        self.uses += 1;
        self.by_use.remove(&entry.used);
        entry.used = self.uses;
        self.by_use.insert(self.uses, name);
        true
    }

    /// A file that is on its way out: nobody finds it any more, but its octets count until they are released.
    pub(super) fn take_out(&mut self, name: Name) -> u64 {
        let octets = self.files.get(&name).map_or(0, |entry| entry.octets);
        self.remove(name);
        self.promised += octets;
        octets
    }

    /// A file that is there no more.
    pub(super) fn remove(&mut self, name: Name) {
        if let Some(entry) = self.files.remove(&name) {
            self.by_use.remove(&entry.used);
            self.octets -= entry.octets;
        }
    }

    /// All that are there no more, and their octets.
    pub(super) fn clear(&mut self) -> (usize, u64) {
        let had = (self.files.len(), self.octets);
        self.files = HashMap::new();
        self.by_use = BTreeMap::new();
        self.octets = 0;
        had
    }

    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        self.files.keys().copied()
    }

    /// What has to go before `octets` more may be written: the file used longest ago that nobody reads. `Ok(None)`:
    /// nothing, they are promised now.
    ///
    /// # Errors
    /// All that could go would not make room.
    pub(super) fn promise(&mut self, octets: u64) -> Result<Option<Name>, NoRoom> {
        let fits = |more: u64| more.checked_add(octets).is_some_and(|all| all <= self.bound);
        let read = self.readers.keys().filter_map(|name| self.files.get(name)).map(|entry| entry.octets);
        if !fits(self.promised.saturating_add(read.sum())) {
            return Err(NoRoom); // Said before anything goes in vain.
        }
        if fits(self.octets.saturating_add(self.promised)) && self.files.len() < MOST_FILES {
            self.promised += octets;
            return Ok(None);
        }
        self.oldest().map(Some).ok_or(NoRoom)
    }

    /// What was promised is written, or given up.
    pub(super) fn release(&mut self, octets: u64) {
        self.promised = self.promised.saturating_sub(octets);
    }

    /// What has to go because there is more than may be.
    pub(super) fn excess(&self) -> Option<Name> {
        let too_much =
            self.octets.saturating_add(self.promised) > self.bound || self.files.len() > MOST_FILES;
        too_much.then(|| self.oldest()).flatten()
    }

    fn oldest(&self) -> Option<Name> {
        self.by_use.values().copied().find(|name| !self.readers.contains_key(name))
    }

    pub(super) fn begin_reading(&mut self, name: Name) {
        *self.readers.entry(name).or_default() += 1;
    }

    pub(super) fn end_reading(&mut self, name: Name) {
        if let Some(readers) = self.readers.get_mut(&name) {
            *readers -= 1;
            if *readers == 0 {
                self.readers.remove(&name);
            }
        }
    }
}

/// There is no room, and cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u128) -> Name {
        Name(number)
    }

    /// Makes room as a writer does; the names that went, in order.
    fn put(index: &mut Index, number: u128, octets: u64) -> Result<Vec<u128>, NoRoom> {
        let mut gone = Vec::new();
        while let Some(oldest) = index.promise(octets)? {
            let octets = index.take_out(oldest);
            index.release(octets);
            gone.push(oldest.0);
        }
        index.release(octets);
        index.add(name(number), octets);
        Ok(gone)
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut index = Index::new(30);
        for number in 1..=3 {
            assert_eq!(put(&mut index, number, 10), Ok(vec![]));
        }
        assert!(index.touch(name(1)) && !index.touch(name(9)));
        assert_eq!(put(&mut index, 4, 10), Ok(vec![2]));
        assert_eq!(put(&mut index, 5, 15), Ok(vec![3, 1]));
        assert_eq!((index.files(), index.octets()), (2, 25));
        assert_eq!(put(&mut index, 6, 30), Ok(vec![4, 5]));
        assert_eq!(put(&mut index, 7, 31), Err(NoRoom));
        assert!(index.has(name(6)), "what cannot fit pushes nothing out");
    }

    #[test]
    fn what_is_read_stays_and_what_is_promised_counts() {
        let mut index = Index::new(30);
        for number in 1..=3 {
            put(&mut index, number, 10).unwrap();
        }
        index.begin_reading(name(1));
        index.begin_reading(name(1));
        assert_eq!(put(&mut index, 4, 10), Ok(vec![2]));
        assert_eq!(put(&mut index, 5, 30), Err(NoRoom));
        index.end_reading(name(1));
        index.begin_reading(name(9)); // One that is not there, or not yet.
        assert_eq!(put(&mut index, 6, 10), Ok(vec![3]));
        index.end_reading(name(1));
        assert_eq!(index.promise(20), Ok(Some(name(1))));
        let octets = index.take_out(name(1));
        assert!(!index.has(name(1)));
        assert_eq!(index.promise(20), Ok(Some(name(4))), "1 is not gone yet");
        index.release(octets);
        let octets = index.take_out(name(4));
        index.release(octets);
        assert_eq!(index.promise(20), Ok(None));
        assert_eq!(index.promise(20), Err(NoRoom), "promised twice");
        index.release(20);
        assert_eq!(index.promise(20), Ok(None));
    }

    #[test]
    fn a_smaller_bound_lets_go_of_the_oldest_and_a_file_put_again_counts_once() {
        let mut index = Index::new(25);
        for number in [1, 2, 3, 1] {
            index.add(name(number), 10);
        }
        assert_eq!((index.files(), index.octets()), (3, 30));
        assert_eq!(index.excess(), Some(name(2)));
        index.remove(name(2));
        assert_eq!(index.excess(), None);
        assert_eq!(index.clear(), (2, 20));
        assert_eq!((index.files(), index.octets(), index.excess()), (0, 0, None));
    }
}
