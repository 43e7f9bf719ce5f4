//! Where the file may be, and where it is not used.

use super::*;

/// Whether there is nothing to be read, by whoever opens the folder.
async fn nothing_in(path: &Path) -> bool {
    read(&Ledger::in_folder(path), 1).await.is_none()
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
