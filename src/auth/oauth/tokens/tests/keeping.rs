//! What is kept, when, and who else may have kept something.

use super::*;

/// A new refresh token is on the disk before anybody uses what came with it, and the one before is beside it.
#[tokio::test]
async fn a_changed_refresh_token_is_kept_before_it_is_used() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    assert_eq!(bench.shelf.kept(), ("refresh-1".into(), Some("refresh-0".into())));
    // Proven by its use, it stands alone.
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-2");
    assert_eq!(bench.shelf.kept(), ("refresh-2".into(), Some("refresh-1".into())));
    assert_eq!(bench.server.heard()[1].field("refresh_token"), "refresh-1");
}

#[tokio::test]
async fn nobody_has_the_new_token_before_it_is_kept() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    let (begun, mut saving) = mpsc::unbounded_channel();
    let (go, gone) = std::sync::mpsc::channel();
    *bench.shelf.gate.lock().unwrap() = Some((begun, gone));
    let mut asking = bench.tokens.current();
    tokio::select! {
        given = &mut asking => panic!("{given:?} is not kept yet"),
        begun = saving.recv() => begun.unwrap(),
    }
    assert!(futures_util::FutureExt::now_or_never(&mut asking).is_none());
    assert!(futures_util::FutureExt::now_or_never(bench.tokens.current()).is_none());
    go.send(()).unwrap();
    assert_eq!(text(asking.await.unwrap()), "access-1");
}

/// Somebody signs in anew while the server is asked with the old sign-in.
#[tokio::test]
async fn a_new_sign_in_is_not_overwritten_by_a_renewal_of_the_old_one() {
    let shelf = Arc::new(Mutex::new(None::<Arc<Shelf>>));
    let signing_in = shelf.clone();
    let bench = Bench::new(move |heard| {
        if let Some(shelf) = signing_in.lock().unwrap().as_ref() {
            shelf.put(grant_of("signed-in-anew", "refresh-anew"));
        }
        rotating(heard)
    })
    .await;
    *shelf.lock().unwrap() = Some(bench.shelf.clone());
    assert_eq!(bench.renewed("access-0").await.unwrap(), "signed-in-anew");
    assert_eq!(bench.shelf.kept(), ("refresh-anew".into(), None));
    assert_eq!(bench.current().await.unwrap(), "signed-in-anew");
}

/// As late as can be: the answer is there, and what is kept is about to be replaced.
#[tokio::test]
async fn a_sign_in_at_the_moment_of_the_save_wins_and_is_used() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    let (begun, mut saving) = mpsc::unbounded_channel();
    let (go, gone) = std::sync::mpsc::channel();
    *bench.shelf.gate.lock().unwrap() = Some((begun, gone));
    let mut asking = bench.tokens.current();
    tokio::select! {
        given = &mut asking => panic!("{given:?} is not kept yet"),
        begun = saving.recv() => begun.unwrap(),
    }
    bench.shelf.save(&grant_of("signed-in-anew", "refresh-anew")).unwrap();
    go.send(()).unwrap();
    assert_eq!(text(asking.await.unwrap()), "signed-in-anew");
    assert_eq!(bench.shelf.kept(), ("refresh-anew".into(), None));
    assert_eq!((bench.requests(), bench.shelf.saves.load(Ordering::SeqCst)), (1, 0));
}

/// The same for an account that is removed: it does not come back.
#[tokio::test]
async fn an_account_removed_at_the_moment_of_the_save_stays_removed() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    let (begun, mut saving) = mpsc::unbounded_channel();
    let (go, gone) = std::sync::mpsc::channel();
    *bench.shelf.gate.lock().unwrap() = Some((begun, gone));
    let mut asking = bench.tokens.current();
    tokio::select! {
        given = &mut asking => panic!("{given:?} is not kept yet"),
        begun = saving.recv() => begun.unwrap(),
    }
    *bench.shelf.grant.lock().unwrap() = None;
    go.send(()).unwrap();
    assert!(sign_in(asking.await.map(text)).contains("nobody has signed in"));
    assert!(bench.shelf.grant.lock().unwrap().is_none());
}

/// A process that was killed between the server's answer and the disk comes back with what it had.
#[tokio::test]
async fn the_refresh_token_before_is_tried_once_where_the_new_one_is_refused() {
    let bench = Bench::new(|heard| match heard.field("refresh_token") {
        "refresh-0" if heard.number == 0 => tokens("access-1", "lost", 3600),
        "refresh-0" => tokens("access-2", "refresh-2", 3600),
        _ => refusal("invalid_grant"),
    })
    .await;
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-2");
    let asked = bench.server.heard();
    let asked = asked.iter().map(|heard| heard.field("refresh_token")).collect::<Vec<_>>();
    assert_eq!(asked, ["refresh-0", "lost", "refresh-0"]);
    assert_eq!(bench.shelf.kept(), ("refresh-2".into(), Some("refresh-0".into())));
}

/// Whoever signed in to the wrong mailbox and then to the right one need not wait for the wrong token's end.
#[tokio::test]
async fn a_new_sign_in_is_seen_at_the_login_after_a_refusal() {
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.renewed("access-0").await.unwrap(), "access-1");
    later(bench.renewed("access-1").await);
    // Nothing is new: upstream may have changed its mind.
    assert_eq!(bench.current().await.unwrap(), "access-1");
    bench.shelf.put(grant_of("signed-in-anew", "refresh-anew"));
    assert_eq!(bench.current().await.unwrap(), "signed-in-anew");
    assert_eq!(bench.requests(), 1);
}

/// A disk that is full costs a sentence in the log: what was kept stays, and the new token serves.
#[tokio::test]
async fn what_cannot_be_kept_serves_from_memory() {
    let bench = Bench::new(rotating).await;
    bench.tokens.state().await;
    bench.shelf.break_with(Some("no space left"));
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    assert_eq!(bench.shelf.kept().0, "refresh-0");
    // The newer one in memory is not given up for the older one that is kept.
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-2");
    bench.shelf.break_with(None);
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-3");
    let asked = bench.server.heard();
    let asked = asked.iter().map(|heard| heard.field("refresh_token")).collect::<Vec<_>>();
    assert_eq!(asked, ["refresh-0", "refresh-1", "refresh-2"]);
    assert_eq!((bench.shelf.kept().0.as_str(), bench.shelf.saves.load(Ordering::SeqCst)), ("refresh-3", 1));
}

/// A disk that was full for a moment: what is in memory goes there at a later login.
#[tokio::test]
async fn what_could_not_be_kept_is_kept_later() {
    let bench = Bench::new(rotating).await;
    bench.tokens.state().await;
    bench.shelf.break_with(Some("no space left"));
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    bench.shelf.break_with(None);
    for (wait, kept) in [(59, "refresh-0"), (1, "refresh-1")] {
        bench.pass(wait);
        assert_eq!(bench.current().await.unwrap(), "access-1");
        // Looking waits for the one who keeps.
        bench.tokens.state().await;
        assert_eq!(bench.shelf.kept().0, kept);
    }
    assert_eq!((bench.requests(), bench.shelf.saves.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_read_is_not_called_missing() {
    let bench = Bench::new(rotating).await;
    bench.shelf.break_with(Some("the keychain is locked"));
    assert_eq!(later(bench.current().await), "the keychain is locked");
    bench.shelf.break_with(None);
    assert_eq!(bench.current().await.unwrap(), "access-0");
    assert_eq!(bench.requests(), 0);
}

/// Two programs share what is kept: the command line renews or signs in while the bridge runs.
#[tokio::test]
async fn what_another_program_renewed_is_taken_over() {
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    let mut newer = grant_of("by-another", "refresh-x");
    newer.expires_at = BEGIN + 9000;
    bench.shelf.put(newer);
    bench.pass(4000);
    assert_eq!(bench.current().await.unwrap(), "by-another");
    assert_eq!(bench.requests(), 0);
}
