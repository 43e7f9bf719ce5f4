//! Tokens that nobody signs in for.

use super::*;

/// RFC 6749 §4.4: no person, no refresh token, nothing kept.
#[tokio::test]
async fn client_credentials_are_shown_again_each_time() {
    let answer = |heard: &Heard| tokens(&format!("access-{}", heard.number), "", 3600);
    let bench = Bench::with(answer, Kind::ClientCredentials, Deadlines::default()).await;
    bench.shelf.break_with(Some("there is no vault"));
    assert_eq!(bench.current().await.unwrap(), "access-0");
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.pass(3600);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    assert_eq!(bench.renewed("access-1").await.unwrap(), "access-2");
    for heard in bench.server.heard() {
        assert_eq!(heard.field("grant_type"), "client_credentials");
        assert_eq!((heard.field("client_id"), heard.field("client_secret")), ("our-client", "our-secret"));
        assert_eq!(heard.field("scope"), "imap smtp");
    }
    assert_eq!(bench.requests(), 3);
}

/// Where nobody signs in, no sign-in can bring it back: the server is asked again, seldom.
#[tokio::test]
async fn refused_client_credentials_may_be_cured_at_the_provider() {
    let answer = |heard: &Heard| match heard.number {
        0 => refusal("access_denied"),
        _ => tokens("access", "", 3600),
    };
    let bench = Bench::with(answer, Kind::ClientCredentials, Deadlines::default()).await;
    sign_in(bench.current().await);
    bench.pass(299);
    sign_in(bench.current().await);
    bench.pass(1);
    assert_eq!(bench.current().await.unwrap(), "access");
    assert_eq!(bench.requests(), 2);
}
