//! Octets on the disk that are not as they were written.

use super::*;

#[test]
fn the_file_tells_neither_secrets_nor_addresses_and_each_write_has_its_nonce() {
    let place = Place::new();
    let vault = place.simple();
    let mut seen = Vec::new();
    for _ in 0..3 {
        put(&vault, "ana@example.org", "CANARY").unwrap();
        let octets = place.octets();
        let text = String::from_utf8_lossy(&octets);
        for word in ["CANARY", "ana@", "example", "password", "Q0FOQVJZ"] {
            assert!(!text.contains(word), "{word}");
        }
        seen.push(octets);
    }
    let [first, second, third] = &seen[..] else { panic!() };
    let sealed =
        |octets: &[u8]| octets.iter().enumerate().filter(|(_, octet)| **octet == b'\n').nth(1).unwrap().0 + 1;
    let nonce = |octets: &Vec<u8>| octets[sealed(octets)..][..24].to_vec();
    assert!(nonce(first) != nonce(second) && nonce(second) != nonce(third) && nonce(first) != nonce(third));
    assert!(!format!("{vault:?}").contains("CANARY"));
}

/// Nothing may be used that was changed, and nothing may be lost by trying.
#[test]
fn one_flipped_bit_anywhere_fails_closed_and_changes_nothing() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    for name in ["vault", "vault.key"] {
        let path = place.file(name);
        let good = fs::read(&path).unwrap();
        for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            fs::write(&path, &bad).unwrap();
            if name == "vault.key" && at == good.len() - 1 {
                continue; // The line end is not of the key.
            }
            let error = place.simple().entry("a@b").unwrap_err();
            let newer = matches!(error, VaultError::Newer { .. });
            let other = matches!(error, VaultError::OtherKey { .. });
            assert!(error.needs_sign_in() || newer || other, "{name} {at} {bit}: {error}");
            assert!(told(error).contains(if newer || other { "vault" } else { "sign in again" }));
        }
        fs::write(&path, &good[..good.len() - 2]).unwrap();
        let before = place.octets();
        assert!(put(&place.simple(), "c@d", "x").unwrap_err().needs_sign_in());
        assert!(place.simple().remove("a@b").unwrap_err().needs_sign_in());
        assert_eq!(place.octets(), before);
        fs::write(&path, &good).unwrap();
        assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "secret");
    }
}

#[test]
fn a_file_cut_short_anywhere_or_with_something_added_is_damaged() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    let good = place.octets();
    let longer = [&good[..], b"x"].concat();
    for bad in (0..good.len()).map(|end| &good[..end]).chain([&longer[..]]) {
        fs::write(place.file("vault"), bad).unwrap();
        let error = place.simple().entry("a@b").unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{}: {error}", bad.len());
    }
}

#[test]
fn a_damaged_vault_is_kept_when_a_new_one_is_begun() {
    let place = Place::new();
    let vault = place.simple();
    assert_eq!(vault.set_aside().unwrap(), None, "there is none");
    put(&vault, "a@b", "secret").unwrap();
    assert_eq!(vault.set_aside().unwrap(), None, "it opens");
    for name in ["vault.damaged", "vault.damaged.2", "vault.damaged.3"] {
        let mut bad = place.octets();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(place.file("vault"), &bad).unwrap();
        assert!(vault.entry("a@b").is_err());
        assert_eq!(vault.set_aside().unwrap().unwrap(), place.file(name));
        assert_eq!(fs::read(place.file(name)).unwrap(), bad);
        assert!(vault.entry("a@b").unwrap().is_none());
        put(&vault, "a@b", "new").unwrap();
        assert_eq!(password(&place.simple(), "a@b").unwrap().unwrap(), "new");
    }
}

#[test]
fn a_newer_format_is_refused_by_its_number_and_left() {
    let place = Place::new();
    put(&place.simple(), "a@b", "secret").unwrap();
    let text = b"footbridge-vault 2\nwhatever the future brings";
    fs::write(place.file("vault"), text).unwrap();
    let vault = place.simple();
    for error in [
        vault.entry("a@b").unwrap_err(),
        put(&vault, "a@b", "x").unwrap_err(),
        vault.set_aside().unwrap_err(),
    ] {
        assert!(matches!(error, VaultError::Newer { version: 2, .. }), "{error}");
        assert!(told(error).contains("newer footbridge"));
    }
    assert_eq!(place.octets(), text);
    for odd in
        ["footbridge-vault 01\n", "footbridge-vault 0\n", "footbridge-vault +1\n", "footbridge-vault \n"]
    {
        fs::write(place.file("vault"), odd).unwrap();
        assert!(matches!(place.simple().entry("a@b"), Err(VaultError::Damaged { .. })), "{odd}");
    }
}

/// The header is read before anything can vouch for it.
#[test]
fn a_header_cannot_make_us_take_memory_without_bound() {
    let place = Place::new();
    let choice = KeyChoice::PassphraseFile(place.private("passphrase", "correct horse"));
    put(&place.vault(choice.clone()), "a@b", "secret").unwrap();
    let octets = place.octets();
    let at = octets.windows(5).position(|window| window == b"65536").unwrap();
    let huge = [&octets[..at], b"4294967295", &octets[at + 5..]].concat();
    fs::write(place.file("vault"), huge).unwrap();
    assert!(matches!(place.vault(choice).entry("a@b"), Err(VaultError::Damaged { .. })));
}
