//! Whom we trust upstream: roots and rustls configurations.
//!
//! Bundled roots cure computers whose own store is stale or empty; the system's roots keep the authorities a
//! company or a virus scanner put there. There is no "accept anyway": who runs an own authority names it.
//!
//! Every configuration names its crypto provider (ring), so that no process-wide default is needed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_native_certs::CertificateResult;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// TLS sessions remembered for resumption: a few hosts an account; a resumed handshake costs no signature and
/// no certificate check.
const REMEMBERED_SESSIONS: usize = 256;

/// A file of certificates: a whole system's store has some 250 KiB, so what is larger is another kind of file.
const CERTIFICATE_FILE_OCTETS: u64 = 4 * 1024 * 1024;

/// `[tls] roots`: which certificate authorities are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those compiled in and those of the system.
    #[default]
    Both,
    /// Those of the system.
    System,
    /// Those compiled in (Mozilla's list).
    Bundled,
}

/// Why there is nobody to trust; each is one sentence with its cure.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file of certificates cannot be read.
    #[error("{}: the file of certificates cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no certificate in PEM form.
    #[error("{}: there is no certificate in this file; it has to be PEM, {hint}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// How to get there.
        hint: &'static str,
    },
    /// A certificate in the file is damaged.
    #[error("{}: certificate {number} in this file cannot be used: {reason}; export it again as PEM", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's store gave no root, and there is no other.
    #[error(
        "this computer's own store has no usable root certificate ({reason}); \
         install the ca-certificates package, or set roots = \"both\" or \"bundled\" in [tls]"
    )]
    NoRoots {
        /// What the store said.
        reason: String,
    },
}

/// What every connection upstream trusts.
#[derive(Clone, Debug)]
pub struct Trust {
    /// TLS 1.2 and 1.3, with sessions resumed.
    pub config: Arc<ClientConfig>,
    /// That the system's store could not be used, where other roots remain: one sentence for the log.
    pub warning: Option<String>,
}

/// Trusts the roots asked for, and `extra` ones.
///
/// # Errors
/// [`TrustError::NoRoots`] where no root would be left.
pub fn trust(roots: Roots, extra: &[CertificateDer<'static>]) -> Result<Trust, TrustError> {
    let (store, warning) = trusted(roots, extra, rustls_native_certs::load_native_certs)?;
    Ok(Trust { config: Arc::new(config(store)), warning })
}

/// Reads a PEM file of certificates, an `extra_roots` entry; each is checked to be usable as a root.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem = read_bounded(path).map_err(|source| TrustError::Unreadable { path: path.into(), source })?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let damaged = |reason: String| TrustError::Damaged {
            path: path.into(),
            number: certificates.len() + 1,
            reason,
        };
        let certificate = certificate.map_err(|fault| damaged(fault.to_string()))?;
        RootCertStore::empty().add(certificate.clone()).map_err(|fault| damaged(fault.to_string()))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(TrustError::NoCertificate { path: path.into(), hint: hint(&pem) });
    }
    Ok(certificates)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        // A pipe would be waited for without end, a device read without end.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    if metadata.len() > CERTIFICATE_FILE_OCTETS {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for certificates"));
    }
    std::fs::read(path)
}

/// What a file without a PEM certificate seems to be instead.
fn hint(octets: &[u8]) -> &'static str {
    const BINARY: &[u8] = &[0x30, 0x82]; // A DER SEQUENCE with two octets of length, as certificates have.
    let has = |words: &[u8]| memchr::memmem::find(octets, words).is_some();
    if octets.starts_with(BINARY) {
        "convert it with: openssl x509 -inform DER -in FILE -out FILE.pem"
    } else if has(b"PRIVATE KEY") {
        "and this one holds a private key; name the certificate of the authority instead"
    } else {
        "beginning with -----BEGIN CERTIFICATE-----"
    }
}

/// The roots asked for, and a warning; `native` is asked only where the system's are wanted.
fn trusted(
    roots: Roots,
    extra: &[CertificateDer<'static>],
    native: impl FnOnce() -> CertificateResult,
) -> Result<(RootCertStore, Option<String>), TrustError> {
    let mut store = RootCertStore::empty();
    if roots != Roots::System {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let missing = if roots == Roots::Bundled { None } else { add_native(&mut store, native()) };
    store.add_parsable_certificates(extra.iter().cloned());
    match missing {
        Some(reason) if store.is_empty() => Err(TrustError::NoRoots { reason }),
        Some(reason) => Ok((store, Some(left_out(&reason)))),
        None => Ok((store, None)),
    }
}

fn left_out(reason: &str) -> String {
    format!("this computer's own store of root certificates cannot be used ({reason}); the other roots are")
}

/// Adds the system's roots that are not there yet; says why there was none.
fn add_native(store: &mut RootCertStore, native: CertificateResult) -> Option<String> {
    let mut system = RootCertStore::empty();
    system.add_parsable_certificates(native.certs);
    if system.is_empty() {
        let reason = native.errors.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string);
        return Some(reason);
    }
    // Most roots are in both lists; kept once they cost 100 KiB less.
    let known = store.roots.len();
    for root in system.roots {
        if !store.roots.iter().take(known).any(|have| *have == root) {
            store.roots.push(root);
        }
    }
    None
}

fn config(roots: RootCertStore) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has cipher suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> rcgen::Certificate {
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
    }

    fn system(certificates: &[rcgen::Certificate]) -> CertificateResult {
        let mut result = CertificateResult::default();
        result.certs.extend(certificates.iter().map(|one| one.der().clone()));
        result
    }

    fn unreadable() -> CertificateResult {
        let missing = tempfile::tempdir().unwrap().path().join("missing.pem");
        rustls_native_certs::load_certs_from_paths(Some(&missing), None)
    }

    #[test]
    fn both_means_the_bundled_roots_and_those_of_the_system() {
        let bundled = webpki_roots::TLS_SERVER_ROOTS.len();
        let (store, warning) = trusted(Roots::Both, &[], || system(&[authority()])).unwrap();
        assert_eq!((store.len(), warning), (bundled + 1, None));
        let (store, _) = trusted(Roots::System, &[], || system(&[authority()])).unwrap();
        assert_eq!(store.len(), 1);
        let (store, _) = trusted(Roots::Bundled, &[], || panic!("the system was asked")).unwrap();
        assert_eq!(store.len(), bundled);
    }

    #[test]
    fn a_root_in_both_lists_is_kept_once() {
        let one = authority();
        let mut store = RootCertStore::empty();
        store.add(one.der().clone()).unwrap();
        assert_eq!(add_native(&mut store, system(&[one])), None);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn an_unreadable_system_store_is_fatal_only_where_nothing_else_is_left() {
        let (store, warning) = trusted(Roots::Both, &[], unreadable).unwrap();
        assert_eq!(store.len(), webpki_roots::TLS_SERVER_ROOTS.len());
        assert!(warning.unwrap().contains("missing.pem"));
        let own = [authority().der().clone()];
        assert_eq!(trusted(Roots::System, &own, unreadable).unwrap().0.len(), 1);
        let fault = trusted(Roots::System, &[], unreadable).unwrap_err().to_string();
        assert!(fault.contains("no usable root certificate") && fault.contains("missing.pem"), "{fault}");
        let fault = trusted(Roots::System, &[], CertificateResult::default).unwrap_err().to_string();
        assert!(fault.contains("it is empty"), "{fault}");
    }

    fn read(content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        read_certificates(&path)
    }

    #[test]
    fn a_file_of_certificates_is_read_whole() {
        let (one, two) = (authority(), authority());
        let both = format!("The company's authorities\n{}{}", one.pem(), two.pem());
        assert_eq!(read(both.as_bytes()).unwrap(), [one.der().clone(), two.der().clone()]);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_or_a_pipe_is_no_file_of_certificates() {
        // One that ends at once; /dev/zero would end with all memory.
        let fault = read_certificates(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(fault.contains("no regular file"), "{fault}");
    }

    #[test]
    fn a_file_that_is_no_use_is_named_with_its_cure() {
        let missing = read_certificates(Path::new("/nowhere/ca.pem")).unwrap_err();
        assert!(matches!(missing, TrustError::Unreadable { .. }));
        assert!(missing.to_string().starts_with("/nowhere/ca.pem: "), "{missing}");

        let told = |content: &[u8]| read(content).unwrap_err().to_string();
        assert!(told(b"").contains("BEGIN CERTIFICATE"));
        assert!(told(authority().der()).contains("openssl x509 -inform DER"));
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(told(key.as_bytes()).contains("private key"));

        let cut = authority().pem().replace("-----END CERTIFICATE-----", "");
        assert!(matches!(read(cut.as_bytes()), Err(TrustError::Damaged { number: 1, .. })));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let second = format!("{}{garbage}", authority().pem());
        assert!(matches!(read(second.as_bytes()), Err(TrustError::Damaged { number: 2, .. })));
    }
}
