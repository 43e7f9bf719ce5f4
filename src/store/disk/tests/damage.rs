//! What was changed, cut, swapped or taken away is not there.

use super::*;

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
