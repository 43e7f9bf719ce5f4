//! What the vault holds, and its JSON. A field more is a format more: `sealed::FORMAT` tells them apart.

use std::collections::BTreeMap;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::mail::Secret;

/// What is stored for one account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The provider's password, or one it gave for apps.
    #[serde(default, with = "octets", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// What a sign-in brought, in `auth::oauth`'s own JSON.
    #[serde(default, with = "octets", skip_serializing_if = "Option::is_none")]
    pub grant: Option<Secret>,
}

/// Entries by address in lower case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    accounts: BTreeMap<String, Entry>,
}

impl Entries {
    pub(super) fn get(&self, address: &str) -> Option<Entry> {
        self.accounts.get(&address.to_lowercase()).cloned()
    }

    /// An empty entry is none.
    pub(super) fn put(&mut self, address: &str, entry: Entry) {
        let address = address.to_lowercase();
        if entry.password.is_none() && entry.grant.is_none() {
            self.accounts.remove(&address);
        } else {
            self.accounts.insert(address, entry);
        }
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// With room for so many octets more, which sealing adds; `None` where it has no JSON, which only a lack of memory explains.
    pub(super) fn encode(&self, room: usize) -> Option<Zeroizing<Vec<u8>>> {
        // Counted first: a vector that grows leaves copies of what it holds behind.
        let mut count = Count(0);
        serde_json::to_writer(&mut count, self).ok()?;
        let mut plain = Zeroizing::new(Vec::with_capacity(count.0.saturating_add(room)));
        serde_json::to_writer(&mut *plain, self).ok()?;
        Some(plain)
    }

    pub(super) fn decode(plain: &[u8]) -> Option<Self> {
        serde_json::from_slice(plain).ok()
    }
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(octets.len());
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Base64, since a password may be no UTF-8; without escapes, JSON is read without copies that nobody wipes.
mod octets {
    use super::*;
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_str(&Zeroizing::new(STANDARD.encode(secret.expose()))),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        from.deserialize_str(Base64).map(Some)
    }

    struct Base64;

    impl Visitor<'_> for Base64 {
        type Value = Secret;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("base64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
            STANDARD.decode(text).map(Secret::new).map_err(|_| E::custom("not base64"))
        }
    }
}
