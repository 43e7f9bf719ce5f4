use super::*;

/// UIDVALIDITY and `uid:octets` of each message, or the fault.
async fn check(script: &'static str) -> String {
    let provider = Provider::new(&[script]);
    let outcome = match provider.open().await {
        Ok((mailbox, listing)) => {
            mailbox.close().await;
            let messages =
                listing.messages.iter().map(|message| format!(" {}:{}", message.uid, message.octets));
            listing.uid_validity.to_string() + &messages.collect::<String>()
        }
        Err(error) => format!("{error:?}"),
    };
    provider.kept().await;
    outcome
}

#[tokio::test(start_paused = true)]
async fn one_flight_whatever_the_order_and_company_of_items() {
    let heard = check(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * FLAGS (\Seen)
        S: * 6 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * 9 FETCH (UID 99 RFC822.SIZE 9)
        S: $a OK [READ-ONLY] done
        S: * 1 FETCH (UID 12 RFC822.SIZE 100)
        S: * 2 FETCH (RFC822.SIZE 200 FLAGS (\Seen $A) UID 11)
        S: * 3 FETCH (UID 13  RFC822.SIZE -1 )
        S: * 4 FETCH (X-ODD ("a)" (b {3}
        S: ))) c)) UID 14 RFC822.SIZE 99999999999999999999)
        S: * 5 FETCH (UID 4294967295 RFC822.SIZE 5000000000)
        S: * 5 FETCH (FLAGS (\Seen))
        S: * 6 FETCH (UID 15)
        S: * 6 FETCH (UID 15 RFC822.SIZE 15)
        S: * 7 FETCH (UID 0 RFC822.SIZE 15)
        S: * WHATEVER this is
        S: $b OK done
    "#,
    )
    .await;
    assert_eq!(heard, "7 11:200 12:100 13:0 14:0 15:15 4294967295:5000000000");
}

#[tokio::test(start_paused = true)]
async fn an_empty_mailbox_is_empty_whatever_is_said_of_its_messages() {
    let heard = check(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 0 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: $a OK done
        S: $b BAD no such message
    "#,
    )
    .await;
    assert_eq!(heard, "7");
}

#[tokio::test(start_paused = true)]
async fn a_refused_listing_is_no_empty_mailbox() {
    let heard = check(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 2 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: $a OK done
        S: * 1 FETCH (UID 1 RFC822.SIZE 1)
        S: $b NO [UNAVAILABLE] FETCH Server error
    "#,
    )
    .await;
    assert_eq!(heard, r#"Unavailable { text: "FETCH Server error [UNAVAILABLE]", wait: None }"#);
}

#[tokio::test(start_paused = true)]
async fn a_listing_in_which_messages_are_missing_is_an_error() {
    let heard = check(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: $a OK done
        S: * 3 FETCH (UID 9 RFC822.SIZE 1)
        S: $b OK done
        C: $c UID FETCH 1:8 (UID RFC822.SIZE)
        S: $c OK done
        C: $d NOOP
        S: $d OK done
    "#,
    )
    .await;
    assert_eq!(heard, r#"Refused { command: "FETCH", text: "it left 2 messages out of its listing" }"#);
}

#[tokio::test(start_paused = true)]
async fn messages_that_went_meanwhile_are_not_missing_and_new_ones_may_be_there() {
    let heard = check(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 3 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: $a OK done
        S: * 1 EXPUNGE
        S: * 1 FETCH (UID 8 RFC822.SIZE 1)
        S: $b OK done
        C: $c UID FETCH 1:7 (UID RFC822.SIZE)
        S: $c OK done
        C: $d NOOP
        S: * 1 EXPUNGE
        S: * 2 EXISTS
        S: $d OK done
    "#,
    )
    .await;
    assert_eq!(heard, "7 8:1");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lists_only_so_many_at_once_is_asked_for_more() {
    // RFC 9738 §3.1.
    let heard = check(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 4 EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: $a OK done
        S: * 4 FETCH (UID 9 RFC822.SIZE 9)
        S: * 3 FETCH (UID 8 RFC822.SIZE 8)
        S: $b OK [MESSAGELIMIT 2 8] no more
        C: $c UID FETCH 1:7 (UID RFC822.SIZE)
        S: * 2 FETCH (UID 6 RFC822.SIZE 6)
        S: * 1 FETCH (UID 5 RFC822.SIZE 5)
        S: $c OK done
    "#,
    )
    .await;
    assert_eq!(heard, "7 5:5 6:6 8:8 9:9");
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_examine_says() {
    for (line, expected) in [
        ("S: $a NO [NONEXISTENT] Unknown Mailbox", r#"NoFolder { folder: "INBOX" }"#),
        ("S: $a NO Mailbox doesn't exist: x", r#"NoFolder { folder: "INBOX" }"#),
        ("S: $a NO [UNAVAILABLE] later", r#"Unavailable { text: "later [UNAVAILABLE]", wait: None }"#),
        (
            "S: $a BAD User is authenticated but not connected.",
            r#"NotServed { text: "User is authenticated but not connected." }"#,
        ),
        ("S: $a NO [NOPERM] not yours", r#"Refused { command: "EXAMINE", text: "not yours [NOPERM]" }"#),
        (
            "S: $a OK no numbers",
            r#"Refused { command: "EXAMINE", text: "it gives the mailbox no UIDVALIDITY" }"#,
        ),
    ] {
        let script = format!(
            "C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH 1:* (UID RFC822.SIZE)\n{line}\nS: $b BAD nothing selected"
        );
        assert_eq!(check(script.leak()).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_goes_out_in_modified_utf7_and_quoted() {
    // RFC 3501 §5.1.3.
    let provider = Provider::new(&[r#"
        C: $a EXAMINE "A&AOk-\"b"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 0 EXISTS
        S: * OK [UIDVALIDITY 1] x
        S: $a OK x
        S: $b OK x
    "#])
    .folder("Aé\"b");
    provider.open().await.unwrap().0.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_seen_once_gives_its_exact_size() {
    // RFC 1939 §11.
    let provider = Provider::new(&[
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 1] x
        S: $a OK x
        S: * 1 FETCH (UID 5 RFC822.SIZE 999)
        S: $b OK x
        C: $c UID FETCH 5 (UID BODY.PEEK[])
        R: * 1 FETCH (UID 5 BODY[] {3}\r\na\nb)\r\n
        S: $c OK x
    "#,
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH 1:* (UID RFC822.SIZE)
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 1] x
        S: $a OK x
        S: * 1 FETCH (UID 5 RFC822.SIZE 999)
        S: $b OK x
    "#,
    ]);
    let (mut mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(listing.messages, [Message { uid: uid(5), octets: 999 }]);
    let mut body = mailbox.body(uid(5)).await.unwrap();
    assert_eq!(body.octets(), 3);
    assert_eq!(whole(&mut body).await.0, b"a\nb");
    mailbox.close().await;
    let (mut mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(listing.messages, [Message { uid: uid(5), octets: 6 }]);
    assert_eq!(whole(&mut mailbox.body(uid(5)).await.unwrap()).await.0, b"a\nb");
    mailbox.close().await;
    provider.kept().await;
}
