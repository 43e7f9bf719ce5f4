//! TLS towards the apps: the certificate that we show them.
//!
//! ```text
//!  state folder: local-tls.pem ──┐ made at the first use           an app ── ClientHello ──▶ accept
//!                                ├──▶ the certificate of today ──▶ rustls ◀──────────────────┘
//!  tls.certificate, tls.key ─────┘ read again when they change
//! ```
//!
//! TLS 1.2 and 1.3, ring; the app shows no certificate. What is not read is never overwritten.

mod facts;
mod made;
mod own;
mod refused;
mod stream;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::store::{Folder, FolderError, Held};
use made::Made;
use own::Stamp;

pub use facts::{Facts, Moment};
pub use own::Files;
pub use refused::advice;
pub use stream::AppStream;

/// The file in the state folder: the authority, then each certificate with its key.
const NAME: &str = "local-tls.pem";

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Made by us, kept in this state folder.
    Made(PathBuf),
    /// The user's own.
    Own(Files),
}

/// Why there is no certificate: one sentence with its cure.
#[derive(Debug, thiserror::Error)]
pub enum LocalTlsError {
    /// The state folder is not used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file cannot be used.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the cure.
        what: String,
    },
    /// The system gave no randomness.
    #[error("a certificate for this computer cannot be made: {0}")]
    NotMade(#[from] rcgen::Error),
}

/// What is shown to the apps; cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalTls {
    current: Arc<Mutex<Current>>,
}

/// What `certificate show` tells.
#[derive(Clone, Debug)]
pub struct Description {
    /// The files it is read from.
    pub files: Vec<PathBuf>,
    /// The authority that apps are to trust, where it is our own: its facts and its PEM.
    pub authority: Option<(Facts, String)>,
    /// The certificate shown today.
    pub certificate: Option<Facts>,
    /// Why mail programs will refuse it today, and what to do; `None` where they will not.
    pub complaint: Option<String>,
}

struct Current {
    config: Arc<ServerConfig>,
    kept: Kept,
    /// The complaint that the log has, so that it is told once and not with every connection.
    told: Option<String>,
}

enum Kept {
    Made { folder: Folder, made: Made, leaf: usize },
    Own { files: Files, stamp: Stamp, facts: Facts },
}

impl LocalTls {
    /// Reads the certificate; one of our own is made where there is none yet.
    ///
    /// # Errors
    /// The state folder or a file cannot be used; nothing was overwritten.
    pub fn open(source: &Source) -> Result<Self, LocalTlsError> {
        let current = match source {
            Source::Made(state) => Current::made(Folder::open(state)?, SystemTime::now())?,
            Source::Own(files) => Current::own(files.clone())?,
        };
        Ok(Self { current: Arc::new(Mutex::new(current)) })
    }

    /// What there is, without making anything; `None` where the bridge would make one at its start.
    ///
    /// # Errors
    /// The state folder or a file cannot be used.
    pub fn look(source: &Source) -> Result<Option<Description>, LocalTlsError> {
        let now = SystemTime::now();
        let state = match source {
            Source::Own(files) => return Ok(Some(Current::own(files.clone())?.kept.describe(now))),
            Source::Made(state) if is_missing(state) => return Ok(None),
            Source::Made(state) => state,
        };
        let folder = Folder::open(state)?;
        let Some(made) = read(&folder)? else { return Ok(None) };
        let leaf = made.leaf_at(&Moment::of(now));
        Ok(leaf.map(|leaf| Kept::Made { folder, made, leaf }.describe(now)))
    }

    /// Tells the log what speaks against the certificate, as every handshake does; for the start, before any app comes.
    pub fn tell(&self) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).tell(SystemTime::now());
    }

    /// The handshake with an app.
    ///
    /// # Errors
    /// It failed, or took longer than `patience`.
    pub async fn accept<S>(&self, app: S, patience: Duration) -> io::Result<AppStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = timeout(patience, self.shake_hands(app)).await;
        shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(AppStream)
    }

    async fn shake_hands<S>(&self, app: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = self.clone();
        // Files may have changed, and a disk may be slow.
        let today = tokio::task::spawn_blocking(move || tls.today(SystemTime::now()));
        let config = today.await.map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(app).await
    }

    /// What to tell a person.
    pub fn description(&self) -> Description {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.kept.describe(SystemTime::now())
    }

    fn today(&self, now: SystemTime) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = current.renew(now) {
            warn!("{error}; the certificate of before is still shown to mail programs");
        }
        current.tell(now);
        current.config.clone()
    }
}

impl Current {
    fn made(folder: Folder, now: SystemTime) -> Result<Self, LocalTlsError> {
        let moment = Moment::of(now);
        let read = read(&folder)?;
        let made = match read {
            Some(made) if made.leaf_at(&moment).is_some() => made,
            read => {
                let held = folder.hold()?;
                make(&folder, &held, read.is_some(), now)?
            }
        };
        let leaf = made.leaf_at(&moment).unwrap_or_default();
        Ok(Self { config: made.config(leaf)?, kept: Kept::Made { folder, made, leaf }, told: None })
    }

    fn own(files: Files) -> Result<Self, LocalTlsError> {
        let stamp = files.stamp();
        let own::Loaded { config, facts } = files.load()?;
        Ok(Self { config, kept: Kept::Own { files, stamp, facts }, told: None })
    }

    /// Takes what is due now; where that fails, what was there is still shown. A fault of the same files is told once.
    fn renew(&mut self, now: SystemTime) -> Result<(), LocalTlsError> {
        match &mut self.kept {
            Kept::Made { folder, made, leaf } => match made.leaf_at(&Moment::of(now)) {
                Some(due) if due == *leaf => {}
                Some(due) => {
                    self.config = made.config(due)?;
                    *leaf = due;
                    info!("the next certificate of this computer is shown to mail programs");
                }
                None => *self = Self::made(folder.clone(), now)?,
            },
            Kept::Own { files, stamp, facts } => {
                let found = files.stamp();
                if found != *stamp {
                    *stamp = found;
                    let loaded = files.load()?;
                    (self.config, *facts) = (loaded.config, loaded.facts);
                    info!("a new certificate is shown to mail programs");
                    self.told = None;
                }
            }
        }
        Ok(())
    }

    /// Once for each complaint: when the bridge starts, when a certificate is read again, when the clock is set.
    fn tell(&mut self, now: SystemTime) {
        let complaint = self.kept.complaint(&Moment::of(now));
        if complaint != self.told {
            if let Some(complaint) = &complaint {
                warn!("{complaint}");
            }
            self.told = complaint;
        }
    }
}

impl Kept {
    /// The certificate shown today.
    fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Made { made, leaf, .. } => {
                made.leaves.get(*leaf).or(made.leaves.first()).map(|leaf| &leaf.facts)
            }
            Self::Own { facts, .. } => Some(facts),
        }
    }

    /// A sentence where mail programs will refuse it because of its days (RFC 5280 §4.1.2.5). One of our own that is
    /// over is not shown.
    fn complaint(&self, now: &Moment) -> Option<String> {
        let Facts { not_before, not_after, .. } = self.facts()?;
        let early = format!(
            "this certificate is valid from {not_before} only, which is later than this computer's clock, and mail programs \
             will refuse it; set the clock, or"
        );
        match self {
            Self::Made { folder, .. } if now < not_before => Some(format!(
                "{}: {early} move the file away and start again: a new authority is made, which mail programs have to be \
                 made to trust",
                folder.file(NAME).display()
            )),
            Self::Own { files, .. } if now < not_before => {
                Some(format!("{}: {early} put another certificate here", files.certificate.display()))
            }
            Self::Own { files, .. } if not_after < now => Some(format!(
                "{}: this certificate ended on {not_after}, and mail programs will refuse it; put a new one here",
                files.certificate.display()
            )),
            _ => None,
        }
    }

    fn describe(&self, now: SystemTime) -> Description {
        let complaint = self.complaint(&Moment::of(now));
        let certificate = self.facts().cloned();
        match self {
            Self::Made { folder, made, .. } => {
                let authority = Facts::of(&made.authority).map(|facts| (facts, pem(&made.authority)));
                Description { files: vec![folder.file(NAME)], authority, certificate, complaint }
            }
            Self::Own { files, .. } => {
                let files = vec![files.certificate.clone(), files.key.clone()];
                Description { files, authority: None, certificate, complaint }
            }
        }
    }
}

impl Made {
    fn config(&self, leaf: usize) -> Result<Arc<ServerConfig>, LocalTlsError> {
        let leaf = self.leaves.get(leaf).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        let chain = vec![leaf.certificate.clone(), self.authority.clone()];
        let config = server_config(chain, leaf.key.clone_key());
        Ok(Arc::new(config.map_err(|_| rcgen::Error::CouldNotParseKeyPair)?))
    }
}

fn read(folder: &Folder) -> Result<Option<Made>, LocalTlsError> {
    let Some(octets) = folder.read(NAME)? else { return Ok(None) };
    let octets = zeroize::Zeroizing::new(octets);
    let what = "this file is not what footbridge wrote; move it away and a new authority is made, which mail programs \
                have to be made to trust again";
    let damaged = || LocalTlsError::File { path: folder.file(NAME), what: what.into() };
    Made::read(&octets).map(Some).ok_or_else(damaged)
}

/// A folder that cannot be looked at is not missing.
fn is_missing(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Under the lock: another process may have made it meanwhile.
fn make(folder: &Folder, held: &Held<'_>, renewed: bool, now: SystemTime) -> Result<Made, LocalTlsError> {
    match read(folder)? {
        Some(made) if made.leaf_at(&Moment::of(now)).is_some() => return Ok(made),
        _ => {}
    }
    let pem = made::make(now)?;
    held.write(NAME, pem.as_bytes())?;
    if renewed {
        warn!(
            "the certificates of this computer are over and new ones were made: make mail programs trust the new authority (footbridge certificate export)"
        );
    } else {
        info!("an authority and certificates for this computer were made (footbridge certificate show)");
    }
    Made::read(pem.as_bytes()).ok_or_else(|| rcgen::Error::CouldNotParseCertificate.into())
}

/// TLS 1.2 at least.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}

/// RFC 7468.
fn pem(certificate: &CertificateDer<'_>) -> String {
    let base64 = BASE64_STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, letter) in base64.char_indices() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + "\n-----END CERTIFICATE-----\n"
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

#[cfg(test)]
mod tests;
