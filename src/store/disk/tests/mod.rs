//! The folder is a real one; what fails is made to.

mod bound;
mod damage;
mod faults;
mod kept;
mod sealed;

use std::fs;
use std::io;
use std::sync::Mutex;

use tempfile::TempDir;

use super::format::{CHUNK, LAST};
use super::reader::BATCH;
use super::*;
use crate::mail::{ToldSize, Uid, UidValidity};
use crate::store::bodies::SMALL;
use crate::store::{Bodies, Damaged};

/// Makes calls of the system fail.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    calls: u64,
    /// The first that fails, and whether those behind it do, too.
    from: Option<(u64, bool)>,
}

impl Faults {
    pub(super) fn step(&self) -> io::Result<()> {
        let mut plan = self.0.lock().unwrap();
        plan.calls += 1;
        match plan.from {
            Some((from, all)) if plan.calls == from || all && plan.calls > from => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn plan(&self, from: Option<(u64, bool)>) {
        *self.0.lock().unwrap() = Plan { calls: 0, from };
    }

    fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }
}

struct Room(TempDir);

const KEY: [u8; 32] = [7; 32];

const BOUND: u64 = 64 << 20;

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> PathBuf {
        folder_in(self.0.path())
    }

    fn start(&self, bound: u64, key: Option<[u8; 32]>) -> Disk {
        self.start_with(bound, Box::new(move || Ok(key.map(Zeroizing::new))))
    }

    fn start_with(&self, bound: u64, key: KeySource) -> Disk {
        Disk::start_in(Place::new(self.folder()), bound, key, Duration::ZERO).unwrap()
    }

    /// Names and lengths of all files.
    fn files(&self) -> Vec<(String, u64)> {
        let Ok(entries) = fs::read_dir(self.folder()) else { return Vec::new() };
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
        };
        entries.map(entry).collect()
    }

    fn octets(&self) -> u64 {
        self.files().iter().map(|(_, octets)| octets).sum()
    }

    fn the_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        self.folder().join(&files[0].0)
    }
}

fn key(account: &str, uid: u32) -> BodyKey {
    BodyKey {
        account: account.into(),
        mailbox: "INBOX".into(),
        uid_validity: UidValidity::new(7).unwrap(),
        uid: Uid::new(uid).unwrap(),
        told: ToldSize::UNKNOWN,
    }
}

/// Octets in which no part is like another.
fn body(octets: u64, seed: u32) -> Bytes {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..octets).map(next).collect::<Vec<u8>>().into()
}

async fn synced(disk: &Disk) {
    disk.ask(Job::Sync).await.expect("the thread lives");
}

async fn put(disk: &Disk, key: BodyKey, body: &Bytes) {
    if body.len() as u64 <= SMALL {
        disk.write(key, body.clone(), 99);
    } else if let Some(mut strand) = disk.begin(key, body.len() as u64) {
        for chunk in body.chunks(50_000) {
            strand.take(&Bytes::copy_from_slice(chunk));
            synced(disk).await; // A disk that keeps up.
        }
        strand.complete(99);
    }
    synced(disk).await;
}

/// What comes of a body up to its end or to where it is damaged; nothing where it is not there.
async fn taken(disk: &Disk, key: &BodyKey) -> Option<(Vec<u8>, Result<(), Damaged>)> {
    let mut stream = match disk.open(key).await? {
        Found::Whole(body, pop3_octets) => {
            assert_eq!(pop3_octets, 99);
            return Some((body.to_vec(), Ok(())));
        }
        Found::Stream(stream) => stream,
    };
    assert_eq!(stream.pop3_octets(), 99);
    let mut octets = Vec::new();
    loop {
        match stream.chunk().await {
            Ok(Some(chunk)) => octets.extend_from_slice(&chunk),
            Ok(None) => {
                assert_eq!(octets.len() as u64, stream.octets());
                return Some((octets, Ok(())));
            }
            Err(damaged) => return Some((octets, Err(damaged))),
        }
    }
}

async fn assert_there(disk: &Disk, key: &BodyKey, body: &Bytes) {
    let (octets, end) = taken(disk, key).await.expect("it is there");
    assert!(octets == *body && end.is_ok(), "{} octets, {end:?}", octets.len());
}
