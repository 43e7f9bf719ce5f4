//! How many apps may be here at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::protocol::Protocol;

/// All protocols together. The usual limit is 1,024 descriptors; a connection takes two, the app's and upstream's,
/// which leaves more than two hundred for connects under way, listeners and files.
const TOTAL: usize = 400;

/// IMAP apps hold five and more connections each for as long as they run. A hundred places are left for the others
/// whatever they do.
const IMAP: usize = 300;

/// POP3 and submission sessions last seconds; what reaches this is a program gone wild, and it leaves the other half
/// alone.
const POP3: usize = 200;

/// As [`POP3`].
const SMTP: usize = 200;

/// Free seats, in all and for each protocol.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    total: Arc<Semaphore>,
    pop3: Arc<Semaphore>,
    imap: Arc<Semaphore>,
    smtp: Arc<Semaphore>,
}

/// A place of a connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _of_all: OwnedSemaphorePermit,
    _of_protocol: OwnedSemaphorePermit,
}

impl Limits {
    /// `total` in all; `pop3`, `imap` and `smtp` of each protocol.
    pub(super) fn new(total: usize, pop3: usize, imap: usize, smtp: usize) -> Self {
        let seats = |count| Arc::new(Semaphore::new(count));
        Self { total: seats(total), pop3: seats(pop3), imap: seats(imap), smtp: seats(smtp) }
    }

    /// A seat, if one is free now.
    pub(super) fn seat(&self, protocol: Protocol) -> Option<Seat> {
        let own = match protocol {
            Protocol::Pop3 | Protocol::Pop3s => &self.pop3,
            Protocol::Imap | Protocol::Imaps => &self.imap,
            Protocol::Smtp | Protocol::Smtps => &self.smtp,
        };
        let of_protocol = own.clone().try_acquire_owned().ok()?;
        let of_all = self.total.clone().try_acquire_owned().ok()?;
        Some(Seat { _of_all: of_all, _of_protocol: of_protocol })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(TOTAL, POP3, IMAP, SMTP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_protocol_leaves_room_for_the_others() {
        let limits = Limits::default();
        for wild in [Protocol::Pop3, Protocol::Imap, Protocol::Smtp] {
            let taken: Vec<Seat> = std::iter::from_fn(|| limits.seat(wild)).collect();
            assert!(limits.seat(wild).is_none() && taken.len() < TOTAL);
            for other in [Protocol::Pop3, Protocol::Imap, Protocol::Smtp] {
                assert_eq!(limits.seat(other).is_some(), other != wild);
            }
        }
    }

    #[test]
    fn the_total_counts_and_a_seat_is_free_again_when_dropped() {
        let limits = Limits::new(2, 2, 2, 2);
        let (pop3, imap) = (limits.seat(Protocol::Pop3).unwrap(), limits.seat(Protocol::Imap).unwrap());
        assert!(limits.seat(Protocol::Smtp).is_none());
        drop(imap);
        assert!(limits.seat(Protocol::Smtp).is_some());
        drop(pop3);
        let again = [limits.seat(Protocol::Pop3), limits.seat(Protocol::Pop3)];
        assert!(again.iter().all(Option::is_some), "a refused seat keeps nothing");
    }
}
