//! Work whose price is CPU, memory or a moment: one figure a run, and less is better.

use std::io;

use crate::app::{self, App, Session};
use crate::measure;
use crate::peers::{Cache, Kind, Peer, Shows};
use crate::{Bench, Outcome};

/// Logins whose CPU is taken together.
const LOGINS: u32 = 20;

/// Connections that are held.
const HELD: u32 = 200;

/// One row of the table.
#[derive(Debug)]
pub struct Cost {
    /// As printed.
    pub name: &'static str,
    /// Of the figure.
    pub unit: &'static str,
    /// What footbridge is to reach.
    pub bar: &'static str,
    /// By token only footbridge logs in.
    pub shows: Shows,
    /// The figure.
    pub measure: Measure,
}

/// All of them.
pub const ALL: &[Cost] = &[
    cost("imap login, CPU", "ms", "<= 5 ms", imap_logins),
    cost("pop3 login, CPU", "ms", "<= 5 ms", pop3_logins),
    cost("smtp login, CPU", "ms", "<= 5 ms", smtp_logins),
    by_token("imap login by token, CPU", imap_logins),
    by_token("pop3 login by token, CPU", pop3_logins),
    by_token("smtp login by token, CPU", smtp_logins),
    cost("idle, anonymous memory", "MiB", "<= 12 MiB", idle),
    cost("held IMAP IDLE, of 200", "KiB", "<= 48 KiB", held),
    cost("start to listening", "ms", "< 50 ms", start),
];

type Measure = fn(&Peer, &App<'_>) -> Outcome<f64>;

const fn cost(name: &'static str, unit: &'static str, bar: &'static str, measure: Measure) -> Cost {
    Cost { name, unit, bar, shows: Shows::Password, measure }
}

/// A login whose access token is in memory.
const fn by_token(name: &'static str, measure: Measure) -> Cost {
    Cost { name, unit: "ms", bar: "<= 5 ms", shows: Shows::Token, measure }
}

impl Cost {
    /// Whether this peer takes part: it must be a process, and the same one for all its connections.
    pub fn takes(&self, kind: Kind) -> bool {
        let bridge = matches!(kind, Kind::Footbridge | Kind::Previous);
        kind.carries() && (bridge || self.shows == Shows::Password)
    }

    /// One figure, of a fresh peer.
    pub fn run(&self, kind: Kind, bench: &Bench<'_>) -> Outcome<f64> {
        let mailbox = bench.upstream.mailbox(&bench.user(), bench.messages, 1)?;
        let peer = Peer::showing(self.shows, kind, &mailbox.account, Cache::On)?;
        (self.measure)(&peer, &bench.app(kind, &peer, 1))
    }
}

fn imap_logins(peer: &Peer, app: &App<'_>) -> Outcome<f64> {
    cpu(peer, || app.imap(), "z LOGOUT\r\n", "* BYE")
}

fn pop3_logins(peer: &Peer, app: &App<'_>) -> Outcome<f64> {
    cpu(peer, || app.pop3(), "QUIT\r\n", "+OK")
}

fn smtp_logins(peer: &Peer, app: &App<'_>) -> Outcome<f64> {
    cpu(peer, || app.smtp(), "QUIT\r\n", "221")
}

/// Milliseconds for a login and its end; the first one, which loads what is loaded once, is not counted.
fn cpu(peer: &Peer, login: impl Fn() -> io::Result<Session>, end: &str, answer: &str) -> Outcome<f64> {
    let once = || -> io::Result<Session> {
        let mut session = login()?;
        session.ask(end, answer)?;
        Ok(session)
    };
    drop(once()?);
    let sample =
        measure::sample(peer.id()?, 1, || (0..LOGINS).map(|_| once()).collect::<io::Result<Vec<_>>>())?;
    Ok(sample.cpu.as_secs_f64() * 1e3 / f64::from(LOGINS))
}

fn idle(peer: &Peer, _: &App<'_>) -> Outcome<f64> {
    Ok(measure::anonymous(peer.id()?)? as f64 / 1024.0 / 1024.0)
}

/// What a connection adds that has been told to wait.
fn held(peer: &Peer, app: &App<'_>) -> Outcome<f64> {
    let wait = || -> io::Result<Session> {
        let mut session = app.imap()?;
        app::imap_command(&mut session, "b", "SELECT INBOX")?;
        session.ask("c IDLE\r\n", "+")?;
        Ok(session)
    };
    let before = measure::anonymous(peer.id()?)?;
    let sessions = (0..HELD).map(|_| wait()).collect::<io::Result<Vec<_>>>()?;
    let after = measure::anonymous(peer.id()?)?;
    drop(sessions);
    Ok(after.saturating_sub(before) as f64 / 1024.0 / f64::from(HELD))
}

fn start(peer: &Peer, _: &App<'_>) -> Outcome<f64> {
    Ok(peer.started().as_secs_f64() * 1e3)
}
