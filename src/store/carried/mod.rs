//! Unique-ids that outlive a UIDVALIDITY: which messages go by older names, a file for each mailbox that was renumbered.
//!
//! ```text
//!  unique-ids-ACCOUNT-MAILBOX ─ history ─ the numberings that were, and the names carried into the one that is
//!  Carried ──── Renamed ─ one mailbox's part, as a login has it
//! ```
//!
//! What is in it cannot be had again, so it is no part of what `cache clear` removes, and a name is on the disk before it
//! is shown: one that was shown and then forgotten would make an app fetch its message once more. Whatever is wrong with
//! a file costs no more than that either; one warning tells of it.

mod history;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::folder::{Folder, FolderError};
use super::synced::{Content, Synced};
use crate::mail::{Account, Names, Numbering, Uid, UidValidity};
use history::History;

const FILES: Synced = Synced::new("unique-ids", 1);

/// A login shows the messages under their own UIDs rather than wait longer for a disk.
const DISK: Duration = Duration::from_secs(10);

/// Files of which a fault was told.
const TOLD: usize = 1000;

/// The unique-ids that are kept; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Carried(Option<Arc<Place>>);

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// The user knows of these files' faults.
    told: Mutex<HashSet<String>>,
}

/// One mailbox's part.
#[derive(Debug)]
pub struct Renamed {
    place: Option<Arc<Place>>,
    name: String,
}

/// What was kept of a mailbox, at a login.
#[derive(Debug)]
pub struct Kept(State);

#[derive(Debug)]
enum State {
    /// It was never renumbered, as far as is known.
    Missing,
    There(History),
    /// Of no use: nothing is believed, and nothing written.
    Unusable,
}

/// A mailbox that was renumbered.
#[derive(Clone, Debug)]
pub struct Renumbered {
    /// From this UIDVALIDITY.
    pub was: UidValidity,
    /// To this one.
    pub now: UidValidity,
    /// The messages that are the same: their UIDs now, ascending, and what they were; no UID twice on either side.
    pub same: Vec<(Uid, Uid)>,
}

impl Carried {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// In this state folder, which is made when there is something to be kept.
    pub fn in_folder(folder: &Path) -> Self {
        Self(Some(Arc::new(Place { folder: folder.to_owned(), told: Mutex::default() })))
    }

    /// The part about one mailbox of an account, `folder` as the user sees its name.
    pub fn mailbox(&self, account: &Account, folder: &str) -> Renamed {
        // The one name without case (RFC 3501 §5.1).
        let folder = if folder.eq_ignore_ascii_case("INBOX") { "INBOX" } else { folder };
        Renamed { place: self.0.clone(), name: FILES.name(account, folder) }
    }
}

/// Where the unique-ids of an account's mailboxes are kept, see [`Synced::about`].
///
/// # Errors
/// The folder cannot be read.
pub fn about(folder: &Folder, address: &str) -> Result<Option<PathBuf>, FolderError> {
    FILES.about(folder, address)
}

impl Renamed {
    /// What is kept of it.
    pub async fn read(&self) -> Kept {
        let Some(place) = self.place.clone() else { return Kept(State::Missing) };
        let name = self.name.clone();
        Kept(on_the_disk(move || place.read(&name)).await.unwrap_or(State::Unusable))
    }

    /// Keeps what a renumbering comes to, and gives the names that the messages have from now on: where it cannot be
    /// kept their own. Another login that found the same out earlier has decided.
    pub async fn renumbered(&self, kept: &Kept, renumbered: Renumbered) -> Names {
        let own = kept.own(renumbered.now);
        let (Some(place), false) = (self.place.clone(), matches!(kept.0, State::Unusable)) else {
            return own;
        };
        let name = self.name.clone();
        on_the_disk(move || place.renumbered(&name, &renumbered)).await.flatten().unwrap_or(own)
    }
}

impl Kept {
    /// The names of the messages, where nothing was renumbered since; else the mailbox has to be looked at.
    pub fn names(&self, now: UidValidity) -> Option<Names> {
        match &self.0 {
            State::There(history) => history.names(now),
            State::Missing | State::Unusable => None,
        }
    }

    /// The names that messages had when this was the UIDVALIDITY: what a renumbering from it builds upon.
    pub fn names_under(&self, was: UidValidity) -> Names {
        match &self.0 {
            State::There(history) => history.names_under(was),
            State::Missing | State::Unusable => Names::own(Numbering::first(was)),
        }
    }

    /// Whether there is anything that a renumbering would have to be added to.
    pub fn is_there(&self) -> bool {
        matches!(self.0, State::There(_))
    }

    /// The names where none is carried.
    pub fn own(&self, now: UidValidity) -> Names {
        match &self.0 {
            State::There(history) => Names::own(history.numbering(now)),
            State::Missing | State::Unusable => Names::own(Numbering::first(now)),
        }
    }
}

/// `None` where the disk takes too long. What is begun goes on.
async fn on_the_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match timeout(DISK, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.ok(),
        Err(_) => {
            warn!("the disk does not answer, so POP3 programs may fetch messages again; look after the disk");
            None
        }
    }
}

impl Place {
    fn read(&self, name: &str) -> State {
        match Folder::look(&self.folder).and_then(|folder| FILES.read(&folder, name)) {
            Ok(content) => self.state(name, content),
            Err(error) => self.unusable(name, &format!("{error}; until then {AGAIN}")),
        }
    }

    fn state(&self, name: &str, content: Content) -> State {
        let history = match content {
            Content::Missing => return State::Missing,
            Content::Whole(octets) => History::decode(&octets),
            Content::Damaged => None,
            Content::Newer => {
                let path = self.folder.join(name);
                return self.unusable(
                    name,
                    &format!(
                        "{}: a newer footbridge wrote this file, so it is left alone and {AGAIN}; update footbridge, or \
                         name another folder with --state DIR",
                        path.display()
                    ),
                );
            }
        };
        match history {
            Some(history) => State::There(history),
            None => self.damaged(name),
        }
    }

    fn damaged(&self, name: &str) -> State {
        let path = self.folder.join(name);
        let path = path.display();
        let aside = Folder::open(&self.folder)
            .and_then(|folder| folder.hold().and_then(|held| FILES.set_aside(&held, name)));
        match aside {
            Ok(aside) => {
                warn!("{path}: this file was damaged and is {} now; {AGAIN}", aside.display());
                State::Missing
            }
            Err(error) => self.unusable(name, &format!("{path}: this file is damaged, and {AGAIN}; {error}")),
        }
    }

    fn unusable(&self, name: &str, sentence: &str) -> State {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD && told.insert(name.to_owned()) {
            warn!("{sentence}");
        }
        State::Unusable
    }

    fn renumbered(&self, name: &str, renumbered: &Renumbered) -> Option<Names> {
        match self.keep(name, renumbered) {
            Ok(names) => names,
            Err(error) => {
                warn!("{error}; {AGAIN}");
                None
            }
        }
    }

    /// Reads and writes in one go, alone: two logins may have found out the same.
    fn keep(&self, name: &str, renumbered: &Renumbered) -> Result<Option<Names>, FolderError> {
        if renumbered.same.is_empty() && !self.folder.join(name).exists() {
            return Ok(None);
        }
        let folder = Folder::open(&self.folder)?;
        let held = folder.hold()?;
        // What a process that was killed over it left.
        let _ = FILES.sweep(&held);
        let before = match FILES.read(&folder, name)? {
            Content::Missing => History::default(),
            Content::Whole(octets) => match History::decode(&octets) {
                Some(history) => history,
                None => return Ok(None),
            },
            Content::Damaged | Content::Newer => return Ok(None),
        };
        if let Some(names) = before.names(renumbered.now) {
            return Ok(Some(names));
        }
        let after = before.after(renumbered);
        FILES.write(&held, name, &after.encode())?;
        Ok(after.into_names(renumbered.now))
    }
}

/// What a fault comes to.
const AGAIN: &str = "POP3 programs may fetch messages again that they have";
