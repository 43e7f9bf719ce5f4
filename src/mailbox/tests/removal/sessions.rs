//! Over sessions that are lost, silent, renumbered or read-only.

use super::*;

/// A fresh session, in which it has another numbering.
const RENUMBERED: &str = "C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY 9] x\nS: $a OK x";

/// The connection is lost instead of its answer.
fn or_lost(command: &str) -> String {
    command.replace("S: $a OK x", "EOF")
}

#[tokio::test(start_paused = true)]
async fn a_session_that_died_in_silence_before_quit_is_replaced() {
    let asleep = joined(&[OPENED, "C: $a NOOP"]);
    let provider =
        Provider::new(&[asleep, joined(&[CAPABLE, SELECTED, &marked("3:4,9")])]).delete(Delete::Flag);
    let (mut mailbox, _) = provider.open().await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await.unwrap();
    mailbox.close().await;
    provider.kept().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_from_another_numbering_or_a_read_only_mailbox() {
    // RFC 3501 §2.3.1.1.
    for (selected, fault) in [
        ("S: * OK [UIDVALIDITY 8] x\nS: $a OK [READ-WRITE] x", "UidValidityChanged"),
        ("S: * OK [UIDVALIDITY 7] x\nS: $a OK [READ-ONLY] x", "Refused"),
        ("S: $a NO [NONEXISTENT] gone", "NoFolder"),
    ] {
        let script = joined(&[OPENED, CAPABLE, "C: $a SELECT \"INBOX\"", selected]);
        let heard = check(Delete::Flag, &[script]).await;
        assert!(heard.starts_with(fault), "{heard} after {selected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_renumbered_during_the_removal_ends_it() {
    // RFC 2683 §3.4.3: upstream may say so unasked.
    let renumbered = "S: * OK [UIDVALIDITY 8] rebuilt\nS: $a OK x";
    let script = joined(&[&flown("UIDPLUS", TRASH), &copied("3:4,9").replace("S: $a OK x", renumbered)]);
    assert!(check(Delete::Auto, &[script]).await.starts_with("UidValidityChanged"));
    let script = joined(&[&flown("", ""), EXPUNGED.split("S: * SEARCH 3 4 9").next().unwrap(), renumbered]);
    assert!(check(Delete::Auto, &[script]).await.starts_with("UidValidityChanged"));
}

/// RFC 3501 §2.3.1.1, §7.1: wherever upstream says so unasked between two commands, nothing that goes by UIDs is sent any
/// more; each script as far as one of its answers, with that behind it.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_renumbered_between_two_commands_loses_nothing() {
    let (copied, moved) = (copied("3:4,9"), moved("3:4,9", BIN));
    for (delete, script, places) in [
        (Delete::Auto, joined(&[&flown("UIDPLUS", TRASH), &copied, &expunged("3:4,9")]), 3),
        (Delete::Auto, joined(&[&flown("UIDPLUS MOVE", TRASH), &moved]), 1),
        (Delete::Auto, joined(&[&flown("", ""), EXPUNGED]), 7),
        (Delete::Expunge, joined(&[OPENED, CAPABLE, SELECTED, EXPUNGED]), 7),
        (Delete::Flag, joined(&[OPENED, CAPABLE, SELECTED, &marked("3:4,9")]), 1),
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
    assert!(check(Delete::Auto, &[script, RENUMBERED]).await.starts_with("UidValidityChanged"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_replaced_once_and_what_is_left_goes_on() {
    let lost = joined(&[&flown("MOVE UIDPLUS", TRASH), "C: $a UID MOVE 3:4,9 \"Bin &AOk-\"\nEOF"]);
    let left = look("3:4,9", &[9]);
    let rest = joined(&[SELECTED, &left, &capable("MOVE UIDPLUS"), &moved("9", BIN)]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
    // Renumbered meanwhile: nothing more is touched.
    assert!(check(Delete::Auto, &[lost, RENUMBERED]).await.starts_with("UidValidityChanged"));
    // Lost again: once is enough.
    let again = "C: $a SELECT \"INBOX\"\nEOF";
    assert_eq!(check(Delete::Auto, &[lost, again]).await, r#"Lost { command: "SELECT" }"#);
    // Asleep since login, with a farewell.
    let asleep = joined(&[OPENED, "S: * BYE idle for too long\nEOF"]);
    let capable = capable("MOVE UIDPLUS");
    let flagged = joined(&[SELECTED, &left, &marked("9")]);
    assert_eq!(check(Delete::Flag, &[asleep, joined(&[&capable, flagged])]).await, "Ok");
    // The access token of the login has ended meanwhile.
    let ended = joined(&[
        OPENED,
        &capable,
        "C: $a SELECT \"INBOX\"\nS: * BYE Session invalidated - AccessTokenExpired\nS: $a NO no",
    ]);
    assert_eq!(check(Delete::Flag, &[ended, flagged]).await, "Ok");
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_made_once_or_the_whole_is_given_up() {
    let (flown, copied) = (flown("UIDPLUS", TRASH), copied("3:4,9"));
    let lost = joined(&[&flown, &copied, &or_lost(&marked("3:4,9"))]);
    let rest = joined(&[SELECTED, &look("3:4,9", &[3, 4]), &capable("UIDPLUS"), &expunged("3:4")]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
    let unknown = joined(&[&flown, &or_lost(&copied)]);
    assert_eq!(check(Delete::Auto, &[unknown]).await, r#"Lost { command: "COPY" }"#);
}

/// RFC 3501 §6.4.3.
#[tokio::test(start_paused = true)]
async fn marks_lifted_over_a_lost_connection_are_put_back_over_the_next() {
    let put_back = marked("1:2");
    let until = |step: &str| EXPUNGED.split(step).next().unwrap();
    let lost = joined(&[&flown("", ""), until("S: * SEARCH 3 4 9"), "EOF"]);
    let rest = joined(&[SELECTED, &put_back, THERE, CAPABLE, EXPUNGED]);
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
        &put_back,
        &look("3:4,9", &[]),
    ]);
    assert_eq!(check(Delete::Auto, &[lost, rest]).await, "Ok");
    // It was done.
    let past = joined(&[SELECTED, &look("3:4,9", &[]), &put_back]);
    assert_eq!(check(Delete::Auto, &[lost, past]).await, "Ok");
    // In doubt then: ours bear no mark any more, and theirs are not there to be found. A third connection looks again.
    let doubt = joined(&[
        SELECTED,
        THERE,
        CAPABLE,
        "C: $a UID SEARCH DELETED\nS: * SEARCH 3 4 9\nS: $a OK x",
        &marked("3:4,9").replace("OK x", "NO busy"),
        &done(r"UID STORE 3,9 -FLAGS.SILENT (\Deleted)"),
        THERE,
    ]);
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
    assert!(check(Delete::Auto, &[silent, RENUMBERED]).await.starts_with("TimedOut"));
    // Lost, and once more lost: the third connection puts them back.
    let lost = joined(&[&flown("", ""), until("S: * SEARCH 3 4 9"), "EOF"]);
    let again = joined(&[SELECTED, &or_lost(&marked("1:2"))]);
    assert!(check(Delete::Auto, &[lost, again, joined(&[SELECTED, TAKEN_BACK])]).await.starts_with("Lost"));
}

/// RFC 3501 §6.4.3: what was sent may still reach a server that was silent, as after a network that was away for a minute;
/// it would remove what bears a mark by then, whosever it is.
#[tokio::test(start_paused = true)]
async fn no_foreign_mark_comes_back_while_an_expunge_may_be_on_its_way() {
    let silent = joined(&[&flown("", ""), EXPUNGED.split("S: * 3 EXPUNGE").next().unwrap()]);
    let ours_alone = done(r"UID STORE 3,9 -FLAGS.SILENT (\Deleted)");
    let heard = check(Delete::Auto, &[silent, joined(&[SELECTED, THERE, &ours_alone])]).await;
    assert!(heard.starts_with("TimedOut"), "{heard}");
    // It has removed ours, so it is past.
    let past = joined(&[SELECTED, &look("3:4,9", &[]), &marked("1:2")]);
    let heard = check(Delete::Auto, &[silent, past]).await;
    assert!(heard.starts_with("TimedOut"), "{heard}");
}
