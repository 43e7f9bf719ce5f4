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

/// Nothing special: what a removal that depends on no folder asks for.
const CAPABLE: &str = r#"
    C: $a CAPABILITY
    S: * CAPABILITY IMAP4rev1
    S: $a OK x
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
        S: * 1 EXPUNGE
        S: * 1 EXPUNGE
        S: $a OK x"#,
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn what_was_done_in_part_is_gone_on_with_as_long_as_it_gets_less() {
    // RFC 9738 §3: an OK to the first of them, and the capability that says how many.
    let moved = |uids: &str| format!("C: $a UID MOVE {uids} \"Bin &AOk-\"");
    let there = |uids: &str, left: &str| format!("C: $a UID FETCH {uids} (UID)\n{left}\nS: $a OK x");
    let cut = [
        &flown("MOVE", TRASH),
        &moved("3:4,9"),
        "S: * 1 EXPUNGE\nS: $a OK [MESSAGELIMIT 1 4] no more",
        &there("3:4,9", "S: * 1 FETCH (UID 4)\nS: * 2 FETCH (UID 9)"),
        &moved("4,9"),
        "S: $a OK [MESSAGELIMIT 1 9] no more",
    ];
    let rest = [&there("4,9", "S: * 1 FETCH (UID 9)"), &moved("9"), "S: * 1 EXPUNGE\nS: $a OK x"];
    assert_eq!(check(Delete::Auto, &[joined(&[cut.as_slice(), &rest].concat())]).await, "Ok");
    // Where nothing more is done, it ends.
    let stuck = [there("4,9", "S: * 1 FETCH (UID 4)\nS: * 2 FETCH (UID 9)")];
    let stuck: Vec<&str> = cut.into_iter().chain(stuck.iter().map(String::as_str)).collect();
    assert_eq!(
        check(Delete::Auto, &[joined(&stuck)]).await,
        r#"Refused { command: "MOVE", text: "it was done in part only: no more [MESSAGELIMIT 1 9]" }"#
    );
    // UID EXPUNGE that removes a part, and another client's removals told beside it.
    let part = |uids: &str, left: &str| {
        format!(
            "C: $a UID STORE {uids} +FLAGS.SILENT (\\Deleted)\nS: $a OK x\n\
             C: $b UID EXPUNGE {uids}\nC: $c UID FETCH {uids} (UID)\n\
             S: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: $b OK x\n{left}\nS: $c OK x"
        )
    };
    let one = "S: * 1 FETCH (UID 9)";
    let first = [flown("UIDPLUS", ""), part("3:4,9", one), there("9", one)].join("\n");
    assert_eq!(check(Delete::Auto, &[joined(&[&first, &part("9", "")])]).await, "Ok");
    assert_eq!(
        check(Delete::Auto, &[joined(&[&first, &part("9", one), &there("9", one)])]).await,
        r#"Refused { command: "EXPUNGE", text: "it left messages in the mailbox" }"#
    );
    let told = joined(&[
        &flown("MOVE MESSAGELIMIT=2", TRASH),
        "C: $a UID MOVE 3:4 \"Bin &AOk-\"\nC: $b UID MOVE 9 \"Bin &AOk-\"",
        "S: $a OK x\nS: $b OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[told]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn where_deletion_marks_do_not_last_nothing_is_copied_or_marked() {
    // RFC 4314 §4: without the right "t" STORE is not refused, the mark is just not there.
    let forgets = |script: String| {
        let flags = "S: * OK [PERMANENTFLAGS (\\Seen \\*)] x\nS: * OK [UIDVALIDITY 7] x\n        S: $a OK [READ-WRITE] x";
        script.replace("S: * OK [UIDVALIDITY 7] x\n        S: $a OK [READ-WRITE] x", flags)
    };
    let left = "C: $a UID FETCH 3:4,9 (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: * 3 FETCH (UID 9)\nS: $a OK x";
    let refused =
        r#"Refused { command: "STORE", text: "it does not let this account mark messages deleted there" }"#;
    let script = joined(&[&forgets(flown("UIDPLUS", TRASH)), left]);
    assert_eq!(check(Delete::Auto, &[script]).await, refused);
    let script = joined(&[&forgets(flown("UIDPLUS", "")), left]);
    assert_eq!(check(Delete::Auto, &[script]).await, refused);
    let selected = SELECTED.replace("    S: * OK", "    S: * OK [PERMANENTFLAGS (\\Seen)] x\n    S: * OK");
    assert_eq!(check(Delete::Flag, &[joined(&[OPENED, CAPABLE, &selected, left])]).await, refused);
    // MOVE needs no mark.
    let script = joined(&[&forgets(flown("MOVE", TRASH)), "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nS: $a OK x"]);
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

/// RFC 2342 §5: what others read is no Trash of this account, whatever its attributes say.
#[tokio::test(start_paused = true)]
async fn nothing_is_moved_to_a_folder_that_is_not_this_accounts_own() {
    let flown = |folders: &str, namespaces: &str| {
        format!(
            r#"{OPENED}
            C: $a CAPABILITY
            S: * CAPABILITY IMAP4rev1 MOVE UIDPLUS NAMESPACE
            S: $a OK x
            C: $a SELECT "INBOX"
            C: $b LIST "" "*"
            C: $c NAMESPACE
            S: * OK [UIDVALIDITY 7] x
            S: $a OK [READ-WRITE] x
            S: * LIST () "/" INBOX
            {folders}
            S: $b OK x
            {namespaces}"#
        )
    };
    const NAMESPACES: &str = "S: * NAMESPACE ((\"\" \"/\")) NIL ((\"Public/\" \"/\"))\nS: $c OK x";
    const FOREIGN: &str = r#"S: * LIST (\Trash) "/" "Public/Trash""#;
    let both = format!("{FOREIGN}\nS: * LIST (\\Trash) \"/\" \"Mine/Deleted/Bin\"");
    let moved = "C: $a UID MOVE 3:4,9 \"Mine/Deleted/Bin\"\nS: $a OK x";
    assert_eq!(check(Delete::Auto, &[joined(&[&flown(&both, NAMESPACES), moved])]).await, "Ok");
    // It is the only one, by attribute or by name.
    let alone = joined(&[&flown(FOREIGN, NAMESPACES)]);
    assert!(check(Delete::Auto, &[alone]).await.contains("not this account's own"));
    assert_eq!(check(Delete::Trash, &[alone]).await, r#"NoFolder { folder: "Trash" }"#);
    // Where nothing tells whose they are, the one that is not below another folder.
    let unknown = format!("{FOREIGN}\nS: * LIST (\\Trash) \"/\" INBOX/Bin");
    let script =
        joined(&[&flown(&unknown, "S: $c NO not now"), "C: $a UID MOVE 3:4,9 \"INBOX/Bin\"\nS: $a OK x"]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
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
        S: $a OK x
        C: $a UID FETCH 3:4,9 (UID)
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
        "C: $a UID EXPUNGE 4\nS: $a OK x\nC: $a UID FETCH 4 (UID)\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // And once more refused is refused.
    let script = joined(&[
        OPENED,
        CAPABLE,
        SELECTED,
        refused("UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)"),
        "C: $a UID STORE 4 +FLAGS.SILENT (\\Deleted)\nS: $a NO not that one",
        "C: $a UID FETCH 4 (UID)\nS: * 1 FETCH (UID 4)\nS: $a OK x",
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
        S: $a OK x
        C: $a UID FETCH 3:4,9 (UID)
        S: $a OK x"#;
    for folders in ["", r#"S: * LIST (\Noselect \Trash) "/" t"#] {
        let script = joined(&[&flown("UIDPLUS MOVE", folders), expunged]);
        assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    }
    // No folder matters here.
    const CAPABLE: &str = "C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 MOVE UIDPLUS\nS: $a OK x";
    let script = joined(&[OPENED, CAPABLE, SELECTED, expunged]);
    assert_eq!(check(Delete::Expunge, &[script]).await, "Ok");
    // The maildrop is the Trash: moving it there would remove nothing.
    let script = joined(&[&flown("UIDPLUS MOVE", TRASH), expunged]);
    let provider = Provider::new(&[script.replace("\"INBOX\"", "\"Bin &AOk-\"").leak()]).folder("Bin é");
    assert_eq!(update(provider).await, "Ok");
}

/// RFC 3501 §5.1: whether case counts in a folder's name is the server's to decide. Moved into its own folder a message
/// would not go, or come back as new.
#[tokio::test(start_paused = true)]
async fn nothing_is_moved_to_a_folder_that_may_be_the_open_one_in_another_case() {
    let doubtful = joined(&[&flown("UIDPLUS MOVE", TRASH)]);
    let script = doubtful.replace("\"INBOX\"", "\"bin &AMk-\"").leak();
    let heard = update(Provider::new(&[script]).folder("bin É")).await;
    assert!(heard.starts_with(r#"Refused { command: "LIST", text: "a folder whose name differs"#), "{heard}");
    // Listed beside it: here case counts.
    let both = format!("{TRASH}\nS: * LIST () \"/\" \"bin &AMk-\"");
    let moved =
        "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nS: * 3 EXPUNGE\nS: * 3 EXPUNGE\nS: * 3 EXPUNGE\nS: $a OK x";
    let script = joined(&[&flown("UIDPLUS MOVE", &both), moved]);
    let script = script.replace("\"INBOX\"", "\"bin &AMk-\"").leak();
    assert_eq!(update(Provider::new(&[script]).folder("bin É")).await, "Ok");
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
    let provider = Provider::new(&[asleep, joined(&[CAPABLE, SELECTED, flagged])]).delete(Delete::Flag);
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
    // By the provider's row, or by what the server says of itself, whatever its host is called.
    let rows: &[Quirk] = &[Quirk::Labels, Quirk::ExpungeArchives];
    for (quirks, capabilities) in [(rows, "MOVE UIDPLUS"), (&[], "MOVE UIDPLUS X-GM-EXT-1")] {
        for (delete, folder) in [
            (Delete::Auto, "[Gmail]/Bin"),
            (Delete::Expunge, "[Gmail]/Bin"),
            (Delete::Trash, "[Gmail]/Bin"),
            (Delete::Archive, "[Gmail]/All Mail"),
            // A mark alone may archive there, or remove for ever: a setting on the web that nobody here can see.
            (Delete::Flag, "[Gmail]/All Mail"),
        ] {
            let moved = format!("C: $a UID MOVE 3:4,9 \"{folder}\"\nS: $a OK x");
            let script = joined(&[&flown(capabilities, GMAIL), &moved]);
            assert_eq!(update(Provider::new(&[script]).delete(delete).quirks(quirks)).await, "Ok");
            let script = planned(GMAIL).replace("IMAP4rev1", &format!("IMAP4rev1 {capabilities}")).leak();
            assert_eq!(told(script, delete, quirks).await, format!("moved to the folder {folder}"));
        }
        // Its owner hides the Trash from IMAP: then nothing is expunged instead.
        let script = joined(&[&flown(capabilities, "")]);
        for (delete, folder) in [
            (Delete::Auto, "Trash"),
            (Delete::Expunge, "Trash"),
            (Delete::Archive, "All Mail"),
            (Delete::Flag, "All Mail"),
        ] {
            let heard = update(Provider::new(&[script]).delete(delete).quirks(quirks)).await;
            assert_eq!(heard, format!("NoFolder {{ folder: {folder:?} }}"));
        }
        // What is in the folder where everything is cannot go there.
        for delete in [Delete::Archive, Delete::Flag] {
            let script = joined(&[&flown(capabilities, GMAIL).replace("\"INBOX\"", "\"[Gmail]/All Mail\"")]);
            let provider = Provider::new(&[script]).folder("[Gmail]/All Mail").delete(delete).quirks(quirks);
            assert_eq!(update(provider).await, "Ok");
        }
        // A tunnel that masks MOVE: a COPY is one more label there, and EXPUNGE behind it may remove for ever.
        for delete in [Delete::Auto, Delete::Expunge, Delete::Trash, Delete::Archive, Delete::Flag] {
            let script = joined(&[&flown(&capabilities.replace("MOVE ", ""), GMAIL)]);
            let heard = update(Provider::new(&[script]).delete(delete).quirks(quirks)).await;
            assert!(
                heard.starts_with(r#"Refused { command: "MOVE", text: "its folders are labels"#),
                "{heard}"
            );
        }
    }
}

async fn told(script: &'static str, delete: Delete, quirks: &[Quirk]) -> String {
    let provider = Provider::new(&[script]).delete(delete).quirks(quirks);
    let (mut mailbox, _) = provider.open().await.unwrap();
    let plan = mailbox.removal_plan().await.unwrap().to_string();
    mailbox.close().await;
    provider.kept().await;
    plan
}

#[tokio::test(start_paused = true)]
async fn flag_marks_and_keep_does_nothing_and_seen_comes_first() {
    let script = joined(&[
        OPENED,
        CAPABLE,
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
        CAPABLE,
        r#"
        C: $a SELECT "INBOX"
        S: * OK [UIDVALIDITY 8] x
        S: $a OK [READ-WRITE] x"#,
    ]);
    assert!(check(Delete::Flag, &[script]).await.starts_with("UidValidityChanged"));
    let script = joined(&[
        OPENED,
        CAPABLE,
        r#"
        C: $a SELECT "INBOX"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-ONLY] x"#,
    ]);
    assert!(check(Delete::Flag, &[script]).await.starts_with("Refused"));
    let script = joined(&[
        OPENED,
        CAPABLE,
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

/// Before a COPY: nothing is marked, and SEARCH finds what is there.
const UNMARKED: &str = r#"
    C: $a UID SEARCH DELETED
    S: * SEARCH
    S: $a OK x
    C: $a UID SEARCH UID 3:4,9
    S: * SEARCH 3 4 9
    S: $a OK x"#;

/// RFC 3501 §6.4.3: a copy that is made before the doubt would be one more in the Trash with every QUIT.
#[tokio::test(start_paused = true)]
async fn what_the_bare_expunge_would_leave_is_not_copied_however_often_it_is_asked_for() {
    let lifted = "C: $a UID SEARCH DELETED\nS: * SEARCH 1 2 4\nS: $a OK x\nC: $a UID STORE 1:2 -FLAGS.SILENT (\\Deleted)";
    let put_back = "C: $a UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\nS: $a OK x";
    let still =
        format!("{lifted}\nS: $a OK x\nC: $a UID SEARCH DELETED\nS: * SEARCH 1 4\nS: $a OK x\n{put_back}");
    let kept = format!("{lifted}\nS: $a NO [NOPERM] not yours\n{put_back}");
    let blind = UNMARKED.replace("    S: * SEARCH 3 4 9\n", "") + THERE;
    for (doubt, text) in [
        ("C: $a UID SEARCH DELETED\nS: $a NO cannot search", "cannot search"),
        (&blind, "it does not tell which messages are marked deleted"),
        (&still, "other messages are marked deleted and would go too"),
        (&kept, "not yours"),
    ] {
        let script = joined(&[&flown("", TRASH), doubt, THERE]);
        let provider = Provider::new(&[script, script]);
        for _ in 0..2 {
            let (mut mailbox, _) = provider.open().await.unwrap();
            let heard = mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await.unwrap_err();
            assert!(
                matches!(&heard, UpstreamError::Refused { text: told, .. } if told.contains(text)),
                "{heard:?}"
            );
            mailbox.close().await;
        }
        provider.kept().await;
    }
}

/// While messages are copied, which may take long, the marks of others are where they were.
#[tokio::test(start_paused = true)]
async fn foreign_marks_are_lifted_for_a_look_before_the_copy_and_again_behind_it() {
    let looked = EXPUNGED.split("    C: $a UID STORE 3:4,9").next().unwrap();
    let lifted = r#"
    C: $a UID STORE 1:2 -FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID SEARCH DELETED
    S: * SEARCH 4
    S: $a OK x
    C: $a UID STORE 1:2 +FLAGS.SILENT (\Deleted)"#;
    let copied = "S: $a OK x\nC: $a UID COPY 3:4,9 \"Bin &AOk-\"\nS: $a OK x";
    let script = joined(&[&flown("", TRASH), looked, lifted, copied, EXPUNGED]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // Theirs do not come back: nothing is copied, and a fresh connection tries.
    let refused = joined(&[&flown("", TRASH), looked, lifted, "S: $a NO busy", THERE]);
    let put_back = joined(&[SELECTED, "C: $a UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\nS: $a OK x"]);
    assert_eq!(
        check(Delete::Auto, &[refused, put_back]).await,
        r#"Refused { command: "STORE", text: "busy" }"#
    );
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
        CAPABLE,
        SELECTED,
        "C: $a UID FETCH 3:4,9 (UID)\nS: * 1 FETCH (UID 9)\nS: $a OK x",
        "C: $a UID STORE 9 +FLAGS.SILENT (\\Deleted)\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Flag, &[asleep, flagged]).await, "Ok");
    // The access token of the login has ended meanwhile.
    let ended = joined(&[
        OPENED,
        CAPABLE,
        "C: $a SELECT \"INBOX\"\nS: * BYE Session invalidated - AccessTokenExpired\nS: $a NO no",
    ]);
    let planned = flagged.strip_prefix(CAPABLE).unwrap();
    assert_eq!(check(Delete::Flag, &[ended, planned]).await, "Ok");
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
        "C: $a UID STORE 3:4 +FLAGS.SILENT (\\Deleted)\nS: $a OK x\nC: $a UID EXPUNGE 3:4\nS: $a OK x\nC: $a UID FETCH 3:4 (UID)\nS: $a OK x",
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
    let script = joined(&[OPENED, CAPABLE, SELECTED, &one("3"), &one("4"), &one("9")]);
    let provider = Provider::new(&[script]).delete(Delete::Flag).quirks(&[Quirk::DeleteSingly]);
    assert_eq!(update(provider).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_told_without_changing_anything() {
    let asked = joined(&[OPENED, CAPABLE]);
    for (delete, script, expected) in [
        (Delete::Auto, joined(&[&planned(TRASH)]), "moved to the folder Bin é"),
        (Delete::Auto, joined(&[&planned("")]), "removed for good"),
        (Delete::Expunge, asked, "removed for good"),
        (Delete::Flag, asked, "marked deleted and left where they are"),
    ] {
        assert_eq!(told(script, delete, &[]).await, expected);
    }
}

/// Every value of `delete` before every kind of server: all that is said to it behind SELECT and LIST.
#[tokio::test(start_paused = true)]
async fn each_value_of_delete_at_each_kind_of_server() {
    const COPY: &str = r#"UID COPY 3:4,9 "Bin &AOk-""#;
    const MOVE: &str = r#"UID MOVE 3:4,9 "Bin &AOk-""#;
    const ARCHIVE: &str = r#"UID MOVE 3:4,9 "Old""#;
    const MARK: &str = r"UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)";
    const EXPUNGE: &str = "UID EXPUNGE 3:4,9";
    const LOOK: &str = "UID SEARCH DELETED";
    const LEFT: &str = "UID FETCH 3:4,9 (UID)";
    const SEES: &str = "UID SEARCH UID 3:4,9";
    let guarded = [LOOK, MARK, LOOK, "EXPUNGE", LEFT];
    let (both, uidplus, none) = ("UIDPLUS MOVE", "UIDPLUS", "");
    let folders = &format!("{TRASH}\n        S: * LIST (\\Archive) \"/\" Old");
    let copied = |behind: &[&'static str]| [&[COPY], behind].concat();
    let archived = |behind: &[&'static str]| [&[r#"UID COPY 3:4,9 "Old""#], behind].concat();
    let rehearsed = |copied: Vec<&'static str>| [vec![LOOK, SEES], copied].concat();
    for (delete, capabilities, folders, said) in [
        (Delete::Auto, both, folders.as_str(), vec![MOVE]),
        (Delete::Auto, uidplus, folders, copied(&[MARK, EXPUNGE, LEFT])),
        (Delete::Auto, none, folders, rehearsed(copied(&guarded))),
        (Delete::Auto, both, "", vec![MARK, EXPUNGE, LEFT]),
        (Delete::Auto, uidplus, "", vec![MARK, EXPUNGE, LEFT]),
        (Delete::Auto, none, "", guarded.to_vec()),
        (Delete::Trash, both, folders, vec![MOVE]),
        (Delete::Trash, uidplus, folders, copied(&[MARK, EXPUNGE, LEFT])),
        (Delete::Trash, none, folders, rehearsed(copied(&guarded))),
        (Delete::Archive, both, folders, vec![ARCHIVE]),
        (Delete::Archive, uidplus, folders, archived(&[MARK, EXPUNGE, LEFT])),
        (Delete::Archive, none, folders, rehearsed(archived(&guarded))),
        (Delete::Expunge, both, folders, vec![MARK, EXPUNGE, LEFT]),
        (Delete::Expunge, uidplus, folders, vec![MARK, EXPUNGE, LEFT]),
        (Delete::Expunge, none, folders, guarded.to_vec()),
        (Delete::Flag, both, folders, vec![MARK]),
        (Delete::Flag, uidplus, folders, vec![MARK]),
        (Delete::Flag, none, folders, vec![MARK]),
        (Delete::Keep, both, folders, vec![]),
        (Delete::Keep, none, folders, vec![]),
    ] {
        let opened = match delete {
            Delete::Keep => OPENED.to_owned(),
            Delete::Flag | Delete::Expunge => format!(
                "{OPENED}C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 {capabilities}\nS: $a OK x{SELECTED}"
            ),
            _ => flown(capabilities, folders),
        };
        let (mut script, mut marked) = (vec![opened], false);
        for command in &said {
            marked |= *command == MARK;
            let found = match *command {
                LOOK if !marked => "S: * SEARCH\n",
                LOOK | SEES => "S: * SEARCH 3 4 9\n",
                _ => "",
            };
            script.push(format!("C: $a {command}\n{found}S: $a OK x"));
        }
        let script: &'static str = script.join("\n").leak();
        assert_eq!(check(delete, &[script]).await, "Ok", "{delete:?} {capabilities:?}");
    }
}

/// A mark alone removes at once: what is to go elsewhere has been copied by then, and what UID EXPUNGE does not find is
/// gone as it should be.
#[tokio::test(start_paused = true)]
async fn a_server_that_expunges_at_the_mark_loses_nothing_that_was_to_be_moved() {
    let marked = "C: $a UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)\nS: * 3 EXPUNGE\nS: * 3 EXPUNGE\nS: * 3 EXPUNGE\nS: $a OK x";
    for answer in ["S: $a OK nothing to do", "S: $a NO no such messages", "S: $a BAD what messages"] {
        let looked = "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x";
        let refused = if answer.contains("$a OK") { "" } else { looked };
        let expunged = format!("C: $a UID EXPUNGE 3:4,9\n{answer}\n{looked}\n{refused}");
        let script = joined(&[
            &flown("UIDPLUS", TRASH),
            "C: $a UID COPY 3:4,9 \"Bin &AOk-\"\nS: $a OK x",
            marked,
            &expunged,
        ]);
        assert_eq!(check(Delete::Auto, &[script]).await, "Ok", "{answer}");
    }
    // With the bare EXPUNGE alone.
    let script = joined(&[
        &flown("", TRASH),
        UNMARKED,
        "C: $a UID COPY 3:4,9 \"Bin &AOk-\"\nS: $a OK x",
        "C: $a UID SEARCH DELETED\nS: * SEARCH\nS: $a OK x",
        marked,
        "C: $a UID SEARCH DELETED\nS: * SEARCH\nS: $a OK x",
        "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x",
        "C: $a EXPUNGE\nS: $a OK x",
        "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

/// Each round trip of a QUIT is one that the next command has to wait for: the mark and what removes it go together, and
/// so do the parts of a set that is too long for a line.
#[tokio::test(start_paused = true)]
async fn what_does_not_wait_for_an_answer_travels_together() {
    let script = joined(&[
        &flown("UIDPLUS MOVE", ""),
        r#"
        C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
        S: $a OK x
        C: $b UID EXPUNGE 3:4,9
        C: $c UID FETCH 3:4,9 (UID)
        S: * 1 EXPUNGE
        S: $b OK x
        S: $c OK x"#,
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    let singly = |answers: &str| {
        let moves = r#"
        C: $a UID MOVE 3 "Bin &AOk-"
        C: $b UID MOVE 4 "Bin &AOk-"
        C: $c UID MOVE 9 "Bin &AOk-""#;
        joined(&[&flown("MOVE", TRASH), moves, answers])
    };
    let provider = |script| Provider::new(&[script]).quirks(&[Quirk::DeleteSingly]);
    assert_eq!(update(provider(singly("S: $a OK x\nS: $b OK x\nS: $c OK x"))).await, "Ok");
    // One of them is refused: the others are done all the same, and that one is tried once more.
    let look = "C: $a UID FETCH 3 (UID)\nC: $b UID FETCH 4 (UID)\nC: $c UID FETCH 9 (UID)\n\
                S: $a OK x\nS: * 1 FETCH (UID 4)\nS: $b OK x\nS: $c OK x\n";
    let refused = format!("S: $a OK x\nS: $b NO busy\nS: $c OK x\n{look}C: $a UID MOVE 4 \"Bin &AOk-\"\n");
    assert_eq!(update(provider(singly(&format!("{refused}S: $a OK x")))).await, "Ok");
    let there = "C: $a UID FETCH 4 (UID)\nS: * 1 FETCH (UID 4)\nS: $a OK x";
    let again = singly(&format!("{refused}S: $a NO [OVERQUOTA] full\n{there}"));
    assert_eq!(update(provider(again)).await, r#"Refused { command: "MOVE", text: "full [OVERQUOTA]" }"#);
    // Renumbered in the middle: nothing more is asked by numbers that are void.
    let renumbered = singly("S: $a NO busy\nS: * OK [UIDVALIDITY 8] rebuilt\nS: $b OK x\nS: $c OK x");
    assert!(update(provider(renumbered)).await.starts_with("UidValidityChanged"));
    // A copy that is missing keeps its original: copies are waited for.
    let script = joined(&[
        &flown("UIDPLUS", TRASH),
        r#"
        C: $a UID COPY 3 "Bin &AOk-"
        S: $a NO [OVERQUOTA] full"#,
        &look.replace(
            "S: * 1 FETCH (UID 4)",
            "S: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: * 3 FETCH (UID 9)",
        ),
    ]);
    assert!(update(provider(script)).await.starts_with("Refused"));
}

/// More parts than go into a flight: the next one waits for its end, and is not begun where something failed.
#[tokio::test(start_paused = true)]
async fn a_flight_is_bounded_and_the_last_that_fails() {
    let numbers: Vec<u32> = (1..=20).collect();
    let asked = |range: std::ops::RangeInclusive<u32>, command: &str| {
        let tag = |at: u32| char::from_u32(u32::from('a') + at).unwrap();
        let lines =
            range.clone().map(|at| format!("C: ${} {}\n", tag(at), command.replace('@', &at.to_string())));
        let answers = range.map(|at| format!("S: ${} OK x\n", tag(at)));
        lines.chain(answers).collect::<String>()
    };
    let mark = r"UID STORE @ +FLAGS.SILENT (\Deleted)";
    let deleted: Vec<Uid> = numbers.iter().map(|number| uid(*number)).collect();
    for (script, expected) in [
        (joined(&[OPENED, CAPABLE, SELECTED, &asked(1..=16, mark), &asked(17..=20, mark)]), true),
        (
            joined(&[
                OPENED,
                CAPABLE,
                SELECTED,
                &asked(1..=16, mark).replacen("S: $b OK x", "S: $b NO busy", 1),
                // Looked into: all are there, so no more is tried.
                &asked(1..=16, "UID FETCH @ (UID)").replace("S: $b OK x", &fetched(1..=16)),
                &asked(17..=20, "UID FETCH @ (UID)").replace("S: $r OK x", &fetched(17..=20)),
            ]),
            false,
        ),
    ] {
        let provider = Provider::new(&[script]).delete(Delete::Flag).quirks(&[Quirk::DeleteSingly]);
        let (mut mailbox, _) = provider.open().await.unwrap();
        assert_eq!(mailbox.update(&[], &deleted).await.is_ok(), expected);
        mailbox.close().await;
        provider.kept().await;
    }
}

fn fetched(range: std::ops::RangeInclusive<u32>) -> String {
    let tag = if *range.start() == 1 { 'b' } else { 'r' };
    let rows = range.map(|at| format!("S: * {at} FETCH (UID {at})\n"));
    rows.chain([format!("S: ${tag} OK x")]).collect()
}

/// RFC 3501 §6.4.3: the guarded way again, its server silent while foreign marks are lifted: a fresh connection puts
/// them back, takes ours back, and nothing is expunged.
#[tokio::test(start_paused = true)]
async fn marks_lifted_before_a_silence_are_put_back_over_a_fresh_connection() {
    let until = |step: &str| EXPUNGED.split(step).next().unwrap();
    for silent in [until("S: * SEARCH 3 4 9"), until("S: * 3 EXPUNGE")] {
        let silent = joined(&[&flown("", ""), silent]);
        let mended = joined(&[SELECTED, TAKEN_BACK]);
        let heard = check(Delete::Auto, &[silent, mended]).await;
        assert!(heard.starts_with("TimedOut"), "{heard}");
    }
    // Renumbered meanwhile: a mark would be another message's.
    let silent = joined(&[&flown("", ""), until("S: * SEARCH 3 4 9")]);
    let renumbered = joined(&["C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY 9] x\nS: $a OK x"]);
    assert!(check(Delete::Auto, &[silent, renumbered]).await.starts_with("TimedOut"));
    // Lost, and once more lost: the third connection puts them back.
    let lost = joined(&[&flown("", ""), until("C: $a EXPUNGE"), "C: $a EXPUNGE\nEOF"]);
    let again = joined(&[SELECTED, "C: $a UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\nEOF"]);
    let put_back = joined(&[
        SELECTED,
        "C: $a UID STORE 3,9 -FLAGS.SILENT (\\Deleted)\nS: $a OK x",
        "C: $a UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\nS: $a OK x",
    ]);
    assert!(check(Delete::Auto, &[lost, again, put_back]).await.starts_with("Lost"));
}
