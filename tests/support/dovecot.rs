//! A private Dovecot: an upstream as providers have it, in a folder of its own.
//!
//! Any user name exists and has the same password; its mailbox is made at the first login.

use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::bridge::Remote;
use super::certs::{self, Kind};
use super::dovecot_words::{INTROSPECTION, Words};
use super::process::{Served, folder, folder_of, free_ports, ordinary_user, program};
use super::scripted::Begin;

/// Every user's password; also what the log must never show.
pub const PASSWORD: &str = "c4nary-Passw0rd-7Kq";

/// The one user with a password that needs quoting, and that password.
pub const ODD: (&str, &str) = ("odd@example.test", "p\"a\\s s%w\u{f6}rd");

/// How its users log in.
#[derive(Clone, Copy)]
enum Logins<'a> {
    Passwords,
    /// With access tokens alone, which this URL knows (RFC 7662).
    Tokens(&'a str),
}

/// A running Dovecot.
pub struct Dovecot {
    served: Served,
    host: &'static str,
    ports: [u16; 4],
}

impl Dovecot {
    /// The one that the tests of a binary share, each with users of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Dovecot> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Kind::Good, None))
    }

    /// A Dovecot of one's own, with this certificate and, where given, these capabilities announced.
    pub fn start(certificate: Kind, capabilities: Option<&str>) -> Self {
        Self::launch(certificate, capabilities, Logins::Passwords)
    }

    /// One at [`PROVIDER`](super::PROVIDER), and at 127.0.0.1 too, in a network that has that address.
    pub fn abroad() -> Self {
        Self::launch_at(super::PROVIDER, Kind::Good, None, Logins::Passwords)
    }

    /// One that takes access tokens and no passwords, for IMAP as for submission; `introspection` says whose they are.
    pub fn for_tokens(introspection: &str) -> Self {
        Self::launch(Kind::Good, None, Logins::Tokens(introspection))
    }

    fn launch(certificate: Kind, capabilities: Option<&str>, logins: Logins<'_>) -> Self {
        Self::launch_at("localhost", certificate, capabilities, logins)
    }

    fn launch_at(
        host: &'static str,
        certificate: Kind,
        capabilities: Option<&str>,
        logins: Logins<'_>,
    ) -> Self {
        let binary = program("dovecot");
        let mut last = String::new();
        // Somebody may take a port between our look and Dovecot's.
        for _ in 0..3 {
            let ports = free_ports();
            let folder = folder("footbridge-dovecot-");
            prepare(&folder, certificate, logins);
            let file = folder.path().join("dovecot.conf");
            let text = configuration(&folder, ports, capabilities, logins);
            let listen = if host == "localhost" { "127.0.0.1" } else { "*" };
            std::fs::write(&file, text.replace("LISTEN", listen)).expect("a file is written");
            let command = [binary.as_str(), "-F", "-c", &file.to_string_lossy()];
            match Served::start(&command, folder, "starting up") {
                Ok(served) => return Self { served, host, ports },
                Err(log) => last = log,
            }
        }
        panic!("Dovecot does not start: {last}");
    }

    /// Implicit TLS IMAP.
    pub fn imaps(&self) -> Remote {
        self.remote(0, Begin::Tls)
    }

    /// IMAP with STARTTLS.
    pub fn imap(&self) -> Remote {
        self.remote(1, Begin::StartTls)
    }

    /// Implicit TLS POP3, a reference for what the bridge does.
    pub fn pop3s(&self) -> Remote {
        self.remote(2, Begin::Tls)
    }

    /// Where Postfix asks whether a password is right.
    pub fn auth_port(&self) -> u16 {
        self.ports[3]
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.served.log()
    }

    fn remote(&self, port: usize, security: Begin) -> Remote {
        Remote { host: self.host.into(), port: self.ports[port], security }
    }
}

fn prepare(folder: &TempDir, certificate: Kind, logins: Logins<'_>) {
    let certificate = certs::certificate(certificate);
    let path = folder.path();
    std::fs::write(path.join("cert.pem"), certificate.pem).expect("a file is written");
    std::fs::write(path.join("key.pem"), certificate.key_pem).expect("a file is written");
    std::fs::write(path.join("users"), format!("{}:{{PLAIN}}{}\n", ODD.0, ODD.1)).expect("a file is written");
    if let Logins::Tokens(url) = logins {
        std::fs::write(path.join("oauth2"), INTROSPECTION.replace("URL", url)).expect("a file is written");
    }
    let owner = ordinary_user().is_none().then_some("nobody");
    folder_of(&path.join("mail"), owner);
    folder_of(&path.join("homes"), owner);
    folder_of(&path.join("run"), None);
    folder_of(&path.join("state"), None);
}

fn configuration(
    folder: &TempDir,
    ports: [u16; 4],
    capabilities: Option<&str>,
    logins: Logins<'_>,
) -> String {
    let words = Words::of(&program("dovecot")).expect("dovecot runs");
    let (mail, users) = (words.mail("sdbox"), words.any_user("homes"));
    let common = [words.first(), COMMON, words.certificate(), &mail, &users].concat();
    let text = match logins {
        Logins::Passwords => {
            let common = common.replace("MECHANISMS", "plain login");
            common + words.own_passwords() + words.one_password()
        }
        Logins::Tokens(url) => {
            let common = common.replace("MECHANISMS", "xoauth2 oauthbearer");
            common + &words.tokens().replace("URL", url) + &MANY.replace("FOR_EVER", words.for_ever())
        }
    };
    let capabilities = capabilities.map(|words| format!("imap_capability = {words}\n")).unwrap_or_default();
    let (user, group, internal) = match ordinary_user() {
        None => ("nobody".to_owned(), group_of("nobody"), String::new()),
        Some(name) => {
            let group = group_of(&name);
            let internal = format!(
                "default_internal_user = {name}\ndefault_login_user = {name}\ndefault_internal_group = {group}\n"
            );
            (name, group, internal)
        }
    };
    let [imaps, imap, pop3s, auth] = ports.map(|port| port.to_string());
    (text + &internal + &capabilities)
        .replace("FOLDER", &folder.path().to_string_lossy())
        .replace("IMAPS_PORT", &imaps)
        .replace("IMAP_PORT", &imap)
        .replace("POP3S_PORT", &pop3s)
        .replace("AUTH_PORT", &auth)
        .replace("PASSWORD", PASSWORD)
        .replace("USER", &user)
        .replace("GROUP", &group)
}

fn group_of(user: &str) -> String {
    let said = Command::new("id").args(["-gn", user]).output().expect("id is there").stdout;
    String::from_utf8_lossy(&said).trim().to_owned()
}

const COMMON: &str = r#"
base_dir = FOLDER/run
state_dir = FOLDER/state
log_path = /dev/stderr
protocols = imap pop3
listen = LISTEN
ssl = required
first_valid_uid = 1
auth_mechanisms = MECHANISMS
mail_max_userip_connections = 100
auth_failure_delay = 0 secs
service imap-login {
  chroot =
  inet_listener imap {
    port = IMAP_PORT
  }
  inet_listener imaps {
    port = IMAPS_PORT
    ssl = yes
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = 0
  }
  inet_listener pop3s {
    port = POP3S_PORT
    ssl = yes
  }
}
service anvil {
  chroot =
  # No waiting after wrong passwords, which some tests send.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  inet_listener postfix {
    port = AUTH_PORT
  }
}
namespace inbox {
  inbox = yes
  mailbox Trash {
    auto = subscribe
    special_use = "\\Trash"
  }
  mailbox Archive {
    auto = subscribe
    special_use = "\\Archive"
  }
  mailbox Sent {
    auto = subscribe
    special_use = "\\Sent"
  }
}
"#;

/// Room for hundreds of sessions of one user at once.
const MANY: &str = "
mail_max_userip_connections = 1000
service imap-login {
  FOR_EVER
}
service imap {
  process_limit = 1000
}
";
