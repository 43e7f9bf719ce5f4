//! Where the vault's key is, how it is got, and what that protects against.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::VaultError;
use super::keychain::Keychain;
use super::sealed::{Cost, Header, Id, Key, Kind, hex};
use crate::mail::KeyChoice;
use crate::mail::Secret;
use crate::store::Folder;
use crate::store::folder::Held;

/// The key file in the state folder.
const KEY_FILE: &str = "vault.key";

/// The systemd credential's name (`LoadCredentialEncrypted=footbridge-vault-key`).
const CREDENTIAL: &str = "footbridge-vault-key";

/// A key has 256 bits, and hex digits have more octets than that.
const SHORTEST: usize = 32;

/// A credential or a passphrase; nobody types more.
const LONGEST: usize = 4096;

/// RFC 9106 §4, the second recommended choice, in one lane: 64 MiB, three passes, some 0.1 s.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// What a header may demand; more was not written by us and would only cost memory and time.
const MOST: Cost3 = Cost3 { memory_kib: 256 * 1024, passes: 16, lanes: 16 };

struct Cost3 {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Gets keys, and makes new ones.
#[derive(Debug)]
pub(super) struct Keys {
    choice: KeyChoice,
    credential: Option<PathBuf>,
    keychain: Keychain,
    /// The last passphrase and what came of it: Argon2id is slow on purpose, and a damaged vault is looked at again
    /// at each login.
    stretched: Mutex<Option<(Secret, Cost, Secret)>>,
}

/// The key of a vault that is to be made.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) kind: Kind,
    pub(super) id: Id,
    /// `None` where it comes from the key file, which is made under the folder's lock.
    pub(super) material: Option<Secret>,
}

impl Keys {
    pub(super) fn of_this_machine(choice: KeyChoice) -> Self {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let folder = folder.filter(|folder| folder.is_absolute());
        Self::new(choice, folder.map(|folder| folder.join(CREDENTIAL)), Keychain::system())
    }

    pub(super) fn new(choice: KeyChoice, credential: Option<PathBuf>, keychain: Keychain) -> Self {
        Self { choice, credential, keychain, stretched: Mutex::default() }
    }

    pub(super) fn unavailable(&self, folder: &Folder, reason: String) -> VaultError {
        VaultError::KeyUnavailable { path: folder.file(super::FILE), reason }
    }

    /// The key that a vault with this header was sealed with.
    pub(super) fn existing(&self, folder: &Folder, header: &Header) -> Result<Key, VaultError> {
        let path = folder.file(super::FILE);
        let not_now = |reason| self.unavailable(folder, reason);
        let material = match (header.kind(), &self.choice) {
            (Kind::Keychain {}, KeyChoice::Auto | KeyChoice::Keychain) => {
                self.keychain.get(header.id().as_str()).map_err(not_now)?
            }
            (Kind::Credential {}, KeyChoice::Auto | KeyChoice::Credential) => {
                self.credential_material().map_err(not_now)?
            }
            (Kind::File {}, KeyChoice::Auto | KeyChoice::File) => {
                folder.read(KEY_FILE)?.map(Zeroizing::new).map(|octets| Secret::new(trimmed(&octets)))
            }
            (Kind::Passphrase(cost), KeyChoice::PassphraseFile(file)) => {
                if !is_bearable(cost) {
                    return Err(VaultError::Damaged { path });
                }
                let passphrase = passphrase(file).map_err(not_now)?;
                passphrase.map(|passphrase| self.stretch(passphrase, cost)).transpose().map_err(not_now)?
            }
            (kind, _) => {
                let (made, cure) = other(kind);
                return Err(VaultError::OtherKey { path, made, cure });
            }
        };
        let key = self.name(folder, header.kind());
        let Some(material) = material else { return Err(VaultError::NoKey { path, key }) };
        let derived = Key::derive(material.expose(), header.id());
        if header.is_sealed_with(&derived) { Ok(derived) } else { Err(VaultError::WrongKey { path, key }) }
    }

    /// A key for a new vault.
    pub(super) fn fresh(&self, folder: &Folder) -> Result<Fresh, VaultError> {
        let not_now = |reason| self.unavailable(folder, reason);
        let no_random = || VaultError::NoRandom { path: folder.file(super::FILE) };
        let id = Id::random().ok_or_else(no_random)?;
        let of = |kind, material| Ok(Fresh { kind, id: id.clone(), material });
        match &self.choice {
            KeyChoice::File => of(Kind::File {}, None),
            KeyChoice::Keychain => {
                let material = self.new_in_keychain(&id).map_err(not_now)?;
                of(Kind::Keychain {}, Some(material))
            }
            KeyChoice::Credential => match self.credential_material().map_err(not_now)? {
                Some(material) => of(Kind::Credential {}, Some(material)),
                None => Err(not_now(format!(
                    "there is no systemd credential {CREDENTIAL}; add it to the service, or name another key in [vault]"
                ))),
            },
            KeyChoice::PassphraseFile(file) => {
                let Some(passphrase) = passphrase(file).map_err(not_now)? else {
                    let cure = "write a passphrase into it, readable by you alone";
                    return Err(not_now(format!("there is no passphrase file {}; {cure}", file.display())));
                };
                let salt = Id::random().ok_or_else(no_random)?;
                let cost = Cost { salt, memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
                let material = self.stretch(passphrase, &cost).map_err(not_now)?;
                of(Kind::Passphrase(cost), Some(material))
            }
            KeyChoice::Auto => {
                if let Some(material) = self.credential_material().map_err(not_now)? {
                    return of(Kind::Credential {}, Some(material));
                }
                match self.new_in_keychain(&id) {
                    Ok(material) => of(Kind::Keychain {}, Some(material)),
                    Err(reason) => {
                        tracing::info!(
                            "the vault's key is kept in the file {}, since there is no keychain to keep it in: {reason}",
                            folder.file(KEY_FILE).display()
                        );
                        of(Kind::File {}, None)
                    }
                }
            }
        }
    }

    /// The key file's, which is made where there is none: one that a vault set aside left serves again.
    pub(super) fn file_material(&self, folder: &Folder, held: &Held) -> Result<Secret, VaultError> {
        if let Some(octets) = folder.read(KEY_FILE)?.map(Zeroizing::new) {
            let key = trimmed(&octets);
            if key.len() < SHORTEST {
                let place = folder.file(KEY_FILE);
                let reason = format!("{} is too short to be a key; move it away", place.display());
                return Err(self.unavailable(folder, reason));
            }
            return Ok(Secret::new(key));
        }
        let key = random().ok_or_else(|| VaultError::NoRandom { path: folder.file(super::FILE) })?;
        let digits = Zeroizing::new(hex(&key[..]));
        held.write(KEY_FILE, format!("{}\n", *digits).as_bytes())?;
        Ok(Secret::new(digits.as_bytes()))
    }

    /// Read first, then written, then read again: what a keychain takes and forgets is no place for a key.
    fn new_in_keychain(&self, id: &Id) -> Result<Secret, String> {
        self.keychain.get(id.as_str())?;
        let key = random().ok_or("this system gives no random numbers")?;
        let key = Secret::new(&key[..]);
        self.keychain.set(id.as_str(), &key)?;
        match self.keychain.get(id.as_str())? {
            Some(kept) if kept.same_as(&key) => Ok(key),
            _ => Err("the keychain does not keep what is put into it".to_owned()),
        }
    }

    fn credential_material(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.credential else { return Ok(None) };
        let Some(octets) = read(path, others_may_have)? else { return Ok(None) };
        let key = trimmed(&octets);
        if key.len() < SHORTEST {
            return Err(format!(
                "the systemd credential {CREDENTIAL} is too short for a key; make one with: openssl rand -hex 32"
            ));
        }
        Ok(Some(Secret::new(key)))
    }

    fn stretch(&self, passphrase: Secret, cost: &Cost) -> Result<Secret, String> {
        let mut last = self.stretched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, known, material)) = &*last
            && known == cost
            && same.same_as(&passphrase)
        {
            return Ok(material.clone());
        }
        let mut material = Zeroizing::new([0; 32]);
        let stretched = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(material.len()))
            .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
            .and_then(|argon2| {
                argon2.hash_password_into(
                    passphrase.expose(),
                    cost.salt.as_str().as_bytes(),
                    &mut material[..],
                )
            });
        stretched.map_err(|error| format!("no key can be made from the passphrase: {error}"))?;
        let material = Secret::new(&material[..]);
        *last = Some((passphrase, cost.clone(), material.clone()));
        Ok(material)
    }

    /// "the passphrase in FILE", for a sentence.
    fn name(&self, folder: &Folder, kind: &Kind) -> String {
        match (kind, &self.choice) {
            (Kind::Keychain {}, _) => "the key in this system's keychain".to_owned(),
            (Kind::Credential {}, _) => format!("the systemd credential {CREDENTIAL}"),
            (Kind::File {}, _) => format!("the key file {}", folder.file(KEY_FILE).display()),
            (Kind::Passphrase(_), KeyChoice::PassphraseFile(file)) => {
                format!("the passphrase in {}", file.display())
            }
            (Kind::Passphrase(_), _) => "a passphrase".to_owned(),
        }
    }

    pub(super) fn describe(&self, folder: &Folder, kind: &Kind) -> String {
        let against = match kind {
            Kind::Keychain {} => {
                "a copy of the state folder, a backup or a stolen disk does not open it; programs that run as you while the keychain is unlocked can"
            }
            Kind::Passphrase(_) => {
                "a copy of the state folder without that file does not open it; programs that run as you, and whoever gets both files, can"
            }
            Kind::Credential {} => {
                "a copy of the state folder does not open it; this machine's administrator can, and whoever can read the credential where the service gets it"
            }
            Kind::File {} => {
                "other users of this machine cannot open it; programs that run as you, and whoever gets a copy of the state folder, a backup or this disk unencrypted, can"
            }
        };
        format!("the vault is sealed with {}: {against}", self.name(folder, kind))
    }
}

/// What a vault was sealed with, where the configuration names something else.
fn other(kind: &Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Keychain {} => ("a key in the keychain", "write key = \"keychain\" or \"auto\" in [vault]"),
        Kind::Credential {} => ("a systemd credential", "write key = \"credential\" or \"auto\" in [vault]"),
        Kind::File {} => ("the key file beside it", "write key = \"file\" or \"auto\" in [vault]"),
        Kind::Passphrase(_) => {
            ("a passphrase", "name the file it is in: key = { passphrase_file = \"FILE\" } in [vault]")
        }
    }
}

fn is_bearable(cost: &Cost) -> bool {
    cost.memory_kib <= MOST.memory_kib && cost.passes <= MOST.passes && cost.lanes <= MOST.lanes
}

fn random() -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut key[..]).ok()?;
    Some(key)
}

/// An editor, or `echo`, ends the line.
fn trimmed(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

/// The first line.
fn passphrase(path: &Path) -> Result<Option<Secret>, String> {
    let Some(octets) = read(path, others_may_read)? else { return Ok(None) };
    let line = octets.split_inclusive(|octet| *octet == b'\n').next().map(trimmed).unwrap_or_default();
    if line.is_empty() {
        return Err(format!("the first line of {} is empty; write a passphrase there", path.display()));
    }
    Ok(Some(Secret::new(line)))
}

/// A file that nobody else can read or exchange; `None` where there is none. Neither a link is followed nor a pipe
/// waited for.
fn read(
    path: &Path,
    too_open: impl Fn(&Metadata) -> Option<&'static str>,
) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let shown = path.display();
    let unreadable = |error| format!("{shown} cannot be read: {error}");
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !metadata.is_file() {
        return Err(format!("{shown} is not a file, a symbolic link maybe; name the file itself"));
    }
    if let Some(what) = too_open(&metadata) {
        return Err(format!("{what} {shown}; make it yours, and run: chmod 600 {shown}"));
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let read = File::open(path).and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut octets));
    read.map_err(unreadable)?;
    if octets.len() > LONGEST {
        return Err(format!("{shown} has more than {LONGEST} octets; a key has fewer"));
    }
    Ok(Some(octets))
}

#[cfg(unix)]
fn others_may_read(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    match metadata.mode() & 0o077 {
        _ if !ours => Some("another user owns"),
        0 => None,
        _ => Some("others may read or write"),
    }
}

/// The group's bits of a credential are no group: systemd lets the service's user read it by an access control list,
/// whose mask stands there (systemd.exec(5), `LoadCredential=`).
#[cfg(unix)]
fn others_may_have(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    match metadata.mode() & 0o027 {
        _ if !ours => Some("another user owns"),
        0 => None,
        _ => Some("others may read or write"),
    }
}

#[cfg(not(unix))]
fn others_may_read(_: &Metadata) -> Option<&'static str> {
    None
}

#[cfg(not(unix))]
fn others_may_have(_: &Metadata) -> Option<&'static str> {
    None
}
