//! The ledger: which messages a mailbox had when it was listed last, how large they are, and by what they would be known
//! again under other UIDs.
//!
//! ```text
//!  ledger.redb ─ block ─── heads and blocks, each with a checksum
//!       │        file ──── the tables, a transaction for each reading and writing
//!       │        waiting ─ what is yet to be written, and is read from memory until it is
//!       │        book ──── whether the file can be had, who reads and writes it, what was learnt and is not in it
//!  Ledger ────── page ──── one mailbox's part, as a login has it
//! ```
//!
//! It spares work and never decides anything: what is read is a mailbox as it once stood, which a login brings up to
//! date by what upstream says. So it may be lost at any time. A damaged one is removed and begun anew; one that
//! cannot be had, or that a newer footbridge wrote, is left alone and done without. One warning tells of it.
//!
//! Everything that touches the disk runs on threads of its own, few at a time, and nobody waits for them long, nor for
//! what another login writes: that is read from memory as long as it is not on the disk. What cannot be written is
//! forgotten, and what was not when the process ends is lost. The file's writer is redb: after a crash there is the last
//! state that was written whole, or one before it. A panic in redb over a file that somebody changed under us is damage
//! like any other.

mod block;
mod book;
mod fault;
mod file;
mod page;
#[cfg(test)]
mod tests;
mod waiting;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::time::timeout;

use crate::mail::Account;
use block::Key;
pub use book::Forgotten;
use book::{Book, Door, State, WRITERS};
pub use file::Before;
pub use page::{Learner, Page};

/// Whoever removes an account waits for what is being written.
const FORGETTING: Duration = Duration::from_secs(30);

/// The process ends without what is still being written.
const CLOSING: Duration = Duration::from_millis(400);

/// What outlives a run about mailboxes; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Option<Arc<Book>>);

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
        Self::behind(folder, Door::without_log())
    }

    fn behind(folder: &Path, door: Door) -> Self {
        Self(Some(Arc::new(Book::new(folder, door))))
    }

    /// The part about one mailbox of an account, `folder` as the user sees its name.
    pub fn page(&self, account: &Account, folder: &str) -> Page {
        Page::about(self.0.clone(), key(account, folder))
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
        let all = u32::try_from(book::READERS).unwrap_or(u32::MAX);
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
