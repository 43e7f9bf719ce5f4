//! The ledger's book: how its file stands, what was learnt and is not in it yet, and who reads and writes it.
//!
//! ```text
//!  door ─────▶ the file: opened when it is asked for, let be after a fault, begun anew where it was damaged
//!  learnt ───▶ sizes and identities, a mailbox's as many as there is room for
//!  waiting ──▶ listings, written in turn
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::Database;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::super::Folder;
use super::block::Key;
use super::fault::Fault;
use super::file::{self, Learnt, News};
use super::waiting::Waiting;
use crate::mail::{Identity, Listed, MessageSize, Uid, UidValidity};

/// The file, in the state folder.
pub(super) const FILE: &str = "ledger.redb";

/// Threads that read at a time; what a disk that hangs can hold up.
pub(super) const READERS: usize = 4;

/// Writings that run or wait, each with a mailbox's listing in memory; what is more is left to the next login.
pub(super) const WRITERS: usize = 8;

/// After a fault of the system's the file is let be so long.
pub(super) const AGAIN: Duration = Duration::from_secs(10 * 60);

/// A file that is damaged again and again is on a disk that keeps nothing.
pub(super) const DAMAGED: u32 = 3;

/// Sizes, and identities, kept of one mailbox until they are written.
pub(super) const LEARNT: usize = 32 * 1024;

/// So many are written while the session goes on.
const MANY: usize = 4 * 1024;

pub(super) struct Book {
    folder: PathBuf,
    door: Mutex<Door>,
    /// What may not be in the file yet.
    learnt: Mutex<HashMap<Key, Notes>>,
    /// At most [`WRITERS`].
    pub(super) waiting: Waiting,
    pub(super) readers: Arc<Semaphore>,
    pub(super) writers: Arc<Semaphore>,
    /// One writing after another, so that none waits in a thread.
    pub(super) turn: Arc<Semaphore>,
}

/// What was removed of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forgotten {
    /// Mailboxes of which anything was known.
    pub mailboxes: u64,
    /// The file was damaged, so that all of it had to go, of other accounts too.
    pub begun_anew: bool,
}

/// What was learnt of a mailbox's messages.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    pub(super) uid_validity: UidValidity,
    pub(super) octets: BTreeMap<Uid, MessageSize>,
    pub(super) identities: BTreeMap<Uid, Identity>,
}

/// How the file stands.
#[derive(Default)]
pub(super) struct Door {
    pub(super) state: State,
    /// How often it was damaged in this run.
    pub(super) damaged: u32,
    /// The user knows that it cannot be had.
    told: bool,
    /// What was wrong with it last.
    pub(super) fault: String,
    /// Which nobody is told by the log.
    quiet: bool,
}

#[derive(Default)]
pub(super) enum State {
    /// Not opened yet.
    #[default]
    Untried,
    Open(Arc<Database>),
    /// Not before then.
    Failed(Instant),
    /// Not in this run.
    Closed,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Door {
    pub(super) fn without_log() -> Self {
        Self { quiet: true, ..Self::default() }
    }
}

impl Book {
    pub(super) fn new(folder: &Path, door: Door) -> Self {
        Self {
            folder: folder.to_owned(),
            door: Mutex::new(door),
            learnt: Mutex::default(),
            waiting: Waiting::default(),
            readers: Arc::new(Semaphore::new(READERS)),
            writers: Arc::new(Semaphore::new(WRITERS)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Nothing is left half done under this lock.
    pub(super) fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nor under this one.
    pub(super) fn learnt(&self) -> MutexGuard<'_, HashMap<Key, Notes>> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, in the background, a listing and what was learnt by the time it is its turn.
    /// `None` where there is no room.
    pub(super) fn write(self: Arc<Self>, key: Key, news: Option<News>) -> Option<JoinHandle<()>> {
        // At the very end there is no runtime any more, and nothing to be written by it.
        let (Ok(runtime), Ok(room)) = (Handle::try_current(), self.writers.clone().try_acquire_owned())
        else {
            return None;
        };
        self.waiting.push(key, news);
        Some(runtime.spawn(async move {
            let _room = room;
            let Ok(turn) = self.turn.clone().acquire_owned().await else { return };
            let writing = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                // Not always what this task was begun for: tasks do not keep their order.
                if let Some(oldest) = self.waiting.oldest() {
                    self.write_down(oldest.key, oldest.news.as_deref());
                }
            });
            let _ = writing.await;
        }))
    }

    fn write_down(&self, key: Key, news: Option<&News>) {
        let learnt = self.learnt().get(&key).map(|notes| Learnt {
            uid_validity: notes.uid_validity,
            sizes: notes.octets.iter().map(|(uid, octets)| (*uid, *octets)).collect(),
            identities: notes.identities.iter().map(|(uid, identity)| (*uid, *identity)).collect(),
        });
        if self.with(|database| file::write(database, key, news, learnt.as_ref())).is_none() {
            return;
        }
        if let Some(learnt) = learnt {
            self.written(key, &learnt);
        }
        debug!("the ledger is written");
    }

    /// What is in the file need not be kept beside it.
    fn written(&self, key: Key, learnt: &Learnt) {
        let mut waiting = self.learnt();
        let Some(notes) = waiting.get_mut(&key).filter(|notes| notes.uid_validity == learnt.uid_validity)
        else {
            return;
        };
        notes.forget(learnt);
        if notes.octets.is_empty() && notes.identities.is_empty() {
            waiting.remove(&key);
        }
    }

    /// Takes a note, of which there are so many then, and has them written now and then.
    pub(super) fn note(
        self: &Arc<Self>,
        key: Key,
        uid_validity: UidValidity,
        note: impl FnOnce(&mut Notes) -> usize,
    ) {
        let mut learnt = self.learnt();
        let notes = learnt.entry(key).or_insert_with(|| Notes::new(uid_validity));
        if notes.uid_validity != uid_validity || notes.octets.len().max(notes.identities.len()) >= LEARNT {
            *notes = Notes::new(uid_validity);
        }
        let many = note(notes).is_multiple_of(MANY);
        drop(learnt);
        if many {
            self.clone().write(key, None);
        }
    }

    /// For whose turn it is. Blocks.
    pub(super) fn forget(&self, keys: &RangeInclusive<Key>) -> Result<Forgotten, String> {
        self.learnt().retain(|key, _| !keys.contains(key));
        self.waiting.forget(keys);
        let is_missing = || {
            let looked = fs::symlink_metadata(self.folder.join(FILE));
            looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        if is_missing() {
            return Ok(Forgotten::default());
        }
        let damaged = self.door().damaged;
        let mailboxes = self.with(|database| file::forget(database, keys));
        let door = self.door();
        let begun_anew = door.damaged > damaged;
        match mailboxes {
            Some(mailboxes) => Ok(Forgotten { mailboxes, begun_anew }),
            None if begun_anew && is_missing() => Ok(Forgotten { mailboxes: 0, begun_anew }),
            None => Err(door.fault.clone()),
        }
    }

    /// Works with the file, where it can be had. Blocks.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Option<T> {
        let database = self.database()?;
        // What is unwound is not looked at again: the database is dropped.
        let done = catch_unwind(AssertUnwindSafe(|| work(&database))).unwrap_or(Err(Fault::Damaged));
        match done {
            Ok(done) => {
                self.door().told = false;
                Some(done)
            }
            Err(fault) => {
                let mut door = self.door();
                // Another thread may have met the same fault, and opened the file anew.
                if matches!(&door.state, State::Open(open) if Arc::ptr_eq(open, &database)) {
                    door.state = State::Untried;
                    drop_quietly(database);
                    self.failed(&mut door, fault);
                }
                None
            }
        }
    }

    fn database(&self) -> Option<Arc<Database>> {
        let mut door = self.door();
        loop {
            match &door.state {
                State::Open(database) => return Some(database.clone()),
                State::Closed => return None,
                State::Failed(until) if Instant::now() < *until => return None,
                State::Failed(_) | State::Untried => match self.open() {
                    Ok(database) => door.state = State::Open(Arc::new(database)),
                    Err(fault) => self.failed(&mut door, fault),
                },
            }
        }
    }

    fn open(&self) -> Result<Database, Fault> {
        let folder = Folder::open(&self.folder)?;
        let file = folder.open_file(FILE)?;
        catch_unwind(AssertUnwindSafe(|| file::open(file))).unwrap_or(Err(Fault::Damaged))
    }

    /// Decides what becomes of the file, and tells it.
    fn failed(&self, door: &mut Door, fault: Fault) {
        let path = self.folder.join(FILE);
        door.state = State::Failed(Instant::now() + AGAIN);
        door.fault = fault.in_words(&path);
        let then = match fault {
            Fault::Damaged => {
                door.damaged += 1;
                door.state = match fs::remove_file(path) {
                    Ok(()) if door.damaged < DAMAGED => State::Untried,
                    _ => State::Closed,
                };
                "; it is begun anew from what the providers say"
            }
            Fault::Newer => {
                door.state = State::Closed;
                ", so it is left alone and POP3 logins take longer; update footbridge, or name another folder with \
                 --state DIR"
            }
            _ if door.told => return,
            Fault::Busy => ", so POP3 logins take longer here; give each its own folder with --state DIR",
            Fault::Folder(_) => "; until then POP3 logins take longer",
            Fault::Io(_) => "; until it can, POP3 logins take longer",
        };
        if !door.quiet {
            warn!("{}{then}", door.fault);
        }
        door.told = true;
    }
}

impl Notes {
    fn new(uid_validity: UidValidity) -> Self {
        Self { uid_validity, octets: BTreeMap::new(), identities: BTreeMap::new() }
    }

    /// Forgets what stands in `written`, too.
    fn forget(&mut self, written: &Learnt) {
        for (uid, octets) in &written.sizes {
            if self.octets.get(uid) == Some(octets) {
                self.octets.remove(uid);
            }
        }
        for (uid, identity) in &written.identities {
            if self.identities.get(uid) == Some(identity) {
                self.identities.remove(uid);
            }
        }
    }

    pub(super) fn correct(&self, listed: &mut Listed) {
        if self.uid_validity != listed.uid_validity {
            return;
        }
        for (uid, octets) in &self.octets {
            if let Ok(at) = listed.messages.binary_search_by_key(uid, |(uid, _)| *uid)
                && let Some((_, size)) = listed.messages.get_mut(at)
            {
                size.correct(*octets);
            }
        }
    }
}

/// redb may not like what it finds at the end, either.
fn drop_quietly(database: Arc<Database>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
}
