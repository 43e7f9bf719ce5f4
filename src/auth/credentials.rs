//! What upstream is shown, for as long as a session lasts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::mail::{Credential, Secret};

/// A future that a trait object can give.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where access tokens come from.
pub trait AccessTokens: fmt::Debug + Send + Sync {
    /// One that is valid now, for all we know; one that ends soon is renewed first.
    fn current(&self) -> Pending<'_, Result<Secret, NoToken>>;

    /// Another one than `refused`, which upstream would not take; asked for once by however many found out.
    fn renewed(&self, refused: Secret) -> Pending<'_, Result<Secret, NoToken>>;
}

/// Why there is no access token. `Display` is one plain clause without the account, and without a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoToken {
    /// The user has to sign in (again).
    #[error("{reason}")]
    SignIn {
        /// What happened, "the sign-in was revoked" for example.
        reason: String,
    },
    /// The token server cannot be asked now; nothing is wrong with the account.
    #[error("{reason}")]
    Later {
        /// What happened, "the token server login.example.org does not answer" for example.
        reason: String,
    },
}

/// What an account shows upstream; cheap to clone, kept as long as a session may have to log in again.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A password, an app password among them.
    Password(Secret),
    /// Access tokens, which end and are renewed.
    Tokens(Arc<dyn AccessTokens>),
}

impl Credentials {
    /// What to show now.
    ///
    /// # Errors
    /// There is no token to be had.
    pub async fn current(&self) -> Result<Credential, NoToken> {
        match self {
            Self::Password(secret) => Ok(Credential::Password(secret.clone())),
            Self::Tokens(tokens) => tokens.current().await.map(Credential::Token),
        }
    }

    /// What to show after upstream refused `shown`; `None` where there is nothing else.
    ///
    /// # Errors
    /// There is no other token to be had.
    pub async fn renewed(&self, shown: &Credential) -> Result<Option<Credential>, NoToken> {
        match (self, shown) {
            (Self::Tokens(tokens), Credential::Token(refused)) => {
                tokens.renewed(refused.clone()).await.map(|token| Some(Credential::Token(token)))
            }
            _ => Ok(None),
        }
    }
}
