//! Listing a mailbox that was listed before.

use super::*;
use crate::mail::{HeaderIdentity, Identity, ObjectId};
use crate::proto::pop3::UniqueIds;

/// UIDs 3, 5 and 8.
const FIRST: &str = r#"
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 1:* (UID RFC822.SIZE)
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 7] numbers
    S: * OK [UIDNEXT 9] next
    S: $a OK done
    S: * 1 FETCH (UID 3 RFC822.SIZE 30)
    S: * 2 FETCH (UID 5 RFC822.SIZE 50)
    S: * 3 FETCH (UID 8 RFC822.SIZE 80)
    S: $b OK done
"#;

/// The last listing when the mailbox was found like this, one time after the other; with `capabilities` told.
async fn listings(scripts: &[&'static str]) -> String {
    let (provider, _folder) = Provider::new(scripts).ledger();
    let mut heard = String::new();
    for _ in scripts {
        let outcome = provider.open().await;
        heard = match outcome {
            Ok((mailbox, listing)) => {
                mailbox.close().await;
                shown(&listing)
            }
            Err(error) => format!("{error:?}"),
        };
        provider.resources.ledger.written().await;
    }
    provider.kept().await;
    heard
}

fn shown(listing: &Listing) -> String {
    let messages = listing.messages.iter().map(|message| format!(" {}:{}", message.uid, message.octets));
    listing.uid_validity.to_string() + &messages.collect::<String>()
}

/// What the flight says when the mailbox was opened with so many messages and this UIDNEXT, and what comes then.
fn again(exists: u32, uid_next: u32, rest: &str) -> &'static str {
    let script = format!(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 8:* (UID RFC822.SIZE)
        S: * {exists} EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT {uid_next}] next
        S: $a OK done
        {rest}
    "#
    );
    script.leak()
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
    let then = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 12:* (UID RFC822.SIZE)
        S: * 5 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT 13] next
        S: $a OK done
        S: $b OK done
    "#;
    assert_eq!(listings(&[FIRST, new, then]).await, "7 3:30 5:50 8:80 10:100 12:120");
}

/// An app may look again at once, over a session that is held, and a disk may be slow.
#[tokio::test(start_paused = true)]
async fn what_is_not_on_the_disk_yet_is_known_to_the_next_login() {
    let new = again(4, 10, "S: * 4 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done");
    let unchanged = new
        .replace("FETCH 8:*", "FETCH 9:*")
        .split_once("S: * 4 FETCH")
        .map(|(before, _)| format!("{before}S: $b OK done"))
        .unwrap();
    let (provider, _folder) = Provider::new(&[FIRST, new, unchanged.leak()]).ledger();
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
    let then = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT 10] next
        S: $a OK done
        S: * 1 FETCH (UID 9 RFC822.SIZE 90)
        S: $b OK done
    "#;
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
            "S: * 2 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done\nC: $c UID SEARCH UID 3:8\nS: * SEARCH 3 8\nS: $c OK done\n{ALL}"
        ))),
        ("more than known and new ones", again(4, 9, &format!("S: $b OK done\n{}", ALL.replace("$z OK", "$z OK\nC: $y UID FETCH 1:3 (UID RFC822.SIZE)\nS: $y OK\nC: $x NOOP\nS: * 2 EXISTS\nS: $x OK")))),
        ("a search that is refused", again(2, 9, &format!("S: $b OK done\nC: $c UID SEARCH UID 3:8\nS: $c NO weak\n{ALL}"))),
        ("a search that is no set", again(2, 9, &format!("S: $b OK done\nC: $c UID SEARCH UID 3:8\nS: * SEARCH 3 x\nS: $c OK\n{ALL}"))),
        ("a search that finds nothing", again(2, 9, &format!("S: $b OK done\nC: $c UID SEARCH UID 3:8\nS: * SEARCH\nS: $c OK\n{ALL}"))),
        ("a search that finds others", again(2, 9, &format!("S: $b OK done\nC: $c UID SEARCH UID 3:8\nS: * SEARCH 4 6\nS: $c OK\n{ALL}"))),
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
        "S: * 2 EXPUNGE\nS: * 2 FETCH (UID 8 RFC822.SIZE 80)\nS: $b OK done\nC: $c UID SEARCH UID 3:8\nS: * SEARCH 3 8\nS: $c OK done",
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
    let one_went =
        again(2, 9, "S: * 3 EXISTS\nS: $b OK done\nC: $c UID SEARCH UID 3:8\nS: * SEARCH 5 8\nS: $c OK done");
    assert_eq!(listings(&[FIRST, one_went]).await, "7 5:50 8:80");
    // And what came then is new the next time.
    let then = again(3, 10, "S: * 3 FETCH (UID 9 RFC822.SIZE 90)\nS: $b OK done");
    assert_eq!(listings(&[FIRST, one_went, then]).await, "7 5:50 8:80 9:90");
}

/// A message whose size nobody told is asked for again, with what follows it.
#[tokio::test(start_paused = true)]
async fn sizes_that_were_not_told_are_asked_for_again() {
    let first = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT 10] next
        S: $a OK done
        S: * 1 FETCH (UID 8 RFC822.SIZE 80)
        S: * 2 FETCH (UID 9 FLAGS (\Seen))
        S: * 3 FETCH (UID 10 RFC822.SIZE 100)
        S: $b OK done
    "#;
    assert_eq!(listings(&[first]).await, "7 8:80 9:0 10:100");
    let then = again(
        3,
        11,
        "S: * 2 FETCH (UID 9 RFC822.SIZE 90)\nS: * 3 FETCH (UID 10 RFC822.SIZE 100)\nS: $b OK done",
    );
    assert_eq!(listings(&[first, then]).await, "7 8:80 9:90 10:100");
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

/// RFC 1939 §11: told in the next session, and for good; a session that is under way keeps what it was told.
#[tokio::test(start_paused = true)]
async fn an_exact_size_is_known_in_later_sessions_and_runs() {
    let whole = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: $a OK done
        S: * 1 FETCH (UID 3 RFC822.SIZE 30)
        S: * 2 FETCH (UID 5 RFC822.SIZE 50)
        S: * 3 FETCH (UID 8 RFC822.SIZE 80)
        S: $b OK done
    "#;
    let unchanged = again(3, 9, "S: $b OK done");
    for (first, second) in [(FIRST, unchanged), (whole, whole)] {
        let (mut provider, folder) = Provider::new(&[first, second, second]).ledger();
        let (mailbox, _) = provider.open().await.unwrap();
        provider.resources.ledger.written().await;
        mailbox.learnt(uid(5), 57);
        // Which is not written before the session ends.
        let (second, listing) = provider.open().await.unwrap();
        assert_eq!(shown(&listing), "7 3:30 5:57 8:80");
        mailbox.close().await;
        second.close().await;
        provider.resources.ledger.close().await;
        provider.resources.ledger = Ledger::in_folder(&folder.path().join("state"));
        let (mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(shown(&listing), "7 3:30 5:57 8:80");
        mailbox.close().await;
        provider.kept().await;
    }
}

/// A mailbox that was restored from a backup, or made anew, may hand out its UIDs again under the same UIDVALIDITY, which
/// RFC 3501 §2.3.1.1 forbids: the message is another one if its size is.
#[tokio::test(start_paused = true)]
async fn a_uid_handed_out_again_has_neither_the_size_nor_the_body_of_the_message_before() {
    const OLD: &str = r"
        C: $c UID FETCH 8 (UID BODY.PEEK[])
        R: * 3 FETCH (UID 8 BODY[] {5}\r\nold\r\n)\r\n
        S: $c OK done";
    const NEW: &str = r"
        C: $d UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 FETCH (UID 3 RFC822.SIZE 30)
        S: * 2 FETCH (UID 5 RFC822.SIZE 50)
        S: * 3 FETCH (UID 8 RFC822.SIZE 81)
        S: $d OK done
        C: $c UID FETCH 8 (UID BODY.PEEK[])
        R: * 3 FETCH (UID 8 BODY[] {6}\r\nother\n)\r\n
        S: $c OK done";
    let first: &str = format!("{FIRST}{OLD}").leak();
    let no_listing = NEW.split_once("S: $d OK done").unwrap().1;
    let by_itself: &str = format!("{FIRST}{no_listing}").replace("SIZE 80", "SIZE 81").leak();
    for (ledger, second) in [
        // The last message, of which upstream says its size in any case.
        (true, again(3, 9, &format!("S: * 3 FETCH (UID 8 RFC822.SIZE 81)\nS: $b OK done{NEW}"))),
        // UIDNEXT fell.
        (true, again(3, 8, &format!("S: $b OK done{NEW}"))),
        (false, by_itself),
    ] {
        let (mut provider, _folder) = Provider::new(&[first, second]).ledger();
        if !ledger {
            provider.resources.ledger = Ledger::none();
        }
        let (mut mailbox, _) = provider.open().await.unwrap();
        assert_eq!(whole(&mut mailbox.body(uid(8)).await.unwrap()).await.0, b"old\r\n");
        mailbox.learnt(uid(8), 77);
        mailbox.close().await;
        provider.resources.ledger.written().await;
        let (mut mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(shown(&listing), "7 3:30 5:50 8:81");
        assert_eq!(whole(&mut mailbox.body(uid(8)).await.unwrap()).await.0, b"other\n");
        mailbox.close().await;
        provider.resources.ledger.written().await;
        provider.kept().await;
    }
}

/// The same where new mail has come since, so that all numbers add up.
#[tokio::test(start_paused = true)]
async fn a_restored_mailbox_with_new_mail_gives_no_old_body() {
    const BODY: &str = "C: $y UID FETCH 8 (UID BODY.PEEK[])\nR: * 3 FETCH (UID 8 BODY[] {5}\\r\\n";
    let first = format!("{FIRST}\n{BODY}old\\r\\n)\\r\\n\nS: $y OK done");
    let listed = "S: * 4 FETCH (UID 9 RFC822.SIZE 90)\nS: * 3 FETCH (UID 8 RFC822.SIZE 81)";
    let second = again(
        4,
        10,
        &format!(
            "{listed}\nS: $b OK done\nC: $z UID FETCH 1:* (UID RFC822.SIZE)\nS: * 1 FETCH (UID 3 RFC822.SIZE 30)\n\
         S: * 2 FETCH (UID 5 RFC822.SIZE 50)\n{listed}\nS: $z OK done\n{BODY}new\\r\\n)\\r\\n\nS: $y OK done"
        ),
    );
    let (provider, _folder) = Provider::new(&[first.leak(), second]).ledger();
    for (text, expected) in [(b"old\r\n", "7 3:30 5:50 8:80"), (b"new\r\n", "7 3:30 5:50 8:81 9:90")] {
        let (mut mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(shown(&listing), expected);
        assert_eq!(whole(&mut mailbox.body(uid(8)).await.unwrap()).await.0, text);
        mailbox.close().await;
        provider.resources.ledger.written().await;
    }
    provider.kept().await;
}

/// Some servers now and then give another message's body under the UID that was asked for. It shows by the size, and the
/// header by itself tells whether it is so: sizes are wrong for other reasons, too.
#[tokio::test(start_paused = true)]
async fn a_body_of_another_size_is_the_messages_where_its_header_is() {
    let asked = |tag: &str, part: &str, text: &str| {
        let (octets, text) = (text.len(), text.replace("\r\n", "\\r\\n"));
        format!(
            "\nC: ${tag} UID FETCH 8 (UID BODY.PEEK[{part}])\nR: * 3 FETCH (UID 8 BODY[{part}] {{{octets}}}\\r\\n{text})\\r\\n\nS: ${tag} OK done"
        )
    };
    let header = |id: &str| format!("Message-ID: <{id}>\r\n\r\n");
    let (wrong, short) = (header("of@another") + "x", header("of@this") + "x");
    let first = [
        FIRST,
        &asked("c", "", &wrong),
        &asked("d", "HEADER", &header("of@this")),
        &asked("e", "", &wrong),
        "\nC: $f UID FETCH 8 (UID BODY.PEEK[HEADER])\nS: $f NO not now",
        &asked("g", "", &short),
        &asked("h", "HEADER", &header("of@this")),
    ];
    let (provider, _folder) = Provider::new(&[first.concat().leak()]).quirks(&[Quirk::WrongBody]).ledger();
    let (mut mailbox, listing) = provider.open().await.unwrap();
    provider.resources.ledger.written().await;
    let maildrop = Maildrop::new(UniqueIds::inbox(listing.uid_validity), []);
    let page = provider.resources.ledger.page(&provider.account, "INBOX");
    for (text, foreign, octets) in [(&wrong, true, 80), (&wrong, true, 80), (&short, false, 26)] {
        let mut retrieved = mailbox.retrieve_and_learn(uid(8), &maildrop).await.unwrap();
        let (came, end) = whole(&mut retrieved).await;
        assert!(came == text.as_bytes() && end.is_ok());
        assert_eq!(matches!(mailbox.vouch(uid(8)).await, Err(UpstreamError::Foreign)), foreign);
        mailbox.learnt(uid(8), came.len() as u64);
        let mut listed = page.before().await.unwrap();
        page.correct(&mut listed.listed);
        assert_eq!(listed.listed.messages.last().map(|(_, size)| size.octets()), Some(octets));
        assert_eq!(listed.identities, []);
        assert!(!provider.resources.bodies.has(&mailbox.key(uid(8))));
    }
    mailbox.close().await;
    provider.kept().await;
}

/// As long as it was listed it is the message's, and known from then on.
#[tokio::test(start_paused = true)]
async fn a_body_of_the_right_size_needs_nobody_to_vouch_for_it() {
    let right = "x".repeat(80);
    let asked = format!(
        "{FIRST}\nC: $c UID FETCH 8 (UID BODY.PEEK[])\nR: * 3 FETCH (UID 8 BODY[] {{80}}\\r\\n{right})\\r\\n\nS: $c OK done"
    );
    let scripts = [&*asked.leak(), again(3, 9, "S: $b OK done")];
    let (provider, _folder) = Provider::new(&scripts).quirks(&[Quirk::WrongBody]).ledger();
    let (mut mailbox, listing) = provider.open().await.unwrap();
    let maildrop = Maildrop::new(UniqueIds::inbox(listing.uid_validity), []);
    let mut retrieved = mailbox.retrieve_and_learn(uid(8), &maildrop).await.unwrap();
    assert_eq!(whole(&mut retrieved).await.0, right.as_bytes());
    mailbox.vouch(uid(8)).await.unwrap();
    mailbox.learnt(uid(8), 82);
    assert!(provider.resources.bodies.has(&mailbox.key(uid(8))));
    mailbox.close().await;
    provider.resources.ledger.written().await;
    let (mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(shown(&listing), "7 3:30 5:50 8:82");
    mailbox.close().await;
    provider.kept().await;
}

/// What the ledger has of identities after the mailbox was found like this, one time after the other.
async fn known(scripts: &[&'static str]) -> Vec<(u32, Identity)> {
    let (provider, _folder) = Provider::new(scripts).ledger();
    for _ in scripts {
        let (mailbox, _) = provider.open().await.unwrap();
        mailbox.close().await;
        provider.resources.ledger.written().await;
    }
    let page = provider.resources.ledger.page(&provider.account, "INBOX");
    let before = page.before().await.unwrap();
    provider.kept().await;
    before.identities.into_iter().map(|(uid, identity)| (uid.get(), identity)).collect()
}

/// RFC 8474 §5.1, and Gmail's way: with the sizes, of what is new.
#[tokio::test(start_paused = true)]
async fn identities_come_with_the_listing_where_upstream_tells_them() {
    for (capability, item, value) in
        [("objectid", "EMAILID", "(M1)"), ("X-GM-EXT-1", "X-GM-MSGID", "1278455344230334865")]
    {
        let id = match capability {
            "objectid" => ObjectId::Email(b"M1"),
            _ => ObjectId::Gmail(1_278_455_344_230_334_865),
        };
        let first = format!(
            r#"
            K: IMAP4rev1 {capability}
            C: $a EXAMINE "INBOX"
            C: $b UID FETCH 1:* (UID RFC822.SIZE {item})
            S: * 3 EXISTS
            S: * OK [UIDVALIDITY 7] numbers
            S: * OK [UIDNEXT 9] next
            S: $a OK done
            S: * 1 FETCH (UID 3 RFC822.SIZE 30 {item} {value})
            S: * 2 FETCH (UID 5 RFC822.SIZE 50 {item} NIL)
            S: * 3 FETCH ({item} {value} UID 8 RFC822.SIZE 80)
            S: * 3 FETCH ({item} {value} UID 8 RFC822.SIZE 80)
            S: $b OK done
        "#
        );
        let first: &str = first.leak();
        let told = Identity::told(id);
        assert_eq!(known(&[first]).await, [(3, told), (8, told)], "{capability}");
        // What is known already keeps what was told of it.
        let then = first
            .replace("FETCH 1:*", "FETCH 8:*")
            .replace("* 3 EXISTS", "* 4 EXISTS")
            .replace("UIDNEXT 9", "UIDNEXT 10")
            .replace("UID 3 ", "UID 9 ")
            .replace("UID 5 RFC822.SIZE 50", "UID 8 RFC822.SIZE 80");
        assert_eq!(known(&[first, then.leak()]).await, [(3, told), (8, told), (9, told)], "{capability}");
    }
}

/// A message that has two identities has none that could be relied on.
#[tokio::test(start_paused = true)]
async fn what_contradicts_itself_is_no_identity() {
    let script = r#"
        K: IMAP4rev1 OBJECTID
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE EMAILID)
        S: * 2 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT 9] next
        S: $a OK done
        S: * 1 FETCH (UID 3 RFC822.SIZE 30 EMAILID (M1))
        S: * 1 FETCH (UID 3 RFC822.SIZE 30 EMAILID (M2))
        S: * 2 FETCH (UID 5 RFC822.SIZE 50 EMAILID (M3))
        S: $b OK done
    "#;
    assert_eq!(known(&[script]).await, [(5, Identity::told(ObjectId::Email(b"M3")))]);
}

/// A server that offers what it does not understand still has a mailbox.
#[tokio::test(start_paused = true)]
async fn where_the_item_is_not_understood_it_is_left_out() {
    let script = r#"
        K: IMAP4rev1 OBJECTID
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE EMAILID)
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT 9] next
        S: $a OK done
        S: $b BAD what is that
        C: $c UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 FETCH (UID 3 RFC822.SIZE 30)
        S: $c OK done
    "#;
    assert!(known(&[script]).await.is_empty());
}

/// Where upstream tells nothing of identities they are made of what goes by: RETR's header, wherever it comes from.
#[tokio::test(start_paused = true)]
async fn a_header_that_went_by_is_an_identity() {
    const HEADER: &[u8] = b"Received: by x\r\nSubject: a\r\n\r\n";
    let script = r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT 9] next
        S: $a OK done
        S: * 1 FETCH (UID 3 RFC822.SIZE 38)
        S: * 2 FETCH (UID 5 RFC822.SIZE 28)
        S: * 3 FETCH (UID 8 RFC822.SIZE 12)
        S: $b OK done
        C: $c UID FETCH 3 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 3 BODY[] {36}\r\nReceived: by x\r\nSubject: a\r\n\r\nbody\r\n)\r\n
        S: $c OK done
        C: $d UID FETCH 5 (UID BODY.PEEK[])
        R: * 2 FETCH (UID 5 BODY[] {26}\r\nReceived: by x\r\nSubject: a)\r\n
        S: $d OK done
        C: $e UID FETCH 8 (UID BODY.PEEK[])
        R: * 3 FETCH (UID 8 BODY[] {14}\r\nSubject: a\r\n\r\n)\r\n
        S: $e OK done
    "#;
    let (provider, _folder) = Provider::new(&[script]).ledger();
    let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
    let (mut mailbox, _) = provider.open().await.unwrap();
    // The second time from the cache.
    for number in [3, 5, 8, 3] {
        let mut body = mailbox.retrieve_and_learn(uid(number), &maildrop).await.unwrap();
        whole(&mut body).await.1.unwrap();
    }
    mailbox.close().await;
    provider.resources.ledger.written().await;
    let page = provider.resources.ledger.page(&provider.account, "INBOX");
    let identity = |octets| {
        let mut header = HeaderIdentity::default();
        header.take(HEADER);
        header.finish(octets).unwrap()
    };
    assert_eq!(page.before().await.unwrap().identities, [(uid(3), identity(36)), (uid(5), identity(26))]);
    provider.kept().await;
}

/// RFC 3501 §7.4.2: the UID may stand behind the body, and a server's count may be wrong. What is found out at the end
/// of a body holds for its header: were it kept, the message could take another's unique-id.
#[tokio::test(start_paused = true)]
async fn the_header_of_a_body_that_is_refused_at_its_end_is_no_identity() {
    for (why, came) in [
        (
            "another message's UID behind it",
            r"R: * 1 FETCH (BODY[] {36}\r\nReceived: by x\r\nSubject: a\r\n\r\nbody\r\n UID 4)\r\n",
        ),
        (
            "announced shorter than it is",
            r"R: * 1 FETCH (UID 3 BODY[] {34}\r\nReceived: by x\r\nSubject: a\r\n\r\nbody\r\n)\r\n",
        ),
        (
            "the connection lost within it",
            r"R: * 1 FETCH (UID 3 BODY[] {36}\r\nReceived: by x\r\nSubject: a\r\n\r\nbo",
        ),
    ] {
        let script = format!(
            r#"
            C: $a EXAMINE "INBOX"
            C: $b UID FETCH 1:* (UID RFC822.SIZE)
            S: * 1 EXISTS
            S: * OK [UIDVALIDITY 7] numbers
            S: * OK [UIDNEXT 9] next
            S: $a OK done
            S: * 1 FETCH (UID 3 RFC822.SIZE 36)
            S: $b OK done
            C: $c UID FETCH 3 (UID BODY.PEEK[])
            {came}
        "#
        );
        let (provider, _folder) = Provider::new(&[script.leak()]).ledger();
        let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
        let (mut mailbox, _) = provider.open().await.unwrap();
        let mut body = mailbox.retrieve_and_learn(uid(3), &maildrop).await.unwrap();
        let (octets, end) = whole(&mut body).await;
        assert!(octets.starts_with(b"Received: by x\r\n"), "{why}: the header has gone by");
        end.unwrap_err();
        drop(body);
        mailbox.close().await;
        provider.resources.ledger.written().await;
        let page = provider.resources.ledger.page(&provider.account, "INBOX");
        assert_eq!(page.before().await.unwrap().identities, [], "{why}");
    }
}
