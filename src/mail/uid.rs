//! The two numbers that name a message within a mailbox (RFC 3501 §2.3.1.1).

use std::fmt;
use std::num::NonZeroU32;

/// A message's number in a mailbox, 1 to 4294967295, never used again under the same [`UidValidity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(NonZeroU32);

/// Which numbering a [`Uid`] belongs to. It does not name a mailbox: two mailboxes may share one (RFC 2683 §3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(NonZeroU32);

macro_rules! number {
    ($name:ident) => {
        impl $name {
            /// The lowest there can be.
            pub const FIRST: Self = Self(NonZeroU32::MIN);

            /// `None` for 0, which no server may use.
            pub fn new(number: u32) -> Option<Self> {
                NonZeroU32::new(number).map(Self)
            }

            /// The number itself.
            pub fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
number!(Uid);
number!(UidValidity);
