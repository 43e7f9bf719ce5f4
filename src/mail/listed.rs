//! A mailbox as it stood when it was listed.

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

/// The two highest bits say how a size is known; no message has so many octets.
const EXACT: u64 = 1 << 63;
const TOLD: u64 = 1 << 62;

impl MessageSize {
    /// Nobody told anything that could be believed; counts as 0 octets.
    pub const UNKNOWN: Self = Self(0);

    /// Upstream's RFC822.SIZE.
    pub fn told(octets: u64) -> Self {
        Self(octets.min(TOLD - 1) | TOLD)
    }

    /// What POP3 counts (RFC 1939 §11), of a body that was seen whole.
    pub fn exact(octets: u64) -> Self {
        Self(octets.min(TOLD - 1) | EXACT | TOLD)
    }

    /// Gives `messages` the exact sizes that are `known`, both by ascending UID; those that are exact stay.
    pub fn keep_exact(messages: &mut [(Uid, Self)], known: &[(Uid, Self)]) {
        let mut known = known.iter().filter(|(_, size)| size.is_exact()).peekable();
        for (uid, size) in messages {
            while known.next_if(|(before, _)| before < uid).is_some() {}
            if let Some((_, exact)) = known.next_if(|(same, _)| same == uid)
                && !size.is_exact()
            {
                *size = *exact;
            }
        }
    }

    /// The octets.
    pub fn octets(self) -> u64 {
        self.0 & (TOLD - 1)
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
            let (told, exact) = (MessageSize::told(octets), MessageSize::exact(octets));
            assert_eq!((told.octets(), told.is_known(), told.is_exact()), (octets, true, false));
            assert_eq!((exact.octets(), exact.is_known(), exact.is_exact()), (octets, true, true));
        }
        let uid = |number| Uid::new(number).unwrap();
        let (told, exact) = (MessageSize::told, MessageSize::exact);
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
        assert_eq!(messages, [(uid(2), exact(9)), (uid(3), exact(3)), (uid(5), told(5)), (uid(7), told(7))]);
        assert_eq!((MessageSize::UNKNOWN.octets(), MessageSize::UNKNOWN.is_known()), (0, false));
        assert!(MessageSize::exact(u64::MAX).is_exact() && MessageSize::told(u64::MAX).is_known());
    }
}
