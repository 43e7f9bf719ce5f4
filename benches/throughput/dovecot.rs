//! Dovecot, as the upstream and as a peer, in the words of 2.3 and of 2.4.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{getgid, getuid};

use crate::upstream::PASSWORD;
use crate::{Outcome, certs};

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
    let old = is_old()?;
    let mut text = String::new();
    if !old {
        // Has to be the first line.
        text.push_str("dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n");
    }
    text.push_str(COMMON);
    text.push_str(if old { OLD } else { NEW });
    match mail {
        Mail::Maildirs { issuer } => {
            text.push_str("ssl = required\nauth_mechanisms = plain login xoauth2\n");
            text.push_str(if old { MAILDIR_OLD } else { MAILDIR_NEW });
            let introspection = format!("http://{issuer}/introspect");
            if old {
                fs::write(folder.join("oauth2"), INTROSPECTION_OLD.replace("URL", &introspection))?;
                text.push_str(TOKENS_OLD);
            } else {
                text.push_str(&INTROSPECTION_NEW.replace("URL", &introspection));
            }
        }
        Mail::Imap { server, user } => {
            text.push_str("ssl = no\n");
            text.push_str(if old { IMAPC_OLD } else { IMAPC_NEW });
            let (host, port, ca) = (server.ip(), server.port(), certs::ca_file());
            write!(
                text,
                "imapc_host = {host}\nimapc_port = {port}\nimapc_ssl = imaps\nimapc_user = {user}\n\
                 imapc_password = PASSWORD\nssl_client_ca_file = {}\n",
                ca.display()
            )?;
        }
    }
    text.push_str(&listeners(old, matches!(mail, Mail::Maildirs { .. }), imap, pop3));
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
        .replace("UID", &uid.to_string())
        .replace("GID", &gid.to_string()))
}

/// Dovecot's own words changed with 2.4.
fn is_old() -> Outcome<bool> {
    let said = Command::new("dovecot").arg("--version").output();
    let said = said.map_err(|error| format!("dovecot does not start: {error}"))?.stdout;
    let version = String::from_utf8_lossy(&said).into_owned();
    Ok(version.starts_with("2.3") || version.starts_with("2.2"))
}

/// A login process serves many, as a provider's do: what they cost is not to be what is measured.
fn listeners(old: bool, tls: bool, imap: SocketAddr, pop3: SocketAddr) -> String {
    let reuse = if old { "service_count" } else { "restart_request_count" };
    let service = |name: &str, address: SocketAddr| {
        let (port, secured) = (address.port(), if tls { "yes" } else { "no" });
        let (plain, implicit) = if tls { (0, port) } else { (port, 0) };
        format!(
            "service {name}-login {{\n chroot =\n {reuse} = 0\n inet_listener {name} {{\n  \
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

const OLD: &str = "disable_plaintext_auth = no
passdb {
 driver = static
 mechanisms = plain login
 args = password=PASSWORD
}
userdb {
 driver = static
 args = uid=UID gid=GID home=FOLDER/mail/%u
}
";

const NEW: &str = "auth_allow_cleartext = yes
mail_home = FOLDER/mail/%{user}
passdb static {
 password = PASSWORD
}
userdb static {
 fields {
  uid = UID
  gid = GID
  home = FOLDER/mail/%{user}
 }
}
";

const MAILDIR_OLD: &str = "ssl_cert = <FOLDER/cert.pem
ssl_key = <FOLDER/key.pem
mail_location = maildir:FOLDER/mail/%u
mail_save_crlf = yes
";

const MAILDIR_NEW: &str = "ssl_server_cert_file = FOLDER/cert.pem
ssl_server_key_file = FOLDER/key.pem
mail_driver = maildir
mail_path = FOLDER/mail/%{user}
mail_save_crlf = yes
";

const TOKENS_OLD: &str = "passdb {
 driver = oauth2
 mechanisms = xoauth2
 args = FOLDER/oauth2
}
";

const INTROSPECTION_OLD: &str = "introspection_mode = post
introspection_url = URL
force_introspection = yes
username_attribute = username
active_attribute = active
active_value = true
";

/// Since 2.4 tokens need no passdb.
const INTROSPECTION_NEW: &str = "oauth2_introspection_mode = post
oauth2_introspection_url = URL
oauth2_force_introspection = yes
oauth2_username_attribute = username
oauth2_active_attribute = active
oauth2_active_value = true
";

/// With the features that its documentation recommends for POP3; 2.4 has them on by itself.
const IMAPC_OLD: &str = "mail_location = imapc:FOLDER/mail/%u
imapc_features = rfc822.size fetch-headers
";

const IMAPC_NEW: &str = "mail_driver = imapc
mail_path = FOLDER/mail/%{user}
";
