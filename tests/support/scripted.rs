//! A scripted upstream: a TLS listener whose every answer the test says, for answers no good server gives.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;

use super::PATIENCE;
use super::bridge::Remote;
use super::certs::{self, Kind};
use super::wire::Wire;

/// When the scripted upstream begins TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// From the first octet.
    #[default]
    Tls,
    /// When the script says so.
    StartTls,
}

/// A listener on a free port.
pub struct Upstream {
    listener: TcpListener,
    begin: Begin,
    server: Arc<ServerConfig>,
}

impl Upstream {
    /// Listens on 127.0.0.1.
    pub async fn bind(begin: Begin, certificate: Kind) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self { listener, begin, server: certs::certificate(certificate).server })
    }

    /// Implicit TLS and a good certificate.
    pub async fn good() -> Self {
        Self::bind(Begin::Tls, Kind::Good).await.expect("a free port")
    }

    /// As the configuration names it.
    pub fn remote(&self) -> Remote {
        let port = self.listener.local_addr().expect("bound").port();
        Remote { host: "localhost".into(), port, security: self.begin }
    }

    /// For a handshake in mid-conversation.
    pub fn server_tls(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// The bridge's next connection, without a word said on it.
    pub async fn accept_tcp(&self) -> io::Result<TcpStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// The bridge's next connection, over TLS where TLS begins it.
    pub async fn accept(&self) -> io::Result<Wire> {
        let wire = Wire::new(self.accept_tcp().await?)?;
        match self.begin {
            Begin::Tls => wire.accept_tls(self.server.clone()).await,
            Begin::StartTls => Ok(wire),
        }
    }

    /// The same with an end to the wait, for tests written in code.
    pub async fn accepted(&self) -> Wire {
        let accepted = tokio::time::timeout(PATIENCE, self.accept()).await;
        accepted.expect("the bridge connects").expect("the handshake succeeds")
    }
}
