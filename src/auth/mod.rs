//! Whose password may go where.
//!
//! ```text
//!  app offers ──▶ gate ── secret = "app": what upstream thought of it before (verdicts) ──▶ upstream
//!                   └──── stored: a bridge password (password)? ── yes: what is stored (stored), and verdicts ──▶ upstream
//!                         or, while there is none, what is stored? └ no: wrong, slowed (slow)
//!                         (a command's answer: asked)
//! ```
//!
//! What upstream is shown is a password, or an access token that [`oauth`] keeps good.

mod asked;
pub mod credentials;
pub mod gate;
pub mod oauth;
pub mod password;
mod proof;
mod slow;
mod standing;
pub(crate) mod stored;
mod stores;
pub mod vault;
mod verdicts;

pub use credentials::{AccessTokens, Credentials, NoToken};
pub use gate::{Denied, Gate, Pass};
pub use password::Passwords;
pub use proof::Proof;
pub(crate) use slow::Slow;
pub use standing::{Reached, Standing};
pub use stores::{Stores, StoresError};
pub use vault::Vault;
pub use verdicts::Purpose;
