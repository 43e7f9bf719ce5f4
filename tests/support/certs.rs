//! A certificate authority of the tests' own, and server certificates good and bad.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Where a provider is that stands in a network of its own (RFC 5737: for documentation).
pub const PROVIDER: &str = "198.51.100.1";

/// Which certificate a server shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// For localhost, 127.0.0.1, ::1 and [`PROVIDER`], signed by the authority that the bridge is told to trust.
    #[default]
    Good,
    /// Good once, until 2002.
    Expired,
    /// Good from 2100 on.
    NotYet,
    /// For another host.
    WrongName,
    /// Signed by an authority nobody told the bridge of.
    UnknownAuthority,
}

/// A server certificate and its key, in both forms servers want.
pub struct Certificate {
    /// PEM of the certificate.
    pub pem: String,
    /// PEM of the key.
    pub key_pem: String,
    /// The same for rustls.
    pub server: Arc<ServerConfig>,
}

/// As long as the process lives.
struct Authority {
    file: PathBuf,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What a test's own client trusts: the tests' authority.
pub fn client() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority().der.clone()).expect("our own authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// The file that `extra_roots` names.
pub fn ca_file() -> PathBuf {
    authority().file.clone()
}

/// A server certificate of this kind; each call makes a new one.
pub fn certificate(kind: Kind) -> Certificate {
    match kind {
        Kind::Good => sign(&authority().issuer, good_params()),
        Kind::Expired => {
            let mut params = good_params();
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
            sign(&authority().issuer, params)
        }
        Kind::NotYet => {
            let mut params = good_params();
            params.not_before = date_time_ymd(2100, 1, 1);
            params.not_after = date_time_ymd(2101, 1, 1);
            sign(&authority().issuer, params)
        }
        Kind::WrongName => sign(&authority().issuer, params_for(&["mail.elsewhere.test"])),
        Kind::UnknownAuthority => sign(&new_issuer("An authority nobody knows").0, good_params()),
    }
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let (issuer, der, pem) = new_issuer("footbridge test authority");
        let file = file_of_this_process();
        std::fs::write(&file, pem).expect("ca.pem is written");
        Authority { file, der, issuer }
    })
}

fn new_issuer(name: &str) -> (Issuer<'static, KeyPair>, CertificateDer<'static>, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no name is a valid list of names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate signs itself");
    (Issuer::new(params, key), certificate.der().clone(), certificate.pem())
}

fn good_params() -> CertificateParams {
    params_for(&["localhost", "127.0.0.1", "::1", PROVIDER])
}

fn params_for(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params.distinguished_name.push(DnType::CommonName, "footbridge test server");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn sign(issuer: &Issuer<'static, KeyPair>, params: CertificateParams) -> Certificate {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("the authority signs");
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key_der = PrivateKeyDer::try_from(key.serialize_der()).expect("a PKCS #8 key");
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .expect("the key fits the certificate");
    Certificate { pem: certificate.pem(), key_pem: key.serialize_pem(), server: Arc::new(server) }
}

/// Where this process keeps its authority's certificate; those of processes that have ended are removed.
fn file_of_this_process() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authorities");
    std::fs::create_dir_all(&folder).expect("cargo's own folder for tests");
    for file in std::fs::read_dir(&folder).expect("our own folder").flatten() {
        let ended = |id: &str| Path::new("/proc/self").exists() && !Path::new("/proc").join(id).exists();
        if file.path().file_stem().and_then(|stem| stem.to_str()).is_some_and(ended) {
            // Another process may have been quicker.
            let _ = std::fs::remove_file(file.path());
        }
    }
    folder.join(format!("{}.pem", std::process::id()))
}
