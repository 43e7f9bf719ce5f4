//! The command line.

use std::time::Duration;

use clap::Parser;

use crate::peers::Kind;

/// Mail through footbridge and its peers: round trips, CPU, memory and time in one table.
#[derive(Debug, Parser)]
#[command(name = "benches/run")]
pub struct Arguments {
    /// Bulk: messages in the mailbox, and messages sent.
    #[arg(long, default_value_t = 20)]
    pub messages: u32,
    /// Bulk: size of a message in MB (10^6 octets).
    #[arg(long, default_value_t = 20)]
    pub megabytes: u32,
    /// Round trips: messages of 4 KB in a maildrop that is fetched.
    #[arg(long, default_value_t = 20)]
    pub few: u32,
    /// Round trips: messages in a maildrop that is only looked at.
    #[arg(long, default_value_t = 1000)]
    pub many: u32,
    /// Messages in a very large maildrop that is only looked at.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub vast: u32,
    /// Round trips: the long one, in milliseconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub rtt: u32,
    /// Counted runs of each piece of work through each peer.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Peers; the first one's ratios to each of the others are told.
    #[arg(long, value_delimiter = ',', default_values_t = [Kind::Footbridge, Kind::Direct, Kind::Stunnel, Kind::Nginx, Kind::Dovecot, Kind::Reference])]
    pub peers: Vec<Kind>,
    /// Only work whose name has this in it: "imap", "pop3 maildrop", "login", "download".
    #[arg(long)]
    only: Option<String>,
    /// To see whether all works, in a minute: little mail, a short round trip, one run. Its ratios mean nothing.
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
            return Self {
                messages: 3,
                megabytes: 2,
                few: 4,
                many: 100,
                vast: 1000,
                rtt: 40,
                runs: 1,
                ..arguments
            };
        }
        arguments
    }

    /// Octets of a message in bulk.
    pub fn octets(&self) -> usize {
        self.megabytes as usize * 1_000_000
    }

    /// The long one.
    pub fn round_trip(&self) -> Duration {
        Duration::from_millis(self.rtt.into())
    }

    /// Whether the work of this name is to be done.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }
}
