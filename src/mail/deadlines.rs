//! How long we wait for whom. Values, so that tests can shrink them.

use std::time::Duration;

/// Every waiting time. Transfers are judged by progress: slow but moving is never cut.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// Name resolution and TCP connect over all addresses together; apps give up after 30 to 60 s themselves.
    pub connect: Duration,
    /// How long one address is tried alone before the next one is tried beside it (RFC 8305 §5).
    pub next_address: Duration,
    /// The TLS handshake, with upstream or an app.
    pub handshake: Duration,
    /// Upstream's greeting.
    pub greeting: Duration,
    /// Upstream's answer to a command, and the longest silence within an answer.
    pub upstream_progress: Duration,
    /// The same for a command upstream may work through in silence before it answers: SEARCH, COPY, APPEND.
    pub upstream_work: Duration,
    /// Upstream's answer to the final dot of DATA (RFC 5321 §4.5.3.2.6: 10 minutes).
    pub data_done: Duration,
    /// Upstream's answers to MAIL, RCPT (RFC 5321 §4.5.3.2: 5 minutes).
    pub envelope: Duration,
    /// An app that has not logged in yet, from connect on.
    pub app_login: Duration,
    /// A POP3 app's silence between commands (RFC 1939 §3: at least 10 minutes).
    pub pop3_idle: Duration,
    /// How long a POP3 session leaves upstream alone before it says that it is still there; providers give up after
    /// 5 to 30 minutes.
    pub pop3_keep_alive: Duration,
    /// How long a session upstream whose POP3 app has left is held for its next login; 0 holds none.
    pub hold: Duration,
    /// The same where its mailbox is watched meanwhile.
    pub watch: Duration,
    /// An IMAP app's silence after login (RFC 3501 §5.4: at least 30 minutes).
    pub imap_idle: Duration,
    /// An SMTP app's silence (RFC 5321 §4.5.3.2.7: at least 5 minutes).
    pub smtp_idle: Duration,
    /// How long an app may take no octet of what we have for it.
    pub app_stall: Duration,
    /// One request to a token server, from the name's resolution to the last octet of the answer.
    pub http: Duration,
    /// From SIGTERM to the end: a running transfer may finish in this time.
    pub stop: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            next_address: Duration::from_millis(250),
            handshake: Duration::from_secs(10),
            greeting: Duration::from_secs(25),
            upstream_progress: Duration::from_secs(55),
            upstream_work: Duration::from_secs(600),
            data_done: Duration::from_secs(600),
            envelope: Duration::from_secs(300),
            app_login: Duration::from_secs(120),
            pop3_idle: Duration::from_secs(11 * 60),
            pop3_keep_alive: Duration::from_secs(4 * 60),
            // An app that looks every five minutes finds it; one that has not come by then comes rarely. Nobody between
            // here and the provider forgets a connection so soon (RFC 5382 §5: 2 hours; the meanest routers 5 minutes).
            hold: Duration::from_secs(5 * 60 + 20),
            // An app that looks every hour finds it.
            watch: Duration::from_secs(65 * 60),
            imap_idle: Duration::from_secs(31 * 60),
            smtp_idle: Duration::from_secs(6 * 60),
            app_stall: Duration::from_secs(120),
            http: Duration::from_secs(30),
            stop: Duration::from_secs(4),
        }
    }
}
