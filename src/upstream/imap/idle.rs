//! A session that nobody asks for a while: it listens, so that its end is known at once and not at the next command. What
//! it hears has an end: a provider that goes on and on is left.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::conversation::{Conversation, Octets};

/// How long a session that was left alone has for the first octet of its next answer: an app that waits gives up after
/// some half a minute, and a fresh session has to be made in that.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Who asks again sooner than this is in the middle of something, and upstream has all the time that it usually has.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Octets that upstream may say unasked between two commands: news of some ten thousand messages.
const UNASKED: u64 = 1 << 20;

impl<S: Octets> Conversation<S> {
    /// What is asked next; `None` where nobody will, or where upstream has ended the session. `held`: nobody has the
    /// session meanwhile.
    pub async fn until_asked<A>(&mut self, asks: &mut mpsc::Receiver<A>, held: bool) -> Option<A> {
        let since = Instant::now();
        tokio::select! {
            biased;
            reason = self.ended_unasked() => {
                tracing::debug!(reason, "a session that was left alone is over");
                None
            }
            // Not by tokio's budget: listening may have spent all of it.
            ask = unconstrained(asks.recv()) => {
                if held {
                    self.wire().expect_sign_of_life(SIGN_OF_LIFE);
                } else {
                    self.was_left_alone(since);
                }
                ask
            }
        }
    }

    /// Nobody has asked anything since then.
    pub(super) fn was_left_alone(&mut self, since: Instant) {
        if since.elapsed() >= LEFT_ALONE {
            self.wire().expect_sign_of_life(SIGN_OF_LIFE);
        }
    }

    /// Why the session is over.
    async fn ended_unasked(&mut self) -> String {
        let before = self.wire().received();
        loop {
            if let Err(error) = self.wire().unasked().await {
                return error.to_string();
            }
            if self.wire().received() - before > UNASKED {
                return "it says more than anybody asked for".to_owned();
            }
            if let Some(bye) = &self.heard().bye {
                return bye.clone();
            }
            // News of messages, of which the next command will ask.
            self.wire_at_start();
        }
    }
}
