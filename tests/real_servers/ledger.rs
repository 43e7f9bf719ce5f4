//! What the bridge remembers of a mailbox never shows in what it lists.

use std::process::Command;

use crate::relay::Relay;
use crate::support::bridge::{Config, Home, Program, Remote};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::mail;
use crate::support::pop3::{Pop3, as_pop3_has_it};

/// What the program says when the ledger is on the disk.
const WRITTEN: &str = "the ledger is written";

fn home(user: &str) -> Home {
    Home::new(&crate::config_for(user, &Dovecot::shared().imaps()))
}

/// LIST and UIDL of a session that ends with QUIT, line by line.
async fn listing(bridge: &Program, user: &str) -> [Vec<String>; 2] {
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    let mut of = async |command| {
        let text = String::from_utf8(session.lines(command).await).expect("ASCII");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let listings = [of("LIST").await, of("UIDL").await];
    let stat = session.ok("STAT").await;
    assert!(stat.starts_with(&format!("+OK {} ", listings[0].len())), "{stat}");
    session.ok("QUIT").await;
    listings
}

/// The same as a client would have it that knows nothing: UIDVALIDITY, UIDs and sizes.
async fn fresh(direct: &mut Imap) -> [Vec<String>; 2] {
    let opened = direct.ok("EXAMINE INBOX").await;
    let validity = opened.iter().find_map(|response| number_behind(&response.text, "UIDVALIDITY "));
    let validity = validity.expect("it has one");
    let messages = direct.ok("UID FETCH 1:* (UID RFC822.SIZE)").await;
    let messages = messages.iter().filter_map(|response| {
        Some((number_behind(&response.text, "UID ")?, number_behind(&response.text, "RFC822.SIZE ")?))
    });
    let numbered = (1..).zip(messages).collect::<Vec<_>>();
    [
        numbered.iter().map(|(number, (_, octets))| format!("{number} {octets}")).collect(),
        numbered.iter().map(|(number, (uid, _))| format!("{number} {validity}.{uid}")).collect(),
    ]
}

fn number_behind(text: &str, name: &str) -> Option<u64> {
    let digits = text.split(name).nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Numbers that look random, and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// RFC 1939 §4, §5, §7: mail that comes and goes between the logins by other clients' hands and by the bridge's own,
/// the bridge stopped or killed in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_always_what_a_fresh_one_would_be() {
    let user = "ledger@example.test";
    let home = home(user);
    let mut direct = crate::fill(user, &[]).await;
    let mut bridge = Program::start_in(&home, "debug");
    let mut dice = Dice(7);
    for round in 0..60 {
        for _ in 0..dice.below(4) {
            let body = "x".repeat(usize::try_from(dice.below(2000)).expect("small"));
            direct.append("INBOX", format!("Subject: {round}\r\n\r\n{body}\r\n").as_bytes()).await;
        }
        direct.ok("SELECT INBOX").await;
        let there = direct.ok("UID SEARCH ALL").await;
        let uids: Vec<&str> = there[0].text.split(' ').skip(2).filter(|uid| !uid.is_empty()).collect();
        let goes = 1 + dice.below(5);
        for uid in uids.into_iter().filter(|_| dice.below(goes) == 1) {
            direct.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await;
        }
        direct.ok("EXPUNGE").await;
        match dice.below(6) {
            0 => {
                bridge.kill();
                bridge = Program::start_in(&home, "debug");
            }
            1 => {
                assert!(bridge.terminate().success());
                bridge = Program::start_in(&home, "debug");
            }
            2 => {
                let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
                if !session.ok("STAT").await.starts_with("+OK 0 ") {
                    session.lines("RETR 1").await;
                    session.ok("DELE 1").await;
                }
                session.ok("QUIT").await;
            }
            _ => {}
        }
        let expected = fresh(&mut direct).await;
        assert_eq!(listing(&bridge, user).await, expected, "round {round}");
    }
    // It was remembered, and never thought damaged.
    assert!(home.state().join("ledger.redb").is_file());
    assert!(!bridge.log().contains("WARN"), "{}", bridge.log());
}

/// RFC 1939 §11, RFC 6856 §2.1: once a body was seen LIST counts what RETR gives, also in later runs.
#[tokio::test(flavor = "multi_thread")]
async fn exact_sizes_outlive_the_program() {
    let user = "ledger-sizes@example.test";
    let home =
        Home::new(&crate::config_for(user, &Dovecot::shared().imaps()).setting("cache.memory = \"0\""));
    let messages: Vec<Vec<u8>> = mail::mixed(16).into_iter().filter(|message| !message.is_empty()).collect();
    let mut direct = crate::fill(user, &messages).await;
    let upstream = direct.messages("INBOX").await;
    let expected: Vec<String> = (1..)
        .zip(&upstream)
        .map(|(number, stored)| format!("{number} {}", as_pop3_has_it(&stored.octets).len()))
        .collect();
    let mut bridge = Program::start_in(&home, "debug");
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    let told = session.lines("LIST").await;
    for number in 1..=upstream.len() {
        session.lines(&format!("RETR {number}")).await;
    }
    assert_eq!(session.lines("LIST").await, told, "frozen for the session");
    session.ok("QUIT").await;
    assert_eq!(listing(&bridge, user).await[0], expected);
    assert!(bridge.terminate().success());
    let bridge = Program::start_in(&home, "debug");
    assert_eq!(listing(&bridge, user).await[0], expected);
}

/// Again and again the same few octets, TLS and login among them: twenty kilobytes for a thousand messages.
#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_check_of_a_thousand_messages_takes_few_octets() {
    let user = "ledger-thousand@example.test";
    let messages: Vec<Vec<u8>> =
        (0..1000).map(|number| format!("Subject: {number}\r\n\r\nsome text\r\n").into_bytes()).collect();
    let mut direct = crate::fill(user, &messages).await;
    let imaps = Dovecot::shared().imaps();
    let relay = Relay::start(([127, 0, 0, 1], imaps.port).into()).expect("a relay");
    let remote = Remote { port: relay.address().port(), ..imaps };
    let home = Home::new(&Config::new(user, &remote));
    let mut bridge = Program::start_in(&home, "debug");
    let expected = fresh(&mut direct).await;
    assert_eq!(listing(&bridge, user).await, expected);
    bridge.until(WRITTEN);
    let check = async |bridge: &Program| {
        let before = relay.counts();
        let listed = listing(bridge, user).await;
        let counts = relay.counts().since(before);
        println!("{} octets up, {} down", counts.up, counts.down);
        (listed, counts.up + counts.down)
    };
    let (listed, octets) = check(&bridge).await;
    assert_eq!(listed, expected);
    assert!(octets <= 20_000, "{octets} octets");
    assert!(bridge.terminate().success());
    // Nor after a restart, and where some vanished.
    bridge = Program::start_in(&home, "debug");
    let (listed, octets) = check(&bridge).await;
    assert_eq!(listed, expected);
    assert!(octets <= 20_000, "{octets} octets after a restart");
    direct.ok("SELECT INBOX").await;
    direct.ok("STORE 3,500:600,1000 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("EXPUNGE").await;
    direct.append("INBOX", &messages[0]).await;
    let expected = fresh(&mut direct).await;
    let (listed, octets) = check(&bridge).await;
    assert_eq!(listed, expected);
    assert!(octets <= 20_000, "{octets} octets where some vanished");
}

/// A file that somebody spoilt: begun anew, told once, and nothing wrong is listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_ledger_is_begun_anew_with_one_warning() {
    let user = "ledger-damaged@example.test";
    let home = home(user);
    let mut direct = crate::fill(user, &mail::mixed(5)).await;
    let expected = fresh(&mut direct).await;
    let run = async || {
        let mut bridge = Program::start_in(&home, "debug");
        assert_eq!(listing(&bridge, user).await, expected);
        assert_eq!(listing(&bridge, user).await, expected);
        assert!(bridge.terminate().success());
        bridge.log().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(run().await.is_empty());
    let file = home.state().join("ledger.redb");
    let mut octets = std::fs::read(&file).expect("it is there");
    let half = octets.len() / 2;
    octets[100..half].fill(0x5a);
    std::fs::write(&file, octets).expect("written");
    let told = run().await;
    assert!(told.len() == 1 && told[0].contains("damaged") && told[0].contains("ledger.redb"), "{told:?}");
    assert!(run().await.is_empty(), "it is a good one again");
}

/// A disk that takes no more: mail flows, and one warning says why logins take longer, another why nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_written_mail_flows_and_one_warning_each_tells() {
    let user = "ledger-full@example.test";
    let home = home(user);
    let messages = mail::mixed(5);
    let mut direct = crate::fill(user, &messages).await;
    let expected = fresh(&mut direct).await;
    // No file may grow, and to try is an error and not the end.
    let mut full = Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]);
    let program = home.command();
    full.arg(program.get_program()).args(program.get_args());
    let mut bridge = Program::start_by(&home, full, "debug");
    for _ in 0..3 {
        assert_eq!(listing(&bridge, user).await, expected);
        let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
        assert_eq!(session.lines("RETR 1").await, as_pop3_has_it(&messages[0]));
        session.ok("QUIT").await;
    }
    assert!(bridge.terminate().success());
    let log = bridge.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    let about = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert!(
        told.len() == 2
            && about("ledger.redb: this file cannot be used") == 1
            && about("not kept on the disk") == 1,
        "{told:?}"
    );
}
