//! The conversations with the provider.

pub mod error;
pub mod imap;
pub mod submission;

pub use error::UpstreamError;
