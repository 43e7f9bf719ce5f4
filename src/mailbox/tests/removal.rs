use super::*;

const OPENED: &str = r#"
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 1:* (UID RFC822.SIZE)
    S: * 0 EXISTS
    S: * OK [UIDVALIDITY 7] x
    S: $a OK x
    S: $b OK x
"#;

const SELECTED: &str = r#"
    C: $a SELECT "INBOX"
    S: * OK [UIDVALIDITY 7] x
    S: $a OK [READ-WRITE] x
"#;

/// Capabilities, then the mailbox and the folders in one flight.
fn flown(capabilities: &str, folders: &str) -> String {
    format!(
        "{OPENED}
        C: $a CAPABILITY
        S: * CAPABILITY IMAP4rev1 {capabilities}
        S: $a OK x
        C: $a SELECT \"INBOX\"
        C: $b LIST \"\" \"*\"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-WRITE] x
        S: * LIST () \"/\" INBOX
        {folders}
        S: $b OK x"
    )
}

/// Folders alone, for a plan that is only told.
fn planned(folders: &str) -> String {
    format!(
        "{OPENED}
        C: $a CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: $a OK x
        C: $a LIST \"\" \"*\"
        S: * LIST () \"/\" INBOX
        {folders}
        S: $a OK x"
    )
}

fn joined(parts: &[&str]) -> &'static str {
    parts.join("\n").leak()
}

const TRASH: &str = r#"S: * LIST (\HasNoChildren \Trash) "/" "Bin &AOk-""#;

/// What `update` says for DELE of 3, 4 and 9.
async fn update(provider: Provider) -> String {
    let (mut mailbox, _) = provider.open().await.unwrap();
    let outcome = mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await;
    mailbox.close().await;
    provider.kept().await;
    match outcome {
        Ok(()) => "Ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

async fn check(delete: Delete, scripts: &[&'static str]) -> String {
    update(Provider::new(scripts).delete(delete)).await
}

#[tokio::test(start_paused = true)]
async fn auto_moves_to_the_trash_by_special_use() {
    // RFC 6154 §2, RFC 6851 §3.1.
    let script = joined(&[
        &flown("MOVE UIDPLUS", TRASH),
        r#"
        C: $a UID MOVE 3:4,9 "Bin &AOk-"
        S: * OK [COPYUID 1 3:4,9 1:3] moved
        S: * 1 EXPUNGE
        S: $a OK x"#,
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn special_use_is_asked_for_where_it_must_be_and_not_where_that_is_known_to_fail() {
    // RFC 6154 §2: a server need not tell in the plain form.
    let script = joined(&[
        OPENED,
        r#"
        C: $a CAPABILITY
        S: * CAPABILITY IMAP4rev1 SPECIAL-USE LIST-EXTENDED MOVE
        S: $a OK x
        C: $a SELECT "INBOX"
        C: $b LIST "" "*" RETURN (SPECIAL-USE)
        S: * LIST () "." INBOX
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-WRITE] x
        S: * LIST (\Trash) "." x ("CHILDINFO" ("SUBSCRIBED"))
        S: $b OK x"#,
        r#"
        C: $a UID MOVE 3:4,9 "x"
        S: $a OK x"#,
    ]);
    assert_eq!(check(Delete::Trash, &[script]).await, "Ok");
    let script = joined(&[
        &flown("SPECIAL-USE LIST-EXTENDED MOVE", TRASH),
        r#"
        C: $a UID MOVE 3:4,9 "Bin &AOk-"
        S: $a OK x"#,
    ]);
    let provider = Provider::new(&[script]).quirks(&[Quirk::ListSpecialUseBad]);
    assert_eq!(update(provider).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn without_move_a_copy_then_the_mark_then_uid_expunge() {
    // RFC 4315 §2.1: foreign marks survive.
    let script = joined(&[
        &flown("UIDPLUS", TRASH),
        r#"
        C: $a UID COPY 3:4,9 "Bin &AOk-"
        S: $a OK [COPYUID 1 3:4,9 1:3] x
        C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
        S: $a OK x
        C: $a UID EXPUNGE 3:4,9
        S: $a OK x"#,
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // Quirk NoMove: the capability is there and not to be believed.
    let script = script.replace("IMAP4rev1 UIDPLUS", "IMAP4rev1 UIDPLUS MOVE").leak();
    assert_eq!(update(Provider::new(&[script]).quirks(&[Quirk::NoMove])).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_fails_stops_everything() {
    let script = joined(&[
        &flown("UIDPLUS", TRASH),
        r#"
        C: $a UID COPY 3:4,9 "Bin &AOk-"
        S: $a NO [OVERQUOTA] full
        C: $a UID FETCH 3:4,9 (UID)
        S: * 1 FETCH (UID 3)
        S: * 2 FETCH (UID 4)
        S: * 3 FETCH (UID 9)
        S: $a OK x"#,
    ]);
    assert_eq!(
        check(Delete::Auto, &[script]).await,
        r#"Refused { command: "COPY", text: "full [OVERQUOTA]" }"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_move_is_looked_into() {
    let refused = |left: &str| {
        joined(&[
            &flown("MOVE", TRASH),
            r#"
        C: $a UID MOVE 3:4,9 "Bin &AOk-"
        S: $a NO [SERVERBUG2] half
        C: $a UID FETCH 3:4,9 (UID)"#,
            left,
            "S: $a OK x",
        ])
    };
    assert_eq!(check(Delete::Auto, &[refused("")]).await, "Ok");
    // All are there still: no more is tried.
    let all = "S: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: * 3 FETCH (UID 9)";
    let heard = check(Delete::Auto, &[refused(all)]).await;
    assert_eq!(heard, r#"Refused { command: "MOVE", text: "half [SERVERBUG2]" }"#);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_sake_of_messages_that_are_gone_keeps_no_other() {
    // RFC 5530 §3 EXPUNGEISSUED: another program was quicker with 3 and 9.
    let refused = |command: &str| {
        joined(&[
            &format!("C: $a {command}\nS: $a NO [EXPUNGEISSUED] some are gone"),
            "C: $a UID FETCH 3:4,9 (UID)\nS: * 1 FETCH (UID 4)\nS: $a OK x",
        ])
    };
    let script = joined(&[
        &flown("MOVE", TRASH),
        refused("UID MOVE 3:4,9 \"Bin &AOk-\""),
        "C: $a UID MOVE 4 \"Bin &AOk-\"\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    let script = joined(&[
        &flown("UIDPLUS", TRASH),
        refused("UID COPY 3:4,9 \"Bin &AOk-\""),
        "C: $a UID COPY 4 \"Bin &AOk-\"\nS: $a OK x",
        "C: $a UID STORE 4 +FLAGS.SILENT (\\Deleted)\nS: $a OK x",
        "C: $a UID EXPUNGE 4\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // And once more refused is refused.
    let script = joined(&[
        OPENED,
        SELECTED,
        refused("UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)"),
        "C: $a UID STORE 4 +FLAGS.SILENT (\\Deleted)\nS: $a NO not that one",
    ]);
    assert_eq!(check(Delete::Flag, &[script]).await, r#"Refused { command: "STORE", text: "not that one" }"#);
}

#[tokio::test(start_paused = true)]
async fn a_trash_that_is_gone_meanwhile_is_not_made() {
    let script = joined(&[
        &flown("MOVE", TRASH),
        r#"
        C: $a UID MOVE 3:4,9 "Bin &AOk-"
        S: $a NO [TRYCREATE] no such folder
        C: $a UID FETCH 3:4,9 (UID)
        S: * 1 FETCH (UID 3)
        S: * 2 FETCH (UID 4)
        S: * 3 FETCH (UID 9)
        S: $a OK x"#,
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, r#"NoFolder { folder: "Bin é" }"#);
}

#[tokio::test(start_paused = true)]
async fn expunge_removes_by_uid_and_auto_does_where_there_is_no_trash() {
    let expunged = r#"
        C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
        S: $a OK x
        C: $a UID EXPUNGE 3:4,9
        S: $a OK x"#;
    for folders in ["", r#"S: * LIST (\Noselect \Trash) "/" t"#] {
        let script = joined(&[&flown("UIDPLUS MOVE", folders), expunged]);
        assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    }
    // No folder matters here.
    const CAPABLE: &str = "C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 MOVE UIDPLUS\nS: $a OK x";
    let script = joined(&[OPENED, SELECTED, CAPABLE, expunged]);
    assert_eq!(check(Delete::Expunge, &[script]).await, "Ok");
    // The maildrop is the Trash: moving it there would remove nothing.
    let script = joined(&[&flown("UIDPLUS MOVE", TRASH), expunged]);
    let provider = Provider::new(&[script.replace("\"INBOX\"", "\"Bin &AOk-\"").leak()]).folder("Bin é");
    assert_eq!(update(provider).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn trash_and_archive_that_are_missing_are_found_out_before_anything_happens() {
    let script = joined(&[&flown("UIDPLUS MOVE", "")]);
    assert_eq!(check(Delete::Trash, &[script]).await, r#"NoFolder { folder: "Trash" }"#);
    assert_eq!(check(Delete::Archive, &[script]).await, r#"NoFolder { folder: "Archive" }"#);
    let script = joined(&[
        OPENED,
        r#"
        C: $a CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: $a OK x
        C: $a SELECT "INBOX"
        C: $b LIST "" "*"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK x
        S: $b OK x"#,
    ]);
    let heard = check(Delete::Auto, &[script]).await;
    assert_eq!(heard, r#"Refused { command: "LIST", text: "it lists no folder at all" }"#);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_expunged_because_a_row_of_the_list_cannot_be_read() {
    // RFC 3501 §7.2.2: the row may be the Trash's.
    for row in [r#"S: * LIST (\Trash "/" Bin"#, r#"S: * LIST (\Trash) "/" ("#] {
        let script = joined(&[&flown("UIDPLUS MOVE", row)]);
        let heard = check(Delete::Auto, &[script]).await;
        assert_eq!(heard, r#"Refused { command: "LIST", text: "its list of folders cannot be read" }"#);
    }
    // Where the Trash is found the other rows do not matter.
    let script = joined(&[
        &flown("MOVE", &format!("S: * LIST (\\Marked \"/\" x\n{TRASH}")),
        r#"
        C: $a UID MOVE 3:4,9 "Bin &AOk-"
        S: $a OK x"#,
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_died_in_silence_before_quit_is_replaced() {
    let asleep = joined(&[OPENED, "C: $a NOOP"]);
    let flagged = "C: $a UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)\nS: $a OK x";
    let provider = Provider::new(&[asleep, joined(&[SELECTED, flagged])]).delete(Delete::Flag);
    let (mut mailbox, _) = provider.open().await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await.unwrap();
    mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn folders_go_by_name_where_no_attribute_helps() {
    let script = joined(&[
        &flown("MOVE", r#"S: * LIST () "." "INBOX.papierkorb""#),
        r#"
        C: $a UID MOVE 3:4,9 "INBOX.papierkorb"
        S: $a OK x"#,
    ]);
    let mut provider = Provider::new(&[script]);
    provider.account.folders.trash = vec!["Trash".to_owned(), "Papierkorb".to_owned()];
    assert_eq!(update(provider).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn where_folders_are_labels_expunge_is_trash_and_archive_is_all_mail() {
    const GMAIL: &str = r#"
        S: * LIST (\Noselect) "/" "[Gmail]"
        S: * LIST (\All) "/" "[Gmail]/All Mail"
        S: * LIST (\Trash) "/" "[Gmail]/Bin""#;
    let quirks = [Quirk::Labels, Quirk::ExpungeArchives];
    for (delete, folder) in [
        (Delete::Auto, "[Gmail]/Bin"),
        (Delete::Expunge, "[Gmail]/Bin"),
        (Delete::Trash, "[Gmail]/Bin"),
        (Delete::Archive, "[Gmail]/All Mail"),
    ] {
        let moved = format!("C: $a UID MOVE 3:4,9 \"{folder}\"\nS: $a OK x");
        let script = joined(&[&flown("MOVE UIDPLUS", GMAIL), &moved]);
        assert_eq!(update(Provider::new(&[script]).delete(delete).quirks(&quirks)).await, "Ok");
    }
    // Its owner hides the Trash from IMAP: then nothing is expunged instead.
    let script = joined(&[&flown("MOVE UIDPLUS", "")]);
    let heard = update(Provider::new(&[script]).quirks(&quirks)).await;
    assert_eq!(heard, r#"NoFolder { folder: "Trash" }"#);
}

#[tokio::test(start_paused = true)]
async fn flag_marks_and_keep_does_nothing_and_seen_comes_first() {
    let script = joined(&[
        OPENED,
        SELECTED,
        r#"
        C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
        S: $a OK x"#,
    ]);
    assert_eq!(check(Delete::Flag, &[script]).await, "Ok");
    assert_eq!(check(Delete::Keep, &[OPENED]).await, "Ok");
    let script = joined(&[
        OPENED,
        SELECTED,
        r#"
        C: $a UID STORE 1:2 +FLAGS.SILENT (\Seen)
        S: $a OK x"#,
    ]);
    let provider = Provider::new(&[script]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[uid(2), uid(1)], &[]).await.unwrap();
    mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_from_another_numbering_or_a_read_only_mailbox() {
    // RFC 3501 §2.3.1.1.
    let script = joined(&[
        OPENED,
        r#"
        C: $a SELECT "INBOX"
        S: * OK [UIDVALIDITY 8] x
        S: $a OK [READ-WRITE] x"#,
    ]);
    assert!(check(Delete::Flag, &[script]).await.starts_with("UidValidityChanged"));
    let script = joined(&[
        OPENED,
        r#"
        C: $a SELECT "INBOX"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-ONLY] x"#,
    ]);
    assert!(check(Delete::Flag, &[script]).await.starts_with("Refused"));
    let script = joined(&[
        OPENED,
        r#"
        C: $a SELECT "INBOX"
        S: $a NO [NONEXISTENT] gone"#,
    ]);
    assert!(check(Delete::Flag, &[script]).await.starts_with("NoFolder"));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_renumbered_during_the_removal_ends_it() {
    // RFC 2683 §3.4.3: upstream may say so unasked.
    let renumbered = "S: * OK [UIDVALIDITY 8] rebuilt\nS: $a OK x";
    let script = joined(&[&flown("UIDPLUS", TRASH), "C: $a UID COPY 3:4,9 \"Bin &AOk-\"", renumbered]);
    assert!(check(Delete::Auto, &[script]).await.starts_with("UidValidityChanged"));
    let script = joined(&[&flown("", ""), EXPUNGED.split("S: * SEARCH 3 4 9").next().unwrap(), renumbered]);
    assert!(check(Delete::Auto, &[script]).await.starts_with("UidValidityChanged"));
}

const EXPUNGED: &str = r#"
    C: $a UID SEARCH DELETED
    S: * SEARCH 1 2 4
    S: $a OK x
    C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID STORE 1:2 -FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID SEARCH DELETED
    S: * SEARCH 3 4 9
    S: $a OK x
    C: $a EXPUNGE
    S: * 3 EXPUNGE
    S: $a OK x
    C: $a UID STORE 1:2 +FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID FETCH 3:4,9 (UID)
    S: $a OK x"#;

#[tokio::test(start_paused = true)]
async fn the_bare_expunge_lifts_foreign_marks_and_puts_them_back() {
    let script = joined(&[&flown("", ""), EXPUNGED]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

/// All of ours are there.
const THERE: &str = r#"
    C: $a UID FETCH 3:4,9 (UID)
    S: * 3 FETCH (UID 3)
    S: * 4 FETCH (UID 4)
    S: * 5 FETCH (UID 9)
    S: $a OK x"#;

/// Our marks and no other: 4 was marked by somebody else, as 1 and 2 were.
const TAKEN_BACK: &str = r#"
    C: $a UID STORE 3,9 -FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID STORE 1:2 +FLAGS.SILENT (\Deleted)
    S: $a OK x"#;

#[tokio::test(start_paused = true)]
async fn any_doubt_about_the_bare_expunge_takes_everything_back() {
    // RFC 3501 §6.4.3.
    let until = |step: &str| EXPUNGED.split(step).next().unwrap();
    for (before, line, text) in [
        (
            "S: * SEARCH 3 4 9",
            "S: * SEARCH 3 4 9 1\nS: $a OK x",
            "other messages are marked deleted and would go too",
        ),
        ("S: * SEARCH 3 4 9", "S: $a NO cannot search", "cannot search"),
        (
            "S: * SEARCH 3 4 9",
            "S: $a OK and nothing else\nC: $a UID FETCH 3:4,9 (UID)\nS: * 3 FETCH (UID 9)\nS: $a OK x",
            "it does not tell which messages are marked deleted",
        ),
        ("S: * 3 EXPUNGE", "S: $a NO not now", "not now"),
    ] {
        let script = joined(&[&flown("", ""), until(before), line, TAKEN_BACK, THERE]);
        let heard = check(Delete::Auto, &[script]).await;
        assert!(heard.starts_with("Refused") && heard.contains(text), "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_bare_expunge_undoes_only_what_it_did() {
    let refused = "S: $a NO not now";
    let until = |step: &str| EXPUNGED.split(step).next().unwrap();
    // Nothing was marked yet.
    let script = joined(&[&flown("", ""), until("S: * SEARCH 1 2 4"), refused, THERE]);
    assert!(check(Delete::Auto, &[script]).await.starts_with("Refused"));
    // Nothing was lifted yet.
    let script = joined(&[
        &flown("", ""),
        until("S: $a OK x\n    C: $a UID STORE 1:2 -FLAGS"),
        refused,
        "C: $a UID STORE 3,9 -FLAGS.SILENT (\\Deleted)\nS: $a OK x",
        THERE,
    ]);
    assert!(check(Delete::Auto, &[script]).await.starts_with("Refused"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_replaced_once_and_what_is_left_goes_on() {
    const CAPABLE: &str = "C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 MOVE UIDPLUS\nS: $a OK x";
    let lost = joined(&[&flown("MOVE UIDPLUS", TRASH), "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nEOF"]);
    let left = "C: $a UID FETCH 3:4,9 (UID)\nS: * 1 FETCH (UID 9)\nS: $a OK x";
    let moved = "C: $a UID MOVE 9 \"Bin &AOk-\"\nS: $a OK x";
    assert_eq!(check(Delete::Auto, &[lost, joined(&[SELECTED, left, CAPABLE, moved])]).await, "Ok");
    // Renumbered meanwhile: nothing more is touched.
    let renumbered = joined(&["C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY 9] x\nS: $a OK x"]);
    assert!(check(Delete::Auto, &[lost, renumbered]).await.starts_with("UidValidityChanged"));
    // Lost again: once is enough.
    let again = joined(&["C: $a SELECT \"INBOX\"\nEOF"]);
    assert_eq!(check(Delete::Auto, &[lost, again]).await, r#"Lost { command: "SELECT" }"#);
    // Asleep since login, with a farewell.
    let asleep = joined(&[OPENED, "S: * BYE idle for too long\nEOF"]);
    let flagged = joined(&[
        SELECTED,
        "C: $a UID FETCH 3:4,9 (UID)\nS: * 1 FETCH (UID 9)\nS: $a OK x",
        "C: $a UID STORE 9 +FLAGS.SILENT (\\Deleted)\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Flag, &[asleep, flagged]).await, "Ok");
    // The access token of the login has ended meanwhile.
    let ended = joined(&[
        OPENED,
        "C: $a SELECT \"INBOX\"\nS: * BYE Session invalidated - AccessTokenExpired\nS: $a NO no",
    ]);
    assert_eq!(check(Delete::Flag, &[ended, flagged]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_made_once_or_the_whole_is_given_up() {
    const CAPABLE: &str = "C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 UIDPLUS\nS: $a OK x";
    let copied = "C: $a UID COPY 3:4,9 \"Bin &AOk-\"\nS: $a OK x\nC: $a UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)\nEOF";
    let lost = joined(&[&flown("UIDPLUS", TRASH), copied]);
    let rest = joined(&[
        SELECTED,
        "C: $a UID FETCH 3:4,9 (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: $a OK x",
        CAPABLE,
        "C: $a UID STORE 3:4 +FLAGS.SILENT (\\Deleted)\nS: $a OK x\nC: $a UID EXPUNGE 3:4\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
    let unknown = joined(&[&flown("UIDPLUS", TRASH), "C: $a UID COPY 3:4,9 \"Bin &AOk-\"\nEOF"]);
    assert_eq!(check(Delete::Auto, &[unknown]).await, r#"Lost { command: "COPY" }"#);
}

#[tokio::test(start_paused = true)]
async fn marks_lifted_over_a_lost_connection_are_put_back_over_the_next() {
    const CAPABLE: &str = "C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $a OK x";
    let lost =
        joined(&[&flown("", ""), EXPUNGED.split("C: $a EXPUNGE").next().unwrap(), "C: $a EXPUNGE\nEOF"]);
    let rest = joined(&[
        SELECTED,
        r#"
        C: $a UID STORE 1:2 +FLAGS.SILENT (\Deleted)
        S: $a OK x
        C: $a UID FETCH 3:4,9 (UID)
        S: * 1 FETCH (UID 3)
        S: * 2 FETCH (UID 4)
        S: * 3 FETCH (UID 9)
        S: $a OK x"#,
        CAPABLE,
        EXPUNGED,
    ]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn singly_where_sets_fail() {
    let one = |uid: &str| format!("C: $a UID STORE {uid} +FLAGS.SILENT (\\Deleted)\nS: $a OK x");
    let script = joined(&[OPENED, SELECTED, &one("3"), &one("4"), &one("9")]);
    let provider = Provider::new(&[script]).delete(Delete::Flag).quirks(&[Quirk::DeleteSingly]);
    assert_eq!(update(provider).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_told_without_changing_anything() {
    for (delete, folders, expected) in [
        (Delete::Auto, TRASH, "moved to the folder Bin é"),
        (Delete::Auto, "", "removed for good"),
        (Delete::Expunge, TRASH, "removed for good"),
    ] {
        let script = if delete == Delete::Expunge { OPENED } else { planned(folders).leak() };
        let provider = Provider::new(&[script]).delete(delete);
        let (mut mailbox, _) = provider.open().await.unwrap();
        assert_eq!(mailbox.removal_plan().await.unwrap().to_string(), expected);
        mailbox.close().await;
        provider.kept().await;
    }
}
