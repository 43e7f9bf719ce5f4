//! What is built on the last listing, and what is listed anew.

use super::*;

/// Those known that are there still.
fn searched(found: &str) -> String {
    format!("C: $c UID SEARCH UID 3:8\nS: * SEARCH{found}\nS: $c OK done")
}

/// `n:*` names the last message even where it is below n (RFC 3501 §6.4.8).
#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_a_mailbox_in_which_nothing_changed() {
    let unchanged = again(3, 9, "S: * 3 FETCH (UID 8 RFC822.SIZE 80)\nS: $b OK done");
    assert_eq!(listings(&[FIRST, unchanged]).await, "7 3:30 5:50 8:80");
    assert_eq!(listings(&[FIRST, again(3, 9, "S: $b OK done")]).await, "7 3:30 5:50 8:80");
}

#[tokio::test(start_paused = true)]
async fn what_is_new_comes_in_the_same_flight_and_is_known_the_next_time() {
    let new = again(
        5,
        13,
        "S: * 5 FETCH (UID 12 RFC822.SIZE 120)\nS: * 4 FETCH (RFC822.SIZE 100 UID 10)\nS: $b OK done",
    );
    let then = since(12, 5, 13, "S: $b OK done");
    assert_eq!(listings(&[FIRST, new, then]).await, "7 3:30 5:50 8:80 10:100 12:120");
}

/// An app may look again at once, over a session that is held, and a disk may be slow.
#[tokio::test(start_paused = true)]
async fn what_is_not_on_the_disk_yet_is_known_to_the_next_login() {
    let new = again(4, 10, "S: * 4 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done");
    let unchanged = since(9, 4, 10, "S: $b OK done");
    let (provider, _folder) = Provider::new(&[FIRST, new, unchanged]).ledger();
    let held_up = provider.resources.ledger.hold_up().await;
    for expected in ["7 3:30 5:50 8:80", "7 3:30 5:50 8:80 9:90"] {
        let (mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(shown(&listing), expected);
        mailbox.close().await;
    }
    drop(held_up);
    provider.resources.ledger.written().await;
    let (mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(shown(&listing), "7 3:30 5:50 8:80 9:90");
    mailbox.close().await;
    provider.kept().await;
}

/// RFC 3501 §6.4.4: the known are searched for by UID, whatever else there is.
#[tokio::test(start_paused = true)]
async fn what_vanished_is_found_by_search() {
    let gone = again(
        3,
        10,
        "S: * 3 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done\nC: $c UID SEARCH UID 3:8\nS: * SEARCH 8\nS: * SEARCH 3\nS: $c OK done",
    );
    assert_eq!(listings(&[FIRST, gone]).await, "7 3:30 8:80 9:90");
}

/// RFC 4731 §3.1.
#[tokio::test(start_paused = true)]
async fn where_it_is_offered_the_answer_is_a_set() {
    for (found, expected) in [
        ("* ESEARCH (TAG \"$c\") UID ALL 5:8", "7 5:50 8:80"),
        ("* ESEARCH (TAG \"$c\") UID ALL 8,5", "7 5:50 8:80"),
    ] {
        let gone = again(
            2,
            9,
            &format!(
                "S: * CAPABILITY IMAP4rev1 esearch\nS: $b OK done\nC: $c UID SEARCH RETURN (ALL) UID 3:8\nS: {found}\nS: $c OK done"
            ),
        );
        assert_eq!(listings(&[FIRST, gone]).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_emptied_mailbox_is_empty_and_then_listed_anew() {
    let emptied = again(0, 9, "S: $b OK done");
    let then = since(1, 1, 10, "S: * 1 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done");
    assert_eq!(listings(&[FIRST, emptied]).await, "7");
    assert_eq!(listings(&[FIRST, emptied, then]).await, "7 9:90");
}

/// All of it, where what is known cannot be built upon or the numbers do not add up.
const ALL: &str = r#"C: $z UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 FETCH (UID 4 RFC822.SIZE 44)
        S: * 2 FETCH (UID 6 RFC822.SIZE 66)
        S: $z OK done"#;

#[tokio::test(start_paused = true)]
async fn another_uidvalidity_voids_all_that_was_known() {
    // RFC 3501 §2.3.1.1.
    let renumbered = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 8:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 8] numbers
        S: * OK [UIDNEXT 4] next
        S: $a OK done
        S: * 3 FETCH (UID 3 RFC822.SIZE 33)
        S: $b OK done
        C: $c UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 FETCH (UID 1 RFC822.SIZE 11)
        S: * 2 FETCH (UID 2 RFC822.SIZE 22)
        S: * 3 FETCH (UID 3 RFC822.SIZE 33)
        S: $c OK done
    "#;
    let then = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 3:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 8] numbers
        S: * OK [UIDNEXT 4] next
        S: $a OK done
        S: $b OK done
    "#;
    assert_eq!(listings(&[FIRST, renumbered]).await, "8 1:11 2:22 3:33");
    assert_eq!(listings(&[FIRST, renumbered, then]).await, "8 1:11 2:22 3:33");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_does_not_fit_what_is_known_is_listed_whole() {
    for (why, rest) in [
        ("fewer than known and new ones", again(2, 10, &format!(
            "S: * 2 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done\n{}\n{ALL}", searched(" 3 8")
        ))),
        ("more than known and new ones", again(4, 9, &format!("S: $b OK done\n{}", ALL.replace("$z OK", "$z OK\nC: $y UID FETCH 1:3 (UID RFC822.SIZE)\nS: $y OK\nC: $x NOOP\nS: * 2 EXISTS\nS: $x OK")))),
        ("a search that is refused", again(2, 9, &format!("S: $b OK done\nC: $c UID SEARCH UID 3:8\nS: $c NO weak\n{ALL}"))),
        ("a search that is no set", again(2, 9, &format!("S: $b OK done\n{}\n{ALL}", searched(" 3 x")))),
        ("a search that finds nothing", again(2, 9, &format!("S: $b OK done\n{}\n{ALL}", searched("")))),
        ("a search that finds others", again(2, 9, &format!("S: $b OK done\n{}\n{ALL}", searched(" 4 6")))),
        ("a refused fetch", again(2, 9, &format!("S: $b BAD no such set\n{ALL}"))),
        ("numbers taken back", again(2, 8, &format!("S: $b OK done\n{ALL}"))),
        ("no UIDNEXT", again(2, 0, &format!("S: $b OK done\n{ALL}"))),
        ("UIDs that do not last", again(2, 9, &format!("S: * NO [UIDNOTSTICKY] later\nS: $b OK done\n{ALL}"))),
    ] {
        assert_eq!(listings(&[FIRST, rest]).await, "7 4:44 6:66", "{why}");
    }
}

/// RFC 3501 §7.4.1: another client's EXPUNGE may be told between the two commands, and within the second.
#[tokio::test(start_paused = true)]
async fn a_message_that_goes_within_the_flight_is_not_shown() {
    let known_one = again(
        3,
        9,
        &format!("S: * 2 EXPUNGE\nS: * 2 FETCH (UID 8 RFC822.SIZE 80)\nS: $b OK done\n{}", searched(" 3 8")),
    );
    assert_eq!(listings(&[FIRST, known_one]).await, "7 3:30 8:80");
    // A new one that went before it was listed.
    let new_one = again(4, 10, "S: * 4 EXPUNGE\nS: $b OK done");
    assert_eq!(listings(&[FIRST, new_one]).await, "7 3:30 5:50 8:80");
}

/// RFC 3501 §7.3.1: mail that comes within the flight may be shown or not, but takes the place of none.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_within_the_flight_hides_none_that_went_before() {
    let shown_at_once = again(3, 9, "S: * 4 EXISTS\nS: * 4 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done");
    assert_eq!(listings(&[FIRST, shown_at_once]).await, "7 3:30 5:50 8:80 9:90");
    let only_told = again(3, 9, "S: $b OK done\nS: * 4 EXISTS");
    assert_eq!(listings(&[FIRST, only_told]).await, "7 3:30 5:50 8:80");
    let one_went = again(2, 9, &format!("S: * 3 EXISTS\nS: $b OK done\n{}", searched(" 5 8")));
    assert_eq!(listings(&[FIRST, one_went]).await, "7 5:50 8:80");
    // And what came then is new the next time.
    let then = again(3, 10, "S: * 3 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done");
    assert_eq!(listings(&[FIRST, one_went, then]).await, "7 5:50 8:80 9:90");
}

#[tokio::test(start_paused = true)]
async fn without_uidnext_each_listing_is_a_whole_one() {
    let whole = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: $a OK done
        S: * 1 FETCH (UID 8 RFC822.SIZE 80)
        S: $b OK done
    "#;
    assert_eq!(listings(&[whole, whole]).await, "7 8:80");
}

#[tokio::test(start_paused = true)]
async fn a_refused_listing_is_no_mailbox_however_much_is_known() {
    let refused =
        again(4, 10, "S: $b OK done\nC: $c UID FETCH 1:* (UID RFC822.SIZE)\nS: $c NO [UNAVAILABLE] later");
    assert_eq!(
        listings(&[FIRST, refused]).await,
        r#"Unavailable { text: "later [UNAVAILABLE]", wait: None }"#
    );
}
