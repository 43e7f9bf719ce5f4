//! Bodies once fetched.

pub mod bodies;

pub use bodies::{Bodies, BodyKey};
