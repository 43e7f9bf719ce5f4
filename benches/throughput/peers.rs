//! What stands between client and upstream: footbridge, and the programs it is compared with.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::dovecot::{self, Mail};
use crate::ports::{self, Ports};
use crate::upstream::Account;
use crate::{Outcome, certs, process};

/// A peer's configuration, in its folder.
const CONFIGURATION: &str = "peer.conf";

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The release build.
    Footbridge,
    /// Another build, which FOOTBRIDGE_PREVIOUS names: what did a change do?
    Previous,
    /// In client mode: carries octets, knows no mail.
    Stunnel,
    /// Its stream proxy: carries octets, with the least work of all.
    Nginx,
    /// Its POP3 and IMAP servers in front of another server's IMAP (imapc).
    Dovecot,
    /// Nobody: the client speaks TLS and the provider's own protocol.
    Direct,
    /// Nobody, and the client asks for all mail in one IMAP FETCH: as few round trips as there can be.
    Reference,
}

impl Kind {
    /// Whether it carries bulk of all three protocols.
    pub fn carries(self) -> bool {
        !matches!(self, Self::Dovecot | Self::Direct | Self::Reference)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Footbridge => "footbridge",
            Self::Previous => "previous",
            Self::Stunnel => "stunnel",
            Self::Nginx => "nginx",
            Self::Dovecot => "dovecot",
            Self::Direct => "direct",
            Self::Reference => "reference",
        })
    }
}

/// A running program, or none; dropped, it ends.
#[derive(Debug)]
pub struct Peer {
    kind: Kind,
    child: Option<Child>,
    account: Account,
    started: Duration,
    /// Gone last.
    folder: TempDir,
}

/// Whether footbridge keeps bodies. Where bulk is moved it would keep none of it anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// As by default.
    On,
    /// None.
    Off,
}

/// What footbridge shows the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// What the app sent.
    Password,
    /// An access token that it got itself; the app sends a bridge password.
    Token,
}

impl Peer {
    /// Starts one with nothing in its memory yet, before this account, and waits until it listens.
    pub fn start(kind: Kind, upstream: &Account, cache: Cache) -> Outcome<Self> {
        Self::showing(Shows::Password, kind, upstream, cache)
    }

    /// The same; but for footbridge all of them show what the app sent.
    pub fn showing(shows: Shows, kind: Kind, upstream: &Account, cache: Cache) -> Outcome<Self> {
        let folder = TempDir::with_prefix("footbridge-peer-")?;
        if matches!(kind, Kind::Direct | Kind::Reference) {
            let (account, started) = (upstream.clone(), Duration::ZERO);
            return Ok(Self { kind, child: None, account, started, folder });
        }
        let ports = Ports::free()?;
        let begun = Instant::now();
        let mut account = Account { ports, ..upstream.clone() };
        let child = match shows {
            Shows::Password => spawn(kind, folder.path(), &ports, upstream, cache)?,
            Shows::Token => {
                let file = folder.path().join(CONFIGURATION);
                fs::write(&file, with_tokens(&ports, upstream, cache))?;
                account.password = bridge_password(kind, &file, &upstream.user)?;
                run(kind, &mut command(kind, &file)?)?
            }
        };
        let child = Some(child);
        let mut peer = Self { kind, child, account, started: Duration::ZERO, folder };
        peer.listening()?;
        peer.started = begun.elapsed();
        Ok(peer)
    }

    /// Ends footbridge and starts it anew with what it has on its disk. Of the others nothing outlives a connection.
    pub fn restart(&mut self) -> Outcome<()> {
        if !matches!(self.kind, Kind::Footbridge | Kind::Previous) {
            return Ok(());
        }
        self.child.take().iter_mut().for_each(process::end);
        self.child = Some(run(self.kind, &mut command(self.kind, &self.folder.path().join(CONFIGURATION))?)?);
        self.listening()
    }

    /// Gives footbridge's account another setting, and starts it anew.
    pub fn set(&mut self, line: &str) -> Outcome<()> {
        let file = self.folder.path().join(CONFIGURATION);
        let text = fs::read_to_string(&file)?;
        fs::write(&file, format!("{text}{line}\n"))?;
        self.restart()
    }

    fn listening(&self) -> Outcome<()> {
        let all = self.account.ports.all();
        ports::wait(&self.kind.to_string(), if self.kind == Kind::Dovecot { &all[..2] } else { &all })
    }

    /// Its process id; there is none where the client speaks for itself.
    pub fn id(&self) -> Outcome<u32> {
        self.child.as_ref().map(Child::id).ok_or_else(|| "it is no process".into())
    }

    /// From its start until it listened.
    pub fn started(&self) -> Duration {
        self.started
    }

    /// Where it listens, and for whom.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.iter_mut().for_each(process::end);
    }
}

fn spawn(kind: Kind, folder: &Path, own: &Ports, upstream: &Account, cache: Cache) -> Outcome<Child> {
    if kind == Kind::Dovecot {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        fs::create_dir(folder.join("mail"))?;
        dovecot::Owner::find().give(&folder.join("mail"))?;
        let mail = Mail::Imap { server: upstream.ports.imap, user: &upstream.user };
        return dovecot::start(folder, mail, own.imap, own.pop3);
    }
    let text = match kind {
        Kind::Stunnel => stunnel(own, &upstream.ports),
        Kind::Nginx => nginx(own, &upstream.ports, folder),
        _ => footbridge(own, upstream, cache),
    };
    let file = folder.join(CONFIGURATION);
    fs::write(&file, text)?;
    run(kind, &mut command(kind, &file)?)
}

fn run(kind: Kind, command: &mut Command) -> Outcome<Child> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.map_err(|error| format!("{kind} does not start: {error}").into())
}

fn command(kind: Kind, file: &Path) -> Outcome<Command> {
    let mut command = program(kind)?;
    match kind {
        Kind::Nginx => command.arg("-c").arg(file).args(["-e", "stderr"]),
        Kind::Stunnel => command.arg(file),
        _ => footbridge_of(&mut command, file).arg("run"),
    };
    Ok(command)
}

/// What it keeps is beside its configuration.
fn footbridge_of<'a>(command: &'a mut Command, file: &Path) -> &'a mut Command {
    command.arg("--config").arg(file).arg("--state").arg(file.with_file_name("state"))
}

fn bridge_password(kind: Kind, file: &Path, user: &str) -> Outcome<String> {
    let mut command = program(kind)?;
    let output = footbridge_of(&mut command, file).args(["account", "password", user]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn program(kind: Kind) -> Outcome<Command> {
    let program = match kind {
        Kind::Footbridge => OsString::from(env!("CARGO_BIN_EXE_footbridge")),
        Kind::Previous => {
            std::env::var_os("FOOTBRIDGE_PREVIOUS").ok_or("FOOTBRIDGE_PREVIOUS names no program")?
        }
        _ => kind.to_string().into(),
    };
    let mut command = Command::new(program);
    // cargo's own, where each library would be looked for in some twenty places first.
    command.env_remove("LD_LIBRARY_PATH");
    Ok(command)
}

fn footbridge(own: &Ports, upstream: &Account, cache: Cache) -> String {
    let (memory, disk) = if cache == Cache::On { ("64 MiB", "2 GiB") } else { ("0", "0") };
    format!(
        "[listen]
imap = [\"{}\"]
pop3 = [\"{}\"]
smtp = [\"{}\"]
[tls]
roots = \"bundled\"
extra_roots = [\"{}\"]
[cache]
memory = \"{memory}\"
disk = \"{disk}\"
[[account]]
address = \"{}\"
imap = {{ host = \"127.0.0.1\", port = {}, security = \"tls\" }}
smtp = {{ host = \"127.0.0.1\", port = {}, security = \"tls\" }}
",
        own.imap,
        own.pop3,
        own.smtp,
        certs::ca_file().display(),
        upstream.user,
        upstream.ports.imap.port(),
        upstream.ports.smtp.port(),
    )
}

/// Nobody signs in: the client itself is known at the token server, which gives the token of the user it is named for.
fn with_tokens(own: &Ports, upstream: &Account, cache: Cache) -> String {
    footbridge(own, upstream, cache)
        + &format!(
            "auth = \"oauth2\"
oauth2 = \"bench\"
[oauth2.bench]
grant = \"client_credentials\"
token_endpoint = \"http://{}/token\"
client_id = \"{}\"
client_secret = \"nobody looks at it\"
scopes = [\"mail\"]
",
            upstream.issuer, upstream.user
        )
}

fn stunnel(own: &Ports, upstream: &Ports) -> String {
    let ca = certs::ca_file();
    let mut text = format!(
        "foreground = yes\npid =\nclient = yes\nverifyChain = yes\nCAfile = {}\ncheckIP = 127.0.0.1\n\
         socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n",
        ca.display()
    );
    for (own, upstream) in own.all().iter().zip(upstream.all()) {
        let _ = writeln!(text, "[{}]\naccept = {own}\nconnect = {upstream}", own.port());
    }
    text
}

fn nginx(own: &Ports, upstream: &Ports, folder: &Path) -> String {
    let mut servers = String::new();
    for (own, upstream) in own.all().iter().zip(upstream.all()) {
        let _ = writeln!(servers, " server {{ listen {own}; proxy_pass {upstream}; }}");
    }
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {}/nginx.pid;
error_log stderr;
events {{ }}
stream {{
 proxy_ssl on;
 proxy_ssl_verify on;
 proxy_ssl_name localhost;
 proxy_ssl_protocols TLSv1.2 TLSv1.3;
 proxy_ssl_trusted_certificate {};
{servers}}}
",
        folder.display(),
        certs::ca_file().display(),
    )
}
