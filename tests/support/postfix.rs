//! A private Postfix: submission over TLS for every user of the private Dovecot, delivery into files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use super::PATIENCE;
use super::bridge::Remote;
use super::certs::{self, Kind};
use super::dovecot::Dovecot;
use super::process::{Served, folder, folder_of, free_ports, ordinary_user, program};
use super::scripted::Begin;

/// Whom it takes mail for; anyone else it answers 550.
pub const RECIPIENTS: [&str; 6] = ["bob", "carol", "dave", "erin", "frank", "grace"];

/// The largest message it takes, in octets.
pub const LARGEST: u64 = 40 * 1024 * 1024;

/// A running Postfix.
pub struct Postfix {
    served: Served,
    host: &'static str,
    folder: PathBuf,
    ports: [u16; 2],
}

impl Postfix {
    /// The one that the tests of a binary share, each with recipients of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postfix> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Dovecot::shared().auth_port()))
    }

    /// One whose users log in as this Dovecot says.
    pub fn start(auth_port: u16) -> Self {
        Self::start_at("localhost", auth_port)
    }

    /// The same at [`PROVIDER`](super::PROVIDER), in a network that has that address.
    pub fn abroad(auth_port: u16) -> Self {
        Self::start_at(super::PROVIDER, auth_port)
    }

    fn start_at(host: &'static str, auth_port: u16) -> Self {
        let user = ordinary_user();
        assert!(
            user.is_none(),
            "Postfix starts as root only: run these tests as root, in a container for example"
        );
        let postfix = program("postfix");
        let mut last = String::new();
        for _ in 0..3 {
            let ports = free_ports();
            let temporary = folder("footbridge-postfix-");
            let folder = temporary.path().to_owned();
            prepare(&folder, host, auth_port, ports);
            let config = folder.join("etc").to_string_lossy().into_owned();
            let command = ["sh", "-c", START, "postfix", &postfix, &config];
            match Served::start(&command, temporary, "daemon started") {
                Ok(served) => return Self { served, host, folder, ports },
                Err(log) => last = log,
            }
        }
        panic!("Postfix does not start: {last}");
    }

    /// Implicit TLS.
    pub fn smtps(&self) -> Remote {
        Remote { host: self.host.into(), port: self.ports[0], security: Begin::Tls }
    }

    /// STARTTLS.
    pub fn submission(&self) -> Remote {
        Remote { host: self.host.into(), port: self.ports[1], security: Begin::StartTls }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.served.log()
    }

    /// The mail that came for this recipient, once there are `count`; line ends are LF, as Postfix keeps them.
    pub fn delivered(&self, recipient: &str, count: usize) -> Vec<Vec<u8>> {
        let new = self.folder.join("mail").join(recipient).join("new");
        let begun = Instant::now();
        loop {
            let mut files = files(&new);
            if files.len() >= count {
                files.sort();
                return files.iter().map(|file| std::fs::read(file).expect("root reads all")).collect();
            }
            assert!(begun.elapsed() < PATIENCE, "only {} of {count} came:\n{}", files.len(), self.log());
            // A file's arrival is no event without a dependency for it.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn prepare(folder: &Path, host: &str, auth_port: u16, ports: [u16; 2]) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file is written");
    let certificate = certs::certificate(Kind::Good);
    for name in ["etc", "queue"] {
        folder_of(&folder.join(name), None);
    }
    folder_of(&folder.join("data"), Some("postfix"));
    folder_of(&folder.join("mail"), Some("nobody"));
    write("cert.pem", &certificate.pem);
    write("key.pem", &certificate.key_pem);
    let recipients: Vec<String> =
        RECIPIENTS.iter().map(|name| format!("{name}@example.test {name}/\n")).collect();
    write("etc/recipients", &recipients.concat());
    let filled = |text: &str| {
        text.replace("FOLDER", &folder.to_string_lossy())
            .replace("HOST", if host == "localhost" { "127.0.0.1" } else { host })
            .replace("SMTPS_PORT", &ports[0].to_string())
            .replace("SUBMISSION_PORT", &ports[1].to_string())
            .replace("AUTH_PORT", &auth_port.to_string())
            .replace("NOBODY", &id_of("nobody", "-u"))
            .replace("NOGROUP", &id_of("nobody", "-g"))
            .replace("LARGEST", &LARGEST.to_string())
    };
    write("etc/main.cf", &filled(MAIN));
    write("etc/master.cf", &filled(MASTER));
}

/// As `postfix start-fg` does it, but with Postfix's master as the process that is ended.
const START: &str = r#""$1" -c "$2" check
daemons=$("$(dirname "$1")/postconf" -c "$2" -h daemon_directory)
exec "$daemons/master" -c "$2" -s"#;

fn id_of(user: &str, which: &str) -> String {
    let said = Command::new("id").args([which, user]).output().expect("id is there").stdout;
    String::from_utf8_lossy(&said).trim().to_owned()
}

const MAIN: &str = "
compatibility_level = 3.6
queue_directory = FOLDER/queue
data_directory = FOLDER/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = /dev/stdout
inet_interfaces = HOST
inet_protocols = ipv4
myhostname = mx.example.test
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = example.test
virtual_mailbox_maps = texthash:FOLDER/etc/recipients
virtual_mailbox_base = FOLDER/mail
virtual_uid_maps = static:NOBODY
virtual_gid_maps = static:NOGROUP
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
message_size_limit = LARGEST
smtpd_tls_cert_file = FOLDER/cert.pem
smtpd_tls_key_file = FOLDER/key.pem
local_header_rewrite_clients =
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:AUTH_PORT
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
default_transport = error:this test sends nothing out
";

const MASTER: &str = "
HOST:SMTPS_PORT inet n - n - - smtpd
  -o syslog_name=postfix/smtps -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt
HOST:SUBMISSION_PORT inet n - n - - smtpd
  -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
postlog   unix-dgram n  -       n       -       1       postlogd
";
