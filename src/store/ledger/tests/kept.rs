//! What is written is read again, and what was learnt of it.

use super::*;

#[tokio::test]
async fn a_mailbox_is_read_as_it_was_written_in_this_run_and_in_later_ones() {
    let (_outer, path) = place();
    let (first, second) = (told(7, &[(1, 10), (480, 20), (u32::MAX - 1, 30)]), told(8, &[]));
    for _ in 0..2 {
        let ledger = Ledger::in_folder(&path);
        write(&ledger, 1, &first).await;
        write(&ledger, 2, &second).await;
        assert_eq!(read(&ledger, 1).await.as_ref(), Some(&first));
        ledger.close().await;
        assert_eq!(read(&ledger, 1).await, None, "closed");
        let ledger = Ledger::in_folder(&path);
        assert_eq!(read(&ledger, 1).await.as_ref(), Some(&first));
        assert_eq!(read(&ledger, 2).await.as_ref(), Some(&second));
        assert_eq!(read(&ledger, 3).await, None);
        ledger.close().await;
    }
}

#[tokio::test]
async fn what_was_learnt_is_told_at_once_and_kept() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    write(&ledger, 1, &told(7, &[(1, 10), (2, 20), (3, 30)])).await;
    let session = page(&ledger, 1);
    session.learn(validity(7), uid(2), MessageSize::exact(22, ToldSize::of(20)));
    session.learn(validity(7), uid(9), MessageSize::exact(99, ToldSize::of(90)));
    let expected = listed(
        7,
        [
            (1, MessageSize::told(10)),
            (2, MessageSize::exact(22, ToldSize::of(20))),
            (3, MessageSize::told(30)),
        ],
    );
    let mut next = page(&ledger, 1);
    let known = next.read().await;
    let corrected = |mut listed: Listed| {
        session.correct(&mut listed);
        listed
    };
    assert_eq!(corrected(told(7, &[(1, 10), (2, 20), (3, 30)])), expected);
    assert_eq!(corrected(told(8, &[(2, 20)])), told(8, &[(2, 20)]), "another numbering");
    assert_eq!(corrected(told(7, &[(2, 21)])), told(7, &[(2, 21)]), "a UID handed out again");
    drop(session);
    ledger.written().await;
    assert!(ledger.0.as_ref().unwrap().learnt().is_empty());
    // Read before it was written, shown after.
    let mut known = known.unwrap();
    next.correct(&mut known);
    assert_eq!(known, expected);
    // RFC822.SIZE said again does not undo it.
    write(&ledger, 1, &told(7, &[(1, 11), (2, 20), (4, 40)])).await;
    let expected = listed(
        7,
        [
            (1, MessageSize::told(11)),
            (2, MessageSize::exact(22, ToldSize::of(20))),
            (4, MessageSize::told(40)),
        ],
    );
    assert_eq!(read(&ledger, 1).await, Some(expected));
    // Another RFC822.SIZE is another message's.
    write(&ledger, 1, &told(7, &[(1, 11), (2, 21)])).await;
    assert_eq!(read(&ledger, 1).await, Some(told(7, &[(1, 11), (2, 21)])));
    write(&ledger, 1, &told(8, &[(2, 20)])).await;
    assert_eq!(read(&ledger, 1).await, Some(told(8, &[(2, 20)])), "another numbering, another message");
}

#[tokio::test]
async fn identities_stay_with_their_messages_and_upstreams_word_before_what_was_seen() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let first = told(7, &[(1, 10), (2, 20), (161, 30), (u32::MAX - 1, 40)]);
    let all = [(1, said(1)), (161, said(161)), (u32::MAX - 1, said(9))];
    page(&ledger, 1).write(first.clone(), news(&first, &all).identities);
    ledger.written().await;
    let session = page(&ledger, 1);
    let learn = |number, identity| session.learner(validity(7), uid(number)).unwrap().learn(identity);
    learn(1, seen(1));
    learn(2, seen(2));
    learn(3, seen(3));
    let expected = vec![(1, said(1)), (2, seen(2)), (161, said(161)), (u32::MAX - 1, said(9))];
    // Not written yet; of a message that is not there nobody will ask.
    assert_eq!(
        identities(&ledger).await.iter().filter(|(at, _)| *at != 3).copied().collect::<Vec<_>>(),
        expected
    );
    drop(session);
    ledger.written().await;
    assert!(ledger.0.as_ref().unwrap().learnt().is_empty());
    ledger.close().await;
    let ledger = Ledger::in_folder(&path);
    assert_eq!(identities(&ledger).await, expected);
    // A listing that tells none takes none away but of what went.
    write(&ledger, 1, &told(7, &[(2, 20), (161, 30), (500, 50)])).await;
    assert_eq!(identities(&ledger).await, [(2, seen(2)), (161, said(161))]);
    // What is told later is believed more than a header.
    page(&ledger, 1).write(told(7, &[(2, 20), (161, 30)]), vec![(uid(2), said(2))]);
    ledger.written().await;
    assert_eq!(identities(&ledger).await, [(2, said(2)), (161, said(161))]);
    let renumbered = told(8, &[(2, 20)]);
    page(&ledger, 1).write(renumbered.clone(), vec![(uid(2), said(9))]);
    ledger.written().await;
    assert_eq!(identities(&ledger).await, [(2, said(9))]);
    // Nor does a session that was under way disturb.
    let late = page(&ledger, 1);
    late.learner(validity(7), uid(2)).unwrap().learn(seen(2));
    assert_eq!(identities(&ledger).await, [(2, said(9))]);
    drop(late);
    ledger.written().await;
    assert_eq!(identities(&ledger).await, [(2, said(9))]);
}
