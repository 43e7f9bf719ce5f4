//! `footbridge check`: whether it works, in sentences, each with its account.
//!
//! ```text
//!  passwords asked, one after the other ──▶ all accounts at once ──▶ printed in the order of the file
//! ```

use std::io::Write;
use std::sync::Arc;

use serde_json::json;

use super::ask;
use super::logins;
use super::report::{Finding, Kind, Report};
use super::run::signals;
use super::when;
use super::{DONE, FAILED, WRONG, complain, stores};
use crate::auth::gate::{self, Gate};
use crate::auth::oauth::State;
use crate::auth::{Credentials, Stores};
use crate::config::Settings;
use crate::mail::account::{Auth, SecretSource, Security, Service};
use crate::mail::{Account, OAuth2};
use crate::mailbox::RemovalPlan;
use crate::net::{Connector, LocalTls};
use crate::upstream::UpstreamError;

/// Checks every account, or the one of this address.
pub(super) async fn check(settings: Settings, address: Option<&str>, json: bool) -> u8 {
    let accounts = chosen(&settings, address);
    if accounts.is_empty() {
        complain(&format!("no account has the address {}", address.unwrap_or_default()));
        return WRONG;
    }
    let connector = Connector::new(settings.tls.clone(), settings.deadlines.clone());
    let stores = match stores(&settings, &accounts, &connector) {
        Ok(stores) => stores,
        Err(code) => return code,
    };
    // Without a handler Ctrl-C would leave the terminal without its echo.
    let stopping = match signals() {
        Ok(stopping) => stopping,
        Err(code) => return code,
    };
    let checked = async {
        let mut of_machine = Vec::from_iter(vault(&stores).await);
        let shut = !of_machine.iter().all(Finding::is_ok);
        let mut running = Vec::new();
        for account in accounts {
            let gate = Gate::new(stores.clone());
            let credentials = if shut && gate::needs_vault(&account) {
                Err("what it shows its provider is in the vault, which does not open".to_owned())
            } else {
                credentials(&account, &gate, &stopping).await
            };
            if stopping.is_cancelled() {
                return FAILED;
            }
            let inspection =
                tokio::spawn(inspect(connector.clone(), account.clone(), stores.clone(), gate, credentials));
            running.push((account, inspection));
        }
        of_machine.extend(shown_certificate(&settings));
        let mut reports = Vec::new();
        for (account, inspection) in running {
            reports.push(inspection.await.unwrap_or_else(|_| {
                let mut report = Report::new(&account);
                report.bad(Kind::Program, "a fault in footbridge ended this check; please report it");
                report
            }));
        }
        let good = of_machine.iter().all(Finding::is_ok) && reports.iter().all(Report::is_ok);
        if json {
            print_json(good, &settings.warnings, &of_machine, &reports);
        } else {
            let findings = of_machine.iter().chain(reports.iter().flat_map(Report::findings));
            settings.warnings.iter().map(String::as_str).chain(findings.map(Finding::sentence)).for_each(say);
        }
        if good { DONE } else { FAILED }
    };
    stopping.run_until_cancelled(checked).await.unwrap_or(FAILED)
}

/// Whoever reads our output may stop early: `check | head -1` is no fault.
fn say(sentence: &str) {
    let _ = writeln!(std::io::stdout(), "{sentence}");
}

fn print_json(ok: bool, warnings: &[String], of_machine: &[Finding], reports: &[Report]) {
    let accounts = reports.iter().map(
        |report| json!({ "address": report.address(), "ok": report.is_ok(), "findings": report.findings() }),
    );
    let accounts = accounts.collect::<Vec<_>>();
    say(&json!({ "ok": ok, "warnings": warnings, "findings": of_machine, "accounts": accounts }).to_string());
}

fn chosen(settings: &Settings, address: Option<&str>) -> Vec<Arc<Account>> {
    let address = address.map(str::to_lowercase);
    let wanted =
        |account: &&Arc<Account>| address.as_ref().is_none_or(|address| account.logins.contains(address));
    settings.accounts.iter().filter(wanted).cloned().collect()
}

/// Which key the vault has, where an account keeps something in it.
async fn vault(stores: &Stores) -> Option<Finding> {
    let vault = stores.vault.clone()?;
    let described = tokio::task::spawn_blocking(move || vault.describe()).await;
    let described = described.ok()?.map_err(|error| error.to_string());
    Some(Finding::of_machine(Kind::Vault, described))
}

/// What speaks against the certificate that mail programs are shown. Nothing is made here.
fn shown_certificate(settings: &Settings) -> Option<Finding> {
    let source = settings.certificate_source().filter(|_| settings.shows_certificate())?;
    let complaint = match LocalTls::look(&source) {
        Ok(description) => description.and_then(|description| description.complaint),
        Err(error) => Some(error.to_string()),
    };
    complaint.map(|complaint| Finding::of_machine(Kind::Certificate, Err(complaint)))
}

/// `Ok(None)` where nobody has a password to give; `Err` is a clause.
async fn credentials(
    account: &Account,
    gate: &Gate,
    stopping: &tokio_util::sync::CancellationToken,
) -> Result<Option<Credentials>, String> {
    let stored = gate.credentials(account).await.map_err(|denied| denied.to_string())?;
    if stored.is_some() {
        return Ok(stored);
    }
    let prompt =
        format!("The provider's password of {} (nothing: check without logging in): ", account.address);
    let asked = ask::hidden(prompt, stopping).await;
    let asked = asked.map_err(|error| format!("the password cannot be read: {error}"))?;
    Ok(asked.map(Credentials::Password))
}

async fn inspect(
    connector: Connector,
    account: Arc<Account>,
    stores: Stores,
    gate: Gate,
    credentials: Result<Option<Credentials>, String>,
) -> Report {
    let mut report = Report::new(&account);
    bridge_passwords(&account, &stores, &mut report);
    let usable = match credentials {
        Ok(Some(credentials)) => usable(&account, &gate, credentials, &mut report).await,
        Ok(None) => {
            report.good(Kind::Password, "no password was given, so no login was tried");
            None
        }
        Err(clause) => {
            report.bad(Kind::Password, format_args!("{clause}; so no login was tried"));
            None
        }
    };
    match usable {
        Some(credentials) => {
            let before = reading(&connector, &account, &credentials, &mut report).await.err();
            logins::submission(&connector, &account, &credentials, before.as_ref(), &mut report).await;
        }
        None => reachable(&connector, &account, &mut report).await,
    }
    report
}

/// What mail programs show, where that is not the provider's password.
fn bridge_passwords(account: &Account, stores: &Stores, report: &mut Report) {
    if matches!(account.secret, SecretSource::App) {
        return;
    }
    let address = &account.address;
    match stores.passwords.list(address) {
        Err(error) => report.bad(Kind::BridgePasswords, error),
        Ok(list) if list.is_empty() && gate::opens_itself(account) => report.good(
            Kind::BridgePasswords,
            format_args!(
                "it has no bridge password, so mail programs show the stored one; to make one: footbridge account \
                 password {address}"
            ),
        ),
        Ok(list) if list.is_empty() => report.bad(
            Kind::BridgePasswords,
            format_args!(
                "there is no bridge password yet, so no mail program gets in; run: footbridge account password {address}"
            ),
        ),
        Ok(list) => {
            let last = list.iter().filter_map(|one| one.used).max();
            let used =
                last.map_or("none used yet".to_owned(), |at| format!("last used {}", when::shown(at)));
            let count = list.len();
            let plural = if count == 1 { "" } else { "s" };
            report.good(
                Kind::BridgePasswords,
                format_args!("mail programs have {count} bridge password{plural}, {used}"),
            );
        }
    }
}

/// What can be shown to the servers: access tokens are asked for first, and renewed if need be.
async fn usable(
    account: &Account,
    gate: &Gate,
    credentials: Credentials,
    report: &mut Report,
) -> Option<Credentials> {
    let Auth::OAuth2(server) = &account.auth else {
        if matches!(account.secret, SecretSource::Vault) {
            report.good(Kind::Password, "its password is in the vault");
        }
        return Some(credentials);
    };
    let current = credentials.current().await;
    // Behind the renewal, which changes it; not looked at again, since that may run a program.
    if let Some(state) = gate.sign_in_known().await {
        signed_in(server, &state, current.is_ok(), report);
    }
    match current {
        Ok(_) => Some(credentials),
        Err(why) => {
            report.fault(Kind::Token, UpstreamError::from(why).sentence(account));
            None
        }
    }
}

fn signed_in(server: &OAuth2, state: &State, has_token: bool, report: &mut Report) {
    if let Some(at) = state.signed_in_at {
        report.good(Kind::SignIn, format_args!("signed in to {} since {}", server.name, when::shown(at)));
    }
    if !has_token {
        return;
    }
    let until = state.expires_at.map_or_else(
        || "an access token was given, and is asked for again when it ends".to_owned(),
        |at| format!("the access token is good until {} and is renewed by itself", when::shown(at)),
    );
    let scopes = match state.scopes.as_slice() {
        [] => String::new(),
        scopes => format!("; it is good for {}", scopes.join(" ")),
    };
    let missing = missing(&server.scopes, &state.scopes);
    let missing = if missing.is_empty() {
        String::new()
    } else {
        format!("; not granted, as far as the token server tells: {}", missing.join(" "))
    };
    report.good(Kind::Token, format_args!("{until}{scopes}{missing}"));
}

/// Scopes that were asked for and not granted, by their last word: servers name the same thing by several hosts. Those
/// that no mail server asks about are passed over. Where the server does not say what it granted, it is what was asked
/// for (RFC 6749 §5.1).
fn missing<'a>(asked: &'a [String], granted: &[String]) -> Vec<&'a str> {
    const ASIDE: [&str; 4] = ["openid", "profile", "email", "offline_access"];
    let word = |scope: &str| {
        let scope = scope.trim_end_matches('/');
        scope.rsplit('/').next().unwrap_or(scope).to_ascii_lowercase()
    };
    let has = |scope: &&str| granted.iter().any(|given| word(given) == word(scope));
    let wanted = asked.iter().map(String::as_str).filter(|scope| !ASIDE.contains(scope));
    wanted.filter(|scope| !granted.is_empty() && !has(scope) && word(scope) != ".default").collect()
}

async fn reading(
    connector: &Connector,
    account: &Arc<Account>,
    credentials: &Credentials,
    report: &mut Report,
) -> Result<(), UpstreamError> {
    let mut mailbox = logins::imap(connector, account, credentials, report).await?;
    match mailbox.removal_plan().await {
        Ok(plan) => {
            report.good(Kind::Deletion, format_args!("messages that a POP3 app deletes are {plan}"));
            if matches!(plan, RemovalPlan::Expunge | RemovalPlan::Flag)
                && let Some(deleted) = logins::row(account).and_then(|row| row.deleted.as_ref())
            {
                report.good(Kind::Deletion, format_args!("what that means at this provider: {deleted}"));
            }
            if matches!(mailbox.expunges_all_marked(&plan).await, Ok(true)) {
                report.good(
                    Kind::Deletion,
                    "the server can only expunge all that is marked deleted, so marks of other programs are lifted for \
                     that moment; delete = \"flag\" never expunges",
                );
            }
        }
        Err(error) => report.fault(Kind::Deletion, error.sentence(account)),
    }
    mailbox.close().await;
    Ok(())
}

/// How far one gets without logging in: names, addresses, and certificates where TLS begins at once.
async fn reachable(connector: &Connector, account: &Arc<Account>, report: &mut Report) {
    for (kind, name, service) in
        [(Kind::Imap, "IMAP", Some(&account.imap)), (Kind::Smtp, "submission", account.smtp.as_ref())]
    {
        let Some(Service { endpoint, .. }) = service else { continue };
        let (host, port) = (&endpoint.host, endpoint.port);
        match (connector.connect(endpoint).await, endpoint.security) {
            (Ok(_), Security::Tls) => report.good(
                kind,
                format_args!("the {name} server {host}:{port} answers, its certificate is trusted"),
            ),
            (Ok(_), Security::StartTls) => report.good(
                kind,
                format_args!(
                    "the {name} server {host}:{port} answers; its certificate is seen at a login only"
                ),
            ),
            (Err(error), _) => report.fault(kind, UpstreamError::from(error).sentence(account)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_were_not_granted_are_found_whatever_host_names_them() {
        let list = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        let asked = list(&[
            "https://outlook.office.com/IMAP.AccessAsUser.All",
            "https://outlook.office.com/SMTP.Send",
            "offline_access",
        ]);
        let imap = list(&["https://outlook.office365.com/imap.accessasuser.all"]);
        assert_eq!(missing(&asked, &imap), ["https://outlook.office.com/SMTP.Send"]);
        assert!(missing(&asked, &asked).is_empty() && missing(&asked, &[]).is_empty());
        let google = list(&["https://mail.google.com/"]);
        assert!(missing(&google, &google).is_empty());
        assert_eq!(missing(&google, &list(&["openid"])), ["https://mail.google.com/"]);
    }
}
