//! Upstream that asks to be left alone.

use super::*;

const LISTED: &str = r#"
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 1:* (UID RFC822.SIZE)
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 7] x
    S: $a OK x
    S: * 1 FETCH (UID 5 RFC822.SIZE 3)
    S: * 2 FETCH (UID 6 RFC822.SIZE 3)
    S: $b OK x"#;

const FIVE: &str = r"
    C: $c UID FETCH 5 (UID BODY.PEEK[])
    R: * 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n
    S: $c OK x";

const SIX: &str = "C: $c UID FETCH 6 (UID BODY.PEEK[])";

const SIX_COMES: &str = "R: * 2 FETCH (UID 6 BODY[] {3}\\r\\ndef)\\r\\n\nS: $c OK x";

fn script(pieces: &[&str]) -> &'static str {
    pieces.join("\n").leak()
}

/// How long upstream is to be left alone, in seconds.
fn asked<T: std::fmt::Debug>(outcome: Result<T, UpstreamError>) -> u64 {
    match outcome.unwrap_err() {
        UpstreamError::Unavailable { wait: Some(wait), .. } => wait.as_secs_f64().round() as u64,
        error => panic!("{error:?}"),
    }
}

async fn read(mailbox: &mut Mailbox, number: u32) -> Vec<u8> {
    whole(&mut mailbox.body(uid(number)).await.unwrap()).await.0
}

/// Nothing is asked for, nobody logs in, and what is in the cache is served.
#[tokio::test(start_paused = true)]
async fn until_the_time_is_over_no_login_and_no_fetch_goes_upstream() {
    for (said, seconds) in [
        ("S: $c BAD Request is throttled. Suggested Backoff Time: 29500 milliseconds", 30),
        ("S: $c NO [LIMIT] Too much, try again in 1 minutes", 60),
        ("S: $c NO [THROTTLED] Slow down", 60),
        ("S: $c NO [OVERQUOTA] Bandwidth, retry after 86400 seconds", 900),
    ] {
        // By then it may have died in silence.
        let lives = if seconds < 60 { "" } else { "C: $n NOOP\nS: $n OK x" };
        let first = script(&[LISTED, FIVE, SIX, said, lives, SIX, SIX_COMES]);
        let provider = Provider::new(&[first, script(&[LISTED])]);
        let (mut mailbox, _) = provider.open().await.unwrap();
        assert_eq!(read(&mut mailbox, 5).await, b"abc");
        assert_eq!(asked(mailbox.body(uid(6)).await), seconds, "{said}");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(asked(mailbox.body(uid(6)).await), seconds - 20, "{said}");
        assert_eq!(asked(provider.open().await), seconds - 20, "{said}");
        assert_eq!(read(&mut mailbox, 5).await, b"abc");
        tokio::time::sleep(Duration::from_secs(seconds - 19)).await;
        assert_eq!(read(&mut mailbox, 6).await, b"def");
        let (second, _) = provider.open().await.unwrap();
        second.close().await;
        mailbox.close().await;
        provider.kept().await;
    }
}

/// RFC 3501 §7.1.5: also where it is the session's last word, asked or not, and not even for a session that is lost.
#[tokio::test(start_paused = true)]
async fn a_bye_that_asks_to_wait_is_not_answered_by_a_new_login() {
    const BYE: &str = "S: * BYE Session is throttled, try again in 30 seconds\nEOF";
    for asks in [&[LISTED, SIX, BYE][..], &[LISTED, BYE]] {
        let again = "C: $a EXAMINE \"INBOX\"\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x";
        let provider = Provider::new(&[script(asks), script(&[again, SIX, SIX_COMES])]);
        let (mut mailbox, _) = provider.open().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(asked(mailbox.body(uid(6)).await), 30);
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(read(&mut mailbox, 6).await, b"def");
        mailbox.close().await;
        provider.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_refused_with_a_wait_is_not_tried_in_another_way() {
    let (provider, _folder) = Provider::new(&[
        LISTED.replace("[UIDVALIDITY 7] x", "[UIDVALIDITY 7] x\nS: * OK [UIDNEXT 7] x").leak(),
        script(&[
            "C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH 6:* (UID RFC822.SIZE)\nS: * 3 EXISTS",
            "S: * OK [UIDVALIDITY 7] x\nS: * OK [UIDNEXT 8] x\nS: $a OK x\nS: $b NO [THROTTLED] x",
        ]),
    ])
    .ledger();
    let (first, _) = provider.open().await.unwrap();
    first.close().await;
    provider.resources.ledger.written().await;
    assert_eq!(asked(provider.open().await), 60);
    provider.kept().await;
}

/// RFC 5530 §3: NONEXISTENT is about the folder, whose name it may repeat.
#[tokio::test(start_paused = true)]
async fn the_name_of_a_missing_folder_is_no_wait_that_upstream_asks_for() {
    let missing = r#"
        C: $a EXAMINE "retry in 15 minutes"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: $a NO [NONEXISTENT] Mailbox doesn't exist: retry in 15 minutes
        S: $b BAD nothing is open
    "#;
    let provider = Provider::new(&[missing]).folder("retry in 15 minutes");
    assert!(matches!(provider.open().await, Err(UpstreamError::NoFolder { .. })));
    assert!(provider.resources.backoffs.of(&provider.account).allows().is_ok());
    provider.kept().await;
}
