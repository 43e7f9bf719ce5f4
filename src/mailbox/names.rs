//! Which messages keep their unique-ids when upstream has given the mailbox another UIDVALIDITY.
//!
//! ```text
//!  the ledger ── what the messages were, and by what each would be known again ──┐
//!  upstream ──── what they are now, and the same of each ────────────────────────┴─▶ those that are the same
//!  store::carried ── the names they had ──▶ and have from now on, on the disk before any is shown
//! ```
//!
//! An app takes a unique-id it knows for a message it has, so a wrong one would lose mail, and none costs a message that
//! is fetched again. So a name is carried only from one message to one: where two had the same identity, or two have it
//! now, neither keeps its name.
//!
//! Upstream's word comes with its listing. Where it has none the headers count that an app was sent with its messages,
//! and those that upstream has now, of the messages of the same sizes, are looked at in one stream; the app's login waits
//! for it, and not for long. Two mails may have one header and one size, so this proves nothing where another message of
//! that size was there whose header nobody saw, or is there now and could not be looked at.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use crate::mail::{Identity, Listed, Names, Uid, UidValidity};
use crate::store::{Before, KeptNames, Page, Renamed, Renumbered};
use crate::upstream::imap::{Examined, Headers, Looked, Session};

/// How long headers are asked for; a message whose turn does not come is one that is fetched again.
const LOOKING: Duration = Duration::from_secs(10);

/// How long those that were asked for may take to come.
const COMING: Duration = Duration::from_secs(10);

/// What is asked for at most.
const OCTETS: u64 = 64 << 20;

/// What was known of the mailbox before it was listed.
#[derive(Debug)]
pub(super) struct Earlier {
    /// UIDVALIDITY, as the ledger has it.
    pub(super) was: Option<UidValidity>,
    /// The names that were kept.
    pub(super) kept: KeptNames,
    /// Where they are.
    pub(super) renamed: Renamed,
}

impl Earlier {
    /// The names of the messages that were listed. Where they were renumbered, before the ledger is written anew;
    /// `examined` has what came to light of identities then.
    pub(super) async fn names(self, examined: &mut Examined, session: &Session, page: &Page) -> Names {
        let now = examined.listed.uid_validity;
        if let Some(names) = self.kept.names(now) {
            return names;
        }
        let renumbered = self.was.is_some_and(|was| was != now) || self.kept.is_there();
        if !renumbered || !examined.lasting {
            return self.kept.own(now);
        }
        let before = page.before().await.filter(|before| before.listed.uid_validity != now);
        let same = match &before {
            Some(before) => same(before, examined, session).await,
            None => Vec::new(),
        };
        let was = before.map_or(now, |before| before.listed.uid_validity);
        let names = self.renamed.renumbered(&self.kept, Renumbered { was, now, same }).await;
        info!(
            messages = examined.listed.messages.len(),
            unique_ids_kept = names.count(),
            "the provider renumbered the mailbox"
        );
        names
    }
}

/// The messages that are certainly the same: their UIDs now, ascending, and what they were.
async fn same(before: &Before, examined: &mut Examined, session: &Session) -> Vec<(Uid, Uid)> {
    let was = provable(before);
    let mut now = examined.identities.clone().unwrap_or_default();
    let wanted = of_the_same_size(&was, &examined.listed);
    if !wanted.is_empty() {
        let looked = look_at(session, examined.listed.uid_validity, wanted.clone()).await;
        now.extend(proving(&wanted, &looked));
        // The app has these messages and will not ask for them again: the next time their headers count as seen.
        let known = examined.identities.get_or_insert_default();
        let told: HashSet<Uid> = known.iter().map(|(uid, _)| *uid).collect();
        known.extend(looked.identities.into_iter().filter(|(uid, _)| !told.contains(uid)));
        known.sort_unstable();
    }
    let is = alone(&now);
    let pairs = is.iter().filter_map(|(identity, now)| Some((*now, *was.get(identity)?)));
    let mut same: Vec<(Uid, Uid)> =
        pairs.filter(|(now, was)| !contradict(&before.listed, *was, &examined.listed, *now)).collect();
    same.sort_unstable();
    // Upstream's word and the header may say this and that.
    same.chunk_by(|(one, _), (next, _)| one == next)
        .filter(|group| group.len() == 1)
        .flatten()
        .copied()
        .collect()
}

/// Whether upstream tells two sizes of what it says is the same. One that was seen may differ from what was told.
fn contradict(before: &Listed, was: Uid, listed: &Listed, now: Uid) -> bool {
    let told = |listed: &Listed, uid: Uid| {
        let at = listed.messages.binary_search_by_key(&uid, |(uid, _)| *uid).ok();
        let size = at.and_then(|at| listed.messages.get(at)).map(|(_, size)| *size);
        size.filter(|size| size.is_known() && !size.is_exact())
    };
    told(before, was).zip(told(listed, now)).is_some_and(|(was, now)| was != now)
}

/// The identities that one message alone had, and which.
fn provable(before: &Before) -> HashMap<Identity, Uid> {
    let mut was = alone(&before.identities);
    let unseen: HashSet<u64> = {
        let known: HashSet<Uid> = before.identities.iter().map(|(uid, _)| *uid).collect();
        let unseen = before.listed.messages.iter().filter(|(uid, _)| !known.contains(uid));
        unseen.map(|(_, size)| size.octets()).collect()
    };
    was.retain(|identity, _| identity.octets().is_none_or(|octets| !unseen.contains(&octets)));
    was
}

/// The identities that one message alone has, and which.
fn alone(identities: &[(Uid, Identity)]) -> HashMap<Identity, Uid> {
    let mut whose: HashMap<Identity, Option<Uid>> = HashMap::with_capacity(identities.len());
    for (uid, identity) in identities {
        whose.entry(*identity).and_modify(|other| *other = None).or_insert(Some(*uid));
    }
    whose.into_iter().filter_map(|(identity, uid)| Some((identity, uid?))).collect()
}

/// The messages whose headers could prove them the same, and their octets: all of one size together, the sizes of the
/// newest messages first. None where upstream tells not all sizes.
fn of_the_same_size(was: &HashMap<Identity, Uid>, listed: &Listed) -> Vec<(Uid, u64)> {
    let sizes: HashSet<u64> = was.keys().filter_map(|identity| identity.octets()).collect();
    if sizes.is_empty() || listed.messages.iter().any(|(_, size)| !size.is_known()) {
        return Vec::new();
    }
    let messages = listed.messages.iter().map(|(uid, size)| (*uid, size.octets()));
    let mut wanted: Vec<(Uid, u64)> = messages.filter(|(_, octets)| sizes.contains(octets)).collect();
    // By ascending UID: the last one of each size stays.
    let newest: HashMap<u64, Uid> = wanted.iter().map(|(uid, octets)| (*octets, *uid)).collect();
    wanted.sort_unstable_by_key(|(uid, octets)| (Reverse(newest.get(octets).copied()), *uid));
    wanted
}

/// Looks at their headers, as far as that is to be had in time.
async fn look_at(session: &Session, uid_validity: UidValidity, wanted: Vec<(Uid, u64)>) -> Looked {
    let until = Instant::now() + LOOKING;
    let headers = Headers { wanted, uid_validity, until, octets: OCTETS };
    match timeout(LOOKING + COMING, session.headers(headers)).await {
        Ok(Ok(looked)) => looked,
        Ok(Err(error)) => {
            debug!(%error, "headers could not be looked at");
            Looked::default()
        }
        Err(_) => {
            debug!("headers do not come in time");
            Looked::default()
        }
    }
}

/// Those of them that are of a size of which all messages were looked at.
fn proving(wanted: &[(Uid, u64)], looked: &Looked) -> Vec<(Uid, Identity)> {
    let at: HashSet<Uid> = looked.at.iter().copied().collect();
    let missed = wanted.iter().filter(|(uid, _)| !at.contains(uid));
    let missed: HashSet<u64> = missed.map(|(_, octets)| *octets).collect();
    let proves = |identity: &Identity| identity.octets().is_none_or(|octets| !missed.contains(&octets));
    looked.identities.iter().filter(|(_, identity)| proves(identity)).copied().collect()
}
