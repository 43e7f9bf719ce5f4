//! Dovecot, as the upstream and as a peer.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{getgid, getuid};

use crate::dovecot_words::{INTROSPECTION, Words};
use crate::{Outcome, certs};

/// Everybody's password.
pub const PASSWORD: &str = "plum-4711";

/// Where a Dovecot has its mail from.
#[derive(Clone, Copy, Debug)]
pub enum Mail<'a> {
    /// A Maildir for each user, below `mail` in its folder; access tokens are taken, too.
    Maildirs {
        /// Who knows whose they are.
        issuer: SocketAddr,
    },
    /// Another IMAP server, as this user.
    Imap {
        /// Implicit TLS.
        server: SocketAddr,
        /// Whose mail.
        user: &'a str,
    },
}

/// Starts one whose files are all in `folder`; it serves its mail to any user with [`PASSWORD`].
pub fn start(folder: &Path, mail: Mail<'_>, imap: SocketAddr, pop3: SocketAddr) -> Outcome<Child> {
    let file = folder.join("dovecot.conf");
    fs::write(&file, configuration(folder, mail, imap, pop3)?)?;
    let mut command = Command::new("dovecot");
    command.arg("-F").arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| format!("dovecot does not start: {error}").into())
}

/// Whom the mail belongs to: Dovecot gives no mail to root.
#[derive(Debug)]
pub struct Owner {
    uid: u32,
    gid: u32,
    root: bool,
}

impl Owner {
    /// This process's user, or `nobody` where that is root.
    pub fn find() -> Self {
        /// `nobody`, the same number everywhere.
        const NOBODY: u32 = 65534;
        match getuid().as_raw() {
            0 => Self { uid: NOBODY, gid: NOBODY, root: true },
            uid => Self { uid, gid: getgid().as_raw(), root: false },
        }
    }

    /// Makes a file or a folder theirs.
    pub fn give(&self, path: &Path) -> Outcome<()> {
        if self.root {
            chown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }
}

fn configuration(folder: &Path, mail: Mail<'_>, imap: SocketAddr, pop3: SocketAddr) -> Outcome<String> {
    let words = Words::of("dovecot").map_err(|error| format!("dovecot does not start: {error}"))?;
    let mut text = [words.first(), COMMON, &words.any_user("mail"), words.one_password()].concat();
    match mail {
        Mail::Maildirs { issuer } => {
            text.push_str("ssl = required\nauth_mechanisms = plain login xoauth2\nmail_save_crlf = yes\n");
            let introspection = format!("http://{issuer}/introspect");
            text.push_str(words.certificate());
            text.push_str(&words.mail("maildir"));
            text.push_str(TRASH);
            text.push_str(&words.tokens().replace("URL", &introspection));
            if words == Words::Old {
                fs::write(folder.join("oauth2"), INTROSPECTION.replace("URL", &introspection))?;
            }
        }
        Mail::Imap { server, user } => {
            text.push_str("ssl = no\n");
            text.push_str(words.passwords_in_the_clear());
            text.push_str(&words.mail("imapc"));
            if words == Words::Old {
                text.push_str(IMAPC_OLD);
            }
            let (host, port, ca) = (server.ip(), server.port(), certs::ca_file());
            write!(
                text,
                "imapc_host = {host}\nimapc_port = {port}\nimapc_ssl = imaps\nimapc_user = {user}\n\
                 imapc_password = PASSWORD\nssl_client_ca_file = {}\n",
                ca.display()
            )?;
        }
    }
    text.push_str(&listeners(words, matches!(mail, Mail::Maildirs { .. }), imap, pop3));
    let Owner { uid, gid, root } = Owner::find();
    if !root {
        let user = name_of(uid);
        write!(
            text,
            "default_internal_user = {user}\ndefault_internal_group = {gid}\ndefault_login_user = {user}\n\
             service anvil {{\n chroot =\n}}\n"
        )?;
    }
    let folder = folder.display().to_string();
    Ok(text
        .replace("FOLDER", &folder)
        .replace("PASSWORD", PASSWORD)
        .replace("USER", &uid.to_string())
        .replace("GROUP", &gid.to_string()))
}

/// A login process serves many, as a provider's do: what they cost is not to be what is measured.
fn listeners(words: Words, tls: bool, imap: SocketAddr, pop3: SocketAddr) -> String {
    let for_ever = words.for_ever();
    let service = |name: &str, address: SocketAddr| {
        let (port, secured) = (address.port(), if tls { "yes" } else { "no" });
        let (plain, implicit) = if tls { (0, port) } else { (port, 0) };
        format!(
            "service {name}-login {{\n chroot =\n {for_ever}\n inet_listener {name} {{\n  \
             port = {plain}\n }}\n inet_listener {name}s {{\n  port = {implicit}\n  ssl = {secured}\n }}\n}}\n"
        )
    };
    service("imap", imap) + &service("pop3", pop3)
}

/// The name of a user; its number where there is none.
fn name_of(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| uid.to_string())
}

const COMMON: &str = "base_dir = FOLDER/run
state_dir = FOLDER/state
log_path = FOLDER/dovecot.log
listen = 127.0.0.1
protocols = imap pop3
auth_mechanisms = plain login
mail_max_userip_connections = 1000
first_valid_uid = 1
";

/// Whoever has a folder of this name is told its use (RFC 6154).
const TRASH: &str = "namespace inbox {
  inbox = yes
  mailbox Trash {
    special_use = \\Trash
  }
}
";

/// What its documentation recommends for POP3; 2.4 has it on by itself.
const IMAPC_OLD: &str = "imapc_features = rfc822.size fetch-headers\n";
