//! What upstream thought of the passwords it was shown: so that it sees a wrong one once.
//!
//! Passwords are known by a keyed hash whose key lives and dies with the process. The hashes are compared like
//! any octets: without the key nobody can choose what they will be.
//!
//! ```text
//!  unknown ──shown──▶ on trial ──accepted──▶ good (always passes)
//!     ▲                  │  └────refused───▶ refused, for 1 minute, 2, 4 ... 10
//!     └──no verdict──────┘                      └──time over──▶ may be shown again: it may have become right
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::mail::Secret;

/// Distinct passwords of an account that go upstream within [`MINUTE`] and are not taken: typing errors and their
/// cure fit, and a guesser gets a provider to lock no account.
const DISTINCT: usize = 3;

const MINUTE: Duration = Duration::from_secs(60);

/// How long a password stays refused the first time; doubles each further time. An app with an old password that
/// asks every minute must not get the account locked.
const REFUSED_FIRST: Duration = MINUTE;

/// And at most: who cures it at the provider (app passwords switched on, say) should not have to restart us.
const REFUSED_AT_MOST: Duration = Duration::from_secs(600);

/// Refused passwords remembered. No more than [`DISTINCT`] a minute get in, and they leave after some twenty.
const REMEMBERED: usize = 64;

/// What an account's login is for: a provider may allow one and refuse the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// IMAP upstream.
    Reading,
    /// Submission upstream.
    Submission,
}

/// The verdicts on one account's passwords.
#[derive(Clone)]
pub(super) struct Verdicts {
    key: Arc<hmac::Key>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// The last good one of each purpose.
    good: Vec<Print>,
    refused: Vec<Refused>,
    /// What went upstream in the last minute and was not taken, each once.
    shown: VecDeque<(Instant, [u8; 32])>,
    /// What is upstream right now.
    on_trial: Vec<Tried>,
    /// Trials so far.
    trials: u64,
}

struct Tried {
    number: u64,
    print: Print,
    /// Cancelled when it comes back.
    done: CancellationToken,
}

/// A secret without the secret: its keyed hash.
#[derive(Clone, Copy)]
pub(super) struct Mark(hmac::Tag);

impl Mark {
    /// Whether both are of the same secret.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

/// A password and what for, without the password.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Print {
    purpose: Purpose,
    hash: [u8; 32],
}

struct Refused {
    print: Print,
    until: Instant,
    times: u32,
}

/// What may be done with a password.
#[derive(Debug)]
pub(super) enum Judgement {
    /// It may go upstream.
    Show(Option<Arc<Trial>>),
    /// The same one is upstream right now: ask again when this token is cancelled.
    Await(CancellationToken),
    /// Upstream refused it, and is not asked again before this time has gone by.
    Refused(Duration),
    /// Others used up this minute's share.
    TooMany(Duration),
}

/// A password on its way to upstream's verdict; dropped without one, it is as if it had not been shown.
pub(super) struct Trial {
    verdicts: Verdicts,
    number: u64,
}

impl Verdicts {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = Arc::new(key.expect("a running system has random octets"));
        Self { key, known: Arc::default() }
    }

    /// Judges `secret`; `braked` where many different ones may be tried, that is where the app chooses it.
    pub(super) fn judge(&self, secret: &Secret, purpose: Purpose, braked: bool, now: Instant) -> Judgement {
        let print = self.print(secret, purpose);
        let mut known = self.known();
        if known.good.contains(&print) {
            return Judgement::Show(None);
        }
        if let Some(wait) = known.refused_for(&print, now) {
            return Judgement::Refused(wait);
        }
        if let Some(tried) = known.on_trial.iter().find(|tried| tried.print == print) {
            return Judgement::Await(tried.done.clone());
        }
        if let Some(wait) = known.share_used_up(&print, now).filter(|_| braked) {
            return Judgement::TooMany(wait);
        }
        let number = known.begin_trial(print, now);
        Judgement::Show(Some(Arc::new(Trial { verdicts: self.clone(), number })))
    }

    /// Upstream took it.
    pub(super) fn accepted(&self, secret: &Secret, purpose: Purpose) {
        let print = self.print(secret, purpose);
        let mut known = self.known();
        known.good.retain(|good| good.purpose != purpose);
        known.good.push(print);
        known.refused.retain(|refused| refused.print != print);
        // The share is for wrong ones.
        known.shown.retain(|(_, hash)| *hash != print.hash);
        known.end_trials(|tried| tried.print == print);
    }

    /// Upstream refused it.
    pub(super) fn refused(&self, secret: &Secret, purpose: Purpose, now: Instant) {
        let print = self.print(secret, purpose);
        let mut known = self.known();
        known.good.retain(|good| *good != print);
        known.refuse(print, now);
        known.end_trials(|tried| tried.print == print);
    }

    /// Whether both are the same, in a time that tells nothing about either, their lengths included.
    pub(super) fn same(&self, offered: &Secret, stored: &Secret) -> bool {
        self.is_of(offered, &self.mark(stored))
    }

    /// What `secret` is known again by, for as long as the process lives.
    pub(super) fn mark(&self, secret: &Secret) -> Mark {
        Mark(hmac::sign(&self.key, secret.expose()))
    }

    /// [`Verdicts::same`], where of the stored one only the mark is left.
    pub(super) fn is_of(&self, offered: &Secret, mark: &Mark) -> bool {
        hmac::verify(&self.key, offered.expose(), mark.0.as_ref()).is_ok()
    }

    fn print(&self, secret: &Secret, purpose: Purpose) -> Print {
        let mut hash = [0; 32];
        let tag = hmac::sign(&self.key, secret.expose());
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Print { purpose, hash }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn refused_for(&self, print: &Print, now: Instant) -> Option<Duration> {
        let refused = self.refused.iter().find(|refused| refused.print == *print)?;
        refused.until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// How long to wait until another distinct one may go.
    fn share_used_up(&mut self, print: &Print, now: Instant) -> Option<Duration> {
        self.shown.retain(|(at, _)| now.duration_since(*at) < MINUTE);
        if self.shown.len() < DISTINCT || self.shown.iter().any(|(_, hash)| *hash == print.hash) {
            return None;
        }
        let (oldest, _) = self.shown.front()?;
        Some(MINUTE - now.duration_since(*oldest))
    }

    fn refuse(&mut self, print: Print, now: Instant) {
        // One that came back after this long begins anew.
        self.refused.retain(|refused| now < refused.until + REFUSED_AT_MOST);
        let before = self.refused.iter().position(|refused| refused.print == print);
        let times = before.map_or(0, |at| self.refused.remove(at).times);
        if self.refused.len() >= REMEMBERED {
            self.refused.remove(0); // The one refused longest ago.
        }
        let wait = REFUSED_FIRST.saturating_mul(2_u32.saturating_pow(times)).min(REFUSED_AT_MOST);
        self.refused.push(Refused { print, until: now + wait, times: times.saturating_add(1) });
    }

    fn begin_trial(&mut self, print: Print, now: Instant) -> u64 {
        if !self.shown.iter().any(|(_, hash)| *hash == print.hash) {
            self.shown.push_back((now, print.hash));
        }
        self.trials += 1;
        self.on_trial.push(Tried { number: self.trials, print, done: CancellationToken::new() });
        self.trials
    }

    fn end_trials(&mut self, ended: impl Fn(&Tried) -> bool) {
        self.on_trial.retain(|tried| {
            let ended = ended(tried);
            if ended {
                tried.done.cancel();
            }
            !ended
        });
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.verdicts.known().end_trials(|tried| tried.number == self.number);
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verdicts")
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trial")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Purpose::{Reading, Submission};

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    fn shows(verdicts: &Verdicts, text: &str, now: Instant) -> bool {
        matches!(verdicts.judge(&secret(text), Reading, true, now), Judgement::Show(_))
    }

    #[test]
    fn upstream_sees_a_wrong_one_once_and_later_again() {
        let (verdicts, now) = (Verdicts::new(), Instant::now());
        assert!(shows(&verdicts, "old", now));
        verdicts.refused(&secret("old"), Reading, now);
        for (after, wait) in [(0, 60), (59, 1)] {
            match verdicts.judge(&secret("old"), Reading, true, now + Duration::from_secs(after)) {
                Judgement::Refused(left) => assert_eq!(left.as_secs(), wait),
                other => panic!("{other:?}"),
            }
        }
        let mut later = now + MINUTE;
        for wait in [120, 240, 480, 600, 600] {
            assert!(shows(&verdicts, "old", later));
            verdicts.refused(&secret("old"), Reading, later);
            assert!(!shows(&verdicts, "old", later + Duration::from_secs(wait - 1)));
            later += Duration::from_secs(wait);
        }
        assert!(shows(&verdicts, "old", later));
    }

    #[test]
    fn three_distinct_ones_a_minute_and_the_good_one_always() {
        let (verdicts, now) = (Verdicts::new(), Instant::now());
        assert!(shows(&verdicts, "good", now));
        verdicts.accepted(&secret("good"), Reading);
        for guess in ["a", "b", "x"] {
            assert!(shows(&verdicts, guess, now));
            verdicts.refused(&secret(guess), Reading, now);
        }
        let judgement = verdicts.judge(&secret("c"), Reading, true, now + Duration::from_secs(10));
        assert!(matches!(judgement, Judgement::TooMany(wait) if wait.as_secs() == 50), "{judgement:?}");
        assert!(shows(&verdicts, "good", now));
        assert!(shows(&verdicts, "c", now + MINUTE));
    }

    #[test]
    fn ten_thousand_wrong_ones_take_no_memory_to_speak_of() {
        let (verdicts, start) = (Verdicts::new(), Instant::now());
        let mut upstream = 0;
        for number in 0..10_000_u32 {
            let (guess, now) = (number.to_string(), start + Duration::from_secs(number.into()));
            if shows(&verdicts, &guess, now) {
                upstream += 1;
                verdicts.refused(&secret(&guess), Reading, now);
            }
        }
        assert!(upstream <= 3 * 10_000 / 60 + 3, "{upstream}");
        let known = verdicts.known();
        assert!(
            known.refused.len() <= REMEMBERED && known.shown.len() <= DISTINCT && known.on_trial.is_empty()
        );
    }

    #[test]
    fn the_same_one_waits_for_the_verdict_on_the_first() {
        let (verdicts, now) = (Verdicts::new(), Instant::now());
        let Judgement::Show(Some(trial)) = verdicts.judge(&secret("x"), Reading, true, now) else { panic!() };
        let Judgement::Await(done) = verdicts.judge(&secret("x"), Reading, true, now) else { panic!() };
        assert!(!done.is_cancelled());
        verdicts.refused(&secret("x"), Reading, now);
        assert!(done.is_cancelled());
        drop(trial);
        assert!(matches!(verdicts.judge(&secret("x"), Reading, true, now), Judgement::Refused(_)));
    }

    #[test]
    fn no_verdict_is_no_refusal() {
        let (verdicts, now) = (Verdicts::new(), Instant::now());
        for _ in 0..10 {
            let Judgement::Show(Some(trial)) = verdicts.judge(&secret("x"), Reading, true, now) else {
                panic!()
            };
            drop(trial); // Upstream could not be reached.
        }
        assert!(verdicts.known().on_trial.is_empty());
        assert_eq!(verdicts.known().shown.len(), 1);
    }

    #[test]
    fn an_old_trial_that_is_dropped_late_ends_no_new_one() {
        let (verdicts, now) = (Verdicts::new(), Instant::now());
        let Judgement::Show(Some(old)) = verdicts.judge(&secret("x"), Reading, true, now) else { panic!() };
        verdicts.refused(&secret("x"), Reading, now);
        let later = now + MINUTE;
        let Judgement::Show(Some(_new)) = verdicts.judge(&secret("x"), Reading, true, later) else {
            panic!()
        };
        drop(old);
        assert!(matches!(verdicts.judge(&secret("x"), Reading, true, later), Judgement::Await(_)));
    }

    #[test]
    fn a_refusal_of_submission_does_not_stop_reading() {
        let (verdicts, now) = (Verdicts::new(), Instant::now());
        verdicts.accepted(&secret("x"), Reading);
        verdicts.refused(&secret("x"), Submission, now);
        assert!(shows(&verdicts, "x", now));
        assert!(matches!(verdicts.judge(&secret("x"), Submission, true, now), Judgement::Refused(_)));
    }

    #[test]
    fn a_changed_password_takes_the_place_of_the_good_one() {
        let (verdicts, now) = (Verdicts::new(), Instant::now());
        verdicts.accepted(&secret("old"), Reading);
        verdicts.refused(&secret("old"), Reading, now);
        assert!(!shows(&verdicts, "old", now));
        verdicts.accepted(&secret("new"), Reading);
        assert!(shows(&verdicts, "new", now));
    }
}
