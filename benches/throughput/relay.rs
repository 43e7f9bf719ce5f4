//! A line of a given length: what goes in at one end comes out at the other half a round trip later.
//!
//! ```text
//!  peer ──▶ relay ── half a round trip ──▶ upstream
//!       ◀── half a round trip ──
//! ```
//!
//! Nothing is reordered, lost or joined. Opening a connection costs what TCP's handshake would: upstream hears the
//! peer's first octets one and a half round trips after the peer has connected. What is in flight is bounded as by a
//! TCP window. Not modelled: loss, and TCP's slow start. With no round trip and no rate octets are passed on by the
//! thread that read them, with no queue between; work whose time or CPU is compared at no round trip has no relay at all.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Most octets in flight one way, so that memory stays flat: 340 Mbit/s at 100 ms.
const WINDOW: usize = 4 * 1024 * 1024;

/// A read takes so much at most.
const READ: usize = 64 * 1024;

/// A relay; dropped, it takes no more connections, and those it has end when one of their sides does.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections taken.
    pub connections: u64,
    /// Octets from the peer.
    pub up: u64,
    /// Octets to the peer.
    pub down: u64,
    /// How often a peer spoke first or after it had heard something: the round trips, where none overlap.
    pub bursts: u64,
}

impl Counts {
    /// What came after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            connections: self.connections - before.connections,
            up: self.up - before.up,
            down: self.down - before.down,
            bursts: self.bursts - before.bursts,
        }
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            up: self.up + other.up,
            down: self.down + other.down,
            bursts: self.bursts + other.bursts,
        }
    }
}

impl Relay {
    /// Listens on a free port, and carries to `upstream` with no delay.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(upstream));
        let of_thread = shared.clone();
        thread::spawn(move || of_thread.listen(&listener));
        Ok(Self { address, shared })
    }

    /// Where peers connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on octets take half of `round_trip` each way; those in flight come when they would have come.
    pub fn delay(&self, round_trip: Duration) {
        self.shared.half.store(nanoseconds(round_trip / 2), SeqCst);
    }

    /// From now on at most so many octets a second each way, connection by connection; 0 is no limit.
    pub fn limit(&self, octets: u64) {
        self.shared.rate.store(octets, SeqCst);
    }

    /// What was carried until now.
    pub fn counts(&self) -> Counts {
        let shared = &self.shared;
        Counts {
            connections: shared.connections.load(SeqCst),
            up: shared.up.load(SeqCst),
            down: shared.down.load(SeqCst),
            bursts: shared.bursts.load(SeqCst),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        // Whoever waits for a connection gets one more and sees that it was the last.
        let _ = TcpStream::connect(self.address);
    }
}

/// What all threads of a relay know.
#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    half: AtomicU64,
    rate: AtomicU64,
    closed: AtomicBool,
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    bursts: AtomicU64,
}

impl Shared {
    fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            half: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            bursts: AtomicU64::new(0),
        }
    }

    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        for peer in listener.incoming().map_while(Result::ok) {
            if self.closed.load(SeqCst) {
                return;
            }
            self.connections.fetch_add(1, SeqCst);
            let shared = self.clone();
            // What fails here its peer sees as a connection that ends.
            thread::spawn(move || shared.serve(peer));
        }
    }

    fn serve(self: Arc<Self>, peer: TcpStream) -> io::Result<()> {
        peer.set_nodelay(true)?;
        let half = self.half();
        // Only now would the peer learn that it is connected, and upstream half a round trip later.
        thread::sleep(half * 2);
        let heard = Arc::new(AtomicBool::new(true));
        let up = Arc::new(Line::new(Way::Up, heard.clone(), self.clone()));
        up.clone().collect(peer.try_clone()?);
        thread::sleep(half);
        let upstream = TcpStream::connect(self.upstream).inspect_err(|_| {
            let _ = peer.shutdown(Shutdown::Both);
        })?;
        upstream.set_nodelay(true)?;
        let down = Arc::new(Line::new(Way::Down, heard, self));
        down.clone().collect(upstream.try_clone()?);
        up.deliver(upstream);
        down.deliver(peer);
        Ok(())
    }

    fn half(&self) -> Duration {
        Duration::from_nanos(self.half.load(SeqCst))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// One way of one connection. One thread puts octets in, another takes them out when they are due.
#[derive(Debug)]
struct Line {
    way: Way,
    /// Whether the peer has heard something since it last spoke; shared by both ways.
    heard: Arc<AtomicBool>,
    shared: Arc<Shared>,
    /// The far end, once it is there.
    end: OnceLock<TcpStream>,
    flight: Mutex<Flight>,
    changed: Condvar,
}

/// What was put in and has not come out.
#[derive(Debug, Default)]
struct Flight {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    octets: usize,
    /// When the last piece that was put in is due: nothing overtakes it.
    last: Option<Instant>,
    /// Nothing more will be put in.
    ended: bool,
    /// Nothing more can come out.
    broken: bool,
}

impl Line {
    fn new(way: Way, heard: Arc<AtomicBool>, shared: Arc<Shared>) -> Self {
        Self { way, heard, shared, end: OnceLock::new(), flight: Mutex::default(), changed: Condvar::new() }
    }

    /// In a thread of its own: puts in what `from` says.
    fn collect(self: Arc<Self>, mut from: TcpStream) {
        thread::spawn(move || {
            let mut octets = vec![0; READ];
            while let Ok(length @ 1..) = from.read(&mut octets) {
                let piece = octets.get(..length).unwrap_or_default();
                self.count_read(length);
                if self.pass(piece).is_err() {
                    // Whoever still writes is to hear that nobody reads.
                    let _ = from.shutdown(Shutdown::Both);
                    break;
                }
            }
            self.flight().ended = true;
            self.changed.notify_all();
        });
    }

    /// At once where there is no delay and nothing is in flight, or into the queue; waits while the window is full.
    fn pass(&self, piece: &[u8]) -> io::Result<()> {
        let (half, rate) = (self.shared.half(), self.shared.rate.load(SeqCst));
        let mut flight = self.flight();
        if half.is_zero() && rate == 0 && flight.octets == 0 && !flight.broken {
            // The thread that delivers has nothing to do until this one puts something in.
            if let Some(mut end) = self.end.get() {
                drop(flight);
                return self.write(&mut end, piece);
            }
        }
        while flight.octets >= WINDOW && !flight.broken {
            flight = self.changed.wait(flight).unwrap_or_else(PoisonError::into_inner);
        }
        if flight.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let due = flight.due(half, rate, piece.len());
        flight.octets += piece.len();
        flight.pieces.push_back((due, piece.to_vec()));
        self.changed.notify_all();
        Ok(())
    }

    /// In a thread of its own: takes out what is due and says it to `end`.
    fn deliver(self: Arc<Self>, mut end: TcpStream) {
        thread::spawn(move || {
            if let Ok(end) = end.try_clone() {
                let _ = self.end.set(end);
            }
            while let Some((due, piece)) = self.next() {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let said = self.write(&mut end, &piece);
                let mut flight = self.flight();
                flight.octets -= piece.len();
                if said.is_err() {
                    *flight = Flight { broken: true, ..Flight::default() };
                    self.changed.notify_all();
                    break;
                }
                self.changed.notify_all();
            }
            let _ = end.shutdown(Shutdown::Write);
        });
    }

    /// The oldest piece, which still counts as in flight; `None` when there will be no other.
    fn next(&self) -> Option<(Instant, Vec<u8>)> {
        let mut flight = self.flight();
        loop {
            if let Some(piece) = flight.pieces.pop_front() {
                return Some(piece);
            }
            if flight.ended {
                return None;
            }
            flight = self.changed.wait(flight).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, end: &mut impl Write, piece: &[u8]) -> io::Result<()> {
        if self.way == Way::Down {
            // Counted before the peer can answer, so that the answer finds it counted.
            self.heard.store(true, SeqCst);
            self.shared.down.fetch_add(piece.len() as u64, SeqCst);
        }
        end.write_all(piece)
    }

    fn count_read(&self, length: usize) {
        if self.way == Way::Up {
            self.shared.up.fetch_add(length as u64, SeqCst);
            if self.heard.swap(false, SeqCst) {
                self.shared.bursts.fetch_add(1, SeqCst);
            }
        }
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// When a piece that is put in now is to come out: behind the one before it, and as fast as `rate` allows.
    fn due(&mut self, half: Duration, rate: u64, octets: usize) -> Instant {
        let now = Instant::now() + half;
        let mut due = self.last.map_or(now, |last| last.max(now));
        if rate > 0 {
            due += Duration::from_secs_f64(octets as f64 / rate as f64);
        }
        self.last = Some(due);
        due
    }
}
