//! A message's octets on their way to an app, and into the cache once they are known to be whole.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::keeping::Keeping;
use super::rest::{Coming, Rest};
use crate::mail::{HeaderIdentity, Identity};
use crate::store::{Bodies, BodyKey, Damaged, Kept, Learner};
use crate::upstream::UpstreamError;
use crate::upstream::imap::Fetched;

/// A body that is here is handed on in pieces of this size, as one from upstream is.
const PIECE: usize = 64 * 1024;

/// A message's octets on their way, exactly as upstream has them: no dot-stuffing, line ends untouched.
#[derive(Debug)]
pub struct Body {
    octets: u64,
    /// Of which so many were handed on.
    given: u64,
    source: Source,
    /// Until the end: what goes by may yet turn out to be another message's.
    learning: Option<(HeaderIdentity, Learns)>,
}

/// Whose body was it? Asked by whoever doubts it; empty until all of it has gone by.
pub(super) type Header = Arc<OnceLock<Option<Identity>>>;

/// Who is told by what header the message may be known again.
#[derive(Debug)]
pub(super) enum Learns {
    /// Only of one that proves something.
    Ledger(Learner),
    /// Of one that proves nothing, too.
    Doubt(Header),
}

impl Learns {
    fn learn(self, identity: Option<Identity>) {
        match self {
            Self::Ledger(learner) => {
                if let Some(identity) = identity {
                    learner.learn(identity);
                }
            }
            Self::Doubt(header) => {
                let _ = header.set(identity); // Once a body.
            }
        }
    }
}

#[derive(Debug)]
enum Source {
    /// From the cache.
    Kept(Kept, Option<Rest>),
    /// From upstream after all, since the cache had it damaged.
    Rest(Coming),
    /// All of it was read ahead: what is left of it.
    Here(Bytes),
    /// From upstream.
    Coming(Fetched, Option<Keeping>),
    /// Complete.
    Done,
    /// Ended before its time; no call will tell anything else.
    Broken,
}

impl Body {
    /// A body from the cache; `rest` has what that cannot give.
    pub(super) fn kept(kept: Kept, rest: Rest) -> Self {
        Self::from(kept.octets(), Source::Kept(kept, Some(rest)))
    }

    /// A body that was read ahead, all of it.
    pub(super) fn here(body: Bytes) -> Self {
        Self::from(body.len() as u64, Source::Here(body))
    }

    /// A body that is announced; kept in `bodies` once it is complete, where it has a key.
    pub(super) fn coming(fetched: Fetched, bodies: &Bodies, key: Option<BodyKey>) -> Self {
        let octets = fetched.octets;
        let keeping = key.and_then(|key| Keeping::begin(bodies, key, octets));
        Self::from(octets, Source::Coming(fetched, keeping))
    }

    fn from(octets: u64, source: Source) -> Self {
        Self { octets, given: 0, source, learning: None }
    }

    /// The same, whose header tells `learns` by what the message may be known again.
    pub(super) fn learning(mut self, learns: Option<Learns>) -> Self {
        self.learning = learns.map(|learns| (HeaderIdentity::default(), learns));
        self
    }

    /// The literal's length, exact; upstream's octets, not POP3's.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The next octets; `None` at the end of a complete body. After an error the body is not complete and must
    /// not be ended as if it were.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match self.next().await {
            Ok(chunk) => {
                self.learn(chunk.as_deref());
                self.given = self.given.saturating_add(chunk.as_ref().map_or(0, Bytes::len) as u64);
                Ok(chunk)
            }
            Err(error) => {
                self.source = Source::Broken;
                self.learning = None;
                Err(error)
            }
        }
    }

    /// Looks at the next octets, or knows that there are no more and that all of them were the message's.
    fn learn(&mut self, octets: Option<&[u8]>) {
        match octets {
            Some(octets) => {
                if let Some((header, _)) = &mut self.learning {
                    header.take(octets);
                }
            }
            None => {
                if let Some((header, learns)) = self.learning.take() {
                    learns.learn(header.finish(self.octets));
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        if let Source::Kept(kept, rest) = &mut self.source {
            match kept.chunk().await {
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => self.source = Source::Done,
                Err(Damaged) => {
                    tracing::info!(
                        "a message in the cache was damaged; the rest of it comes from the provider"
                    );
                    let rest = rest.take().ok_or(LOST)?;
                    self.source = Source::Rest(rest.fetch(self.given, self.octets).await?);
                }
            }
        }
        let chunk = match &mut self.source {
            Source::Coming(fetched, keeping) => coming(fetched, keeping).await?,
            Source::Rest(rest) => rest.chunk().await?,
            Source::Here(left) => {
                Some(left.split_to(left.len().min(PIECE))).filter(|piece| !piece.is_empty())
            }
            Source::Broken => return Err(LOST),
            Source::Kept(..) | Source::Done => None,
        };
        if chunk.is_none() {
            self.source = Source::Done;
        }
        Ok(chunk)
    }
}

const LOST: UpstreamError = UpstreamError::Lost { command: "FETCH" };

async fn coming(
    fetched: &mut Fetched,
    keeping: &mut Option<Keeping>,
) -> Result<Option<Bytes>, UpstreamError> {
    let chunk = fetched.chunk().await?;
    match &chunk {
        Some(chunk) => keeping.iter_mut().for_each(|keeping| keeping.take(chunk)),
        None => {
            if let Some(keeping) = keeping.take() {
                keeping.complete().await;
            }
        }
    }
    Ok(chunk)
}
