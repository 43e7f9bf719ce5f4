//! Keychains, which may be locked, gone, or asking somebody.

use super::*;

#[test]
fn the_keychain_holds_the_key_where_it_can_be_read() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    let vault = |choice| place.with(choice, None, keychain(&fake));
    put(&vault(KeyChoice::Auto), "a@b", "secret").unwrap();
    assert!(!place.file("vault.key").exists());
    let kept = fake.kept.lock().unwrap().clone();
    assert!(kept.len() == 1 && kept.values().all(|key| key.len() == 32), "one key of 32 octets, no more");
    assert_eq!(password(&vault(KeyChoice::Keychain), "a@b").unwrap().unwrap(), "secret");
    assert!(vault(KeyChoice::Auto).describe().unwrap().contains("keychain"));

    let open = vault(KeyChoice::Auto);
    fake.locked.set(Lock::Locked);
    let before = place.octets();
    for error in
        [open.entry("a@b").unwrap_err(), put(&open, "a@b", "x").unwrap_err(), open.set_aside().unwrap_err()]
    {
        assert!(matches!(error, VaultError::KeyUnavailable { .. }), "{error}");
        assert!(told(error).contains("locked"));
    }
    assert_eq!(place.octets(), before);
    fake.locked.set(Lock::Open);
    assert_eq!(password(&open, "a@b").unwrap().unwrap(), "secret", "unlocked, it opens by itself");
    fake.locked.set(Lock::Locked);
    put(&open, "a@b", "new").unwrap(); // Opened once, it stays open.

    fake.locked.set(Lock::Open);
    fake.kept.lock().unwrap().clear();
    assert!(matches!(vault(KeyChoice::Auto).entry("a@b"), Err(VaultError::NoKey { .. })));
    assert!(vault(KeyChoice::Auto).set_aside().unwrap().is_some());
    put(&vault(KeyChoice::Auto), "a@b", "anew").unwrap();
    assert_ne!(fake.kept.lock().unwrap().keys().next(), kept.keys().next(), "another vault, another entry");
}

#[test]
fn where_no_keychain_serves_a_key_file_does_unless_the_keychain_was_demanded() {
    let forgetful = Fake { forgets: true, ..Fake::default() };
    let locked = Fake::default();
    locked.locked.set(Lock::Locked);
    for fake in [forgetful, locked].map(Arc::new) {
        let place = Place::new();
        let vault = |choice| place.with(choice, None, keychain(&fake));
        let error = put(&vault(KeyChoice::Keychain), "a@b", "x").unwrap_err();
        assert!(told(error).contains("keychain"));
        assert!(!place.file("vault").exists() && !place.file("vault.key").exists());
        put(&vault(KeyChoice::Auto), "a@b", "secret").unwrap();
        assert!(place.file("vault.key").exists());
        fake.locked.set(Lock::Open); // A vault keeps the key it was made with.
        assert_eq!(password(&vault(KeyChoice::Auto), "a@b").unwrap().unwrap(), "secret");
        assert!(vault(KeyChoice::Auto).describe().unwrap().contains("key file"));
    }
}

#[test]
fn a_keychain_that_hangs_is_given_up_and_not_asked_twice() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    put(&place.with(KeyChoice::Keychain, None, keychain(&fake)), "a@b", "secret").unwrap();
    let limits = Limits { read: Duration::from_millis(20), write: Duration::ZERO, rest: Duration::ZERO };
    let barrier = Arc::new(Barrier::new(2));
    fake.locked.set(Lock::Hangs(barrier.clone()));
    let vault = place.with(KeyChoice::Keychain, None, Keychain::new(fake.clone(), limits));
    for _ in 0..5 {
        assert!(told(vault.entry("a@b").unwrap_err()).contains("does not answer"));
    }
    // With a second thread in there those two would go through, and this would wait for ever.
    barrier.wait();
    fake.locked.set(Lock::Open);
    while vault.entry("a@b").is_err() {
        std::thread::yield_now();
    }
    assert_eq!(password(&vault, "a@b").unwrap().unwrap(), "secret");
}

#[test]
fn a_person_who_said_no_is_not_asked_again_at_once() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    put(&place.with(KeyChoice::Keychain, None, keychain(&fake)), "a@b", "secret").unwrap();
    let hour = Duration::from_secs(3600);
    let limits = Limits { read: hour, write: hour, rest: hour };
    let vault = place.with(KeyChoice::Keychain, None, Keychain::new(fake.clone(), limits));
    fake.locked.set(Lock::Locked);
    assert!(vault.entry("a@b").is_err());
    fake.locked.set(Lock::Open);
    assert!(told(vault.entry("a@b").unwrap_err()).contains("locked"));
}

/// All of the bridge's connections share these threads.
#[tokio::test]
async fn async_code_goes_on_while_a_keychain_hangs() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    put(&place.with(KeyChoice::Keychain, None, keychain(&fake)), "a@b", "secret").unwrap();
    let barrier = Arc::new(Barrier::new(2));
    fake.locked.set(Lock::Hangs(barrier.clone()));
    let vault = Arc::new(place.with(KeyChoice::Keychain, None, keychain(&fake)));
    let (one, two) = (vault.clone(), vault.clone());
    let first = tokio::spawn(async move { one.find("a@b").await });
    let second = tokio::spawn(async move { two.find("A@B").await });
    tokio::task::yield_now().await; // On this one thread: it comes back only if neither of them holds it.
    tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
    for found in [first, second] {
        assert!(found.await.unwrap().unwrap().is_some());
    }
    assert!(vault.find("nobody@b").await.unwrap().is_none());
}
