//! `footbridge account password`: what mail programs show us.

use std::io::{self, Write};

use super::super::when;
use super::super::{DONE, FAILED, WRONG, complain};
use crate::auth::Passwords;
use crate::auth::gate;
use crate::auth::password::{Description, Made};
use crate::config::Settings;
use crate::mail::Account;
use crate::mail::account::SecretSource;

/// The password alone on standard output, so that a program can take it; the words beside it on standard error.
pub(super) fn make(settings: &Settings, account: &Account, name: Option<&str>) -> u8 {
    let address = &account.address;
    if matches!(account.secret, SecretSource::App) {
        complain(&format!(
            "{address}: its mail programs send the provider's password (secret = \"app\"), so a bridge password would \
             open nothing; store the provider's password here first: secret in [[account]]"
        ));
        return WRONG;
    }
    let passwords = passwords(settings);
    let (first, made) = match passwords
        .list(address)
        .and_then(|list| Ok((list.is_empty(), passwords.make(address, name)?)))
    {
        Ok(made) => made,
        Err(error) => return failed(account, &error),
    };
    let Made { name, password } = made;
    let mut out = io::stdout().lock();
    let shown =
        out.write_all(password.expose()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    if let Err(error) = shown {
        let revoked = match passwords.revoke(address, &name) {
            Ok(()) => "it was taken back".to_owned(),
            Err(revoking) => format!("take it back with --revoke {name:?} ({revoking})"),
        };
        complain(&format!("{address}: the bridge password cannot be shown: {error}; {revoked}"));
        return FAILED;
    }
    let mut told = format!(
        "This is {name:?}, a password of {address} for one mail program. It is not shown again; capital letters, and \
         with or without dashes, are all the same.\n"
    );
    if first && gate::opens_itself(account) {
        told += "From now on bridge passwords alone open this account, the stored password itself no longer does.\n";
    }
    let _ = io::stderr().write_all(told.as_bytes());
    DONE
}

/// Takes one back.
pub(super) fn revoke(settings: &Settings, account: &Account, name: &str) -> u8 {
    let (address, passwords) = (&account.address, passwords(settings));
    let left = match passwords.revoke(address, name).and_then(|()| passwords.list(address)) {
        Ok(left) => left,
        Err(error) => return failed(account, &error),
    };
    if left.is_empty() {
        let told = if gate::opens_itself(account) {
            format!(
                "That was the last bridge password of {address}: from now on the stored password itself opens this account \
                 again. To close it to that: footbridge account password {address}\n"
            )
        } else {
            format!(
                "That was the last bridge password of {address}: no mail program gets in now. To make one: footbridge account \
                 password {address}\n"
            )
        };
        let _ = io::stderr().write_all(told.as_bytes());
    }
    DONE
}

/// A line for each, the oldest first; nothing where there is none.
pub(super) fn list(settings: &Settings, account: &Account, json: bool) -> u8 {
    let list = match passwords(settings).list(&account.address) {
        Ok(list) => list,
        Err(error) => return failed(account, &error),
    };
    let text = if json { as_json(&list) } else { as_table(&list) };
    // Whoever reads our output may stop early: that is no fault.
    let _ = io::stdout().write_all(text.as_bytes());
    DONE
}

fn as_table(list: &[Description]) -> String {
    let width = list.iter().map(|one| one.name.chars().count()).max().unwrap_or_default();
    let lines = list.iter().map(|Description { name, made, used }| {
        let used =
            used.map_or_else(|| "not used yet".to_owned(), |used| format!("last used {}", when::shown(used)));
        format!("{name:width$}  made {}  {used}\n", when::shown(*made))
    });
    lines.collect()
}

/// Times are seconds since 1970, or null.
fn as_json(list: &[Description]) -> String {
    let list = list.iter().map(|Description { name, made, used }| {
        serde_json::json!({ "name": name, "made": made, "last_used": used })
    });
    format!("{}\n", serde_json::Value::Array(list.collect()))
}

fn passwords(settings: &Settings) -> Passwords {
    Passwords::new(settings.state.as_deref())
}

fn failed(account: &Account, error: &dyn std::error::Error) -> u8 {
    complain(&format!("{}: {error}", account.address));
    FAILED
}
