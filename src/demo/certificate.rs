//! The provider's certificate: made at start, trusted by this process alone, gone at its end.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Both ends of the trust.
pub(super) struct Certificate {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

/// A key pair, its certificate for 127.0.0.1 and localhost, and a configuration that trusts only this one.
pub(super) fn make() -> Result<Certificate, Box<dyn std::error::Error + Send + Sync>> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let crypto = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(crypto.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    let client = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Certificate { server: Arc::new(server), client: Arc::new(client) })
}
