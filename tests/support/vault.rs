//! What a sign-in leaves, put where one leaves it: beside a bridge that runs, or before it.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use footbridge::auth::oauth::{Grant, Grants};
use footbridge::auth::vault::{KeptGrant, Vault};
use footbridge::mail::KeyChoice;
use footbridge::store::Folder;

use super::authority::{Authority, CLIENT};

/// Signs in to the account as a person would; the access token that comes of it ends so many seconds from now.
pub fn sign_in(state: &Path, authority: &Authority, address: &str, ends: i64) {
    let (access, refresh) = authority.sign_in(address);
    let now = now();
    let grant = serde_json::json!({
        "access_token": access,
        "refresh_token": refresh,
        "obtained_at": now - 3600 + ends,
        "expires_at": now + ends,
        "signed_in_at": now,
        "scopes": ["imap", "smtp"],
        "client_id": CLIENT.0,
    });
    let grant: Grant = serde_json::from_value(grant).expect("a grant");
    grants(state, address).save(&grant).expect("the vault is written");
}

/// What is kept of the account, as JSON.
pub fn kept(state: &Path, address: &str) -> serde_json::Value {
    let grant = grants(state, address).load().expect("the vault opens");
    serde_json::to_value(grant).expect("JSON")
}

fn grants(state: &Path, address: &str) -> KeptGrant {
    let folder = Folder::open(state).expect("the state folder");
    KeptGrant::new(Arc::new(Vault::new(folder, KeyChoice::File)), address)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("not that long after")
}
