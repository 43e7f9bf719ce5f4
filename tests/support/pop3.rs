//! A small POP3 client that keeps octets as they are.

use std::net::SocketAddr;

use super::wire::Wire;

/// A session.
pub struct Pop3 {
    wire: Wire,
}

impl Pop3 {
    /// Connects and hears the greeting.
    pub async fn connect(bridge: SocketAddr) -> Self {
        let mut wire = Wire::connect(bridge).await.expect("the bridge answers");
        wire.expect("+OK").await;
        Self { wire }
    }

    /// The same and logs in.
    pub async fn login(bridge: SocketAddr, user: &str, password: &str) -> Self {
        let mut session = Self::connect(bridge).await;
        session.ok(&format!("USER {user}")).await;
        session.ok(&format!("PASS {password}")).await;
        session
    }

    /// A command that must succeed; gives the first line.
    pub async fn ok(&mut self, command: &str) -> String {
        self.wire.ask(command, "+OK").await
    }

    /// A command that must fail; gives the line.
    pub async fn err(&mut self, command: &str) -> String {
        self.wire.ask(command, "-ERR").await
    }

    /// A command with a multi-line answer; gives its octets with dots unstuffed, every line with its CRLF.
    pub async fn lines(&mut self, command: &str) -> Vec<u8> {
        self.ok(command).await;
        self.rest().await
    }

    /// What stands behind the first line of a multi-line answer, as [`Pop3::lines`] gives it.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        loop {
            let line = self.wire.hear_octets().await;
            match line.strip_prefix(b".") {
                Some(b"") => return octets,
                Some(unstuffed) => octets.extend_from_slice(unstuffed),
                None => octets.extend_from_slice(&line),
            }
            octets.extend_from_slice(b"\r\n");
        }
    }

    /// The wire itself.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// What RETR gives of a message: every line end CRLF, one at the end at least (RFC 1939 §3, §5).
pub fn as_pop3_has_it(octets: &[u8]) -> Vec<u8> {
    let mut given = Vec::with_capacity(octets.len() + 2);
    let mut before = 0;
    for &octet in octets {
        if octet == b'\n' && before != b'\r' {
            given.push(b'\r');
        }
        given.push(octet);
        before = octet;
    }
    if !given.is_empty() && !given.ends_with(b"\r\n") {
        given.extend_from_slice(b"\r\n");
    }
    given
}

/// What TOP gives of what RETR gives: the headers, the empty line and so many lines (RFC 1939 §7).
pub fn beginning(whole: &[u8], lines: usize) -> &[u8] {
    let mut at = 0;
    let mut left = None;
    while at < whole.len() && left != Some(0) {
        let end =
            whole[at..].windows(2).position(|two| two == b"\r\n").map_or(whole.len(), |end| at + end + 2);
        left = match left {
            None if end - at == 2 => Some(lines),
            None => None,
            Some(left) => Some(left - 1),
        };
        at = end;
    }
    &whole[..at]
}
