//! What an app gets when something is wrong: with its input, its password, or upstream.

use super::*;
use crate::net::ConnectError;
use crate::upstream::tokens;

fn three(middle: Mail) -> Script {
    Script::new([Mail::of(b"one\r\n"), middle, Mail::of(b"three\r\n")])
}

#[tokio::test(start_paused = true)]
async fn rfc1939_6_only_a_whole_quit_removes() {
    for last in ["", "Q", "QUI", "QUIT", "QUIT\r", "QUIT now\r\n", "RSET\r\nQUIT\r\n"] {
        let script = three(Mail::of(b"two\r\n"));
        session(&script, &format!("DELE 1\r\n{last}")).await;
        let seen = script.seen();
        assert_eq!((seen.updates.len(), seen.left, seen.closed), (0, 1, 0), "{last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_ends_the_connection_without_a_dot() {
    let announced = b"Subject: two\r\n\r\nhalf a message\r\n.".len() as u64;
    let chunk = |text: &'static [u8]| Event::Chunk(Bytes::from_static(text));
    for end in [vec![Event::Lost], vec![], vec![chunk(b" message\r\n.\r\nand more than announced")]] {
        let events = [vec![chunk(b"Subject: two\r\n\r\nhalf a")], end].concat();
        let script = three(Mail::with(announced, events));
        let heard = session(&script, "DELE 3\r\nRETR 1\r\nRETR 2\r\nDELE 1\r\nQUIT\r\n").await;
        let whole = "+OK marked deleted\r\n+OK 5 octets\r\none\r\n.\r\n";
        assert_eq!(heard, format!("{whole}+OK\r\nSubject: two\r\n\r\nhalf a"));
        let seen = script.seen();
        assert_eq!((seen.updates.len(), seen.closed), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_before_its_first_octet_harms_only_itself() {
    let short = vec![Event::Chunk(Bytes::from_static(b"all")), Event::Lost];
    for mail in [Mail::with(10, vec![Event::Lost]), Mail::with(10, vec![]), Mail::with(3, short)] {
        let script = three(mail);
        let mut talk = talk(&script).logged_in().await;
        talk.send("RETR 2\r\n").await;
        let refused = talk.line().await;
        assert!(refused.starts_with("-ERR [SYS/TEMP] ana@gmx.net: "), "{refused}");
        // The app may believe what it likes: this message is not deleted, the others are.
        talk.send("DELE 2\r\nRETR 3\r\nDELE 3\r\nQUIT\r\n").await;
        assert!(talk.line().await.starts_with("-ERR [SYS/TEMP]"));
        assert_eq!(talk.rest_text().await, "+OK 7 octets\r\nthree\r\n.\r\n+OK marked deleted\r\n+OK bye\r\n");
        assert_eq!(script.seen().updates, [(vec![], vec![12])]);
    }
}

#[tokio::test(start_paused = true)]
async fn another_messages_text_is_never_taken_for_the_message() {
    // RFC 1939 §5: the dot says that the app has the message, and DELE that it may go.
    let chunk = |text: &'static [u8]| Event::Chunk(Bytes::from_static(text));
    let script = three(Mail::of(b"two\r\n"));
    script.seen().foreign = vec![11];
    let heard = session(&script, "RETR 2\r\nDELE 2\r\nRETR 1\r\nQUIT\r\n").await;
    let lines: Vec<&str> = heard.lines().collect();
    let another = "-ERR [SYS/TEMP] ana@gmx.net: the provider gave another message in place of this one";
    assert!(lines[0].starts_with(another) && lines[1].starts_with("-ERR [SYS/TEMP]"), "{heard}");
    assert_eq!(lines[2..], ["+OK 5 octets", "one", ".", "+OK bye"]);
    assert_eq!(script.seen().updates, []);
    assert_eq!(script.seen().learnt, [(10, 5)]);
    // A longer one is on its way when it shows.
    let script = three(Mail::with(9, vec![chunk(b"one "), chunk(b"half\n")]));
    script.seen().foreign = vec![11];
    assert_eq!(session(&script, "RETR 2\r\nDELE 2\r\nQUIT\r\n").await, "+OK\r\none half\r\n");
    let seen = script.seen();
    assert_eq!((seen.updates.len(), seen.closed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_is_refused_and_may_be_deleted() {
    let script = three(Mail::refused());
    let heard = session(&script, "RETR 2\r\nTOP 2 0\r\nTOP 2 99999\r\nDELE 2\r\nRETR 3\r\nQUIT\r\n").await;
    let lines: Vec<&str> = heard.lines().collect();
    assert!(
        lines[..3].iter().all(|line| line.starts_with("-ERR [SYS/TEMP] ") && line.contains("[UNAVAILABLE]"))
    );
    assert_eq!(lines[3..], ["+OK marked deleted", "+OK 7 octets", "three", ".", "+OK bye"]);
    assert_eq!(script.seen().updates, [(vec![], vec![11])]);
}

#[tokio::test(start_paused = true)]
async fn rfc1939_6_quit_says_when_not_all_was_removed() {
    let script = three(Mail::of(b"two\r\n"));
    script.seen().update_error = Some(|| UpstreamError::UidValidityChanged {
        was: UidValidity::new(7).expect("not 0"),
        now: UidValidity::new(8).expect("not 0"),
    });
    let heard = session(&script, "DELE 1\r\nQUIT\r\n").await;
    let last = heard.lines().last().expect("a reply");
    assert!(last.starts_with("-ERR [SYS/TEMP] no message was removed: ana@gmx.net: "), "{last}");
    script.seen().update_error = Some(|| UpstreamError::NoFolder { folder: "Trash".into() });
    let heard = session(&script, "DELE 1\r\nQUIT\r\n").await;
    assert!(heard.contains("-ERR [SYS/PERM] some messages marked deleted were not removed: "), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn rfc3206_a_login_fails_with_the_code_that_says_what_to_do() {
    let down: fn() -> UpstreamError =
        || UpstreamError::Connect(ConnectError::NameNotFound { host: "imap.gmx.net".into(), source: None });
    let refused: fn() -> UpstreamError =
        || UpstreamError::LoginRefused { text: format!("no {}", "x".repeat(10_000)) };
    let strange: fn() -> UpstreamError =
        || UpstreamError::NotTheProtocol { host: "imap.gmx.net".into(), expected: "an IMAP" };
    for (error, code) in [(down, "[SYS/TEMP]"), (refused, "[AUTH]"), (strange, "[SYS/PERM]")] {
        let script = three(Mail::of(b"two\r\n"));
        script.seen().login_error = Some(error);
        let mut talk = talk(&script);
        talk.send(LOGIN).await;
        talk.hear("+OK send PASS\r\n").await;
        let said = talk.line().await;
        assert!(said.starts_with(&format!("-ERR {code} ana@gmx.net: ")) && said.len() <= 512, "{said}");
        // Everything is freed, and another try is welcome (RFC 1939 §4).
        script.seen().login_error = None;
        talk.send("USER ana@gmx.net\r\nPASS y\r\nQUIT\r\n").await;
        assert_eq!(talk.rest_text().await.lines().last(), Some("+OK bye"));
        assert_eq!(script.seen().passwords, [b"x", b"y"]);
    }
}

#[tokio::test(start_paused = true)]
async fn rfc3206_a_sign_in_that_is_needed_is_permanent_and_a_token_server_that_is_down_is_not() {
    let cases: [(Fault, &str, &str); 4] = [
        (|| UpstreamError::TokenRefused { text: "no".into() }, "SYS/PERM", SIGN_IN),
        (|| tokens::signed_out().into(), "SYS/PERM", SIGN_IN),
        (
            || UpstreamError::NotServed { text: "not connected".into() },
            "SYS/PERM",
            "too many connections are open",
        ),
        (|| tokens::silent().into(), "SYS/TEMP", "login.example.org does not answer; try again later"),
    ];
    for (error, code, advice) in cases {
        let script = three(Mail::of(b"two\r\n"));
        script.seen().login_error = Some(error);
        let mut talk = talk(&script);
        talk.send(LOGIN).await;
        talk.hear("+OK send PASS\r\n").await;
        let said = talk.line().await;
        assert!(said.starts_with(&format!("-ERR [{code}] ana@gmx.net: ")), "{said}");
        assert!(said.trim_end().ends_with(advice) && said.len() <= 512, "{said}");
        // Nobody calls a token server that is silent a sign-in that was revoked.
        assert_eq!(said.contains("sign-in"), code == "SYS/PERM" && advice == SIGN_IN, "{said}");
        script.seen().login_error = None;
        talk.send("USER ana@gmx.net\r\nPASS y\r\nQUIT\r\n").await;
        assert_eq!(talk.rest_text().await.lines().last(), Some("+OK bye"));
    }
}

type Fault = fn() -> UpstreamError;

/// What the user has to do.
const SIGN_IN: &str = "; run: footbridge account sign-in ana@gmx.net";

#[tokio::test(start_paused = true)]
async fn rfc1939_13_an_unknown_name_is_told_what_a_wrong_password_is_told() {
    let script = three(Mail::of(b"two\r\n"));
    script.seen().login_error = Some(|| UpstreamError::LoginRefused { text: "no".into() });
    let mut talk = talk(&script);
    talk.send("USER eve@example.org\r\nPASS x\r\nUSER ana@gmx.net\r\nPASS \r\nUSER \u{ff}\r\nPASS x\r\n")
        .await;
    talk.line().await;
    for _ in 0..3 {
        assert_eq!(talk.line().await, "+OK send PASS\r\n");
        assert_eq!(talk.line().await, "-ERR [AUTH] login name or password is wrong\r\n");
    }
    assert_eq!(script.seen().passwords.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_password_arrives_upstream_octet_for_octet() {
    let script = three(Mail::of(b"two\r\n"));
    let mut talk = talk(&script);
    let password = [b"  p\xc3\xa4ss \xff ".as_slice(), &[b'x'; 200], b" "].concat();
    let line = [b"USER ana@gmx.net\r\nPASS ", password.as_slice(), b"\r\nQUIT\r\n"].concat();
    talk.app.write_all(&line).await.expect("open");
    talk.rest().await;
    assert_eq!(script.seen().passwords, [password]);
}

#[tokio::test(start_paused = true)]
async fn http_and_tls_are_shown_the_door() {
    for first in [
        b"GET /<script> HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(),
        b"POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\nUSER ana@gmx.net\r\nPASS x\r\n",
        b"X-Label: y\r\nUSER ana@gmx.net\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ] {
        let mut talk = talk(&three(Mail::of(b"two\r\n")));
        talk.app.write_all(first).await.expect("open");
        let heard = talk.rest_text().await;
        let lines: Vec<&str> = heard.lines().collect();
        assert!(matches!(lines[..], [greeting, refusal]
            if greeting.starts_with("+OK") && refusal.starts_with("-ERR") && !refusal.contains("script")));
    }
}

#[tokio::test(start_paused = true)]
async fn too_much_before_login_and_over_long_lines() {
    let mut flood = talk(&three(Mail::of(b"two\r\n")));
    let (mut reader, mut writer) = tokio::io::split(flood.app);
    let flooding = tokio::spawn(async move { while writer.write_all(&[b'x'; 1000]).await.is_ok() {} });
    let mut heard = Vec::new();
    reader.read_to_end(&mut heard).await.expect("an end");
    assert_eq!(heard.iter().filter(|octet| **octet == b'\n').count(), 1);
    flooding.await.expect("no panic");
    (&mut flood.driver).await.expect("no panic").expect("no error");

    let script = three(Mail::of(b"two\r\n"));
    let heard = session(&script, &format!("NOOP {}\r\nNOOP\r\nQUIT\r\n", "x".repeat(5000))).await;
    assert_eq!(heard, "-ERR line too long\r\n+OK\r\n+OK bye\r\n");
}
