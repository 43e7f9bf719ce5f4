//! By UID alone: MOVE, COPY and UID EXPUNGE, and marks that stay.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_done_in_part_is_gone_on_with_as_long_as_it_gets_less() {
    // RFC 9738 §3: an OK to the first of them, and the capability that says how many.
    let moving = |uids: &str| format!("C: $a UID MOVE {uids} {BIN}");
    // Behind MOVE, and once more by itself.
    let twice = |uids: &str, left: &[u32]| [look(uids, left), look(uids, left)].join("\n");
    let cut = joined(&[
        &flown("MOVE", TRASH),
        &moving("3:4,9"),
        "S: * 1 EXPUNGE\nS: $a OK [MESSAGELIMIT 1 4] no more",
        &twice("3:4,9", &[4, 9]),
        &moving("4,9"),
        "S: $a OK [MESSAGELIMIT 1 9] no more",
    ]);
    let gone = look("9", &[]);
    let rest = joined(&[cut, &twice("4,9", &[9]), &moving("9"), "S: * 1 EXPUNGE\nS: $a OK x", &gone]);
    assert_eq!(check(Delete::Auto, &[rest]).await, "Ok");
    // Where nothing more is done, it ends.
    assert_eq!(
        check(Delete::Auto, &[joined(&[cut, &twice("4,9", &[4, 9])])]).await,
        r#"Refused { command: "MOVE", text: "it was done in part only: no more [MESSAGELIMIT 1 9]" }"#
    );
    // UID EXPUNGE that removes a part, and another client's removals told beside it.
    let part = |uids: &str, left: &[u32]| {
        let (marked, left) = (marked(uids), told_of(left));
        format!(
            "{marked}\nC: $b UID EXPUNGE {uids}\nC: $c UID FETCH {uids} (UID)\n\
             S: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: $b OK x\n{left}S: $c OK x"
        )
    };
    let first = [flown("UIDPLUS", ""), part("3:4,9", &[9]), look("9", &[9])].join("\n");
    assert_eq!(check(Delete::Auto, &[joined(&[&first, &part("9", &[])])]).await, "Ok");
    assert_eq!(
        check(Delete::Auto, &[joined(&[&first, &part("9", &[9]), &look("9", &[9])])]).await,
        r#"Refused { command: "EXPUNGE", text: "it left messages in the mailbox" }"#
    );
    let told = joined(&[
        &flown("MOVE MESSAGELIMIT=2", TRASH),
        "C: $a UID MOVE 3:4 \"Bin &AOk-\"\nC: $b UID MOVE 9 \"Bin &AOk-\"",
        "S: $a OK x\nS: $b OK x",
        "C: $a UID FETCH 3:4 (UID)\nC: $b UID FETCH 9 (UID)\nS: $a OK x\nS: $b OK x",
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
    let refused =
        r#"Refused { command: "STORE", text: "it does not let this account mark messages deleted there" }"#;
    let script = joined(&[&forgets(flown("UIDPLUS", TRASH)), THERE]);
    assert_eq!(check(Delete::Auto, &[script]).await, refused);
    let script = joined(&[&forgets(flown("UIDPLUS", "")), THERE]);
    assert_eq!(check(Delete::Auto, &[script]).await, refused);
    let selected = SELECTED.replace("    S: * OK", "    S: * OK [PERMANENTFLAGS (\\Seen)] x\n    S: * OK");
    assert_eq!(check(Delete::Flag, &[joined(&[OPENED, CAPABLE, &selected, THERE])]).await, refused);
    // MOVE needs no mark.
    let script = joined(&[&forgets(flown("MOVE", TRASH)), &moved("3:4,9", BIN)]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn without_move_a_copy_then_the_mark_then_uid_expunge() {
    // RFC 4315 §2.1: foreign marks survive.
    let script = joined(&[
        &flown("UIDPLUS", TRASH),
        r#"
        C: $a UID COPY 3:4,9 "Bin &AOk-"
        S: $a OK [COPYUID 1 3:4,9 1:3] x"#,
        &expunged("3:4,9"),
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
        S: $a NO [OVERQUOTA] full"#,
        THERE,
    ]);
    assert_eq!(
        check(Delete::Auto, &[script]).await,
        r#"Refused { command: "COPY", text: "full [OVERQUOTA]" }"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_move_is_looked_into() {
    let refused = |left: &[u32]| {
        let left = look("3:4,9", left);
        let refused = "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nS: $a NO [SERVERBUG2] half";
        joined(&[&flown("MOVE", TRASH), refused, &left, &left])
    };
    assert_eq!(check(Delete::Auto, &[refused(&[])]).await, "Ok");
    // All are there still: no more is tried.
    let heard = check(Delete::Auto, &[refused(&[3, 4, 9])]).await;
    assert_eq!(heard, r#"Refused { command: "MOVE", text: "half [SERVERBUG2]" }"#);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_sake_of_messages_that_are_gone_keeps_no_other() {
    // RFC 5530 §3 EXPUNGEISSUED: another program was quicker with 3 and 9.
    let left = look("3:4,9", &[4]);
    let refused = |command: &str| format!("C: $a {command}\nS: $a NO [EXPUNGEISSUED] some are gone\n{left}");
    let script =
        joined(&[&flown("MOVE", TRASH), &refused("UID MOVE 3:4,9 \"Bin &AOk-\""), &left, &moved("4", BIN)]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    let script = joined(&[
        &flown("UIDPLUS", TRASH),
        &refused("UID COPY 3:4,9 \"Bin &AOk-\""),
        &copied("4"),
        &expunged("4"),
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // And once more refused is refused.
    let script = joined(&[
        OPENED,
        CAPABLE,
        SELECTED,
        &refused(r"UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)"),
        &marked("4").replace("OK x", "NO not that one"),
        &look("4", &[4]),
    ]);
    assert_eq!(check(Delete::Flag, &[script]).await, r#"Refused { command: "STORE", text: "not that one" }"#);
}

#[tokio::test(start_paused = true)]
async fn a_trash_that_is_gone_meanwhile_is_not_made() {
    let script = joined(&[
        &flown("MOVE", TRASH),
        r#"
        C: $a UID MOVE 3:4,9 "Bin &AOk-"
        S: $a NO [TRYCREATE] no such folder"#,
        THERE,
        THERE,
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, r#"NoFolder { folder: "Bin é" }"#);
}

#[tokio::test(start_paused = true)]
async fn expunge_removes_by_uid_and_auto_does_where_there_is_no_trash() {
    let expunged = expunged("3:4,9");
    for folders in ["", r#"S: * LIST (\Noselect \Trash) "/" t"#] {
        let script = joined(&[&flown("UIDPLUS MOVE", folders), &expunged]);
        assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    }
    // No folder matters here.
    let script = joined(&[OPENED, &capable("MOVE UIDPLUS"), SELECTED, &expunged]);
    assert_eq!(check(Delete::Expunge, &[script]).await, "Ok");
    // The maildrop is the Trash: moving it there would remove nothing.
    let script = joined(&[&flown("UIDPLUS MOVE", TRASH), &expunged]);
    let provider = Provider::new(&[script.replace("\"INBOX\"", "\"Bin &AOk-\"").leak()]).folder("Bin é");
    assert_eq!(update(provider).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn singly_where_sets_fail() {
    let script = joined(&[OPENED, CAPABLE, SELECTED, &marked("3"), &marked("4"), &marked("9")]);
    let provider = Provider::new(&[script]).delete(Delete::Flag).quirks(&[Quirk::DeleteSingly]);
    assert_eq!(update(provider).await, "Ok");
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
    let none = "C: $a UID FETCH 3 (UID)\nC: $b UID FETCH 4 (UID)\nC: $c UID FETCH 9 (UID)\n\
                S: $a OK x\nS: $b OK x\nS: $c OK x";
    assert_eq!(update(provider(singly(&format!("S: $a OK x\nS: $b OK x\nS: $c OK x\n{none}")))).await, "Ok");
    // One of them is refused: the others are done all the same, and that one is tried once more.
    let each = "C: $a UID FETCH 3 (UID)\nC: $b UID FETCH 4 (UID)\nC: $c UID FETCH 9 (UID)\n\
                S: $a OK x\nS: * 1 FETCH (UID 4)\nS: $b OK x\nS: $c OK x\n";
    let refused =
        format!("S: $a OK x\nS: $b NO busy\nS: $c OK x\n{each}{each}C: $a UID MOVE 4 \"Bin &AOk-\"\n");
    let moved = singly(&format!("{refused}S: $a OK x\n{}", look("4", &[])));
    assert_eq!(update(provider(moved)).await, "Ok");
    let there = look("4", &[4]);
    let again = singly(&format!("{refused}S: $a NO [OVERQUOTA] full\n{there}\n{there}"));
    assert_eq!(update(provider(again)).await, r#"Refused { command: "MOVE", text: "full [OVERQUOTA]" }"#);
    // Renumbered in the middle: nothing more is asked by numbers that are void.
    let renumbered =
        format!("S: $a NO busy\nS: * OK [UIDVALIDITY 8] rebuilt\nS: $b OK x\nS: $c OK x\n{each}");
    assert!(update(provider(singly(&renumbered))).await.starts_with("UidValidityChanged"));
    // A copy that is missing keeps its original: copies are waited for.
    let script = joined(&[
        &flown("UIDPLUS", TRASH),
        r#"
        C: $a UID COPY 3 "Bin &AOk-"
        S: $a NO [OVERQUOTA] full"#,
        &each.replace("S: * 1 FETCH (UID 4)\n", &told_of(&[3, 4, 9])),
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
                &asked(1..=16, "UID FETCH @ (UID)").replace("S: $b", &(told_of(&numbers[..16]) + "S: $b")),
                &asked(17..=20, "UID FETCH @ (UID)").replace("S: $r", &(told_of(&numbers[16..]) + "S: $r")),
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

/// RFC 4315 §3: COPY that is answered OK and names fewer copies than it was to make.
#[tokio::test(start_paused = true)]
async fn what_copy_left_out_is_not_removed() {
    let copied =
        |uids: &str, told: &str| copied(uids).replace("OK x", &format!("OK [COPYUID 1 {told}] copied"));
    let first = joined(&[&flown("UIDPLUS", TRASH), &copied("3:4,9", "3 1"), &expunged("3")]);
    let two = look("4,9", &[4, 9]);
    // Gone on with as long as it gets less, and told.
    let (some, one) = ([copied("4,9", "9 2"), expunged("9")], look("4", &[4]));
    let script = joined(&[first, &two, &some[0], &some[1], &one, &copied("4", "4 3"), &expunged("4")]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    let refused = marked("9").replace("OK x", "NO not now");
    let script = joined(&[first, &two, &some[0], &refused, &two]);
    assert_eq!(check(Delete::Auto, &[script]).await, r#"Refused { command: "STORE", text: "not now" }"#);
    // It had gone before: nothing is left.
    let script = joined(&[first, &look("4,9", &[])]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // What names others than were to be copied tells nothing.
    let odd = copied("3:4,9", "1:2 1:2");
    let script = joined(&[&flown("UIDPLUS", TRASH), &odd, &expunged("3:4,9")]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

/// RFC 4314 §4: STORE is refused each time. From the second QUIT on it is known how the folder
/// stood before its copy.
#[tokio::test(start_paused = true)]
async fn what_is_copied_in_vain_is_copied_twice_at_most() {
    let quit = |rest: &[&str]| {
        let listed = flown_listed(10, "UIDPLUS");
        joined(&[[listed.as_str()].as_slice(), rest].concat())
    };
    let stands = |told: &str| STANDS.replace("MESSAGES 5 UIDNEXT 10", told);
    let (copied, expunged) = (copied("3:4,9"), expunged("3:4,9"));
    let refused = marked("3:4,9").replace("OK x", "NO [NOPERM] not yours") + THERE;
    let (second, third) = (stands("MESSAGES 8 UIDNEXT 13"), stands("MESSAGES 11 UIDNEXT 16"));
    let provider = Provider::new(&[
        quit(&[&copied, &refused]),
        quit(&[&second, &copied, &refused]),
        quit(&[&third, &refused]),
        quit(&[&third, &expunged]),
        // What is removed is forgotten.
        quit(&[&copied, &refused]),
    ]);
    for quit in 1..=5 {
        let (mut mailbox, _) = provider.open().await.unwrap();
        let outcome = mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await;
        let heard = outcome.map_err(|error| error.to_string());
        let refused = Err("the provider refused STORE: not yours [NOPERM]".to_owned());
        assert_eq!(heard, if quit == 4 { Ok(()) } else { refused }, "QUIT {quit}");
        mailbox.close().await;
    }
    provider.kept().await;
}

/// RFC 3501 §6.4.8: a UID that is not there is passed over, but not by a server that takes each set in an empty mailbox for
/// an error (§7.3.1, §7.4.1: which it is when EXISTS says so, or as many EXPUNGE as there were messages).
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_empty_behind_uid_expunge_is_no_fault() {
    let (capable, marked) = (capable("UIDPLUS"), marked("3:4,9"));
    let selected = |exists: &str| SELECTED.replacen("S: *", &format!("S: * {exists} EXISTS\nS: *"), 1);
    let asked = "C: $b UID EXPUNGE 3:4,9\nC: $c UID FETCH 3:4,9 (UID)";
    let (done, invalid) = ("S: $b OK x", "S: $c BAD The specified message set is invalid.");
    for gone in ["S: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE", "S: * 0 EXISTS"] {
        let script = [OPENED, &capable, &selected("3"), &marked, asked, gone, done, invalid];
        assert_eq!(check(Delete::Expunge, &[joined(&script)]).await, "Ok", "{gone}");
    }
    // All of it had gone before.
    let refused = marked.replace("OK x", "BAD Invalid set");
    let script = [OPENED, &capable, &selected("0"), &refused, asked, done, invalid];
    assert_eq!(check(Delete::Expunge, &[joined(&script)]).await, "Ok");
    // Where something may be left, nobody has said that it is not ours.
    let look = "C: $c UID FETCH 3:4,9 (UID)\nS: $c BAD The specified message set is invalid.";
    for left in ["S: * 1 EXPUNGE\nS: * 1 EXPUNGE", "S: * 0 EXISTS\nS: * 1 EXISTS"] {
        let script = [OPENED, &capable, &selected("3"), &marked, asked, left, done, invalid, look];
        let heard = check(Delete::Expunge, &[joined(&script)]).await;
        assert!(heard.starts_with("Refused"), "{heard} after {left}");
    }
}

/// RFC 6851 §3.3, RFC 3501 §7.4.1: EXPUNGE tells numbers that may be of another client's removals.
#[tokio::test(start_paused = true)]
async fn removals_of_others_do_not_count_among_what_was_moved() {
    let flown = flown("MOVE UIDPLUS", TRASH);
    let told =
        "S: * OK [COPYUID 1 3:4 1:2] moved\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: $a OK x";
    let asked = |uids: &str| format!("C: $a UID MOVE {uids} \"Bin &AOk-\"\nC: $b UID FETCH {uids} (UID)");
    let there = "S: * 1 FETCH (UID 9)\nS: $b OK x";
    let look = |uids: &str| format!("C: $b UID FETCH {uids} (UID)");
    let first = [&flown, &asked("3:4,9"), told, there, &look("9"), there];
    let rest = [&asked("9"), "S: * 1 EXPUNGE\nS: $a OK x\nS: $b OK x"];
    assert_eq!(check(Delete::Auto, &[joined(&[&first[..], &rest].concat())]).await, "Ok");
    // Not even where nothing is told, or where nothing more is moved.
    let first = [&flown, &asked("3:4,9"), "S: $a OK x", there, &look("9"), there];
    let rest = [&asked("9"), "S: $a OK x", there, &look("9"), there];
    assert_eq!(
        check(Delete::Auto, &[joined(&[&first[..], &rest].concat())]).await,
        r#"Refused { command: "EXPUNGE", text: "it left messages in the mailbox" }"#
    );
    // One that looks before it has moved is asked again.
    let early =
        ["S: $a OK x", "S: * 3 FETCH (UID 3)\nS: * 4 FETCH (UID 4)\nS: * 9 FETCH (UID 9)\nS: $b OK x"];
    let script = [&*flown, &asked("3:4,9"), early[1], early[0], &look("3:4,9"), "S: $b OK x"];
    assert_eq!(check(Delete::Auto, &[joined(&script)]).await, "Ok");
}
