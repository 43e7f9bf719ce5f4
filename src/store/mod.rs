//! Bodies once fetched, and the folder of what outlives a run.

pub mod bodies;
pub mod folder;

pub use bodies::{Bodies, BodyKey, Damaged, Keeper, Kept};
pub use folder::{Folder, FolderError, Held};
