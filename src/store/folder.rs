//! The state folder: what footbridge keeps between runs, readable by its own user alone.
//!
//! It may hold keys, so it is used only where nobody else can read, change or exchange what is in it; a folder that
//! is not so is refused in one sentence and left as it is. A file is replaced as a whole (temporary file, fsync,
//! rename, fsync of the folder): after a power failure there is the old one or the new one.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A file of state: a thousand accounts' tokens have less, so what is larger is not ours.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Why the folder, or a file in it, is not used: one sentence with its cure.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct FolderError {
    path: PathBuf,
    what: String,
}

/// An open state folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Other processes with this folder wait while this lives; only who has it writes.
#[derive(Debug)]
pub struct Held<'a> {
    folder: &'a Folder,
    /// The lock ends with the file.
    _lock: File,
}

/// No other bridge runs with this folder while this lives, however this process ends.
#[derive(Debug)]
pub struct Alone {
    /// The lock ends with the file.
    _lock: File,
}

impl Folder {
    /// Opens the folder; made, for its user alone, where it is not there.
    ///
    /// # Errors
    /// It cannot be made, is no folder or a symlink, belongs to another user, or others may enter it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let folder = Self::look(path)?;
        folder.make()?;
        Ok(folder)
    }

    /// The same for whoever looks only: one that is not there holds nothing, and is made by the first
    /// [`hold`](Folder::hold).
    ///
    /// # Errors
    /// It is there, and is no folder or a symlink, belongs to another user, or others may enter it.
    pub fn look(path: &Path) -> Result<Self, FolderError> {
        // A slash at the end, as shells complete the name of a link to a folder, would lead through the link.
        let folder = Self { path: path.components().collect() };
        folder.is_there()?;
        Ok(folder)
    }

    /// Whether it is there, and as it must be then.
    fn is_there(&self) -> Result<bool, FolderError> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) => self.check(&metadata).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(refuse(
                &self.path,
                format!("the state folder cannot be looked at: {error}; name another with --state DIR"),
            )),
        }
    }

    fn make(&self) -> Result<(), FolderError> {
        if fs::symlink_metadata(&self.path).is_ok() {
            return Ok(());
        }
        private(&mut DirBuilder::new()).recursive(true).create(&self.path).map_err(|error| {
            refuse(
                &self.path,
                format!("the state folder cannot be made: {error}; name another with --state DIR"),
            )
        })?;
        // What is synced in it is lost with its name. Not everybody may read all that is above.
        self.path.ancestors().skip(1).for_each(|above| drop(sync_folder(above)));
        // Somebody else may have made it this very moment.
        self.is_there().map(|_| ())
    }

    fn check(&self, metadata: &Metadata) -> Result<(), FolderError> {
        let what = if metadata.is_symlink() {
            "the state folder is a symbolic link, which could be turned elsewhere; name the folder itself with --state DIR"
                .to_owned()
        } else if !metadata.is_dir() {
            "the state folder is not a folder; name another with --state DIR".to_owned()
        } else if !belongs_to_us(metadata) {
            "the state folder belongs to another user; name one of your own with --state DIR".to_owned()
        } else if others_may_enter(metadata) {
            format!(
                "others may enter the state folder, which holds keys; run: chmod 700 {}",
                self.path.display()
            )
        } else {
            return Ok(());
        };
        Err(refuse(&self.path, what))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of this name stands.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps other processes out of what is read and then written; makes the folder where it is not there.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn hold(&self) -> Result<Held<'_>, FolderError> {
        let (path, file) = self.lock_file("lock")?;
        file.lock().map_err(|error| not_written(&path, &error))?;
        Ok(Held { folder: self, _lock: file })
    }

    /// Makes this process the one that runs with this folder, as long as what comes back lives; `None` where another
    /// one is. Nobody who only [holds](Folder::hold) it is in the way.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn hold_alone(&self) -> Result<Option<Alone>, FolderError> {
        let (path, file) = self.lock_file("bridge.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Alone { _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(not_written(&path, &error)),
        }
    }

    /// A file whose lock counts, never its octets.
    fn lock_file(&self, name: &str) -> Result<(PathBuf, File), FolderError> {
        self.make()?;
        self.can_be_written()?;
        let path = self.file(name);
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            // Opening a pipe would wait without end, and a link leads elsewhere.
            return Err(refuse(
                &path,
                "this is not a file, a symbolic link maybe; remove it or name another --state DIR",
            ));
        }
        let mut options = OpenOptions::new();
        let opened = private_file(options.create(true).truncate(false).write(true)).open(&path);
        opened.map_err(|error| not_written(&path, &error)).map(|file| (path, file))
    }

    /// A file's octets; `None` where there is none.
    ///
    /// # Errors
    /// It is no file of ours, others may read it, or it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.file(name);
        let unreadable = |error: io::Error| refuse(&path, format!("this file cannot be read: {error}"));
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        ours(&path, &metadata)?;
        let mut octets = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut octets));
        read.map_err(unreadable)?;
        if octets.len() as u64 > LARGEST {
            return Err(refuse(&path, "this file is too large to be one of footbridge's; move it away"));
        }
        Ok(Some(octets))
    }

    /// Opens a file for reading and writing, which may be of any size; made, for its user alone, where it is not there.
    ///
    /// # Errors
    /// It is no file of ours, others may read it, or the folder cannot be written.
    pub fn open_file(&self, name: &str) -> Result<File, FolderError> {
        self.can_be_written()?;
        let path = self.file(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => ours(&path, &metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(not_written(&path, &error)),
        }
        let mut options = OpenOptions::new();
        let opened = private_file(options.create(true).truncate(false).read(true).write(true)).open(&path);
        opened.map_err(|error| not_written(&path, &error))
    }

    /// Whether there is a file of such a name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn has(&self, such: impl Fn(&str) -> bool) -> Result<bool, FolderError> {
        let unreadable = |error| refuse(&self.path, format!("the state folder cannot be read: {error}"));
        for entry in fs::read_dir(&self.path).map_err(unreadable)? {
            if entry.map_err(unreadable)?.file_name().to_str().is_some_and(&such) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Said by its mode too: what an administrator closed is closed for a bridge that runs as one.
    fn can_be_written(&self) -> Result<(), FolderError> {
        if fs::metadata(&self.path).is_ok_and(|metadata| owner_may_not_write(&metadata)) {
            let cure = format!("run: chmod 700 {}, or name another with --state DIR", self.path.display());
            return Err(refuse(&self.path, format!("the state folder is read-only; {cure}")));
        }
        Ok(())
    }
}

impl Held<'_> {
    /// Puts a file in place as a whole, on the disk when this returns.
    ///
    /// # Errors
    /// The folder cannot be written; what was there before still is.
    pub fn write(&self, name: &str, octets: &[u8]) -> Result<(), FolderError> {
        let Folder { path: folder } = self.folder;
        let path = self.folder.file(name);
        if octets.len() as u64 > LARGEST {
            return Err(refuse(
                &path,
                "what this file should hold is too large for it, so it was not written",
            ));
        }
        // One name for all processes: they wait for each other, and what a killed one left is replaced.
        let temporary = self.folder.file(&format!(".{name}.new"));
        let written = put(&temporary, octets).and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            // Whatever the fault was, a part of a key is of no use.
            let _ = fs::remove_file(&temporary);
        }
        written.and_then(|()| sync_folder(folder)).map_err(|error| not_written(&path, &error))
    }

    /// Gives a file another name, in place of what has it, and says where it is then.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn rename(&self, name: &str, to: &str) -> Result<PathBuf, FolderError> {
        let (from, to) = (self.folder.file(name), self.folder.file(to));
        let renamed = fs::rename(&from, &to).and_then(|()| sync_folder(&self.folder.path));
        renamed.map_err(|error| not_written(&from, &error)).map(|()| to)
    }

    /// Removes the files of these names, and says how many there were.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn remove(&self, these: impl Fn(&str) -> bool) -> Result<usize, FolderError> {
        let Folder { path: folder } = self.folder;
        let failed = |error: &io::Error| not_written(folder, error);
        let mut removed = 0;
        for entry in fs::read_dir(folder).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            if entry.file_name().to_str().is_some_and(&these) {
                fs::remove_file(entry.path()).map_err(|error| not_written(&entry.path(), &error))?;
                removed += 1;
            }
        }
        if removed > 0 {
            sync_folder(folder).map_err(|error| failed(&error))?;
        }
        Ok(removed)
    }
}

/// Whether this is a file that only we read and write.
fn ours(path: &Path, metadata: &Metadata) -> Result<(), FolderError> {
    let what = if !metadata.is_file() {
        "this is not a file, a symbolic link maybe; remove it or name another --state DIR".to_owned()
    } else if !belongs_to_us(metadata) {
        "this file belongs to another user; remove it or name another --state DIR".to_owned()
    } else if others_may_enter(metadata) {
        format!("others may read or write this file, which holds keys; run: chmod 600 {}", path.display())
    } else {
        return Ok(());
    };
    Err(refuse(path, what))
}

fn put(path: &Path, octets: &[u8]) -> io::Result<()> {
    // One left by a process that was killed. A new file follows no link, and is for its user alone from the first.
    let _ = fs::remove_file(path);
    let mut file = private_file(OpenOptions::new().create_new(true).write(true)).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

fn refuse(path: &Path, what: impl Into<String>) -> FolderError {
    FolderError { path: path.to_owned(), what: what.into() }
}

fn not_written(path: &Path, error: &io::Error) -> FolderError {
    refuse(
        path,
        format!(
            "this file cannot be written: {error}; make the folder writable or name another with --state DIR"
        ),
    )
}

#[cfg(unix)]
pub(super) fn private(builder: &mut DirBuilder) -> &mut DirBuilder {
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700)
}

#[cfg(unix)]
pub(super) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(unix)]
fn belongs_to_us(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(metadata) == rustix::process::geteuid().as_raw()
}

#[cfg(unix)]
fn others_may_enter(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o077 != 0
}

#[cfg(unix)]
fn owner_may_not_write(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o200 == 0
}

/// The rename itself is on the disk.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

// On Windows a folder in the user's profile is that user's by default, and a rename is the file system's own affair.

#[cfg(not(unix))]
pub(super) fn private(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder
}

#[cfg(not(unix))]
pub(super) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn belongs_to_us(_: &Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn others_may_enter(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn owner_may_not_write(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// A place for a state folder, and what keeps it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/state");
        (outer, path)
    }

    fn refusal(path: &Path) -> String {
        let told = Folder::open(path).unwrap_err().to_string();
        assert!(told.starts_with(&path.display().to_string()) && !told.contains('\n'), "{told}");
        told
    }

    #[test]
    fn a_folder_and_its_files_are_their_users_alone() {
        let (_outer, path) = place();
        let folder = Folder::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(folder.read("key").unwrap(), None);
        folder.hold().unwrap().write("key", b"one").unwrap();
        folder.hold().unwrap().write("key", b"two").unwrap();
        assert_eq!(mode(&folder.file("key")), 0o600);
        assert_eq!(Folder::open(&path).unwrap().read("key").unwrap().unwrap(), b"two");
        assert_eq!(names(&path), ["key", "lock"], "no temporary file is left");
    }

    /// Whoever looks leaves no trace; what is made later is as private as if it had been made at once.
    #[test]
    fn looking_makes_nothing_and_the_first_change_does() {
        let (outer, path) = place();
        let folder = Folder::look(&path).unwrap();
        assert_eq!(folder.read("key").unwrap(), None);
        assert_eq!(names(outer.path()), [""; 0]);
        folder.hold().unwrap().write("key", b"one").unwrap();
        assert_eq!((mode(&path), mode(&folder.file("key"))), (0o700, 0o600));
        assert_eq!(folder.read("key").unwrap().unwrap(), b"one");
        chmod(&path, 0o755);
        assert!(Folder::look(&path).unwrap_err().to_string().contains("chmod 700"));
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A process that is killed in the middle of a write leaves a part of a file; so might somebody who plants a link.
    #[test]
    fn what_a_killed_process_left_is_replaced_and_not_followed() {
        let (outer, path) = place();
        let folder = Folder::open(&path).unwrap();
        let temporary = folder.file(".key.new");
        fs::write(&temporary, "half of something longer than the whole").unwrap();
        chmod(&temporary, 0o644);
        folder.hold().unwrap().write("key", b"one").unwrap();
        assert_eq!((names(&path), mode(&folder.file("key"))), (vec!["key".into(), "lock".into()], 0o600));
        assert_eq!(folder.read("key").unwrap().unwrap(), b"one");

        let elsewhere = outer.path().join("elsewhere");
        fs::write(&elsewhere, "mine").unwrap();
        symlink(&elsewhere, &temporary).unwrap();
        folder.hold().unwrap().write("key", b"two").unwrap();
        assert_eq!(names(&path), ["key", "lock"]);
        assert_eq!(folder.read("key").unwrap().unwrap(), b"two");
        assert_eq!(fs::read(&elsewhere).unwrap(), b"mine");
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let (outer, path) = place();
        Folder::open(&path).unwrap();
        let link = outer.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(refusal(&link).contains("symbolic link"));
        for end in ["/", "/.", "//./"] {
            let through = PathBuf::from(format!("{}{end}", link.display()));
            let told = Folder::open(&through).map(|_| ()).unwrap_err().to_string();
            assert!(told.contains("symbolic link"), "{end}: {told}");
        }
        let dangling = outer.path().join("dangling");
        symlink(outer.path().join("nowhere"), &dangling).unwrap();
        assert!(refusal(&dangling).contains("symbolic link"));
        assert!(!outer.path().join("nowhere").exists());
    }

    #[test]
    fn a_file_in_its_place_is_refused_and_left() {
        let (outer, _) = place();
        let path = outer.path().join("file");
        fs::write(&path, "mine").unwrap();
        assert!(refusal(&path).contains("not a folder"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused_with_the_command_that_cures_it() {
        let (_outer, path) = place();
        Folder::open(&path).unwrap();
        for open in [0o750, 0o705, 0o777] {
            chmod(&path, open);
            assert!(refusal(&path).contains("chmod 700"));
            assert_eq!(mode(&path), open, "left as it is");
        }
    }

    /// Only an administrator can give a folder away, so elsewhere there is nothing to test.
    #[test]
    fn another_users_folder_is_refused() {
        let (_outer, path) = place();
        Folder::open(&path).unwrap();
        if chown(&path, Some(65534), None).is_ok() {
            assert!(refusal(&path).contains("another user"));
        }
    }

    #[test]
    fn a_read_only_folder_is_refused_when_something_is_to_be_written() {
        let (_outer, path) = place();
        let folder = Folder::open(&path).unwrap();
        folder.hold().unwrap().write("key", b"one").unwrap();
        chmod(&path, 0o500);
        assert_eq!(folder.read("key").unwrap().unwrap(), b"one");
        let told = folder.hold().unwrap_err().to_string();
        assert!(told.contains("read-only"), "{told}");
        assert_eq!(folder.read("key").unwrap().unwrap(), b"one");
        chmod(&path, 0o700);
    }

    #[test]
    fn one_process_alone_runs_with_a_folder_and_others_may_still_write_a_file() {
        let (_outer, path) = place();
        let folder = Folder::open(&path).unwrap();
        let alone = folder.hold_alone().unwrap().expect("the first");
        assert!(Folder::open(&path).unwrap().hold_alone().unwrap().is_none());
        folder.hold().unwrap().write("key", b"one").unwrap();
        drop(alone);
        assert!(folder.hold_alone().unwrap().is_some());
    }

    #[test]
    fn a_lock_that_is_no_file_is_refused_and_not_followed() {
        let (outer, path) = place();
        let folder = Folder::open(&path).unwrap();
        let elsewhere = outer.path().join("elsewhere");
        symlink(&elsewhere, folder.file("lock")).unwrap();
        assert!(folder.hold().unwrap_err().to_string().contains("not a file"));
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let (outer, _) = place();
        let file = outer.path().join("file");
        fs::write(&file, "").unwrap();
        let told = Folder::open(&file.join("state")).unwrap_err().to_string();
        assert!(told.contains("--state DIR"), "{told}");
    }

    #[test]
    fn a_file_that_is_open_to_others_or_a_link_is_refused() {
        let (outer, path) = place();
        let folder = Folder::open(&path).unwrap();
        folder.hold().unwrap().write("key", b"one").unwrap();
        chmod(&folder.file("key"), 0o640);
        assert!(folder.read("key").unwrap_err().to_string().contains("chmod 600"));
        symlink(outer.path().join("elsewhere"), folder.file("link")).unwrap();
        assert!(folder.read("link").unwrap_err().to_string().contains("not a file"));
    }
}
