//! What POP3 apps are not shown of a mailbox though it is there: UIDs that were hidden instead of deleted.
//!
//! ```text
//!  hidden-ADDRESS-MAILBOX ─ veil ─ a numbering, UIDs, and what of them keywords tell     one file a mailbox, see `synced`
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
mod veil;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

pub use runs::Runs;
pub use veil::Veil;

use super::synced::{Content, Synced};
use super::{Folder, FolderError, Held};
use crate::mail::{Account, Numbering};

const FILES: Synced = Synced::new("hidden", 2);

/// What is written anew with the next change.
const FIRST: Synced = Synced::new("hidden", 1);

/// How long a disk that hangs is waited for; most apps wait half a minute.
const DISK: Duration = Duration::from_secs(15);

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
    /// These.
    These(Veil),
    /// Nothing was ever hidden, or what was is lost.
    Nothing,
    /// It cannot be told, which the log has: all is to be shown, and nothing can be hidden.
    Unknown,
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
    /// Those about mailboxes that took no keyword when they were asked for that alone.
    in_vain: HashSet<String>,
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
    /// has hidden meanwhile, `instead` of what was known under another numbering when the mailbox was listed.
    ///
    /// # Errors
    /// It is not on the disk.
    pub async fn begin(&self, instead: Option<Numbering>, begun: Veil) -> Result<(), NotHidden> {
        self.change(move |before| match before {
            Some(before) if before.numbering == begun.numbering => Ok(before.with(&begun)),
            Some(before) if Some(before.numbering) != instead => Err(renumbered()),
            _ => Ok(begun),
        })
        .await
    }

    /// Drops those that are `gone` for ever, where the numbering is still this one.
    ///
    /// # Errors
    /// They may still be kept.
    pub async fn forget(&self, numbering: Numbering, gone: Runs) -> Result<(), NotHidden> {
        self.change(move |before| match before {
            Some(veil) if veil.numbering == numbering => Ok(veil.without(&gone)),
            _ => Err(renumbered()),
        })
        .await
    }

    /// Hides these as well, whoever hid others meanwhile, and drops those that are `gone` for ever. Their keywords are
    /// owed. On the disk when this returns.
    ///
    /// # Errors
    /// None is hidden: the file cannot be written or believed, or is of another numbering.
    pub async fn hide(&self, numbering: Numbering, uids: Runs, gone: Runs) -> Result<(), NotHidden> {
        self.change(move |before| {
            let mut veil = match before {
                Some(veil) if veil.numbering != numbering => return Err(renumbered()),
                Some(veil) => veil.without(&gone),
                None => Veil::new(numbering),
            };
            (veil.hidden, veil.owed) = (veil.hidden.with(&uids), veil.owed.with(&uids));
            Ok(veil)
        })
        .await
    }

    /// The keywords of these are owed no more, where the numbering is still this one.
    ///
    /// # Errors
    /// They may still be.
    pub async fn settle(&self, numbering: Numbering, settled: Runs) -> Result<(), NotHidden> {
        self.change(move |before| match before {
            Some(veil) if veil.numbering == numbering => {
                Ok(Veil { owed: veil.owed.without(&settled), ..veil })
            }
            _ => Err(renumbered()),
        })
        .await
    }

    /// Whether the mailbox took no keyword when it was last asked for that alone, in this run.
    pub fn is_in_vain(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.done().in_vain.contains(&self.name))
    }

    /// It takes none, or takes them again.
    pub fn set_in_vain(&self, in_vain: bool) {
        let Some(place) = &self.place else { return };
        let mut done = place.done();
        if in_vain {
            done.in_vain.insert(self.name.clone());
        } else {
            done.in_vain.remove(&self.name);
        }
    }

    async fn change(
        &self,
        make: impl FnOnce(Option<Veil>) -> Result<Veil, NotHidden> + Send + 'static,
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
        let read = Folder::look(&self.folder).and_then(|folder| Ok((kept(&folder, name)?, folder)));
        let (kept, folder) = match read {
            Ok(read) => read,
            Err(error) => {
                self.tell(name, &format!("{error}; until then messages that were hidden are shown again"));
                return Hidden::Unknown;
            }
        };
        match kept {
            Kept::Missing => Hidden::Nothing,
            Kept::Newer => {
                self.tell(name, &format!("{}; until then they are shown again", newer(&folder, name)));
                Hidden::Unknown
            }
            Kept::Whole(veil) => {
                self.done().told.remove(name);
                Hidden::These(veil)
            }
            Kept::Damaged => self.damaged(&folder, name),
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
        make: impl FnOnce(Option<Veil>) -> Result<Veil, NotHidden>,
    ) -> Result<(), NotHidden> {
        let mut done = self.done();
        let folder = Folder::open(&self.folder)?;
        let held = folder.hold()?;
        if !done.swept {
            done.swept = FILES.sweep(&held).is_ok();
        }
        let before = match kept(&folder, name)? {
            Kept::Missing => None,
            Kept::Newer => return Err(NotHidden(newer(&folder, name))),
            Kept::Damaged => return Err(spoilt(&held, &folder, name)),
            Kept::Whole(veil) => Some(veil),
        };
        let veil = make(before.clone())?;
        if before.as_ref() == Some(&veil) {
            return Ok(());
        }
        FILES.write(&held, name, &veil.encode()?)?;
        done.told.remove(name);
        debug!(hidden = veil.hidden.count(), "what is hidden is written");
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

/// What a file comes to.
enum Kept {
    Missing,
    Whole(Veil),
    Damaged,
    Newer,
}

fn kept(folder: &Folder, name: &str) -> Result<Kept, FolderError> {
    let veil = match FILES.read(folder, name)? {
        Content::Missing => return Ok(Kept::Missing),
        Content::Newer => return Ok(Kept::Newer),
        Content::Whole(octets) => Veil::decode(&octets),
        Content::Damaged => match FIRST.read(folder, name)? {
            Content::Whole(octets) => Veil::decode_first(&octets),
            Content::Missing | Content::Damaged | Content::Newer => None,
        },
    };
    Ok(veil.map_or(Kept::Damaged, Kept::Whole))
}

fn renumbered() -> NotHidden {
    NotHidden("the provider has renumbered the mailbox; fetch again".to_owned())
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

impl From<FolderError> for NotHidden {
    fn from(error: FolderError) -> Self {
        Self(error.to_string())
    }
}
