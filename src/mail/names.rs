//! What names a message for as long as it is there: its UID under the numbering by which it was met first.

use super::{Uid, UidValidity};

/// One numbering of a mailbox's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Numbering {
    /// As upstream says.
    pub uid_validity: UidValidity,
    /// How often upstream came back to this UIDVALIDITY after it had another one, which it should never do
    /// (RFC 3501 §2.3.1.1): its UIDs may be other messages' then.
    pub returned: u32,
}

/// A message's name, never used again for another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The numbering by which the message was met first.
    pub numbering: Numbering,
    /// Its UID then.
    pub uid: Uid,
}

/// The names of a mailbox's messages; sixteen octets for each that has an older one than its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    now: Numbering,
    /// By ascending UID; names of other numberings, no two alike.
    carried: Vec<(Uid, Name)>,
}

impl Numbering {
    /// A UIDVALIDITY that is seen for the first time.
    pub fn first(uid_validity: UidValidity) -> Self {
        Self { uid_validity, returned: 0 }
    }
}

impl Names {
    /// All messages go by their own UIDs.
    pub fn own(now: Numbering) -> Self {
        Self { now, carried: Vec::new() }
    }

    /// Those in `carried`, by ascending UID, have older names, no two alike. A name of this very numbering, or one that
    /// is out of order, is left out.
    pub fn carried(now: Numbering, mut carried: Vec<(Uid, Name)>) -> Self {
        let mut last = None;
        carried.retain(|(uid, name)| name.numbering != now && last.replace(*uid) < Some(*uid));
        carried.shrink_to_fit();
        Self { now, carried }
    }

    /// The message's name.
    pub fn of(&self, uid: Uid) -> Name {
        let older = self.carried.binary_search_by_key(&uid, |(uid, _)| *uid).ok();
        let older = older.and_then(|at| self.carried.get(at)).map(|(_, name)| *name);
        older.unwrap_or(Name { numbering: self.now, uid })
    }

    /// Those that have older names than their own, by ascending UID.
    pub fn older(&self) -> &[(Uid, Name)] {
        &self.carried
    }

    /// The numbering that is in force.
    pub fn now(&self) -> Numbering {
        self.now
    }

    /// How many messages have older names.
    pub fn count(&self) -> usize {
        self.carried.len()
    }
}

impl From<UidValidity> for Names {
    fn from(uid_validity: UidValidity) -> Self {
        Self::own(Numbering::first(uid_validity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_by_its_older_name_and_all_others_by_their_own() {
        let uid = |number| Uid::new(number).unwrap();
        let numbering = |number| Numbering::first(UidValidity::new(number).unwrap());
        let name = |validity, number| Name { numbering: numbering(validity), uid: uid(number) };
        assert_eq!(size_of::<(Uid, Name)>(), 16);
        let carried =
            vec![(uid(1), name(7, 9)), (uid(3), name(6, 3)), (uid(4), name(8, 2)), (uid(3), name(7, 1))];
        let names = Names::carried(numbering(8), carried);
        let of = [1, 2, 3, 4].map(|number| names.of(uid(number)));
        assert_eq!(of, [name(7, 9), name(8, 2), name(6, 3), name(8, 4)]);
        assert_eq!((names.count(), names.now()), (2, numbering(8)));
    }
}
