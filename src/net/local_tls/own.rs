//! A certificate of the user's own: `tls.certificate` and `tls.key`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use zeroize::Zeroizing;

use super::LocalTlsError;
use super::facts::Facts;

/// A chain of certificates or a key has some KiB, so what is larger is another kind of file.
const LARGEST: u64 = 1024 * 1024;

/// Where it stands, PEM both; they may be one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, then those between it and its authority.
    pub certificate: PathBuf,
    /// The private key, not encrypted.
    pub key: PathBuf,
}

/// By which a change of the files is seen.
pub(super) type Stamp = [Option<(SystemTime, u64)>; 2];

/// What was read from them.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) facts: Facts,
}

impl Files {
    pub(super) fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }

    /// Reads both and tries them on each other.
    pub(super) fn load(&self) -> Result<Loaded, LocalTlsError> {
        let chain = self.chain()?;
        let first = chain.first().and_then(Facts::of);
        let facts = first.ok_or_else(|| {
            fault(&self.certificate, "its first certificate cannot be read; export it again as PEM")
        })?;
        let config = super::server_config(chain, self.private_key()?).map_err(|error| self.misfit(&error))?;
        Ok(Loaded { config: Arc::new(config), facts })
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, LocalTlsError> {
        let pem = read(&self.certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match chain {
            Ok(chain) if chain.is_empty() => Err(fault(
                &self.certificate,
                "there is no certificate in this file; it has to be PEM, beginning with -----BEGIN CERTIFICATE-----",
            )),
            Ok(chain) => Ok(chain),
            Err(error) => Err(fault(
                &self.certificate,
                format!("a certificate in this file is damaged: {error}; export it again as PEM"),
            )),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, LocalTlsError> {
        let pem = read(&self.key)?;
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let encrypted = memchr::memmem::find(&pem, b"ENCRYPTED").is_some();
            fault(&self.key, if encrypted {
                "the key in this file is encrypted; take the password off with: openssl pkey -in FILE -out FILE.plain"
            } else {
                "there is no private key in this file; it has to be PEM, beginning with -----BEGIN PRIVATE KEY-----"
            })
        })
    }

    fn misfit(&self, error: &Error) -> LocalTlsError {
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => fault(
                &self.key,
                format!(
                    "this key does not belong to the certificate in {}; name the key it was made with",
                    self.certificate.display()
                ),
            ),
            error => fault(
                &self.key,
                format!("key and certificate cannot be used: {error}; RSA, P-256, P-384 and Ed25519 work"),
            ),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, LocalTlsError> {
    let read = || {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            // A pipe would be waited for without end, a device read without end.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        if metadata.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for that"));
        }
        fs::read(path).map(Zeroizing::new)
    };
    read().map_err(|error| fault(path, format!("this file cannot be read: {error}")))
}

fn fault(path: &Path, what: impl Into<String>) -> LocalTlsError {
    LocalTlsError::File { path: path.to_owned(), what: what.into() }
}
