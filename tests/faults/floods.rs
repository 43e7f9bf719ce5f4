//! A provider that says more than anybody can hold, or claims that it will: refused before memory is taken for it.

use tokio::time::timeout;

use super::USER;
use crate::support::PATIENCE;
use crate::support::bridge::{Config, Program};
use crate::support::dovecot::PASSWORD;
use crate::support::pop3::Pop3;
use crate::support::scripted::Upstream;
use crate::support::wire::Wire;

/// More than any answer may have.
const NEVER: usize = 200 << 20;

/// How much more memory the program may have used at any time.
const GROWTH: u64 = 16 << 20;

/// What follows where nothing else is said.
const MORE: &[u8] = &[b'x'; 64 * 1024];

/// Serves one message, and begins `flood` where a command that begins with `at` would be answered, with `more` again and
/// again until the bridge has had enough.
async fn serve(upstream: &Upstream, at: &str, flood: &[u8], more: &[u8]) {
    let mut provider = upstream.accepted().await;
    if at.is_empty() {
        return pour(&mut provider, flood, more).await;
    }
    provider.say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready").await;
    while let Some(line) = provider.hear_or_end().await {
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        if command.starts_with(at) {
            return pour(&mut provider, flood, more).await;
        }
        let untagged = match command {
            "EXAMINE \"INBOX\"" => "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n",
            "UID FETCH 1:* (UID RFC822.SIZE)" => "* 1 FETCH (UID 1 RFC822.SIZE 300)\r\n",
            _ => "",
        };
        let answer = format!("{untagged}{tag} OK [CAPABILITY IMAP4rev1] done\r\n");
        if provider.send(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn pour(provider: &mut Wire, flood: &[u8], more: &[u8]) {
    let mut poured = provider.send(flood).await.map_or(NEVER, |()| flood.len());
    while poured < NEVER {
        match timeout(PATIENCE, provider.send(more)).await.expect("the bridge reads on, or leaves") {
            Ok(()) => poured += more.len(),
            Err(_) => return,
        }
    }
    panic!("nobody has had enough of {:?}", flood.escape_ascii().to_string());
}

/// Tries to log in and to have the message; where it was refused.
async fn refused(bridge: &Program) -> &'static str {
    let mut app = Pop3::connect(bridge.pop3()).await;
    app.ok(&format!("USER {USER}")).await;
    app.wire().say(&format!("PASS {PASSWORD}")).await;
    let answer = app.wire().hear().await;
    if answer.starts_with("-ERR [SYS/") {
        return "PASS";
    }
    assert!(answer.starts_with("+OK"), "{answer}");
    app.err("RETR 1").await;
    app.ok("QUIT").await;
    "RETR"
}

#[tokio::test]
async fn lines_and_literals_without_end_are_refused_before_memory_is_taken() {
    let upstream = Upstream::good().await;
    let bridge = Program::start(&Config::new(USER, &upstream.remote()), "info");
    let before = bridge.most_memory();
    let line: &[u8] = b"* OK ";
    let literal: &[u8] = b"* LIST () \"/\" {4294967295}\r\n";
    let items: &[u8] = b"* 1 FETCH (UID 1 X-Y \"";
    for (at, floods, refused_at) in [
        ("", &[line][..], "PASS"),
        ("AUTHENTICATE", &[line, literal, b"+ "], "PASS"),
        ("EXAMINE", &[line, literal, items], "PASS"),
        ("UID FETCH 1:*", &[line, literal, items], "PASS"),
        ("UID FETCH 1 (UID BODY", &[line, literal, items], "RETR"),
    ] {
        for flood in floods {
            // RETR is tried once more over a fresh connection, where the flood is the same.
            let served = async {
                loop {
                    serve(&upstream, at, flood, MORE).await;
                }
            };
            let told =
                tokio::select! { told = refused(&bridge) => told, () = served => unreachable!("it loops") };
            assert_eq!(told, refused_at, "{at:?}: {:?}", flood.escape_ascii().to_string());
        }
    }
    let grown = bridge.most_memory().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} octets");
}

#[tokio::test]
async fn messages_without_end_that_nobody_announced_are_refused_before_memory_is_taken() {
    let upstream = Upstream::good().await;
    let bridge = Program::start(&Config::new(USER, &upstream.remote()), "info");
    let before = bridge.most_memory();
    let again = "* 1 FETCH (UID 1 RFC822.SIZE 300)\r\n".repeat(2000);
    let others: String = (1..=2000).map(|uid| format!("* 1 FETCH (UID {uid} RFC822.SIZE 300)\r\n")).collect();
    for rows in [again, others] {
        let served = async {
            loop {
                serve(&upstream, "UID FETCH 1:*", b"", rows.as_bytes()).await;
            }
        };
        let told =
            tokio::select! { told = refused(&bridge) => told, () = served => unreachable!("it loops") };
        assert_eq!(told, "PASS");
    }
    let grown = bridge.most_memory().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} octets");
}

/// The length of a body is the provider's word and nobody's memory: what comes of it streams, and has no end if it breaks
/// off.
#[tokio::test]
async fn a_body_of_four_gigabytes_that_was_listed_as_small_streams() {
    let upstream = Upstream::good().await;
    let bridge = Program::start(&Config::new(USER, &upstream.remote()), "info");
    let before = bridge.most_memory();
    let body = b"* 1 FETCH (UID 1 BODY[] {4294967295}\r\n";
    let app = async {
        let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        app.ok("RETR 1").await;
        for _ in 0..32 {
            let octets = app.wire().hear_exactly(1 << 20).await;
            assert!(octets.iter().all(|octet| *octet == b'x'));
        }
        bridge.most_memory().saturating_sub(before)
    };
    let served = serve(&upstream, "UID FETCH 1 (UID BODY", body, MORE);
    let grown = tokio::select! { grown = app => grown, () = served => panic!("the bridge left") };
    assert!(grown < GROWTH, "{grown} octets");
}
