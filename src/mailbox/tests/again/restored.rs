//! Mailboxes that were restored from a backup, or made anew, under the same UIDVALIDITY.

use super::*;

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
