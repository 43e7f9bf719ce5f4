//! One account's grant in the vault, as `auth::oauth` keeps it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Vault, VaultError};
use crate::auth::NoToken;
use crate::auth::oauth::{Grant, Grants};
use crate::mail::Secret;

/// Where the tokens of one account are kept.
#[derive(Debug)]
pub struct KeptGrant {
    vault: Arc<Vault>,
    address: String,
}

impl KeptGrant {
    /// The grant of this address, in whatever case.
    pub fn new(vault: Arc<Vault>, address: &str) -> Self {
        Self { vault, address: address.to_owned() }
    }
}

impl Grants for KeptGrant {
    fn load(&self) -> Result<Option<Grant>, NoToken> {
        let entry = self.vault.entry(&self.address).map_err(no_token)?;
        let Some(json) = entry.and_then(|entry| entry.grant) else { return Ok(None) };
        match serde_json::from_slice(json.expose()) {
            Ok(grant) => Ok(Some(grant)),
            Err(_) => Err(NoToken::SignIn { reason: "what the vault holds is no sign-in".to_owned() }),
        }
    }

    fn save(&self, grant: &Grant) -> Result<(), String> {
        let json = serde_json::to_vec(grant).map(Zeroizing::new);
        let json = json.map_err(|error| format!("the sign-in has no JSON: {error}"))?;
        let json = Secret::new(json.as_slice());
        self.vault.change(&self.address, |entry| entry.grant = Some(json)).map_err(|error| error.to_string())
    }
}

/// A vault that will not open by itself is cured by a new sign-in; for anything else the user is not sent away.
fn no_token(error: VaultError) -> NoToken {
    let reason = error.to_string();
    if error.needs_sign_in() { NoToken::SignIn { reason } } else { NoToken::Later { reason } }
}
