//! Message bodies once fetched: in memory, weighed by octets, and on the disk.
//!
//! Small ones are in both, large ones on the disk alone; what is asked for is had from memory before the disk.
//!
//! ```text
//!  keeping ──▶ Keeper ──take, take, complete──▶ kept      what is not complete is never kept
//!  open ─────▶ Kept ───chunk, chunk, None─────▶ the app   what is damaged is never handed out
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::disk::{Disk, DiskTier, Found, Removed, Strand, Stream};
use crate::mail::{ToldSize, Uid, UidValidity};

/// The largest body kept in memory; what is larger would push out hundreds of others.
pub const SMALL: u64 = 1 << 20;

/// A body is handed on in pieces of at most this size, as one from upstream is.
const PIECE: usize = 64 * 1024;

/// What an entry costs beyond its octets: the key, its reference counts and the cache's own bookkeeping, rounded up.
const OVERHEAD: usize = 256;

/// What names a body: all five parts, always.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BodyKey {
    /// The account: its address, and the server and user its mail is read from, which may change.
    pub account: Arc<str>,
    /// The mailbox as upstream names it.
    pub mailbox: Arc<str>,
    /// The numbering `uid` belongs to.
    pub uid_validity: UidValidity,
    /// The message.
    pub uid: Uid,
    /// What upstream tells of its size: a mailbox that was restored from a backup may hand out its UIDs again.
    pub told: ToldSize,
}

/// Complete, checked bodies; shared by all sessions.
///
/// Least recently used goes first. moka's own choice of what to admit looks at how often a key was asked for, and
/// would turn away every body of a mailbox that is read for the first time.
#[derive(Clone, Debug)]
pub struct Bodies {
    memory: Option<Cache<BodyKey, Entry>>,
    /// What memory may come to.
    bound: u64,
    disk: Option<Disk>,
    counts: Arc<Counts>,
}

/// What was asked for, and where it was.
#[derive(Debug, Default)]
struct Counts {
    from_memory: AtomicU64,
    from_disk: AtomicU64,
    missed: AtomicU64,
}

/// What is kept, and what came of it since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// In memory.
    pub memory: MemoryTier,
    /// On the disk, where bodies are kept there.
    pub disk: Option<DiskTier>,
    /// Asked for and had from memory.
    pub from_memory: u64,
    /// Asked for and had from the disk.
    pub from_disk: u64,
    /// Asked for and not here.
    pub missed: u64,
}

/// What is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemoryTier {
    /// Bodies.
    pub bodies: u64,
    /// Octets, with what each costs beyond its own.
    pub octets: u64,
    /// What they may come to.
    pub bound: u64,
}

/// How many bodies were removed. Most small ones were in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cleared {
    /// From memory.
    pub memory: Removed,
    /// From the disk.
    pub disk: Removed,
}

#[derive(Clone, Debug)]
struct Entry {
    body: Bytes,
    pop3_octets: u64,
}

/// A body on its way into the cache. Dropped before [`Keeper::complete`], nothing of it is kept.
#[derive(Debug)]
pub struct Keeper {
    bodies: Bodies,
    key: BodyKey,
    octets: u64,
    taken: u64,
    /// A small one.
    collected: Option<BytesMut>,
    /// A large one.
    strand: Option<Strand>,
}

/// A body from the cache, on its way to whoever wants it.
#[derive(Debug)]
pub struct Kept {
    octets: u64,
    pop3_octets: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Disk(Stream),
}

/// What is kept of this body is not what was put in: it is gone now, and the provider has to be asked. What
/// [`Kept::chunk`] gave before is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a body in the cache was damaged")]
pub struct Damaged;

impl Bodies {
    /// Keeps at most `octets` of bodies in memory; 0 keeps none.
    pub fn new(octets: u64) -> Self {
        let memory = (octets > 0).then(|| {
            Cache::builder()
                .max_capacity(octets)
                .weigher(weight)
                .eviction_policy(EvictionPolicy::lru())
                .build()
        });
        Self { memory, bound: octets, disk: None, counts: Arc::default() }
    }

    /// The same, and on this disk.
    #[must_use]
    pub fn with_disk(self, disk: Disk) -> Self {
        Self { disk: Some(disk), ..self }
    }

    /// Whether a body is here, as far as can be told without waiting.
    pub fn has(&self, key: &BodyKey) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.contains_key(key))
            || self.disk.as_ref().is_some_and(|disk| disk.has(key))
    }

    /// The body, if it is here.
    pub async fn open(&self, key: &BodyKey) -> Option<Kept> {
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        if let Some(Entry { body, pop3_octets }) = self.remembered(key).await {
            count(&self.counts.from_memory);
            if let Some(disk) = &self.disk {
                disk.touch(key);
            }
            return Some(Kept::in_memory(body, pop3_octets));
        }
        let Some(found) = self.found(key).await else {
            count(&self.counts.missed);
            return None;
        };
        count(&self.counts.from_disk);
        Some(match found {
            Found::Whole(body, pop3_octets) => {
                self.remember(key.clone(), Entry { body: body.clone(), pop3_octets }).await;
                Kept::in_memory(body, pop3_octets)
            }
            Found::Stream(stream) => {
                let (octets, pop3_octets) = (stream.octets(), stream.pop3_octets());
                Kept { octets, pop3_octets, source: Source::Disk(stream) }
            }
        })
    }

    async fn remembered(&self, key: &BodyKey) -> Option<Entry> {
        self.memory.as_ref()?.get(key).await
    }

    async fn found(&self, key: &BodyKey) -> Option<Found> {
        self.disk.as_ref()?.open(key).await
    }

    /// Begins to keep a body of `octets` octets; `None` where nothing would come of it.
    pub fn keeping(&self, key: BodyKey, octets: u64) -> Option<Keeper> {
        let small = octets <= SMALL;
        let wanted = small && (self.memory.is_some() || self.disk.is_some());
        let collected = usize::try_from(octets).ok().filter(|_| wanted).map(BytesMut::with_capacity);
        let strand = match &self.disk {
            Some(disk) if !small => disk.begin(key.clone(), octets),
            _ => None,
        };
        let anything = collected.is_some() || strand.is_some();
        anything.then(|| Keeper { bodies: self.clone(), key, octets, taken: 0, collected, strand })
    }

    /// Takes in a complete body, exactly as upstream sent it, and the octets POP3 counts for it: into memory at
    /// once, onto the disk as soon as that takes it. One that is larger than [`SMALL`] has to come by
    /// [`Bodies::keeping`].
    pub async fn insert(&self, key: BodyKey, body: Bytes, pop3_octets: u64) {
        if let Some(disk) = &self.disk {
            disk.write(key.clone(), body.clone(), pop3_octets);
        }
        self.remember(key, Entry { body, pop3_octets }).await;
    }

    async fn remember(&self, key: BodyKey, entry: Entry) {
        if let Some(memory) = &self.memory {
            memory.insert(key, entry).await;
            // At once, not when the cache finds time: the bound is the user's memory.
            memory.run_pending_tasks().await;
        }
    }

    /// What is kept.
    pub async fn stats(&self) -> Stats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            memory: self.memory_tier().await,
            disk: self.disk.as_ref().map(Disk::tier),
            from_memory: of(&self.counts.from_memory),
            from_disk: of(&self.counts.from_disk),
            missed: of(&self.counts.missed),
        }
    }

    async fn memory_tier(&self) -> MemoryTier {
        let bound = self.bound;
        let Some(memory) = &self.memory else { return MemoryTier { bound, ..MemoryTier::default() } };
        memory.run_pending_tasks().await;
        MemoryTier { bodies: memory.entry_count(), octets: memory.weighted_size(), bound }
    }

    /// Removes every body; who is handed one goes on to its end.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub async fn clear(&self) -> io::Result<Cleared> {
        let MemoryTier { bodies, octets, .. } = self.memory_tier().await;
        if let Some(memory) = &self.memory {
            memory.invalidate_all();
            memory.run_pending_tasks().await;
        }
        let disk = match &self.disk {
            Some(disk) => disk.clear().await?,
            None => Removed::default(),
        };
        Ok(Cleared { memory: Removed { bodies, octets }, disk })
    }

    /// Waits, but not for long, until what was handed over is on the disk; what is not complete is given up.
    pub async fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close().await;
        }
    }

    /// The exact POP3 sizes of the bodies of one mailbox that are in memory.
    pub fn pop3_octets(
        &self,
        account: &str,
        mailbox: &str,
        uid_validity: UidValidity,
    ) -> HashMap<(Uid, ToldSize), u64> {
        let entries = self.memory.iter().flat_map(|memory| memory.iter());
        entries
            .filter(|(key, _)| {
                *key.account == *account && *key.mailbox == *mailbox && key.uid_validity == uid_validity
            })
            .map(|(key, entry)| ((key.uid, key.told), entry.pop3_octets))
            .collect()
    }
}

impl Keeper {
    /// The body's next octets, exactly as upstream sent them. Never waits.
    pub fn take(&mut self, chunk: &Bytes) {
        self.taken = self.taken.saturating_add(chunk.len() as u64);
        if self.taken > self.octets {
            // More than was announced: no body of ours.
            self.collected = None;
            self.strand = None;
        }
        if let Some(collected) = &mut self.collected {
            collected.extend_from_slice(chunk);
        }
        if let Some(strand) = &mut self.strand {
            strand.take(chunk);
        }
    }

    /// All of it came and was found whole; `pop3_octets` are what POP3 counts for it. Does not wait for a disk.
    pub async fn complete(mut self, pop3_octets: u64) {
        if self.taken != self.octets {
            return;
        }
        if let Some(collected) = self.collected.take() {
            self.bodies.insert(self.key, collected.freeze(), pop3_octets).await;
        }
        if let Some(strand) = self.strand.take() {
            strand.complete(pop3_octets);
        }
    }
}

impl Kept {
    fn in_memory(body: Bytes, pop3_octets: u64) -> Self {
        Self { octets: body.len() as u64, pop3_octets, source: Source::Memory(body) }
    }

    /// The body's length.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// What POP3 counts for it.
    pub fn pop3_octets(&self) -> u64 {
        self.pop3_octets
    }

    /// The next octets; `None` at the end.
    ///
    /// # Errors
    /// The rest cannot be had from here.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Damaged> {
        match &mut self.source {
            Source::Memory(left) if left.is_empty() => Ok(None),
            Source::Memory(left) => Ok(Some(left.split_to(left.len().min(PIECE)))),
            Source::Disk(stream) => stream.chunk().await,
        }
    }
}

fn weight(key: &BodyKey, entry: &Entry) -> u32 {
    let octets = entry.body.len() + key.account.len() + key.mailbox.len() + OVERHEAD;
    u32::try_from(octets).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(account: &str, mailbox: &str, uid_validity: u32, uid: u32) -> BodyKey {
        BodyKey {
            account: account.into(),
            mailbox: mailbox.into(),
            uid_validity: UidValidity::new(uid_validity).unwrap(),
            uid: Uid::new(uid).unwrap(),
            told: ToldSize::of(1),
        }
    }

    async fn whole(bodies: &Bodies, key: &BodyKey) -> Option<Vec<u8>> {
        let mut kept = bodies.open(key).await?;
        let mut octets = Vec::new();
        while let Some(chunk) = kept.chunk().await.unwrap() {
            octets.extend_from_slice(&chunk);
        }
        assert_eq!(octets.len() as u64, kept.octets());
        Some(octets)
    }

    #[tokio::test]
    async fn all_five_parts_name_a_body() {
        let bodies = Bodies::new(1 << 20);
        let kept = key("ana", "INBOX", 1, 1);
        bodies.insert(kept.clone(), Bytes::from_static(b"x"), 3).await;
        assert_eq!(whole(&bodies, &kept).await.as_deref(), Some(b"x".as_slice()));
        for other in [
            key("bob", "INBOX", 1, 1),
            key("ana", "Trash", 1, 1),
            key("ana", "INBOX", 2, 1),
            key("ana", "INBOX", 1, 2),
            BodyKey { told: ToldSize::of(2), ..kept.clone() },
            BodyKey { told: ToldSize::UNKNOWN, ..kept.clone() },
        ] {
            assert_eq!(whole(&bodies, &other).await, None);
            assert!(!bodies.has(&other));
        }
        let sizes = bodies.pop3_octets("ana", "INBOX", UidValidity::new(1).unwrap());
        assert_eq!(sizes, HashMap::from([((Uid::new(1).unwrap(), ToldSize::of(1)), 3)]));
        assert!(bodies.pop3_octets("ana", "INBOX", UidValidity::new(2).unwrap()).is_empty());
    }

    #[tokio::test]
    async fn the_bound_holds_after_every_insertion_and_the_newest_stays() {
        let bodies = Bodies::new(10_000);
        for uid in 1..100 {
            bodies.insert(key("ana", "INBOX", 1, uid), Bytes::from(vec![0; 1000]), 1000).await;
            let cache = bodies.memory.as_ref().unwrap();
            assert!(cache.weighted_size() <= 10_000, "{}", cache.weighted_size());
            assert!(bodies.has(&key("ana", "INBOX", 1, uid)));
        }
    }

    #[tokio::test]
    async fn nothing_keeps_nothing() {
        let bodies = Bodies::new(0);
        bodies.insert(key("ana", "INBOX", 1, 1), Bytes::from_static(b"x"), 1).await;
        assert_eq!(whole(&bodies, &key("ana", "INBOX", 1, 1)).await, None);
        assert!(bodies.keeping(key("ana", "INBOX", 1, 1), 1).is_none());
    }

    #[tokio::test]
    async fn a_body_is_kept_when_it_is_complete_and_as_long_as_was_announced() {
        let bodies = Bodies::new(1 << 22);
        for (uid, announced, chunks, complete) in [
            (1, 4, &["ab", "cd"][..], true),
            (2, 4, &["ab", "cd"], false),
            (3, 4, &["ab"], true),
            (4, 4, &["ab", "cde"], true),
            (5, 0, &[], true),
            (6, 4, &["ab", "cde", ""], true),
        ] {
            let mut keeper = bodies.keeping(key("ana", "INBOX", 1, uid), announced).unwrap();
            chunks.iter().for_each(|chunk| keeper.take(&Bytes::from_static(chunk.as_bytes())));
            assert!(!bodies.has(&key("ana", "INBOX", 1, uid)), "not before it is complete");
            if complete {
                keeper.complete(9).await;
            }
            let kept = whole(&bodies, &key("ana", "INBOX", 1, uid)).await;
            let expected = matches!(uid, 1 | 5).then(|| chunks.concat().into_bytes());
            assert_eq!(kept, expected, "{uid}");
        }
    }
}
