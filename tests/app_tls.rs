//! TLS between an app and the bridge, in all three protocols.

mod support;

use std::path::Path;
use std::sync::Arc;

use footbridge::mail::AppTls;
use footbridge::net::LocalTls;
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use support::bridge::{Config, InProcess, Remote};
use support::scripted::Begin;
use support::wire::{End, Wire};

/// The beginning of a greeting, what begins TLS, and the beginning of its answer.
const POP3: [&str; 3] = ["+OK", "STLS", "+OK"];
const IMAP: [&str; 3] = ["* OK", "t STARTTLS", "t OK"];
const SMTP: [&str; 3] = ["220", "STARTTLS", "220"];

struct Bridge {
    bridge: InProcess,
    client: Arc<ClientConfig>,
    _state: TempDir,
}

impl Bridge {
    /// Plain ports with `[tls] local` as given, and ports with TLS beside them.
    async fn start(local: &str) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let nobody = Remote { host: "127.0.0.1".into(), port: 9, security: Begin::Tls };
        let mut config = Config::new("ana@example.org", &nobody).setting(&format!("tls.local = \"{local}\""));
        for key in ["pop3s", "imaps", "smtps"] {
            config = config.setting(&format!("listen.{key} = [\"127.0.0.1:0\"]"));
        }
        let mut settings = config.parsed();
        settings.state = Some(state.path().join("state"));
        let bridge = InProcess::start(settings.clone()).await;
        let tls = LocalTls::open(&settings.certificate_source().expect("named")).expect("made by the bridge");
        let (_, pem) = tls.description().authority.expect("our own");
        Self { bridge, client: trusting(&pem), _state: state }
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
        let stranger = support::certs::client();
        assert!(app.begin_tls(stranger, "localhost").await.is_err(), "an app that does not trust us");
        bridge.secured(bridge.plain(words).await).await.expect(words[0]).await;
    }
}

#[tokio::test]
async fn without_tls_for_apps_there_is_no_state_folder() {
    let nobody = Remote { host: "127.0.0.1".into(), port: 9, security: Begin::Tls };
    let mut settings = Config::new("ana@example.org", &nobody).parsed();
    assert_eq!(settings.local_tls, AppTls::Off);
    let state = Path::new("/nowhere/that/could/be/made");
    settings.state = Some(state.to_owned());
    InProcess::start(settings).await.stopped().await;
    assert!(!state.exists());
}
