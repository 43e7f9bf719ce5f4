//! A maildrop of very many messages that is only looked at, with no round trip: time, CPU, and what of memory it takes.
//!
//! The mailbox is made once, and upstream has listed it before anybody is timed: how Dovecot makes its index is not
//! what is asked. Each run has a fresh peer, which sees the mailbox for the first time and then again.

use std::time::{Duration, Instant};

use crate::app::{self, App};
use crate::messages::Messages;
use crate::peers::{Cache, Kind, Peer};
use crate::upstream::Mailbox;
use crate::{Bench, Outcome, measure, trips};

/// For `--only`, and the beginning of each row's name.
pub const NAME: &str = "pop3 check, vast";

/// The rows: what is printed of each look, and what footbridge is to reach with 100,000 messages.
pub const ROWS: [(&str, &str); 2] =
    [("first", "time <= 2 x direct, growth <= 16 MiB"), ("again", "time <= 1 x direct, growth <= 16 MiB")];

/// One look at the maildrop: login, STAT, UIDL, QUIT.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// From connecting to the answer to QUIT.
    pub time: Duration,
    /// Of the peer, where there is one.
    pub price: Option<Price>,
}

/// What a look costs the peer.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    /// User and system.
    pub cpu: Duration,
    /// Resident memory in octets: the most there was, less what the peer had before its first look.
    pub growth: u64,
}

impl Price {
    /// The growth.
    pub fn mebibytes(self) -> f64 {
        self.growth as f64 / 1024.0 / 1024.0
    }
}

/// Very little mail of so many messages: a header each.
pub fn messages(count: u32) -> Messages {
    Messages::new(count, 0)
}

/// Whether this peer takes part. Dovecot would ask for each message by itself: minutes a run.
pub fn takes(kind: Kind) -> bool {
    kind.carries() || kind == Kind::Direct
}

/// Has upstream look at all of `mailbox`, so that its index is there.
pub fn prepare(bench: &Bench<'_>, mailbox: &Mailbox) -> Outcome<()> {
    let peer = Peer::start(Kind::Direct, &mailbox.account, Cache::Off)?;
    let app = before(bench, Kind::Direct, &peer);
    trips::check(&app)?;
    let mut session = app.imap()?;
    app::imap_command(&mut session, "b", "EXAMINE INBOX")?;
    app::imap_command(&mut session, "c", "UID FETCH 1:* (UID RFC822.SIZE)")?;
    app::imap_command(&mut session, "d", "LOGOUT")?;
    Ok(())
}

/// Two looks through a fresh peer.
pub fn run(kind: Kind, bench: &Bench<'_>, mailbox: &Mailbox) -> Outcome<[Look; 2]> {
    let peer = Peer::start(kind, &mailbox.account, Cache::On)?;
    let app = before(bench, kind, &peer);
    if kind == Kind::Direct {
        return Ok([timed(&app)?, timed(&app)?]);
    }
    let sample = || measure::sample(peer.id()?, bench.messages.total(), || trips::check(&app));
    let (first, again) = (sample()?, sample()?);
    let fresh = first.peak - first.growth;
    Ok([first, again].map(|look| {
        let price = Price { cpu: look.cpu, growth: look.peak.saturating_sub(fresh) };
        Look { time: look.time, price: Some(price) }
    }))
}

fn before<'a>(bench: &'a Bench<'_>, kind: Kind, peer: &'a Peer) -> App<'a> {
    bench.app(kind, peer, bench.messages.numbers().count())
}

fn timed(app: &App<'_>) -> Outcome<Look> {
    let begun = Instant::now();
    trips::check(app)?;
    Ok(Look { time: begun.elapsed(), price: None })
}
