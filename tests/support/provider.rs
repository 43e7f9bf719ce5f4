//! A small provider: an empty INBOX, a folder Bin for the trash, and submission that takes a login and no mail.
//!
//! What a login through the bridge, `check` and `sign-in` ask for, and no more.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::mpsc;

use super::bridge::{Config, Remote};
use super::scripted::Upstream;
use super::wire::Wire;

/// What the IMAP server can, where nothing else is said.
const CAPABILITY: &str = "IMAP4rev1 UIDPLUS MOVE SPECIAL-USE SASL-IR AUTH=PLAIN AUTH=XOAUTH2";

/// An IMAP server and a submission server, which live as long as the test's runtime.
pub struct Provider {
    pub imap: Remote,
    pub smtp: Remote,
    shown: mpsc::UnboundedReceiver<String>,
}

impl Provider {
    /// Starts both. They take these initial responses ([`plain`], [`xoauth2`]) and no others.
    pub async fn start(takes: &[String]) -> Self {
        Self::that_can(CAPABILITY, takes).await
    }

    /// The same with an IMAP server that says it can do this.
    pub async fn that_can(capability: &'static str, takes: &[String]) -> Self {
        let (imap, smtp) = (Upstream::good().await, Upstream::good().await);
        let (show, shown) = mpsc::unbounded_channel();
        let provider = Self { imap: imap.remote(), smtp: smtp.remote(), shown };
        let door = Door { takes: takes.to_vec(), show, capability };
        tokio::spawn(serve(imap, door.clone(), imap_session));
        tokio::spawn(serve(smtp, door, smtp_session));
        provider
    }

    /// A configuration with one account of it.
    pub fn config(&self, address: &str) -> Config {
        Config::new(address, &self.imap).smtp(&self.smtp)
    }

    /// The initial responses that it was shown since the last look, in order.
    pub fn shown(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.shown.try_recv().ok()).collect()
    }
}

/// A user and a password as AUTH PLAIN shows them (RFC 4616 §2).
pub fn plain(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("\0{user}\0{password}"))
}

/// A user and an access token as XOAUTH2 shows them.
pub fn xoauth2(user: &str, token: &str) -> String {
    BASE64_STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

/// Who is let in, and who asked.
#[derive(Clone)]
struct Door {
    takes: Vec<String>,
    show: mpsc::UnboundedSender<String>,
    capability: &'static str,
}

impl Door {
    fn opens(&self, response: &str) -> bool {
        // Nobody may be looking any more.
        let _ = self.show.send(response.to_owned());
        self.takes.iter().any(|taken| taken == response)
    }
}

async fn serve<F>(server: Upstream, door: Door, session: fn(Wire, Door) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        // A program that is ended in mid-handshake is no reason to leave.
        if let Ok(wire) = server.accept().await {
            tokio::spawn(session(wire, door.clone()));
        }
    }
}

async fn imap_session(mut app: Wire, door: Door) {
    app.say(&format!("* OK [CAPABILITY {}] ready", door.capability)).await;
    let capability = format!("CAPABILITY {}", door.capability);
    while let Some(line) = app.hear_or_end().await {
        let mut words = line.split(' ');
        let tag = words.next().unwrap_or_default();
        let command = words.next().unwrap_or_default();
        let (untagged, done): (&[&str], &str) = match command {
            "CAPABILITY" => (&[&capability], "OK done"),
            "AUTHENTICATE" if door.opens(words.next_back().unwrap_or_default()) => (&[], "OK done"),
            "AUTHENTICATE" => (&[], "NO [AUTHENTICATIONFAILED] not this one"),
            "LIST" => (
                &["LIST (\\HasNoChildren) \"/\" INBOX", "LIST (\\HasNoChildren \\Trash) \"/\" Bin"],
                "OK done",
            ),
            "EXAMINE" | "SELECT" => (
                &[
                    "FLAGS (\\Deleted \\Seen)",
                    "0 EXISTS",
                    "0 RECENT",
                    "OK [UIDVALIDITY 7] x",
                    "OK [UIDNEXT 1] x",
                ],
                "OK [READ-ONLY] done",
            ),
            "LOGOUT" => (&["BYE bye"], "OK done"),
            "NOOP" => (&[], "OK done"),
            _ => (&[], "BAD not here"),
        };
        for response in untagged {
            app.say(&format!("* {response}")).await;
        }
        app.say(&format!("{tag} {done}")).await;
    }
}

async fn smtp_session(mut app: Wire, door: Door) {
    app.say("220 hi").await;
    while let Some(line) = app.hear_or_end().await {
        let mut words = line.split(' ');
        let answer = match words.next().unwrap_or_default() {
            "EHLO" => "250-localhost\r\n250 AUTH PLAIN XOAUTH2",
            "AUTH" if door.opens(words.next_back().unwrap_or_default()) => "235 2.7.0 in",
            "AUTH" => "535 5.7.8 not this one",
            "NOOP" | "RSET" => "250 2.0.0 done",
            "QUIT" => "221 2.0.0 bye",
            _ => "502 5.5.1 not here",
        };
        app.say(answer).await;
    }
}
