mod grants;
mod keychains;
mod keys;
mod sealed;
mod shared;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use tempfile::TempDir;

use super::keychain::{Keychain, Limits, Store};
use super::*;
use crate::auth::NoToken;
use crate::auth::oauth::{Grant, Grants};
use crate::mail::KeyChoice;
use crate::mail::Secret;

/// A state folder, and vaults in it as separate processes have them.
struct Place {
    outer: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { outer: tempfile::tempdir().unwrap() }
    }

    fn folder(&self) -> Folder {
        Folder::open(&self.outer.path().join("state")).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.outer.path().join("state").join(name)
    }

    fn octets(&self) -> Vec<u8> {
        fs::read(self.file("vault")).unwrap()
    }

    fn vault(&self, choice: KeyChoice) -> Vault {
        self.with(choice, None, no_keychain())
    }

    /// A vault with a key file.
    fn simple(&self) -> Vault {
        self.vault(KeyChoice::File)
    }

    fn with(&self, choice: KeyChoice, credential: Option<PathBuf>, keychain: Keychain) -> Vault {
        Vault { folder: self.folder(), keys: Keys::new(choice, credential, keychain), open: Mutex::default() }
    }

    /// A private file outside the state folder.
    fn private(&self, name: &str, text: &str) -> PathBuf {
        let path = self.outer.path().join(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o600);
        path
    }
}

#[cfg(unix)]
fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn chmod(_: &Path, _: u32) {}

#[derive(Default)]
struct Fake {
    kept: Mutex<HashMap<String, Vec<u8>>>,
    locked: Behaviour,
    forgets: bool,
}

/// What a keychain does when it is asked.
#[derive(Default)]
struct Behaviour(Mutex<Lock>);

#[derive(Clone, Default)]
enum Lock {
    #[default]
    Open,
    Locked,
    /// Until both have come here.
    Hangs(Arc<Barrier>),
}

impl Behaviour {
    fn set(&self, lock: Lock) {
        *self.0.lock().unwrap() = lock;
    }

    fn pass(&self) -> Result<(), String> {
        let lock = self.0.lock().unwrap().clone();
        match lock {
            Lock::Open => Ok(()),
            Lock::Locked => Err("the keychain is locked".to_owned()),
            Lock::Hangs(barrier) => {
                barrier.wait();
                Ok(())
            }
        }
    }
}

impl Store for Fake {
    fn get(&self, user: &str) -> Result<Option<Secret>, String> {
        self.locked.pass()?;
        Ok(self.kept.lock().unwrap().get(user).map(|kept| Secret::new(kept.as_slice())))
    }

    fn set(&self, user: &str, secret: &Secret) -> Result<(), String> {
        self.locked.pass()?;
        if !self.forgets {
            self.kept.lock().unwrap().insert(user.to_owned(), secret.expose().to_vec());
        }
        Ok(())
    }
}

fn keychain(fake: &Arc<Fake>) -> Keychain {
    let limits = Limits {
        read: Duration::from_secs(20), // Of a fake that answers: a busy machine must not make it a failure.
        write: Duration::from_secs(20),
        rest: Duration::ZERO,
    };
    Keychain::new(fake.clone(), limits)
}

fn no_keychain() -> Keychain {
    let fake = Fake::default();
    fake.locked.set(Lock::Locked);
    keychain(&Arc::new(fake))
}

fn put(vault: &Vault, address: &str, password: &str) -> Result<(), VaultError> {
    vault.change(address, |entry| entry.password = Some(Secret::new(password)))
}

fn password(vault: &Vault, address: &str) -> Result<Option<String>, VaultError> {
    let entry = vault.entry(address)?;
    Ok(entry.and_then(|entry| Some(entry.password?.expose_str().unwrap().to_owned())))
}

/// One sentence in one line, in which the file is named.
#[track_caller]
fn told(error: VaultError) -> String {
    let told = error.to_string();
    assert!(told.contains("/state/") && !told.contains('\n'), "{told}");
    told
}
