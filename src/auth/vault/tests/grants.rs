//! Sign-ins in the vault.

use super::*;

#[test]
fn an_accounts_grant_is_kept_beside_its_password() {
    let place = Place::new();
    let vault = Arc::new(place.simple());
    put(&vault, "ana@example.org", "secret").unwrap();
    let kept = KeptGrant::new(vault.clone(), "Ana@Example.org");
    assert!(kept.load().unwrap().is_none());
    let mut grant = Grant::from_seed(Secret::new("CANARY"), "our-client");
    grant.access_token = Some(Secret::new("token"));
    kept.save(&grant).unwrap();
    let again = KeptGrant::new(Arc::new(place.simple()), "ana@example.org");
    let same = again.load().unwrap().unwrap();
    assert!(same.refresh_token.unwrap().same_as(&Secret::new("CANARY")));
    assert!(same.access_token.unwrap().same_as(&Secret::new("token")));
    assert_eq!((same.client_id, same.seed), (grant.client_id, grant.seed));
    assert_eq!(password(&vault, "ana@example.org").unwrap().unwrap(), "secret");
    assert!(!format!("{kept:?}{vault:?}").contains("CANARY"));

    vault.change("ana@example.org", |entry| entry.grant = Some(Secret::new("no JSON"))).unwrap();
    assert!(matches!(kept.load(), Err(NoToken::SignIn { .. })));
}

/// The bridge renews while the command line signs in, or removes the account: whoever looked before that does not
/// replace what came of it.
#[test]
fn a_renewal_replaces_what_it_was_renewed_from_and_nothing_else() {
    let place = Place::new();
    let handle = || KeptGrant::new(Arc::new(place.simple()), "ana@example.org");
    let (bridge, command) = (handle(), handle());
    let grant = |token: &str| {
        let mut grant = Grant::from_seed(Secret::new(token), "our-client");
        grant.access_token = Some(Secret::new(format!("{token}'s")));
        grant
    };
    let kept = || handle().load().unwrap().map(|grant| grant.refresh_token.unwrap());
    command.save(&grant("first")).unwrap();
    let before = bridge.load().unwrap();
    assert!(bridge.renew(before.as_ref(), &grant("renewed")).unwrap());
    assert!(kept().unwrap().same_as(&Secret::new("renewed")));

    let before = bridge.load().unwrap();
    command.save(&grant("signed in anew")).unwrap();
    let octets = place.octets();
    assert!(!bridge.renew(before.as_ref(), &grant("too late")).unwrap());
    assert_eq!(place.octets(), octets, "nothing was written");
    assert!(bridge.load().unwrap().unwrap().refresh_token.unwrap().same_as(&Secret::new("signed in anew")));

    let before = bridge.load().unwrap();
    place.simple().remove("ana@example.org").unwrap();
    assert!(!bridge.renew(before.as_ref(), &grant("too late")).unwrap());
    assert!(kept().is_none());
    fs::remove_file(place.file("vault")).unwrap();
    assert!(!bridge.renew(before.as_ref(), &grant("too late")).unwrap());
    assert!(!place.file("vault").exists());
    assert!(bridge.renew(None, &grant("the first")).unwrap());
}

/// A damaged vault sends the user to sign in; a passing fault does not.
#[test]
fn what_keeps_the_vault_shut_says_whether_a_sign_in_helps() {
    let place = Place::new();
    let fake = Arc::new(Fake::default());
    let kept = || {
        let vault = place.with(KeyChoice::Keychain, None, keychain(&fake));
        KeptGrant::new(Arc::new(vault), "ana@example.org")
    };
    let grant = Grant::from_seed(Secret::new("refresh"), "our-client");
    kept().save(&grant).unwrap();
    fake.locked.set(Lock::Locked);
    assert!(matches!(kept().load(), Err(NoToken::Later { reason }) if reason.contains("locked")));
    assert!(kept().save(&grant).unwrap_err().contains("locked"));
    fake.locked.set(Lock::Open);
    let octets = place.octets();
    fs::write(place.file("vault"), &octets[..octets.len() - 1]).unwrap();
    assert!(matches!(kept().load(), Err(NoToken::SignIn { reason }) if reason.contains("sign in again")));
    assert!(kept().save(&grant).unwrap_err().contains("damaged"));
}
