//! What each session is shown, and what its QUIT hides.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_not_shown_again_and_hints_are_asked_for_once() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4, 9]);
    let first = check(
        &state,
        &[&all, &hints("3:9", ""), &selected(7, r"\Seen \Deleted \*"), &marked("3:4")],
        &[4, 3],
    )
    .await;
    assert_eq!(first, (vec![3, 4, 9], "Ok".to_owned()));
    // Not one command more than any other login has.
    assert_eq!(check(&state, &[&all], &[]).await, (vec![9], "Ok".to_owned()));
    let more = opened(7, &[3, 4, 9, 10]);
    let last = check(&state, &[&more, &selected(7, r"\*"), &marked("9")], &[9]).await;
    assert_eq!(last, (vec![9, 10], "Ok".to_owned()));
    assert_eq!(hidden(&state).await, these(7, &[3, 4, 9]));
}

#[tokio::test(start_paused = true)]
async fn sessions_at_a_time_hide_what_each_of_them_deleted() {
    let (_outer, state) = place();
    let all = opened(7, &[1, 2, 3]);
    check(&state, &[&all, &hints("1:3", "")], &[]).await;
    let quit = |set: &str| joined(&[&all, &selected(7, r"\*"), &marked(set)]);
    let (one, two) = (provider(&state, &[quit("1")]), provider(&state, &[quit("2:3")]));
    let ((mut first, _), (mut second, listing)) = (one.open().await.unwrap(), two.open().await.unwrap());
    first.update(&[], &[uid(1)]).await.unwrap();
    assert_eq!(listing.messages.len(), 3, "as it was at its login");
    second.update(&[], &[uid(2), uid(3)]).await.unwrap();
    for (mailbox, provider) in [(first, one), (second, two)] {
        mailbox.close().await;
        provider.kept().await;
    }
    assert_eq!(hidden(&state).await, these(7, &[1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_forgotten_where_the_listing_proves_it() {
    for (quirks, left) in [(&[][..], vec![2, 6]), (&[Quirk::FolderCap], vec![1, 2, 6, 9])] {
        let (_outer, state) = place();
        let hide = [opened(7, &[1, 2, 9]), hints("1:9", ""), selected(7, "")].concat();
        check(&state, &[&hide], &[1, 2, 9]).await;
        let script = joined(&[&opened(7, &[2, 6]), &selected(7, "")]);
        let (shown, said) = session(provider(&state, &[script]).quirks(quirks), &[6]).await;
        assert_eq!((shown, said.as_str()), (vec![6], "Ok"));
        assert_eq!(hidden(&state).await, these(7, &left));
    }
}

/// RFC 3501 §2.3.1.1: a UID is never given again under the same UIDVALIDITY. A server that takes UIDNEXT back, or has
/// none, may give it to another message all the same, which must not be out of sight.
#[tokio::test(start_paused = true)]
async fn a_uid_that_may_be_given_again_hides_no_other_message() {
    let next = |uid: u32| format!("S: * OK [UIDVALIDITY 7] x\nS: * OK [UIDNEXT {uid}] x\n");
    let listed = |uids: &[u32], told: &str| opened(7, uids).replace("S: * OK [UIDVALIDITY 7] x\n", told);
    for (told, shown) in
        [(next(10), vec![3]), (next(4), vec![3, 9]), (next(1).replace("UIDNEXT 1", "X"), vec![3, 9])]
    {
        let (_outer, state) = place();
        let hide = [opened(7, &[3, 9]), hints("3:9", ""), selected(7, "")].concat();
        check(&state, &[&hide], &[9]).await;
        // Somebody else removes it; then there is one of its number again.
        assert_eq!(check(&state, &[&listed(&[3], &told)], &[]).await.0, [3]);
        assert_eq!(check(&state, &[&opened(7, &[3, 9])], &[]).await.0, shown, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_kept_in_mind_all_is_shown_and_quit_says_so() {
    // No state folder.
    let script = joined(&[&opened(7, &[3, 4]), &selected(7, r"\*")]);
    let (shown, said) = session(Provider::new(&[script]).delete(Delete::Hide), &[4]).await;
    assert_eq!(shown, [3, 4]);
    assert!(said.starts_with("what is deleted cannot be hidden: there is no state folder"), "{said}");
    // UIDs that end with the session (RFC 4315 §3, UIDNOTSTICKY).
    let (_outer, state) = place();
    let volatile = opened(7, &[3, 4]).replace("S: $a OK x", "S: $a NO x\nS: $a OK x");
    let volatile = volatile.replace("S: $a NO x\n", "S: * NO [UIDNOTSTICKY] x\n");
    let (shown, said) = check(&state, &[&volatile, &selected(7, r"\*")], &[4]).await;
    assert_eq!(shown, [3, 4]);
    assert!(said.contains("end with each session"), "{said}");
    assert_eq!(hidden(&state).await, Hidden::Nothing);
}

/// A file that cannot be believed while a session is open: nothing is hidden, and the keyword is not set either.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_damaged_under_a_session_hides_nothing_of_it() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4]);
    check(&state, &[&all, &hints("3:4", " 3")], &[]).await;
    let provider = provider(&state, &[joined(&[&all, &selected(7, r"\*")])]);
    let (mut mailbox, listing) = provider.open().await.unwrap();
    assert_eq!(listing.messages.len(), 1);
    std::fs::write(file(&state), "x").unwrap();
    let said = mailbox.update(&[], &[uid(4)]).await.unwrap_err().to_string();
    assert!(said.contains("damaged"), "{said}");
    mailbox.close().await;
    provider.kept().await;
    assert_eq!(hidden(&state).await, Hidden::Nothing);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_marked_before_it_is_hidden() {
    let (_outer, state) = place();
    let seen = "C: $a UID STORE 3 +FLAGS.SILENT (\\Seen)\n";
    let script =
        |answer: &str| joined(&[&opened(7, &[3, 4]), &hints("3:4", ""), &selected(7, r"\*"), seen, answer]);
    let refused = provider(&state, &[script("S: $a NO not now\n")]);
    let (mut mailbox, _) = refused.open().await.unwrap();
    assert!(mailbox.update(&[uid(3)], &[uid(3)]).await.is_err());
    mailbox.close().await;
    refused.kept().await;
    assert_eq!(hidden(&state).await, these(7, &[]));
    let rest = joined(&[
        &opened(7, &[3, 4]),
        &selected(7, r"\*"),
        seen,
        "S: $a OK x\n",
        &selected(7, r"\*"),
        &marked("3"),
    ]);
    let done = provider(&state, &[rest]);
    let (mut mailbox, _) = done.open().await.unwrap();
    mailbox.update(&[uid(3)], &[uid(3)]).await.unwrap();
    mailbox.close().await;
    done.kept().await;
    assert_eq!(hidden(&state).await, these(7, &[3]));
}

#[tokio::test(start_paused = true)]
async fn other_values_of_delete_show_it_again() {
    let (_outer, state) = place();
    let all = opened(7, &[3, 4]);
    check(&state, &[&all, &hints("3:4", " 3")], &[]).await;
    let keep = provider(&state, &[joined(&[&all])]).delete(Delete::Keep);
    assert_eq!(session(keep, &[]).await.0, [3, 4]);
    assert_eq!(check(&state, &[&all], &[]).await.0, [4]);
}
