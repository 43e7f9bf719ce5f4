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

use crate::mail::{Account, Identity, Listed, Names, Uid, UidValidity};
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
    ///
    /// A `session` in which headers go on coming that nobody waits for any more is taken: they would hold up all that is
    /// asked behind them.
    pub(super) async fn names(
        self,
        examined: &mut Examined,
        session: &mut Option<Session>,
        page: &Page,
    ) -> Names {
        let now = examined.listed.uid_validity;
        if let Some(names) = self.kept.names(now) {
            return names;
        }
        let was = match self.was {
            // Nothing was built upon it, but all the messages that an app has may hang on it.
            None if page.is_late() => page.before().await.map(|before| before.listed.uid_validity),
            was => was,
        };
        let renumbered = was.is_some_and(|was| was != now) || self.kept.is_there();
        if !renumbered || !examined.lasting {
            return self.kept.own(now);
        }
        let before = page.before().await.filter(|before| before.listed.uid_validity != now);
        let (was, same) = match before {
            Some(before) => (before.listed.uid_validity, same(before, examined, session).await),
            None => (now, Vec::new()),
        };
        let names = self.renamed.renumbered(&self.kept, Renumbered { was, now, same }).await;
        info!(
            messages = examined.listed.messages.len(),
            unique_ids_kept = names.count(),
            "the provider renumbered the mailbox"
        );
        names
    }
}

/// What the keys of a mailbox's bodies begin with. Where a UIDVALIDITY came back its UIDs may be other messages' now, of
/// the same size maybe, so those that were kept before are not theirs.
pub(super) fn whose(account: &Account, names: &Names) -> String {
    let mailboxes = account.mailboxes().collect::<Vec<_>>().join(" ");
    match names.now().returned {
        0 => mailboxes,
        times => format!("{mailboxes} returned {times}"),
    }
}

/// A message and by what it is known.
type Known = (Uid, Identity);

/// The messages that are certainly the same: their UIDs now, ascending, and what they were.
async fn same(before: Before, examined: &mut Examined, session: &mut Option<Session>) -> Vec<(Uid, Uid)> {
    let Before { listed, identities } = before;
    let was = provable(&listed, identities);
    let mut same = Vec::with_capacity(was.len());
    if let Some(told) = &mut examined.identities {
        same.extend(pairs(&was, told));
        told.sort_unstable();
    }
    let wanted = of_the_same_size(&was, &examined.listed);
    if !wanted.is_empty() {
        let looked = look_at(session, examined.listed.uid_validity, wanted.clone()).await;
        same.extend(pairs(&was, &mut proving(&wanted, &looked)));
        // The app has these messages and will not ask for them again: the next time their headers count as seen.
        let known = examined.identities.get_or_insert_default();
        let told: HashSet<Uid> = known.iter().map(|(uid, _)| *uid).collect();
        known.extend(looked.identities.into_iter().filter(|(uid, _)| !told.contains(uid)));
        known.sort_unstable();
    }
    same.retain(|(now, was)| !contradict(&listed, *was, &examined.listed, *now));
    same.sort_unstable();
    // Upstream's word and the header may say this and that.
    alone(same, |(now, _)| *now)
}

/// Those that one message alone has now, and one alone had: their UIDs now, and what they were. `was` is ascending by
/// identity, as `now` is then.
fn pairs(was: &[Known], now: &mut [Known]) -> impl Iterator<Item = (Uid, Uid)> {
    now.sort_unstable_by_key(|(_, identity)| *identity);
    now.chunk_by(|(_, one), (_, next)| one == next).filter_map(|group| {
        let [(now, identity)] = group else { return None };
        let at = was.binary_search_by_key(identity, |(_, identity)| *identity).ok()?;
        was.get(at).map(|(was, _)| (*now, *was))
    })
}

/// Whether upstream tells two sizes of what it says is the same. One that was seen may differ from what was told.
fn contradict(before: &Listed, was: Uid, listed: &Listed, now: Uid) -> bool {
    let size = |listed: &Listed, uid: Uid| {
        let at = listed.messages.binary_search_by_key(&uid, |(uid, _)| *uid).ok();
        let size = at.and_then(|at| listed.messages.get(at)).map(|(_, size)| *size);
        size.filter(|size| size.is_known())
    };
    let Some((was, now)) = size(before, was).zip(size(listed, now)) else { return false };
    match was.is_exact() || now.is_exact() {
        true => was.as_told().differs(now.as_told()),
        false => was != now,
    }
}

/// The messages whose identities they alone had, ascending by these.
fn provable(listed: &Listed, mut identities: Vec<Known>) -> Vec<Known> {
    let mut unseen: HashSet<u64> = HashSet::new();
    if identities.iter().any(|(_, identity)| identity.octets().is_some()) {
        let is_seen = |uid: &Uid| identities.binary_search_by_key(uid, |(uid, _)| *uid).is_ok();
        let messages = listed.messages.iter().filter(|(uid, _)| !is_seen(uid));
        unseen.extend(messages.map(|(_, size)| size.octets()));
    }
    identities.sort_unstable_by_key(|(_, identity)| *identity);
    let mut was = alone(identities, |(_, identity)| *identity);
    was.retain(|(_, identity)| identity.octets().is_none_or(|octets| !unseen.contains(&octets)));
    was
}

/// Without those that share what `of` says of them, by which they are sorted. Copies nothing where there are none: it may
/// be all of a large mailbox.
fn alone<T: Copy, K: PartialEq>(all: Vec<T>, of: impl Fn(&T) -> K) -> Vec<T> {
    let alike = |one: &T, next: &T| of(one) == of(next);
    if all.is_sorted_by(|one, next| !alike(one, next)) {
        return all;
    }
    all.chunk_by(alike).filter(|group| group.len() == 1).flatten().copied().collect()
}

/// The messages whose headers could prove them the same, and their octets: all of one size together, the sizes of the
/// newest messages first. None where upstream tells not all sizes.
fn of_the_same_size(was: &[Known], listed: &Listed) -> Vec<(Uid, u64)> {
    let sizes: HashSet<u64> = was.iter().filter_map(|(_, identity)| identity.octets()).collect();
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
async fn look_at(
    session: &mut Option<Session>,
    uid_validity: UidValidity,
    wanted: Vec<(Uid, u64)>,
) -> Looked {
    let until = Instant::now() + LOOKING;
    let headers = Headers { wanted, uid_validity, until, octets: OCTETS };
    let Some(asked) = &*session else { return Looked::default() };
    match timeout(LOOKING + COMING, asked.headers(headers)).await {
        Ok(Ok(looked)) => looked,
        Ok(Err(error)) => {
            debug!(%error, "headers could not be looked at");
            Looked::default()
        }
        Err(_) => {
            debug!("headers do not come in time");
            *session = None;
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
