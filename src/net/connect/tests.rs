//! Connects to listeners of this process; the authority and its certificates are made here.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion};

use super::*;
use crate::net::tls::{Roots, trust};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    named_authority("an authority")
}

fn named_authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server's certificate for localhost, as most tests want it.
fn localhost() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

fn acceptor(
    authority: &Authority,
    params: CertificateParams,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Takes one connection, greets over TLS and says back what it hears.
async fn tls_server(acceptor: TlsAcceptor) -> (Endpoint, JoinHandle<()>) {
    let (endpoint, listener) = listener(Security::Tls).await;
    let server = tokio::spawn(async move {
        let Ok((tcp, _)) = listener.accept().await else { return };
        let Ok(mut tls) = acceptor.accept(tcp).await else { return };
        tls.write_all(b"* OK ready\r\n").await.unwrap();
        let mut heard = vec![0; 64];
        let count = tls.read(&mut heard).await.unwrap_or(0);
        tls.write_all(&heard[..count]).await.unwrap();
        tls.shutdown().await.unwrap();
    });
    (endpoint, server)
}

async fn listener(security: Security) -> (Endpoint, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (Endpoint { host: "127.0.0.1".into(), port, security }, listener)
}

/// Trusts only `authority`; the bundled roots are beside it and do not matter.
fn connector(authority: &[CertificateDer<'static>], deadlines: Deadlines) -> Connector {
    Connector::new(trust(Roots::Bundled, authority).unwrap().config, deadlines)
}

fn trusting(authority: &Authority) -> Connector {
    connector(&[authority.der().clone()], Deadlines::default())
}

/// The plain clause a certificate made from `params` comes to.
async fn reason_for(params: CertificateParams, host: &str) -> String {
    let authority = authority();
    let (mut endpoint, _server) = tls_server(acceptor(&authority, params, &[&TLS13])).await;
    endpoint.host = host.into();
    reason(trusting(&authority).connect(&endpoint).await)
}

fn reason(outcome: Result<Stream, ConnectError>) -> String {
    match outcome {
        Err(ConnectError::Tls { reason, .. }) => reason,
        other => panic!("expected a TLS fault: {other:?}"),
    }
}

/// RFC 8314 §3, for both versions of TLS this program takes.
#[tokio::test]
async fn implicit_tls_carries_octets_both_ways() {
    let authority = authority();
    for versions in [&[&TLS13], &[&TLS12]] {
        let (endpoint, server) = tls_server(acceptor(&authority, localhost(), versions)).await;
        let mut stream = trusting(&authority).connect(&endpoint).await.unwrap();
        assert!(matches!(stream, Stream::Tls(_)));
        assert!(stream.is_write_vectored());
        let parts = [io::IoSlice::new(b"a NO"), io::IoSlice::new(b"OP\r\n")];
        assert_eq!(stream.write_vectored(&parts).await.unwrap(), 8);
        stream.flush().await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "* OK ready\r\na NOOP\r\n");
        server.await.unwrap();
    }
}

/// RFC 8446 §2.2, RFC 5246 §7.3: the second handshake with a host costs no certificate check.
#[tokio::test]
async fn sessions_are_resumed() {
    let authority = authority();
    for versions in [&[&TLS13], &[&TLS12]] {
        let connector = trusting(&authority);
        let acceptor = acceptor(&authority, localhost(), versions);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (endpoint, server) = tls_server(acceptor.clone()).await;
            let mut stream = connector.connect(&endpoint).await.unwrap();
            stream.write_all(b"a LOGOUT\r\n").await.unwrap();
            // TLS 1.3 hands out its tickets with the first octets of the server.
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            let Stream::Tls(tls) = stream else { panic!("TLS was asked for") };
            assert_eq!(tls.get_ref().1.handshake_kind(), Some(kind));
            server.await.unwrap();
        }
    }
}

/// RFC 3207, RFC 3501 §6.2.1: the stream stays plain until the caller has had STARTTLS answered.
#[tokio::test]
async fn starttls_is_two_steps() {
    let authority = authority();
    let acceptor = acceptor(&authority, localhost(), &[&TLS13]);
    let (endpoint, listener) = listener(Security::StartTls).await;
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"* OK plain\r\n").await.unwrap();
        let mut tls = acceptor.accept(tcp).await.unwrap();
        tls.write_all(b"* OK safe\r\n").await.unwrap();
        tls.shutdown().await.unwrap();
    });
    let connector = trusting(&authority);
    let mut plain = connector.connect(&endpoint).await.unwrap();
    assert!(matches!(plain, Stream::Plain(_)));
    let mut greeting = [0; 12];
    plain.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"* OK plain\r\n");
    let mut safe = connector.secure(plain, &endpoint).await.unwrap();
    let mut heard = String::new();
    safe.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "* OK safe\r\n");
    server.await.unwrap();
}

/// Writes leave at once, and a link that died while nobody spoke is noticed.
#[tokio::test]
async fn no_delay_and_keep_alive_are_set() {
    let (endpoint, _listener) = listener(Security::StartTls).await;
    let Stream::Plain(plain) = trusting(&authority()).connect(&endpoint).await.unwrap() else {
        panic!("TLS was not asked for");
    };
    let tcp = plain.tcp();
    assert!(tcp.nodelay().unwrap());
    assert!(SockRef::from(tcp).keepalive().unwrap());
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(tcp);
        let found = socket.tcp_keepalive_time().unwrap()
            + socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
        assert_eq!(found, Duration::from_secs(54), "a minute, and the system's timers are late");
    }
}

#[tokio::test]
async fn a_refused_connection_is_told_as_that() {
    let (endpoint, listener) = listener(Security::Tls).await;
    drop(listener);
    let fault = trusting(&authority()).connect(&endpoint).await.unwrap_err();
    assert!(matches!(&fault, ConnectError::Unreachable { source, .. }
        if source.kind() == io::ErrorKind::ConnectionRefused));
    let told = fault.to_string();
    assert_eq!(told, format!("127.0.0.1:{} cannot be reached: the connection was refused", endpoint.port));
}

#[tokio::test]
async fn a_dead_first_address_does_not_hold_up_the_second() {
    let (_, dead) = listener(Security::StartTls).await;
    let refused = dead.local_addr().unwrap();
    drop(dead);
    let (endpoint, live) = listener(Security::StartTls).await;
    let answers = live.local_addr().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let stream = trusting(&authority()).reach(&endpoint, &[refused, answers], until).await.unwrap();
    assert_eq!(stream.tcp().peer_addr().unwrap(), answers);
}

/// The name is not one a resolver may be asked for (RFC 1035 §2.3.4: labels have 63 octets), so nothing is sent.
#[tokio::test]
async fn a_name_without_an_address_is_told_as_that() {
    let host = format!("{}.invalid", "x".repeat(64));
    let endpoint = Endpoint { host: host.clone(), port: 993, security: Security::Tls };
    let fault = trusting(&authority()).connect(&endpoint).await.unwrap_err();
    assert!(matches!(fault, ConnectError::NameNotFound { source: Some(_), .. }));
    assert_eq!(fault.to_string(), format!("the name {host} was not found"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_resolver_ends_with_the_connect_deadline() {
    let endpoint = Endpoint { host: "imap.example.org".into(), port: 993, security: Security::Tls };
    let until = Instant::now() + Deadlines::default().connect;
    let silent = std::future::pending::<io::Result<()>>();
    let fault = found(&endpoint, until, silent).await.unwrap_err();
    assert!(matches!(fault, ConnectError::NameNotFound { source: None, .. }));
    assert_eq!(Instant::now(), until);
}

/// A firewall that drops everything: the whole is over after `deadlines.connect`.
#[tokio::test(start_paused = true)]
async fn a_black_hole_ends_with_the_connect_deadline() {
    let connector = trusting(&authority());
    let endpoint = Endpoint { host: "192.0.2.1".into(), port: 993, security: Security::Tls };
    let addresses: Vec<SocketAddr> = (1..=20).map(|n| ([192, 0, 2, n], 993).into()).collect();
    let begun = Instant::now();
    let until = begun + connector.deadlines().connect;
    let silent = |_| std::future::pending::<io::Result<()>>();
    let fault = connector.race(&endpoint, &addresses, until, silent).await.unwrap_err();
    assert!(matches!(fault, ConnectError::TimedOut { .. }));
    assert_eq!(begun.elapsed(), connector.deadlines().connect);
}

#[tokio::test]
async fn a_stalled_handshake_ends_with_its_deadline() {
    let deadlines = Deadlines { handshake: Duration::from_millis(20), ..Deadlines::default() };
    let (endpoint, _silent) = listener(Security::Tls).await;
    let fault = connector(&[], deadlines).connect(&endpoint).await.unwrap_err();
    assert!(matches!(fault, ConnectError::TimedOut { .. }));
}

/// A connection that breaks off may be a passing fault; it is not called a matter of trust.
#[tokio::test]
async fn a_connection_closed_in_the_handshake_is_a_passing_fault() {
    let (endpoint, listener) = listener(Security::Tls).await;
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.read_u8().await.unwrap();
    });
    let fault = trusting(&authority()).connect(&endpoint).await.unwrap_err();
    assert!(matches!(fault, ConnectError::Unreachable { .. }), "{fault:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_that() {
    for greeting in
        ["* OK IMAP4rev1 ready\r\n", "220 mx ESMTP\r\n", "HTTP/1.1 400 Bad Request\r\n", "SSH-2.0-x\r\n"]
    {
        let (endpoint, listener) = listener(Security::Tls).await;
        let server = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.write_all(greeting.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
        });
        let told = reason(trusting(&authority()).connect(&endpoint).await);
        assert_eq!(told, "it does not speak TLS on this port", "{greeting}");
        server.await.unwrap();
    }
}

/// RFC 9325 §7.1, RFC 9051 §11.1: the name checked is the one configured.
#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let elsewhere = CertificateParams::new(vec!["mail.example.org".to_owned()]).unwrap();
    let told = reason_for(elsewhere, "127.0.0.1").await;
    assert_eq!(told, "its certificate is for another name (mail.example.org)");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let mut old = localhost();
    old.not_before = rcgen::date_time_ymd(2001, 1, 1);
    old.not_after = rcgen::date_time_ymd(2002, 1, 1);
    assert_eq!(reason_for(old, "127.0.0.1").await, "its certificate has expired");
    let mut early = localhost();
    early.not_before = rcgen::date_time_ymd(2998, 1, 1);
    early.not_after = rcgen::date_time_ymd(2999, 1, 1);
    assert_eq!(reason_for(early, "127.0.0.1").await, "its certificate is not valid yet");
}

#[tokio::test]
async fn a_certificate_for_another_purpose_is_refused() {
    let mut person = localhost();
    person.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(reason_for(person, "127.0.0.1").await, "its certificate is not for a server");
    let mut root = localhost();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let told = reason_for(root, "127.0.0.1").await;
    assert_eq!(told, "its certificate is that of an authority, not of a server");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let told = async |trusted: Authority| {
        let (endpoint, _server) = tls_server(acceptor(&authority(), localhost(), &[&TLS13])).await;
        reason(trusting(&trusted).connect(&endpoint).await)
    };
    let other = told(named_authority("another authority")).await;
    assert_eq!(other, "its certificate is signed by an authority this computer does not know");
    let impostor = told(authority()).await;
    assert_eq!(impostor, "its certificate names an authority this computer knows, which did not sign it");
}

#[tokio::test]
async fn a_host_no_certificate_can_name_is_told_before_anything_is_sent() {
    let (mut endpoint, _listener) = listener(Security::StartTls).await;
    let connector = trusting(&authority());
    let plain = connector.connect(&endpoint).await.unwrap();
    endpoint.host = "not a name".into();
    let told = reason(connector.secure(plain, &endpoint).await);
    assert_eq!(told, "its name cannot stand in a certificate");
}
