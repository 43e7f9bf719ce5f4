//! One loop a listener, one task a connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, warn};

use super::Session;
use super::door::Door;
use super::limits::{Limits, Seat};
use super::protocol::Protocol;

/// The pause after an accept that failed for want of descriptors or memory: time for a session to end, short enough
/// that an app waiting in the system's queue does not notice.
const PAUSE: Duration = Duration::from_millis(100);

/// Refused connections are told once in this time, with their number; an app that tries on and on fills no log.
pub(super) const REFUSALS_TOLD: Duration = Duration::from_secs(60);

/// Where apps come from.
pub(super) trait Accept {
    /// The next app; after an error the one after it may come.
    fn next(&self) -> impl Future<Output = io::Result<TcpStream>> + Send;
}

impl Accept for TcpListener {
    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(app, _)| app)
    }
}

/// Every connection there is; the handle is shared by all loops.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    limits: Limits,
    door: Door,
    tasks: TaskTracker,
    /// Cancelled when sessions that did not end are dropped.
    cut_off: CancellationToken,
    /// Connections so far; `conn` in the log.
    count: Arc<AtomicU64>,
}

impl Sessions {
    /// None yet.
    pub(super) fn new(limits: Limits, door: Door) -> Self {
        Self {
            limits,
            door,
            tasks: TaskTracker::new(),
            cut_off: CancellationToken::new(),
            count: Arc::new(AtomicU64::new(0)),
        }
    }

    /// How many there are.
    pub(super) fn running(&self) -> usize {
        self.tasks.len()
    }

    /// Returns when there is none; no new ones come once the loops have ended.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Drops every session where it stands.
    pub(super) fn cut_off(&self) {
        self.cut_off.cancel();
    }

    /// Serves what comes to `listener`, until dropped.
    pub(super) async fn take<L, F>(self, protocol: Protocol, listener: L, serve: F)
    where
        L: Accept,
        F: Fn(Protocol, TcpStream) -> Session + Clone + Send + 'static,
    {
        let mut refusals = Refusals::default();
        let mut faults = Faults::default();
        loop {
            match listener.next().await {
                Ok(app) => {
                    faults.over(protocol);
                    match self.limits.seat(protocol) {
                        Some(seat) => self.start(protocol, app, seat, &serve),
                        None => refusals.refuse(protocol, &app),
                    }
                }
                Err(error) => faults.pause(protocol, &error).await,
            }
        }
    }

    /// A task for the connection. A panic ends that task and nothing else; the panic hook tells where it was.
    fn start<F>(&self, protocol: Protocol, app: TcpStream, seat: Seat, serve: &F)
    where
        F: Fn(Protocol, TcpStream) -> Session + Clone + Send + 'static,
    {
        let conn = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let span = protocol.span(conn);
        if let Err(error) = app.set_nodelay(true) {
            span.in_scope(|| debug!(%error, "a socket option was not taken"));
        }
        let (door, serve) = (self.door.clone(), serve.clone());
        let cut_off = self.cut_off.clone();
        let stay = async move {
            let _seat = seat;
            let Some(_entry) = door.admit(protocol, &app).await else { return };
            let session = serve(protocol, app);
            match cut_off.run_until_cancelled_owned(session).await {
                Some(Ok(())) => {}
                Some(Err(error)) => debug!(%error, "the connection broke"),
                None => info!("cut off"),
            }
        };
        self.tasks.spawn(stay.instrument(span));
    }
}

/// One line and the end. It fits into an empty send buffer, so nobody is waited for.
pub(super) fn turn_away(app: &TcpStream, line: &str) {
    let socket = SockRef::from(app);
    let told = socket.send(line.as_bytes()).and_then(|_| socket.shutdown(std::net::Shutdown::Write));
    if let Err(error) = told {
        debug!(%error, "an app was gone before it was refused");
    }
}

/// Connections for which there was no seat.
#[derive(Debug, Default)]
struct Refusals {
    told: Option<Instant>,
    since: u64,
}

impl Refusals {
    fn refuse(&mut self, protocol: Protocol, app: &TcpStream) {
        turn_away(app, protocol.refusal());
        self.since += 1;
        if self.told.is_none_or(|told| told.elapsed() >= REFUSALS_TOLD) {
            warn!(protocol = protocol.key(), connections = self.since, "too many connections, refused");
            (self.told, self.since) = (Some(Instant::now()), 0);
        }
    }
}

/// Accepts that failed, one after the other.
#[derive(Debug, Default)]
struct Faults {
    lasting: bool,
}

impl Faults {
    /// Tells it once and waits a moment: no fault of accept ends the loop, none makes it spin.
    async fn pause(&mut self, protocol: Protocol, error: &io::Error) {
        if is_the_apps(error) {
            debug!(protocol = protocol.key(), %error, "an app was gone before it was accepted");
            return tokio::task::yield_now().await;
        }
        if !self.lasting {
            warn!(protocol = protocol.key(), %error, "no connection can be accepted now; trying on");
        }
        self.lasting = true;
        sleep(PAUSE).await;
    }

    fn over(&mut self, protocol: Protocol) {
        if self.lasting {
            info!(protocol = protocol.key(), "connections are accepted again");
        }
        self.lasting = false;
    }
}

/// The app gave up while it waited; the next one is there.
fn is_the_apps(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Fails as often as it is asked, and notes when.
    struct Failing {
        asked: Mutex<Vec<Instant>>,
        error: fn() -> io::Error,
    }

    impl Accept for &Failing {
        async fn next(&self) -> io::Result<TcpStream> {
            self.asked.lock().unwrap().push(Instant::now());
            Err((self.error)())
        }
    }

    async fn asked_within(time: Duration, error: fn() -> io::Error) -> Vec<Instant> {
        let failing = Failing { asked: Mutex::default(), error };
        let sessions = Sessions::new(Limits::default(), Door::default());
        let serve = |_, _| -> Session { unreachable!("no app ever comes") };
        let ended = tokio::time::timeout(time, sessions.take(Protocol::Imap, &failing, serve)).await;
        assert!(ended.is_err(), "the loop ended");
        failing.asked.into_inner().unwrap()
    }

    /// EMFILE: no descriptor is free.
    #[tokio::test(start_paused = true)]
    async fn want_of_descriptors_neither_ends_the_loop_nor_makes_it_spin() {
        let asked =
            asked_within(PAUSE * 10 - Duration::from_millis(1), || io::Error::from_raw_os_error(24)).await;
        assert_eq!(asked.len(), 10);
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] == PAUSE));
    }
}
