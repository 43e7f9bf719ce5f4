//! The ledger: which messages a mailbox had when it was listed last, how large they are, and by what they would be known
//! again under other UIDs.
//!
//! ```text
//!  ledger.redb ─ block ─── heads and blocks, each with a checksum
//!       │        file ──── the tables, a transaction for each reading and writing
//!       │        waiting ─ what is yet to be written, and is read from memory until it is
//!  Ledger ────── Page ──── one mailbox's part, as a login has it
//! ```
//!
//! It spares work and never decides anything: what is read is a mailbox as it once stood, which a login brings up to
//! date by what upstream says. So it may be lost at any time. A damaged one is removed and begun anew; one that
//! cannot be had, or that a newer footbridge wrote, is left alone and done without. One warning tells of it.
//!
//! Everything that touches the disk runs on threads of its own, few at a time, and nobody waits for them long, nor for
//! what another login writes: that is read from memory as long as it is not on the disk. What cannot be written is
//! forgotten, and what was not when the process ends is lost. The file's writer is redb: after a crash there is the last state that was written whole, or one before it. A panic in redb
//! over a file that somebody changed under us is damage like any other.

mod block;
mod file;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::Database;
use ring::digest::{Context, SHA256};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::{Folder, FolderError};
use crate::mail::{Account, Identity, Listed, MessageSize, Uid, UidValidity};
use block::Key;
use file::{Fault, Learnt, News};
use waiting::Waiting;

/// The file, in the state folder.
const FILE: &str = "ledger.redb";

/// A login lists the mailbox as if nothing were known rather than wait longer for a slow disk.
const READING: Duration = Duration::from_secs(1);

/// One that finds the mailbox renumbered waits longer: all the messages that an app has may hang on it.
const READING_ALL: Duration = Duration::from_secs(10);

/// A QUIT waits so long for what was learnt to be written.
const WRITING: Duration = Duration::from_secs(1);

/// Whoever removes an account waits for what is being written.
const FORGETTING: Duration = Duration::from_secs(30);

/// Threads that read at a time; what a disk that hangs can hold up.
const READERS: usize = 4;

/// Writings that run or wait, each with a mailbox's listing in memory; what is more is left to the next login.
const WRITERS: usize = 8;

/// After a fault of the system's the file is let be so long.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// A file that is damaged again and again is on a disk that keeps nothing.
const DAMAGED: u32 = 3;

/// Sizes, and identities, kept of one mailbox until they are written.
const LEARNT: usize = 32 * 1024;

/// So many are written while the session goes on.
const MANY: usize = 4 * 1024;

/// The process ends without what is still being written.
const CLOSING: Duration = Duration::from_millis(400);

/// What outlives a run about mailboxes; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Option<Arc<Book>>);

/// One mailbox's part of the ledger. What was learnt is written when it is dropped.
#[derive(Debug)]
pub struct Page {
    book: Option<Arc<Book>>,
    key: Key,
    /// What was learnt and perhaps not written when the file was read: it may be written by now.
    unwritten: Option<Notes>,
    /// The file was not read in time.
    is_late: bool,
}

/// The disk did not tell in time.
#[derive(Debug)]
struct Late;

/// What a mailbox was like when it was written last.
#[derive(Debug)]
pub struct Before {
    /// Its messages.
    pub listed: Listed,
    /// What is known of their identities, ascending, each UID once.
    pub identities: Vec<(Uid, Identity)>,
}

/// Learns the identity of one message.
#[derive(Debug)]
pub struct Learner {
    book: Arc<Book>,
    key: Key,
    uid_validity: UidValidity,
    uid: Uid,
}

/// What was removed of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forgotten {
    /// Mailboxes of which anything was known.
    pub mailboxes: u64,
    /// The file was damaged, so that all of it had to go, of other accounts too.
    pub begun_anew: bool,
}

struct Book {
    folder: PathBuf,
    door: Mutex<Door>,
    /// What may not be in the file yet.
    learnt: Mutex<HashMap<Key, Notes>>,
    /// At most [`WRITERS`].
    waiting: Waiting,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    /// One writing after another, so that none waits in a thread.
    turn: Arc<Semaphore>,
}

/// What was learnt of a mailbox's messages.
#[derive(Clone, Debug)]
struct Notes {
    uid_validity: UidValidity,
    octets: BTreeMap<Uid, MessageSize>,
    identities: BTreeMap<Uid, Identity>,
}

/// How the file stands.
#[derive(Default)]
struct Door {
    state: State,
    /// How often it was damaged in this run.
    damaged: u32,
    /// The user knows that it cannot be had.
    told: bool,
    /// What was wrong with it last.
    fault: String,
    /// Which nobody is told by the log.
    quiet: bool,
}

#[derive(Default)]
enum State {
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

impl Ledger {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// In this state folder, which is opened, or made, when the first mailbox is.
    pub fn in_folder(folder: &Path) -> Self {
        Self::behind(folder, Door::default())
    }

    /// The same for who is told by [`Ledger::forget`] what is wrong with the file: the log is not.
    pub fn without_log(folder: &Path) -> Self {
        Self::behind(folder, Door { quiet: true, ..Door::default() })
    }

    fn behind(folder: &Path, door: Door) -> Self {
        Self(Some(Arc::new(Book {
            folder: folder.to_owned(),
            door: Mutex::new(door),
            learnt: Mutex::default(),
            waiting: Waiting::default(),
            readers: Arc::new(Semaphore::new(READERS)),
            writers: Arc::new(Semaphore::new(WRITERS)),
            turn: Arc::new(Semaphore::new(1)),
        })))
    }

    /// The part about one mailbox of an account, `folder` as the user sees its name.
    pub fn page(&self, account: &Account, folder: &str) -> Page {
        Page { book: self.0.clone(), key: key(account, folder), unwritten: None, is_late: false }
    }

    /// Removes what is known of an account's mailboxes, whatever its servers and folders are or were. A session that goes on
    /// may bring something back.
    ///
    /// # Errors
    /// It is still there, for this reason.
    pub async fn forget(&self, address: &str) -> Result<Forgotten, String> {
        let Some(book) = self.0.clone() else { return Ok(Forgotten::default()) };
        let keys = block::keys_of(half([address.to_lowercase()]));
        let forgetting = async {
            let turn = book.turn.clone().acquire_owned().await.ok()?;
            let forgetting = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                book.forget(&keys)
            });
            forgetting.await.ok()
        };
        let forgotten = timeout(FORGETTING, forgetting).await.ok().flatten();
        forgotten.unwrap_or_else(|| Err("the disk does not answer".to_owned()))
    }

    /// Waits until all that was to be written is, or is given up.
    pub async fn written(&self) {
        if let Some(book) = &self.0 {
            // Held by each writing from the first to the last.
            let _all = book.writers.acquire_many(u32::try_from(WRITERS).unwrap_or(u32::MAX)).await;
        }
    }

    /// Nothing is written as long as what comes back lives.
    #[cfg(test)]
    pub(crate) async fn hold_up(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.0.as_ref()?.turn.clone().acquire_owned().await.ok()
    }

    /// Nothing is read as long as what comes back lives.
    #[cfg(test)]
    pub(crate) async fn hold_up_reading(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        self.0.as_ref()?.readers.clone().acquire_many_owned(all).await.ok()
    }

    /// Waits for what is being written, not for long, and closes the file.
    pub async fn close(&self) {
        let Some(book) = self.0.clone() else { return };
        let closed = async {
            self.written().await;
            let closing = tokio::task::spawn_blocking(move || {
                let mut door = book.door();
                door.state = State::Closed; // A last reader's drop closes it, were there one.
                door.fault = "footbridge is ending".to_owned();
            });
            let _ = closing.await;
        };
        let _ = timeout(CLOSING, closed).await;
    }
}

/// The account by its address alone, as it may be in the configuration no more; the mailbox by [`Account::mailboxes`] and
/// the folder.
fn key(account: &Account, folder: &str) -> Key {
    let behind_the_last_user_name = String::new();
    let mailbox = account.mailboxes().chain([behind_the_last_user_name, folder.to_owned()]);
    block::key_of(half([account.address.to_lowercase()]), half(mailbox))
}

/// Of parts, each with its length before it; 64 bits, which no two mailboxes of one machine share.
fn half(parts: impl IntoIterator<Item = String>) -> u64 {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref().first_chunk().copied().map_or(0, u64::from_le_bytes)
}

impl Page {
    /// The mailbox as it was written last, or is being written; `None` where it never was, or where that cannot be told
    /// in time.
    pub async fn read(&mut self) -> Option<Listed> {
        let (book, key) = (self.book.clone()?, self.key);
        // Before the file is read: what is in neither then is nowhere.
        self.unwritten = lock(&book.learnt).get(&key).cloned();
        let waiting = book.waiting.about(key);
        let look = move |book: &Book| book.with(|database| file::read(database, key)).flatten();
        let looked = self.looked_up(READING, look).await;
        self.is_late = looked.is_err();
        let written = looked.ok().flatten();
        waiting.into_iter().fold(written, |before, news| Some(news.over(before)))
    }

    /// Whether [`Page::read`] gave up on a slow disk, so that there may be what it did not tell.
    pub fn is_late(&self) -> bool {
        self.is_late
    }

    /// Gives the messages the exact sizes that were learnt and may not be in the file yet.
    pub fn correct(&self, listed: &mut Listed) {
        let Some(book) = &self.book else { return };
        for notes in self.unwritten.iter().chain(lock(&book.learnt).get(&self.key)) {
            notes.correct(listed);
        }
    }

    /// The mailbox as it was written last, and what is known of its messages' identities: for a login that finds it
    /// renumbered, before it writes it anew.
    pub async fn before(&self) -> Option<Before> {
        let (book, key) = (self.book.clone()?, self.key);
        let waiting = book.waiting.about(key);
        let look = move |book: &Book| book.with(|database| file::read_all(database, key)).flatten();
        let written = self.looked_up(READING_ALL, look).await.ok().flatten();
        let mut before = waiting.into_iter().fold(written, |before, news| Some(news.over_all(before)))?;
        let uid_validity = before.listed.uid_validity;
        if let Some(notes) = lock(&book.learnt).get(&key).filter(|it| it.uid_validity == uid_validity) {
            before.fill_in(notes.identities.iter().map(|(uid, identity)| (*uid, *identity)));
        }
        Some(before)
    }

    /// What is in the file, if the disk tells in time.
    async fn looked_up<T: Send + 'static>(
        &self,
        within: Duration,
        look: impl FnOnce(&Book) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Late> {
        let Some(book) = self.book.clone() else { return Ok(None) };
        let reading = async {
            let permit = book.readers.clone().acquire_owned().await.ok()?;
            let reading = tokio::task::spawn_blocking(move || {
                let _permit = permit; // Until the disk lets go, however long nobody waits any more.
                look(&book)
            });
            reading.await.ok()?
        };
        timeout(within, reading).await.map_err(|_| {
            debug!("the ledger is not read in time");
            Late
        })
    }

    /// A body was seen whole: its exact size.
    pub fn learn(&self, uid_validity: UidValidity, uid: Uid, octets: MessageSize) {
        let Some(book) = &self.book else { return };
        book.note(self.key, uid_validity, |notes| {
            notes.octets.insert(uid, octets);
            notes.octets.len()
        });
    }

    /// What learns the identity of a message while its header goes by; `None` where nothing is kept.
    pub fn learner(&self, uid_validity: UidValidity, uid: Uid) -> Option<Learner> {
        Some(Learner { book: self.book.clone()?, key: self.key, uid_validity, uid })
    }

    /// Writes the mailbox as it was listed, and what upstream told of identities, ascending by UID, in the background.
    pub fn write(&self, listed: Listed, identities: Vec<(Uid, Identity)>) {
        if let Some(book) = &self.book {
            book.clone().write(self.key, Some(News { listed, identities }));
        }
    }

    /// Writes what was learnt now rather than when this is dropped. It is under way when this returns; what comes back waits
    /// for it, not for long.
    pub fn write_learnt(&self) -> impl Future<Output = ()> + Send + use<> {
        let book = self.book.as_ref().filter(|book| lock(&book.learnt).contains_key(&self.key));
        let writing = book.and_then(|book| book.clone().write(self.key, None));
        async move {
            if let Some(writing) = writing {
                let _ = timeout(WRITING, writing).await;
            }
        }
    }
}

impl Before {
    /// Takes the identities of those messages of which none is known, each UID once.
    fn fill_in(&mut self, known: impl Iterator<Item = (Uid, Identity)>) {
        let there = &self.identities;
        let is_new = |uid: &Uid| there.binary_search_by_key(uid, |(uid, _)| *uid).is_err();
        let new: Vec<_> = known.filter(|(uid, _)| is_new(uid)).collect();
        if !new.is_empty() {
            self.identities.extend(new);
            self.identities.sort_unstable();
        }
    }
}

impl Learner {
    /// The message's header was seen.
    pub fn learn(self, identity: Identity) {
        self.book.note(self.key, self.uid_validity, |notes| {
            notes.identities.insert(self.uid, identity);
            notes.identities.len()
        });
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

    fn correct(&self, listed: &mut Listed) {
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

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(book) = &self.book
            && lock(&book.learnt).contains_key(&self.key)
        {
            book.clone().write(self.key, None);
        }
    }
}

impl Book {
    fn door(&self) -> MutexGuard<'_, Door> {
        lock(&self.door)
    }

    /// Writes, in the background, a listing and what was learnt by the time it is its turn.
    /// `None` where there is no room.
    fn write(self: Arc<Self>, key: Key, news: Option<News>) -> Option<JoinHandle<()>> {
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
        let learnt = lock(&self.learnt).get(&key).map(|notes| Learnt {
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
        let mut waiting = lock(&self.learnt);
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
    fn note(self: &Arc<Self>, key: Key, uid_validity: UidValidity, note: impl FnOnce(&mut Notes) -> usize) {
        let mut learnt = lock(&self.learnt);
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
    fn forget(&self, keys: &RangeInclusive<Key>) -> Result<Forgotten, String> {
        lock(&self.learnt).retain(|key, _| !keys.contains(key));
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
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Option<T> {
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

/// redb may not like what it finds at the end, either.
fn drop_quietly(database: Arc<Database>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
}

/// Nothing is left half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fault {
    fn in_words(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Damaged => format!("{path}: this file was damaged"),
            Self::Newer => format!("{path}: a newer footbridge wrote this file"),
            Self::Busy => format!("{path}: another footbridge has this file open"),
            Self::Folder(error) => error.to_string(),
            Self::Io(error) => format!("{path}: this file cannot be used: {error}"),
        }
    }
}

impl From<FolderError> for Fault {
    fn from(error: FolderError) -> Self {
        Self::Folder(error)
    }
}
