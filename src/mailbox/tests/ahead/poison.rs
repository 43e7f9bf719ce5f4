//! Messages that are refused, or come as what they are not: each harms itself alone.

use std::fmt::Write;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_message_that_upstream_refuses_harms_itself_alone() {
    for (set, single, expected) in [
        ("NO [UNAVAILABLE] UID FETCH Server error", "NO [UNAVAILABLE] UID FETCH Server error", "Refused"),
        ("BAD what", "NO no", "Refused"),
        ("OK x", "OK x", "Gone"),
        ("NO some", "OK x", "Gone"),
    ] {
        let rest = asked("11", &[body(11, "one")])
            + &format!(
                "C: $c UID FETCH 12:15 (UID BODY.PEEK[])\n{}\nS: $c {set}\n",
                [body(12, "two"), body(14, "four")].join("\n")
            )
            + &format!("C: $d UID FETCH 13 (UID BODY.PEEK[])\nC: $e UID FETCH 15 (UID BODY.PEEK[])\nS: $d {single}\n{}\nS: $e OK x\n", body(15, "five"))
            // The app may try again.
            + &asked("13", &[body(13, "three")]);
        let expected = [(11, "one"), (12, "two"), (13, expected), (14, "four"), (15, "five"), (13, "three")];
        check(Provider::new(&[opened(&[4; 5], &rest)]), &expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_refused_with_a_wait_is_not_asked_for_again_at_once() {
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:13 (UID BODY.PEEK[])\nS: $c BAD Request is throttled. Suggested Backoff Time: 5000 milliseconds";
    let expected = [(11, "one"), (12, "Unavailable"), (13, "Unavailable"), (14, "Unavailable")];
    let rest = rest + "\n" + &asked("14", &[body(14, "four")]);
    let provider = Provider::new(&[opened(&[4, 4, 4, 4 << 20, 4], &rest)]);
    let mut app = App::open(&provider).await;
    for (number, expected) in expected {
        assert!(app.retr(number).await.starts_with(expected), "{number}");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(app.retr(14).await, "four");
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_without_a_body_or_empty_is_an_error_of_that_message() {
    let rest = asked("11", &[body(11, "one")])
        + &asked(
            "12:15",
            &[
                body(12, "two"),
                body(13, ""),
                "R: * 4 FETCH (UID 14 BODY[] NIL)\\r\\n".to_owned(),
                "R: * 5 FETCH (UID 15 BODY[] \"a\\\\\"b\")\\r\\n".to_owned(),
            ],
        )
        + "C: $d UID FETCH 14 (UID BODY.PEEK[])\nS: * 4 FETCH (UID 14 BODY[] NIL)\nS: $d OK x";
    let expected = [(11, "one"), (12, "two"), (13, "Refused"), (14, "Refused"), (15, "a\"b")];
    check(Provider::new(&[opened(&[4; 5], &rest)]), &expected).await;
    // Empty, and told so once more.
    for (size, expected) in [("RFC822.SIZE 0", ""), ("RFC822.SIZE 3", "Refused"), ("FLAGS ()", "Refused")] {
        let rest = asked("11", &[body(11, "one")])
            + &format!(
                "C: $c UID FETCH 12:13 (UID BODY.PEEK[])\n{}\nS: $c OK x\n",
                [body(12, ""), body(13, "three")].join("\n")
            )
            + &format!("C: $d UID FETCH 12 (UID RFC822.SIZE)\nS: * 2 FETCH (UID 12 {size})\nS: $d OK x");
        let provider = Provider::new(&[opened(&[3, 0, 5], &rest)]);
        let mut app = App::open(&provider).await;
        assert_eq!(app.retr(11).await, "one");
        let heard = app.retr(12).await;
        assert!(heard.starts_with(expected) && heard.is_empty() == expected.is_empty(), "{heard}");
        assert_eq!(app.retr(13).await, "three");
        app.mailbox.close().await;
        provider.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sizes_that_lie_stop_the_reading_and_not_the_app() {
    // Five messages of nothing much take one unit of 64 KiB, and each is nearly as large.
    let text = ["a", "b", "c", "d"].map(|letter| letter.repeat(60_000));
    let bodies: Vec<String> = (12..).zip(&text).map(|(uid, text)| body(uid, text)).collect();
    let rest = asked("11", &[body(11, "one")]) + &asked("12:15", &bodies);
    let provider = Provider::new(&[opened(&[3; 5], &rest)]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    for (number, text) in (12..).zip(&text) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(app.retr(number).await == *text, "{number}");
    }
    app.mailbox.close().await;
    provider.kept().await;
    // One that wants what is behind such a body does not wait for it.
    let rest = rest
        + "C: $c UID FETCH 15 (UID BODY.PEEK[]<0.16384>)\nR: * 5 FETCH (UID 15 BODY[]<0> {4}\\r\\na\\r\\n\\n)\\r\\n\nS: $c OK x\n"
        + &asked("14:15", &bodies[2..]);
    let provider = Provider::new(&[opened(&[3; 5], &rest)]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    drop(app.begin(12).await.unwrap());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(app.top(15, 0).await, "a\r\n\n");
    assert!(app.retr(13).await == text[1]);
    assert!(app.retr(14).await == text[2]);
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn the_one_message_of_a_refused_set_that_did_not_come_is_refused_with_it() {
    // Nobody waits for a second refusal; the app may try again.
    let others = [body(12, "two"), body(14, "four"), body(15, "five")];
    let rest = asked("11", &[body(11, "one")])
        + &asked("12:15", &others).replace("$c OK", "$c NO [UNAVAILABLE] UID FETCH Server error,")
        + &asked("13", &[body(13, "three")]);
    let expected = [(11, "one"), (12, "two"), (13, "Refused"), (14, "four"), (15, "five"), (13, "three")];
    check(Provider::new(&[opened(&[4; 5], &rest)]), &expected).await;
}

/// Each of these is asked for by itself, in one flight.
fn singly(uids: std::ops::Range<u32>) -> String {
    uids.fold(String::new(), |mut text, uid| {
        let _ = writeln!(text, "C: $s UID FETCH {uid} (UID BODY.PEEK[])");
        text
    })
}

/// The same, each answered when it is heard.
fn answered_singly(uids: std::ops::Range<u32>) -> String {
    uids.map(|uid| singly(uid..uid + 1) + &body(uid, "text") + "\nS: $s OK x\n").collect()
}

const POISON: &str = "S: $s NO [UNAVAILABLE] UID FETCH Server error\n";

#[tokio::test(start_paused = true)]
async fn behind_a_refused_set_messages_are_asked_for_by_themselves() {
    // Of the first set, of 64, but one comes; from then on a message that is refused holds up no other.
    let second: Vec<String> = (76..101).map(|uid| body(uid, "text")).collect();
    let rest = asked("11", &[body(11, "text")])
        + "C: $c UID FETCH 12:75 (UID BODY.PEEK[])\nC: $d UID FETCH 76:100 (UID BODY.PEEK[])\n"
        + &format!("{}\nS: $c NO [UNAVAILABLE] UID FETCH Server error\n", body(12, "text"))
        + &format!("{}\nS: $d OK x\n", second.join("\n"))
        + &singly(13..14)
        + POISON
        + &answered_singly(14..76);
    let mut expected: Vec<(u32, &str)> = (11..101).map(|uid| (uid, "text")).collect();
    expected[2].1 = "Refused";
    check(Provider::new(&[opened(&[100; 90], &rest)]), &expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_asked_for_again_behind_much_else_is_asked_for_over_a_fresh_session() {
    // A second set is on its way, over a slow line: a refusal does not wait for all of that.
    let sizes: Vec<u64> = (11..78).map(|uid| if uid < 76 { 4 } else { 300_000 }).collect();
    let slow = asked("11", &[body(11, "text")])
        + "C: $c UID FETCH 12:75 (UID BODY.PEEK[])\nC: $d UID FETCH 76:77 (UID BODY.PEEK[])\n"
        + &format!("{}\nS: $c NO [UNAVAILABLE] UID FETCH Server error\n", body(12, "text"))
        + "R: * 66 FETCH (UID 76 BODY[] {300000}\\r\\nte\n"
        + &singly(13..76);
    let fresh = reopened(&(singly(13..14) + POISON + &answered_singly(14..78)));
    let mut expected: Vec<(u32, &str)> = (11..78).map(|uid| (uid, "text")).collect();
    expected[2].1 = "Refused";
    let begun = tokio::time::Instant::now();
    check(Provider::new(&[opened(&sizes, &slow), fresh]), &expected).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
