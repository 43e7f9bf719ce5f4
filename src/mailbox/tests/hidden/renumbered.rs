//! Mailboxes that upstream renumbers: what was hidden stays so, and nothing else.

use super::*;

/// The mailbox where upstream tells EMAILID (RFC 8474 §5.1), listed from UID `from` on, and then whole if that is not 1.
fn with_ids(uid_validity: u32, messages: &[(u32, &str)], from: u32) -> String {
    let rows: String = (1..)
        .zip(messages)
        .map(|(at, (uid, id))| format!("S: * {at} FETCH (UID {uid} RFC822.SIZE 10 EMAILID ({id}))\n"))
        .collect();
    let (count, next) = (messages.len(), messages.last().unwrap().0 + 1);
    // The last one that is known comes, too.
    let last = (from - 1).max(1);
    let (at_once, again) = if from == 1 {
        (rows, String::new())
    } else {
        let again = "C: $z UID FETCH 1:* (UID RFC822.SIZE EMAILID)";
        (String::new(), format!("{again}\n{rows}S: $z OK x\n"))
    };
    format!(
        "K: IMAP4rev1 OBJECTID\nC: $a EXAMINE \"INBOX\"\nC: $b UID FETCH {last}:* (UID RFC822.SIZE EMAILID)\n\
         S: * {count} EXISTS\nS: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [UIDNEXT {next}] x\nS: $a OK x\n\
         {at_once}S: $b OK x\n{again}"
    )
}

/// RFC 3501 §2.3.1.1: under another UIDVALIDITY the file means nothing, and the keyword brings back what it meant.
#[tokio::test(start_paused = true)]
async fn a_renumbered_mailbox_is_hidden_by_its_keywords() {
    let (_outer, state) = place();
    let before = [opened(7, &[3, 4, 9]), hints("3:9", ""), selected(7, r"\*"), marked("3:4")].concat();
    check(&state, &[&before], &[3, 4]).await;
    let after = [opened(8, &[3, 4, 5]), hints("3:5", " 5"), selected(8, r"\*"), marked("3")].concat();
    let heard = check(&state, &[&after], &[3]).await;
    assert_eq!(heard, (vec![3, 4], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(8, &[3, 5]));
    // Renumbered under an open session: nothing is hidden by a number that means something else.
    let renumbered = [opened(8, &[3, 4, 5]), selected(9, r"\*")];
    let heard = check(&state, &[&renumbered[0], &renumbered[1]], &[4]).await;
    assert_eq!(heard, (vec![4], "the mailbox was renumbered".to_owned()));
    assert_eq!(hidden(&state).await, these(8, &[3, 5]));
}

/// What is known again without its keyword gets it, for the next time.
#[tokio::test(start_paused = true)]
async fn a_keyword_that_a_renumbering_lost_is_set_again() {
    let first =
        with_ids(7, &[(3, "Ma"), (4, "Mb")], 1) + &hints("3:4", "") + &selected(7, r"\*") + &marked("3:4");
    let then = with_ids(8, &[(13, "Ma"), (14, "Mb")], 5)
        + &hints("13:14", " 14")
        + &selected(8, r"\*")
        + &marked("13");
    let scripts = [first, then].map(|script| &*script.leak());
    let (provider, _folder) = Provider::new(&scripts).ledger();
    let provider = provider.delete(Delete::Hide);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[], &[uid(3), uid(4)]).await.unwrap();
    mailbox.leave().await;
    provider.resources.ledger.written().await;
    assert_eq!(looked(&provider).await, runs(&[]));
    provider.kept().await;
}

/// RFC 3501 §2.3.1.1: upstream says so behind SELECT, before anything was asked by UIDs.
#[tokio::test(start_paused = true)]
async fn no_hint_is_left_in_a_mailbox_that_is_renumbered_behind_select() {
    let (_outer, state) = place();
    let selected = selected(7, r"\*");
    let renumbered = selected
        .trim_end()
        .rsplit_once("S: $a")
        .map(|(before, answer)| format!("{before}R: $a{answer}\\r\\n* OK [UIDVALIDITY 8] renumbered\\r\\n"));
    let script = [&*opened(7, &[3, 4]), &hints("3:4", ""), &renumbered.unwrap()];
    // It is hidden here all the same: what is known again under the other numbering stays hidden there.
    assert_eq!(check(&state, &script, &[3]).await, (vec![3, 4], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(7, &[3]));
}

/// Upstream takes no keyword and tells EMAILID (RFC 8474 §5.1): what keeps its unique-id stays hidden.
#[tokio::test(start_paused = true)]
async fn a_renumbered_mailbox_is_hidden_by_what_proves_a_message_the_same() {
    let first = with_ids(7, &[(3, "Ma"), (4, "Mb"), (9, "Mc")], 1) + &hints("3:9", "") + &selected(7, "");
    // One of the hidden ones is gone, one is somewhere else, and the one that was shown has its old number.
    let then = with_ids(8, &[(3, "Mx"), (4, "Mb"), (5, "Mc")], 10) + &hints("3:5", "");
    let last = with_ids(8, &[(3, "Mx"), (4, "Mb"), (5, "Mc")], 6);
    let last = last.split("C: $z").next().unwrap();
    let (provider, folder) = Provider::new(&[joined(&[&first]), joined(&[&then]), joined(&[last])]).ledger();
    let provider = provider.delete(Delete::Hide);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[], &[uid(3), uid(9)]).await.unwrap();
    mailbox.close().await;
    for _ in 0..2 {
        provider.resources.ledger.written().await;
        let (mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [3, 4]);
        mailbox.close().await;
    }
    provider.kept().await;
    assert_eq!(hidden(&folder.path().join("state")).await, these(8, &[5]));
}

/// Where upstream keeps no keyword and tells no EMAILID, the header that went by is all there is, and it is not retrieved
/// again: it is in the ledger before the message is hidden.
#[tokio::test(start_paused = true)]
async fn what_a_bridge_hid_that_was_killed_then_is_known_again_by_its_header() {
    let header = r"Message-ID: <1@x>\r\n\r\n";
    let listed = |uid_validity: u32, from: u32, uids: [u32; 2]| {
        let rows = format!(
            "S: * 1 FETCH (UID {} RFC822.SIZE 27)\nS: * 2 FETCH (UID {} RFC822.SIZE 10)\n",
            uids[0], uids[1]
        );
        // The last one that is known comes, too.
        let last = (from - 1).max(1);
        let (at_once, again) = match from {
            1 => (rows, String::new()),
            _ => (String::new(), format!("C: $z UID FETCH 1:* (UID RFC822.SIZE)\n{rows}S: $z OK x\n")),
        };
        format!(
            "C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH {last}:* (UID RFC822.SIZE)\nS: * 2 EXISTS\n\
             S: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [UIDNEXT {}] x\nS: $a OK x\n{at_once}S: $b OK x\n{again}",
            uids[1] + 1
        )
    };
    let retrieved = format!(
        "C: $r UID FETCH 3 (UID BODY.PEEK[])\nR: * 1 FETCH (UID 3 BODY[] {{27}}\\r\\n{header}body\\r\\n)\\r\\n\nS: $r OK x\n"
    );
    let looked_at = format!(
        "C: $h UID FETCH 13 (UID BODY.PEEK[HEADER])\nR: * 1 FETCH (UID 13 BODY[HEADER] {{21}}\\r\\n{header})\\r\\n\nS: $h OK x\n"
    );
    let first = joined(&[&listed(7, 1, [3, 4]), &hints("3:4", ""), &retrieved, &selected(7, "")]);
    let then = joined(&[&listed(8, 5, [13, 14]), &looked_at, &hints("13:14", "")]);
    let (killed, folder) = Provider::new(&[first]).delete(Delete::Hide).ledger();
    let (mut mailbox, listing) = killed.open().await.unwrap();
    let messages = listing.messages.iter().map(|message| (message.uid, message.octets));
    let maildrop = crate::proto::pop3::Maildrop::new(UniqueIds::inbox(listing.names.clone()), messages);
    whole(&mut mailbox.retrieve_and_learn(uid(3), &maildrop).await.unwrap()).await.1.unwrap();
    mailbox.update(&[], &[uid(3)]).await.unwrap();
    // What is on the disk now is all that is left of it.
    let left = tempfile::tempdir().unwrap();
    let state = left.path().join("state");
    crate::store::Folder::open(&state).unwrap();
    for entry in std::fs::read_dir(folder.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, state.join(path.file_name().unwrap())).unwrap();
    }
    let mut bridge = Provider::new(&[then]).delete(Delete::Hide);
    bridge.use_folder(&left);
    let (other, listing) = bridge.open().await.unwrap();
    assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [14]);
    other.close().await;
    mailbox.close().await;
    killed.kept().await;
    bridge.kept().await;
    assert_eq!(hidden(&state).await, these(8, &[13]));
}

/// What is hidden stays hidden through any number of renumberings, as unique-ids stay, and also where upstream comes back
/// to a UIDVALIDITY that it had, which it should never do (RFC 3501 §2.3.1.1).
#[tokio::test(start_paused = true)]
async fn what_is_hidden_stays_hidden_when_the_mailbox_is_renumbered_twice() {
    let logins = |numberings: &[u32]| {
        let mut from = 1;
        let mut scripts = Vec::new();
        for (at, uid_validity) in (0u32..).zip(numberings) {
            let (one, two) = (at * 10 + 3, at * 10 + 4);
            let listed = with_ids(*uid_validity, &[(one, "Ma"), (two, "Mb")], from);
            let quit = if at == 0 { selected(*uid_validity, "") } else { String::new() };
            scripts.push(joined(&[&listed, &hints(&format!("{one}:{two}"), ""), &quit]));
            from = two + 1;
        }
        scripts
    };
    for numberings in [&[7, 8, 9][..], &[7, 8, 9, 10], &[7, 8, 7, 9, 8, 7]] {
        let (provider, _folder) = Provider::new(&logins(numberings)).ledger();
        let provider = provider.delete(Delete::Hide);
        let (mut mailbox, _) = provider.open().await.unwrap();
        mailbox.update(&[], &[uid(3)]).await.unwrap();
        mailbox.close().await;
        for _ in 1..numberings.len() {
            provider.resources.ledger.written().await;
            let (mailbox, listing) = provider.open().await.unwrap();
            let ids = UniqueIds::inbox(listing.names.clone());
            let mut shown = Vec::new();
            listing.messages.iter().for_each(|message| ids.write(message.uid, &mut shown));
            assert_eq!(String::from_utf8(shown).unwrap(), "7.4", "{numberings:?}");
            mailbox.close().await;
        }
        provider.kept().await;
    }
}

/// What is known again is on the disk before upstream is asked for anything more.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_lost_behind_a_renumbering_shows_nothing_again() {
    let listed = |at: u32, from| with_ids(7 + at, &[(at * 10 + 3, "Ma"), (at * 10 + 4, "Mb")], from);
    let first = listed(0, 1) + &hints("3:4", "") + &selected(7, "");
    let second = listed(1, 5) + &hints("13:14", "");
    let lost = listed(2, 15) + "C: $a UID SEARCH UID 23:24 KEYWORD $FootbridgeHidden\nEOF\n";
    let last = listed(2, 25).split("C: $z").next().unwrap().to_owned() + &hints("23:24", "");
    let lost_again = "C: $a EXAMINE \"INBOX\"\nEOF\n".to_owned();
    let scripts = [first, second, lost, lost_again, last].map(|script| &*script.leak());
    let (provider, _folder) = Provider::new(&scripts).ledger();
    let provider = provider.delete(Delete::Hide);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[], &[uid(3)]).await.unwrap();
    mailbox.close().await;
    provider.resources.ledger.written().await;
    provider.open().await.unwrap().0.close().await;
    provider.resources.ledger.written().await;
    assert!(matches!(provider.open().await, Err(UpstreamError::Lost { .. })));
    provider.resources.ledger.written().await;
    let (mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [24]);
    mailbox.close().await;
    provider.kept().await;
}

/// RFC 3501 §2.3.1.1 forbids it: the UIDs of a UIDVALIDITY that came back are other messages'. Nobody looked at what is
/// hidden when it had another one.
#[tokio::test(start_paused = true)]
async fn a_uidvalidity_that_came_back_hides_no_other_message() {
    let first = with_ids(7, &[(3, "Ma"), (4, "Mb")], 1) + &hints("3:4", "") + &selected(7, "");
    let away = with_ids(8, &[(13, "Mb")], 5);
    let back = with_ids(7, &[(3, "Mz"), (4, "Mb")], 14) + &hints("3:4", "");
    let scripts = [first, away, back].map(|script| &*script.leak());
    let (mut provider, _folder) = Provider::new(&scripts).ledger();
    let mut shown = Vec::new();
    for (delete, hides) in [(Delete::Hide, &[uid(3)][..]), (Delete::Keep, &[]), (Delete::Hide, &[])] {
        provider.account.pop3.delete = delete;
        let (mut mailbox, listing) = provider.open().await.unwrap();
        shown.push(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>());
        mailbox.update(&[], hides).await.unwrap();
        mailbox.close().await;
        provider.resources.ledger.written().await;
    }
    provider.kept().await;
    assert_eq!(shown, [vec![3, 4], vec![13], vec![3, 4]]);
}
