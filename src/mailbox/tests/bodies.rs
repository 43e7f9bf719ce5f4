use bytes::Bytes;

use super::*;

const OPENED: &str = r#"
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 1:* (UID RFC822.SIZE)
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 7] x
    S: $a OK x
    S: * 1 FETCH (UID 5 RFC822.SIZE 9)
    S: * 2 FETCH (UID 6 RFC822.SIZE 9)
    S: $b OK x
"#;

fn opened(rest: &str) -> &'static str {
    format!("{OPENED}\n{rest}").leak()
}

fn reopened(rest: &str) -> &'static str {
    format!("C: $a EXAMINE \"INBOX\"\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x\n{rest}").leak()
}

/// What comes of asking for message 5: its octets, and the fault if it did not end well.
async fn check(provider: Provider) -> String {
    let (mut mailbox, _) = provider.open().await.unwrap();
    let outcome = match mailbox.body(uid(5)).await {
        Ok(mut body) => {
            let (octets, end) = whole(&mut body).await;
            let octets = String::from_utf8_lossy(&octets).into_owned();
            let kept = provider.resources.bodies.has(&mailbox.key(uid(5)));
            assert_eq!(kept, end.is_ok(), "kept if, and only if, complete");
            match end {
                Ok(()) => octets,
                Err(error) => format!("{octets} and then {error:?}"),
            }
        }
        Err(error) => format!("{error:?}"),
    };
    mailbox.close().await;
    provider.kept().await;
    outcome
}

async fn fetched(rest: &str) -> String {
    let rest = format!("C: $c UID FETCH 5 (UID BODY.PEEK[])\n{rest}");
    check(Provider::new(&[opened(&rest)])).await
}

const DONE: &str = "\nS: $c OK x";

#[tokio::test(start_paused = true)]
async fn every_shape_of_a_body() {
    // RFC 3501 §7.4.2, §4.3; RFC 3516 §4.2.
    for line in [
        r"R: * 1 FETCH (UID 5 BODY[] {5}\r\na\0\xe9\r\n)\r\n",
        r"R: * 1 FETCH (BODY[] {5}\r\na\0\xe9\r\n UID 5)\r\n",
        r"R: * 1 FETCH (FLAGS (\\Seen) UID 5 BODY[] ~{5}\r\na\0\xe9\r\n X-Y (1 (2)))\r\n",
        r"R: * 1 fetch (UID 5 UID 5 body[] {5}\r\na\0\xe9\r\n BODY[] {1}\r\nx)\r\n",
        r"R: * 2 FETCH (UID 6 BODY[] {3}\r\nabc)\r\n* 1 FETCH (UID 5 BODY[] {5}\r\na\0\xe9\r\n)\r\n",
        r"R: * 1 FETCH (UID 5 BODY[TEXT] {3}\r\nabc BODY[]<0> {5}\r\na\0\xe9\r\n)\r\n",
        r"R: * 1 FETCH (FLAGS ())\r\n* 3 EXISTS\r\n* 1 FETCH (UID 5 BODY[] {5}\na\0\xe9\r\n)\n",
    ] {
        assert_eq!(fetched(&format!("{line}{DONE}")).await, "a\0\u{fffd}\r\n", "{line}");
    }
    assert_eq!(fetched(&format!(r#"S: * 1 FETCH (UID 5 BODY[] "a\"b\\c"){DONE}"#)).await, "a\"b\\c");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_body_of_this_message_is_an_error_and_concerns_it_alone() {
    const GOOD: &str = r"
        C: $d UID FETCH 6 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 6 BODY[] {1}\r\nx)\r\n
        S: $d OK x";
    for (line, expected) in [
        ("S: $c OK x", "Gone"),
        ("S: * 1 FETCH (FLAGS (\\Seen))\nS: $c OK x", "Gone"),
        ("S: * 2 FETCH (UID 6 BODY[] {0}\nS: )\nS: $c OK x", "Gone"),
        ("S: $c NO [UNAVAILABLE] UID FETCH Server error", "Refused"),
        ("S: $c BAD what", "Refused"),
        ("S: * 1 FETCH (UID 5 BODY[] NIL)\nS: $c OK x", "Refused"),
        ("R: * 1 FETCH (UID 5 BODY[HEADER] {2}\\r\\nab)\\r\\n\nS: $c OK x", "Gone"),
        ("R: * 1 FETCH (UID 5 BODY[]<9> {2}\\r\\nab)\\r\\n\nS: $c OK x", "Gone"),
        ("S: * 1 FETCH (UID 5 BODY[TEXT] \"ab\")\nS: $c OK x", "Gone"),
    ] {
        let rest = format!("C: $c UID FETCH 5 (UID BODY.PEEK[])\n{line}\n{GOOD}");
        let provider = Provider::new(&[opened(&rest)]);
        let (mut mailbox, _) = provider.open().await.unwrap();
        let error = format!("{:?}", mailbox.body(uid(5)).await.unwrap_err());
        assert!(error.starts_with(expected), "{line}: {error}");
        assert_eq!(whole(&mut mailbox.body(uid(6)).await.unwrap()).await.0, b"x");
        mailbox.close().await;
        provider.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_is_believed_only_with_a_size_of_nothing() {
    for (size, expected) in [("0", ""), ("12", "Refused")] {
        let heard = fetched(&format!(
            "S: * 1 FETCH (UID 5 BODY[] {{0}}\nS: ){DONE}\nC: $d UID FETCH 5 (UID RFC822.SIZE)\nS: * 1 FETCH (UID 5 RFC822.SIZE {size})\nS: $d OK x"
        ))
        .await;
        assert!(heard.starts_with(expected), "{heard}");
        assert_eq!(heard.is_empty(), expected.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_turns_out_wrong_is_never_told_complete() {
    for line in [
        // The UID behind the body is another's; there is none; the literal was too short; too long; cut off.
        r"R: * 1 FETCH (BODY[] {2}\r\nab UID 6)\r\n",
        r"R: * 1 FETCH (BODY[] {2}\r\nab)\r\n",
        r"R: * 1 FETCH (UID 5 BODY[] {2}\r\nabc d)\r\n",
        r"R: * 1 FETCH (UID 5 BODY[] {2}\r\nab of more)\r\n",
        r"R: * 1 FETCH (UID 5 BODY[] {2}\r\nab\r\nmore)\r\n",
        r"R: * 1 FETCH (UID 5 BODY[] {2}\r\nab",
    ] {
        let heard = fetched(&format!("{line}\nEOF")).await;
        assert_eq!(heard, "ab and then Lost { command: \"FETCH\" }", "{line}");
    }
    let heard = fetched(
        r"R: * 1 FETCH (UID 5 BODY[] {99}\r\nab)\r\n
        S: $c OK x
        EOF",
    )
    .await;
    assert!(heard.ends_with("and then Lost { command: \"FETCH\" }"), "{heard}");
    let heard = fetched(
        r"R: * 1 FETCH (UID 5 BODY[] {2}\r\nab)\r\n
        S: $c NO half of it",
    )
    .await;
    assert!(heard.starts_with("ab and then Refused"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_replaced_once_where_nothing_was_handed_over() {
    let again =
        "C: $c UID FETCH 5 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 5 BODY[] {2}\\r\\nab)\\r\\n\nS: $c OK x";
    let heard = check(Provider::new(&[opened("EOF"), reopened(again)])).await;
    assert_eq!(heard, "ab");
    let begun = "C: $c UID FETCH 5 (UID BODY.PEEK[])\nEOF";
    let heard = check(Provider::new(&[opened(begun), reopened(begun)])).await;
    assert_eq!(heard, "Lost { command: \"FETCH\" }");
    let renumbered = "C: $a EXAMINE \"INBOX\"\nS: * OK [UIDVALIDITY 8] x\nS: $a OK x";
    let heard = check(Provider::new(&[opened("EOF"), renumbered])).await;
    assert!(heard.starts_with("UidValidityChanged"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_counts_no_longer_is_made_again_and_the_app_does_not_hear_of_it() {
    // An access token ends in mid-session. Exchange says BYE and goes on; others refuse whatever comes.
    let asked = "C: $c UID FETCH 5 (UID BODY.PEEK[])";
    let whole = format!("{asked}\nR: * 1 FETCH (UID 5 BODY[] {{2}}\\r\\nab)\\r\\n\nS: $c OK x");
    for ended in [
        "S: * BYE Session invalidated - AccessTokenExpired",
        "S: * BYE Session invalidated - AccessTokenExpired\nS: $c BAD Command received in Invalid state.",
        "S: $c NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        "S: $c NO Invalid credentials (Failure)",
        "S: $c NO [EXPIRED] log in again",
    ] {
        let heard = check(Provider::new(&[opened(&format!("{asked}\n{ended}")), reopened(&whole)])).await;
        assert_eq!(heard, "ab", "{ended}");
    }
    // A fresh login that is no better is the end of it.
    let again = format!("{asked}\nS: $c NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)");
    let heard = check(Provider::new(&[opened(&again), reopened(&again)])).await;
    assert_eq!(heard, r#"Lost { command: "FETCH" }"#);
}

/// A changed password ends sessions at many providers; each login with the old one counts for a lock of the account.
/// A connection whose other end has gone without a word, as when a router has forgotten it: an app that has paused is not
/// kept waiting for as long as one in mid-transfer.
#[tokio::test(start_paused = true)]
async fn after_a_pause_the_first_octet_comes_within_seconds_or_from_a_fresh_session() {
    const SECOND: &str = r#"
        C: $a EXAMINE "INBOX"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        C: $c UID FETCH 5 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n
        S: $c OK x"#;
    let silent = |command: &str| opened(&format!("C: $c {command}"));
    let fetch = "UID FETCH 5 (UID BODY.PEEK[])";
    for (pause, command, waited) in [(10, fetch, 5), (59, fetch, 5), (61, "NOOP", 5), (86_400, "NOOP", 5)] {
        let provider = Provider::new(&[silent(command), SECOND]);
        let (mut mailbox, _) = provider.open().await.unwrap();
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let asked = tokio::time::Instant::now();
        let (octets, end) = whole(&mut mailbox.body(uid(5)).await.unwrap()).await;
        assert!(octets == b"abc" && end.is_ok());
        assert_eq!(asked.elapsed().as_secs(), waited, "after {pause} s");
        mailbox.close().await;
        provider.kept().await;
    }
    // One that is slow to answer has its time where the app has not paused.
    let provider = Provider::new(&[silent(fetch)]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let asked = tokio::time::Instant::now();
    let error = mailbox.body(uid(5)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::TimedOut { .. }), "{error:?}");
    assert_eq!(asked.elapsed(), script::PATIENCE);
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_login_refused_in_mid_session_is_not_tried_again_for_each_message() {
    let logins = Arc::new(Mutex::new(0));
    let (counted, script) = (logins.clone(), opened("EOF"));
    let dial: Dial = Arc::new(move || {
        let mut logins = counted.lock().unwrap();
        *logins += 1;
        let first = (*logins == 1).then(|| script::session(script).0);
        Box::pin(async move { first.ok_or(UpstreamError::LoginRefused { text: "changed".to_owned() }) })
    });
    let resources = Resources::in_memory(0);
    let (mut mailbox, _) = open_over(dial, account(), resources).await.unwrap();
    for number in 5..100 {
        let error = mailbox.body(uid(number)).await.unwrap_err();
        assert!(matches!(error, UpstreamError::LoginRefused { .. }), "{error:?}");
    }
    let error = mailbox.update(&[], &[uid(5)]).await.unwrap_err();
    assert!(matches!(error, UpstreamError::LoginRefused { .. }), "{error:?}");
    assert_eq!(*logins.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_died_in_silence_is_replaced_before_an_app_loses_patience() {
    let whole =
        "C: $c UID FETCH 5 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 5 BODY[] {2}\\r\\nab)\\r\\n\nS: $c OK x";
    // A router that forgot, a BYE with and without an end, a NOOP that is not liked by a session that lives.
    for (asleep, again) in [
        (opened("C: $c NOOP"), Some(reopened(whole))),
        (opened("S: * BYE idle for too long\nEOF"), Some(reopened(whole))),
        (opened("S: * BYE idle for too long"), Some(reopened(whole))),
        (opened(&format!("C: $c NOOP\nS: $c BAD what?\n{whole}")), None),
    ] {
        let scripts: Vec<_> = std::iter::once(asleep).chain(again).collect();
        let provider = Provider::new(&scripts);
        let (mut mailbox, _) = provider.open().await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
        let asked = tokio::time::Instant::now();
        mailbox.body(uid(5)).await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(6));
        mailbox.close().await;
        provider.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_uidvalidity_told_unasked_makes_every_uid_void() {
    // RFC 3501 §2.3.1.1.
    let heard = fetched("S: * OK [UIDVALIDITY 8] renumbered\nEOF").await;
    assert!(heard.starts_with("UidValidityChanged"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn silence_within_a_body_costs_its_deadline_from_the_last_octet_on() {
    let begun = tokio::time::Instant::now();
    let heard = fetched(r"R: * 1 FETCH (UID 5 BODY[] {9}\r\nab").await;
    assert_eq!(heard, "ab and then TimedOut { command: \"FETCH\", after: 55s }");
    assert_eq!(begun.elapsed(), script::PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_nothing_costs_the_session() {
    let long = format!("R: * 1 FETCH (UID 5 BODY[] {{2000000}}\\r\\n{}", "x".repeat(900_000));
    let rest = format!("C: $c UID FETCH 5 (UID BODY.PEEK[])\n{long}");
    let provider = Provider::new(&[opened(&rest)]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    let mut body = mailbox.body(uid(5)).await.unwrap();
    tokio::time::sleep(STALL + script::PATIENCE).await;
    let (octets, end) = whole(&mut body).await;
    assert!(octets.len() < 900_000, "{}", octets.len());
    assert!(matches!(end, Err(UpstreamError::Lost { .. })));
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_costs_a_session_if_it_is_long_and_nothing_if_it_is_short() {
    let short = r"C: $c UID FETCH 5 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 5 BODY[] {2}\r\nab)\r\n
        S: $c OK x
        C: $d UID FETCH 6 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 6 BODY[] {1}\r\nx)\r\n
        S: $d OK x";
    let long = format!(
        "C: $c UID FETCH 5 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 5 BODY[] {{2000000}}\\r\\n{}",
        "x".repeat(900_000)
    );
    let again =
        "C: $c UID FETCH 6 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 6 BODY[] {1}\\r\\nx)\\r\\n\nS: $c OK x";
    for provider in [Provider::new(&[opened(short)]), Provider::new(&[opened(&long), reopened(again)])] {
        let (mut mailbox, _) = provider.open().await.unwrap();
        drop(mailbox.body(uid(5)).await.unwrap());
        assert_eq!(whole(&mut mailbox.body(uid(6)).await.unwrap()).await.0, b"x");
        mailbox.close().await;
        provider.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_beginning_is_fetched_in_windows_and_no_further_than_needed() {
    let head = "A: b\r\n".repeat(3000);
    let first: String = head.chars().take(16384).collect();
    let escaped = |text: &str| text.replace('\r', "\\r").replace('\n', "\\n");
    let rest = format!(
        "C: $c UID FETCH 5 (UID BODY.PEEK[]<0.16384>)\nR: * 1 FETCH (UID 5 BODY[]<0> {{16384}}\\r\\n{})\\r\\n\nS: $c OK x\n\
         C: $d UID FETCH 5 (UID BODY.PEEK[]<16384.32768>)\nR: * 1 FETCH (UID 5 BODY[]<16384> {{1623}}\\r\\n{}\\r\\none\\r\\n)\\r\\n\nS: $d OK x",
        escaped(&first),
        escaped(&head[16384..]).to_owned() + "\\r\\n",
    );
    let rest = rest.replace("\\r\\n\\r\\none", "\\r\\none");
    let provider = Provider::new(&[opened(&rest)]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    let beginning = mailbox.beginning(uid(5), 3).await.unwrap();
    assert_eq!(beginning.len(), 18_007);
    assert!(beginning.ends_with(b"A: b\r\n\r\none\r\n"[6..].as_ref()));
    mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_beginning_comes_from_the_whole_where_partial_fetches_are_broken_and_from_the_cache() {
    let rest = r"C: $c UID FETCH 5 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 5 BODY[] {17}\r\na: b\r\n\r\n1\r\n2\r\n3\r\n)\r\n
        S: $c OK x";
    let provider = Provider::new(&[opened(rest)]).quirks(&[Quirk::NoPartialFetch]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    assert!(mailbox.beginning(uid(5), 1).await.unwrap().starts_with(b"a: b\r\n\r\n1\r\n"));
    mailbox.close().await;
    provider.kept().await;
    let provider = Provider::new(&[opened(rest)]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    whole(&mut mailbox.body(uid(5)).await.unwrap()).await.1.unwrap();
    assert_eq!(mailbox.beginning(uid(5), 1).await.unwrap(), "a: b\r\n\r\n1\r\n");
    mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn headers_alone_are_asked_for_where_partial_fetches_are_broken_and_believed_with_their_empty_line() {
    // RFC 1939 §7, RFC 3501 §6.4.5. Without the empty line, empty or not told: the whole message knows.
    let header = "C: $c UID FETCH 5 (UID BODY.PEEK[HEADER])";
    let whole = r"C: $d UID FETCH 5 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 5 BODY[] {11}\r\na: b\r\n\r\n1\r\n)\r\n
        S: $d OK x";
    for (answer, enough) in [
        (r"R: * 1 FETCH (UID 5 BODY[HEADER] {8}\r\na: b\r\n\r\n)\r\n", true),
        (r"R: * 1 FETCH (BODY[HEADER] {8}\r\na: b\r\n\r\n UID 5)\r\n", true),
        (r"R: * 1 FETCH (UID 5 BODY[HEADER] {6}\r\na: b\r\n)\r\n", false),
        (r"R: * 1 FETCH (UID 5 BODY[HEADER] {0}\r\n)\r\n", false),
        (r#"R: * 1 FETCH (UID 5 BODY[HEADER] "")\r\n"#, false),
    ] {
        let rest = format!("{header}\n{answer}\nS: $c OK x\n{}", if enough { "" } else { whole });
        let provider = Provider::new(&[opened(&rest)]).quirks(&[Quirk::NoPartialFetch]);
        let (mut mailbox, _) = provider.open().await.unwrap();
        assert_eq!(mailbox.beginning(uid(5), 0).await.unwrap(), "a: b\r\n\r\n", "{answer}");
        mailbox.close().await;
        provider.kept().await;
    }
    // A refusal concerns the message; another's headers, or another section, are not these.
    for (answer, expected) in [
        ("S: $c NO [UNAVAILABLE] not this one", "Refused"),
        ("S: * 1 FETCH (UID 5 BODY[HEADER] NIL)\nS: $c OK x", "Refused"),
        ("R: * 1 FETCH (UID 5 BODY[] {2}\\r\\nab)\\r\\n\nS: $c OK x", "Gone"),
        ("R: * 2 FETCH (UID 6 BODY[HEADER] {2}\\r\\n\\r\\n)\\r\\n\nS: $c OK x", "Gone"),
    ] {
        let provider =
            Provider::new(&[opened(&format!("{header}\n{answer}"))]).quirks(&[Quirk::NoPartialFetch]);
        let (mut mailbox, _) = provider.open().await.unwrap();
        let error = format!("{:?}", mailbox.beginning(uid(5), 0).await.unwrap_err());
        assert!(error.starts_with(expected), "{answer}: {error}");
        mailbox.close().await;
        provider.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_said_bye_is_not_waited_for() {
    // RFC 3501 §7.1.5; the connection stays open all the same.
    let whole =
        "C: $c UID FETCH 5 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 5 BODY[] {2}\\r\\nab)\\r\\n\nS: $c OK x";
    let said = opened("C: $c UID FETCH 5 (UID BODY.PEEK[])\nS: * BYE idle for too long");
    let asked = tokio::time::Instant::now();
    assert_eq!(check(Provider::new(&[said, reopened(whole)])).await, "ab");
    assert!(asked.elapsed() < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn keeping_alive_takes_seconds_and_no_new_session_without_need() {
    let provider = Provider::new(&[opened("C: $c NOOP")]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    let asked = tokio::time::Instant::now();
    mailbox.keep_alive().await;
    assert!(asked.elapsed() < Duration::from_secs(6));
    mailbox.keep_alive().await;
    mailbox.close().await;
    provider.kept().await;
}

/// By a clock that runs: threads that read files do not stop one.
#[tokio::test]
async fn a_large_body_that_turns_out_damaged_on_the_disk_goes_on_from_upstream() {
    const OCTETS: usize = 1_400_000;
    let line = "a line of some length, so that few are needed for a message that is large\\r\\n";
    let shown = line.repeat(OCTETS / (line.len() - 2) + 1);
    let message = shown.replace("\\r\\n", "\r\n");
    let answer = format!(
        "C: $b UID FETCH 5 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 5 BODY[] {{{}}}\\r\\n{shown})\\r\\n\nS: $b OK x",
        message.len()
    );
    let shorter =
        "C: $b UID FETCH 5 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 5 BODY[] {2}\\r\\nab)\\r\\n\nS: $b OK x";
    for (rest, comes) in [(reopened(&answer), true), (reopened(shorter), false)] {
        let state = tempfile::tempdir().unwrap();
        let folder = crate::store::disk::folder_in(state.path());
        let start = || crate::store::Disk::start(folder.clone(), 1 << 30, Box::new(|| Ok(None))).unwrap();
        let mut provider = Provider::new(&[opened(""), rest]);
        provider.resources.bodies = provider.resources.bodies.with_disk(start());
        let (mut mailbox, _) = provider.open().await.unwrap();
        let key = mailbox.key(uid(5));
        let mut keeper = provider.resources.bodies.keeping(key.clone(), message.len() as u64).unwrap();
        keeper.take(&Bytes::copy_from_slice(message.as_bytes()));
        keeper.complete(9).await;
        provider.resources.bodies.close().await;
        let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let mut octets = std::fs::read(&file).unwrap();
        octets[1_000_000] ^= 1;
        std::fs::write(&file, octets).unwrap();

        let mut body = mailbox.body(uid(5)).await.unwrap();
        assert_eq!(body.octets(), message.len() as u64);
        let in_use = || provider.resources.held.in_use(&provider.account);
        assert_eq!(in_use(), 1);
        let (mut octets, mut most) = (Vec::new(), 0);
        let end = loop {
            match body.chunk().await {
                Ok(Some(chunk)) => octets.extend_from_slice(&chunk),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            most = most.max(in_use());
        };
        assert_eq!(most, if comes { 2 } else { 1 }, "a session beside the mailbox's own counts");
        assert!(octets == message.as_bytes()[..octets.len()], "never a wrong octet");
        assert!(octets.len() > 900_000 && end.is_ok() == comes, "{} {end:?}", octets.len());
        assert_eq!(octets.len() == message.len(), comes);
        provider.resources.bodies.close().await;
        assert_eq!(provider.resources.bodies.has(&key), comes, "kept again, if complete");
        mailbox.close().await;
        provider.kept().await;
    }
}
