//! One account's access tokens while the bridge runs: renewed ahead of their end, by one request for everybody.
//!
//! ```text
//!  fresh ──5 min or a tenth of its life left──▶ stale ──renewed──▶ fresh
//!    │                                            └──token server down──▶ served until it ends, asked again
//!    │                                                                    after 5 s, 10 s ... 5 min
//!    └──upstream refuses it──▶ renewed at once, at most once a minute
//!  refresh token dead ──▶ "sign in", and no further request until another grant is kept
//! ```
//!
//! A new grant is kept before its tokens are used: whoever is killed in between finds one of the two refresh tokens
//! alive. A renewal runs in a task of its own, so that an app that hangs up does not lose a token that the server has
//! changed already.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::exchange::{self, Answer};
use super::fault::{self, Fault};
use super::grant::{self, Grant, Grants, same};
use crate::auth::credentials::{AccessTokens, NoToken, Pending};
use crate::mail::oauth2::Grant as Kind;
use crate::mail::{OAuth2, Secret};
use crate::net::http::Client as Http;

/// With less than this left, in seconds, a token may end during the login: the renewal is waited for. With more, it
/// is shown at once, and the renewal runs behind.
const LOGIN: u64 = 30;

/// How long a token server that failed is left alone; doubles each time.
const BACK_OFF_FIRST: Duration = Duration::from_secs(5);

/// And at most.
const BACK_OFF_AT_MOST: Duration = Duration::from_secs(300);

/// A server that asks for a longer pause gets it, up to this.
const PAUSE_AT_MOST: Duration = Duration::from_secs(3600);

/// How often a token that should be good and is refused may be renewed: upstream may refuse all of them, because they
/// are for another mailbox for example.
const FORCED: Duration = Duration::from_secs(60);

/// Access tokens of one account; clones share them.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    address: String,
    server: Arc<OAuth2>,
    http: Http,
    grants: Arc<dyn Grants>,
    clock: Clock,
    held: Mutex<Held>,
    /// Held by whoever renews: nobody else asks meanwhile.
    flight: Arc<tokio::sync::Mutex<()>>,
}

/// What is known.
#[derive(Debug, Default)]
struct Held {
    /// The newest grant.
    grant: Option<Grant>,
    /// What was kept when it was last looked at.
    kept: Option<Grant>,
    /// Since when the newest grant could not be kept: the disk is full, for example.
    unkept: Option<Moment>,
    /// The last request failed, and no grant came since.
    failure: Option<Failure>,
    /// When a token that should be good was renewed.
    forced: Option<Moment>,
    /// The newest token that upstream would not take.
    refused: Option<Secret>,
}

#[derive(Clone, Debug)]
struct Failure {
    fault: Fault,
    at: Moment,
    wait: Duration,
    times: u32,
}

/// One instant by both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// Seconds since 1970; may jump.
    wall: u64,
    /// Stands still while the machine sleeps.
    steady: Instant,
}

/// What is kept after a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// What was renewed; or what was there before, where that could not be replaced.
    Ours,
    /// What somebody else kept meanwhile, which is in memory now.
    Overtaken,
}

type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// How an account's sign-in stands, for a person.
#[derive(Clone, Debug)]
pub struct State {
    /// When somebody signed in, in seconds since 1970; `None` where nobody did, or where there is no such thing.
    pub signed_in_at: Option<u64>,
    /// When the access token came, in seconds since 1970.
    pub obtained_at: Option<u64>,
    /// When the access token ends, in seconds since 1970.
    pub expires_at: Option<u64>,
    /// What it is good for, as the server said; empty where it did not.
    pub scopes: Vec<String>,
    /// Why there is no token to be had, as far as is known without asking the server.
    pub fault: Option<NoToken>,
}

impl Tokens {
    /// The tokens of the account `address`, whose grant is kept in `grants`. Nothing is read or asked yet.
    pub fn new(address: &str, server: Arc<OAuth2>, http: Http, grants: Arc<dyn Grants>) -> Self {
        let clock = || Moment { wall: grant::unix_now(), steady: Instant::now() };
        Self::with_clock(address, server, http, grants, Arc::new(clock))
    }

    fn with_clock(
        address: &str,
        server: Arc<OAuth2>,
        http: Http,
        grants: Arc<dyn Grants>,
        clock: Clock,
    ) -> Self {
        let address = address.to_owned();
        let (held, flight) = (Mutex::default(), Arc::default());
        Self(Arc::new(Inner { address, server, http, grants, clock, held, flight }))
    }

    /// How the sign-in stands; what is kept is looked at, the token server is not asked.
    pub async fn state(&self) -> State {
        let _flight = self.0.flight.lock().await;
        let looked = if self.0.signs_in() { self.0.look().await } else { Ok(()) };
        let known = self.described();
        State { fault: looked.err().or(known.fault), ..known }
    }

    /// How it stood when somebody asked for a token, behind the renewal that came of that; what is kept is not looked at.
    pub async fn known(&self) -> State {
        let _flight = self.0.flight.lock().await;
        self.described()
    }

    fn described(&self) -> State {
        let held = self.0.held();
        let grant = held.grant.as_ref();
        let failed = held.failure.as_ref().map(|failure| failure.fault.why.clone());
        let missing = self.0.signs_in().then(|| self.0.refresh_token(grant).err()).flatten();
        State {
            signed_in_at: grant
                .filter(|_| self.0.signs_in())
                .map(|grant| grant.signed_in_at)
                .filter(|at| *at > 0),
            obtained_at: grant.filter(|grant| grant.access_token.is_some()).map(|grant| grant.obtained_at),
            expires_at: grant.filter(|grant| grant.access_token.is_some()).map(|grant| grant.expires_at),
            scopes: grant.map(|grant| grant.scopes.clone()).unwrap_or_default(),
            fault: missing.map(|fault| fault.why).or(failed),
        }
    }

    /// When somebody signed in, in seconds since 1970, without waiting for a renewal under way, whose server may not
    /// answer: whoever began it has looked at what is kept.
    pub async fn signed_in_at(&self) -> Option<u64> {
        if let Ok(_flight) = self.0.flight.try_lock()
            && self.0.signs_in()
        {
            // What cannot be read is told by whoever needs a token.
            let _ = self.0.look().await;
        }
        let held = self.0.held();
        held.grant.as_ref().map(|grant| grant.signed_in_at).filter(|at| *at > 0)
    }

    async fn give(&self) -> Result<Secret, NoToken> {
        let mut looked = None;
        if self.0.signs_in() && self.0.held().grant.is_none() {
            // What is kept may live long enough to be shown at once.
            let flight = self.0.flight.clone().lock_owned().await;
            if self.0.held().grant.is_none() {
                self.0.look().await?;
                looked = Some(flight);
            }
        }
        let now = self.0.now();
        let (fresh, alive) = {
            let held = self.0.held();
            let grant = held.grant.as_ref();
            let fresh = grant.and_then(|grant| grant.fresh(now.wall)).cloned();
            // Somebody may have signed in anew because of that: what is kept is looked at first.
            if held.is_doubtful() {
                (None, None)
            } else {
                (fresh, grant.and_then(|grant| grant.alive(now.wall, LOGIN)).cloned())
            }
        };
        match (fresh, alive) {
            (Some(fresh), _) => {
                drop(looked);
                self.keep_at_last(now);
                Ok(fresh)
            }
            (None, Some(alive)) => {
                // Whether it succeeds, the next one who asks finds out.
                match (looked, self.0.flight.clone().try_lock_owned()) {
                    (Some(flight), _) => drop(tokio::spawn(renew_known(self.0.clone(), flight, None))),
                    (None, Ok(flight)) => drop(tokio::spawn(renew(self.0.clone(), flight, None))),
                    (None, Err(_)) => {}
                }
                Ok(alive)
            }
            (None, None) => match looked {
                Some(flight) => finished(tokio::spawn(renew_known(self.0.clone(), flight, None))).await,
                None => self.renewal(None).await,
            },
        }
    }

    /// Tries again to keep what could not be kept, behind the login.
    fn keep_at_last(&self, now: Moment) {
        let due = |held: &Held| held.unkept.is_some_and(|tried| now.is_past(tried, FORCED));
        if due(&self.0.held())
            && let Ok(flight) = self.0.flight.clone().try_lock_owned()
        {
            let inner = self.0.clone();
            drop(tokio::spawn(async move {
                let _flight = flight;
                let grant = inner.held().grant.clone();
                if let Some(grant) = grant {
                    inner.keep(&grant).await;
                }
            }));
        }
    }

    async fn renewal(&self, refused: Option<Secret>) -> Result<Secret, NoToken> {
        let flight = self.0.flight.clone().lock_owned().await;
        finished(tokio::spawn(renew(self.0.clone(), flight, refused))).await
    }
}

async fn finished(renewal: JoinHandle<Result<Secret, NoToken>>) -> Result<Secret, NoToken> {
    renewal.await.unwrap_or_else(|_| Err(NoToken::Later { reason: "the program stops".into() }))
}

impl AccessTokens for Tokens {
    fn current(&self) -> Pending<'_, Result<Secret, NoToken>> {
        Box::pin(self.give())
    }

    fn renewed(&self, refused: Secret) -> Pending<'_, Result<Secret, NoToken>> {
        Box::pin(self.renewal(Some(refused)))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("server", &self.0.server.id).finish_non_exhaustive()
    }
}

/// A token that is fresh, or at least not `refused`; asks for one where there is none.
async fn renew(
    inner: Arc<Inner>,
    flight: OwnedMutexGuard<()>,
    refused: Option<Secret>,
) -> Result<Secret, NoToken> {
    if inner.signs_in() {
        inner.look().await?;
    }
    renew_known(inner, flight, refused).await
}

/// The same where what is kept was looked at just now: a look may run a program, which may ask its user.
async fn renew_known(
    inner: Arc<Inner>,
    _flight: OwnedMutexGuard<()>,
    refused: Option<Secret>,
) -> Result<Secret, NoToken> {
    let now = inner.now();
    if let Some(refused) = &refused {
        inner.held().is_refused(refused);
    }
    if let Some(settled) = inner.settled(now, refused.as_ref()) {
        return settled;
    }
    match inner.ask().await {
        Ok(grant) => inner.take(grant).await,
        Err(fault) => inner.failed(fault, now, refused.as_ref()),
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        (self.clock)()
    }

    /// Whether a person signs in, whose grant is kept; otherwise tokens are got by our own name and kept in memory.
    fn signs_in(&self) -> bool {
        self.server.grant == Kind::User
    }

    /// Takes over what was kept by somebody else since, a new sign-in above all.
    async fn look(&self) -> Result<(), NoToken> {
        let grants = self.grants.clone();
        let loaded = tokio::task::spawn_blocking(move || grants.load()).await;
        let loaded = loaded.unwrap_or_else(|_| Err(NoToken::Later { reason: "the program stops".into() }));
        let mut held = self.held();
        match loaded {
            Ok(kept) => {
                if !same(kept.as_ref(), held.kept.as_ref()) {
                    *held = Held { grant: kept.clone(), kept, ..Held::default() };
                }
                Ok(())
            }
            // What is in memory is newer than any vault, which may be locked for a while.
            Err(why) if held.grant.is_some() => {
                tracing::debug!(account = self.address, %why, "the kept sign-in cannot be read");
                Ok(())
            }
            Err(why) => Err(why),
        }
    }

    /// The outcome, where it can be told without a request.
    fn settled(&self, now: Moment, refused: Option<&Secret>) -> Option<Result<Secret, NoToken>> {
        let mut held = self.held();
        // Upstream would not take the last token of a sign-in that has ended.
        if let Some(failure) = held.failure.as_ref().filter(|failure| failure.fault.dead)
            && held.is_doubtful()
        {
            return Some(Err(failure.fault.why.clone()));
        }
        let token = held.grant.as_ref().and_then(|grant| match refused {
            None => grant.fresh(now.wall),
            // Somebody else found out before, and this one came of it.
            Some(refused) => grant.alive(now.wall, 0).filter(|token| !token.same_as(refused)),
        });
        if let Some(token) = token {
            return Some(Ok(token.clone()));
        }
        if let Some(failure) = held.failure.as_ref().filter(|failure| failure.bars(now)) {
            let why = failure.fault.why.clone();
            return Some(self.spared(&held, now, refused).ok_or(why));
        }
        let should_be_good = held.grant.as_ref().is_some_and(|grant| grant.fresh(now.wall).is_some());
        if refused.is_some() && should_be_good {
            if held.forced.is_some_and(|forced| !now.is_past(forced, FORCED)) {
                let reason = "the provider refuses the newest token, which the token server gave within the last minute";
                return Some(Err(NoToken::Later { reason: reason.into() }));
            }
            held.forced = Some(now);
        }
        None
    }

    /// The old token, while it lives and nobody refused it.
    fn spared(&self, held: &Held, now: Moment, refused: Option<&Secret>) -> Option<Secret> {
        let alive = held.grant.as_ref().and_then(|grant| grant.alive(now.wall, 0));
        alive.filter(|token| !refused.is_some_and(|refused| token.same_as(refused))).cloned()
    }

    /// One request; two where the refresh token is refused and the one before it may still be good.
    async fn ask(&self) -> Result<Grant, Fault> {
        if !self.signs_in() {
            let answer = exchange::client_credentials(&self.server, &self.http).await?;
            let client_id = self.server.client_id.as_deref().unwrap_or_default();
            return Ok(Grant::new(answer, client_id, self.now().wall));
        }
        let (grant, token) = {
            let held = self.held();
            (held.grant.clone(), self.refresh_token(held.grant.as_ref())?)
        };
        let fault = match self.refresh(&token).await {
            Ok(answer) => return self.renewed(grant, answer, &token),
            Err(fault) => fault,
        };
        let previous = grant.as_ref().and_then(|grant| grant.previous_refresh_token.clone());
        match previous.filter(|_| fault.dead) {
            Some(previous) => {
                let answer = self
                    .refresh(&previous)
                    .await
                    .map_err(|second| if second.dead { fault } else { second })?;
                self.renewed(grant, answer, &previous)
            }
            None => Err(fault),
        }
    }

    async fn refresh(&self, token: &Secret) -> Result<Answer, Fault> {
        tracing::debug!(account = self.address, server = self.server.id, "an access token is asked for");
        exchange::refresh(&self.server, &self.http, token).await
    }

    fn renewed(&self, before: Option<Grant>, answer: Answer, used: &Secret) -> Result<Grant, Fault> {
        let before = before.ok_or_else(never_signed_in)?;
        Ok(before.renewed(answer, used, self.now().wall))
    }

    /// The refresh token to ask with.
    fn refresh_token(&self, grant: Option<&Grant>) -> Result<Secret, Fault> {
        let Some(client_id) = self.server.client_id.as_ref() else {
            return Err(fault::no_client_id(&self.server));
        };
        let grant = grant.ok_or_else(never_signed_in)?;
        if grant.client_id != *client_id {
            return Err(Fault::sign_in("the sign-in was made with another client_id"));
        }
        let none = "the last sign-in has ended, and the token server gave nothing to renew it with";
        grant.refresh_token.clone().ok_or_else(|| Fault::sign_in(none))
    }

    /// Keeps the new grant, then uses it.
    async fn take(&self, grant: Grant) -> Result<Secret, NoToken> {
        let overtaken = self.signs_in() && self.keep(&grant).await == Kept::Overtaken;
        let mut held = self.held();
        if !overtaken {
            held.grant = Some(grant);
        }
        held.failure = None;
        let token = held.grant.as_ref().and_then(|grant| grant.access_token.clone());
        token.ok_or_else(|| never_signed_in().why)
    }

    /// Keeps what was renewed, in place of what it was renewed from and of nothing else: who signed in, or renewed,
    /// while the server was asked wins, and is taken over.
    async fn keep(&self, grant: &Grant) -> Kept {
        let (grants, renewed, before) = (self.grants.clone(), grant.clone(), self.held().kept.clone());
        let saved = tokio::task::spawn_blocking(move || grants.renew(before.as_ref(), &renewed)).await;
        let saved = saved.unwrap_or_else(|_| Err("the program stops".into()));
        if saved == Ok(false) {
            let before = self.held().kept.clone();
            let looked = self.look().await;
            if looked.is_ok() && !same(before.as_ref(), self.held().kept.as_ref()) {
                return Kept::Overtaken;
            }
        }
        let saved = saved.and_then(|ours| {
            if ours { Ok(()) } else { Err("somebody else keeps what cannot be read now".into()) }
        });
        let mut held = self.held();
        match saved {
            Ok(()) => {
                held.kept = Some(grant.clone());
                held.unkept = None;
            }
            Err(reason) => {
                if held.unkept.is_none() {
                    tracing::warn!(
                        account = self.address,
                        reason,
                        "the renewed sign-in could not be kept; it serves from memory, and what was kept before is as it was"
                    );
                }
                held.unkept = Some(self.now());
            }
        }
        Kept::Ours
    }

    fn failed(&self, mut fault: Fault, now: Moment, refused: Option<&Secret>) -> Result<Secret, NoToken> {
        // Only another sign-in brings a dead one back; where nobody signs in, the cure is at the provider.
        fault.dead &= self.signs_in();
        let mut held = self.held();
        let times = held.failure.as_ref().map_or(0, |failure| failure.times.saturating_add(1));
        let wait = match fault.why {
            NoToken::Later { .. } => jittered(back_off(times)).max(fault.pause.min(PAUSE_AT_MOST)),
            // A person has to do something first.
            NoToken::SignIn { .. } => BACK_OFF_AT_MOST,
        };
        tracing::debug!(account = self.address, %fault, ?wait, "no access token");
        let why = fault.why.clone();
        // A server that stalls has taken longer than a wait since it was asked.
        held.failure = Some(Failure { fault, at: self.now(), wait, times });
        self.spared(&held, now, refused).ok_or(why)
    }
}

impl Held {
    /// Notes what upstream would not take, where it is the newest token.
    fn is_refused(&mut self, refused: &Secret) {
        let token = self.grant.as_ref().and_then(|grant| grant.access_token.as_ref());
        if token.is_some_and(|token| token.same_as(refused)) {
            self.refused = Some(refused.clone());
        }
    }

    /// Whether the newest token is the one that upstream would not take.
    fn is_doubtful(&self) -> bool {
        let token = self.grant.as_ref().and_then(|grant| grant.access_token.as_ref());
        matches!((token, &self.refused), (Some(one), Some(other)) if one.same_as(other))
    }
}

impl Failure {
    /// Whether the server is not to be asked again yet.
    fn bars(&self, now: Moment) -> bool {
        self.fault.dead || !now.is_past(self.at, self.wait)
    }
}

impl Moment {
    /// Whether `wait` is over since `then`, by either clock: the steady one stands still while the machine sleeps. A
    /// wall clock that was set back says nothing, and makes nobody wait.
    fn is_past(self, then: Self, wait: Duration) -> bool {
        let steady = self.steady.saturating_duration_since(then.steady) >= wait;
        steady || self.wall < then.wall || self.wall - then.wall > wait.as_secs()
    }
}

fn back_off(times: u32) -> Duration {
    BACK_OFF_FIRST.saturating_mul(2_u32.saturating_pow(times)).min(BACK_OFF_AT_MOST)
}

/// Up to a fifth less, so that the accounts of many machines do not come back all at once.
fn jittered(wait: Duration) -> Duration {
    let mut octet = [0];
    // Without random octets there is no jitter.
    let _ = SystemRandom::new().fill(&mut octet);
    let [octet] = octet;
    wait.mul_f64(1.0 - f64::from(octet) / 255.0 / 5.0)
}

fn never_signed_in() -> Fault {
    Fault::sign_in("nobody has signed in to it yet")
}

#[cfg(test)]
mod tests;
