//! The vault: passwords and grants that outlive a run, sealed in one file of the state folder.
//!
//! ```text
//!  key (keychain, passphrase file, systemd credential, key file) ──▶ HMAC-SHA-256 with the vault's id
//!                                                                           │
//!  state folder/vault = header │ nonce │ XChaCha20-Poly1305(entries) ◀──────┘   header as associated data
//! ```
//!
//! The bridge and the command line both write it, so a change re-reads it under the folder's lock. It is replaced
//! as a whole; whatever goes wrong, the file that was there stays as it was: nothing here deletes a vault, or puts a
//! new one in the place of one that cannot be opened, unless [`Vault::set_aside`] has kept that one.

mod entries;
mod grants;
mod key;
mod keychain;
mod sealed;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::SystemTime;

use entries::Entries;
pub use entries::Entry;
pub use grants::KeptGrant;
use key::{Fresh, Keys};
use sealed::{Header, Key, Kind, Sealed};
#[doc(hidden)]
pub use sealed::{opened_with, sealed_with};
use zeroize::Zeroizing;

use crate::mail::KeyChoice;
use crate::store::folder::Held;
use crate::store::{Folder, FolderError};

/// The file in the state folder.
const FILE: &str = "vault";

/// What a vault that cannot be opened is kept as.
const DAMAGED: &str = "vault.damaged";

/// More than the state folder reads back. A thousand accounts with tokens have less.
const LARGEST: usize = 8 * 1024 * 1024 - 1;

/// Stored passwords and grants, by address.
///
/// What is asked waits for the disk, and at times for a keychain (5 seconds at most, 30 where one is written to):
/// async code uses [`Vault::find`], or a thread where it may block.
#[derive(Debug)]
pub struct Vault {
    folder: Folder,
    keys: Keys,
    open: Mutex<Option<Open>>,
}

/// The file as it was read last.
#[derive(Debug)]
struct Open {
    stamp: Option<Stamp>,
    header: Header,
    key: Key,
    entries: Entries,
}

/// Why the vault does not serve: one sentence with its cure. Nothing was deleted or overwritten.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The state folder, or a file of it, is not as it must be, or cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// An octet of it is not what we wrote.
    #[error(
        "{}: the vault is damaged, so nothing in it is used; bring back a copy of it, or sign in again, which keeps this one as {DAMAGED}",
        path.display()
    )]
    Damaged {
        /// The vault.
        path: PathBuf,
    },
    /// The key is there, and is another one than the vault was sealed with.
    #[error(
        "{}: {key} does not open the vault; bring back the right one, or sign in again, which keeps this vault as {DAMAGED}",
        path.display()
    )]
    WrongKey {
        /// The vault.
        path: PathBuf,
        /// Which key, and where it is.
        key: String,
    },
    /// The key is gone.
    #[error(
        "{}: the vault cannot be opened without {key}, which is not there; bring it back, or sign in again, which keeps this vault as {DAMAGED}",
        path.display()
    )]
    NoKey {
        /// The vault.
        path: PathBuf,
        /// Which key, and where it should be.
        key: String,
    },
    /// Nothing is wrong with the vault, but its key cannot be had now.
    #[error("{}: the vault cannot be opened: {reason}", path.display())]
    KeyUnavailable {
        /// The vault.
        path: PathBuf,
        /// One clause with its cure.
        reason: String,
    },
    /// A newer footbridge wrote it.
    #[error(
        "{}: a newer footbridge wrote this vault (format {version}); it is left as it is; use that version, or name another --state DIR",
        path.display()
    )]
    Newer {
        /// The vault.
        path: PathBuf,
        /// The format it says it has.
        version: u32,
    },
    /// It is sealed with a key of another kind than the configuration says.
    #[error(
        "{}: the vault is sealed with {made}, not with the key that the configuration names; {cure}",
        path.display()
    )]
    OtherKey {
        /// The vault.
        path: PathBuf,
        /// The kind of key.
        made: &'static str,
        /// What to write in the configuration.
        cure: &'static str,
    },
    /// There is more to store than can be read back.
    #[error("{}: the vault is full; remove accounts that are not used any more", path.display())]
    Full {
        /// The vault.
        path: PathBuf,
    },
    /// The system gives no random octets.
    #[error("{}: the vault cannot be written: this system gives no random numbers", path.display())]
    NoRandom {
        /// The vault.
        path: PathBuf,
    },
}

impl VaultError {
    /// Whether [`Vault::set_aside`] would make room for a new vault: this one will not open by itself.
    pub fn needs_sign_in(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::WrongKey { .. } | Self::NoKey { .. })
    }
}

impl Vault {
    /// The vault in this state folder, which need not be there yet. Nothing is read, made or asked before something is wanted of it.
    pub fn new(folder: Folder, choice: KeyChoice) -> Self {
        Self { folder, keys: Keys::of_this_machine(choice), open: Mutex::default() }
    }

    /// What is stored for an address, in whatever case; costs a look at the file's times while it did not change.
    ///
    /// # Errors
    /// The vault is there and cannot be opened.
    pub fn entry(&self, address: &str) -> Result<Option<Entry>, VaultError> {
        let mut open = self.lock();
        self.read(&mut open)?;
        Ok(open.as_ref().and_then(|open| open.entries.get(address)))
    }

    /// The same for async code: waits in a thread of its own where it may take longer.
    ///
    /// # Errors
    /// As [`Vault::entry`].
    pub async fn find(self: &Arc<Self>, address: &str) -> Result<Option<Entry>, VaultError> {
        if let Some(open) = self.unchanged() {
            return Ok(open.as_ref().and_then(|open| open.entries.get(address)));
        }
        let (vault, name) = (self.clone(), address.to_owned());
        let found = tokio::task::spawn_blocking(move || vault.entry(&name)).await;
        found
            .unwrap_or_else(|_| Err(self.keys.unavailable(&self.folder, "footbridge is stopping".to_owned())))
    }

    /// The addresses with something stored, in lower case and in order.
    ///
    /// # Errors
    /// As [`Vault::entry`].
    pub fn addresses(&self) -> Result<Vec<String>, VaultError> {
        let mut open = self.lock();
        self.read(&mut open)?;
        Ok(open.as_ref().map(|open| open.entries.addresses()).unwrap_or_default())
    }

    /// Changes what is stored for an address, as it is now on the disk; on the disk when this returns. An entry
    /// that `change` leaves empty is removed. The first change makes the vault, and its key.
    ///
    /// # Errors
    /// The vault cannot be opened or written; it is as it was.
    pub fn change<T>(&self, address: &str, change: impl FnOnce(&mut Entry) -> T) -> Result<T, VaultError> {
        self.change_to(address, |entry| (change(entry), true))
    }

    /// The same where `change`, which is shown the entry under the lock, says so; otherwise nothing is written.
    ///
    /// # Errors
    /// As [`Vault::change`].
    pub fn change_if(
        &self,
        address: &str,
        change: impl FnOnce(&mut Entry) -> bool,
    ) -> Result<bool, VaultError> {
        self.change_to(address, |entry| {
            let wanted = change(entry);
            (wanted, wanted)
        })
    }

    /// Written where the second of what `change` gives is true.
    fn change_to<T>(
        &self,
        address: &str,
        change: impl FnOnce(&mut Entry) -> (T, bool),
    ) -> Result<T, VaultError> {
        let mut open = self.lock();
        self.read(&mut open)?;
        // What may ask a person comes before the lock, for which others wait.
        let mut fresh = match *open {
            Some(_) => None,
            None => Some(self.keys.fresh(&self.folder)?),
        };
        let held = self.folder.hold()?;
        self.read(&mut open)?;
        let (header, key, mut entries) = match &*open {
            Some(open) => (open.header.clone(), open.key.clone(), open.entries.clone()),
            None => {
                let fresh = match fresh.take() {
                    Some(fresh) => fresh,
                    None => self.keys.fresh(&self.folder)?, // Moved away this very moment.
                };
                let (header, key) = self.begin(&held, fresh)?;
                (header, key, Entries::default())
            }
        };
        let mut entry = entries.get(address).unwrap_or_default();
        let (answer, wanted) = change(&mut entry);
        if !wanted {
            return Ok(answer);
        }
        entries.put(address, entry);
        self.write(&held, &mut open, Open { stamp: None, header, key, entries })?;
        Ok(answer)
    }

    /// Forgets what is stored for an address; says whether there was something.
    ///
    /// # Errors
    /// The vault cannot be opened or written; it is as it was.
    pub fn remove(&self, address: &str) -> Result<bool, VaultError> {
        if self.entry(address)?.is_none() {
            return Ok(false);
        }
        self.change(address, |entry| *entry = Entry::default())?;
        Ok(true)
    }

    /// Keeps a vault that [needs a new sign-in](VaultError::needs_sign_in) under another name, so that the next
    /// change makes a new one; `None` where the vault opens or there is none.
    ///
    /// # Errors
    /// It may open again by itself (a locked keychain, a newer footbridge), or cannot be renamed: it is as it was.
    pub fn set_aside(&self) -> Result<Option<PathBuf>, VaultError> {
        let mut open = self.lock();
        let _held = self.folder.hold()?;
        match self.read(&mut open) {
            Ok(()) => return Ok(None),
            Err(error) if !error.needs_sign_in() => return Err(error),
            Err(_) => {}
        }
        let names = std::iter::once(DAMAGED.to_owned()).chain((2..).map(|n| format!("{DAMAGED}.{n}")));
        let mut places = names.map(|name| self.folder.file(&name));
        // One that was kept before stays, too. Nobody else renames: the folder is ours and locked.
        let Some(place) = places.find(|place| fs::symlink_metadata(place).is_err()) else { return Ok(None) };
        match fs::rename(self.path(), &place) {
            Ok(()) => Ok(Some(place)),
            Err(error) => Err(self
                .keys
                .unavailable(&self.folder, format!("it cannot be renamed to {}: {error}", place.display()))),
        }
    }

    /// A sentence for `check`: which key there is, and what it protects against.
    ///
    /// # Errors
    /// The vault is there and cannot be opened.
    pub fn describe(&self) -> Result<String, VaultError> {
        let mut open = self.lock();
        self.read(&mut open)?;
        Ok(match &*open {
            Some(open) => self.keys.describe(&self.folder, open.header.kind()),
            None => "there is no vault: nothing is stored yet".to_owned(),
        })
    }

    /// A key for other files in the state folder, made from the vault's: `None` where that would lie beside them, or
    /// there is no vault. Waits as [`Vault::entry`] does.
    ///
    /// # Errors
    /// The vault is there and cannot be opened.
    pub fn key_for(&self, purpose: &str) -> Result<Option<Zeroizing<[u8; 32]>>, VaultError> {
        let mut open = self.lock();
        self.read(&mut open)?;
        let elsewhere = open.as_ref().filter(|open| !matches!(open.header.kind(), Kind::File {}));
        Ok(elsewhere.map(|open| open.key.for_purpose(purpose)))
    }

    fn path(&self) -> PathBuf {
        self.folder.file(FILE)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read last, where nobody works on it and the file is the same.
    fn unchanged(&self) -> Option<MutexGuard<'_, Option<Open>>> {
        let open = match self.open.try_lock() {
            Ok(open) => open,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let known = open.as_ref().and_then(|open| open.stamp);
        let now = Stamp::of(&self.path()).ok()?;
        (known == now).then_some(open)
    }

    /// Brings `open` up to date with the file.
    fn read(&self, open: &mut Option<Open>) -> Result<(), VaultError> {
        // Before the file is read: one that changes in between is read again next time.
        let stamp = Stamp::of(&self.path()).unwrap_or_default();
        if stamp.is_some() && open.as_ref().is_some_and(|open| open.stamp == stamp) {
            return Ok(());
        }
        let known = open.take().map(|open| (open.header, open.key));
        if let Some(octets) = self.folder.read(FILE)? {
            *open = Some(self.unseal(&octets, known, stamp)?);
        }
        Ok(())
    }

    fn unseal(
        &self,
        octets: &[u8],
        known: Option<(Header, Key)>,
        stamp: Option<Stamp>,
    ) -> Result<Open, VaultError> {
        let damaged = || VaultError::Damaged { path: self.path() };
        let sealed = match Sealed::parse(octets) {
            Ok(sealed) => sealed,
            Err(sealed::Fault::Newer(version)) => {
                return Err(VaultError::Newer { path: self.path(), version });
            }
            Err(sealed::Fault::Damaged) => return Err(damaged()),
        };
        let key = match known {
            Some((header, key)) if header == sealed.header => key,
            _ => self.keys.existing(&self.folder, &sealed.header)?,
        };
        let entries = sealed.open(&key).and_then(|plain| Entries::decode(&plain)).ok_or_else(damaged)?;
        Ok(Open { stamp, header: sealed.header, key, entries })
    }

    /// Under the lock, so that two who begin at once have one key.
    fn begin(&self, held: &Held<'_>, fresh: Fresh) -> Result<(Header, Key), VaultError> {
        let Fresh { kind, id, material } = fresh;
        let material = match material {
            Some(material) => material,
            None => self.keys.file_material(&self.folder, held)?,
        };
        let key = Key::derive(material.expose(), &id);
        Ok((Header::new(kind, id, &key), key))
    }

    fn write(&self, held: &Held<'_>, open: &mut Option<Open>, mut new: Open) -> Result<(), VaultError> {
        let plain = new.entries.encode(sealed::TAG);
        let octets = match plain {
            Some(plain) => sealed::seal(&new.header, &new.key, plain),
            None => return Err(VaultError::Full { path: self.path() }),
        };
        let octets = octets.ok_or_else(|| VaultError::NoRandom { path: self.path() })?;
        if octets.len() > LARGEST {
            return Err(VaultError::Full { path: self.path() });
        }
        held.write(FILE, &octets)?;
        new.stamp = Stamp::of(&self.path()).unwrap_or_default(); // Ours: the lock is held.
        *open = Some(new);
        Ok(())
    }
}

/// Tells one version of the file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    octets: u64,
    modified: Option<SystemTime>,
    /// A file that takes another's place has another inode, and a change of its rights another time of change.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Stamp {
    /// `None` where there is no file.
    fn of(path: &std::path::Path) -> io::Result<Option<Self>> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Ok(Some(Self {
            octets: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }))
    }
}
