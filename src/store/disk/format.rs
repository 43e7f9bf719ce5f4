//! A body's file: octets in, octets out; no disk, no clock.
//!
//! ```text
//! "footbridge-body 2" LF │ form │ salt (19) │ octets (u64) │ length of the key (u16) │ the key
//! chunk 0 (65,536) │ check (16)        every chunk but the last is full
//! ...
//! octets POP3 counts (u64) │ check (16)
//! ```
//!
//! Numbers are big-endian. Each check covers the head, the key, the chunk's place and its octets, so a chunk that is
//! damaged, moved, cut off or taken from another file is found out before it is handed on; the last one, which is
//! looked at first, covers the length. Two forms:
//!
//! - `p`, plain: the check is the beginning of a SHA-256. Whoever can read the file can read the mail.
//! - `s`, sealed: the STREAM construction over XChaCha20-Poly1305 (salt, place and whether it is the last make the
//!   nonce); the key is not in the file and only enters the checks.

use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::store::BodyKey;

/// Octets of a body to a check.
pub(super) const CHUNK: usize = 64 * 1024;

/// Octets of a check: what Poly1305 has, and enough of a SHA-256 that no accident passes.
pub(super) const CHECK: usize = 16;

/// The last chunk has the number of octets that POP3 counts.
pub(super) const LAST: usize = 8 + CHECK;

/// This format. Files of another one are not read.
const MAGIC: &[u8] = b"footbridge-body 2\n";

const SALT: usize = 19;

/// What comes before the key.
pub(super) const FIXED: usize = MAGIC.len() + 1 + SALT + 8 + 2;

/// The longest key: an address has some 320 octets, a mailbox name rarely more than 1,000.
pub(super) const LONGEST_KEY: usize = 4096;

/// How files are written and read in this run.
pub(super) enum Form {
    /// As they are.
    Plain,
    /// For whoever has this key alone.
    Sealed { seal: Box<XChaCha20Poly1305>, names: hmac::Key },
}

/// A file's name: 128 bits of a hash of the key, keyed where the file is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name(pub(super) u128);

/// Turns a body into a file's octets, or back.
pub(super) struct Code {
    /// What every check covers: a hash of head and key.
    covered: [u8; 32],
    salt: [u8; SALT],
    seal: Option<Box<XChaCha20Poly1305>>,
}

impl Form {
    /// Sealed with a key that is made from this one.
    pub(super) fn sealed(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let of = |purpose: &str| hmac::sign(&key, format!("footbridge bodies 1 {purpose}").as_bytes());
        let mut seal = Zeroizing::new([0; 32]);
        seal.copy_from_slice(of("seal").as_ref());
        let names = hmac::Key::new(hmac::HMAC_SHA256, of("names").as_ref());
        Self::Sealed { seal: Box::new(XChaCha20Poly1305::new((&*seal).into())), names }
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed { .. })
    }

    /// The file that a body of this key is in.
    pub(super) fn name(&self, key: &BodyKey) -> Name {
        let key = encoded(key);
        let of = |hash: &[u8]| Name(hash.first_chunk().map_or(0, |first| u128::from_be_bytes(*first)));
        match self {
            Self::Plain => of(digest::digest(&digest::SHA256, &key).as_ref()),
            Self::Sealed { names, .. } => of(hmac::sign(names, &key).as_ref()),
        }
    }

    /// The octets of a whole file; `None` for a key that no file has room for.
    pub(super) fn file_octets(&self, key: &BodyKey, octets: u64) -> Option<u64> {
        let key = encoded(key).len();
        if key > LONGEST_KEY {
            return None;
        }
        let key = if self.is_sealed() { 0 } else { key };
        let checks = octets.div_ceil(CHUNK as u64).checked_mul(CHECK as u64)?;
        octets.checked_add(checks)?.checked_add((FIXED + key + LAST) as u64)
    }

    /// The head of a new file, and what makes the rest of it; `None` where the system gives no random octets.
    pub(super) fn begin(&self, key: &BodyKey, octets: u64) -> Option<(Vec<u8>, Code)> {
        let mut salt = [0; SALT];
        SystemRandom::new().fill(&mut salt).ok()?;
        let key = encoded(key);
        let shown: &[u8] = if self.is_sealed() { &[] } else { &key };
        let mut head = Vec::with_capacity(FIXED + shown.len());
        head.extend_from_slice(MAGIC);
        head.push(self.letter());
        head.extend_from_slice(&salt);
        head.extend_from_slice(&octets.to_be_bytes());
        head.extend_from_slice(&u16::try_from(shown.len()).ok()?.to_be_bytes());
        head.extend_from_slice(shown);
        let code = self.code(&head, &key, salt);
        Some((head, code))
    }

    /// How long the key is that follows what comes first; `None` for what is no file of this form.
    pub(super) fn key_octets(&self, fixed: &[u8; FIXED]) -> Option<usize> {
        let rest = fixed.strip_prefix(MAGIC)?;
        let (letter, _) = rest.split_first()?;
        let key = usize::from(u16::from_be_bytes(*fixed.last_chunk()?));
        let right = *letter == self.letter() && (key == 0) == self.is_sealed() && key <= LONGEST_KEY;
        right.then_some(key)
    }

    /// What opens a file with this head, and its body's octets; `None` where it is another body's. Believed only
    /// once the last chunk was opened.
    pub(super) fn open(&self, key: &BodyKey, head: &[u8]) -> Option<(Code, u64)> {
        let (fixed, shown) = head.split_first_chunk::<FIXED>()?;
        let key = encoded(key);
        if self.key_octets(fixed)? != shown.len() || (!self.is_sealed() && shown != key) {
            return None;
        }
        let salt = fixed.get(MAGIC.len() + 1..)?.first_chunk()?;
        let octets = fixed.get(MAGIC.len() + 1 + SALT..)?.first_chunk()?;
        Some((self.code(head, &key, *salt), u64::from_be_bytes(*octets)))
    }

    fn letter(&self) -> u8 {
        if self.is_sealed() { b's' } else { b'p' }
    }

    fn code(&self, head: &[u8], key: &[u8], salt: [u8; SALT]) -> Code {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(head);
        hash.update(key);
        let mut covered = [0; 32];
        covered.copy_from_slice(hash.finish().as_ref());
        let seal = match self {
            Self::Plain => None,
            Self::Sealed { seal, .. } => Some(seal.clone()),
        };
        Code { covered, salt, seal }
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_sealed() { "sealed" } else { "plain" })
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<code>")
    }
}

impl Code {
    /// Makes a chunk what stands in the file, check included; `None` past the last place there is.
    pub(super) fn close(&self, place: u64, last: bool, chunk: &mut Vec<u8>) -> Option<()> {
        match &self.seal {
            Some(seal) => seal.encrypt_in_place(&self.nonce(place, last)?, &self.covered, chunk).ok(),
            None => {
                let check = self.check(place, last, chunk);
                chunk.extend_from_slice(&check);
                Some(())
            }
        }
    }

    /// The other way; `None` where one octet is not what was written there.
    pub(super) fn open(&self, place: u64, last: bool, mut chunk: Vec<u8>) -> Option<Bytes> {
        if let Some(seal) = &self.seal {
            seal.decrypt_in_place(&self.nonce(place, last)?, &self.covered, &mut chunk).ok()?;
            return Some(chunk.into());
        }
        let octets = chunk.len().checked_sub(CHECK)?;
        let (body, told) = chunk.split_at_checked(octets)?;
        if self.check(place, last, body) != told {
            return None;
        }
        chunk.truncate(octets);
        Some(chunk.into())
    }

    fn nonce(&self, place: u64, last: bool) -> Option<XNonce> {
        let mut nonce = [0; 24];
        nonce.get_mut(..SALT)?.copy_from_slice(&self.salt);
        nonce.get_mut(SALT..SALT + 4)?.copy_from_slice(&u32::try_from(place).ok()?.to_be_bytes());
        *nonce.last_mut()? = last.into();
        Some(nonce.into())
    }

    fn check(&self, place: u64, last: bool, chunk: &[u8]) -> [u8; CHECK] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.covered);
        hash.update(&place.to_be_bytes());
        hash.update(&[last.into()]);
        hash.update(chunk);
        hash.finish().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// All five parts, none of which can run into the next.
fn encoded(key: &BodyKey) -> Vec<u8> {
    let mut octets = Vec::with_capacity(key.account.len() + key.mailbox.len() + 26);
    for part in [&key.account, &key.mailbox] {
        octets.extend_from_slice(&(part.len() as u64).to_be_bytes());
        octets.extend_from_slice(part.as_bytes());
    }
    octets.extend_from_slice(&key.uid_validity.get().to_be_bytes());
    octets.extend_from_slice(&key.uid.get().to_be_bytes());
    octets.extend_from_slice(&key.told.bits().to_be_bytes());
    octets
}
