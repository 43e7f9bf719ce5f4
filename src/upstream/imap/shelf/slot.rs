//! One message's slot, and what has become of its body.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::upstream::UpstreamError;

/// A larger body is not collected while the app takes it.
pub const LARGE: u64 = 1 << 20;

/// What a slot costs beyond its octets, and an empty message all the same.
const OVERHEAD: u64 = 512;

/// What a message of so many octets takes of the bound.
pub(super) fn cost(octets: u64) -> u64 {
    octets.saturating_add(OVERHEAD)
}

pub(super) struct Slot {
    pub(super) told: u64,
    /// When it was asked for: after all of a lower turn.
    pub(super) turn: u64,
    pub(super) place: Place,
}

pub(super) enum Place {
    Asked,
    /// Once more, behind whatever else was asked for.
    AskedAgain,
    Held {
        octets: u64,
        body: BytesMut,
    },
    Flowing {
        octets: u64,
        parts: VecDeque<Bytes>,
        queued: usize,
        done: bool,
    },
    Whole(Bytes),
    /// `None`: nothing was found out about it, another session may give it.
    Failed(Option<UpstreamError>),
}

impl Slot {
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.place, Place::Asked | Place::AskedAgain)
    }

    /// Reckoned once, by what was told: a large one never stays here.
    pub(super) fn cost(&self) -> u64 {
        if self.told > LARGE { OVERHEAD } else { cost(self.told) }
    }

    pub(super) fn held(&self) -> u64 {
        match &self.place {
            Place::Held { octets, .. } => *octets,
            Place::Whole(body) => body.len() as u64,
            Place::Asked | Place::AskedAgain | Place::Flowing { .. } | Place::Failed(_) => 0,
        }
    }

    pub(super) fn to_come(&self) -> u64 {
        match &self.place {
            Place::Asked | Place::AskedAgain => self.told,
            Place::Held { octets, body } => octets.saturating_sub(body.len() as u64),
            Place::Flowing { octets, .. } => *octets,
            Place::Whole(_) | Place::Failed(_) => 0,
        }
    }

    pub(super) fn is_unfinished(&self) -> bool {
        match &self.place {
            Place::Asked | Place::AskedAgain | Place::Held { .. } => true,
            Place::Flowing { done, .. } => !done,
            Place::Whole(_) | Place::Failed(_) => false,
        }
    }
}
