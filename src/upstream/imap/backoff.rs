//! How long upstream asks not to be asked (`[THROTTLED]`, `Suggested Backoff Time: 299961 milliseconds`), for all sessions
//! of an account.
//!
//! Providers that throttle count what comes in spite of it and throttle for longer, or lock the account. So until the
//! time is over no login and no FETCH goes upstream, and apps are told what upstream said; what the cache has is served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::completion::Completion;
use crate::mail::Account;
use crate::proto::imap::response::{Response, parse};
use crate::upstream::UpstreamError;

/// All accounts'; a clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Backoffs(Arc<Mutex<HashMap<Arc<str>, Backoff>>>);

impl Backoffs {
    /// One account's.
    pub fn of(&self, account: &Account) -> Backoff {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(account.address.as_str()) {
            return known.clone();
        }
        all.entry(account.address.as_str().into()).or_default().clone()
    }
}

/// One account's; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Backoff(Arc<Mutex<Option<Asked>>>);

#[derive(Debug)]
struct Asked {
    /// By two clocks, of which only the second runs while the machine sleeps; over when either says so.
    until: (Instant, SystemTime),
    /// Upstream's words.
    text: String,
}

impl Asked {
    fn left(&self) -> Duration {
        let (at, clock) = self.until;
        let left = at.saturating_duration_since(Instant::now());
        left.min(clock.duration_since(SystemTime::now()).unwrap_or_default())
    }
}

impl Backoff {
    /// What anybody is told who would ask upstream now; `None` where that may be.
    pub fn refuses(&self) -> Option<UpstreamError> {
        let mut asked = self.asked();
        let left = asked.as_ref()?.left();
        if left.is_zero() {
            *asked = None;
            return None;
        }
        let text = asked.as_ref()?.text.clone();
        Some(UpstreamError::Unavailable { text, wait: Some(left) })
    }

    /// The same as an error.
    ///
    /// # Errors
    /// [`UpstreamError::Unavailable`], with the time that is left.
    pub fn allows(&self) -> Result<(), UpstreamError> {
        self.refuses().map_or(Ok(()), Err)
    }

    /// Heeds what a login came to.
    pub fn heed<T>(&self, outcome: &Result<T, UpstreamError>) {
        if let Err(UpstreamError::Unavailable { text, wait: Some(wait) }) = outcome {
            self.wait(*wait, text);
        }
    }

    /// Heeds a NO, a BAD or a BYE.
    pub(super) fn heed_refusal(&self, said: &Completion) {
        if let Some(wait) = said.wait() {
            self.wait(wait, &said.text());
        }
    }

    /// Heeds what goes by to an app that is logged in for itself: `a1 NO [THROTTLED] later`, without its line end. Only
    /// what is said of the account as a whole: any other wait is about what that app wants.
    pub fn heed_line(&self, line: &[u8]) {
        if let Some(Response::Tagged { status, text, .. } | Response::Untagged { status, text }) = parse(line)
        {
            let said = Completion::new(status, &text);
            if said.throttles() {
                self.heed_refusal(&said);
            }
        }
    }

    fn wait(&self, wait: Duration, text: &str) {
        let mut asked = self.asked();
        if asked.as_ref().is_none_or(|asked| asked.left() < wait) {
            tracing::warn!(said = text, "the provider asks to wait {} s", wait.as_secs());
            let until = (Instant::now() + wait, SystemTime::now() + wait);
            *asked = Some(Asked { until, text: text.to_owned() });
        }
    }

    fn asked(&self) -> MutexGuard<'_, Option<Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_to_wait(seconds: u64) -> Result<(), UpstreamError> {
        Err(UpstreamError::Unavailable {
            text: "slow down".to_owned(),
            wait: Some(Duration::from_secs(seconds)),
        })
    }

    fn left(backoff: &Backoff) -> Option<u64> {
        match backoff.refuses()? {
            UpstreamError::Unavailable { wait: Some(wait), .. } => Some(wait.as_secs_f64().round() as u64),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_that_was_asked_for_holds() {
        let backoff = Backoff::default();
        assert!(backoff.allows().is_ok());
        backoff.heed(&asked_to_wait(30));
        backoff.heed(&asked_to_wait(10));
        assert_eq!(left(&backoff), Some(30));
        tokio::time::sleep(Duration::from_secs(25)).await;
        assert_eq!(left(&backoff), Some(5));
        backoff.heed(&Err::<(), _>(UpstreamError::Gone));
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(left(&backoff), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_by_to_an_app_counts_where_it_is_about_the_account() {
        let (long, short, none) = (Some(300), Some(60), None);
        for (line, waits) in [
            ("a1 NO Request is throttled. Suggested Backoff Time: 300000 milliseconds", long),
            ("* BYE [THROTTLED] later", short),
            ("a1 NO [throttled] later", short),
            ("a1 NO [INUSE] Another program has this folder, try again in 5 minutes", none),
            ("a1 NO", none),
            ("throttled", none),
        ] {
            let backoff = Backoff::default();
            backoff.heed_line(line.as_bytes());
            assert_eq!(left(&backoff), waits, "{line}");
        }
    }
}
