//! Whose password may go where.
//!
//! ```text
//!  app offers ──▶ gate ── secret = "app": what upstream thought of it before (verdicts) ──▶ upstream
//!                   └──── stored: equal to what is stored (stored)? ── yes, and verdicts ──▶ upstream
//!                                                                    └ no: wrong, slowed (slow)
//! ```

pub mod credentials;
pub mod gate;
pub mod oauth;
mod slow;
mod stored;
pub mod vault;
mod verdicts;

pub use credentials::{AccessTokens, Credentials, NoToken};
pub use gate::{Denied, Gate, Pass};
pub(crate) use slow::Slow;
pub use vault::Vault;
pub use verdicts::Purpose;
