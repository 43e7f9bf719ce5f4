//! When a token is renewed, by whom, and how often.

use super::*;

#[tokio::test]
async fn a_token_that_lives_is_given_without_a_request() {
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.pass(3299);
    assert_eq!(bench.current().await.unwrap(), "access-0");
    // The very first look at what is kept is no request either.
    assert_eq!(bench.requests(), 0);
}

/// RFC 6749 §6: what is asked, and by whom.
#[tokio::test]
async fn a_refresh_request_says_who_we_are() {
    let bench = Bench::new(rotating).await;
    bench.pass(3600);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    let heard = bench.server.heard().remove(0);
    assert_eq!((heard.method.as_str(), heard.path.as_str()), ("POST", "/token"));
    assert_eq!(heard.field("grant_type"), "refresh_token");
    assert_eq!(heard.field("refresh_token"), "refresh-0");
    assert_eq!(heard.field("client_id"), "our-client");
    assert!(!heard.form.contains_key("client_secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_logins_with_an_expired_token_make_one_request() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    let asking = (0..200).map(|_| {
        let tokens = bench.tokens.clone();
        tokio::spawn(async move { tokens.current().await })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(text(asked.await.unwrap().unwrap()), "access-1");
    }
    assert_eq!(bench.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_were_refused_the_same_token_make_one_request() {
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    let asking = (0..200).map(|_| {
        let tokens = bench.tokens.clone();
        tokio::spawn(async move { tokens.renewed(Secret::new("access-0")).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(text(asked.await.unwrap().unwrap()), "access-1");
    }
    assert_eq!(bench.requests(), 1);
}

/// While the old one lives, nobody waits for the new one.
#[tokio::test]
async fn a_token_near_its_end_is_renewed_behind_the_login() {
    let bench = Bench::new(|_| Said::Stall).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.pass(3300);
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.server.until(1).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    assert_eq!(bench.requests(), 1);
}

#[tokio::test]
async fn the_renewal_behind_the_login_serves_the_next_one() {
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.pass(3300);
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.server.until(1).await;
    // Looking waits for the renewal that runs.
    assert_eq!(bench.tokens.state().await.expires_at, Some(BEGIN + 3300 + 3600));
    assert_eq!(bench.current().await.unwrap(), "access-1");
    assert_eq!(bench.requests(), 1);
}

/// The first login of a program that has just begun, with a token that lives for some minutes yet.
#[tokio::test]
async fn nobody_waits_for_a_token_server_that_stalls_while_the_token_lives() {
    let hour = Duration::from_secs(3600);
    let deadlines = Deadlines { http: hour, ..Deadlines::default() };
    let bench = Bench::with(|_| Said::Stall, Kind::User, deadlines).await;
    bench.pass(3400);
    let logins = async {
        for _ in 0..3 {
            assert_eq!(bench.current().await.unwrap(), "access-0");
            assert_eq!(bench.tokens.signed_in_at().await, Some(BEGIN));
            bench.server.until(1).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), logins).await.expect("no hour");
    assert_eq!(bench.requests(), 1);
}

/// Upstream may refuse every token, because it is for another mailbox for example.
#[tokio::test]
async fn tokens_that_are_refused_when_fresh_are_renewed_once_a_minute() {
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    assert_eq!(bench.renewed("access-0").await.unwrap(), "access-1");
    for _ in 0..20 {
        assert!(later(bench.renewed("access-1").await).contains("newest token"));
    }
    // Who was refused an older one is given the newest.
    assert_eq!(bench.renewed("access-0").await.unwrap(), "access-1");
    assert_eq!(bench.requests(), 1);
    bench.pass(60);
    assert_eq!(bench.renewed("access-1").await.unwrap(), "access-2");
    assert_eq!(bench.requests(), 2);
}

/// The token server is down and upstream has refused what we have: there is nothing to show.
#[tokio::test]
async fn a_refused_token_is_not_shown_again() {
    let bench = Bench::new(|_| json(500, "")).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    later(bench.renewed("access-0").await);
    later(bench.renewed("access-0").await);
    assert_eq!(bench.requests(), 1);
}

/// An app that hangs up does not lose a token that the server has changed already.
#[tokio::test]
async fn a_renewal_goes_on_when_nobody_waits_for_it() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    let tokens = bench.tokens.clone();
    let asking = tokio::spawn(async move { tokens.current().await });
    bench.server.until(1).await;
    asking.abort();
    let state = bench.tokens.state().await;
    assert_eq!(state.obtained_at, Some(BEGIN + 4000));
    assert_eq!(bench.shelf.kept().0, "refresh-1");
    assert_eq!(bench.requests(), 1);
}

#[tokio::test]
async fn nothing_secret_is_in_what_is_printed() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    bench.current().await.unwrap();
    let shown = format!("{:?} {:?} {:?}", bench.tokens, bench.tokens.state().await, *bench.tokens.0.held());
    assert!(!shown.contains("access-") && !shown.contains("refresh-"), "{shown}");
}
