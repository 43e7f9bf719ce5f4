//! One row of the provider table, as types; what the words mean stands at the head of `config/providers.toml`.

use serde::Deserialize;

use crate::mail::account::{Endpoint, FolderNames, Security};
use crate::mail::{Quirk, Quirks};

/// A provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Stable key: what `provider = "..."` names.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// What sort of provider it is.
    pub kind: Kind,
    /// Address domains, lower case.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Any domain that ends in a dot and one of these belongs here too.
    #[serde(default)]
    pub domain_suffixes: Vec<String>,
    /// IMAP servers, the one to use first. `None`: not known; empty: there is none.
    pub imap: Option<Vec<Server>>,
    /// Submission servers, the one to use first. `None`: not known; empty: there is none.
    pub smtp: Option<Vec<Server>>,
    /// How a user name is made from an address.
    pub username: Option<UserName>,
    /// The same for IMAP, where it differs.
    pub username_imap: Option<UserName>,
    /// The same for submission, where it differs.
    pub username_smtp: Option<UserName>,
    /// What the provider takes, in order of preference.
    pub auth: Vec<Auth>,
    /// Which `[oauth2.NAME]` its tokens come from.
    pub oauth2: Option<String>,
    /// What the owner of an account must switch on first, in sentences.
    pub enable_first: Option<String>,
    /// Who files sent mail.
    pub sent_copy: Option<SentCopy>,
    /// What `\Deleted` and EXPUNGE really do, in sentences.
    pub deleted: Option<String>,
    /// How the server tells the roles of its folders.
    pub special_use: Option<SpecialUse>,
    #[serde(default)]
    folders: Folders,
    /// What the provider limits.
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    quirks: Vec<KnownQuirk>,
    /// The provider's own pages.
    #[serde(default)]
    pub help: Help,
}

/// What sort of provider it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A mail service for everybody.
    Webmail,
    /// A mail service for organisations.
    Business,
    /// Comes with an Internet access.
    Isp,
    /// Comes with a web site.
    Hosting,
    /// A program on this machine.
    Bridge,
    /// Offers neither IMAP nor submission.
    None,
}

/// A server of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Host name, lower case; may hold `{domain}`, an address for a program on this machine.
    host: String,
    /// TCP port.
    pub port: u16,
    /// When TLS begins.
    pub security: ServerSecurity,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerSecurity {
    /// From the first octet.
    Tls,
    /// After STARTTLS, which is mandatory.
    #[serde(rename = "starttls")]
    StartTls,
    /// After STARTTLS, with a certificate that a program on this machine made for itself.
    #[serde(rename = "starttls-local")]
    StartTlsLocal,
}

/// How a user name is made from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserName {
    /// The whole address.
    Address,
    /// What stands before the `@`.
    LocalPart,
    /// The address; if that is refused, the local part.
    AddressThenLocalPart,
    /// The local part; if that is refused, the address.
    LocalPartThenAddress,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// A token from a sign-in with a browser.
    #[serde(rename = "oauth2")]
    OAuth2,
    /// A password made for mail programs.
    AppPassword,
    /// The password of the account.
    Password,
}

/// Who files sent mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentCopy {
    /// The provider, when mail is submitted.
    Provider,
    /// The client, by APPEND.
    Client,
    /// The user chooses at the provider.
    Setting,
    /// Reports disagree.
    Check,
}

/// How the server tells the roles of its folders (RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpecialUse {
    /// Attributes in every LIST.
    Always,
    /// Attributes where the capability is announced.
    Advertised,
    /// Not at all: folders are known by their names.
    No,
}

/// What the provider limits; every number counts for one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Simultaneous IMAP connections.
    pub imap_connections: Option<u32>,
    /// Simultaneous submission connections.
    pub smtp_connections: Option<u32>,
    /// Megabytes fetched over IMAP a day.
    pub imap_down_mb_day: Option<u32>,
    /// Megabytes APPENDed a day.
    pub imap_up_mb_day: Option<u32>,
    /// The largest message to submit, megabytes as the provider counts them.
    pub message_mb: Option<u32>,
    /// APPENDLIMIT in octets (RFC 7889).
    pub append_octets: Option<u64>,
    /// Recipients of one message.
    pub recipients_message: Option<u32>,
    /// Recipients a day.
    pub recipients_day: Option<u32>,
    /// Messages submitted a minute.
    pub messages_minute: Option<u32>,
    /// Messages submitted an hour.
    pub messages_hour: Option<u32>,
    /// Messages submitted a day.
    pub messages_day: Option<u32>,
    /// Messages visible in one folder.
    pub folder_messages: Option<u32>,
    /// Number of folders.
    pub folders: Option<u32>,
    /// Octets of the longest IMAP command line.
    pub line_octets: Option<u32>,
    /// The longest silence, in minutes, that was found safe.
    pub keepalive_minutes: Option<u32>,
}

/// The provider's own pages, as URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Help {
    /// Servers and ports.
    pub settings: Option<String>,
    /// How to allow mail programs.
    pub enable: Option<String>,
    /// How to get a password for mail programs.
    pub password: Option<String>,
    /// What is limited.
    pub limits: Option<String>,
}

/// Folder names by role, likeliest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Folders {
    sent: Vec<String>,
    trash: Vec<String>,
    junk: Vec<String>,
    drafts: Vec<String>,
    archive: Vec<String>,
    all: Vec<String>,
}

/// A quirk by its name in the table.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct KnownQuirk(Quirk);

impl TryFrom<String> for KnownQuirk {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Quirk::from_name(&name).map(Self).ok_or_else(|| format!("unknown quirk {name}"))
    }
}

impl Provider {
    /// What the server does otherwise.
    pub fn quirks(&self) -> Quirks {
        self.quirks.iter().map(|quirk| quirk.0).collect()
    }

    /// Folder names of this provider only.
    pub fn folders(&self) -> FolderNames {
        (&self.folders).into()
    }

    /// Whether nothing but OAuth2 gets anybody in here.
    pub fn takes_oauth2_only(&self) -> bool {
        !self.auth.is_empty() && self.auth.iter().all(|way| *way == Auth::OAuth2)
    }

    /// Whether the password of the account's web site is refused, so that one for mail programs is needed.
    pub fn wants_app_password(&self) -> bool {
        self.auth.contains(&Auth::AppPassword) && !self.auth.contains(&Auth::Password)
    }

    /// Whether `host`, in any case, is one of its IMAP servers.
    pub fn serves_imap_at(&self, host: &str) -> bool {
        let named = |server: &Server| {
            let mut domains = self.domains.iter().map(String::as_str).chain([""]);
            domains.any(|domain| server.host(domain).eq_ignore_ascii_case(host))
        };
        self.imap.iter().flatten().any(named)
    }

    /// User names for IMAP, to be tried in this order; never empty.
    pub fn imap_usernames(&self, address: &str) -> Vec<String> {
        self.username_imap.or(self.username).unwrap_or(UserName::Address).of(address)
    }

    /// User names for submission, to be tried in this order; never empty.
    pub fn smtp_usernames(&self, address: &str) -> Vec<String> {
        self.username_smtp.or(self.username).unwrap_or(UserName::Address).of(address)
    }

    /// The page that helps most when a login fails.
    pub fn login_help(&self) -> Option<&str> {
        [&self.help.password, &self.help.enable, &self.help.settings]
            .into_iter()
            .flatten()
            .next()
            .map(|page| &**page)
    }
}

impl UserName {
    /// The user names of `address`, to be tried in this order; never empty.
    pub fn of(self, address: &str) -> Vec<String> {
        let local_part = address.rsplit_once('@').map_or(address, |(local_part, _)| local_part);
        match self {
            Self::Address => vec![address.to_owned()],
            Self::LocalPart => vec![local_part.to_owned()],
            Self::AddressThenLocalPart => vec![address.to_owned(), local_part.to_owned()],
            Self::LocalPartThenAddress => vec![local_part.to_owned(), address.to_owned()],
        }
    }
}

impl Server {
    /// The host name for an address in `domain`, lower case.
    pub fn host(&self, domain: &str) -> String {
        self.host.replace("{domain}", &domain.to_ascii_lowercase())
    }

    /// Where to connect for an address in `domain`; `None` for a program on this machine whose certificate nobody
    /// vouches for.
    pub fn endpoint(&self, domain: &str) -> Option<Endpoint> {
        let security = match self.security {
            ServerSecurity::Tls => Security::Tls,
            ServerSecurity::StartTls => Security::StartTls,
            ServerSecurity::StartTlsLocal => return None,
        };
        Some(Endpoint { host: self.host(domain), port: self.port, security })
    }
}

impl From<&Folders> for FolderNames {
    fn from(folders: &Folders) -> Self {
        let Folders { sent, trash, junk, drafts, archive, all } = folders.clone();
        Self { sent, trash, junk, drafts, archive, all }
    }
}
