//! What a sign-in left: tokens, until when, and whose.
//!
//! Where the server changes the refresh token, the one before is kept beside it until a renewal with the new one has
//! worked: no less proves it. That upstream takes the access token that came with it does not, since the two are looked
//! up apart, and a server whose answer came late, or that lost what it had just written, knows the one and not the other.
//! It costs nothing to keep: it is shown again only where the new one is refused for good.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::exchange::Answer;
use crate::auth::NoToken;
use crate::mail::Secret;

/// The life of an access token whose server tells none, in seconds: what most servers give.
const ASSUMED_LIFE: u64 = 3600;

/// Shorter lives are stretched to this many seconds, so that no server makes us ask it at each login.
const SHORTEST_LIFE: u64 = 60;

/// Longer lives are not planned with: a year, in seconds.
const LONGEST_LIFE: u64 = 365 * 24 * 3600;

/// An access token is renewed this many seconds before it ends, or a tenth of its life before, whichever is less.
const AHEAD: u64 = 300;

/// How far a clock may be set back, in seconds, until its times are no longer believed.
const CLOCK_SLACK: u64 = 60;

/// Tokens of one account. As JSON it holds them openly: it goes nowhere but into the vault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// What gets new access tokens; `None` where the server gave none.
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    /// The one before it, as long as the new one has not been used with success.
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub previous_refresh_token: Option<Secret>,
    /// What upstream is shown; `None` before the first one was got.
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<Secret>,
    /// When the access token ends, in seconds since 1970.
    #[serde(default)]
    pub expires_at: u64,
    /// When the access token came, in seconds since 1970.
    #[serde(default)]
    pub obtained_at: u64,
    /// When a person signed in, in seconds since 1970; where the refresh token was given by hand, when it was first used.
    #[serde(default)]
    pub signed_in_at: u64,
    /// What the access token is good for, as the server said; empty where it did not.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The client that signed in: a refresh token is good for that one only (RFC 6749 §6).
    #[serde(default)]
    pub client_id: String,
    /// Which refresh token given by hand this began with, by [`fingerprint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
}

impl Grant {
    /// What a sign-in at `now` gave.
    pub fn new(answer: Answer, client_id: &str, now: u64) -> Self {
        let grant = Self { signed_in_at: now, client_id: client_id.to_owned(), ..Self::empty() };
        grant.with(answer, now)
    }

    /// A refresh token that was given by hand, not used yet.
    pub fn from_seed(seed: Secret, client_id: &str) -> Self {
        let fingerprint = Some(fingerprint(&seed));
        let client_id = client_id.to_owned();
        Self { refresh_token: Some(seed), seed: fingerprint, client_id, ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            refresh_token: None,
            previous_refresh_token: None,
            access_token: None,
            expires_at: 0,
            obtained_at: 0,
            signed_in_at: 0,
            scopes: Vec::new(),
            client_id: String::new(),
            seed: None,
        }
    }

    /// The grant after the refresh token `used` gave `answer`.
    pub(super) fn renewed(&self, answer: Answer, used: &Secret, now: u64) -> Self {
        let mut grant = self.clone();
        grant.refresh_token = Some(used.clone());
        if grant.signed_in_at == 0 {
            grant.signed_in_at = now;
        }
        let rotated = answer.refresh_token.as_ref().is_some_and(|new| !new.same_as(used));
        grant.previous_refresh_token = rotated.then(|| used.clone());
        grant.with(answer, now)
    }

    fn with(mut self, answer: Answer, now: u64) -> Self {
        let life = answer.expires_in.filter(|life| *life > 0).unwrap_or(ASSUMED_LIFE);
        self.expires_at = now.saturating_add(life.clamp(SHORTEST_LIFE, LONGEST_LIFE));
        self.obtained_at = now;
        self.access_token = Some(answer.access_token);
        self.refresh_token = answer.refresh_token.or(self.refresh_token);
        if !answer.scopes.is_empty() {
            self.scopes = answer.scopes;
        }
        self
    }

    /// The access token, where it ends at `now` or later than `ahead` seconds from then.
    pub(super) fn alive(&self, now: u64, ahead: u64) -> Option<&Secret> {
        self.access_token.as_ref().filter(|_| now.saturating_add(ahead) < self.expires_at)
    }

    /// The access token, where it need not be renewed yet.
    pub(super) fn fresh(&self, now: u64) -> Option<&Secret> {
        // A clock that was set back says nothing about when this one ends.
        let set_back = now.saturating_add(CLOCK_SLACK) < self.obtained_at;
        let life = self.expires_at.saturating_sub(self.obtained_at);
        self.alive(now, AHEAD.min(life / 10)).filter(|_| !set_back)
    }

    /// Whether it is a refresh token given by hand that was not used yet.
    fn is_unused(&self) -> bool {
        self.seed.is_some() && self.access_token.is_none() && self.signed_in_at == 0
    }

    /// Whether both are the same grant at the same stage.
    pub(in crate::auth) fn same_as(&self, other: &Self) -> bool {
        let same = |one: &Option<Secret>, two: &Option<Secret>| match (one, two) {
            (Some(one), Some(two)) => one.same_as(two),
            (None, None) => true,
            _ => false,
        };
        same(&self.refresh_token, &other.refresh_token)
            && same(&self.access_token, &other.access_token)
            && (self.obtained_at, &self.client_id) == (other.obtained_at, &other.client_id)
    }
}

/// Whether both are the same, or both none.
pub(in crate::auth) fn same(one: Option<&Grant>, two: Option<&Grant>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => one.same_as(two),
        (None, None) => true,
        _ => false,
    }
}

/// Names a refresh token without telling it: SHA-256 in hexadecimal digits. A token has too many random bits to be
/// guessed from that.
pub fn fingerprint(token: &Secret) -> String {
    let hash = digest::digest(&digest::SHA256, token.expose());
    hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Seconds since 1970 by this machine's clock.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Where grants are kept. Both calls may block on a disk; they are made from threads for that.
pub trait Grants: std::fmt::Debug + Send + Sync {
    /// The account's grant; `None` where nobody signed in. Cheap where nothing changed: it is asked at each login of
    /// an account that needs a sign-in.
    ///
    /// # Errors
    /// It is not known whether there is one, or the user has to do something about it.
    fn load(&self) -> Result<Option<Grant>, NoToken>;

    /// Keeps a new sign-in in place of whatever is kept; that is gone only when the new one is safe.
    ///
    /// # Errors
    /// What happened, in one clause; what was kept before is as it was.
    fn save(&self, grant: &Grant) -> Result<(), String>;

    /// Keeps a renewal where `before` is still what [`load`](Grants::load) would give, looked at and replaced in one
    /// step; says whether it is. Otherwise somebody signed in, renewed or removed the account meanwhile: that stays.
    ///
    /// # Errors
    /// As [`save`](Grants::save).
    fn renew(&self, before: Option<&Grant>, grant: &Grant) -> Result<bool, String>;
}

/// Reads the refresh token that the user gave by hand. May block.
pub type Seed = dyn Fn() -> Result<Secret, String> + Send + Sync;

/// Grants that begin with a refresh token given by hand: what is kept wins while it descends from that one.
pub struct Seeded<G> {
    kept: G,
    seed: Box<Seed>,
    client_id: String,
}

impl<G: Grants> Seeded<G> {
    /// `seed` is read at each load.
    pub fn new(kept: G, seed: Box<Seed>, client_id: &str) -> Self {
        Self { kept, seed, client_id: client_id.to_owned() }
    }
}

impl<G: Grants> Grants for Seeded<G> {
    fn load(&self) -> Result<Option<Grant>, NoToken> {
        let seed = (self.seed)().map_err(|reason| NoToken::Later { reason })?;
        let fingerprint = fingerprint(&seed);
        let kept = self.kept.load()?.filter(|grant| grant.seed.as_deref() == Some(&fingerprint));
        Ok(kept.or_else(|| Some(Grant::from_seed(seed, &self.client_id))))
    }

    fn save(&self, grant: &Grant) -> Result<(), String> {
        self.kept.save(grant)
    }

    /// The token given by hand is not read again, which may ask a person; `before` names it.
    fn renew(&self, before: Option<&Grant>, grant: &Grant) -> Result<bool, String> {
        let Some(before) = before else { return Ok(false) };
        if !before.is_unused() {
            return self.kept.renew(Some(before), grant);
        }
        // What is kept began with another one, and goes; unless this one was used elsewhere at the same time.
        let kept = self.kept.load().map_err(|why| why.to_string())?;
        if kept.as_ref().is_some_and(|kept| kept.seed == before.seed) {
            return Ok(false);
        }
        self.kept.renew(kept.as_ref(), grant)
    }
}

impl<G: std::fmt::Debug> std::fmt::Debug for Seeded<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seeded").field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// Tokens are ASCII (RFC 6749 appendix A), so that they stand in JSON as text.
mod text {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().and_then(Secret::expose_str).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(access: &str, refresh: Option<&str>, expires_in: Option<u64>) -> Answer {
        Answer {
            access_token: Secret::new(access),
            refresh_token: refresh.map(Secret::new),
            expires_in,
            scopes: Vec::new(),
        }
    }

    fn text(secret: Option<&Secret>) -> Option<&str> {
        secret.and_then(Secret::expose_str)
    }

    #[test]
    fn it_is_kept_whole_and_printed_without_a_token() {
        let mut grant = Grant::new(answer("access-1", Some("refresh-1"), Some(3600)), "our-client", 1000);
        grant.scopes = vec!["imap".into(), "smtp".into()];
        let grant =
            grant.renewed(answer("access-2", Some("refresh-2"), None), &Secret::new("refresh-1"), 2000);
        let json = serde_json::to_string(&grant).unwrap();
        let again: Grant = serde_json::from_str(&json).unwrap();
        assert!(again.same_as(&grant));
        assert_eq!(text(again.previous_refresh_token.as_ref()), Some("refresh-1"));
        assert_eq!((again.signed_in_at, again.obtained_at, again.expires_at), (1000, 2000, 2000 + 3600));
        assert_eq!((again.scopes, again.client_id.as_str()), (grant.scopes.clone(), "our-client"));
        let shown = format!("{grant:?}");
        assert!(!shown.contains("access-2") && !shown.contains("refresh-"), "{shown}");
    }

    /// What a later version adds does not stop this one.
    #[test]
    fn unknown_and_missing_fields_are_no_fault() {
        let grant: Grant = serde_json::from_str(r#"{"refresh_token": "r", "colour": "blue"}"#).unwrap();
        assert_eq!(text(grant.refresh_token.as_ref()), Some("r"));
        assert!(grant.access_token.is_none());
    }

    #[test]
    fn renewed_five_minutes_or_a_tenth_of_its_life_ahead() {
        let hour = Grant::new(answer("a", None, Some(3600)), "c", 10_000);
        assert!(hour.fresh(10_000 + 3299).is_some() && hour.fresh(10_000 + 3300).is_none());
        assert!(hour.alive(10_000 + 3599, 0).is_some() && hour.alive(10_000 + 3600, 0).is_none());
        let short = Grant::new(answer("a", None, Some(100)), "c", 10_000);
        assert!(short.fresh(10_000 + 89).is_some() && short.fresh(10_000 + 90).is_none());
    }

    #[test]
    fn lives_that_make_no_sense_are_bounded() {
        let life = |told| Grant::new(answer("a", None, told), "c", 10_000).expires_at - 10_000;
        assert_eq!(
            [None, Some(0), Some(1), Some(u64::MAX)].map(life),
            [ASSUMED_LIFE, ASSUMED_LIFE, SHORTEST_LIFE, LONGEST_LIFE]
        );
    }

    #[test]
    fn a_clock_set_back_makes_it_stale_but_not_dead() {
        let grant = Grant::new(answer("a", None, Some(3600)), "c", 10_000_000);
        assert!(grant.fresh(10_000_000 - CLOCK_SLACK).is_some());
        assert!(grant.fresh(0).is_none() && grant.alive(0, 0).is_some());
    }

    /// RFC 6749 §6: the server may give a new refresh token, and then the old one is to be thrown away; but not before
    /// the new one has proven good.
    #[test]
    fn the_refresh_token_before_is_kept_until_the_new_one_was_used() {
        let grant = Grant::new(answer("a", Some("r1"), None), "c", 1);
        assert!(grant.previous_refresh_token.is_none());
        let grant = grant.renewed(answer("a", Some("r2"), None), &Secret::new("r1"), 2);
        assert_eq!(text(grant.refresh_token.as_ref()), Some("r2"));
        assert_eq!(text(grant.previous_refresh_token.as_ref()), Some("r1"));
        let grant = grant.renewed(answer("a", None, None), &Secret::new("r2"), 3);
        assert_eq!(text(grant.refresh_token.as_ref()), Some("r2"));
        assert!(grant.previous_refresh_token.is_none());
        // The one before was the good one.
        let grant = grant.renewed(answer("a", Some("r2"), None), &Secret::new("r2"), 4);
        assert!(grant.previous_refresh_token.is_none());
    }

    #[derive(Debug, Default)]
    struct Kept(std::sync::Mutex<Option<Grant>>);

    impl Grants for Kept {
        fn load(&self) -> Result<Option<Grant>, NoToken> {
            Ok(self.0.lock().unwrap().clone())
        }

        fn save(&self, grant: &Grant) -> Result<(), String> {
            *self.0.lock().unwrap() = Some(grant.clone());
            Ok(())
        }

        fn renew(&self, before: Option<&Grant>, grant: &Grant) -> Result<bool, String> {
            let mut kept = self.0.lock().unwrap();
            let still = same(before, kept.as_ref());
            if still {
                *kept = Some(grant.clone());
            }
            Ok(still)
        }
    }

    #[test]
    fn what_descends_from_the_token_given_by_hand_wins_and_nothing_else() {
        let given = std::sync::Arc::new(std::sync::Mutex::new("seed-1"));
        let read = given.clone();
        let seed: Box<Seed> = Box::new(move || Ok(Secret::new(*read.lock().unwrap())));
        let grants = Seeded::new(Kept::default(), seed, "c");
        let refresh = || {
            let grant = grants.load().unwrap().unwrap();
            grant.refresh_token.unwrap().expose_str().unwrap().to_owned()
        };
        assert_eq!(refresh(), "seed-1");
        let grant = grants.load().unwrap().unwrap();
        let newer = grant.renewed(answer("a", Some("rotated"), None), &Secret::new("seed-1"), 1);
        assert!(grants.renew(Some(&grant), &newer).unwrap());
        assert_eq!(refresh(), "rotated");
        // Another program used the same token given by hand: the first to keep what came of it has won.
        let other = grant.renewed(answer("a2", Some("rotated-too"), None), &Secret::new("seed-1"), 2);
        assert!(!grants.renew(Some(&grant), &other).unwrap());
        assert_eq!(refresh(), "rotated");
        *given.lock().unwrap() = "seed-2";
        assert_eq!(refresh(), "seed-2");
        let grant = grants.load().unwrap().unwrap();
        let newest = grant.renewed(answer("b", Some("rotated-2"), None), &Secret::new("seed-2"), 3);
        assert!(grants.renew(Some(&grant), &newest).unwrap());
        assert_eq!(refresh(), "rotated-2");
        // A renewal of what began with the token before comes too late.
        assert!(!grants.renew(Some(&newer), &other).unwrap());
        assert_eq!(refresh(), "rotated-2");
    }
}
