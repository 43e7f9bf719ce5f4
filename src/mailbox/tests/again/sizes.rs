//! Sizes that were not told, that are exact, or that do not fit the body that came.

use super::*;

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

/// RFC 1939 §11: told in the next session, and for good; a session that is under way keeps what it was told.
#[tokio::test(start_paused = true)]
async fn an_exact_size_is_known_in_later_sessions_and_runs() {
    // Without UIDNEXT each listing is a whole one.
    let whole = &*FIRST.replace("S: * OK [UIDNEXT 9] next", "").leak();
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
