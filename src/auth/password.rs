//! Bridge passwords: what mail programs show us where the provider's secret is not theirs to know.
//!
//! Made here, shown once, several for an account, each with a name. One that is wrong opens nothing, locks nothing and
//! never goes upstream.
//!
//! ```text
//!  footbridge account password ──▶ bridge-passwords ──▶ the bridge looks at each login whether it changed
//!                            └──◀── bridge-password-uses ◀── now and then, and when it stops
//! ```

mod made;
mod record;
mod uses;

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::mail::Secret;
use crate::store::Folder;
use crate::store::folder::FolderError;
use record::{Found, Record, Unreadable};

const FILE: &str = "bridge-passwords";

/// What a password is called where nobody names it.
const USUAL_NAME: &str = "mail app";

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;

/// Of one account: more programs than a household has. Each is compared with at each login.
const MOST: usize = 64;

/// Well below what [`Folder`] reads.
const LARGEST: usize = 512 * 1024;

/// A file changed this shortly before it was read may change again without looking different: file systems count
/// time in steps of up to two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// All bridge passwords of a state folder; cheap to clone.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<Shared>);

struct Shared {
    state: Option<PathBuf>,
    last: Mutex<Option<Read>>,
    seen: uses::Seen,
}

/// The file as it was read last.
struct Read {
    stamp: Stamp,
    settled: bool,
    record: Option<Arc<Record>>,
}

/// What an app offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is one of the account's.
    Right,
    /// It is not.
    Wrong,
    /// The account has none yet.
    NoneYet,
}

/// One of them, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// When it was last used, likewise; `None` where it never was, or not long enough ago to be written.
    pub used: Option<u64>,
}

/// A new one.
#[derive(Debug)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// To be shown once: it is kept nowhere.
    pub password: Secret,
}

/// Why bridge passwords cannot be read or changed: one sentence with its cure.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    /// There is no state folder.
    #[error("there is no place for bridge passwords; name a folder with --state DIR")]
    NoPlace,
    /// The state folder, or the file, is not to be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Nobody can tell whether there is one.
    #[error("{}: this file cannot be looked at: {}; name another state folder with --state DIR", .0.display(), .1)]
    Hidden(PathBuf, io::Error),
    /// It is not what we write.
    #[error(
        "{}: this file is damaged; move it away and make new bridge passwords: footbridge account password ADDRESS",
        .0.display()
    )]
    Damaged(PathBuf),
    /// Left as it is.
    #[error("{}: a newer footbridge wrote this file; run that one", .0.display())]
    Newer(PathBuf),
    /// The system gives none.
    #[error("the system has no random octets; try again")]
    NoRandom,
    /// A name is given once an account.
    #[error("there is a bridge password {0:?} already; give another --name, or first --revoke that one")]
    Taken(String),
    /// Not what can be shown on a line.
    #[error("a bridge password's name has 1 to {LONGEST_NAME} characters, none of them a control character")]
    Name,
    /// Nothing to revoke.
    #[error("there is no bridge password {0:?}; --list shows the names")]
    NoSuch(String),
    /// [`MOST`], or the file is full.
    #[error("there are too many bridge passwords; revoke some: --revoke NAME")]
    TooMany,
}

impl Passwords {
    /// Those in this state folder, which is neither made nor looked at yet. Without one nobody has any.
    pub fn new(state: Option<&Path>) -> Self {
        let state = state.map(Path::to_owned);
        Self(Arc::new(Shared { state, last: Mutex::default(), seen: uses::Seen::default() }))
    }

    /// Compares `offered` with each of the account's in constant time; one that is right is noted as used now.
    ///
    /// # Errors
    /// Whether there are any cannot be told: nothing may be let in.
    pub fn judge(&self, address: &str, offered: &Secret) -> Result<Verdict, PasswordsError> {
        let Some(record) = self.record()? else { return Ok(Verdict::NoneYet) };
        let found = record.find(&address.to_lowercase(), offered);
        if let Found::One(password) = found {
            self.0.seen.note(password.id(), now());
        }
        Ok(verdict(&found))
    }

    /// Those of an account, the oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn list(&self, address: &str) -> Result<Vec<Description>, PasswordsError> {
        let Some(record) = self.record()? else { return Ok(Vec::new()) };
        let uses = self.folder().map(|folder| uses::read(&folder)).unwrap_or_default();
        let descriptions = record.of(&address.to_lowercase()).iter().map(|password| Description {
            name: password.name.clone(),
            made: password.made,
            used: uses.get(&password.id()).copied(),
        });
        Ok(descriptions.collect())
    }

    /// Makes one; without a name it gets the usual one, with a number where that is taken.
    ///
    /// # Errors
    /// None was made, and those there are stay.
    pub fn make(&self, address: &str, name: Option<&str>) -> Result<Made, PasswordsError> {
        let password = made::make().ok_or(PasswordsError::NoRandom)?;
        let address = address.to_lowercase();
        let name = self.change(|record| {
            let there = record.of(&address);
            if there.len() >= MOST {
                return Err(PasswordsError::TooMany);
            }
            let taken = |name: &str| there.iter().any(|password| password.name == name);
            let name = match name {
                Some(name) if name.is_empty() || name.chars().count() > LONGEST_NAME => {
                    return Err(PasswordsError::Name);
                }
                Some(name) if name.chars().any(char::is_control) => return Err(PasswordsError::Name),
                Some(name) if taken(name) => return Err(PasswordsError::Taken(name.to_owned())),
                Some(name) => name.to_owned(),
                None => {
                    let numbered = (2..).map(|number: usize| format!("{USUAL_NAME} {number}"));
                    let mut names = std::iter::once(USUAL_NAME.to_owned()).chain(numbered);
                    names.find(|name| !taken(name)).ok_or(PasswordsError::TooMany)?
                }
            };
            if !record.add(&address, name.clone(), &password, now()) {
                return Err(PasswordsError::NoRandom);
            }
            Ok(name)
        })?;
        Ok(Made { name, password })
    }

    /// Takes one back; a bridge that runs knows from the next login on.
    ///
    /// # Errors
    /// It is not there, or nothing can be changed.
    pub fn revoke(&self, address: &str, name: &str) -> Result<(), PasswordsError> {
        self.change(|record| {
            let removed = record.remove(&address.to_lowercase(), name);
            removed.then_some(()).ok_or_else(|| PasswordsError::NoSuch(name.to_owned()))
        })
    }

    /// Takes back all of an account's; says how many there were.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn forget(&self, address: &str) -> Result<usize, PasswordsError> {
        match self.record()? {
            Some(record) if !record.of(&address.to_lowercase()).is_empty() => {
                self.change(|record| Ok(record.forget(&address.to_lowercase())))
            }
            _ => Ok(0),
        }
    }

    /// Writes down now and then what was used, until the bridge stops; [`Passwords::write_uses`] is for what comes then.
    pub async fn keep(&self, stopping: CancellationToken) {
        let mut told = false;
        let keeping = async {
            loop {
                self.0.seen.changed().await;
                if let Err(fault) = self.write_uses().await
                    && !std::mem::replace(&mut told, true)
                {
                    warn!("when bridge passwords are used is not written: {fault}");
                }
                tokio::time::sleep(uses::PAUSE).await;
            }
        };
        stopping.run_until_cancelled(keeping).await;
    }

    /// Writes down what was used until now.
    ///
    /// # Errors
    /// One sentence.
    pub async fn write_uses(&self) -> Result<(), String> {
        let passwords = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let Some(state) = &passwords.0.state else { return Ok(()) };
            // What cannot be read may know every one of them.
            let record = passwords.record().map_err(|error| error.to_string())?;
            let known = |id: &str| record.iter().flat_map(|record| record.all()).any(|one| one.id() == id);
            passwords.0.seen.write(state, known)
        });
        written.await.unwrap_or_else(|_| Err("a fault in footbridge; please report it".to_owned()))
    }

    fn folder(&self) -> Result<Folder, PasswordsError> {
        Ok(Folder::open(self.0.state.as_deref().ok_or(PasswordsError::NoPlace)?)?)
    }

    /// The file as it is now: looked at each time, read when it changed. `None` where there is none.
    fn record(&self) -> Result<Option<Arc<Record>>, PasswordsError> {
        let Some(state) = &self.0.state else { return Ok(None) };
        let stamp = Stamp::of(&state.join(FILE))?;
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = last.as_ref().filter(|read| read.settled && read.stamp == stamp) {
            return Ok(read.record.clone());
        }
        *last = None;
        let settled = stamp.is_settled(SystemTime::now());
        let record = if stamp.is_there() { read(&self.folder()?)? } else { None }.map(Arc::new);
        *last = Some(Read { stamp, settled, record: record.clone() });
        Ok(record)
    }

    /// Reads, changes and writes while no other process does.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Record) -> Result<T, PasswordsError>,
    ) -> Result<T, PasswordsError> {
        let folder = self.folder()?;
        let held = folder.hold()?;
        let mut record = read(&folder)?.map_or_else(Record::new, Ok)?;
        let outcome = change(&mut record)?;
        let octets = record.encode();
        if octets.len() > LARGEST {
            return Err(PasswordsError::TooMany);
        }
        held.write(FILE, &octets)?;
        Ok(outcome)
    }
}

fn verdict(found: &Found<'_>) -> Verdict {
    match found {
        Found::One(_) => Verdict::Right,
        Found::NoneOf => Verdict::Wrong,
        Found::NoneThere => Verdict::NoneYet,
    }
}

fn read(folder: &Folder) -> Result<Option<Record>, PasswordsError> {
    let Some(octets) = folder.read(FILE)? else { return Ok(None) };
    let record = Record::parse(&octets).map_err(|unreadable| match unreadable {
        Unreadable::Damaged => PasswordsError::Damaged(folder.file(FILE)),
        Unreadable::Newer => PasswordsError::Newer(folder.file(FILE)),
    });
    record.map(Some)
}

/// A file's octets in the form that is written, and what it makes of a secret; `None` where it cannot be read: fuzz/ has
/// it from here.
#[doc(hidden)]
pub fn judged_by(octets: &[u8], address: &str, offered: &Secret) -> Option<(Vec<u8>, Verdict)> {
    let record = Record::parse(octets).ok()?;
    Some((record.encode(), verdict(&record.find(address, offered))))
}

/// Seconds since 1970; a clock before that is at 0.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What a file looks like from outside; a changed one looks different.
#[derive(PartialEq, Eq)]
struct Stamp(Option<Look>);

#[derive(PartialEq, Eq)]
struct Look {
    octets: u64,
    modified: Option<SystemTime>,
    /// Which file it is, and when anything about it changed.
    #[cfg(unix)]
    unix: (u64, i64, i64),
}

impl Stamp {
    /// An error is told apart from a file that is missing: without bridge passwords, another secret opens an account.
    fn of(path: &Path) -> Result<Self, PasswordsError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Self(Some(Look::of(&metadata)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(PasswordsError::Hidden(path.to_owned(), error)),
        }
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a later change would show.
    fn is_settled(&self, now: SystemTime) -> bool {
        let Some(look) = &self.0 else { return true };
        let age = look.modified.and_then(|modified| now.duration_since(modified).ok());
        age.is_some_and(|age| age >= SETTLED)
    }
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        Self {
            octets: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            unix: {
                use std::os::unix::fs::MetadataExt;
                (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
            },
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().expect("a folder");
        let path = outer.path().join("state");
        (outer, path)
    }

    fn make(passwords: &Passwords, address: &str, name: &str) -> Secret {
        passwords.make(address, Some(name)).expect("made").password
    }

    fn judge(passwords: &Passwords, address: &str, offered: &Secret) -> Verdict {
        passwords.judge(address, offered).expect("readable")
    }

    #[test]
    fn looking_makes_nothing() {
        let (_outer, path) = state();
        let passwords = Passwords::new(Some(&path));
        assert_eq!(judge(&passwords, "ana@gmx.net", &Secret::new("x")), Verdict::NoneYet);
        assert_eq!(passwords.list("ana@gmx.net").expect("readable"), []);
        assert_eq!(passwords.forget("ana@gmx.net").expect("readable"), 0);
        assert!(!path.exists());
        let nowhere = Passwords::new(None);
        assert_eq!(judge(&nowhere, "ana@gmx.net", &Secret::new("x")), Verdict::NoneYet);
        assert!(matches!(nowhere.make("ana@gmx.net", None), Err(PasswordsError::NoPlace)));
    }

    #[test]
    fn a_bridge_that_runs_knows_at_the_next_login() {
        let (_outer, path) = state();
        let (bridge, command) = (Passwords::new(Some(&path)), Passwords::new(Some(&path)));
        assert_eq!(judge(&bridge, "ana@gmx.net", &Secret::new("x")), Verdict::NoneYet);
        let copier = make(&command, "Ana@GMX.net", "copier");
        assert_eq!(judge(&bridge, "ana@gmx.net", &copier), Verdict::Right);
        assert_eq!(judge(&bridge, "ana@gmx.net", &Secret::new("x")), Verdict::Wrong);
        assert_eq!(judge(&bridge, "bob@gmx.net", &copier), Verdict::NoneYet);
        let shouted = copier.expose_str().expect("ASCII").to_uppercase().replace('-', " ");
        assert_eq!(judge(&bridge, "ana@gmx.net", &Secret::new(shouted)), Verdict::Right);
        let phone = make(&command, "ana@gmx.net", "phone");
        command.revoke("ana@gmx.net", "copier").expect("there");
        assert_eq!(judge(&bridge, "ana@gmx.net", &copier), Verdict::Wrong);
        assert_eq!(judge(&bridge, "ana@gmx.net", &phone), Verdict::Right);
        assert_eq!(command.forget("ana@gmx.net").expect("readable"), 1);
        assert_eq!(judge(&bridge, "ana@gmx.net", &phone), Verdict::NoneYet);
    }

    /// A file is read once it changed, and not at each login.
    #[test]
    fn a_file_that_is_old_enough_is_read_once() {
        let (_outer, path) = state();
        let passwords = Passwords::new(Some(&path));
        let copier = make(&passwords, "ana@gmx.net", "copier");
        let old = SystemTime::now() - Duration::from_secs(60);
        let file = fs::File::options().write(true).open(path.join(FILE)).expect("there");
        file.set_modified(old).expect("set");
        let record = || passwords.record().expect("readable").expect("there");
        assert!(Arc::ptr_eq(&record(), &record()));
        let before = record();
        passwords.revoke("ana@gmx.net", "copier").expect("there");
        assert!(!Arc::ptr_eq(&before, &record()));
        assert_eq!(judge(&passwords, "ana@gmx.net", &copier), Verdict::NoneYet);
        // One that changed a moment ago, or in the future, is not believed to stay.
        assert!(!Arc::ptr_eq(&record(), &record()));
    }

    #[test]
    fn names_are_given_once_and_the_usual_one_is_numbered() {
        let (_outer, path) = state();
        let passwords = Passwords::new(Some(&path));
        let name = || passwords.make("ana@gmx.net", None).expect("made").name;
        assert_eq!([name(), name(), name()], ["mail app", "mail app 2", "mail app 3"]);
        let refused =
            |name: &str| passwords.make("ana@gmx.net", Some(name)).expect_err("refused").to_string();
        assert!(refused("mail app 2").contains("--revoke"));
        for name in ["", "a\nb", "\u{1b}[2J", &"x".repeat(65)] {
            assert!(refused(name).contains("control character"), "{name:?}");
        }
        passwords.revoke("ana@gmx.net", "mail app").expect("there");
        assert_eq!(name(), "mail app");
        assert!(passwords.revoke("ana@gmx.net", "nobody").expect_err("none").to_string().contains("--list"));
        (3..MOST).for_each(|_| drop(name()));
        assert!(refused("one more").contains("too many"));
        assert_eq!(passwords.make("bob@gmx.net", None).expect("another account").name, "mail app");
    }

    /// Whatever is wrong with the file: nothing is let in and nothing is overwritten.
    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in_and_stays() {
        let (_outer, path) = state();
        let passwords = Passwords::new(Some(&path));
        let copier = make(&passwords, "ana@gmx.net", "copier");
        let good = fs::read(path.join(FILE)).expect("there");
        let newer =
            String::from_utf8(good.clone()).expect("JSON").replace("\"version\": 1", "\"version\": 2");
        let half = good.get(..good.len() / 2).expect("a half");
        for (bad, words) in [(half, "damaged"), (newer.as_bytes(), "newer"), (b"", "damaged")] {
            fs::write(path.join(FILE), bad).expect("written");
            let told = [
                passwords.judge("ana@gmx.net", &copier).expect_err("unreadable").to_string(),
                passwords.make("ana@gmx.net", None).expect_err("unreadable").to_string(),
                passwords.forget("ana@gmx.net").expect_err("unreadable").to_string(),
            ];
            assert!(told.iter().all(|told| told.contains(words) && told.contains(FILE)), "{told:?}");
            assert_eq!(fs::read(path.join(FILE)).expect("there"), bad);
        }
        fs::write(path.join(FILE), &good).expect("written");
        assert_eq!(judge(&passwords, "ana@gmx.net", &copier), Verdict::Right);
    }

    /// A folder on a disk that fails, or that was closed to us, is not one without bridge passwords.
    #[cfg(unix)]
    #[test]
    fn a_file_that_cannot_be_looked_at_lets_nobody_in() {
        let (outer, path) = state();
        let passwords = Passwords::new(Some(&path));
        let copier = make(&passwords, "ana@gmx.net", "copier");
        fs::rename(&path, outer.path().join("elsewhere")).expect("moved");
        fs::write(&path, "").expect("a file in the folder's place");
        let told = passwords.judge("ana@gmx.net", &copier).expect_err("nobody knows").to_string();
        assert!(told.contains(FILE) && told.contains("--state DIR"), "{told}");
        fs::remove_file(&path).expect("there");
        assert_eq!(judge(&passwords, "ana@gmx.net", &copier), Verdict::NoneYet);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_or_a_link_lets_nobody_in() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let (outer, path) = state();
        let passwords = Passwords::new(Some(&path));
        let copier = make(&passwords, "ana@gmx.net", "copier");
        let file = path.join(FILE);
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
        let told = passwords.judge("ana@gmx.net", &copier).expect_err("open").to_string();
        assert!(told.contains("chmod 600"), "{told}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
        fs::rename(&file, outer.path().join("elsewhere")).expect("moved");
        symlink(outer.path().join("elsewhere"), &file).expect("made");
        assert!(passwords.judge("ana@gmx.net", &copier).is_err());
        assert!(passwords.make("ana@gmx.net", None).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn uses_are_written_at_once_then_seldom_and_at_the_end() {
        let (_outer, path) = state();
        let (bridge, command) = (Passwords::new(Some(&path)), Passwords::new(Some(&path)));
        let (copier, phone) =
            (make(&command, "ana@gmx.net", "copier"), make(&command, "ana@gmx.net", "phone"));
        let used = || {
            let list = command.list("ana@gmx.net").expect("readable");
            list.into_iter().map(|one| one.used.is_some()).collect::<Vec<_>>()
        };
        let stopping = CancellationToken::new();
        let keeping = tokio::spawn({
            let (bridge, stopping) = (bridge.clone(), stopping.clone());
            async move { bridge.keep(stopping).await }
        });
        assert_eq!(used(), [false, false]);
        judge(&bridge, "ana@gmx.net", &copier);
        while used() != [true, false] {
            tokio::task::yield_now().await;
        }
        let start = tokio::time::Instant::now();
        judge(&bridge, "ana@gmx.net", &phone);
        while used() != [true, true] {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(start.elapsed() >= uses::PAUSE - Duration::from_secs(1), "{:?}", start.elapsed());
        stopping.cancel();
        keeping.await.expect("no panic");
        // Whoever is used after that is written by the last call.
        command.revoke("ana@gmx.net", "phone").expect("there");
        let late = make(&command, "ana@gmx.net", "late");
        judge(&bridge, "ana@gmx.net", &late);
        assert_eq!(used(), [true, false]);
        bridge.write_uses().await.expect("written");
        assert_eq!(used(), [true, true]);
    }

    #[test]
    fn debug_prints_no_password() {
        let (_outer, path) = state();
        let passwords = Passwords::new(Some(&path));
        let made = passwords.make("ana@gmx.net", None).expect("made");
        let letters = made.password.expose_str().expect("ASCII");
        assert!(!format!("{passwords:?}{made:?}").contains(letters));
    }
}
