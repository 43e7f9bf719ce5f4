//! Clocks that jump.

use super::*;

/// A clock that jumps costs a request, not the mail.
#[tokio::test]
async fn clock_jumps_starve_nobody() {
    const TEN_YEARS: u64 = 10 * 365 * 86_400;
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.set_clock(BEGIN + TEN_YEARS);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    // Back again: the token's times lie in the future, so that nobody knows when it ends.
    bench.set_clock(BEGIN);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    bench.server.until(2).await;
    bench.tokens.state().await;
    assert_eq!(bench.current().await.unwrap(), "access-2");
    assert_eq!(bench.tokens.state().await.expires_at, Some(BEGIN + 3600));
    assert_eq!(bench.requests(), 2);
}

/// At 1970 no certificate is valid: what we have is shown, and upstream judges.
#[tokio::test]
async fn a_clock_at_1970_still_shows_what_is_there() {
    let bench = Bench::new(|_| json(500, "")).await;
    bench.tokens.state().await;
    bench.set_clock(0);
    assert_eq!(bench.current().await.unwrap(), "access-0");
}

/// A pause ends while the machine sleeps, and with a clock that is set back.
#[test]
fn pauses_are_over_by_either_clock() {
    let steady = Instant::now();
    let then = Moment { wall: BEGIN, steady };
    let at = |wall: u64, seconds: u64| Moment { wall, steady: steady + Duration::from_secs(seconds) };
    assert!(!at(BEGIN + 59, 59).is_past(then, FORCED));
    assert!(at(BEGIN + 60, 60).is_past(then, FORCED));
    assert!(at(BEGIN + 61, 0).is_past(then, FORCED), "slept");
    assert!(at(BEGIN - 1, 0).is_past(then, FORCED), "set back");
}
