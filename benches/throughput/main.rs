//! Bulk mail through footbridge and through its peers: time, CPU and memory, side by side in one run.
//!
//! ```text
//!  client ── plain ──▶ peer ── TLS ──▶ upstream        all on this machine
//!  (this process)      (a process)     (a private Dovecot; for SMTP a sink in this process)
//! ```
//!
//! Every run has a fresh peer process, and peers take turns (A B A B), so that a noisy machine disturbs all alike.
//! Each octet that arrives is compared with what was sent. Ratios mean something on any machine, absolute times do
//! not.

mod arguments;
#[path = "../../tests/support/certs.rs"]
#[allow(dead_code)] // The tests need bad certificates too.
mod certs;
mod measure;
mod messages;
mod peers;
mod ports;
mod process;
mod scenarios;
mod sink;
mod table;
mod upstream;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;

use arguments::Arguments;
use measure::Sample;
use messages::Messages;
use peers::{Kind, Peer};
use scenarios::Scenario;
use table::Table;
use upstream::Upstream;

/// Whatever went wrong; the run is over and nothing is printed that looks like a result.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Arguments::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let messages = Arc::new(Messages::new(arguments.messages, arguments.octets()));
    let upstream = Upstream::start(&messages)?;
    println!(
        "{} messages of {} MB, {} runs each; peak and growth are resident memory, the worst of the runs\n",
        arguments.messages, arguments.megabytes, arguments.runs
    );
    let table = Table::new(&arguments.peers);
    for scenario in scenarios::ALL.iter().filter(|scenario| arguments.wants(scenario)) {
        let samples = compare(scenario, arguments, &upstream, &messages)?;
        table.print(scenario, &samples);
    }
    Ok(())
}

/// One scenario through all peers in turn; the first turn warms caches and is not counted. Samples by peer.
fn compare(
    scenario: &Scenario,
    arguments: &Arguments,
    upstream: &Upstream,
    messages: &Messages,
) -> Outcome<Vec<Vec<Sample>>> {
    let mut samples = vec![Vec::new(); arguments.peers.len()];
    for turn in 0..=arguments.runs {
        for (kind, samples) in arguments.peers.iter().zip(&mut samples) {
            let sample = once(scenario, *kind, upstream, messages)
                .map_err(|error| format!("{} through {kind}: {error}", scenario.name))?;
            if turn > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

fn once(scenario: &Scenario, kind: Kind, upstream: &Upstream, messages: &Messages) -> Outcome<Sample> {
    let peer = Peer::start(kind, upstream)?;
    measure::sample(peer.id(), messages.total(), || (scenario.work)(peer.ports(), messages))
}
