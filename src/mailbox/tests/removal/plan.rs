//! What it comes to: the account's `delete`, and the folders that are there.

use super::*;

/// Folders alone, for a plan that is only told.
fn planned(folders: &str) -> String {
    format!(
        "{OPENED}{CAPABLE}
        C: $a LIST \"\" \"*\"
        S: * LIST () \"/\" INBOX
        {folders}
        S: $a OK x"
    )
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
        S: $a OK x
        C: $a UID FETCH 3:4,9 (UID)
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
        &moved("3:4,9", "\"x\""),
    ]);
    assert_eq!(check(Delete::Trash, &[script]).await, "Ok");
    let script = joined(&[&flown("SPECIAL-USE LIST-EXTENDED MOVE", TRASH), &moved("3:4,9", BIN)]);
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
    let script = joined(&[&flown(&both, NAMESPACES), &moved("3:4,9", "\"Mine/Deleted/Bin\"")]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // It is the only one, by attribute or by name.
    let alone = joined(&[&flown(FOREIGN, NAMESPACES)]);
    assert!(check(Delete::Auto, &[alone]).await.contains("not this account's own"));
    assert_eq!(check(Delete::Trash, &[alone]).await, r#"NoFolder { folder: "Trash" }"#);
    // Where nothing tells whose they are, the one that is not below another folder.
    let unknown = format!("{FOREIGN}\nS: * LIST (\\Trash) \"/\" INBOX/Bin");
    let script = joined(&[&flown(&unknown, "S: $c NO not now"), &moved("3:4,9", "\"INBOX/Bin\"")]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

/// RFC 3501 §5.5: what does not depend on each other is done in any order, and told so.
#[tokio::test(start_paused = true)]
async fn the_folders_may_be_listed_before_the_mailbox_is_open() {
    const BIN: &str = "S: * LIST (\\Trash) \"/\" Bin";
    const INBOX: &str = "S: * LIST () \"/\" INBOX";
    const NUMBERED: &str = "S: * OK [UIDVALIDITY 7] x";
    const FLAGS: &str = "S: * OK [PERMANENTFLAGS (\\Seen)] x";
    const NAMESPACES: &str = "S: * NAMESPACE ((\"\" \"/\")) NIL NIL";
    const MINE: &str = "S: * LIST () \"/\" Mine";
    const SELECTED: &str = "S: $a OK [READ-WRITE] x";
    const LISTED: &str = "S: $b OK x";
    let flown = |capabilities: &str, answers: &[&str]| {
        let asked = format!(
            "{OPENED}{}\nC: $a SELECT \"INBOX\"\nC: $b LIST \"\" \"*\"\nC: $c NAMESPACE\n",
            capable(&format!("NAMESPACE {capabilities}"))
        );
        asked + &answers.join("\n")
    };
    for answers in [
        [INBOX, BIN, LISTED, NUMBERED, SELECTED, NAMESPACES, "S: $c OK x"],
        [INBOX, BIN, LISTED, NAMESPACES, "S: $c OK x", NUMBERED, SELECTED],
        // What is told of one comes before the other is done.
        [NUMBERED, INBOX, BIN, NAMESPACES, "S: $c OK x", LISTED, SELECTED],
        [NUMBERED, INBOX, BIN, LISTED, NAMESPACES, "S: $c OK x", SELECTED],
        [NUMBERED, BIN, NAMESPACES, "S: $c OK x", SELECTED, INBOX, LISTED],
        [NUMBERED, BIN, SELECTED, "S: $c NO not now", INBOX, MINE, LISTED],
        // The Trash before a refusal: else all would be removed for good.
        [NUMBERED, SELECTED, BIN, "S: $c NO not now", INBOX, MINE, LISTED],
    ] {
        let script = joined(&[&flown("MOVE UIDPLUS", &answers), &moved("3:4,9", "\"Bin\"")]);
        assert_eq!(check(Delete::Auto, &[script]).await, "Ok", "{answers:?}");
    }
    // Nor is what SELECT told forgotten: here marks do not last.
    let answers = [NUMBERED, FLAGS, INBOX, LISTED, NAMESPACES, "S: $c OK x", SELECTED];
    let heard = check(Delete::Auto, &[joined(&[&flown("UIDPLUS", &answers), THERE])]).await;
    assert!(heard.contains("it does not let this account mark messages deleted there"), "{heard}");
    // Another numbering is heard wherever it is told.
    let answers = [INBOX, BIN, LISTED, NUMBERED, SELECTED, "S: * OK [UIDVALIDITY 8] x", "S: $c OK x"];
    let heard = check(Delete::Auto, &[joined(&[&flown("MOVE", &answers)])]).await;
    assert!(heard.starts_with("UidValidityChanged"), "{heard}");
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
    let moved = "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nS: * 3 EXPUNGE\nS: * 3 EXPUNGE\nS: * 3 EXPUNGE\nS: $a OK x\nC: $a UID FETCH 3:4,9 (UID)\nS: $a OK x";
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
    let script =
        joined(&[&flown("MOVE", &format!("S: * LIST (\\Marked \"/\" x\n{TRASH}")), &moved("3:4,9", BIN)]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn folders_go_by_name_where_no_attribute_helps() {
    let script = joined(&[
        &flown("MOVE", r#"S: * LIST () "." "INBOX.papierkorb""#),
        &moved("3:4,9", "\"INBOX.papierkorb\""),
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
            let moved = moved("3:4,9", &format!("\"{folder}\""));
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
    let script = joined(&[OPENED, CAPABLE, SELECTED, &marked("3:4,9")]);
    assert_eq!(check(Delete::Flag, &[script]).await, "Ok");
    assert_eq!(check(Delete::Keep, &[OPENED]).await, "Ok");
    let script = joined(&[OPENED, SELECTED, &done(r"UID STORE 1:2 +FLAGS.SILENT (\Seen)")]);
    let provider = Provider::new(&[script]);
    let (mut mailbox, _) = provider.open().await.unwrap();
    mailbox.update(&[uid(2), uid(1)], &[]).await.unwrap();
    mailbox.close().await;
    provider.kept().await;
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
    const STANDS: &str = r#"STATUS "Bin &AOk-" (MESSAGES UIDNEXT UIDVALIDITY)"#;
    const OLD_STANDS: &str = r#"STATUS "Old" (MESSAGES UIDNEXT UIDVALIDITY)"#;
    let guarded = [LOOK, MARK, LOOK, "EXPUNGE", LEFT];
    let (both, uidplus, none) = ("UIDPLUS MOVE", "UIDPLUS", "");
    let folders = &format!("{TRASH}\n        S: * LIST (\\Archive) \"/\" Old");
    let copied = |behind: &[&'static str]| [&[COPY], behind].concat();
    let archived = |behind: &[&'static str]| [&[r#"UID COPY 3:4,9 "Old""#], behind].concat();
    let rehearsed = |copied: Vec<&'static str>| [vec![STANDS, LOOK, SEES], copied].concat();
    let archived_so = |copied: Vec<&'static str>| [vec![OLD_STANDS, LOOK, SEES], copied].concat();
    for (delete, capabilities, folders, said) in [
        (Delete::Auto, both, folders.as_str(), vec![MOVE, LEFT]),
        (Delete::Auto, uidplus, folders, copied(&[MARK, EXPUNGE, LEFT])),
        (Delete::Auto, none, folders, rehearsed(copied(&guarded))),
        (Delete::Auto, both, "", vec![MARK, EXPUNGE, LEFT]),
        (Delete::Auto, uidplus, "", vec![MARK, EXPUNGE, LEFT]),
        (Delete::Auto, none, "", guarded.to_vec()),
        (Delete::Trash, both, folders, vec![MOVE, LEFT]),
        (Delete::Trash, uidplus, folders, copied(&[MARK, EXPUNGE, LEFT])),
        (Delete::Trash, none, folders, rehearsed(copied(&guarded))),
        (Delete::Archive, both, folders, vec![ARCHIVE, LEFT]),
        (Delete::Archive, uidplus, folders, archived(&[MARK, EXPUNGE, LEFT])),
        (Delete::Archive, none, folders, archived_so(archived(&guarded))),
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
            Delete::Flag | Delete::Expunge => [OPENED, &capable(capabilities), SELECTED].concat(),
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
