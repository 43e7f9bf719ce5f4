//! Octets to meaning and back: no I/O, no clock, no log.

pub mod dot;
pub mod imap;
pub mod line;
pub mod pop3;
pub mod sasl;
pub mod smtp;
pub mod stranger;
