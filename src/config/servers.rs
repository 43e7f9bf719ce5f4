//! An account's servers: spelled out, or found in the provider table.

use toml::Spanned;

use super::faults::{Faults, did_you_mean, shown};
use super::file;
use super::values::{choice, host};
use crate::mail::account::{Endpoint, Security};
use crate::provider::{Kind, Provider, Table};

/// What an account says of its servers.
pub(super) struct Given {
    provider: Said<&'static Provider>,
    imap: Said<Endpoint>,
    smtp: Said<Endpoint>,
}

/// A value that may be absent, or wrong and its fault told.
enum Said<T> {
    Nothing,
    Wrong,
    This(T),
}

/// Where an account lives.
pub(super) struct Servers {
    /// What is known of the provider.
    pub(super) row: Option<&'static Provider>,
    pub(super) imap: Endpoint,
    /// `None` where the account only reads.
    pub(super) smtp: Option<Endpoint>,
}

impl Given {
    /// Needs no address, so that these faults are told beside a wrong one.
    pub(super) fn check(account: &file::Account, faults: &mut Faults<'_>) -> Self {
        Self {
            provider: Said::of(&account.provider, |id| named(id, faults)),
            imap: Said::of(&account.imap, |server| endpoint(server, Protocol::Imap, faults)),
            smtp: Said::of(&account.smtp, |server| endpoint(server, Protocol::Smtp, faults)),
        }
    }

    /// Completed from the table; servers spelled out go before those of the row. `None` after a fault was told.
    pub(super) fn completed(
        self,
        account: &file::Account,
        address: &str,
        faults: &mut Faults<'_>,
    ) -> Option<Servers> {
        let row = self.row(address)?;
        let domain = domain_of(address);
        let imap = match self.imap {
            Said::Wrong => return None,
            Said::This(imap) => imap,
            Said::Nothing => {
                imap_of(row, domain).map_err(|fault| tell(account, address, &fault, faults)).ok()?
            }
        };
        // A row that was found by the IMAP server alone says nothing about where this account submits.
        let by_row = row.filter(|_| account.imap.is_none() || account.provider.is_some());
        let smtp = match self.smtp {
            Said::Wrong => return None,
            Said::This(smtp) => Some(smtp),
            Said::Nothing => {
                by_row.and_then(|row| row.smtp.iter().flatten().find_map(|server| server.endpoint(domain)))
            }
        };
        Some(Servers { row, imap, smtp })
    }

    /// The row that the account names, or that its address or its IMAP server tells; the outer `None` is a fault told.
    fn row(&self, address: &str) -> Option<Option<&'static Provider>> {
        let table = Table::builtin();
        let by_domain = table.by_domain(domain_of(address));
        match (&self.provider, &self.imap) {
            (Said::Wrong, _) | (_, Said::Wrong) => None,
            (Said::This(row), _) => Some(Some(row)),
            (Said::Nothing, Said::Nothing) => Some(by_domain),
            // Servers spelled out are the provider's only where they are the provider's: an address says little.
            (Said::Nothing, Said::This(imap)) => {
                let by_domain = by_domain.filter(|row| row.serves_imap_at(&imap.host));
                Some(by_domain.or_else(|| table.by_imap_host(&imap.host)))
            }
        }
    }
}

impl<T> Said<T> {
    fn of<F>(field: &Option<F>, check: impl FnOnce(&F) -> Option<T>) -> Self {
        match field.as_ref().map(check) {
            None => Self::Nothing,
            Some(None) => Self::Wrong,
            Some(Some(value)) => Self::This(value),
        }
    }
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
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

/// The IMAP server of a row, or a clause that says why there is none for us.
fn imap_of(row: Option<&Provider>, domain: &str) -> Result<Endpoint, String> {
    let Some(row) = row else {
        return Err(format!(
            "no provider is known for {}; name its servers with imap = {{ host = \"...\" }} and smtp = {{ host = \"...\" }}",
            shown(domain)
        ));
    };
    let name = &row.name;
    if row.kind == Kind::None {
        return Err(format!(
            "{name} offers neither IMAP nor submission, so no mail program can be connected to it"
        ));
    }
    let Some(server) = row.imap.iter().flatten().next() else {
        return Err(format!(
            "no IMAP server of {name} is known; if there is one, name it with imap = {{ host = \"...\" }}"
        ));
    };
    server.endpoint(domain).ok_or_else(|| {
        format!("{name} is a program on this machine with a certificate of its own making, which this version cannot check yet; mail programs can be connected to it directly")
    })
}

fn tell(account: &file::Account, address: &str, fault: &str, faults: &mut Faults<'_>) {
    let place = account.provider.as_ref().or(account.address.as_ref());
    let address = shown(address);
    faults.at(
        place.map(Spanned::span).unwrap_or_default(),
        format!("[[account]] address = {address}: {fault}"),
    );
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
    let security = choice(&server.security, &format!("[[account]] {key}.security"), &words, faults);
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
