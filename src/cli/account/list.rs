//! `footbridge account list`: what there is, without asking anybody.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::super::when;
use super::super::{DONE, FAILED, complain, stores};
use crate::auth::oauth::State;
use crate::auth::vault::{Entry, VaultError};
use crate::auth::{NoToken, Stores, gate};
use crate::config::Settings;
use crate::mail::Account;
use crate::mail::account::{Auth, SecretSource};
use crate::net::Connector;

/// An account as it is listed.
struct Row<'a> {
    account: &'a Account,
    sign_in: SignIn,
    bridge_passwords: usize,
}

/// What the account has to show its provider.
enum SignIn {
    /// The app brings it, or it is read elsewhere.
    None,
    /// Whether the vault has its password.
    Stored(bool),
    Tokens(State),
    /// It is in the vault, which does not open.
    Shut(VaultError),
}

/// A line for each, in the order of the configuration.
pub(super) async fn list(settings: &Settings, json: bool) -> u8 {
    let connector = Connector::new(settings.tls.clone(), settings.deadlines.clone());
    let stores = match stores(settings, &settings.accounts, &connector) {
        Ok(stores) => stores,
        Err(code) => return code,
    };
    let mut rows = Vec::new();
    for account in &settings.accounts {
        let bridge_passwords = match stores.passwords.list(&account.address) {
            Ok(list) => list.len(),
            Err(error) => {
                complain(&error.to_string());
                return FAILED;
            }
        };
        rows.push(Row { account, sign_in: sign_in(account, &stores).await, bridge_passwords });
    }
    let text = if json { as_json(&rows) } else { as_table(&rows) };
    // Whoever reads our output may stop early: that is no fault.
    let _ = io::stdout().write_all(text.as_bytes());
    DONE
}

async fn sign_in(account: &Account, stores: &Stores) -> SignIn {
    let entry = match stores.vault.as_ref().filter(|_| gate::needs_vault(account)) {
        Some(vault) => match vault.find(&account.address).await {
            Ok(entry) => entry.unwrap_or_default(),
            Err(error) => return SignIn::Shut(error),
        },
        None => Entry::default(),
    };
    match (gate::state(account, stores).await, &account.secret) {
        (Some(state), _) => SignIn::Tokens(state),
        (None, SecretSource::Vault) => SignIn::Stored(entry.password.is_some()),
        (None, _) => SignIn::None,
    }
}

impl SignIn {
    /// Whether the cure is to sign in; `None` where that is not known, because something else has to be cured first.
    fn is_needed(&self) -> Option<bool> {
        match self {
            Self::None => Some(false),
            Self::Stored(stored) => Some(!stored),
            Self::Tokens(State { fault: Some(NoToken::Later { .. }), .. }) => None,
            Self::Tokens(State { fault, .. }) => Some(fault.is_some()),
            // Of the others a sign-in would be the last resort: it begins a new vault, without what all the other
            // accounts have in this one.
            Self::Shut(error) => matches!(error, VaultError::Damaged { .. }).then_some(true),
        }
    }

    fn fault(&self) -> Option<String> {
        match self {
            Self::Shut(error) => Some(error.to_string()),
            Self::Tokens(State { fault, .. }) => fault.as_ref().map(ToString::to_string),
            Self::Stored(false) => Some("there is no password in the vault".to_owned()),
            Self::None | Self::Stored(true) => None,
        }
    }
}

impl Row<'_> {
    fn auth(&self) -> String {
        match &self.account.auth {
            Auth::Password => "password".to_owned(),
            Auth::OAuth2(server) => format!("oauth2 ({})", server.id),
        }
    }

    fn secret(&self) -> &'static str {
        match self.account.secret {
            SecretSource::App => "app",
            SecretSource::Env { .. } => "env",
            SecretSource::File(_) => "file",
            SecretSource::Command(_) => "command",
            SecretSource::Vault => "vault",
        }
    }

    /// For a person; a reason comes last in its line.
    fn sign_in(&self) -> String {
        if let Some(fault) = self.sign_in.fault() {
            let word = if self.sign_in.is_needed() == Some(true) { "needed" } else { "not known" };
            return format!("{word}: {fault}");
        }
        match &self.sign_in {
            SignIn::Tokens(State { signed_in_at: Some(at), .. }) => format!("since {}", when::shown(*at)),
            SignIn::Tokens(_) => "not needed".to_owned(),
            SignIn::Stored(_) => "stored".to_owned(),
            SignIn::None | SignIn::Shut(_) => "-".to_owned(),
        }
    }
}

fn as_table(rows: &[Row<'_>]) -> String {
    const HEAD: [&str; 6] = ["address", "provider", "auth", "secret", "bridge passwords", "sign-in"];
    let lines = rows.iter().map(|row| {
        let provider = row.account.provider.unwrap_or("-").to_owned();
        let (address, secret) = (row.account.address.clone(), row.secret().to_owned());
        [address, provider, row.auth(), secret, row.bridge_passwords.to_string(), row.sign_in()]
    });
    let lines = std::iter::once(HEAD.map(str::to_owned)).chain(lines).collect::<Vec<_>>();
    let mut widths = [0; 6];
    for line in &lines {
        widths.iter_mut().zip(line).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
    }
    let line = |line: &[String; 6]| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

fn as_json(rows: &[Row<'_>]) -> String {
    let rows = rows.iter().map(|row| {
        let (needed, fault) = (row.sign_in.is_needed(), row.sign_in.fault());
        let sign_in = match &row.sign_in {
            SignIn::None => Value::Null,
            SignIn::Stored(stored) => json!({ "stored": stored, "needed": needed, "fault": fault }),
            SignIn::Shut(_) => json!({ "needed": needed, "fault": fault }),
            SignIn::Tokens(State { signed_in_at, obtained_at, expires_at, scopes, .. }) => json!({
                "signed_in_at": signed_in_at,
                "obtained_at": obtained_at,
                "expires_at": expires_at,
                "scopes": scopes,
                "needed": needed,
                "fault": fault,
            }),
        };
        let oauth2 = match &row.account.auth {
            Auth::Password => None,
            Auth::OAuth2(server) => Some(&server.id),
        };
        json!({
            "address": row.account.address,
            "provider": row.account.provider,
            "auth": if oauth2.is_some() { "oauth2" } else { "password" },
            "oauth2": oauth2,
            "secret": row.secret(),
            "sign_in": sign_in,
            "bridge_passwords": row.bridge_passwords,
        })
    });
    format!("{}\n", Value::Array(rows.collect()))
}
