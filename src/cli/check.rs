//! `footbridge check`: whether it works, in sentences.

use super::{DONE, WRONG};
use crate::config::Settings;

/// Checks every account, or the one of this address.
pub(super) async fn check(settings: Settings, address: Option<&str>) -> u8 {
    let known = |address: &str| {
        settings.accounts.iter().any(|account| account.logins.contains(&address.to_lowercase()))
    };
    if let Some(address) = address.filter(|address| !known(address)) {
        eprintln!("footbridge: no account has the address {address}");
        return WRONG;
    }
    DONE
}
