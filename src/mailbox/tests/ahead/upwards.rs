//! An app that goes from the oldest message to the newest.

use std::fmt::Write;

use super::*;

fn nameless(text: &str, uid: u32) -> String {
    format!("R: * 1 FETCH (BODY[] {{{}}}\\r\\n{text} UID {uid})\\r\\n", text.len())
}

#[tokio::test(start_paused = true)]
async fn the_second_message_in_a_row_brings_all_that_follow() {
    let rest = asked("11", &[body(11, "one")]) + &asked("12:15", &from_two());
    check(Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]), FIVE).await;
    // Without a cache too.
    let mut provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    provider.resources = Resources::in_memory(0);
    check(provider, FIVE).await;
}

#[tokio::test(start_paused = true)]
async fn an_app_that_does_not_go_on_is_given_what_it_asks_for_and_no_more() {
    let rest = [15, 13, 11, 14].map(|uid| asked(&uid.to_string(), &[body(uid, "text")])).concat();
    let expected = [15, 13, 11, 14, 14, 13].map(|uid| (uid, "text"));
    check(Provider::new(&[opened(&[4; 5], &rest)]), &expected).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_marked_deleted_or_in_the_cache_is_not_read_ahead() {
    let rest = asked("13", &[body(13, "three")])
        + &asked("11", &[body(11, "one")])
        + &asked("12,15", &[body(12, "two"), body(15, "five")]);
    let provider = Provider::new(&[opened(&[4; 5], &rest)]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(13).await, "three");
    assert_eq!(app.retr(11).await, "one");
    app.delete(11);
    app.delete(14);
    for (number, expected) in [(12, "two"), (13, "three"), (15, "five")] {
        assert_eq!(app.retr(number).await, expected);
    }
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_large_message_is_asked_for_when_the_app_wants_it_and_streams() {
    let large = "x".repeat(3 << 20);
    let rest = asked("11", &[body(11, "one")])
        + &asked("12", &[body(12, "two")])
        + &format!(
            "C: $c UID FETCH 13 (UID BODY.PEEK[])\nC: $d UID FETCH 14:15 (UID BODY.PEEK[])\n{}\nS: $c OK x\n{}\n{}\nS: $d OK x",
            body(13, &large),
            body(14, "four"),
            body(15, "five"),
        );
    let provider = Provider::new(&[opened(&[3, 3, large.len() as u64, 4, 4], &rest)]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    assert_eq!(app.retr(12).await, "two");
    assert!(app.retr(13).await == large);
    assert!(!app.kept(13).await);
    assert_eq!(app.retr(14).await, "four");
    assert_eq!(app.retr(15).await, "five");
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_whose_its_uid_says() {
    // RFC 3501 §7.4.2: unasked, doubled, other sections, flags, in another order.
    let rest = asked("11", &[body(11, "one")])
        + &asked(
            "12:15",
            &[
                body(14, "four"),
                body(99, "nobody's"),
                body(12, "two"),
                body(12, "two again"),
                "R: * 3 FETCH (UID 13 BODY[TEXT] {3}\\r\\nabc BODY[] {5}\\r\\nthree BODY[] {1}\\r\\nx)\\r\\n"
                    .to_owned(),
                "R: * 3 FETCH (FLAGS ())\\r\\n* 9 EXISTS\\r\\n* 2 EXPUNGE\\r\\n".to_owned(),
                body(15, "five"),
            ],
        );
    check(Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]), FIVE).await;
}

#[tokio::test(start_paused = true)]
async fn where_the_uid_comes_behind_the_body_the_body_waits_for_it() {
    // The first set, before it is known; then a UID a command.
    let set: Vec<String> =
        [(13, "three"), (12, "two"), (14, "four")].map(|(uid, text)| nameless(text, uid)).into();
    let rest =
        asked("11", &[body(11, "one")]) + &asked("12:15", &set) + &asked("15", &[nameless("five", 15)]);
    check(Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]), FIVE).await;
    // Known from the first message on.
    let commands: String =
        (12..16).zip(["$c", "$d", "$e", "$f"]).fold(String::new(), |mut text, (uid, tag)| {
            let _ = writeln!(text, "C: {tag} UID FETCH {uid} (UID BODY.PEEK[])");
            text
        });
    let answers = FIVE[1..].iter().zip(["$c", "$d", "$e", "$f"]);
    let answers: String = answers.fold(String::new(), |mut text, ((uid, body), tag)| {
        let _ = writeln!(text, "{}\nS: {tag} OK x", nameless(body, *uid));
        text
    });
    let rest = asked("11", &[nameless("one", 11)]) + &commands + &answers;
    check(Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]), FIVE).await;
    // Or from the provider's row.
    let answers = answers.replace("BODY[]", "X-Y () BODY[]");
    let rest = asked("11", &[body(11, "one")]) + &commands + &answers;
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]).quirks(&[Quirk::WrongBody]);
    check(provider, FIVE).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_proves_another_messages_is_nobodys() {
    // The app has none of it yet, so that it need not know.
    let rest = asked("11", &[nameless("one", 11)])
        + "C: $c UID FETCH 12 (UID BODY.PEEK[])\nC: $d UID FETCH 13 (UID BODY.PEEK[])\n"
        + &nameless("three", 13);
    let again = reopened(&asked("12", &[body(12, "two")]));
    let provider = Provider::new(&[opened(&[3, 3, 5], &rest), again]);
    check(provider, &[(11, "one"), (12, "two")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_lost_in_the_window_breaks_what_the_app_has_a_part_of_and_nothing_else() {
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:15 (UID BODY.PEEK[])\n"
        + &body(12, "two")
        + "\nR: * 1 FETCH (UID 13 BODY[] {5}\\r\\nth\nEOF";
    let again = reopened(
        &(asked("13", &[body(13, "three")]) + &asked("14:15", &[body(14, "four"), body(15, "five")])),
    );
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest), again]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    assert_eq!(app.retr(12).await, "two");
    let heard = app.retr(13).await;
    // Whether the part had reached the app is a matter of moments.
    assert!(["three", r#"th and then Lost { command: "FETCH" }"#].contains(&&*heard), "{heard}");
    if heard != "three" {
        assert_eq!(app.retr(13).await, "three");
    }
    assert_eq!(app.retr(14).await, "four");
    assert_eq!(app.retr(15).await, "five");
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_renumbered_mailbox_gives_what_came_before_and_nothing_after() {
    // RFC 3501 §2.3.1.1.
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:15 (UID BODY.PEEK[])\n"
        + &[body(12, "two"), body(13, "three")].join("\n")
        + "\nS: * OK [UIDVALIDITY 8] renumbered\n"
        + &body(14, "four");
    let again = "C: $a EXAMINE \"INBOX\"\nS: * OK [UIDVALIDITY 8] x\nS: $a OK x";
    let expected =
        [(11, "one"), (12, "two"), (13, "three"), (14, "UidValidityChanged"), (15, "UidValidityChanged")];
    check(Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest), again, again]), &expected).await;
}

#[tokio::test(start_paused = true)]
async fn octets_reach_the_app_as_they_come() {
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:13 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 12 BODY[] {9}\\r\\nab";
    let provider = Provider::new(&[opened(&[3, 9, 5], &rest)]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    let mut begun = app.begin(12).await.unwrap();
    assert_eq!(begun.octets(), 9);
    assert_eq!(begun.chunk().await.unwrap().unwrap(), "ab");
    // And silence costs its deadline, from the last octet on.
    let at = tokio::time::Instant::now();
    let error = format!("{:?}", begun.chunk().await.unwrap_err());
    assert_eq!(error, "TimedOut { command: \"FETCH\", after: 55s }");
    assert_eq!(at.elapsed(), script::PATIENCE);
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_nothing_costs_the_session_and_keeps_what_is_here() {
    let text = ["a", "b"].map(|letter| letter.repeat(60_000));
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:15 (UID BODY.PEEK[])\n"
        + &[body(12, "two"), body(13, &text[0]), body(14, &text[1])].join("\n");
    let again = reopened(&asked("14", &[body(14, "four")]));
    let provider = Provider::new(&[opened(&[3; 5], &rest), again]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    assert_eq!(app.retr(12).await, "two");
    tokio::time::sleep(STALL + Duration::from_secs(1)).await;
    assert!(app.retr(13).await == text[0]);
    assert_eq!(app.retr(14).await, "four");
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_finds_no_memory_left_goes_on_without_reading_ahead() {
    let rest = (11..16).zip(FIVE).map(|(uid, (_, text))| asked(&uid.to_string(), &[body(uid, text)]));
    let rest = rest.collect::<String>();
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    let _all = provider.resources.ahead.clone().all_but(0);
    check(provider, FIVE).await;
}

#[tokio::test(start_paused = true)]
async fn memory_is_given_back_when_the_app_leaves() {
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:15 (UID BODY.PEEK[])\n"
        + &body(12, "two")
        + "\nR: * 1 FETCH (UID 13 BODY[] {900000}\\r\\nth";
    let provider = Provider::new(&[opened(&[3, 3, 900_000, 4, 4], &rest)]);
    let mut app = App::open(&provider).await;
    let before = provider.resources.ahead.left();
    assert_eq!(app.retr(11).await, "one");
    assert_eq!(app.retr(12).await, "two");
    assert!(provider.resources.ahead.left() < before);
    let budget = provider.resources.ahead.clone();
    app.mailbox.close().await;
    provider.kept().await;
    // The session's task goes when it has seen the end.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(budget.left(), before);
}

#[tokio::test(start_paused = true)]
async fn any_other_command_ends_the_window_first() {
    // What is near is read to its end, and is not asked for again.
    let rest = asked("11", &[body(11, "one")])
        + &asked("12:15", &from_two())
        + "C: $d NOOP\nS: $d OK x\nC: $e UID FETCH 99 (UID BODY.PEEK[])\nS: $e OK x";
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    assert_eq!(app.retr(12).await, "two");
    app.mailbox.keep_alive().await;
    for (number, text) in &FIVE[2..] {
        assert_eq!(app.retr(*number).await, *text);
    }
    assert!(app.mailbox.body(uid(99)).await.is_err());
    app.mailbox.close().await;
    provider.kept().await;
    // What is far costs the session.
    let sizes = [3, 3, 300_000, 4, 4];
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:15 (UID BODY.PEEK[])\n"
        + &body(12, "two")
        + "\nR: * 1 FETCH (UID 13 BODY[] {300000}\\r\\nth";
    let again = reopened(&asked("13", &[body(13, "three")]));
    let provider = Provider::new(&[opened(&sizes, &rest), again]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    assert_eq!(app.retr(12).await, "two");
    app.mailbox.keep_alive().await;
    assert_eq!(app.retr(13).await, "three");
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_far_outside_the_window_is_fetched_over_a_session_of_its_own() {
    let sizes = [3, 3, 300_000, 300_000, 4];
    let rest = asked("11", &[body(11, "one")])
        + "C: $c UID FETCH 12:15 (UID BODY.PEEK[])\n"
        + &body(12, "two")
        + "\nR: * 1 FETCH (UID 13 BODY[] {300000}\\r\\nth";
    let again = reopened(&asked("15", &[body(15, "five")]));
    check(
        Provider::new(&[opened(&sizes, &rest), again]),
        &[(11, "one"), (12, "two"), (15, "five"), (12, "two"), (11, "one")],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_window_that_was_silent_for_long_is_not_trusted() {
    // A machine that slept: the session says first that it lives.
    let rest = asked("11", &[body(11, "one")]) + &asked("12", &[body(12, "two")]) + "C: $d NOOP";
    let again = reopened(&asked("13", &[body(13, "three")]));
    let provider = Provider::new(&[opened(&[3, 3, 2_000_000], &rest), again]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.retr(11).await, "one");
    assert_eq!(app.retr(12).await, "two");
    tokio::time::sleep(Duration::from_secs(61)).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(app.retr(13).await, "three");
    assert!(asked.elapsed() < Duration::from_secs(6));
    app.mailbox.close().await;
    provider.kept().await;
}
