//! Whose password may go where.

pub mod gate;

pub use gate::{Denied, Gate};
