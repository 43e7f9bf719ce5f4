//! Message bodies on the disk: one file a body, within a hard bound.
//!
//! ```text
//!  Strand ──64 KiB, 64 KiB, end──▶ queue ──▶ one thread: temporary name ──complete──▶ rename
//!                                                  │ makes room first: least recently used goes
//!  open ──▶ Found ◀── blocking threads: each chunk checked before it is handed on
//! ```
//!
//! It is a cache, and everything follows from that. Nothing is synced. Whatever is damaged, cut off, exchanged, of
//! another format or gone is treated as not there, removed, and fetched again. Writing never slows the mail down: what
//! the disk does not take in time is given up. A full disk, or one that cannot be written, costs one warning and is
//! tried again later.
//!
//! Only one process has the folder, the bridge that runs ([`Folder::hold_alone`](crate::store::Folder::hold_alone)).
//!
//! Files of a numbering that is over (UIDVALIDITY changed, RFC 3501 §2.3.1.1) are never asked for again, so nobody
//! looks for them: they are the least recently used before anything else is, and until the bound is reached they
//! take room that nobody needs.

mod format;
mod index;
mod place;
mod reader;
mod strand;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};
use zeroize::Zeroizing;

use super::BodyKey;
use format::{Form, Name};
use index::Index;
use place::{Ours, Place};
pub(super) use reader::{Found, Stream};
pub(super) use strand::Strand;
use writer::{Job, Writer};

/// The folder in the state folder.
const FOLDER: &str = "bodies";

/// Octets that wait for the disk, of all bodies together: what a slow disk falls behind a fast line in a moment.
const QUEUE: u64 = 8 << 20;

/// Jobs that wait for the disk: small bodies by the hundred are no reason to hold more.
const JOBS: usize = 1024;

/// After a fault the disk is left alone for so long: whoever makes room needs a while, too.
const RETRY: Duration = Duration::from_secs(60);

/// One warning in so long, however often it fails and works again.
const QUIET: Duration = Duration::from_secs(60 * 60);

/// How long a body waits for the folder to be looked at and the key to be there, right after the start.
const STARTING: Duration = Duration::from_secs(1);

/// How long the last files may take at the end, within the five seconds that a bridge takes to stop.
const CLOSING: Duration = Duration::from_millis(400);

/// The key that bodies are sealed with; `None` where it would lie beside them, or there is none. Asked in a thread
/// for what blocks, and again after a fault, which is one clause.
pub type KeySource = Box<dyn Fn() -> Result<Option<Zeroizing<[u8; 32]>>, String> + Send>;

/// See the module; cheap to clone. Its thread ends with the last clone.
#[derive(Clone, Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
    strands: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    index: Mutex<Index>,
    /// Whether the index knows every file.
    looked: AtomicBool,
    state: watch::Sender<State>,
    queued: AtomicU64,
    health: Mutex<Health>,
    retry: Duration,
}

/// Whether files can be read and written.
#[derive(Clone, Debug)]
enum State {
    Starting,
    Ready(Arc<Form>),
    /// There is a key, and it cannot be had now.
    NoKey,
}

#[derive(Debug, Default)]
struct Health {
    failing: bool,
    paused_until: Option<Instant>,
    warned: Option<Instant>,
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DiskTier {
    /// Bodies.
    pub bodies: u64,
    /// Octets of their files.
    pub octets: u64,
    /// What they may come to.
    pub bound: u64,
    /// Whether they are sealed.
    pub sealed: bool,
}

/// How many bodies were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Removed {
    /// Bodies.
    pub bodies: u64,
    /// Octets of them, or of their files.
    pub octets: u64,
}

/// Where the bodies of a state folder are.
pub fn folder_in(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// What is in a folder that no bridge has open; the bound is the caller's to know.
///
/// # Errors
/// The folder cannot be read.
pub fn measure(folder: &Path, bound: u64) -> io::Result<DiskTier> {
    let mut tier = DiskTier { bound, ..DiskTier::default() };
    for seen in Place::new(folder.to_owned()).look()? {
        let Ours::Complete { sealed, .. } = seen.ours else { continue };
        tier.bodies += 1;
        tier.octets += seen.octets;
        tier.sealed |= sealed;
    }
    Ok(tier)
}

/// Removes every body from a folder that no bridge has open, and what a killed one left.
///
/// # Errors
/// The first file that cannot be removed; those before are gone.
pub fn clear(folder: &Path) -> io::Result<Removed> {
    clear_place(&Place::new(folder.to_owned()), true)
}

fn clear_place(place: &Place, unfinished: bool) -> io::Result<Removed> {
    let mut removed = Removed::default();
    for seen in place.look()? {
        match seen.ours {
            Ours::Complete { .. } => {
                place.remove(&seen.path)?;
                removed.bodies += 1;
                removed.octets += seen.octets;
            }
            Ours::Unfinished if unfinished => place.remove(&seen.path)?,
            Ours::Unfinished => {}
        }
    }
    Ok(removed)
}

impl Disk {
    /// Keeps bodies in `folder`, whose files together have at most `bound` octets. Returns at once: the folder is made
    /// when the first body is kept, and what is there already is looked at in a thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(folder: PathBuf, bound: u64, key: KeySource) -> io::Result<Self> {
        Self::start_in(Place::new(folder), bound, key, RETRY)
    }

    fn start_in(place: Place, bound: u64, key: KeySource, retry: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            place,
            index: Mutex::new(Index::new(bound)),
            looked: AtomicBool::new(false),
            state: watch::Sender::new(State::Starting),
            queued: AtomicU64::new(0),
            health: Mutex::default(),
            retry,
        });
        let (jobs, queue) = mpsc::sync_channel(JOBS);
        let writer = Writer::new(shared.clone(), key);
        std::thread::Builder::new().name("bodies".to_owned()).spawn(move || writer.run(&queue))?;
        Ok(Self { shared, jobs, strands: Arc::default() })
    }

    /// Whether a body is there, as far as is known.
    pub(super) fn has(&self, key: &BodyKey) -> bool {
        self.name(key).is_some_and(|name| self.shared.index().has(name))
    }

    /// A body that was had from elsewhere counts as used here, too.
    pub(super) fn touch(&self, key: &BodyKey) {
        if let Some(name) = self.name(key) {
            self.shared.index().touch(name);
        }
    }

    fn name(&self, key: &BodyKey) -> Option<Name> {
        match &*self.shared.state.borrow() {
            State::Ready(form) => Some(form.name(key)),
            State::Starting | State::NoKey => None,
        }
    }

    /// Keeps a whole body, if the disk takes it.
    pub(super) fn write(&self, key: BodyKey, body: Bytes, pop3_octets: u64) {
        let octets = body.len() as u64;
        if self.accepts(octets) {
            self.send(octets, Job::Whole { key, body, pop3_octets });
        }
    }

    /// Begins to keep a body of `octets` octets; `None` where the disk does not take it.
    pub(super) fn begin(&self, key: BodyKey, octets: u64) -> Option<Strand> {
        if !self.accepts(octets) {
            return None;
        }
        let id = self.strands.fetch_add(1, Ordering::Relaxed);
        Strand::begin(self.clone(), id, key, octets)
    }

    fn accepts(&self, octets: u64) -> bool {
        octets <= self.shared.index().bound() && !self.shared.is_paused()
    }

    /// `false`: the disk is behind, and this is given up.
    fn send(&self, octets: u64, job: Job) -> bool {
        let queued = &self.shared.queued;
        if queued.fetch_add(octets, Ordering::Relaxed).saturating_add(octets) > QUEUE {
            queued.fetch_sub(octets, Ordering::Relaxed);
            return false;
        }
        match self.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                queued.fetch_sub(octets, Ordering::Relaxed);
                false
            }
        }
    }

    /// What is there now.
    pub(super) fn tier(&self) -> DiskTier {
        let sealed = matches!(&*self.shared.state.borrow(), State::Ready(form) if form.is_sealed());
        let index = self.shared.index();
        DiskTier { bodies: index.files() as u64, octets: index.octets(), bound: index.bound(), sealed }
    }

    /// Removes every body; who reads one goes on reading it.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub(super) async fn clear(&self) -> io::Result<Removed> {
        self.ask(Job::Clear).await.unwrap_or_else(|| Err(io::Error::other("the disk does not answer")))
    }

    /// Waits until all that was handed over is written.
    pub(super) async fn close(&self) {
        let _ = tokio::time::timeout(CLOSING, self.ask(Job::Close)).await;
    }

    /// Waits for its turn behind what is queued.
    async fn ask<T: Send + 'static>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let (jobs, job) = (self.jobs.clone(), job(reply));
        // In a thread: a queue that is full is waited for.
        let sent = spawn_blocking(move || jobs.send(job).is_ok()).await;
        if sent.is_ok_and(|sent| sent) { answer.await.ok() } else { None }
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_paused(&self) -> bool {
        self.health().paused_until.is_some_and(|until| Instant::now() < until)
    }

    /// Leaves the disk alone for a while, and says so, but not each time.
    fn fail(&self, fault: &dyn fmt::Display) {
        let mut health = self.health();
        let now = Instant::now();
        health.failing = true;
        health.paused_until = now.checked_add(self.retry);
        if health.warned.is_some_and(|warned| now.duration_since(warned) < QUIET) {
            debug!("bodies are still not kept on the disk: {fault}");
            return;
        }
        health.warned = Some(now);
        drop(health);
        warn!(
            "{}: messages are not kept on the disk for now: {fault}; mail goes on without, and it is tried again every \
             minute; make room there, or set disk = \"0\" in [cache]",
            self.place.folder().display()
        );
    }

    fn works(&self) {
        let mut health = self.health();
        if std::mem::take(&mut health.failing) {
            health.paused_until = None;
            info!("messages are kept on the disk again");
        }
    }

    /// Removes a file that is not what it should be; it is fetched again.
    fn discard(&self, form: &Form, name: Name, why: &dyn fmt::Display) {
        debug!("a body on the disk is not used and fetched again: {why}");
        if let Err(error) = self.place.remove(&self.place.complete(name, form.is_sealed())) {
            debug!(%error, "it cannot be removed");
        }
        self.index().remove(name);
    }
}
