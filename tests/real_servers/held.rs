//! A session upstream is held for the app's next look.

use crate::support::bridge::Program;
use crate::support::cut::Cut;
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::pop3::Pop3;

/// RFC 1939 §5 STAT and §7 UIDL: how many messages there are, and their unique-ids.
async fn look(bridge: &Program, user: &str) -> (String, Vec<u8>) {
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    let stat = session.ok("STAT").await;
    let ids = session.lines("UIDL").await;
    session.ok("QUIT").await;
    (stat.split(' ').nth(1).unwrap_or_default().to_owned(), ids)
}

async fn append(direct: &mut Imap, subject: &str) {
    let done = direct.append("INBOX", format!("Subject: {subject}\r\n\r\nx\r\n").as_bytes()).await;
    assert!(done.contains(" OK "), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_look_needs_no_new_connection_and_sees_what_came_and_went() {
    let user = "held@example.test";
    let way = Cut::before(&Dovecot::shared().imaps()).await;
    let mut direct = crate::fill(user, &[b"Subject: one\r\n\r\n1\r\n".to_vec()]).await;
    let bridge = Program::start(&crate::config_for(user, &way.remote()), "debug");
    assert_eq!(look(&bridge, user).await.0, "1");
    append(&mut direct, "two").await;
    let (two, ids) = look(&bridge, user).await;
    assert_eq!(two, "2");
    direct.ok("SELECT INBOX").await;
    direct.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("EXPUNGE").await;
    append(&mut direct, "three").await;
    let (two, other_ids) = look(&bridge, user).await;
    assert_eq!(two, "2");
    assert_ne!(ids, other_ids);
    assert_eq!(way.connections(), 1);
    // The provider goes away and comes back.
    way.cut();
    append(&mut direct, "four").await;
    assert_eq!(look(&bridge, user).await.0, "3");
    assert_eq!(way.connections(), 2);
    // It vanishes without a word, as when a router forgets the connection.
    append(&mut direct, "five").await;
    way.silence();
    assert_eq!(look(&bridge, user).await.0, "4");
    assert_eq!(way.connections(), 3);
    // Whoever has not the password has not the session.
    let mut other = Pop3::connect(bridge.pop3()).await;
    other.ok(&format!("USER {user}")).await;
    let refused = other.err("PASS wrong").await;
    assert!(refused.starts_with("-ERR [AUTH] "), "{refused}");
    assert_eq!(way.connections(), 4);
}

/// RFC 1939 §4, RFC 3206 §4: the login is accepted before its connection has said a word, so it is the first look that
/// waits for another one in the place of one that is dead, and hears it where there is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_in_silence_is_found_by_the_first_look() {
    let user = "held-dead@example.test";
    let mut way = Cut::before(&Dovecot::shared().imaps()).await;
    crate::fill(user, &[b"Subject: one\r\n\r\n1\r\n".to_vec()]).await;
    let bridge = Program::start(&crate::config_for(user, &way.remote()), "debug");
    assert_eq!(look(&bridge, user).await.0, "1");
    way.silence();
    let mut session = accepted(&bridge, user).await;
    assert!(session.ok("STAT").await.starts_with("+OK 1 "));
    assert_eq!(way.connections(), 2);
    session.ok("QUIT").await;
    way.silence();
    way.refuse().await;
    let mut session = accepted(&bridge, user).await;
    let told = session.err("STAT").await;
    assert!(told.starts_with(&format!("-ERR [SYS/TEMP] {user}: ")), "{told}");
    assert_eq!(session.wire().hear_or_end().await, None);
}

/// A login over a connection that was held.
async fn accepted(bridge: &Program, user: &str) -> Pop3 {
    let mut session = Pop3::connect(bridge.pop3()).await;
    session.ok(&format!("USER {user}")).await;
    assert_eq!(session.ok(&format!("PASS {PASSWORD}")).await, "+OK logged in");
    session
}

/// RFC 1939 §6: what a session deleted is gone for the next one, which has the connection that deleted it, or another.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_deleted_something_lists_rightly_afterwards() {
    let user = "held-dele@example.test";
    let message = b"Subject: x\r\n\r\nx\r\n".to_vec();
    let mut direct = crate::fill(user, &vec![message; 20]).await;
    // A mark of another program's, which nothing may expunge.
    direct.ok("SELECT INBOX").await;
    direct.ok("UID STORE 20 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("UNSELECT").await;
    let config = crate::config_for(user, &Dovecot::shared().imaps()).account("pop3.delete = \"expunge\"");
    let mut bridge = Program::start(&config, "debug");
    for left in (1..20).rev() {
        let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
        let stat = session.ok("STAT").await;
        assert!(stat.starts_with(&format!("+OK {} ", left + 1)), "{stat}");
        session.ok("DELE 1").await;
        session.ok("QUIT").await;
    }
    assert_eq!(look(&bridge, user).await.0, "1");
    assert!(bridge.terminate().success());
    let there = direct.messages("INBOX").await;
    assert!(there.len() == 1 && there[0].flags.contains("\\Deleted"), "{there:?}");
}

/// RFC 2177, RFC 1939 §4: a maildrop is shown as upstream has told of it, and what came or went is seen as soon as it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_mailbox_that_is_watched_asks_nothing_until_there_is_news() {
    let user = "watched@example.test";
    let way = Cut::before(&Dovecot::shared().imaps()).await;
    let mut direct = crate::fill(user, &[b"Subject: one\r\n\r\n1\r\n".to_vec()]).await;
    let config = crate::config_for(user, &way.remote()).account("pop3.watch = true");
    let mut bridge = Program::start(&config, "debug");
    let (one, ids) = look(&bridge, user).await;
    assert_eq!(one, "1");
    for (came, subject) in [("2", "two"), ("3", "three")] {
        bridge.until("the mailbox is watched");
        let (heard, before) = (way.heard(), look(&bridge, user).await);
        assert_eq!(look(&bridge, user).await, before);
        assert_eq!(way.heard(), heard, "upstream was asked");
        append(&mut direct, subject).await;
        bridge.until("news of the mailbox that is watched");
        let (now, other_ids) = look(&bridge, user).await;
        assert_eq!(now, came);
        assert!(other_ids.starts_with(&ids) && other_ids.len() > before.1.len());
    }
    bridge.until("the mailbox is watched");
    direct.ok("SELECT INBOX").await;
    direct.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    direct.ok("EXPUNGE").await;
    bridge.until("news of the mailbox that is watched");
    assert_eq!(look(&bridge, user).await.0, "2");
    // What the app does with it is done over the same connection, and the mailbox is watched again.
    bridge.until("the mailbox is watched");
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    assert_eq!(session.lines("RETR 2").await, b"Subject: three\r\n\r\nx\r\n");
    session.ok("QUIT").await;
    bridge.until("the mailbox is watched");
    assert_eq!(look(&bridge, user).await.0, "2");
    assert_eq!(way.connections(), 1);
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    session.ok("DELE 1").await;
    session.ok("QUIT").await;
    // Who is back before its folder is open for reading again has another connection.
    assert_eq!(look(&bridge, user).await.0, "1");
    bridge.until("the mailbox is watched");
    let connections = way.connections();
    // It vanishes without a word: what was told is shown, and who needs more gets it by another one.
    append(&mut direct, "four").await;
    bridge.until("news of the mailbox that is watched");
    assert_eq!(look(&bridge, user).await.0, "2");
    bridge.until("the mailbox is watched");
    way.silence();
    let mut session = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    assert!(session.ok("STAT").await.starts_with("+OK 2 "));
    assert_eq!(way.connections(), connections);
    assert_eq!(session.lines("RETR 2").await, b"Subject: four\r\n\r\nx\r\n");
    assert_eq!(way.connections(), connections + 1);
    session.ok("QUIT").await;
    assert_eq!(look(&bridge, user).await.0, "2");
    bridge.until("the mailbox is watched");
    assert!(bridge.terminate().success());
}
