//! How much there may be, and what goes.

use super::*;

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
