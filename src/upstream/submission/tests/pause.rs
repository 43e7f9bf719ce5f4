//! A connection that was left alone for a while.

use tokio::time::{Instant, sleep};

use super::*;

/// A transaction whose parts follow one another with pauses costs no more than one that has none.
#[tokio::test(start_paused = true)]
async fn who_goes_on_within_seconds_is_asked_for_no_sign_of_life() {
    let (mut submission, mut server) = logged_in(&["PIPELINING"]).await;
    sleep(Duration::from_secs(9)).await;
    let script = async {
        server.hears("MAIL FROM:<ana@example.org>").await;
        server.answers("RCPT TO:<a@b>", "250 ok\r\n250 ok").await;
        sleep(Duration::from_secs(9)).await;
    };
    let envelope = envelope(&["a@b"]);
    let (settled, ()) = tokio::join!(submission.envelope(&envelope), script);
    assert_eq!(codes(settled), ["250 ok"]);
    let (asked, ()) = tokio::join!(submission.data(), server.answers("DATA", "354 go"));
    assert_eq!(asked.unwrap().code(), 354);
}

/// In a machine that slept one of the clocks did not go on. What upstream says about NOOP is no matter (RFC 5321 §4.5.1).
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_left_alone_shows_first_that_it_lives() {
    let (mut submission, mut server) = logged_in(&["PIPELINING"]).await;
    sleep(Duration::from_secs(10)).await;
    let script = async {
        server.answers("NOOP", "250 ok").await;
        server.hears("MAIL FROM:<ana@example.org>").await;
        server.answers("RCPT TO:<a@b>", "250 ok\r\n250 first").await;
    };
    let first = envelope(&["a@b"]);
    let (settled, ()) = tokio::join!(submission.envelope(&first), script);
    assert_eq!(codes(settled), ["250 first"]);
    submission.sleep(Duration::from_secs(3600));
    let script = async {
        server.answers("NOOP", "502 what").await;
        server.answers("RCPT TO:<c@d>", "250 second").await;
    };
    let second = Envelope { mail: None, ..envelope(&["c@d"]) };
    let (settled, ()) = tokio::join!(submission.envelope(&second), script);
    assert_eq!(codes(settled), ["250 second"]);
    submission.sleep(Duration::from_secs(3600));
    let script = async {
        server.answers("NOOP", "250 ok").await;
        server.answers("DATA", "354 go").await;
    };
    let (asked, ()) = tokio::join!(submission.data(), script);
    assert_eq!(asked.unwrap().code(), 354);
}

/// Minutes of patience are for a server that works (RFC 5321 §4.5.3.2), not for one that is gone without a word.
#[tokio::test(start_paused = true)]
async fn a_connection_that_died_in_silence_is_lost_within_seconds() {
    let (mut submission, _server) = logged_in(&["PIPELINING"]).await;
    sleep(Duration::from_secs(60)).await;
    let begun = Instant::now();
    let settled = submission.envelope(&envelope(&["a@b"])).await;
    assert!(matches!(settled, Err(UpstreamError::Lost { command: "MAIL" })), "{settled:?}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// Upstream took its leave meanwhile (RFC 5321 §3.8), within a transaction, where no other connection may go on.
#[tokio::test(start_paused = true)]
async fn a_farewell_that_was_said_meanwhile_is_what_it_comes_to() {
    let (mut submission, mut server) = logged_in(&["PIPELINING"]).await;
    server.says("421 4.4.2 bye").await;
    sleep(Duration::from_secs(60)).await;
    let asked = submission.data().await;
    assert!(
        matches!(&asked, Err(UpstreamError::Unavailable { text, .. }) if text.contains("bye")),
        "{asked:?}"
    );
}
