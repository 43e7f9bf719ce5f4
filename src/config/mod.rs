//! The configuration: [`file::File`] is the TOML, field for field; [`Settings`] is what survived.
//!
//! ```text
//!  text ──syntax──▶ File ──settings, account──▶ Settings
//!          └ the first fault       └ every fault of value, at once
//! ```

mod account;
mod faults;
pub mod file;
mod oauth2;
mod permissions;
mod secret;
mod servers;
pub mod settings;
mod syntax;
mod users;
mod values;
mod vault;

pub use settings::Settings;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use faults::Faults;

/// The largest configuration read: thousands of accounts fit, a mailbox given by mistake does not.
const LARGEST: u64 = 4 * 1024 * 1024;

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
    match read(path) {
        Ok(text) => parse(&text, path),
        Err(fault) => Err(ConfigError { faults: vec![format!("{}: {fault}", path.display())] }),
    }
}

/// Checks a configuration given as text, as if it stood in `path`.
pub fn parse(text: &str, path: &Path) -> Result<Settings, ConfigError> {
    let mut faults = Faults::new(text, path);
    let settings = syntax::read(text, &mut faults).and_then(|file| settings::check(&file, path, &mut faults));
    let faults = faults.into_sentences();
    match settings {
        Some(settings) if faults.is_empty() => Ok(settings),
        _ => Err(ConfigError { faults }),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut octets));
    read.map_err(|error| unreadable(&error))?;
    if octets.len() as u64 > LARGEST {
        return Err("this file is too large for a configuration; name another one with --config".into());
    }
    String::from_utf8(octets).map_err(|error| {
        let octets = error.as_bytes();
        if octets.starts_with(&[0xff, 0xfe]) || octets.starts_with(&[0xfe, 0xff]) {
            return "this file is UTF-16; save it as UTF-8".into();
        }
        let before = octets.get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no such file; write one (config/footbridge.toml is an example) or name another with --config".into()
        }
        _ => format!("the configuration cannot be read: {error}"),
    }
}
