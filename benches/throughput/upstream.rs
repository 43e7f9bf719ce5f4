//! The provider: a Dovecot of our own in a temporary folder, with the mail in its INBOX, and the sink.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{getgid, getuid};
use tempfile::TempDir;

use crate::messages::Messages;
use crate::ports::{self, Ports};
use crate::{Outcome, certs, process, sink};

/// The only account.
pub const ADDRESS: &str = "ana@example.org";

/// Its password.
pub const PASSWORD: &str = "plum-4711";

/// `\0ana@example.org\0plum-4711`
pub const AUTH_PLAIN: &str = "AGFuYUBleGFtcGxlLm9yZwBwbHVtLTQ3MTE=";

/// Both servers; dropped, Dovecot ends.
#[derive(Debug)]
pub struct Upstream {
    dovecot: Child,
    ports: Ports,
    /// Gone last.
    _folder: TempDir,
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
        fill(&folder.path().join("mail"), messages, &owner)?;
        // Dovecot's processes run under several users.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let file = folder.path().join("dovecot.conf");
        fs::write(&file, configuration(folder.path(), &ports, &owner))?;
        let dovecot = Command::new("dovecot").arg("-F").arg("-c").arg(&file).stdin(Stdio::null()).spawn();
        let dovecot = dovecot.map_err(|error| format!("dovecot does not start: {error}"))?;
        let upstream = Self { dovecot, ports, _folder: folder };
        ports::wait("dovecot", &[imap, pop3])?;
        Ok(upstream)
    }

    /// Where it is reached, over TLS.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Its master ends its children when told so, not when killed.
        process::end(&mut self.dovecot);
    }
}

/// Whom the mail belongs to: Dovecot gives no mail to root.
#[derive(Debug)]
struct Owner {
    uid: u32,
    gid: u32,
    root: bool,
}

impl Owner {
    fn find() -> Self {
        /// `nobody`, the same number everywhere.
        const NOBODY: u32 = 65534;
        match getuid().as_raw() {
            0 => Self { uid: NOBODY, gid: NOBODY, root: true },
            uid => Self { uid, gid: getgid().as_raw(), root: false },
        }
    }
}

/// A Maildir with the mail in it. The names carry the sizes, so that Dovecot need not look for them.
fn fill(mail: &Path, messages: &Messages, owner: &Owner) -> Outcome<()> {
    for folder in [mail, &mail.join("cur"), &mail.join("new"), &mail.join("tmp")] {
        fs::create_dir(folder)?;
        give(folder, owner)?;
    }
    for number in messages.numbers() {
        let octets = messages.octets(number);
        let name = format!("{}.M{number}.bench,S={octets},W={octets}:2,S", 1_700_000_000 + number);
        let path = mail.join("cur").join(name);
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        messages.write(number, usize::MAX, &mut file)?;
        file.flush()?;
        give(&path, owner)?;
    }
    Ok(())
}

fn give(path: &Path, owner: &Owner) -> Outcome<()> {
    if owner.root {
        chown(path, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

fn configuration(folder: &Path, ports: &Ports, owner: &Owner) -> String {
    let users = match owner.root {
        true => String::new(),
        false => {
            let user = name_of(owner.uid);
            format!(
                "default_internal_user = {user}\ndefault_internal_group = {}\ndefault_login_user = {user}\n\
                 service anvil {{\n chroot =\n}}\n",
                owner.gid
            )
        }
    };
    let folder = folder.display();
    let (imap, pop3) = (ports.imap.port(), ports.pop3.port());
    let Owner { uid, gid, .. } = owner;
    format!(
        "base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = imap pop3
ssl = required
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
auth_mechanisms = plain login
mail_location = maildir:{folder}/mail
mail_save_crlf = yes
first_valid_uid = 1
passdb {{
 driver = static
 args = password={PASSWORD}
}}
userdb {{
 driver = static
 args = uid={uid} gid={gid} home={folder}/mail
}}
service imap-login {{
 chroot =
 inet_listener imap {{
  port = 0
 }}
 inet_listener imaps {{
  port = {imap}
  ssl = yes
 }}
}}
service pop3-login {{
 chroot =
 inet_listener pop3 {{
  port = 0
 }}
 inet_listener pop3s {{
  port = {pop3}
  ssl = yes
 }}
}}
{users}"
    )
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
