//! The conversations with the provider.

pub mod error;
pub mod imap;
mod sasl;
pub mod submission;
#[cfg(test)]
pub(crate) mod tokens;

pub use error::UpstreamError;
#[doc(hidden)]
pub use sasl::challenge_says;
