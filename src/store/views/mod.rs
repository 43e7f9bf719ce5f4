//! What POP3 apps are not shown of a mailbox though it is there: UIDs that were hidden instead of deleted.
//!
//! ```text
//!  hidden-ADDRESS-MAILBOX ─ UIDVALIDITY (u32) │ runs of UIDs           one file a mailbox, see `synced`
//!       ▲        │
//!       │        └──▶ View::read   at each login: what is not shown
//!       └──────────── View::hide   at QUIT, before its +OK: read anew, put together, on the disk
//! ```
//!
//! This is the only place that knows, so it is no cache: nothing clears it, and no login believes less than the whole
//! of it. A file a mailbox, since each change writes a file anew, and damage to one hides or shows no other's mail.
//!
//! What cannot be read hides nothing: mail that is shown again is a nuisance, mail that is out of sight for no reason a
//! loss. A damaged file is set aside and begun anew, one of a newer footbridge is left alone, and each is told of once.

mod runs;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

pub use runs::Runs;

use super::synced::{Content, Synced};
use super::{Folder, FolderError, Held};
use crate::mail::{Account, Uid, UidValidity};

const FILES: Synced = Synced::new("hidden", 1);

/// How long a disk that hangs is waited for; most apps wait half a minute.
const DISK: Duration = Duration::from_secs(15);

/// Octets of runs in a file: some two million of them. Who hides every other message of four million is told no.
const MOST: usize = 4 << 20;

/// The views of all mailboxes; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Views(Option<Arc<Place>>);

/// One mailbox as POP3 apps are shown it.
#[derive(Clone, Debug)]
pub struct View {
    place: Option<Arc<Place>>,
    name: String,
}

/// What is known to be hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// These, under this numbering.
    These(UidValidity, Runs),
    /// Nothing was ever hidden, or what was is lost.
    Nothing,
    /// It cannot be told, which the log has: all is to be shown, and nothing can be hidden.
    Unknown,
}

impl Hidden {
    /// The numbering of what is hidden.
    pub fn uid_validity(&self) -> Option<UidValidity> {
        match self {
            Self::These(uid_validity, _) => Some(*uid_validity),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// Why nothing was hidden: one sentence with its cure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotHidden(String);

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// Held from reading to writing; with what was done in this run.
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    /// What killed processes left was removed.
    swept: bool,
    /// Files that the user knows cannot be had.
    told: HashSet<String>,
}

impl Views {
    /// Hides nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// In this state folder, which is opened, or made, when the first view is.
    pub fn in_folder(folder: &Path) -> Self {
        Self(Some(Arc::new(Place { folder: folder.to_owned(), done: Mutex::default() })))
    }

    /// The view of one mailbox of an account, `folder` as the user sees its name.
    pub fn view(&self, account: &Account, folder: &str) -> View {
        View { place: self.0.clone(), name: FILES.name(account, folder) }
    }
}

/// Where what is hidden of an account's mailboxes is kept, see [`Synced::about`].
///
/// # Errors
/// The folder cannot be read.
pub fn about(folder: &Folder, address: &str) -> Result<Option<PathBuf>, FolderError> {
    FILES.about(folder, address)
}

impl View {
    /// What is hidden now.
    pub async fn read(&self) -> Hidden {
        let Some(place) = self.place.clone() else { return Hidden::Unknown };
        let name = self.name.clone();
        let reading = tokio::task::spawn_blocking(move || place.read(&name));
        if let Ok(Ok(hidden)) = timeout(DISK, reading).await {
            return hidden;
        }
        warn!(
            "the state folder does not answer, so messages that were hidden are shown again in this session"
        );
        Hidden::Unknown
    }

    /// Takes this for what is hidden under a numbering of which nothing is known here, but for what another session
    /// has hidden meanwhile.
    ///
    /// # Errors
    /// It is not on the disk.
    pub async fn begin(&self, uid_validity: UidValidity, hidden: Runs) -> Result<(), NotHidden> {
        self.change(move |before| match before {
            Some((was, before)) if was == uid_validity => Ok((uid_validity, before.with(&hidden))),
            _ => Ok((uid_validity, hidden)),
        })
        .await
    }

    /// Drops those that are `gone` for ever, where the numbering is still this one.
    ///
    /// # Errors
    /// They may still be kept.
    pub async fn forget(&self, uid_validity: UidValidity, gone: Runs) -> Result<(), NotHidden> {
        self.change(move |before| match before {
            Some((now, hidden)) if now == uid_validity => Ok((now, hidden.without(&gone))),
            _ => Err(NotHidden("what was hidden is another's now".to_owned())),
        })
        .await
    }

    /// Hides these as well, whoever hid others meanwhile, and drops those that are `gone` for ever. On the disk when
    /// this returns.
    ///
    /// # Errors
    /// None is hidden: the file cannot be written or believed, or is of another numbering.
    pub async fn hide(&self, uid_validity: UidValidity, uids: &[Uid], gone: Runs) -> Result<(), NotHidden> {
        let uids: Runs = uids.iter().copied().collect();
        self.change(move |hidden| match hidden {
            Some((now, _)) if now != uid_validity => {
                Err(NotHidden("the provider has renumbered the mailbox; fetch again".to_owned()))
            }
            Some((_, hidden)) => Ok((uid_validity, hidden.without(&gone).with(&uids))),
            None => Ok((uid_validity, uids)),
        })
        .await
    }

    async fn change(
        &self,
        make: impl FnOnce(Option<(UidValidity, Runs)>) -> Result<(UidValidity, Runs), NotHidden> + Send + 'static,
    ) -> Result<(), NotHidden> {
        let Some(place) = self.place.clone() else {
            let sentence =
                "there is no state folder to keep in mind what is hidden; name one with --state DIR";
            return Err(NotHidden(sentence.to_owned()));
        };
        let name = self.name.clone();
        let changing = tokio::task::spawn_blocking(move || place.change(&name, make));
        match timeout(DISK, changing).await {
            Ok(Ok(changed)) => changed,
            // It may be written yet: the app shows or deletes again what it thinks was not.
            Ok(Err(_)) | Err(_) => {
                Err(NotHidden("the state folder does not answer; try again later".to_owned()))
            }
        }
    }
}

impl Place {
    fn read(&self, name: &str) -> Hidden {
        let read = Folder::look(&self.folder).and_then(|folder| Ok((FILES.read(&folder, name)?, folder)));
        let (content, folder) = match read {
            Ok(read) => read,
            Err(error) => {
                self.tell(name, &format!("{error}; until then messages that were hidden are shown again"));
                return Hidden::Unknown;
            }
        };
        match content {
            Content::Missing => Hidden::Nothing,
            Content::Newer => {
                self.tell(name, &format!("{}; until then they are shown again", newer(&folder, name)));
                Hidden::Unknown
            }
            Content::Whole(octets) => match decode(&octets) {
                Some((uid_validity, hidden)) => {
                    self.done().told.remove(name);
                    Hidden::These(uid_validity, hidden)
                }
                None => self.damaged(&folder, name),
            },
            Content::Damaged => self.damaged(&folder, name),
        }
    }

    fn damaged(&self, folder: &Folder, name: &str) -> Hidden {
        let _done = self.done();
        match folder.hold().and_then(|held| FILES.set_aside(&held, name)) {
            Ok(aside) => {
                warn!(
                    "{}: this file of hidden messages was damaged, so they are shown again unless the provider knows \
                     them; what is left of it is in {}",
                    folder.file(name).display(),
                    aside.display()
                );
                Hidden::Nothing
            }
            Err(error) => {
                warn!("{error}; it is damaged besides, so messages that were hidden are shown again");
                Hidden::Unknown
            }
        }
    }

    fn change(
        &self,
        name: &str,
        make: impl FnOnce(Option<(UidValidity, Runs)>) -> Result<(UidValidity, Runs), NotHidden>,
    ) -> Result<(), NotHidden> {
        let mut done = self.done();
        let folder = Folder::open(&self.folder)?;
        let held = folder.hold()?;
        if !done.swept {
            done.swept = FILES.sweep(&held).is_ok();
        }
        let before = match FILES.read(&folder, name)? {
            Content::Missing => None,
            Content::Newer => return Err(NotHidden(newer(&folder, name))),
            Content::Damaged => return Err(spoilt(&held, &folder, name)),
            Content::Whole(octets) => match decode(&octets) {
                None => return Err(spoilt(&held, &folder, name)),
                hidden => hidden,
            },
        };
        let (uid_validity, hidden) = make(before.clone())?;
        if before.as_ref().is_some_and(|(was, before)| (*was, before) == (uid_validity, &hidden)) {
            return Ok(());
        }
        FILES.write(&held, name, &encode(uid_validity, &hidden)?)?;
        done.told.remove(name);
        debug!(hidden = hidden.count(), "what is hidden is written");
        Ok(())
    }

    /// Once, until it can be had again.
    fn tell(&self, name: &str, sentence: &str) {
        if self.done().told.insert(name.to_owned()) {
            warn!("{sentence}");
        }
    }

    /// Nothing is left half done under it.
    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn newer(folder: &Folder, name: &str) -> String {
    format!(
        "{}: a newer footbridge wrote this file of hidden messages, so it is left alone; update footbridge, or name \
         another folder with --state DIR",
        folder.file(name).display()
    )
}

/// Found out too late for this session: the next one begins anew.
fn spoilt(held: &Held<'_>, folder: &Folder, name: &str) -> NotHidden {
    let path = folder.file(name);
    match FILES.set_aside(held, name) {
        Ok(aside) => NotHidden(format!(
            "{}: this file of hidden messages was damaged and is {} now; fetch again",
            path.display(),
            aside.display()
        )),
        Err(error) => error.into(),
    }
}

fn encode(uid_validity: UidValidity, hidden: &Runs) -> Result<Vec<u8>, NotHidden> {
    let mut octets = uid_validity.get().to_be_bytes().to_vec();
    hidden.encode(&mut octets);
    if octets.len() > MOST {
        let sentence = "more messages are hidden than can be kept in mind; remove some at the provider";
        return Err(NotHidden(sentence.to_owned()));
    }
    Ok(octets)
}

fn decode(octets: &[u8]) -> Option<(UidValidity, Runs)> {
    let (uid_validity, runs) = octets.split_first_chunk()?;
    Some((UidValidity::new(u32::from_be_bytes(*uid_validity))?, Runs::decode(runs)?))
}

impl From<FolderError> for NotHidden {
    fn from(error: FolderError) -> Self {
        Self(error.to_string())
    }
}
