//! Work whose price is round trips: each is done at no round trip and at a long one, and the slope counts them.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::app::{self, App};
use crate::messages::Check;
use crate::peers::{Cache, Kind, Peer};
use crate::ports::Ports;
use crate::relay::{Counts, Relay};
use crate::upstream::Account;
use crate::{Bench, Outcome, certs};

/// What an app does, from connecting on.
pub type Work = fn(&App<'_>) -> io::Result<()>;

/// One row of the table.
#[derive(Debug)]
pub struct Trip {
    /// As printed.
    pub name: &'static str,
    /// What footbridge is to reach.
    pub bar: &'static str,
    /// How much mail there is.
    pub mail: Amount,
    /// The user has a Trash, too.
    pub trash: bool,
    /// What is done before, with no delay and uncounted.
    pub before: Before,
    /// What is timed and counted.
    pub work: Work,
    /// The same work as one FETCH can do it, where it can.
    pub reference: Option<Work>,
    /// Which peers can do it.
    pub peers: fn(Kind) -> bool,
}

/// What a peer may know and hold when the work begins.
#[derive(Clone, Copy, Debug)]
pub enum Before {
    /// Nothing: it has just been started.
    Nothing,
    /// What is left of this work, connections with it.
    Held(Work),
    /// The same, and its mailbox is watched since.
    Watched(Work),
    /// What is left of this work on the disk: it was started anew since.
    Kept(Work),
}

/// How many messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// None.
    None,
    /// `--few`.
    Few,
    /// `--many`; for a peer that needs a round trip for each, `--few`.
    Many,
}

/// All of them, in the order they are run. One more is one more here, and a function.
pub const ALL: &[Trip] = &[
    Trip {
        name: "pop3 maildrop",
        bar: "<= 8 R for any n; n=1000 at 50 ms: time <= 1.2 x reference",
        mail: Amount::Few,
        trash: false,
        before: Before::Nothing,
        work: maildrop,
        reference: Some(one_fetch),
        peers: any,
    },
    Trip {
        name: "pop3 maildrop, held",
        bar: "<= 3 R for any n",
        mail: Amount::Few,
        trash: false,
        before: Before::Held(check),
        work: maildrop,
        reference: None,
        peers: any,
    },
    Trip {
        name: "pop3 maildrop, DELE to Trash",
        bar: "2 R more than without DELE",
        mail: Amount::Few,
        trash: true,
        before: Before::Nothing,
        work: maildrop_removed,
        reference: None,
        peers: any,
    },
    Trip {
        name: "pop3 maildrop, DELE for good",
        bar: "4 R more than without DELE",
        mail: Amount::Few,
        trash: false,
        before: Before::Nothing,
        work: maildrop_removed,
        reference: None,
        peers: any,
    },
    Trip {
        name: "pop3 RETR again",
        bar: "0 body octets upstream; time at 0 ms <= 0.4 x direct",
        mail: Amount::Few,
        trash: false,
        before: Before::Held(maildrop),
        work: maildrop,
        reference: None,
        peers: any,
    },
    Trip {
        name: "pop3 check, first ever",
        bar: "<= 7 R for any n",
        mail: Amount::Many,
        trash: false,
        before: Before::Nothing,
        work: check,
        reference: None,
        peers: any,
    },
    Trip {
        name: "pop3 check, again",
        bar: "<= 6 R and <= 20 KB",
        mail: Amount::Many,
        trash: false,
        before: Before::Kept(check),
        work: check,
        reference: None,
        peers: any,
    },
    Trip {
        name: "pop3 check, held",
        bar: "<= 1 R",
        mail: Amount::Many,
        trash: false,
        before: Before::Held(check),
        work: check,
        reference: None,
        peers: any,
    },
    Trip {
        name: "pop3 check, watched",
        bar: "0 R",
        mail: Amount::Many,
        trash: false,
        before: Before::Watched(check),
        work: check,
        reference: None,
        peers: watches,
    },
    Trip {
        name: "imap bodies one by one, again",
        bar: "<= 2 % of the octets upstream",
        mail: Amount::Few,
        trash: false,
        before: Before::Held(one_by_one),
        work: one_by_one,
        reference: None,
        peers: asks_upstream,
    },
    Trip {
        name: "imap login",
        bar: "cold 4 R (5 with capabilities), held 0 R",
        mail: Amount::None,
        trash: false,
        before: Before::Nothing,
        work: imap_login,
        reference: None,
        peers: asks_upstream,
    },
    Trip {
        name: "pop3 login",
        bar: "4 R (5 with capabilities)",
        mail: Amount::None,
        trash: false,
        before: Before::Nothing,
        work: pop3_login,
        reference: None,
        peers: asks_upstream,
    },
    Trip {
        name: "pop3 login, held",
        bar: "0 R",
        mail: Amount::None,
        trash: false,
        before: Before::Held(check),
        work: pop3_login,
        reference: None,
        peers: asks_upstream,
    },
    Trip {
        name: "smtp login",
        bar: "cold 4 R (5 with capabilities), held 0 R",
        mail: Amount::None,
        trash: false,
        before: Before::Nothing,
        work: smtp_login,
        reference: None,
        peers: submits,
    },
    Trip {
        name: "smtp message, first",
        bar: "<= 8 R",
        mail: Amount::None,
        trash: false,
        before: Before::Nothing,
        work: submission,
        reference: None,
        peers: submits,
    },
    Trip {
        name: "smtp message, next",
        bar: "<= 3 R within the hold time",
        mail: Amount::None,
        trash: false,
        before: Before::Held(submission),
        work: submission,
        reference: None,
        peers: submits,
    },
];

/// How long what an app leaves behind may take over a short line.
const SOON: Duration = Duration::from_millis(500);

/// One run at both lengths.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// With no relay between.
    pub near: Duration,
    /// Behind the relay.
    pub far: Duration,
    /// Round trips that were waited for.
    pub round_trips: f64,
    /// What the relay saw of the far one.
    pub counts: Counts,
}

impl Trip {
    /// Messages in the mailbox of this peer's run.
    pub fn count(&self, kind: Kind, bench: &Bench<'_>) -> usize {
        let (few, many) = (bench.arguments.few as usize, bench.arguments.many as usize);
        match self.mail {
            Amount::None => 0,
            Amount::Few => few,
            Amount::Many if kind == Kind::Dovecot => few.min(many),
            Amount::Many => many,
        }
    }

    /// Whether this peer takes part.
    pub fn takes(&self, kind: Kind) -> bool {
        match kind {
            Kind::Reference => self.reference.is_some(),
            _ => (self.peers)(kind),
        }
    }

    /// One run at both lengths through a fresh peer, with a fresh mailbox, each.
    pub fn run(&self, kind: Kind, bench: &Bench<'_>) -> Outcome<Pair> {
        let round_trip = bench.arguments.round_trip();
        let (near, _) = self.once(kind, bench, Duration::ZERO)?;
        let (far, counts) = self.once(kind, bench, round_trip)?;
        let round_trips = (far.as_secs_f64() - near.as_secs_f64()) / round_trip.as_secs_f64();
        Ok(Pair { near, far, round_trips, counts })
    }

    fn once(&self, kind: Kind, bench: &Bench<'_>, round_trip: Duration) -> Outcome<(Duration, Counts)> {
        let count = self.count(kind, bench);
        let mailbox = bench.upstream.mailbox(&bench.user(), bench.messages, count)?;
        if self.trash {
            bench.upstream.trash(&mailbox)?;
        }
        let lines = Lines::new(&mailbox.account, round_trip)?;
        let mut peer = Peer::start(kind, &lines.account, Cache::On)?;
        match self.before {
            Before::Nothing => {}
            Before::Held(work) => work(&bench.app(kind, &peer, count))?,
            Before::Watched(work) => {
                peer.set("pop3.watch = true")?;
                work(&bench.app(kind, &peer, count))?;
                sleep(SOON);
            }
            Before::Kept(work) => {
                work(&bench.app(kind, &peer, count))?;
                peer.restart()?;
            }
        }
        let app = bench.app(kind, &peer, count);
        lines.delay(round_trip);
        let counted = lines.counts();
        let begun = Instant::now();
        match (kind, self.reference) {
            (Kind::Reference, Some(reference)) => reference(&app)?,
            _ => (self.work)(&app)?,
        }
        Ok((begun.elapsed(), lines.counts().since(counted)))
    }
}

/// The relays before an upstream, one a protocol; none where there is no delay.
struct Lines {
    account: Account,
    relays: Vec<Relay>,
}

impl Lines {
    fn new(upstream: &Account, round_trip: Duration) -> io::Result<Self> {
        if round_trip.is_zero() {
            return Ok(Self { account: upstream.clone(), relays: Vec::new() });
        }
        let relay = |address| Relay::start(address).map(|relay| (relay.address(), relay));
        let (imap, of_imap) = relay(upstream.ports.imap)?;
        let (pop3, of_pop3) = relay(upstream.ports.pop3)?;
        let (smtp, of_smtp) = relay(upstream.ports.smtp)?;
        let account = Account { ports: Ports { imap, pop3, smtp }, ..upstream.clone() };
        Ok(Self { account, relays: vec![of_imap, of_pop3, of_smtp] })
    }

    fn delay(&self, round_trip: Duration) {
        self.relays.iter().for_each(|relay| relay.delay(round_trip));
    }

    fn counts(&self) -> Counts {
        self.relays.iter().map(Relay::counts).fold(Counts::default(), Counts::and)
    }
}

impl Bench<'_> {
    /// An app before this peer.
    pub fn app<'a>(&'a self, kind: Kind, peer: &'a Peer, count: usize) -> App<'a> {
        let tls = matches!(kind, Kind::Direct | Kind::Reference).then(certs::client);
        App { account: peer.account(), tls, messages: self.messages, count }
    }
}

fn any(_: Kind) -> bool {
    true
}

/// The others have nothing to watch with.
fn watches(kind: Kind) -> bool {
    kind == Kind::Footbridge
}

/// Dovecot answers a login by itself and goes upstream later.
fn asks_upstream(kind: Kind) -> bool {
    kind != Kind::Dovecot
}

/// Dovecot's submission server is not among the peers.
fn submits(kind: Kind) -> bool {
    kind != Kind::Dovecot
}

/// Every message, one after another, and it stays.
fn maildrop(app: &App<'_>) -> io::Result<()> {
    let mut session = listed(app)?;
    for number in app.numbers() {
        app.retrieve(&mut session, number)?;
    }
    session.ask("QUIT\r\n", "+OK").map(|_| ())
}

/// Every message, each marked deleted once it is there.
fn maildrop_removed(app: &App<'_>) -> io::Result<()> {
    let mut session = listed(app)?;
    for number in app.numbers() {
        app.retrieve(&mut session, number)?;
        session.ask(&format!("DELE {number}\r\n"), "+OK")?;
    }
    session.ask("QUIT\r\n", "+OK").map(|_| ())
}

/// Logged in and told what there is, as most apps ask.
fn listed(app: &App<'_>) -> io::Result<app::Session> {
    let mut session = app.pop3()?;
    session.ask("STAT\r\n", &format!("+OK {} ", app.count))?;
    for command in ["LIST", "UIDL"] {
        let lines = app::listing(&mut session, command)?;
        if lines != app.count {
            return Err(io::Error::other(format!("{command} tells of {lines} messages, not {}", app.count)));
        }
    }
    Ok(session)
}

/// Is there new mail?
pub fn check(app: &App<'_>) -> io::Result<()> {
    let mut session = app.pop3()?;
    session.ask("STAT\r\n", &format!("+OK {} ", app.count))?;
    let lines = app::listing(&mut session, "UIDL")?;
    if lines != app.count {
        return Err(io::Error::other(format!("UIDL tells of {lines} messages, not {}", app.count)));
    }
    session.ask("QUIT\r\n", "+OK").map(|_| ())
}

/// What the whole maildrop costs whom POP3 does not bind.
fn one_fetch(app: &App<'_>) -> io::Result<()> {
    let mut session = app.imap()?;
    app::imap_command(&mut session, "b", "EXAMINE INBOX")?;
    session.say("c UID FETCH 1:* (BODY.PEEK[])\r\n")?;
    for number in app.numbers() {
        session.expect(&format!("* {number} FETCH ("))?;
        session.message(Check::new(app.messages, number))?;
        session.line()?;
    }
    session.expect("c OK")?;
    app::imap_command(&mut session, "d", "LOGOUT")
}

/// Every message in a command of its own, as apps show one after another.
fn one_by_one(app: &App<'_>) -> io::Result<()> {
    let mut session = app.imap()?;
    app::imap_command(&mut session, "b", "EXAMINE INBOX")?;
    for number in app.numbers() {
        session.say(&format!("c{number} UID FETCH {number} (BODY.PEEK[])\r\n"))?;
        session.expect(&format!("* {number} FETCH ("))?;
        session.message(Check::new(app.messages, number))?;
        session.line()?;
        session.expect(&format!("c{number} OK"))?;
    }
    app::imap_command(&mut session, "d", "LOGOUT")
}

fn imap_login(app: &App<'_>) -> io::Result<()> {
    app.imap().map(|_| ())
}

fn pop3_login(app: &App<'_>) -> io::Result<()> {
    app.pop3().map(|_| ())
}

fn smtp_login(app: &App<'_>) -> io::Result<()> {
    app.smtp().map(|_| ())
}

/// One message to one recipient, from connecting to QUIT.
fn submission(app: &App<'_>) -> io::Result<()> {
    let mut session = app.smtp()?;
    session.ask(&format!("MAIL FROM:<{}>\r\n", app.account.user), "250")?;
    session.ask("RCPT TO:<bea1@example.org>\r\n", "250")?;
    session.ask("DATA\r\n", "354")?;
    app.messages.write(1, usize::MAX, session.sink())?;
    session.ask(".\r\n", "250")?;
    session.ask("QUIT\r\n", "221").map(|_| ())
}
