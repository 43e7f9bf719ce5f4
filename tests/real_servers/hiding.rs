//! `delete = "hide"`: what POP3 programs delete stays in the mailbox for everybody else and is never shown to them again,
//! whatever becomes of the bridge.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::bridge::{Home, Program};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::pop3::Pop3;

fn home(user: &str) -> Home {
    let config = crate::config_for(user, &Dovecot::shared().imaps());
    Home::new(&config.account("pop3.delete = \"hide\""))
}

fn message(number: usize) -> Vec<u8> {
    format!("Subject: {number}\r\n\r\nthe body of {number}\r\n").into_bytes()
}

async fn append(direct: &mut Imap, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let done = direct.append("INBOX", &message(number)).await;
        assert!(done.contains(" OK "), "{done}");
    }
}

/// What a POP3 program is shown, by number, looked at to the end.
async fn shown(bridge: &Program, user: &str) -> Vec<usize> {
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    let listed = session.lines("UIDL").await.split(|octet| *octet == b'\n').count() - 1;
    let scanned = session.lines("LIST").await.split(|octet| *octet == b'\n').count() - 1;
    let stat = session.ok("STAT").await;
    assert!(scanned == listed && stat.starts_with(&format!("+OK {listed} ")), "{stat}");
    let mut numbers = Vec::new();
    for at in 1..=listed {
        numbers.push(number_of(&session.lines(&format!("RETR {at}")).await));
    }
    session.ok("QUIT").await;
    numbers
}

fn number_of(octets: &[u8]) -> usize {
    let text = std::str::from_utf8(octets).expect("ASCII");
    let number = text.strip_prefix("Subject: ").and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no message of ours: {text}"))
}

/// What every other program sees: all of it, and which bears the keyword.
async fn whole(direct: &mut Imap) -> Vec<(usize, bool)> {
    let stored = direct.messages("INBOX").await;
    let seen = stored.iter().map(|stored| {
        assert!(!stored.flags.contains("\\Deleted"), "{}", stored.flags);
        (number_of(&stored.octets), stored.flags.contains("$FootbridgeHidden"))
    });
    seen.collect()
}

#[tokio::test]
async fn what_is_hidden_stays_for_others_and_is_never_shown_again() {
    let user = "hide@example.test";
    let home = home(user);
    let mut direct = crate::fill(user, &[]).await;
    append(&mut direct, 0..4).await;
    let bridge = Program::start_in(&home, "debug");
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 2").await;
    session.ok("DELE 3").await;
    session.ok("QUIT").await;
    // As by a power cut, right behind the +OK.
    bridge.kill();
    let all = [(0, false), (1, true), (2, true), (3, false)];
    assert_eq!(whole(&mut direct).await, all);

    let bridge = Program::start_in(&home, "debug");
    assert_eq!(shown(&bridge, user).await, [0, 3]);
    // The cache is not what knows.
    let cleared = home.command().args(["cache", "clear"]).output().expect("it starts");
    assert!(cleared.status.success(), "{}", String::from_utf8_lossy(&cleared.stderr));
    assert_eq!(shown(&bridge, user).await, [0, 3]);
    append(&mut direct, 4..5).await;
    assert_eq!(shown(&bridge, user).await, [0, 3, 4]);
    // A program that removes what is hidden moves no number of what is shown.
    direct.ok("SELECT INBOX").await;
    direct.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("EXPUNGE").await;
    direct.ok("UNSELECT").await;
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 3").await;
    session.ok("QUIT").await;
    assert_eq!(shown(&bridge, user).await, [0, 3]);
    bridge.kill();

    // The state folder is lost: what the provider remembers counts.
    std::fs::remove_dir_all(home.state()).expect("it was there");
    let bridge = Program::start_in(&home, "debug");
    assert_eq!(shown(&bridge, user).await, [0, 3]);
    assert!(bridge.log().contains("2 messages in INBOX bear the keyword"), "{}", bridge.log());
    assert_eq!(whole(&mut direct).await, [(0, false), (2, true), (3, false), (4, true)]);
}

/// RFC 3501 §2.3.1.1: a mailbox that is made anew has other numbers, and the same keywords.
#[tokio::test]
async fn a_mailbox_that_moved_is_hidden_by_its_keywords() {
    let user = "hide-moved@example.test";
    let config = crate::config_for(user, &Dovecot::shared().imaps());
    let config = config.account("pop3.delete = \"hide\"").account("pop3.folder = \"Work\"");
    let mut direct = crate::fill(user, &[]).await;
    direct.ok("CREATE Work").await;
    for number in 0..3 {
        direct.append("Work", &message(number)).await;
    }
    let bridge = Program::start(&config, "debug");
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 1").await;
    session.ok("QUIT").await;
    direct.ok("RENAME Work Old").await;
    direct.ok("CREATE Work").await;
    direct.ok("SELECT Old").await;
    direct.ok("UID COPY 2:3 Work").await;
    direct.ok("UID COPY 1 Work").await;
    direct.ok("UNSELECT").await;
    assert_eq!(shown(&bridge, user).await, [1, 2]);
    assert!(bridge.log().contains("renumbered"), "{}", bridge.log());
}

/// Whatever was answered +OK is hidden, what was not deleted is shown, and nothing is ever removed, wherever the bridge
/// is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_forgets_nothing_that_was_answered() {
    let user = "hide-killed@example.test";
    let home = home(user);
    let mut direct = crate::fill(user, &[]).await;
    append(&mut direct, 0..40).await;
    let (mut answered, mut asked) = (BTreeSet::<usize>::new(), BTreeSet::<usize>::new());
    for round in 0..10 {
        let bridge = Program::start_in(&home, "debug");
        let now = shown(&bridge, user).await;
        let out_of_sight = |number: &usize| !now.contains(number);
        assert!(answered.iter().all(out_of_sight), "round {round}: {answered:?} and {now:?}");
        assert!((0..40).filter(out_of_sight).all(|number| asked.contains(&number)), "round {round}: {now:?}");
        let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
        let deleted: Vec<usize> = now.iter().copied().take(3).collect();
        for at in 1..=deleted.len() {
            session.ok(&format!("DELE {at}")).await;
        }
        asked.extend(&deleted);
        session.wire().say("QUIT").await;
        // Anywhere on the way, and behind its end.
        let instant = Duration::from_micros(700 * round);
        let heard = tokio::time::timeout(instant, session.wire().hear_or_end()).await;
        bridge.kill();
        let answer = match heard {
            Ok(answer) => answer,
            Err(_) => session.wire().hear_or_end().await,
        };
        if answer.is_some_and(|answer| answer.starts_with("+OK")) {
            answered.extend(deleted);
        }
        let everything: Vec<usize> = whole(&mut direct).await.into_iter().map(|(number, _)| number).collect();
        assert_eq!(everything, (0..40).collect::<Vec<_>>(), "round {round}");
    }
    assert!(!asked.is_empty());
    let bridge = Program::start_in(&home, "debug");
    let now = shown(&bridge, user).await;
    assert!(answered.iter().all(|number| !now.contains(number)));
    let names =
        std::fs::read_dir(home.state()).expect("there").map(|entry| entry.expect("there").file_name());
    let litter = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".damaged");
    assert!(!names.into_iter().any(|name| litter(&name)), "a file did not outlive a kill");
}
