//! The command line.

use clap::Parser;

use crate::peers::Kind;
use crate::scenarios::Scenario;

/// Bulk mail through footbridge and its peers: time, CPU and peak memory in one table.
#[derive(Debug, Parser)]
#[command(name = "benches/run")]
pub struct Arguments {
    /// Messages in the mailbox, and messages sent.
    #[arg(long, default_value_t = 20)]
    pub messages: u32,
    /// Size of a message in MB (10^6 octets).
    #[arg(long, default_value_t = 20)]
    pub megabytes: u32,
    /// Counted runs of each scenario through each peer.
    #[arg(long, default_value_t = 5)]
    pub runs: u32,
    /// Peers, the first one's ratios to each of the others are told.
    #[arg(long, value_delimiter = ',', default_values_t = [Kind::Footbridge, Kind::Stunnel])]
    pub peers: Vec<Kind>,
    /// Only scenarios whose name has this in it: "imap", "pop3", "smtp".
    #[arg(long)]
    pub only: Option<String>,
    /// To see whether all works: 3 messages of 2 MB, one run. Its numbers mean nothing.
    #[arg(long)]
    quick: bool,
    /// What cargo puts there.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// Those of this process; wrong ones end it.
    pub fn read() -> Self {
        let arguments = Self::parse();
        if arguments.quick {
            return Self { messages: 3, megabytes: 2, runs: 1, ..arguments };
        }
        arguments
    }

    /// Octets of a message.
    pub fn octets(&self) -> usize {
        self.megabytes as usize * 1_000_000
    }

    /// Whether this scenario is to be run.
    pub fn wants(&self, scenario: &Scenario) -> bool {
        self.only.as_ref().is_none_or(|part| scenario.name.contains(part.as_str()))
    }
}
