//! TLS between an app and the bridge, in all three protocols.

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use footbridge::mail::AppTls;
use footbridge::net::LocalTls;
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use support::bridge::{Config, InProcess, Program, Remote};
use support::certs::{self, Kind};
use support::dovecot::PASSWORD;
use support::scripted::Begin;
use support::shelf::Shelf;
use support::wire::{End, Wire};

/// The beginning of a greeting, what begins TLS, and the beginning of its answer.
const POP3: [&str; 3] = ["+OK", "STLS", "+OK"];
const IMAP: [&str; 3] = ["* OK", "t STARTTLS", "t OK"];
const SMTP: [&str; 3] = ["220", "STARTTLS", "220"];

struct Bridge {
    bridge: InProcess,
    client: Arc<ClientConfig>,
    /// The authority, as `certificate export` writes it.
    authority: PathBuf,
    _state: TempDir,
}

impl Bridge {
    /// Plain ports with `[tls] local` as given, and ports with TLS beside them.
    async fn start(local: &str) -> Self {
        Self::before(&nobody(), local).await
    }

    /// The same before a provider that answers.
    async fn before(upstream: &Remote, local: &str) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let mut config =
            Config::new("ana@example.org", upstream).setting(&format!("tls.local = \"{local}\""));
        for key in ["pop3s", "imaps", "smtps"] {
            config = config.setting(&format!("listen.{key} = [\"127.0.0.1:0\"]"));
        }
        let mut settings = config.parsed();
        settings.state = Some(state.path().join("state"));
        let bridge = InProcess::start(settings.clone()).await;
        let tls = LocalTls::open(&settings.certificate_source().expect("named")).expect("made by the bridge");
        let (_, pem) = tls.description().authority.expect("our own");
        let authority = state.path().join("ca.pem");
        std::fs::write(&authority, &pem).expect("written");
        Self { bridge, client: trusting(&pem), authority, _state: state }
    }

    /// Each protocol's name for OpenSSL and curl, its plain port, and its port with TLS.
    fn ports(&self) -> [(&'static str, SocketAddr, SocketAddr); 3] {
        let bound = self.bridge.bound();
        [
            ("pop3", bound.pop3[0], bound.pop3s[0]),
            ("imap", bound.imap[0], bound.imaps[0]),
            ("smtp", bound.smtp[0], bound.smtps[0]),
        ]
    }

    async fn plain(&self, words: [&str; 3]) -> Wire {
        let address = match words {
            POP3 => self.bridge.pop3(),
            IMAP => self.bridge.imap(),
            _ => self.bridge.smtp(),
        };
        Wire::connect(address).await.expect("the bridge answers")
    }

    /// Greeted, and TLS begun by the command.
    async fn upgraded(&self, words: [&str; 3]) -> Wire {
        let mut app = self.plain(words).await;
        app.expect(words[0]).await;
        ehlo(&mut app, words).await;
        app.ask(words[1], words[2]).await;
        self.secured(app).await
    }

    async fn secured(&self, app: Wire) -> Wire {
        app.begin_tls(self.client.clone(), "localhost").await.expect("a certificate that the app trusts")
    }
}

fn nobody() -> Remote {
    Remote { host: "127.0.0.1".into(), port: 9, security: Begin::Tls }
}

/// How a program ended, and all that it wrote.
async fn ran(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(support::process::program(program));
    let command = command.args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(support::PATIENCE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} {arguments:?} hangs")).expect("it starts");
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

/// The first octets of an app that begins TLS.
fn client_hello(client: &Arc<ClientConfig>) -> Vec<u8> {
    let name = "localhost".try_into().expect("a valid name");
    let mut connection = ClientConnection::new(client.clone(), name).expect("a good configuration");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("memory takes it");
    hello
}

fn trusting(pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// What is offered: CAPA, CAPABILITY, or the reply to EHLO.
async fn offers(app: &mut Wire, words: [&str; 3]) -> String {
    let (ask, last) = match words {
        POP3 => ("CAPA", "."),
        IMAP => ("c CAPABILITY", "c OK"),
        _ => ("EHLO old.example", "250 "),
    };
    app.say(ask).await;
    let mut told = String::new();
    loop {
        let line = app.hear().await;
        told += &line;
        told.push('\n');
        if line.starts_with(last) {
            return told;
        }
    }
}

async fn ehlo(app: &mut Wire, words: [&str; 3]) {
    if words == SMTP {
        offers(app, words).await;
    }
}

#[tokio::test]
async fn the_ports_with_tls_greet_inside_it() {
    let bridge = Bridge::start("off").await;
    let bound = bridge.bridge.bound();
    for (words, address) in [(POP3, bound.pop3s[0]), (IMAP, bound.imaps[0]), (SMTP, bound.smtps[0])] {
        let mut app = bridge.secured(Wire::connect(address).await.expect("it answers")).await;
        app.expect(words[0]).await;
        let offered = offers(&mut app, words).await;
        assert!(!offered.contains("STLS") && !offered.contains("STARTTLS"), "{offered}");
    }
}

/// RFC 8314 §3: an app set to TLS is served on the plain port too, and one that waits for the greeting is greeted.
#[tokio::test]
async fn a_client_hello_on_a_plain_port_is_answered_by_tls() {
    for local in ["offer", "require"] {
        let bridge = Bridge::start(local).await;
        for words in [POP3, IMAP, SMTP] {
            let mut app = bridge.secured(bridge.plain(words).await).await;
            app.expect(words[0]).await;
            let offered = offers(&mut app, words).await;
            assert!(!offered.contains("STLS") && !offered.contains("STARTTLS"), "{offered}");
            assert!(
                ["USER", "AUTH=PLAIN", "AUTH PLAIN"].iter().any(|login| offered.contains(login)),
                "{offered}"
            );
            bridge.plain(words).await.expect(words[0]).await;
        }
    }
}

#[tokio::test]
async fn where_tls_is_off_nothing_is_offered_and_a_client_hello_is_no_command() {
    let bridge = Bridge::start("off").await;
    for words in [POP3, IMAP, SMTP] {
        let mut app = bridge.plain(words).await;
        app.expect(words[0]).await;
        let offered = offers(&mut app, words).await;
        assert!(!offered.contains("STLS") && !offered.contains("STARTTLS"), "{offered}");
        let app = bridge.plain(words).await;
        assert!(app.begin_tls(bridge.client.clone(), "localhost").await.is_err());
    }
}

/// RFC 2595 §4, RFC 3501 §6.2.1, RFC 3207 §4.2: no greeting again, nothing of before is remembered, nothing is offered again.
#[tokio::test]
async fn behind_the_upgrade_everything_begins_anew() {
    let bridge = Bridge::start("offer").await;
    for words in [POP3, IMAP, SMTP] {
        let mut plain = bridge.plain(words).await;
        plain.expect(words[0]).await;
        let offered = offers(&mut plain, words).await;
        assert!(offered.contains("STLS") || offered.contains("STARTTLS"), "{offered}");
        if words == POP3 {
            plain.ask("USER ana@example.org", "+OK").await;
        }
        plain.ask(words[1], words[2]).await;
        let mut app = bridge.secured(plain).await;
        match words {
            POP3 => app.ask("PASS x", "-ERR USER comes first").await,
            IMAP => app.ask("n NOOP", "n OK").await,
            _ => app.ask("AUTH PLAIN AGFuYQB4", "503").await,
        };
        let offered = offers(&mut app, words).await;
        assert!(!offered.contains("STLS") && !offered.contains("STARTTLS"), "{offered}");
        let refused = ["-ERR", "t BAD", "503"];
        app.say(words[1]).await;
        let told = app.hear().await;
        assert!(refused.iter().any(|refusal| told.starts_with(refusal)), "{told}");
    }
}

/// RFC 3207 §6: what somebody between put behind the command is neither obeyed nor kept for later.
#[tokio::test]
async fn octets_in_the_clear_behind_the_command_end_the_connection() {
    let bridge = Bridge::start("offer").await;
    for (words, behind) in [(POP3, "CAPA"), (IMAP, "x CAPABILITY"), (SMTP, "NOOP")] {
        let mut app = bridge.plain(words).await;
        app.expect(words[0]).await;
        ehlo(&mut app, words).await;
        app.send(format!("{}\r\n{behind}\r\n", words[1]).as_bytes()).await.expect("taken");
        let told = String::from_utf8(app.hear_to_the_end().await).expect("text");
        assert!(told.contains("nothing may follow ST") && told.lines().count() == 1, "{told}");
        assert_eq!(app.end(), Some(End::Closed));
    }
}

#[tokio::test]
async fn a_password_before_tls_is_refused_where_tls_is_required_and_taken_behind_it() {
    let bridge = Bridge::start("require").await;
    for words in [POP3, IMAP, SMTP] {
        let mut app = bridge.plain(words).await;
        app.expect(words[0]).await;
        let offered = offers(&mut app, words).await;
        let logins = ["USER", "SASL", "AUTH=", "AUTH PLAIN"];
        assert!(!logins.iter().any(|login| offered.contains(login)), "{offered}");
        assert_eq!(offered.contains("LOGINDISABLED"), words == IMAP, "{offered}");
        let (command, refusal) = match words {
            POP3 => ("USER ana@example.org", "-ERR [SYS/PERM] TLS comes first"),
            IMAP => ("l LOGIN ana@example.org x", "l NO [PRIVACYREQUIRED] TLS comes first"),
            _ => ("AUTH PLAIN AGFuYQB4", "530 5.7.0 TLS comes first"),
        };
        app.ask(command, refusal).await;
        // Nobody answers upstream, so the login is not good; but it is tried.
        let mut app = bridge.upgraded(words).await;
        match words {
            POP3 => app.ask(command, "+OK").await,
            IMAP => {
                app.say(command).await;
                while !app.hear().await.starts_with("l NO [UNAVAILABLE]") {}
                String::new()
            }
            _ => {
                ehlo(&mut app, words).await;
                app.ask(command, "535").await
            }
        };
    }
}

#[tokio::test]
async fn a_handshake_that_fails_ends_its_own_connection_only() {
    let bridge = Bridge::start("offer").await;
    for words in [POP3, IMAP, SMTP] {
        let app = bridge.plain(words).await;
        let stranger = certs::client();
        assert!(app.begin_tls(stranger, "localhost").await.is_err(), "an app that does not trust us");
        bridge.secured(bridge.plain(words).await).await.expect(words[0]).await;
    }
}

#[tokio::test]
async fn without_tls_for_apps_there_is_no_certificate() {
    let mut settings = Config::new("ana@example.org", &nobody()).parsed();
    assert_eq!(settings.local_tls, AppTls::Off);
    let outer = tempfile::tempdir().expect("a folder");
    let state = outer.path().join("state");
    settings.state = Some(state.clone());
    InProcess::start(settings).await.stopped().await;
    let made = std::fs::read_dir(&state)
        .expect("a bridge has it for itself")
        .map(|entry| entry.expect("one").file_name());
    assert_eq!(made.collect::<Vec<_>>(), ["bridge.lock"]);
}

/// RFC 9325 §3.1.1: TLS 1.2 is the oldest that is spoken, and an app that knows nothing newer is served.
#[tokio::test]
async fn openssl_with_tls_1_2_alone_is_served() {
    let bridge = Bridge::start("offer").await;
    let authority = bridge.authority.to_str().expect("UTF-8");
    let client = ["s_client", "-brief", "-tls1_2", "-verify_return_error", "-verify_hostname", "localhost"];
    for (name, plain, with_tls) in bridge.ports() {
        for (address, starttls) in [(plain, &["-starttls", name][..]), (with_tls, &[])] {
            let address = address.to_string();
            let place = ["-connect", &address, "-CAfile", authority];
            let (code, told) = ran("openssl", &[&client, &place[..], starttls].concat()).await;
            assert_eq!(code, Some(0), "{name}: {told}");
            assert!(
                told.contains("Protocol version: TLSv1.2") && told.contains("Verification: OK"),
                "{told}"
            );
        }
    }
}

/// RFC 9325 §3.1.1: TLS 1.0 and 1.1 are refused by an alert, and the user is told what to do about it.
#[tokio::test]
async fn openssl_with_tls_1_0_and_1_1_alone_is_refused_with_one_line_in_the_log() {
    let mut bridge =
        Program::start(&Config::new("ana@example.org", &nobody()).setting("tls.local = \"offer\""), "info");
    let ports = [("pop3", bridge.pop3()), ("imap", bridge.imap()), ("smtp", bridge.smtp())];
    for version in ["-tls1", "-tls1_1"] {
        for (name, address) in ports {
            let address = address.to_string();
            let client = ["s_client", "-brief", version, "-cipher", "DEFAULT@SECLEVEL=0"];
            let (code, told) =
                ran("openssl", &[&client[..], &["-connect", &address, "-starttls", name]].concat()).await;
            assert!(code == Some(1) && told.contains("alert"), "{name} {version}: {told}");
        }
    }
    bridge.terminate();
    let log = bridge.log();
    let cure = "the mail program's TLS is too old, 1.2 and 1.3 are spoken here; update it, or set it to no encryption";
    assert_eq!(log.matches(cure).count(), 6, "{log}");
    assert!(!log.contains("does it trust the certificate"), "{log}");
}

#[tokio::test]
async fn plain_text_on_a_port_with_tls_is_told_apart_from_a_lack_of_trust() {
    let config = Config::new("ana@example.org", &nobody()).setting("tls.local = \"offer\"");
    let mut bridge = Program::start(&config, "info");
    let mut app = Wire::connect(bridge.imap()).await.expect("it answers");
    app.expect("* OK").await;
    app.ask("t STARTTLS", "t OK").await;
    app.say("a LOGIN ana@example.org x").await;
    app.hear_to_the_end().await;
    bridge.terminate();
    let log = bridge.log();
    assert!(log.contains("what came on a port with TLS is none") && !log.contains("LOGIN"), "{log}");
}

/// RFC 8314 §3.3, RFC 2595, RFC 3207 as curl has them, which trusts nothing but the authority that was exported.
#[tokio::test]
async fn curl_is_served_on_every_port() {
    let shelf = Shelf::start(vec![b"Subject: seen by curl\r\n\r\n".to_vec()]).await;
    let bridge = Bridge::before(&shelf.remote(), "offer").await;
    let authority = bridge.authority.to_str().expect("UTF-8");
    let login = format!("ana@example.org:{PASSWORD}");
    for (name, plain, with_tls) in bridge.ports() {
        let (path, more): (&str, &[&str]) = match name {
            "pop3" => ("/1", &["-u", &login]),
            "imap" => ("/", &["-u", &login, "-X", "NOOP"]),
            _ => ("", &["-X", "NOOP"]),
        };
        let starttls = format!("{name}://localhost:{}{path}", plain.port());
        let implicit = format!("{name}s://localhost:{}{path}", with_tls.port());
        for url in [starttls, implicit] {
            let curl = ["-4", "-sS", "-v", "--ssl-reqd", "--cacert", authority, &url];
            let (code, told) = ran("curl", &[&curl[..], more].concat()).await;
            assert_eq!(code, Some(0), "{url}: {told}");
            assert!(told.contains("SSL certificate verify ok"), "{told}");
            assert!(name != "pop3" || told.contains("Subject: seen by curl"), "{told}");
        }
    }
}

/// RFC 2595 §4: STLS in AUTHORIZATION only; RFC 3501 §6.2.1: STARTTLS before login only. The session goes on.
#[tokio::test]
async fn after_a_login_tls_cannot_begin() {
    let shelf = Shelf::start(Vec::new()).await;
    let bridge = Bridge::before(&shelf.remote(), "offer").await;
    let mut app = bridge.plain(POP3).await;
    app.expect("+OK").await;
    app.ask("USER ana@example.org", "+OK").await;
    app.ask(&format!("PASS {PASSWORD}"), "+OK").await;
    app.ask("STLS", "-ERR").await;
    app.ask("NOOP", "+OK").await;

    let mut app = bridge.plain(IMAP).await;
    app.expect("* OK").await;
    app.ask(&format!("l LOGIN ana@example.org {PASSWORD}"), "l OK").await;
    let told = app.ask("t STARTTLS", "t BAD").await;
    assert!(!told.contains("shelf"), "not for upstream to answer: {told}");
    app.ask("n NOOP", "n OK").await;
}

#[tokio::test]
async fn a_client_hello_may_come_octet_by_octet() {
    let bridge = Bridge::start("offer").await;
    for words in [POP3, IMAP, SMTP] {
        let mut app = bridge.plain(words).await;
        for octet in client_hello(&bridge.client) {
            app.send(&[octet]).await.expect("taken");
        }
        // A handshake of TLS (RFC 8446 §5.1) and no greeting.
        assert_eq!(app.hear_exactly(1).await, [22]);
    }
}

/// An app that was greeted before it began has taken the greeting for TLS: nothing is left but to end, and to say why.
#[tokio::test]
async fn a_client_hello_behind_the_greeting_ends_the_connection_and_the_log_says_what_to_do() {
    let late =
        "began TLS only after it was greeted in the clear; set it to STARTTLS, or give it a port of pop3s";
    let off = "began TLS, which is off here; set it to no encryption, or set local = \"offer\"";
    for (local, cure) in [("offer", late), ("require", late), ("off", off)] {
        let config = Config::new("ana@example.org", &nobody()).setting(&format!("tls.local = \"{local}\""));
        let mut bridge = Program::start(&config, "info");
        for (words, address) in [(POP3, bridge.pop3()), (IMAP, bridge.imap()), (SMTP, bridge.smtp())] {
            let mut app = Wire::connect(address).await.expect("it answers");
            app.expect(words[0]).await;
            app.send(&client_hello(&certs::client())).await.expect("taken");
            let told = String::from_utf8(app.hear_to_the_end().await).expect("text");
            assert_eq!((told.lines().count(), app.end()), (1, Some(End::Closed)), "{told}");
        }
        bridge.terminate();
        assert_eq!(bridge.log().matches(cure).count(), 3, "{}", bridge.log());
    }
}

/// `tls.certificate` and `tls.key`, changed while the bridge runs.
struct Own {
    folder: TempDir,
    changes: u64,
}

impl Own {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), changes: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&mut self, kind: Kind) {
        let certs::Certificate { pem, key_pem, .. } = certs::certificate(kind);
        self.write("own.key", &key_pem);
        self.write("own.pem", &pem);
    }

    /// Each change is a second younger than the one before, however fast the test is.
    fn write(&mut self, name: &str, text: &str) {
        self.changes += 1;
        std::fs::write(self.path(name), text).expect("written");
        let file = std::fs::File::options().write(true).open(self.path(name)).expect("just written");
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our own file");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.changes);
        file.set_modified(time).expect("our own file");
    }
}

/// An own certificate that is changed for the worse while the bridge runs: what cannot be read is not shown, what is
/// over or not valid yet is, as it would be at a start (RFC 5280 §4.1.2.5); each is told once, not with every app.
#[tokio::test]
async fn a_certificate_that_becomes_no_use_while_the_bridge_runs_is_told_once() {
    let mut own = Own::new();
    own.put(Kind::Good);
    let mut config = Config::new("ana@example.org", &nobody()).setting("tls.local = \"offer\"");
    for (key, name) in [("certificate", "own.pem"), ("key", "own.key")] {
        config = config.setting(&format!("tls.{key} = '{}'", own.path(name).display()));
    }
    let mut bridge = Program::start(&config, "info");
    let address = bridge.pop3();
    let is_trusted = || async move {
        let mut app = Wire::connect(address).await.expect("it answers");
        app.expect("+OK").await;
        app.ask("STLS", "+OK").await;
        match app.begin_tls(certs::client(), "localhost").await {
            Ok(mut app) => {
                app.ask("QUIT", "+OK").await;
                true
            }
            Err(_) => false,
        }
    };
    assert!(is_trusted().await);
    own.write("own.pem", "half a file");
    for _ in 0..3 {
        assert!(is_trusted().await, "the one of before is shown");
    }
    own.put(Kind::Good);
    own.write("own.key", &certs::certificate(Kind::Good).key_pem);
    for _ in 0..3 {
        assert!(is_trusted().await, "a key of another certificate is not taken");
    }
    for kind in [Kind::Expired, Kind::NotYet] {
        own.put(kind);
        for _ in 0..3 {
            assert!(!is_trusted().await, "{kind:?}");
        }
    }
    own.put(Kind::Good);
    assert!(is_trusted().await);
    bridge.terminate();
    let log = bridge.log();
    for (words, times) in [
        ("own.pem: there is no certificate in this file", 1),
        ("own.key: this key does not belong to the certificate", 1),
        ("; the certificate of before is still shown to mail programs", 2),
        ("own.pem: this certificate ended on 2002-01-01", 1),
        ("own.pem: this certificate is valid from 2100-01-01", 1),
        (" a new certificate is shown to mail programs", 3),
    ] {
        assert_eq!(log.matches(words).count(), times, "{words}\n{log}");
    }
}
