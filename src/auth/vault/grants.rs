//! One account's grant in the vault, as `auth::oauth` keeps it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Entry, Vault, VaultError};
use crate::auth::NoToken;
use crate::auth::oauth::{Grant, Grants, grant};
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
        kept(&entry.unwrap_or_default()).map_err(|reason| NoToken::SignIn { reason })
    }

    fn save(&self, grant: &Grant) -> Result<(), String> {
        let json = json(grant)?;
        self.vault.change(&self.address, |entry| entry.grant = Some(json)).map_err(|error| error.to_string())
    }

    fn renew(&self, before: Option<&Grant>, grant: &Grant) -> Result<bool, String> {
        let json = json(grant)?;
        let still = |entry: &Entry| kept(entry).map(|kept| grant::same(before, kept.as_ref()));
        // Looked at first: where there is no vault any more, none is made for what it would not take.
        let entry = self.vault.entry(&self.address).map_err(|error| error.to_string())?;
        if !still(&entry.unwrap_or_default())? {
            return Ok(false);
        }
        let mut looked = Ok(false);
        let changed = self.vault.change_if(&self.address, |entry| {
            looked = still(entry);
            if looked == Ok(true) {
                entry.grant = Some(json);
            }
            looked == Ok(true)
        });
        changed.map_err(|error| error.to_string())?;
        looked
    }
}

fn kept(entry: &Entry) -> Result<Option<Grant>, String> {
    let grant = entry.grant.as_ref().map(|json| serde_json::from_slice(json.expose()));
    grant.transpose().map_err(|_| "what the vault holds is no sign-in".to_owned())
}

fn json(grant: &Grant) -> Result<Secret, String> {
    let json = serde_json::to_vec(grant).map(Zeroizing::new);
    let json = json.map_err(|error| format!("the sign-in has no JSON: {error}"))?;
    Ok(Secret::new(json.as_slice()))
}

/// A vault that will not open by itself is cured by a new sign-in; for anything else the user is not sent away.
fn no_token(error: VaultError) -> NoToken {
    let reason = error.to_string();
    if error.needs_sign_in() { NoToken::SignIn { reason } } else { NoToken::Later { reason } }
}
