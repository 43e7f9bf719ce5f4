//! A password shown, refused, or not shown.

use super::*;

#[tokio::test]
async fn plain_with_initial_response_and_nothing_asked_twice() {
    // RFC 4959; capabilities from the greeting before login, from the OK code behind it.
    let heard = check(
        &[],
        "secret",
        &[r"
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN LOGINDISABLED] ready
        C: $a AUTHENTICATE PLAIN AGFuYUBleGFtcGxlLm9yZwBzZWNyZXQ=
        S: * OK [ALERT] disk almost full
        S: $a OK [CAPABILITY IMAP4rev1 UIDPLUS MOVE] welcome
    "],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "UIDPLUS", "MOVE"]) [b"* OK [ALERT] disk almost full\r\n"]"#);
}

#[tokio::test]
async fn plain_in_two_steps_with_lines_between_and_words_behind_the_plus() {
    // RFC 3501 §6.2.2. async-imap alone would wait for ever after the untagged line.
    let heard = check(
        &[],
        "secret",
        &[r"
        S: * OK ready
        C: $a CAPABILITY
        S: * CAPABILITY IMAP4rev1 AUTH=PLAIN
        S: $a OK
        C: $b AUTHENTICATE PLAIN
        S: * OK one moment
        S: + go ahead
        C: AGFuYUBleGFtcGxlLm9yZwBzZWNyZXQ=
        S: * CAPABILITY IMAP4rev1 IDLE
        S: $b ok
    "],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "IDLE"]) []"#);
}

#[tokio::test]
async fn login_where_plain_is_not_offered_and_capabilities_asked_behind_it() {
    let heard = check(
        &[],
        "se cret",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "se cret"
        S: $a OK hello
        C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1 NAMESPACE
        S: $b OK done
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "NAMESPACE"]) []"#);
}

#[tokio::test]
async fn a_password_that_cannot_be_quoted_goes_as_a_literal() {
    // RFC 3501 §4.3: 8-bit octets are not for quoted strings.
    let heard = check(
        &[],
        "s\u{e9}\"",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN {15}
        S: + yes
        C: ana@example.org {4}
        S: + yes
        C: s\xc3\xa9"
        S: $a OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1"]) []"#);
    let heard = check(
        &[],
        "\"",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1 LITERAL-] ready
        C: $a LOGIN {15+}
        C: ana@example.org {1+}
        C: "
        S: $a OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert_eq!(heard, r#"Ok Some(["IMAP4rev1"]) []"#);
}

#[tokio::test]
async fn user_names_in_turn_over_one_connection_while_it_lasts() {
    let heard = check(
        &[],
        "x",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
        S: $a NO [AUTHENTICATIONFAILED] no
        C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: $b OK done
        C: $c LOGIN "ana" "x"
        S: $c OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert!(heard.starts_with("Ok"), "{heard}");
    let heard = check(
        &[],
        "x",
        &[
            r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
        S: * BYE that was it
        S: $a NO wrong
        EOF
    "#,
            r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana" "x"
        S: $a NO wrong too
    "#,
        ],
    )
    .await;
    assert_eq!(heard, r#"LoginRefused { text: "wrong" }"#);
}

#[tokio::test]
async fn plain_vs_login_tries_login_once() {
    let heard = check(
        &[Quirk::PlainVsLogin],
        "x",
        &[r#"
        S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready
        C: $a AUTHENTICATE PLAIN AGFuYUBleGFtcGxlLm9yZwB4
        S: $a NO failed
        C: $b LOGIN "ana@example.org" "x"
        S: $b OK [CAPABILITY IMAP4rev1] hello
    "#],
    )
    .await;
    assert!(heard.starts_with("Ok"), "{heard}");
}

#[tokio::test]
async fn id_after_login_names_us_and_nobody_else() {
    let heard = check(
        &[Quirk::IdAfterLogin],
        "x",
        &[concat!(
            r#"
        S: * OK [CAPABILITY IMAP4rev1] ready
        C: $a LOGIN "ana@example.org" "x"
        S: $a OK [CAPABILITY IMAP4rev1] hello
        C: $b ID ("name" "footbridge" "version" ""#,
            env!("CARGO_PKG_VERSION"),
            r#"" "vendor" "footbridge")
        S: $b BAD what
    "#
        )],
    )
    .await;
    assert!(heard.starts_with("Ok"), "{heard}");
}

#[tokio::test]
async fn no_password_where_none_may_go() {
    // RFC 3501 §6.2.3: LOGINDISABLED is a prohibition.
    let heard = check(&[], "x", &["S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2] ready"]).await;
    assert_eq!(heard, r#"Refused { command: "LOGIN", text: "it takes no password here" }"#);
    // CR, LF, NUL: into no command line, not even in base64.
    let heard = check(&[], "x\r\ny", &[]).await;
    assert!(heard.starts_with("LoginRefused"), "{heard}");
}

#[tokio::test]
async fn refusals_by_code_and_by_words() {
    async fn refusal(line: &'static str) -> String {
        let script =
            format!("S: * OK [CAPABILITY IMAP4rev1] ready\nC: $a LOGIN \"ana\" \"x\"\nS: {line}\nEOF");
        let error = attempt(&account(&["ana"], &[]), "x", &[script.leak()]).await.unwrap_err();
        format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
    }
    for line in [
        "$a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        "$a NO [EXPIRED] password expired",
        "$a NO Login failed",
        "$a NO",
        "$a NO [ALERT] Application-specific password required",
        "$a NO [WEBALERT https://example.org/] Web login required",
    ] {
        assert_eq!(refusal(line).await, "LoginRefused", "{line}");
    }
    for line in [
        "$a NO [UNAVAILABLE] Temporary authentication failure",
        "$a NO Temporary authentication failure",
        "$a NO [INUSE] x",
        "$a NO [LIMIT] x",
        "$a NO [SERVERBUG] x",
        "$a NO [ALERT] Too many simultaneous connections. (Failure)",
        "$a NO Login rate limit reached, try again later",
        "$a BAD User is authenticated but not connected.",
        "$a BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds",
        "* BYE Server Unavailable. 15",
    ] {
        assert_eq!(refusal(line).await, "Unavailable", "{line}");
    }
    assert_eq!(refusal("$a BAD what?").await, "Refused");
    assert_eq!(refusal("<html>").await, "Lost");
}
