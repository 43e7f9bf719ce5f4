//! How far a connection has come with its login, for whoever gives out the seats.
//!
//! ```text
//!  Silent ──an offer──▶ OnTrial ──found right──▶ Right, for good: its seat is its own
//!    ▲                    │  ├──the app ends its direction──▶ HungUp, unless it is found right or goes upstream
//!    │                    │  └──goes upstream──▶ Shown ──▶ Right, Guessed or Silent
//!    └──nothing was told──┤
//!         Guessed ◀─wrong─┘
//! ```
//!
//! A connection is not cut while a password that may be wrong is upstream: the verdict would be lost, so that the next
//! one with the same password would show it again, and the provider, who counts them all, would lock the account.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The states, in the order in which connections lose their seats to newcomers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Its app says nothing more, and waits for an answer at most.
    HungUp,
    /// What it offered last was wrong.
    Guessed,
    /// It has offered nothing that anybody could judge.
    #[default]
    Silent,
    /// What it offers is being judged here, or waits for upstream's verdict on another connection.
    OnTrial,
    /// What it offers is upstream, and it keeps its seat until the verdict.
    Shown,
    /// It has shown a password that is right. It keeps its seat, whatever comes.
    Right,
}

/// One connection's; a clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    at: Mutex<At>,
    /// Cancelled when the connection is to be dropped where it stands.
    cut: CancellationToken,
    hung_up: CancellationToken,
}

#[derive(Debug, Default)]
struct At {
    reached: Reached,
    dismissed: bool,
}

impl Standing {
    /// A connection that has said nothing yet, and is over when `cut` is cancelled.
    pub fn new(cut: CancellationToken) -> Self {
        Self(Arc::new(Inner { at: Mutex::default(), cut, hung_up: CancellationToken::new() }))
    }

    /// How far it has come.
    pub fn reached(&self) -> Reached {
        self.at().reached
    }

    /// Notes how far it has come. What was right once stays right, and until then, or until what it offers is upstream,
    /// what hung up has hung up.
    pub fn reach(&self, reached: Reached) {
        let mut at = self.at();
        let settled = match at.reached {
            Reached::Right => true,
            Reached::Shown => reached == Reached::HungUp,
            Reached::HungUp => reached < Reached::Shown,
            _ => false,
        };
        if !settled {
            at.reached = reached;
        }
    }

    /// What it offers goes upstream; until the value that comes back is dropped, or the verdict is noted.
    pub fn show(&self) -> Shown {
        self.reach(Reached::Shown);
        Shown(self.clone())
    }

    /// Its app has ended its direction while it waits for an answer.
    pub fn hang_up(&self) {
        self.reach(Reached::HungUp);
        self.0.hung_up.cancel();
    }

    /// Returns once the app has ended its direction while it waited.
    pub async fn hung_up(&self) {
        self.0.hung_up.cancelled().await;
    }

    /// Takes its seat away: it is to be dropped where it stands. `false`, and nothing happens, once it was right, and
    /// while what it offers is upstream.
    pub fn dismiss(&self) -> bool {
        let mut at = self.at();
        if at.reached >= Reached::Shown {
            return false;
        }
        at.dismissed = true;
        drop(at);
        self.0.cut.cancel();
        true
    }

    /// Whether it was dropped for want of a seat.
    pub fn is_dismissed(&self) -> bool {
        self.at().dismissed
    }

    /// The outcome of `stay`; `None` where the connection was to be dropped before.
    pub async fn until_cut<F: Future>(&self, stay: F) -> Option<F::Output> {
        self.0.cut.run_until_cancelled(stay).await
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.0.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection offers, while it is upstream.
#[derive(Debug)]
pub struct Shown(Standing);

/// There was no verdict, or it was noted before.
impl Drop for Shown {
    fn drop(&mut self) {
        let mut at = self.0.at();
        if at.reached == Reached::Shown {
            at.reached = Reached::Silent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_once_stays_right_and_keeps_its_seat() {
        let standing = Standing::default();
        for reached in [Reached::OnTrial, Reached::Guessed, Reached::Silent, Reached::HungUp, Reached::Right]
        {
            standing.reach(reached);
            assert_eq!(standing.reached(), reached);
        }
        standing.reach(Reached::Guessed);
        standing.hang_up();
        assert_eq!(standing.reached(), Reached::Right);
        assert!(!standing.dismiss() && !standing.is_dismissed());
    }

    #[test]
    fn who_hung_up_is_known_by_it_whatever_its_password_is_found_to_be_but_right() {
        let standing = Standing::default();
        standing.hang_up();
        for reached in [Reached::OnTrial, Reached::Guessed, Reached::Silent] {
            standing.reach(reached);
            assert_eq!(standing.reached(), Reached::HungUp);
        }
    }

    #[test]
    fn what_is_upstream_keeps_its_seat_until_the_verdict() {
        for hung_up in [false, true] {
            let standing = Standing::default();
            if hung_up {
                standing.hang_up();
            }
            let shown = standing.show();
            standing.hang_up();
            assert_eq!(standing.reached(), Reached::Shown);
            assert!(!standing.dismiss() && !standing.is_dismissed());
            drop(shown);
            assert_eq!(standing.reached(), Reached::Silent, "there was none");
            for verdict in [Reached::Guessed, Reached::Right] {
                let shown = standing.show();
                standing.reach(verdict);
                drop(shown);
                assert_eq!(standing.reached(), verdict);
            }
        }
    }

    #[tokio::test]
    async fn whoever_is_dismissed_is_dropped_where_it_stands() {
        let standing = Standing::default();
        assert_eq!(standing.until_cut(async { 7 }).await, Some(7));
        assert!(standing.dismiss() && standing.is_dismissed());
        assert_eq!(standing.until_cut(std::future::pending::<()>()).await, None);
    }
}
