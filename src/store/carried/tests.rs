use std::fs;

use super::*;

fn account() -> Account {
    account_of("ana@example.org")
}

fn account_of(address: &str) -> Account {
    let text = format!(
        "[[account]]\naddress = \"{address}\"\nimap = {{ host = \"imap.example.org\", port = 993 }}\n"
    );
    let settings = crate::config::parse(&text, Path::new("test.toml")).unwrap();
    Account::clone(&settings.accounts[0])
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn validity(number: u32) -> UidValidity {
    UidValidity::new(number).unwrap()
}

/// A place for a state folder, and what keeps it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("state");
    (outer, path)
}

fn inbox(carried: &Carried) -> Renamed {
    carried.mailbox(&account(), "INBOX")
}

fn renumbered(was: u32, now: u32, same: &[(u32, u32)]) -> Renumbered {
    let same = same.iter().map(|(now, was)| (uid(*now), uid(*was))).collect();
    Renumbered { was: validity(was), now: validity(now), same }
}

/// As a login does it; the names then.
async fn renumber(renamed: &Renamed, change: Renumbered) -> Names {
    let kept = renamed.read().await;
    renamed.renumbered(&kept, change).await
}

/// UIDVALIDITY, how often it came back, and UID.
fn shown(names: &Names, number: u32) -> (u32, u32, u32) {
    let name = names.of(uid(number));
    (name.numbering.uid_validity.get(), name.numbering.returned, name.uid.get())
}

fn files(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).map(|entries| {
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    });
    names.unwrap_or_default().into_iter().filter(|name| name.contains("unique-ids")).collect()
}

#[tokio::test]
async fn names_are_kept_from_one_run_to_the_next_each_mailbox_its_own() {
    let (_outer, path) = place();
    let carried = Carried::in_folder(&path);
    let names = renumber(&inbox(&carried), renumbered(7, 8, &[(1, 10), (2, 20)])).await;
    assert_eq!([1, 2, 3].map(|number| shown(&names, number)), [(7, 0, 10), (7, 0, 20), (8, 0, 3)]);
    let later = Carried::in_folder(&path);
    let kept = later.mailbox(&account(), "Inbox").read().await;
    assert_eq!(kept.names(validity(8)), Some(names));
    assert_eq!(kept.names(validity(7)), None);
    assert!(kept.is_there());
    assert!(!later.mailbox(&account(), "Archive").read().await.is_there());
    assert_eq!(files(&path).len(), 1);
}

/// Which login is first makes no difference; the second one, who may have found out less, is told what was decided.
#[tokio::test]
async fn the_first_of_two_logins_decides() {
    let (_outer, path) = place();
    let carried = Carried::in_folder(&path);
    let (one, two) = (inbox(&carried), inbox(&carried));
    let (kept_one, kept_two) = (one.read().await, two.read().await);
    let first = one.renumbered(&kept_one, renumbered(7, 8, &[(1, 10)])).await;
    let second = two.renumbered(&kept_two, renumbered(7, 8, &[])).await;
    assert_eq!((shown(&first, 1), &second), ((7, 0, 10), &first));
}

#[tokio::test]
async fn where_nothing_is_carried_no_file_is_made_and_one_that_is_there_learns_of_it() {
    let (_outer, path) = place();
    let carried = Carried::in_folder(&path);
    assert_eq!(shown(&renumber(&inbox(&carried), renumbered(7, 8, &[])).await, 1), (8, 0, 1));
    assert!(!path.exists());
    renumber(&inbox(&carried), renumbered(7, 8, &[(1, 10)])).await;
    renumber(&inbox(&carried), renumbered(8, 9, &[])).await;
    // It came back, and nothing proves that its UIDs are what they were.
    assert_eq!(shown(&renumber(&inbox(&carried), renumbered(9, 8, &[])).await, 1), (8, 1, 1));
    assert_eq!(shown(&inbox(&carried).read().await.own(validity(8)), 2), (8, 1, 2));
}

/// Own names, the same in each session, and what is there stays there.
#[tokio::test]
async fn what_cannot_be_written_is_not_shown() {
    let (outer, path) = place();
    fs::write(&path, "a file").unwrap();
    let none = [Carried::none(), Carried::in_folder(&path), Carried::in_folder(&path.join("below"))];
    for carried in none {
        let names = renumber(&inbox(&carried), renumbered(7, 8, &[(1, 10)])).await;
        assert_eq!(names, Names::from(validity(8)));
        assert!(!inbox(&carried).read().await.is_there());
    }
    assert_eq!(fs::read(outer.path().join("state")).unwrap(), b"a file");
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_costs_the_names_in_it() {
    let (_outer, path) = place();
    let carried = Carried::in_folder(&path);
    renumber(&inbox(&carried), renumbered(7, 8, &[(1, 10)])).await;
    let file = path.join(&files(&path)[0]);
    let mut octets = fs::read(&file).unwrap();
    let last = octets.len() - 40;
    octets[last] ^= 1;
    fs::write(&file, &octets).unwrap();
    for _ in 0..2 {
        let kept = inbox(&carried).read().await;
        assert_eq!((kept.names(validity(8)), kept.own(validity(8))), (None, Names::from(validity(8))));
    }
    assert_eq!(fs::read(format!("{}.damaged", file.display())).unwrap(), octets);
    let names = renumber(&inbox(&carried), renumbered(8, 9, &[(1, 1)])).await;
    assert_eq!(shown(&names, 1), (8, 0, 1));
}

#[tokio::test]
async fn a_newer_file_is_left_alone_and_not_believed() {
    let (_outer, path) = place();
    let carried = Carried::in_folder(&path);
    renumber(&inbox(&carried), renumbered(7, 8, &[(1, 10)])).await;
    let file = path.join(&files(&path)[0]);
    let newer = b"footbridge unique-ids 2\nwhatever that is".to_vec();
    fs::write(&file, &newer).unwrap();
    for now in [8, 9] {
        let names = renumber(&inbox(&carried), renumbered(8, now, &[(1, 1)])).await;
        assert_eq!(names, Names::from(validity(now)));
    }
    assert_eq!(fs::read(&file).unwrap(), newer);
}

#[tokio::test]
async fn an_accounts_files_are_found_and_no_others() {
    let (_outer, path) = place();
    let carried = Carried::in_folder(&path);
    renumber(&inbox(&carried), renumbered(7, 8, &[(1, 10)])).await;
    let folder = Folder::open(&path).unwrap();
    let pattern = about(&folder, &account().address.to_uppercase()).unwrap().expect("there is one");
    let begins = pattern.to_str().unwrap().strip_suffix('*').unwrap();
    let name = |account: &Account| carried.mailbox(account, "INBOX").name;
    let found = |name: String| path.join(name).to_str().unwrap().starts_with(begins);
    assert!(found(name(&account())));
    let bob = account_of("bob@example.org");
    assert!(!found(name(&bob)));
    assert_eq!(about(&folder, &bob.address).unwrap(), None);
}
