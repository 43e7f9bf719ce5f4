//! What token servers say instead of tokens.

use super::*;

/// What passes by itself is never called a revoked sign-in, and the old token serves while it lives.
#[tokio::test]
async fn trouble_of_the_token_server_passes() {
    let html = "<html><script>alert(1)</script>refresh-0</html>";
    for said in [
        Said::Say(500, "text/html", html.into()),
        Said::Say(200, "text/html", html.into()),
        Said::Say(400, "text/html", html.into()),
        Said::Say(403, "text/plain", "blocked by the proxy".into()),
        Said::Say(302, "text/html", String::new()),
        json(429, r#"{"error":"invalid_grant"}"#),
        json(408, "{}"),
        json(503, r#"{"error":"invalid_grant"}"#),
        json(200, "{}"),
        json(200, "[]"),
        json(200, ""),
        json(200, r#"{"access_token":""}"#),
        json(200, r#"{"access_token":"a\r\nb"}"#),
        json(400, r#"{"error":{"code":1}}"#),
        json(400, r#"{"error":"temporarily_unavailable"}"#),
    ] {
        let shown = format!("{said:?}");
        let bench = Bench::new(move |_| said.clone()).await;
        bench.tokens.state().await;
        bench.pass(3590);
        assert_eq!(bench.current().await.unwrap(), "access-0", "{shown}");
        assert_eq!(bench.requests(), 1, "{shown}");
        bench.pass(1000);
        let reason = later(bench.current().await);
        assert!(!reason.contains("script") && !reason.contains("refresh-0"), "{reason}");
        assert_eq!(bench.shelf.kept().0, "refresh-0");
    }
}

#[tokio::test]
async fn a_token_server_that_is_gone_or_stalls_passes() {
    let short = Deadlines { http: Duration::from_millis(50), ..Deadlines::default() };
    let bench = Bench::with(|_| Said::Stall, Kind::User, short).await;
    bench.pass(4000);
    assert!(later(bench.current().await).contains("does not answer"));
    drop(bench.server);
    bench.steady.fetch_add(1000, Ordering::SeqCst);
    assert!(later(bench.tokens.current().await.map(text)).contains("cannot be asked"));
}

/// A server that stalls for longer than the pause after it: the pause begins when it was given up, not when it was asked.
#[tokio::test]
async fn a_server_that_stalls_is_left_alone_from_then_on() {
    let clocks = Arc::new(std::sync::OnceLock::<[Arc<AtomicU64>; 2]>::new());
    let at_the_server = clocks.clone();
    let bench = Bench::new(move |_| {
        for clock in at_the_server.get().into_iter().flatten() {
            clock.fetch_add(30, Ordering::SeqCst);
        }
        json(500, "{}")
    })
    .await;
    clocks.set([bench.wall.clone(), bench.steady.clone()]).unwrap();
    bench.pass(4000);
    for _ in 0..3 {
        later(bench.current().await);
    }
    assert_eq!(bench.requests(), 1);
    bench.pass(BACK_OFF_FIRST.as_secs());
    later(bench.current().await);
    assert_eq!(bench.requests(), 2);
}

/// RFC 6749 §5.1 is not what every server keeps to.
#[tokio::test]
async fn odd_answers_are_understood() {
    for (body, life) in [
        (r#"{"access_token":"new","token_type":"Bearer","expires_in":"7200"}"#, 7200),
        (r#"{"access_token":"new","expires_in":7200.0,"ext_expires_in":1,"unknown":[{}]}"#, 7200),
        (r#"{"access_token":"new","token_type":"bearer"}"#, 3600),
        (r#"{"access_token":"new","expires_in":null,"scope":null,"refresh_token":null}"#, 3600),
        (r#"{"access_token":"new","expires_in":-5,"scope":["imap","smtp"]}"#, 3600),
    ] {
        let bench = Bench::new(move |_| json(200, body)).await;
        bench.pass(4000);
        assert_eq!(bench.current().await.unwrap(), "new", "{body}");
        assert_eq!(bench.tokens.state().await.expires_at, Some(BEGIN + 4000 + life), "{body}");
        assert_eq!(bench.shelf.kept(), ("refresh-0".into(), None));
    }
    let bench =
        Bench::new(|_| json(200, r#"{"error":"invalid_grant","error_description":"said with 200"}"#)).await;
    bench.pass(4000);
    sign_in(bench.current().await);
}

/// No hammering: 5 seconds, 10, 20 ... 5 minutes.
#[tokio::test]
async fn a_failing_server_is_asked_less_and_less() {
    let bench = Bench::new(|_| json(500, "{}")).await;
    bench.pass(4000);
    for _ in 0..3600 {
        later(bench.current().await);
        bench.pass(1);
    }
    // 7 while the pause doubles to 320 s, cut to 300 s; then one each 4 to 5 minutes.
    let requests = bench.requests();
    assert!((17..=23).contains(&requests), "{requests} requests in an hour");
    assert_eq!([0, 1, 6, 7, u32::MAX].map(|times| back_off(times).as_secs()), [5, 10, 300, 300, 300]);
    for _ in 0..100 {
        let wait = jittered(BACK_OFF_FIRST);
        assert!(wait <= BACK_OFF_FIRST && wait >= BACK_OFF_FIRST.mul_f64(0.79), "{wait:?}");
    }
}

/// RFC 9110 §10.2.3: a server that says when to come back is believed, within reason.
#[tokio::test]
async fn a_pause_that_the_server_wants_is_made() {
    let bench = Bench::new(|heard| Said::Wait(429, if heard.number == 0 { 1800 } else { u64::MAX })).await;
    bench.pass(4000);
    for (wait, requests) in [(0, 1), (1799, 1), (1, 2), (3599, 2), (1, 3)] {
        bench.pass(wait);
        later(bench.current().await);
        assert_eq!(bench.requests(), requests);
    }
}

#[tokio::test]
async fn a_server_that_is_back_is_asked_as_usual() {
    let bench = Bench::new(|heard| if heard.number < 3 { json(500, "") } else { rotating(heard) }).await;
    bench.pass(4000);
    for wait in [5, 10, 20] {
        later(bench.current().await);
        bench.pass(wait);
    }
    assert_eq!(bench.current().await.unwrap(), "access-4");
}
