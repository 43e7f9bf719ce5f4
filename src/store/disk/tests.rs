//! The folder is a real one; what fails is made to.

use std::fs;
use std::io;
use std::sync::Mutex;

use tempfile::TempDir;

use super::format::{CHUNK, LAST};
use super::reader::BATCH;
use super::*;
use crate::mail::{Uid, UidValidity};
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

#[tokio::test]
async fn bodies_of_every_length_are_had_again_after_a_restart_too() {
    let lengths = [0, 1, CHUNK as u64 - 1, CHUNK as u64, CHUNK as u64 + 1, SMALL, SMALL + 1, 2 * SMALL + 7];
    for sealing in [None, Some(KEY)] {
        let room = Room::new();
        let disk = room.start(BOUND, sealing);
        for (uid, octets) in (1..).zip(lengths) {
            let (key, body) = (key("ana", uid), body(octets, uid));
            assert!(!disk.has(&key) && taken(&disk, &key).await.is_none());
            put(&disk, key.clone(), &body).await;
            assert!(disk.has(&key));
            assert_there(&disk, &key, &body).await;
        }
        let tier = disk.tier();
        assert_eq!((tier.bodies, tier.octets, tier.bound), (8, room.octets(), BOUND));
        assert_eq!(tier.sealed, sealing.is_some());
        disk.close().await;
        let again = room.start(BOUND, sealing);
        for (uid, octets) in (1..).zip(lengths) {
            assert_there(&again, &key("ana", uid), &body(octets, uid)).await;
        }
        synced(&again).await;
        assert_eq!(again.tier(), tier);
        assert_eq!(measure(&room.folder(), BOUND).unwrap(), tier);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_their_user_alone() {
    use std::os::unix::fs::MetadataExt;
    let room = Room::new();
    let disk = room.start(BOUND, None);
    put(&disk, key("ana", 1), &body(9, 1)).await;
    assert_eq!(fs::metadata(room.the_file()).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(room.folder()).unwrap().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn one_wrong_octet_anywhere_one_missing_or_one_more_is_not_there_and_goes() {
    for sealing in [None, Some(KEY)] {
        let room = Room::new();
        let disk = room.start(BOUND, sealing);
        let key = key("ana", 1);
        put(&disk, key.clone(), &body(90, 1)).await;
        let (path, name) = (room.the_file(), disk.name(&key).unwrap());
        let good = fs::read(&path).unwrap();
        let flipped = (0..good.len()).map(|at| {
            let mut octets = good.clone();
            octets[at] ^= 1 << (at % 8);
            octets
        });
        let cut = (0..good.len()).map(|octets| good[..octets].to_vec());
        let longer = std::iter::once([&good[..], b"x"].concat());
        for wrong in flipped.chain(cut).chain(longer) {
            fs::write(&path, &wrong).unwrap();
            disk.shared.index().add(name, good.len() as u64);
            assert_eq!(taken(&disk, &key).await, None);
            assert!(!path.exists() && !disk.has(&key));
        }
        fs::write(&path, &good).unwrap();
        disk.shared.index().add(name, good.len() as u64);
        assert_there(&disk, &key, &body(90, 1)).await;
    }
}

#[tokio::test]
async fn damage_within_a_large_body_is_found_out_before_its_chunk_is_handed_on() {
    for sealing in [None, Some(KEY)] {
        let room = Room::new();
        let disk = room.start(BOUND, sealing);
        let (key, body) = (key("ana", 1), body(SMALL + 3 * CHUNK as u64 + 5, 1));
        put(&disk, key.clone(), &body).await;
        let path = room.the_file();
        let good = fs::read(&path).unwrap();
        let chunk = CHUNK + format::CHECK;
        let head = good.len() - LAST - (body.len() + body.len().div_ceil(CHUNK) * format::CHECK);
        for place in 0..body.len().div_ceil(CHUNK) {
            let mut octets = good.clone();
            octets[head + place * chunk + 2] ^= 1;
            fs::write(&path, &octets).unwrap();
            disk.shared.index().add(disk.name(&key).unwrap(), good.len() as u64);
            let (had, end) = taken(&disk, &key).await.expect("its head and its end are good");
            assert_eq!((had.len(), end), (place * CHUNK, Err(Damaged)));
            assert!(had == body[..had.len()] && !path.exists());
        }
        // Two chunks that are each whole, in the other order.
        let mut octets = good.clone();
        let (first, second) = octets[head..].split_at_mut(chunk);
        first.swap_with_slice(&mut second[..chunk]);
        fs::write(&path, &octets).unwrap();
        disk.shared.index().add(disk.name(&key).unwrap(), good.len() as u64);
        assert_eq!(taken(&disk, &key).await, Some((Vec::new(), Err(Damaged))));
    }
}

#[tokio::test]
async fn files_that_changed_places_are_neither_accounts() {
    for sealing in [None, Some(KEY)] {
        for octets in [40, SMALL + 40] {
            let room = Room::new();
            let disk = room.start(BOUND, sealing);
            put(&disk, key("ana", 1), &body(octets, 1)).await;
            let hers = room.the_file();
            put(&disk, key("bob", 1), &body(octets, 2)).await;
            let his = disk.shared.place.complete(disk.name(&key("bob", 1)).unwrap(), sealing.is_some());
            let between = room.0.path().join("between");
            fs::rename(&hers, &between).unwrap();
            fs::rename(&his, &hers).unwrap();
            fs::rename(&between, &his).unwrap();
            assert_eq!(taken(&disk, &key("ana", 1)).await, None);
            assert_eq!(taken(&disk, &key("bob", 1)).await, None);
            assert!(room.files().is_empty());
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_or_a_pipe_in_a_files_place_is_neither_followed_nor_waited_for() {
    let room = Room::new();
    let disk = room.start(BOUND, None);
    let (key, body) = (key("ana", 1), body(40, 1));
    for make in ["link", "pipe"] {
        put(&disk, key.clone(), &body).await;
        let (path, elsewhere) = (room.the_file(), room.0.path().join("elsewhere"));
        fs::rename(&path, &elsewhere).unwrap();
        match make {
            "link" => std::os::unix::fs::symlink(&elsewhere, &path).unwrap(),
            _ => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
        }
        assert_eq!(taken(&disk, &key).await, None, "{make}");
        assert!(room.files().is_empty() && elsewhere.exists(), "{make}");
    }
}

#[tokio::test]
async fn a_folder_that_is_wiped_is_made_again_and_a_file_that_is_gone_is_fetched_again() {
    let room = Room::new();
    let disk = room.start(BOUND, None);
    let body = body(40, 1);
    put(&disk, key("ana", 1), &body).await;
    fs::remove_file(room.the_file()).unwrap();
    assert!(taken(&disk, &key("ana", 1)).await.is_none() && !disk.has(&key("ana", 1)));
    put(&disk, key("ana", 1), &body).await;
    put(&disk, key("ana", 2), &body).await;
    // With one that is being written, and one that is read.
    let large = self::body(2 * SMALL, 3);
    put(&disk, key("ana", 3), &large).await;
    let Some(Found::Stream(mut reading)) = disk.open(&key("ana", 3)).await else { panic!("it is large") };
    let mut strand = disk.begin(key("ana", 4), large.len() as u64).unwrap();
    strand.take(&large);
    synced(&disk).await;
    fs::remove_dir_all(room.folder()).unwrap();
    strand.complete(99);
    synced(&disk).await;
    assert!(taken(&disk, &key("ana", 1)).await.is_none());
    assert!(taken(&disk, &key("ana", 4)).await.is_none());
    let mut octets = Vec::new();
    while let Ok(Some(chunk)) = reading.chunk().await {
        octets.extend_from_slice(&chunk);
    }
    assert!(octets == large[..octets.len()], "what was read is right");
    put(&disk, key("ana", 5), &body).await;
    assert_there(&disk, &key("ana", 5), &body).await;
    assert_eq!(disk.tier().octets, room.octets());
    assert!(!disk.shared.health().failing, "nothing of this is a fault of the disk");
}

#[tokio::test]
async fn what_is_not_complete_has_no_name_and_what_a_killed_process_left_goes() {
    let room = Room::new();
    let disk = room.start(BOUND, None);
    let large = body(2 * SMALL, 1);
    for given in [0, 1, CHUNK, large.len() - 1, large.len()] {
        let mut strand = disk.begin(key("ana", 1), large.len() as u64).unwrap();
        strand.take(&large.slice(..given));
        synced(&disk).await;
        let files = room.files();
        assert!(files.len() == 1 && files[0].0.ends_with(".new"), "{files:?}");
        drop(strand);
        synced(&disk).await;
        assert!(room.files().is_empty() && !disk.has(&key("ana", 1)));
    }
    // Complete, says whoever gave too little.
    let mut strand = disk.begin(key("ana", 1), large.len() as u64).unwrap();
    strand.take(&large.slice(1..));
    strand.complete(99);
    synced(&disk).await;
    assert!(room.files().is_empty());
    // The end of the process in the middle of a body, in order and not.
    let mut strand = disk.begin(key("ana", 1), large.len() as u64).unwrap();
    strand.take(&large);
    disk.close().await;
    assert!(room.files().is_empty());
    let litter = disk.shared.place.unfinished(disk.name(&key("ana", 1)).unwrap(), 7);
    fs::write(&litter, "half").unwrap();
    fs::write(room.folder().join("README"), "not ours").unwrap();
    let again = room.start(BOUND, None);
    synced(&again).await;
    assert_eq!(room.files(), [("README".to_owned(), 8)]);
    assert_eq!(again.tier().bodies, 0);
}

#[tokio::test]
async fn the_bound_holds_at_every_step_and_the_least_recently_used_goes() {
    let room = Room::new();
    let bound = 3 * SMALL;
    let disk = room.start(bound, None);
    let small = |uid: u32| body(200_000 + u64::from(uid) * 1000, uid);
    for uid in 1..=30 {
        put(&disk, key("ana", uid), &small(uid)).await;
        assert!(room.octets() <= bound, "{}", room.octets());
        assert_there(&disk, &key("ana", 1), &small(1)).await; // Used again and again: it stays.
    }
    let there = (1..=30).filter(|uid| disk.has(&key("ana", *uid))).collect::<Vec<_>>();
    let newest = (31 - (there.len() as u32 - 1)..=30).collect::<Vec<_>>();
    assert_eq!(there, [&[1], &newest[..]].concat());
    assert_eq!(disk.tier().octets, room.octets());
    // A large one makes its room before it begins, and keeps to it while it grows.
    let large = body(2 * SMALL, 99);
    let mut strand = disk.begin(key("bob", 1), large.len() as u64).unwrap();
    for chunk in large.chunks(30_000) {
        strand.take(&Bytes::copy_from_slice(chunk));
        synced(&disk).await;
        assert!(room.octets() <= bound);
    }
    strand.complete(99);
    synced(&disk).await;
    assert!(room.octets() <= bound && disk.has(&key("bob", 1)) && disk.has(&key("ana", 30)));
    // What cannot fit pushes nothing out.
    let before = room.files().len();
    assert!(disk.begin(key("bob", 2), bound + 1).is_none());
    put(&disk, key("bob", 2), &body(bound, 2)).await;
    assert_eq!(room.files().len(), before);
    // A smaller bound, after a restart.
    disk.close().await;
    let again = room.start(SMALL, None);
    synced(&again).await;
    assert!(room.octets() <= SMALL && again.tier().octets == room.octets());
}

#[tokio::test]
async fn after_a_restart_the_times_of_the_files_tell_what_was_used_longest_ago() {
    let room = Room::new();
    let disk = room.start(BOUND, None);
    let now = std::time::SystemTime::now();
    for uid in 1..=3 {
        put(&disk, key("ana", uid), &body(1000, uid)).await;
        let path = disk.shared.place.complete(disk.name(&key("ana", uid)).unwrap(), false);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(now - Duration::from_secs(3600 * u64::from(uid))).unwrap();
    }
    assert_there(&disk, &key("ana", 3), &body(1000, 3)).await; // Which notes that, for it is long ago.
    let three = room.octets();
    disk.close().await;
    let again = room.start(three, None);
    synced(&again).await;
    put(&again, key("ana", 4), &body(1000, 4)).await;
    let there = (1..=4).filter(|uid| again.has(&key("ana", *uid))).collect::<Vec<_>>();
    assert_eq!(there, [1, 3, 4]);
}

#[tokio::test]
async fn a_file_that_is_read_is_not_pushed_out() {
    let room = Room::new();
    let disk = room.start(5 * SMALL, None);
    let large = body(2 * SMALL, 1);
    put(&disk, key("ana", 1), &large).await;
    let Some(Found::Stream(mut reading)) = disk.open(&key("ana", 1)).await else { panic!("it is large") };
    for uid in 2..=9 {
        put(&disk, key("ana", uid), &body(SMALL, uid)).await;
        assert!(room.octets() <= 5 * SMALL);
    }
    put(&disk, key("ana", 10), &body(4 * SMALL, 10)).await;
    assert!(disk.has(&key("ana", 1)) && !disk.has(&key("ana", 10)) && disk.has(&key("ana", 9)));
    let mut octets = Vec::new();
    while let Some(chunk) = reading.chunk().await.unwrap() {
        octets.extend_from_slice(&chunk);
    }
    assert!(octets == large);
    drop(reading);
    put(&disk, key("ana", 10), &body(4 * SMALL, 10)).await;
    assert!(!disk.has(&key("ana", 1)) && disk.has(&key("ana", 10)));
}

#[tokio::test]
async fn a_body_of_20_megabytes_is_read_with_half_a_megabyte_held() {
    let room = Room::new();
    let disk = room.start(BOUND, None);
    let (key, body) = (key("ana", 1), body(20_000_000, 1));
    put(&disk, key.clone(), &body).await;
    let Some(Found::Stream(mut reading)) = disk.open(&key).await else { panic!("it is large") };
    let mut had = 0;
    while let Some(chunk) = reading.chunk().await.unwrap() {
        assert!(chunk == body[had..had + chunk.len()] && chunk.len() <= CHUNK);
        had += chunk.len();
        // As many again are being read at most.
        assert!(reading.held() as u64 <= BATCH);
    }
    assert_eq!(had, body.len());
}

/// Two bodies written, both read, one pushed out: the calls of the system that this takes, each of which may fail.
async fn everything(disk: &Disk, bodies: &[Bytes; 3]) {
    for (uid, body) in (1..).zip(bodies) {
        put(disk, key("ana", uid), body).await;
    }
    for (uid, body) in (1..).zip(bodies) {
        let Some((octets, end)) = taken(disk, &key("ana", uid)).await else { continue };
        assert!(octets == body[..octets.len()], "never a wrong octet");
        assert_eq!(end.is_ok(), octets.len() == body.len());
    }
}

#[tokio::test]
async fn whichever_call_of_the_system_fails_no_octet_is_wrong_and_the_bound_holds() {
    let bodies = [body(300, 1), body(SMALL + 70_000, 2), body(SMALL, 3)];
    let bound = 2 * SMALL + 100_000;
    let mut n = 0;
    loop {
        n += 1;
        let mut reached = false;
        for all in [false, true] {
            let room = Room::new();
            let place = Place::new(room.folder());
            place.faults.plan(Some((n, all)));
            let disk = Disk::start_in(place, bound, Box::new(|| Ok(None)), Duration::ZERO).unwrap();
            everything(&disk, &bodies).await;
            reached |= disk.shared.place.faults.calls() >= n;
            assert!(room.octets() <= bound);
            // It is tried again, and works.
            disk.shared.place.faults.plan(None);
            for (uid, body) in (1..).zip(&bodies) {
                if !disk.has(&key("ana", uid)) {
                    put(&disk, key("ana", uid), body).await;
                }
                assert_there(&disk, &key("ana", uid), body).await;
            }
            assert!(!disk.shared.health().failing);
            // What could not even be removed goes at the next start.
            disk.close().await;
            let again = room.start(bound, None);
            synced(&again).await;
            assert!(room.files().iter().all(|(name, _)| name.ends_with(".plain")), "{:?}", room.files());
            assert!(room.octets() <= bound && room.octets() == again.tier().octets);
        }
        if !reached {
            break;
        }
    }
    assert!(n > 30, "{n} calls are not all of them");
}

#[tokio::test]
async fn a_disk_that_fails_is_left_alone_for_a_while_and_warned_of_once() {
    let room = Room::new();
    let place = Place::new(room.folder());
    let disk = Disk::start_in(place, BOUND, Box::new(|| Ok(None)), Duration::from_secs(3600)).unwrap();
    put(&disk, key("ana", 1), &body(300, 1)).await;
    disk.shared.place.faults.plan(Some((1, true)));
    put(&disk, key("ana", 2), &body(300, 2)).await;
    let warned = disk.shared.health().warned.expect("told");
    let calls = disk.shared.place.faults.calls();
    for uid in 3..20 {
        put(&disk, key("ana", uid), &body(300, uid)).await;
        assert!(disk.begin(key("ana", uid), 2 * SMALL).is_none());
    }
    assert_eq!(disk.shared.place.faults.calls(), calls, "not asked again so soon");
    assert_eq!(disk.shared.health().warned, Some(warned));
    disk.shared.place.faults.plan(None);
    assert_there(&disk, &key("ana", 1), &body(300, 1)).await; // Reading goes on.
}

#[tokio::test]
async fn a_disk_that_is_slower_than_the_mail_is_not_waited_for() {
    let room = Room::new();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let disk = room.start_with(
        BOUND,
        Box::new(move || {
            let _ = wait.lock().unwrap().recv();
            Ok(None)
        }),
    );
    let large = body(QUEUE + SMALL, 1);
    let mut strand = disk.begin(key("ana", 1), large.len() as u64).unwrap();
    strand.take(&large);
    strand.complete(99);
    let small = body(300, 2);
    disk.write(key("ana", 2), small.clone(), 99);
    for uid in 3..3 + JOBS as u32 {
        disk.write(key("ana", uid), small.clone(), 99);
    }
    assert!(disk.shared.queued.load(Ordering::Relaxed) <= QUEUE);
    drop(go);
    synced(&disk).await;
    assert!(!disk.has(&key("ana", 1)), "given up");
    assert!(room.files().iter().all(|(name, _)| name.ends_with(".plain")));
    put(&disk, key("ana", 2), &small).await;
    assert_there(&disk, &key("ana", 2), &small).await;
}

#[tokio::test]
async fn sealed_files_show_nothing_and_open_with_their_key_alone() {
    let room = Room::new();
    let disk = room.start(BOUND, Some(KEY));
    let mail = Bytes::from_static(b"Subject: CANARY\r\n\r\nof ana");
    put(&disk, key("ana", 1), &mail).await;
    let octets = fs::read(room.the_file()).unwrap();
    for shown in [&b"CANARY"[..], b"ana", b"INBOX"] {
        assert!(!octets.windows(shown.len()).any(|window| window == shown));
    }
    let name = room.files();
    disk.close().await;
    let other = room.start(BOUND, Some([8; 32]));
    synced(&other).await;
    assert!(!other.has(&key("ana", 1)) && taken(&other, &key("ana", 1)).await.is_none());
    // Not even under the name that it would have.
    let path = other.shared.place.complete(other.name(&key("ana", 1)).unwrap(), true);
    fs::copy(room.the_file(), &path).unwrap();
    other.shared.index().add(other.name(&key("ana", 1)).unwrap(), octets.len() as u64);
    assert_eq!(taken(&other, &key("ana", 1)).await, None);
    assert_eq!(room.files(), name);
    other.close().await;
    let again = room.start(BOUND, Some(KEY));
    assert_there(&again, &key("ana", 1), &mail).await;
}

#[tokio::test]
async fn where_sealing_begins_or_ends_what_is_of_the_other_form_goes() {
    let room = Room::new();
    for (sealing, ending) in [(None, ".plain"), (Some(KEY), ".sealed"), (None, ".plain")] {
        let disk = room.start(BOUND, sealing);
        synced(&disk).await;
        assert!(taken(&disk, &key("ana", 1)).await.is_none());
        put(&disk, key("ana", 1), &body(300, 1)).await;
        let files = room.files();
        assert!(files.len() == 1 && files[0].0.ends_with(ending), "{files:?}");
        disk.close().await;
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_had_keeps_everything_off_the_disk_until_it_can() {
    let room = Room::new();
    let there = Arc::new(AtomicBool::new(false));
    let key_is_there = there.clone();
    let disk = room.start_with(
        BOUND,
        Box::new(move || match key_is_there.load(Ordering::Relaxed) {
            true => Ok(Some(Zeroizing::new(KEY))),
            false => Err("the keychain is locked".to_owned()),
        }),
    );
    put(&disk, key("ana", 1), &body(300, 1)).await;
    put(&disk, key("ana", 2), &body(2 * SMALL, 1)).await;
    assert!(room.files().is_empty() && taken(&disk, &key("ana", 1)).await.is_none());
    there.store(true, Ordering::Relaxed);
    put(&disk, key("ana", 1), &body(300, 1)).await;
    assert_there(&disk, &key("ana", 1), &body(300, 1)).await;
    assert!(disk.tier().sealed);
}

#[tokio::test]
async fn clearing_removes_every_body_and_leaves_what_is_not_ours_or_not_complete() {
    let room = Room::new();
    let disk = room.start(BOUND, None);
    let bodies = Bodies::new(1 << 22).with_disk(disk.clone());
    for uid in 1..=3 {
        bodies.insert(key("ana", uid), body(300, uid), 99).await;
    }
    put(&disk, key("ana", 4), &body(2 * SMALL, 4)).await;
    fs::write(room.folder().join("README"), "not ours").unwrap();
    let mut strand = disk.begin(key("ana", 5), 2 * SMALL).unwrap();
    strand.take(&body(2 * SMALL, 5));
    synced(&disk).await;
    let before = bodies.stats().await;
    assert_eq!((before.memory.bodies, before.disk.unwrap().bodies), (3, 4));
    let cleared = bodies.clear().await.unwrap();
    assert_eq!((cleared.memory.bodies, cleared.memory.octets), (3, before.memory.octets));
    assert_eq!((cleared.disk.bodies, cleared.disk.octets), (4, before.disk.unwrap().octets));
    let after = bodies.stats().await;
    assert_eq!((after.memory.bodies, after.disk.unwrap().bodies, after.disk.unwrap().octets), (0, 0, 0));
    assert!(bodies.open(&key("ana", 1)).await.is_none());
    strand.complete(99);
    synced(&disk).await;
    assert_there(&disk, &key("ana", 5), &body(2 * SMALL, 5)).await;
    disk.close().await;
    assert_eq!(clear(&room.folder()).unwrap().bodies, 1);
    assert_eq!(room.files(), [("README".to_owned(), 8)]);
    assert_eq!(clear(&room.0.path().join("nowhere")).unwrap(), Removed::default());
}

#[tokio::test]
async fn small_bodies_are_in_both_tiers_and_large_ones_on_the_disk() {
    let room = Room::new();
    let disk = room.start(BOUND, None);
    let bodies = Bodies::new(1 << 22).with_disk(disk.clone());
    for (uid, octets) in [(1, 300), (2, SMALL + 1)] {
        let body = body(octets, uid);
        let mut keeper = bodies.keeping(key("ana", uid), octets).unwrap();
        for chunk in body.chunks(40_000) {
            keeper.take(&Bytes::copy_from_slice(chunk));
            synced(&disk).await;
        }
        keeper.complete(99).await;
        synced(&disk).await;
        assert!(bodies.has(&key("ana", uid)) && disk.has(&key("ana", uid)));
    }
    let stats = bodies.stats().await;
    assert_eq!((stats.memory.bodies, stats.disk.unwrap().bodies), (1, 2));
    // After a restart a small one comes from the disk once, and from memory from then on.
    let again = Bodies::new(1 << 22).with_disk(disk);
    for uid in [1, 1, 2, 2, 3] {
        let Some(mut kept) = again.open(&key("ana", uid)).await else { continue };
        let mut octets = Vec::new();
        while let Some(chunk) = kept.chunk().await.unwrap() {
            octets.extend_from_slice(&chunk);
        }
        assert!(octets == body(kept.octets(), uid) && kept.pop3_octets() == 99);
    }
    let stats = again.stats().await;
    assert_eq!((stats.from_memory, stats.from_disk, stats.missed), (1, 3, 1));
}
