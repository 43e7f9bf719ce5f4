//! The session's side: slots for what it asks for, and bodies put into them as they come.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::slot::{Place, Slot};
use super::{Begun, LARGE, LOST, Shelf, State, is_final};
use crate::mail::{Moment, Uid};
use crate::upstream::UpstreamError;

/// Octets of a body that streams through, on their way to an app that is slower than upstream: four reads.
const FLOW: usize = 256 * 1024;

impl Shelf {
    /// Slots for messages of these sizes.
    pub fn expect(&self, messages: &[(Uid, u64)]) {
        let mut state = self.state();
        for (uid, told) in messages {
            let place = if state.over { Place::Failed(None) } else { Place::Asked };
            let turn = state.next_turn();
            self.insert(&mut state, *uid, Slot { told: *told, turn, place });
        }
    }

    /// A body that is here already; `false` if there is no room for it.
    pub fn put(&self, uid: Uid, body: Bytes) -> bool {
        let mut state = self.state();
        let octets = body.len() as u64;
        let fits = self.fits(&state, octets);
        if fits {
            let turn = state.next_turn();
            self.insert(&mut state, uid, Slot { told: octets, turn, place: Place::Whole(body) });
            state.held += octets;
            self.0.to_taker.notify_one();
        }
        fits
    }

    /// Whether there is room for a body of so many octets now.
    pub(in crate::upstream::imap) fn has_room(&self, octets: u64) -> bool {
        self.fits(&self.state(), octets)
    }

    fn fits(&self, state: &State, octets: u64) -> bool {
        state.held.saturating_add(octets) <= self.0.bound
    }

    /// The message's size as it was told.
    pub(in crate::upstream::imap) fn told(&self, uid: Uid) -> Option<u64> {
        self.state().slots.get(&uid).map(|slot| slot.told)
    }

    /// The same, while its body is waited for.
    pub(in crate::upstream::imap) fn asked(&self, uid: Uid) -> Option<u64> {
        let state = self.state();
        let slot = state.slots.get(&uid)?;
        slot.is_asked().then_some(slot.told)
    }

    /// The message did not come with its set, and is asked for again by itself.
    pub(in crate::upstream::imap) fn ask_again(&self, uid: Uid) {
        let mut state = self.state();
        let turn = state.next_turn();
        if let Some(slot) = state.slots.get_mut(&uid).filter(|slot| slot.is_asked()) {
            (slot.turn, slot.place) = (turn, Place::AskedAgain);
        }
        self.0.to_taker.notify_one();
    }

    /// A set was refused for the sake of one of its messages.
    pub(in crate::upstream::imap) fn refused(&self) {
        self.state().refused = true;
    }

    /// A body of so many octets begins; waits for room, but not for an app that does nothing for `stall`.
    pub(in crate::upstream::imap) async fn begin(
        &self,
        uid: Uid,
        octets: u64,
        stall: Duration,
    ) -> Result<Begun, UpstreamError> {
        loop {
            if let Some(begun) = self.try_begin(uid, octets) {
                self.0.to_taker.notify_one();
                return Ok(begun);
            }
            timeout(stall, self.0.to_filler.notified()).await.map_err(|_| LOST)?;
        }
    }

    fn try_begin(&self, uid: Uid, octets: u64) -> Option<Begun> {
        let mut state = self.state();
        let State { slots, held, wanted, ended, .. } = &mut *state;
        let behind = wanted.is_some_and(|wanted| slots.get(&wanted.uid).is_some_and(Slot::is_asked));
        let streams = wanted.is_some_and(|wanted| wanted.uid == uid && wanted.streams);
        let Some(slot) = slots.get_mut(&uid).filter(|slot| slot.is_asked()) else {
            return Some(Begun::Foreign);
        };
        let room = held.saturating_add(octets) <= self.0.bound;
        if streams && (octets > LARGE || !room) {
            slot.place = Place::Flowing { octets, parts: VecDeque::new(), queued: 0, done: false };
        } else if room {
            *held += octets;
            let body = BytesMut::with_capacity(usize::try_from(octets).unwrap_or_default());
            slot.place = Place::Held { octets, body };
        } else if behind || *ended {
            slot.place = Place::Failed(None);
            return Some(Begun::Refused);
        } else {
            return None;
        }
        Some(Begun::Taken)
    }

    /// Octets of the body that began. `false`: nobody wants them any more.
    pub(in crate::upstream::imap) async fn push(
        &self,
        uid: Uid,
        part: BytesMut,
        stall: Duration,
    ) -> Result<bool, UpstreamError> {
        let mut part = Some(part.freeze());
        loop {
            if let Some(pushed) = self.try_push(uid, &mut part) {
                self.0.to_taker.notify_one();
                return Ok(pushed);
            }
            timeout(stall, self.0.to_filler.notified()).await.map_err(|_| LOST)?;
        }
    }

    fn try_push(&self, uid: Uid, part: &mut Option<Bytes>) -> Option<bool> {
        let mut state = self.state();
        match state.slots.get_mut(&uid).map(|slot| &mut slot.place) {
            Some(Place::Held { body, .. }) => body.extend_from_slice(&part.take()?),
            Some(Place::Flowing { queued, .. }) if *queued >= FLOW => return None,
            Some(Place::Flowing { parts, queued, .. }) => {
                let part = part.take()?;
                *queued += part.len();
                parts.push_back(part);
            }
            _ => return Some(false),
        }
        Some(true)
    }

    /// The body that was begun came as announced, and it was this message's. `false` for one that is empty: nothing
    /// follows from it.
    pub(in crate::upstream::imap) fn close(&self, uid: Uid) -> bool {
        let mut state = self.state();
        let State { slots, held, .. } = &mut *state;
        let Some(slot) = slots.get_mut(&uid) else { return true };
        match &mut slot.place {
            Place::Held { octets: 0, .. } => return false,
            Place::Held { octets, body } if body.len() as u64 == *octets => {
                slot.place = Place::Whole(std::mem::take(body).freeze());
            }
            Place::Held { octets, .. } => {
                *held = held.saturating_sub(*octets);
                slot.place = Place::Failed(None);
            }
            Place::Flowing { done, .. } => *done = true,
            Place::Asked | Place::AskedAgain | Place::Whole(_) | Place::Failed(_) => {}
        }
        self.0.to_taker.notify_one();
        true
    }

    /// There will be no body, or what came of it does not count.
    pub(in crate::upstream::imap) fn fail(&self, uid: Uid, error: Option<UpstreamError>) {
        let mut state = self.state();
        let State { slots, held, .. } = &mut *state;
        let Some(slot) = slots.get_mut(&uid) else { return };
        *held = held.saturating_sub(slot.held());
        slot.place = Place::Failed(error);
        self.0.to_taker.notify_one();
    }

    /// Nothing more comes, for this reason.
    pub(in crate::upstream::imap) fn fail_all(&self, error: UpstreamError) {
        let mut error = Some(error);
        let (unfinished, wanted): (Vec<Uid>, _) = {
            let mut state = self.state();
            state.over = true;
            let unfinished = state.slots.iter().filter(|(_, slot)| slot.is_unfinished());
            (unfinished.map(|(uid, _)| *uid).collect(), state.wanted.map(|wanted| wanted.uid))
        };
        for uid in unfinished {
            // Another session may do better, unless the app has waited long enough, or all UIDs are void.
            let told = error.take_if(|error| wanted == Some(uid) && is_final(error));
            self.fail(uid, told);
        }
        self.0.to_taker.notify_one();
    }

    /// Upstream said something.
    pub(in crate::upstream::imap) fn hear(&self) {
        self.state().heard = Moment::now();
    }
}
