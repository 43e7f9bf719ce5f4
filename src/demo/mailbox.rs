//! The mailboxes of the demo account: folders of messages, in memory, no I/O.

use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use imap_codec::imap_types::flag::{Flag, StoreType};

/// A message: as large as anything a person tries out.
pub(super) const LARGEST_MESSAGE: u32 = 32 * 1024 * 1024;

/// All messages together; whoever sends more has no test in mind.
const LARGEST_STORE: usize = 256 * 1024 * 1024;

/// Folders an app may make.
const FOLDERS: usize = 500;

/// Messages in all folders; small ones have their price too.
const MESSAGES: usize = 20_000;

/// Keywords and system flags of one message.
const FLAGS: usize = 32;

/// The longest keyword, in octets; `$MailFlagBit0` and its like are far shorter.
const KEYWORD: usize = 64;

/// The longest name of a folder, in octets.
const NAME: usize = 255;

/// The account's mail.
#[derive(Debug, Default)]
pub(super) struct Store {
    folders: Vec<Folder>,
    /// Grows with every change; who waits for news compares.
    changes: u64,
    validities: u32,
}

/// One mailbox.
#[derive(Debug)]
pub(super) struct Folder {
    /// As it stands on the wire, in modified UTF-7.
    pub(super) name: String,
    /// Its special use (RFC 6154), with the backslash.
    pub(super) role: Option<&'static str>,
    pub(super) subscribed: bool,
    pub(super) validity: NonZeroU32,
    next_uid: NonZeroU32,
    messages: Vec<Message>,
}

/// One message, whose octets never change.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) uid: NonZeroU32,
    pub(super) flags: Vec<Flag<'static>>,
    /// Grows with every change of the flags; who was told of them compares.
    pub(super) revision: u64,
    /// INTERNALDATE.
    pub(super) date: DateTime<FixedOffset>,
    pub(super) octets: Arc<[u8]>,
}

/// Why the store did not take something; a clause for the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoSuchFolder,
    FolderExists,
    BadName,
    Full,
    Flags,
    /// NUL cannot stand in an IMAP literal (RFC 3501 §9, CHAR8).
    Nul,
}

impl Refusal {
    pub(super) fn clause(self) -> &'static str {
        match self {
            Self::NoSuchFolder => "there is no such mailbox",
            Self::FolderExists => "there is a mailbox of this name",
            Self::BadName => "a mailbox cannot have this name",
            Self::Full => "the demo's memory for mail is full",
            Self::Flags => "the demo keeps at most 32 flags a message, of at most 64 octets each",
            Self::Nul => "the message has a NUL octet, which the demo cannot keep",
        }
    }
}

impl Store {
    /// Changes so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// All of them, in the order in which they were made.
    pub(super) fn folders(&self) -> &[Folder] {
        &self.folders
    }

    pub(super) fn folder(&self, name: &str) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.name == name)
    }

    /// To change it: that counts as a change.
    pub(super) fn folder_mut(&mut self, name: &str) -> Option<&mut Folder> {
        self.changes += 1;
        self.folders.iter_mut().find(|folder| folder.name == name)
    }

    /// Makes a folder; one at its end `/` is not part of the name (RFC 3501 §6.3.3).
    pub(super) fn create(&mut self, name: &str, role: Option<&'static str>) -> Result<(), Refusal> {
        let name = name.strip_suffix('/').unwrap_or(name);
        self.judge_new(name)?;
        self.changes += 1;
        self.validities += 1;
        let validity = NonZeroU32::MIN.saturating_add(self.validities);
        let messages = Vec::new();
        self.folders.push(Folder {
            name: name.to_owned(),
            role,
            subscribed: true,
            validity,
            next_uid: NonZeroU32::MIN,
            messages,
        });
        Ok(())
    }

    fn judge_new(&self, name: &str) -> Result<(), Refusal> {
        self.judge_name(name)?;
        if self.folders.len() >= FOLDERS { Err(Refusal::Full) } else { Ok(()) }
    }

    /// Whether a folder could have this name.
    fn judge_name(&self, name: &str) -> Result<(), Refusal> {
        let odd = |c: char| c.is_control() || matches!(c, '*' | '%');
        if self.folder(name).is_some() {
            Err(Refusal::FolderExists)
        } else if name.is_empty()
            || name.len() > NAME
            || name.contains(odd)
            || name.split('/').any(str::is_empty)
        {
            Err(Refusal::BadName)
        } else {
            Ok(())
        }
    }

    /// Removes a folder and its mail; INBOX and those with a special use stay.
    pub(super) fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        let folder = self.folder(name).ok_or(Refusal::NoSuchFolder)?;
        if folder.name == "INBOX" || folder.role.is_some() {
            return Err(Refusal::BadName);
        }
        self.changes += 1;
        self.folders.retain(|folder| folder.name != name);
        Ok(())
    }

    /// Gives a folder, and those below it, another name; INBOX and those with a special use keep theirs.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        let folder = self.folder(from).ok_or(Refusal::NoSuchFolder)?;
        let below = format!("{from}/");
        if folder.name == "INBOX" || folder.role.is_some() || to.starts_with(&below) {
            return Err(Refusal::BadName);
        }
        let renamed = |folder: &Folder| match folder.name.strip_prefix(&below) {
            Some(rest) => Some(format!("{to}/{rest}")),
            None => (folder.name == from).then(|| to.to_owned()),
        };
        // No folder is in its own way; of those below, each may have a name that is there already.
        let names: Vec<_> = self.folders.iter().map(renamed).collect();
        for name in names.iter().flatten() {
            self.judge_name(name)?;
        }
        self.changes += 1;
        for (folder, name) in self.folders.iter_mut().zip(names) {
            folder.name = name.unwrap_or_else(|| std::mem::take(&mut folder.name));
        }
        Ok(())
    }

    /// Puts a message behind the others of a folder and says which UID it got.
    pub(super) fn add(
        &mut self,
        folder: &str,
        octets: Arc<[u8]>,
        flags: Vec<Flag<'static>>,
        date: DateTime<FixedOffset>,
    ) -> Result<NonZeroU32, Refusal> {
        if memchr::memchr(0, &octets).is_some() {
            return Err(Refusal::Nul);
        }
        let held = self.folders.iter().flat_map(|folder| &folder.messages);
        let (count, size) =
            held.fold((0, octets.len()), |(count, size), message| (count + 1, size + message.octets.len()));
        if size > LARGEST_STORE || count >= MESSAGES {
            return Err(Refusal::Full);
        }
        let mut message = Message { uid: NonZeroU32::MIN, flags: Vec::new(), revision: 0, date, octets };
        message.change_flags(StoreType::Replace, &flags)?;
        let folder = self.folder_mut(folder).ok_or(Refusal::NoSuchFolder)?;
        let uid = folder.next_uid;
        folder.next_uid = uid.checked_add(1).ok_or(Refusal::Full)?;
        message.uid = uid;
        folder.messages.push(message);
        Ok(uid)
    }
}

impl Folder {
    /// In ascending order of their UIDs.
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub(super) fn next_uid(&self) -> NonZeroU32 {
        self.next_uid
    }

    pub(super) fn message(&self, uid: NonZeroU32) -> Option<&Message> {
        let at = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        self.messages.get(at)
    }

    pub(super) fn message_mut(&mut self, uid: NonZeroU32) -> Option<&mut Message> {
        let at = self.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        self.messages.get_mut(at)
    }

    /// Removes those of which this is true.
    pub(super) fn remove(&mut self, gone: impl Fn(&Message) -> bool) {
        self.messages.retain(|message| !gone(message));
    }

    /// How many lack this flag.
    pub(super) fn lacking(&self, flag: &Flag<'_>) -> usize {
        self.messages.iter().filter(|message| !message.has(flag)).count()
    }
}

impl Message {
    pub(super) fn has(&self, flag: &Flag<'_>) -> bool {
        self.flags.iter().any(|known| same(known, flag))
    }

    /// STORE (RFC 3501 §6.4.6); a message that cannot have them all stays as it is.
    pub(super) fn change_flags(&mut self, kind: StoreType, flags: &[Flag<'static>]) -> Result<(), Refusal> {
        let mut changed = match kind {
            StoreType::Replace => Vec::new(),
            StoreType::Add => self.flags.clone(),
            StoreType::Remove => {
                let stays = |known: &&Flag<'_>| !flags.iter().any(|flag| same(known, flag));
                self.flags.iter().filter(stays).cloned().collect()
            }
        };
        for flag in flags.iter().filter(|_| kind != StoreType::Remove) {
            if changed.iter().any(|known| same(known, flag)) {
                continue;
            }
            let long = matches!(flag, Flag::Keyword(word) if word.inner().len() > KEYWORD);
            if long || changed.len() >= FLAGS {
                return Err(Refusal::Flags);
            }
            changed.push(flag.clone());
        }
        if changed != self.flags {
            self.flags = changed;
            self.revision += 1;
        }
        Ok(())
    }
}

/// Flags have no case (RFC 3501 §2.3.2).
fn same(one: &Flag<'_>, other: &Flag<'_>) -> bool {
    match (one, other) {
        (Flag::Keyword(one), Flag::Keyword(other)) => one.inner().eq_ignore_ascii_case(other.inner()),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let mut store = Store::default();
        store.create("INBOX", None).unwrap();
        store.create("Trash", Some("\\Trash")).unwrap();
        store
    }

    fn add(store: &mut Store, folder: &str, octets: &[u8]) -> Result<u32, Refusal> {
        store.add(folder, octets.into(), vec![], DateTime::default()).map(NonZeroU32::get)
    }

    #[test]
    fn a_uid_is_never_given_twice() {
        let mut store = store();
        assert_eq!((add(&mut store, "INBOX", b"a"), add(&mut store, "INBOX", b"b")), (Ok(1), Ok(2)));
        store.folder_mut("INBOX").unwrap().remove(|_| true);
        assert_eq!(add(&mut store, "INBOX", b"c"), Ok(3));
        assert_ne!(store.folder("INBOX").unwrap().validity, store.folder("Trash").unwrap().validity);
    }

    #[test]
    fn a_folder_made_again_has_another_uidvalidity() {
        let mut store = store();
        store.create("x", None).unwrap();
        let before = store.folder("x").unwrap().validity;
        store.delete("x").unwrap();
        store.create("x/", None).unwrap();
        assert_ne!(store.folder("x").unwrap().validity, before);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let mut store = store();
        assert_eq!(add(&mut store, "INBOX", b"a\0b"), Err(Refusal::Nul));
        assert_eq!(add(&mut store, "none", b"a"), Err(Refusal::NoSuchFolder));
        let large = vec![b'x'; LARGEST_STORE];
        assert_eq!(add(&mut store, "INBOX", &large), Ok(1));
        assert_eq!(add(&mut store, "INBOX", b"a"), Err(Refusal::Full));
        assert_eq!(store.create("INBOX", None), Err(Refusal::FolderExists));
        assert_eq!(store.create("a//b", None), Err(Refusal::BadName));
        assert_eq!(store.delete("Trash"), Err(Refusal::BadName));
    }

    #[test]
    fn renaming_takes_along_what_is_below() {
        let mut store = store();
        store.create("a", None).unwrap();
        store.create("a/b", None).unwrap();
        assert_eq!(store.rename("a", "a/c"), Err(Refusal::BadName));
        store.rename("a", "Trash/a").unwrap();
        assert!(store.folder("Trash/a/b").is_some() && store.folder("a").is_none());
    }

    #[test]
    fn a_name_that_renaming_would_give_twice_or_too_long_is_refused() {
        let mut store = store();
        for name in ["a", "a/b", "z/b"] {
            store.create(name, None).unwrap();
        }
        assert_eq!(store.rename("a", "z"), Err(Refusal::FolderExists));
        assert_eq!(store.rename("a", &"y".repeat(NAME)), Err(Refusal::BadName));
        assert!(store.folder("a").is_some() && store.folder("a/b").is_some(), "all of it or nothing");
    }

    #[test]
    fn keywords_have_no_case() {
        let mut store = store();
        let flag = |text: &'static str| Flag::try_from(text).unwrap();
        store
            .add("INBOX", b"x"[..].into(), vec![flag("Work"), flag("WORK"), Flag::Seen], DateTime::default())
            .unwrap();
        let message = &mut store.folder_mut("INBOX").unwrap().messages[0];
        assert_eq!(message.flags.len(), 2);
        message.change_flags(StoreType::Remove, &[flag("work")]).unwrap();
        assert_eq!(message.flags, [Flag::Seen]);
    }

    #[test]
    fn flags_have_a_number_and_a_length() {
        let mut store = store();
        add(&mut store, "INBOX", b"x").unwrap();
        let message = &mut store.folder_mut("INBOX").unwrap().messages[0];
        let word = |length: usize| vec![Flag::Keyword("w".repeat(length).try_into().unwrap())];
        assert_eq!(message.change_flags(StoreType::Add, &word(KEYWORD + 1)), Err(Refusal::Flags));
        for length in 1..=FLAGS {
            message.change_flags(StoreType::Add, &word(length)).unwrap();
        }
        assert_eq!(message.change_flags(StoreType::Add, &word(FLAGS + 1)), Err(Refusal::Flags));
        assert_eq!(message.change_flags(StoreType::Replace, &word(KEYWORD)), Ok(()));
        assert!(Refusal::Flags.clause().contains(&FLAGS.to_string()));
    }

    #[test]
    fn messages_have_a_number() {
        let mut store = store();
        let octets: Arc<[u8]> = b"x"[..].into();
        let message = Message {
            uid: NonZeroU32::MIN,
            flags: vec![],
            revision: 0,
            date: DateTime::default(),
            octets: octets.clone(),
        };
        store.folder_mut("Trash").unwrap().messages = vec![message; MESSAGES];
        assert_eq!(add(&mut store, "INBOX", b"x"), Err(Refusal::Full));
        store.folder_mut("Trash").unwrap().messages.pop();
        assert_eq!(add(&mut store, "INBOX", b"x"), Ok(1));
    }
}
