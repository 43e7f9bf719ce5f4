//! What upstream says, remembered as it goes by.
//!
//! All that is kept of one answer, or of all those of a flight, has one bound in octets, whatever it is of.

use std::io;

use bytes::Bytes;

use super::backoff::Backoff;
use super::completion::{Completion, clean};
use super::open::{Open, Stood};
use crate::mail::{MessageSize, Uid, UidValidity};
use crate::proto::imap::mutf7;
use crate::proto::imap::response::{self, Response, Status, Text, words};
use crate::proto::imap::uid_set;
use crate::proto::imap::value::{self, Value, Values};

/// The keyword (RFC 3501 §2.3.2) of messages that are not shown to POP3 apps.
pub const HIDDEN: &str = "$FootbridgeHidden";

/// Alerts kept for the app: a login that brings more is no login.
const ALERTS: usize = 16;

/// Octets kept of the answers to one command, or to all those of a flight, as they lie in memory. A removal that is told
/// of a million messages, one FETCH response each, takes 16 MB.
pub const KEPT: usize = 24 << 20;

/// UIDs kept of one SEARCH; no set we ask about has more.
const UIDS: usize = 1_000_000;

/// Capabilities kept: servers tell some fifty.
const CAPABILITIES: usize = 1_000;

/// Folders kept of one answer.
const FOLDERS: usize = 20_000;

/// Octets of all their rows.
const FOLDER_OCTETS: usize = 4 * 1024 * 1024;

/// Octets of a row of LIST: no folder has a longer name.
const ROW: usize = 8 * 1024;

/// Prefixes kept of what is other people's.
const PREFIXES: usize = 64;

/// Attributes kept of a folder.
const ATTRIBUTES: usize = 32;

/// What holds for the whole connection.
#[derive(Debug, Default)]
pub struct Heard {
    /// The last capability list, as upstream spelled it; from a greeting, a response code or an answer.
    pub capabilities: Option<Vec<String>>,
    /// `* OK [ALERT] ...` lines, CRLF included.
    pub alerts: Vec<Bytes>,
    /// Why upstream is about to close the connection.
    pub bye: Option<String>,
    /// The mailbox that is open.
    pub open: Open,
    /// The one that was listed last.
    pub stood: Option<Stood>,
    /// A message's UID came only behind its body: nobody knew before whose it was.
    pub uid_behind_body: bool,
    /// How long nobody is to ask.
    pub backoff: Backoff,
    /// The answer to the command that is running.
    pub answer: Answer,
    /// Octets of the answers before it in the same flight.
    kept: usize,
}

/// What came of one command.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its tagged response.
    pub completion: Option<Completion>,
    /// `EXISTS`, the last one.
    pub exists: Option<u32>,
    /// The mailbox that is open by then.
    pub open: Open,
    /// The last UIDNEXT named.
    pub uid_next: Option<Uid>,
    /// UIDNOTSTICKY was said: UIDs do not outlive the session (RFC 4315 §3).
    pub uids_not_sticky: bool,
    /// How many `EXPUNGE` came.
    pub expunged: u32,
    /// Rows of LIST.
    pub folders: Vec<Folder>,
    folder_octets: usize,
    /// Rows of LIST that could not be read, or were too many.
    pub unread_folders: usize,
    /// How the names of folders begin that are other users', or shared, as upstream writes them (RFC 2342 §5).
    pub foreign: Vec<Vec<u8>>,
    /// What COPY says it copied, first and last of each range, where that can be read (RFC 4315 §3).
    pub copied: Option<Vec<(Uid, Uid)>>,
    /// How a folder stands that STATUS was asked about.
    pub standing: Option<Standing>,
    /// UIDs of SEARCH, in either form of its answer (RFC 4731).
    pub found: Vec<Uid>,
    /// There were more, or some that could not be read.
    pub found_more: bool,
    /// UIDs of FETCH, with RFC822.SIZE where it was told.
    pub fetched: Vec<(Uid, MessageSize)>,
    /// All that was ever kept of it.
    octets: usize,
}

/// What STATUS tells of a folder (RFC 3501 §7.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDNEXT.
    pub uid_next: u32,
    /// MESSAGES.
    pub messages: u32,
}

/// A row of LIST (RFC 3501 §7.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The name as upstream writes it.
    pub wire_name: Vec<u8>,
    /// The same as a person reads it.
    pub name: String,
    /// Between levels; `None` where there are none.
    pub delimiter: Option<char>,
    /// Lower case, without the backslash.
    pub attributes: Vec<String>,
}

impl Heard {
    /// At the beginning of a command or a flight: what was said before is forgotten.
    pub fn begin(&mut self) {
        (self.answer, self.kept) = (Answer::default(), 0);
    }

    /// What came of the command that is done; it counts still while its flight goes on.
    pub fn take_answer(&mut self) -> Answer {
        self.kept = self.kept.saturating_add(self.answer.octets);
        Answer { open: self.open, ..std::mem::take(&mut self.answer) }
    }

    /// Takes note of one response.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`]: it is not IMAP. [`io::ErrorKind::FileTooLarge`]: upstream says more than is kept of
    /// one answer.
    pub fn hear(&mut self, text: &[u8]) -> io::Result<()> {
        let Some(response) = response::parse(text) else {
            // Blank lines have been seen in the wild and say nothing.
            return if text.is_empty() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) };
        };
        match response {
            Response::Tagged { status, text, .. } => {
                self.completed(status, &text);
            }
            Response::Untagged { status, text } => self.status(status, &text),
            Response::Capability(list) => self.capabilities = Some(capabilities(list)),
            other => {
                self.open.data(&other);
                self.answer.data(&other);
            }
        }
        if self.kept.saturating_add(self.answer.octets) > KEPT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(())
    }

    /// Takes note of a tagged response, and of the wait that a refusal asks for.
    pub fn completed(&mut self, status: Status, text: &Text<'_>) -> Completion {
        self.code(text);
        let completion = Completion::new(status, text);
        if status != Status::Ok {
            self.backoff.heed_refusal(&completion);
        }
        self.answer.completion = Some(completion.clone());
        completion
    }

    fn status(&mut self, status: Status, text: &Text<'_>) {
        self.code(text);
        if status == Status::Bye {
            self.bye = Some(clean(text.words));
            self.backoff.heed_refusal(&Completion::new(status, text));
        }
    }

    fn code(&mut self, text: &Text<'_>) {
        if let Some(list) = text.argument("CAPABILITY") {
            self.capabilities = Some(capabilities(list));
        } else if let Some(number) = text.argument("UIDVALIDITY") {
            self.open.told(response::number(number).and_then(UidValidity::new));
        } else if let Some(number) = text.argument("UIDNEXT") {
            self.answer.uid_next = response::number(number).and_then(Uid::new);
        } else if let Some(flags) = text.argument("PERMANENTFLAGS") {
            let has = |name: &[u8]| {
                flags.split(|octet| b" ()".contains(octet)).any(|flag| flag.eq_ignore_ascii_case(name))
            };
            self.open.may_hide = has(b"\\*") || has(HIDDEN.as_bytes());
            self.open.forgets_deleted = !has(b"\\Deleted");
        } else if let Some(told) = text.argument("COPYUID") {
            self.answer.copied = copied(told);
            self.answer.keep::<(Uid, Uid)>(self.answer.copied.as_ref().map_or(0, Vec::len));
        } else if text.argument("UIDNOTSTICKY").is_some() {
            self.answer.uids_not_sticky = true;
        } else if text.argument("ALERT").is_some() && self.alerts.len() < ALERTS {
            self.alerts.push(format!("* OK [ALERT] {}\r\n", clean(text.words)).into());
        }
    }
}

impl Answer {
    fn data(&mut self, response: &Response<'_>) {
        match response {
            Response::Exists(number) => self.exists = Some(*number),
            Response::Expunge => self.expunged = self.expunged.saturating_add(1),
            Response::List(row) => {
                let octets = self.folder_octets.saturating_add(row.len());
                let room = row.len() <= ROW && octets <= FOLDER_OCTETS && self.folders.len() < FOLDERS;
                match folder(row) {
                    Some(folder) if room => {
                        self.folder_octets = octets;
                        self.octets = self.octets.saturating_add(folder.octets());
                        self.folders.push(folder);
                    }
                    _ => self.unread_folders = self.unread_folders.saturating_add(1),
                }
            }
            Response::Namespace(namespaces) => {
                self.foreign = foreign(namespaces).take(PREFIXES).collect();
                self.keep::<u8>(self.foreign.iter().map(Vec::len).sum());
            }
            Response::MailboxStatus(told) => self.standing = standing(told),
            Response::Search(numbers) => self.find(words(numbers)),
            // Where nothing was found there is no ALL (RFC 4731 §3.1).
            Response::Esearch(answer) => self.find(value::all_found(answer)),
            Response::Fetch(items) => {
                let items = value::items(items);
                if let Some(uid) = items.uid.and_then(Uid::new) {
                    self.fetched.push((uid, items.size.map_or(MessageSize::UNKNOWN, MessageSize::told)));
                    self.keep::<(Uid, MessageSize)>(1);
                }
            }
            _ => {}
        }
    }

    /// So many more of these are kept.
    fn keep<T>(&mut self, count: usize) {
        self.octets = self.octets.saturating_add(count.saturating_mul(size_of::<T>()));
    }

    /// Octets that were kept of it, as they lie in memory.
    pub fn octets(&self) -> usize {
        self.octets
    }

    fn find<'a>(&mut self, sets: impl IntoIterator<Item = &'a [u8]>) {
        let before = self.found.len();
        for range in sets.into_iter().flat_map(uid_set::ranges_of) {
            let Some((first, last)) = range else {
                self.found_more = true;
                continue;
            };
            let room = UIDS.saturating_sub(self.found.len());
            self.found.extend((first.get()..=last.get()).filter_map(Uid::new).take(room));
            self.found_more |= self.found.last() != Some(&last);
        }
        self.keep::<Uid>(self.found.len() - before);
    }

    /// Whether upstream did a part of what it was told, and says so (MESSAGELIMIT, RFC 9738), or told more than is kept.
    pub fn is_cut_short(&self) -> bool {
        let limited = self.completion.as_ref().is_some_and(|done| done.code_name() == "MESSAGELIMIT");
        limited || self.found_more
    }
}

impl Folder {
    fn octets(&self) -> usize {
        // An allocation of few octets takes more of them.
        const WORD: usize = size_of::<String>() + 32;
        size_of::<Self>() + self.wire_name.len() + self.name.len() + self.attributes.len() * WORD
    }
}

fn capabilities(list: &[u8]) -> Vec<String> {
    words(list).take(CAPABILITIES).map(clean).collect()
}

fn folder(row: &[u8]) -> Option<Folder> {
    let mut values = Values::new(row);
    let Some(Value::List(attributes)) = values.next() else { return None };
    let delimiter = values.next()?.octets().and_then(|octets| octets.first().copied()).map(char::from);
    let wire_name = values.next()?.octets()?.into_owned();
    let attributes = words(attributes)
        .take(ATTRIBUTES)
        .map(|word| String::from_utf8_lossy(word.strip_prefix(b"\\").unwrap_or(word)).to_ascii_lowercase())
        .collect();
    Some(Folder { name: mutf7::decode(&wire_name), wire_name, delimiter, attributes })
}

/// `None` where it does not name one copy for each message.
///
/// ```abnf
/// resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set
/// ```
fn copied(told: &[u8]) -> Option<Vec<(Uid, Uid)>> {
    let mut sets = words(told).skip(1);
    let (from, to) = (sets.next()?, sets.next()?);
    let ranges = |set| uid_set::ranges_of(set).collect::<Option<Vec<_>>>();
    let (from, to) = (ranges(from)?, ranges(to)?);
    let same = uid_set::count(&from) == uid_set::count(&to);
    (same && sets.next().is_none()).then_some(from)
}

/// `None` where one of the three is missing.
fn standing(told: &[u8]) -> Option<Standing> {
    let Some(Value::List(items)) = Values::new(told).nth(1) else { return None };
    let items: Vec<&[u8]> = words(items).take(ATTRIBUTES).collect();
    let number = |wanted: &str| {
        let mut pairs = items.chunks_exact(2);
        pairs.find_map(|pair| match pair {
            [name, number] if name.eq_ignore_ascii_case(wanted.as_bytes()) => response::number(number),
            _ => None,
        })
    };
    Some(Standing {
        uid_validity: number("UIDVALIDITY")?,
        uid_next: number("UIDNEXT")?,
        messages: number("MESSAGES")?,
    })
}

/// The prefixes of other users' namespaces and of shared ones. An empty one would be all there is.
///
/// ```abnf
/// namespace = nil / "(" 1*( "(" string SP (<"> QUOTED_CHAR <"> / nil) *namespace-response-extension ")" ) ")"
/// ```
fn foreign(namespaces: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lists = |value| if let Value::List(inside) = value { Some(Values::new(inside)) } else { None };
    let kinds = Values::new(namespaces).skip(1).take(2).filter_map(lists);
    let prefixes =
        kinds.flatten().filter_map(lists).filter_map(|mut one| Some(one.next()?.octets()?.into_owned()));
    prefixes.filter(|prefix| !prefix.is_empty() && prefix.len() <= ROW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> Answer {
        let mut heard = Heard::default();
        assert!(lines.iter().all(|line| heard.hear(line.as_bytes()).is_ok()));
        heard.answer
    }

    #[test]
    fn rfc4731_3_1_what_a_search_found_is_the_same_in_either_form() {
        let answer = heard(&["* SEARCH 3 9 4"]);
        assert_eq!((answer.found.len(), answer.is_cut_short()), (3, false));
        let answer = heard(&["* ESEARCH (TAG \"B1\") UID ALL 3:5,9", "* ESEARCH (TAG \"B1\") UID COUNT 4"]);
        let found: Vec<u32> = answer.found.iter().map(|uid| uid.get()).collect();
        assert_eq!((found.as_slice(), answer.is_cut_short()), ([3, 4, 5, 9].as_slice(), false));
    }

    #[test]
    fn what_was_found_and_is_not_kept_or_not_read_is_known_to_be_missing() {
        for odd in ["* SEARCH 3 x", "* ESEARCH UID ALL 1:*", "* ESEARCH UID ALL 1:4294967295"] {
            let answer = heard(&[odd]);
            assert!(answer.is_cut_short(), "{odd}");
            assert!(answer.found.len() <= UIDS);
        }
        assert!(heard(&["B1 OK [MESSAGELIMIT 1000 23221] the rest was not looked at"]).is_cut_short());
    }

    #[test]
    fn rfc2342_5_what_is_other_peoples() {
        let line = r##"* NAMESPACE (("" "/")) (("Other Users/" "/")("~" "/" "X-PARAM" ("a" "b"))) (("#shared/" "/")("" NIL))"##;
        assert_eq!(heard(&[line]).foreign, [b"Other Users/".as_slice(), b"~", b"#shared/"]);
        assert!(
            heard(&[r#"* NAMESPACE (("INBOX." ".")) NIL NIL"#, "* NAMESPACE", "* NAMESPACE x ((("])
                .foreign
                .is_empty()
        );
        let mut heard = Heard::default();
        let many = format!("* NAMESPACE NIL NIL ({})", r#"("a" "/")"#.repeat(1_000));
        assert!(heard.hear(many.as_bytes()).is_ok());
        assert_eq!(heard.answer.foreign.len(), PREFIXES);
    }

    #[test]
    fn rfc4315_3_what_was_copied() {
        let copied = |code: &str| {
            let copied = heard(&[&format!("B1 OK [{code}] done")]).copied?;
            Some(copied.iter().map(|(first, last)| (first.get(), last.get())).collect::<Vec<_>>())
        };
        assert_eq!(copied("COPYUID 38505 304,319:320 3956:3958"), Some(vec![(304, 304), (319, 320)]));
        for odd in [
            "COPYUID 38505 304,319:320 3956:3957",
            "COPYUID 1",
            "COPYUID 1  ",
            "COPYUID 1 3",
            "COPYUID 1 3 4 5",
            "COPYUID 1 * 4",
            "COPYUID 1 3:4,x 1:3",
            "COPYUID",
        ] {
            assert_eq!(copied(odd), None, "{odd}");
        }
    }

    #[test]
    fn rfc3501_7_2_4_how_a_folder_stands() {
        let all = Standing { uid_validity: 7, uid_next: 44_292, messages: 231 };
        for line in [
            "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292 UIDVALIDITY 7)",
            "* STATUS \"a b (c\" (uidvalidity 7 RECENT 1 messages 231 UIDNEXT 44292)",
        ] {
            assert_eq!(heard(&[line]).standing, Some(all), "{line}");
        }
        for line in [
            "* STATUS x (MESSAGES 231 UIDNEXT 44292)",
            "* STATUS x (MESSAGES UIDNEXT 44292 UIDVALIDITY 7 231)",
            "* STATUS x (MESSAGES -1 UIDNEXT 44292 UIDVALIDITY 7)",
            "* STATUS x",
            "* STATUS",
        ] {
            assert_eq!(heard(&[line]).standing, None, "{line}");
        }
    }

    #[test]
    fn folders_take_a_bounded_place_however_long_their_names_are() {
        let mut heard = Heard::default();
        let long = format!("* LIST () \"/\" {}", "x".repeat(ROW - 100));
        let too_long = format!("* LIST () \"/\" {}", "x".repeat(ROW + 100));
        assert!((0..2_000).all(|_| heard.hear(long.as_bytes()).is_ok()));
        let kept = heard.answer.folders.len();
        assert!(kept * (ROW - 100) <= FOLDER_OCTETS && kept > 500, "{kept}");
        assert_eq!(heard.answer.unread_folders, 2_000 - kept);
        let mut heard = Heard::default();
        assert!(heard.hear(too_long.as_bytes()).is_ok());
        assert_eq!((heard.answer.folders.len(), heard.answer.unread_folders), (0, 1));
        let many = format!("* LIST ({}) \"/\" x", "\\a ".repeat(2_000));
        assert!(heard.hear(many.as_bytes()).is_ok());
        assert!(heard.answer.folders.iter().all(|folder| folder.attributes.len() <= ATTRIBUTES));
    }

    #[test]
    fn whatever_is_kept_of_an_answer_counts_as_long_as_it_takes_memory() {
        let rows = [
            "* SEARCH 3 9 4",
            "* ESEARCH UID ALL 3:5",
            "* 1 FETCH (UID 7)",
            "* 1 FETCH (UID 7 RFC822.SIZE 3)",
            "* LIST (\\Trash) \"/\" a",
            "* NAMESPACE NIL NIL ((\"a\" \"/\"))",
            "* OK [COPYUID 7 1:3 4:6] x",
        ];
        for row in rows {
            let (once, twice) = (heard(&[row]).octets(), heard(&[row, row]).octets());
            assert!(once > 0 && twice == 2 * once, "{row}: {once}, {twice}");
        }
        assert_eq!(heard(&["* 1 FETCH (UID 7 RFC822.SIZE 3)"]).octets(), 16);
        assert_eq!(heard(&["* OK x", "* 5 EXISTS", "* 1 EXPUNGE", "* 1 FETCH (FLAGS ())"]).octets(), 0);
    }

    #[test]
    fn the_answers_of_a_flight_have_one_bound() {
        let a_million = b"* ESEARCH UID ALL 1:1000000";
        let mut heard = Heard::default();
        let mut flight = Vec::new();
        let refused = loop {
            if let Err(error) = heard.hear(a_million) {
                break error.kind();
            }
            flight.push(heard.take_answer());
        };
        assert_eq!((refused, flight.len()), (io::ErrorKind::FileTooLarge, KEPT / 4_000_000));
        heard.begin();
        assert!(heard.hear(a_million).is_ok());
    }

    #[test]
    fn capabilities_beyond_any_servers_are_not_kept() {
        let mut heard = Heard::default();
        assert!(heard.hear(format!("* CAPABILITY IMAP4rev1{}", " a".repeat(100_000)).as_bytes()).is_ok());
        assert_eq!(heard.capabilities.unwrap().len(), CAPABILITIES);
    }
}
