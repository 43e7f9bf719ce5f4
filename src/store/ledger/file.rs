//! The ledger's file: what is in which table, read and written in one transaction each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::block::{self, Head, Key};
use super::fault::Fault;
use crate::mail::{Identity, Listed, MessageSize, Uid, UidValidity};

/// What the file holds, and how. A newer one is left alone; an older one had no identities, or did not say of which
/// message an exact size is, or whose a mailbox is, and is begun anew, so that all of a mailbox's come in with the next
/// listing.
pub(super) const FORMAT: u64 = 4;

/// The one row says the format.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const FORMAT_ROW: &str = "format";

/// Heads by mailbox.
const MAILBOXES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("mailboxes");

/// Blocks by mailbox and number.
const BLOCKS: TableDefinition<'_, (Key, u32), &[u8]> = TableDefinition::new("blocks");

/// Blocks of identities by mailbox and number.
const IDENTITIES: TableDefinition<'_, (Key, u32), &[u8]> = TableDefinition::new("identities");

/// redb would take up to a gigabyte.
const CACHE: usize = 2 << 20;

/// Opens the file, an empty one as a new ledger. What was damaged is found here: redb itself trusts a file that was
/// closed in order, and panics over one that deserves no trust.
pub(super) fn open(file: File) -> Result<Database, Fault> {
    if is_newer(file.try_clone().map_err(|error| Fault::Io(error.to_string()))?) {
        return Err(Fault::Newer);
    }
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(FileBackend::new(file)?)?;
    match format(&database)? {
        Some(FORMAT) => Ok(database),
        Some(newer) if newer > FORMAT => Err(Fault::Newer),
        Some(_) | None => {
            begin(&database)?;
            Ok(database)
        }
    }
}

/// Looked at before anything is written, as any other opening would. A file that cannot be looked at is not newer.
fn is_newer(file: File) -> bool {
    let looked = catch_unwind(AssertUnwindSafe(|| {
        let backend = FileBackend::new(file).ok()?;
        format(&Builder::new().set_cache_size(CACHE).open_read_only_with_backend(backend).ok()?).ok()?
    }));
    looked.ok().flatten().is_some_and(|format| format > FORMAT)
}

/// `None`: there is nothing in it.
fn format(database: &impl ReadableDatabase) -> Result<Option<u64>, Fault> {
    let reading = database.begin_read()?;
    if reading.list_tables()?.next().is_none() {
        return Ok(None);
    }
    match reading.open_table(ABOUT) {
        Ok(about) => Ok(Some(about.get(FORMAT_ROW)?.ok_or(Fault::Damaged)?.value())),
        Err(error) => Err(error.into()),
    }
}

fn begin(database: &Database) -> Result<(), Fault> {
    let writing = database.begin_write()?;
    writing.open_table(ABOUT)?.insert(FORMAT_ROW, FORMAT)?;
    writing.delete_table(MAILBOXES)?;
    writing.delete_table(BLOCKS)?;
    writing.delete_table(IDENTITIES)?;
    writing.open_table(MAILBOXES)?;
    writing.open_table(BLOCKS)?;
    writing.open_table(IDENTITIES)?;
    Ok(writing.commit()?)
}

/// A mailbox as it was written last; `None` where it never was.
pub(super) fn read(database: &Database, key: Key) -> Result<Option<Listed>, Fault> {
    listed(&database.begin_read()?, key)
}

/// The same, with the identities that are known of its messages, ascending.
pub(super) fn read_all(database: &Database, key: Key) -> Result<Option<Before>, Fault> {
    let reading = database.begin_read()?;
    let Some(listed) = listed(&reading, key)? else { return Ok(None) };
    let blocks = reading.open_table(IDENTITIES)?;
    let all = (key, 0)..=(key, u32::MAX);
    let mut known = 0;
    for block in blocks.range(all.clone())? {
        known += block::identities_in(block?.1.value());
    }
    let mut identities = Vec::with_capacity(known);
    for block in blocks.range(all)? {
        let (name, block) = block?;
        let number = name.value().1;
        block::decode_identities(key, listed.uid_validity, number, block.value(), &mut identities)?;
    }
    Ok(Some(Before { listed, identities }))
}

fn listed(reading: &ReadTransaction, key: Key) -> Result<Option<Listed>, Fault> {
    let heads = reading.open_table(MAILBOXES)?;
    let Some(head) = heads.get(key)? else { return Ok(None) };
    let head = Head::decode(key, head.value())?;
    let mut messages = Vec::with_capacity(usize::try_from(head.messages).map_err(|_| Fault::Damaged)?);
    let mut sum = 0u64;
    for block in reading.open_table(BLOCKS)?.range((key, 0)..=(key, u32::MAX))? {
        let (name, block) = block?;
        let number = name.value().1;
        sum = sum.wrapping_add(block::decode(key, head.uid_validity, number, block.value(), &mut messages)?);
    }
    let last = messages.last().map(|(uid, _)| *uid);
    let whole = sum == head.sum && u32::try_from(messages.len()) == Ok(head.messages);
    if !whole || head.uid_next.is_some_and(|next| last >= Some(next)) {
        return Err(Fault::Damaged);
    }
    Ok(Some(Listed { uid_validity: head.uid_validity, uid_next: head.uid_next, messages }))
}

/// Removes all about the mailboxes of these names, and says how many there were.
pub(super) fn forget(database: &Database, keys: &RangeInclusive<Key>) -> Result<u64, Fault> {
    let writing = database.begin_write()?;
    let mut mailboxes = 0;
    writing.open_table(MAILBOXES)?.retain_in(keys.clone(), |_, _| {
        mailboxes += 1;
        false
    })?;
    let blocks = (*keys.start(), 0)..=(*keys.end(), u32::MAX);
    for table in [BLOCKS, IDENTITIES] {
        writing.open_table(table)?.retain_in(blocks.clone(), |_, _| false)?;
    }
    writing.commit()?;
    Ok(mailboxes)
}

/// What a mailbox was like when it was written last.
#[derive(Debug)]
pub struct Before {
    /// Its messages.
    pub listed: Listed,
    /// What is known of their identities, ascending, each UID once.
    pub identities: Vec<(Uid, Identity)>,
}

impl Before {
    /// Takes the identities of those messages of which none is known, each UID once.
    pub(super) fn fill_in(&mut self, known: impl Iterator<Item = (Uid, Identity)>) {
        let there = &self.identities;
        let is_new = |uid: &Uid| there.binary_search_by_key(uid, |(uid, _)| *uid).is_err();
        let new: Vec<_> = known.filter(|(uid, _)| is_new(uid)).collect();
        if !new.is_empty() {
            self.identities.extend(new);
            self.identities.sort_unstable();
        }
    }
}

/// A mailbox as it was listed.
#[derive(Debug)]
pub(super) struct News {
    pub(super) listed: Listed,
    /// What upstream told of identities, ascending; those that are known of other messages stay.
    pub(super) identities: Vec<(Uid, Identity)>,
}

/// What became known of messages, ascending by UID each.
#[derive(Debug)]
pub(super) struct Learnt {
    pub(super) uid_validity: UidValidity,
    /// Exact sizes.
    pub(super) sizes: Vec<(Uid, MessageSize)>,
    /// Identities made of headers, which take the place of none that upstream told.
    pub(super) identities: Vec<(Uid, Identity)>,
}

/// Writes a mailbox as it was listed, and what was learnt of its messages; on the disk when this returns. Exact sizes
/// stay where the listing does not tell that the messages are others. Where nothing is new nothing is written.
pub(super) fn write(
    database: &Database,
    key: Key,
    news: Option<&News>,
    learnt: Option<&Learnt>,
) -> Result<(), Fault> {
    let writing = database.begin_write()?;
    let changed = {
        let mut heads = writing.open_table(MAILBOXES)?;
        let before = heads.get(key)?.map(|head| Head::decode(key, head.value())).transpose()?;
        let mut page = Page {
            key,
            blocks: writing.open_table(BLOCKS)?,
            identities: writing.open_table(IDENTITIES)?,
            changed: BTreeSet::new(),
            is_changed: false,
        };
        let mut head = before;
        if let Some(News { listed, identities }) = news {
            head = Some(page.put(before, listed)?);
            page.put_identities(listed.uid_validity, identities, |_| true)?;
        }
        if let (Some(head), Some(learnt)) = (&mut head, learnt)
            && head.uid_validity == learnt.uid_validity
        {
            page.correct(head, learnt)?;
            page.put_identities(head.uid_validity, &learnt.identities, |before| before.octets().is_some())?;
        }
        match head {
            Some(head) if Some(head) != before => {
                heads.insert(key, head.encode(key).as_slice())?;
                true
            }
            _ => page.is_changed,
        }
    };
    if changed { Ok(writing.commit()?) } else { Ok(writing.abort()?) }
}

/// Blocks of identities that belong to one block.
const IDENTITY_BLOCKS: u32 = block::UIDS / block::IDENTITY_UIDS;

/// The blocks of identities of a block's messages.
fn identity_blocks(number: u32) -> impl Iterator<Item = u32> {
    let first = number.saturating_mul(IDENTITY_BLOCKS);
    (0..IDENTITY_BLOCKS).map(move |more| first.saturating_add(more))
}

/// One mailbox's blocks, being written.
struct Page<'t> {
    key: Key,
    blocks: Table<'t, (Key, u32), &'static [u8]>,
    identities: Table<'t, (Key, u32), &'static [u8]>,
    /// Blocks that have other messages now, whose identities are yet to follow.
    changed: BTreeSet<u32>,
    is_changed: bool,
}

impl Page<'_> {
    fn put(&mut self, before: Option<Head>, listed: &Listed) -> Result<Head, Fault> {
        let uid_validity = listed.uid_validity;
        let renumbered = before.is_some_and(|head| head.uid_validity != uid_validity);
        let mut head = Head {
            uid_validity,
            uid_next: listed.uid_next,
            messages: u32::try_from(listed.messages.len()).map_err(|_| Fault::Damaged)?,
            sum: before.filter(|_| !renumbered).map_or(0, |head| head.sum),
        };
        let mut old = self.numbers()?;
        if renumbered {
            for number in old.drain(..) {
                self.blocks.remove((self.key, number))?;
                for number in identity_blocks(number) {
                    self.identities.remove((self.key, number))?;
                }
                self.is_changed = true;
            }
        }
        let mut old = old.into_iter().peekable();
        for messages in
            listed.messages.chunk_by(|(one, _), (next, _)| block::block_of(*one) == block::block_of(*next))
        {
            let Some((first, _)) = messages.first() else { continue };
            let number = block::block_of(*first);
            while let Some(gone) = old.next_if(|old| *old < number) {
                self.remove(&mut head, gone)?;
            }
            old.next_if_eq(&number);
            self.replace(&mut head, number, |before| {
                let mut messages = messages.to_vec();
                MessageSize::keep_exact(&mut messages, &before);
                messages
            })?;
        }
        for gone in old {
            self.remove(&mut head, gone)?;
        }
        Ok(head)
    }

    fn correct(&mut self, head: &mut Head, learnt: &Learnt) -> Result<(), Fault> {
        for sizes in
            learnt.sizes.chunk_by(|(one, _), (next, _)| block::block_of(*one) == block::block_of(*next))
        {
            let Some((first, _)) = sizes.first() else { continue };
            self.replace(head, block::block_of(*first), |mut messages| {
                for (uid, exact) in sizes {
                    if let Ok(at) = messages.binary_search_by_key(uid, |(uid, _)| *uid)
                        && let Some((_, size)) = messages.get_mut(at)
                    {
                        size.correct(*exact);
                    }
                }
                messages
            })?;
        }
        Ok(())
    }

    /// The numbers of the mailbox's blocks, ascending.
    fn numbers(&self) -> Result<Vec<u32>, Fault> {
        let blocks = self.blocks.range((self.key, 0)..=(self.key, u32::MAX))?;
        blocks.map(|block| Ok(block?.0.value().1)).collect()
    }

    /// Writes a block anew from what was in it, if that makes a difference.
    fn replace(
        &mut self,
        head: &mut Head,
        number: u32,
        make: impl FnOnce(Vec<(Uid, MessageSize)>) -> Vec<(Uid, MessageSize)>,
    ) -> Result<(), Fault> {
        let mut before = Vec::new();
        let mut old = 0;
        if let Some(block) = self.blocks.get((self.key, number))? {
            old = block::decode(self.key, head.uid_validity, number, block.value(), &mut before)?;
        }
        let messages = make(before.clone());
        if messages != before {
            let (block, new) = block::encode(self.key, head.uid_validity, number, &messages);
            self.blocks.insert((self.key, number), block.as_slice())?;
            head.sum = head.sum.wrapping_sub(old).wrapping_add(new);
            self.is_changed = true;
            self.changed.insert(number);
        }
        Ok(())
    }

    fn remove(&mut self, head: &mut Head, number: u32) -> Result<(), Fault> {
        let mut messages = Vec::new();
        if let Some(block) = self.blocks.remove((self.key, number))? {
            let old = block::decode(self.key, head.uid_validity, number, block.value(), &mut messages)?;
            head.sum = head.sum.wrapping_sub(old);
        }
        self.is_changed = true;
        self.changed.insert(number);
        Ok(())
    }

    /// Puts identities beside the messages they are of, and takes those away whose messages went. One that is known
    /// already gives way where `gives_way` says so.
    fn put_identities(
        &mut self,
        uid_validity: UidValidity,
        identities: &[(Uid, Identity)],
        gives_way: impl Fn(&Identity) -> bool,
    ) -> Result<(), Fault> {
        let mut numbers: BTreeSet<u32> =
            std::mem::take(&mut self.changed).into_iter().flat_map(identity_blocks).collect();
        numbers.extend(identities.iter().map(|(uid, _)| block::identity_block_of(*uid)));
        // The last block of messages that was read: three of identities belong to one.
        let mut there: (Option<u32>, Vec<(Uid, MessageSize)>) = (None, Vec::new());
        for number in numbers {
            let mut before = Vec::new();
            if let Some(block) = self.identities.get((self.key, number))? {
                block::decode_identities(self.key, uid_validity, number, block.value(), &mut before)?;
            }
            let mut known: BTreeMap<Uid, Identity> = before.iter().copied().collect();
            let from = identities.partition_point(|(uid, _)| block::identity_block_of(*uid) < number);
            let new = identities.get(from..).unwrap_or_default().iter();
            for (uid, identity) in new.take_while(|(uid, _)| block::identity_block_of(*uid) == number) {
                let place = known.entry(*uid).or_insert(*identity);
                if gives_way(place) {
                    *place = *identity;
                }
            }
            if known.is_empty() {
                continue;
            }
            let of = number / IDENTITY_BLOCKS;
            if there.0 != Some(of) {
                there = (Some(of), self.messages(uid_validity, of)?);
            }
            known.retain(|uid, _| there.1.binary_search_by_key(uid, |(uid, _)| *uid).is_ok());
            let after: Vec<_> = known.into_iter().collect();
            if after == before {
                continue;
            }
            self.is_changed = true;
            if after.is_empty() {
                self.identities.remove((self.key, number))?;
            } else {
                let block = block::encode_identities(self.key, uid_validity, number, &after);
                self.identities.insert((self.key, number), block.as_slice())?;
            }
        }
        Ok(())
    }

    /// The messages of a block, ascending.
    fn messages(&self, uid_validity: UidValidity, number: u32) -> Result<Vec<(Uid, MessageSize)>, Fault> {
        let mut messages = Vec::new();
        if let Some(block) = self.blocks.get((self.key, number))? {
            block::decode(self.key, uid_validity, number, block.value(), &mut messages)?;
        }
        Ok(messages)
    }
}
