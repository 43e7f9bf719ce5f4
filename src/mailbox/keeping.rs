//! A body on its way into the cache while it streams to an app.

use bytes::Bytes;

use crate::proto::dot::Unstuffed;
use crate::store::{Bodies, BodyKey, Keeper};

/// A body that is handed to the cache while it streams.
#[derive(Debug)]
pub(super) struct Keeping {
    keeper: Keeper,
    counted: Unstuffed,
}

impl Keeping {
    /// `None` where nothing would come of it.
    pub(super) fn begin(bodies: &Bodies, key: BodyKey, octets: u64) -> Option<Self> {
        let keeper = bodies.keeping(key, octets)?;
        Some(Self { keeper, counted: Unstuffed::default() })
    }

    pub(super) fn take(&mut self, chunk: &Bytes) {
        self.counted.take(chunk);
        self.keeper.take(chunk);
    }

    pub(super) async fn complete(self) {
        self.keeper.complete(self.counted.octets()).await;
    }
}
