//! What is common to the ways to sign in: why one came to nothing; and the one without a person.

use std::io;
use std::time::Duration;

use super::{Fault, Grant, exchange, grant};
use crate::mail::{OAuth2, Secret};
use crate::net::http::Client as Http;

/// A grant from a refresh token that the user has from somewhere else, proven by using it once.
///
/// # Errors
/// The server refuses it or cannot be asked.
pub async fn by_refresh_token(server: &OAuth2, http: &Http, token: Secret) -> Result<Grant, Fault> {
    // It is kept for itself: no setting names the token that it came from.
    Ok(Grant { seed: None, ..by_seed(server, http, token).await? })
}

/// The same for a refresh token that the settings give, which what is kept has to descend from.
///
/// # Errors
/// The server refuses it or cannot be asked.
pub async fn by_seed(server: &OAuth2, http: &Http, token: Secret) -> Result<Grant, Fault> {
    let answer = exchange::refresh(server, http, &token).await?;
    let client_id = server.client_id.as_deref().unwrap_or_default();
    let given = Grant::from_seed(token.clone(), client_id);
    Ok(given.renewed(answer, &token, grant::unix_now()))
}

/// Why a person's sign-in gave no tokens; each is one plain clause without a secret.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The server has no such way to sign in.
    #[error("{server} offers no {way}")]
    NotOffered {
        /// What a person calls the server.
        server: String,
        /// "sign-in with a browser" for example.
        way: &'static str,
    },
    /// No port could be opened for the browser to come back to.
    #[error("no port of this machine could be opened for the browser to come back to: {0}")]
    NoListener(#[from] io::Error),
    /// Nobody came back in time.
    #[error("nobody finished the sign-in within {}", minutes(*after))]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// The browser was sent back already: what it brought is good once.
    #[error("this sign-in was used already; begin again")]
    Used,
    /// What was pasted is not what the browser shows at the end of this sign-in.
    #[error("{0}")]
    NotOurs(&'static str),
    /// The server said no, or could not be asked.
    #[error("{0}")]
    Fault(Fault),
}

impl From<Fault> for SignInError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}
