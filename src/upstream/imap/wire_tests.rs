use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::conversation::Conversation;
use super::meter::Meter;
use super::script::{self, PATIENCE};
use super::wire::Wire;
use crate::net::Buffered;
use crate::upstream::UpstreamError;

/// Counts the writes that reach it.
#[derive(Debug)]
struct Counting(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counting {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut this.0).poll_write(cx, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

fn conversation(script: &'static str) -> Conversation<DuplexStream> {
    let (stream, _) = script::play(script);
    Conversation::Client(async_imap::Client::new(Wire::new(Buffered::new(stream), PATIENCE)))
}

#[tokio::test]
async fn what_comes_is_counted_asked_or_not() {
    let mut conversation = conversation("C: $a NOOP\nS: $a OK x\nS: * 1 EXISTS\nEOF");
    let meter = Meter::allowing(1_000_000);
    conversation.wire().count_on(meter.clone());
    conversation.run("NOOP", "NOOP").await.unwrap();
    assert!(conversation.wire().unasked().await.is_ok());
    let received = conversation.wire().received();
    assert!(received > 22 && meter.counted() == received, "{received}");
}

#[tokio::test]
async fn a_command_leaves_in_one_write() {
    let (stream, play) = script::play("C: $a NOOP\nS: $a OK x");
    let writes = Arc::new(AtomicUsize::new(0));
    let wire = Wire::new(Buffered::new(Counting(stream, writes.clone())), PATIENCE);
    let mut conversation = Conversation::Client(async_imap::Client::new(wire));
    conversation.run("NOOP", "NOOP").await.unwrap();
    assert_eq!(writes.load(Ordering::Relaxed), 1);
    drop(conversation);
    play.await.unwrap();
}

#[tokio::test]
async fn what_stands_behind_a_completion_is_still_in_the_stream() {
    let mut conversation = conversation("C: $a NOOP\nR: * 4 EXISTS\\r\\n$a OK x\\r\\n* 5 EXISTS\\r\\n* 6 EX");
    let answer = conversation.run("NOOP", "NOOP").await.unwrap();
    assert_eq!(answer.exists, Some(4));
    let mut stream = conversation.into_stream().unwrap();
    while !stream.input().ends_with(b"EX") {
        assert_ne!(stream.fill().await.unwrap(), 0);
    }
    assert_eq!(&stream.input()[..], b"* 5 EXISTS\r\n* 6 EX");
}

#[tokio::test]
async fn what_is_said_cannot_take_more_memory_than_we_give() {
    let long = format!("C: $a NOOP\nR: * X {}", "x".repeat(700_000));
    let endless: &'static str = format!("{long}\nR: {}", "x".repeat(700_000)).leak();
    let error = conversation(endless).run("NOOP", "NOOP").await.unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge));
    let announced = "C: $a NOOP\nS: * LIST () NIL {99999999}";
    let error = conversation(announced).run("NOOP", "NOOP").await.unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge));
}

#[tokio::test]
async fn an_exchange_that_never_ends_is_ended() {
    let (stream, _play) =
        script::play(format!("C: $a AUTHENTICATE PLAIN\nR: {}", "+ \\r\\n".repeat(1000)).leak());
    let wire = Wire::new(Buffered::new(stream), PATIENCE);
    struct Empty;
    impl async_imap::Authenticator for Empty {
        type Response = &'static [u8];
        fn process(&mut self, _: &[u8]) -> &'static [u8] {
            b""
        }
    }
    let outcome = async_imap::Client::new(wire).authenticate("PLAIN", Empty).await;
    assert!(outcome.is_err());
}

#[tokio::test(start_paused = true)]
async fn slow_but_moving_is_never_cut_and_silence_is() {
    let (mut upstream, stream) = tokio::io::duplex(1000);
    let wire = Wire::new(Buffered::new(stream), PATIENCE);
    let mut conversation = Conversation::Client(async_imap::Client::new(wire));
    let dribble = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        for octet in b"* OK slow\r\nA0001 OK x\r\n" {
            tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
            upstream.write_all(&[*octet]).await.unwrap();
        }
        upstream
    });
    conversation.run("NOOP", "NOOP").await.unwrap();
    let _upstream = dribble.await.unwrap();
    let begun = tokio::time::Instant::now();
    let error = conversation.run("NOOP", "NOOP").await.unwrap_err();
    assert!(matches!(error, UpstreamError::TimedOut { command: "NOOP", after: PATIENCE }));
    assert_eq!(begun.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn what_takes_a_server_long_is_given_longer() {
    const WORK: Duration = Duration::from_secs(600);
    for (name, given) in [("MOVE", WORK), ("NOOP", PATIENCE)] {
        let mut conversation = conversation("C: $a X");
        conversation.wire().allow_for_work(WORK);
        let error = conversation.run(name, "X").await.unwrap_err();
        assert!(matches!(error, UpstreamError::TimedOut { after, .. } if after == given), "{error:?}");
    }
}
