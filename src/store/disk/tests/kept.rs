//! What was put in is had again.

use super::*;

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

/// A mailbox that hands out its UIDs again has other messages under them.
#[tokio::test]
async fn a_body_is_not_there_where_another_size_is_told_of_the_message() {
    for seal in [None, Some([7; 32])] {
        let room = Room::new();
        let disk = room.start(1 << 20, seal);
        let kept = BodyKey { told: ToldSize::of(100), ..key("ana", 1) };
        put(&disk, kept.clone(), &body(100, 1)).await;
        assert_there(&disk, &kept, &body(100, 1)).await;
        for told in [ToldSize::of(101), ToldSize::UNKNOWN] {
            assert!(taken(&disk, &BodyKey { told, ..kept.clone() }).await.is_none());
        }
    }
}
