//! `bridge-passwords` in the state folder: a keyed hash of each, nothing that could be shown again.
//!
//! ```json
//! {"version":1,"key":"BASE64","accounts":{"ana@example.org":[{"name":"copier","hmac":"BASE64","made":1767225600}]}}
//! ```
//!
//! A plain keyed hash will do (HMAC-SHA-256, RFC 2104): of 128 random bits none can be found by trying.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::PasswordsError;
use super::made;
use crate::mail::Secret;

/// The one version there is.
const VERSION: u32 = 1;

/// The file, ready for comparing.
pub(super) struct Record {
    /// As it is written.
    key_octets: [u8; 32],
    key: hmac::Key,
    accounts: BTreeMap<String, Vec<Password>>,
}

/// One bridge password.
#[derive(Clone)]
pub(super) struct Password {
    pub(super) name: String,
    hash: [u8; 32],
    /// Seconds since 1970.
    pub(super) made: u64,
}

/// What an offered secret is.
pub(super) enum Found<'a> {
    /// This one.
    One(&'a Password),
    /// None of the account's.
    NoneOf,
    /// The account has none.
    NoneThere,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    key: String,
    accounts: BTreeMap<String, Vec<WrittenPassword>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenPassword {
    name: String,
    hmac: String,
    made: u64,
}

impl Record {
    /// One without accounts.
    pub(super) fn new() -> Result<Self, PasswordsError> {
        let mut key_octets = [0; 32];
        SystemRandom::new().fill(&mut key_octets).map_err(|_| PasswordsError::NoRandom)?;
        Ok(Self::with_key(key_octets))
    }

    fn with_key(key_octets: [u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key_octets);
        Self { key_octets, key, accounts: BTreeMap::new() }
    }

    pub(super) fn parse(octets: &[u8]) -> Result<Self, Unreadable> {
        let Version { version } = serde_json::from_slice(octets).map_err(|_| Unreadable::Damaged)?;
        if version > VERSION {
            return Err(Unreadable::Newer);
        }
        let written: Written = serde_json::from_slice(octets).map_err(|_| Unreadable::Damaged)?;
        let mut record = Self::with_key(thirty_two(&written.key)?);
        for (address, passwords) in written.accounts {
            let passwords = passwords.into_iter().map(|WrittenPassword { name, hmac, made }| {
                thirty_two(&hmac).map(|hash| Password { name, hash, made })
            });
            record.accounts.insert(address, passwords.collect::<Result<_, _>>()?);
        }
        Ok(record)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let accounts = self.accounts.iter().map(|(address, passwords)| {
            let passwords = passwords.iter().map(|password| WrittenPassword {
                name: password.name.clone(),
                hmac: BASE64_STANDARD.encode(password.hash),
                made: password.made,
            });
            (address.clone(), passwords.collect())
        });
        let key = BASE64_STANDARD.encode(self.key_octets);
        let written = Written { version: VERSION, key, accounts: accounts.collect() };
        let mut octets = serde_json::to_vec_pretty(&written).unwrap_or_default(); // Text and numbers: nothing can fail.
        octets.push(b'\n');
        octets
    }

    /// Compares with every one of the account's, whichever it is.
    pub(super) fn find(&self, address: &str, offered: &Secret) -> Found<'_> {
        let Some(passwords) = self.accounts.get(address).filter(|passwords| !passwords.is_empty()) else {
            return Found::NoneThere;
        };
        let Some(letters) = made::fold(offered) else { return Found::NoneOf };
        let tag = hmac::sign(&self.key, &letters);
        let mut found = (Choice::from(0), u64::MAX);
        for (at, password) in (0_u64..).zip(passwords) {
            let same = tag.as_ref().ct_eq(&password.hash);
            found = (found.0 | same, u64::conditional_select(&found.1, &at, same));
        }
        let at = usize::try_from(found.1).ok().filter(|_| bool::from(found.0));
        at.and_then(|at| passwords.get(at)).map_or(Found::NoneOf, Found::One)
    }

    /// Those of an account, the oldest first.
    pub(super) fn of(&self, address: &str) -> &[Password] {
        self.accounts.get(address).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Password> {
        self.accounts.values().flatten()
    }

    pub(super) fn add(&mut self, address: &str, name: String, secret: &Secret, made: u64) -> bool {
        let Some(letters) = made::fold(secret) else { return false };
        let mut hash = [0; 32];
        let tag = hmac::sign(&self.key, &letters);
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        self.accounts.entry(address.to_owned()).or_default().push(Password { name, hash, made });
        true
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, address: &str, name: &str) -> bool {
        let Some(passwords) = self.accounts.get_mut(address) else { return false };
        let before = passwords.len();
        passwords.retain(|password| password.name != name);
        let removed = passwords.len() < before;
        self.accounts.retain(|_, passwords| !passwords.is_empty());
        removed
    }

    /// How many there were.
    pub(super) fn forget(&mut self, address: &str) -> usize {
        self.accounts.remove(address).map_or(0, |passwords| passwords.len())
    }
}

impl Password {
    /// What stands for it where its uses are kept: names may be given again, this is not.
    pub(super) fn id(&self) -> String {
        BASE64_STANDARD.encode(self.hash.first_chunk::<9>().copied().unwrap_or_default())
    }
}

/// Why a file is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Damaged,
    Newer,
}

fn thirty_two(base64: &str) -> Result<[u8; 32], Unreadable> {
    let octets = BASE64_STANDARD.decode(base64).map_err(|_| Unreadable::Damaged)?;
    octets.try_into().map_err(|_| Unreadable::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two accounts, the first with two.
    fn record() -> (Record, [Secret; 3]) {
        let mut record = Record::new().expect("random octets");
        let secrets = [(); 3].map(|()| made::make().expect("random octets"));
        for ((address, name), secret) in [("ana", "one"), ("ana", "two"), ("bob", "one")].iter().zip(&secrets)
        {
            assert!(record.add(address, (*name).to_owned(), secret, 7));
        }
        (record, secrets)
    }

    #[test]
    fn each_account_has_its_own_and_what_was_written_reads_the_same() {
        let (record, [one, two, other]) = record();
        let again = Record::parse(&record.encode()).expect("its own");
        assert_eq!(again.encode(), record.encode());
        for record in [&record, &again] {
            let name = |address, secret| match record.find(address, secret) {
                Found::One(password) => password.name.clone(),
                Found::NoneOf => "none of them".to_owned(),
                Found::NoneThere => "none there".to_owned(),
            };
            assert_eq!(
                [
                    ("ana", &one),
                    ("ana", &two),
                    ("ana", &other),
                    ("bob", &other),
                    ("bob", &one),
                    ("eve", &one)
                ]
                .map(|(address, secret)| name(address, secret)),
                ["one", "two", "none of them", "one", "none of them", "none there"]
            );
        }
    }

    #[test]
    fn what_is_written_has_no_password_in_it() {
        let (record, secrets) = record();
        let text = String::from_utf8(record.encode()).expect("JSON");
        for secret in &secrets {
            let letters = made::fold(secret).expect("one");
            assert!(!text.contains(secret.expose_str().expect("ASCII")));
            assert!(!text.contains(std::str::from_utf8(&letters).expect("ASCII")));
        }
    }

    #[test]
    fn the_last_one_removed_leaves_an_account_without_any() {
        let (mut record, [one, ..]) = record();
        assert!(record.remove("ana", "two") && !record.remove("ana", "two"));
        assert!(matches!(record.find("ana", &one), Found::One(_)));
        assert!(record.remove("ana", "one"));
        assert!(matches!(record.find("ana", &one), Found::NoneThere));
        assert_eq!(record.forget("bob"), 1);
        assert_eq!(record.all().count(), 0);
    }

    #[test]
    fn a_newer_file_is_told_from_a_damaged_one() {
        let (record, _) = record();
        let text = String::from_utf8(record.encode()).expect("JSON");
        let newer = text.replace("\"version\": 1", "\"version\": 2").replace("accounts", "people");
        assert_eq!(Record::parse(newer.as_bytes()).err(), Some(Unreadable::Newer));
        let cut = text.get(..text.len() / 2).expect("ASCII");
        for damaged in
            ["", "{}", "[]", cut, &text.replace("\"key\": \"", "\"key\": \"x"), &text.replace("made", "m")]
        {
            assert_eq!(Record::parse(damaged.as_bytes()).err(), Some(Unreadable::Damaged), "{damaged}");
        }
    }
}
