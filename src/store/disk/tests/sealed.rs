//! Files that only their key opens.

use super::*;

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
