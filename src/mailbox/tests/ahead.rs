use std::fmt::Write;

use super::*;
use crate::proto::pop3::{Maildrop, MessageNumber, UniqueIds};

/// A mailbox of messages with UIDs from 11 on, of these sizes as upstream tells them; then `rest`.
fn opened(sizes: &[u64], rest: &str) -> &'static str {
    let mut script = String::from("C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH 1:* (UID RFC822.SIZE)\n");
    let _ = writeln!(script, "S: * {} EXISTS\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x", sizes.len());
    for (number, size) in (1..).zip(sizes) {
        let _ = writeln!(script, "S: * {number} FETCH (UID {} RFC822.SIZE {size})", number + 10);
    }
    format!("{script}S: $b OK x\n{rest}").leak()
}

fn reopened(rest: &str) -> &'static str {
    format!("C: $a EXAMINE \"INBOX\"\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x\n{rest}").leak()
}

/// The app asks for `set`, which is answered so.
fn asked(set: &str, answers: &[String]) -> String {
    format!("C: $c UID FETCH {set} (UID BODY.PEEK[])\n{}\nS: $c OK x\n", answers.join("\n"))
}

fn body(uid: u32, text: &str) -> String {
    format!("R: * 1 FETCH (UID {uid} BODY[] {{{}}}\\r\\n{text})\\r\\n", text.len())
}

fn nameless(text: &str, uid: u32) -> String {
    format!("R: * 1 FETCH (BODY[] {{{}}}\\r\\n{text} UID {uid})\\r\\n", text.len())
}

/// An app at its mailbox.
struct App {
    mailbox: Mailbox,
    maildrop: Maildrop,
}

impl App {
    async fn open(provider: &Provider) -> Self {
        let (mailbox, listing) = provider.open().await.unwrap();
        let messages = listing.messages.iter().map(|message| (message.uid, message.octets));
        Self { mailbox, maildrop: Maildrop::new(UniqueIds::inbox(listing.uid_validity), messages) }
    }

    async fn begin(&mut self, number: u32) -> Result<Body, UpstreamError> {
        self.mailbox.retrieve(uid(number), &self.maildrop).await
    }

    /// What comes of RETR, as text.
    async fn retr(&mut self, number: u32) -> String {
        match self.begin(number).await {
            Ok(mut body) => {
                let (octets, end) = whole(&mut body).await;
                let octets = String::from_utf8(octets).unwrap();
                match end {
                    Ok(()) => {
                        assert_eq!(octets.len() as u64, body.octets());
                        octets
                    }
                    Err(error) => format!("{octets} and then {error:?}"),
                }
            }
            Err(error) => format!("{error:?}"),
        }
    }

    async fn top(&mut self, number: u32, lines: u32) -> String {
        let beginning = self.mailbox.look(uid(number), lines, &self.maildrop).await;
        beginning.map_or_else(|error| format!("{error:?}"), |octets| String::from_utf8_lossy(&octets).into())
    }

    fn delete(&mut self, message: u32) {
        self.maildrop.mark_deleted(MessageNumber::new(message - 10).unwrap()).unwrap();
    }

    async fn kept(&self, number: u32) -> bool {
        self.mailbox.resources.bodies.has(&self.mailbox.key(uid(number)))
    }
}

/// RETR of each in turn.
async fn check(provider: Provider, expected: &[(u32, &str)]) {
    let mut app = App::open(&provider).await;
    for (number, expected) in expected {
        let heard = app.retr(*number).await;
        assert!(heard.starts_with(expected), "{number}: {heard}");
    }
    app.mailbox.close().await;
    provider.kept().await;
}

const FIVE: &[(u32, &str)] = &[(11, "one"), (12, "two"), (13, "three"), (14, "four"), (15, "five")];

fn from_two() -> Vec<String> {
    FIVE[1..].iter().map(|(uid, text)| body(*uid, text)).collect()
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

#[tokio::test(start_paused = true)]
async fn beginnings_are_asked_for_together_once_an_app_looks_at_one_after_another() {
    // RFC 1939 §7.
    let part = |uid: u32, text: &str| body(uid, text).replace("BODY[]", "BODY[]<0>");
    let text = "a: b\\r\\n\\r\\n1\\r\\n2\\r\\n";
    let rest = format!(
        "C: $c UID FETCH 11 (UID BODY.PEEK[]<0.16384>)\n{}\nS: $c OK x\nC: $d UID FETCH 12:15 (UID BODY.PEEK[]<0.16384>)\n{}\nS: $d OK x\n",
        part(11, text).replace("{22}", "{14}"),
        (12..16).map(|uid| part(uid, text).replace("{22}", "{14}")).collect::<Vec<_>>().join("\n"),
    );
    let whole = asked("13", &[body(13, "three")]);
    let provider = Provider::new(&[opened(&[20_000_000; 5], &(rest + &whole))]);
    let mut app = App::open(&provider).await;
    for number in 11..16 {
        let beginning = app.top(number, number % 2).await;
        assert!(beginning.starts_with(["a: b\r\n\r\n", "a: b\r\n\r\n1\r\n"][number as usize % 2]));
    }
    assert_eq!(app.retr(13).await, "three");
    app.mailbox.close().await;
    provider.kept().await;
}

/// The app asks for each of these by itself, in one flight, and has these answers.
fn asked_singly(uids: &[u32], part: &str, answers: &[String]) -> String {
    let tags = ["$c", "$d", "$e", "$f", "$g"];
    let mut text = String::new();
    for (tag, uid) in tags.iter().zip(uids) {
        let _ = writeln!(text, "C: {tag} UID FETCH {uid} (UID BODY.PEEK[{part}])");
    }
    for (tag, answer) in tags.iter().zip(answers) {
        let _ = writeln!(text, "{answer}\nS: {tag} OK x");
    }
    text
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_the_newest_first_is_read_ahead_the_same_way() {
    // Some delete as they go.
    let down = [15, 14, 13, 12, 11].map(|uid| (uid, FIVE[uid as usize - 11].1));
    let answers: Vec<String> = down[1..].iter().map(|(uid, text)| body(*uid, text)).collect();
    let rest = asked("15", &[body(15, "five")]) + &asked_singly(&[14, 13, 12, 11], "", &answers);
    check(Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]), &down).await;
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    let mut app = App::open(&provider).await;
    for (number, text) in down {
        assert_eq!(app.retr(number).await, text);
        app.delete(number);
    }
    app.mailbox.close().await;
    provider.kept().await;
    // Headers and some lines, too.
    let part = |uid: u32| format!("R: * 1 FETCH (UID {uid} BODY[]<0> {{8}}\\r\\na: b\\r\\n\\r\\n)\\r\\n");
    let first = format!("C: $c UID FETCH 15 (UID BODY.PEEK[]<0.16384>)\n{}\nS: $c OK x\n", part(15));
    let answers: Vec<String> = down[1..].iter().map(|(uid, _)| part(*uid)).collect();
    let rest = first + &asked_singly(&[14, 13, 12, 11], "]<0.16384>", &answers).replace(">])", ">)");
    let provider = Provider::new(&[opened(&[20_000_000; 5], &rest)]);
    let mut app = App::open(&provider).await;
    for (number, _) in down {
        assert_eq!(app.top(number, 0).await, "a: b\r\n\r\n");
    }
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_that_turns_round_is_followed_where_that_costs_no_session() {
    // Up to the end, which ends the window; then down over what is new to it.
    let rest = asked("14", &[body(14, "four")])
        + &asked("15", &[body(15, "five")])
        + &asked("13", &[body(13, "three")])
        + &asked_singly(&[12, 11], "", &[body(12, "two"), body(11, "one")]);
    let expected = [(14, "four"), (15, "five"), (14, "four"), (13, "three"), (12, "two"), (11, "one")];
    let mut provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    check(provider, &expected).await;
    // Much is still on its way up: a message below it is one to be fetched by itself, over the session that is left.
    let sizes = [3, 3, 3, 3, 300_000];
    let rest = asked("13", &[body(13, "three")])
        + "C: $c UID FETCH 14:15 (UID BODY.PEEK[])\n"
        + &body(14, "four")
        + "\nR: * 1 FETCH (UID 15 BODY[] {300000}\\r\\nth";
    let again = reopened(&(asked("12", &[body(12, "two")]) + &asked("11", &[body(11, "one")])));
    provider = Provider::new(&[opened(&sizes, &rest), again]);
    check(provider, &[(13, "three"), (14, "four"), (13, "three"), (12, "two"), (11, "one")]).await;
}

#[tokio::test(start_paused = true)]
async fn where_partial_fetches_are_broken_headers_are_asked_for_together() {
    // RFC 1939 §7, RFC 3501 §6.4.5. One is empty, one without its end: the whole message tells.
    let header = |uid: u32, octets: usize, text: &str| {
        format!("R: * 1 FETCH (UID {uid} BODY[HEADER] {{{octets}}}\\r\\n{text})\\r\\n")
    };
    let good = "a: b\\r\\n\\r\\n";
    let set = [header(12, 8, good), header(13, 0, ""), header(14, 4, "a: b"), header(15, 8, good)];
    let rest = format!(
        "C: $c UID FETCH 11 (UID BODY.PEEK[HEADER])\n{}\nS: $c OK x\nC: $d UID FETCH 12:15 (UID BODY.PEEK[HEADER])\n{}\nS: $d OK x\n",
        header(11, 8, good),
        set.join("\n"),
    );
    let rest = rest
        + "C: $e UID FETCH 13 (UID BODY.PEEK[HEADER])\nR: * 3 FETCH (UID 13 BODY[HEADER] {0}\\r\\n)\\r\\n\nS: $e OK x\n"
        + &asked("13", &[body(13, "three")])
        + "C: $e UID FETCH 14 (UID BODY.PEEK[HEADER])\nR: * 4 FETCH (UID 14 BODY[HEADER] {4}\\r\\na: b)\\r\\n\nS: $e OK x\n"
        + &asked("14", &[body(14, "a: b")]);
    let provider = Provider::new(&[opened(&[9; 5], &rest)]).quirks(&[Quirk::NoPartialFetch]);
    let mut app = App::open(&provider).await;
    let header = "a: b\r\n\r\n";
    for (number, expected) in [(11, header), (12, header), (13, "three"), (14, "a: b"), (15, header)] {
        assert_eq!(app.top(number, 0).await, expected, "{number}");
    }
    app.mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn where_partial_fetches_are_broken_an_app_that_looks_at_lines_is_read_ahead_bodies() {
    // Whole messages, which are then in the cache; one that is large is looked at no further than needed.
    let rest = asked("11", &[body(11, "one")]) + &asked("12:15", &from_two());
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]).quirks(&[Quirk::NoPartialFetch]);
    let mut app = App::open(&provider).await;
    for (number, text) in FIVE {
        assert_eq!(app.top(*number, 5).await, *text);
    }
    for (number, text) in FIVE {
        assert_eq!(app.retr(*number).await, *text);
    }
    app.mailbox.close().await;
    provider.kept().await;
    let large = format!("a: b\\r\\n\\r\\n{}", "x\\r\\n".repeat(100_000));
    let shown = large.replace("\\r\\n", "\r\n");
    let rest = asked("11", &[body(11, "one")])
        + &format!(
            "C: $c UID FETCH 12 (UID BODY.PEEK[])\nR: * 2 FETCH (UID 12 BODY[] {{{}}}\\r\\n{large}",
            shown.len()
        );
    let again = reopened(&(asked("13", &[body(13, "three")]) + &asked("14:15", &from_two()[2..])));
    let provider =
        Provider::new(&[opened(&[3, 2 << 20, 5, 4, 4], &rest), again]).quirks(&[Quirk::NoPartialFetch]);
    let mut app = App::open(&provider).await;
    assert_eq!(app.top(11, 5).await, "one");
    assert_eq!(app.top(12, 2).await, "a: b\r\n\r\nx\r\nx\r\n");
    for (number, text) in &FIVE[2..] {
        assert_eq!(app.top(*number, 5).await, *text);
    }
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

#[tokio::test(start_paused = true)]
async fn an_app_that_looks_before_it_takes_is_read_ahead_bodies() {
    let first = "C: $c UID FETCH 11 (UID BODY.PEEK[]<0.16384>)\nR: * 1 FETCH (UID 11 BODY[]<0> {3}\\r\\none)\\r\\n\nS: $c OK x\n";
    let rest = first.to_owned()
        + &asked("11", &[body(11, "one")])
        + &first.replace("11", "12").replace("one", "two")
        + &asked("12:15", &from_two());
    let provider = Provider::new(&[opened(&[3, 3, 5, 4, 4], &rest)]);
    let mut app = App::open(&provider).await;
    for (number, text) in FIVE {
        assert_eq!(app.top(*number, 0).await, *text);
        assert_eq!(app.retr(*number).await, *text);
    }
    app.mailbox.close().await;
    provider.kept().await;
}
