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

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let place = Place::new();
    let vault = place.simple();
    assert!(vault.entry("ana@example.org").unwrap().is_none());
    assert!(vault.addresses().unwrap().is_empty());
    assert!(!place.file("vault").exists() && !place.file("vault.key").exists(), "asking makes nothing");

    put(&vault, "Ana@Example.org", "p\u{e4}ss \"word\"").unwrap();
    let grant = Secret::new(b"{\"x\":\"\xff\0\"}".as_slice());
    vault.change("bob@example.org", |entry| entry.grant = Some(grant.clone())).unwrap();
    vault.change("ANA@example.org", |entry| assert!(entry.password.is_some())).unwrap();

    let again = place.simple();
    assert_eq!(password(&again, "ana@example.ORG").unwrap().unwrap(), "p\u{e4}ss \"word\"");
    assert!(again.entry("bob@example.org").unwrap().unwrap().grant.unwrap().same_as(&grant));
    assert_eq!(again.addresses().unwrap(), ["ana@example.org", "bob@example.org"]);
    assert!(again.remove("Bob@example.org").unwrap());
    assert!(!again.remove("bob@example.org").unwrap());
    assert_eq!(place.simple().addresses().unwrap(), ["ana@example.org"]);
}

#[test]
fn the_file_tells_neither_secrets_nor_addresses_and_each_write_has_its_nonce() {
    let place = Place::new();
    let vault = place.simple();
    let mut seen = Vec::new();
    for _ in 0..3 {
        put(&vault, "ana@example.org", "CANARY").unwrap();
        let octets = place.octets();
        let text = String::from_utf8_lossy(&octets);
        for word in ["CANARY", "ana@", "example", "password", "Q0FOQVJZ"] {
            assert!(!text.contains(word), "{word}");
        }
        seen.push(octets);
    }
    let [first, second, third] = &seen[..] else { panic!() };
    let sealed =
        |octets: &[u8]| octets.iter().enumerate().filter(|(_, octet)| **octet == b'\n').nth(1).unwrap().0 + 1;
    let nonce = |octets: &Vec<u8>| octets[sealed(octets)..][..24].to_vec();
    assert!(nonce(first) != nonce(second) && nonce(second) != nonce(third) && nonce(first) != nonce(third));
    assert!(!format!("{vault:?}").contains("CANARY"));
}

/// Nothing may be used that was changed, and nothing may be lost by trying.
#[test]
fn one_flipped_bit_anywhere_fails_closed_and_changes_nothing() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    for name in ["vault", "vault.key"] {
        let path = place.file(name);
        let good = fs::read(&path).unwrap();
        for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            fs::write(&path, &bad).unwrap();
            if name == "vault.key" && at == good.len() - 1 {
                continue; // The line end is not of the key.
            }
            let error = place.simple().entry("a@b").unwrap_err();
            let newer = matches!(error, VaultError::Newer { .. });
            let other = matches!(error, VaultError::OtherKey { .. });
            assert!(error.needs_sign_in() || newer || other, "{name} {at} {bit}: {error}");
            assert!(told(error).contains(if newer || other { "vault" } else { "sign in again" }));
        }
        fs::write(&path, &good[..good.len() - 2]).unwrap();
        let before = place.octets();
        assert!(put(&place.simple(), "c@d", "x").unwrap_err().needs_sign_in());
        assert!(place.simple().remove("a@b").unwrap_err().needs_sign_in());
        assert_eq!(place.octets(), before);
        fs::write(&path, &good).unwrap();
        assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "secret");
    }
}

#[test]
fn a_file_cut_short_anywhere_or_with_something_added_is_damaged() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    let good = place.octets();
    let longer = [&good[..], b"x"].concat();
    for bad in (0..good.len()).map(|end| &good[..end]).chain([&longer[..]]) {
        fs::write(place.file("vault"), bad).unwrap();
        let error = place.simple().entry("a@b").unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{}: {error}", bad.len());
    }
}

#[test]
fn a_damaged_vault_is_kept_when_a_new_one_is_begun() {
    let place = Place::new();
    let vault = place.simple();
    assert_eq!(vault.set_aside().unwrap(), None, "there is none");
    put(&vault, "a@b", "secret").unwrap();
    assert_eq!(vault.set_aside().unwrap(), None, "it opens");
    for name in ["vault.damaged", "vault.damaged.2", "vault.damaged.3"] {
        let mut bad = place.octets();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(place.file("vault"), &bad).unwrap();
        assert!(vault.entry("a@b").is_err());
        assert_eq!(vault.set_aside().unwrap().unwrap(), place.file(name));
        assert_eq!(fs::read(place.file(name)).unwrap(), bad);
        assert!(vault.entry("a@b").unwrap().is_none());
        put(&vault, "a@b", "new").unwrap();
        assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "new");
    }
}

#[test]
fn a_newer_format_is_refused_by_its_number_and_left() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    let text = b"footbridge-vault 2\nwhatever the future brings";
    fs::write(place.file("vault"), text).unwrap();
    let vault = place.simple();
    for error in [
        vault.entry("a@b").unwrap_err(),
        put(&vault, "a@b", "x").unwrap_err(),
        vault.set_aside().unwrap_err(),
    ] {
        assert!(matches!(error, VaultError::Newer { version: 2, .. }), "{error}");
        assert!(told(error).contains("newer footbridge"));
    }
    assert_eq!(place.octets(), text);
    for odd in
        ["footbridge-vault 01\n", "footbridge-vault 0\n", "footbridge-vault +1\n", "footbridge-vault \n"]
    {
        fs::write(place.file("vault"), odd).unwrap();
        assert!(matches!(place.simple().entry("a@b"), Err(VaultError::Damaged { .. })), "{odd}");
    }
}

#[test]
fn a_key_file_that_is_gone_is_not_made_anew_for_a_vault_that_needs_it() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    fs::rename(place.file("vault.key"), place.file("elsewhere")).unwrap();
    let error = put(&place.simple(), "a@b", "x").unwrap_err();
    assert!(matches!(error, VaultError::NoKey { .. }), "{error}");
    let told = told(error);
    assert!(told.contains("vault.key") && told.contains("sign in again"), "{told}");
    assert!(!place.file("vault.key").exists());
    fs::rename(place.file("elsewhere"), place.file("vault.key")).unwrap();
    assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "secret");
}

/// The bridge stores a new token while the command line stores a password.
#[test]
fn whoever_changes_at_the_same_time_loses_nothing() {
    let place = Place::new();
    let (threads, rounds) = (4, 5);
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (place, start) = (&place, &start);
            scope.spawn(move || {
                let vault = place.simple();
                start.wait();
                for round in 0..rounds {
                    put(&vault, &format!("{thread}.{round}@example.org"), "x").unwrap();
                    vault
                        .change("all@example.org", |entry| {
                            let count = entry.grant.as_ref().map(|grant| grant.expose().len()).unwrap_or(0);
                            entry.grant = Some(Secret::new(vec![b'x'; count + 1]));
                        })
                        .unwrap();
                }
            });
        }
    });
    let vault = place.simple();
    assert_eq!(vault.addresses().unwrap().len(), threads * rounds + 1);
    let all = vault.entry("all@example.org").unwrap().unwrap().grant.unwrap();
    assert_eq!(all.expose().len(), threads * rounds);
}

#[test]
fn what_another_process_stored_is_seen_at_once() {
    let place = Place::new();
    let (bridge, command) = (place.simple(), place.simple());
    assert!(bridge.entry("a@b").unwrap().is_none());
    for text in ["one", "two", "one", "two"] {
        put(&command, "a@b", text).unwrap();
        assert_eq!(password(&bridge, "a@b").unwrap().unwrap(), text);
        assert!(bridge.unchanged().is_some(), "not read again until it changes");
    }
    fs::remove_file(place.file("vault")).unwrap();
    assert!(bridge.entry("a@b").unwrap().is_none(), "the user removed it");
}

#[test]
fn more_than_can_be_read_back_is_not_written() {
    let place = Place::new();
    let vault = place.simple();
    put(&vault, "a@b", "secret").unwrap();
    let error = vault.change("c@d", |entry| entry.grant = Some(Secret::new(vec![b'x'; LARGEST])));
    assert!(matches!(error, Err(VaultError::Full { .. })));
    assert_eq!(vault.addresses().unwrap(), ["a@b"]);
    // As much as a thousand accounts have.
    vault.change("c@d", |entry| entry.grant = Some(Secret::new(vec![b'x'; 6 * 1024 * 1000]))).unwrap();
    assert_eq!(place.simple().addresses().unwrap(), ["a@b", "c@d"]);
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_leaves_the_old_vault_on_the_disk_and_in_memory() {
    let place = Place::new();
    let vault = place.simple();
    put(&vault, "a@b", "old").unwrap();
    let before = place.octets();
    chmod(&place.outer.path().join("state"), 0o500);
    assert!(told_folder(put(&vault, "a@b", "new").unwrap_err()).contains("read-only"));
    chmod(&place.outer.path().join("state"), 0o700);
    assert_eq!(place.octets(), before);
    assert_eq!(password(&vault, "a@b").unwrap().unwrap(), "old");
}

#[cfg(unix)]
fn told_folder(error: VaultError) -> String {
    assert!(matches!(error, VaultError::Folder(_)), "{error}");
    error.to_string()
}

#[cfg(unix)]
#[test]
fn links_pipes_and_files_open_to_others_are_refused_and_left() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    for name in ["vault", "vault.key"] {
        let (path, kept) = (place.file(name), place.file("kept"));
        chmod(&path, 0o640);
        assert!(told_folder(place.simple().entry("a@b").unwrap_err()).contains("chmod 600"));
        chmod(&path, 0o600);
        fs::rename(&path, &kept).unwrap();
        symlink(&kept, &path).unwrap();
        for error in [place.simple().entry("a@b").unwrap_err(), put(&place.simple(), "a@b", "x").unwrap_err()]
        {
            assert!(told_folder(error).contains("not a file"));
        }
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(told_folder(place.simple().entry("a@b").unwrap_err()).contains("not a file"));
        fs::remove_file(&path).unwrap();
        fs::rename(&kept, &path).unwrap();
    }
    assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "secret");
}

#[test]
fn a_passphrase_opens_it_and_another_one_does_not_and_harms_nothing() {
    let place = Place::new();
    let file = place.private("passphrase", "correct horse\r\nsecond line\n");
    let choice = KeyChoice::PassphraseFile(file.clone());
    put(&place.vault(choice.clone()), "a@b", "secret").unwrap();
    assert!(!place.file("vault.key").exists());
    let before = place.octets();

    fs::write(&file, "correct horsf\n").unwrap();
    let vault = place.vault(choice.clone());
    let error = vault.entry("a@b").unwrap_err();
    assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
    assert!(told(error).contains("passphrase in"));
    assert!(put(&vault, "a@b", "x").is_err());
    fs::remove_file(&file).unwrap();
    assert!(matches!(vault.entry("a@b"), Err(VaultError::NoKey { .. })));
    let other = place.simple();
    for error in [other.entry("a@b").unwrap_err(), other.set_aside().unwrap_err()] {
        assert!(matches!(error, VaultError::OtherKey { .. }), "{error}");
        assert!(told(error).contains("passphrase_file"));
    }
    assert_eq!(place.octets(), before);

    place.private("passphrase", "correct horse");
    assert_eq!(password(&vault, "a@b").unwrap().unwrap(), "secret", "the same vault object");
    assert!(vault.describe().unwrap().contains("passphrase"));
}

#[test]
fn a_passphrase_file_that_others_may_read_is_refused() {
    let place = Place::new();
    let vault = |path: &Path| place.vault(KeyChoice::PassphraseFile(path.to_owned()));
    let refused = |path: &Path| told(put(&vault(path), "a@b", "x").unwrap_err());
    assert!(refused(Path::new("/nonexistent/passphrase")).contains("no passphrase file"));
    assert!(refused(&place.private("empty", "\nsecond\n")).contains("empty"));
    assert!(refused(&place.private("long", &"x".repeat(5000))).contains("octets"));
    #[cfg(unix)]
    {
        let file = place.private("passphrase", "correct horse");
        chmod(&file, 0o640);
        assert!(refused(&file).contains("chmod 600"));
        let link = place.outer.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(refused(&link).contains("not a file"));
    }
    assert!(!place.file("vault").exists());
}

/// The header is read before anything can vouch for it.
#[test]
fn a_header_cannot_make_us_take_memory_without_bound() {
    let place = Place::new();
    let choice = KeyChoice::PassphraseFile(place.private("passphrase", "correct horse"));
    put(&place.vault(choice.clone()), "a@b", "secret").unwrap();
    let octets = place.octets();
    let at = octets.windows(5).position(|window| window == b"65536").unwrap();
    let huge = [&octets[..at], b"4294967295", &octets[at + 5..]].concat();
    fs::write(place.file("vault"), huge).unwrap();
    assert!(matches!(place.vault(choice).entry("a@b"), Err(VaultError::Damaged { .. })));
}

#[test]
fn a_credential_comes_first_and_is_named_when_it_is_missing() {
    let place = Place::new();
    let digits = "0123456789abcdef".repeat(4);
    let file = place.private("credential", &digits);
    let fake = Arc::new(Fake::default());
    let vault = |choice| place.with(choice, Some(file.clone()), keychain(&fake));
    put(&vault(KeyChoice::Auto), "a@b", "secret").unwrap();
    assert!(fake.kept.lock().unwrap().is_empty() && !place.file("vault.key").exists());
    assert!(vault(KeyChoice::Auto).describe().unwrap().contains("systemd credential"));
    assert_eq!(password(&vault(KeyChoice::Credential), "a@b").unwrap().unwrap(), "secret");

    fs::remove_file(&file).unwrap();
    let error = vault(KeyChoice::Auto).entry("a@b").unwrap_err();
    assert!(matches!(error, VaultError::NoKey { .. }), "{error}");
    assert!(told(error).contains("footbridge-vault-key"));
    place.private("credential", &digits.replace('0', "1"));
    assert!(matches!(vault(KeyChoice::Auto).entry("a@b"), Err(VaultError::WrongKey { .. })));
    place.private("credential", &digits);
    assert_eq!(password(&vault(KeyChoice::Auto), "a@b").unwrap().unwrap(), "secret");

    let empty = Place::new();
    let short = empty.with(KeyChoice::Auto, Some(empty.private("credential", "short")), keychain(&fake));
    assert!(told(put(&short, "a@b", "x").unwrap_err()).contains("too short"));
    let none = empty.with(KeyChoice::Credential, None, keychain(&fake));
    assert!(told(put(&none, "a@b", "x").unwrap_err()).contains("no systemd credential"));
    assert!(!empty.file("vault").exists());
}

#[test]
fn the_keychain_holds_the_key_where_it_can_be_read() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    let vault = |choice| place.with(choice, None, keychain(&fake));
    put(&vault(KeyChoice::Auto), "a@b", "secret").unwrap();
    assert!(!place.file("vault.key").exists());
    let kept = fake.kept.lock().unwrap().clone();
    assert!(kept.len() == 1 && kept.values().all(|key| key.len() == 32), "one key of 32 octets, no more");
    assert_eq!(password(&vault(KeyChoice::Keychain), "a@b").unwrap().unwrap(), "secret");
    assert!(vault(KeyChoice::Auto).describe().unwrap().contains("keychain"));

    let open = vault(KeyChoice::Auto);
    fake.locked.set(Lock::Locked);
    let before = place.octets();
    for error in
        [open.entry("a@b").unwrap_err(), put(&open, "a@b", "x").unwrap_err(), open.set_aside().unwrap_err()]
    {
        assert!(matches!(error, VaultError::KeyUnavailable { .. }), "{error}");
        assert!(told(error).contains("locked"));
    }
    assert_eq!(place.octets(), before);
    fake.locked.set(Lock::Open);
    assert_eq!(password(&open, "a@b").unwrap().unwrap(), "secret", "unlocked, it opens by itself");
    fake.locked.set(Lock::Locked);
    put(&open, "a@b", "new").unwrap(); // Opened once, it stays open.

    fake.locked.set(Lock::Open);
    fake.kept.lock().unwrap().clear();
    assert!(matches!(vault(KeyChoice::Auto).entry("a@b"), Err(VaultError::NoKey { .. })));
    assert!(vault(KeyChoice::Auto).set_aside().unwrap().is_some());
    put(&vault(KeyChoice::Auto), "a@b", "anew").unwrap();
    assert_ne!(fake.kept.lock().unwrap().keys().next(), kept.keys().next(), "another vault, another entry");
}

#[test]
fn where_no_keychain_serves_a_key_file_does_unless_the_keychain_was_demanded() {
    let forgetful = Fake { forgets: true, ..Fake::default() };
    let locked = Fake::default();
    locked.locked.set(Lock::Locked);
    for fake in [forgetful, locked].map(Arc::new) {
        let place = Place::new();
        let vault = |choice| place.with(choice, None, keychain(&fake));
        let error = put(&vault(KeyChoice::Keychain), "a@b", "x").unwrap_err();
        assert!(told(error).contains("keychain"));
        assert!(!place.file("vault").exists() && !place.file("vault.key").exists());
        put(&vault(KeyChoice::Auto), "a@b", "secret").unwrap();
        assert!(place.file("vault.key").exists());
        fake.locked.set(Lock::Open); // A vault keeps the key it was made with.
        assert_eq!(password(&vault(KeyChoice::Auto), "a@b").unwrap().unwrap(), "secret");
        assert!(vault(KeyChoice::Auto).describe().unwrap().contains("key file"));
    }
}

#[test]
fn a_keychain_that_hangs_is_given_up_and_not_asked_twice() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    put(&place.with(KeyChoice::Keychain, None, keychain(&fake)), "a@b", "secret").unwrap();
    let limits = Limits { read: Duration::from_millis(20), write: Duration::ZERO, rest: Duration::ZERO };
    let barrier = Arc::new(Barrier::new(2));
    fake.locked.set(Lock::Hangs(barrier.clone()));
    let vault = place.with(KeyChoice::Keychain, None, Keychain::new(fake.clone(), limits));
    for _ in 0..5 {
        assert!(told(vault.entry("a@b").unwrap_err()).contains("does not answer"));
    }
    // With a second thread in there those two would go through, and this would wait for ever.
    barrier.wait();
    fake.locked.set(Lock::Open);
    while vault.entry("a@b").is_err() {
        std::thread::yield_now();
    }
    assert_eq!(password(&vault, "a@b").unwrap().unwrap(), "secret");
}

#[test]
fn a_person_who_said_no_is_not_asked_again_at_once() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    put(&place.with(KeyChoice::Keychain, None, keychain(&fake)), "a@b", "secret").unwrap();
    let hour = Duration::from_secs(3600);
    let limits = Limits { read: hour, write: hour, rest: hour };
    let vault = place.with(KeyChoice::Keychain, None, Keychain::new(fake.clone(), limits));
    fake.locked.set(Lock::Locked);
    assert!(vault.entry("a@b").is_err());
    fake.locked.set(Lock::Open);
    assert!(told(vault.entry("a@b").unwrap_err()).contains("locked"));
}

/// All of the bridge's connections share these threads.
#[tokio::test]
async fn async_code_goes_on_while_a_keychain_hangs() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    put(&place.with(KeyChoice::Keychain, None, keychain(&fake)), "a@b", "secret").unwrap();
    let barrier = Arc::new(Barrier::new(2));
    fake.locked.set(Lock::Hangs(barrier.clone()));
    let vault = Arc::new(place.with(KeyChoice::Keychain, None, keychain(&fake)));
    let (one, two) = (vault.clone(), vault.clone());
    let first = tokio::spawn(async move { one.find("a@b").await });
    let second = tokio::spawn(async move { two.find("A@B").await });
    tokio::task::yield_now().await; // On this one thread: it comes back only if neither of them holds it.
    tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
    for found in [first, second] {
        assert!(found.await.unwrap().unwrap().is_some());
    }
    assert!(vault.find("nobody@b").await.unwrap().is_none());
}

#[test]
fn an_accounts_grant_is_kept_beside_its_password() {
    let place = Place::new();
    let vault = Arc::new(place.simple());
    put(&vault, "ana@example.org", "secret").unwrap();
    let kept = KeptGrant::new(vault.clone(), "Ana@Example.org");
    assert!(kept.load().unwrap().is_none());
    let mut grant = Grant::from_seed(Secret::new("CANARY"), "our-client");
    grant.access_token = Some(Secret::new("token"));
    kept.save(&grant).unwrap();
    let again = KeptGrant::new(Arc::new(place.simple()), "ana@example.org");
    let same = again.load().unwrap().unwrap();
    assert!(same.refresh_token.unwrap().same_as(&Secret::new("CANARY")));
    assert!(same.access_token.unwrap().same_as(&Secret::new("token")));
    assert_eq!((same.client_id, same.seed), (grant.client_id, grant.seed));
    assert_eq!(password(&vault, "ana@example.org").unwrap().unwrap(), "secret");
    assert!(!format!("{kept:?}{vault:?}").contains("CANARY"));

    vault.change("ana@example.org", |entry| entry.grant = Some(Secret::new("no JSON"))).unwrap();
    assert!(matches!(kept.load(), Err(NoToken::SignIn { .. })));
}

/// A damaged vault sends the user to sign in; a passing fault does not.
#[test]
fn what_keeps_the_vault_shut_says_whether_a_sign_in_helps() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    let kept = || {
        let vault = place.with(KeyChoice::Keychain, None, keychain(&fake));
        KeptGrant::new(Arc::new(vault), "ana@example.org")
    };
    let grant = Grant::from_seed(Secret::new("refresh"), "our-client");
    kept().save(&grant).unwrap();
    fake.locked.set(Lock::Locked);
    assert!(matches!(kept().load(), Err(NoToken::Later { reason }) if reason.contains("locked")));
    assert!(kept().save(&grant).unwrap_err().contains("locked"));
    fake.locked.set(Lock::Open);
    let octets = place.octets();
    fs::write(place.file("vault"), &octets[..octets.len() - 1]).unwrap();
    assert!(matches!(kept().load(), Err(NoToken::SignIn { reason }) if reason.contains("sign in again")));
    assert!(kept().save(&grant).unwrap_err().contains("damaged"));
}

#[test]
fn check_is_told_which_key_there_is_and_what_it_protects_against() {
    let place = Place::new();
    assert!(place.simple().describe().unwrap().contains("no vault"));
    put(&place.simple(), "a@b", "secret").unwrap();
    let told = place.simple().describe().unwrap();
    assert!(told.contains("vault.key") && told.contains("backup"), "{told}");
}
