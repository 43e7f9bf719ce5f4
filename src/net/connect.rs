//! From a host name to a TLS stream.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::ahead::Ahead;
use super::own_address::{Gone, OwnAddresses, Watched};
use super::pace::Pace;
use super::{address, fault};
use crate::mail::Deadlines;
use crate::mail::account::{Endpoint, Security};

/// An idle link whose other end is gone (sleep, NAT) is found after 30 + 3 × 8 = 54 s, so that an app in IDLE hears of it
/// within a minute: the system's timers are late by two or three seconds. And a probe every 30 s keeps the short-lived
/// entries of home routers alive. A link whose own end is gone, in another network, is found sooner: see `own_address`.
///
/// Under unanswered octets TCP sends no probes: there the readers' own deadline for progress finds it. A timeout on
/// unacknowledged octets (TCP_USER_TIMEOUT) would also cut a peer that is slow but alive, so there is none.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(8))
    .with_retries(3);

/// Opens streams to upstream.
#[derive(Clone, Debug)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    deadlines: Deadlines,
    pace: Pace,
    own_addresses: OwnAddresses,
}

/// A stream to upstream, before or after TLS.
#[derive(Debug)]
pub enum Stream {
    /// Before STARTTLS.
    Plain(Watched),
    /// Everything that matters.
    Tls(Box<TlsStream<Ahead<Watched>>>),
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
    #[error("{host}:{port} cannot be reached: {}", fault::reach(source))]
    Unreachable {
        /// Host of the endpoint.
        host: String,
        /// Port of the endpoint.
        port: u16,
        /// The most telling of the addresses' errors.
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
        Self { tls, deadlines, pace: Pace::default(), own_addresses: OwnAddresses::default() }
    }

    /// The waiting times.
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Connects: over TLS for `Security::Tls`, plain for `Security::StartTls`, whose caller then asks for
    /// STARTTLS and calls [`Connector::secure`].
    ///
    /// One of many waits for its turn first. An attempt during which this computer moves to another network is made once
    /// more there, in what time is left.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        if !self.pace.turn(endpoint).await {
            return Err(timed_out(endpoint));
        }
        let until = Instant::now() + self.deadlines.connect;
        let mut connected = self.connect_now(endpoint, until).await;
        if matches!(&connected, Err(ConnectError::Unreachable { source, .. }) if Gone::is_in(source)) {
            connected = self.connect_now(endpoint, until).await;
        }
        if let Some(well) = server_is_well(&connected) {
            self.pace.tell(endpoint, well);
        }
        connected
    }

    async fn connect_now(&self, endpoint: &Endpoint, until: Instant) -> Result<Stream, ConnectError> {
        let addresses = resolve(endpoint, until).await?;
        let stream = Stream::Plain(self.reach(endpoint, &addresses, until).await?);
        tracing::debug!(host = %endpoint.host, port = endpoint.port, "connected");
        match endpoint.security {
            Security::Tls => self.secure(stream, endpoint).await,
            Security::StartTls => Ok(stream),
        }
    }

    /// The TLS handshake on a plain stream; the name checked is `endpoint.host`.
    ///
    /// Nothing that was read before is believed: the caller hands over the stream alone.
    pub async fn secure(&self, stream: Stream, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        let tcp = match stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(_) => return Ok(stream),
        };
        let name = server_name(endpoint)?;
        let handshake = TlsConnector::from(self.tls.clone()).connect(name, Ahead::new(tcp));
        match timeout(self.deadlines.handshake, handshake).await {
            Ok(Ok(tls)) => Ok(Stream::Tls(Box::new(tls))),
            Ok(Err(source)) => Err(handshake_failed(endpoint, source)),
            Err(_) => Err(timed_out(endpoint)),
        }
    }

    /// The first address that takes the connection.
    async fn reach(
        &self,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
        until: Instant,
    ) -> Result<Watched, ConnectError> {
        let stream = self.race(endpoint, addresses, until, |to| self.own_addresses.connect(to)).await?;
        prepare(stream.tcp());
        Ok(stream)
    }

    async fn race<T, A, F>(
        &self,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
        until: Instant,
        attempt: A,
    ) -> Result<T, ConnectError>
    where
        A: Fn(SocketAddr) -> F,
        F: Future<Output = io::Result<T>>,
    {
        match timeout_at(until, address::race(addresses, self.deadlines.next_address, attempt)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(unreachable(endpoint, source)),
            Err(_) => Err(timed_out(endpoint)),
        }
    }
}

/// What an attempt says about the server; `None` where it does not say anything.
fn server_is_well<T>(connected: &Result<T, ConnectError>) -> Option<bool> {
    match connected {
        Ok(_) => Some(true),
        Err(ConnectError::Unreachable { source, .. }) if fault::is_ours(source) => None,
        Err(ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. }) => Some(false),
        Err(ConnectError::NameNotFound { .. } | ConnectError::Tls { .. }) => None,
    }
}

async fn resolve(endpoint: &Endpoint, until: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
    found(endpoint, until, address::resolve(&endpoint.host, endpoint.port)).await
}

/// No answer of the resolver in time is an error without a source.
async fn found<T>(
    endpoint: &Endpoint,
    until: Instant,
    lookup: impl Future<Output = io::Result<T>>,
) -> Result<T, ConnectError> {
    let not_found = |source| ConnectError::NameNotFound { host: endpoint.host.clone(), source };
    match timeout_at(until, lookup).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(source)) => Err(not_found(Some(source))),
        Err(_) => Err(not_found(None)),
    }
}

/// A system that lacks an option costs comfort, not the connection.
fn prepare(tcp: &TcpStream) {
    let options = tcp.set_nodelay(true).and(SockRef::from(tcp).set_tcp_keepalive(&KEEP_ALIVE));
    if let Err(error) = options {
        tracing::debug!(%error, "a socket option was not taken");
    }
}

fn server_name(endpoint: &Endpoint) -> Result<ServerName<'static>, ConnectError> {
    let host = address::without_brackets(&endpoint.host);
    ServerName::try_from(host.to_owned()).map_err(|fault| ConnectError::Tls {
        host: endpoint.host.clone(),
        reason: "its name cannot stand in a certificate".into(),
        source: io::Error::new(io::ErrorKind::InvalidInput, fault),
    })
}

/// A connection that breaks says nothing about trust and may pass; what rustls found will not.
fn handshake_failed(endpoint: &Endpoint, source: io::Error) -> ConnectError {
    if source.kind() != io::ErrorKind::InvalidData {
        return unreachable(endpoint, source);
    }
    ConnectError::Tls { host: endpoint.host.clone(), reason: fault::handshake(&source), source }
}

fn unreachable(endpoint: &Endpoint, source: io::Error) -> ConnectError {
    ConnectError::Unreachable { host: endpoint.host.clone(), port: endpoint.port, source }
}

fn timed_out(endpoint: &Endpoint) -> ConnectError {
    ConnectError::TimedOut { host: endpoint.host.clone(), port: endpoint.port }
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

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_write_vectored(cx, parts),
            Stream::Tls(io) => Pin::new(io).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
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

#[cfg(test)]
mod tests;
