//! The app's end of a shelf: one body, as it comes.

use bytes::Bytes;

use super::slot::Place;
use super::{LOST, PIECE, Wanting};
use crate::mail::Uid;
use crate::upstream::UpstreamError;

/// A body that the app takes; dropped, its slot is free.
#[derive(Debug)]
pub struct Taking {
    pub(super) wanting: Wanting,
    pub(super) uid: Uid,
    pub(super) given: usize,
}

impl Taking {
    /// The next octets, or `None` behind the last of a complete body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            if let Some(chunk) = self.at_hand()? {
                return Ok(chunk);
            }
            self.wanting.0.0.to_taker.notified().await;
        }
    }

    fn at_hand(&mut self) -> Result<Option<Option<Bytes>>, UpstreamError> {
        let shelf = &self.wanting.0;
        let mut state = shelf.state();
        let chunk = match &mut state.slots.get_mut(&self.uid).ok_or(LOST)?.place {
            Place::Held { body, .. } => {
                let new = body.get(self.given..).filter(|new| !new.is_empty());
                new.map(|new| Some(Bytes::copy_from_slice(new.get(..PIECE).unwrap_or(new))))
            }
            Place::Whole(body) if self.given < body.len() => {
                Some(Some(body.slice(self.given..body.len().min(self.given + PIECE))))
            }
            Place::Whole(_) => Some(None),
            Place::Flowing { parts, queued, done, .. } => match parts.pop_front() {
                Some(part) => {
                    *queued = queued.saturating_sub(part.len());
                    shelf.0.to_filler.notify_one();
                    Some(Some(part))
                }
                None => done.then_some(None),
            },
            Place::Failed(error) => return Err(error.take().unwrap_or(LOST)),
            Place::Asked | Place::AskedAgain => None,
        };
        self.given += chunk.iter().flatten().map(Bytes::len).sum::<usize>();
        Ok(chunk)
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        let shelf = &self.wanting.0;
        shelf.remove(&mut shelf.state(), self.uid);
    }
}
