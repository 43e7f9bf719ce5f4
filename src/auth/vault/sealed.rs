//! The vault's file: octets in, octets out; no disk, no clock.
//!
//! ```text
//! footbridge-vault 1 LF
//! {"id":"32 hex digits","check":"16 hex digits","key":{"kind":"file"}} LF
//! 24 octets: nonce
//! the entries' JSON under XChaCha20-Poly1305, with both lines as associated data
//! ```
//!
//! The header names the key without giving anything of it away but a check of 64 bits, which tells a wrong key
//! (bring back the right one) from a damaged file.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::entries::Entries;

/// This format. An older one is read, a newer one is left alone.
const FORMAT: u32 = 1;

const MAGIC: &[u8] = b"footbridge-vault ";

/// A header has some 200 octets.
const LONGEST_HEADER: usize = 1024;

const NONCE: usize = 24;

/// What Poly1305 adds.
pub(super) const TAG: usize = 16;

/// Whose key: 16 random octets as hex digits; the user name of the keychain's entry, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Id(String);

/// The header's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    id: Id,
    check: String,
    key: Kind,
}

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Kind {
    /// The system's keychain.
    Keychain {},
    /// Argon2id (RFC 9106) of a passphrase.
    Passphrase(Cost),
    /// A systemd credential.
    Credential {},
    /// A file beside the vault.
    File {},
}

/// Argon2id's parameters (RFC 9106 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cost {
    pub(super) salt: Id,
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

/// The key that seals, and what tells it from others.
#[derive(Clone)]
pub(super) struct Key {
    seal: Zeroizing<[u8; 32]>,
    check: String,
}

/// Why octets are no vault of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Damaged,
    Newer(u32),
}

/// A vault before it is opened.
#[derive(Debug)]
pub(super) struct Sealed<'a> {
    pub(super) header: Header,
    head: &'a [u8],
    nonce: [u8; NONCE],
    body: &'a [u8],
}

impl Id {
    pub(super) fn random() -> Option<Self> {
        let mut octets = [0; 16];
        SystemRandom::new().fill(&mut octets).ok()?;
        Some(Self(hex(&octets)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
        if digits && text.len() == 32 { Ok(Self(text)) } else { Err("not 32 hex digits") }
    }
}

impl Header {
    pub(super) fn new(key: Kind, id: Id, sealed_with: &Key) -> Self {
        Self { id, check: sealed_with.check.clone(), key }
    }

    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.key
    }

    pub(super) fn is_sealed_with(&self, key: &Key) -> bool {
        self.check == key.check
    }
}

impl Key {
    /// Each vault has its own key, whatever else is made from the same material.
    pub(super) fn derive(material: &[u8], id: &Id) -> Self {
        let material = hmac::Key::new(hmac::HMAC_SHA256, material);
        let of = |purpose: &str| {
            hmac::sign(&material, format!("footbridge vault 1 {} {purpose}", id.as_str()).as_bytes())
        };
        let mut seal = Zeroizing::new([0; 32]);
        seal.copy_from_slice(of("seal").as_ref());
        Self { seal, check: hex(of("check").as_ref().get(..8).unwrap_or_default()) }
    }

    /// Another key, from which this one cannot be had.
    pub(super) fn for_purpose(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.seal);
        let mut derived = Zeroizing::new([0; 32]);
        derived.copy_from_slice(hmac::sign(&key, format!("footbridge {purpose}").as_bytes()).as_ref());
        derived
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.seal).into())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<key>")
    }
}

impl<'a> Sealed<'a> {
    pub(super) fn parse(octets: &'a [u8]) -> Result<Self, Fault> {
        let (first, rest) = line(octets)?;
        let version = first.strip_prefix(MAGIC).ok_or(Fault::Damaged)?;
        match std::str::from_utf8(version).ok().and_then(|version| version.parse().ok()) {
            Some(FORMAT) if version == FORMAT.to_string().as_bytes() => {}
            Some(newer) if newer > FORMAT => return Err(Fault::Newer(newer)),
            _ => return Err(Fault::Damaged),
        }
        let (second, rest) = line(rest)?;
        let header = serde_json::from_slice(second).map_err(|_| Fault::Damaged)?;
        let (nonce, body) = rest.split_first_chunk().ok_or(Fault::Damaged)?;
        let head = octets.get(..octets.len() - rest.len()).unwrap_or_default();
        Ok(Self { header, head, nonce: *nonce, body })
    }

    /// `None` where one octet is not what was sealed.
    pub(super) fn open(&self, key: &Key) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = Zeroizing::new(self.body.to_vec());
        key.cipher().decrypt_in_place(&XNonce::from(self.nonce), self.head, &mut *plain).ok()?;
        Some(plain)
    }
}

fn line(octets: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let end = octets.iter().take(LONGEST_HEADER).position(|octet| *octet == b'\n').ok_or(Fault::Damaged)?;
    let (line, rest) = octets.split_at(end);
    Ok((line, rest.get(1..).unwrap_or_default()))
}

/// The whole file; `None` where the system gives no random octets.
pub(super) fn seal(header: &Header, key: &Key, mut plain: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE];
    SystemRandom::new().fill(&mut nonce).ok()?;
    let json = serde_json::to_string(header).ok()?;
    let mut octets = Vec::with_capacity(LONGEST_HEADER + plain.len());
    octets.extend_from_slice(MAGIC);
    octets.extend_from_slice(format!("{FORMAT}\n{json}\n").as_bytes());
    key.cipher().encrypt_in_place(&XNonce::from(nonce), &octets, &mut *plain).ok()?;
    octets.extend_from_slice(&nonce);
    octets.extend_from_slice(&plain);
    Some(octets)
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What these octets hold in the form that is written, where the key made of `material` opens them: fuzz/ has it from
/// here.
#[doc(hidden)]
pub fn opened_with(material: &[u8], octets: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let sealed = Sealed::parse(octets).ok()?;
    let key = Key::derive(material, sealed.header.id());
    let plain = sealed.open(&key).filter(|_| sealed.header.is_sealed_with(&key))?;
    Entries::decode(&plain)?.encode(0)
}

/// A vault of these octets, which may be no entries at all, under the key made of `material`: fuzz/ has it from here.
#[doc(hidden)]
pub fn sealed_with(material: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let id = Id::random()?;
    let key = Key::derive(material, &id);
    seal(&Header::new(Kind::File {}, id, &key), &key, Zeroizing::new(plain.to_vec()))
}
