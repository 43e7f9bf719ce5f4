//! IMAP: framing, our part before login, capabilities, and the scanner for what upstream answers.

pub mod capability;
pub mod frame;
pub mod literal;
pub mod mutf7;
pub mod prelogin;
pub mod response;
pub mod scan;
pub mod splice;
pub mod text;
pub mod uid_set;
pub mod value;
