//! Where the server can only expunge whatever is marked.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_bare_expunge_lifts_foreign_marks_and_puts_them_back() {
    let script = joined(&[&flown("", ""), EXPUNGED]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

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
        ("C: $a UID SEARCH DELETED\nS: $a NO cannot search", "the provider refused SEARCH: cannot search"),
        (
            "C: $a UID SEARCH DELETED\nS: $a BAD what is that",
            "the provider cannot search in that way: what is that",
        ),
        (&blind, "it does not tell which messages are marked deleted"),
        (&still, "other messages are marked deleted and would go too"),
        (&kept, "not yours"),
    ] {
        let script = joined(&[&flown("", TRASH), STANDS, doubt, THERE]);
        let provider = Provider::new(&[script, script]);
        for _ in 0..2 {
            let (mut mailbox, _) = provider.open().await.unwrap();
            let heard = mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await.unwrap_err();
            assert!(heard.to_string().contains(text), "{heard:?}");
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
    let script = joined(&[&flown("", TRASH), STANDS, looked, lifted, copied, EXPUNGED]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
    // Theirs do not come back: nothing is copied, and a fresh connection tries.
    let refused = joined(&[&flown("", TRASH), STANDS, looked, lifted, "S: $a NO busy", THERE]);
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
        "C: $a STATUS \"Bin &AOk-\" (MESSAGES UIDNEXT UIDVALIDITY)\nS: $a BAD what",
        UNMARKED,
        "C: $a UID COPY 3:4,9 \"Bin &AOk-\"\nS: $a OK x",
        "C: $a UID SEARCH DELETED\nS: * SEARCH\nS: $a OK x",
        marked,
        "C: $a UID SEARCH DELETED\nS: * SEARCH\nS: $a OK x",
        // Nothing is left to be expunged.
        "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x",
        "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

/// RFC 3501 §6.4.3: another client was quicker with all of ours, so an EXPUNGE could only remove what is not.
#[tokio::test(start_paused = true)]
async fn nothing_is_expunged_where_nothing_of_ours_is_left() {
    let script = joined(&[
        &flown("", ""),
        EXPUNGED.split("S: * SEARCH 3 4 9").next().unwrap(),
        "S: * SEARCH\nS: $a OK x",
        "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x",
        EXPUNGED.split("S: * 3 EXPUNGE\n    S: $a OK x").nth(1).unwrap(),
    ]);
    assert_eq!(check(Delete::Auto, &[script]).await, "Ok");
}

/// It said OK to EXPUNGE and removed a part: what is left is as it was, and is tried again as long as it gets less.
#[tokio::test(start_paused = true)]
async fn what_the_bare_expunge_leaves_bears_no_mark_of_ours() {
    let left = |uids: &str| {
        let rows: String = uids.split(',').map(|uid| format!("S: * 1 FETCH (UID {uid})\n")).collect();
        format!("C: $a UID FETCH {{}} (UID)\n{rows}S: $a OK x")
    };
    let round = |ours: &str, found: &str, left: &str| {
        format!(
            "C: $a UID SEARCH DELETED\nS: * SEARCH\nS: $a OK x\n\
             C: $a UID STORE {ours} +FLAGS.SILENT (\\Deleted)\nS: $a OK x\n\
             C: $a UID SEARCH DELETED\nS: * SEARCH {found}\nS: $a OK x\n\
             C: $a EXPUNGE\nS: $a OK x\n\
             {left}"
        )
    };
    let looked = |asked: &str, there: &str| left(there).replace("{}", asked);
    let script = joined(&[
        &flown("", ""),
        &round("3:4,9", "3 4 9", &looked("3:4,9", "4,9")),
        "C: $a UID STORE 3:4,9 -FLAGS.SILENT (\\Deleted)\nS: $a OK x",
        &looked("4,9", "4,9"),
        &round("4,9", "4 9", &looked("4,9", "4,9")),
        "C: $a UID STORE 4,9 -FLAGS.SILENT (\\Deleted)\nS: $a OK x",
        &looked("4,9", "4,9"),
    ]);
    assert_eq!(
        check(Delete::Auto, &[script]).await,
        r#"Refused { command: "EXPUNGE", text: "it left messages in the mailbox" }"#
    );
}

/// RFC 4314 §4: an account without the right "e" may copy and mark, and EXPUNGE is refused with each QUIT. A copy counts
/// while nothing has left its folder, which so has grown by as many messages as UIDs (RFC 3501 §2.3.1.1).
#[tokio::test(start_paused = true)]
async fn what_was_copied_in_vain_is_not_copied_again_while_the_copy_is_certain_to_be_there() {
    let quit = |size: u32, stands: &str, rest: &[&str]| {
        let stands = STANDS.replace("MESSAGES 5 UIDNEXT 10", stands);
        joined(&[[flown_listed(size, "").as_str(), &stands].as_slice(), rest].concat())
    };
    let copy = |uids: &str| format!("{UNMARKED}\nC: $a UID COPY {uids} \"Bin &AOk-\"\nS: $a OK x");
    let expunge = "C: $a UID SEARCH DELETED\nS: * SEARCH\nS: $a OK x\n\
                   C: $a UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)\nS: $a OK x\n\
                   C: $a UID SEARCH DELETED\nS: * SEARCH 3 4 9\nS: $a OK x\n\
                   C: $a EXPUNGE";
    let refused = format!(
        "{expunge}\nS: $a NO [NOPERM] not yours\n\
         C: $a UID STORE 3:4,9 -FLAGS.SILENT (\\Deleted)\nS: $a OK x{THERE}"
    );
    let done = format!("{expunge}\nS: $a OK x\nC: $a UID FETCH 3:4,9 (UID)\nS: $a OK x");
    let (all, one) = (copy("3:4,9"), copy("3"));
    let provider = Provider::new(&[
        quit(10, "MESSAGES 5 UIDNEXT 10", &[&all, &refused]),
        quit(10, "MESSAGES 8 UIDNEXT 13", &[&refused]),
        // Another message came there.
        quit(10, "MESSAGES 9 UIDNEXT 14", &[&refused]),
        // One has left, which may be a copy.
        quit(10, "MESSAGES 8 UIDNEXT 14", &[&all, &refused]),
        // UID 3 is another message, as in a mailbox that was restored from a backup.
        quit(11, "MESSAGES 11 UIDNEXT 17", &[&one, &refused]),
        quit(11, "MESSAGES 12 UIDNEXT 18", &[&done]),
        // What is removed is forgotten.
        quit(11, "MESSAGES 12 UIDNEXT 18", &[&all, &refused]),
    ]);
    for quit in 1..=7 {
        let (mut mailbox, _) = provider.open().await.unwrap();
        let outcome = mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await;
        let heard = outcome.map_err(|error| error.to_string());
        let refused = Err("the provider refused EXPUNGE: not yours [NOPERM]".to_owned());
        assert_eq!(heard, if quit == 6 { Ok(()) } else { refused }, "QUIT {quit}");
        mailbox.close().await;
    }
    provider.kept().await;
}

/// RFC 3501 §6.4.3: two apps of one account say QUIT at the same time. Each would take the other's marks for foreign ones,
/// and put marks back that the other's EXPUNGE then finds.
#[tokio::test(start_paused = true)]
async fn of_two_removals_at_a_time_the_second_waits_until_the_first_has_put_all_marks_back() {
    let silent = joined(&[&flown("", ""), EXPUNGED.split("S: * SEARCH 3 4 9").next().unwrap()]);
    let second = joined(&[&flown("", ""), EXPUNGED]);
    let provider = Provider::new(&[silent, second, joined(&[SELECTED, TAKEN_BACK])]);
    let ((mut one, _), (mut two, _)) = (provider.open().await.unwrap(), provider.open().await.unwrap());
    let ended = Mutex::new(Vec::new());
    let deleted = [uid(9), uid(3), uid(4)];
    let first = async {
        let heard = one.update(&[], &deleted).await;
        ended.lock().unwrap().push(format!("{heard:?}"));
    };
    let second = async {
        // The first is in the middle of it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let heard = two.update(&[], &deleted).await;
        ended.lock().unwrap().push(format!("{heard:?}"));
    };
    tokio::join!(first, second);
    let ended = ended.into_inner().unwrap();
    assert!(ended[0].contains("TimedOut") && ended[1] == "Ok(())", "{ended:?}");
    one.close().await;
    two.close().await;
    provider.kept().await;
}
