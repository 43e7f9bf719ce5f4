use std::fs;

use super::*;
use crate::mail::{Uid, UidValidity};

fn runs(numbers: &[u32]) -> Runs {
    numbers.iter().filter_map(|number| Uid::new(*number)).collect()
}

fn numbering(uid_validity: u32) -> Numbering {
    Numbering::first(UidValidity::new(uid_validity).unwrap())
}

fn veil(uid_validity: u32, numbers: &[u32]) -> Veil {
    Veil { hidden: runs(numbers), ..Veil::new(numbering(uid_validity)) }
}

/// All of them since they were hidden here.
fn these(uid_validity: u32, numbers: &[u32]) -> Hidden {
    Hidden::These(Veil { owed: runs(numbers), ..veil(uid_validity, numbers) })
}

/// A place for a state folder, and what keeps it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("state");
    (outer, path)
}

/// One mailbox, as a bridge that was just started has it.
fn view(path: &Path) -> View {
    View { place: Views::in_folder(path).0, name: "hidden-a-b".to_owned() }
}

async fn hide(view: &View, uid_validity: u32, numbers: &[u32]) -> Result<(), String> {
    let hidden = view.hide(numbering(uid_validity), runs(numbers), Runs::default()).await;
    hidden.map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_was_hidden_stays_so_over_restarts() {
    let (_outer, path) = place();
    assert_eq!(view(&path).read().await, Hidden::Nothing);
    hide(&view(&path), 7, &[3, 1, 2]).await.unwrap();
    assert_eq!(view(&path).read().await, these(7, &[1, 2, 3]));
    hide(&view(&path), 7, &[9]).await.unwrap();
    assert_eq!(view(&path).read().await, these(7, &[1, 2, 3, 9]));
    // Another mailbox has another file.
    let mut other = view(&path);
    other.name = "hidden-a-c".to_owned();
    assert_eq!(other.read().await, Hidden::Nothing);
}

#[tokio::test]
async fn sessions_that_hide_at_a_time_hide_all_of_it() {
    let (_outer, path) = place();
    let view = view(&path);
    let sessions: Vec<_> = (0..20u32)
        .map(|session| {
            let view = view.clone();
            tokio::spawn(async move { hide(&view, 7, &[session * 3 + 1, session * 3 + 2]).await })
        })
        .collect();
    for session in sessions {
        session.await.unwrap().unwrap();
    }
    let all: Vec<u32> = (1..=60).filter(|number| number % 3 != 0).collect();
    assert_eq!(view.read().await, these(7, &all));
}

#[tokio::test]
async fn what_is_gone_is_dropped_with_the_next_change() {
    let (_outer, path) = place();
    let view = view(&path);
    hide(&view, 7, &[1, 2, 3, 4]).await.unwrap();
    view.hide(numbering(7), runs(&[9]), runs(&[2, 3, 5])).await.unwrap();
    assert_eq!(view.read().await, these(7, &[1, 4, 9]));
}

/// RFC 3501 §2.3.1.1: a UID means nothing under another UIDVALIDITY.
#[tokio::test]
async fn another_numbering_is_begun_and_never_added_to() {
    let (_outer, path) = place();
    let view = view(&path);
    hide(&view, 7, &[1, 2]).await.unwrap();
    let told = hide(&view, 8, &[3]).await.unwrap_err();
    assert!(told.contains("renumbered"), "{told}");
    assert_eq!(view.read().await, these(7, &[1, 2]));
    view.begin(Some(numbering(7)), veil(8, &[5])).await.unwrap();
    hide(&view, 8, &[3]).await.unwrap();
    // Another session's first login was under way.
    view.begin(Some(numbering(7)), Veil { asked: true, ..veil(8, &[]) }).await.unwrap();
    view.begin(Some(numbering(7)), veil(8, &[6])).await.unwrap();
    let all = || Hidden::These(Veil { asked: true, owed: runs(&[3]), ..veil(8, &[3, 5, 6]) });
    assert_eq!(view.read().await, all());
    // Sessions from before the change.
    assert!(hide(&view, 7, &[4]).await.is_err());
    assert!(view.begin(Some(numbering(6)), veil(7, &[4])).await.is_err());
    assert!(view.forget(numbering(7), runs(&[3])).await.is_err());
    assert!(view.begin(None, veil(9, &[4])).await.is_err());
    assert_eq!(view.read().await, all());
    // A UIDVALIDITY that came back is another numbering.
    let returned = Veil { numbering: Numbering { returned: 1, ..numbering(8) }, ..veil(8, &[1]) };
    assert!(view.hide(returned.numbering, runs(&[1]), Runs::default()).await.is_err());
    view.begin(Some(numbering(8)), returned.clone()).await.unwrap();
    assert_eq!(view.read().await, Hidden::These(returned));
}

#[tokio::test]
async fn what_an_earlier_footbridge_wrote_is_read_and_written_anew_with_the_next_change() {
    let (_outer, path) = place();
    let mut octets = 7u32.to_be_bytes().to_vec();
    runs(&[1, 2, 9]).encode(&mut octets);
    let folder = Folder::open(&path).unwrap();
    FIRST.write(&folder.hold().unwrap(), "hidden-a-b", &octets).unwrap();
    let view = view(&path);
    let hidden = |numbers, owed| Hidden::These(Veil { asked: true, owed: runs(owed), ..veil(7, numbers) });
    assert_eq!(view.read().await, hidden(&[1, 2, 9], &[]));
    hide(&view, 7, &[3]).await.unwrap();
    assert_eq!(view.read().await, hidden(&[1, 2, 3, 9], &[3]));
    assert!(matches!(FILES.read(&folder, "hidden-a-b").unwrap(), Content::Whole(_)));
}

#[tokio::test]
async fn keywords_are_owed_until_they_are_settled_or_their_messages_are_gone() {
    let (_outer, path) = place();
    let view = view(&path);
    hide(&view, 7, &[1, 2, 3, 4]).await.unwrap();
    view.settle(numbering(7), runs(&[1, 2])).await.unwrap();
    view.forget(numbering(7), runs(&[3])).await.unwrap();
    assert_eq!(view.read().await, Hidden::These(Veil { owed: runs(&[4]), ..veil(7, &[1, 2, 4]) }));
    assert!(view.settle(numbering(8), runs(&[4])).await.is_err());
    // Of one mailbox of one bridge, as long as it runs.
    view.set_in_vain(true);
    assert!(view.is_in_vain() && view.clone().is_in_vain());
    assert!(!View { name: "hidden-a-c".to_owned(), ..view.clone() }.is_in_vain());
    view.set_in_vain(false);
    assert!(!view.is_in_vain());
}

#[tokio::test]
async fn a_damaged_file_hides_nothing_is_kept_for_a_person_and_begun_anew() {
    let (_outer, path) = place();
    let file = path.join("hidden-a-b");
    // Found at a login.
    hide(&view(&path), 7, &[1, 2]).await.unwrap();
    fs::write(&file, "footbridge hidden 1\nnonsense").unwrap();
    let reader = view(&path);
    assert_eq!(reader.read().await, Hidden::Nothing);
    assert!(fs::read_to_string(path.join("hidden-a-b.damaged")).unwrap().ends_with("nonsense"));
    hide(&reader, 7, &[3]).await.unwrap();
    assert_eq!(reader.read().await, these(7, &[3]));
    // Found at QUIT: what the app was shown may be more or less than it would be now.
    fs::write(&file, "other nonsense").unwrap();
    let told = hide(&reader, 7, &[4]).await.unwrap_err();
    assert!(told.contains("damaged") && !told.contains('\n'), "{told}");
    assert_eq!(fs::read_to_string(path.join("hidden-a-b.damaged")).unwrap(), "other nonsense");
    assert_eq!(reader.read().await, Hidden::Nothing);
    hide(&reader, 7, &[4]).await.unwrap();
    assert_eq!(reader.read().await, these(7, &[4]));
    // Whole, and yet nothing that was ever written.
    for odd in [&b""[..], &[0, 0, 0, 0], &[0, 0, 0, 7, 0x80]] {
        let folder = Folder::open(&path).unwrap();
        FILES.write(&folder.hold().unwrap(), "hidden-a-b", odd).unwrap();
        assert_eq!(reader.read().await, Hidden::Nothing, "{odd:x?}");
    }
}

#[tokio::test]
async fn a_file_of_a_newer_footbridge_is_left_alone() {
    let (_outer, path) = place();
    let folder = Folder::open(&path).unwrap();
    Synced::new("hidden", 3).write(&folder.hold().unwrap(), "hidden-a-b", b"who knows").unwrap();
    let before = fs::read(path.join("hidden-a-b")).unwrap();
    let view = view(&path);
    assert_eq!(view.read().await, Hidden::Unknown);
    let told = hide(&view, 7, &[1]).await.unwrap_err();
    assert!(told.contains("newer footbridge") && told.contains("update") && !told.contains('\n'), "{told}");
    assert_eq!(fs::read(path.join("hidden-a-b")).unwrap(), before);
}

#[cfg(unix)]
#[tokio::test]
async fn what_cannot_be_written_or_read_is_said_and_hides_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (_outer, path) = place();
    let view = view(&path);
    hide(&view, 7, &[1]).await.unwrap();
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chmod(&path, 0o500);
    let told = hide(&view, 7, &[2]).await.unwrap_err();
    assert!(told.contains("read-only") && told.contains("--state DIR"), "{told}");
    assert_eq!(view.read().await, these(7, &[1]));
    chmod(&path, 0o700);
    chmod(&path.join("hidden-a-b"), 0o644);
    assert_eq!(view.read().await, Hidden::Unknown);
    assert!(hide(&view, 7, &[2]).await.unwrap_err().contains("chmod 600"));
    chmod(&path.join("hidden-a-b"), 0o600);
    hide(&view, 7, &[2]).await.unwrap();
    assert_eq!(view.read().await, these(7, &[1, 2]));
}

/// What stands where the new file would be written, as a full disk would.
#[tokio::test]
async fn what_cannot_be_put_on_the_disk_is_not_hidden() {
    let (_outer, path) = place();
    let view = view(&path);
    hide(&view, 7, &[1]).await.unwrap();
    let obstacle = path.join(".hidden-a-b.new");
    fs::create_dir(&obstacle).unwrap();
    let told = hide(&view, 7, &[2]).await.unwrap_err();
    assert!(told.contains("cannot be written") && told.contains("--state DIR"), "{told}");
    assert_eq!(view.read().await, these(7, &[1]));
    fs::remove_dir(&obstacle).unwrap();
    hide(&view, 7, &[2]).await.unwrap();
    assert_eq!(view.read().await, these(7, &[1, 2]));
}

#[tokio::test]
async fn without_a_state_folder_nothing_can_be_hidden() {
    let view = View { place: None, name: "hidden-a-b".to_owned() };
    assert_eq!(view.read().await, Hidden::Unknown);
    assert!(hide(&view, 7, &[1]).await.unwrap_err().contains("--state DIR"));
}

#[tokio::test]
async fn what_a_killed_process_left_goes_with_the_first_change() {
    let (_outer, path) = place();
    Folder::open(&path).unwrap();
    let left = path.join(".hidden-x-y.new");
    fs::write(&left, "half").unwrap();
    let view = view(&path);
    assert_eq!(view.read().await, Hidden::Nothing);
    hide(&view, 7, &[1]).await.unwrap();
    assert!(!left.exists());
}

#[tokio::test]
async fn more_than_can_be_kept_in_mind_is_refused() {
    let (_outer, path) = place();
    let view = view(&path);
    let every_other: Vec<u32> = (1..=2_200_000).map(|number| number * 2).collect();
    let told = hide(&view, 7, &every_other).await.unwrap_err();
    assert!(told.contains("more messages are hidden than"), "{told}");
    assert_eq!(view.read().await, Hidden::Nothing);
}
