//! The figures as a table of plain text.

use crate::bulk::Scenario;
use crate::measure::Sample;
use crate::peers::Kind;

const MIB: f64 = 1024.0 * 1024.0;

/// Prints one scenario after another.
#[derive(Debug)]
pub struct Table<'a> {
    peers: &'a [Kind],
}

impl<'a> Table<'a> {
    /// Prints the head.
    pub fn new(peers: &'a [Kind]) -> Self {
        println!(
            "{:<16} {:<12} {:>21} {:>21} {:>11} {:>10} {:>7}",
            "", "", "time, s", "CPU, s/GB", "switches/MB", "peak, MiB", "growth"
        );
        Self { peers }
    }

    /// One row a peer, then the first peer's ratios to each other one. Samples by peer, in the same order of runs.
    pub fn print(&self, scenario: &Scenario, samples: &[Vec<Sample>]) {
        for (peer, samples) in self.peers.iter().zip(samples) {
            println!(
                "{:<16} {:<12} {:>21} {:>21} {:>11.1} {:>10.1} {:>7.1}",
                scenario.name,
                peer.to_string(),
                spread(samples.iter().map(time)),
                spread(samples.iter().map(Sample::cpu_per_gb)),
                median(samples.iter().map(Sample::switches_per_mb)),
                worst(samples.iter().map(|sample| sample.peak)),
                worst(samples.iter().map(|sample| sample.growth)),
            );
        }
        let rows = self.peers.iter().zip(samples);
        if let Some(((first, ours), others)) = rows.clone().next().zip(Some(rows.skip(1))) {
            others.for_each(|(peer, theirs)| ratios(&format!("{first} / {peer}"), ours, theirs));
        }
        println!("  bar for footbridge: {}\n", scenario.bar);
    }
}

/// Run by run, so that what disturbed both is not in it.
fn ratios(name: &str, ours: &[Sample], theirs: &[Sample]) {
    let pairs = || ours.iter().zip(theirs);
    println!(
        "{:<29} {:>21} {:>21}",
        format!("  {name}"),
        spread(pairs().map(|(ours, theirs)| time(ours) / time(theirs))),
        spread(pairs().map(|(ours, theirs)| ours.cpu_per_gb() / theirs.cpu_per_gb())),
    );
}

fn time(sample: &Sample) -> f64 {
    sample.time.as_secs_f64()
}

/// The median, and the least and the most in brackets.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let values = sorted(values);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(median), Some(most)) => format!("{median:.3} ({least:.3}-{most:.3})"),
        _ => String::new(),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn worst(octets: impl Iterator<Item = u64>) -> f64 {
    octets.max().unwrap_or(0) as f64 / MIB
}
