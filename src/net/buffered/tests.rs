use std::pin::Pin;
use std::task::Waker;

use proptest::prelude::*;
use tokio::io::duplex;

use super::*;

/// Takes `limit` octets a write and keeps each write apart.
#[derive(Debug)]
struct Writes {
    limit: usize,
    gathers: bool,
    ready: bool,
    seen: Vec<Vec<u8>>,
}

impl Writes {
    fn new(limit: usize, gathers: bool) -> Self {
        Self { limit, gathers, ready: true, seen: Vec::new() }
    }

    fn all(&self) -> Vec<u8> {
        self.seen.concat()
    }
}

impl AsyncWrite for Writes {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.ready {
            return Poll::Pending;
        }
        let offered = if self.gathers { parts.len() } else { 1 };
        let all: Vec<u8> = parts.iter().take(offered).flat_map(|part| part.iter().copied()).collect();
        let taken = all.len().min(self.limit);
        self.seen.push(all[..taken].to_vec());
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.gathers
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls once and lets go, as a `select!` does that took another branch.
fn poll_and_drop<F: Future>(future: F) -> bool {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn queued_replies_leave_in_one_write() {
    let mut app = Buffered::new(Writes::new(usize::MAX, false));
    app.queue(b"+OK one\r\n");
    app.queue(b"+OK two\r\n");
    app.flush().await.unwrap();
    assert_eq!(app.get_ref().seen, [b"+OK one\r\n+OK two\r\n"]);
    assert_eq!(app.queued(), 0);
}

#[tokio::test]
async fn a_body_leaves_with_the_reply_before_it() {
    let long = vec![b'x'; 3 * FIRST_READ];
    for body in [&long[..], b"short"] {
        let mut app = Buffered::new(Writes::new(usize::MAX, true));
        app.queue(b"+OK\r\n");
        app.write_moving(body, Duration::MAX).await.unwrap();
        assert_eq!(app.get_ref().seen, [[b"+OK\r\n", body].concat()]);
    }
}

#[tokio::test]
async fn a_flush_that_was_cancelled_neither_loses_nor_repeats() {
    let mut app = Buffered::new(Writes::new(3, true));
    app.queue(b"+OK one\r\n");
    app.io.ready = false;
    assert!(!poll_and_drop(app.flush()));
    assert_eq!(app.queued(), 9);
    app.io.ready = true;
    app.queue(b"+OK two\r\n");
    app.flush().await.unwrap();
    assert_eq!(app.get_ref().all(), b"+OK one\r\n+OK two\r\n");
}

#[tokio::test]
async fn a_fill_that_was_cancelled_loses_nothing() {
    let (mut far, near) = duplex(100);
    let mut app = Buffered::new(near);
    app.input().extend_from_slice(b"NO");
    assert!(!poll_and_drop(app.fill()));
    far.write_all(b"OP\r\n").await.unwrap();
    assert_eq!(app.fill().await.unwrap(), 4);
    assert_eq!(&app.input()[..], b"NOOP\r\n");
    drop(far);
    assert_eq!(app.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_left_goes_on_with_the_stream() {
    let (_far, near) = duplex(4);
    let mut app = Buffered::new(near);
    app.queue(b"123456");
    assert!(!poll_and_drop(app.flush()));
    app.input().extend_from_slice(b"abc");
    let (_, unread, unsent) = app.into_parts();
    assert_eq!((&unread[..], &unsent[..]), (&b"abc"[..], &b"56"[..]));
}

#[tokio::test]
async fn reads_grow_with_bulk_and_memory_falls_back_when_idle() {
    let (mut far, near) = duplex(1 << 20);
    let mut app = Buffered::new(near);
    far.write_all(&vec![b'x'; FIRST_READ + 4 * FIRST_READ + READ + 100]).await.unwrap();
    for expected in [FIRST_READ, 4 * FIRST_READ, READ, 100] {
        assert_eq!(app.fill().await.unwrap(), expected);
        // Taken as a body is taken: the rest of the block stays with the buffer.
        drop(app.input().split().freeze());
    }
    app.queue(&vec![b'y'; 3 * READ]);
    app.flush().await.unwrap();
    assert!(!poll_and_drop(app.fill()));
    assert_eq!((app.input.capacity(), app.output.capacity()), (0, 0));
}

#[tokio::test]
async fn what_is_unread_and_unsent_outlives_a_wait() {
    let (mut far, near) = duplex(FIRST_READ);
    let mut app = Buffered::new(near);
    far.write_all(b"NOOP\r\nQU").await.unwrap();
    assert_eq!(app.fill().await.unwrap(), 8);
    drop(app.input().split_to(6).freeze());
    app.queue(b"+OK\r\n");
    assert!(!poll_and_drop(app.fill()));
    assert_eq!(app.queued(), 5);
    assert_eq!(&app.input()[..], b"QU");
    assert!(app.input.capacity() < 100);
}

proptest! {
    /// Whatever is queued, written whole or written in part, and in whatever portions the system takes it, the
    /// order stays.
    #[test]
    fn octets_leave_in_order(
        limit in 1..20_usize,
        gathers: bool,
        parts in proptest::collection::vec((0..3_u8, proptest::collection::vec(any::<u8>(), 0..50)), 0..20),
    ) {
        let mut app = Buffered::new(Writes::new(limit, gathers));
        let expected: Vec<u8> = parts.iter().flat_map(|(_, octets)| octets.clone()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            for (way, octets) in &parts {
                let mut rest = &octets[..];
                match way {
                    0 => app.queue(octets),
                    1 => app.write_moving(octets, Duration::MAX).await.unwrap(),
                    _ => while !rest.is_empty() {
                        let went = app.write_some(rest).await.unwrap();
                        rest = &rest[went..];
                    },
                }
            }
            app.flush().await.unwrap();
        });
        prop_assert_eq!(app.get_ref().all(), expected);
    }

    /// However the octets come, they are read as they were sent.
    #[test]
    fn octets_come_in_order(
        sent in proptest::collection::vec(any::<u8>(), 0..40_000),
        pipe in 1..10_000_usize,
        take in 1..10_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let got = runtime.block_on(async {
            let (mut far, near) = duplex(pipe);
            let octets = sent.clone();
            let writer = tokio::spawn(async move { far.write_all(&octets).await });
            let (mut app, mut got) = (Buffered::new(near), Vec::new());
            while app.fill().await.unwrap() > 0 {
                let part = take.min(app.input().len());
                got.extend_from_slice(&app.input().split_to(part));
            }
            got.extend_from_slice(app.input());
            writer.await.unwrap().unwrap();
            got
        });
        prop_assert_eq!(got, sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_is_waited_for_and_one_that_takes_nothing_is_not() {
    use tokio::time::{Instant, sleep};
    const STALL: Duration = Duration::from_secs(10);
    let (mut far, near) = duplex(10);
    let mut app = Buffered::new(near);
    app.queue(&[1; 50]);
    let slow = tokio::spawn(async move {
        for _ in 0..10 {
            sleep(STALL - Duration::from_secs(1)).await;
            far.read_exact(&mut [0; 10]).await.unwrap();
        }
        far
    });
    app.write_moving(&[2; 60], STALL).await.expect("it moves");
    let _far = slow.await.unwrap();
    let begun = Instant::now();
    app.queue(&[3]);
    let stalled = app.flush_moving(STALL).await.expect_err("nobody reads");
    assert_eq!((stalled.kind(), begun.elapsed()), (std::io::ErrorKind::TimedOut, STALL));
}
