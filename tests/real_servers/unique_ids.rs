//! RFC 1939 §7: what a POP3 program has it is not made to fetch again, also when the provider renumbers the mailbox.

use crate::support::bridge::{Home, Program};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::pop3::Pop3;

/// What the program says when the ledger is on the disk.
const WRITTEN: &str = "the ledger is written";

const FOLDER: &str = "Work";

/// Each of its own size, but for those with one letter.
fn message(name: &str, octets: usize) -> Vec<u8> {
    format!("Message-ID: <{name}@test>\r\nSubject: {name}\r\n\r\n{}\r\n", "x".repeat(octets)).into_bytes()
}

async fn append(direct: &mut Imap, message: &[u8]) {
    let done = direct.append(FOLDER, message).await;
    assert!(done.contains(" OK "), "{done}");
}

/// UIDL, in the order of the listing; `retrieve`: these messages are fetched.
async fn unique_ids(bridge: &Program, user: &str, retrieve: &[usize]) -> Vec<String> {
    let mut session = Pop3::login(bridge.pop3(), &format!("{user}/{FOLDER}"), PASSWORD).await;
    let listed = String::from_utf8(session.lines("UIDL").await).expect("ASCII");
    for number in retrieve {
        session.lines(&format!("RETR {number}")).await;
    }
    session.ok("QUIT").await;
    listed.lines().map(|line| line.split(' ').nth(1).expect("an id").to_owned()).collect()
}

/// Gives the folder another UIDVALIDITY, and the messages other UIDs, the last one first.
async fn renumber(direct: &mut Imap) {
    let validity = |responses: Vec<crate::support::imap::Response>| {
        let said = responses
            .iter()
            .find_map(|response| response.text.split("UIDVALIDITY ").nth(1).map(str::to_owned));
        said.expect("it has one").split(']').next().expect("a number").to_owned()
    };
    let before = validity(direct.ok(&format!("EXAMINE {FOLDER}")).await);
    direct.ok(&format!("RENAME {FOLDER} Old")).await;
    direct.ok(&format!("CREATE {FOLDER}")).await;
    direct.ok("SELECT Old").await;
    let found = direct.ok("UID SEARCH ALL").await;
    let uids: Vec<String> =
        found[0].text.split(' ').skip(2).filter(|uid| !uid.is_empty()).map(str::to_owned).collect();
    for uid in uids.iter().rev() {
        direct.ok(&format!("UID COPY {uid} {FOLDER}")).await;
    }
    let after = validity(direct.ok(&format!("EXAMINE {FOLDER}")).await);
    assert_ne!(before, after);
    direct.ok("DELETE Old").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_has_keeps_its_unique_id_when_the_mailbox_is_renumbered() {
    let user = "unique-ids@example.test";
    let home = Home::new(&crate::config_for(user, &Dovecot::shared().imaps()));
    let mut direct = crate::fill(user, &[]).await;
    direct.ok(&format!("CREATE {FOLDER}")).await;
    let twins = message("t", 10);
    for message in [message("one", 20), message("two", 30), message("unseen", 40)] {
        append(&mut direct, &message).await;
    }
    // What is there twice proves nothing, nor does a header that does not say which message it is of.
    append(&mut direct, &twins).await;
    append(&mut direct, &twins).await;
    append(&mut direct, b"Subject: scan\r\n\r\nsome page\r\n").await;
    let mut bridge = Program::start_in(&home, "debug");
    let first = unique_ids(&bridge, user, &[1, 2, 4, 5, 6]).await;
    bridge.until(WRITTEN);
    assert!(bridge.terminate().success());

    renumber(&mut direct).await;
    append(&mut direct, &message("new", 50)).await;
    let bridge = Program::start_in(&home, "debug");
    let second = unique_ids(&bridge, user, &[]).await;
    // The last one is the first now: scan, two twins, unseen, two, one, new.
    assert_eq!(second.len(), 7);
    assert_eq!(second[4..6], [first[1].clone(), first[0].clone()]);
    let others = [&second[..4], &second[6..]].concat();
    assert!(others.iter().all(|id| !first.contains(id)), "{first:?}, then {second:?}");
    assert_eq!(unique_ids(&bridge, user, &[4]).await, second);
    // Nor does it matter how often, nor that the program never asked for them again; the cache is no part of it.
    let cleared = home.command().args(["cache", "clear"]).output().expect("it starts");
    assert!(cleared.status.success());
    renumber(&mut direct).await;
    let third = unique_ids(&bridge, user, &[]).await;
    // new, one, two, unseen, two twins, scan.
    assert_eq!(third[1..4], [first[0].clone(), first[1].clone(), second[3].clone()]);
    let others = [&third[..1], &third[4..]].concat();
    assert!(
        others.iter().all(|id| !first.contains(id) && !second.contains(id)),
        "{second:?}, then {third:?}"
    );
    bridge.kill();
    let bridge = Program::start_in(&home, "debug");
    assert_eq!(unique_ids(&bridge, user, &[]).await, third);
    assert!(!bridge.log().contains("WARN"), "{}", bridge.log());
}
