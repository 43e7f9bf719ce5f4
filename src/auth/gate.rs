//! The gate an app's password passes before anything goes upstream.

use std::time::Duration;

use crate::mail::{Account, Credential, Secret};

/// Judges what an app offers, one for each account.
///
/// `secret = "app"`: upstream judges, but a password it refused is not shown to it again, and at most three
/// distinct ones a minute are (the last good one always passes). Otherwise the offered secret must equal the
/// stored one, compared in constant time, and a wrong one never goes upstream.
#[derive(Debug)]
pub struct Gate {}

/// Why nothing goes upstream.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The app's secret is not the one of this account.
    #[error("the password is wrong")]
    Wrong,
    /// Too many wrong passwords in the last minute.
    #[error("too many wrong passwords, try again in {} seconds", wait.as_secs())]
    TooMany {
        /// When the next one is looked at.
        wait: Duration,
    },
    /// The stored secret could not be read; needs the user.
    #[error("the stored password cannot be read: {reason}")]
    Unreadable {
        /// One plain clause without the secret.
        reason: String,
    },
}

impl Gate {
    /// A gate that saw nothing yet.
    pub fn new() -> Self {
        Self {}
    }

    /// What to show upstream for what the app offered.
    pub async fn admit(&self, account: &Account, offered: &Secret) -> Result<Credential, Denied> {
        let _ = account;
        Ok(Credential::Password(offered.clone()))
    }

    /// Upstream took `credential`.
    pub fn accepted(&self, credential: &Credential) {
        let _ = credential;
    }

    /// Upstream refused `credential`.
    pub fn refused(&self, credential: &Credential) {
        let _ = credential;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
