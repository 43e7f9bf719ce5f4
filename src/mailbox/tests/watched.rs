//! A mailbox that is watched shows what upstream told, and asks where that is not certain.

use super::held::{Behind, HOLD};
use super::*;
use crate::mail::Names;
use crate::store::{Hidden, Runs};

/// UIDs 5 and 6.
const FIRST: &str = r#"
    K: IMAP4rev1 IDLE
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 1:* (UID RFC822.SIZE)
    S: * 2 EXISTS
    S: * OK [UIDVALIDITY 7] x
    S: * OK [UIDNEXT 7] x
    S: $a OK x
    S: * 1 FETCH (UID 5 RFC822.SIZE 50)
    S: * 2 FETCH (UID 6 RFC822.SIZE 60)
    S: $b OK x"#;

/// There is a third one, 7.
const A_THIRD: &str = r#"
    K: IMAP4rev1 IDLE
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 6:* (UID RFC822.SIZE)
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 7] x
    S: * OK [UIDNEXT 8] x
    S: $a OK x
    S: * 2 FETCH (UID 6 RFC822.SIZE 60)
    S: * 3 FETCH (UID 7 RFC822.SIZE 70)
    S: $b OK x"#;

const IDLE: &str = r#"
    C: $n NOOP
    C: $i IDLE
    S: $n OK x
    S: + idling"#;

const DONE: &str = r#"
    C: DONE
    S: $i OK x"#;

const NOOP: &str = r#"
    C: $n NOOP
    S: $n OK x"#;

const LOGOUT: &str = r#"
    C: $a LOGOUT
    S: * BYE x
    S: $a OK x
    EOF"#;

/// How often a session says that it is there.
const RENEWED: Duration = Duration::from_secs(270);

/// How long it is held.
const WATCHED: Duration = Duration::from_secs(65 * 60);

/// A provider that plays these pieces a session, and a ledger, which goes with the guard.
fn watched(scripts: &[&[&str]]) -> (Behind, tempfile::TempDir) {
    let mut behind = Behind::new(scripts).with_a_stored_secret();
    behind.provider.account.pop3.watch = true;
    let folder = tempfile::tempdir().unwrap();
    behind.provider.use_folder(&folder);
    (behind, folder)
}

/// How many messages each look shows, so long after the one before.
async fn looks<const N: usize>(behind: &Behind, after: [u64; N]) -> [usize; N] {
    let mut seen = [0; N];
    for (seen, after) in seen.iter_mut().zip(after) {
        tokio::time::sleep(Duration::from_secs(after)).await;
        *seen = behind.check("x").await;
        behind.provider.resources.ledger.written().await;
    }
    // What is due when the last one has left.
    tokio::time::sleep(Duration::from_secs(1)).await;
    seen
}

/// RFC 2177 §3.
#[tokio::test(start_paused = true)]
async fn where_upstream_tells_of_nothing_a_look_asks_nothing() {
    for untold in ["", "S: * OK Still here\nS: * 2 EXISTS\nS: * 0 RECENT\nS: * 1 FETCH (FLAGS (\\Seen))"] {
        let (behind, _folder) = watched(&[&[FIRST, IDLE, untold, DONE, LOGOUT]]);
        assert_eq!(looks(&behind, [0, 1, 60, 90]).await, [2, 2, 2, 2], "{untold}");
        behind.kept().await;
    }
}

/// RFC 3501 §7.3.1, §7.4.1: whether it is told in IDLE, by the NOOP before it, or behind the end of it.
#[tokio::test(start_paused = true)]
async fn what_upstream_tells_of_is_asked_for_by_the_next_look() {
    let told_by_noop = IDLE.replace("S: $n OK", "S: * 3 EXISTS\nS: $n OK");
    let told_behind = "C: DONE\nS: * 3 EXISTS\nS: $i OK x";
    let later = "W: 100\nS: * 3 EXISTS";
    let ways: &[&[&str]] = &[
        &[FIRST, IDLE, "S: * 3 EXISTS", DONE, A_THIRD, IDLE, DONE, LOGOUT],
        &[FIRST, IDLE, later, DONE, A_THIRD, IDLE, DONE, LOGOUT],
        &[FIRST, &told_by_noop, DONE, A_THIRD, IDLE, DONE, LOGOUT],
        // Behind the DONE of a renewal.
        &[FIRST, IDLE, told_behind, A_THIRD, IDLE, DONE, LOGOUT],
    ];
    for (way, script) in ways.iter().enumerate() {
        let (behind, _folder) = watched(&[script]);
        if way == 3 {
            assert_eq!(looks(&behind, [0]).await, [2]);
            tokio::time::sleep(RENEWED).await;
            assert_eq!(looks(&behind, [0, 1]).await, [3, 3]);
        } else {
            assert_eq!(looks(&behind, [0, 120, 1]).await, [2, 3, 3], "{way}");
        }
        behind.kept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_went_is_gone_for_the_next_look() {
    let one_less = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 6:* (UID RFC822.SIZE)
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] x
        S: * OK [UIDNEXT 7] x
        S: $a OK x
        S: * 1 FETCH (UID 6 RFC822.SIZE 60)
        S: $b OK x
        C: $c UID SEARCH UID 5:6
        S: * SEARCH 6
        S: $c OK x"#;
    let (behind, _folder) = watched(&[&[FIRST, IDLE, "S: * 1 EXPUNGE", DONE, one_less, IDLE, DONE, LOGOUT]]);
    assert_eq!(looks(&behind, [0, 1, 1]).await, [2, 1, 1]);
    behind.kept().await;
}

/// RFC 2177 §3: below 29 minutes, and often enough that a connection which vanished is found.
#[tokio::test(start_paused = true)]
async fn a_watch_is_renewed_and_ends_when_nobody_comes() {
    let renewals: Vec<&str> = [DONE, IDLE].repeat(14);
    let script = [&[FIRST, IDLE][..], &renewals, &[DONE, LOGOUT]].concat();
    let (behind, _folder) = watched(&[&script, &[A_THIRD, IDLE, DONE, LOGOUT]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    assert_eq!(WATCHED.as_secs() / RENEWED.as_secs(), 14);
    tokio::time::sleep(WATCHED - Duration::from_secs(2)).await;
    assert!(behind.provider.resources.held.holds_any());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!behind.provider.resources.held.holds_any());
    assert_eq!(looks(&behind, [0]).await, [3]);
    behind.kept().await;
}

/// It is kept, and asked.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_idle_is_asked_by_each_look() {
    let refused = "C: $n NOOP\nC: $i IDLE\nS: $n OK x\nS: $i NO not now";
    let ended = format!("{IDLE}\nW: 30\nS: $i OK that was long enough");
    let without = FIRST.replace(" IDLE", "");
    let ways: &[&[&str]] = &[
        &[FIRST, refused, NOOP, A_THIRD, NOOP, A_THIRD_AGAIN, LOGOUT],
        &[FIRST, &ended, NOOP, A_THIRD, NOOP, A_THIRD_AGAIN, LOGOUT],
        &[&without, NOOP, NOOP, A_THIRD, NOOP, NOOP, A_THIRD_AGAIN, NOOP, LOGOUT],
    ];
    for script in ways {
        let (behind, _folder) = watched(&[script]);
        assert_eq!(looks(&behind, [0, 280, 280]).await, [2, 3, 3]);
        behind.kept().await;
    }
    let (mut behind, _folder) = watched(&[&[FIRST, NOOP, A_THIRD, NOOP, A_THIRD_AGAIN, LOGOUT]]);
    behind.provider.account.quirks = [Quirk::NoIdle].into_iter().collect::<Quirks>();
    assert_eq!(looks(&behind, [0, 280, 280]).await, [2, 3, 3]);
    behind.kept().await;
}

/// The third one is known.
const A_THIRD_AGAIN: &str = r#"
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 7:* (UID RFC822.SIZE)
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 7] x
    S: * OK [UIDNEXT 8] x
    S: $a OK x
    S: * 3 FETCH (UID 7 RFC822.SIZE 70)
    S: $b OK x"#;

/// RFC 3501 §6.1.2: what NOOP tells and IDLE did not shows that the next IDLE would not either.
#[tokio::test(start_paused = true)]
async fn an_idle_that_does_not_tell_is_not_believed_again() {
    let told_by_noop = IDLE.replace("S: $n OK", "S: * 3 EXISTS\nS: $n OK");
    let (behind, _folder) =
        watched(&[&[FIRST, IDLE, DONE, &told_by_noop, DONE, A_THIRD, A_THIRD_AGAIN, NOOP, LOGOUT]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    tokio::time::sleep(RENEWED).await;
    assert_eq!(looks(&behind, [0, 0]).await, [3, 3]);
    tokio::time::sleep(RENEWED).await;
    behind.kept().await;
}

/// As when a router has forgotten the connection.
#[tokio::test(start_paused = true)]
async fn a_connection_that_died_is_found_when_it_is_renewed() {
    let (behind, _folder) = watched(&[&[FIRST, IDLE, "C: DONE"], &[A_THIRD, IDLE, DONE, LOGOUT]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    tokio::time::sleep(RENEWED + Duration::from_secs(3)).await;
    assert!(behind.provider.resources.held.holds_any());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!behind.provider.resources.held.holds_any());
    assert_eq!(looks(&behind, [0]).await, [3]);
    behind.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_is_replaced_by_whoever_needs_it() {
    let body = r#"
        C: $a EXAMINE "INBOX"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        C: $b UID FETCH 6 (UID BODY.PEEK[])
        S: * 2 FETCH (UID 6 BODY[] {3}
        R: abc)\r\n
        S: $b OK x"#;
    let (behind, _folder) = watched(&[&[FIRST, IDLE, "C: DONE"], &[body, NOOP, LOGOUT]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    let (mut mailbox, messages) = behind.log_in("x").await;
    assert_eq!(messages, 2, "upstream has not told otherwise");
    let asked = tokio::time::Instant::now();
    assert_eq!(whole(&mut mailbox.body(uid(6)).await.unwrap()).await.0, b"abc");
    assert_eq!(asked.elapsed().as_secs(), 5);
    mailbox.leave().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    behind.kept().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_else_is_asked_ends_the_idle_first() {
    let body = r#"
        C: $b UID FETCH 6 (UID BODY.PEEK[])
        S: * 2 FETCH (UID 6 BODY[] {3}
        R: abc)\r\n
        S: $b OK x"#;
    let (behind, _folder) = watched(&[&[FIRST, IDLE, DONE, body, IDLE, DONE, LOGOUT]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    let (mut mailbox, _) = behind.log_in("x").await;
    assert_eq!(whole(&mut mailbox.body(uid(6)).await.unwrap()).await.0, b"abc");
    mailbox.leave().await;
    assert_eq!(looks(&behind, [1, 1]).await, [2, 2]);
    behind.kept().await;
}

/// What the ledger knows by now another session has told it.
#[tokio::test(start_paused = true)]
async fn a_login_that_knows_more_than_the_watch_asks() {
    let (behind, _folder) =
        watched(&[&[FIRST, IDLE, DONE, A_THIRD_AGAIN, IDLE, DONE, LOGOUT], &[A_THIRD, LOGOUT]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    let (mailbox, listing) = behind.provider.open().await.unwrap();
    assert_eq!(listing.messages.len(), 3);
    mailbox.close().await;
    behind.provider.resources.ledger.written().await;
    assert_eq!(looks(&behind, [1, 1]).await, [3, 3]);
    behind.kept().await;
}

/// RFC 3501 §2.3.1.1, RFC 4315 §3: what numbers mean nothing later nothing is known of; a folder's numbers say nothing of
/// another's.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_cannot_be_known_again_is_asked_for_each_time() {
    let whole = FIRST.trim_start().split_once('\n').unwrap().1;
    let unsure = |piece: &str| piece.replace("S: $a OK x", "S: * NO [UIDNOTSTICKY] x\nS: $a OK x");
    let script =
        [unsure(FIRST), IDLE.to_owned(), DONE.to_owned(), unsure(whole), IDLE.to_owned(), DONE.to_owned()];
    let script: Vec<&str> = script.iter().map(String::as_str).chain([LOGOUT]).collect();
    let (behind, _folder) = watched(&[&script]);
    assert_eq!(looks(&behind, [0, 1]).await, [2, 2]);
    behind.kept().await;
    let archive = whole.replace("INBOX", "Archive");
    let (mut behind, _folder) = watched(&[&[FIRST, IDLE, DONE, &archive, IDLE, DONE, LOGOUT]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    behind.provider.account.pop3.folder = "Archive".to_owned();
    assert_eq!(looks(&behind, [1, 1]).await, [2, 2]);
    behind.kept().await;
}

/// Else whoever changed it at the provider would never lock the old one out.
#[tokio::test(start_paused = true)]
async fn no_watch_outlives_the_time_for_which_a_password_of_the_apps_is_believed() {
    let (mut behind, _folder) =
        watched(&[&[FIRST, IDLE, DONE, IDLE, DONE, LOGOUT], &[A_THIRD, IDLE, DONE, LOGOUT]]);
    behind.provider.account.secret = SecretSource::App;
    assert_eq!(looks(&behind, [0, HOLD.as_secs() - 10]).await, [2, 2]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!behind.provider.resources.held.holds_any());
    assert_eq!(looks(&behind, [0]).await, [3]);
    behind.kept().await;
}

/// Whatever becomes of an IDLE, whoever comes meanwhile has a fresh session within seconds.
#[tokio::test(start_paused = true)]
async fn an_idle_that_comes_to_no_end_holds_up_no_login() {
    let still_here = "W: 3\nS: * OK Still here\n".repeat(200);
    let never_begun = "C: $n NOOP\nC: $i IDLE\nS: $n OK x";
    let never_done = "C: DONE\nS: * OK Still here";
    let ways: &[(&[&str], Duration)] = &[
        (&[FIRST, never_begun], Duration::ZERO),
        (&[FIRST, never_begun, &still_here], Duration::ZERO),
        (&[FIRST, IDLE, never_done], RENEWED),
        (&[FIRST, IDLE, never_done, &still_here], RENEWED),
    ];
    for (script, after) in ways {
        let (behind, _folder) = watched(&[script, &[A_THIRD, IDLE, DONE, LOGOUT]]);
        assert_eq!(looks(&behind, [0]).await, [2]);
        tokio::time::sleep(*after).await;
        let asked = tokio::time::Instant::now();
        assert_eq!(behind.check("x").await, 3);
        assert!(asked.elapsed() <= Duration::from_secs(6), "{:?} after {after:?}", asked.elapsed());
    }
    let body = r#"
        K: IMAP4rev1 IDLE
        C: $a EXAMINE "INBOX"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        C: $b UID FETCH 6 (UID BODY.PEEK[])
        S: * 2 FETCH (UID 6 BODY[] {3}
        R: abc)\r\n
        S: $b OK x"#;
    let (behind, _folder) = watched(&[&[FIRST, IDLE, never_done, &still_here], &[body]]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    let (mut mailbox, _) = behind.log_in("x").await;
    let asked = tokio::time::Instant::now();
    assert_eq!(whole(&mut mailbox.body(uid(6)).await.unwrap()).await.0, b"abc");
    assert!(asked.elapsed() <= Duration::from_secs(6), "{:?}", asked.elapsed());
}

/// RFC 7162 §3.2.10: from a server that says so unasked.
#[tokio::test(start_paused = true)]
async fn messages_that_vanished_are_news() {
    let (behind, _folder) = watched(&[&[FIRST, IDLE, "S: * VANISHED 7", DONE, A_THIRD, IDLE, DONE, LOGOUT]]);
    assert_eq!(looks(&behind, [0, 1]).await, [2, 3]);
    behind.kept().await;
}

/// As upstream may tell of it later than another session of the same account has seen it.
#[tokio::test(start_paused = true)]
async fn what_another_session_has_heard_or_done_is_asked_for() {
    // It has no size, so the ledger does not know of it.
    let unsized_one = A_THIRD.replace("(UID 7 RFC822.SIZE 70)", "(UID 7)");
    let (behind, _folder) = watched(&[
        &[FIRST, IDLE, DONE, &unsized_one, IDLE, DONE, &unsized_one, IDLE, DONE, LOGOUT],
        &[&unsized_one, SEEN, LOGOUT],
    ]);
    assert_eq!(looks(&behind, [0]).await, [2]);
    let (mut other, listing) = behind.provider.open().await.unwrap();
    assert_eq!(listing.messages.len(), 3);
    assert_eq!(looks(&behind, [0]).await, [3]);
    other.update(&[uid(5)], &[]).await.unwrap();
    assert_eq!(looks(&behind, [0]).await, [3]);
    other.close().await;
    behind.kept().await;
}

/// Sets `\Seen`.
const SEEN: &str = r#"
    C: $a SELECT "INBOX"
    S: * OK [UIDVALIDITY 7] x
    S: $a OK [READ-WRITE] x
    C: $b UID STORE 5 +FLAGS.SILENT (\Seen)
    S: $b OK x"#;

/// What a watch tells is older than what is hidden: that a message is not in it does not mean that it is gone.
#[tokio::test(start_paused = true)]
async fn what_was_hidden_since_stays_hidden() {
    let hides =
        |piece: &str| piece.replace("S: * OK [UIDNEXT", "S: * OK [PERMANENTFLAGS ()] x\nS: * OK [UIDNEXT");
    let no_hints = "C: $h UID SEARCH UID 5:6 KEYWORD $FootbridgeHidden\nS: * SEARCH\nS: $h OK x";
    let (mut behind, _folder) = watched(&[&[&hides(FIRST), no_hints, IDLE]]);
    behind.provider.account.pop3.delete = Delete::Hide;
    assert_eq!(looks(&behind, [0]).await, [2]);
    let view = behind.provider.resources.views.view(&behind.provider.account, "INBOX");
    let numbering = Names::from(UidValidity::new(7).unwrap()).now();
    view.hide(numbering, [uid(7)].into_iter().collect(), Runs::default()).await.unwrap();
    let (mailbox, messages) = behind.log_in("x").await;
    assert_eq!(messages, 2);
    let Hidden::These(veil) = view.read().await else { panic!("something is hidden") };
    assert!(veil.hidden.has(uid(7)), "{veil:?}");
    drop(mailbox);
    behind.kept().await;
}
