//! A message's octets on their way to an app, and into the cache once they are known to be whole.

use bytes::{Bytes, BytesMut};

use crate::proto::dot::unstuffed_octets;
use crate::store::{Bodies, BodyKey};
use crate::upstream::UpstreamError;
use crate::upstream::imap::Fetched;

/// The largest body kept in memory; what is larger would push out hundreds of others.
const KEPT: u64 = 1 << 20;

/// A body from memory is handed on in pieces of this size, as one from upstream is.
const PIECE: usize = 64 * 1024;

/// A message's octets on their way, exactly as upstream has them: no dot-stuffing, line ends untouched.
#[derive(Debug)]
pub struct Body {
    octets: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// From the cache: what is left of it.
    Kept(Bytes),
    /// From upstream.
    Coming(Fetched, Option<Keeping>),
    /// Complete.
    Done,
    /// Ended before its time; no call will tell anything else.
    Broken,
}

/// A body that is collected for the cache while it streams.
#[derive(Debug)]
struct Keeping {
    bodies: Bodies,
    key: BodyKey,
    collected: BytesMut,
}

impl Body {
    pub(super) fn kept(body: Bytes) -> Self {
        Self { octets: body.len() as u64, source: Source::Kept(body) }
    }

    /// A body that is announced; collected for `bodies` if it is small enough.
    pub(super) fn coming(fetched: Fetched, bodies: &Bodies, key: BodyKey) -> Self {
        let octets = fetched.octets;
        let keeping = usize::try_from(octets).ok().filter(|_| octets <= KEPT).map(|octets| Keeping {
            bodies: bodies.clone(),
            key,
            collected: BytesMut::with_capacity(octets),
        });
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
            Source::Kept(left) if left.is_empty() => self.source = Source::Done,
            Source::Kept(left) => return Ok(Some(left.split_to(left.len().min(PIECE)))),
            Source::Coming(fetched, keeping) => match fetched.chunk().await {
                Ok(Some(chunk)) => {
                    if let Some(keeping) = keeping {
                        keeping.collected.extend_from_slice(&chunk);
                    }
                    return Ok(Some(chunk));
                }
                Ok(None) => {
                    if let Some(keeping) = keeping.take() {
                        keeping.keep(self.octets).await;
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
    async fn keep(self, octets: u64) {
        if self.collected.len() as u64 == octets {
            let body = self.collected.freeze();
            let pop3_octets = unstuffed_octets(&body);
            self.bodies.insert(self.key, body, pop3_octets).await;
        }
    }
}
