//! The configuration: [`file::File`] is the TOML, field for field; [`Settings`] is what survived.

pub mod file;
pub mod settings;

pub use settings::Settings;
