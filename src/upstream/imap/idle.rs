//! A session that nobody asks for a while: it listens, so that its end is known at once and not at the next command. What
//! it hears has an end: a provider that goes on and on is left.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::conversation::{Conversation, Octets};
use super::watch::Watch;

/// Who asks again sooner than this is in the middle of something, and upstream has all the time that it usually has.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Octets that upstream may say unasked between two commands: news of some ten thousand messages.
const UNASKED: u64 = 1 << 20;

impl<S: Octets> Conversation<S> {
    /// What is asked next; `None` where nobody will, or where upstream has ended the session. What a session that is held
    /// needs meanwhile is done; whoever asks in the midst of that is `next`.
    pub(super) async fn until_asked<A>(
        &mut self,
        asks: &mut mpsc::Receiver<A>,
        next: &mut VecDeque<A>,
        watch: &mut Watch,
    ) -> Option<A> {
        let since = Instant::now();
        loop {
            if let Some(ask) = next.pop_front() {
                return Some(ask);
            }
            let due = watch.due();
            tokio::select! {
                biased;
                heard = self.listen(watch) => {
                    if let Err(reason) = heard {
                        tracing::debug!(reason, "a session that was left alone is over");
                        return None;
                    }
                }
                // Not by tokio's budget: listening may have spent all of it.
                ask = unconstrained(asks.recv()) => {
                    if watch.is_held() {
                        self.wire().expect_sign_of_life();
                    } else {
                        self.was_left_alone(since);
                    }
                    return ask;
                }
                () = sleep_until(due.unwrap_or(since)), if due.is_some() => {}
            }
            let kept = tokio::select! {
                biased;
                kept = self.keep_in_time(watch) => kept,
                () = given_up(asks, next, Duration::ZERO) => return None,
            };
            if let Err(error) = kept {
                tracing::debug!(%error, "a session that is held was lost");
                return None;
            }
        }
    }

    /// Nobody has asked anything since then.
    pub(super) fn was_left_alone(&mut self, since: Instant) {
        if since.elapsed() >= LEFT_ALONE {
            self.wire().expect_sign_of_life();
        }
    }

    /// Returns where there is news in a mailbox that is watched.
    ///
    /// # Errors
    /// Why the session is over.
    pub(super) async fn listen(&mut self, watch: &mut Watch) -> Result<(), String> {
        let before = self.wire().received();
        loop {
            let text = self.wire().unasked().await.map_err(|error| error.to_string())?;
            if self.wire().received() - before > UNASKED {
                return Err("it says more than anybody asked for".to_owned());
            }
            if let Some(bye) = &self.heard().bye {
                return Err(bye.clone());
            }
            watch.hear(&text);
            // News of messages, of which the next command will ask.
            self.wire_at_start();
            if watch.is_idling() && !self.heard().open.is_as_listed() {
                return Ok(());
            }
        }
    }
}

/// Returns when nobody has the handle any more, and `unheard` later; what is asked until then comes next. An upstream
/// that never ends its answer keeps nothing for somebody who has left.
pub(super) async fn given_up<A>(asks: &mut mpsc::Receiver<A>, next: &mut VecDeque<A>, unheard: Duration) {
    // Not by tokio's budget: the answer may have spent all of it.
    while let Some(ask) = unconstrained(asks.recv()).await {
        next.push_back(ask);
    }
    // A timer would wait for the rest of its millisecond.
    if !unheard.is_zero() {
        tokio::time::sleep(unheard).await;
    }
}
