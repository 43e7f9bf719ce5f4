//! Whose programs are served: those of the bridge's own user, of root, and of the users in `[listen] allow_users`.
//!
//! Ports on loopback are open to every user of a machine. A password is asked of all of them; this keeps other users from
//! trying any, and from learning that there is something to try. Where the system cannot tell whose a connection is, the
//! password is all there is, which is said once.
//!
//! **Root is always served**, for it reads our configuration, our state folder and our memory as it likes: to refuse it
//! would protect nothing, and would break what an administrator runs on purpose (a cron job, a proxy that speaks for
//! another machine, the relay by which Windows reaches Linux on the same computer). What root does on behalf of another
//! user is root's affair, and still needs the password.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};

use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::{info, warn};

use super::protocol::Protocol;
use super::refused::{REFUSALS_TOLD, turn_away};
use crate::config::settings::AllowUsers;
use crate::net::peer::{Owner, Owners};

/// Users told of in one minute; more are a program that tries user ids, of which a few will do.
const TOLD_OF: usize = 32;

/// Lets in or turns away; a clone is the same door.
#[derive(Clone, Debug)]
pub(super) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    owners: Owners,
    /// The users who are allowed; `None` where everybody is, and nobody is looked at.
    allowed: Option<BTreeSet<u32>>,
    refusals: Mutex<Refusals>,
    /// That nobody can tell, said once.
    blind: Once,
}

/// Let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// An allowed user, by id; `None` for the bridge's own and root, and where nobody can tell.
    pub(super) user: Option<u32>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Why {
    /// Another user's, by id.
    Stranger(u32),
    /// An allowed user's, who has too many already.
    Full(u32),
    /// Nobody has the other end.
    Nobody,
}

impl Door {
    /// For the bridge's own user, root and these.
    pub(super) fn new(allowed: &AllowUsers) -> Self {
        Self::with(Owners::default(), allowed)
    }

    fn with(owners: Owners, allowed: &AllowUsers) -> Self {
        let allowed = match allowed {
            AllowUsers::All => None,
            AllowUsers::These(these) => Some(these.iter().copied().collect()),
        };
        Self(Arc::new(Inner { owners, allowed, refusals: Mutex::default(), blind: Once::new() }))
    }

    /// Lets an app in before a word is exchanged; `None` after it was turned away, in its own protocol's words.
    pub(super) async fn admit(&self, protocol: Protocol, app: &TcpStream) -> Option<Entry> {
        let Some(allowed) = &self.0.allowed else { return Some(Entry { user: None }) };
        let refused = match self.0.owners.of(app).await {
            Ok(Owner::Ours | Owner::Root) => return Some(Entry { user: None }),
            Ok(Owner::User(uid)) if allowed.contains(&uid) => return Some(Entry { user: Some(uid) }),
            Ok(Owner::User(uid)) => Why::Stranger(uid),
            Ok(Owner::Gone | Owner::Nobody) => Why::Nobody,
            Err(error) => {
                self.0.blind.call_once(|| blind(&error));
                return Some(Entry { user: None });
            }
        };
        turn_away(app, protocol.shut());
        self.tell(refused);
        None
    }

    /// Tells of a user's app that was turned away because that user has too many already.
    pub(super) fn tell_full(&self, user: u32) {
        self.tell(Why::Full(user));
    }

    fn tell(&self, why: Why) {
        let connections = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).count(why);
        if let Some(connections) = connections {
            tell(why, connections);
        }
    }
}

#[cfg(test)]
impl Default for Door {
    fn default() -> Self {
        Self::new(&AllowUsers::default())
    }
}

/// The account's password is asked all the same. Where the system has no way to tell that is no news.
fn blind(error: &io::Error) {
    if error.kind() == io::ErrorKind::Unsupported {
        info!("this system does not tell whose program connects, so passwords alone keep other users out");
    } else {
        warn!(%error, "whose program connects cannot be found out here, so passwords alone keep other users out");
    }
}

fn tell(why: Why, connections: u64) {
    match why {
        Why::Stranger(user) => warn!(
            user,
            connections,
            "a program of another user of this computer, refused; to let it in: allow_users = [{user}] in [listen]"
        ),
        Why::Full(user) => warn!(user, connections, "too many connections of this user, refused"),
        Why::Nobody => info!(
            connections,
            "whose program connected cannot be told, refused: it was gone at once, or a packet filter redirects it; \
             in that case allow_users = \"all\" in [listen] lets it in"
        ),
    }
}

/// What was told of whom, and when.
#[derive(Debug, Default)]
struct Refusals(HashMap<Why, Told>);

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

impl Refusals {
    /// The connections to tell of now: at once the first of a user, then once a minute those since.
    fn count(&mut self, why: Why) -> Option<u64> {
        let now = Instant::now();
        if let Some(told) = self.0.get_mut(&why) {
            told.since += 1;
            if now.duration_since(told.at) < REFUSALS_TOLD {
                return None;
            }
            let since = told.since;
            *told = Told { at: now, since: 0 };
            return Some(since);
        }
        if self.0.len() >= TOLD_OF {
            self.0.retain(|_, told| now.duration_since(told.at) < REFUSALS_TOLD);
        }
        if self.0.len() >= TOLD_OF {
            return None;
        }
        self.0.insert(why, Told { at: now, since: 0 });
        Some(1)
    }
}

#[cfg(test)]
mod tests;
