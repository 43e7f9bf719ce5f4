//! Bodies once fetched, the ledger of mailboxes, and the folder of what outlives a run.

pub mod bodies;
pub mod folder;
pub mod ledger;

pub use bodies::{Bodies, BodyKey, Damaged, Keeper, Kept};
pub use folder::{Folder, FolderError, Held};
pub use ledger::{Ledger, Page};
