//! What gates keep on this machine: one for the life of the bridge, handed to each gate.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::credentials::NoToken;
use super::oauth::{Grant, Grants, Seeded, Tokens};
use super::password::Passwords;
use super::stored;
use super::vault::{KeptGrant, Vault};
use crate::mail::KeyChoice;
use crate::mail::account::{Auth, SecretSource};
use crate::mail::oauth2::Grant as Kind;
use crate::mail::{Account, OAuth2};
use crate::net::Connector;
use crate::net::http::Client as Http;
use crate::store::{Folder, FolderError};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    /// What apps show us.
    pub passwords: Passwords,
    /// What was stored or signed in to; there where an account needs it.
    pub vault: Option<Arc<Vault>>,
    /// The way to token servers.
    http: Option<Http>,
}

/// Why the accounts cannot be served: one sentence with its cure.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// An account keeps something on this machine, and there is no state folder.
    #[error("{address}: there is no place for what it keeps on this machine; name a folder with --state DIR")]
    NoPlace {
        /// The first of them.
        address: String,
    },
    /// The state folder is not to be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl Stores {
    /// Bridge passwords alone, in a state folder that need not be there, or in none.
    pub fn new(state: Option<&Path>) -> Self {
        Self { passwords: Passwords::new(state), vault: None, http: None }
    }

    /// All that these accounts need; the state folder is made where one of them keeps something in it.
    ///
    /// # Errors
    /// There is no state folder, or it is not to be used, and an account needs one.
    pub fn open<'a>(
        state: Option<&Path>,
        key: KeyChoice,
        accounts: impl IntoIterator<Item = &'a Arc<Account>>,
        connector: &Connector,
    ) -> Result<Self, StoresError> {
        Self::in_folder(Folder::open, state, key, accounts, connector)
    }

    /// The same for whoever looks only: a folder that is not there holds nothing, and is made where something is to be
    /// kept after all, a renewed token for example.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn look<'a>(
        state: Option<&Path>,
        key: KeyChoice,
        accounts: impl IntoIterator<Item = &'a Arc<Account>>,
        connector: &Connector,
    ) -> Result<Self, StoresError> {
        Self::in_folder(Folder::look, state, key, accounts, connector)
    }

    fn in_folder<'a>(
        folder: fn(&Path) -> Result<Folder, FolderError>,
        state: Option<&Path>,
        key: KeyChoice,
        accounts: impl IntoIterator<Item = &'a Arc<Account>>,
        connector: &Connector,
    ) -> Result<Self, StoresError> {
        let vault = match (accounts.into_iter().find(|account| keeps(account)), state) {
            (None, _) => None,
            (Some(_), Some(state)) => Some(Arc::new(Vault::new(folder(state)?, key))),
            (Some(account), None) => {
                return Err(StoresError::NoPlace { address: account.address.clone() });
            }
        };
        Ok(Self { vault, http: Some(Http::new(connector.clone())), ..Self::new(state) })
    }

    /// The tokens of an account; to be asked for once, so that all its logins share them. `None` where nothing was
    /// opened for it.
    pub(super) fn tokens(&self, account: &Account, server: &Arc<OAuth2>) -> Option<Tokens> {
        let client_id = server.client_id.as_deref().unwrap_or_default();
        let kept = || Some(KeptGrant::new(self.vault.clone()?, &account.address));
        let grants: Arc<dyn Grants> = match (&account.secret, server.grant) {
            (_, Kind::ClientCredentials) => Arc::new(Nowhere),
            (SecretSource::App | SecretSource::Vault, Kind::User) => Arc::new(kept()?),
            (given, Kind::User) => {
                let given = given.clone();
                let seed = move || {
                    // Asked in a thread for what blocks, where this may be waited for.
                    let runtime = tokio::runtime::Handle::try_current();
                    let runtime = runtime.map_err(|_| "footbridge is stopping".to_owned())?;
                    let seed = runtime.block_on(stored::given(&given))?;
                    seed.ok_or_else(|| "no refresh token is given".to_owned())
                };
                Arc::new(Seeded::new(kept()?, Box::new(seed), client_id))
            }
        };
        Some(Tokens::new(&account.address, server.clone(), self.http.clone()?, grants))
    }

    /// Writes down what is worth it, until the bridge stops.
    pub async fn keep(&self, stopping: CancellationToken) {
        self.passwords.keep(stopping).await;
    }

    /// Writes down the rest, once no session is left.
    pub async fn close(&self) {
        if let Err(fault) = self.passwords.write_uses().await {
            warn!("when bridge passwords were used last is not written: {fault}");
        }
    }
}

/// Whether the account needs a state folder: for what is stored or signed in to, and for bridge passwords where they are
/// all that opens it.
fn keeps(account: &Account) -> bool {
    matches!(account.secret, SecretSource::Vault) || matches!(account.auth, Auth::OAuth2(_))
}

/// Tokens that nobody signed in for are asked for again.
#[derive(Debug)]
struct Nowhere;

impl Grants for Nowhere {
    fn load(&self) -> Result<Option<Grant>, NoToken> {
        Ok(None)
    }

    fn save(&self, _: &Grant) -> Result<(), String> {
        Ok(())
    }

    fn renew(&self, _: Option<&Grant>, _: &Grant) -> Result<bool, String> {
        Ok(true)
    }
}
