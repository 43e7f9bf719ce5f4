//! From what an app says at login to an account and a credential.

use std::sync::Arc;

use crate::auth::{Denied, Gate};
use crate::mail::{Account, Credential, Secret};

/// Every account by every name an app may log in as.
#[derive(Clone, Debug)]
pub struct Accounts(Arc<[Entry]>);

#[derive(Debug)]
struct Entry {
    account: Arc<Account>,
    gate: Gate,
}

/// An app that may go on: ask upstream with `credential`, then tell [`Accounts`] how that went.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Whose mail.
    pub account: Arc<Account>,
    /// What upstream is shown.
    pub credential: Credential,
}

/// Why an app may not go on; upstream was not asked.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No account has this name. The app is told the same as for a wrong password.
    #[error("no account has this login name")]
    NoAccount,
    /// The account's gate said no.
    #[error("{address}: {denied}")]
    Denied {
        /// The account.
        address: String,
        /// Why.
        denied: Denied,
    },
}

impl Accounts {
    /// Takes the configured accounts.
    pub fn new(accounts: impl IntoIterator<Item = Arc<Account>>) -> Self {
        Self(accounts.into_iter().map(|account| Entry { account, gate: Gate::new() }).collect())
    }

    /// Looks the account up (any case) and passes its gate.
    pub async fn admit(&self, login: &str, offered: &Secret) -> Result<Admitted, LoginError> {
        let folded = login.to_lowercase();
        let entry = self.0.iter().find(|entry| entry.account.logins.contains(&folded));
        let Some(entry) = entry else {
            return Err(LoginError::NoAccount);
        };
        match entry.gate.admit(&entry.account, offered).await {
            Ok(credential) => Ok(Admitted { account: entry.account.clone(), credential }),
            Err(denied) => Err(LoginError::Denied { address: entry.account.address.clone(), denied }),
        }
    }

    /// Upstream took the credential.
    pub fn accepted(&self, admitted: &Admitted) {
        if let Some(entry) = self.entry(admitted) {
            entry.gate.accepted(&admitted.credential);
        }
    }

    /// Upstream refused the credential.
    pub fn refused(&self, admitted: &Admitted) {
        if let Some(entry) = self.entry(admitted) {
            entry.gate.refused(&admitted.credential);
        }
    }

    fn entry(&self, admitted: &Admitted) -> Option<&Entry> {
        self.0.iter().find(|entry| Arc::ptr_eq(&entry.account, &admitted.account))
    }
}
