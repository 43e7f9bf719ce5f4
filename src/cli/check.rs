//! `footbridge check`: whether it works, in sentences, each with its account.
//!
//! ```text
//!  passwords asked, one after the other ──▶ all accounts at once ──▶ printed in the order of the file
//! ```

use std::io::Write;
use std::sync::Arc;

use super::ask;
use super::{DONE, FAILED, WRONG, complain};
use crate::auth::gate;
use crate::auth::{Credentials, Stores};
use crate::config::Settings;
use crate::mail::Account;
use crate::mail::account::{Security, Service};
use crate::mailbox::{Mailbox, RemovalPlan};
use crate::net::{Connector, LocalTls};
use crate::provider::{Provider, Table};
use crate::store::Bodies;
use crate::upstream::{UpstreamError, submission};

/// What was found out about one account.
#[derive(Debug, Default)]
struct Report {
    sentences: Vec<String>,
    faults: usize,
}

impl Report {
    fn good(&mut self, account: &Account, clause: impl std::fmt::Display) {
        self.sentences.push(format!("{}: {clause}", account.address));
    }

    fn fault(&mut self, sentence: String) {
        self.sentences.push(sentence);
        self.faults += 1;
    }
}

/// Checks every account, or the one of this address.
pub(super) async fn check(settings: Settings, address: Option<&str>) -> u8 {
    settings.warnings.iter().for_each(say);
    let accounts = chosen(&settings, address);
    if accounts.is_empty() {
        complain(&format!("no account has the address {}", address.unwrap_or_default()));
        return WRONG;
    }
    let connector = Connector::new(settings.tls.clone(), settings.deadlines.clone());
    let stores =
        match Stores::open(settings.state.as_deref(), settings.vault_key.clone(), &accounts, &connector) {
            Ok(stores) => stores,
            Err(error) => {
                complain(&error.to_string());
                return WRONG;
            }
        };
    let mut running = Vec::new();
    for account in accounts {
        let credentials = credentials(&account, &stores).await;
        let inspection = tokio::spawn(inspect(connector.clone(), account.clone(), credentials));
        running.push((account, inspection));
    }
    let mut faults = shown_certificate(&settings);
    for (account, inspection) in running {
        let report = inspection.await.unwrap_or_else(|_| {
            let sentence =
                format!("{}: a fault in footbridge ended this check; please report it", account.address);
            Report { sentences: vec![sentence], faults: 1 }
        });
        report.sentences.iter().for_each(say);
        faults += report.faults;
    }
    if faults == 0 { DONE } else { FAILED }
}

/// What speaks against the certificate that mail programs are shown, and how many faults that is. Nothing is made here.
fn shown_certificate(settings: &Settings) -> usize {
    let Some(source) = settings.certificate_source().filter(|_| settings.shows_certificate()) else {
        return 0;
    };
    let complaint = match LocalTls::look(&source) {
        Ok(description) => description.and_then(|description| description.complaint),
        Err(error) => Some(error.to_string()),
    };
    complaint.iter().for_each(say);
    complaint.iter().count()
}

/// Whoever reads our output may stop early: `check | head -1` is no fault.
fn say(sentence: &String) {
    let _ = writeln!(std::io::stdout(), "{sentence}");
}

fn chosen(settings: &Settings, address: Option<&str>) -> Vec<Arc<Account>> {
    let address = address.map(str::to_lowercase);
    let wanted =
        |account: &&Arc<Account>| address.as_ref().is_none_or(|address| account.logins.contains(address));
    settings.accounts.iter().filter(wanted).cloned().collect()
}

/// `Ok(None)` where nobody has a password to give; `Err` is a sentence.
async fn credentials(account: &Account, stores: &Stores) -> Result<Option<Credentials>, String> {
    let stored = gate::credentials(account, stores)
        .await
        .map_err(|denied| format!("{}: {denied}", account.address))?;
    if stored.is_some() {
        return Ok(stored);
    }
    let asked = ask::password(&account.address)
        .map_err(|error| format!("{}: the password cannot be read: {error}", account.address))?;
    Ok(asked.map(Credentials::Password))
}

async fn inspect(
    connector: Connector,
    account: Arc<Account>,
    credentials: Result<Option<Credentials>, String>,
) -> Report {
    let mut report = Report::default();
    match credentials {
        Ok(Some(credentials)) => {
            reading(&connector, &account, &credentials, &mut report).await;
            submission(&connector, &account, &credentials, &mut report).await;
        }
        Ok(None) => without_password(&connector, &account, &mut report).await,
        Err(sentence) => {
            report.fault(sentence);
            without_password(&connector, &account, &mut report).await;
        }
    }
    report
}

async fn reading(
    connector: &Connector,
    account: &Arc<Account>,
    credentials: &Credentials,
    report: &mut Report,
) {
    // A check keeps no bodies.
    let opened = Mailbox::open(connector.clone(), account.clone(), credentials.clone(), Bodies::new(0)).await;
    let (mut mailbox, listing) = match opened {
        Ok(opened) => opened,
        Err(error) => return refused(account, &error, report),
    };
    let (host, folder) = (&account.imap.endpoint.host, &account.pop3.folder);
    let count = listing.messages.len();
    report.good(account, format_args!("IMAP login at {host} works, {folder} has {count} messages"));
    match mailbox.removal_plan().await {
        Ok(plan) => {
            report.good(account, format_args!("messages that a POP3 app deletes are {plan}"));
            if matches!(plan, RemovalPlan::Expunge | RemovalPlan::Flag)
                && let Some(deleted) = row(account).and_then(|row| row.deleted.as_ref())
            {
                report.good(account, format_args!("what that means at this provider: {deleted}"));
            }
        }
        Err(error) => report.fault(error.sentence(account)),
    }
    mailbox.close().await;
}

async fn submission(
    connector: &Connector,
    account: &Arc<Account>,
    credentials: &Credentials,
    report: &mut Report,
) {
    let Some(service) = &account.smtp else {
        return report.good(account, "no submission server is named, so apps can read but not send");
    };
    match submission::check_login(connector, account, credentials).await {
        Ok(()) => {
            let host = &service.endpoint.host;
            report.good(account, format_args!("submission login at {host} works"));
        }
        Err(error) => refused(account, &error, report),
    }
}

/// A login's fault, and what the provider wants switched on before a login can work.
fn refused(account: &Account, error: &UpstreamError, report: &mut Report) {
    report.fault(error.sentence(account));
    let Some(row) = row(account).filter(|_| matches!(error, UpstreamError::LoginRefused { .. })) else {
        return;
    };
    if row.wants_app_password() {
        let name = &row.name;
        report.good(account, format_args!("{name} wants an app password, not the one of its web site"));
    }
    if let Some(first) = &row.enable_first {
        report.good(account, format_args!("to be done at {} first: {first}", row.name));
    }
}

/// How far one gets without a password: names, addresses, and certificates where TLS begins at once.
async fn without_password(connector: &Connector, account: &Arc<Account>, report: &mut Report) {
    report.good(account, "no password was given, so no login was tried");
    for (name, service) in [("IMAP", Some(&account.imap)), ("submission", account.smtp.as_ref())] {
        let Some(Service { endpoint, .. }) = service else { continue };
        let (host, port) = (&endpoint.host, endpoint.port);
        match (connector.connect(endpoint).await, endpoint.security) {
            (Ok(_), Security::Tls) => {
                report.good(
                    account,
                    format_args!("the {name} server {host}:{port} answers, its certificate is trusted"),
                );
            }
            (Ok(_), Security::StartTls) => report.good(
                account,
                format_args!(
                    "the {name} server {host}:{port} answers; its certificate is seen at a login only"
                ),
            ),
            (Err(error), _) => report.fault(UpstreamError::from(error).sentence(account)),
        }
    }
}

fn row(account: &Account) -> Option<&'static Provider> {
    Table::builtin().by_id(account.provider?)
}
