//! `[[account]]`: checked, and completed from the provider table.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::faults::{Faults, did_you_mean, shown};
use super::file;
use super::secret;
use super::values::{choice, host};
use crate::mail::Account;
use crate::mail::account::{
    BareNewline, Delete, Endpoint, Pop3Options, Security, Seen, Service, SmtpOptions,
};
use crate::provider::{Kind, Provider, Server, Table};

/// Every account; a fault in one does not hide those of the next.
pub(super) fn check_all(
    accounts: &[Spanned<file::Account>],
    path: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Vec<Arc<Account>> {
    if accounts.is_empty() {
        faults.whole("there is no [[account]]; add one with its address");
    }
    names_are_unique(accounts, faults);
    let checked = accounts.iter().filter_map(|account| check(account, path, faults, warnings));
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
    path: &Path,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Option<Account> {
    let span = account.span();
    let account = account.get_ref();
    // All of these are asked before any `?`, so that each fault is told.
    let address = address(account, span, faults);
    let login = login(account, faults);
    let username = plain(&account.username, "[[account]] username", faults);
    let secret = secret::check(account.secret.as_ref(), path, faults);
    let mask = mask(account, faults);
    let pop3 = pop3(&account.pop3, faults);
    let smtp_options = smtp_options(&account.smtp_options, faults);
    choice(&account.auth, "[[account]] auth", &[("password", ())], &["oauth2"], faults);
    let imap = account.imap.as_ref().map(|server| endpoint(server, Protocol::Imap, faults));
    let smtp = account.smtp.as_ref().map(|server| endpoint(server, Protocol::Smtp, faults));
    let named = account.provider.as_ref().map(|id| named(id, faults));
    let address = address?;
    let row = match named {
        Some(row) => Some(row?),
        None => row(address, &imap),
    };
    let found = servers(account, address, row, imap, smtp, faults, warnings)?;
    let names = |by_row: Option<Vec<String>>| match &username {
        Some(username) => vec![username.clone()],
        None => by_row.unwrap_or_else(|| vec![address.to_owned()]),
    };
    let smtp_names = || names(row.map(|row| row.smtp_usernames(address)));
    Some(Account {
        address: address.to_owned(),
        logins: std::iter::once(address.to_lowercase()).chain(login).collect(),
        provider: row.map(|row| row.id.as_str()),
        imap: Service { endpoint: found.imap, usernames: names(row.map(|row| row.imap_usernames(address))) },
        smtp: found.smtp.map(|endpoint| Service { endpoint, usernames: smtp_names() }),
        secret: secret?,
        mask,
        pop3,
        smtp_options,
        quirks: row.map(Provider::quirks).unwrap_or_default(),
        folders: Table::builtin().folder_names(row),
        imap_connections: row.and_then(|row| row.limits.imap_connections),
        help: row.and_then(Provider::login_help),
    })
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

fn login(account: &file::Account, faults: &mut Faults<'_>) -> Option<String> {
    plain(&account.login, "[[account]] login", faults).map(|login| login.to_lowercase())
}

/// Text that goes into a protocol's line: not empty, nothing that could end the line.
fn plain(text: &Option<Spanned<String>>, key: &str, faults: &mut Faults<'_>) -> Option<String> {
    let text = text.as_ref()?;
    if text.get_ref().is_empty() {
        faults.at(text.span(), format!("{key} is empty; leave it out for its default"));
        return None;
    }
    if text.get_ref().chars().any(char::is_control) {
        let given = shown(text.get_ref());
        faults.at(text.span(), format!("{key} = {given} has a control character; take it out"));
        return None;
    }
    Some(text.get_ref().clone())
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
        ("keep", Delete::Keep),
    ];
    let seens = [("never", Seen::Never), ("retrieved", Seen::Retrieved), ("deleted", Seen::Deleted)];
    let folder = plain(&file.folder, "[account.pop3] folder", faults).unwrap_or_else(|| "INBOX".into());
    Pop3Options {
        // INBOX is the one name without case (RFC 3501 §5.1).
        folder: if folder.eq_ignore_ascii_case("INBOX") { "INBOX".into() } else { folder },
        delete: choice(&file.delete, "[account.pop3] delete", &deletes, &["hide"], faults)
            .unwrap_or(Delete::Auto),
        seen: choice(&file.seen, "[account.pop3] seen", &seens, &[], faults).unwrap_or(Seen::Never),
    }
}

fn smtp_options(file: &file::SmtpOptions, faults: &mut Faults<'_>) -> SmtpOptions {
    let words = [("mend", BareNewline::Mend), ("reject", BareNewline::Reject)];
    let bare_newline = choice(&file.bare_newline, "[account.smtp_options] bare_newline", &words, &[], faults);
    SmtpOptions { bare_newline: bare_newline.unwrap_or(BareNewline::Mend) }
}

#[derive(Clone, Copy)]
enum Protocol {
    Imap,
    Smtp,
}

impl Protocol {
    fn key(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Smtp => "smtp",
        }
    }

    /// RFC 8314 §3.2, §3.3; RFC 3501 §2.1; RFC 6409 §3.1.
    fn usual_port(self, security: Security) -> u16 {
        match (self, security) {
            (Self::Imap, Security::Tls) => 993,
            (Self::Imap, Security::StartTls) => 143,
            (Self::Smtp, Security::Tls) => 465,
            (Self::Smtp, Security::StartTls) => 587,
        }
    }
}

/// A server spelled out; `None` after its faults were told.
fn endpoint(server: &Spanned<file::Server>, protocol: Protocol, faults: &mut Faults<'_>) -> Option<Endpoint> {
    let key = protocol.key();
    let span = server.span();
    let server = server.get_ref();
    let words = [("tls", Security::Tls), ("starttls", Security::StartTls)];
    let security = choice(&server.security, &format!("[[account]] {key}.security"), &words, &[], faults);
    // Where the word is unknown the fault is told, and the rest is looked at all the same.
    let security = security.unwrap_or(Security::Tls);
    let port = match &server.port {
        None => Some(protocol.usual_port(security)),
        Some(port) => match u16::try_from(*port.get_ref()) {
            Ok(number) if number != 0 => Some(number),
            _ => {
                let given = port.get_ref();
                faults.at(
                    port.span(),
                    format!("[[account]] {key}.port = {given} is not a port; write one from 1 to 65535"),
                );
                None
            }
        },
    };
    let host = match &server.host {
        None => {
            faults.at(span, format!("[[account]] {key} has no host; write {key} = {{ host = \"{key}.example.org\" }}"));
            None
        }
        Some(text) => host(text.get_ref()).or_else(|| {
            let given = shown(text.get_ref());
            faults.at(text.span(), format!("[[account]] {key}.host = {given} is not a host name; write the bare name (xn--... where it is not ASCII), the port goes into port"));
            None
        }),
    };
    Some(Endpoint { host: host?, port: port?, security })
}

/// The row that `provider` names; `None` after a fault was told.
fn named(id: &Spanned<String>, faults: &mut Faults<'_>) -> Option<&'static Provider> {
    let table = Table::builtin();
    table.by_id(id.get_ref()).or_else(|| {
        let given = shown(id.get_ref());
        let cure = match did_you_mean(id.get_ref(), table.rows().iter().map(|row| row.id.as_str())) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "leave it out and name the servers with imap = { ... } and smtp = { ... }".into(),
        };
        faults.at(id.span(), format!("[[account]] provider = {given} is not in the provider table; {cure}"));
        None
    })
}

/// The row that completes an account which names none.
fn row(address: &str, imap: &Option<Option<Endpoint>>) -> Option<&'static Provider> {
    let table = Table::builtin();
    let by_domain = table.by_domain(domain_of(address));
    match imap {
        None => by_domain,
        // Servers spelled out are the provider's only where they are the provider's: an address says little.
        Some(None) => None,
        Some(Some(imap)) => {
            by_domain.filter(|row| row.serves_imap_at(&imap.host)).or_else(|| table.by_imap_host(&imap.host))
        }
    }
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

struct Servers {
    imap: Endpoint,
    smtp: Option<Endpoint>,
}

/// Servers spelled out go before those of the row.
fn servers(
    account: &file::Account,
    address: &str,
    row: Option<&Provider>,
    imap: Option<Option<Endpoint>>,
    smtp: Option<Option<Endpoint>>,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) -> Option<Servers> {
    let domain = domain_of(address);
    let spelled_out = imap.is_some();
    let imap = match (imap, row) {
        (Some(imap), _) => imap,
        (None, Some(row)) => from_row(row, domain).map_err(|fault| at_provider(account, &fault, faults)).ok(),
        (None, None) => {
            let fault = format!(
                "no provider is known for {}; name its servers with imap = {{ host = \"...\" }} and smtp = {{ host = \"...\" }}",
                shown(domain)
            );
            at_provider(account, &fault, faults);
            None
        }
    };
    if spelled_out && row.is_some_and(Provider::takes_oauth2_only) {
        let name = row.map_or("the provider", |row| &row.name);
        warnings.push(format!("{address}: {name} is known to take an OAuth2 sign-in only, which this version does not have yet; a password will be refused"));
    }
    let by_row = row.filter(|_| !spelled_out || account.provider.is_some());
    let smtp = match smtp {
        Some(smtp) => Some(smtp?),
        None => by_row.and_then(|row| row.smtp.iter().flatten().find_map(|server| server.endpoint(domain))),
    };
    Some(Servers { imap: imap?, smtp })
}

/// The IMAP server of a row, or a clause that says why there is none for us.
fn from_row(row: &Provider, domain: &str) -> Result<Endpoint, String> {
    let name = &row.name;
    if row.kind == Kind::None {
        return Err(format!(
            "{name} offers neither IMAP nor submission, so no mail program can be connected to it"
        ));
    }
    if row.takes_oauth2_only() {
        return Err(format!(
            "{name} takes an OAuth2 sign-in only, which this version does not have yet; a password would be refused"
        ));
    }
    let Some(server) = row.imap.iter().flatten().next() else {
        return Err(format!(
            "no IMAP server of {name} is known; if there is one, name it with imap = {{ host = \"...\" }}"
        ));
    };
    Server::endpoint(server, domain).ok_or_else(|| {
        format!("{name} is a program on this machine with a certificate of its own making, which this version cannot check yet; mail programs can be connected to it directly")
    })
}

fn at_provider(account: &file::Account, fault: &str, faults: &mut Faults<'_>) {
    let place = account.provider.as_ref().or(account.address.as_ref());
    faults.at(place.map(Spanned::span).unwrap_or_default(), fault);
}
