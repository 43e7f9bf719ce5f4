//! The control socket: how the command line asks the bridge that runs.
//!
//! A Unix socket in the state folder, for the bridge's own user and root. One request a line, one answer a line:
//!
//! ```text
//! {"request":"cache-stats"}
//! {"ok":{"memory":{...},...}}      or {"error":"one sentence"}
//! ```
//!
//! Whoever binds it holds the folder for itself ([`Folder::hold_alone`]), so a socket that is there already was left by
//! a bridge that was killed.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::{Bodies, Folder, Ledger};

/// The socket in the state folder.
const SOCKET: &str = "control";

/// What the bridge can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// What is kept of bodies: [`crate::store::Stats`].
    CacheStats,
    /// Remove all of it: [`crate::store::bodies::Cleared`].
    CacheClear,
    /// Remove what the ledger knows of an account's mailboxes: [`crate::store::ledger::Forgotten`].
    LedgerForget {
        /// The account, which the configuration may not know any more.
        address: String,
    },
}

/// What requests are about.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) bodies: Bodies,
    pub(super) ledger: Ledger,
}

/// A line back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer<T> {
    Ok(T),
    Error(String),
}

/// Asks the bridge that runs with this state folder; `None` where none does, or none that can be asked.
///
/// # Errors
/// One sentence: it does not answer, or says why not.
pub fn ask<T: DeserializeOwned>(state: &Path, request: Request) -> Result<Option<T>, String> {
    let question = serde_json::to_string(&request).map_err(|error| error.to_string())?;
    let Some(line) = system::ask(&state.join(SOCKET), &question).map_err(|error| {
        format!("the footbridge that runs does not answer: {error}; try again, or restart it")
    })?
    else {
        return Ok(None);
    };
    match serde_json::from_str(&line) {
        Ok(Answer::Ok(answer)) => Ok(Some(answer)),
        Ok(Answer::Error(sentence)) => Err(sentence),
        Err(_) => {
            Err("the footbridge that runs answers what this one does not understand; restart it".to_owned())
        }
    }
}

/// The answer to a line.
async fn answer(line: &[u8], kept: &Kept) -> String {
    let request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(_) => {
            return written::<()>(Err(
                "the footbridge that runs does not know this request; restart it after an update".to_owned(),
            ));
        }
    };
    match request {
        Request::CacheStats => written(Ok(kept.bodies.stats().await)),
        Request::LedgerForget { address } => written(kept.ledger.forget(&address).await),
        Request::CacheClear => {
            let cleared = kept.bodies.clear().await;
            written(
                cleared
                    .map_err(|error| format!("not every message could be removed from the cache: {error}")),
            )
        }
    }
}

fn written<T: Serialize>(outcome: Result<T, String>) -> String {
    let answer = match outcome {
        Ok(answer) => Answer::Ok(answer),
        Err(sentence) => Answer::Error(sentence),
    };
    serde_json::to_string(&answer).unwrap_or_else(|_| r#"{"error":"no answer can be written"}"#.to_owned())
}

pub(super) use system::Control;

#[cfg(unix)]
mod system {
    use std::fs::{self, Permissions};
    use std::io::{self, BufRead, Read, Write};
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    use std::os::unix::net::UnixStream as Blocking;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::Semaphore;
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;
    use tracing::{debug, warn};

    use super::{Folder, Kept, Path, PathBuf, SOCKET, answer};

    /// The longest path that a socket's address has room for, NUL not counted: `sun_path` in unix(7) and in XNU's sys/un.h.
    const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

    /// A request has some 30 octets, and maybe an address.
    const LONGEST_REQUEST: u64 = 4096;

    /// An answer has some 300.
    const LONGEST_ANSWER: u64 = 64 * 1024;

    /// The command line asks one thing at a time.
    const ASKERS: usize = 8;

    /// How long one that is connected may say nothing, or not take its answer.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// How long the command line waits for an answer: hundred thousand files are not removed in a moment.
    const ANSWERED: Duration = Duration::from_secs(60);

    /// After a fault of accepting, too many open files for example.
    const RECOVERY: Duration = Duration::from_millis(100);

    /// A socket that listens; gone when dropped.
    #[derive(Debug)]
    pub(in crate::server) struct Control {
        listener: UnixListener,
        path: PathBuf,
    }

    impl Control {
        /// Listens in a folder that is held alone; `None`, after one warning, where that cannot be.
        pub(in crate::server) fn open(folder: &Folder) -> Option<Self> {
            let path = folder.file(SOCKET);
            match Self::bind(&path) {
                Ok(listener) => Some(Self { listener, path }),
                Err(error) => {
                    warn!(
                        "{}: no socket for the command line: {error}; \"footbridge cache\" and \"account remove\" cannot ask this bridge",
                        path.display()
                    );
                    None
                }
            }
        }

        fn bind(path: &Path) -> io::Result<UnixListener> {
            if path.as_os_str().len() > LONGEST_PATH {
                return Err(io::Error::other(format!(
                    "its path has more than {LONGEST_PATH} octets; name a shorter folder with --state DIR"
                )));
            }
            match fs::symlink_metadata(path) {
                Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path)?,
                Ok(_) => return Err(io::Error::other("this is not a socket; move it away")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let listener = UnixListener::bind(path)?;
            // Nobody else can enter the folder meanwhile.
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            Ok(listener)
        }

        /// Answers until the bridge stops.
        pub(in crate::server) async fn serve(self, kept: Kept, stopping: CancellationToken) {
            stopping.run_until_cancelled(self.accept(kept, &stopping)).await;
        }

        async fn accept(&self, kept: Kept, stopping: &CancellationToken) {
            let seats = Arc::new(Semaphore::new(ASKERS));
            loop {
                let Ok(seat) = seats.clone().acquire_owned().await else { return };
                let asker = match self.listener.accept().await {
                    Ok((asker, _)) => asker,
                    Err(error) => {
                        debug!(%error, "the control socket");
                        tokio::time::sleep(RECOVERY).await;
                        continue;
                    }
                };
                if !is_ours(&asker) {
                    continue;
                }
                let kept = kept.clone();
                let talk = async move {
                    let _seat = seat;
                    if let Err(error) = talk(asker, &kept).await {
                        debug!(%error, "the control socket");
                    }
                };
                tokio::spawn(stopping.clone().run_until_cancelled_owned(talk));
            }
        }
    }

    impl Drop for Control {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// As the mode of the socket says, too; not every system looks at that.
    fn is_ours(asker: &UnixStream) -> bool {
        let ours = [0, rustix::process::geteuid().as_raw()];
        asker.peer_cred().is_ok_and(|peer| ours.contains(&peer.uid()))
    }

    async fn talk(asker: UnixStream, kept: &Kept) -> io::Result<()> {
        let mut asker = BufReader::new(asker);
        loop {
            let mut line = Vec::new();
            let mut request = (&mut asker).take(LONGEST_REQUEST);
            timeout(PATIENCE, request.read_until(b'\n', &mut line)).await??;
            if line.is_empty() {
                return Ok(());
            }
            let whole = line.ends_with(b"\n");
            let mut said = answer(&line, kept).await;
            said.push('\n');
            timeout(PATIENCE, asker.write_all(said.as_bytes())).await??;
            if !whole {
                return Ok(()); // Too long, or its end never came.
            }
        }
    }

    /// `None` where nobody listens.
    pub(super) fn ask(path: &Path, question: &str) -> io::Result<Option<String>> {
        if path.as_os_str().len() > LONGEST_PATH {
            return Ok(None);
        }
        let mut bridge = match Blocking::connect(path) {
            Ok(bridge) => bridge,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        bridge.set_write_timeout(Some(PATIENCE))?;
        bridge.set_read_timeout(Some(ANSWERED))?;
        bridge.write_all(format!("{question}\n").as_bytes())?;
        let mut line = String::new();
        io::BufReader::new(bridge.take(LONGEST_ANSWER)).read_line(&mut line)?;
        if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(line)) }
    }
}

/// A named pipe would do it there; until there is one, the command line says that a bridge that runs cannot be asked.
#[cfg(not(unix))]
mod system {
    use std::io;

    use tokio_util::sync::CancellationToken;

    use super::{Folder, Kept, Path};

    #[derive(Debug)]
    pub(in crate::server) enum Control {}

    impl Control {
        pub(in crate::server) fn open(_: &Folder) -> Option<Self> {
            None
        }

        pub(in crate::server) async fn serve(self, _: Kept, _: CancellationToken) {
            match self {}
        }
    }

    pub(super) fn ask(_: &Path, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    use tokio::task::{JoinHandle, spawn_blocking};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::mail::{Listed, MessageSize, Uid, UidValidity};
    use crate::store::Stats;
    use crate::store::bodies::Cleared;
    use crate::store::ledger::Forgotten;

    struct Bridge {
        outer: tempfile::TempDir,
        ledger: Ledger,
        stopping: CancellationToken,
        serving: JoinHandle<()>,
    }

    impl Bridge {
        fn state(&self) -> PathBuf {
            self.outer.path().join("state")
        }

        fn start() -> Self {
            let outer = tempfile::tempdir().unwrap();
            let folder = Folder::open(&outer.path().join("state")).unwrap();
            // Left by a bridge that was killed.
            drop(std::os::unix::net::UnixListener::bind(folder.file(SOCKET)).unwrap());
            let control = Control::open(&folder).expect("a stale socket is replaced");
            let stopping = CancellationToken::new();
            let ledger = Ledger::in_folder(folder.path());
            let kept = Kept { bodies: Bodies::new(1 << 20), ledger: ledger.clone() };
            let serving = tokio::spawn(control.serve(kept, stopping.clone()));
            Self { outer, ledger, stopping, serving }
        }

        async fn ask<T: DeserializeOwned + Send + 'static>(
            &self,
            request: Request,
        ) -> Result<Option<T>, String> {
            let state = self.state();
            spawn_blocking(move || ask(&state, request)).await.unwrap()
        }

        async fn say(&self, octets: Vec<u8>) -> Vec<String> {
            let path = self.state().join(SOCKET);
            let talk = move || {
                let mut bridge = UnixStream::connect(path).unwrap();
                bridge.write_all(&octets).unwrap();
                bridge.shutdown(std::net::Shutdown::Write).unwrap();
                BufReader::new(bridge).lines().map_while(Result::ok).collect()
            };
            spawn_blocking(talk).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_request_a_line_is_answered_in_a_line() {
        let bridge = Bridge::start();
        let stats: Stats = bridge.ask(Request::CacheStats).await.unwrap().expect("one runs");
        assert_eq!((stats.memory.bodies, stats.memory.bound, stats.disk), (0, 1 << 20, None));
        let cleared: Cleared = bridge.ask(Request::CacheClear).await.unwrap().expect("one runs");
        assert_eq!(cleared, Cleared::default());
        let two = b"{\"request\":\"cache-stats\"}\n{\"request\":\"cache-clear\"}\n".to_vec();
        let said = bridge.say(two).await;
        assert!(said.len() == 2 && said.iter().all(|line| line.starts_with("{\"ok\":{")), "{said:?}");
        bridge.stopping.cancel();
        bridge.serving.await.unwrap();
        assert!(!bridge.outer.path().join("state").join(SOCKET).exists(), "gone with the bridge");
    }

    #[tokio::test]
    async fn what_the_ledger_knows_of_an_account_is_removed_while_it_is_open() {
        let bridge = Bridge::start();
        let text = "[[account]]\naddress = \"ana@gmx.net\"\n[[account]]\naddress = \"bob@gmx.net\"\n";
        let settings = crate::config::parse(text, Path::new("test.toml")).unwrap();
        let page = |at: usize| bridge.ledger.page(&settings.accounts[at], "INBOX");
        for at in [0, 1] {
            let messages = vec![(Uid::FIRST, MessageSize::told(1))];
            page(at).write(Listed { uid_validity: UidValidity::FIRST, uid_next: None, messages }, Vec::new());
        }
        bridge.ledger.written().await;
        for (mailboxes, address) in [(1, "Ana@GMX.net"), (0, "ana@gmx.net"), (0, "eve@gmx.net")] {
            let forgotten: Forgotten =
                bridge.ask(Request::LedgerForget { address: address.into() }).await.unwrap().unwrap();
            assert_eq!(forgotten, Forgotten { mailboxes, begun_anew: false });
        }
        let known = [page(0).read().await, page(1).read().await].map(|known| known.is_some());
        assert_eq!(known, [false, true]);
        bridge.ledger.close().await;
        let refused = bridge.ask::<Forgotten>(Request::LedgerForget { address: "bob@gmx.net".into() }).await;
        assert_eq!(refused, Err("footbridge is ending".to_owned()));
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_so() {
        let bridge = Bridge::start();
        for wrong in [
            b"{\"request\":\"make-coffee\"}\n".to_vec(),
            b"EHLO\n".to_vec(),
            b"\xff\n".to_vec(),
            b"{\"request\":".to_vec(),
            vec![b' '; 5000],
        ] {
            let said = bridge.say(wrong.clone()).await;
            assert_eq!(said.len(), 1, "{wrong:?}");
            assert!(
                said.concat().starts_with("{\"error\":\"the footbridge that runs does not know"),
                "{said:?}"
            );
        }
        assert!(bridge.say(Vec::new()).await.is_empty());
        assert!(bridge.ask::<Stats>(Request::CacheStats).await.unwrap().is_some(), "it goes on");
    }

    #[tokio::test]
    async fn it_is_for_its_user_alone_and_takes_no_other_files_place() {
        let bridge = Bridge::start();
        let mode = std::fs::metadata(bridge.state().join(SOCKET)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::open(&outer.path().join("state")).unwrap();
        std::fs::write(folder.file(SOCKET), "mine").unwrap();
        assert!(Control::open(&folder).is_none());
        assert_eq!(std::fs::read(folder.file(SOCKET)).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn a_path_that_no_address_has_room_for_is_no_control_and_nobody_is_asked() {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::open(&outer.path().join("x".repeat(120))).unwrap();
        assert!(Control::open(&folder).is_none());
        assert_eq!(ask::<Stats>(folder.path(), Request::CacheStats), Ok(None));
    }
}
