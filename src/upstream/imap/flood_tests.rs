//! An upstream that speaks without a pause, whatever it is asked.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::{coop, yield_now};

use super::conversation::Conversation;
use super::script::PATIENCE;
use super::session::Session;
use super::wire::Wire;
use crate::net::Buffered;

const SAID: &[u8] = b"* OK x\r\n";

/// Reads after which it ends: whoever comes to that has looked at nothing else.
const ENDS: usize = 20_000;

/// There is always more to be read of it.
struct Flood {
    /// Of one read.
    said: Vec<u8>,
    /// Whether reads count in tokio's budget, as those of a socket do.
    budgeted: bool,
    /// It says nothing until it was asked.
    waits: bool,
    reads: Arc<AtomicUsize>,
    /// A command that it answers.
    asked: Vec<u8>,
    /// Dropped with it.
    _over: oneshot::Sender<()>,
}

impl AsyncRead for Flood {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let budget = if this.budgeted { Some(std::task::ready!(coop::poll_proceed(cx))) } else { None };
        if this.waits && this.asked.is_empty() {
            // Nobody wakes it but the task that writes.
            return Poll::Pending;
        }
        if this.reads.fetch_add(1, Ordering::Relaxed) >= ENDS {
            return Poll::Ready(Ok(()));
        }
        match this.asked.strip_suffix(b" NOOP\r\n") {
            Some(tag) => {
                buf.put_slice(tag);
                buf.put_slice(b" OK done\r\n");
                this.asked.clear();
            }
            None => buf.put_slice(&this.said),
        }
        budget.inspect(coop::RestoreOnPending::made_progress);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().asked.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A session whose upstream never pauses; how often it was read, and when it is over.
struct Flooded {
    session: Session,
    reads: Arc<AtomicUsize>,
    over: oneshot::Receiver<()>,
}

fn flooded(said: Vec<u8>, budgeted: bool, waits: bool) -> Flooded {
    let (_over, over) = oneshot::channel();
    let reads = Arc::new(AtomicUsize::new(0));
    let flood = Flood { said, budgeted, waits, reads: reads.clone(), asked: Vec::new(), _over };
    let wire = Wire::new(Buffered::new(flood), PATIENCE);
    let session = Session::over(Conversation::Client(async_imap::Client::new(wire)));
    Flooded { session, reads, over }
}

/// Until the session is in the midst of it.
async fn begun(reads: &AtomicUsize) {
    while reads.load(Ordering::Relaxed) == 0 {
        yield_now().await;
    }
}

#[tokio::test]
async fn whoever_is_flooded_between_two_commands_is_asked_all_the_same() {
    for budgeted in [false, true] {
        let Flooded { session, reads, .. } = flooded(SAID.to_vec(), budgeted, false);
        begun(&reads).await;
        let answer = session.run("NOOP", "NOOP".to_owned()).await;
        assert!(answer.is_ok(), "{budgeted}: {answer:?}");
    }
}

#[tokio::test]
async fn whoever_is_flooded_ends_with_its_handle() {
    for (budgeted, in_answer) in [(false, false), (true, false), (false, true), (true, true)] {
        let Flooded { session, reads, over } = flooded(SAID.to_vec(), budgeted, in_answer);
        if in_answer {
            let asked = session.run("SEARCH", "UID SEARCH ALL".to_owned());
            tokio::select! {
                answer = asked => panic!("{answer:?}"),
                () = begun(&reads) => {}
            }
        }
        begun(&reads).await;
        drop(session);
        assert!(over.await.is_err());
        let reads = reads.load(Ordering::Relaxed);
        assert!(reads < ENDS, "budgeted {budgeted}, in an answer {in_answer}");
    }
}

#[tokio::test]
async fn whoever_says_a_megabyte_between_two_commands_is_left() {
    let Flooded { session, reads, .. } = flooded(SAID.repeat(512), true, false);
    session.ended().await;
    let octets = reads.load(Ordering::Relaxed) * 4096;
    assert!((1 << 20..2 << 20).contains(&octets), "{octets}");
}
