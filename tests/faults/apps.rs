//! Apps, or whoever found the port, that do not keep to the protocol.

use std::time::{Duration, Instant};

use super::{PROTOCOLS, Protocol, USER};
use crate::support::PATIENCE;
use crate::support::bridge::{Config, InProcess, Program};
use crate::support::dovecot::PASSWORD;
use crate::support::mail;
use crate::support::pop3::Pop3;
use crate::support::scripted::Upstream;
use crate::support::shelf::Shelf;
use crate::support::wire::Wire;

async fn bridge_before(shelf: &Shelf) -> InProcess {
    InProcess::start(Config::new(USER, &shelf.remote()).parsed()).await
}

/// A bridge whose upstream nobody needs.
async fn bridge_alone(shrink: impl FnOnce(&mut footbridge::mail::Deadlines)) -> InProcess {
    let upstream = Upstream::good().await;
    let mut settings = Config::new(USER, &upstream.remote()).smtp(&upstream.remote()).parsed();
    shrink(&mut settings.deadlines);
    InProcess::start(settings).await
}

/// A line of 20,000 octets before login is answered with an error, or by closing, and never taken for two commands.
#[tokio::test]
async fn a_long_line_before_login() {
    let bridge = bridge_alone(|_| {}).await;
    for protocol in PROTOCOLS {
        let mut app = protocol.open(&bridge).await;
        let long = format!("a1 {}", "NOOP ".repeat(4000));
        app.send(format!("{long}\r\n").as_bytes()).await.expect("it is taken");
        let answer = app.hear().await;
        let refused = ["-ERR", "a1 BAD", "* BAD", "* BYE", "500"];
        assert!(refused.iter().any(|beginning| answer.starts_with(beginning)), "{protocol:?}: {answer}");
        if !answer.starts_with("* BYE") {
            protocol.goes_on(&mut app).await;
        }
    }
}

/// Octets without any line end are not collected for ever.
#[tokio::test]
async fn a_line_without_end_before_login() {
    let bridge = bridge_alone(|_| {}).await;
    for protocol in PROTOCOLS {
        let mut app = protocol.open(&bridge).await;
        // More than any limit; the bridge may close in the middle of it.
        for _ in 0..64 {
            if app.send(&[b'x'; 64 * 1024]).await.is_err() {
                break;
            }
        }
        let _ = app.finish().await;
        let said = app.hear_to_the_end().await;
        assert!(said.len() < 1000, "{protocol:?}: {} octets", said.len());
    }
}

/// What is no protocol at all: TLS, HTTP, SOCKS, noise. No echo, and the end comes.
#[tokio::test]
async fn other_protocols() {
    let bridge = bridge_alone(|_| {}).await;
    let noise: Vec<u8> = (0..=255u8).cycle().take(4096).collect();
    let openings: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03echo-me",
        b"GET /echo-me HTTP/1.1\r\nHost: localhost\r\nX-Long: echo-me\r\n\r\n",
        b"\x05\x01\x00",
        b"SSH-2.0-echo-me\r\n",
        &noise,
    ];
    for protocol in PROTOCOLS {
        for opening in openings {
            let mut app = Wire::connect(protocol.address(&bridge)).await.expect("the bridge answers");
            let _ = app.send(opening).await;
            let _ = app.finish().await;
            let said = String::from_utf8_lossy(&app.hear_to_the_end().await).into_owned();
            assert!(!said.contains("echo-me"), "{protocol:?}: {said}");
        }
        // Nobody else is harmed.
        let mut app = protocol.open(&bridge).await;
        protocol.goes_on(&mut app).await;
    }
}

/// RFC 1939 §3 has an autologout; before login it is short, and it counts from the connect.
#[tokio::test]
async fn an_app_that_never_logs_in() {
    let bridge = bridge_alone(|deadlines| deadlines.app_login = Duration::from_millis(300)).await;
    for protocol in PROTOCOLS {
        let mut app = Wire::connect(protocol.address(&bridge)).await.expect("the bridge answers");
        app.hear().await;
        app.hear_to_the_end().await;
    }
}

/// Bad commands end a session, sooner before login than after, and never harm the next.
#[tokio::test]
async fn bad_commands_without_end() {
    let bridge = bridge_alone(|_| {}).await;
    for protocol in PROTOCOLS {
        let mut app = protocol.open(&bridge).await;
        let _ = app.send("wibble wobble\r\n".repeat(200).as_bytes()).await;
        let said = app.hear_to_the_end().await;
        assert!(said.len() < 20_000, "{protocol:?}: {} octets", said.len());
    }
}

/// After login a long line is upstream's affair in IMAP, and an error in POP3.
#[tokio::test]
async fn a_long_line_after_login() {
    let shelf = Shelf::start(mail::mixed(2)).await;
    let bridge = bridge_before(&shelf).await;
    let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
    app.wire().ask(&format!("RETR {}", "1".repeat(20_000)), "-ERR").await;
    app.ok("NOOP").await;
    let mut app = Protocol::Imap.open(&bridge).await;
    assert!(Protocol::Imap.log_in(&mut app).await.starts_with("OK"));
    app.say("a2 EXAMINE INBOX").await;
    while !app.hear().await.starts_with("a2 OK") {}
    let set: Vec<String> = (3..2000).map(|uid| uid.to_string()).collect();
    app.ask(&format!("a3 UID FETCH {} (UID)", set.join(",")), "a3 OK").await;
}

/// RFC 9051 §4.3: a literal before login that announces more than any password is refused before it is sent, and its
/// octets, sent all the same, are no commands.
#[tokio::test]
async fn huge_literals_before_login() {
    let bridge = bridge_alone(|_| {}).await;
    let mut app = Protocol::Imap.open(&bridge).await;
    let answer = app.ask("a1 LOGIN {4000000000}", "a1 ").await;
    assert!(answer.starts_with("a1 BAD") || answer.starts_with("a1 NO"), "{answer}");
    Protocol::Imap.goes_on(&mut app).await;
    let mut app = Protocol::Imap.open(&bridge).await;
    app.say("a1 LOGIN {99999999999999999999}").await;
    let answer = app.hear().await;
    assert!(answer.starts_with("a1 BAD") || answer.starts_with("* BYE"), "{answer}");
}

/// An app that does not read what it asked for is let go, without a dot; others are served meanwhile.
#[tokio::test]
async fn an_app_that_stops_reading() {
    let shelf = Shelf::start(vec![mail::large(40_000_000), b"Subject: small\r\n\r\n".to_vec()]).await;
    let mut settings = Config::new(USER, &shelf.remote()).parsed();
    settings.deadlines.app_stall = Duration::from_millis(300);
    settings.deadlines.hold = Duration::ZERO; // The other's connection is let go too.
    let bridge = InProcess::start(settings).await;
    let mut stalling = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
    stalling.wire().say("RETR 1").await;
    let mut other = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
    assert_eq!(other.lines("RETR 2").await, b"Subject: small\r\n\r\n");
    other.ok("QUIT").await;
    shelf.deserted().await;
    let heard = stalling.wire().hear_to_the_end().await;
    assert!(heard.len() < 40_000_000 && !heard.ends_with(b"\r\n.\r\n"), "{} octets", heard.len());
}

/// However an app goes, and in the middle of whatever: everything that was open for it is closed.
#[tokio::test]
async fn apps_that_vanish_leave_nothing_open() {
    let shelf = Shelf::start(vec![mail::large(2_000_000), b"Subject: small\r\n\r\n".to_vec()]).await;
    let config =
        Config::new(USER, &shelf.remote()).setting("cache.memory = \"0\"").setting("cache.disk = \"0\"");
    let bridge = Program::start(&config, "info");
    // What is opened once, and what is held for the next app.
    let mut whole = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
    whole.lines("RETR 2").await;
    whole.ok("QUIT").await;
    assert!(whole.wire().hear_to_the_end().await.is_empty());
    let before = open_files(&bridge);
    for _ in 0..10 {
        for stage in 0..5 {
            let mut app = Pop3::connect(bridge.pop3()).await;
            if stage > 0 {
                app.ok(&format!("USER {USER}")).await;
                app.wire().say(&format!("PASS {PASSWORD}")).await;
            }
            if stage > 1 {
                app.wire().expect("+OK").await;
                app.wire().say("DELE 2").await;
            }
            if stage > 2 {
                app.wire().expect("+OK").await;
                app.wire().say("RETR 1").await;
                app.wire().expect("+OK").await;
            }
            match stage {
                4 => app.wire().finish().await.expect("it is still there"),
                _ => app.wire().reset_on_drop(),
            }
        }
    }
    let begun = Instant::now();
    while open_files(&bridge) > before {
        assert!(begun.elapsed() < PATIENCE, "{} open, {before} before", open_files(&bridge));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
    assert_eq!(app.lines("RETR 2").await, b"Subject: small\r\n\r\n");
}

fn open_files(bridge: &Program) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", bridge.id())).expect("it runs").count()
}
