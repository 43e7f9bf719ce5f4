//! The folder of bodies: names, and each call of the system, in one place so that tests can make any of them fail.
//!
//! ```text
//!  bodies/0123...ef.plain      complete, or sealed: 0123...ef.sealed
//!  bodies/.0123...ef.7.new     being written; what a killed process left goes at the next start
//! ```
//!
//! Other names are not ours and stay.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::format::Name;
use crate::store::folder::{private, private_file};

const ENDINGS: [&str; 2] = [".plain", ".sealed"];

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    #[cfg(test)]
    pub(super) faults: super::tests::Faults,
}

/// A file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ours {
    Complete { name: Name, sealed: bool },
    Unfinished,
}

/// What was found in the folder.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) ours: Ours,
    pub(super) octets: u64,
    pub(super) modified: SystemTime,
    /// Not a link, a pipe or a folder.
    pub(super) is_file: bool,
}

impl Place {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            #[cfg(test)]
            faults: super::tests::Faults::default(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn complete(&self, name: Name, sealed: bool) -> PathBuf {
        let [plain, secret] = ENDINGS;
        self.folder.join(format!("{:032x}{}", name.0, if sealed { secret } else { plain }))
    }

    pub(super) fn unfinished(&self, name: Name, serial: u64) -> PathBuf {
        self.folder.join(format!(".{:032x}.{serial}.new", name.0))
    }

    /// All that is ours; nothing where there is no folder.
    pub(super) fn look(&self) -> io::Result<Vec<Seen>> {
        self.step()?;
        match fs::symlink_metadata(&self.folder) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "this is not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let mut seen = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(ours) = entry.file_name().to_str().and_then(ours) else { continue };
            // Of the link, not of what it leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            seen.push(Seen {
                path: entry.path(),
                ours,
                octets: metadata.len(),
                modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                is_file: metadata.is_file(),
            });
        }
        Ok(seen)
    }

    /// A new file, for its user alone. Says whether the folder had to be made first.
    pub(super) fn create(&self, path: &Path) -> io::Result<(File, bool)> {
        self.step()?;
        match create(path) {
            Ok(file) => Ok((file, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Not the state folder with it: what was taken away as a whole is not ours to bring back.
                private(&mut DirBuilder::new()).create(&self.folder)?;
                Ok((create(path)?, true))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, file: &mut File, octets: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step() {
            // As a full disk does: a part of it is there.
            let half = octets.get(..octets.len() / 2).unwrap_or_default();
            file.write_all(half)?;
            return Err(error);
        }
        file.write_all(octets)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)
    }

    /// No fault where there is none.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// An ordinary file, opened to be read; `None` for anything else of that name: a link leads elsewhere, and a
    /// pipe would be waited for.
    pub(super) fn open(&self, path: &Path) -> io::Result<Option<File>> {
        self.step()?;
        if !fs::symlink_metadata(path)?.is_file() {
            return Ok(None);
        }
        File::open(path).map(Some)
    }

    pub(super) fn read(&self, mut file: &File, from: u64, octets: usize) -> io::Result<Vec<u8>> {
        self.step()?;
        file.seek(SeekFrom::Start(from))?;
        let mut buffer = Vec::with_capacity(octets);
        if file.take(octets as u64).read_to_end(&mut buffer)? < octets {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(buffer)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests have it fail")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.faults.step()
    }
}

fn create(path: &Path) -> io::Result<File> {
    private_file(OpenOptions::new().create_new(true).write(true)).open(path)
}

fn ours(name: &str) -> Option<Ours> {
    if name.starts_with('.') && name.ends_with(".new") {
        let (digits, _) = name.get(1..)?.split_once('.')?;
        return number(digits).map(|_| Ours::Unfinished);
    }
    let [plain, sealed] = ENDINGS.map(|ending| name.strip_suffix(ending));
    let name = Name(number(plain.or(sealed)?)?);
    Some(Ours::Complete { name, sealed: sealed.is_some() })
}

/// As we write it: 32 hex digits in lower case.
fn number(digits: &str) -> Option<u128> {
    let is_ours =
        digits.len() == 32 && digits.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}
