//! A server of the test's own as a child process that never outlives the test.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use tempfile::TempDir;

use super::PATIENCE;

/// Runs the command behind it; when its input ends, so when this process ends in whatever way, it ends the command by
/// its process id, waits for it and removes the folder.
const KEEPER: &str = r#"folder=$1; shift
"$@" &
server=$!
cat >/dev/null
exec >/dev/null 2>&1 # nobody reads any more, and to write would end us
kill -TERM $server
wait $server
rm -rf -- "$folder""#;

/// What a child wrote, to its end.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<String>>);

impl Log {
    /// All of it so far.
    pub fn text(&self) -> String {
        self.0.lock().expect("no reader panics").clone()
    }

    /// Collects line by line; each line is also handed on.
    pub fn follow(&self, output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
        let (sender, lines) = mpsc::channel();
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let _ = writeln!(log.0.lock().expect("no reader panics"), "{line}");
                let _ = sender.send(line);
            }
        });
        lines
    }
}

/// A running server; dropped, or when the test ends in whatever way, it stops and its folder goes.
pub struct Served {
    keeper: Child,
    /// The keeper stops when this closes.
    input: Option<ChildStdin>,
    log: Log,
}

impl Served {
    /// Starts `command`, whose folder this is, and waits until it writes a line that contains `ready`.
    ///
    /// # Errors
    /// What it wrote instead.
    pub fn start(command: &[&str], folder: TempDir, ready: &str) -> Result<Self, String> {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(folder.keep())
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let log = Log::default();
        let input = keeper.stdin.take();
        let out = log.follow(keeper.stdout.take().expect("piped"));
        let err = log.follow(keeper.stderr.take().expect("piped"));
        let served = Self { keeper, input, log };
        let (sender, lines) = mpsc::channel();
        for source in [out, err] {
            let sender = sender.clone();
            std::thread::spawn(move || source.iter().for_each(|line| drop(sender.send(line))));
        }
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(ready) => return Ok(served),
                Ok(line) if !line.to_lowercase().contains("fatal") => {}
                _ => return Err(served.log()),
            }
        }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.log.text()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.keeper.wait();
    }
}

/// A temporary folder that a server under another user may enter.
pub fn folder(prefix: &str) -> TempDir {
    let folder = TempDir::with_prefix(prefix).expect("a temporary folder");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our own folder");
    folder
}

/// Makes a folder that belongs to a user; `None` leaves it ours.
pub fn folder_of(path: &Path, user: Option<&str>) {
    std::fs::create_dir_all(path).expect("a folder is made");
    if let Some(user) = user {
        let done = Command::new("chown").arg(user).arg(path).status();
        assert!(done.expect("chown is there").success(), "chown {user} {}", path.display());
    }
}

/// The user these tests run as, where that is not root.
pub fn ordinary_user() -> Option<String> {
    let said = Command::new("id").arg("-un").output().expect("id is there").stdout;
    let name = String::from_utf8_lossy(&said).trim().to_owned();
    (name != "root").then_some(name)
}

/// Different ports that were free a moment ago.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}

/// Where a program is; servers live outside an ordinary user's path.
///
/// # Panics
/// Where it is missing: a missing real server is a failure.
pub fn program(name: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin", "/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|file| file.is_file());
    let found =
        found.unwrap_or_else(|| panic!("{name} is not installed; tests/run installs what the tests need"));
    found.to_string_lossy().into_owned()
}
