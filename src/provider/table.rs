//! The whole table: parsed once, looked up by id, by address domain and by IMAP host.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::facts::{Folders, Kind, Provider};
use super::oauth2::AuthorizationServer;
use crate::mail::account::FolderNames;

/// Every provider known.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Provider>,
    folder_names: FolderNames,
    oauth2: HashMap<String, AuthorizationServer>,
    by_domain: HashMap<String, usize>,
    by_suffix: HashMap<String, usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Toml {
    folder_names: Folders,
    oauth2: HashMap<String, AuthorizationServer>,
    provider: Vec<Provider>,
}

impl Table {
    /// The table that is compiled in.
    pub fn builtin() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| {
            Table::parse(include_str!("../../config/providers.toml"))
                .expect("the tests parse the same octets")
        });
        &TABLE
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Toml { folder_names, oauth2, provider: rows } =
            toml::from_str(text).map_err(|error| error.to_string())?;
        let index = |domains: fn(&Provider) -> &[String]| {
            let rows = rows.iter().enumerate();
            rows.flat_map(|(at, row)| domains(row).iter().map(move |domain| (domain.clone(), at))).collect()
        };
        let by_domain = index(|row| &row.domains);
        let by_suffix = index(|row| &row.domain_suffixes);
        Ok(Self { by_domain, by_suffix, folder_names: (&folder_names).into(), oauth2, rows })
    }

    /// Every row, in the order of the file.
    pub fn rows(&self) -> &[Provider] {
        &self.rows
    }

    /// The row that `provider = "..."` names.
    pub fn by_id(&self, id: &str) -> Option<&Provider> {
        self.rows.iter().find(|row| row.id == id)
    }

    /// The authorization server that `oauth2 = "..."` names.
    pub fn oauth2(&self, id: &str) -> Option<&AuthorizationServer> {
        self.oauth2.get(id)
    }

    /// The names of all authorization servers, in no order.
    pub fn oauth2_ids(&self) -> impl Iterator<Item = &str> {
        self.oauth2.keys().map(String::as_str)
    }

    /// The row of an address domain, in any case: an exact match, else the longest suffix.
    pub fn by_domain(&self, domain: &str) -> Option<&Provider> {
        let domain = domain.to_ascii_lowercase();
        let exact = self.by_domain.get(&domain);
        let at = exact.or_else(|| parents(&domain).find_map(|parent| self.by_suffix.get(parent)))?;
        self.rows.get(*at)
    }

    /// The first row that has this IMAP host, in any case: a mailbox under a domain of one's own is still the provider's.
    ///
    /// An address of this machine is nobody's: anything may answer there.
    pub fn by_imap_host(&self, host: &str) -> Option<&Provider> {
        self.rows.iter().find(|row| row.kind != Kind::Bridge && row.serves_imap_at(host))
    }

    /// Folder names by role: this provider's first, then those seen anywhere.
    pub fn folder_names(&self, provider: Option<&Provider>) -> FolderNames {
        let own = provider.map(Provider::folders).unwrap_or_default();
        let seen = &self.folder_names;
        FolderNames {
            sent: joined(own.sent, &seen.sent),
            trash: joined(own.trash, &seen.trash),
            junk: joined(own.junk, &seen.junk),
            drafts: joined(own.drafts, &seen.drafts),
            archive: joined(own.archive, &seen.archive),
            all: joined(own.all, &seen.all),
        }
    }
}

/// What stands behind each dot of a domain, the longest first.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    domain.match_indices('.').filter_map(|(dot, _)| domain.get(dot + 1..))
}

fn joined(mut own: Vec<String>, seen: &[String]) -> Vec<String> {
    let new = seen.iter().filter(|name| !own.contains(name)).cloned().collect::<Vec<_>>();
    own.extend(new);
    own
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::mail::oauth2::Grant;
    use crate::provider::{ServerSecurity, UserName};

    fn each(check: impl Fn(&Provider)) {
        let table =
            Table::parse(include_str!("../../config/providers.toml")).expect("every row fits the types");
        assert!(table.rows().len() >= 100, "rows are missing");
        table.rows().iter().for_each(check);
    }

    fn is_host_name(host: &str) -> bool {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        host.len() <= 253 && host.contains('.') && host.split('.').all(label)
    }

    #[test]
    fn every_server_has_a_host_a_port_and_the_usual_security_of_that_port() {
        each(|row| {
            for server in row.imap.iter().chain(&row.smtp).flatten() {
                let local = server.security == ServerSecurity::StartTlsLocal;
                let security = match server.port {
                    587 if row.id == "spectrum" => ServerSecurity::Tls, // As its own pages say.
                    993 | 465 => ServerSecurity::Tls,
                    143 | 587 => ServerSecurity::StartTls,
                    _ => ServerSecurity::StartTlsLocal, // No other port is in use but Proton Bridge's own.
                };
                assert_eq!(server.security, security, "{}: {server:?}", row.id);
                assert_eq!(row.kind == Kind::Bridge, local, "{}: {server:?}", row.id);
                assert_eq!(server.endpoint("example.org").is_none(), local, "{}: {server:?}", row.id);
                assert!(local || is_host_name(&server.host("example.org")), "{}: {server:?}", row.id);
            }
        });
    }

    #[test]
    fn every_row_can_be_used_or_says_that_it_cannot() {
        each(|row| {
            assert!(is_host_name(&format!("{}.x", row.id)) && !row.name.is_empty(), "{}", row.id);
            let none = row.kind == Kind::None;
            assert_eq!(none, row.imap.as_ref().is_some_and(Vec::is_empty), "{}", row.id);
            assert_eq!(none, row.smtp.as_ref().is_some_and(Vec::is_empty), "{}", row.id);
            assert_eq!(none, row.auth.is_empty(), "{}", row.id);
            assert_eq!(none, row.username.is_none(), "{}", row.id);
        });
    }

    #[test]
    fn every_authorization_server_can_be_used_and_is() {
        let table = Table::builtin();
        let mut named = HashSet::new();
        each(|row| {
            let takes = row.auth.contains(&crate::provider::Auth::OAuth2);
            assert_eq!(row.oauth2.is_some(), takes, "{}", row.id);
            if let Some(id) = &row.oauth2 {
                assert!(table.oauth2(id).is_some(), "{}: {id}", row.id);
            }
        });
        named.extend(table.rows().iter().filter_map(|row| row.oauth2.as_deref()));
        for id in table.oauth2_ids() {
            let server = table.oauth2(id).expect("its own name");
            assert!(named.contains(id) || id.starts_with("microsoft-"), "{id} is of no use");
            let endpoints = [&server.authorization_endpoint, &server.device_authorization_endpoint];
            for endpoint in endpoints.into_iter().flatten().chain([&server.token_endpoint]) {
                assert!(endpoint.starts_with("https://"), "{id}: {endpoint}");
                let tenant = endpoint.contains("{tenant}");
                assert!(
                    !tenant || server.tenant.is_some() || server.grant == Grant::ClientCredentials,
                    "{id}"
                );
            }
            let person = server.grant == Grant::User;
            assert_eq!(server.authorization_endpoint.is_some() && server.redirect.is_some(), person, "{id}");
            assert!(!server.scopes_imap.is_empty() && !server.scopes_smtp.is_empty(), "{id}");
            assert!(!server.mechanisms.is_empty(), "{id}");
        }
    }

    #[test]
    fn every_help_page_is_a_url() {
        each(|row| {
            let help = &row.help;
            for page in [&help.settings, &help.enable, &help.password, &help.limits].into_iter().flatten() {
                assert!(page.starts_with("https://") || page.starts_with("http://"), "{}: {page}", row.id);
                assert!(page.bytes().all(|octet| octet.is_ascii_graphic()), "{}: {page}", row.id);
            }
        });
    }

    #[test]
    fn no_limit_is_nought() {
        each(|row| {
            let limits = format!("{:?}", row.limits);
            assert!(!limits.contains("(0)"), "{}: {limits}", row.id);
        });
    }

    #[test]
    fn every_id_and_every_domain_finds_its_row_and_no_other() {
        let table = Table::builtin();
        let mut seen = HashSet::new();
        each(|row| {
            assert_eq!(table.by_id(&row.id).map(|found| &found.name), Some(&row.name));
            for domain in &row.domains {
                assert!(is_host_name(domain), "{}: {domain}", row.id);
                let found = table.by_domain(&domain.to_ascii_uppercase()).map(|found| &found.id);
                assert_eq!(found, Some(&row.id), "{domain}");
            }
            for suffix in &row.domain_suffixes {
                assert!(is_host_name(suffix), "{}: {suffix}", row.id);
                let found = table.by_domain(&format!("not-listed.{suffix}")).map(|found| &found.id);
                assert_eq!(found, Some(&row.id), "{suffix}");
            }
        });
        for row in table.rows() {
            assert!(seen.insert(row.id.clone()), "{} twice", row.id);
            for domain in &row.domains {
                assert!(seen.insert(format!("@{domain}")), "{domain} twice");
            }
            for suffix in &row.domain_suffixes {
                assert!(seen.insert(format!("@.{suffix}")), "{suffix} twice");
            }
        }
    }

    #[test]
    fn a_domain_of_nobody_finds_nothing() {
        for domain in ["example.org", "", ".", "com", "notgmail.com", "x.gmail.com", "onmicrosoft.com"] {
            assert!(Table::builtin().by_domain(domain).is_none(), "{domain}");
        }
    }

    #[test]
    fn a_suffix_matches_whole_labels_only() {
        let found = |domain| Table::builtin().by_domain(domain).map(|row| row.id.as_str());
        assert_eq!(found("contoso.onmicrosoft.com"), Some("microsoft365"));
        assert_eq!(found("a.b.onmicrosoft.com"), Some("microsoft365"));
        assert_eq!(found("notonmicrosoft.com"), None);
    }

    #[test]
    fn user_names_are_made_as_the_row_says() {
        let table = Table::builtin();
        let icloud = table.by_id("icloud").expect("a row");
        assert_eq!(icloud.imap_usernames("ana@icloud.com"), ["ana", "ana@icloud.com"]);
        assert_eq!(icloud.smtp_usernames("ana@icloud.com"), ["ana@icloud.com"]);
        assert_eq!(UserName::LocalPart.of("\"a@b\"@example.org"), ["\"a@b\""]);
        assert_eq!(UserName::AddressThenLocalPart.of("a@b.org"), ["a@b.org", "a"]);
    }

    #[test]
    fn a_host_may_be_made_from_the_domain() {
        let row = Table::builtin().by_id("inbox-lv").expect("a row");
        let hosts = row.imap.iter().flatten().map(|server| server.host("INBOX.lv")).collect::<Vec<_>>();
        assert_eq!(hosts.first().map(String::as_str), Some("mail.inbox.lv"));
        assert_eq!(
            Table::builtin().by_imap_host("mail.inbox.lv").map(|row| row.id.as_str()),
            Some("inbox-lv")
        );
        assert!(Table::builtin().by_imap_host("mail.example.org").is_none());
        assert!(Table::builtin().by_imap_host("127.0.0.1").is_none());
    }

    #[test]
    fn an_imap_host_finds_its_row_in_any_case() {
        assert_eq!(Table::builtin().by_imap_host("IMAP.gmail.com").map(|row| row.id.as_str()), Some("gmail"));
    }

    #[test]
    fn folder_names_are_the_rows_own_first_and_none_is_lost() {
        let table = Table::builtin();
        let names = table.folder_names(table.by_id("icloud"));
        assert_eq!(names.trash.first().map(String::as_str), Some("Deleted Messages"));
        assert!(names.trash.iter().any(|name| name == "Papierkorb"));
        assert_eq!(names.trash.iter().filter(|name| *name == "Deleted Messages").count(), 1);
        assert_eq!(table.folder_names(None).trash.first().map(String::as_str), Some("Trash"));
    }

    #[test]
    fn only_oauth2_means_only_oauth2() {
        let found = |id| Table::builtin().by_id(id).map(Provider::takes_oauth2_only);
        assert_eq!(found("outlook"), Some(true));
        assert_eq!(found("gmail"), Some(false));
        assert_eq!(found("tuta"), Some(false));
    }
}
