//! Key files, passphrases and credentials.

use super::*;

#[test]
fn a_key_file_that_is_gone_is_not_made_anew_for_a_vault_that_needs_it() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    fs::rename(place.file("vault.key"), place.file("elsewhere")).unwrap();
    let error = put(&place.simple(), "a@b", "x").unwrap_err();
    assert!(matches!(error, VaultError::NoKey { .. }), "{error}");
    let told = told(error);
    assert!(told.contains("vault.key") && told.contains("sign in again"), "{told}");
    assert!(!place.file("vault.key").exists());
    fs::rename(place.file("elsewhere"), place.file("vault.key")).unwrap();
    assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "secret");
}

#[test]
fn a_passphrase_opens_it_and_another_one_does_not_and_harms_nothing() {
    let place = Place::new();
    let file = place.private("passphrase", "correct horse\r\nsecond line\n");
    let choice = KeyChoice::PassphraseFile(file.clone());
    put(&place.vault(choice.clone()), "a@b", "secret").unwrap();
    assert!(!place.file("vault.key").exists());
    let before = place.octets();

    fs::write(&file, "correct horsf\n").unwrap();
    let vault = place.vault(choice.clone());
    let error = vault.entry("a@b").unwrap_err();
    assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
    assert!(told(error).contains("passphrase in"));
    assert!(put(&vault, "a@b", "x").is_err());
    fs::remove_file(&file).unwrap();
    assert!(matches!(vault.entry("a@b"), Err(VaultError::NoKey { .. })));
    let other = place.simple();
    for error in [other.entry("a@b").unwrap_err(), other.set_aside().unwrap_err()] {
        assert!(matches!(error, VaultError::OtherKey { .. }), "{error}");
        assert!(told(error).contains("passphrase_file"));
    }
    assert_eq!(place.octets(), before);

    place.private("passphrase", "correct horse");
    assert_eq!(password(&vault, "a@b").unwrap().unwrap(), "secret", "the same vault object");
    assert!(vault.describe().unwrap().contains("passphrase"));
}

#[test]
fn other_files_get_keys_of_their_own_where_the_vaults_does_not_lie_beside_them() {
    let place = Place::new();
    let choice = KeyChoice::PassphraseFile(place.private("passphrase", "correct horse"));
    let vault = place.vault(choice.clone());
    assert_eq!(vault.key_for("bodies").unwrap(), None, "no vault yet");
    put(&vault, "a@b", "secret").unwrap();
    let key = vault.key_for("bodies").unwrap().expect("a passphrase lies elsewhere");
    assert_eq!(place.vault(choice).key_for("bodies").unwrap().as_ref(), Some(&key), "the same at each start");
    assert_ne!(vault.key_for("other").unwrap(), Some(key));
    assert!(place.simple().key_for("bodies").is_err(), "one that does not open gives none");

    let beside = Place::new();
    put(&beside.simple(), "a@b", "secret").unwrap();
    assert_eq!(beside.simple().key_for("bodies").unwrap(), None);
}

#[test]
fn a_passphrase_file_that_others_may_read_is_refused() {
    let place = Place::new();
    let vault = |path: &Path| place.vault(KeyChoice::PassphraseFile(path.to_owned()));
    let refused = |path: &Path| told(put(&vault(path), "a@b", "x").unwrap_err());
    assert!(refused(Path::new("/nonexistent/passphrase")).contains("no passphrase file"));
    assert!(refused(&place.private("empty", "\nsecond\n")).contains("empty"));
    assert!(refused(&place.private("long", &"x".repeat(5000))).contains("octets"));
    #[cfg(unix)]
    {
        let file = place.private("passphrase", "correct horse");
        chmod(&file, 0o640);
        assert!(refused(&file).contains("chmod 600"));
        let link = place.outer.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(refused(&link).contains("not a file"));
    }
    assert!(!place.file("vault").exists());
}

#[test]
fn a_credential_comes_first_and_is_named_when_it_is_missing() {
    let place = Place::new();
    let digits = "0123456789abcdef".repeat(4);
    let file = place.private("credential", &digits);
    let fake = Arc::new(Fake::default());
    let vault = |choice| place.with(choice, Some(file.clone()), keychain(&fake));
    put(&vault(KeyChoice::Auto), "a@b", "secret").unwrap();
    assert!(fake.kept.lock().unwrap().is_empty() && !place.file("vault.key").exists());
    assert!(vault(KeyChoice::Auto).describe().unwrap().contains("systemd credential"));
    assert_eq!(password(&vault(KeyChoice::Credential), "a@b").unwrap().unwrap(), "secret");

    fs::remove_file(&file).unwrap();
    let error = vault(KeyChoice::Auto).entry("a@b").unwrap_err();
    assert!(matches!(error, VaultError::NoKey { .. }), "{error}");
    assert!(told(error).contains("footbridge-vault-key"));
    place.private("credential", &digits.replace('0', "1"));
    assert!(matches!(vault(KeyChoice::Auto).entry("a@b"), Err(VaultError::WrongKey { .. })));
    place.private("credential", &digits);
    assert_eq!(password(&vault(KeyChoice::Auto), "a@b").unwrap().unwrap(), "secret");

    let empty = Place::new();
    let short = empty.with(KeyChoice::Auto, Some(empty.private("credential", "short")), keychain(&fake));
    assert!(told(put(&short, "a@b", "x").unwrap_err()).contains("too short"));
    let none = empty.with(KeyChoice::Credential, None, keychain(&fake));
    assert!(told(put(&none, "a@b", "x").unwrap_err()).contains("no systemd credential"));
    assert!(!empty.file("vault").exists());
}

#[test]
fn check_is_told_which_key_there_is_and_what_it_protects_against() {
    let place = Place::new();
    assert!(place.simple().describe().unwrap().contains("no vault"));
    put(&place.simple(), "a@b", "secret").unwrap();
    let told = place.simple().describe().unwrap();
    assert!(told.contains("vault.key") && told.contains("backup"), "{told}");
}
