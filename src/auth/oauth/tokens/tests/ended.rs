//! Sign-ins that have ended, or were never made.

use super::*;

/// RFC 6749 §5.2: a refresh token that is dead stays dead; the server is left alone until somebody signs in.
#[tokio::test]
async fn a_revoked_sign_in_is_remembered_until_another_one_is_kept() {
    let bench = Bench::new(|heard| match heard.field("refresh_token") {
        "signed-in-again" => tokens("access-9", "refresh-9", 3600),
        _ => refusal("invalid_grant"),
    })
    .await;
    bench.pass(4000);
    for _ in 0..50 {
        assert!(sign_in(bench.current().await).contains("revoked"));
        bench.pass(86_400);
    }
    assert_eq!(bench.requests(), 1);
    let state = bench.tokens.state().await;
    assert!(matches!(state.fault, Some(NoToken::SignIn { .. })), "{state:?}");
    // Nothing was thrown away.
    assert_eq!(bench.shelf.kept().0, "refresh-0");

    bench.shelf.put(grant_of("gone", "signed-in-again"));
    assert_eq!(bench.current().await.unwrap(), "access-9");
    assert_eq!(bench.requests(), 2);
    assert!(bench.tokens.state().await.fault.is_none());
}

/// The access token outlives its refresh token.
#[tokio::test]
async fn a_revoked_sign_in_serves_while_its_access_token_lives() {
    let bench = Bench::new(|_| refusal("invalid_grant")).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.pass(3590);
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.pass(10);
    sign_in(bench.current().await);
    assert_eq!(bench.requests(), 1);
}

/// The sign-in was revoked, and with it the token that by its date is good: nobody goes upstream with that again.
#[tokio::test]
async fn a_revoked_sign_in_whose_token_is_refused_is_told_at_once_until_another_one_is_kept() {
    let bench = Bench::new(|_| refusal("invalid_grant")).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    sign_in(bench.renewed("access-0").await);
    for _ in 0..20 {
        sign_in(bench.current().await);
        sign_in(bench.renewed("an older one").await);
    }
    assert_eq!(bench.requests(), 1);
    bench.shelf.put(grant_of("signed-in-anew", "refresh-anew"));
    assert_eq!(bench.current().await.unwrap(), "signed-in-anew");
}

#[tokio::test]
async fn an_account_nobody_signed_in_to_says_so() {
    let bench = Bench::new(rotating).await;
    *bench.shelf.grant.lock().unwrap() = None;
    assert!(sign_in(bench.current().await).contains("nobody has signed in"));
    let state = bench.tokens.state().await;
    assert!(matches!(state.fault, Some(NoToken::SignIn { .. })) && state.signed_in_at.is_none());
    bench.shelf.put(signed_in());
    assert_eq!(bench.current().await.unwrap(), "access-0");
    assert_eq!(bench.requests(), 0);
}

/// RFC 6749 §6: a refresh token is bound to the client it was given to.
#[tokio::test]
async fn a_sign_in_of_another_client_is_not_sent() {
    let bench = Bench::new(rotating).await;
    let mut other = signed_in();
    other.client_id = "another".into();
    bench.shelf.put(other);
    bench.pass(4000);
    assert!(sign_in(bench.current().await).contains("another client_id"));
    assert_eq!(bench.requests(), 0);
}
