//! What an app hears when the provider cannot be reached, or is not whom it should be: an answer in bounded time
//! that tells passing faults from those that need the user, on a session that goes on; and no password leaves.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use super::{PROTOCOLS, Protocol, USER, sasl_plain};
use crate::support::PATIENCE;
use crate::support::bridge::{Config, InProcess, Remote};
use crate::support::certs::Kind;
use crate::support::dovecot::PASSWORD;
use crate::support::provider::Provider;
use crate::support::scripted::{Begin, Upstream};
use crate::support::wire::Wire;

/// How the app is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It may work later.
    Passing,
    /// The user has to do something.
    NeedsUser,
}

impl Told {
    /// RFC 2449 §8, RFC 3206; RFC 5530; RFC 4954 §6.
    fn beginning(self, protocol: Protocol) -> &'static str {
        match (protocol, self) {
            (Protocol::Pop3, Self::Passing) => "-ERR [SYS/TEMP] ana@example.org: ",
            (Protocol::Pop3, Self::NeedsUser) => "-ERR [SYS/PERM] ana@example.org: ",
            (Protocol::Imap, _) => "NO [UNAVAILABLE] ana@example.org: ",
            (Protocol::Smtp, _) => "454 4.7.",
        }
    }
}

async fn bridge_to(remote: &Remote) -> InProcess {
    let mut settings = Config::new(USER, remote).smtp(remote).parsed();
    settings.deadlines.connect = Duration::from_millis(500);
    settings.deadlines.handshake = Duration::from_millis(500);
    settings.deadlines.greeting = Duration::from_millis(500);
    InProcess::start(settings).await
}

/// Logs in by one protocol and checks answer and session.
async fn told(protocol: Protocol, bridge: &InProcess, told: Told, words: &str) {
    let mut app = protocol.open(bridge).await;
    let answer = protocol.log_in(&mut app).await;
    let beginning = told.beginning(protocol);
    assert!(answer.starts_with(beginning), "{protocol:?}: expected {beginning:?}, heard {answer:?}");
    assert!(answer.contains(words), "{protocol:?}: {words:?} is not in {answer:?}");
    assert!(!answer.contains(PASSWORD), "{protocol:?}: {answer:?}");
    protocol.goes_on(&mut app).await;
}

/// A name of the endpoint at this port.
fn at(port: u16) -> Remote {
    Remote { host: "127.0.0.1".into(), port, security: Begin::Tls }
}

#[tokio::test]
async fn refused() {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound").port();
    let bridge = bridge_to(&at(port)).await;
    for protocol in PROTOCOLS {
        told(protocol, &bridge, Told::Passing, "cannot be reached").await;
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let remote = Remote { host: "no-such-host.invalid".into(), port: 993, security: Begin::Tls };
    let mut settings = Config::new(USER, &remote).smtp(&remote).parsed();
    settings.deadlines.connect = Duration::from_secs(5);
    let bridge = InProcess::start(settings).await;
    for protocol in PROTOCOLS {
        told(protocol, &bridge, Told::Passing, "no-such-host.invalid").await;
    }
}

/// A connection that is never accepted: the listener's queue is full, so that packets vanish.
#[tokio::test]
async fn black_hole() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    socket.listen(0).expect("it listens");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    let mut filling = Vec::new();
    // As many as fit; the one that does not come through shows that the queue is full.
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        filling.push(stream);
        assert!(filling.len() < 100, "the queue has no end");
    }
    let bridge = bridge_to(&at(address.port())).await;
    for protocol in PROTOCOLS {
        told(protocol, &bridge, Told::Passing, "does not answer").await;
    }
    // Whoever was answered has left nothing behind that still tries.
    let begun = Instant::now();
    while connecting_to(address.port()) > 0 {
        assert!(begun.elapsed() < PATIENCE, "an attempt goes on for nobody");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Connections of this computer that wait for an answer from the port.
fn connecting_to(port: u16) -> usize {
    const SYN_SENT: &str = "02";
    let all = std::fs::read_to_string("/proc/net/tcp").expect("Linux tells of its connections");
    let to = format!(":{port:04X}");
    all.lines()
        .filter(|line| {
            let mut columns = line.split_whitespace().skip(2);
            columns.next().is_some_and(|peer| peer.ends_with(&to)) && columns.next() == Some(SYN_SENT)
        })
        .count()
}

/// A connection on which nobody ever speaks, neither TLS nor a greeting.
#[tokio::test]
async fn silence_instead_of_tls_and_of_a_greeting() {
    for begin in [Begin::Tls, Begin::StartTls] {
        let upstream = Upstream::bind(begin, Kind::Good).await.expect("a port");
        let bridge = bridge_to(&upstream.remote()).await;
        for protocol in PROTOCOLS {
            let app = told(protocol, &bridge, Told::Passing, "");
            let silent = async {
                let _held = upstream.accept_tcp().await.expect("the bridge connects");
                std::future::pending::<()>().await
            };
            tokio::select! { () = app => {}, () = silent => {} }
        }
    }
}

#[tokio::test]
async fn silence_after_the_handshake() {
    let upstream = Upstream::good().await;
    let bridge = bridge_to(&upstream.remote()).await;
    for protocol in PROTOCOLS {
        let silent = async {
            let _held = upstream.accepted().await;
            std::future::pending::<()>().await
        };
        tokio::select! { () = told(protocol, &bridge, Told::Passing, "greeting") => {}, () = silent => {} }
    }
}

/// RFC 8314 §4, RFC 9525: none of these is connected to, whatever begins TLS.
#[tokio::test]
async fn wrong_certificates() {
    let cases =
        [(Kind::Expired, "expired"), (Kind::WrongName, "name"), (Kind::UnknownAuthority, "authority")];
    for (kind, words) in cases {
        let upstream = Upstream::bind(Begin::Tls, kind).await.expect("a port");
        let bridge = bridge_to(&upstream.remote()).await;
        for protocol in PROTOCOLS {
            let app = told(protocol, &bridge, Told::NeedsUser, words);
            let ((), accepted) = tokio::join!(app, upstream.accept());
            assert!(accepted.is_err(), "{protocol:?}: the handshake went through");
        }
    }
}

#[tokio::test]
async fn wrong_certificates_after_starttls() {
    let upstream = Upstream::bind(Begin::StartTls, Kind::UnknownAuthority).await.expect("a port");
    let bridge = bridge_to(&upstream.remote()).await;
    for protocol in PROTOCOLS {
        let handshake = async {
            let mut wire = upstream.accepted().await;
            agree_to_starttls(protocol, &mut wire, "").await;
            wire.accept_tls(upstream.server_tls()).await
        };
        let ((), handshake) =
            tokio::join!(told(protocol, &bridge, Told::NeedsUser, "no password was sent"), handshake);
        assert!(handshake.is_err(), "{protocol:?}: the handshake went through");
    }
}

/// Greets, offers STARTTLS and agrees to it, with `behind` in the same write.
async fn agree_to_starttls(protocol: Protocol, wire: &mut Wire, behind: &str) {
    if protocol == Protocol::Smtp {
        wire.say("220 mx ESMTP").await;
        wire.expect("EHLO").await;
        wire.say("250-mx\r\n250 STARTTLS").await;
        wire.expect("STARTTLS").await;
        wire.say(&format!("220 go on{behind}")).await;
        return;
    }
    wire.say("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready").await;
    loop {
        let line = wire.hear().await;
        let (tag, command) = line.split_once(' ').expect("a tag and a command");
        match command {
            "CAPABILITY" => wire.say(&format!("* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done")).await,
            "STARTTLS" => return wire.say(&format!("{tag} OK go on{behind}")).await,
            other => panic!("in the clear: {other}"),
        }
    }
}

/// RFC 3207 §6, RFC 9051 §11.1: whoever sits between could have put them there.
#[tokio::test]
async fn octets_behind_the_starttls_reply() {
    let upstream = Upstream::bind(Begin::StartTls, Kind::Good).await.expect("a port");
    let bridge = bridge_to(&upstream.remote()).await;
    for protocol in PROTOCOLS {
        let heard = async {
            let mut wire = upstream.accepted().await;
            let behind = if protocol == Protocol::Smtp {
                "\r\n250-mx\r\n250 AUTH PLAIN"
            } else {
                "\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN"
            };
            agree_to_starttls(protocol, &mut wire, behind).await;
            wire.hear_to_the_end().await
        };
        let ((), heard) = tokio::join!(told(protocol, &bridge, Told::NeedsUser, "before"), heard);
        assert_no_password(protocol, &heard);
    }
}

/// What upstream says first, over TLS or before it, and what the app is told.
async fn greeted_with(begin: Begin, protocols: &[Protocol], said: &str, expected: Told, words: &str) {
    let upstream = Upstream::bind(begin, Kind::Good).await.expect("a port");
    let bridge = bridge_to(&upstream.remote()).await;
    for protocol in protocols {
        let heard = async {
            let mut wire = upstream.accepted().await;
            wire.say(said).await;
            wire.hear_to_the_end().await
        };
        let ((), heard) = tokio::join!(told(*protocol, &bridge, expected, words), heard);
        assert_no_password(*protocol, &heard);
    }
}

fn assert_no_password(protocol: Protocol, heard: &[u8]) {
    let heard = String::from_utf8_lossy(heard);
    for form in [PASSWORD, &sasl_plain()] {
        assert!(!heard.contains(form), "{protocol:?}: the password was sent: {heard:?}");
    }
}

const READING: [Protocol; 2] = [Protocol::Pop3, Protocol::Imap];

/// RFC 9051 §7.1.4: PREAUTH before TLS would skip STARTTLS; over TLS nobody knows whose mailbox it is.
#[tokio::test]
async fn preauth() {
    let greeting = "* PREAUTH [CAPABILITY IMAP4rev1] welcome, whoever you are";
    greeted_with(Begin::StartTls, &READING, greeting, Told::NeedsUser, "no password was sent").await;
    greeted_with(Begin::Tls, &READING, greeting, Told::NeedsUser, "").await;
}

#[tokio::test]
async fn garbage_greetings() {
    let garbage =
        ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n", "SSH-2.0-OpenSSH_9.2", "\0\u{1}\u{fffd}", ")("];
    for said in garbage {
        greeted_with(Begin::Tls, &READING, said, Told::NeedsUser, "not an IMAP server").await;
        greeted_with(Begin::StartTls, &READING, said, Told::NeedsUser, "not an IMAP server").await;
        greeted_with(Begin::Tls, &[Protocol::Smtp], said, Told::NeedsUser, "not an SMTP").await;
    }
    greeted_with(Begin::Tls, &[Protocol::Smtp], "* OK IMAP4rev1 ready", Told::NeedsUser, "not an SMTP").await;
    greeted_with(Begin::Tls, &READING, "220 mx ESMTP", Told::NeedsUser, "not an IMAP server").await;
    greeted_with(Begin::Tls, &READING, "+OK POP3 ready", Told::NeedsUser, "not an IMAP server").await;
}

#[tokio::test]
async fn greetings_that_refuse() {
    greeted_with(Begin::Tls, &READING, "* BYE [UNAVAILABLE] later", Told::Passing, "later").await;
    greeted_with(Begin::Tls, &[Protocol::Smtp], "421 4.3.2 later", Told::Passing, "later").await;
    greeted_with(Begin::Tls, &[Protocol::Smtp], "554 5.3.2 later", Told::Passing, "later").await;
}

/// RFC 3206 §4: the password that is stored here counts no longer at the provider. The app's own was right, so it is not
/// to ask its user for another; and the provider, who locks accounts, is shown the wrong one once.
#[tokio::test]
async fn a_stored_password_that_the_provider_refuses() {
    let mut provider = Provider::start(&[]).await;
    let mut stored = tempfile::NamedTempFile::new().expect("a file");
    stored.write_all(PASSWORD.as_bytes()).expect("it is written");
    let secret = format!("secret = {{ file = \"{}\" }}", stored.path().display());
    let bridge = InProcess::start(provider.config(USER).account(&secret).parsed()).await;
    for _ in 0..5 {
        let mut app = Protocol::Pop3.open(&bridge).await;
        let answer = Protocol::Pop3.log_in(&mut app).await;
        assert!(answer.starts_with(Told::NeedsUser.beginning(Protocol::Pop3)), "{answer}");
        Protocol::Pop3.goes_on(&mut app).await;
    }
    assert_eq!(provider.shown().len(), 1);
}

/// RFC 9051 §6.2.1, RFC 3207 §4: demanded and not offered, so no password leaves.
#[tokio::test]
async fn starttls_not_offered_or_refused() {
    let upstream = Upstream::bind(Begin::StartTls, Kind::Good).await.expect("a port");
    let bridge = bridge_to(&upstream.remote()).await;
    for protocol in PROTOCOLS {
        for offered in [false, true] {
            let heard = refuses_starttls(protocol, &upstream, offered);
            let ((), heard) =
                tokio::join!(told(protocol, &bridge, Told::NeedsUser, "no password was sent"), heard);
            assert_no_password(protocol, heard.as_bytes());
        }
    }
}

/// Everything that was heard in the clear.
async fn refuses_starttls(protocol: Protocol, upstream: &Upstream, offered: bool) -> String {
    let mut wire = upstream.accepted().await;
    let offer = if offered { " STARTTLS" } else { "" };
    match protocol {
        Protocol::Smtp => wire.say("220 mx ESMTP").await,
        _ => wire.say(&format!("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN{offer}] ready")).await,
    }
    let mut heard = String::new();
    loop {
        while wire.peek_line().is_none() && wire.end().is_none() {
            wire.fill().await;
        }
        let Some(line) = wire.take_line() else {
            return heard;
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        heard.push_str(&line);
        let (tag, command) = line.split_once(' ').unwrap_or(("", &line));
        let answer = match (protocol, command) {
            (Protocol::Smtp, "STARTTLS") => "454 4.7.0 not now".to_owned(),
            (Protocol::Smtp, "QUIT") => "221 bye".to_owned(),
            (Protocol::Smtp, _) if offered => "250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN".to_owned(),
            (Protocol::Smtp, _) => "250-mx\r\n250 AUTH PLAIN".to_owned(),
            (_, "CAPABILITY") => format!("* CAPABILITY IMAP4rev1 AUTH=PLAIN{offer}\r\n{tag} OK done"),
            (_, "LOGOUT") => format!("* BYE\r\n{tag} OK done"),
            _ => format!("{tag} NO not here"),
        };
        // It may have gone already.
        let _ = wire.send(format!("{answer}\r\n").as_bytes()).await;
    }
}
