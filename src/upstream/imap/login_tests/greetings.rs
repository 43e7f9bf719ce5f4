//! What comes before a login, and lines that are none.

use super::*;

#[tokio::test]
async fn a_line_that_makes_imap_proto_panic_does_no_harm() {
    let heard = check(
        &[],
        "x",
        &[r#"
        R: * OK [CAPABILITY IMAP4rev1]\xc3\xa9cole\r\n
        C: $a LOGIN "ana@example.org" "x"
        R: * OK [ALERT]\xc3\xa9cole\r\n* NAMESPACE NIL NIL NIL\r\n* 1 FETCH ()\r\n\r\n* OK\r\n
        R: $a OK [CAPABILITY IMAP4rev1]\xc3\xa9cole\n
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1"]) [b"* OK [ALERT] \xc3\xa9cole\r\n"]"#);
}

#[tokio::test]
async fn greetings_that_are_none() {
    for (script, expected) in [
        ("S: SSH-2.0-OpenSSH_9.2", "NotTheProtocol"),
        ("S: HTTP/1.1 400 Bad Request", "NotTheProtocol"),
        ("S: +OK POP3 ready", "NotTheProtocol"),
        ("S: 220 mail ESMTP", "NotTheProtocol"),
        ("R: \\x15\\x03\\x01", "NotTheProtocol"),
        ("S: * 5 EXISTS", "NotTheProtocol"),
        ("S: * PREAUTH welcome", "NoTls"),
        ("S: * BYE overloaded", "Unavailable"),
        ("EOF", "Lost"),
    ] {
        let (stream, _play) = script::play(script);
        let wire = Wire::new(Buffered::new(stream), PATIENCE);
        let error = greeting::greeted(wire, "imap.example.org", GREETING).await.unwrap_err();
        let error = format!("{error:?}");
        assert!(error.starts_with(expected), "{script}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_never_ends_costs_its_deadline_and_silence_at_login_costs_its_own() {
    let (stream, _play) = script::play("R: * OK al");
    let wire = Wire::new(Buffered::new(stream), PATIENCE);
    let error = greeting::greeted(wire, "h", GREETING).await.unwrap_err();
    assert!(matches!(error, UpstreamError::TimedOut { command: "greeting", after: GREETING }));
    let begun = tokio::time::Instant::now();
    let heard = check(
        &[],
        "x",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
    "#],
    )
    .await;
    assert_eq!(heard, r#"TimedOut { command: "LOGIN", after: 55s }"#);
    assert_eq!(begun.elapsed(), PATIENCE);
}
