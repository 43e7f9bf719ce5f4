//! The provider: a Dovecot of our own in a temporary folder, with the mail in it, and the sink.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::dovecot::{self, Mail, Owner};
use crate::messages::Messages;
use crate::ports::{self, Ports};
use crate::{Outcome, certs, issuer, process, sink};

/// A user and where the servers are.
#[derive(Clone, Debug)]
pub struct Account {
    /// Implicit TLS.
    pub ports: Ports,
    /// The address.
    pub user: String,
    /// What an app sends.
    pub password: String,
    /// Where access tokens come from.
    pub issuer: SocketAddr,
}

impl Account {
    /// What AUTH PLAIN takes (RFC 4616 §2).
    pub fn plain(&self) -> String {
        STANDARD.encode(format!("\0{}\0{}", self.user, self.password))
    }
}

/// Both servers; dropped, Dovecot ends.
#[derive(Debug)]
pub struct Upstream {
    dovecot: Child,
    ports: Ports,
    issuer: SocketAddr,
    owner: Owner,
    /// Gone last.
    folder: TempDir,
}

/// A user with mail; dropped, the mail is gone.
#[derive(Debug)]
pub struct Mailbox {
    /// Whose.
    pub account: Account,
    folder: PathBuf,
}

impl Upstream {
    /// Starts both and waits until they listen.
    pub fn start(messages: &Arc<Messages>) -> Outcome<Self> {
        let folder = TempDir::with_prefix("footbridge-bench-")?;
        let certificate = certs::certificate(certs::Kind::Good);
        fs::write(folder.path().join("cert.pem"), &certificate.pem)?;
        fs::write(folder.path().join("key.pem"), &certificate.key_pem)?;
        let [imap, pop3] = ports::free()?;
        let ports = Ports { imap, pop3, smtp: sink::start(certificate.server, messages.clone())? };
        let owner = Owner::find();
        // Dovecot's processes run under several users.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        fs::create_dir(folder.path().join("mail"))?;
        owner.give(&folder.path().join("mail"))?;
        let issuer = issuer::start()?;
        let dovecot = dovecot::start(folder.path(), Mail::Maildirs { issuer }, imap, pop3)?;
        let upstream = Self { dovecot, ports, issuer, owner, folder };
        ports::wait("dovecot", &[imap, pop3])?;
        Ok(upstream)
    }

    /// A new user with the first `count` of `messages` in INBOX.
    pub fn mailbox(&self, user: &str, messages: &Messages, count: usize) -> Outcome<Mailbox> {
        let folder = self.folder.path().join("mail").join(user);
        self.maildir(&folder)?;
        for number in messages.numbers().take(count) {
            let octets = messages.octets(number);
            // The names carry the sizes, so that Dovecot need not look for them.
            let name = format!("{}.M{number}.bench,S={octets},W={octets}:2,S", 1_700_000_000 + number);
            let path = folder.join("cur").join(name);
            let mut file = BufWriter::with_capacity(1 << 16, File::create(&path)?);
            messages.write(number, usize::MAX, &mut file)?;
            file.flush()?;
            self.owner.give(&path)?;
        }
        let account = Account {
            ports: self.ports,
            user: user.to_owned(),
            password: dovecot::PASSWORD.to_owned(),
            issuer: self.issuer,
        };
        Ok(Mailbox { account, folder })
    }

    /// Its user has a folder for what is deleted, too, by the name that the configuration gives a use.
    pub fn trash(&self, mailbox: &Mailbox) -> Outcome<()> {
        self.maildir(&mailbox.folder.join(".Trash"))
    }

    fn maildir(&self, folder: &Path) -> Outcome<()> {
        for folder in [folder.to_owned(), folder.join("cur"), folder.join("new"), folder.join("tmp")] {
            fs::create_dir(&folder)?;
            self.owner.give(&folder)?;
        }
        Ok(())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Its master ends its children when told so, not when killed.
        process::end(&mut self.dovecot);
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // Dovecot may be writing there still: the rest goes with the whole folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
