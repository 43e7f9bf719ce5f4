//! The system's keychain: Secret Service, macOS Keychain, Windows Credential Manager.
//!
//! It holds one key of 32 octets, since the smallest of them takes 2,560 octets an entry, less than a token may have.
//! It may ask a person, or hang with its bus, so it is asked in a thread of its own that nobody waits for longer
//! than the limit; while one hangs, no second one is started.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::mail::Secret;

/// The keychain's word for whose entry it is.
const SERVICE: &str = "footbridge";

/// A login waits for this, and apps give up after 30 to 60 seconds.
const READ: Duration = Duration::from_secs(5);

/// A person who makes the vault may have to unlock the keychain first.
const WRITE: Duration = Duration::from_secs(30);

/// After a failure the keychain is left alone: a person who said no is not asked again at each login.
const REST: Duration = Duration::from_secs(30);

const HANGS: &str = "the keychain does not answer, or waits for you to unlock it; unlock it and try again";

/// A keychain as it is: may wait for ever. What goes wrong is one clause with its cure.
pub(super) trait Store: Send + Sync {
    fn get(&self, user: &str) -> Result<Option<Secret>, String>;
    fn set(&self, user: &str, secret: &Secret) -> Result<(), String>;
}

/// A keychain that answers in time.
pub(super) struct Keychain {
    store: Arc<dyn Store>,
    limits: Limits,
    busy: Arc<AtomicBool>,
    failed: Mutex<Option<(Instant, String)>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) read: Duration,
    pub(super) write: Duration,
    pub(super) rest: Duration,
}

impl Keychain {
    pub(super) fn system() -> Self {
        Self::new(Arc::new(System), Limits { read: READ, write: WRITE, rest: REST })
    }

    pub(super) fn new(store: Arc<dyn Store>, limits: Limits) -> Self {
        Self { store, limits, busy: Arc::default(), failed: Mutex::default() }
    }

    /// `None` where it works and has no such entry.
    pub(super) fn get(&self, user: &str) -> Result<Option<Secret>, String> {
        let user = user.to_owned();
        self.ask(self.limits.read, move |store| store.get(&user))
    }

    pub(super) fn set(&self, user: &str, secret: &Secret) -> Result<(), String> {
        let (user, secret) = (user.to_owned(), secret.clone());
        self.ask(self.limits.write, move |store| store.set(&user, &secret))
    }

    fn ask<T: Send + 'static>(
        &self,
        limit: Duration,
        question: impl FnOnce(&dyn Store) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        if let Some((when, reason)) = &*self.failed()
            && when.elapsed() < self.limits.rest
        {
            return Err(reason.clone());
        }
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(HANGS.to_owned());
        }
        let (store, busy) = (self.store.clone(), self.busy.clone());
        let (answers, answer) = mpsc::sync_channel(1);
        let asked = thread::Builder::new().name("keychain".to_owned()).spawn(move || {
            let answer = question(&*store);
            busy.store(false, Ordering::Release);
            let _ = answers.send(answer); // Nobody waits any more.
        });
        let answer = match asked {
            Ok(_) => answer.recv_timeout(limit).unwrap_or_else(|_| Err(HANGS.to_owned())),
            Err(error) => {
                self.busy.store(false, Ordering::Release);
                Err(format!("the keychain cannot be asked: {error}"))
            }
        };
        *self.failed() = answer.as_ref().err().map(|reason| (Instant::now(), reason.clone()));
        answer
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, String)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keychain").field("limits", &self.limits).finish_non_exhaustive()
    }
}

struct System;

#[cfg(feature = "keyring")]
impl Store for System {
    fn get(&self, user: &str) -> Result<Option<Secret>, String> {
        match entry(user)?.get_secret() {
            Ok(secret) => Ok(Some(Secret::new(secret))),
            Err(keyring_core::Error::NoEntry) => Ok(None),
            Err(error) => Err(said(&error)),
        }
    }

    fn set(&self, user: &str, secret: &Secret) -> Result<(), String> {
        entry(user)?.set_secret(secret.expose()).map_err(|error| said(&error))
    }
}

/// Connected anew for each question: a keychain that starts after us, or starts again, is found.
#[cfg(feature = "keyring")]
fn entry(user: &str) -> Result<keyring_core::Entry, String> {
    use keyring_core::api::CredentialStoreApi;
    #[cfg(target_os = "macos")]
    let store = apple_native_keyring_store::keychain::Store::new();
    #[cfg(windows)]
    let store = windows_native_keyring_store::Store::new();
    #[cfg(all(unix, not(target_os = "macos")))]
    let store = zbus_secret_service_keyring_store::Store::new();
    store.and_then(|store| store.build(SERVICE, user, None)).map_err(|error| said(&error))
}

/// Its kind in our words: the crate's own text may hold what was stored.
#[cfg(feature = "keyring")]
fn said(error: &keyring_core::Error) -> String {
    use keyring_core::Error;
    match error {
        Error::NoStorageAccess(cause) => {
            format!("the keychain is locked or refuses ({cause}); unlock it, then try again")
        }
        Error::PlatformFailure(cause) => {
            format!("no keychain answers on this system ({cause}); start it, then try again")
        }
        Error::Ambiguous(_) => {
            "the keychain has several entries of this name; remove all but the right one".to_owned()
        }
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => {
            "the keychain's entry for footbridge is not one that footbridge wrote".to_owned()
        }
        _ => "the keychain refuses to serve footbridge".to_owned(),
    }
}

#[cfg(not(feature = "keyring"))]
impl Store for System {
    fn get(&self, _: &str) -> Result<Option<Secret>, String> {
        Err("this footbridge is built without keychains; name another key in [vault]".to_owned())
    }

    fn set(&self, user: &str, _: &Secret) -> Result<(), String> {
        self.get(user).map(drop)
    }
}
