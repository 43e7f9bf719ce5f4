//! The server around made-up sessions, over loopback.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::bridge::Reached;
use crate::config::settings::Listen;

mod crowd;

/// A running server; dropped with its runtime.
struct Running {
    addresses: Vec<(Protocol, SocketAddr)>,
    stopping: CancellationToken,
    ended: JoinHandle<()>,
}

/// One listener a protocol, sessions as `serve` makes them.
fn start<F>(limits: Limits, patience: Duration, serve: F) -> Running
where
    F: Fn(Protocol, TcpStream) -> Session + Clone + Send + 'static,
{
    start_with(limits, patience, move |protocol, app, standing: Standing| {
        standing.reach(Reached::Right); // None of these gives its seat away.
        let session = serve(protocol, app);
        Box::pin(async move { standing.until_cut(session).await.unwrap_or(Ok(())) })
    })
}

/// The same with sessions that know how far they have come.
fn start_with<F>(limits: Limits, patience: Duration, serve: F) -> Running
where
    F: Fn(Protocol, TcpStream, Standing) -> Session + Clone + Send + 'static,
{
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listen = Listen { pop3: vec![any], imap: vec![any], smtp: vec![any], ..Listen::default() };
    let listeners = listen::bind(&listen).unwrap();
    let addresses = listeners.iter().map(|listener| (listener.protocol, listener.address)).collect();
    let stopping = CancellationToken::new();
    let ended =
        tokio::spawn(serve_all(listeners, limits, Door::default(), stopping.clone(), patience, serve));
    Running { addresses, stopping, ended }
}

/// Greets, and stays until the app hangs up.
fn greet(_: Protocol, mut app: TcpStream) -> Session {
    Box::pin(async move {
        app.write_all(b"ready\r\n").await?;
        app.read_to_end(&mut Vec::new()).await.map(|_| ())
    })
}

/// A connected app and the first line it hears.
async fn visit(address: SocketAddr) -> (TcpStream, String) {
    let mut app = TcpStream::connect(address).await.unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        match app.read_u8().await {
            Ok(octet) => line.push(octet),
            Err(_) => break,
        }
    }
    (app, String::from_utf8(line).unwrap())
}

/// A seat is free a moment after its session ended; a minute would be a fault.
async fn served_at_last(address: SocketAddr) {
    let tries = async { while visit(address).await.1 != "ready\r\n" {} };
    timeout(Duration::from_secs(60), tries).await.expect("no seat became free");
}

#[tokio::test]
async fn every_protocol_is_served_and_small_writes_are_not_held_back() {
    let (told, mut seen) = mpsc::unbounded_channel();
    let server = start(Limits::default(), Duration::ZERO, move |protocol, app: TcpStream| {
        told.send((protocol, app.local_addr().unwrap(), app.nodelay().unwrap())).unwrap();
        greet(protocol, app)
    });
    for (protocol, address) in &server.addresses {
        assert_eq!(visit(*address).await.1, "ready\r\n");
        assert_eq!(seen.recv().await.unwrap(), (*protocol, *address, true));
    }
}

/// RFC 3206 §4, RFC 3501 §7.1.5, RFC 5321 §3.8: one line in the protocol's own words, then the end.
#[tokio::test]
async fn past_the_limit_an_app_is_told_in_its_own_protocol() {
    let server = start(Limits::new(1, 1, 1, 1), Duration::ZERO, greet);
    let first = visit(server.addresses[0].1).await.0;
    for (protocol, address) in &server.addresses {
        let (mut app, line) = visit(*address).await;
        let expected = match protocol {
            Protocol::Pop3 => "-ERR [SYS/TEMP] ",
            Protocol::Imap => "* BYE [UNAVAILABLE] ",
            Protocol::Smtp => "421 4.3.2 ",
            _ => unreachable!("no listener with TLS here"),
        };
        assert!(line.starts_with(expected) && line.ends_with("\r\n"), "{line}");
        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "closed behind it");
    }
    drop(first);
    served_at_last(server.addresses[1].1).await;
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only_and_frees_its_seat() {
    let server = start(Limits::new(1, 1, 1, 1), Duration::ZERO, |protocol, app| match protocol {
        Protocol::Imap => Box::pin(async move {
            drop(app);
            panic!("a test's own");
        }),
        _ => greet(protocol, app),
    });
    for _ in 0..3 {
        assert_eq!(visit(server.addresses[1].1).await.1.find("ready"), None);
    }
    served_at_last(server.addresses[0].1).await;
    assert!(!server.ended.is_finished());
}

/// A failing session is no fault of the server.
#[tokio::test]
async fn an_error_ends_its_own_connection_only() {
    let server = start(Limits::default(), Duration::ZERO, |protocol, app| match protocol {
        Protocol::Smtp => Box::pin(async { Err(io::ErrorKind::ConnectionReset.into()) }),
        _ => greet(protocol, app),
    });
    assert_eq!(visit(server.addresses[2].1).await.1, "");
    assert_eq!(visit(server.addresses[0].1).await.1, "ready\r\n");
}

#[tokio::test]
async fn stopping_closes_the_listeners_and_waits_for_sessions_that_end() {
    let hour = Duration::from_secs(3600);
    // As the drivers hear of it by their context.
    let told = CancellationToken::new();
    let token = told.clone();
    let server = start(Limits::default(), hour, move |_, mut app| {
        let token = token.clone();
        Box::pin(async move {
            app.write_all(b"ready\r\n").await?;
            token.cancelled().await;
            app.write_all(b"bye\r\n").await
        })
    });
    let (mut app, _) = visit(server.addresses[0].1).await;
    server.stopping.cancel();
    told.cancel();
    server.ended.await.unwrap();
    let mut rest = String::new();
    app.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "bye\r\n");
    for (_, address) in server.addresses {
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn a_session_that_does_not_end_is_cut_off() {
    let server = start(Limits::default(), Duration::from_millis(10), greet);
    let (mut app, _) = visit(server.addresses[1].1).await;
    server.stopping.cancel();
    server.ended.await.unwrap();
    assert_eq!(app.read(&mut [0]).await.unwrap_or(0), 0);
}

/// A bridge that restarts finds its ports again although an app's connection of before still lingers.
#[tokio::test]
async fn the_ports_are_free_again_after_a_stop() {
    let server = start(Limits::default(), Duration::from_millis(10), greet);
    let (_app, _) = visit(server.addresses[0].1).await;
    server.stopping.cancel();
    server.ended.await.unwrap();
    let listen = Listen { pop3: vec![server.addresses[0].1], ..Listen::default() };
    listen::bind(&listen).unwrap();
}

#[tokio::test]
async fn the_settings_become_listeners() {
    let text = r#"
        [listen]
        pop3 = ["127.0.0.1:0", "127.0.0.1:0"]
        imap = ["127.0.0.1:0"]
        smtp = []
        [tls]
        roots = "bundled"
        [[account]]
        address = "ana@example.org"
        imap = { host = "imap.example.org", port = 993, security = "tls" }
    "#;
    let settings = crate::config::parse(text, std::path::Path::new("footbridge.toml")).unwrap();
    let server = Server::bind(&settings).await.unwrap();
    let bound = server.bound();
    assert_eq!((bound.pop3.len(), bound.imap.len(), bound.smtp.len()), (2, 1, 0));
    let stopping = CancellationToken::new();
    let running = tokio::spawn(server.run(stopping.clone()));
    let app = TcpStream::connect(bound.imap[0]).await;
    assert!(app.is_ok());
    drop(app);
    stopping.cancel();
    running.await.unwrap();
}
