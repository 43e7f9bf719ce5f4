//! Round trips and costs as a table: a column for each peer, a few lines for each piece of work, its bar beside it.

use crate::costs::Cost;
use crate::peers::Kind;
use crate::trips::{Pair, Trip};
use crate::vast::{Look, Price};

/// Width of the first column, which names the work, and of the second, which says what the line tells.
const NAME: usize = 34;
const WHAT: usize = 22;
/// Of a peer's.
const CELL: usize = 13;

/// Prints one piece of work after another.
#[derive(Debug)]
pub struct Board<'a> {
    /// A column each; what is a ratio is the first one's to each other.
    pub peers: &'a [Kind],
    /// Round trip of the far runs, as it is printed.
    pub far: String,
}

impl Board<'_> {
    /// Names the columns.
    pub fn head(&self) {
        let names: String = self.peers.iter().map(|peer| format!("{:>CELL$}", peer.to_string())).collect();
        println!(
            "{:NAME$}{:WHAT$}{names}   bar for {}",
            "",
            "",
            self.peers.first().map_or("", |_| "footbridge")
        );
    }

    /// Runs by peer, in the same order; none for one that takes no part. `count` is the first peer's.
    pub fn trip(&self, trip: &Trip, counts: &[usize], runs: &[Vec<Pair>]) {
        let first = counts.first().copied().unwrap_or_default();
        let name = if first > 0 { format!("{}, n={first}", trip.name) } else { trip.name.to_owned() };
        let others = counts.iter().map(|count| if *count == first { "" } else { "*" });
        let round_trips = runs.iter().zip(others).map(|(runs, mark)| {
            let cell = spread(runs.iter().map(|run| run.round_trips));
            if cell.is_empty() { cell } else { cell + mark }
        });
        self.line(&name, "R", round_trips, trip.bar);
        let far = format!("time at {}, ratio", self.far);
        self.line("", "time at 0 ms, ratio", ratios(runs, |run| run.near.as_secs_f64()), "");
        self.line("", &far, ratios(runs, |run| run.far.as_secs_f64()), "");
        let bursts = |run: &Pair| format!("{}/{}", run.counts.connections, run.counts.bursts);
        self.line("", "connections/bursts", last(runs, bursts), "");
        let octets = |run: &Pair| format!("{:.1}/{:.1}", kilo(run.counts.up), kilo(run.counts.down));
        self.line("", "KB up/down", last(runs, octets), "");
    }

    /// Runs by peer, in the same order; none for one that takes no part.
    pub fn cost(&self, cost: &Cost, runs: &[Vec<f64>]) {
        self.line(cost.name, cost.unit, runs.iter().map(|runs| spread(runs.iter().copied())), cost.bar);
        self.line("", "ratio", ratios(runs, |figure| *figure), "");
    }

    /// Runs by peer, in the same order; none for one that takes no part.
    pub fn looks(&self, name: &str, bar: &str, runs: &[Vec<Look>]) {
        let figures = |figure: fn(&Look) -> Option<f64>| -> Vec<Vec<f64>> {
            runs.iter().map(|runs| runs.iter().filter_map(figure).collect()).collect()
        };
        let spreads = |figures: Vec<Vec<f64>>| figures.into_iter().map(|figures| spread(figures.into_iter()));
        let time = figures(|look| Some(look.time.as_secs_f64()));
        let cpu = figures(|look| look.price.map(|price| price.cpu.as_secs_f64()));
        let growth = figures(|look| look.price.map(Price::mebibytes));
        self.line(name, "time, s", spreads(time.clone()), bar);
        self.line("", "ratio", ratios(&time, |figure| *figure), "");
        self.line("", "CPU, s", spreads(cpu.clone()), "");
        self.line("", "ratio", ratios(&cpu, |figure| *figure), "");
        self.line("", "growth, MiB", spreads(growth), "");
    }

    fn line(&self, name: &str, what: &str, cells: impl Iterator<Item = String>, bar: &str) {
        let cells: String = cells.map(|cell| format!("{cell:>CELL$}")).collect();
        let line = format!("{name:NAME$}{what:WHAT$}{cells}   {bar}");
        println!("{}", line.trim_end());
    }
}

fn kilo(octets: u64) -> f64 {
    octets as f64 / 1e3
}

/// The first peer's figure for each other's, run by run, so that what disturbed both is not in it.
fn ratios<'a, T>(runs: &'a [Vec<T>], figure: impl Fn(&T) -> f64 + 'a) -> impl Iterator<Item = String> + 'a {
    let first = runs.first();
    runs.iter().enumerate().map(move |(place, theirs)| match first {
        Some(ours) if place > 0 => {
            spread(ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)))
        }
        _ => String::new(),
    })
}

/// What the last run had: counts hardly differ.
fn last<'a, T>(runs: &'a [Vec<T>], tell: impl Fn(&T) -> String + 'a) -> impl Iterator<Item = String> + 'a {
    runs.iter().map(move |runs| runs.last().map(&tell).unwrap_or_default())
}

/// The median, and how far from it the farthest is.
fn spread(figures: impl Iterator<Item = f64>) -> String {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match (figures.first(), figures.get(figures.len() / 2), figures.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!("{median:.2} ±{:.2}", (median - least).max(most - median))
        }
        _ => String::new(),
    }
}
