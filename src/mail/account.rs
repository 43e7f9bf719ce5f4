//! An account as the settings left it: whose mail, where it lives, how the app may have it.

use std::path::PathBuf;
use std::sync::Arc;

use super::{OAuth2, Quirks, Secret};

/// One `[[account]]` of the configuration, checked and completed from the provider table.
#[derive(Clone, Debug)]
pub struct Account {
    /// The address as the user wrote it; for messages to the user.
    pub address: String,
    /// What an app may log in as, lower case; the address is among them.
    pub logins: Vec<String>,
    /// The provider row that completed this account.
    pub provider: Option<&'static str>,
    /// Where mail is read.
    pub imap: Service,
    /// Where mail is submitted; `None` where the account reads only.
    pub smtp: Option<Service>,
    /// How upstream is logged in to.
    pub auth: Auth,
    /// Where upstream's password comes from, or with OAuth2 the refresh token.
    pub secret: SecretSource,
    /// IMAP capabilities hidden from the apps, upper case.
    pub mask: Vec<String>,
    /// How POP3 apps see the mailbox.
    pub pop3: Pop3Options,
    /// How submission treats a message.
    pub smtp_options: SmtpOptions,
    /// What the provider's server does otherwise.
    pub quirks: Quirks,
    /// Folder names by role, for servers that do not tell (RFC 6154); decoded from modified UTF-7, likeliest first.
    pub folders: FolderNames,
    /// Simultaneous IMAP connections the provider allows, where known.
    pub imap_connections: Option<u32>,
    /// Octets the provider sends over IMAP a day, where known.
    pub imap_down_a_day: Option<u64>,
    /// A page of the provider that helps with passwords or settings, where known.
    pub help: Option<&'static str>,
}

impl Account {
    /// What tells its mailboxes from any other's: the address, the server and its port, the user names.
    ///
    /// Another server may give another mailbox the same UIDVALIDITY, and so may the same server to another user.
    pub fn mailboxes(&self) -> impl Iterator<Item = String> {
        let server = &self.imap.endpoint;
        let place = [self.address.to_lowercase(), server.host.to_ascii_lowercase(), server.port.to_string()];
        place.into_iter().chain(self.imap.usernames.iter().cloned())
    }
}

/// A service of the provider: where, and as whom.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// User names to try in this order; never empty.
    pub usernames: Vec<String>,
}

/// A host to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name the certificate is checked against, or an IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// When TLS begins. There is no third way.
    pub security: Security,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// From the first octet (RFC 8314 §3).
    Tls,
    /// After STARTTLS, which is mandatory (RFC 3207, RFC 3501 §6.2.1).
    StartTls,
}

/// How upstream is logged in to.
#[derive(Clone, Debug)]
pub enum Auth {
    /// With a password.
    Password,
    /// With access tokens of this server; never together with [`SecretSource::App`].
    OAuth2(Arc<OAuth2>),
}

/// Where upstream's password comes from, or with OAuth2 the refresh token.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// The app sends the provider's password; nothing is stored.
    App,
    /// An environment variable, read at start.
    Env {
        /// The variable's name.
        name: String,
        /// Its value when the configuration was read.
        secret: Secret,
    },
    /// A file whose first line is the secret, read at each login.
    File(PathBuf),
    /// A program and its arguments, whose first line of output is the secret.
    Command(Arc<[String]>),
    /// The vault, where `account add` or `account sign-in` put it; the app uses a bridge password.
    Vault,
}

/// `[account.pop3]`.
#[derive(Clone, Debug)]
pub struct Pop3Options {
    /// The mailbox shown, as the user sees its name (UTF-8, not modified UTF-7).
    pub folder: String,
    /// What DELE does at QUIT.
    pub delete: Delete,
    /// When `\Seen` is set upstream; always in UPDATE, never before.
    pub seen: Seen,
    /// Only messages that came within so many days are shown; `None`: all.
    pub recent: Option<u32>,
    /// Between an app's sessions upstream tells what comes and goes, and what it told is shown without asking again.
    pub watch: bool,
}

/// What a DELE does once QUIT comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// Trash, or expunge where there is no Trash.
    Auto,
    /// Moved to the Trash folder.
    Trash,
    /// Moved to the Archive folder (Gmail: All Mail).
    Archive,
    /// Removed for good.
    Expunge,
    /// Marked `\Deleted`, never expunged.
    Flag,
    /// Left upstream as it is, and not shown to POP3 apps any more.
    Hide,
    /// Nothing happens upstream.
    Keep,
}

/// When a message counts as read upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Never by us.
    Never,
    /// What was retrieved in a session that ended with QUIT.
    Retrieved,
    /// What was deleted in a session that ended with QUIT.
    Deleted,
}

/// `[account.smtp_options]`.
#[derive(Clone, Copy, Debug)]
pub struct SmtpOptions {
    /// What happens to a bare CR or LF in DATA.
    pub bare_newline: BareNewline,
}

/// What happens to a bare CR or LF in DATA (RFC 5321 §2.3.8 forbids them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewline {
    /// Made CRLF, dots stuffed again.
    Mend,
    /// The message is refused.
    Reject,
}

/// Folder names by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderNames {
    /// Sent mail.
    pub sent: Vec<String>,
    /// Deleted mail.
    pub trash: Vec<String>,
    /// Spam.
    pub junk: Vec<String>,
    /// Drafts.
    pub drafts: Vec<String>,
    /// Archived mail.
    pub archive: Vec<String>,
    /// Everything, on servers whose folders are labels.
    pub all: Vec<String>,
}
