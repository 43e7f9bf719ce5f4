//! Silence, on either side.

use tokio::time::{Instant, sleep, timeout};

use super::*;

fn one() -> Script {
    Script::new([Mail::of(b"one\r\n")])
}

#[tokio::test(start_paused = true)]
async fn rfc1939_3_ten_minutes_of_silence_are_borne_and_any_command_starts_them_again() {
    let script = one();
    let mut talk = talk(&script).logged_in().await;
    talk.send("DELE 1\r\n").await;
    talk.line().await;
    for command in ["NOOP\r\n", "BAD\r\n", "NOOP\r\n"] {
        sleep(seconds(601)).await;
        talk.send(command).await;
        talk.line().await;
    }
    let quiet = Instant::now();
    assert_eq!(talk.rest().await, b""); // No octet, the end alone.
    assert_eq!(quiet.elapsed(), deadlines().pop3_idle);
    talk.over().await;
    let seen = script.seen();
    assert_eq!((seen.updates.len(), seen.closed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn half_a_line_does_not_keep_a_session() {
    let mut talk = talk(&one()).logged_in().await;
    let quiet = Instant::now();
    for _ in 0..2 {
        sleep(seconds(300)).await;
        talk.send("N").await;
    }
    assert_eq!(talk.rest().await, b"");
    assert_eq!(quiet.elapsed(), deadlines().pop3_idle);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_does_not_log_in_is_let_go() {
    let mut talk = talk(&one());
    talk.line().await;
    let connected = Instant::now();
    sleep(seconds(100)).await;
    talk.send("CAPA\r\n").await;
    talk.hear(".\r\n").await;
    assert_eq!(talk.rest().await, b"");
    assert_eq!(connected.elapsed(), deadlines().app_login);
}

#[tokio::test(start_paused = true)]
async fn an_apps_time_to_log_in_does_not_run_while_upstream_is_asked() {
    let script = one();
    script.seen().login_takes = deadlines().app_login;
    script.seen().login_error = Some(|| UpstreamError::Lost { command: "login" });
    let mut talk = talk(&script);
    talk.send(LOGIN).await;
    talk.hear("+OK send PASS\r\n").await;
    assert!(talk.line().await.starts_with("-ERR [SYS/TEMP]"));
    script.seen().login_error = None;
    sleep(seconds(60)).await;
    talk.send("USER ana@gmx.net\r\nPASS y\r\n").await;
    talk.hear("+OK send PASS\r\n").await;
    assert!(talk.line().await.starts_with("+OK 1 messages"));
}

#[tokio::test(start_paused = true)]
async fn upstream_is_kept_awake_while_the_app_is_silent_or_says_noop() {
    let script = one();
    let mut talk = talk(&script).logged_in().await;
    for _ in 0..20 {
        sleep(seconds(60)).await;
        talk.send("NOOP\r\n").await;
        talk.line().await;
    }
    let kept = script.seen().kept_alive;
    assert_eq!(kept, 5);
    sleep(seconds(500)).await;
    let kept = script.seen().kept_alive;
    assert_eq!(kept, 7);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_reads_nothing_is_dropped_and_upstream_freed() {
    let large = vec![b'x'; 200_000];
    let script = Script::new([Mail::of(&large)]);
    let mut talk = talk_with(&script, 1000, "").logged_in().await;
    talk.send(&"RETR 1\r\n".repeat(50)).await;
    let stalled = Instant::now();
    talk.driver.await.expect("no panic").expect("no error");
    assert_eq!(stalled.elapsed(), deadlines().app_stall);
    assert_eq!(script.seen().closed, 1);
}

#[tokio::test(start_paused = true)]
async fn rfc2449_6_6_large_pipelined_retrs_wait_for_a_slow_reader() {
    let large = [vec![b'x'; 19_998], b"\r\n".to_vec()].concat();
    let mut talk = talk_with(&Script::new([Mail::of(&large)]), 500, "").logged_in().await;
    talk.send(&"RETR 1\r\n".repeat(30)).await;
    talk.send("QUIT\r\n").await;
    let (mut heard, mut piece) = (0, [0; 500]);
    loop {
        sleep(seconds(30)).await; // An hour in all, and never cut.
        match talk.app.read(&mut piece).await.expect("open") {
            0 => break,
            octets => heard += octets,
        }
    }
    assert_eq!(heard, 30 * ("+OK 20000 octets\r\n".len() + 20_000 + ".\r\n".len()) + "+OK bye\r\n".len());
}

#[tokio::test(start_paused = true)]
async fn what_has_come_is_not_held_back_for_what_has_not() {
    let told = Arc::new(Notify::new());
    let chunk = |text: &'static [u8]| Event::Chunk(Bytes::from_static(text));
    let events = vec![chunk(b"Subject: slow\r\n"), Event::Wait(told.clone()), chunk(b"\r\nbody\r\n")];
    let script =
        Script::new([Mail::of(b"one\r\n"), Mail::with(23, events), Mail::with(9, vec![Event::Hang])]);
    let mut talk = talk(&script).logged_in().await;
    talk.send("RETR 1\r\nRETR 2\r\nRETR 3\r\n").await;
    talk.hear("one\r\n.\r\n+OK\r\nSubject: slow\r\n").await;
    told.notify_one();
    talk.hear("\r\nbody\r\n.\r\n").await;
    assert!(timeout(seconds(40), talk.line()).await.is_err()); // No +OK for what may never come.
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_silent_session_at_once_and_removes_nothing() {
    let script = one();
    let mut talk = talk(&script).logged_in().await;
    talk.send("DELE 1\r\n").await;
    talk.line().await;
    let now = Instant::now();
    talk.stopping.cancel();
    assert_eq!(talk.rest().await, b"");
    assert_eq!(now.elapsed(), seconds(0));
    talk.over().await;
    let seen = script.seen();
    assert_eq!((seen.updates.len(), seen.closed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_a_running_message_finish_and_nothing_after_it() {
    let told = Arc::new(Notify::new());
    let chunk = |text: &'static [u8]| Event::Chunk(Bytes::from_static(text));
    let events = vec![chunk(b"half"), Event::Wait(told.clone()), chunk(b" whole")];
    let mut talk = talk(&Script::new([Mail::with(10, events)])).logged_in().await;
    talk.send("RETR 1\r\nSTAT\r\nQUIT\r\n").await;
    talk.hear("half").await;
    talk.stopping.cancel();
    sleep(seconds(1)).await;
    told.notify_one();
    assert_eq!(talk.rest_text().await, " whole\r\n.\r\n");
    talk.over().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_cuts_a_message_that_does_not_finish_without_a_dot() {
    let events = vec![Event::Chunk(Bytes::from_static(b"half")), Event::Hang];
    let mut talk = talk(&Script::new([Mail::with(10, events)])).logged_in().await;
    talk.send("RETR 1\r\n").await;
    talk.hear("half").await;
    let now = Instant::now();
    talk.stopping.cancel();
    assert_eq!(talk.rest().await, b"");
    assert_eq!(now.elapsed(), deadlines().stop);
    talk.over().await;
}

/// A provider that never comes to an end must not fill the bridge with apps that are long gone.
#[tokio::test(start_paused = true)]
async fn an_app_that_hung_up_waits_no_longer_for_upstream_than_one_that_stops_reading() {
    let script = Script::default();
    script.seen().login_takes = deadlines().app_stall - seconds(1);
    let mut waiting = talk(&script);
    waiting.send(LOGIN).await;
    waiting.app.shutdown().await.expect("open");
    assert!(waiting.rest_text().await.contains("+OK 0 messages"), "it may still want its answer");
    script.seen().login_takes = Duration::MAX;
    let mut gone = talk(&script);
    gone.send(LOGIN).await;
    gone.app.shutdown().await.expect("open");
    let (begun, Talk { app, driver, .. }) = (Instant::now(), gone);
    assert!(driver.await.expect("no panic").is_ok());
    drop(app);
    assert_eq!((begun.elapsed(), script.seen().opened), (deadlines().app_stall, 1));
}

/// RFC 1939 §6: QUIT came, and what it began is not left half done for a reply that nobody takes.
#[tokio::test(start_paused = true)]
async fn an_update_goes_to_its_end_though_the_app_is_gone() {
    let script = Script::new([Mail::of(b"one\r\n")]);
    script.seen().update_takes = seconds(5);
    let mut talk = talk(&script).logged_in().await;
    talk.send("NOOP\r\nDELE 1\r\nQUIT\r\n").await;
    let Talk { app, driver, .. } = talk;
    drop(app);
    let _ = driver.await.expect("no panic");
    assert_eq!(script.seen().updates, [(vec![], vec![10])]);
}
