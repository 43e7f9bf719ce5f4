//! One HTTP request a connection, for token servers: they are asked once an hour, and a connection held that long
//! would be gone when it is needed.
//!
//! TLS as to the mail servers, with the same roots. Plain HTTP reaches this machine only. No redirect is followed: the
//! request carries a secret, which belongs to the server that was named.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use zeroize::Zeroize;

use super::{ConnectError, Connector, Stream};
use crate::mail::account::{Endpoint, Security};

/// The longest body of an answer: token answers have a few KiB, error pages some ten.
const BODY: usize = 256 * 1024;

/// The longest head of an answer.
const HEAD: usize = 64 * 1024;

/// The most octets taken of a connection, whatever they are: a server that sends one informational answer after the
/// other (RFC 9110 §15.2), or spaces and extensions between chunks, would keep a processor busy until the deadline. A body
/// in chunks of a dozen octets still fits.
const WHOLE: usize = HEAD + 2 * BODY;

/// Asks HTTP servers.
#[derive(Clone, Debug)]
pub struct Client {
    connector: Connector,
}

/// Why there is no answer; each is one plain clause that names the server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be used; nothing was sent.
    #[error("{0}")]
    Address(String),
    /// There is no connection; nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The answer did not come in time; the request may have been obeyed.
    #[error("{host} does not answer")]
    TimedOut {
        /// The server's name.
        host: String,
    },
    /// The answer is longer than any that makes sense.
    #[error("{host} answers without an end")]
    TooLarge {
        /// The server's name.
        host: String,
    },
    /// The connection broke, or the answer is not HTTP; the request may have been obeyed.
    #[error("{host} broke off its answer, or does not speak HTTP")]
    Broken {
        /// The server's name.
        host: String,
        /// What hyper said.
        source: Option<hyper::Error>,
    },
}

impl Client {
    /// A client that connects as `connector` does.
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// Sends one request, whose URI is absolute, and takes the whole answer, of whatever status.
    ///
    /// # Errors
    /// There is no whole answer within the deadline for HTTP.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, HttpError> {
        let target = Target::of(request.uri())?;
        match timeout(self.connector.deadlines().http, self.exchange(&target, request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpError::TimedOut { host: target.endpoint.host }),
        }
    }

    async fn exchange(
        &self,
        target: &Target,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        let host = || target.endpoint.host.clone();
        let stream = self.connector.connect(&target.endpoint).await?;
        target.check(&stream)?;

        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(HEAD);
        let exhausted = Arc::new(AtomicBool::new(false));
        let broken = |source| match exhausted.load(Ordering::Relaxed) {
            true => HttpError::TooLarge { host: host() },
            false => HttpError::Broken { host: host(), source: Some(source) },
        };
        let stream = Bounded { stream, left: WHOLE, exhausted: exhausted.clone() };
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = target.request(request)?;
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            Ok(Response::from_parts(head, collect(body, host()).await?))
        };
        beside(answer, connection).await
    }
}

/// `wanted`, while `helper` runs along, which may end first.
async fn beside<T>(wanted: impl Future<Output = T>, helper: impl Future) -> T {
    let (mut wanted, mut helper) = (std::pin::pin!(wanted), std::pin::pin!(helper));
    tokio::select! {
        outcome = &mut wanted => return outcome,
        // What went wrong there, the wanted one hears by itself.
        _ = &mut helper => {}
    }
    wanted.await
}

async fn collect(body: Incoming, host: String) -> Result<Vec<u8>, HttpError> {
    match Limited::new(body, BODY).collect().await {
        Ok(whole) => Ok(whole.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(HttpError::TooLarge { host }),
        Err(error) => Err(HttpError::Broken { host, source: error.downcast().ok().map(|error| *error) }),
    }
}

/// A connection that gives so many octets and no more.
struct Bounded<S> {
    stream: S,
    left: usize,
    /// For who has to tell why it ended.
    exhausted: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let read = into.filled().len().saturating_sub(before);
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                self.exhausted.store(true, Ordering::Relaxed);
                Poll::Ready(Err(io::Error::other("an answer without an end")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Whom to ask, and how.
struct Target {
    endpoint: Endpoint,
    /// As the `Host` header has it.
    authority: String,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, HttpError> {
        let refused = |words: &str| HttpError::Address(format!("{} {words}", shown(uri)));
        let authority = uri.authority().ok_or_else(|| refused("is no web address"))?;
        if authority.as_str().contains('@') {
            return Err(refused("has a user name in it, which web addresses of token servers do not have"));
        }
        let host = authority.host();
        let (security, port) = match uri.scheme_str() {
            Some("https") => (Security::Tls, 443),
            Some("http") if is_this_machine(host) => (Security::StartTls, 80),
            Some("http") => return Err(refused("has to begin with https:// because secrets go there")),
            _ => return Err(refused("has to begin with https://")),
        };
        let port = authority.port_u16().unwrap_or(port);
        let endpoint = Endpoint { host: host.to_owned(), port, security };
        Ok(Self { endpoint, authority: authority.as_str().to_owned() })
    }

    /// A name may mean this machine and yet lead elsewhere.
    fn check(&self, stream: &Stream) -> Result<(), HttpError> {
        let Stream::Plain(plain) = stream else { return Ok(()) };
        match plain.tcp().peer_addr() {
            Ok(peer) if peer.ip().to_canonical().is_loopback() => Ok(()),
            Ok(_) => Err(HttpError::Address(format!(
                "{} is not this machine, so that nothing may be sent there without TLS",
                self.endpoint.host
            ))),
            Err(source) => {
                let Endpoint { host, port, .. } = self.endpoint.clone();
                Err(ConnectError::Unreachable { host, port, source }.into())
            }
        }
    }

    /// In the form for the server itself (RFC 9112 §3.2.1).
    fn request(&self, request: Request<Vec<u8>>) -> Result<Request<Full<Bytes>>, HttpError> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let unusable = || HttpError::Address(format!("{} is no web address", self.endpoint.host));
        head.uri = path.parse().map_err(|_| unusable())?;
        head.headers.insert(HOST, HeaderValue::from_str(&self.authority).map_err(|_| unusable())?);
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        head.headers.insert(USER_AGENT, HeaderValue::from_static("footbridge"));
        Ok(Request::from_parts(head, Full::new(Bytes::from_owner(Wiped(body)))))
    }
}

/// Scheme, host and port of an address: a path may have been pasted with more than belongs there.
fn shown(uri: &Uri) -> String {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => {
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        _ => "the address".to_owned(),
    }
}

/// Whether a host of a web address means this machine by what it is called.
pub fn is_this_machine(host: &str) -> bool {
    let bare = super::address::without_brackets(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A request's body, which holds secrets.
struct Wiped(Vec<u8>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;
    use crate::mail::Deadlines;
    use crate::net::tls::{Roots, trust};

    fn client(deadlines: Deadlines) -> Client {
        Client::new(Connector::new(trust(Roots::Bundled, &[]).unwrap().config, deadlines))
    }

    fn post(uri: String) -> Request<Vec<u8>> {
        Request::post(uri).body(b"a=b".to_vec()).unwrap()
    }

    /// A server that says `answer` to the first request, whose octets it gives back.
    async fn server(answer: Vec<u8>) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"a=b") {
                assert!(io.read_buf(&mut heard).await.unwrap() > 0, "the request is whole");
            }
            // Whoever has heard enough hangs up.
            let _ = io.write_all(&answer).await;
            String::from_utf8(heard).unwrap()
        });
        (port, server)
    }

    async fn asked(answer: Vec<u8>) -> Result<Response<Vec<u8>>, HttpError> {
        let (port, _server) = server(answer).await;
        client(Deadlines::default()).send(post(format!("http://127.0.0.1:{port}/token?x=y"))).await
    }

    /// RFC 9112 §3.2: the path alone in the request line, the host in its header.
    #[tokio::test]
    async fn a_request_and_its_answer() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokTAIL".to_vec();
        let (port, server) = server(answer).await;
        let sent =
            client(Deadlines::default()).send(post(format!("http://localhost:{port}/token?x=y"))).await;
        let answer = sent.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, b"ok".as_slice()));
        let heard = server.await.unwrap().to_lowercase();
        assert!(heard.starts_with("post /token?x=y http/1.1\r\n"), "{heard}");
        assert!(heard.contains(&format!("host: localhost:{port}\r\n")), "{heard}");
        assert!(heard.contains("connection: close\r\n"), "{heard}");
    }

    /// A token request carries a secret: it goes to the server that was named and to no other.
    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let answer = b"HTTP/1.1 307 Away\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(asked(answer.to_vec()).await.unwrap().status().as_u16(), 307);
    }

    #[tokio::test]
    async fn answers_without_an_end_are_not_held() {
        let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        endless.resize(BODY + 1000, b'x');
        assert!(matches!(asked(endless).await, Err(HttpError::TooLarge { .. })));
        let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        head.resize(2 * HEAD, b'x');
        assert!(matches!(asked(head).await, Err(HttpError::Broken { .. })));
        let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
        (0..5000).for_each(|_| many.extend_from_slice(b"a: b\r\n"));
        many.extend_from_slice(b"\r\n");
        assert!(matches!(asked(many).await, Err(HttpError::Broken { .. })));
    }

    /// RFC 9110 §15.2: any number of informational answers may come before the one that counts; not without an end.
    #[tokio::test]
    async fn informational_answers_without_an_end_are_given_up_before_the_deadline() {
        const EARLY: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let mut some = EARLY.repeat(3);
        some.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(asked(some).await.unwrap().body(), b"ok");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            // An answer before the request is another fault.
            io.read_u8().await.unwrap();
            let many = EARLY.repeat(100);
            // Until the other end has had enough.
            while io.write_all(&many).await.is_ok() {}
        });
        // It would never come to this one's end.
        let deadlines = Deadlines { http: Duration::from_secs(3600), ..Deadlines::default() };
        let outcome = client(deadlines).send(post(format!("http://127.0.0.1:{port}/token"))).await;
        assert!(matches!(outcome, Err(HttpError::TooLarge { .. })), "{outcome:?}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_none() {
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec();
        assert!(matches!(asked(cut).await, Err(HttpError::Broken { .. })));
        assert!(matches!(asked(b"* OK IMAP4rev1\r\n".to_vec()).await, Err(HttpError::Broken { .. })));
        assert!(matches!(asked(Vec::new()).await, Err(HttpError::Broken { .. })));
    }

    /// A server over TLS whose certificate an authority of the test signed; it answers one request.
    async fn tls_server() -> (u16, Vec<CertificateDer<'static>>) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority);
        let chain = vec![certificate.unwrap().der().clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            // Who does not trust it ends the handshake.
            let Ok(mut io) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await else { return };
            let mut heard = Vec::new();
            while !heard.ends_with(b"a=b") {
                assert!(io.read_buf(&mut heard).await.unwrap() > 0, "the request is whole");
            }
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            io.shutdown().await.unwrap();
        });
        (port, vec![authority.der().clone()])
    }

    #[tokio::test]
    async fn over_tls_to_whom_is_trusted_only() {
        let (port, authority) = tls_server().await;
        let trusting = trust(Roots::Bundled, &authority).unwrap().config;
        let trusting = Client::new(Connector::new(trusting, Deadlines::default()));
        let answer = trusting.send(post(format!("https://localhost:{port}/token"))).await.unwrap();
        assert_eq!(answer.body(), b"ok");
        let (port, _) = tls_server().await;
        let error = client(Deadlines::default()).send(post(format!("https://localhost:{port}/token"))).await;
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("no trusted TLS connection to localhost"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_stalls_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let deadlines = Deadlines { http: Duration::from_millis(20), ..Deadlines::default() };
        let error = client(deadlines).send(post(format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
        assert!(matches!(error, HttpError::TimedOut { .. }));
        assert_eq!(error.to_string(), "127.0.0.1 does not answer");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_was_sent_nothing() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = client(Deadlines::default()).send(post(format!("http://127.0.0.1:{port}/"))).await;
        let error = error.unwrap_err();
        assert!(matches!(error, HttpError::Connect(_)));
        assert_eq!(
            error.to_string(),
            format!("127.0.0.1:{port} cannot be reached: the connection was refused")
        );
    }

    /// RFC 6749 §3.2: the token endpoint demands TLS; only what never leaves this machine goes without.
    #[tokio::test]
    async fn no_secret_leaves_this_machine_without_tls() {
        for uri in ["http://login.example.org/t", "ftp://127.0.0.1/", "http://127.0.0.1.example.org/"] {
            let error = client(Deadlines::default()).send(post(uri.to_owned())).await.unwrap_err();
            assert!(error.to_string().contains("has to begin with https://"), "{error}");
        }
        let error = client(Deadlines::default()).send(post("https://u:pw@example.org/".to_owned())).await;
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("https://example.org has a user name in it"), "{error}");
        assert!(matches!(Target::of(&"/path".parse().unwrap()), Err(HttpError::Address(_))));
        assert!(is_this_machine("LOCALHOST") && is_this_machine("[::1]") && is_this_machine("127.0.0.2"));
        assert!(!is_this_machine("localhost.example.org") && !is_this_machine("0.0.0.0"));
    }
}
