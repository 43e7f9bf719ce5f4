//! The state folder while a bridge runs with it: nobody else does, bodies are kept in it, the command line can ask.

use std::path::Path;

use tracing::{debug, warn};

use super::StartError;
use super::control::Control;
use crate::bridge::Stores;
use crate::store::disk::{self, KeySource};
use crate::store::{Alone, Disk, Folder};

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    folder: Folder,
    _alone: Alone,
}

impl State {
    /// `None`, after a warning, where there is none that can be used: mail flows without.
    ///
    /// # Errors
    /// Another bridge runs with it.
    pub(super) fn open(path: Option<&Path>) -> Result<Option<Self>, StartError> {
        let Some(path) = path else {
            debug!("there is no state folder: messages are kept in memory only");
            return Ok(None);
        };
        let opened = Folder::open(path).and_then(|folder| folder.hold_alone().map(|alone| (folder, alone)));
        match opened {
            Ok((folder, Some(alone))) => Ok(Some(Self { folder, _alone: alone })),
            Ok((folder, None)) => Err(StartError::Taken { path: folder.path().to_owned() }),
            Err(error) => {
                warn!(
                    "{error}; until then messages are kept in memory only, and \"footbridge cache\" and \"account remove\" cannot ask \
                     this bridge"
                );
                Ok(None)
            }
        }
    }

    /// The disk, if anything is to be kept there; else what a run before kept is removed.
    pub(super) fn disk(&self, bound: u64, stores: &Stores) -> Option<Disk> {
        let folder = disk::folder_in(self.folder.path());
        if bound == 0 {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = disk::clear(&folder) {
                    warn!("{}: messages kept before cannot be removed: {error}", folder.display());
                }
            });
            return None;
        }
        let vault = stores.vault.clone();
        let key: KeySource = Box::new(move || match &vault {
            Some(vault) => vault.key_for("bodies").map_err(|error| error.to_string()),
            None => Ok(None),
        });
        Disk::start(folder, bound, key)
            .map_err(|error| warn!("messages are kept in memory only: the system gives no thread: {error}"))
            .ok()
    }

    /// The socket for the command line.
    pub(super) fn control(&self) -> Option<Control> {
        Control::open(&self.folder)
    }
}
