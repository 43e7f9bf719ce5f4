//! A mailbox as it stood when it was listed.

use std::num::NonZeroU16;

use super::{Uid, UidValidity};

/// What a listing told of a mailbox; sixteen octets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The numbering of the UIDs.
    pub uid_validity: UidValidity,
    /// Every later message's UID is this or higher (RFC 3501 §2.3.1.1); `None` where upstream does not tell, and
    /// then no later listing may build on this one.
    pub uid_next: Option<Uid>,
    /// Ascending, each UID once.
    pub messages: Vec<(Uid, MessageSize)>,
}

/// A message's size in octets, and how well it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageSize(u64);

/// The two highest bits say how a size is known, and of an exact one those below [`MARK_SHIFT`]'s what was told before;
/// no message has so many octets.
const EXACT: u64 = 1 << 63;
const TOLD: u64 = 1 << 62;
const MARK_SHIFT: u32 = 48;
const OCTETS: u64 = (1 << MARK_SHIFT) - 1;
const MARK: u64 = TOLD - 1 - OCTETS;

/// A mark of the RFC822.SIZE that upstream tells of a message: what is kept beside what is known of it, so that another
/// message which is given the same UID, as by a mailbox that was restored from a backup, is seen to be another one.
///
/// Of two sizes one in 8,191 has the same mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToldSize(Option<NonZeroU16>);

impl ToldSize {
    /// Upstream told none.
    pub const UNKNOWN: Self = Self(None);

    /// A prime.
    const MARKS: u64 = 8191;

    /// Of this RFC822.SIZE.
    pub fn of(octets: u64) -> Self {
        let mark = u16::try_from(octets % Self::MARKS + 1).ok();
        Self(mark.and_then(NonZeroU16::new))
    }

    /// Whether both were told, and are not the same.
    pub fn differs(self, other: Self) -> bool {
        self.0.zip(other.0).is_some_and(|(one, other)| one != other)
    }

    /// 13 bits; 0 where none was told.
    pub(crate) fn bits(self) -> u16 {
        self.0.map_or(0, NonZeroU16::get)
    }

    /// What [`ToldSize::bits`] gave.
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(NonZeroU16::new(bits))
    }
}

impl MessageSize {
    /// Nobody told anything that could be believed; counts as 0 octets.
    pub const UNKNOWN: Self = Self(0);

    /// Upstream's RFC822.SIZE.
    pub fn told(octets: u64) -> Self {
        Self(octets.min(OCTETS) | TOLD)
    }

    /// What POP3 counts (RFC 1939 §11), of a body that was seen whole, and what upstream told of it.
    pub fn exact(octets: u64, told: ToldSize) -> Self {
        Self(octets.min(OCTETS) | (u64::from(told.bits()) << MARK_SHIFT) & MARK | EXACT | TOLD)
    }

    /// What upstream told, whether or not a body was seen since.
    pub fn as_told(self) -> ToldSize {
        match self.is_known() {
            true if self.is_exact() => {
                ToldSize::from_bits(u16::try_from((self.0 & MARK) >> MARK_SHIFT).unwrap_or_default())
            }
            true => ToldSize::of(self.octets()),
            false => ToldSize::UNKNOWN,
        }
    }

    /// Takes an exact size that is known of the UID, unless upstream told another size then: it was another message.
    pub fn correct(&mut self, known: Self) {
        if known.is_exact() && !self.as_told().differs(known.as_told()) {
            let told = if self.as_told() == ToldSize::UNKNOWN { known.as_told() } else { self.as_told() };
            *self = Self::exact(known.octets(), told);
        }
    }

    /// Gives `messages` the exact sizes that are `known`, both by ascending UID, as [`MessageSize::correct`] does; those
    /// that are exact stay.
    pub fn keep_exact(messages: &mut [(Uid, Self)], known: &[(Uid, Self)]) {
        let mut known = known.iter().filter(|(_, size)| size.is_exact()).peekable();
        for (uid, size) in messages {
            while known.next_if(|(before, _)| before < uid).is_some() {}
            if let Some((_, exact)) = known.next_if(|(same, _)| same == uid)
                && !size.is_exact()
            {
                size.correct(*exact);
            }
        }
    }

    /// The octets.
    pub fn octets(self) -> u64 {
        self.0 & OCTETS
    }

    /// Whether a body was seen whole.
    pub fn is_exact(self) -> bool {
        self.0 & EXACT != 0
    }

    /// Whether the octets mean anything.
    pub fn is_known(self) -> bool {
        self.0 & TOLD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_sixteen_octets_and_says_how_its_size_is_known() {
        assert_eq!(size_of::<(Uid, MessageSize)>(), 16);
        for octets in [0, 1, 1 << 40] {
            let (told, exact) = (MessageSize::told(octets), MessageSize::exact(octets, ToldSize::UNKNOWN));
            assert_eq!((told.octets(), told.is_known(), told.is_exact()), (octets, true, false));
            assert_eq!((exact.octets(), exact.is_known(), exact.is_exact()), (octets, true, true));
        }
        let uid = |number| Uid::new(number).unwrap();
        let told = MessageSize::told;
        let exact = |octets| MessageSize::exact(octets, ToldSize::UNKNOWN);
        let mut messages = [(uid(2), told(2)), (uid(3), exact(3)), (uid(5), told(5)), (uid(7), told(7))];
        MessageSize::keep_exact(
            &mut messages,
            &[
                (uid(1), exact(9)),
                (uid(2), exact(9)),
                (uid(3), exact(9)),
                (uid(5), told(9)),
                (uid(6), exact(9)),
            ],
        );
        assert_eq!(
            messages,
            [
                (uid(2), MessageSize::exact(9, ToldSize::of(2))),
                (uid(3), exact(3)),
                (uid(5), told(5)),
                (uid(7), told(7))
            ]
        );
        assert_eq!((MessageSize::UNKNOWN.octets(), MessageSize::UNKNOWN.is_known()), (0, false));
        assert!(
            MessageSize::exact(u64::MAX, ToldSize::of(u64::MAX)).is_exact()
                && MessageSize::told(u64::MAX).is_known()
        );
    }

    #[test]
    fn an_exact_size_is_of_the_message_of_which_the_same_size_was_told() {
        let uid = Uid::new(4).unwrap();
        let known = [(uid, MessageSize::exact(66, ToldSize::of(60)))];
        for (now, expected) in [
            (MessageSize::told(60), MessageSize::exact(66, ToldSize::of(60))),
            (MessageSize::UNKNOWN, MessageSize::exact(66, ToldSize::of(60))),
            // A mailbox that hands out its UIDs again.
            (MessageSize::told(61), MessageSize::told(61)),
        ] {
            let mut messages = [(uid, now)];
            MessageSize::keep_exact(&mut messages, &known);
            assert_eq!(messages, [(uid, expected)]);
            assert!(!expected.as_told().differs(now.as_told()));
        }
        assert_eq!(MessageSize::UNKNOWN.as_told(), ToldSize::UNKNOWN);
    }
}
