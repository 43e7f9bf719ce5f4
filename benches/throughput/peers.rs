//! What stands between client and upstream: footbridge, and the programs it is compared with.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::ports::{self, Ports};
use crate::upstream::{ADDRESS, Upstream};
use crate::{Outcome, certs, process};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The release build, its cache off.
    Footbridge,
    /// Another build, which FOOTBRIDGE_PREVIOUS names: what did a change do?
    Previous,
    /// In client mode: carries octets, knows no mail.
    Stunnel,
    /// Its stream proxy: carries octets, with the least work of all.
    Nginx,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Footbridge => "footbridge",
            Self::Previous => "previous",
            Self::Stunnel => "stunnel",
            Self::Nginx => "nginx",
        })
    }
}

/// A running program; dropped, it ends.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    ports: Ports,
    /// Gone last.
    _folder: TempDir,
}

impl Peer {
    /// Starts one with nothing in its memory yet, and waits until it listens.
    pub fn start(kind: Kind, upstream: &Upstream) -> Outcome<Self> {
        let folder = TempDir::with_prefix("footbridge-peer-")?;
        let ports = Ports::free()?;
        let file = folder.path().join("peer.conf");
        let text = match kind {
            Kind::Footbridge | Kind::Previous => footbridge(&ports, upstream.ports()),
            Kind::Stunnel => stunnel(&ports, upstream.ports()),
            Kind::Nginx => nginx(&ports, upstream.ports(), folder.path()),
        };
        fs::write(&file, text)?;
        let mut command = command(kind, &file)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{kind} does not start: {error}"))?;
        let peer = Self { child, ports, _folder: folder };
        ports::wait(&kind.to_string(), &ports.all())?;
        Ok(peer)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        process::end(&mut self.child);
    }
}

fn command(kind: Kind, file: &Path) -> Outcome<Command> {
    let program = match kind {
        Kind::Footbridge => OsString::from(env!("CARGO_BIN_EXE_footbridge")),
        Kind::Previous => {
            std::env::var_os("FOOTBRIDGE_PREVIOUS").ok_or("FOOTBRIDGE_PREVIOUS names no program")?
        }
        Kind::Stunnel | Kind::Nginx => kind.to_string().into(),
    };
    let mut command = Command::new(program);
    match kind {
        Kind::Footbridge | Kind::Previous => command.arg("--config").arg(file).arg("run"),
        Kind::Stunnel => command.arg(file),
        Kind::Nginx => command.arg("-c").arg(file).args(["-e", "stderr"]),
    };
    Ok(command)
}

fn footbridge(own: &Ports, upstream: &Ports) -> String {
    format!(
        "[listen]
imap = [\"{}\"]
pop3 = [\"{}\"]
smtp = [\"{}\"]
[tls]
roots = \"bundled\"
extra_roots = [\"{}\"]
[cache]
memory = \"0\"
[[account]]
address = \"{ADDRESS}\"
imap = {{ host = \"127.0.0.1\", port = {}, security = \"tls\" }}
smtp = {{ host = \"127.0.0.1\", port = {}, security = \"tls\" }}
",
        own.imap,
        own.pop3,
        own.smtp,
        certs::ca_file().display(),
        upstream.imap.port(),
        upstream.smtp.port(),
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
