//! Bodies once fetched, the ledger of mailboxes, what is hidden of them, and the folder of what outlives a run.

pub mod bodies;
pub mod carried;
pub mod disk;
pub mod folder;
pub mod ledger;
pub mod synced;
pub mod views;

pub use bodies::{Bodies, BodyKey, Damaged, Keeper, Kept, Stats};
pub use carried::{Carried, Kept as KeptNames, Renamed, Renumbered};
pub use disk::Disk;
pub use folder::{Alone, Folder, FolderError, Held};
pub use ledger::{Before, Learner, Ledger, Page};
pub use synced::{Content, Synced};
pub use views::{Hidden, NotHidden, Runs, Veil, View, Views};
