//! What holds for the drivers of all three protocols alike.

use std::net::TcpListener;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::auth::Passwords;
use crate::config;
use crate::mail::Deadlines;
use crate::mail::KeyChoice;

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Pop3,
    Imap,
    Smtp,
}

/// One thing an app says; `{w}` is a password, `{b}` the same with the name as base64 has it for PLAIN, `{n}` and `{p}`
/// name and password as base64 has them for LOGIN.
const POP3: &[&str] = &[
    "USER ana@gmx.net",
    "USER eve@gmx.net",
    "PASS {w}",
    "PASS",
    "APOP ana@gmx.net {w}",
    "AUTH PLAIN {b}",
    "AUTH PLAIN =",
    "AUTH PLAIN",
    "AUTH LOGIN",
    "AUTH LOGIN {n}",
    "AUTH",
    "CAPA",
    "STLS",
    "STAT",
    "RETR 1",
    "QUIT",
];
const IMAP: &[&str] = &[
    "a LOGIN ana@gmx.net \"{w}\"",
    "a LOGIN \"ana@gmx.net\" {w}",
    "a LOGIN {11+}\r\nana@gmx.net \"{w}\"",
    "a LOGIN {11}\r\nana@gmx.net \"{w}\"",
    "a LOGIN ana@gmx.net",
    "a AUTHENTICATE PLAIN {b}",
    "a AUTHENTICATE PLAIN =",
    "a AUTHENTICATE PLAIN",
    "a AUTHENTICATE LOGIN",
    "a AUTHENTICATE XOAUTH2 {b}",
    "a CAPABILITY",
    "a NOOP",
    "a STARTTLS",
    "a SELECT INBOX",
    "a LOGOUT",
];
const SMTP: &[&str] = &[
    "EHLO old.example",
    "HELO old.example",
    "AUTH PLAIN {b}",
    "AUTH PLAIN =",
    "AUTH PLAIN",
    "AUTH LOGIN",
    "AUTH LOGIN {n}",
    "AUTH",
    "MAIL FROM:<ana@gmx.net>",
    "MAIL FROM:<ana@gmx.net> AUTH=<>",
    "RCPT TO:<bob@gmx.net>",
    "DATA",
    "RSET",
    "STARTTLS",
    "QUIT",
];
/// Answers within an exchange, and what is none of these.
const ANYWHERE: &[&str] = &["{b}", "{n}", "{p}", "{n}\r\n{p}", "*", "=", "", "{w}", ".", "\u{e4}"];

impl Protocol {
    fn says(self) -> impl Strategy<Value = String> {
        let own = match self {
            Self::Pop3 => POP3,
            Self::Imap => IMAP,
            Self::Smtp => SMTP,
        };
        prop_oneof![3 => select(own), 1 => select(ANYWHERE)].prop_map(str::to_owned)
    }

    async fn serve(self, app: tokio::io::DuplexStream, context: Context) {
        // However the connection ended.
        let _ = match self {
            Self::Pop3 => pop3::serve(app, context).await,
            Self::Imap => imap::serve(app, context).await,
            Self::Smtp => smtp::serve(app, context).await,
        };
    }
}

fn filled_in(said: &str, password: &str) -> String {
    let base64 = |text: &str| BASE64_STANDARD.encode(text);
    said.replace("{w}", password)
        .replace("{b}", &base64(&format!("\0ana@gmx.net\0{password}")))
        .replace("{n}", &base64("ana@gmx.net"))
        .replace("{p}", &base64(password))
}

/// The secret that upstream would be shown: a variable that cargo sets for every test.
const STORED: &str = env!("CARGO_PKG_NAME");

/// A bridge whose account has a bridge password, and upstream's port, to which nobody listens but the system.
struct Bridge {
    upstream: TcpListener,
    context: Context,
    right: String,
    text: String,
    state: tempfile::TempDir,
}

impl Bridge {
    fn new(app_tls: AppTls) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
        upstream.set_nonblocking(true).expect("set");
        let port = upstream.local_addr().expect("bound").port();
        let server = format!("{{ host = \"127.0.0.1\", port = {port} }}");
        let text = format!(
            "[[account]]\naddress = \"ana@gmx.net\"\nsecret = {{ env = \"CARGO_PKG_NAME\" }}\nimap = {server}\nsmtp = {server}\n"
        );
        let settings = config::parse(&text, Path::new("test.toml")).expect("a good configuration");
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("state");
        let made = Passwords::new(Some(&path)).make("ana@gmx.net", None).expect("made");
        let right = made.password.expose_str().expect("ASCII").to_owned();
        let connector = Connector::new(settings.tls, Deadlines::default());
        let context =
            Context { app_tls, ..Context::new(&settings.accounts, connector, 0, Stores::new(Some(&path))) };
        Self { upstream, context, right, text, state }
    }

    fn state(&self) -> std::path::PathBuf {
        self.state.path().join("state")
    }

    /// One app's whole stay, and what it heard.
    fn hear(&self, protocol: Protocol, said: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let (mut app, app_side) = duplex(1 << 16);
            let app = async {
                app.write_all(said.as_bytes()).await.expect("there is room");
                app.shutdown().await.expect("shut");
                let mut heard = Vec::new();
                // A bridge that hangs up on what it has not read resets.
                let _ = app.read_to_end(&mut heard).await;
                String::from_utf8_lossy(&heard).into_owned()
            };
            tokio::join!(app, protocol.serve(app_side, self.context.clone())).0
        })
    }

    fn upstream_was_asked(&self) -> bool {
        self.upstream.accept().is_ok()
    }
}

/// What resembles the right one and is not.
fn wrong(right: &str, how: usize) -> String {
    let changed = right.chars().rev().enumerate();
    let changed =
        changed.map(|(at, c)| if at == how % right.len() { if c == 'a' { 'b' } else { 'a' } } else { c });
    match how % 6 {
        0 => STORED.to_owned(),
        1 => right.chars().skip(1).collect(),
        2 => format!("{right}a"),
        3 => format!("{right}\u{0}"),
        4 => String::new(),
        _ => changed.collect::<Vec<_>>().into_iter().rev().collect(),
    }
}

fn never_goes_upstream(protocol: Protocol) {
    let tls = select(vec![AppTls::Off, AppTls::Offered, AppTls::Required, AppTls::Upgraded]);
    let said = vec((protocol.says(), any::<usize>()), 0..12);
    proptest!(ProptestConfig { cases: 64, ..ProptestConfig::default() }, |(tls in tls, said in said)| {
        let bridge = Bridge::new(tls);
        // Not by chance what it was: a dash changed to a letter makes it too long.
        let said = said.iter().map(|(said, how)| filled_in(said, &wrong(&bridge.right, *how)) + "\r\n");
        let said = said.collect::<String>();
        let heard = bridge.hear(protocol, &said);
        prop_assert!(!bridge.upstream_was_asked(), "{said}\n{heard}");
    });
}

#[test]
fn whatever_a_pop3_app_says_a_wrong_bridge_password_never_goes_upstream() {
    never_goes_upstream(Protocol::Pop3);
}

#[test]
fn whatever_an_imap_app_says_a_wrong_bridge_password_never_goes_upstream() {
    never_goes_upstream(Protocol::Imap);
}

#[test]
fn whatever_an_smtp_app_says_a_wrong_bridge_password_never_goes_upstream() {
    never_goes_upstream(Protocol::Smtp);
}

/// The other side of it: with the right one each of these ways to log in has upstream asked.
#[test]
fn the_right_one_has_upstream_asked() {
    for (protocol, said) in [
        (Protocol::Pop3, "USER ana@gmx.net\r\nPASS {w}\r\n"),
        (Protocol::Pop3, "AUTH LOGIN\r\n{n}\r\n{p}\r\n"),
        (Protocol::Imap, "a LOGIN {11+}\r\nana@gmx.net \"{w}\"\r\n"),
        (Protocol::Imap, "a AUTHENTICATE PLAIN\r\n{b}\r\n"),
        (Protocol::Smtp, "EHLO x\r\nAUTH PLAIN {b}\r\n"),
        (Protocol::Smtp, "EHLO x\r\nAUTH LOGIN {n}\r\n{p}\r\n"),
    ] {
        let bridge = Bridge::new(AppTls::Off);
        let heard = bridge.hear(protocol, &filled_in(said, &bridge.right));
        assert!(bridge.upstream_was_asked(), "{protocol:?} {said}\n{heard}");
    }
}

/// An app that is gone is noticed while its password is judged: a reset at once, an end as what it is.
#[tokio::test]
async fn a_judgement_is_over_when_the_app_resets_and_goes_on_when_it_only_ends_its_direction() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    for resets in [true, false] {
        let app = tokio::net::TcpStream::connect(listener.local_addr().expect("bound")).await.expect("taken");
        let mut accepted = Buffered::new(listener.accept().await.expect("an app").0);
        let standing = Standing::default();
        let judged = async {
            standing.hung_up().await;
            7
        };
        if resets {
            socket2::SockRef::from(&app).set_linger(Some(std::time::Duration::ZERO)).expect("a TCP socket");
        }
        drop(app);
        let outcome = watched(&mut accepted, &standing, judged).await;
        assert!(if resets { outcome.is_err() } else { matches!(outcome, Ok(7)) }, "{outcome:?}");
        assert_eq!(standing.reached() == Reached::HungUp, !resets);
    }
}

/// Commands sent ahead are kept, and only so many of them.
#[tokio::test]
async fn what_an_app_sends_behind_its_guess_is_kept_up_to_a_bound() {
    let (mut app, accepted) = duplex(1 << 20);
    let mut accepted = Buffered::new(accepted);
    app.write_all(&vec![b'x'; 1 << 20]).await.expect("room");
    let judged = tokio::task::yield_now();
    watched(&mut accepted, &Standing::default(), judged).await.expect("the app is there");
    let held = accepted.input().len();
    assert!((1..=SENT_AHEAD + 64 * 1024).contains(&held), "{held}");
}

/// RFC 2449 §8, RFC 3206 §4; RFC 5530 §3, with an ALERT; RFC 4954 §6. Upstream is not asked, and the log says it once.
#[test]
fn an_account_that_needs_a_sign_in_says_so_in_each_protocol() {
    let bridge = Bridge::new(AppTls::Off);
    let state = bridge.state();
    let account = Account {
        secret: crate::mail::account::SecretSource::Vault,
        ..(*config::parse(&bridge.text, Path::new("test.toml")).expect("good").accounts[0]).clone()
    };
    let account = Arc::new(account);
    let connector = bridge.context.connector.clone();
    let stores = Stores::open(Some(&state), KeyChoice::File, [&account], &connector).expect("a folder");
    let bridge = Bridge { context: Context::new(&[account], connector, 0, stores), ..bridge };
    let shown = shown::Shown::begin();
    for (protocol, said, answers) in [
        (Protocol::Pop3, "USER ana@gmx.net\r\nPASS {w}\r\n", &["-ERR [SYS/PERM] ana@gmx.net: "][..]),
        (
            Protocol::Imap,
            "a LOGIN ana@gmx.net {w}\r\n",
            &["* OK [ALERT] ana@gmx.net: ", "a NO [AUTHENTICATIONFAILED] ana@gmx.net: "],
        ),
        (Protocol::Smtp, "EHLO x\r\nAUTH PLAIN {b}\r\n", &["535 5.7.8 ana@gmx.net: "]),
    ] {
        let heard = bridge.hear(protocol, &filled_in(said, &bridge.right));
        for answer in answers {
            let told = heard.lines().any(|line| {
                line.starts_with(answer) && line.ends_with("run: footbridge account sign-in ana@gmx.net")
            });
            assert!(told, "{answer}\n{heard}");
        }
    }
    assert!(!bridge.upstream_was_asked());
    let log = shown.text();
    assert_eq!(
        log.lines().filter(|line| line.contains("WARN") && line.contains("sign-in")).count(),
        1,
        "{log}"
    );
}
