//! What is yet to be written, and what cannot be.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

use super::super::book::{AGAIN, LEARNT};
use super::*;

/// Else an app that looks twice in a row has its mailbox listed anew.
#[tokio::test]
async fn what_is_being_written_is_read_before_it_is_and_after() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let (first, second) = (told(7, &[(1, 10), (2, 20)]), told(7, &[(1, 10), (3, 30)]));
    let held_up = ledger.hold_up().await;
    for (listed, known) in [(&first, [(1, said(1)), (2, said(2))]), (&second, [(1, said(9)), (3, said(3))])] {
        page(&ledger, 1).write(listed.clone(), news(listed, &known).identities);
        assert_eq!(read(&ledger, 1).await.as_ref(), Some(listed));
        assert_eq!(identities(&ledger).await, known);
    }
    assert_eq!(read(&ledger, 2).await, None, "another mailbox");
    let book = ledger.0.as_ref().unwrap();
    let on_the_disk = || book.with(|database| file::read(database, 1)).unwrap();
    assert_eq!(on_the_disk(), None);
    drop(held_up);
    ledger.written().await;
    assert_eq!(on_the_disk().as_ref(), Some(&second));
    assert_eq!(read(&ledger, 1).await, Some(second));
    assert_eq!(identities(&ledger).await, [(1, said(9)), (3, said(3))]);
    assert!(book.waiting.about(1).is_empty());
}

/// A file on a disk that may be full.
#[derive(Debug)]
struct OnDisk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl OnDisk {
    fn room(&self) -> io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for OnDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room().and_then(|()| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room().and_then(|()| self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_full_disk_did_not_take_is_read_no_more() {
    let (_outer, path) = place();
    let (first, second) = (told(7, &[(1, 10)]), told(7, &[(1, 10), (2, 20)]));
    let ledger = Ledger::in_folder(&path);
    write(&ledger, 1, &first).await;
    ledger.close().await;
    let ledger = Ledger::in_folder(&path);
    let full = Arc::new(AtomicBool::new(false));
    let file = FileBackend::new(Folder::open(&path).unwrap().open_file(FILE).unwrap()).unwrap();
    let database = redb::Builder::new().create_with_backend(OnDisk { file, full: full.clone() }).unwrap();
    ledger.0.as_ref().unwrap().door().state = State::Open(Arc::new(database));
    let held_up = ledger.hold_up().await;
    page(&ledger, 1).write(second.clone(), news(&second, &[(2, said(2))]).identities);
    assert_eq!(read(&ledger, 1).await, Some(second));
    full.store(true, Ordering::SeqCst);
    drop(held_up);
    ledger.written().await;
    assert_eq!(read(&ledger, 1).await, None, "the file is let be for a while");
    full.store(false, Ordering::SeqCst);
    tokio::time::advance(AGAIN).await;
    assert_eq!(read(&ledger, 1).await, Some(first));
    assert!(identities(&ledger).await.is_empty());
}

/// A disk that hangs must not fill the memory either.
#[tokio::test]
async fn what_waits_to_be_written_has_a_bound() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let _held_up = ledger.hold_up().await;
    for number in 1..100 {
        page(&ledger, 1).write(told(7, &[(number, 10)]), Vec::new());
    }
    assert_eq!(ledger.0.as_ref().unwrap().waiting.about(1).len(), WRITERS);
}

/// A disk that takes nothing must not fill the memory.
#[test]
fn what_is_not_written_has_a_bound() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let session = page(&ledger, 1);
    for number in 1..200_000 {
        session.learn(validity(7), uid(number), MessageSize::exact(1, ToldSize::UNKNOWN));
    }
    assert!(ledger.0.as_ref().unwrap().learnt()[&1].octets.len() <= LEARNT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is in the file, and whatever is to come: a reader need not know which of it is written.
    #[test]
    fn what_is_to_be_written_is_read_as_when_it_is(
        steps in prop::collection::vec(
            (
                1u32..3,
                prop::collection::btree_map(1u32..1500, (0u64..3, any::<bool>()), 0..40),
                prop::collection::btree_map(1u32..1500, 0u64..100, 0..20),
            ),
            1..WRITERS,
        ),
        written in 0..WRITERS,
    ) {
        let steps: Vec<_> = steps.into_iter().map(|(uid_validity, sizes, told_now)| {
            let sizes = sizes.into_iter().map(|(number, (octets, exact))| (number, match exact {
                true => MessageSize::exact(octets + 9, ToldSize::of(octets)),
                false => MessageSize::told(octets),
            }));
            let told_now: Vec<_> = told_now.into_iter().map(|(at, number)| (at, said(number))).collect();
            news(&listed(uid_validity, sizes), &told_now)
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_outer, path) = place();
            let ledger = Ledger::in_folder(&path);
            let mut held_up = None;
            for (at, News { listed, identities }) in steps.into_iter().enumerate() {
                if at == written {
                    ledger.written().await;
                    held_up = ledger.hold_up().await;
                }
                page(&ledger, 1).write(listed, identities);
            }
            let waiting = (read(&ledger, 1).await, identities(&ledger).await);
            drop(held_up);
            ledger.written().await;
            prop_assert_eq!(waiting, (read(&ledger, 1).await, identities(&ledger).await));
            Ok(())
        })?;
    }
}
