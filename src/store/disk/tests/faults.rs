//! Calls of the system that fail, and a disk that is slow.

use super::*;

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
