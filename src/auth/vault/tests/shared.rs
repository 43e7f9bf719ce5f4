//! Several processes with one vault, and a folder that is not as it must be.

use super::*;

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let place = Place::new();
    let vault = place.simple();
    assert!(vault.entry("ana@example.org").unwrap().is_none());
    assert!(vault.addresses().unwrap().is_empty());
    assert!(!place.file("vault").exists() && !place.file("vault.key").exists(), "asking makes nothing");

    put(&vault, "Ana@Example.org", "p\u{e4}ss \"word\"").unwrap();
    let grant = Secret::new(b"{\"x\":\"\xff\0\"}".as_slice());
    vault.change("bob@example.org", |entry| entry.grant = Some(grant.clone())).unwrap();
    vault.change("ANA@example.org", |entry| assert!(entry.password.is_some())).unwrap();

    let again = place.simple();
    assert_eq!(password(&again, "ana@example.ORG").unwrap().unwrap(), "p\u{e4}ss \"word\"");
    assert!(again.entry("bob@example.org").unwrap().unwrap().grant.unwrap().same_as(&grant));
    assert_eq!(again.addresses().unwrap(), ["ana@example.org", "bob@example.org"]);
    assert!(again.remove("Bob@example.org").unwrap());
    assert!(!again.remove("bob@example.org").unwrap());
    assert_eq!(place.simple().addresses().unwrap(), ["ana@example.org"]);
}

/// The bridge stores a new token while the command line stores a password.
#[test]
fn whoever_changes_at_the_same_time_loses_nothing() {
    let place = Place::new();
    let (threads, rounds) = (4, 5);
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (place, start) = (&place, &start);
            scope.spawn(move || {
                let vault = place.simple();
                start.wait();
                for round in 0..rounds {
                    put(&vault, &format!("{thread}.{round}@example.org"), "x").unwrap();
                    vault
                        .change("all@example.org", |entry| {
                            let count = entry.grant.as_ref().map(|grant| grant.expose().len()).unwrap_or(0);
                            entry.grant = Some(Secret::new(vec![b'x'; count + 1]));
                        })
                        .unwrap();
                }
            });
        }
    });
    let vault = place.simple();
    assert_eq!(vault.addresses().unwrap().len(), threads * rounds + 1);
    let all = vault.entry("all@example.org").unwrap().unwrap().grant.unwrap();
    assert_eq!(all.expose().len(), threads * rounds);
}

#[test]
fn what_another_process_stored_is_seen_at_once() {
    let place = Place::new();
    let (bridge, command) = (place.simple(), place.simple());
    assert!(bridge.entry("a@b").unwrap().is_none());
    for text in ["one", "two", "one", "two"] {
        put(&command, "a@b", text).unwrap();
        assert_eq!(password(&bridge, "a@b").unwrap().unwrap(), text);
        assert!(bridge.unchanged().is_some(), "not read again until it changes");
    }
    fs::remove_file(place.file("vault")).unwrap();
    assert!(bridge.entry("a@b").unwrap().is_none(), "the user removed it");
}

#[test]
fn more_than_can_be_read_back_is_not_written() {
    let place = Place::new();
    let vault = place.simple();
    put(&vault, "a@b", "secret").unwrap();
    let error = vault.change("c@d", |entry| entry.grant = Some(Secret::new(vec![b'x'; LARGEST])));
    assert!(matches!(error, Err(VaultError::Full { .. })));
    assert_eq!(vault.addresses().unwrap(), ["a@b"]);
    // As much as a thousand accounts have.
    vault.change("c@d", |entry| entry.grant = Some(Secret::new(vec![b'x'; 6 * 1024 * 1000]))).unwrap();
    assert_eq!(place.simple().addresses().unwrap(), ["a@b", "c@d"]);
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_leaves_the_old_vault_on_the_disk_and_in_memory() {
    let place = Place::new();
    let vault = place.simple();
    put(&vault, "a@b", "old").unwrap();
    let before = place.octets();
    chmod(&place.outer.path().join("state"), 0o500);
    assert!(told_folder(put(&vault, "a@b", "new").unwrap_err()).contains("read-only"));
    chmod(&place.outer.path().join("state"), 0o700);
    assert_eq!(place.octets(), before);
    assert_eq!(password(&vault, "a@b").unwrap().unwrap(), "old");
}

#[cfg(unix)]
fn told_folder(error: VaultError) -> String {
    assert!(matches!(error, VaultError::Folder(_)), "{error}");
    error.to_string()
}

#[cfg(unix)]
#[test]
fn links_pipes_and_files_open_to_others_are_refused_and_left() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    for name in ["vault", "vault.key"] {
        let (path, kept) = (place.file(name), place.file("kept"));
        chmod(&path, 0o640);
        assert!(told_folder(place.simple().entry("a@b").unwrap_err()).contains("chmod 600"));
        chmod(&path, 0o600);
        fs::rename(&path, &kept).unwrap();
        symlink(&kept, &path).unwrap();
        for error in [place.simple().entry("a@b").unwrap_err(), put(&place.simple(), "a@b", "x").unwrap_err()]
        {
            assert!(told_folder(error).contains("not a file"));
        }
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(told_folder(place.simple().entry("a@b").unwrap_err()).contains("not a file"));
        fs::remove_file(&path).unwrap();
        fs::rename(&kept, &path).unwrap();
    }
    assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "secret");
}
