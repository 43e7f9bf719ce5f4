//! IMAP: framing, our part before login, capabilities, and the scanner for what upstream answers.

pub mod literal;
