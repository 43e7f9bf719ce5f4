//! What a file holds: which messages are hidden under one numbering, and what of it upstream's keywords tell.
//!
//! ```text
//!  format 2 │ UIDVALIDITY 4, returned 4 │ asked 1 │ octets of the next 4 │ hidden, runs │ owed, runs
//!  format 1 │ UIDVALIDITY 4 ─────────────────────────────────────────────│ hidden, runs │ (asked, and none owed)
//! ```
//!
//! Big-endian.

use super::{NotHidden, Runs};
use crate::mail::{Numbering, UidValidity};

/// Octets of runs in a file: some two million of them. Who hides every other message of four million is told no.
const MOST: usize = 4 << 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veil {
    /// What the UIDs are of.
    pub numbering: Numbering,
    /// These are not shown.
    pub hidden: Runs,
    /// Those of them that may not bear the keyword upstream, and are to.
    pub owed: Runs,
    /// Upstream was asked which messages bear the keyword, and what it told is in here.
    pub asked: bool,
}

impl Veil {
    /// Nothing is hidden yet, and nobody was asked.
    pub fn new(numbering: Numbering) -> Self {
        Self { numbering, hidden: Runs::default(), owed: Runs::default(), asked: false }
    }

    /// What either has of one numbering.
    pub(super) fn with(&self, other: &Self) -> Self {
        Self {
            numbering: self.numbering,
            hidden: self.hidden.with(&other.hidden),
            owed: self.owed.with(&other.owed),
            asked: self.asked || other.asked,
        }
    }

    pub(super) fn without(&self, gone: &Runs) -> Self {
        Self { hidden: self.hidden.without(gone), owed: self.owed.without(gone), ..self.clone() }
    }

    /// What is owed is left out where there is no room for it.
    pub(super) fn encode(&self) -> Result<Vec<u8>, NotHidden> {
        let (mut hidden, mut owed) = (Vec::new(), Vec::new());
        self.hidden.encode(&mut hidden);
        self.owed.encode(&mut owed);
        let count = u32::try_from(hidden.len()).ok().filter(|_| hidden.len() <= MOST);
        let Some(count) = count else {
            let sentence = "more messages are hidden than can be kept in mind; remove some at the provider";
            return Err(NotHidden(sentence.to_owned()));
        };
        if hidden.len() + owed.len() > MOST {
            owed.clear();
        }
        let Numbering { uid_validity, returned } = self.numbering;
        let head = [uid_validity.get().to_be_bytes(), returned.to_be_bytes()].concat();
        Ok([&*head, &[u8::from(self.asked)], &count.to_be_bytes(), &hidden, &owed].concat())
    }

    /// `None` for what [`Veil::encode`] never writes.
    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let (uid_validity, rest) = number(octets)?;
        let (returned, rest) = number(rest)?;
        let ([asked], rest) = rest.split_first_chunk()?;
        let asked = match asked {
            0 => false,
            1 => true,
            _ => return None,
        };
        let (count, rest) = number(rest)?;
        let (hidden, owed) = rest.split_at_checked(usize::try_from(count).ok()?)?;
        let numbering = Numbering { uid_validity: UidValidity::new(uid_validity)?, returned };
        Some(Self { numbering, hidden: Runs::decode(hidden)?, owed: Runs::decode(owed)?, asked })
    }

    /// The same of what the first format has.
    pub(super) fn decode_first(octets: &[u8]) -> Option<Self> {
        let (uid_validity, runs) = number(octets)?;
        let numbering = Numbering::first(UidValidity::new(uid_validity)?);
        Some(Self { numbering, hidden: Runs::decode(runs)?, owed: Runs::default(), asked: true })
    }
}

fn number(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = octets.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::Uid;

    fn runs() -> impl Strategy<Value = Runs> {
        prop::collection::vec(1u32..50, 0..9)
            .prop_map(|uids| uids.into_iter().filter_map(Uid::new).collect::<Runs>())
    }

    proptest! {
        #[test]
        fn it_comes_back_as_it_was_written_and_nothing_else_is_taken(
            (uid_validity, returned, asked) in (1u32.., any::<u32>(), any::<bool>()),
            (hidden, owed) in (runs(), runs()),
            odd in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let numbering = Numbering { uid_validity: UidValidity::new(uid_validity).unwrap(), returned };
            let veil = Veil { numbering, hidden, owed, asked };
            let octets = veil.encode().unwrap();
            prop_assert_eq!(Veil::decode(&octets), Some(veil));
            for octets in [&odd[..], octets.get(..octets.len() - 1).unwrap_or_default()] {
                if let Some(read) = Veil::decode(octets) {
                    prop_assert_eq!(read.encode().unwrap(), octets);
                }
            }
        }
    }

    /// Whether hints are set is no reason not to hide.
    #[test]
    fn what_is_owed_gives_way_to_what_is_hidden() {
        let every_other: Runs = (1..=1_500_000).filter_map(|number| Uid::new(number * 2)).collect();
        let numbering = Numbering::first(UidValidity::new(7).unwrap());
        let veil = Veil { numbering, hidden: every_other.clone(), owed: every_other, asked: true };
        let read = Veil::decode(&veil.encode().unwrap()).unwrap();
        assert_eq!((read.hidden, read.owed), (veil.hidden, Runs::default()));
    }
}
