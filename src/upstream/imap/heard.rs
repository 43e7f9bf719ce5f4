//! What upstream says, remembered as it goes by.

use bytes::Bytes;

use super::backoff::Backoff;
use crate::mail::{Uid, UidValidity};
use crate::proto::imap::mutf7;
use crate::proto::imap::response::{self, Response, Status, Text, words};
use crate::proto::imap::value::{self, Value, Values};

/// The keyword (RFC 3501 §2.3.2) of messages that are not shown to POP3 apps.
pub const HIDDEN: &str = "$FootbridgeHidden";

/// Alerts kept for the app: a login that brings more is no login.
const ALERTS: usize = 16;

/// UIDs kept of one answer; no set we ask about has more.
const UIDS: usize = 1_000_000;

/// Folders kept of one answer.
const FOLDERS: usize = 20_000;

/// The longest text of upstream's that gets into a sentence or a log, in octets.
const WORDS: usize = 200;

/// What holds for the whole connection.
#[derive(Debug, Default)]
pub struct Heard {
    /// The last capability list, as upstream spelled it; from a greeting, a response code or an answer.
    pub capabilities: Option<Vec<String>>,
    /// `* OK [ALERT] ...` lines, CRLF included.
    pub alerts: Vec<Bytes>,
    /// Why upstream is about to close the connection.
    pub bye: Option<String>,
    /// The last UIDVALIDITY named, asked for or not.
    pub uid_validity: Option<UidValidity>,
    /// A message's UID came only behind its body: nobody knew before whose it was.
    pub uid_behind_body: bool,
    /// How long nobody is to ask.
    pub backoff: Backoff,
    /// The answer to the command that is running.
    pub answer: Answer,
}

/// What came of one command.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its tagged response.
    pub completion: Option<Completion>,
    /// `EXISTS`, the last one.
    pub exists: Option<u32>,
    /// The last UIDVALIDITY named.
    pub uid_validity: Option<UidValidity>,
    /// The last UIDNEXT named.
    pub uid_next: Option<Uid>,
    /// A mark of ours would last: PERMANENTFLAGS has [`HIDDEN`], or says that keywords may be made (RFC 3501 §7.1).
    pub may_hide: bool,
    /// UIDNOTSTICKY was said: UIDs do not outlive the session (RFC 4315 §3).
    pub uids_not_sticky: bool,
    /// How many `EXPUNGE` came.
    pub expunged: u32,
    /// Rows of LIST.
    pub folders: Vec<Folder>,
    /// Rows of LIST that could not be read, or were too many.
    pub unread_folders: usize,
    /// UIDs of SEARCH.
    pub found: Vec<Uid>,
    /// UIDs of FETCH, with RFC822.SIZE where it was told.
    pub fetched: Vec<(Uid, Option<u64>)>,
}

/// A tagged response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// OK, NO or BAD.
    pub status: Status,
    /// Its response code, upper case as far as it is a name; empty if there is none.
    pub code: String,
    /// Its words, cleaned.
    pub words: String,
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
    /// Takes note of one response. `false`: it is not IMAP.
    pub fn hear(&mut self, text: &[u8]) -> bool {
        let Some(response) = response::parse(text) else {
            // Blank lines have been seen in the wild and say nothing.
            return text.is_empty();
        };
        match response {
            Response::Tagged { status, text, .. } => self.completed(status, &text),
            Response::Untagged { status, text } => self.status(status, &text),
            Response::Capability(list) => self.capabilities = Some(capabilities(list)),
            other => self.answer.data(&other),
        }
        true
    }

    fn completed(&mut self, status: Status, text: &Text<'_>) {
        self.code(text);
        self.answer.completion = Some(self.heed(Completion::new(status, text)));
    }

    /// Takes note of the wait that a refusal asks for.
    pub fn heed(&self, completion: Completion) -> Completion {
        if completion.status != Status::Ok {
            self.backoff.heed_refusal(&completion);
        }
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
            self.uid_validity = response::number(number).and_then(UidValidity::new);
            self.answer.uid_validity = self.uid_validity;
        } else if let Some(number) = text.argument("UIDNEXT") {
            self.answer.uid_next = response::number(number).and_then(Uid::new);
        } else if let Some(flags) = text.argument("PERMANENTFLAGS") {
            let mut flags = flags.split(|octet| b" ()".contains(octet));
            self.answer.may_hide =
                flags.any(|flag| flag == b"\\*" || flag.eq_ignore_ascii_case(HIDDEN.as_bytes()));
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
            Response::List(row) => match folder(row) {
                Some(folder) if self.folders.len() < FOLDERS => self.folders.push(folder),
                _ => self.unread_folders = self.unread_folders.saturating_add(1),
            },
            Response::Search(numbers) => {
                let room = UIDS.saturating_sub(self.found.len());
                let uids = words(numbers).filter_map(response::number).filter_map(Uid::new);
                self.found.extend(uids.take(room));
            }
            Response::Fetch(items) if self.fetched.len() < UIDS => {
                let items = value::items(items);
                self.fetched.extend(items.uid.and_then(Uid::new).map(|uid| (uid, items.size)));
            }
            _ => {}
        }
    }
}

impl Completion {
    /// What a tagged response says.
    pub fn new(status: Status, text: &Text<'_>) -> Self {
        let code = text.code.map(clean).unwrap_or_default().to_ascii_uppercase();
        Self { status, code, words: clean(text.words) }
    }

    /// The code's name.
    pub fn code_name(&self) -> &str {
        self.code.split(' ').next().unwrap_or_default()
    }

    /// Code and words, for a person.
    pub fn text(&self) -> String {
        match (self.code.is_empty(), self.words.is_empty()) {
            (true, true) => "it gives no reason".to_owned(),
            (true, false) => self.words.clone(),
            (false, true) => format!("[{}]", self.code),
            (false, false) => clean(format!("{} [{}]", self.words, self.code).as_bytes()),
        }
    }
}

fn capabilities(list: &[u8]) -> Vec<String> {
    words(list).map(clean).collect()
}

fn folder(row: &[u8]) -> Option<Folder> {
    let mut values = Values::new(row);
    let Some(Value::List(attributes)) = values.next() else { return None };
    let delimiter = values.next()?.octets().and_then(|octets| octets.first().copied()).map(char::from);
    let wire_name = values.next()?.octets()?.into_owned();
    let attributes = words(attributes)
        .map(|word| String::from_utf8_lossy(word.strip_prefix(b"\\").unwrap_or(word)).to_ascii_lowercase())
        .collect();
    Some(Folder { name: mutf7::decode(&wire_name), wire_name, delimiter, attributes })
}

/// Upstream's words made fit for a sentence: printable, one line, bounded.
pub fn clean(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let printable = words.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cleaned = String::new();
    for character in printable {
        if cleaned.len() + character.len_utf8() > WORDS {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}
