//! The computer moves to another network, or somebody on the way forgets its connections; the program itself, a real
//! Dovecot and a real Postfix, in networks of their own.
//!
//! An app must not wait for minutes: it has an answer, or a new connection, within ten seconds, in IMAP's IDLE within sixty.

#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::time::timeout;

use support::bridge::{Config, Program};
use support::dovecot::{Dovecot, PASSWORD};
use support::imap::Imap;
use support::mail;
use support::network::Network;
use support::pop3::{Pop3, as_pop3_has_it};
use support::postfix::Postfix;
use support::wire::Wire;

const USER: &str = "ana@example.org";

/// Far below the 55 seconds and more of a silence that is noticed by nothing but its length, and far above the ten seconds
/// of the rule, for a computer that is busy with other tests: it tells the one from the other.
const SOON: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, answer: impl Future<Output = T>) -> T {
    timeout(SOON, answer).await.unwrap_or_else(|_| panic!("{what}: silence"))
}

/// A provider with some mail, and a computer with a bridge to it.
struct Scene {
    network: Network,
    dovecot: Dovecot,
    messages: Vec<Vec<u8>>,
}

impl Scene {
    fn new(sizes: &[usize]) -> Self {
        let network = Network::new();
        let dovecot = network.provider(Dovecot::abroad);
        let messages: Vec<_> = sizes.iter().map(|octets| mail::large(*octets)).collect();
        network.provider(|| {
            run(async {
                let mut direct = Imap::direct(dovecot.imaps().port, USER).await;
                for message in &messages {
                    let done = direct.append("INBOX", message).await;
                    assert!(done.contains(" OK "), "{done}");
                }
            });
        });
        Self { network, dovecot, messages }
    }

    fn config(&self) -> Config {
        Config::new(USER, &self.dovecot.imaps())
    }

    /// What apps of the computer do, while it has a bridge.
    fn play(&self, config: &Config, apps: impl AsyncFnOnce(&Program) + Send) {
        self.network.computer(|| {
            let bridge = Program::start(config, "debug");
            run(apps(&bridge));
        });
    }

    /// The computer is in another network. A test that ends before the bridge has found out shows something else.
    fn move_on_and_until(&self, bridge: &Program, found: &str) {
        let before = self.network.address();
        self.network.move_on();
        bridge.until(&format!("this computer no longer has the address {before}"));
        bridge.until(found);
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

async fn checks_mail(bridge: &Program) {
    let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
    app.ok("STAT").await;
    app.ok("QUIT").await;
}

/// A connection that was used a moment ago is given up and replaced in mid-command, unseen.
#[test]
fn a_pop3_session_goes_on_in_another_network() {
    let scene = Scene::new(&[200_000, 200_000, 300_000]);
    scene.play(&scene.config(), async |bridge| {
        let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        assert_eq!(app.lines("RETR 1").await, as_pop3_has_it(&scene.messages[0]));
        let before = scene.network.address();
        scene.network.move_on();
        let body = soon("RETR", app.lines("RETR 3")).await;
        assert_eq!(body, as_pop3_has_it(&scene.messages[2]));
        bridge.until(&format!("this computer no longer has the address {before}"));
        soon("a new login", checks_mail(bridge)).await;
        soon("QUIT", app.ok("QUIT")).await;
    });
}

/// A login that begins in the new network waits for nothing of the old one, where another app still waits.
#[test]
fn a_new_login_works_at_once() {
    let scene = Scene::new(&[200_000, 300_000]);
    scene.play(&scene.config(), async |bridge| {
        let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        assert_eq!(app.lines("RETR 1").await, as_pop3_has_it(&scene.messages[0]));
        scene.network.move_on();
        let (body, ()) =
            tokio::join!(soon("RETR", app.lines("RETR 2")), soon("a new login", checks_mail(bridge)),);
        assert_eq!(body, as_pop3_has_it(&scene.messages[1]));
    });
}

/// A body that is not whole is never ended with a dot (RFC 1939 §3): the app's connection ends.
#[test]
fn a_body_half_way_ends_without_a_dot() {
    let scene = Scene::new(&[30_000_000]);
    scene.play(&scene.config(), async |bridge| {
        let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        app.ok("RETR 1").await;
        let mut heard = app.wire().hear_exactly(1_000_000).await;
        scene.network.move_on();
        heard.extend(soon("the rest", app.wire().hear_to_the_end()).await);
        let whole = &scene.messages[0];
        assert!(heard.len() < whole.len() && whole.starts_with(&heard), "{} octets", heard.len());
        soon("a new login", checks_mail(bridge)).await;
    });
}

/// A session upstream whose app has left costs the next login nothing, whether its end has been found or not.
#[test]
fn a_session_held_from_the_old_network_is_in_nobodys_way() {
    let scene = Scene::new(&[1000]);
    scene.play(&scene.config(), async |bridge| {
        checks_mail(bridge).await;
        scene.move_on_and_until(bridge, "a session that was left alone is over");
        soon("a login", checks_mail(bridge)).await;
        scene.network.move_on();
        soon("a login", checks_mail(bridge)).await;
    });
}

/// An app that waits for news learns that there will be none, and why (RFC 2177, RFC 3501 §7.1.5).
#[test]
fn an_imap_app_in_idle_hears_bye() {
    let scene = Scene::new(&[1000]);
    scene.play(&scene.config(), async |bridge| {
        let mut app = Imap::through(bridge.imap(), USER).await;
        app.ok("SELECT INBOX").await;
        app.send("IDLE").await;
        app.wire().expect("+").await;
        scene.network.move_on();
        soon("IDLE", app.wire().expect("* BYE [UNAVAILABLE] ")).await;
        assert_eq!(soon("the end", app.wire().hear_to_the_end()).await, b"");
        let again = async {
            let mut app = Imap::through(bridge.imap(), USER).await;
            app.ok("SELECT INBOX").await;
        };
        soon("a new login", again).await;
    });
}

/// RFC 5321 §4.2.5: 451 for what did not go through, once, and the app's next attempt goes through, also over the same
/// connection of the app.
#[test]
fn a_message_half_way_is_refused_for_now_and_the_next_one_goes_out() {
    let scene = Scene::new(&[]);
    let postfix = scene.network.provider(|| Postfix::abroad(scene.dovecot.auth_port()));
    let config = scene.config().smtp(&postfix.smtps());
    scene.play(&config, async |bridge| {
        let mut app = ready_to_send(bridge).await;
        begin_message(&mut app).await;
        app.say("Subject: the first\r\n\r\nhalf").await;
        scene.network.move_on();
        app.say("the other half\r\n.").await;
        soon("the dot", app.expect("451")).await;

        begin_message(&mut app).await;
        scene.network.move_on();
        soon("the dot", app.ask("Subject: the second\r\n\r\nwhole\r\n.", "451")).await;

        scene.network.move_on();
        soon("MAIL", begin_message(&mut app)).await;
        app.ask("Subject: the third\r\n\r\nwhole\r\n.", "250").await;
        app.ask("QUIT", "221").await;
    });
    let delivered = postfix.delivered("bob", 1);
    let [one] = delivered.as_slice() else { panic!("{} messages came", delivered.len()) };
    assert!(String::from_utf8_lossy(one).contains("Subject: the third"));
}

/// An app that keeps its connection between two messages waits no five minutes for the answer to the next (RFC 5321
/// §4.5.3.2.2), and learns nothing of what was lost.
#[test]
fn a_way_to_send_that_was_forgotten_is_replaced() {
    let scene = Scene::new(&[]);
    let postfix = scene.network.provider(|| Postfix::abroad(scene.dovecot.auth_port()));
    let config = scene.config().smtp(&postfix.smtps());
    scene.play(&config, async |bridge| {
        let mut app = ready_to_send(bridge).await;
        // The rule is about a session that was left alone for ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        scene.network.forget_connections();
        soon("the envelope", begin_message(&mut app)).await;
        app.ask("Subject: it goes on\r\n\r\nwhole\r\n.", "250").await;
        app.ask("QUIT", "221").await;
    });
    assert_eq!(postfix.delivered("bob", 1).len(), 1);
}

async fn ready_to_send(bridge: &Program) -> Wire {
    let mut app = Wire::connect(bridge.smtp()).await.expect("the bridge answers");
    app.expect("220").await;
    app.say("EHLO old.example").await;
    while !app.hear().await.starts_with("250 ") {}
    let login = BASE64_STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    app.ask(&format!("AUTH PLAIN {login}"), "235").await;
    app
}

async fn begin_message(app: &mut Wire) {
    app.ask(&format!("MAIL FROM:<{USER}>"), "250").await;
    app.ask("RCPT TO:<bob@example.test>", "250").await;
    app.ask("DATA", "354").await;
}

/// What began in the old network is begun again in the new one: the app's login takes seconds and works.
#[test]
fn an_attempt_to_connect_is_made_again_in_the_new_network() {
    let scene = Scene::new(&[1000]);
    scene.play(&scene.config(), async |bridge| {
        scene.network.go_silent();
        let mut app = Pop3::connect(bridge.pop3()).await;
        app.ok(&format!("USER {USER}")).await;
        app.wire().say(&format!("PASS {PASSWORD}")).await;
        scene.network.until_connecting();
        scene.network.move_on();
        soon("PASS", app.wire().expect("+OK")).await;
        soon("STAT", app.ok("STAT")).await;
    });
}

/// A router forgets a connection that nobody used for long, or all of them; the computer's address stays.
#[test]
fn a_connection_that_was_forgotten_on_the_way_is_replaced() {
    let scene = Scene::new(&[200_000, 200_000, 300_000]);
    scene.play(&scene.config(), async |bridge| {
        let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        assert_eq!(app.lines("RETR 1").await, as_pop3_has_it(&scene.messages[0]));
        // The rule is about a session that was left alone for ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        scene.network.forget_connections();
        let body = soon("RETR", app.lines("RETR 3")).await;
        assert_eq!(body, as_pop3_has_it(&scene.messages[2]));
        soon("a new login", checks_mail(bridge)).await;
        soon("QUIT", app.ok("QUIT")).await;
        // One that is held is found out by the login that wants it.
        scene.network.forget_connections();
        soon("a login", checks_mail(bridge)).await;
        assert!(!bridge.log().contains("no longer has the address"));
    });
}
