//! Ports that are free, and whether somebody listens there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::Outcome;

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);

/// Where the three protocols are spoken.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// IMAP.
    pub imap: SocketAddr,
    /// POP3.
    pub pop3: SocketAddr,
    /// Submission.
    pub smtp: SocketAddr,
}

impl Ports {
    /// Free ones on loopback.
    pub fn free() -> Outcome<Self> {
        let [imap, pop3, smtp] = free()?;
        Ok(Self { imap, pop3, smtp })
    }

    /// All three.
    pub fn all(&self) -> [SocketAddr; 3] {
        [self.imap, self.pop3, self.smtp]
    }
}

/// Ports nobody listens on; free until somebody else takes them.
pub fn free<const N: usize>() -> Outcome<[SocketAddr; N]> {
    let mut listeners = Vec::new();
    for _ in 0..N {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    let addresses: Result<Vec<_>, _> = listeners.iter().map(TcpListener::local_addr).collect();
    addresses?.try_into().map_err(|_| "as many addresses as listeners".into())
}

/// Waits until somebody listens at each of `addresses`, without connecting: that would be work for a peer.
pub fn wait(who: &str, addresses: &[SocketAddr]) -> Outcome<()> {
    let begun = Instant::now();
    while !all_listened(addresses)? {
        if begun.elapsed() > START {
            return Err(format!("{who} does not listen at {addresses:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn all_listened(addresses: &[SocketAddr]) -> Outcome<bool> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let listened = |address: &SocketAddr| {
        let port = format!(":{:04X}", address.port());
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            // Local address, remote address, state; 0A is LISTEN.
            words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("0A")
        })
    };
    Ok(addresses.iter().all(listened))
}
