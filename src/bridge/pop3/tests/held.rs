//! A login whose session upstream was held: accepted before it is known what is in the mailbox.

use tokio::time::{Instant, sleep};

use super::flow::{ANSWERS, EVERYTHING, two};
use super::*;
use crate::upstream::tokens;

/// What its flight takes.
const FLIGHT: Duration = Duration::from_secs(2);

fn held() -> Script {
    let script = two();
    {
        let mut seen = script.seen();
        (seen.held, seen.login_takes) = (true, FLIGHT);
    }
    script
}

const ACCEPTED: &str = "+OK send PASS\r\n+OK logged in\r\n";

#[tokio::test(start_paused = true)]
async fn the_login_is_answered_at_once_and_the_first_look_when_the_mailbox_has_come() {
    let script = held();
    let asked = Instant::now();
    let mut talk = talk(&script).logged_in().await;
    assert_eq!((asked.elapsed(), script.seen().opened), (seconds(0), 0));
    talk.send("STAT\r\n").await;
    assert_eq!(talk.line().await, "+OK 2 49\r\n");
    assert_eq!(asked.elapsed(), FLIGHT);
    talk.send("UIDL 2\r\nQUIT\r\n").await;
    assert_eq!(talk.rest_text().await, "+OK 2 7.11\r\n+OK bye\r\n");
    assert_eq!(asked.elapsed(), FLIGHT);
    talk.over().await;
    let seen = script.seen();
    assert_eq!((seen.left, seen.closed), (1, 0));
}

/// A flight that began with the app's next command would be late by all the app's silence.
#[tokio::test(start_paused = true)]
async fn the_mailbox_comes_while_the_app_is_silent() {
    let script = held();
    let mut talk = talk(&script).logged_in().await;
    sleep(FLIGHT * 2).await;
    let asked = Instant::now();
    talk.send("STAT\r\n").await;
    assert_eq!(talk.line().await, "+OK 2 49\r\n");
    assert_eq!((asked.elapsed(), script.seen().opened), (seconds(0), 1));
}

#[tokio::test(start_paused = true)]
async fn rfc2449_6_6_what_came_in_one_segment_with_the_login_is_answered_in_order() {
    let script = held();
    let mut talk = talk(&script);
    talk.line().await;
    talk.send(&format!("{LOGIN}{EVERYTHING}")).await;
    // The login's answer waits for nothing, and all that waited comes in one write.
    let mut heard = [0; 4096];
    let octets = talk.app.read(&mut heard).await.expect("open");
    assert_eq!(String::from_utf8_lossy(&heard[..octets]), ACCEPTED);
    let octets = talk.app.read(&mut heard).await.expect("open");
    assert_eq!(String::from_utf8_lossy(&heard[..octets]), ANSWERS);
    talk.over().await;
    assert_eq!(script.seen().updates, [(vec![], vec![10])]);
}

#[tokio::test(start_paused = true)]
async fn rfc2449_6_6_split_at_every_octet_it_is_the_same() {
    let all = format!("{LOGIN}{EVERYTHING}");
    for at in 1..all.len() {
        let mut talk = talk(&held());
        let (first, second) = all.split_at(at);
        talk.send(first).await;
        sleep(seconds(1)).await; // Paused clock: until the driver waits, in mid-flight if there was a login.
        talk.send(second).await;
        let heard = talk.rest_text().await;
        assert!(heard.ends_with(&format!("{ACCEPTED}{ANSWERS}")), "split at {at}: {heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_maildrop_does_not_wait_for_it() {
    let script = held();
    let asked = Instant::now();
    let mut talk = talk(&script).logged_in().await;
    talk.send("NOOP\r\nRSET\r\nLANG en\r\nUSER eve\r\nXTND XMIT\r\nCAPA\r\nDELE 1\r\nQUIT\r\n").await;
    let heard = talk.hear("\r\n.\r\n").await;
    assert!(heard.contains("already logged in") && heard.contains("unknown command"), "{heard}");
    assert_eq!((asked.elapsed(), script.seen().opened), (seconds(0), 0));
    assert_eq!(talk.rest_text().await, "+OK marked deleted\r\n+OK bye\r\n");
    talk.over().await;
    assert_eq!(script.seen().updates, [(vec![], vec![10])]);
}

/// Its session upstream is held again, whatever it is in the middle of.
#[tokio::test(start_paused = true)]
async fn quit_right_behind_the_login_waits_for_nothing_and_removes_nothing() {
    let script = held();
    script.seen().login_takes = Duration::MAX;
    let asked = Instant::now();
    let mut talk = talk(&script).logged_in().await;
    talk.send("QUIT\r\n").await;
    assert_eq!(talk.rest_text().await, "+OK bye\r\n");
    talk.over().await;
    assert_eq!(asked.elapsed(), seconds(0));
    let seen = script.seen();
    assert_eq!((seen.updates.len(), seen.left, seen.closed), (0, 1, 0));
}

/// The half-open session was replaced, and its fresh login is refused, or cannot be made: RFC 3206 §4.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_does_not_come_is_told_to_the_next_command_as_to_the_login() {
    let cases: [fn() -> UpstreamError; 5] = [
        || UpstreamError::LoginRefused { text: "changed".into() },
        || UpstreamError::Lost { command: "FETCH" },
        || UpstreamError::Unavailable { text: "slow".into(), wait: Some(Duration::from_secs(30)) },
        || UpstreamError::NoFolder { folder: "INBOX".into() },
        || tokens::signed_out().into(),
    ];
    for (error, code) in cases.into_iter().zip(["AUTH", "SYS/TEMP", "SYS/TEMP", "SYS/PERM", "SYS/PERM"]) {
        let fresh = two();
        fresh.seen().login_error = Some(error);
        let mut talk = talk(&fresh);
        talk.send(LOGIN).await;
        talk.hear("+OK send PASS\r\n").await;
        let told = talk.line().await;
        assert!(told.starts_with(&format!("-ERR [{code}] ana@gmx.net: ")), "{told}");
        for (next, pause) in [
            ("STAT", seconds(0)),
            ("RETR 1", seconds(0)),
            ("STAT", FLIGHT * 2),
            ("NOOP", FLIGHT * 2),
            ("XTND", FLIGHT * 2),
            ("QUIT", FLIGHT * 2),
        ] {
            let script = held();
            script.seen().login_error = Some(error);
            let mut talk = super::talk(&script).logged_in().await;
            sleep(pause).await;
            talk.send(&format!("{next}\r\nUIDL\r\nDELE 1\r\nQUIT\r\n")).await;
            assert_eq!(talk.rest_text().await, told, "{next}");
            talk.over().await;
            assert_eq!(script.seen().updates.len(), 0);
        }
    }
}

/// As after a login that waited for upstream's verdict: the same is not shown to it again and again.
#[tokio::test(start_paused = true)]
async fn a_password_that_upstream_refused_behind_the_login_rests() {
    let (script, accounts) = (held(), accounts(""));
    script.seen().login_error = Some(|| UpstreamError::LoginRefused { text: "changed".into() });
    let mut first = talk_through(&script, 64 * 1024, accounts.clone()).logged_in().await;
    first.send("STAT\r\n").await;
    assert!(first.rest_text().await.starts_with("-ERR [AUTH] "));
    first.over().await;
    let mut second = talk_through(&script, 64 * 1024, accounts);
    second.send(LOGIN).await;
    second.hear("+OK send PASS\r\n").await;
    let told = second.line().await;
    assert!(told.starts_with("-ERR [AUTH] ") && told.contains("in 60 seconds"), "{told}");
    assert_eq!(script.seen().passwords.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_leaves_before_the_mailbox_has_come_keeps_nothing() {
    for (command, waited) in [("", seconds(0)), ("STAT\r\n", deadlines().app_stall)] {
        let script = held();
        script.seen().login_takes = Duration::MAX;
        let mut talk = talk(&script).logged_in().await;
        talk.send(command).await;
        let gone = Instant::now();
        talk.over().await;
        assert_eq!((gone.elapsed(), script.seen().left), (waited, 1), "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_stops_waits_for_a_mailbox_only_where_a_command_does() {
    for (command, flight, waited, heard) in [
        ("", FLIGHT, seconds(0), ""),
        ("STAT\r\n", FLIGHT, FLIGHT, "+OK 2 49\r\n"),
        ("STAT\r\n", Duration::MAX, deadlines().stop, ""),
    ] {
        let script = held();
        script.seen().login_takes = flight;
        let mut talk = talk(&script).logged_in().await;
        let begun = Instant::now();
        talk.send(command).await;
        tokio::task::yield_now().await;
        talk.stopping.cancel();
        assert_eq!(talk.rest_text().await, heard);
        talk.over().await;
        assert_eq!((begun.elapsed(), script.seen().left), (waited, 0), "{command}");
    }
}

/// RFC 1939 §3.
#[tokio::test(start_paused = true)]
async fn ten_minutes_of_silence_are_borne_after_a_login_that_was_accepted() {
    let script = held();
    script.seen().login_error = Some(|| UpstreamError::Lost { command: "FETCH" });
    let mut talk = talk(&script).logged_in().await;
    sleep(seconds(601)).await;
    talk.send("STAT\r\n").await;
    assert!(talk.rest_text().await.starts_with("-ERR [SYS/TEMP] "));
}
