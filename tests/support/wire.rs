//! One end of a conversation, held by the test: the app's, or upstream's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{PATIENCE, certs};

/// What both TCP and TLS streams are.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// How the other side's sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN, or TLS close_notify.
    Closed,
    /// RST, or TLS broken off.
    Broken,
}

/// A stream and what was heard on it and not taken yet.
pub struct Wire {
    io: Box<dyn Io>,
    /// The same socket, for its options.
    socket: socket2::Socket,
    input: BytesMut,
    end: Option<End>,
}

impl Wire {
    /// Connects as an app does.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect(address).await?)
    }

    /// A plain connection.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream).try_clone()?;
        Ok(Self { io: Box::new(stream), socket, input: BytesMut::new(), end: None })
    }

    /// Connects over TLS, as a test that looks at a server without the bridge does.
    pub async fn connect_tls(port: u16) -> io::Result<Self> {
        let plain = Self::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let name = ServerName::try_from("localhost").expect("a valid name");
        let io = TlsConnector::from(certs::client()).connect(name, plain.io).await?;
        Ok(Self { io: Box::new(io), socket: plain.socket, input: BytesMut::new(), end: None })
    }

    /// Takes the app's part of a TLS handshake with the bridge, by this name of it.
    pub async fn begin_tls(self, client: Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a valid name");
        let io = TlsConnector::from(client).connect(name, self.io).await?;
        Ok(Self { io: Box::new(io), socket: self.socket, input: BytesMut::new(), end: None })
    }

    /// Takes the server's part of a TLS handshake.
    pub async fn accept_tls(self, server: Arc<ServerConfig>) -> io::Result<Self> {
        let io = TlsAcceptor::from(server).accept(self.io).await?;
        Ok(Self { io: Box::new(io), socket: self.socket, input: BytesMut::new(), end: None })
    }

    /// Waits for more octets or the end. Cancel-safe.
    pub async fn fill(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.input.reserve(64 * 1024);
        match self.io.read_buf(&mut self.input).await {
            Ok(0) => self.end = Some(End::Closed),
            Ok(_) => {}
            Err(_) => self.end = Some(End::Broken),
        }
    }

    /// How the other side ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// What was heard and not taken yet.
    pub fn heard(&self) -> &[u8] {
        &self.input
    }

    /// The first whole line, without its CRLF, left where it is.
    pub fn peek_line(&self) -> Option<&[u8]> {
        memmem::find(&self.input, b"\r\n").map(|end| &self.input[..end])
    }

    /// Takes the first whole line, without its CRLF.
    pub fn take_line(&mut self) -> Option<Vec<u8>> {
        let line = self.peek_line()?.to_vec();
        self.input.advance(line.len() + 2);
        Some(line)
    }

    /// Takes this many octets, once they are there.
    pub fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        (self.input.len() >= count).then(|| self.input.split_to(count).to_vec())
    }

    /// Sends in one write.
    pub async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.io.write_all(octets).await?;
        self.io.flush().await
    }

    /// Ends our direction politely: FIN, over TLS close_notify before it.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }

    /// Makes the drop that follows a RST.
    pub fn reset_on_drop(&self) {
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// The next line, without CRLF, or `None` at the end; waits as long as the other side pleases, as servers do.
    pub async fn hear_or_end(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.take_line() {
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if self.end.is_some() {
                return None;
            }
            self.fill().await;
        }
    }

    // What tests written in code use; every wait has an end.

    /// Sends a line; `line` is without CRLF.
    pub async fn say(&mut self, line: &str) {
        let octets = [line.as_bytes(), b"\r\n"].concat();
        let sent = tokio::time::timeout(PATIENCE, self.send(&octets)).await;
        sent.unwrap_or_else(|_| panic!("nobody takes {line:?}")).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    }

    /// The next line, without CRLF; octets that are not UTF-8 are replaced.
    pub async fn hear(&mut self) -> String {
        String::from_utf8_lossy(&self.hear_octets().await).into_owned()
    }

    /// The next line, without CRLF.
    pub async fn hear_octets(&mut self) -> Vec<u8> {
        loop {
            if let Some(line) = self.take_line() {
                return line;
            }
            assert!(self.end.is_none(), "closed, heard only {:?}", self.input);
            self.fill_soon().await;
        }
    }

    /// Says `line` and asserts the beginning of the answer, which it returns.
    pub async fn ask(&mut self, line: &str, answer: &str) -> String {
        self.say(line).await;
        self.expect(answer).await
    }

    /// Asserts the beginning of the next line, which it returns.
    pub async fn expect(&mut self, beginning: &str) -> String {
        let heard = self.hear().await;
        assert!(heard.starts_with(beginning), "expected {beginning:?}, heard {heard:?}");
        heard
    }

    /// This many octets.
    pub async fn hear_exactly(&mut self, count: usize) -> Vec<u8> {
        loop {
            if let Some(octets) = self.take(count) {
                return octets;
            }
            assert!(self.end.is_none(), "closed after {} of {count} octets", self.input.len());
            self.fill_soon().await;
        }
    }

    /// Everything up to the end, which must come.
    pub async fn hear_to_the_end(&mut self) -> Vec<u8> {
        while self.end.is_none() {
            self.fill_soon().await;
        }
        self.input.split().to_vec()
    }

    async fn fill_soon(&mut self) {
        if tokio::time::timeout(PATIENCE, self.fill()).await.is_err() {
            panic!("silence after {:?}", self.input);
        }
    }
}
