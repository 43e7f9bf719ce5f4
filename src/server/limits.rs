//! How many apps may be here at the same time, and who gives way when there are more.
//!
//! ```text
//!  a newcomer ──a seat is free──▶ takes it
//!             └─none is─────────▶ takes the seat of a connection without a login: of one whose app hung up, of a
//!                                 guesser, of a silent one, of one on trial, in this order, the oldest first
//!                             └─▶ all have one, or are before the provider with what they offer: refused
//! ```
//!
//! So neither guessers nor silent connections, however many, keep out the right password; and a newcomer, however many
//! they are, takes nothing from whoever has shown it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::protocol::Protocol;
use crate::bridge::{Reached, Standing};

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

/// Connections of each other user who is let in: whoever goes wild leaves three quarters of all to the others.
pub(super) const OF_ONE_USER: usize = 100;

/// The seats; a clone has the same ones.
#[derive(Clone, Debug)]
pub(super) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    pop3: usize,
    imap: usize,
    smtp: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    /// Seats given so far.
    given: u64,
    /// The oldest first.
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    kind: Kind,
    user: Option<u32>,
    standing: Standing,
}

/// A protocol, with TLS or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pop3,
    Imap,
    Smtp,
}

/// A place of a connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    limits: Limits,
    number: u64,
    /// Another connection had to give way.
    pub(super) from_another: bool,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// This user has as many as one may.
    OfUser(u32),
    /// Connections that are logged in, or before the provider with what they offer, have them all.
    All,
}

impl Limits {
    /// `total` in all; `pop3`, `imap` and `smtp` of each protocol.
    pub(super) fn new(total: usize, pop3: usize, imap: usize, smtp: usize) -> Self {
        Self(Arc::new(Inner { total, pop3, imap, smtp, seats: Mutex::default() }))
    }

    /// A seat, free or taken from a connection that has to give way. `user` is another user than the bridge's own, who
    /// takes none from the bridge's own.
    pub(super) fn seat(
        &self,
        protocol: Protocol,
        user: Option<u32>,
        standing: &Standing,
    ) -> Result<Seat, Full> {
        let kind = Kind::of(protocol);
        let mut seats = self.seats();
        let all_of = |kind| seats.taken.values().filter(|taken| taken.kind == kind).count();
        let all_of_user = seats.taken.values().filter(|taken| taken.user == user).count();
        let full = Filled {
            user: user.filter(|_| all_of_user >= OF_ONE_USER),
            kind: Some(kind).filter(|kind| all_of(*kind) >= self.most(*kind)),
            all: seats.taken.len() >= self.0.total,
        };
        let from_another = full.is_any();
        if from_another {
            seats.clear_one(&full, user.is_some()).ok_or(full.user.map_or(Full::All, Full::OfUser))?;
        }
        seats.given += 1;
        let number = seats.given;
        seats.taken.insert(number, Taken { kind, user, standing: standing.clone() });
        Ok(Seat { limits: self.clone(), number, from_another })
    }

    fn most(&self, kind: Kind) -> usize {
        match kind {
            Kind::Pop3 => self.0.pop3,
            Kind::Imap => self.0.imap,
            Kind::Smtp => self.0.smtp,
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has no free seat: the newcomer's user, its protocol, all.
struct Filled {
    user: Option<u32>,
    kind: Option<Kind>,
    all: bool,
}

impl Filled {
    fn is_any(&self) -> bool {
        self.user.is_some() || self.kind.is_some() || self.all
    }

    /// Whether this one's seat would help.
    fn eases(&self, taken: &Taken) -> bool {
        (self.user.is_none() || self.user == taken.user) && self.kind.is_none_or(|kind| kind == taken.kind)
    }
}

impl Seats {
    /// Dismisses the first that has to give way; `None` where none has.
    fn clear_one(&mut self, full: &Filled, for_another_user: bool) -> Option<()> {
        loop {
            let may = |taken: &Taken| {
                full.eases(taken)
                    && taken.standing.reached() < Reached::Shown
                    && (taken.user.is_some() || !for_another_user)
            };
            let candidates = self.taken.iter().filter(|(_, taken)| may(taken));
            let (number, _) =
                candidates.min_by_key(|(number, taken)| (taken.standing.reached(), **number))?;
            let number = *number;
            // It may have been found right a moment ago: then the next one.
            if self.taken.get(&number).is_some_and(|taken| taken.standing.dismiss()) {
                self.taken.remove(&number);
                return Some(());
            }
        }
    }
}

impl Kind {
    fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Pop3 | Protocol::Pop3s => Self::Pop3,
            Protocol::Imap | Protocol::Imaps => Self::Imap,
            Protocol::Smtp | Protocol::Smtps => Self::Smtp,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.limits.seats().taken.remove(&self.number);
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

    const ALL: [Protocol; 3] = [Protocol::Pop3, Protocol::Imap, Protocol::Smtp];

    /// A connection that has come this far, if it gets a seat.
    fn guest(
        limits: &Limits,
        protocol: Protocol,
        user: Option<u32>,
        reached: Reached,
    ) -> Result<(Seat, Standing), Full> {
        let standing = Standing::default();
        let seat = limits.seat(protocol, user, &standing)?;
        standing.reach(reached);
        Ok((seat, standing))
    }

    fn logged_in(limits: &Limits, protocol: Protocol) -> Result<(Seat, Standing), Full> {
        guest(limits, protocol, None, Reached::Right)
    }

    #[test]
    fn one_protocol_leaves_room_for_the_others() {
        for reached in [Reached::Right, Reached::Silent] {
            for wild in ALL {
                let limits = Limits::default();
                let taken: Vec<_> =
                    (0..1000).filter_map(|_| guest(&limits, wild, None, reached).ok()).collect();
                let seated = limits.seats().taken.len();
                assert!(seated < TOTAL && (reached == Reached::Right) == (taken.len() == seated));
                for other in ALL.into_iter().filter(|other| *other != wild) {
                    assert!(logged_in(&limits, other).is_ok_and(|(seat, _)| !seat.from_another));
                }
            }
        }
    }

    #[test]
    fn the_total_counts_and_a_seat_is_free_again_when_dropped() {
        let limits = Limits::new(2, 2, 2, 2);
        let pop3 = logged_in(&limits, Protocol::Pop3).unwrap();
        let imap = logged_in(&limits, Protocol::Imap).unwrap();
        assert_eq!(logged_in(&limits, Protocol::Smtp).map(|_| ()), Err(Full::All));
        drop(imap);
        assert!(logged_in(&limits, Protocol::Smtp).is_ok());
        drop(pop3);
        let again = [logged_in(&limits, Protocol::Pop3), logged_in(&limits, Protocol::Pop3)];
        assert!(again.iter().all(Result::is_ok), "a refused seat keeps nothing");
    }

    #[test]
    fn the_hung_up_give_way_first_then_guessers_then_the_silent_then_those_on_trial_the_oldest_first() {
        let limits = Limits::new(10, 10, 10, 10);
        let states = [Reached::OnTrial, Reached::Silent, Reached::Right, Reached::Guessed, Reached::HungUp];
        let guests = [states, states].concat();
        let guests: Vec<_> =
            guests.into_iter().map(|state| guest(&limits, Protocol::Pop3, None, state).unwrap()).collect();
        let mut newcomers = Vec::new();
        for next in [4, 9, 3, 8, 1, 6, 0, 5] {
            assert!(!guests[next].1.is_dismissed());
            newcomers.push(logged_in(&limits, Protocol::Pop3).unwrap());
            assert!(newcomers.last().is_some_and(|(seat, _)| seat.from_another));
            assert!(guests[next].1.is_dismissed(), "{next}");
            assert_eq!(limits.seats().taken.len(), 10);
        }
        assert_eq!(logged_in(&limits, Protocol::Pop3).map(|_| ()), Err(Full::All));
        assert!(!guests[2].1.is_dismissed() && !guests[7].1.is_dismissed());
        drop(guests);
        assert_eq!(limits.seats().taken.len(), 8, "whoever was dismissed frees no other's seat");
    }

    /// Where a protocol is full, a seat of another protocol is of no use.
    #[test]
    fn who_gives_way_is_of_the_protocol_that_is_full() {
        let limits = Limits::new(3, 1, 3, 3);
        let (_imap, silent) = guest(&limits, Protocol::Imap, None, Reached::Guessed).unwrap();
        let _pop3 = logged_in(&limits, Protocol::Pop3).unwrap();
        assert_eq!(logged_in(&limits, Protocol::Pop3s).map(|_| ()), Err(Full::All));
        assert!(!silent.is_dismissed());
        let _smtp = logged_in(&limits, Protocol::Smtp).unwrap();
        assert!(logged_in(&limits, Protocol::Smtps).is_ok() && silent.is_dismissed());
    }

    #[test]
    fn one_allowed_user_leaves_seats_to_the_others_and_takes_none_from_the_bridges_own() {
        let limits = Limits::default();
        let (_own, own) = guest(&limits, Protocol::Pop3, None, Reached::Silent).unwrap();
        let mut wild = Vec::new();
        for _ in 0..OF_ONE_USER {
            wild.push(guest(&limits, Protocol::Pop3, Some(7), Reached::Right).unwrap());
        }
        assert_eq!(
            guest(&limits, Protocol::Imap, Some(7), Reached::Silent).map(|_| ()),
            Err(Full::OfUser(7))
        );
        assert!(guest(&limits, Protocol::Pop3, Some(8), Reached::Silent).is_ok(), "another user's");
        wild.pop();
        let (_seat, silent) = guest(&limits, Protocol::Pop3, Some(7), Reached::Silent).unwrap();
        assert!(guest(&limits, Protocol::Imap, Some(7), Reached::Silent).is_ok());
        assert!(silent.is_dismissed() && !own.is_dismissed(), "the seat comes from the same user");
        drop(wild);
        let limits = Limits::new(1, 1, 1, 1);
        let (_own, own) = guest(&limits, Protocol::Pop3, None, Reached::Silent).unwrap();
        assert!(guest(&limits, Protocol::Pop3, Some(7), Reached::Silent).is_err() && !own.is_dismissed());
    }
}
