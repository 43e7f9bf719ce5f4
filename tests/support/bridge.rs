//! A footbridge to test: inside this process with deadlines of the test's own, or the real program as a child.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use footbridge::config::{self, Settings};
use footbridge::server::{Bound, Server};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::process::Log;
use super::scripted::Begin;
use super::{PATIENCE, certs};

/// A server as the configuration names it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Implicit TLS or STARTTLS.
    pub security: Begin,
}

impl Remote {
    fn toml(&self) -> String {
        let security = match self.security {
            Begin::Tls => "tls",
            Begin::StartTls => "starttls",
        };
        format!("{{ host = \"{}\", port = {}, security = \"{security}\" }}", self.host, self.port)
    }
}

/// A configuration in the making: one account unless more are added, free ports, the tests' authority trusted.
#[derive(Clone, Debug, Default)]
pub struct Config {
    settings: Vec<String>,
    accounts: Vec<Vec<String>>,
}

impl Config {
    /// One account and its IMAP server.
    pub fn new(address: &str, imap: &Remote) -> Self {
        let account = vec![format!("address = \"{address}\""), format!("imap = {}", imap.toml())];
        Self { settings: Vec::new(), accounts: vec![account] }
    }

    /// Gives the last account a submission server.
    pub fn smtp(self, smtp: &Remote) -> Self {
        let line = format!("smtp = {}", smtp.toml());
        self.account(&line)
    }

    /// A line of the last account, `pop3.delete = "trash"` for example.
    pub fn account(mut self, line: &str) -> Self {
        self.accounts.last_mut().expect("new made one").push(line.to_owned());
        self
    }

    /// Another account with its IMAP server.
    pub fn and(mut self, address: &str, imap: &Remote) -> Self {
        self.accounts.extend(Self::new(address, imap).accounts);
        self
    }

    /// A line above the accounts with its table's name before the key, `cache.memory = "0"` for example.
    pub fn setting(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }

    /// Gives a line above the accounts another value.
    pub fn replace(mut self, key: &str, value: &str) -> Self {
        let begins = format!("{key} =");
        let line = self.settings.iter_mut().find(|line| line.starts_with(&begins));
        *line.unwrap_or_else(|| panic!("no {key}")) = format!("{begins} {value}");
        self
    }

    /// The TOML.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for protocol in ["pop3", "imap", "smtp"] {
            let key = format!("listen.{protocol} =");
            if !self.settings.iter().any(|line| line.starts_with(&key)) {
                let _ = writeln!(text, "{key} [\"127.0.0.1:0\"]");
            }
        }
        if !self.settings.iter().any(|line| line.starts_with("tls.roots")) {
            let _ = writeln!(text, "tls.roots = \"bundled\"");
        }
        let _ = writeln!(text, "tls.extra_roots = [\"{}\"]", certs::ca_file().display());
        for line in &self.settings {
            let _ = writeln!(text, "{line}");
        }
        for account in &self.accounts {
            let _ = writeln!(text, "\n[[account]]\n{}", account.join("\n"));
        }
        text
    }

    /// What a bridge makes of it.
    ///
    /// # Panics
    /// Where the bridge refuses it: the configuration is then the test's fault.
    pub fn parsed(&self) -> Settings {
        let text = self.text();
        config::parse(&text, Path::new("/nowhere/footbridge.toml"))
            .unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
    }
}

/// A bridge in this process; dropped, it stops.
pub struct InProcess {
    bound: Bound,
    stopping: CancellationToken,
    running: JoinHandle<()>,
}

impl InProcess {
    /// Starts on the current runtime.
    pub async fn start(settings: Settings) -> Self {
        let server = Server::bind(&settings).await.expect("free ports on loopback");
        let bound = server.bound();
        let stopping = CancellationToken::new();
        let running = tokio::spawn(server.run(stopping.clone()));
        Self { bound, stopping, running }
    }

    /// Where POP3 apps connect.
    pub fn pop3(&self) -> SocketAddr {
        self.bound.pop3[0]
    }

    /// Where IMAP apps connect.
    pub fn imap(&self) -> SocketAddr {
        self.bound.imap[0]
    }

    /// Where apps submit.
    pub fn smtp(&self) -> SocketAddr {
        self.bound.smtp[0]
    }

    /// Where everything listens.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// What stops it.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// As SIGTERM does; does not wait.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Stops and waits for the end.
    pub async fn stopped(mut self) {
        self.stopping.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.running).await;
        ended.expect("the bridge stops").expect("the server does not panic");
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// A folder with a configuration and what the program keeps; gone when the last clone is dropped.
#[derive(Clone)]
pub struct Home(Arc<TempDir>);

impl Home {
    /// Writes the configuration.
    pub fn new(config: &Config) -> Self {
        let folder = TempDir::with_prefix("footbridge-run-").expect("a temporary folder");
        let home = Self(Arc::new(folder));
        std::fs::write(home.config_file(), config.text()).expect("the configuration is written");
        home
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.0.path().join("footbridge.toml")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    /// The program with this configuration and state.
    pub fn command(&self) -> Command {
        let mut command = command();
        command.arg("--config").arg(self.config_file()).arg("--state").arg(self.state());
        command
    }

    /// Makes a bridge password.
    pub fn bridge_password(&self, address: &str) -> String {
        let output = self.command().args(["account", "password", address]).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }
}

/// `footbridge run` as a child; dropped, it is killed by its process id.
pub struct Program {
    child: Child,
    home: Home,
    pop3: SocketAddr,
    imap: SocketAddr,
    smtp: SocketAddr,
    log: Log,
    lines: mpsc::Receiver<String>,
}

impl Program {
    /// Starts it and waits until its log says where it listens.
    pub fn start(config: &Config, log_level: &str) -> Self {
        Self::start_in(&Home::new(config), log_level)
    }

    /// The same with what is in this folder.
    pub fn start_in(home: &Home, log_level: &str) -> Self {
        Self::start_by(home, home.command(), log_level)
    }

    /// The same by a command that gets what to do as further arguments.
    pub fn start_by(home: &Home, mut command: Command, log_level: &str) -> Self {
        let mut child = command
            .args(["--log", log_level, "run"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("footbridge starts");
        let log = Log::default();
        // It says nothing there; what it says all the same is in the log with the rest.
        drop(log.follow(child.stdout.take().expect("piped")));
        let lines = log.follow(child.stderr.take().expect("piped"));
        let addresses = listening(&lines, &log);
        let [pop3, imap, smtp] = addresses;
        Self { child, home: home.clone(), pop3, imap, smtp, log, lines }
    }

    /// Where POP3 apps connect.
    pub fn pop3(&self) -> SocketAddr {
        self.pop3
    }

    /// Where IMAP apps connect.
    pub fn imap(&self) -> SocketAddr {
        self.imap
    }

    /// Where apps submit.
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had, in octets.
    pub fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("resident memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.home.config_file()
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.home.state()
    }

    /// Waits until it writes a line that holds `words`; lines are looked at once.
    pub fn until(&self, words: &str) {
        while !self.next_line(words).contains(words) {}
    }

    fn next_line(&self, words: &str) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| panic!("footbridge did not say {words:?}:\n{}", self.log()))
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        signal("KILL", self.id());
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        signal("TERM", self.id());
        self.ended()
    }

    /// Waits for the end, and for the last line of the log.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                // To the last line of the log.
                while self.lines.recv_timeout(PATIENCE).is_ok() {}
                return status;
            }
            // A child's end is no event without a signal handler or unsafe code.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("footbridge did not stop; it wrote\n{}", self.log());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("footbridge wrote\n{}", self.log());
        }
    }
}

/// The program, with nothing of the developer's environment that it would read.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footbridge"));
    command.env_remove("FOOTBRIDGE_CONFIG").env_remove("FOOTBRIDGE_STATE").env_remove("NO_COLOR");
    command
}

/// Sends a signal to one process.
pub fn signal(name: &str, id: u32) {
    let done = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
    assert!(done.expect("sh is there").success(), "kill -{name} {id}");
}

/// POP3, IMAP and SMTP addresses, as the log tells them.
fn listening(lines: &mpsc::Receiver<String>, log: &Log) -> [SocketAddr; 3] {
    let mut found = [None; 3];
    while found.iter().any(Option::is_none) {
        let line = lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("footbridge did not say where it listens:\n{}", log.text()));
        for (at, protocol) in ["pop3", "imap", "smtp"].iter().enumerate() {
            if line.to_lowercase().contains(protocol) {
                found[at] = found[at].or_else(|| address_in(&line));
            }
        }
    }
    found.map(|address| address.expect("the loop ends when all are found"))
}

/// The first word of a log line that is a socket address.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split(|c: char| c.is_whitespace() || "=\"(),;".contains(c)).find_map(|word| word.parse().ok())
}
