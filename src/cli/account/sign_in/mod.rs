//! `footbridge account sign-in`: what an account shows its provider gets into the vault.
//!
//! ```text
//!  the vault opens? ──▶ browser, device code, refresh token ──▶ grant ───────────▶ vault ──▶ logins tried
//!                  └──▶ password asked ──▶ login tried ──▶ password ─────────────▶ vault
//!  nobody signs in, or a refresh token is given elsewhere ──▶ one token asked for ──▶ logins tried
//! ```
//!
//! Whoever stops it before the arrow to the vault leaves nothing behind.

mod browser;
mod person;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::super::report::{Finding, Kind, Report};
use super::super::run::{no_core_files, signals};
use super::super::{DONE, FAILED, WRONG, ask, complain, logins, stores, when};
use crate::auth::gate::Gate;
use crate::auth::oauth::{Grant, Grants, SignInError, code, device, fault};
use crate::auth::vault::{KeptGrant, Vault, VaultError};
use crate::auth::{Credentials, Stores, oauth, stored};
use crate::config::Settings;
use crate::mail::account::{Auth, SecretSource};
use crate::mail::{Account, OAuth2, Secret, oauth2};
use crate::net::Connector;
use crate::net::http::Client as Http;
use crate::provider::Table;
use crate::provider::oauth2::{Registrar, Required};
use crate::upstream::UpstreamError;

/// How to sign in, as the command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing is said.
    Usual,
    /// `--device`
    Device,
    /// `--no-browser`
    BrowserElsewhere,
    /// `--refresh-token`
    RefreshToken,
}

/// Signs in, and says so; `file` is the configuration.
pub(super) async fn sign_in(settings: &Settings, file: &Path, account: &Arc<Account>, way: Way) -> u8 {
    let address = &account.address;
    if let (Auth::Password, Some(place)) = (&account.auth, elsewhere(&account.secret)) {
        say(&format!("{address}: nothing is to be signed in: {place}"));
        return DONE;
    }
    no_core_files();
    let connector = Connector::new(settings.tls.clone(), settings.deadlines.clone());
    let stores = match stores(settings, [account], &connector) {
        Ok(stores) => stores,
        Err(code) => return code,
    };
    // Without a handler Ctrl-C would leave the terminal without its echo.
    let stopping = match signals() {
        Ok(stopping) => stopping,
        Err(code) => return code,
    };
    let signing = Signing { account, connector, stores, stopping };
    let outcome = match &account.auth {
        Auth::Password => signing.store_password().await,
        Auth::OAuth2(server) => signing.to_server(server, file, way).await,
    };
    match outcome {
        Ok(report) => signing.end(&report),
        Err(Ended::Stopped) => {
            complain(&format!("{address}: stopped; nothing was changed"));
            FAILED
        }
        Err(Ended::Failed(clause)) => {
            complain(&format!("{address}: {clause}"));
            FAILED
        }
        Err(Ended::Wrong(clause)) => {
            complain(&format!("{address}: {clause}"));
            WRONG
        }
        Err(Ended::Told(report)) => {
            tell(&report);
            FAILED
        }
    }
}

/// Where the password of an account without a sign-in comes from; `None` where it is stored here.
fn elsewhere(secret: &SecretSource) -> Option<&'static str> {
    match secret {
        SecretSource::App => Some(
            "its mail programs send the provider's password (secret = \"app\"), and nothing is stored here",
        ),
        SecretSource::Env { .. } | SecretSource::File(_) | SecretSource::Command(_) => {
            Some("its password is read where secret in [[account]] says")
        }
        SecretSource::Vault => None,
    }
}

/// Why nothing came of it; clauses want the account before them.
enum Ended {
    Stopped,
    Failed(String),
    /// The command line or the configuration has to be changed.
    Wrong(String),
    /// What was found out says it.
    Told(Report),
}

impl From<VaultError> for Ended {
    fn from(error: VaultError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<SignInError> for Ended {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TimedOut { .. } => Self::Failed(format!("{error}; run this command again")),
            error => Self::Failed(error.to_string()),
        }
    }
}

struct Signing<'a> {
    account: &'a Arc<Account>,
    connector: Connector,
    stores: Stores,
    stopping: CancellationToken,
}

impl Signing<'_> {
    async fn to_server(&self, server: &OAuth2, file: &Path, way: Way) -> Result<Report, Ended> {
        if server.client_id.is_none() {
            return Err(Ended::Failed(unregistered(server, file)));
        }
        let given = !matches!(self.account.secret, SecretSource::Vault);
        match (server.grant, given) {
            (oauth2::Grant::ClientCredentials, _) if way != Way::Usual => Err(Ended::Wrong(format!(
                "with [oauth2.{}] nobody is present at a sign-in (grant = \"client_credentials\"); leave the option out",
                server.id
            ))),
            (oauth2::Grant::User, true) if way != Way::Usual => Err(Ended::Wrong(
                "its refresh token is given by secret in [[account]]: put a new one there, or write secret = \"vault\" to sign in \
                 here"
                    .to_owned(),
            )),
            (oauth2::Grant::ClientCredentials, _) | (_, true) => self.prove(server).await,
            (oauth2::Grant::User, false) => {
                self.vault_opens().await?;
                let grant = self.grant(server, way).await?;
                let mut report = Report::new(self.account);
                self.keep_grant(server, grant, &mut report).await?;
                self.log_in(&mut report).await;
                Ok(report)
            }
        }
    }

    /// A person's part.
    async fn grant(&self, server: &OAuth2, way: Way) -> Result<Grant, Ended> {
        let http = Http::new(self.connector.clone());
        let http = &http;
        let browser = browser::Browser::of_this_machine();
        let has_code = server.device_authorization_endpoint.is_some();
        let only_code = server.authorization_endpoint.is_none();
        let by_device = match way {
            Way::Device => true,
            Way::Usual => has_code && (browser.is_none() || only_code),
            Way::BrowserElsewhere => has_code && only_code,
            Way::RefreshToken => false,
        };
        if way == Way::RefreshToken {
            let prompt = format!("The refresh token of {} (not shown): ", self.account.address);
            let token = self.asked(prompt, "no refresh token was given").await?;
            let proven = oauth::sign_in::by_refresh_token(server, http, token);
            let proven = self.unless_stopped(proven).await?;
            return proven.map_err(|fault| Ended::Failed(fault.to_string()));
        }
        if by_device {
            let codes = self.unless_stopped(device::begin(server, http)).await??;
            person::show_code(&codes, &self.account.address);
            let coming = person::counted_down(codes.expires_in, codes.finish(http));
            return Ok(self.unless_stopped(coming).await??);
        }
        let mut attempt = code::Attempt::begin(server, Some(&self.account.address)).await?;
        let browser = browser.filter(|_| way == Way::Usual);
        let opened = browser.is_some_and(|browser| browser.open(&attempt.url));
        person::show_address(&attempt, &self.account.address, opened);
        let mut pasted = ask::lines();
        let coming = person::signed_in(&mut attempt, http, &mut pasted, code::PATIENCE);
        let coming = person::counted_down(code::PATIENCE, coming);
        Ok(self.unless_stopped(coming).await??)
    }

    /// There is nobody who could sign in, or what it begins with stands elsewhere: what comes of it is kept as the bridge
    /// would keep it. A vault that does not open any more is moved out of the way once the token has proven good.
    async fn prove(&self, server: &OAuth2) -> Result<Report, Ended> {
        let mut report = Report::new(self.account);
        if server.grant == oauth2::Grant::User && !self.vault_is_whole().await? {
            let http = Http::new(self.connector.clone());
            let given = self.unless_stopped(stored::given(&self.account.secret)).await?;
            let given = given.map_err(Ended::Failed)?;
            let given = given.ok_or_else(|| Ended::Failed("no refresh token is given".to_owned()))?;
            let proven = self.unless_stopped(oauth::sign_in::by_seed(server, &http, given)).await?;
            let grant = proven.map_err(|fault| Ended::Failed(format!("{fault}; nothing was changed")))?;
            self.keep_grant(server, grant, &mut report).await?;
        }
        self.log_in(&mut report).await;
        Ok(report)
    }

    async fn store_password(&self) -> Result<Report, Ended> {
        self.vault_opens().await?;
        let address = &self.account.address;
        let row = logins::row(self.account).filter(|row| row.wants_app_password());
        let which = row.map_or("password", |_| "app password");
        let prompt = format!("The provider's {which} of {address} (not shown): ");
        let password = self.asked(prompt, "no password was given").await?;
        let mut report = Report::new(self.account);
        let credentials = Credentials::Password(password.clone());
        let mailbox = logins::imap(&self.connector, self.account, &credentials, &mut report);
        let Ok(mailbox) = self.unless_stopped(mailbox).await? else {
            report.good(Kind::Password, "nothing was stored");
            return Err(Ended::Told(report));
        };
        mailbox.close().await;
        let logged_in = logins::submission(&self.connector, self.account, &credentials, None, &mut report);
        self.unless_stopped(logged_in).await?;
        let name = address.clone();
        let kept = self.in_vault(move |vault| vault.change(&name, |entry| entry.password = Some(password)));
        let moved = kept.await?;
        report.good(Kind::Password, "the password is stored in the vault");
        told_of_move(moved.as_deref(), &mut report);
        Ok(report)
    }

    async fn asked(&self, prompt: String, nothing: &str) -> Result<Secret, Ended> {
        match ask::hidden(prompt, &self.stopping).await {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(Ended::Failed(format!("{nothing}; nothing was changed"))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Ended::Stopped),
            Err(error) => Err(Ended::Failed(format!("what was typed cannot be read: {error}"))),
        }
    }

    async fn unless_stopped<T>(&self, doing: impl Future<Output = T>) -> Result<T, Ended> {
        self.stopping.run_until_cancelled(doing).await.ok_or(Ended::Stopped)
    }

    /// Nobody is sent to a browser for a vault that cannot be written afterwards. One that needs a new sign-in gets it.
    async fn vault_opens(&self) -> Result<(), Ended> {
        self.vault_is_whole().await.map(|_| ())
    }

    /// Whether it opens; not where it needs a new sign-in.
    async fn vault_is_whole(&self) -> Result<bool, Ended> {
        match self.vault()?.find(&self.account.address).await {
            Ok(_) => Ok(true),
            Err(error) if error.needs_sign_in() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn vault(&self) -> Result<Arc<Vault>, Ended> {
        let none = || Ended::Failed("there is no vault; name a folder with --state DIR".to_owned());
        self.stores.vault.clone().ok_or_else(none)
    }

    /// Changes the vault, once begun to the end; one that does not open any more is moved out of the way first, to the
    /// path that comes back.
    async fn in_vault<E: Into<Ended> + Send + 'static>(
        &self,
        change: impl FnOnce(&Arc<Vault>) -> Result<(), E> + Send + 'static,
    ) -> Result<Option<std::path::PathBuf>, Ended> {
        let (vault, address) = (self.vault()?, self.account.address.clone());
        let changed = tokio::task::spawn_blocking(move || {
            let moved = match vault.entry(&address) {
                Err(error) if error.needs_sign_in() => vault.set_aside().map_err(Ended::from)?,
                _ => None,
            };
            change(&vault).map(|()| moved).map_err(Into::into)
        });
        changed.await.unwrap_or_else(|_| Err(Ended::Failed("the vault could not be written".to_owned())))
    }

    async fn keep_grant(&self, server: &OAuth2, grant: Grant, report: &mut Report) -> Result<(), Ended> {
        let renews = grant.refresh_token.is_some();
        let ends = grant.expires_at;
        let name = self.account.address.clone();
        let kept = self
            .in_vault(move |vault| KeptGrant::new(vault.clone(), &name).save(&grant).map_err(Ended::Failed));
        let moved = kept.await?;
        report.good(Kind::SignIn, format_args!("signed in to {}; that is kept in the vault", server.name));
        told_of_move(moved.as_deref(), report);
        if !renews {
            report.bad(
                Kind::Token,
                format_args!(
                    "{} gave nothing to renew the sign-in with, so it ends at {}; check the scopes in [oauth2.{}] \
                     (offline_access), then sign in again",
                    server.name,
                    when::shown(ends),
                    server.id
                ),
            );
        }
        Ok(())
    }

    /// With what the bridge would show, renewed and kept as the bridge would.
    async fn log_in(&self, report: &mut Report) {
        let tried = async {
            let credentials = match Gate::new(self.stores.clone()).credentials(self.account).await {
                Ok(Some(credentials)) => credentials,
                Ok(None) => return,
                Err(denied) => return report.bad(Kind::SignIn, denied),
            };
            match credentials.current().await {
                Ok(_) => {}
                Err(why) => {
                    return report.fault(Kind::Token, UpstreamError::from(why).sentence(self.account));
                }
            }
            let before = match logins::imap(&self.connector, self.account, &credentials, report).await {
                Ok(mailbox) => {
                    mailbox.close().await;
                    None
                }
                Err(error) => Some(error),
            };
            logins::submission(&self.connector, self.account, &credentials, before.as_ref(), report).await;
        };
        if self.stopping.run_until_cancelled(tried).await.is_none() {
            report.bad(Kind::Program, "stopped before the login was tried");
        }
    }

    /// What came of it, and what to do next.
    fn end(&self, report: &Report) -> u8 {
        tell(report);
        let address = &self.account.address;
        if !report.is_ok() {
            return FAILED;
        }
        match self.stores.passwords.list(address) {
            Ok(list) if list.is_empty() => say(&format!(
                "{address}: now make a password for your mail program: footbridge account password {address}"
            )),
            Ok(_) => say(&format!("{address}: mail programs go on with the bridge passwords they have")),
            Err(error) => complain(&format!("{address}: {error}")),
        }
        DONE
    }
}

/// Where a client is registered, and what to write then.
fn unregistered(server: &OAuth2, file: &Path) -> String {
    let row = Table::builtin().oauth2(&server.id);
    let who = match row.map(|row| row.client) {
        Some(Registrar::Gated) => "; this provider gives one after an approval only, which may take weeks",
        _ => "",
    };
    let secret = match row.and_then(|row| row.client_secret) {
        Some(Required::Required) => "\n  client_secret = \"...\"",
        None => "",
    };
    format!(
        "{}{who}; that is, write into {}:\n\n  [oauth2.{}]\n  client_id = \"...\"{secret}\n",
        fault::no_client_id(server),
        file.display(),
        server.id
    )
}

fn told_of_move(moved: Option<&Path>, report: &mut Report) {
    if let Some(place) = moved {
        report.good(
            Kind::Vault,
            format_args!(
                "the vault before it did not open and is kept as {}; other accounts that were in it have to sign in again, \
                 too",
                place.display()
            ),
        );
    }
}

fn tell(report: &Report) {
    report.findings().iter().map(Finding::sentence).for_each(say);
}

/// Whoever reads our output may stop early: that is no fault.
fn say(sentence: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{sentence}").and_then(|()| out.flush());
}
