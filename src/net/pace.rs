//! How fast new connections to a server follow one another, over the whole bridge.
//!
//! ```text
//!  all is well    64 at once, beyond that 32 a second
//!  it fails       none at once, and each failure doubles the space between two: up to half a second
//! ```
//!
//! Where it works again, those that wait go on at the pace of all is well: an app whose network is back has been waiting for
//! nothing.
//!
//! A provider that restarts loses all connections in one moment, and all apps are back in the next. Spaced unevenly, so
//! that bridges which lost theirs together do not come back together.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, sleep_until};

use crate::mail::account::Endpoint;

/// Connections at once: more than one user's apps open together.
const BURST: u32 = 64;

/// Between two of them afterwards: all the app connections there may be are back within some ten seconds.
const SPACE: Duration = Duration::from_micros(31_250);

/// How often failures double the space.
const DOUBLED: u32 = 4;

/// Nobody waits longer for his turn: apps give up after some half a minute, and the connection takes its time too.
const LONGEST: Duration = Duration::from_secs(15);

/// All servers; a clone shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Mutex<HashMap<(String, u16), Server>>>);

#[derive(Debug)]
struct Server {
    /// When the next one would go if all went evenly spaced.
    due: Instant,
    /// In a row, up to now.
    failures: u32,
    /// Tells those that wait that it works again.
    works: Arc<Notify>,
}

impl Server {
    fn new(now: Instant) -> Self {
        Self { due: now, failures: 0, works: Arc::default() }
    }

    fn space(&self) -> Duration {
        SPACE * (1 << self.failures.min(DOUBLED))
    }

    /// How long the next one waits; `None` where that is too long.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        let burst = if self.failures == 0 { SPACE * BURST } else { Duration::ZERO };
        let wait = self.due.saturating_duration_since(now).saturating_sub(burst);
        if wait > LONGEST {
            return None;
        }
        self.due = self.due.max(now) + unevenly(self.space());
        Some(wait)
    }

    fn tell(&mut self, well: bool, now: Instant) {
        if !well {
            self.failures = self.failures.saturating_add(1);
        } else if std::mem::take(&mut self.failures) > 0 {
            // Those that wait are not let go all at once, nor does anybody new wait behind them for what is over.
            self.due = self.due.min(now + SPACE * BURST);
            self.works.notify_waiters();
        }
    }
}

impl Pace {
    /// Waits for this one's turn. `false`: too many wait already.
    pub(super) async fn turn(&self, endpoint: &Endpoint) -> bool {
        let mut turn = None;
        loop {
            let (at, works) = self.queue_up(endpoint);
            // Whoever queues up anew loses nothing by it.
            turn = turn.into_iter().chain(at).min();
            let Some(turn) = turn else { return false };
            let wait = turn.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return true;
            }
            tracing::debug!(host = %endpoint.host, "a new connection waits {} ms", wait.as_millis());
            tokio::select! {
                () = sleep_until(turn) => return true,
                () = works => {}
            }
        }
    }

    /// When the next one's turn is, and what comes first if the server works again before.
    fn queue_up(&self, endpoint: &Endpoint) -> (Option<Instant>, OwnedNotified) {
        let now = Instant::now();
        let mut servers = self.servers();
        let server = servers.entry((endpoint.host.clone(), endpoint.port));
        let server = server.or_insert_with(|| Server::new(now));
        (server.next(now).map(|wait| now + wait), server.works.clone().notified_owned())
    }

    /// Whether the server took the connection.
    pub(super) fn tell(&self, endpoint: &Endpoint, well: bool) {
        if let Some(server) = self.servers().get_mut(&(endpoint.host.clone(), endpoint.port)) {
            server.tell(well, Instant::now());
        }
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<(String, u16), Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From half of it to half as much again.
fn unevenly(space: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    space.mul_f64(0.5 + random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::account::Security;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), port: 993, security: Security::Tls }
    }

    /// When each of so many that come together has its turn, in milliseconds from now; and how many have none.
    async fn turns(pace: &Pace, many: usize) -> (Vec<u128>, usize) {
        let now = Instant::now();
        let all = (0..many).map(|_| {
            let pace = pace.clone();
            tokio::spawn(async move { pace.turn(&endpoint("a")).await.then(|| now.elapsed().as_millis()) })
        });
        let (mut waited, mut refused) = (Vec::new(), 0);
        for one in all.collect::<Vec<_>>() {
            match one.await.expect("no panic") {
                Some(millis) => waited.push(millis),
                None => refused += 1,
            }
        }
        waited.sort_unstable();
        (waited, refused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_wait_for_nothing_and_a_crowd_comes_one_after_the_other() {
        let pace = Pace::default();
        for _ in 0..10 {
            assert_eq!(turns(&pace, 20).await, (vec![0; 20], 0));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (waited, refused) = turns(&pace, 400).await;
        assert_eq!(refused, 0);
        assert_eq!(waited[40], 0);
        for (second, from) in (0..9).map(|second| (second, second * 1000)) {
            let within = waited.iter().filter(|millis| (from..from + 1000).contains(*millis)).count();
            // The jitter evens out: 32 on the average, and those at once.
            let most = if second == 0 { 150 } else { 48 };
            assert!(within <= most, "{within} in second {second}");
        }
        // Other servers have their own pace.
        assert!(pace.turn(&endpoint("b")).await);
    }

    #[tokio::test(start_paused = true)]
    async fn where_it_fails_fewer_come_and_nobody_waits_too_long() {
        let pace = Pace::default();
        turns(&pace, 20).await;
        for _ in 0..20 {
            pace.tell(&endpoint("a"), false);
        }
        let (waited, refused) = turns(&pace, 400).await;
        assert!(refused > 300 && waited.iter().all(|millis| *millis <= LONGEST.as_millis()), "{waited:?}");
        assert!(waited.windows(2).all(|two| two[1] - two[0] >= 249), "{waited:?}");
        // It is back: a newcomer waits for none of those.
        pace.tell(&endpoint("a"), true);
        let (waited, _) = turns(&pace, 20).await;
        assert!(waited.iter().all(|millis| *millis <= 1000), "{waited:?}");
    }

    /// An app that came while the network was away has its turn soon after it is back, whatever wait it was given.
    #[tokio::test(start_paused = true)]
    async fn those_that_wait_go_on_when_it_works_again() {
        let pace = Pace::default();
        turns(&pace, 1).await;
        for _ in 0..20 {
            pace.tell(&endpoint("a"), false);
        }
        let waiting = {
            let pace = pace.clone();
            tokio::spawn(async move { turns(&pace, 25).await })
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        pace.tell(&endpoint("a"), true);
        let (waited, refused) = waiting.await.expect("no panic");
        assert_eq!(refused, 0);
        assert!(waited.iter().all(|millis| *millis <= 3000), "{waited:?}");
        // One after the other all the same.
        let second: Vec<_> = waited.iter().filter(|millis| (1000..2000).contains(*millis)).collect();
        assert!(second.len() > 10 && second.windows(2).all(|two| two[1] - two[0] >= 15), "{waited:?}");
    }
}
