//! A small IMAP client that keeps octets as they are: looks at Dovecot directly, or at the bridge as an app.

use std::net::SocketAddr;

use super::dovecot::PASSWORD;
use super::wire::Wire;

/// A logged-in session.
pub struct Imap {
    wire: Wire,
    commands: u32,
}

/// One response: its text with each literal still announced, and the literals.
#[derive(Clone, Debug)]
pub struct Response {
    /// Without CRLF; `* 1 FETCH (BODY[] {3})`.
    pub text: String,
    /// In order.
    pub literals: Vec<Vec<u8>>,
}

/// A message as a mailbox has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its UID.
    pub uid: u32,
    /// What stands between the parentheses of FLAGS.
    pub flags: String,
    /// Every octet of it.
    pub octets: Vec<u8>,
}

impl Imap {
    /// Logs in to a server by implicit TLS, past the bridge.
    pub async fn direct(port: u16, user: &str) -> Self {
        let wire = Wire::connect_tls(port).await.expect("the server answers");
        Self::login(wire, user, PASSWORD).await
    }

    /// Logs in through the bridge.
    pub async fn through(bridge: SocketAddr, user: &str) -> Self {
        let wire = Wire::connect(bridge).await.expect("the bridge answers");
        Self::login(wire, user, PASSWORD).await
    }

    /// Logs in over this connection, its greeting not heard yet.
    pub async fn login(mut wire: Wire, user: &str, password: &str) -> Self {
        wire.expect("* OK").await;
        let mut session = Self { wire, commands: 0 };
        session.ok(&format!("LOGIN \"{user}\" \"{password}\"")).await;
        session
    }

    /// Sends a command without waiting; gives its tag.
    pub async fn send(&mut self, command: &str) -> String {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        self.wire.say(&format!("{tag} {command}")).await;
        tag
    }

    /// The next response.
    pub async fn hear(&mut self) -> Response {
        let mut text = String::new();
        let mut literals = Vec::new();
        loop {
            let line = self.wire.hear().await;
            text.push_str(&line);
            let Some(count) = announced(&line) else {
                return Response { text, literals };
            };
            literals.push(self.wire.hear_exactly(count).await);
        }
    }

    /// Sends a command and hears everything up to its tagged response, which is the last.
    pub async fn ask(&mut self, command: &str) -> Vec<Response> {
        let tag = self.send(command).await;
        self.until(&tag).await
    }

    /// Hears everything up to the tagged response.
    pub async fn until(&mut self, tag: &str) -> Vec<Response> {
        let mut responses = Vec::new();
        loop {
            let response = self.hear().await;
            let last = response.text.split(' ').next() == Some(tag);
            responses.push(response);
            if last {
                return responses;
            }
        }
    }

    /// The same, and the command must succeed; gives the untagged responses.
    pub async fn ok(&mut self, command: &str) -> Vec<Response> {
        let mut responses = self.ask(command).await;
        let last = responses.pop().expect("the tagged response is there").text;
        assert!(last.split(' ').nth(1) == Some("OK"), "{command}: {last}");
        responses
    }

    /// Stores a message, with a synchronising literal; gives the tagged response's text.
    pub async fn append(&mut self, mailbox: &str, octets: &[u8]) -> String {
        let tag = self.send(&format!("APPEND {mailbox} {{{}}}", octets.len())).await;
        let go_on = self.hear().await.text;
        if !go_on.starts_with('+') {
            return go_on;
        }
        let sent = self.wire.send(&[octets, b"\r\n"].concat()).await;
        sent.expect("the literal is taken");
        self.until(&tag).await.pop().expect("the tagged response is there").text
    }

    /// Everything in a mailbox, by ascending UID; leaves it selected read-only.
    pub async fn messages(&mut self, mailbox: &str) -> Vec<Stored> {
        self.ok(&format!("EXAMINE {mailbox}")).await;
        let responses = self.ok("UID FETCH 1:* (UID FLAGS BODY.PEEK[])").await;
        responses.into_iter().filter_map(Response::stored).collect()
    }

    /// The wire itself.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Response {
    fn stored(self) -> Option<Stored> {
        let text = self.text;
        if !text.contains(" FETCH (") {
            return None;
        }
        let uid = text.split("UID ").nth(1)?.split([' ', ')']).next()?.parse().ok()?;
        let flags = text.split("FLAGS (").nth(1)?.split(')').next()?.to_owned();
        // Where a server prefers a quoted string: only ever for an empty message.
        let octets = self.literals.into_iter().next().unwrap_or_default();
        Some(Stored { uid, flags, octets })
    }
}

/// The length that a line's end announces.
fn announced(line: &str) -> Option<usize> {
    let (_, number) = line.strip_suffix('}')?.rsplit_once('{')?;
    number.parse().ok()
}
