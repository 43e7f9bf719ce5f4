//! Makes guessing slow without making the right password slow.
//!
//! Only the answer "wrong" waits, and all wrong ones of a bridge are counted together, names of nobody among them: what
//! a guesser waits tells nothing about the name. A guesser who hangs up instead of waiting pays a connection a guess;
//! locking the account instead would let any program on this machine lock its owner out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong ones further apart than this do not add up.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A typing error costs a second, a loop four: well below the 30 seconds after which apps give up.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Counts the wrong ones of late.
#[derive(Debug, Default)]
pub(crate) struct Slow(Mutex<Late>);

#[derive(Debug, Default)]
struct Late {
    last: Option<Instant>,
    count: usize,
}

impl Slow {
    /// To be awaited before "wrong" is answered to what was offered at `offered`. What it took to judge that is part of
    /// the wait, so that it does not show.
    pub(crate) async fn wrong(&self, offered: Instant) {
        let wait = self.next(Instant::now());
        tokio::time::sleep_until(offered + wait).await;
    }

    fn next(&self, now: Instant) -> Duration {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = late.last.is_some_and(|last| now.duration_since(last) < FORGOTTEN);
        late.count = if recent { late.count.saturating_add(1) } else { 0 };
        late.last = Some(now);
        let [.., longest] = WAITS;
        WAITS.get(late.count).copied().unwrap_or(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_waits_longer_and_a_pause_forgives() {
        let slow = Slow::default();
        let now = Instant::now();
        let waits = (0..10_000).map(|_| slow.next(now).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits.get(..4), Some([1, 2, 4, 4].as_slice()));
        assert!(waits.iter().skip(2).all(|wait| *wait == 4));
        assert_eq!(slow.next(now + FORGOTTEN).as_secs(), 1);
    }
}
