//! How the ledger writes a mailbox down: a head, blocks of UIDs, and blocks of identities.
//!
//! ```text
//!  head        UIDVALIDITY 4 | UIDNEXT 4, 0: not told | messages 4 | sum of the blocks' checksums 8 | checksum 8
//!  block       checksum 8 | 8 a message: octets 41 bits, mark of what upstream told of an exact one
//!              13 bits, UID within the block 9 bits, exact 1 bit
//!  identities  checksum 8 | 18 a message whose identity is known: UID within the block 2, identity 16
//! ```
//!
//! Little-endian. Checksums are over what names the value too, so that one that stands in the wrong place is none, and
//! the head's sum holds each block to this very head: what does not fit together is damage, never a listing. Blocks of
//! identities are in no sum: what they say of a UID is so as long as its UIDVALIDITY lasts.

use std::ops::RangeInclusive;

use bytes::{Buf, TryGetError};
use ring::digest::{Context, SHA256};

use crate::mail::{Identity, MessageSize, ToldSize, Uid, UidValidity};

/// UIDs a block is about: as many as let a full block fit a page of the file.
pub(super) const UIDS: u32 = 480;

/// UIDs a block of identities is about: a third of a block's, so that these fit a page too.
pub(super) const IDENTITY_UIDS: u32 = UIDS / 3;

/// 2 TiB; nobody has such a message.
const OCTETS: u64 = (1 << MARK_SHIFT) - 1;
const MARK_SHIFT: u32 = 41;
const MARK: u64 = (1 << UID_SHIFT) - 1 - OCTETS;
const UID_SHIFT: u32 = 54;
const EXACT: u64 = 1 << 63;

/// An entry, a checksum.
const EIGHT: usize = 8;

/// A message whose identity is known.
const EIGHTEEN: usize = 18;

/// More messages than upstream may list, and so none that were written.
const MESSAGES: u32 = 4 << 20;

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Shorter than anything that was written.
impl From<TryGetError> for Damaged {
    fn from(_: TryGetError) -> Self {
        Self
    }
}

/// A mailbox's name in the file, nothing that could be read from it: a half that all of an account's share, and its own.
pub(super) type Key = u128;

/// The names that begin with an account's half.
pub(super) fn keys_of(account: u64) -> RangeInclusive<Key> {
    key_of(account, 0)..=key_of(account, u64::MAX)
}

/// A name by its halves.
pub(super) fn key_of(account: u64, mailbox: u64) -> Key {
    Key::from(account) << 64 | Key::from(mailbox)
}

/// What is known of a mailbox as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) uid_validity: UidValidity,
    pub(super) uid_next: Option<Uid>,
    pub(super) messages: u32,
    /// Of the blocks' checksums, wrapping.
    pub(super) sum: u64,
}

impl Head {
    pub(super) fn encode(&self, key: Key) -> Vec<u8> {
        let mut octets = Vec::with_capacity(28);
        octets.extend(self.uid_validity.get().to_le_bytes());
        octets.extend(self.uid_next.map_or(0, Uid::get).to_le_bytes());
        octets.extend(self.messages.to_le_bytes());
        octets.extend(self.sum.to_le_bytes());
        octets.extend(checksum(&[b"head", &key.to_le_bytes(), &octets]).to_le_bytes());
        octets
    }

    pub(super) fn decode(key: Key, octets: &[u8]) -> Result<Self, Damaged> {
        let mut rest = octets;
        let uid_validity = UidValidity::new(rest.try_get_u32_le()?).ok_or(Damaged)?;
        let uid_next = Uid::new(rest.try_get_u32_le()?);
        let messages = rest.try_get_u32_le()?;
        let sum = rest.try_get_u64_le()?;
        let head = Self { uid_validity, uid_next, messages, sum };
        if messages > MESSAGES || head.encode(key) != octets {
            return Err(Damaged);
        }
        Ok(head)
    }
}

/// Which block a UID belongs to.
pub(super) fn block_of(uid: Uid) -> u32 {
    uid.get() / UIDS
}

/// A block's value and its checksum; `messages` ascend and belong to block `number`.
pub(super) fn encode(
    key: Key,
    uid_validity: UidValidity,
    number: u32,
    messages: &[(Uid, MessageSize)],
) -> (Vec<u8>, u64) {
    let mut octets = vec![0; EIGHT];
    for (uid, size) in messages {
        let exact = match size.is_exact() {
            true => EXACT | (u64::from(size.as_told().bits()) << MARK_SHIFT) & MARK,
            false => 0,
        };
        let entry = size.octets().min(OCTETS) | (u64::from(uid.get() % UIDS) << UID_SHIFT) | exact;
        octets.extend(entry.to_le_bytes());
    }
    let sum = checksum_of(key, uid_validity, number, octets.get(EIGHT..).unwrap_or_default());
    if let Some(first) = octets.first_chunk_mut() {
        *first = sum.to_le_bytes();
    }
    (octets, sum)
}

/// Appends a block's messages to `messages`; gives its checksum.
pub(super) fn decode(
    key: Key,
    uid_validity: UidValidity,
    number: u32,
    octets: &[u8],
    messages: &mut Vec<(Uid, MessageSize)>,
) -> Result<u64, Damaged> {
    let mut rest = octets;
    let sum = rest.try_get_u64_le()?;
    if rest.is_empty() || checksum_of(key, uid_validity, number, rest) != sum {
        return Err(Damaged);
    }
    let first = number.checked_mul(UIDS).ok_or(Damaged)?;
    while !rest.is_empty() {
        let entry = rest.try_get_u64_le()?;
        let within = u32::try_from((entry & !EXACT) >> UID_SHIFT).map_err(|_| Damaged)?;
        let uid = first.checked_add(within).filter(|_| within < UIDS).and_then(Uid::new).ok_or(Damaged)?;
        if messages.last().is_some_and(|(last, _)| *last >= uid) {
            return Err(Damaged);
        }
        let octets = entry & OCTETS;
        let mark = u16::try_from((entry & MARK) >> MARK_SHIFT).map_err(|_| Damaged)?;
        let size = match entry & EXACT {
            0 => MessageSize::told(octets),
            _ => MessageSize::exact(octets, ToldSize::from_bits(mark)),
        };
        messages.push((uid, size));
    }
    Ok(sum)
}

/// Which block of identities a UID belongs to.
pub(super) fn identity_block_of(uid: Uid) -> u32 {
    uid.get() / IDENTITY_UIDS
}

/// A block of identities; they ascend by UID and belong to block `number`.
pub(super) fn encode_identities(
    key: Key,
    uid_validity: UidValidity,
    number: u32,
    identities: &[(Uid, Identity)],
) -> Vec<u8> {
    let mut octets = vec![0; EIGHT];
    for (uid, identity) in identities {
        let within = u16::try_from(uid.get() % IDENTITY_UIDS).unwrap_or_default();
        octets.extend(within.to_le_bytes());
        octets.extend(identity.as_octets());
    }
    let entries = octets.get(EIGHT..).unwrap_or_default();
    let sum = checksum_named(b"identities", key, uid_validity, number, entries);
    if let Some(first) = octets.first_chunk_mut() {
        *first = sum.to_le_bytes();
    }
    octets
}

/// How many identities are in a block.
pub(super) fn identities_in(octets: &[u8]) -> usize {
    octets.len().saturating_sub(EIGHT) / EIGHTEEN
}

/// Appends a block's identities to `identities`.
pub(super) fn decode_identities(
    key: Key,
    uid_validity: UidValidity,
    number: u32,
    octets: &[u8],
    identities: &mut Vec<(Uid, Identity)>,
) -> Result<(), Damaged> {
    let mut rest = octets;
    let sum = rest.try_get_u64_le()?;
    if rest.is_empty() || checksum_named(b"identities", key, uid_validity, number, rest) != sum {
        return Err(Damaged);
    }
    let first = number.checked_mul(IDENTITY_UIDS).ok_or(Damaged)?;
    while !rest.is_empty() {
        let within = u32::from(rest.try_get_u16_le()?);
        let mut identity = [0; 16];
        rest.try_copy_to_slice(&mut identity)?;
        let identity = Identity::from_octets(identity);
        let uid = first.checked_add(within).filter(|_| within < IDENTITY_UIDS).and_then(Uid::new);
        let uid = uid.filter(|uid| identities.last().is_none_or(|(last, _)| last < uid)).ok_or(Damaged)?;
        identities.push((uid, identity));
    }
    Ok(())
}

fn checksum_of(key: Key, uid_validity: UidValidity, number: u32, entries: &[u8]) -> u64 {
    checksum_named(b"block", key, uid_validity, number, entries)
}

fn checksum_named(kind: &[u8], key: Key, uid_validity: UidValidity, number: u32, entries: &[u8]) -> u64 {
    let (uid_validity, number) = (uid_validity.get().to_le_bytes(), number.to_le_bytes());
    checksum(&[kind, &key.to_le_bytes(), &uid_validity, &number, entries])
}

fn checksum(parts: &[&[u8]]) -> u64 {
    let mut hash = Context::new(&SHA256);
    parts.iter().for_each(|part| hash.update(part));
    hash.finish().as_ref().first_chunk().copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::mail::ObjectId;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn validity(number: u32) -> UidValidity {
        UidValidity::new(number).unwrap()
    }

    #[test]
    fn a_full_block_and_what_names_it_fit_a_page() {
        let messages: Vec<_> = (UIDS..UIDS * 2)
            .map(|number| (uid(number), MessageSize::exact(OCTETS, ToldSize::of(OCTETS))))
            .collect();
        assert!(encode(1, validity(1), 1, &messages).0.len() + 100 < 4096);
        let identities: Vec<_> =
            (IDENTITY_UIDS..IDENTITY_UIDS * 2).map(|at| (uid(at), identity(9))).collect();
        assert!(encode_identities(1, validity(1), 1, &identities).len() + 100 < 4096);
    }

    fn identity(number: u64) -> Identity {
        Identity::told(ObjectId::Gmail(number))
    }

    /// A block is read as it was written, and by another name, or with another bit, not at all.
    fn is_read_by_its_name_alone<T: PartialEq + Debug>(
        block: u32,
        mut octets: Vec<u8>,
        written: T,
        read: impl Fn(Key, UidValidity, u32, &[u8]) -> Result<T, Damaged>,
        (flip, bit): (prop::sample::Index, u8),
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(read(7, validity(3), block, &octets), Ok(written));
        prop_assert_eq!(read(8, validity(3), block, &octets), Err(Damaged));
        prop_assert_eq!(read(7, validity(4), block, &octets), Err(Damaged));
        prop_assert_eq!(read(7, validity(3), block - 1, &octets), Err(Damaged));
        let at = flip.index(octets.len());
        octets[at] ^= 1 << bit;
        prop_assert_eq!(read(7, validity(3), block, &octets), Err(Damaged));
        Ok(())
    }

    proptest! {
        #[test]
        fn a_block_comes_back_as_it_was_and_with_another_name_or_octet_not_at_all(
            numbers in prop::collection::btree_map(0..UIDS, (0u64..1 << 50, any::<bool>()), 1..20),
            block in 1u32..u32::MAX / UIDS,
            flipped in (any::<prop::sample::Index>(), 0u8..8),
        ) {
            let messages: Vec<_> = numbers.into_iter().map(|(within, (octets, exact))| {
                let octets = octets.min(OCTETS);
                let told = ToldSize::of(octets ^ 1);
                let size = if exact { MessageSize::exact(octets, told) } else { MessageSize::told(octets) };
                (uid(block * UIDS + within), size)
            }).collect();
            let (octets, sum) = encode(7, validity(3), block, &messages);
            let read = |key, validity, block, octets: &[u8]| {
                let mut messages = Vec::new();
                decode(key, validity, block, octets, &mut messages).map(|sum| (messages, sum))
            };
            is_read_by_its_name_alone(block, octets, (messages, sum), read, flipped)?;
        }

        #[test]
        fn identities_come_back_as_they_were_and_with_another_name_or_octet_not_at_all(
            numbers in prop::collection::btree_map(0..IDENTITY_UIDS, any::<u64>(), 1..20),
            block in 1u32..u32::MAX / IDENTITY_UIDS,
            flipped in (any::<prop::sample::Index>(), 0u8..8),
        ) {
            let known: Vec<_> = numbers.into_iter()
                .map(|(within, number)| (uid(block * IDENTITY_UIDS + within), identity(number)))
                .collect();
            let octets = encode_identities(7, validity(3), block, &known);
            let read = |key, validity, block, octets: &[u8]| {
                let mut identities = Vec::new();
                decode_identities(key, validity, block, octets, &mut identities).map(|()| identities)
            };
            is_read_by_its_name_alone(block, octets, known, read, flipped)?;
        }

        #[test]
        fn a_head_comes_back_as_it_was_or_not_at_all(
            (validity_number, next, messages, sum) in (1u32.., any::<u32>(), 0..=MESSAGES, any::<u64>()),
            flip in 0usize..28,
        ) {
            let head = Head { uid_validity: validity(validity_number), uid_next: Uid::new(next), messages, sum };
            let mut octets = head.encode(7);
            prop_assert_eq!(Head::decode(7, &octets), Ok(head));
            prop_assert_eq!(Head::decode(8, &octets), Err(Damaged));
            octets[flip] ^= 1;
            prop_assert_eq!(Head::decode(7, &octets), Err(Damaged));
        }

        #[test]
        fn any_octets_are_damage(octets in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decode(7, validity(1), 1, &octets, &mut Vec::new()), Err(Damaged));
            prop_assert_eq!(decode_identities(7, validity(1), 1, &octets, &mut Vec::new()), Err(Damaged));
            prop_assert_eq!(Head::decode(7, &octets), Err(Damaged));
        }
    }
}
