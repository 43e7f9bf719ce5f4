//! Bodies from the disk. Everything that touches a file runs in a thread for what blocks.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::format::{CHECK, CHUNK, Code, FIXED, Form, LAST, Name};
use super::{BodyKey, Disk, STARTING, Shared, State};
use crate::store::Damaged;
use crate::store::bodies::SMALL;

/// Chunks that are read at a time. As many again wait for the app: half a megabyte in all, however long the body is.
pub(super) const BATCH: u64 = 4;

/// A file's time tells after a restart when it was used last, to within this: most reads write nothing.
const STAMPED: Duration = Duration::from_secs(5 * 60);

/// A body that is there.
#[derive(Debug)]
pub(in crate::store) enum Found {
    /// All of it, checked, and the octets POP3 counts.
    Whole(Bytes, u64),
    /// A large one.
    Stream(Stream),
}

/// A large body on its way from the disk.
#[derive(Debug)]
pub(in crate::store) struct Stream {
    octets: u64,
    pop3_octets: u64,
    ready: VecDeque<Bytes>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Reading(JoinHandle<Batch>),
    End,
    Damaged,
}

/// What came of reading some chunks.
#[derive(Debug)]
struct Batch {
    chunks: VecDeque<Bytes>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    More(Box<Reading>),
    End,
    Damaged,
}

/// An open file. While it is open its octets are on the disk, so nobody is to count them as gone.
#[derive(Debug)]
struct Reading {
    pin: Pin,
    file: File,
    code: Code,
    /// Where the first chunk begins.
    begin: u64,
    octets: u64,
    place: u64,
}

#[derive(Debug)]
struct Pin {
    shared: Arc<Shared>,
    form: Arc<Form>,
    name: Name,
}

/// Why a body is not had from here.
enum Fault {
    /// The file is not what it should be.
    Wrong(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Disk {
    /// The body, if it is there and, as far as was looked, whole.
    pub(in crate::store) async fn open(&self, key: &BodyKey) -> Option<Found> {
        let mut state = self.shared.state.subscribe();
        let started = timeout(STARTING, state.wait_for(|state| !matches!(state, State::Starting))).await;
        let State::Ready(form) = started.ok()?.ok()?.clone() else { return None };
        let name = form.name(key);
        let pin = Pin::new(&self.shared, form, name)?;
        let key = key.clone();
        spawn_blocking(move || pin.open(&key)).await.ok()?
    }
}

impl Pin {
    /// Counts the file as used; `None` where there is none for sure.
    fn new(shared: &Arc<Shared>, form: Arc<Form>, name: Name) -> Option<Self> {
        let mut index = shared.index();
        if !index.touch(name) && shared.looked.load(Ordering::Acquire) {
            return None;
        }
        index.begin_reading(name);
        drop(index);
        Some(Self { shared: shared.clone(), form, name })
    }

    fn open(self, key: &BodyKey) -> Option<Found> {
        let (shared, form, name) = (self.shared.clone(), self.form.clone(), self.name);
        match self.try_open(key) {
            Ok(found) => Some(found),
            Err(Fault::Wrong(why)) => {
                shared.discard(&form, name, &why);
                None
            }
            Err(Fault::Io(error)) => {
                match error.kind() {
                    io::ErrorKind::NotFound => shared.index().remove(name),
                    // Shorter than it says.
                    io::ErrorKind::UnexpectedEof => shared.discard(&form, name, &error),
                    // Not the file's fault, maybe: too many open ones, for example.
                    _ => tracing::debug!(%error, "a body on the disk cannot be read"),
                }
                None
            }
        }
    }

    fn try_open(self, key: &BodyKey) -> Result<Found, Fault> {
        let place = &self.shared.place;
        let file = place.open(&place.complete(self.name, self.form.is_sealed()))?;
        let file = file.ok_or(Fault::Wrong("it is not a file"))?;
        let metadata = file.metadata()?;
        let mut head = place.read(&file, 0, FIXED)?;
        let fixed = head.first_chunk().ok_or(Fault::Wrong("its head is short"))?;
        let shown = self.form.key_octets(fixed).ok_or(Fault::Wrong("it has another format"))?;
        if shown > 0 {
            head.extend(place.read(&file, FIXED as u64, shown)?);
        }
        let (code, octets) = self.form.open(key, &head).ok_or(Fault::Wrong("it is another body's"))?;
        if self.form.file_octets(key, octets) != Some(metadata.len()) {
            return Err(Fault::Wrong("it has another length"));
        }
        let last = place.read(&file, metadata.len().saturating_sub(LAST as u64), LAST)?;
        let last = code.open(octets.div_ceil(CHUNK as u64), true, last);
        let last = last.as_deref().and_then(<[u8]>::first_chunk);
        let pop3_octets = u64::from_be_bytes(*last.ok_or(Fault::Wrong("its head or its end is damaged"))?);
        let now = SystemTime::now();
        if metadata.modified().is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > STAMPED)) {
            // Where that fails it goes a little early one day.
            let _ = file.set_modified(now);
        }
        let reading = Reading { pin: self, file, code, begin: head.len() as u64, octets, place: 0 };
        if octets > SMALL {
            let next = Next::Reading(spawn_blocking(|| reading.batch()));
            return Ok(Found::Stream(Stream { octets, pop3_octets, ready: VecDeque::new(), next }));
        }
        Ok(Found::Whole(reading.all()?, pop3_octets))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.index().end_reading(self.name);
    }
}

impl Reading {
    fn all(mut self) -> Result<Bytes, Fault> {
        let mut body = BytesMut::with_capacity(usize::try_from(self.octets).unwrap_or_default());
        while let Some(chunk) = self.chunk()? {
            if chunk.len() as u64 == self.octets {
                return Ok(chunk);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn batch(mut self) -> Batch {
        let mut chunks = VecDeque::new();
        for _ in 0..BATCH {
            match self.chunk() {
                Ok(Some(chunk)) => chunks.push_back(chunk),
                Ok(None) => return Batch { chunks, then: Then::End },
                Err(fault) => {
                    let why: &dyn std::fmt::Display = match &fault {
                        Fault::Wrong(why) => why,
                        Fault::Io(error) => error,
                    };
                    self.pin.shared.discard(&self.pin.form, self.pin.name, why);
                    return Batch { chunks, then: Then::Damaged };
                }
            }
        }
        Batch { chunks, then: Then::More(Box::new(self)) }
    }

    fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let before = self.place * CHUNK as u64;
        let left = self.octets.saturating_sub(before);
        if left == 0 {
            return Ok(None);
        }
        let octets = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK) + CHECK;
        let from = self.begin + before + self.place * CHECK as u64;
        let chunk = self.pin.shared.place.read(&self.file, from, octets)?;
        let chunk =
            self.code.open(self.place, false, chunk).ok_or(Fault::Wrong("a part of it is damaged"))?;
        self.place += 1;
        Ok(Some(chunk))
    }
}

impl Stream {
    pub(in crate::store) fn octets(&self) -> u64 {
        self.octets
    }

    pub(in crate::store) fn pop3_octets(&self) -> u64 {
        self.pop3_octets
    }

    /// The next chunk; `None` at the end. Cancel-safe.
    pub(in crate::store) async fn chunk(&mut self) -> Result<Option<Bytes>, Damaged> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            match &mut self.next {
                Next::End => return Ok(None),
                Next::Damaged => return Err(Damaged),
                Next::Reading(reading) => match reading.await {
                    Ok(Batch { chunks, then }) => {
                        self.ready = chunks;
                        self.next = match then {
                            Then::More(reading) => Next::Reading(spawn_blocking(|| reading.batch())),
                            Then::End => Next::End,
                            Then::Damaged => Next::Damaged,
                        };
                    }
                    Err(_) => self.next = Next::Damaged, // The process is stopping.
                },
            }
        }
    }

    /// Chunks that are held here.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.ready.len()
    }
}
