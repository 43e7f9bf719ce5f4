//! A file that is not what was written, or of another format.

use std::io::{Read, Seek, SeekFrom, Write};

use super::super::book::DAMAGED;
use super::*;

/// Damage anywhere: what is read then is a mailbox as it once was, or nothing, and the ledger goes on.
async fn survives(path: &Path, octets: &[u8], states: &[Listed], what: &str) {
    fs::write(path.join(FILE), octets).unwrap();
    let ledger = Ledger::in_folder(path);
    let found = read(&ledger, 1).await;
    assert!(found.as_ref().is_none_or(|found| states.contains(found)), "{what}: {found:?}");
    let again = told(9, &[(1, 1)]);
    write(&ledger, 1, &again).await;
    let found = read(&ledger, 1).await;
    // What the change makes a newer format of is left alone.
    let left_alone = fs::read(path.join(FILE)).unwrap() == octets;
    assert!(found.as_ref() == Some(&again) || left_alone, "{what}: {found:?}");
    ledger.close().await;
}

#[tokio::test]
async fn a_file_with_any_octet_changed_gives_what_once_was_or_nothing() {
    let (_outer, path) = place();
    let (octets, states) = written(&path);
    let mut random = proptest::test_runner::TestRng::deterministic_rng(Default::default());
    // The first page says where everything is; the rest is spread over.
    let anywhere = (0..30).map(|_| random.next_u32() as usize % octets.len()).collect::<Vec<_>>();
    let header = (0..30).map(|_| random.next_u32() as usize % 4096.min(octets.len())).collect::<Vec<_>>();
    for at in anywhere.into_iter().chain(header) {
        let mut damaged = octets.clone();
        damaged[at] ^= 1 << (random.next_u32() % 8);
        survives(&path, &damaged, &states, &format!("octet {at}")).await;
    }
}

#[tokio::test]
async fn a_file_that_was_cut_or_filled_with_something_else_gives_what_once_was_or_nothing() {
    let (_outer, path) = place();
    let (octets, states) = written(&path);
    for length in [0, 1, 8, 100, 4095, 4096, 8192, octets.len() / 2, octets.len() - 4096, octets.len() - 1] {
        survives(&path, &octets[..length], &states, &format!("cut at {length}")).await;
    }
    for from in [0, 64, 4096, octets.len() / 2] {
        for filling in [0, 0xff] {
            let mut filled = octets.clone();
            filled[from..].fill(filling);
            survives(&path, &filled, &states, &format!("{filling} from {from}")).await;
        }
    }
    survives(&path, &b"not at all what we wrote\n".repeat(1000), &states, "text").await;
}

/// A file that is changed while it is open is believed no more than one that was found so.
#[tokio::test]
async fn a_file_that_is_changed_under_us_gives_what_once_was_or_nothing() {
    let (_outer, path) = place();
    let (octets, states) = written(&path);
    for step in [1, 3, 7] {
        fs::write(path.join(FILE), &octets).unwrap();
        let ledger = Ledger::in_folder(&path);
        assert_eq!(read(&ledger, 2).await, None, "it is open now");
        let mut file = fs::OpenOptions::new().read(true).write(true).open(path.join(FILE)).unwrap();
        for at in (4096..octets.len() as u64).step_by(64 * step) {
            let mut octet = [0];
            file.seek(SeekFrom::Start(at)).unwrap();
            file.read_exact(&mut octet).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[octet[0] ^ 0x55]).unwrap();
        }
        let found = read(&ledger, 1).await;
        assert!(found.as_ref().is_none_or(|found| states.contains(found)), "{found:?}");
        write(&ledger, 1, &told(9, &[(1, 1)])).await;
        let found = read(&ledger, 1).await;
        assert!(found.is_none() || found == Some(told(9, &[(1, 1)])), "{found:?}");
        ledger.close().await;
    }
}

#[tokio::test]
async fn a_panic_is_damage_and_costs_the_file_alone() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    write(&ledger, 1, &told(7, &[(1, 10)])).await;
    let book = ledger.0.clone().unwrap();
    assert!(book.with(|_| -> Result<(), Fault> { panic!("over a page") }).is_none());
    assert_eq!(read(&ledger, 1).await, None);
    write(&ledger, 1, &told(7, &[(1, 10)])).await;
    assert!(read(&ledger, 1).await.is_some());
    // On a disk that keeps nothing this comes to an end.
    for _ in 0..DAMAGED {
        book.with(|_| -> Result<(), Fault> { panic!("over a page") });
    }
    write(&ledger, 1, &told(7, &[(1, 10)])).await;
    assert_eq!(read(&ledger, 1).await, None);
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let (_outer, path) = place();
    written(&path);
    let newer: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("about");
    let database = Database::open(path.join(FILE)).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(newer).unwrap().insert("format", file::FORMAT + 1).unwrap();
    writing.commit().unwrap();
    drop(database);
    let before = fs::read(path.join(FILE)).unwrap();
    let ledger = Ledger::in_folder(&path);
    write(&ledger, 1, &told(9, &[(1, 1)])).await;
    assert_eq!(read(&ledger, 1).await, None);
    ledger.close().await;
    assert!(fs::read(path.join(FILE)).unwrap() == before);
}

/// It had no identities: all of them come with the next listing.
#[tokio::test]
async fn an_older_format_is_begun_anew_in_silence() {
    let (_outer, path) = place();
    let about: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("about");
    let heads: redb::TableDefinition<'_, Key, &[u8]> = redb::TableDefinition::new("mailboxes");
    let database = redb::Builder::new()
        .create_with_backend(
            redb::backends::FileBackend::new(Folder::open(&path).unwrap().open_file(FILE).unwrap()).unwrap(),
        )
        .unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(about).unwrap().insert("format", 1).unwrap();
    writing.open_table(heads).unwrap().insert(1, b"whatever it had".as_slice()).unwrap();
    writing.commit().unwrap();
    drop(database);
    let ledger = Ledger::in_folder(&path);
    assert_eq!(read(&ledger, 1).await, None);
    assert_eq!(ledger.0.as_ref().unwrap().door().damaged, 0);
    write(&ledger, 1, &told(7, &[(1, 10)])).await;
    assert_eq!(read(&ledger, 1).await, Some(told(7, &[(1, 10)])));
}
