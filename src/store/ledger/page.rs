//! What a mailbox asks of the ledger, and tells it.
//!
//! ```text
//!  read, before ─▶ a thread that looks, while nobody waits for it long
//!  learn ────────▶ notes in memory ──now and then, and at the end──▶ the book's writing
//!  write ────────▶ the book's writing, in the background
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use super::block::Key;
use super::book::{Book, Notes};
use super::file::{self, Before, News};
use crate::mail::{Identity, Listed, MessageSize, Uid, UidValidity};

/// A login lists the mailbox as if nothing were known rather than wait longer for a slow disk.
const READING: Duration = Duration::from_secs(1);

/// One that finds the mailbox renumbered waits longer: all the messages that an app has may hang on it.
const READING_ALL: Duration = Duration::from_secs(10);

/// A QUIT waits so long for what was learnt to be written.
const WRITING: Duration = Duration::from_secs(1);

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

/// Learns the identity of one message.
#[derive(Debug)]
pub struct Learner {
    book: Arc<Book>,
    key: Key,
    uid_validity: UidValidity,
    uid: Uid,
}

impl Page {
    /// Nothing is kept without a book.
    pub(super) fn about(book: Option<Arc<Book>>, key: Key) -> Self {
        Self { book, key, unwritten: None, is_late: false }
    }

    /// The mailbox as it was written last, or is being written; `None` where it never was, or where that cannot be told
    /// in time.
    pub async fn read(&mut self) -> Option<Listed> {
        let (book, key) = (self.book.clone()?, self.key);
        // Before the file is read: what is in neither then is nowhere.
        self.unwritten = book.learnt().get(&key).cloned();
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
        for notes in self.unwritten.iter().chain(book.learnt().get(&self.key)) {
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
        if let Some(notes) = book.learnt().get(&key).filter(|it| it.uid_validity == uid_validity) {
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
        let book = self.book.as_ref().filter(|book| book.learnt().contains_key(&self.key));
        let writing = book.and_then(|book| book.clone().write(self.key, None));
        async move {
            if let Some(writing) = writing {
                let _ = timeout(WRITING, writing).await;
            }
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

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(book) = &self.book
            && book.learnt().contains_key(&self.key)
        {
            book.clone().write(self.key, None);
        }
    }
}
