//! `[[account]]`: checked, and completed from the provider table.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::faults::{Faults, did_you_mean, shown};
use super::file;
use super::oauth2::Known;
use super::secret;
use super::servers::{Given, Servers};
use super::values::{choice, days, plain};
use crate::mail::Account;
use crate::mail::account::{
    Auth, BareNewline, Delete, Pop3Options, SecretSource, Seen, Service, SmtpOptions,
};
use crate::provider::{Provider, Table};

/// Every account; a fault in one does not hide those of the next.
pub(super) fn check_all(
    accounts: &[Spanned<file::Account>],
    known: &Known,
    path: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Vec<Arc<Account>> {
    if accounts.is_empty() {
        faults.whole("there is no [[account]]; add one with its address");
    }
    names_are_unique(accounts, faults);
    let checked = accounts.iter().filter_map(|account| check(account, known, path, faults, warnings));
    checked.map(Arc::new).collect()
}

/// An app's login name must lead to one account only.
fn names_are_unique(accounts: &[Spanned<file::Account>], faults: &mut Faults<'_>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, account) in accounts.iter().enumerate() {
        let account = account.get_ref();
        for (key, name) in [("address", &account.address), ("login", &account.login)] {
            let Some(name) = name else { continue };
            let first = *seen.entry(name.get_ref().to_lowercase()).or_insert(number);
            if first != number {
                let given = shown(name.get_ref());
                let fault = format!(
                    "[[account]] {key} = {given} is taken by another account; an app's login name must lead to one"
                );
                faults.at(name.span(), fault);
            }
        }
    }
}

fn check(
    account: &Spanned<file::Account>,
    known: &Known,
    path: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Option<Account> {
    let span = account.span();
    let account = account.get_ref();
    // All of these are asked before any `?`, so that each fault is told.
    let address = address(account, span, faults);
    let login = plain(&account.login, "[[account]] login", faults).map(|login| login.to_lowercase());
    let username = plain(&account.username, "[[account]] username", faults);
    let secret = secret::check(account.secret.as_ref(), path, faults);
    let mask = mask(account, faults);
    let pop3 = pop3(&account.pop3, faults);
    let smtp_options = smtp_options(&account.smtp_options, faults);
    let words = [("password", Way::Password), ("oauth2", Way::OAuth2)];
    let way = choice(&account.auth, "[[account]] auth", &words, faults);
    let named = plain(&account.oauth2, "[[account]] oauth2", faults);
    let given = Given::check(account, faults);
    let address = address?;
    let Servers { row, imap, smtp } = given.completed(account, address, faults)?;
    let secret = secret?;
    let auth = match way.unwrap_or_else(|| usual_way(account, row, secret.as_ref())) {
        Way::Password => {
            warnings.extend(row.filter(|row| row.takes_oauth2_only()).map(|row| oauth2_only(row, address)));
            Auth::Password
        }
        Way::OAuth2 => Auth::OAuth2(authorization_server(account, named, row, known, faults)??),
    };
    let secret = match (&auth, secret) {
        (Auth::OAuth2(_), None) => SecretSource::Vault,
        (Auth::OAuth2(_), Some(SecretSource::App)) => {
            let span = account.secret.as_ref().map(Spanned::span).unwrap_or_default();
            faults.at(span, "[[account]] secret = \"app\" and auth = \"oauth2\" do not go together: no mail program has the token; leave secret out, and make a password for the mail program with: footbridge account password ADDRESS");
            return None;
        }
        (_, secret) => secret.unwrap_or(SecretSource::App),
    };
    let names = |by_row: fn(&Provider, &str) -> Vec<String>| match &username {
        Some(username) => vec![username.clone()],
        None => row.map_or_else(|| vec![address.to_owned()], |row| by_row(row, address)),
    };
    Some(Account {
        address: address.to_owned(),
        logins: std::iter::once(address.to_lowercase()).chain(login).collect(),
        provider: row.map(|row| row.id.as_str()),
        imap: Service { endpoint: imap, usernames: names(Provider::imap_usernames) },
        smtp: smtp.map(|endpoint| Service { endpoint, usernames: names(Provider::smtp_usernames) }),
        auth,
        secret,
        mask,
        pop3,
        smtp_options,
        quirks: row.map(Provider::quirks).unwrap_or_default(),
        folders: Table::builtin().folder_names(row),
        imap_connections: row.and_then(|row| row.limits.imap_connections),
        imap_down_a_day: row.and_then(|row| row.limits.imap_down_mb_day).map(|mb| u64::from(mb) * 1_000_000),
        help: row.and_then(Provider::login_help),
    })
}

/// How an account logs in upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Password,
    OAuth2,
}

/// What an account that says nothing of `auth` means: OAuth2 where nothing else gets anybody in, or where it names the
/// server for it.
fn usual_way(account: &file::Account, row: Option<&Provider>, secret: Option<&SecretSource>) -> Way {
    let oauth2 = account.oauth2.is_some() || row.is_some_and(Provider::takes_oauth2_only);
    if oauth2 && matches!(secret, None | Some(SecretSource::Vault)) { Way::OAuth2 } else { Way::Password }
}

/// The table may be older than the provider: a password is tried where one is asked for.
fn oauth2_only(row: &Provider, address: &str) -> String {
    let name = &row.name;
    format!(
        "{address}: {name} is known to take an OAuth2 sign-in only, a password will be refused; write auth = \"oauth2\""
    )
}

/// Where the account's tokens come from; the outer `None` after a fault was told here, the inner one after one of the
/// server itself.
fn authorization_server(
    account: &file::Account,
    named: Option<String>,
    row: Option<&Provider>,
    known: &Known,
    faults: &mut Faults<'_>,
) -> Option<Option<Arc<crate::mail::OAuth2>>> {
    let place = account.oauth2.as_ref().or(account.auth.as_ref()).or(account.address.as_ref());
    let span = place.map(Spanned::span).unwrap_or_default();
    let Some(id) = named.or_else(|| row.and_then(|row| row.oauth2.clone())) else {
        if account.oauth2.is_none() {
            faults.at(span, "[[account]] auth = \"oauth2\": it is not known where this provider's tokens come from; name it with oauth2 = \"NAME\", and describe it in [oauth2.NAME]");
        }
        return None;
    };
    known
        .get(&id)
        .map_err(|()| {
            let given = shown(&id);
            let in_table = Table::builtin().oauth2(&id).is_some();
            let cure = match did_you_mean(&id, known.ids()) {
                _ if in_table => {
                    format!("it needs [oauth2.{id}] with its tenant, client_id and client_secret")
                }
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "describe it in [oauth2.NAME]".to_owned(),
            };
            faults.at(
                span,
                format!("[[account]] oauth2 = {given}: there is no such authorization server; {cure}"),
            );
        })
        .ok()
}

fn address<'a>(
    account: &'a file::Account,
    span: std::ops::Range<usize>,
    faults: &mut Faults<'_>,
) -> Option<&'a str> {
    let Some(text) = &account.address else {
        faults.at(span, "this [[account]] has no address; write address = \"you@example.org\"");
        return None;
    };
    let address = text.get_ref().as_str();
    let odd = |c: char| c.is_control() || c.is_whitespace();
    let parts =
        address.rsplit_once('@').filter(|(local_part, domain)| !local_part.is_empty() && !domain.is_empty());
    if parts.is_none() || address.contains(odd) {
        let given = shown(address);
        faults.at(text.span(), format!("[[account]] address = {given} is not a mail address; write one like you@example.org, another name for the app goes into login"));
        return None;
    }
    Some(address)
}

fn mask(account: &file::Account, faults: &mut Faults<'_>) -> Vec<String> {
    for text in &account.mask {
        let word = text.get_ref();
        let atom = |octet: u8| octet.is_ascii_graphic() && !b"(){%*\"\\]".contains(&octet);
        if word.is_empty() || !word.bytes().all(atom) {
            let given = shown(word);
            faults.at(
                text.span(),
                format!("[[account]] mask: {given} is not an IMAP capability; write one like \"CONDSTORE\""),
            );
        } else if word.eq_ignore_ascii_case("IMAP4rev1") {
            faults.at(text.span(), "[[account]] mask: no IMAP app works without IMAP4rev1; take it out");
        }
    }
    account.mask.iter().map(|text| text.get_ref().to_ascii_uppercase()).collect()
}

fn pop3(file: &file::Pop3, faults: &mut Faults<'_>) -> Pop3Options {
    let deletes = [
        ("auto", Delete::Auto),
        ("trash", Delete::Trash),
        ("archive", Delete::Archive),
        ("expunge", Delete::Expunge),
        ("flag", Delete::Flag),
        ("hide", Delete::Hide),
        ("keep", Delete::Keep),
    ];
    let seens = [("never", Seen::Never), ("retrieved", Seen::Retrieved), ("deleted", Seen::Deleted)];
    let recent = file.recent.as_ref().and_then(|text| {
        let recent = days(text.get_ref());
        if recent.is_none() {
            let given = shown(text.get_ref());
            let fault = format!(
                "[account.pop3] recent = {given} is not a time in days; write it like \"30 days\", or leave it out to show all"
            );
            faults.at(text.span(), fault);
        }
        recent
    });
    let folder = plain(&file.folder, "[account.pop3] folder", faults).unwrap_or_else(|| "INBOX".into());
    Pop3Options {
        // INBOX is the one name without case (RFC 3501 §5.1).
        folder: if folder.eq_ignore_ascii_case("INBOX") { "INBOX".into() } else { folder },
        delete: choice(&file.delete, "[account.pop3] delete", &deletes, faults).unwrap_or(Delete::Auto),
        seen: choice(&file.seen, "[account.pop3] seen", &seens, faults).unwrap_or(Seen::Never),
        recent,
        watch: file.watch,
    }
}

fn smtp_options(file: &file::SmtpOptions, faults: &mut Faults<'_>) -> SmtpOptions {
    let words = [("mend", BareNewline::Mend), ("reject", BareNewline::Reject)];
    let bare_newline = choice(&file.bare_newline, "[account.smtp_options] bare_newline", &words, faults);
    SmtpOptions { bare_newline: bare_newline.unwrap_or(BareNewline::Mend) }
}
