//! A moment by two clocks: only one of them runs while the machine sleeps, and only the other one never jumps.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Instant,
    clock: SystemTime,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self { at: Instant::now(), clock: SystemTime::now() }
    }

    /// Whether it is less than `time` ago by both; it is not where the clock was set back since.
    pub fn is_within(self, time: Duration) -> bool {
        self.at.elapsed() < time && self.clock.elapsed().is_ok_and(|age| age < time)
    }

    /// How long ago it is by the clock that never jumps.
    pub fn elapsed(self) -> Duration {
        self.at.elapsed()
    }

    /// How long ago it is by the one that says more.
    pub fn age(self) -> Duration {
        self.at.elapsed().max(self.clock.elapsed().unwrap_or_default())
    }

    /// The same with another time on the clock.
    #[cfg(test)]
    pub(crate) fn by_clock(self, set: impl FnOnce(SystemTime) -> SystemTime) -> Self {
        Self { clock: set(self.clock), ..self }
    }
}
