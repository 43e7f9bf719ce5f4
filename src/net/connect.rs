//! From a host name to a TLS stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use crate::mail::Deadlines;
use crate::mail::account::Endpoint;

/// Opens streams to upstream.
#[derive(Clone, Debug)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    deadlines: Deadlines,
}

/// A stream to upstream, before or after TLS.
#[derive(Debug)]
pub enum Stream {
    /// Before STARTTLS.
    Plain(TcpStream),
    /// Everything that matters.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address, or the resolver did not answer.
    #[error("the name {host} was not found")]
    NameNotFound {
        /// The name asked for.
        host: String,
        /// What the resolver said.
        source: Option<io::Error>,
    },
    /// No address took the connection.
    #[error("{host}:{port} cannot be reached")]
    Unreachable {
        /// Host of the endpoint.
        host: String,
        /// Port of the endpoint.
        port: u16,
        /// The last address's error.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{host}:{port} does not answer")]
    TimedOut {
        /// Host of the endpoint.
        host: String,
        /// Port of the endpoint.
        port: u16,
    },
    /// The peer is not whom it should be, or does not speak TLS; needs the user.
    #[error("no trusted TLS connection to {host}: {reason}")]
    Tls {
        /// Host of the endpoint.
        host: String,
        /// One plain clause, "its certificate has expired" for example.
        reason: String,
        /// What rustls or the socket said.
        source: io::Error,
    },
}

impl Connector {
    /// A connector that trusts what `tls` trusts.
    pub fn new(tls: Arc<ClientConfig>, deadlines: Deadlines) -> Self {
        Self { tls, deadlines }
    }

    /// The waiting times.
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Connects: over TLS for `Security::Tls`, plain for `Security::StartTls`, whose caller then asks for
    /// STARTTLS and calls [`Connector::secure`].
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        let _ = (endpoint, &self.tls);
        unimplemented!()
    }

    /// The TLS handshake on a plain stream; the name checked is `endpoint.host`.
    pub async fn secure(&self, stream: Stream, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        let _ = (stream, endpoint);
        unimplemented!()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_write(cx, octets),
            Stream::Tls(io) => Pin::new(io).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_flush(cx),
            Stream::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
