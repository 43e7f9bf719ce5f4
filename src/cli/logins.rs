//! Logs in to an account's servers and says how it went.

use std::sync::Arc;

use futures_util::TryFutureExt;

use super::report::{Kind, Report};
use crate::auth::Credentials;
use crate::mail::Account;
use crate::mailbox::{Mailbox, Opening, Resources};
use crate::net::Connector;
use crate::provider::{Provider, Table};
use crate::upstream::{UpstreamError, submission};

/// The mailbox that POP3 apps see.
///
/// # Errors
/// It does not open; that is in the report.
pub(super) async fn imap(
    connector: &Connector,
    account: &Arc<Account>,
    credentials: &Credentials,
    report: &mut Report,
) -> Result<Mailbox, UpstreamError> {
    // Nothing is kept of what is not shown.
    let resources = Resources::in_memory(0);
    let opening = Mailbox::open(connector.clone(), account.clone(), credentials.clone(), None, resources);
    match opening.and_then(Opening::listed).await {
        Ok((mailbox, listing)) => {
            let (host, folder) = (&account.imap.endpoint.host, &account.pop3.folder);
            let count = listing.messages.len();
            let clause = format!("IMAP login at {host} works, {folder} has {count} messages");
            report.good(Kind::Imap, clause);
            Ok(mailbox)
        }
        Err(error) => {
            refused(account, Kind::Imap, &error, report);
            Err(error)
        }
    }
}

/// The server mail is sent through, where there is one; `before` is what came of [`imap`].
pub(super) async fn submission(
    connector: &Connector,
    account: &Arc<Account>,
    credentials: &Credentials,
    before: Option<&UpstreamError>,
    report: &mut Report,
) {
    let Some(service) = &account.smtp else {
        return report.good(Kind::Smtp, "no submission server is named, so apps can read but not send");
    };
    // Another token is not to be had within a minute, or not at all.
    if matches!(before, Some(UpstreamError::TokenRefused { .. } | UpstreamError::NoToken(_))) {
        let clause = "no submission login was tried, since the same would be shown there";
        return report.good(Kind::Smtp, clause);
    }
    match submission::check_login(connector, account, credentials).await {
        Ok(()) => {
            let host = &service.endpoint.host;
            report.good(Kind::Smtp, format_args!("submission login at {host} works"));
        }
        Err(error) => refused(account, Kind::Smtp, &error, report),
    }
}

/// A login's fault, and what the provider wants switched on before a login can work.
fn refused(account: &Account, kind: Kind, error: &UpstreamError, report: &mut Report) {
    report.fault(kind, error.sentence(account));
    let refused = matches!(
        error,
        UpstreamError::LoginRefused { .. }
            | UpstreamError::TokenRefused { .. }
            | UpstreamError::NotServed { .. }
    );
    let Some(row) = row(account).filter(|_| refused) else { return };
    if row.wants_app_password() && matches!(error, UpstreamError::LoginRefused { .. }) {
        let name = &row.name;
        report
            .good(Kind::Provider, format_args!("{name} wants an app password, not the one of its web site"));
    }
    if let Some(first) = &row.enable_first {
        report.good(Kind::Provider, format_args!("to be done at {} first: {first}", row.name));
    }
}

/// The provider's row in the table, where the account has one.
pub(super) fn row(account: &Account) -> Option<&'static Provider> {
    Table::builtin().by_id(account.provider?)
}
