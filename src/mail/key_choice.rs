//! What seals the stored secrets.

use std::path::PathBuf;

/// `[vault] key`: which key seals the vault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyChoice {
    /// The one that this vault was sealed with. For a new vault: a systemd credential where there is one, else the
    /// keychain where it can be read, else a key file.
    #[default]
    Auto,
    /// The system's keychain.
    Keychain,
    /// Made from the first line of this file, which its owner alone may read.
    PassphraseFile(PathBuf),
    /// The systemd credential `footbridge-vault-key`.
    Credential,
    /// A key file beside the vault.
    File,
}
