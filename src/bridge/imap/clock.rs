//! One timer a session, touched seldom: bulk moves every deadline a thousand times a second.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug)]
pub(super) struct Clock {
    alarm: Pin<Box<Sleep>>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { alarm: Box::pin(sleep_until(Instant::now())) }
    }

    /// `Ready` when it is time to look at the deadlines again, at `due` or before: an alarm that was set for earlier is
    /// let ring rather than set anew.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        if self.alarm.is_elapsed() || due < self.alarm.deadline() {
            self.alarm.as_mut().reset(due);
        }
        self.alarm.as_mut().poll(cx)
    }
}
