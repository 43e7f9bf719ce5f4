//! When each bridge password was last used: kept in memory by the bridge, written now and then.
//!
//! `bridge-password-uses` in the state folder has one kind of writer, the bridge, and the file of the passwords
//! another, the command line: neither undoes what the other wrote.
//!
//! ```json
//! {"version":1,"used":{"ID":1767225600}}
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::store::Folder;

const FILE: &str = "bridge-password-uses";

/// The one version there is.
const VERSION: u32 = 1;

/// From one writing to the next: a mail program that asks each minute must not wake a disk each minute.
pub(super) const PAUSE: Duration = Duration::from_secs(300);

/// By [`Password::id`](super::record::Password::id), seconds since 1970.
pub(super) type Uses = BTreeMap<String, u64>;

/// Uses that this process saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    uses: Mutex<Uses>,
    changed: Notify,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize, Serialize)]
struct Written {
    version: u32,
    used: Uses,
}

impl Seen {
    pub(super) fn note(&self, id: String, now: u64) {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
        self.changed.notify_one();
    }

    /// Returns when there is something to write.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Joins them with what is there; `known` are the passwords that there still are.
    ///
    /// # Errors
    /// One sentence; nothing was written then, and it is tried again with the next use.
    pub(super) fn write(&self, state: &Path, known: impl Fn(&str) -> bool) -> Result<(), String> {
        let seen = self.uses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if seen.is_empty() {
            return Ok(());
        }
        let folder = Folder::open(state).map_err(|error| error.to_string())?;
        let held = folder.hold().map_err(|error| error.to_string())?;
        let there = folder.read(FILE).map_err(|error| error.to_string())?.unwrap_or_default();
        if serde_json::from_slice::<Version>(&there).is_ok_and(|Version { version }| version > VERSION) {
            let path = folder.file(FILE);
            return Err(format!("{}: a newer footbridge wrote this file; run that one", path.display()));
        }
        // Times only: what is damaged is written anew.
        let mut used =
            serde_json::from_slice::<Written>(&there).map(|written| written.used).unwrap_or_default();
        let before = used.clone();
        for (id, at) in seen {
            let latest = used.entry(id).or_default();
            *latest = at.max(*latest);
        }
        used.retain(|id, _| known(id));
        if used == before {
            return Ok(());
        }
        let octets = serde_json::to_vec(&Written { version: VERSION, used }).unwrap_or_default();
        held.write(FILE, &octets).map_err(|error| error.to_string())
    }
}

/// What was written last; nothing where it cannot be read, since times are all it says.
pub(super) fn read(folder: &Folder) -> Uses {
    let octets = folder.read(FILE).ok().flatten().unwrap_or_default();
    serde_json::from_slice::<Written>(&octets).map(|written| written.used).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, std::path::PathBuf) {
        let outer = tempfile::tempdir().expect("a folder");
        let path = outer.path().join("state");
        (outer, path)
    }

    fn uses(path: &Path) -> Uses {
        read(&Folder::open(path).expect("a folder"))
    }

    #[test]
    fn nothing_is_made_where_nothing_was_used() {
        let (_outer, path) = state();
        Seen::default().write(&path, |_| true).expect("nothing to do");
        assert!(!path.exists());
    }

    #[test]
    fn the_latest_use_stays_and_what_was_revoked_goes() {
        let (_outer, path) = state();
        let seen = Seen::default();
        seen.note("a".to_owned(), 20);
        seen.note("b".to_owned(), 5);
        seen.write(&path, |_| true).expect("written");
        // Another bridge saw the first one later, and the second one is gone.
        let other = Seen::default();
        other.note("a".to_owned(), 30);
        other.write(&path, |id| id != "b").expect("written");
        assert_eq!(uses(&path), [("a".to_owned(), 30)].into());
        seen.write(&path, |id| id != "b").expect("written");
        assert_eq!(uses(&path), [("a".to_owned(), 30)].into());
    }

    #[test]
    fn a_newer_file_is_left_and_a_damaged_one_is_written_anew() {
        let (_outer, path) = state();
        let folder = Folder::open(&path).expect("a folder");
        let seen = Seen::default();
        seen.note("a".to_owned(), 20);
        folder.hold().expect("free").write(FILE, b"{\"version\":2,\"times\":[]}").expect("written");
        let told = seen.write(&path, |_| true).expect_err("newer");
        assert!(told.contains(FILE) && told.contains("newer"), "{told}");
        folder.hold().expect("free").write(FILE, b"{\"vers").expect("written");
        seen.write(&path, |_| true).expect("written");
        assert_eq!(uses(&path), [("a".to_owned(), 20)].into());
    }
}
