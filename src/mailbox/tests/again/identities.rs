//! By what messages would be known again: what the ledger learns of it.

use super::*;
use crate::mail::{HeaderIdentity, Identity, ObjectId};

/// What the ledger has of identities after the mailbox was found like this, one time after the other.
async fn known(scripts: &[&'static str]) -> Vec<(u32, Identity)> {
    let (provider, _folder) = Provider::new(scripts).ledger();
    for _ in scripts {
        let (mailbox, _) = provider.open().await.unwrap();
        mailbox.close().await;
        provider.resources.ledger.written().await;
    }
    let identities = identities(&provider).await;
    provider.kept().await;
    identities
}

async fn identities(provider: &Provider) -> Vec<(u32, Identity)> {
    let page = provider.resources.ledger.page(&provider.account, "INBOX");
    let before = page.before().await.unwrap();
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
    let retrieved = r"
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
    ";
    let (provider, _folder) = Provider::new(&[since(1, 3, 9, retrieved)]).ledger();
    let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
    let (mut mailbox, _) = provider.open().await.unwrap();
    // The second time from the cache.
    for number in [3, 5, 8, 3] {
        let mut body = mailbox.retrieve_and_learn(uid(number), &maildrop).await.unwrap();
        whole(&mut body).await.1.unwrap();
    }
    mailbox.close().await;
    provider.resources.ledger.written().await;
    let identity = |octets| {
        let mut header = HeaderIdentity::default();
        header.take(HEADER);
        header.finish(octets).unwrap()
    };
    assert_eq!(identities(&provider).await, [(3, identity(36)), (5, identity(26))]);
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
        let retrieved = format!(
            "S: * 1 FETCH (UID 3 RFC822.SIZE 36)\nS: $b OK done\nC: $c UID FETCH 3 (UID BODY.PEEK[])\n{came}"
        );
        let (provider, _folder) = Provider::new(&[since(1, 1, 9, &retrieved)]).ledger();
        let maildrop = Maildrop::new(UniqueIds::inbox(UidValidity::FIRST), []);
        let (mut mailbox, _) = provider.open().await.unwrap();
        let mut body = mailbox.retrieve_and_learn(uid(3), &maildrop).await.unwrap();
        let (octets, end) = whole(&mut body).await;
        assert!(octets.starts_with(b"Received: by x\r\n"), "{why}: the header has gone by");
        end.unwrap_err();
        drop(body);
        mailbox.close().await;
        provider.resources.ledger.written().await;
        assert_eq!(identities(&provider).await, [], "{why}");
    }
}
