//! Why the ledger's file could not be used, in as many ways as there are to go on.

use std::path::Path;

use redb::{DatabaseError, StorageError, TableError};

use super::super::FolderError;
use super::block::Damaged;

/// Why the file could not be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// What is in it cannot be what was written.
    Damaged,
    /// A later footbridge wrote it.
    Newer,
    /// Another process has it open.
    Busy,
    /// The state folder is not to be used.
    Folder(FolderError),
    /// The system's fault, in its words.
    Io(String),
}

impl Fault {
    pub(super) fn in_words(&self, path: &Path) -> String {
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

impl From<Damaged> for Fault {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// redb's errors say what happened; what we do about it is one of four things.
impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        use redb::Error as E;
        match error {
            E::DatabaseAlreadyOpen | E::LockProtocolMismatch => Self::Busy,
            E::Io(error) => Self::Io(error.to_string()),
            E::PreviousIo | E::DatabaseClosed | E::LockPoisoned(_) => {
                Self::Io("an earlier operation on it failed".to_owned())
            }
            _ => Self::Damaged,
        }
    }
}

macro_rules! by_way_of_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}
by_way_of_redb!(DatabaseError, StorageError, TableError, redb::TransactionError, redb::CommitError);
