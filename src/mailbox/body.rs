//! A message's octets on their way to an app, and into the cache once they are known to be whole.

use bytes::Bytes;

use crate::proto::dot::Unstuffed;
use crate::store::{Bodies, BodyKey, Damaged, Keeper, Kept};
use crate::upstream::UpstreamError;
use crate::upstream::imap::Fetched;

/// A message's octets on their way, exactly as upstream has them: no dot-stuffing, line ends untouched.
#[derive(Debug)]
pub struct Body {
    octets: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// From the cache.
    Kept(Kept),
    /// From upstream.
    Coming(Fetched, Option<Keeping>),
    /// Complete.
    Done,
    /// Ended before its time; no call will tell anything else.
    Broken,
}

/// A body that is handed to the cache while it streams.
#[derive(Debug)]
struct Keeping {
    keeper: Keeper,
    counted: Unstuffed,
}

impl Body {
    pub(super) fn kept(kept: Kept) -> Self {
        Self { octets: kept.octets(), source: Source::Kept(kept) }
    }

    /// A body that is announced; kept in `bodies` once it is complete.
    pub(super) fn coming(fetched: Fetched, bodies: &Bodies, key: BodyKey) -> Self {
        let octets = fetched.octets;
        let keeping = bodies.keeping(key, octets).map(Keeping::new);
        Self { octets, source: Source::Coming(fetched, keeping) }
    }

    /// The literal's length, exact; upstream's octets, not POP3's.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The next octets; `None` at the end of a complete body. After an error the body is not complete and must
    /// not be ended as if it were.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match &mut self.source {
            Source::Kept(kept) => match kept.chunk().await {
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => self.source = Source::Done,
                Err(Damaged) => {
                    self.source = Source::Broken;
                    return Err(UpstreamError::Lost { command: "FETCH" });
                }
            },
            Source::Coming(fetched, keeping) => match fetched.chunk().await {
                Ok(Some(chunk)) => {
                    if let Some(keeping) = keeping {
                        keeping.take(&chunk);
                    }
                    return Ok(Some(chunk));
                }
                Ok(None) => {
                    if let Some(keeping) = keeping.take() {
                        keeping.complete().await;
                    }
                    self.source = Source::Done;
                }
                Err(error) => {
                    self.source = Source::Broken;
                    return Err(error);
                }
            },
            Source::Broken => return Err(UpstreamError::Lost { command: "FETCH" }),
            Source::Done => {}
        }
        Ok(None)
    }
}

impl Keeping {
    fn new(keeper: Keeper) -> Self {
        Self { keeper, counted: Unstuffed::default() }
    }

    fn take(&mut self, chunk: &Bytes) {
        self.counted.take(chunk);
        self.keeper.take(chunk);
    }

    async fn complete(self) {
        self.keeper.complete(self.counted.octets()).await;
    }
}
