//! What the tests stand on: certificates, both ends of a bridge, and real servers.
//!
//! Nothing here knows how a room is built: a bridge is reached by configuration text and sockets only.

// Each test binary compiles all of this and uses its part.
#![allow(dead_code)]

pub mod authority;
pub mod bridge;
pub mod certs;
pub mod cut;
pub mod dovecot;
pub mod dovecot_words;
pub mod flawed;
pub mod imap;
pub mod mail;
#[cfg(target_os = "linux")]
pub mod network;
pub mod pop3;
pub mod postfix;
pub mod process;
pub mod provider;
pub mod scripted;
pub mod shelf;
pub mod terminal;
pub mod token_server;
pub mod transcript;
pub mod vault;
pub mod wire;

use std::time::Duration;

pub use certs::PROVIDER;

/// How long a test waits for one event before it calls that a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);
