//! The keyword that hints upstream at what is hidden: when it is set, and when it counts.

use super::*;

/// RFC 3501 §7.1 PERMANENTFLAGS: without `\*` only the flags named can be kept.
#[tokio::test(start_paused = true)]
async fn the_keyword_is_set_only_where_it_is_kept_and_its_refusal_is_no_fault() {
    let selected_read_only = selected(7, r"\*").replace("READ-WRITE", "READ-ONLY");
    for rest in [
        selected(7, r"\Seen \Deleted").as_str(),
        selected(7, "").as_str(),
        selected_read_only.as_str(),
        "C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x\n",
        "C: $a SELECT \"INBOX\"\nS: $a NO not now\n",
        "C: $a SELECT \"INBOX\"\nEOF\n",
        "EOF\n",
        &(selected(7, r"\Seen $footbridgehidden") + &marked("4")),
        &(selected(7, r"\*")
            + "C: $a UID STORE 4 +FLAGS.SILENT ($FootbridgeHidden)\nS: $a NO [LIMIT] too many keywords\n"),
        &(selected(7, r"\*") + "C: $a UID STORE 4 +FLAGS.SILENT ($FootbridgeHidden)\nEOF\n"),
        // It says nothing for ever: the app need not wait for that.
        "C: $a SELECT \"INBOX\"\n",
        &(selected(7, r"\*") + "C: $a UID STORE 4 +FLAGS.SILENT ($FootbridgeHidden)\n"),
    ] {
        let (_outer, state) = place();
        let heard = check(&state, &[&opened(7, &[3, 4]), &hints("3:4", ""), rest], &[4]).await;
        assert_eq!(heard, (vec![3, 4], "Ok".to_owned()), "{rest}");
        assert_eq!(hidden(&state).await, these(7, &[4]), "{rest}");
    }
}

/// A bridge that is killed, a connection that is lost, a refusal for now.
#[tokio::test(start_paused = true)]
async fn a_keyword_that_could_not_be_set_is_set_with_the_next_thing_that_is_hidden() {
    let all = opened(7, &[3, 4, 9]);
    let refused = marked("4").replace("OK x", "NO not now");
    for failing in [
        &*(selected(7, r"\*") + &refused),
        &(selected(7, r"\*") + &marked("4").replace("S: $a OK x", "EOF")),
        "EOF\n",
    ] {
        let (_outer, state) = place();
        check(&state, &[&all, &hints("3:9", ""), failing], &[4]).await;
        let next = [&all, &*selected(7, r"\*"), &marked("4,9")];
        assert_eq!(check(&state, &next, &[9]).await, (vec![3, 9], "Ok".to_owned()), "{failing}");
        let last = [&all, &*selected(7, r"\*"), &marked("3")];
        assert_eq!(check(&state, &last, &[3]).await, (vec![3], "Ok".to_owned()), "{failing}");
        assert_eq!(looked(&provider(&state, &[joined(&[&all])])).await, runs(&[]));
    }
}

/// The app does not wait for it, and where nothing is owed nothing is asked.
#[tokio::test(start_paused = true)]
async fn a_keyword_that_is_owed_is_set_once_an_app_has_left() {
    let all = opened(7, &[3, 4]);
    let set = joined(&[&all, &selected(7, r"\*"), &marked("4")]);
    let refused = joined(&[&all, &selected(7, r"\*"), &marked("4").replace("OK x", "NO not now")]);
    let not_kept = joined(&[&all, &selected(7, r"\Seen")]);
    let nothing = joined(&[&all]);
    for (scripts, owed) in [
        (&[set, nothing][..], &[runs(&[]), runs(&[])][..]),
        // Where it is never kept it is not owed.
        (&[not_kept, nothing], &[runs(&[]), runs(&[])]),
        // What is refused is not asked for by each session that looks.
        (&[refused, nothing, nothing], &[runs(&[4]), runs(&[4]), runs(&[4])]),
    ] {
        let (_outer, state) = place();
        check(&state, &[&all, &hints("3:4", ""), "EOF\n"], &[4]).await;
        let bridge = provider(&state, scripts);
        for owed in owed {
            assert_eq!(looked(&bridge).await, *owed);
        }
        bridge.kept().await;
        // Another run has another try.
        if owed.contains(&runs(&[4])) {
            assert_eq!(looked(&provider(&state, &[set])).await, runs(&[]));
        }
    }
}

/// Apps that come back at once see the mailbox before the session before has noted what it set.
#[tokio::test(start_paused = true)]
async fn what_the_session_before_has_set_is_not_set_again() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4]);
    let script = joined(&[&all, &hints("3:4", ""), &selected(7, r"\*"), &marked("4")]);
    let (before, after) = (provider(&state, &[script]), provider(&state, &[joined(&[&all])]));
    let (mut mailbox, _) = before.open().await.unwrap();
    mailbox.update(&[], &[uid(4)]).await.unwrap();
    let (next, listing) = after.open().await.unwrap();
    assert_eq!(listing.messages.len(), 1);
    mailbox.leave().await;
    next.leave().await;
    before.kept().await;
    after.kept().await;
}

/// Another machine's, or a state folder that is lost.
#[tokio::test(start_paused = true)]
async fn the_keyword_counts_where_no_file_does_and_never_again() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4, 9]);
    let first = check(&state, &[&all, &hints("3:9", " 4 9")], &[]).await;
    assert_eq!(first, (vec![3], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(7, &[4, 9]));
    assert_eq!(check(&state, &[&all], &[]).await.0, [3]);
    // A server that cannot search for it.
    let (_outer, state) = place();
    let refused = "C: $a UID SEARCH UID 3:9 KEYWORD $FootbridgeHidden\nS: $a BAD what is that\n";
    assert_eq!(check(&state, &[&all, refused], &[]).await.0, [3, 4, 9]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [3, 4, 9]);
    // An empty mailbox has no hints, and may have some later.
    let (_outer, state) = place();
    let empty = opened(7, &[]);
    assert_eq!(check(&state, &[&empty], &[]).await.0, [0; 0]);
    assert_eq!(hidden(&state).await, Hidden::Nothing);
    // Many messages: an answer stays below what a response may have.
    let many: Vec<u32> = (1..=50_001).collect();
    let both = hints("1:50000", " 1 50000") + &hints("50001:50001", " 50001");
    let shown = check(&state, &[&opened(7, &many), &both], &[]).await.0;
    assert_eq!((shown.len(), shown.first(), shown.last()), (49_998, Some(&2), Some(&49_999)));
}

/// RFC 3501 §7.1.2: NO says nothing of the next time, BAD (§7.1.3) that upstream cannot do it.
#[tokio::test(start_paused = true)]
async fn a_search_for_hints_that_is_refused_once_is_made_again() {
    let all = opened(7, &[3, 4, 9]);
    let refused = "C: $a UID SEARCH UID 3:9 KEYWORD $FootbridgeHidden\nS: $a NO Mailbox is being indexed\n";
    let (_outer, state) = place();
    assert_eq!(check(&state, &[&all, refused], &[]).await.0, [3, 4, 9]);
    assert_eq!(check(&state, &[&all, &hints("3:9", " 4")], &[]).await.0, [3, 9]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [3, 9]);
    // What is hidden meanwhile is no answer either.
    let (_outer, state) = place();
    let quit = selected(7, "");
    assert_eq!(check(&state, &[&all, refused, &quit], &[3]).await, (vec![3, 4, 9], "Ok".to_owned()));
    assert_eq!(check(&state, &[&all, refused], &[]).await.0, [4, 9]);
    assert_eq!(check(&state, &[&all, &hints("3:9", " 4")], &[]).await.0, [9]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [9]);
}

/// What is hidden of another state folder, and cannot be written down at the login, is with the first QUIT that can.
#[tokio::test(start_paused = true)]
async fn hints_that_could_not_be_kept_are_not_lost_by_the_first_thing_that_is_hidden() {
    let (_outer, state) = place();
    let view = Views::in_folder(&state).view(&account(), "INBOX");
    view.hide(numbering(7), runs(&[1]), Runs::default()).await.unwrap();
    let file = file(&state);
    std::fs::remove_file(&file).unwrap();
    // What stands where the new file would be written, as a full disk would.
    let obstacle = state.join(format!(".{}.new", file.file_name().unwrap().to_str().unwrap()));
    std::fs::create_dir(&obstacle).unwrap();
    let all = opened(7, &[3, 4, 9]);
    let script = joined(&[&all, &hints("3:9", " 4"), &selected(7, "")]);
    for (room, outcome, left) in
        [(false, "what is deleted cannot be hidden", Hidden::Nothing), (true, "Ok", these(7, &[3, 4]))]
    {
        let provider = provider(&state, &[script]);
        let (mut mailbox, listing) = provider.open().await.unwrap();
        assert_eq!(listing.messages.iter().map(|message| message.uid.get()).collect::<Vec<_>>(), [3, 9]);
        if room {
            std::fs::remove_dir(&obstacle).unwrap();
        }
        let said =
            mailbox.update(&[], &[uid(3)]).await.map_or_else(|error| error.to_string(), |()| "Ok".to_owned());
        assert!(said.starts_with(outcome), "{said}");
        mailbox.close().await;
        provider.kept().await;
        assert_eq!(hidden(&state).await, left);
    }
    assert_eq!(check(&state, &[&all], &[]).await.0, [9]);
}
