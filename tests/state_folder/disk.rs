//! A disk as a power loss would leave it: what a program asked of the system, as strace tells it, done again in memory, where
//! what was not synced is lost.
//!
//! ```text
//!  write ──▶ contents ──fsync of the file──▶ contents that stay
//!  create, rename, remove ──▶ names ──fsync of their folder──▶ names that stay
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What changes a file or a name, what makes it stay, and what is said to an app.
const CALLS: &str = "openat,close,write,pwrite64,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,\
                     fsync,fdatasync,sendto,writev,sendmsg,link,linkat,pwritev,copy_file_range,creat,open,truncate";

/// The same command, its calls written into a file. The child is the program itself: strace stands beside it.
pub fn traced(command: &Command, into: &Path) -> Command {
    let arguments = ["-y", "-xx", "-s", "100000000", "-e", &format!("trace={CALLS}")];
    beside(command, into, arguments.map(str::to_owned))
}

/// The same command, whose `nth` such call about one of these files comes to an error.
pub fn failing(
    command: &Command,
    into: &Path,
    files: impl IntoIterator<Item = PathBuf>,
    call: &str,
    error: &str,
    nth: usize,
) -> Command {
    let these = files.into_iter().flat_map(|file| ["-P".to_owned(), file.display().to_string()]);
    let fault = ["-e".to_owned(), format!("inject={call}:error={error}:when={nth}")];
    beside(command, into, these.chain(fault))
}

fn beside(command: &Command, into: &Path, arguments: impl IntoIterator<Item = String>) -> Command {
    let mut beside = Command::new("strace");
    beside.args(["-D", "-f", "-q"]).args(arguments);
    beside.arg("-o").arg(into).arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => beside.env(name, value),
            None => beside.env_remove(name),
        };
    }
    beside
}

/// Files by their names.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One folder and all below it.
pub struct Disk {
    folder: PathBuf,
    /// Every file there ever was.
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    names_that_stay: BTreeMap<PathBuf, usize>,
    descriptors: BTreeMap<u32, Descriptor>,
    /// Calls that others came between.
    unfinished: BTreeMap<String, Unfinished>,
}

#[derive(Default)]
struct File {
    contents: Vec<u8>,
    that_stay: Vec<u8>,
}

enum Descriptor {
    File { file: usize, at: usize },
    Folder(PathBuf),
}

struct Unfinished {
    text: String,
    /// What an fsync has to make stay: what was there when it was asked for.
    before: Option<Vec<u8>>,
}

/// What one line of the trace comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Something that a power loss would, or would not, leave is another thing now.
    Changed,
    /// An app was sent this.
    Sent(Vec<u8>),
    Nothing,
}

impl Disk {
    /// With nothing on it.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            names: BTreeMap::new(),
            names_that_stay: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            unfinished: BTreeMap::new(),
        }
    }

    /// What is there when the power is lost: nothing that was not synced, or the names and of the contents nothing that was
    /// not synced, as file systems are known to leave it.
    pub fn after_power_loss(&self) -> [Files; 2] {
        [&self.names_that_stay, &self.names].map(|names| {
            let files = names.iter().map(|(name, file)| (name.clone(), self.files[*file].that_stay.clone()));
            files.collect()
        })
    }

    /// Does what one line of the trace tells.
    pub fn hear(&mut self, line: &str) -> Event {
        let (task, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no line of strace's: {line}"));
        let rest = rest.trim_start();
        if let Some(text) = rest.strip_suffix(" <unfinished ...>") {
            let before = self.synced_by(text);
            self.unfinished.insert(task.to_owned(), Unfinished { text: text.to_owned(), before });
            return Event::Nothing;
        }
        match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => {
                let Unfinished { text, before } = self.unfinished.remove(task).expect("it was begun");
                self.call(&(text + end), before)
            }
            None => {
                let before = self.synced_by(rest);
                self.call(rest, before)
            }
        }
    }

    /// The contents that an fsync is about.
    fn synced_by(&self, text: &str) -> Option<Vec<u8>> {
        let (name, arguments) = text.split_once('(')?;
        let descriptor = number(arguments).filter(|_| name == "fsync" || name == "fdatasync")?;
        match self.descriptors.get(&descriptor)? {
            Descriptor::File { file, .. } => Some(self.files[*file].contents.clone()),
            Descriptor::Folder(_) => None,
        }
    }

    fn call(&mut self, text: &str, before: Option<Vec<u8>>) -> Event {
        // Signals and ends of tasks are no calls.
        let Some((name, rest)) = text.split_once('(').filter(|_| !text.starts_with(['+', '-'])) else {
            return Event::Nothing;
        };
        let (arguments, result) =
            rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(')')).expect("a result");
        let result = result.trim_start().trim_start_matches("= ");
        let Some(done) = number(result) else { return Event::Nothing };
        let arguments: Vec<&str> = arguments.split(", ").collect();
        match name {
            "openat" => self.open(&arguments, done),
            "close" => {
                self.descriptors.remove(&descriptor(&arguments));
                Event::Nothing
            }
            "write" | "sendto" => match self.descriptors.get_mut(&descriptor(&arguments)) {
                Some(Descriptor::File { file, at }) => {
                    let written = octets(arguments[1]);
                    put(&mut self.files[*file].contents, *at, &written[..done as usize]);
                    *at += done as usize;
                    Event::Changed
                }
                _ => Event::Sent(octets(arguments[1])),
            },
            "writev" => match self.descriptors.get(&descriptor(&arguments)) {
                Some(_) => panic!("this is not understood: {text}"),
                // `[{iov_base="\\x2f", iov_len=1}, ...]`
                None => Event::Sent(text.split('"').skip(1).step_by(2).flat_map(unquoted).collect()),
            },
            "pwrite64" => self.changed(&arguments, |contents| {
                let at = arguments[3].parse().expect("an offset");
                put(contents, at, &octets(arguments[1])[..done as usize]);
            }),
            "ftruncate" => self.changed(&arguments, |contents| {
                contents.resize(arguments[1].parse().expect("a length"), 0);
            }),
            "fallocate" => self.changed(&arguments, |contents| {
                let [at, length] = [2, 3].map(|place| arguments[place].parse::<usize>().expect("a number"));
                contents.resize(contents.len().max(at + length), 0);
            }),
            "rename" | "renameat" | "renameat2" => {
                let [from, to] = match name {
                    "rename" => [arguments[0], arguments[1]],
                    _ => [arguments[1], arguments[3]],
                }
                .map(path);
                if let Some(file) = self.names.remove(&from) {
                    self.names.insert(to, file);
                    return Event::Changed;
                }
                self.is_elsewhere(&from);
                Event::Nothing
            }
            "unlink" | "unlinkat" => {
                let gone = path(arguments[if name == "unlink" { 0 } else { 1 }]);
                assert!(gone.is_absolute(), "by a descriptor: {text}");
                if self.names.remove(&gone).is_some() { Event::Changed } else { Event::Nothing }
            }
            "fsync" | "fdatasync" => self.sync(&arguments, before),
            // Of sockets, or of none of our files.
            _ => {
                let ours = arguments.iter().any(|argument| self.holds(&path(argument)));
                assert!(!ours, "this is not understood: {text}");
                Event::Nothing
            }
        }
    }

    fn open(&mut self, arguments: &[&str], descriptor: u32) -> Event {
        let path = path(arguments[1]);
        self.descriptors.remove(&descriptor);
        if !self.holds(&path) {
            return Event::Nothing;
        }
        let flags: Vec<&str> = arguments[2].split('|').collect();
        assert!(!flags.contains(&"O_APPEND") && !flags.contains(&"O_TMPFILE"), "{flags:?}");
        let known = self.names.get(&path).copied();
        let (file, event) = match known {
            Some(file) => (file, Event::Nothing),
            None if flags.contains(&"O_CREAT") => {
                self.files.push(File::default());
                self.names.insert(path.clone(), self.files.len() - 1);
                (self.files.len() - 1, Event::Changed)
            }
            None => {
                self.descriptors.insert(descriptor, Descriptor::Folder(path));
                return Event::Nothing;
            }
        };
        if flags.contains(&"O_TRUNC") {
            self.files[file].contents.clear();
        }
        self.descriptors.insert(descriptor, Descriptor::File { file, at: 0 });
        event
    }

    fn changed(&mut self, arguments: &[&str], change: impl FnOnce(&mut Vec<u8>)) -> Event {
        let Some(Descriptor::File { file, .. }) = self.descriptors.get(&descriptor(arguments)) else {
            return Event::Nothing;
        };
        change(&mut self.files[*file].contents);
        Event::Changed
    }

    fn sync(&mut self, arguments: &[&str], before: Option<Vec<u8>>) -> Event {
        match (self.descriptors.get(&descriptor(arguments)), before) {
            (Some(Descriptor::File { file, .. }), Some(before)) => self.files[*file].that_stay = before,
            (Some(Descriptor::Folder(folder)), _) => {
                let within = |name: &PathBuf| name.parent() == Some(folder);
                self.names_that_stay.retain(|name, _| !within(name));
                let now = self.names.iter().filter(|(name, _)| within(name));
                self.names_that_stay.extend(now.map(|(name, file)| (name.clone(), *file)));
            }
            _ => return Event::Nothing,
        }
        Event::Changed
    }

    fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.folder)
    }

    fn is_elsewhere(&self, path: &Path) {
        assert!(!self.holds(path), "{} was not seen", path.display());
    }
}

fn put(contents: &mut Vec<u8>, at: usize, octets: &[u8]) {
    let end = at + octets.len();
    contents.resize(contents.len().max(end), 0);
    contents[at..end].copy_from_slice(octets);
}

/// The number at the beginning, if there is one: `-1 ENOENT` is none.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn descriptor(arguments: &[&str]) -> u32 {
    number(arguments[0]).expect("a descriptor")
}

fn path(argument: &str) -> PathBuf {
    String::from_utf8_lossy(&octets(argument)).into_owned().into()
}

/// `"\x2f\x74"`; nothing of what is no text.
fn octets(argument: &str) -> Vec<u8> {
    let inside = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    unquoted(inside.unwrap_or_default())
}

fn unquoted(inside: &str) -> Vec<u8> {
    let octet = |digits: &str| u8::from_str_radix(digits, 16).expect("two digits");
    inside.split("\\x").skip(1).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        format!("\"{}\"", text.bytes().map(|octet| format!("\\x{octet:02x}")).collect::<String>())
    }

    fn told(lines: &[String]) -> [Vec<(String, String)>; 2] {
        let mut disk = Disk::new(Path::new("/s"));
        lines.iter().for_each(|line| drop(disk.hear(line)));
        disk.after_power_loss().map(|files| {
            let text = |(name, octets): (PathBuf, Vec<u8>)| {
                (name.display().to_string(), String::from_utf8(octets).unwrap())
            };
            files.into_iter().map(text).collect()
        })
    }

    /// What is left out of the way in which a file is put in place shows.
    #[test]
    fn only_what_was_synced_stays() {
        let (new, old) = (hex("/s/.a.new"), hex("/s/a"));
        let steps = [
            format!("7 openat(AT_FDCWD</>, {new}, O_WRONLY|O_CREAT|O_EXCL, 0600) = 9</s/.a.new>"),
            format!("7 write(9</s/.a.new>, {}, 3) = 3", hex("one")),
            "7 fsync(9</s/.a.new> <unfinished ...>".to_owned(),
            format!("8 write(1<pipe>, {}, 2) = 2", hex("ab")),
            "7 <... fsync resumed>)  = 0".to_owned(),
            "7 close(9</s/.a.new>)    = 0".to_owned(),
            format!("7 rename({new}, {old})   = 0"),
            format!("7 openat(AT_FDCWD</>, {}, O_RDONLY|O_CLOEXEC) = 9</s>", hex("/s")),
            "7 fsync(9</s>)           = 0".to_owned(),
        ];
        let one = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
        let nothing: Vec<(String, String)> = Vec::new();
        assert_eq!(told(&steps), [one("/s/a", "one"), one("/s/a", "one")]);
        assert_eq!(told(&steps[..8]), [nothing.clone(), one("/s/a", "one")]);
        assert_eq!(told(&steps[..2]), [nothing.clone(), one("/s/.a.new", "")]);
        let unsynced = [&steps[..2], &steps[5..]].concat();
        assert_eq!(told(&unsynced), [one("/s/a", ""), one("/s/a", "")]);
        let refused =
            [&steps[..6], &[format!("7 rename({new}, {old}) = -1 EIO (Input/output error)")]].concat();
        assert_eq!(told(&refused), [nothing, one("/s/.a.new", "one")]);
    }

    #[test]
    fn what_is_sent_to_an_app_is_told() {
        let mut disk = Disk::new(Path::new("/s"));
        let sent =
            disk.hear(&format!("7 sendto(9<TCP:[1->2]>, {}, 5, MSG_NOSIGNAL, NULL, 0) = 5", hex("+OK x")));
        assert_eq!(sent, Event::Sent(b"+OK x".to_vec()));
        let pieces =
            format!("[{{iov_base={}, iov_len=3}}, {{iov_base={}, iov_len=2}}]", hex("+OK"), hex(" x"));
        let sent = disk.hear(&format!("7 writev(9<TCP:[1->2]>, {pieces}, 2) = 5"));
        assert_eq!(sent, Event::Sent(b"+OK x".to_vec()));
        assert_eq!(disk.hear("7 +++ exited with 0 +++"), Event::Nothing);
        assert_eq!(disk.hear("7 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER} ---"), Event::Nothing);
    }
}
