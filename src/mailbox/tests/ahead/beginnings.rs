//! An app that looks at headers, or at headers and some lines.

use super::*;

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
