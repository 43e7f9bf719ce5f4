//! Over a scripted token server and a clock of their own.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::auth::oauth::fault::tests::server;
use crate::auth::oauth::token_server::{Answer as Said, Heard, TokenServer, json, refusal, tokens};
use crate::mail::Deadlines;
use crate::net::Connector;
use crate::net::tls::{Roots, trust};

/// When the tests begin, in seconds since 1970.
const BEGIN: u64 = 1_800_000_000;

/// Where grants are kept in a test.
#[derive(Debug, Default)]
struct Shelf {
    grant: Mutex<Option<Grant>>,
    /// Why it can be neither read nor written.
    fault: Mutex<Option<String>>,
    saves: AtomicUsize,
    /// Where a save waits, once it has begun, until it is let go on.
    gate: Mutex<Option<(mpsc::UnboundedSender<()>, std::sync::mpsc::Receiver<()>)>>,
}

impl Grants for Shelf {
    fn load(&self) -> Result<Option<Grant>, NoToken> {
        match self.fault.lock().unwrap().clone() {
            Some(reason) => Err(NoToken::Later { reason }),
            None => Ok(self.grant.lock().unwrap().clone()),
        }
    }

    fn save(&self, grant: &Grant) -> Result<(), String> {
        if let Some((begun, go)) = self.gate.lock().unwrap().take() {
            begun.send(()).unwrap();
            go.recv().unwrap();
        }
        if let Some(reason) = self.fault.lock().unwrap().clone() {
            return Err(reason);
        }
        self.saves.fetch_add(1, Ordering::SeqCst);
        *self.grant.lock().unwrap() = Some(grant.clone());
        Ok(())
    }
}

impl Shelf {
    /// The refresh tokens that are kept.
    fn kept(&self) -> (String, Option<String>) {
        let text = |secret: &Secret| secret.expose_str().unwrap().to_owned();
        let grant = self.grant.lock().unwrap().clone().unwrap();
        (grant.refresh_token.map(|s| text(&s)).unwrap(), grant.previous_refresh_token.map(|s| text(&s)))
    }

    fn put(&self, grant: Grant) {
        *self.grant.lock().unwrap() = Some(grant);
    }

    fn break_with(&self, reason: Option<&str>) {
        *self.fault.lock().unwrap() = reason.map(str::to_owned);
    }
}

/// An account, its token server, what it keeps, and what time it is.
struct Bench {
    tokens: Tokens,
    server: TokenServer,
    shelf: Arc<Shelf>,
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
}

/// The first sign-in: an access token of an hour.
fn signed_in() -> Grant {
    grant_of("access-0", "refresh-0")
}

fn grant_of(access: &str, refresh: &str) -> Grant {
    let answer = Answer {
        access_token: Secret::new(access),
        refresh_token: Some(Secret::new(refresh)),
        expires_in: Some(3600),
        scopes: Vec::new(),
    };
    Grant::new(answer, "our-client", BEGIN)
}

/// Gives `access-1` and `refresh-1` to the first request, and so on.
fn rotating(heard: &Heard) -> Said {
    let number = heard.number + 1;
    tokens(&format!("access-{number}"), &format!("refresh-{number}"), 3600)
}

impl Bench {
    async fn new(answer: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Self {
        Self::with(answer, Kind::User, Deadlines::default()).await
    }

    async fn with(
        answer: impl Fn(&Heard) -> Said + Send + Sync + 'static,
        kind: Kind,
        deadlines: Deadlines,
    ) -> Self {
        let token_server = TokenServer::start(answer).await;
        let mut row = server(&token_server.url("/token"));
        row.grant = kind;
        if kind == Kind::ClientCredentials {
            row.client_secret = Some(Secret::new("our-secret"));
        }
        let shelf = Arc::new(Shelf::default());
        shelf.put(signed_in());
        let (wall, steady) = (Arc::new(AtomicU64::new(BEGIN)), Arc::new(AtomicU64::new(0)));
        let (walls, steadies, begun) = (wall.clone(), steady.clone(), Instant::now());
        let clock: Clock = Arc::new(move || Moment {
            wall: walls.load(Ordering::SeqCst),
            steady: begun + Duration::from_secs(steadies.load(Ordering::SeqCst)),
        });
        let http = Http::new(Connector::new(trust(Roots::Bundled, &[]).unwrap().config, deadlines));
        let tokens = Tokens::with_clock("ana@example.org", Arc::new(row), http, shelf.clone(), clock);
        Self { tokens, server: token_server, shelf, wall, steady }
    }

    fn pass(&self, seconds: u64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.steady.fetch_add(seconds, Ordering::SeqCst);
    }

    fn set_clock(&self, wall: u64) {
        self.wall.store(wall, Ordering::SeqCst);
    }

    async fn current(&self) -> Result<String, NoToken> {
        self.tokens.current().await.map(text)
    }

    async fn renewed(&self, refused: &str) -> Result<String, NoToken> {
        self.tokens.renewed(Secret::new(refused)).await.map(text)
    }

    fn requests(&self) -> usize {
        self.server.heard().len()
    }
}

fn text(secret: Secret) -> String {
    secret.expose_str().unwrap().to_owned()
}

fn later(outcome: Result<String, NoToken>) -> String {
    match outcome {
        Err(NoToken::Later { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn sign_in(outcome: Result<String, NoToken>) -> String {
    match outcome {
        Err(NoToken::SignIn { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

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

/// The token server is down and upstream has refused what we have: there is nothing to show.
#[tokio::test]
async fn a_refused_token_is_not_shown_again() {
    let bench = Bench::new(|_| json(500, "")).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    later(bench.renewed("access-0").await);
    later(bench.renewed("access-0").await);
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

/// A clock that jumps costs a request, not the mail.
#[tokio::test]
async fn clock_jumps_starve_nobody() {
    const TEN_YEARS: u64 = 10 * 365 * 86_400;
    let bench = Bench::new(rotating).await;
    assert_eq!(bench.current().await.unwrap(), "access-0");
    bench.set_clock(BEGIN + TEN_YEARS);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    // Back again: the token's times lie in the future, so that nobody knows when it ends.
    bench.set_clock(BEGIN);
    assert_eq!(bench.current().await.unwrap(), "access-1");
    bench.server.until(2).await;
    bench.tokens.state().await;
    assert_eq!(bench.current().await.unwrap(), "access-2");
    assert_eq!(bench.tokens.state().await.expires_at, Some(BEGIN + 3600));
    assert_eq!(bench.requests(), 2);
}

/// At 1970 no certificate is valid: what we have is shown, and upstream judges.
#[tokio::test]
async fn a_clock_at_1970_still_shows_what_is_there() {
    let bench = Bench::new(|_| json(500, "")).await;
    bench.tokens.state().await;
    bench.set_clock(0);
    assert_eq!(bench.current().await.unwrap(), "access-0");
}

/// A pause ends while the machine sleeps, and with a clock that is set back.
#[test]
fn pauses_are_over_by_either_clock() {
    let steady = Instant::now();
    let then = Moment { wall: BEGIN, steady };
    let at = |wall: u64, seconds: u64| Moment { wall, steady: steady + Duration::from_secs(seconds) };
    assert!(!at(BEGIN + 59, 59).is_past(then, FORCED));
    assert!(at(BEGIN + 60, 60).is_past(then, FORCED));
    assert!(at(BEGIN + 61, 0).is_past(then, FORCED), "slept");
    assert!(at(BEGIN - 1, 0).is_past(then, FORCED), "set back");
}

#[tokio::test]
async fn nothing_secret_is_in_what_is_printed() {
    let bench = Bench::new(rotating).await;
    bench.pass(4000);
    bench.current().await.unwrap();
    let shown = format!("{:?} {:?} {:?}", bench.tokens, bench.tokens.state().await, *bench.tokens.0.held());
    assert!(!shown.contains("access-") && !shown.contains("refresh-"), "{shown}");
}
