//! Mail through footbridge and through its peers, side by side in one run: round trips, CPU, memory and time.
//!
//! ```text
//!  app ── plain ──▶ peer ── TLS ──▶ relay ── TLS ──▶ upstream        all on this machine
//!  (this process)   (a process)     (here; none       (a private Dovecot; for SMTP a sink in this process)
//!                                    at 0 ms)
//! ```
//!
//! Every run has a fresh peer process and a fresh mailbox, and peers take turns (A B A B), so that a noisy machine
//! disturbs all alike. Each octet that arrives is compared with what was sent. Round trips and ratios mean something on
//! any machine, absolute times do not.

mod app;
mod arguments;
mod board;
mod bulk;
#[path = "../../tests/support/certs.rs"]
#[allow(dead_code)] // The tests need bad certificates too.
mod certs;
mod costs;
mod dovecot;
#[path = "../../tests/support/dovecot_words.rs"]
#[allow(dead_code)] // The tests have users with passwords of their own, too.
mod dovecot_words;
mod issuer;
mod measure;
mod messages;
mod peers;
mod ports;
mod process;
#[allow(dead_code)] // A rate is for who wants to try one.
mod relay;
mod sink;
mod table;
mod trips;
mod upstream;
mod vast;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arguments::Arguments;
use board::Board;
use bulk::Scenario;
use measure::Sample;
use messages::Messages;
use peers::{Cache, Kind, Peer};
use table::Table;
use trips::Trip;
use upstream::Upstream;

/// Octets of a message where round trips are what counts.
const SMALL: usize = 4_000;

/// Whatever went wrong; the run is over and nothing is printed that looks like a result.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    match round_trips(&arguments).and_then(|()| vast(&arguments)).and_then(|()| bulk(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What every piece of work needs.
#[derive(Debug)]
pub struct Bench<'a> {
    arguments: &'a Arguments,
    upstream: &'a Upstream,
    messages: &'a Messages,
    users: AtomicU32,
}

impl Bench<'_> {
    /// A name nobody had yet.
    fn user(&self) -> String {
        format!("ana{}@example.org", self.users.fetch_add(1, Relaxed))
    }
}

fn round_trips(arguments: &Arguments) -> Outcome<()> {
    let trips: Vec<_> = trips::ALL.iter().filter(|trip| arguments.wants(trip.name)).collect();
    let costs: Vec<_> = costs::ALL.iter().filter(|cost| arguments.wants(cost.name)).collect();
    if trips.is_empty() && costs.is_empty() {
        return Ok(());
    }
    let messages = Arc::new(Messages::new(arguments.few.max(arguments.many).max(1), SMALL));
    let upstream = Upstream::start(&messages)?;
    let bench = Bench { arguments, upstream: &upstream, messages: &messages, users: AtomicU32::new(1) };
    let board = Board { peers: &arguments.peers, far: format!("{} ms", arguments.rtt) };
    println!(
        "R: round trips waited for, (time at {} ms - time at 0 ms) / {0} ms; messages of 4 KB; {} runs each: median \
         ±farthest; * has n={}\n",
        arguments.rtt, arguments.runs, arguments.few
    );
    board.head();
    for trip in trips {
        let counts: Vec<_> = arguments.peers.iter().map(|kind| trip.count(*kind, &bench)).collect();
        let runs = turns(&bench, trip.name, |kind| trip.takes(kind), |kind| Trip::run(trip, kind, &bench))?;
        board.trip(trip, &counts, &runs);
    }
    for cost in costs {
        let runs = turns(&bench, cost.name, |kind| cost.takes(kind), |kind| cost.run(kind, &bench))?;
        board.cost(cost, &runs);
    }
    println!();
    Ok(())
}

fn vast(arguments: &Arguments) -> Outcome<()> {
    if !arguments.wants(vast::NAME) || !arguments.peers.iter().any(|kind| vast::takes(*kind)) {
        return Ok(());
    }
    let messages = Arc::new(vast::messages(arguments.vast));
    let upstream = Upstream::start(&messages)?;
    let bench = Bench { arguments, upstream: &upstream, messages: &messages, users: AtomicU32::new(1) };
    let mailbox = upstream.mailbox(&bench.user(), &messages, arguments.vast as usize)?;
    vast::prepare(&bench, &mailbox)?;
    println!(
        "{} messages of a header each, at 0 ms; {} runs each: median ±farthest; growth is resident memory, its peak \
         less what the fresh peer had\n",
        arguments.vast, arguments.runs
    );
    let board = Board { peers: &arguments.peers, far: String::new() };
    board.head();
    let runs = turns(&bench, vast::NAME, vast::takes, |kind| vast::run(kind, &bench, &mailbox))?;
    for (place, (row, bar)) in vast::ROWS.iter().enumerate() {
        let looks: Vec<Vec<_>> =
            runs.iter().map(|runs| runs.iter().map(|looks| looks[place]).collect()).collect();
        board.looks(&format!("{}, {row}, n={}", vast::NAME, arguments.vast), bar, &looks);
    }
    println!();
    Ok(())
}

/// One piece of work through all peers in turn. What it gave, by peer.
fn turns<T>(
    bench: &Bench<'_>,
    name: &str,
    takes: impl Fn(Kind) -> bool,
    run: impl Fn(Kind) -> Outcome<T>,
) -> Outcome<Vec<Vec<T>>> {
    let mut runs: Vec<Vec<T>> = bench.arguments.peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..bench.arguments.runs {
        let turn = bench.arguments.peers.iter().zip(&mut runs).filter(|(kind, _)| takes(**kind));
        for (kind, runs) in turn {
            runs.push(run(*kind).map_err(|error| format!("{name} through {kind}: {error}"))?);
        }
    }
    Ok(runs)
}

fn bulk(arguments: &Arguments) -> Outcome<()> {
    let scenarios: Vec<_> = bulk::ALL.iter().filter(|scenario| arguments.wants(scenario.name)).collect();
    if scenarios.is_empty() {
        return Ok(());
    }
    let messages = Arc::new(Messages::new(arguments.messages, arguments.octets()));
    let upstream = Upstream::start(&messages)?;
    let peers: Vec<_> = arguments.peers.iter().copied().filter(|kind| kind.carries()).collect();
    println!(
        "{} messages of {} MB, {} runs each; peak and growth are resident memory, the worst of the runs\n",
        arguments.messages, arguments.megabytes, arguments.runs
    );
    let table = Table::new(&peers);
    let mailbox = upstream.mailbox("ana@example.org", &messages, arguments.messages as usize)?;
    for scenario in scenarios {
        let samples = compare(scenario, arguments.runs, &peers, &mailbox.account, &messages)?;
        table.print(scenario, &samples);
    }
    Ok(())
}

/// One scenario through all peers in turn; the first turn warms caches and is not counted. Samples by peer.
fn compare(
    scenario: &Scenario,
    runs: u32,
    peers: &[Kind],
    upstream: &upstream::Account,
    messages: &Messages,
) -> Outcome<Vec<Vec<Sample>>> {
    let mut samples = vec![Vec::new(); peers.len()];
    for turn in 0..=runs {
        for (kind, samples) in peers.iter().zip(&mut samples) {
            let sample = once(scenario, *kind, upstream, messages)
                .map_err(|error| format!("{} through {kind}: {error}", scenario.name))?;
            if turn > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

fn once(
    scenario: &Scenario,
    kind: Kind,
    upstream: &upstream::Account,
    messages: &Messages,
) -> Outcome<Sample> {
    let peer = Peer::start(kind, upstream, Cache::Off)?;
    measure::sample(peer.id()?, messages.total(), || (scenario.work)(peer.account(), messages))
}
