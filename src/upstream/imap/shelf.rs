//! Bodies read ahead: asked for, on their way, or here until the app takes them; one slot a UID.
//!
//! ```text
//!  session's task ── begin, push, close ──▶ Shelf ──▶ Taking ──▶ the app
//!        ◀── waits where there is no room ──┘
//!
//!  Asked ──▶ Held ──▶ Whole         collected; what the app wants now streams to it from here all the same
//!    ├─────▶ Flowing ──▶ done       streams through: large, or no room for it
//!    └─────▶ Failed                 refused, gone, lost; where its set only was: AskedAgain, by itself
//! ```
//!
//! What is held stays below the bound, whatever upstream told of sizes: a body for which there is no room is not taken
//! from the connection until there is, or until the app wants it.

mod filling;
mod slot;
mod taking;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout};

use super::fetch::LOST;
use crate::mail::{Moment, Uid};
use crate::upstream::UpstreamError;
pub use slot::LARGE;
use slot::{Place, Slot};
pub use taking::Taking;

/// A body that is here is handed on in pieces of this size.
const PIECE: usize = 64 * 1024;

/// How long an app waits for a body while others come; then a connection of its own is quicker.
const TURN: Duration = Duration::from_secs(15);

/// Behind how much that others wait for a message that is asked for once more is waited for.
const NEAR: u64 = 256 * 1024;

/// See the module; cheap to clone.
#[derive(Clone)]
pub struct Shelf(Arc<Inner>);

/// In which order an app takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The oldest first: by ascending UID.
    Up,
    /// The newest first.
    Down,
}

impl Way {
    /// Whether `uid` comes behind `other`.
    pub fn is_past(self, uid: Uid, other: Uid) -> bool {
        match self {
            Way::Up => uid > other,
            Way::Down => uid < other,
        }
    }
}

struct Inner {
    bound: u64,
    way: Way,
    /// What the bound was taken from; given back with the memory.
    _lease: OwnedSemaphorePermit,
    state: Mutex<State>,
    /// Whoever takes waits for this,
    to_taker: Notify,
    /// and whoever fills for this.
    to_filler: Notify,
}

struct State {
    slots: BTreeMap<Uid, Slot>,
    /// Octets of bodies that are here or begun.
    held: u64,
    /// What all slots are reckoned to cost.
    cost: u64,
    wanted: Option<Wanted>,
    turns: u64,
    /// Nobody wants more.
    ended: bool,
    /// A set was refused for the sake of one of its messages.
    refused: bool,
    /// Nothing more comes.
    over: bool,
    /// When upstream was last heard.
    heard: Moment,
}

/// What the app waits for.
#[derive(Clone, Copy)]
struct Wanted {
    uid: Uid,
    /// As it comes; else only all of it is of use.
    streams: bool,
}

/// What becomes of a body that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is taken.
    Taken,
    /// Nobody asked for it.
    Foreign,
    /// There is no room for it, and the app waits for what is behind it.
    Refused,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Mail is in it.
        f.debug_struct("Shelf").field("bound", &self.0.bound).finish_non_exhaustive()
    }
}

/// For whoever takes; for whoever fills it is `filling`.
impl Shelf {
    /// An empty one that holds at most `bound` octets, which were taken from `lease`.
    pub fn new(bound: u64, way: Way, lease: OwnedSemaphorePermit) -> Self {
        let state = State {
            slots: BTreeMap::new(),
            held: 0,
            cost: 0,
            wanted: None,
            turns: 0,
            ended: false,
            refused: false,
            over: false,
            heard: Moment::now(),
        };
        let (to_taker, to_filler) = (Notify::new(), Notify::new());
        Self(Arc::new(Inner { bound, way, _lease: lease, state: Mutex::new(state), to_taker, to_filler }))
    }

    /// Which way the app goes that it is for.
    pub fn way(&self) -> Way {
        self.0.way
    }

    /// What a message of so many octets takes of the bound.
    pub fn cost(octets: u64) -> u64 {
        slot::cost(octets)
    }

    /// How much of the bound is not spoken for; `None` while more than half is.
    pub fn room(&self) -> Option<u64> {
        let left = self.0.bound.saturating_sub(self.state().cost);
        (left >= self.0.bound / 2).then_some(left)
    }

    /// Whether there is a slot for the message.
    pub fn has(&self, uid: Uid) -> bool {
        self.state().slots.contains_key(&uid)
    }

    /// Whether nothing is here or on its way.
    pub fn is_empty(&self) -> bool {
        self.state().slots.is_empty()
    }

    /// Whether upstream refused a set for the sake of one of its messages.
    pub fn was_refused(&self) -> bool {
        self.state().refused
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// When upstream was last heard.
    pub fn heard(&self) -> Moment {
        self.state().heard
    }

    /// Octets that are still to come of messages before `uid`, or of all; upstream's word.
    pub fn to_come(&self, before: Option<Uid>) -> u64 {
        let way = self.0.way;
        self.state().to_come(|uid, _| before.is_none_or(|before| way.is_past(before, uid)))
    }

    /// The body, if all of it is here, for good.
    pub fn take(&self, uid: Uid) -> Option<Bytes> {
        let mut state = self.state();
        let Place::Whole(_) = state.slots.get(&uid)?.place else { return None };
        let Place::Whole(body) = self.remove(&mut state, uid)?.place else { return None };
        Some(body)
    }

    /// The app went on to `uid`: what is before it is not waited for any more. Bodies among it that are here.
    pub fn pass(&self, uid: Uid) -> Vec<(Uid, Bytes)> {
        let mut state = self.state();
        let before = state.slots.iter().filter(|(before, _)| self.0.way.is_past(uid, **before));
        // One that is just coming is collected to its end.
        let over =
            before.filter(|(_, slot)| !matches!(slot.place, Place::Held { .. } | Place::Flowing { .. }));
        let over: Vec<Uid> = over.map(|(uid, _)| *uid).collect();
        self.remove_all(&mut state, &over)
    }

    /// Every body that is here.
    pub fn clear(&self) -> Vec<(Uid, Bytes)> {
        let mut state = self.state();
        let here = state.slots.iter().filter(|(_, slot)| matches!(slot.place, Place::Whole(_)));
        let here: Vec<Uid> = here.map(|(uid, _)| *uid).collect();
        self.remove_all(&mut state, &here)
    }

    /// The body as it comes; returns once octets of it are here.
    ///
    /// # Errors
    /// `None` where it has to be asked for once more, over a session of its own.
    pub async fn coming(&self, uid: Uid) -> Result<(u64, Taking), Option<UpstreamError>> {
        let wanting = self.want(uid, true);
        let octets = self.in_turn(uid, |place| match place {
            Place::Held { octets, body } if !body.is_empty() => Ok(Some(*octets)),
            Place::Flowing { octets, parts, done, .. } if *done || !parts.is_empty() => Ok(Some(*octets)),
            Place::Whole(body) => Ok(Some(body.len() as u64)),
            Place::Failed(error) => Err(error.take()),
            _ => Ok(None),
        });
        let octets = octets.await.inspect_err(|_| self.give_up(uid))?;
        Ok((octets, Taking { wanting, uid, given: 0 }))
    }

    /// The body once all of it is here; it stays.
    ///
    /// # Errors
    /// As [`Shelf::coming`].
    pub async fn whole(&self, uid: Uid) -> Result<Bytes, Option<UpstreamError>> {
        let _wanting = self.want(uid, false);
        self.in_turn(uid, |place| match place {
            Place::Whole(body) => Ok(Some(body.clone())),
            Place::Flowing { .. } => Err(None),
            Place::Failed(error) => Err(error.take()),
            _ => Ok(None),
        })
        .await
        .inspect_err(|_| self.give_up(uid))
    }

    /// What failed, or did not come in time, is asked for anew if it is asked for again.
    fn give_up(&self, uid: Uid) {
        self.remove(&mut self.state(), uid);
    }

    fn want(&self, uid: Uid, streams: bool) -> Wanting {
        self.state().wanted = Some(Wanted { uid, streams });
        self.0.to_filler.notify_one();
        Wanting(self.clone())
    }

    async fn in_turn<T>(
        &self,
        uid: Uid,
        mut look: impl FnMut(&mut Place) -> Result<Option<T>, Option<UpstreamError>>,
    ) -> Result<T, Option<UpstreamError>> {
        let asked = Instant::now();
        loop {
            {
                let mut state = self.state();
                if let Some(found) = look(&mut state.slots.get_mut(&uid).ok_or(None)?.place)? {
                    return Ok(found);
                }
                if state.is_far(uid) {
                    return Err(None);
                }
            }
            let left = TURN.saturating_sub(asked.elapsed());
            if left.is_zero() && self.state().heard.elapsed() < TURN {
                return Err(None);
            }
            // An upstream that is silent altogether has its own time.
            let _ = timeout(left.max(Duration::from_secs(1)), self.0.to_taker.notified()).await;
        }
    }

    /// Nobody wants more.
    pub fn end(&self) {
        self.state().ended = true;
        self.0.to_filler.notify_one();
    }
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under it half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, state: &mut State, uid: Uid, slot: Slot) {
        self.remove(state, uid);
        state.cost = state.cost.saturating_add(slot.cost());
        state.slots.insert(uid, slot);
    }

    fn remove(&self, state: &mut State, uid: Uid) -> Option<Slot> {
        let slot = state.slots.remove(&uid)?;
        state.cost = state.cost.saturating_sub(slot.cost());
        state.held = state.held.saturating_sub(slot.held());
        self.0.to_filler.notify_one();
        Some(slot)
    }

    fn remove_all(&self, state: &mut State, uids: &[Uid]) -> Vec<(Uid, Bytes)> {
        let slots = uids.iter().filter_map(|uid| Some((*uid, self.remove(state, *uid)?)));
        slots
            .filter_map(|(uid, slot)| match slot.place {
                Place::Whole(body) => Some((uid, body)),
                _ => None,
            })
            .collect()
    }
}

/// Whether another session is not tried.
fn is_final(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::TimedOut { .. } | UpstreamError::UidValidityChanged { .. })
}

impl State {
    /// Octets that are still to come of these messages.
    fn to_come(&self, of: impl Fn(Uid, &Slot) -> bool) -> u64 {
        let slots = self.slots.iter().filter(|(uid, slot)| of(**uid, slot));
        slots.fold(0, |sum: u64, (_, slot)| sum.saturating_add(slot.to_come()))
    }

    /// Whether the message is asked for again behind so much else that a session of its own is quicker.
    fn is_far(&self, uid: Uid) -> bool {
        let again = self.slots.get(&uid).filter(|slot| matches!(slot.place, Place::AskedAgain));
        again.is_some_and(|again| self.to_come(|_, slot| slot.turn < again.turn) > NEAR)
    }

    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}

/// Until it is dropped, the app wants something.
#[derive(Debug)]
struct Wanting(Shelf);

impl Drop for Wanting {
    fn drop(&mut self) {
        self.0.state().wanted = None;
        self.0.0.to_filler.notify_one();
    }
}
