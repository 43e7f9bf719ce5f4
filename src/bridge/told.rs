//! Refused logins in the log: what its user has to know once, not at each of an app's attempts.

use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::refusal::{LoginError, Refusal};
use crate::auth::{Denied, NoToken};
use crate::mail::Account;
use crate::upstream::UpstreamError;

/// Wrong passwords are told once in this time: somebody may be guessing, and fills no log.
const AGAIN: Duration = Duration::from_secs(60);

/// What was told of an account last, of each kind, the newest at the end: two programs that are refused for two reasons,
/// or a guesser who knows how to get two answers, make no news by taking turns.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Vec<Last>>);

#[derive(Debug)]
struct Last {
    kind: Kind,
    told: Instant,
    /// Refusals of this kind since, told at debug level only.
    since: u64,
}

/// Waiting times make no news, and neither does the account, which is always the same one.
type Kind = (Discriminant<LoginError>, Option<Discriminant<Denied>>);

impl Told {
    /// Logs the refusal, more quietly where it is no news.
    pub(super) fn tell(&self, error: &LoginError) {
        let Some(since) = self.is_news(error, Instant::now()) else {
            debug!("login refused again: {error}");
            return;
        };
        let more =
            if since > 0 { format!(" ({since} more since this was last told)") } else { String::new() };
        if needs_user(error) {
            warn!("login refused: {error}{more}");
        } else {
            info!("login refused: {error}{more}");
        }
    }

    /// Logs what upstream made of a login, in the words of the app; that somebody has to sign in is news once, whoever
    /// finds it out.
    pub(super) fn tell_fault(&self, error: &UpstreamError, account: &Account) {
        let sentence = error.sentence(account);
        let denied = match error {
            UpstreamError::NoToken(NoToken::SignIn { reason }) => {
                Denied::SignIn { address: account.address.clone(), reason: reason.clone() }
            }
            _ => {
                warn!("{sentence}");
                return;
            }
        };
        let known = LoginError::Denied { address: account.address.clone(), denied };
        match self.is_news(&known, Instant::now()) {
            Some(_) => warn!("{sentence}"),
            None => debug!("login refused again: {sentence}"),
        }
    }

    /// Whatever comes next is news.
    pub(super) fn over(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Where it is: the refusals that went by untold since the last time.
    fn is_news(&self, error: &LoginError, now: Instant) -> Option<u64> {
        let denied = match error {
            LoginError::NoAccount | LoginError::NothingGiven { .. } => None,
            LoginError::Denied { denied, .. } => Some(discriminant(denied)),
        };
        let kind = (discriminant(error), denied);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = all.iter().position(|last| last.kind == kind) else {
            all.push(Last { kind, told: now, since: 0 }); // There are as many as kinds.
            return Some(0);
        };
        let newest = at + 1 == all.len();
        let mut last = all.remove(at);
        let recent = now.duration_since(last.told) < AGAIN;
        // It stays so until somebody does something, and then a login works or something else is said.
        if recent || (needs_user(error) && newest) {
            last.since += 1;
            all.insert(at, last);
            return None;
        }
        all.push(Last { kind, told: now, since: 0 });
        Some(last.since)
    }
}

/// Whether the user has to do something that no other password of the app's would do.
fn needs_user(error: &LoginError) -> bool {
    matches!(error.refusal(), Refusal::NeedsUser | Refusal::SignIn)
        || matches!(error, LoginError::Denied { denied: Denied::NoPassword { .. }, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(denied: Denied) -> LoginError {
        LoginError::Denied { address: "ana@gmx.net".into(), denied }
    }

    #[tokio::test(start_paused = true)]
    async fn a_guesser_gets_a_line_a_minute_with_the_number_of_guesses() {
        let (told, now) = (Told::default(), Instant::now());
        let at = |seconds| told.is_news(&denied(Denied::Wrong), now + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(0));
        assert!((0..10_000).all(|_| at(59).is_none()));
        assert_eq!(at(60), Some(10_000));
        assert_eq!(at(60), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_user_has_to_do_is_told_once_until_it_is_done() {
        let (told, now) = (Told::default(), Instant::now());
        let later = now + Duration::from_secs(100_000);
        let refused = |seconds| denied(Denied::Refused { wait: Duration::from_secs(seconds) });
        let missing = || denied(Denied::NoPassword { address: "ana@gmx.net".into() });
        for error in
            [missing as fn() -> LoginError, || denied(Denied::Closed { reason: "it is damaged".into() })]
        {
            assert!(told.is_news(&error(), now).is_some());
            assert_eq!(told.is_news(&error(), later), None);
        }
        assert!(told.is_news(&refused(60), now).is_some());
        assert_eq!(told.is_news(&refused(59), now), None);
        assert!(told.is_news(&missing(), later).is_some(), "something else was said between");
        told.over();
        assert!(told.is_news(&missing(), later).is_some());
    }

    /// With `secret = "app"` neither answer is slowed: a guesser who alternates would fill the log.
    #[tokio::test(start_paused = true)]
    async fn reasons_that_take_turns_get_a_line_a_minute_each() {
        let (told, now) = (Told::default(), Instant::now());
        let wait = Duration::from_secs(1);
        let turns = (0..10_000).map(|number| match number % 2 {
            0 => denied(Denied::Resting { wait }),
            _ => denied(Denied::TooMany { wait }),
        });
        let lines = turns.filter(|error| told.is_news(error, now).is_some()).count();
        assert_eq!(lines, 2);
        assert_eq!(told.is_news(&denied(Denied::Resting { wait }), now + AGAIN), Some(4999));
    }
}
