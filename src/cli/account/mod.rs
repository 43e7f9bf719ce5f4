//! `footbridge account`: what is kept on this machine for an account, beside its lines of the configuration.

mod list;
mod password;
mod remove;
mod sign_in;

use std::path::Path;
use std::sync::Arc;

use clap::Subcommand;

use super::{WRONG, complain};
use crate::config::Settings;
use crate::mail::Account;

/// What there is to do.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Lists the accounts: provider, where the secret is, how the sign-in stands, how many bridge passwords there are.
    ///
    /// No server is asked.
    List {
        /// As JSON; times are seconds since 1970. "needed" is whether to sign in: null where something else is to be cured
        /// first, which "fault" tells.
        #[arg(long)]
        json: bool,
    },
    /// Removes what is kept on this machine for an account: what the vault holds, its bridge passwords, what the ledger
    /// knows of its mailboxes.
    ///
    /// Empties the cache of messages, of other accounts' too: they are fetched again. Stop the bridge first, which may
    /// fill both again. What its POP3 programs hid, and unique-ids of mailboxes that were renumbered, stay for an account
    /// that is added again; where they are is told. Says which lines of the configuration are the account's, and leaves
    /// them to you. Nothing happens at the provider.
    Remove {
        /// The account, also one whose lines are gone already.
        address: String,
    },
    /// Signs in to a provider that wants OAuth2, or stores the password of an account with secret = "vault".
    ///
    /// Prints an address to open in a browser, and opens it where there is one. The browser comes back by itself; one on
    /// another machine ends at an error page, whose address is pasted here. What comes of it is kept in the vault; then a
    /// login to the account's servers is tried. A bridge that runs knows of it from the next login on.
    SignIn {
        /// The account.
        address: String,
        /// With a code that is typed in on another device, where the provider has that. Without this: where the provider
        /// has that and this machine has no browser.
        #[arg(long, conflicts_with_all = ["no_browser", "refresh_token"])]
        device: bool,
        /// Opens no browser: the address is for a browser elsewhere.
        #[arg(long, conflicts_with = "refresh_token")]
        no_browser: bool,
        /// Takes a refresh token that you have already; asks for it without echo, or reads a line of standard input. It must
        /// have been given to the client_id of the configuration.
        #[arg(long)]
        refresh_token: bool,
    },
    /// Makes a bridge password: what a mail program sends where the provider's secret is stored here.
    ///
    /// It is shown once and kept nowhere; a mail program that lost its password gets a new one. An account may have
    /// several, each with a name, so that one program's can be taken back alone. A bridge that runs knows of it from the
    /// next login on.
    Password {
        /// The account.
        address: String,
        /// What to call it; the program or device it is for. Without this: "mail app", with a number if need be.
        #[arg(long, value_name = "NAME", conflicts_with_all = ["revoke", "list"])]
        name: Option<String>,
        /// Takes the one of this name back.
        #[arg(long, value_name = "NAME", conflicts_with = "list")]
        revoke: Option<String>,
        /// Lists them: names, when made, when last used.
        #[arg(long)]
        list: bool,
        /// The list as JSON.
        #[arg(long, requires = "list")]
        json: bool,
    },
}

/// Does it, and says so; `file` is the configuration.
pub(super) async fn act(settings: &Settings, file: &Path, action: Action) -> u8 {
    match action {
        Action::List { json } => list::list(settings, json).await,
        Action::Remove { address } => remove::remove(settings, file, &address).await,
        Action::SignIn { address, device, no_browser, refresh_token } => {
            let Some(account) = chosen(settings, &address) else { return WRONG };
            let way = match (device, no_browser, refresh_token) {
                (true, ..) => sign_in::Way::Device,
                (_, true, _) => sign_in::Way::BrowserElsewhere,
                (.., true) => sign_in::Way::RefreshToken,
                _ => sign_in::Way::Usual,
            };
            sign_in::sign_in(settings, file, account, way).await
        }
        Action::Password { address, name, revoke, list, json } => {
            let Some(account) = chosen(settings, &address) else { return WRONG };
            match (revoke, list) {
                (Some(name), _) => password::revoke(settings, account, &name),
                (None, true) => password::list(settings, account, json),
                (None, false) => password::make(settings, account, name.as_deref()),
            }
        }
    }
}

/// By any name an app may log in as; that there is none has been told.
fn chosen<'a>(settings: &'a Settings, address: &str) -> Option<&'a Arc<Account>> {
    let folded = address.to_lowercase();
    let account = settings.accounts.iter().find(|account| account.logins.contains(&folded));
    if account.is_none() {
        complain(&format!("no account has the address {address}"));
    }
    account
}
