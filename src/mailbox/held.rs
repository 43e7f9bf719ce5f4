//! Sessions upstream whose app has left, held for its next login.
//!
//! ```text
//!  login ──nothing held──▶ connect, log in ──▶ Mailbox ──the app leaves──▶ held, its folder examined
//!    │                                           ▲                          │      │
//!    └──it would show upstream the same──────────┴──────── 1 R ─────────────┘      ├─ hold time over, stop: LOGOUT
//!                                                                                  └─ upstream ends it: forgotten
//! ```
//!
//! That round trip is not the login's, but that of the app's first look at the mailbox: [`Opening::Coming`]. A login for
//! another folder than is open waits for it, since it has yet to hear whether there is one; so does the one behind an app
//! that left before it had heard that.
//!
//! [`Opening::Coming`]: super::Opening::Coming
//!
//! A session is held with what its login proved ([`Proof`]), never with a password. No more than one is idle for an
//! account, and none beside [`OURS`] that are in use. Read-only while it is held: what a server does with marked messages
//! when a mailbox is closed, by CLOSE or by a time-out, never happens to one of ours.
//!
//! A password that upstream alone judges is believed for one hold time from the login at which it did, however often the
//! session is taken over and left again: whoever changed it at the provider has locked the old one out by then. Where we
//! judge the app's password ourselves, each login of the app is judged anyway.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, debug_span};

use crate::auth::Proof;
use crate::mail::account::SecretSource;
use crate::mail::{Account, Deadlines, Quirk};
use crate::upstream::imap::{Keeping, Session, Settled};

/// Sessions of POP3 for one account, in use or idle, beyond which none is held: IMAP apps need the provider's connections
/// more.
const OURS: usize = 3;

/// The same where the provider's limit is known: what `bridge::login` leaves for them.
const OURS_OF_A_LIMIT: usize = 2;

/// A session is held no longer than this from its login on, however often it is taken over: a sign-in that was taken back
/// where the provider ends no session for that is found out by the next one.
const OF_ONE_LOGIN: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a session that was left while upstream was still answering has to come to an end with that, once somebody
/// wants it.
const SETTLED: Duration = Duration::from_secs(3);

/// How long a session whose mailbox was changed has to open it anew, read-only.
const EXAMINED_ANEW: Duration = Duration::from_secs(3);

/// All that are held; a clone holds the same ones.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Nothing is held any more.
    closed: bool,
    /// So far: each session that is held, and each thing that was heard, has a number.
    numbers: u64,
    accounts: HashMap<Arc<str>, Ours>,
}

/// One account's.
#[derive(Default)]
struct Ours {
    in_use: usize,
    idle: Option<Idle>,
    /// What was heard last of its mailboxes, over any session, or done in one.
    news: u64,
}

struct Idle {
    number: u64,
    left: Left,
    settled: Settled,
    proof: Proof,
    /// By the clock that runs while the machine sleeps; the other one wakes `watcher`.
    until: SystemTime,
    watcher: AbortOnDropHandle<()>,
}

/// A session whose app has left it.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) session: Session,
    /// The folder that it has open; `None` where that was not heard to the end.
    pub(super) folder: Option<Arc<str>>,
    /// For writing.
    pub(super) changed: bool,
    /// Which news it was that it has heard itself.
    pub(super) news: u64,
}

/// What a login may take over and leave behind.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// What it showed upstream.
    pub(super) proof: Proof,
    /// How long its session is held.
    pub(super) hold: Duration,
    /// From its login on, not from its last use: nobody but upstream knows whether its password is right.
    pub(super) from_login: bool,
    /// How it is kept meanwhile.
    pub(super) keeping: Keeping,
}

/// A mailbox that is open counts among its account's sessions until this is dropped.
pub(super) struct InUse {
    held: Held,
    address: Arc<str>,
    most: usize,
}

impl Claim {
    pub(super) fn new(account: &Account, proof: Proof, deadlines: &Deadlines) -> Self {
        let from_login = matches!(account.secret, SecretSource::App);
        let hold = if account.pop3.watch && !from_login { deadlines.watch } else { deadlines.hold };
        let keeping = match account.pop3.watch {
            true if account.quirks.has(Quirk::NoIdle) => Keeping::Alive,
            true => Keeping::Watched,
            false => Keeping::Quiet,
        };
        Self { proof, hold, from_login, keeping }
    }
}

impl Held {
    /// A login of this account begins.
    pub(super) fn enter(&self, account: &Account) -> InUse {
        let address: Arc<str> = account.address.as_str().into();
        self.state().accounts.entry(address.clone()).or_default().in_use += 1;
        let most = if account.imap_connections.is_some() { OURS_OF_A_LIMIT } else { OURS };
        InUse { held: self.clone(), address, most }
    }

    /// Gives up what is held for an account, for an IMAP app that needs the connection more. Whether there was any.
    pub async fn give_way(&self, account: &Account) -> bool {
        let idle = self.state().accounts.get_mut(account.address.as_str()).and_then(|ours| ours.idle.take());
        let Some(idle) = idle else { return false };
        debug!(account = account.address, "a session that was held gives way to an IMAP app");
        idle.left.session.log_out().await;
        true
    }

    /// Ends all of them politely, in two seconds at most; from now on none is held.
    pub async fn close(&self) {
        let accounts = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.accounts)
        };
        let idle = accounts.into_values().filter_map(|ours| ours.idle);
        join_all(idle.map(|idle| idle.left.session.log_out())).await;
    }

    /// The one with this number, if it is still idle.
    fn remove(&self, address: &str, number: u64) -> Option<Idle> {
        let mut state = self.state();
        state.accounts.get_mut(address)?.idle.take_if(|idle| idle.number == number)
    }

    /// Ends it when its time is over, forgets it when upstream has ended it.
    async fn watch(self, address: Arc<str>, number: u64, ended: impl Future<Output = ()>, hold: Duration) {
        tokio::select! {
            () = ended => drop(self.remove(&address, number)),
            () = sleep(hold) => {
                if let Some(idle) = self.remove(&address, number) {
                    debug!("nobody came for the session that was held");
                    idle.watcher.detach(); // It is this very task.
                    idle.left.session.log_out().await;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InUse {
    /// Something was heard of a mailbox, or done in one: whoever was not asked since may know less. Its number.
    pub(super) fn news(&self) -> u64 {
        let mut state = self.held.state();
        let number = state.next();
        state.accounts.entry(self.address.clone()).or_default().news = number;
        number
    }

    /// Whether nothing was heard or done since.
    pub(super) fn is_latest(&self, news: u64) -> bool {
        self.held.state().accounts.get(&self.address).is_some_and(|ours| ours.news == news)
    }

    /// The session held for this account, where this login would show upstream the same as the one before.
    pub(super) async fn take(&self, claim: &Claim) -> Option<Left> {
        let idle = self.idle_for(claim)?;
        // A clock that was set back by more than a hold time is not believed either.
        idle.until.duration_since(SystemTime::now()).ok().filter(|left| *left <= claim.hold)?;
        let settled = timeout(SETTLED, idle.settled.wait()).await;
        matches!(settled, Ok(true)).then_some(idle.left)
    }

    /// One that is another login's stays, where there is room for it beside this one's.
    fn idle_for(&self, claim: &Claim) -> Option<Idle> {
        let mut state = self.held.state();
        let ours = state.accounts.get_mut(&self.address)?;
        let idle = ours.idle.take_if(|idle| claim.proof.repeats(&idle.proof));
        if idle.is_none()
            && let Some(other) = ours.idle.take_if(|_| ours.in_use >= self.most)
        {
            tokio::spawn(other.left.session.log_out());
        }
        idle
    }

    /// Holds a session, or ends it politely. One that has its folder open for writing opens it read-only first.
    pub(super) async fn leave(self, mut left: Left, claim: Option<&Claim>) {
        let Some(claim) = claim.filter(|claim| !claim.hold.is_zero() && self.has_room()) else {
            return left.session.log_out().await;
        };
        if left.changed
            && let Some(folder) = &left.folder
        {
            let examined = timeout(EXAMINED_ANEW, left.session.open("EXAMINE", folder)).await;
            if !matches!(examined, Ok(Ok(_))) {
                return left.session.log_out().await;
            }
            left.changed = false;
        }
        let of_this_login = if claim.from_login { claim.hold } else { OF_ONE_LOGIN };
        let hold = claim.hold.min(of_this_login.saturating_sub(left.session.age()));
        if hold.is_zero() {
            return left.session.log_out().await;
        }
        let Some(settled) = left.session.hold(claim.keeping).await else { return };
        // Where there was one already, it has seen less of life.
        if let Some(other) = self.keep(left, settled, claim, hold) {
            other.session.log_out().await;
        }
    }

    fn has_room(&self) -> bool {
        let state = self.held.state();
        let in_use = state.accounts.get(&self.address).map_or(0, |ours| ours.in_use);
        !state.closed && in_use <= self.most
    }

    /// The one in whose place it is held, or itself where nothing is held any more.
    fn keep(&self, left: Left, settled: Settled, claim: &Claim, hold: Duration) -> Option<Left> {
        let mut state = self.held.state();
        if state.closed {
            return Some(left);
        }
        let number = state.next();
        let watch = self.held.clone().watch(self.address.clone(), number, left.session.ended(), hold);
        let watch = watch.instrument(debug_span!(parent: None, "held", account = &*self.address));
        let watcher = AbortOnDropHandle::new(tokio::spawn(watch));
        let until = SystemTime::now() + hold;
        let idle = Idle { number, left, settled, proof: claim.proof.clone(), until, watcher };
        let ours = state.accounts.entry(self.address.clone()).or_default();
        ours.idle.replace(idle).map(|before| before.left)
    }
}

impl State {
    /// Beginning with 1.
    fn next(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.held.state();
        let Some(ours) = state.accounts.get_mut(&self.address) else { return };
        ours.in_use = ours.in_use.saturating_sub(1);
        if ours.in_use == 0 && ours.idle.is_none() {
            state.accounts.remove(&self.address);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InUse")
    }
}

/// What tests see.
#[cfg(test)]
impl Held {
    /// As if an app had left that logged in with this proof.
    pub(crate) async fn leave_one(&self, account: &Account, proof: Proof, session: Session) {
        let claim =
            Claim::new(account, proof, &Deadlines { hold: Duration::from_secs(60), ..Deadlines::default() });
        let left =
            Left { session, folder: Some(account.pop3.folder.as_str().into()), changed: false, news: 0 };
        self.enter(account).leave(left, Some(&claim)).await;
    }

    pub(super) fn holds_any(&self) -> bool {
        self.state().accounts.values().any(|ours| ours.idle.is_some())
    }

    pub(super) fn in_use(&self, account: &Account) -> usize {
        self.state().accounts.get(account.address.as_str()).map_or(0, |ours| ours.in_use)
    }

    /// The machine slept for so long: only one of its clocks went on.
    pub(super) fn sleep(&self, time: Duration) {
        for idle in self.state().accounts.values_mut().filter_map(|ours| ours.idle.as_mut()) {
            idle.until -= time;
        }
    }
}
