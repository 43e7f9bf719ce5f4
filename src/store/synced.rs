//! Files of state about one mailbox each: what cannot be had again from the provider, so a change of it is on the disk
//! before anybody relies on it, and damage is found out before anybody believes it.
//!
//! ```text
//! "footbridge" SP word SP format LF │ octets │ SHA-256 of the file's name and of all before (32)
//! ```
//!
//! The name goes into the check, so that a file put in another's place is damage too. Everything here blocks.

use std::path::PathBuf;

use ring::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN};

use super::folder::{Folder, FolderError, Held};
use crate::mail::Account;

/// One kind of such files.
#[derive(Clone, Copy, Debug)]
pub struct Synced {
    word: &'static str,
    format: u32,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is none.
    Missing,
    /// What was written last.
    Whole(Vec<u8>),
    /// Something else than what was written.
    Damaged,
    /// What a later footbridge wrote, in a format that is not known here: to be left alone.
    Newer,
}

impl Synced {
    /// Files whose names begin with `word`, a few lower case letters, in this format and none before it.
    pub const fn new(word: &'static str, format: u32) -> Self {
        Self { word, format }
    }

    /// The name of the file about one mailbox of an account, `folder` as the user sees its name.
    pub fn name(self, account: &Account, folder: &str) -> String {
        let mailbox = account.mailboxes().chain([String::new(), folder.to_owned()]);
        format!("{}{}", self.of_account(&account.address), short(&hash(mailbox)))
    }

    /// How the names of all files about one account begin, also when the configuration knows it no more.
    fn of_account(self, address: &str) -> String {
        format!("{}-{}-", self.word, short(&hash([address.to_lowercase()])))
    }

    /// What is in a file.
    ///
    /// # Errors
    /// It is no file of ours, others may read it, or it cannot be read.
    pub fn read(self, folder: &Folder, name: &str) -> Result<Content, FolderError> {
        let Some(file) = folder.read(name)? else { return Ok(Content::Missing) };
        let head = self.head();
        if let Some(before_check) = file.len().checked_sub(SHA256_OUTPUT_LEN)
            && let Some((written, check)) = file.split_at_checked(before_check)
            && let Some(octets) = written.strip_prefix(head.as_bytes())
            && checked(name, written).as_ref() == check
        {
            return Ok(Content::Whole(octets.to_vec()));
        }
        Ok(if self.is_newer(&file) { Content::Newer } else { Content::Damaged })
    }

    /// Puts a file in place as a whole, on the disk when this returns. Whoever changes what is there reads it under the
    /// same `held`.
    ///
    /// # Errors
    /// The folder cannot be written, or there are more octets than a file of state may have; what was there before
    /// still is.
    pub fn write(self, held: &Held<'_>, name: &str, octets: &[u8]) -> Result<(), FolderError> {
        let head = self.head();
        // In one piece: it may have megabytes.
        let mut file = Vec::with_capacity(head.len() + octets.len() + SHA256_OUTPUT_LEN);
        file.extend_from_slice(head.as_bytes());
        file.extend_from_slice(octets);
        let check = checked(name, &file);
        file.extend_from_slice(check.as_ref());
        held.write(name, &file)
    }

    /// Takes a damaged file out of the way, in place of an earlier one, and says where it is.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn set_aside(self, held: &Held<'_>, name: &str) -> Result<PathBuf, FolderError> {
        held.rename(name, &format!("{name}.damaged"))
    }

    /// Where the files about one account are, as a shell would write it; `None` where there are none.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn about(self, folder: &Folder, address: &str) -> Result<Option<PathBuf>, FolderError> {
        let of_account = self.of_account(address);
        let any = folder.has(|name| name.starts_with(&of_account))?;
        Ok(any.then(|| folder.file(&format!("{of_account}*"))))
    }

    /// Removes what a process that was killed in the middle of writing left.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn sweep(self, held: &Held<'_>) -> Result<usize, FolderError> {
        let begun = format!(".{}-", self.word);
        held.remove(|name| name.starts_with(&begun) && name.ends_with(".new"))
    }

    fn head(self) -> String {
        format!("footbridge {} {}\n", self.word, self.format)
    }

    /// By its first line alone: where another format has its check nobody can know.
    fn is_newer(self, file: &[u8]) -> bool {
        let first = file.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let format = std::str::from_utf8(first).ok().and_then(|line| {
            line.strip_prefix("footbridge ")?.strip_prefix(self.word)?.strip_prefix(' ')?.parse::<u32>().ok()
        });
        format.is_some_and(|format| format > self.format)
    }
}

/// Each part with its length before it.
fn hash(parts: impl IntoIterator<Item = String>) -> Digest {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish()
}

/// 64 bits: no two of the mailboxes of one machine share them.
fn short(hash: &Digest) -> String {
    hash.as_ref().iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}

fn checked(name: &str, written: &[u8]) -> Digest {
    let mut hash = Context::new(&SHA256);
    hash.update(name.as_bytes());
    hash.update(b"\n");
    hash.update(written);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const NOTES: Synced = Synced::new("notes", 2);

    fn account(address: &str) -> Account {
        let text = format!(
            "[[account]]\naddress = \"{address}\"\nimap = {{ host = \"imap.example.org\", port = 993 }}\n\
             username = \"ana\"\n"
        );
        let settings = crate::config::parse(&text, Path::new("test.toml")).unwrap();
        Account::clone(&settings.accounts[0])
    }

    fn place() -> (tempfile::TempDir, Folder) {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::open(&outer.path().join("state")).unwrap();
        (outer, folder)
    }

    fn names(folder: &Folder) -> Vec<String> {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name != "lock");
        names.sort();
        names
    }

    #[test]
    fn what_was_written_comes_back_and_is_its_users_alone() {
        let (_outer, folder) = place();
        assert_eq!(NOTES.read(&folder, "notes-1").unwrap(), Content::Missing);
        for octets in [&b""[..], b"one\ntwo", &[0; 100_000]] {
            NOTES.write(&folder.hold().unwrap(), "notes-1", octets).unwrap();
            assert_eq!(NOTES.read(&folder, "notes-1").unwrap(), Content::Whole(octets.to_vec()));
        }
        assert_eq!(names(&folder), ["notes-1"]);
    }

    #[test]
    fn every_octet_that_is_wrong_every_cut_and_every_exchange_is_damage() {
        let (_outer, folder) = place();
        NOTES.write(&folder.hold().unwrap(), "notes-1", b"some octets").unwrap();
        let whole = fs::read(folder.file("notes-1")).unwrap();
        let read = |file: &[u8]| {
            fs::write(folder.file("notes-1"), file).unwrap();
            NOTES.read(&folder, "notes-1").unwrap()
        };
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            // The format's own digit may say that it is a later one's: then it is left alone.
            let expected = if at == "footbridge notes ".len() { Content::Newer } else { Content::Damaged };
            assert_eq!(read(&wrong), expected, "octet {at}");
            assert_eq!(read(&whole[..at]), Content::Damaged, "cut at {at}");
        }
        assert_eq!(read(&[&whole[..], b"x"].concat()), Content::Damaged);
        fs::copy(folder.file("notes-1"), folder.file("notes-2")).unwrap();
        assert_eq!(read(&whole), Content::Whole(b"some octets".to_vec()));
        fs::copy(folder.file("notes-1"), folder.file("notes-2")).unwrap();
        assert_eq!(NOTES.read(&folder, "notes-2").unwrap(), Content::Damaged, "another mailbox's");
    }

    #[test]
    fn a_later_format_is_told_from_damage_and_an_earlier_one_is_none_that_was_written() {
        let (_outer, folder) = place();
        let write = |kind: Synced| kind.write(&folder.hold().unwrap(), "notes-1", b"x").unwrap();
        write(Synced::new("notes", 3));
        assert_eq!(NOTES.read(&folder, "notes-1").unwrap(), Content::Newer);
        write(Synced::new("notes", 1));
        assert_eq!(NOTES.read(&folder, "notes-1").unwrap(), Content::Damaged);
        write(Synced::new("others", 3));
        assert_eq!(NOTES.read(&folder, "notes-1").unwrap(), Content::Damaged);
    }

    #[test]
    fn more_than_a_file_of_state_may_have_is_not_written_and_what_was_there_stays() {
        let (_outer, folder) = place();
        NOTES.write(&folder.hold().unwrap(), "notes-1", b"before").unwrap();
        let told = NOTES.write(&folder.hold().unwrap(), "notes-1", &vec![0; 8 << 20]).unwrap_err();
        assert!(told.to_string().contains("too large"), "{told}");
        assert_eq!(NOTES.read(&folder, "notes-1").unwrap(), Content::Whole(b"before".to_vec()));
        assert_eq!(names(&folder), ["notes-1"]);
    }

    #[test]
    fn a_damaged_file_is_set_aside_for_a_person_to_look_at() {
        let (_outer, folder) = place();
        for wrong in ["one", "two"] {
            fs::write(folder.file("notes-1"), wrong).unwrap();
            let held = folder.hold().unwrap();
            let aside = NOTES.set_aside(&held, "notes-1").unwrap();
            assert_eq!(fs::read_to_string(aside).unwrap(), wrong);
        }
        assert_eq!(names(&folder), ["notes-1.damaged"]);
    }

    #[test]
    fn an_accounts_files_are_found_by_its_address_and_no_others_are() {
        let (_outer, folder) = place();
        let ana = account("ana@example.org");
        let held = folder.hold().unwrap();
        let (inbox, work) = (NOTES.name(&ana, "INBOX"), NOTES.name(&ana, "Work"));
        let (elsewhere, bob) = (
            NOTES.name(&account("Ana@Example.org"), "INBOX"),
            NOTES.name(&account("bob@example.org"), "INBOX"),
        );
        assert_eq!(inbox, elsewhere, "addresses have no case");
        for name in [&inbox, &work, &bob] {
            NOTES.write(&held, name, b"x").unwrap();
        }
        fs::write(folder.file(&format!("{work}.damaged")), "x").unwrap();
        fs::write(folder.file(&format!(".{bob}.new")), "x").unwrap();
        fs::write(folder.file("ledger.redb"), "x").unwrap();
        let about = NOTES.about(&folder, "ANA@example.org").unwrap().expect("there are three");
        let begins = about.to_str().unwrap().strip_suffix('*').unwrap();
        let found = |name: &String| folder.file(name).to_str().unwrap().starts_with(begins);
        let (of_ana, others): (Vec<_>, Vec<_>) = names(&folder).into_iter().partition(found);
        let mut expected = [inbox, work.clone(), format!("{work}.damaged")];
        expected.sort();
        assert_eq!(of_ana, expected);
        assert_eq!(others, [&format!(".{bob}.new"), "ledger.redb", &bob]);
        assert_eq!(NOTES.sweep(&held).unwrap(), 1);
        assert_eq!(NOTES.about(&folder, "eve@example.org").unwrap(), None);
    }

    /// Another server, or another user of it, is another mailbox.
    #[test]
    fn names_tell_mailboxes_apart() {
        let mut other = account("ana@example.org");
        let names = |account: &Account| [NOTES.name(account, "INBOX"), NOTES.name(account, "Work")];
        let mut all = names(&other).to_vec();
        other.imap.endpoint.port += 1;
        all.extend(names(&other));
        other.imap.usernames.push("ana2".to_owned());
        all.extend(names(&other));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|name| name.len() == "notes-".len() + 33 && name.is_ascii()), "{all:?}");
    }
}
