//! A connection that an app left alone for a while, between two messages or within an envelope: it may be gone without a
//! word, in a machine that slept or behind a router that forgot it, and MAIL, RCPT and DATA may be answered late
//! (RFC 5321 §4.5.3.2: minutes). So it shows first that it lives. In the midst of things nothing is asked.

use std::time::Duration;

use super::{Submission, UpstreamError};

/// Who goes on sooner than this is in the midst of something.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// How long the answer to NOOP may take, which needs no work: an app that waits gives up after some half a minute, and a
/// fresh connection has to be made in that.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

impl Submission {
    /// Has upstream say that it is there, if it said nothing for a while.
    ///
    /// # Errors
    /// [`UpstreamError::Lost`] where it does not, and nothing was asked of it.
    pub(super) async fn still_there(&mut self, command: &'static str) -> Result<(), UpstreamError> {
        // A clock that was set costs a NOOP, whichever way.
        if self.spoke.is_within(LEFT_ALONE) {
            return Ok(());
        }
        match self.ask("NOOP\r\n", command, SIGN_OF_LIFE).await {
            // Whatever it says about NOOP, it speaks.
            Ok(_) => Ok(()),
            Err(UpstreamError::TimedOut { .. }) => {
                tracing::debug!("the connection to send through has died in silence");
                Err(UpstreamError::Lost { command })
            }
            Err(error) => Err(error),
        }
    }

    /// The machine slept for so long: only one of its clocks went on.
    #[cfg(test)]
    pub(super) fn sleep(&mut self, time: Duration) {
        self.spoke = self.spoke.by_clock(|clock| clock - time);
    }
}
