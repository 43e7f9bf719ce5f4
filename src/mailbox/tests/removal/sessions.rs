//! Over sessions that are lost, silent, renumbered or read-only.

use super::*;

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

/// RFC 3501 §2.3.1.1, §7.1: wherever upstream says so unasked between two commands, nothing that goes by UIDs is sent any
/// more; each script as far as one of its answers, with that behind it.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_renumbered_between_two_commands_loses_nothing() {
    let by_uid = r#"
    C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $b UID EXPUNGE 3:4,9
    C: $c UID FETCH 3:4,9 (UID)
    S: $b OK x
    S: $c OK x"#;
    let copied = "C: $a UID COPY 3:4,9 \"Bin &AOk-\"\nS: $a OK x";
    let marked = "C: $a UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)\nS: $a OK x";
    let moved = "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nC: $b UID FETCH 3:4,9 (UID)\nS: $a OK x\nS: $b OK x";
    for (delete, script, places) in [
        (Delete::Auto, joined(&[&flown("UIDPLUS", TRASH), copied, by_uid]), 3),
        (Delete::Auto, joined(&[&flown("UIDPLUS MOVE", TRASH), moved]), 1),
        (Delete::Auto, joined(&[&flown("", ""), EXPUNGED]), 7),
        (Delete::Expunge, joined(&[OPENED, CAPABLE, SELECTED, EXPUNGED]), 7),
        (Delete::Flag, joined(&[OPENED, CAPABLE, SELECTED, marked]), 1),
    ] {
        let selected = script.find("SELECT").unwrap();
        let ends = script.match_indices(" OK x\n").map(|(at, end)| at + end.len() - 1);
        let read_write = script.match_indices(" OK [READ-WRITE] x\n").map(|(at, end)| at + end.len() - 1);
        let next_is_ours = |at: &usize| script[*at..].trim_start().starts_with("C: ");
        let ends: Vec<usize> =
            ends.chain(read_write).filter(|at| *at > selected).filter(next_is_ours).collect();
        assert_eq!(ends.len(), places, "{script}");
        for end in ends {
            let (before, answer) = script[..end].rsplit_once("S: ").unwrap();
            let said = format!("{before}R: {answer}\\r\\n* OK [UIDVALIDITY 8] renumbered\\r\\n");
            let heard = check(delete, &[said.clone().leak()]).await;
            assert!(heard.starts_with("UidValidityChanged"), "{heard} after\n{said}");
        }
    }
    // While the folders are listed, in the flight of SELECT.
    for answer in ["    S: * LIST () \"/\" INBOX", "    S: $b OK x"] {
        let flown = flown("MOVE UIDPLUS", TRASH);
        let (before, behind) = flown.rsplit_once(answer).unwrap();
        let script = format!("{before}S: * OK [UIDVALIDITY 8] renumbered\n{answer}{behind}").leak();
        assert!(check(Delete::Auto, &[script]).await.starts_with("UidValidityChanged"), "{script}");
    }
    // One that comes back is not the one it was.
    let twice = "R: $a OK x\\r\\n* OK [UIDVALIDITY 8] x\\r\\n* OK [UIDVALIDITY 7] x\\r\\n";
    let script = joined(&[&flown("UIDPLUS", TRASH), &copied.replace("S: $a OK x", twice)]);
    assert!(check(Delete::Auto, &[script]).await.starts_with("UidValidityChanged"));
    // What is no number tells as much, and a fresh session what it is.
    let odd = "R: $a OK x\\r\\n* OK [UIDVALIDITY 99999999999] x\\r\\n";
    let script = joined(&[&flown("UIDPLUS", TRASH), &copied.replace("S: $a OK x", odd)]);
    let renumbered = "C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY 9] x\nS: $a OK x";
    assert!(check(Delete::Auto, &[script, renumbered]).await.starts_with("UidValidityChanged"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_replaced_once_and_what_is_left_goes_on() {
    const CAPABLE: &str = "C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 MOVE UIDPLUS\nS: $a OK x";
    let lost = joined(&[&flown("MOVE UIDPLUS", TRASH), "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nEOF"]);
    let left = "C: $a UID FETCH 3:4,9 (UID)\nS: * 1 FETCH (UID 9)\nS: $a OK x";
    let moved = "C: $a UID MOVE 9 \"Bin &AOk-\"\nS: $a OK x\nC: $a UID FETCH 9 (UID)\nS: $a OK x";
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

/// RFC 3501 §6.4.3.
#[tokio::test(start_paused = true)]
async fn marks_lifted_over_a_lost_connection_are_put_back_over_the_next() {
    const CAPABLE: &str = "C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $a OK x";
    const PUT_BACK: &str = "C: $a UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\nS: $a OK x";
    let until = |step: &str| EXPUNGED.split(step).next().unwrap();
    let lost = joined(&[&flown("", ""), until("S: * SEARCH 3 4 9"), "EOF"]);
    let rest = joined(&[SELECTED, PUT_BACK, THERE, CAPABLE, EXPUNGED]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
    // At EXPUNGE, which may be done yet, and would find them: not before one is answered.
    let lost = joined(&[&flown("", ""), until("S: * 3 EXPUNGE"), "EOF"]);
    let rest = joined(&[
        SELECTED,
        THERE,
        CAPABLE,
        r#"
        C: $a UID SEARCH DELETED
        S: * SEARCH 3 4 9
        S: $a OK x
        C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
        S: $a OK x
        C: $a UID SEARCH DELETED
        S: * SEARCH 3 4 9
        S: $a OK x
        C: $a EXPUNGE
        S: $a OK x"#,
        PUT_BACK,
        "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x",
    ]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
    // It was done.
    let rest = joined(&[SELECTED, "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x", PUT_BACK]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
    // In doubt then: ours bear no mark any more, and theirs are not there to be found. A third connection looks again.
    let doubt = joined(&[
        SELECTED,
        THERE,
        CAPABLE,
        "C: $a UID SEARCH DELETED\nS: * SEARCH 3 4 9\nS: $a OK x",
        "C: $a UID STORE 3:4,9 +FLAGS.SILENT (\\Deleted)\nS: $a NO busy",
        "C: $a UID STORE 3,9 -FLAGS.SILENT (\\Deleted)\nS: $a OK x",
        THERE,
    ]);
    let past = joined(&[SELECTED, "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x", PUT_BACK]);
    assert_eq!(
        check(Delete::Auto, &[lost, doubt, past]).await,
        r#"Refused { command: "STORE", text: "busy" }"#
    );
}

/// RFC 3501 §6.4.3: the guarded way again, its server silent while foreign marks are lifted: a fresh connection puts
/// them back, takes ours back, and nothing is expunged.
#[tokio::test(start_paused = true)]
async fn marks_lifted_before_a_silence_are_put_back_over_a_fresh_connection() {
    let until = |step: &str| EXPUNGED.split(step).next().unwrap();
    let silent = joined(&[&flown("", ""), until("S: * SEARCH 3 4 9")]);
    let heard = check(Delete::Auto, &[silent, joined(&[SELECTED, TAKEN_BACK])]).await;
    assert!(heard.starts_with("TimedOut"), "{heard}");
    // Renumbered meanwhile: a mark would be another message's.
    let renumbered = joined(&["C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY 9] x\nS: $a OK x"]);
    assert!(check(Delete::Auto, &[silent, renumbered]).await.starts_with("TimedOut"));
    // Lost, and once more lost: the third connection puts them back.
    let lost = joined(&[&flown("", ""), until("S: * SEARCH 3 4 9"), "EOF"]);
    let again = joined(&[SELECTED, "C: $a UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\nEOF"]);
    assert!(check(Delete::Auto, &[lost, again, joined(&[SELECTED, TAKEN_BACK])]).await.starts_with("Lost"));
}

/// RFC 3501 §6.4.3: what was sent may still reach a server that was silent, as after a network that was away for a minute;
/// it would remove what bears a mark by then, whosever it is.
#[tokio::test(start_paused = true)]
async fn no_foreign_mark_comes_back_while_an_expunge_may_be_on_its_way() {
    let silent = joined(&[&flown("", ""), EXPUNGED.split("S: * 3 EXPUNGE").next().unwrap()]);
    let ours_alone = "C: $a UID STORE 3,9 -FLAGS.SILENT (\\Deleted)\nS: $a OK x";
    let heard = check(Delete::Auto, &[silent, joined(&[SELECTED, THERE, ours_alone])]).await;
    assert!(heard.starts_with("TimedOut"), "{heard}");
    // It has removed ours, so it is past.
    let done =
        "C: $a UID FETCH 3:4,9 (UID)\nS: $a OK x\nC: $a UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\nS: $a OK x";
    let heard = check(Delete::Auto, &[silent, joined(&[SELECTED, done])]).await;
    assert!(heard.starts_with("TimedOut"), "{heard}");
}
