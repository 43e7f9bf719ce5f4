//! The gate an app's password passes before anything goes upstream.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::asked::{Asked, Recalled};
use super::credentials::{Credentials, NoToken};
use super::oauth::{State, Tokens};
use super::password::Verdict;
use super::proof::Proof;
use super::standing::{Reached, Shown, Standing};
use super::stored;
use super::stores::Stores;
use super::verdicts::{Judgement, Purpose, Trial, Verdicts};
use crate::mail::account::{Auth, SecretSource};
use crate::mail::oauth2::Grant;
use crate::mail::{Account, Secret};

/// What only a bridge without accounts that need it has not.
const NO_PLACE: &str = "there is no place for it on this machine; name a folder with --state DIR";

/// How long a login waits for the verdict on the same password; longer than a usual login takes upstream.
const TRIAL: Duration = Duration::from_secs(20);

/// How long such a wait that was in vain and the attempt of its own behind it take together: apps give up after 30
/// seconds.
const ANSWERED: Duration = Duration::from_secs(28);

/// Judges what an app offers, one for each account.
///
/// `secret = "app"`: upstream judges, but a password it refused is not shown to it again for some minutes, and at
/// most three distinct ones a minute are (the last good one always passes). Otherwise the app has to offer one of the
/// account's bridge passwords or, while there is none, the stored secret itself; compared in constant time. A wrong
/// one never goes upstream; whoever answers the app slows it. A stored one that upstream refused is not shown to it again for some
/// minutes either.
#[derive(Debug)]
pub struct Gate {
    stores: Stores,
    verdicts: Verdicts,
    /// Where the secret is a command's.
    asked: Asked,
    /// With OAuth2.
    tokens: OnceLock<Option<Tokens>>,
}

/// Why nothing goes upstream.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The app's secret is not the one of this account.
    #[error("the password is wrong")]
    Wrong,
    /// The account needs a bridge password and has none. The app is told that its password is wrong.
    #[error("there is no bridge password yet; run: footbridge account password {address}")]
    NoPassword {
        /// The account.
        address: String,
    },
    /// Whether the app's secret is right cannot be told; needs the user.
    #[error("{reason}")]
    Closed {
        /// A sentence with its cure.
        reason: String,
    },
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
    /// The app's secret is right, but upstream refused the access tokens of late; needs the user.
    #[error(
        "the provider refused the sign-in; run: footbridge account sign-in {address}; else it is tried again in {} seconds",
        wait.as_secs()
    )]
    TokenRefused {
        /// The account.
        address: String,
        /// When one is shown upstream again.
        wait: Duration,
    },
    /// The app's secret is right, but there is nothing to show upstream until the user signs in.
    #[error("{reason}; run: footbridge account sign-in {address}")]
    SignIn {
        /// The account.
        address: String,
        /// What happened: one plain clause without a secret.
        reason: String,
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
    /// For what an earlier login left.
    pub proof: Proof,
    /// When upstream has to have answered, where the login waited in vain for another's verdict.
    pub answered_by: Option<Instant>,
    /// What the verdict will be about.
    judged: Secret,
    purpose: Purpose,
    _trial: Option<Arc<Trial>>,
    /// Whose connection is not cut before that, where the app chose the secret.
    _shown: Option<Arc<Shown>>,
}

impl Gate {
    /// A gate that saw nothing yet.
    pub fn new(stores: Stores) -> Self {
        Self { stores, verdicts: Verdicts::new(), asked: Asked::default(), tokens: OnceLock::new() }
    }

    /// What to show upstream for what the app offered. As soon as that is found right, `standing` has it.
    pub async fn admit(
        &self,
        account: &Account,
        offered: &Secret,
        purpose: Purpose,
        standing: &Standing,
    ) -> Result<Pass, Denied> {
        if matches!(account.secret, SecretSource::App) {
            return self.judge(offered, purpose, Some(standing)).await;
        }
        let verdict = self.stores.passwords.judge(&account.address, offered);
        match verdict.map_err(|error| Denied::Closed { reason: error.to_string() })? {
            Verdict::Wrong => return Err(Denied::Wrong),
            Verdict::NoneYet if opens_itself(account) => {
                let stored = self.opened_by(offered, account).await?;
                standing.reach(Reached::Right);
                return self.judge(&stored, purpose, None).await;
            }
            Verdict::NoneYet => return Err(Denied::NoPassword { address: account.address.clone() }),
            Verdict::Right => standing.reach(Reached::Right),
        }
        match self.credentials(account).await? {
            Some(Credentials::Password(stored)) => self.judge(&stored, purpose, None).await,
            Some(tokens) => self.judge_tokens(account, tokens, purpose).await,
            None => Err(Denied::Wrong),
        }
    }

    /// The stored secret, which the app has to know.
    async fn opened_by(&self, offered: &Secret, account: &Account) -> Result<Secret, Denied> {
        if matches!(account.secret, SecretSource::Command(_)) {
            match self.asked.recall(offered, &self.verdicts) {
                Recalled::Same => return Ok(offered.clone()),
                Recalled::Other => return Err(Denied::Wrong),
                Recalled::Failed(reason) => return Err(Denied::Unreadable { reason }),
                Recalled::Nothing => {}
            }
        }
        match self.credentials(account).await? {
            Some(Credentials::Password(stored)) if self.verdicts.same(offered, &stored) => Ok(stored),
            _ => Err(Denied::Wrong),
        }
    }

    /// Upstream took it.
    pub fn accepted(&self, pass: &Pass) {
        self.verdicts.accepted(&pass.judged, pass.purpose);
    }

    /// Upstream refused it.
    pub fn refused(&self, pass: &Pass) {
        self.verdicts.refused(&pass.judged, pass.purpose, Instant::now());
    }

    /// How the sign-in stands, as far as it is known since [`Gate::credentials`] were asked for a token; `None` where
    /// there is none.
    pub async fn sign_in_known(&self) -> Option<State> {
        Some(self.tokens.get()?.as_ref()?.known().await)
    }

    /// What this machine has to show an account's provider; `None` where the app's own password is the provider's. For
    /// the command line, which has no app to ask.
    ///
    /// # Errors
    /// It cannot be read, or somebody has to sign in first.
    pub async fn credentials(&self, account: &Account) -> Result<Option<Credentials>, Denied> {
        let unreadable = |reason| Denied::Unreadable { reason };
        if let Auth::OAuth2(server) = &account.auth {
            let tokens = self.tokens.get_or_init(|| self.stores.tokens(account, server));
            let tokens = tokens.clone().ok_or_else(|| unreadable(NO_PLACE.to_owned()))?;
            return Ok(Some(Credentials::Tokens(Arc::new(tokens))));
        }
        let secret = match &account.secret {
            SecretSource::App => return Ok(None),
            SecretSource::Vault => self.in_vault(account).await?,
            SecretSource::Command(command) => {
                self.asked.ask(command, &self.verdicts).await.map_err(unreadable)?
            }
            given => {
                let secret = stored::given(given).await.map_err(unreadable)?;
                secret.ok_or_else(|| unreadable("none is given".to_owned()))?
            }
        };
        Ok(Some(Credentials::Password(secret)))
    }

    async fn in_vault(&self, account: &Account) -> Result<Secret, Denied> {
        let unreadable = |reason| Denied::Unreadable { reason };
        let vault = self.stores.vault.as_ref().ok_or_else(|| unreadable(NO_PLACE.to_owned()))?;
        match vault.find(&account.address).await {
            Ok(entry) => {
                let password = entry.and_then(|entry| entry.password);
                password.ok_or_else(|| sign_in(account, "there is no password in the vault"))
            }
            Err(error) if error.needs_sign_in() => Err(sign_in(account, &error.to_string())),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// As a stored password: one that upstream would not take rests, until somebody signs in anew.
    async fn judge_tokens(
        &self,
        account: &Account,
        tokens: Credentials,
        purpose: Purpose,
    ) -> Result<Pass, Denied> {
        // Who cannot be asked now is told with the rest of upstream's faults.
        if let Err(NoToken::SignIn { reason }) = tokens.current().await {
            return Err(sign_in(account, &reason));
        }
        // The same one sign-in long, whatever token comes of it. Looked up each time: what a login before a new sign-in
        // left is not for one behind it.
        let signed_in_at = self.when_signed_in(account).await;
        let judged = Secret::new(format!("signed in at {signed_in_at:?}"));
        match self.judge_stored(&judged, tokens, purpose).await {
            Err(Denied::Refused { wait }) => {
                Err(Denied::TokenRefused { address: account.address.clone(), wait })
            }
            outcome => outcome,
        }
    }

    /// `None` where nobody signs in.
    async fn when_signed_in(&self, account: &Account) -> Option<u64> {
        match (self.tokens.get(), &account.auth) {
            (Some(Some(tokens)), Auth::OAuth2(server)) if server.grant == Grant::User => {
                tokens.signed_in_at().await
            }
            _ => None,
        }
    }

    async fn judge_stored(
        &self,
        judged: &Secret,
        credentials: Credentials,
        purpose: Purpose,
    ) -> Result<Pass, Denied> {
        let pass = self.judge(judged, purpose, None).await?;
        Ok(Pass { credentials, ..pass })
    }

    /// `from_app` where the secret is the app's own choice: how far its connection has come.
    async fn judge(
        &self,
        secret: &Secret,
        purpose: Purpose,
        from_app: Option<&Standing>,
    ) -> Result<Pass, Denied> {
        let asked = Instant::now();
        let mut waited = false;
        let pass = |trial, good, shown: Option<Shown>, in_vain: bool| Pass {
            credentials: Credentials::Password(secret.clone()),
            proof: Proof::new(self.verdicts.mark(secret), good),
            answered_by: in_vain.then(|| asked + ANSWERED),
            judged: secret.clone(),
            purpose,
            _trial: trial,
            _shown: shown.map(Arc::new),
        };
        loop {
            match self.verdicts.judge(secret, purpose, from_app.is_some(), Instant::now()) {
                Judgement::Show(trial) => {
                    // One without a trial is known to be good.
                    let good = trial.is_none();
                    let shown = match (from_app, &trial) {
                        (Some(standing), Some(_)) => Some(standing.show()),
                        (Some(standing), None) => {
                            standing.reach(Reached::Right);
                            None
                        }
                        (None, _) => None,
                    };
                    return Ok(pass(trial, good, shown, waited && !good));
                }
                Judgement::Refused(wait) if from_app.is_some() => return Err(Denied::Resting { wait }),
                Judgement::Refused(wait) => return Err(Denied::Refused { wait }),
                Judgement::TooMany(wait) => return Err(Denied::TooMany { wait }),
                // Upstream hangs with the first one: this one finds out for itself.
                Judgement::Await(verdict) => {
                    waited = true;
                    if timeout_at(asked + TRIAL, verdict.cancelled()).await.is_err() {
                        return Ok(pass(None, false, None, true));
                    }
                }
            }
        }
    }
}

/// Whether it shows its provider what the vault has, a password or what a person's sign-in left.
pub fn needs_vault(account: &Account) -> bool {
    match &account.auth {
        Auth::Password => matches!(account.secret, SecretSource::Vault),
        Auth::OAuth2(server) => server.grant == Grant::User,
    }
}

/// Whether the stored secret opens the account as long as it has no bridge password: apps may know a password that is
/// the provider's, and nobody has the one in a vault, or a token.
pub fn opens_itself(account: &Account) -> bool {
    match account.secret {
        SecretSource::Env { .. } | SecretSource::File(_) | SecretSource::Command(_) => {
            matches!(account.auth, Auth::Password)
        }
        SecretSource::App | SecretSource::Vault => false,
    }
}

/// How an account's sign-in stands, without asking its token server; `None` where it has none. For lists.
pub async fn state(account: &Account, stores: &Stores) -> Option<State> {
    let Auth::OAuth2(server) = &account.auth else { return None };
    Some(stores.tokens(account, server)?.state().await)
}

/// The reason leaves room for what has to be done, whatever it is.
fn sign_in(account: &Account, reason: &str) -> Denied {
    const LONGEST: usize = 200;
    Denied::SignIn { address: account.address.clone(), reason: reason.chars().take(LONGEST).collect() }
}

/// Without a state folder.
impl Default for Gate {
    fn default() -> Self {
        Self::new(Stores::new(None))
    }
}

#[cfg(test)]
mod tests;
