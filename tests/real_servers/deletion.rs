//! What DELE and QUIT come to at the provider, for every value of `delete` (RFC 1939 §6), looked at past the bridge.

use crate::support::bridge::Program;
use crate::support::certs::Kind;
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::mail;
use crate::support::pop3::Pop3;

/// What a mailbox holds after the second of three messages was deleted.
#[derive(Debug, PartialEq, Eq)]
struct After {
    inbox: Vec<(String, bool)>,
    trash: Vec<String>,
    archive: Vec<String>,
}

async fn after_deleting_the_second(dovecot: &Dovecot, user: &str, delete: &str) -> (String, After) {
    let mut direct = Imap::direct(dovecot.imaps().port, user).await;
    for name in ["first", "second", "third"] {
        direct.append("INBOX", format!("Subject: {name}\r\n\r\n{name}\r\n").as_bytes()).await;
    }
    // Another program's mark, which must survive (RFC 4315 §2.1).
    direct.ok("SELECT INBOX").await;
    direct.ok("UID STORE 3 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("UNSELECT").await;
    let config = crate::config_for(user, &dovecot.imaps()).account(&format!("pop3.delete = \"{delete}\""));
    let bridge = Program::start(&config, "debug");
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 2").await;
    session.wire().say("QUIT").await;
    let answer = session.wire().hear().await;
    let after = After {
        inbox: direct
            .messages("INBOX")
            .await
            .iter()
            .map(|stored| (subject(&stored.octets), stored.flags.contains("\\Deleted")))
            .collect(),
        trash: subjects(&mut direct, "Trash").await,
        archive: subjects(&mut direct, "Archive").await,
    };
    (answer, after)
}

async fn subjects(direct: &mut Imap, mailbox: &str) -> Vec<String> {
    direct.messages(mailbox).await.iter().map(|stored| subject(&stored.octets)).collect()
}

fn subject(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.lines().next().unwrap_or_default().trim_start_matches("Subject: ").to_owned()
}

/// The inbox holds the first and the third, whose foreign mark is untouched, and `second` where it is still there.
fn expected(second: Option<bool>, trash: &[&str], archive: &[&str]) -> After {
    let mut inbox = vec![("first".to_owned(), false), ("third".to_owned(), true)];
    if let Some(marked) = second {
        inbox.insert(1, ("second".to_owned(), marked));
    }
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    After { inbox, trash: owned(trash), archive: owned(archive) }
}

#[tokio::test]
async fn each_value_of_delete_does_what_it_says_and_nothing_else() {
    let cases = [
        ("auto", expected(None, &["second"], &[])),
        ("trash", expected(None, &["second"], &[])),
        ("archive", expected(None, &[], &["second"])),
        ("expunge", expected(None, &[], &[])),
        ("flag", expected(Some(true), &[], &[])),
        ("hide", expected(Some(false), &[], &[])),
        ("keep", expected(Some(false), &[], &[])),
    ];
    for (delete, expected) in cases {
        let user = format!("delete-{delete}@example.test");
        let (answer, after) = after_deleting_the_second(Dovecot::shared(), &user, delete).await;
        assert!(answer.starts_with("+OK"), "{delete}: {answer}");
        assert_eq!(after, expected, "{delete}");
    }
}

/// A Dovecot that says no more than this of what it can do.
async fn dovecot_that_says(capabilities: &str) -> Dovecot {
    let dovecot = Dovecot::start(Kind::Good, Some(capabilities));
    let mut direct = Imap::direct(dovecot.imaps().port, "asks@example.test").await;
    let said = direct.ok("CAPABILITY").await.remove(0).text;
    assert_eq!(said.contains("UIDPLUS"), capabilities.contains("UIDPLUS"), "{said}");
    assert!(!said.contains("MOVE"), "{said}");
    dovecot
}

/// Without MOVE: UID COPY, UID STORE, UID EXPUNGE (RFC 4315 §2.1).
#[tokio::test]
async fn a_server_without_move_loses_nothing_and_keeps_foreign_marks() {
    let dovecot = dovecot_that_says("IMAP4rev1 UIDPLUS SPECIAL-USE LITERAL+ NAMESPACE UNSELECT").await;
    for (delete, expected) in
        [("trash", expected(None, &["second"], &[])), ("expunge", expected(None, &[], &[]))]
    {
        let user = format!("no-move-{delete}@example.test");
        let (answer, after) = after_deleting_the_second(&dovecot, &user, delete).await;
        assert!(answer.starts_with("+OK"), "{delete}: {answer}");
        assert_eq!(after, expected, "{delete}");
    }
}

/// With neither MOVE nor UIDPLUS only a bare EXPUNGE is left, which foreign marks have to survive.
#[tokio::test]
async fn a_server_without_move_and_uidplus_keeps_foreign_marks() {
    let dovecot = dovecot_that_says("IMAP4rev1 SPECIAL-USE LITERAL+ NAMESPACE UNSELECT").await;
    for (delete, expected) in
        [("trash", expected(None, &["second"], &[])), ("expunge", expected(None, &[], &[]))]
    {
        let user = format!("plain-{delete}@example.test");
        let (answer, after) = after_deleting_the_second(&dovecot, &user, delete).await;
        assert!(answer.starts_with("+OK"), "{delete}: {answer}");
        assert_eq!(after, expected, "{delete}");
    }
}

/// RFC 2683 §3.2.1.5: what does not fit into a line goes in several commands; what lies between stays, marked or not.
#[tokio::test]
async fn a_long_set_with_gaps_removes_what_it_names_and_nothing_between() {
    for (delete, trash) in [("trash", 256), ("expunge", 0), ("hide", 0)] {
        let user = format!("long-{delete}@example.test");
        let mut direct = crate::fill(&user, &[b"Subject: one of many\r\n\r\n".to_vec()]).await;
        direct.ok("SELECT INBOX").await;
        for _ in 0..9 {
            direct.ok("COPY 1:* INBOX").await;
        }
        direct.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await;
        direct.ok("UNSELECT").await;
        let config = crate::config_for(&user, &Dovecot::shared().imaps());
        let bridge = Program::start(&config.account(&format!("pop3.delete = \"{delete}\"")), "debug");
        let mut session = Pop3::login(bridge.pop3(), &user, PASSWORD).await;
        for number in (1..512).step_by(2) {
            session.ok(&format!("DELE {number}")).await;
        }
        session.ok("QUIT").await;
        let mut inbox = direct.messages("INBOX").await;
        inbox.retain(|stored| !stored.flags.contains("$FootbridgeHidden"));
        let even: Vec<u32> = (2..=512).step_by(2).collect();
        assert_eq!(inbox.iter().map(|stored| stored.uid).collect::<Vec<_>>(), even, "{delete}");
        assert!(
            inbox.iter().all(|stored| stored.flags.contains("\\Deleted") == (stored.uid == 2)),
            "{delete}"
        );
        assert_eq!(direct.messages("Trash").await.len(), trash, "{delete}");
    }
}

/// RFC 1939 §6: a connection that ends without QUIT removes nothing, and RSET takes marks back.
#[tokio::test]
async fn no_quit_no_removal_and_rset_unmarks() {
    let user = "no-quit@example.test";
    let messages: Vec<Vec<u8>> = (0..3).map(|n| format!("Subject: {n}\r\n\r\n").into_bytes()).collect();
    let mut direct = crate::fill(user, &messages).await;
    let bridge = crate::bridge_for(user);
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 1").await;
    session.err("RETR 1").await;
    // QUIT without its line end, then gone (RFC 1939 §3: a command ends with CRLF).
    session.wire().send(b"QUIT").await.expect("it is taken");
    session.wire().finish().await.expect("it is taken");
    session.wire().hear_to_the_end().await;
    assert_eq!(direct.messages("INBOX").await.len(), 3);
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 1").await;
    session.ok("RSET").await;
    session.ok("QUIT").await;
    assert_eq!(direct.messages("INBOX").await.len(), 3);
    assert!(subjects(&mut direct, "Trash").await.is_empty());
}

/// A message that another program has expunged meanwhile counts as removed, and the numbers of the others stay.
#[tokio::test]
async fn a_foreign_expunge_shifts_nothing() {
    let user = "foreign-expunge@example.test";
    let messages: Vec<Vec<u8>> =
        (0..4).map(|n| format!("Subject: {n}\r\n\r\n{n}\r\n").into_bytes()).collect();
    let mut direct = crate::fill(user, &messages).await;
    let bridge = crate::bridge_for(user);
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    direct.ok("SELECT INBOX").await;
    direct.ok("UID STORE 1:2 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("EXPUNGE").await;
    session.err("RETR 1").await;
    let third = session.lines("RETR 3").await;
    assert_eq!(third, messages[2]);
    session.ok("DELE 2").await;
    session.ok("DELE 3").await;
    session.ok("QUIT").await;
    direct.ok("UNSELECT").await;
    assert_eq!(subjects(&mut direct, "INBOX").await, ["3"]);
    assert_eq!(subjects(&mut direct, "Trash").await, ["2"]);
}

/// RFC 1939 §6: an app that goes away in the middle of RETR has not said QUIT.
#[tokio::test]
async fn an_app_gone_in_the_middle_of_retr_removes_nothing() {
    let user = "gone-in-retr@example.test";
    let messages = [mail::large(20 * 1000 * 1000), mail::mixed(1).remove(0)];
    let mut direct = crate::fill(user, &messages).await;
    let bridge = crate::bridge_for(user);
    for reset in [false, true] {
        let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
        session.ok("DELE 2").await;
        session.wire().say("RETR 1\r\nQUIT").await;
        session.wire().hear_exactly(100_000).await;
        if reset {
            session.wire().reset_on_drop();
        }
        drop(session);
        // What was marked, and what was retrieved in part, is whole in the next session.
        let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
        assert!(session.lines("RETR 1").await == messages[0]);
        assert_eq!(session.lines("RETR 2").await, messages[1]);
        session.ok("QUIT").await;
    }
    assert_eq!(direct.messages("INBOX").await.len(), 2);
}

/// RFC 3501 §2.3.1.1: a mailbox made anew gives its UIDs to other messages, so nothing is removed.
#[tokio::test]
async fn a_renumbered_mailbox_loses_nothing() {
    let user = "renumbered@example.test";
    let mut direct = crate::fill(user, &[]).await;
    direct.ok("CREATE Work").await;
    direct.append("Work", b"Subject: old\r\n\r\n").await;
    let config = crate::config_for(user, &Dovecot::shared().imaps()).account("pop3.folder = \"Work\"");
    let bridge = Program::start(&config, "debug");
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 1").await;
    direct.ok("DELETE Work").await;
    direct.ok("CREATE Work").await;
    direct.append("Work", b"Subject: new\r\n\r\n").await;
    session.err("QUIT").await;
    assert_eq!(subjects(&mut direct, "Work").await, ["new"]);
    assert!(subjects(&mut direct, "Trash").await.is_empty());
}
