//! Accounts whose provider takes access tokens only: mail programs with bridge passwords on one side, on the other a
//! real Dovecot and a real Postfix, which ask an authorization server of the test's own whose tokens they are shown.
//!
//! The bridge is the program itself, as a child. Each test has a user of its own.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod faults;
mod guesses;
mod logins;
mod rotation;
mod secrecy;

use std::net::SocketAddr;
use std::sync::OnceLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use support::authority::Authority;
use support::bridge::{Config, Home, Program, Remote};
use support::dovecot::Dovecot;
use support::imap::Imap;
use support::pop3::Pop3;
use support::postfix::Postfix;
use support::vault;
use support::wire::Wire;

/// A provider.
struct World {
    authority: Authority,
    dovecot: Dovecot,
    postfix: OnceLock<Postfix>,
}

/// The one that the tests share.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let authority = Authority::start();
        let dovecot = Dovecot::for_tokens(&authority.introspection("world"));
        World { authority, dovecot, postfix: OnceLock::new() }
    })
}

impl World {
    fn postfix(&self) -> &Postfix {
        self.postfix.get_or_init(|| Postfix::start(self.dovecot.auth_port()))
    }

    /// An account with both servers.
    fn config(&self, address: &str) -> Config {
        self.config_with(address, &self.dovecot.imaps(), &self.postfix().smtps())
    }

    fn config_with(&self, address: &str, imap: &Remote, smtp: &Remote) -> Config {
        let config = Config::new(address, imap).smtp(smtp);
        let config = config.account("auth = \"oauth2\"").account("oauth2 = \"tests\"");
        // No keychain of whoever runs the tests is asked.
        let config = config.setting("vault.key = \"file\"");
        self.authority.toml().iter().fold(config, |config, line| config.setting(line))
    }
}

/// An account that is signed in, and the bridge password of its apps.
struct Account {
    address: String,
    password: String,
    home: Home,
}

impl Account {
    /// Its access token ends so many seconds from now.
    fn new(address: &str, config: &Config, ends: i64) -> Self {
        let home = Home::new(config);
        vault::sign_in(&home.state(), &world().authority, address, ends);
        let password = home.bridge_password(address);
        Self { address: address.to_owned(), password, home }
    }

    async fn pop3(&self, bridge: &Program) -> Pop3 {
        Pop3::login(bridge.pop3(), &self.address, &self.password).await
    }

    async fn imap(&self, bridge: &Program) -> Imap {
        let wire = Wire::connect(bridge.imap()).await.expect("the bridge answers");
        Imap::login(wire, &self.address, &self.password).await
    }

    async fn smtp(&self, bridge: &Program) -> Wire {
        let (app, answer) = self.try_smtp(bridge.smtp()).await;
        assert!(answer.starts_with("235 "), "{answer}\n{}", world().postfix().log());
        app
    }

    /// What the login is answered, by POP3.
    async fn try_pop3(&self, bridge: SocketAddr) -> (Wire, String) {
        let mut app = Wire::connect(bridge).await.expect("the bridge answers");
        app.expect("+OK").await;
        app.ask(&format!("USER {}", self.address), "+OK").await;
        app.say(&format!("PASS {}", self.password)).await;
        let answer = app.hear().await;
        (app, answer)
    }

    /// The same by IMAP: what comes untagged before it, one line each.
    async fn try_imap(&self, bridge: SocketAddr) -> (Wire, String) {
        let mut app = Wire::connect(bridge).await.expect("the bridge answers");
        app.expect("* OK").await;
        app.say(&format!("a LOGIN {} {}", self.address, self.password)).await;
        let mut answer = String::new();
        loop {
            let line = app.hear().await;
            answer.push_str(&line);
            if line.starts_with("a ") {
                return (app, answer);
            }
            answer.push('\n');
        }
    }

    /// The same by SMTP.
    async fn try_smtp(&self, bridge: SocketAddr) -> (Wire, String) {
        let mut app = Wire::connect(bridge).await.expect("the bridge answers");
        app.expect("220").await;
        app.say("EHLO old.example").await;
        while !app.hear().await.starts_with("250 ") {}
        let offer = BASE64_STANDARD.encode(format!("\0{}\0{}", self.address, self.password));
        app.say(&format!("AUTH PLAIN {offer}")).await;
        let answer = app.hear().await;
        (app, answer)
    }

    /// The answers to a login by POP3, IMAP and SMTP.
    async fn answers(&self, bridge: &Program) -> [String; 3] {
        let (mut app, pop3) = self.try_pop3(bridge.pop3()).await;
        // Who hears its goodbye has left its session upstream to whoever comes next.
        app.ask("QUIT", "+OK").await;
        [pop3, self.try_imap(bridge.imap()).await.1, self.try_smtp(bridge.smtp()).await.1]
    }
}

/// From MAIL to the answer behind the dot; the session stays.
async fn submit(app: &mut Wire, from: &str, recipient: &str, subject: &str) {
    app.ask(&format!("MAIL FROM:<{from}>"), "250").await;
    app.ask(&format!("RCPT TO:<{recipient}@example.test>"), "250").await;
    app.ask("DATA", "354").await;
    app.say(&format!("From: {from}\r\nSubject: {subject}\r\n\r\nhello\r\n.")).await;
    app.expect("250").await;
}
