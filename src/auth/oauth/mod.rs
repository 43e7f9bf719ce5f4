//! OAuth2: how an access token comes about and stays good (RFC 6749).
//!
//! ```text
//!  sign-in:  code (browser, RFC 8252) ─┐
//!            device (RFC 8628) ────────┼─▶ exchange ──▶ grant ──▶ the vault
//!            a refresh token by hand ──┘      │           │
//!  running:  tokens ◀── renews ahead of the end ──────────┘
//! ```
//!
//! [`fault`] tells what a person has to cure from what passes by itself. No answer of a token server is shown or
//! logged as it came: it may hold tokens, or anything.

pub mod code;
pub mod device;
pub mod exchange;
pub mod fault;
pub mod grant;
pub mod redirect;
pub mod sign_in;
pub mod tokens;

pub use fault::Fault;
pub use grant::{Grant, Grants, Seeded};
pub use sign_in::SignInError;
pub use tokens::{State, Tokens};

#[cfg(test)]
#[path = "../../../tests/support/token_server.rs"]
mod token_server;
