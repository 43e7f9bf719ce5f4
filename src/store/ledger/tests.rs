use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{collections::BTreeMap, fs, path::PathBuf};

use proptest::prelude::*;
use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::book::{AGAIN, DAMAGED, FILE, LEARNT};
use super::fault::Fault;
use super::file::{Learnt, News};
use super::*;
use crate::mail::{HeaderIdentity, Identity, Listed, MessageSize, ObjectId, ToldSize, Uid, UidValidity};
use crate::store::Folder;

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn validity(number: u32) -> UidValidity {
    UidValidity::new(number).unwrap()
}

fn listed(uid_validity: u32, sizes: impl IntoIterator<Item = (u32, MessageSize)>) -> Listed {
    let messages: Vec<_> = sizes.into_iter().map(|(number, size)| (uid(number), size)).collect();
    let uid_next = Uid::new(messages.last().map_or(1, |(uid, _)| uid.get() + 1));
    Listed { uid_validity: validity(uid_validity), uid_next, messages }
}

fn told(uid_validity: u32, sizes: &[(u32, u64)]) -> Listed {
    listed(uid_validity, sizes.iter().map(|(number, octets)| (*number, MessageSize::told(*octets))))
}

fn news(listed: &Listed, identities: &[(u32, Identity)]) -> News {
    let identities = identities.iter().map(|(number, identity)| (uid(*number), *identity)).collect();
    News { listed: listed.clone(), identities }
}

/// By the server's word.
fn said(number: u64) -> Identity {
    Identity::told(ObjectId::Gmail(number))
}

/// Made of a header.
fn seen(number: u64) -> Identity {
    let mut header = HeaderIdentity::default();
    header.take(format!("Message-ID: <{number}>\r\n\r\n").as_bytes());
    header.finish(number).unwrap()
}

/// A place for a state folder, and what keeps it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("state");
    (outer, path)
}

/// One mailbox, whatever its name is.
fn page(ledger: &Ledger, key: Key) -> Page {
    Page::about(ledger.0.clone(), key)
}

async fn write(ledger: &Ledger, key: Key, listed: &Listed) {
    page(ledger, key).write(listed.clone(), Vec::new());
    ledger.written().await;
}

async fn read(ledger: &Ledger, key: Key) -> Option<Listed> {
    page(ledger, key).read().await
}

/// Whether there is nothing to be read, by whoever opens the folder.
async fn nothing_in(path: &Path) -> bool {
    read(&Ledger::in_folder(path), 1).await.is_none()
}

#[tokio::test]
async fn a_mailbox_is_read_as_it_was_written_in_this_run_and_in_later_ones() {
    let (_outer, path) = place();
    let (first, second) = (told(7, &[(1, 10), (480, 20), (u32::MAX - 1, 30)]), told(8, &[]));
    for _ in 0..2 {
        let ledger = Ledger::in_folder(&path);
        write(&ledger, 1, &first).await;
        write(&ledger, 2, &second).await;
        assert_eq!(read(&ledger, 1).await.as_ref(), Some(&first));
        ledger.close().await;
        assert_eq!(read(&ledger, 1).await, None, "closed");
        let ledger = Ledger::in_folder(&path);
        assert_eq!(read(&ledger, 1).await.as_ref(), Some(&first));
        assert_eq!(read(&ledger, 2).await.as_ref(), Some(&second));
        assert_eq!(read(&ledger, 3).await, None);
        ledger.close().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_users_alone_and_names_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let account = account("canary@example.org", "imap.example.org");
    ledger.page(&account, "Canaries").write(told(7, &[(1, 10)]), Vec::new());
    ledger.written().await;
    ledger.close().await;
    let file = path.join(FILE);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let octets = String::from_utf8_lossy(&fs::read(&file).unwrap()).to_lowercase();
    assert!(!octets.contains("canar") && !octets.contains("example"));
}

fn account(address: &str, host: &str) -> Account {
    let text = format!(
        "[[account]]\naddress = \"{address}\"\nimap = {{ host = \"{host}\", port = 993, security = \"tls\" }}\n"
    );
    let settings = crate::config::parse(&text, Path::new("test.toml")).unwrap();
    Account::clone(&settings.accounts[0])
}

/// The same UIDVALIDITY means nothing on another server (RFC 3501 §2.3.1.1): an account that moved is another one.
#[test]
fn address_server_user_and_folder_name_a_mailbox() {
    let ana = account("ana@example.org", "imap.example.org");
    let mut ann = ana.clone();
    ann.imap.usernames = vec!["ann".to_owned()];
    let names = [
        key(&ana, "INBOX"),
        key(&ana, "Archive"),
        key(&account("bob@example.org", "imap.example.org"), "INBOX"),
        key(&account("ana@example.org", "imap.example.net"), "INBOX"),
        key(&ann, "INBOX"),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{at}");
    }
    assert_eq!(key(&account("ana@example.org", "IMAP.example.org"), "INBOX"), key(&ana, "INBOX"));
}

/// Also where the configuration has another server, or another folder, or no such account any more.
#[tokio::test]
async fn an_account_is_forgotten_by_its_address_alone_with_what_is_not_written_yet() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let (ana, bob) =
        (account("ana@example.org", "imap.example.org"), account("bob@example.org", "imap.example.org"));
    let moved = account("Ana@example.org", "imap.example.net");
    let all = [(&ana, "INBOX"), (&ana, "Archive"), (&moved, "INBOX"), (&bob, "INBOX")];
    let listed = told(7, &[(1, 10), (500, 20)]);
    let known = async || {
        let mut known = Vec::new();
        for (account, folder) in all {
            let before = ledger.page(account, folder).before().await;
            known.push(before.map_or(0, |before| before.identities.len()));
        }
        known
    };
    for (account, folder) in all {
        ledger.page(account, folder).write(listed.clone(), news(&listed, &[(500, said(1))]).identities);
        let page = ledger.page(account, folder);
        page.learner(validity(7), uid(1)).unwrap().learn(seen(1));
    }
    ledger.written().await;
    assert_eq!(known().await, [2, 2, 2, 2]);
    // What waits is not written afterwards, nor kept in memory: of another account it is.
    let held_up = ledger.hold_up().await;
    for (account, folder) in all {
        let page = ledger.page(account, folder);
        page.write(told(8, &[(1, 10)]), vec![(uid(1), said(1))]);
        page.learn(validity(8), uid(1), MessageSize::exact(11, ToldSize::of(10)));
    }
    let forgetting = ledger.forget("ANA@example.org");
    drop(held_up);
    let forgotten = forgetting.await;
    ledger.written().await;
    assert_eq!(forgotten, Ok(Forgotten { mailboxes: 3, begun_anew: false }));
    assert_eq!(known().await, [0, 0, 0, 1]);
    assert!(ledger.0.as_ref().unwrap().learnt().is_empty());
    assert_eq!(ledger.forget("ana@example.org").await, Ok(Forgotten::default()));
    ledger.close().await;
    // Nothing is made in order to forget.
    let elsewhere = path.join("elsewhere");
    let nothing = Ledger::in_folder(&elsewhere).forget("ana@example.org").await;
    assert_eq!((nothing, elsewhere.exists()), (Ok(Forgotten::default()), false));
}

#[tokio::test]
async fn what_was_learnt_is_told_at_once_and_kept() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    write(&ledger, 1, &told(7, &[(1, 10), (2, 20), (3, 30)])).await;
    let session = page(&ledger, 1);
    session.learn(validity(7), uid(2), MessageSize::exact(22, ToldSize::of(20)));
    session.learn(validity(7), uid(9), MessageSize::exact(99, ToldSize::of(90)));
    let expected = listed(
        7,
        [
            (1, MessageSize::told(10)),
            (2, MessageSize::exact(22, ToldSize::of(20))),
            (3, MessageSize::told(30)),
        ],
    );
    let mut next = page(&ledger, 1);
    let known = next.read().await;
    let corrected = |mut listed: Listed| {
        session.correct(&mut listed);
        listed
    };
    assert_eq!(corrected(told(7, &[(1, 10), (2, 20), (3, 30)])), expected);
    assert_eq!(corrected(told(8, &[(2, 20)])), told(8, &[(2, 20)]), "another numbering");
    assert_eq!(corrected(told(7, &[(2, 21)])), told(7, &[(2, 21)]), "a UID handed out again");
    drop(session);
    ledger.written().await;
    assert!(ledger.0.as_ref().unwrap().learnt().is_empty());
    // Read before it was written, shown after.
    let mut known = known.unwrap();
    next.correct(&mut known);
    assert_eq!(known, expected);
    // RFC822.SIZE said again does not undo it.
    write(&ledger, 1, &told(7, &[(1, 11), (2, 20), (4, 40)])).await;
    let expected = listed(
        7,
        [
            (1, MessageSize::told(11)),
            (2, MessageSize::exact(22, ToldSize::of(20))),
            (4, MessageSize::told(40)),
        ],
    );
    assert_eq!(read(&ledger, 1).await, Some(expected));
    // Another RFC822.SIZE is another message's.
    write(&ledger, 1, &told(7, &[(1, 11), (2, 21)])).await;
    assert_eq!(read(&ledger, 1).await, Some(told(7, &[(1, 11), (2, 21)])));
    write(&ledger, 1, &told(8, &[(2, 20)])).await;
    assert_eq!(read(&ledger, 1).await, Some(told(8, &[(2, 20)])), "another numbering, another message");
}

/// What is known of identities, as a login that finds the mailbox renumbered is told.
async fn identities(ledger: &Ledger) -> Vec<(u32, Identity)> {
    let before = page(ledger, 1).before().await.unwrap();
    before.identities.into_iter().map(|(uid, identity)| (uid.get(), identity)).collect()
}

#[tokio::test]
async fn identities_stay_with_their_messages_and_upstreams_word_before_what_was_seen() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let first = told(7, &[(1, 10), (2, 20), (161, 30), (u32::MAX - 1, 40)]);
    let all = [(1, said(1)), (161, said(161)), (u32::MAX - 1, said(9))];
    page(&ledger, 1).write(first.clone(), news(&first, &all).identities);
    ledger.written().await;
    let session = page(&ledger, 1);
    let learn = |number, identity| session.learner(validity(7), uid(number)).unwrap().learn(identity);
    learn(1, seen(1));
    learn(2, seen(2));
    learn(3, seen(3));
    let expected = vec![(1, said(1)), (2, seen(2)), (161, said(161)), (u32::MAX - 1, said(9))];
    // Not written yet; of a message that is not there nobody will ask.
    assert_eq!(
        identities(&ledger).await.iter().filter(|(at, _)| *at != 3).copied().collect::<Vec<_>>(),
        expected
    );
    drop(session);
    ledger.written().await;
    assert!(ledger.0.as_ref().unwrap().learnt().is_empty());
    ledger.close().await;
    let ledger = Ledger::in_folder(&path);
    assert_eq!(identities(&ledger).await, expected);
    // A listing that tells none takes none away but of what went.
    write(&ledger, 1, &told(7, &[(2, 20), (161, 30), (500, 50)])).await;
    assert_eq!(identities(&ledger).await, [(2, seen(2)), (161, said(161))]);
    // What is told later is believed more than a header.
    page(&ledger, 1).write(told(7, &[(2, 20), (161, 30)]), vec![(uid(2), said(2))]);
    ledger.written().await;
    assert_eq!(identities(&ledger).await, [(2, said(2)), (161, said(161))]);
    let renumbered = told(8, &[(2, 20)]);
    page(&ledger, 1).write(renumbered.clone(), vec![(uid(2), said(9))]);
    ledger.written().await;
    assert_eq!(identities(&ledger).await, [(2, said(9))]);
    // Nor does a session that was under way disturb.
    let late = page(&ledger, 1);
    late.learner(validity(7), uid(2)).unwrap().learn(seen(2));
    assert_eq!(identities(&ledger).await, [(2, said(9))]);
    drop(late);
    ledger.written().await;
    assert_eq!(identities(&ledger).await, [(2, said(9))]);
}

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

/// Some two hundred values for a hundred thousand messages, two more when two are new.
#[tokio::test]
async fn a_large_mailbox_is_few_values() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let mut large = told(7, &(1..=100_000).map(|number| (number, u64::from(number))).collect::<Vec<_>>());
    write(&ledger, 1, &large).await;
    let octets = || fs::metadata(path.join(FILE)).unwrap().len();
    let first = octets();
    assert!(first < 4 << 20, "{first}");
    for number in [100_001, 100_002] {
        large.messages.push((uid(number), MessageSize::told(1)));
        large.messages.remove(0);
        large.uid_next = Uid::new(number + 1);
        write(&ledger, 1, &large).await;
    }
    assert!(octets() < first * 2, "{} after {first}", octets());
    assert_eq!(read(&ledger, 1).await, Some(large));
}

/// The file's octets after some writing, and every state that was ever whole.
fn written(path: &Path) -> (Vec<u8>, Vec<Listed>) {
    let states: Vec<Listed> = (1..4)
        .map(|state| {
            let sizes = (1..2000).filter(|number| number % state == 0);
            told(state, &sizes.map(|number| (number * 3, u64::from(number))).collect::<Vec<_>>())
        })
        .collect();
    let file = Folder::open(path).unwrap().open_file(FILE).unwrap();
    let database = file::open(file).unwrap();
    for state in &states {
        file::write(&database, 1, Some(&news(state, &[])), None).unwrap();
    }
    drop(database);
    (fs::read(path.join(FILE)).unwrap(), states)
}

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

#[tokio::test]
async fn two_bridges_do_not_share_it() {
    let (_outer, path) = place();
    let first = Ledger::in_folder(&path);
    write(&first, 1, &told(7, &[(1, 10)])).await;
    let second = Ledger::in_folder(&path);
    write(&second, 1, &told(7, &[(1, 20)])).await;
    assert_eq!(read(&second, 1).await, None);
    assert_eq!(read(&first, 1).await, Some(told(7, &[(1, 10)])));
}

#[tokio::test]
async fn where_there_is_no_place_nothing_is_kept() {
    let (outer, path) = place();
    let ledger = Ledger::none();
    write(&ledger, 1, &told(7, &[(1, 10)])).await;
    assert_eq!(read(&ledger, 1).await, None);
    ledger.close().await;
    fs::write(&path, "a file").unwrap();
    assert!(nothing_in(&path).await && nothing_in(&path.join("below")).await);
    assert_eq!(fs::read(&path).unwrap(), b"a file");
    let folder = outer.path().join("folder");
    fs::create_dir_all(folder.join(FILE)).unwrap();
    assert!(nothing_in(&folder).await);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_or_folder_that_others_may_use_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (outer, path) = place();
    written(&path);
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chmod(&path.join(FILE), 0o640);
    assert!(nothing_in(&path).await);
    chmod(&path.join(FILE), 0o600);
    chmod(&path, 0o500);
    assert!(nothing_in(&path).await, "read-only");
    chmod(&path, 0o750);
    assert!(nothing_in(&path).await);
    chmod(&path, 0o700);
    assert!(!nothing_in(&path).await);
    fs::rename(path.join(FILE), outer.path().join("elsewhere")).unwrap();
    symlink(outer.path().join("elsewhere"), path.join(FILE)).unwrap();
    assert!(nothing_in(&path).await, "a link");
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

    /// Whatever was there before: of each message that is there the last identity told, else the last one seen.
    #[test]
    fn each_message_has_its_own_identity(
        steps in prop::collection::vec(
            (
                1u32..3,
                prop::collection::btree_set(1u32..1500, 0..40),
                prop::collection::btree_map(1u32..1500, 0u64..100, 0..20),
                prop::collection::btree_map(1u32..1500, 0u64..100, 0..20),
            ),
            1..8,
        ),
    ) {
        let (_outer, path) = place();
        let database = file::open(Folder::open(&path).unwrap().open_file(FILE).unwrap()).unwrap();
        let mut expected: (u32, BTreeMap<u32, Identity>) = (0, BTreeMap::new());
        for (uid_validity, there, told_now, seen_now) in steps {
            let listed = listed(uid_validity, there.iter().map(|number| (*number, MessageSize::told(1))));
            let told_now: Vec<_> = told_now.into_iter().map(|(at, number)| (at, said(number))).collect();
            file::write(&database, 1, Some(&news(&listed, &told_now)), None).unwrap();
            let seen_now: Vec<_> = seen_now.into_iter().map(|(at, number)| (at, seen(number))).collect();
            let identities = news(&listed, &seen_now).identities;
            let learnt = Learnt { uid_validity: validity(uid_validity), sizes: Vec::new(), identities };
            file::write(&database, 1, None, Some(&learnt)).unwrap();
            if expected.0 != uid_validity {
                expected = (uid_validity, BTreeMap::new());
            }
            expected.1.extend(told_now);
            for (at, identity) in seen_now {
                let known = expected.1.entry(at).or_insert(identity);
                if known.octets().is_some() {
                    *known = identity;
                }
            }
            expected.1.retain(|number, _| there.contains(number));
            let read = file::read_all(&database, 1).unwrap().unwrap().identities;
            let read: BTreeMap<u32, Identity> = read.into_iter().map(|(uid, it)| (uid.get(), it)).collect();
            prop_assert_eq!(&read, &expected.1);
        }
    }

    /// Whatever was there before: the listing written last, with every exact size that was known of its messages, told the same.
    #[test]
    fn the_last_listing_is_read_with_all_exact_sizes_of_the_same_messages(
        steps in prop::collection::vec(
            (1u32..3, prop::collection::btree_map(1u32..3000, 0u64..2, 0..40), prop::collection::btree_map(1u32..3000, 0u64..100, 0..6)),
            1..8,
        ),
    ) {
        let (_outer, path) = place();
        let database = file::open(Folder::open(&path).unwrap().open_file(FILE).unwrap()).unwrap();
        let mut expected = listed(1, []);
        for (uid_validity, sizes, learnt) in steps {
            let before = std::mem::replace(
                &mut expected,
                listed(uid_validity, sizes.iter().map(|(uid, octets)| (*uid, MessageSize::told(*octets)))),
            );
            file::write(&database, 1, Some(&news(&expected, &[])), None).unwrap();
            let learnt: Vec<_> = learnt.into_iter().map(|(number, octets)| (uid(number), MessageSize::exact(octets, ToldSize::of(1)))).collect();
            let known = Learnt { uid_validity: validity(uid_validity), sizes: learnt.clone(), identities: Vec::new() };
            file::write(&database, 1, None, Some(&known)).unwrap();
            if before.uid_validity == expected.uid_validity {
                MessageSize::keep_exact(&mut expected.messages, &before.messages);
            }
            for (known, size) in &mut expected.messages {
                if let Some((_, exact)) = learnt.iter().find(|(uid, _)| uid == known)
                    && size.as_told() == ToldSize::of(1)
                {
                    *size = *exact;
                }
            }
            prop_assert_eq!(file::read(&database, 1).unwrap(), Some(expected.clone()));
            prop_assert_eq!(file::read(&database, 2).unwrap(), None);
        }
    }
}
