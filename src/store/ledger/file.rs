//! The ledger's file: what is in which table, read and written in one transaction each.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
    TableError,
};

use super::super::FolderError;
use super::block::{self, Damaged, Head, Key};
use crate::mail::{Listed, MessageSize, Uid, UidValidity};

/// What the file holds, and how. A newer one is left alone.
const FORMAT: u64 = 1;

/// The one row says the format.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const FORMAT_ROW: &str = "format";

/// Heads by mailbox.
const MAILBOXES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("mailboxes");

/// Blocks by mailbox and number.
const BLOCKS: TableDefinition<'_, (Key, u32), &[u8]> = TableDefinition::new("blocks");

/// redb would take up to a gigabyte.
const CACHE: usize = 2 << 20;

/// Why the file could not be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// What is in it cannot be what was written.
    Damaged,
    /// A later footbridge wrote it.
    Newer,
    /// Another process has it open.
    Busy,
    /// The state folder is not to be used.
    Folder(FolderError),
    /// The system's fault, in its words.
    Io(String),
}

impl From<Damaged> for Fault {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// redb's errors say what happened; what we do about it is one of four things.
impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        use redb::Error as E;
        match error {
            E::DatabaseAlreadyOpen | E::LockProtocolMismatch => Self::Busy,
            E::Io(error) => Self::Io(error.to_string()),
            E::PreviousIo | E::DatabaseClosed | E::LockPoisoned(_) => {
                Self::Io("an earlier operation on it failed".to_owned())
            }
            _ => Self::Damaged,
        }
    }
}

macro_rules! by_way_of_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}
by_way_of_redb!(DatabaseError, StorageError, TableError, redb::TransactionError, redb::CommitError);

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
        Some(_) => Err(Fault::Damaged),
        None => {
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
    writing.open_table(MAILBOXES)?;
    writing.open_table(BLOCKS)?;
    Ok(writing.commit()?)
}

/// A mailbox as it was written last; `None` where it never was.
pub(super) fn read(database: &Database, key: Key) -> Result<Option<Listed>, Fault> {
    let reading = database.begin_read()?;
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

/// Exact sizes that became known, ascending by UID.
#[derive(Debug)]
pub(super) struct Learnt {
    pub(super) uid_validity: UidValidity,
    pub(super) sizes: Vec<(Uid, u64)>,
}

/// Writes a mailbox as it was listed, and what was learnt of its messages; on the disk when this returns. Exact sizes
/// stay, whatever the listing says. Where nothing is new nothing is written.
pub(super) fn write(
    database: &Database,
    key: Key,
    listed: Option<&Listed>,
    learnt: Option<&Learnt>,
) -> Result<(), Fault> {
    let writing = database.begin_write()?;
    let changed = {
        let mut heads = writing.open_table(MAILBOXES)?;
        let before = heads.get(key)?.map(|head| Head::decode(key, head.value())).transpose()?;
        let mut page = Page { key, blocks: writing.open_table(BLOCKS)?, changed: false };
        let mut head = before;
        if let Some(listed) = listed {
            head = Some(page.put(before, listed)?);
        }
        if let (Some(head), Some(learnt)) = (&mut head, learnt) {
            page.correct(head, learnt)?;
        }
        match head {
            Some(head) if Some(head) != before => {
                heads.insert(key, head.encode(key).as_slice())?;
                true
            }
            _ => page.changed,
        }
    };
    if changed { Ok(writing.commit()?) } else { Ok(writing.abort()?) }
}

/// One mailbox's blocks, being written.
struct Page<'t> {
    key: Key,
    blocks: Table<'t, (Key, u32), &'static [u8]>,
    changed: bool,
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
                self.changed = true;
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
        if head.uid_validity != learnt.uid_validity {
            return Ok(());
        }
        for sizes in
            learnt.sizes.chunk_by(|(one, _), (next, _)| block::block_of(*one) == block::block_of(*next))
        {
            let Some((first, _)) = sizes.first() else { continue };
            self.replace(head, block::block_of(*first), |mut messages| {
                for (uid, octets) in sizes {
                    if let Ok(at) = messages.binary_search_by_key(uid, |(uid, _)| *uid)
                        && let Some((_, size)) = messages.get_mut(at)
                    {
                        *size = MessageSize::exact(*octets);
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
            self.changed = true;
        }
        Ok(())
    }

    fn remove(&mut self, head: &mut Head, number: u32) -> Result<(), Fault> {
        let mut messages = Vec::new();
        if let Some(block) = self.blocks.remove((self.key, number))? {
            let old = block::decode(self.key, head.uid_validity, number, block.value(), &mut messages)?;
            head.sum = head.sum.wrapping_sub(old);
        }
        self.changed = true;
        Ok(())
    }
}
