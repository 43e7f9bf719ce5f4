//! A large body on its way to the disk: collected to chunks here, written by the thread.

use std::sync::Arc;

use bytes::Bytes;

use super::format::{CHECK, CHUNK};
use super::writer::Job;
use super::{BodyKey, Disk};

/// Dropped before [`Strand::complete`], nothing of it stays.
#[derive(Debug)]
pub(in crate::store) struct Strand {
    disk: Disk,
    id: u64,
    /// The thread sees by it that nobody goes on. `None`: given up.
    alive: Option<Arc<()>>,
    chunk: Vec<u8>,
}

impl Strand {
    pub(super) fn begin(disk: Disk, id: u64, key: BodyKey, octets: u64) -> Option<Self> {
        let alive = Arc::new(());
        let begun = disk.send(0, Job::Begin { id, key, octets, alive: Arc::downgrade(&alive) });
        begun.then(|| Self { disk, id, alive: Some(alive), chunk: Vec::new() })
    }

    /// The body's next octets. Never waits: what the disk does not take at once ends it.
    pub(in crate::store) fn take(&mut self, octets: &Bytes) {
        let mut octets = octets.as_ref();
        while self.alive.is_some() && !octets.is_empty() {
            if self.chunk.capacity() == 0 {
                self.chunk.reserve_exact(CHUNK + CHECK);
            }
            let room = CHUNK.saturating_sub(self.chunk.len());
            let (now, later) = octets.split_at_checked(room).unwrap_or((octets, &[]));
            self.chunk.extend_from_slice(now);
            octets = later;
            if self.chunk.len() == CHUNK {
                self.send();
            }
        }
    }

    fn send(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        let octets = chunk.len() as u64;
        if !self.disk.send(octets, Job::Chunk { id: self.id, chunk }) {
            tracing::debug!("the disk is slower than the mail; this message is not kept on it");
            self.give_up();
        }
    }

    /// All of it came.
    pub(in crate::store) fn complete(mut self, pop3_octets: u64) {
        if !self.chunk.is_empty() {
            self.send();
        }
        if let Some(alive) = self.alive.take() {
            self.disk.send(0, Job::End { id: self.id, pop3_octets, alive });
        }
    }

    fn give_up(&mut self) {
        if self.alive.take().is_some() {
            // So that the thread looks; where the queue is full it does in any case.
            self.disk.send(0, Job::Look);
        }
    }
}

impl Drop for Strand {
    fn drop(&mut self) {
        self.give_up();
    }
}
