//! What is refused: the app hears one line, the log a number once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::protocol::Protocol;

/// Refused connections are told once in this time, with their number; an app that tries on and on fills no log.
pub(super) const REFUSALS_TOLD: Duration = Duration::from_secs(60);

/// One line and the end. It fits into an empty send buffer, so nobody is waited for.
pub(super) fn turn_away(app: &TcpStream, line: &str) {
    let socket = SockRef::from(app);
    let told = socket.send(line.as_bytes()).and_then(|_| socket.shutdown(std::net::Shutdown::Write));
    if let Err(error) = told {
        debug!(%error, "an app was gone before it was refused");
    }
}

/// What is told of a listener's crowd, with numbers, once a minute.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    refused: Mutex<Count>,
    gave_way: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    told: Option<Instant>,
    since: u64,
}

impl Crowd {
    /// There was no seat.
    pub(super) fn refused(&self, protocol: Protocol) {
        if let Some(connections) = Count::of(&self.refused) {
            warn!(protocol = protocol.key(), connections, "too many connections, refused");
        }
    }

    /// There was one only because another connection had not logged in.
    pub(super) fn gave_way(&self, protocol: Protocol) {
        if let Some(connections) = Count::of(&self.gave_way) {
            warn!(
                protocol = protocol.key(),
                connections, "too many connections, those that did not log in give way"
            );
        }
    }
}

impl Count {
    /// One more; those since the last time, where it is time to tell.
    fn of(count: &Mutex<Self>) -> Option<u64> {
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        count.since += 1;
        if count.told.is_some_and(|told| told.elapsed() < REFUSALS_TOLD) {
            return None;
        }
        count.told = Some(Instant::now());
        Some(std::mem::take(&mut count.since))
    }
}
