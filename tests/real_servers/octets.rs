//! Every octet of a message reaches the app, whatever the message looks like.

use std::time::Duration;

use crate::relay::Relay;
use crate::support::bridge::{Config, InProcess, Program, Remote};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::{Imap, Stored};
use crate::support::mail;
use crate::support::pop3::{Pop3, as_pop3_has_it, beginning};
use crate::support::shelf::Shelf;

/// RFC 1939 §3, §5, §11: RETR gives the message with line ends made CRLF, and LIST and STAT count those octets or
/// upstream's own.
async fn pop3_gives(session: &mut Pop3, messages: &[Vec<u8>]) {
    let stat = session.ok("STAT").await;
    assert!(stat.starts_with(&format!("+OK {} ", messages.len())), "{stat}");
    for (number, octets) in (1..).zip(messages) {
        let given = session.lines(&format!("RETR {number}")).await;
        let expected = as_pop3_has_it(octets);
        assert!(given == expected, "RETR {number}: {}", difference(&given, &expected));
    }
    session.ok("QUIT").await;
}

fn imap_gives(found: &[Stored], messages: &[Vec<u8>]) {
    assert_eq!(found.len(), messages.len());
    for (stored, octets) in found.iter().zip(messages) {
        assert!(stored.octets == *octets, "UID {}: {}", stored.uid, difference(&stored.octets, octets));
    }
}

fn difference(given: &[u8], expected: &[u8]) -> String {
    let at = given.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let around = |octets: &[u8]| {
        octets[at.saturating_sub(20).min(octets.len())..(at + 20).min(octets.len())]
            .escape_ascii()
            .to_string()
    };
    format!(
        "differ from octet {at} on: {} octets with {:?}, expected {} with {:?}",
        given.len(),
        around(given),
        expected.len(),
        around(expected)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_mixed_messages_and_one_of_20_mb_equal_dovecots() {
    let user = "octets@example.test";
    let mut messages = mail::mixed(299);
    messages.push(mail::large(20 * 1000 * 1000));
    // Dovecot stores no empty message.
    messages.retain(|message| !message.is_empty());
    let mut direct = crate::fill(user, &messages).await;
    let upstream: Vec<Vec<u8>> =
        direct.messages("INBOX").await.into_iter().map(|stored| stored.octets).collect();
    assert_eq!(upstream.len(), messages.len());
    let bridge = crate::bridge_for(user);
    imap_gives(&Imap::through(bridge.imap(), user).await.messages("INBOX").await, &upstream);
    pop3_gives(&mut Pop3::login(bridge.pop3(), user, PASSWORD).await, &upstream).await;
    // And again, now that small ones come from memory.
    pop3_gives(&mut Pop3::login(bridge.pop3(), user, PASSWORD).await, &upstream).await;
}

/// What is read ahead for an app that goes from message to message is what it gets, and one that does not, or goes
/// another way, gets the same.
#[tokio::test(flavor = "multi_thread")]
async fn messages_in_any_order_equal_dovecots() {
    let user = "orders@example.test";
    let mut messages = mail::mixed(300);
    messages.retain(|message| !message.is_empty());
    let mut direct = crate::fill(user, &messages).await;
    let upstream: Vec<Vec<u8>> =
        direct.messages("INBOX").await.into_iter().map(|stored| stored.octets).collect();
    // Without a cache, so that every message comes from Dovecot.
    let config = crate::config_for(user, &Dovecot::shared().imaps()).setting("cache.memory = \"0\"");
    let bridge = Program::start(&config, "debug");
    let count = upstream.len();
    let mixed = (0..count).map(|at| at * 7919 % count);
    let jumping = (0..count).map(|at| if at % 10 == 9 { count - 1 - at } else { at });
    for order in [(0..count).rev().collect::<Vec<_>>(), mixed.collect(), jumping.collect()] {
        let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
        for at in order {
            let given = session.lines(&format!("RETR {}", at + 1)).await;
            let expected = as_pop3_has_it(&upstream[at]);
            assert!(given == expected, "RETR {}: {}", at + 1, difference(&given, &expected));
        }
        session.ok("QUIT").await;
    }
}

/// Messages that go meanwhile, by the app's own DELE or by another program, are theirs alone.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_go_while_others_are_read_ahead_harm_no_other() {
    let user = "going@example.test";
    let mut messages = mail::mixed(200);
    messages.retain(|message| !message.is_empty());
    let mut direct = crate::fill(user, &messages).await;
    let upstream = direct.messages("INBOX").await;
    let bridge = crate::bridge_for(user);
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    let gone = |at: usize| at % 50 == 20;
    direct.ok("SELECT INBOX").await;
    for stored in upstream.iter().enumerate().filter(|(at, _)| gone(*at)).map(|(_, stored)| stored) {
        direct.ok(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", stored.uid)).await;
    }
    direct.ok("EXPUNGE").await;
    for (at, stored) in upstream.iter().enumerate() {
        let number = at + 1;
        if gone(at) {
            session.err(&format!("RETR {number}")).await;
            continue;
        }
        if at % 7 == 3 {
            session.ok(&format!("DELE {number}")).await;
            continue;
        }
        let (given, expected) =
            (session.lines(&format!("RETR {number}")).await, as_pop3_has_it(&stored.octets));
        assert!(given == expected, "RETR {number}: {}", difference(&given, &expected));
        if at % 3 == 0 {
            session.ok(&format!("DELE {number}")).await;
        }
    }
    session.ok("QUIT").await;
    let left: Vec<_> = direct.messages("INBOX").await.into_iter().map(|stored| stored.uid).collect();
    let kept = upstream.iter().enumerate().filter(|(at, _)| !gone(*at) && at % 7 != 3 && at % 3 != 0);
    assert_eq!(left, kept.map(|(_, stored)| stored.uid).collect::<Vec<_>>());
}

/// A message at a time costs upstream one command for many.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_maildrop_takes_few_commands() {
    let messages = mail::mixed(300);
    let shelf = Shelf::start(messages.clone()).await;
    let config = Config::new("ana@example.test", &shelf.remote()).setting("cache.memory = \"0\"");
    let bridge = InProcess::start(config.parsed()).await;
    pop3_gives(&mut Pop3::login(bridge.pop3(), "ana@example.test", PASSWORD).await, &messages).await;
    // The first message, then at most 64 a command.
    assert!(shelf.asked() <= 7, "{} commands", shelf.asked());
    let mut session = Pop3::login(bridge.pop3(), "ana@example.test", PASSWORD).await;
    let before = shelf.asked();
    for number in 1..=messages.len() {
        session.lines(&format!("TOP {number} 0")).await;
    }
    // And those whose headers are longer than a beginning.
    assert!(shelf.asked() - before <= 15, "{} commands", shelf.asked() - before);
    bridge.stopped().await;
}

/// And few round trips, whichever end an app begins at: each message by itself would cost one.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_maildrop_takes_few_round_trips_the_newest_first_too() {
    let messages = mail::mixed(80);
    let shelf = Shelf::start(messages.clone()).await;
    let relay = Relay::start(([127, 0, 0, 1], shelf.remote().port).into()).expect("a relay");
    relay.delay(Duration::from_millis(40));
    let way = Remote { port: relay.address().port(), ..shelf.remote() };
    let config = Config::new("ana@example.test", &way).setting("cache.memory = \"0\"");
    let bridge = InProcess::start(config.parsed()).await;
    let up: Vec<usize> = (1..=messages.len()).collect();
    let down: Vec<usize> = up.iter().rev().copied().collect();
    for command in ["RETR", "TOP"] {
        for numbers in [&up, &down] {
            let mut session = Pop3::login(bridge.pop3(), "ana@example.test", PASSWORD).await;
            let before = relay.counts();
            for number in numbers {
                let whole = as_pop3_has_it(&messages[number - 1]);
                let (line, expected) = match command {
                    "TOP" => (format!("TOP {number} 3"), beginning(&whole, 3)),
                    _ => (format!("RETR {number}"), &whole[..]),
                };
                assert!(session.lines(&line).await == expected, "{line}");
            }
            let bursts = relay.counts().since(before).bursts;
            assert!(bursts <= 10, "{command} from {}: {bursts} round trips", numbers[0]);
            session.ok("QUIT").await;
        }
    }
    bridge.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_bare_lf_and_empty_messages_as_no_real_server_keeps_them() {
    let messages = mail::mixed(300);
    let shelf = Shelf::start(messages.clone()).await;
    let bridge = InProcess::start(Config::new("ana@example.test", &shelf.remote()).parsed()).await;
    imap_gives(&Imap::through(bridge.imap(), "ana@example.test").await.messages("INBOX").await, &messages);
    pop3_gives(&mut Pop3::login(bridge.pop3(), "ana@example.test", PASSWORD).await, &messages).await;
    pop3_gives(&mut Pop3::login(bridge.pop3(), "ana@example.test", PASSWORD).await, &messages).await;
    bridge.stopped().await;
}

/// RFC 1939 §7: a line count larger than the body gives the whole message, 0 the headers and the empty line.
#[tokio::test(flavor = "multi_thread")]
async fn top_of_mixed_messages_is_a_beginning_of_retr() {
    let messages = mail::mixed(100);
    let shelf = Shelf::start(messages.clone()).await;
    let bridge = InProcess::start(Config::new("ana@example.test", &shelf.remote()).parsed()).await;
    let mut session = Pop3::login(bridge.pop3(), "ana@example.test", PASSWORD).await;
    for (number, octets) in (1..).zip(&messages) {
        let whole = as_pop3_has_it(octets);
        for lines in [0, 1, 3, 10_000] {
            let given = session.lines(&format!("TOP {number} {lines}")).await;
            let expected = beginning(&whole, lines);
            assert!(given == expected, "TOP {number} {lines}: {}", difference(&given, expected));
        }
    }
    session.ok("QUIT").await;
    bridge.stopped().await;
}

/// RFC 3501 §6.3.11: APPEND through the bridge stores the same octets as past it.
#[tokio::test(flavor = "multi_thread")]
async fn append_stores_what_the_app_sent() {
    let user = "append@example.test";
    let messages: Vec<Vec<u8>> = mail::mixed(40).into_iter().filter(|message| !message.is_empty()).collect();
    let bridge = crate::bridge_for(user);
    let mut through = Imap::through(bridge.imap(), user).await;
    for message in &messages {
        let done = through.append("INBOX", message).await;
        assert!(done.contains("[APPENDUID "), "{done}");
    }
    let control = "control@example.test";
    let expected = crate::fill(control, &messages).await.messages("INBOX").await;
    let stored = Imap::direct(Dovecot::shared().imaps().port, user).await.messages("INBOX").await;
    let octets = |stored: &[Stored]| stored.iter().map(|stored| stored.octets.clone()).collect::<Vec<_>>();
    imap_gives(&stored, &octets(&expected));
}

/// The same octets over STARTTLS upstream.
#[tokio::test(flavor = "multi_thread")]
async fn starttls_upstream_gives_the_same() {
    let user = "starttls@example.test";
    let mut direct = crate::fill(user, &mail::mixed(20)[..8]).await;
    let upstream: Vec<Vec<u8>> =
        direct.messages("INBOX").await.into_iter().map(|stored| stored.octets).collect();
    let bridge = Program::start(&crate::config_for(user, &Dovecot::shared().imap()), "info");
    imap_gives(&Imap::through(bridge.imap(), user).await.messages("INBOX").await, &upstream);
    pop3_gives(&mut Pop3::login(bridge.pop3(), user, PASSWORD).await, &upstream).await;
}
