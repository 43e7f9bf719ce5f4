//! `[vault]`: what seals the stored secrets.

use std::path::Path;

use super::faults::{Faults, did_you_mean};
use super::file::{self, VaultKey};
use super::permissions::others_may_read;
use crate::mail::KeyChoice;

const WORDS: [(&str, KeyChoice); 4] = [
    ("auto", KeyChoice::Auto),
    ("keychain", KeyChoice::Keychain),
    ("credential", KeyChoice::Credential),
    ("file", KeyChoice::File),
];

/// The default after a fault was told. No word is shown: it may be a passphrase that does not belong here.
pub(super) fn check(vault: &file::Vault, folder: &Path, faults: &mut Faults<'_>) -> KeyChoice {
    let Some(key) = &vault.key else { return KeyChoice::default() };
    let outcome = match key.get_ref() {
        VaultKey::Word(word) => by_word(word),
        VaultKey::Passphrase(place) => by_file(place, folder),
    };
    outcome.unwrap_or_else(|fault| {
        faults.at(key.span(), format!("[vault] key: {fault}"));
        KeyChoice::default()
    })
}

fn by_word(word: &str) -> Result<KeyChoice, String> {
    if let Some((_, choice)) = WORDS.iter().find(|(known, _)| *known == word) {
        return Ok(choice.clone());
    }
    Err(match did_you_mean(word, WORDS.iter().map(|(known, _)| *known)) {
        Some(meant) => format!("this word is not known; did you mean \"{meant}\"?"),
        None => "this word is not known, and a passphrase does not belong into this file; write \"auto\", \"keychain\", \"credential\", \"file\" or { passphrase_file = \"PATH\" }".to_owned(),
    })
}

/// The file is read when the vault is opened; that it is there, and nobody else's to read, is said at start.
fn by_file(place: &file::Passphrase, folder: &Path) -> Result<KeyChoice, String> {
    let Some(file) = place.passphrase_file.as_ref().filter(|file| !file.is_empty()) else {
        return Err("no file is named; write { passphrase_file = \"PATH\" }".to_owned());
    };
    let file = folder.join(file);
    let shown = file.display();
    match std::fs::metadata(&file) {
        Err(error) => Err(format!("the file {shown} cannot be read: {error}; write the passphrase into it")),
        Ok(metadata) if !metadata.is_file() => Err(format!("{shown} is not a file")),
        Ok(metadata) if others_may_read(&metadata) => {
            Err(format!("others may read the file {shown}; run: chmod 600 {shown}"))
        }
        Ok(_) => Ok(KeyChoice::PassphraseFile(file)),
    }
}
