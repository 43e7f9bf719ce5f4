//! The configuration: [`file::File`] is the TOML, field for field; [`Settings`] is what survived.

pub mod file;
pub mod settings;

pub use settings::Settings;

use std::path::Path;

/// What is wrong with a configuration; every fault is a sentence of its own, with file, line, key, value and cure.
///
/// The text of a line that may hold a secret is in none of them.
#[derive(Debug, thiserror::Error)]
#[error("{}", faults.join("\n"))]
pub struct ConfigError {
    /// Never empty.
    pub faults: Vec<String>,
}

/// Reads and checks a configuration file; relative paths in it are taken from its folder.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let _ = path;
    unimplemented!()
}

/// Checks a configuration given as text, as if it stood in `path`.
pub fn parse(text: &str, path: &Path) -> Result<Settings, ConfigError> {
    let _ = (text, path);
    unimplemented!()
}
