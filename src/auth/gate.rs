//! The gate an app's password passes before anything goes upstream.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::credentials::Credentials;
use super::slow::Slow;
use super::stored;
use super::verdicts::{Judgement, Purpose, Trial, Verdicts};
use crate::mail::account::SecretSource;
use crate::mail::{Account, Secret};

/// A program that asks its user has this long; apps wait 30 to 60 seconds for the answer to a login.
const COMMAND: Duration = Duration::from_secs(25);

/// Programs of one account at once: a mail app opens a handful of connections at start.
const COMMANDS: usize = 4;

/// How long a login waits for the verdict on the same password; longer than a usual login takes upstream.
const TRIAL: Duration = Duration::from_secs(20);

/// Judges what an app offers, one for each account.
///
/// `secret = "app"`: upstream judges, but a password it refused is not shown to it again for some minutes, and at
/// most three distinct ones a minute are (the last good one always passes). Otherwise the offered secret must
/// equal the stored one, compared in constant time; a wrong one never goes upstream, and is slowed. A stored one
/// that upstream refused is not shown to it again for some minutes either.
#[derive(Debug)]
pub struct Gate {
    verdicts: Verdicts,
    slow: Slow,
    commands: Semaphore,
}

/// Why nothing goes upstream.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The app's secret is not the one of this account.
    #[error("the password is wrong")]
    Wrong,
    /// Upstream refused this very password of the app's of late.
    #[error(
        "the provider refused this password; another one is tried at once, this one again in {} seconds",
        wait.as_secs()
    )]
    Resting {
        /// When it is shown upstream again.
        wait: Duration,
    },
    /// Too many wrong passwords in the last minute.
    #[error("too many wrong passwords, try again in {} seconds", wait.as_secs())]
    TooMany {
        /// When the next one is looked at.
        wait: Duration,
    },
    /// The app's secret is right, but upstream refused the stored password of late; needs the user.
    #[error(
        "the provider refused the stored password; correct it, it is tried again in {} seconds",
        wait.as_secs()
    )]
    Refused {
        /// When it is shown upstream again.
        wait: Duration,
    },
    /// The stored secret could not be read; needs the user.
    #[error("the stored password cannot be read: {reason}")]
    Unreadable {
        /// One plain clause without the secret.
        reason: String,
    },
}

/// What upstream may be shown. Dropped before [`Gate::accepted`] or [`Gate::refused`], it means that upstream gave
/// no verdict; others with the same password wait for that.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What to show.
    pub credentials: Credentials,
    purpose: Purpose,
    _trial: Option<std::sync::Arc<Trial>>,
}

impl Gate {
    /// A gate that saw nothing yet.
    pub fn new() -> Self {
        Self { verdicts: Verdicts::new(), slow: Slow::default(), commands: Semaphore::new(COMMANDS) }
    }

    /// What to show upstream for what the app offered.
    pub async fn admit(&self, account: &Account, offered: &Secret, purpose: Purpose) -> Result<Pass, Denied> {
        let Some(stored) = self.stored(&account.secret).await? else {
            return self.judge(offered, purpose, true).await;
        };
        if !self.verdicts.same(offered, &stored) {
            self.slow.wrong().await;
            return Err(Denied::Wrong);
        }
        self.judge(&stored, purpose, false).await
    }

    /// Upstream took it.
    pub fn accepted(&self, pass: &Pass) {
        if let Credentials::Password(secret) = &pass.credentials {
            self.verdicts.accepted(secret, pass.purpose);
        }
    }

    /// Upstream refused it.
    pub fn refused(&self, pass: &Pass) {
        if let Credentials::Password(secret) = &pass.credentials {
            self.verdicts.refused(secret, pass.purpose, Instant::now());
        }
    }

    /// `None` where the app's own is the provider's.
    async fn stored(&self, source: &SecretSource) -> Result<Option<Secret>, Denied> {
        let secret = match source {
            SecretSource::App => return Ok(None),
            SecretSource::Vault => Err("there is no vault yet".to_owned()),
            SecretSource::Env { secret, .. } => Ok(secret.clone()),
            SecretSource::File(path) => stored::from_file(path).await,
            SecretSource::Command(command) => {
                let _turn = self.commands.acquire().await; // Never closed, so it is always a turn.
                stored::from_command(command, COMMAND).await
            }
        };
        secret.map(Some).map_err(|reason| Denied::Unreadable { reason })
    }

    async fn judge(&self, secret: &Secret, purpose: Purpose, from_app: bool) -> Result<Pass, Denied> {
        let pass =
            |trial| Pass { credentials: Credentials::Password(secret.clone()), purpose, _trial: trial };
        loop {
            match self.verdicts.judge(secret, purpose, from_app, Instant::now()) {
                Judgement::Show(trial) => return Ok(pass(trial)),
                Judgement::Refused(wait) if from_app => return Err(Denied::Resting { wait }),
                Judgement::Refused(wait) => return Err(Denied::Refused { wait }),
                Judgement::TooMany(wait) => return Err(Denied::TooMany { wait }),
                // Upstream hangs with the first one: this one finds out for itself.
                Judgement::Await(verdict) => {
                    if timeout(TRIAL, verdict.cancelled()).await.is_err() {
                        return Ok(pass(None));
                    }
                }
            }
        }
    }
}

/// The secret an account's provider wants, where this machine has it: for `check`, which has no app to ask.
pub async fn stored_secret(account: &Account) -> Result<Option<Secret>, Denied> {
    Gate::new().stored(&account.secret).await
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use std::sync::Arc;

    fn account(secret: &str) -> Arc<Account> {
        let text = format!("[[account]]\naddress = \"ana@gmx.net\"\nsecret = {secret}\n");
        let settings = config::parse(&text, std::path::Path::new("test.toml")).expect("a good configuration");
        settings.accounts.first().cloned().expect("an account")
    }

    /// A variable that cargo sets for every test.
    const ENV: &str = "{ env = \"CARGO_PKG_NAME\" }";

    async fn offer(gate: &Gate, account: &Account, text: &str) -> Result<Pass, Denied> {
        gate.admit(account, &Secret::new(text), Purpose::Reading).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_apps_password_goes_upstream_until_upstream_refuses_it() {
        let (gate, account) = (Gate::new(), account("\"app\""));
        let pass = offer(&gate, &account, "old").await.expect("unknown");
        gate.refused(&pass);
        assert!(
            matches!(offer(&gate, &account, "old").await, Err(Denied::Resting { wait }) if wait.as_secs() == 60)
        );
        let pass = offer(&gate, &account, "new").await.expect("unknown");
        gate.accepted(&pass);
        assert!(offer(&gate, &account, "new").await.is_ok());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(offer(&gate, &account, "old").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_with_one_wrong_password_shows_it_once() {
        let (gate, account) = (Arc::new(Gate::new()), account("\"app\""));
        let first = offer(&gate, &account, "wrong").await.expect("unknown");
        let crowd = (0..20).map(|_| {
            let (gate, account) = (gate.clone(), account.clone());
            tokio::spawn(async move { offer(&gate, &account, "wrong").await })
        });
        let crowd = crowd.collect::<Vec<_>>();
        tokio::task::yield_now().await;
        gate.refused(&first);
        for one in crowd {
            assert!(matches!(one.await.expect("no panic"), Err(Denied::Resting { .. })));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_upstream_holds_up_nobody_for_ever() {
        let (gate, account) = (Gate::new(), account("\"app\""));
        let _first = offer(&gate, &account, "x").await.expect("unknown");
        assert!(offer(&gate, &account, "x").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_local_secret_never_goes_upstream_and_waits() {
        let (gate, account) = (Gate::new(), account(ENV));
        let start = Instant::now();
        for guess in ["", "footbridg", "footbridge ", "Footbridge"] {
            assert!(matches!(offer(&gate, &account, guess).await, Err(Denied::Wrong)), "{guess:?}");
        }
        assert!(start.elapsed() >= Duration::from_secs(1 + 2 + 4 + 4), "{:?}", start.elapsed());
        let start = Instant::now();
        assert!(offer(&gate, &account, "footbridge").await.is_ok());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stored_password_that_upstream_refused_rests_too() {
        let (gate, account) = (Gate::new(), account(ENV));
        let pass = offer(&gate, &account, "footbridge").await.expect("equal");
        gate.refused(&pass);
        assert!(matches!(offer(&gate, &account, "footbridge").await, Err(Denied::Refused { .. })));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(offer(&gate, &account, "footbridge").await.is_ok());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_that_fails_is_unreadable() {
        let account = Account {
            secret: SecretSource::Command(Arc::new(["false".to_owned()])),
            ..(*account(ENV)).clone()
        };
        let denied = offer(&Gate::new(), &account, "x").await.expect_err("no secret");
        assert!(matches!(denied, Denied::Unreadable { .. }), "{denied}");
    }

    #[test]
    fn debug_prints_no_secret() {
        let pass = Pass {
            credentials: Credentials::Password(Secret::new("CANARY")),
            purpose: Purpose::Reading,
            _trial: None,
        };
        assert!(!format!("{pass:?}{:?}", Gate::new()).contains("CANARY"));
    }
}
