//! Transfers that break off: an incomplete message is never ended, never kept, never sent.

use super::USER;
use crate::support::bridge::{Config, InProcess};
use crate::support::dovecot::PASSWORD;
use crate::support::imap::Imap;
use crate::support::mail;
use crate::support::pop3::{Pop3, as_pop3_has_it};
use crate::support::shelf::Shelf;

/// Upstream goes in the middle of a literal: no dot, no cache entry; the next RETR gives the whole message.
#[tokio::test]
async fn upstream_gone_in_a_literal_leaves_no_half_message_behind() {
    for octets in [3_000, 200_000, 3_000_000] {
        for after in [1, 1_500, octets - 1] {
            let message = mail::large(octets);
            let shelf = Shelf::that_breaks_off_once(vec![message.clone()], after).await;
            let bridge = InProcess::start(Config::new(USER, &shelf.remote()).parsed()).await;
            let mut first = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
            first.wire().say("RETR 1").await;
            let heard = first.wire().hear_to_the_end().await;
            // Held back and told, or begun and broken off.
            assert!(
                !heard.ends_with(b"\r\n.\r\n"),
                "{octets} octets cut after {after} were ended with a dot"
            );
            let mut second = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
            assert!(second.lines("RETR 1").await == message, "{octets} octets cut after {after}");
            second.ok("QUIT").await;
        }
    }
}

/// RFC 3206 §4: one message that the provider can never give: its number alone is refused, whichever way an app goes,
/// and the app may delete it.
#[tokio::test]
async fn a_message_the_provider_never_gives_harms_no_other() {
    const POISON: usize = 70;
    let messages = mail::mixed(150);
    let shelf = Shelf::that_refuses(messages.clone(), POISON).await;
    let config = Config::new(USER, &shelf.remote()).setting("cache.memory = \"0\"");
    let bridge = InProcess::start(config.parsed()).await;
    let up: Vec<usize> = (1..=messages.len()).collect();
    let down: Vec<usize> = up.iter().rev().copied().collect();
    for (numbers, most) in [(up, 100), (down, 160)] {
        let before = shelf.asked();
        let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        for number in numbers {
            if number == POISON {
                app.err(&format!("RETR {number}")).await;
                app.err(&format!("TOP {number} 0")).await;
                continue;
            }
            let octets = app.lines(&format!("RETR {number}")).await;
            assert!(octets == as_pop3_has_it(&messages[number - 1]), "message {number}");
        }
        app.ok(&format!("DELE {POISON}")).await;
        app.ok("RSET").await;
        app.ok("QUIT").await;
        let asked = shelf.asked() - before;
        assert!(asked < most, "{asked} commands: nobody asks for each message twice");
    }
}

/// The same through the splice (RFC 9051 §4.3): closed, no fill, no tagged OK.
#[tokio::test]
async fn upstream_gone_in_a_literal_closes_an_imap_app() {
    let message = mail::large(200_000);
    let shelf = Shelf::that_breaks_off_once(vec![message.clone()], 150_000).await;
    let bridge = InProcess::start(Config::new(USER, &shelf.remote()).parsed()).await;
    let mut app = Imap::through(bridge.imap(), USER).await;
    app.ok("EXAMINE INBOX").await;
    let tag = app.send("UID FETCH 1 (UID BODY.PEEK[])").await;
    let heard = app.wire().hear_to_the_end().await;
    let text = String::from_utf8_lossy(&heard);
    assert!(!text.contains(&format!("{tag} OK")) && heard.len() < 150_200, "{} octets", heard.len());
    let mut app = Imap::through(bridge.imap(), USER).await;
    assert!(app.messages("INBOX").await[0].octets == message);
}
