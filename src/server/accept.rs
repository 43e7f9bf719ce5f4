//! One loop a listener, one task a connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, warn};

use super::Session;
use super::door::Door;
use super::limits::{Full, Limits};
use super::protocol::Protocol;
use super::refused::{Crowd, turn_away};
use crate::bridge::{Reached, Standing};
use crate::net::peer::Ends;

/// The pause after an accept that failed for want of descriptors or memory: time for a session to end, short enough
/// that an app waiting in the system's queue does not notice.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that are looked at and have no seat yet; the others wait in the system's queue. A look takes a tenth of a
/// millisecond.
const AT_DOOR: usize = 32;

/// When to look again whether an app that ended its direction is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

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
    /// For connections that have no seat yet.
    at_door: Arc<Semaphore>,
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
            at_door: Arc::new(Semaphore::new(AT_DOOR)),
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
        F: Fn(Protocol, TcpStream, Standing) -> Session + Clone + Send + 'static,
    {
        let crowd = Arc::new(Crowd::default());
        let mut faults = Faults::default();
        loop {
            match listener.next().await {
                Ok(app) => {
                    faults.over(protocol);
                    let Ok(at_door) = self.at_door.clone().acquire_owned().await else { return };
                    self.start(protocol, app, at_door, &crowd, &serve);
                }
                Err(error) => faults.pause(protocol, &error).await,
            }
        }
    }

    /// A task for the connection. A panic ends that task and nothing else; the panic hook tells where it was.
    fn start<F>(
        &self,
        protocol: Protocol,
        app: TcpStream,
        at_door: OwnedSemaphorePermit,
        crowd: &Arc<Crowd>,
        serve: &F,
    ) where
        F: Fn(Protocol, TcpStream, Standing) -> Session + Clone + Send + 'static,
    {
        let conn = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let span = protocol.span(conn);
        if let Err(error) = app.set_nodelay(true) {
            span.in_scope(|| debug!(%error, "a socket option was not taken"));
        }
        let (door, limits, crowd) = (self.door.clone(), self.limits.clone(), crowd.clone());
        let (cut_off, serve) = (self.cut_off.clone(), serve.clone());
        let stay = async move {
            let Some(entry) = door.admit(protocol, &app).await else { return };
            let standing = Standing::new(cut_off.child_token());
            let seat = match limits.seat(protocol, entry.user, &standing) {
                Ok(seat) => seat,
                Err(full) => {
                    turn_away(&app, protocol.refusal());
                    return match full {
                        Full::OfUser(user) => door.tell_full(user),
                        Full::All => crowd.refused(protocol),
                    };
                }
            };
            drop(at_door);
            if seat.from_another {
                crowd.gave_way(protocol);
            }
            let ends = Ends::of(&app);
            let session = serve(protocol, app, standing.clone());
            tokio::select! {
                biased;
                ended = session => match ended {
                    Ok(()) if cut_off.is_cancelled() => info!("cut off"),
                    Ok(()) => {}
                    Err(error) => debug!(%error, "the connection broke"),
                },
                () = is_gone(ends, &standing) => info!("the app hung up before it was answered"),
            }
            drop(seat);
        };
        self.tasks.spawn(stay.instrument(span));
    }
}

/// Returns once an app that hung up while its password was judged is not there any more to hear the answer: it ended
/// not only its direction, but has closed the connection. Never where the system does not tell, and never once the app
/// was answered.
async fn is_gone(ends: Option<Ends>, standing: &Standing) {
    let Some(ends) = ends else { return std::future::pending().await };
    standing.hung_up().await;
    while standing.reached() == Reached::HungUp {
        if ends.is_closed() {
            return;
        }
        sleep(LOOK_AGAIN).await;
    }
    std::future::pending().await
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

    use tokio::time::Instant;

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
        let serve = |_, _, _| -> Session { unreachable!("no app ever comes") };
        let ended = tokio::time::timeout(time, sessions.take(Protocol::Imap, &failing, serve)).await;
        assert!(ended.is_err(), "the loop ended");
        failing.asked.into_inner().unwrap()
    }

    /// An app that only ended its direction still wants its answer; one that closed its connection does not.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_app_that_closed_its_connection_is_told_from_one_that_ended_its_direction() {
        use tokio::io::AsyncWriteExt;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut app = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = listener.accept().await.unwrap().0;
        let (ends, standing) = (Ends::of(&accepted), Standing::default());
        app.shutdown().await.unwrap();
        standing.hang_up();
        let mut gone = std::pin::pin!(is_gone(ends, &standing));
        assert!(futures_util::FutureExt::now_or_never(gone.as_mut()).is_none());
        drop(app);
        gone.await;
        standing.reach(Reached::Right);
        let gone = is_gone(ends, &standing);
        assert!(futures_util::FutureExt::now_or_never(gone).is_none(), "what was let in ends by itself");
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
