//! The mailbox that is open, as upstream tells of it, and whether UIDs name in it what they did when it was opened.
//!
//! ```text
//!  SELECT ─▶ being opened ──[UIDVALIDITY 7], OK──▶ UIDs are good ──[UIDVALIDITY 8], asked for or not──▶ UIDs are void
//!               ▲                                                                                          │
//!               └───────────────────────────────── SELECT, EXAMINE ────────────────────────────────────────┘
//! ```
//!
//! Void UIDs get into no command, and what comes of one that was on its way is not believed. `Conversation` asks here
//! before and behind each command, so that whoever has one run need not think of it.

use crate::mail::{Listed, Uid, UidValidity};
use crate::proto::imap::response::{Response, Status};
use crate::upstream::UpstreamError;

/// See the module; nothing where no mailbox is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// What numbered it when SELECT or EXAMINE was done.
    opened: Option<UidValidity>,
    /// What numbers it by now; `None` where nothing was told, or nothing that is a UIDVALIDITY.
    pub uid_validity: Option<UidValidity>,
    /// A mark of ours would last: PERMANENTFLAGS has [`HIDDEN`](super::HIDDEN), or says that keywords may be made
    /// (RFC 3501 §7.1).
    pub may_hide: bool,
    /// A `\Deleted` would not last: PERMANENTFLAGS was said, and does not have it (RFC 3501 §7.1).
    pub forgets_deleted: bool,
    /// How many messages are in it, where that was told.
    messages: Option<u32>,
    /// It was listed since.
    listed: bool,
    /// Something came or went since, or it was numbered anew.
    news: bool,
}

/// A mailbox as it stood when it was listed: another listing of the same numbering that has as many messages and the same
/// last one has the same ones, since UIDs are handed out upwards and once (RFC 3501 §2.3.1.1).
#[derive(Debug)]
pub struct Stood {
    folder: String,
    uid_validity: UidValidity,
    uid_next: Option<Uid>,
    messages: usize,
    last: Option<Uid>,
}

impl Stood {
    /// As it is `listed`.
    pub fn new(folder: &str, listed: &Listed) -> Self {
        Self {
            folder: folder.to_owned(),
            uid_validity: listed.uid_validity,
            uid_next: listed.uid_next,
            messages: listed.messages.len(),
            last: listed.messages.last().map(|(uid, _)| *uid),
        }
    }

    /// Whether that is what is `known` of `folder`.
    pub fn is(&self, folder: &str, known: &Listed) -> bool {
        self.folder == folder
            && self.uid_validity == known.uid_validity
            && self.messages == known.messages.len()
            && self.last == known.messages.last().map(|(uid, _)| *uid)
    }

    /// What upstream told then.
    pub fn uid_next(&self) -> Option<Uid> {
        self.uid_next
    }
}

/// Whether a command names messages that another numbering has others for: by UID (RFC 3501 §6.4.8), or by the marks that
/// were set so.
pub fn goes_by_uids(command: &str) -> bool {
    command.starts_with("UID ") || command == "EXPUNGE"
}

/// Whether a command closes the mailbox that is open and opens one (RFC 3501 §6.3.1).
pub fn opens(name: &str) -> bool {
    name == "SELECT" || name == "EXAMINE"
}

impl Open {
    /// SELECT or EXAMINE is sent: what is told from now on is of that one.
    pub fn begin(&mut self) {
        *self = Self::default();
    }

    /// It was done, or refused, and then none is open.
    pub fn done(&mut self, status: Status) {
        match status {
            Status::Ok => (self.opened, self.news) = (self.uid_validity, false),
            _ => *self = Self::default(),
        }
    }

    /// Upstream told a UIDVALIDITY. One that comes back was others' meanwhile.
    pub fn told(&mut self, uid_validity: Option<UidValidity>) {
        self.news |= uid_validity != self.uid_validity;
        if self.opened.is_none() || self.opened == self.uid_validity {
            self.uid_validity = uid_validity;
        }
    }

    /// Upstream told something else, of messages that came or went maybe (RFC 3501 §7.3.1, §7.4.1).
    pub fn data(&mut self, response: &Response<'_>) {
        match response {
            Response::Exists(number) => {
                self.news |= self.messages != Some(*number);
                self.messages = Some(*number);
            }
            Response::Expunge => {
                self.news = true;
                self.messages = self.messages.map(|number| number.saturating_sub(1));
            }
            Response::Vanished => (self.news, self.messages) = (true, None),
            _ => {}
        }
    }

    /// So many messages were listed; counts where upstream tells of as many.
    pub fn listed(&mut self, messages: usize) {
        self.listed = self.messages.is_some_and(|there| usize::try_from(there) == Ok(messages));
    }

    /// Whether it is as it was listed, so far as upstream tells.
    pub fn is_as_listed(&self) -> bool {
        self.listed && !self.news
    }

    /// Whether no message is in it any more, so far as upstream tells.
    pub fn is_empty(&self) -> bool {
        self.messages == Some(0)
    }

    /// Whether UIDs name what they did when it was opened.
    ///
    /// # Errors
    /// [`UpstreamError::UidValidityChanged`]; [`UpstreamError::Lost`] where upstream told what is no UIDVALIDITY.
    pub fn still_numbered(&self, command: &'static str) -> Result<(), UpstreamError> {
        match (self.opened, self.uid_validity) {
            (Some(_), None) => Err(UpstreamError::Lost { command }),
            (Some(was), Some(_)) => self.numbered_by(was),
            (None, _) => Ok(()),
        }
    }

    /// Whether upstream has told of no other UIDVALIDITY than this one.
    ///
    /// # Errors
    /// [`UpstreamError::UidValidityChanged`].
    pub fn numbered_by(&self, was: UidValidity) -> Result<(), UpstreamError> {
        match self.uid_validity {
            Some(now) if now != was => Err(UpstreamError::UidValidityChanged { was, now }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3501 §2.3.1.1: what is told while it is opened, then what is told later.
    fn numbered(while_opened: &[u32], later: &[u32]) -> &'static str {
        let mut open = Open::default();
        open.begin();
        while_opened.iter().for_each(|told| open.told(UidValidity::new(*told)));
        assert!(open.still_numbered("STORE").is_ok());
        open.done(Status::Ok);
        assert!(open.still_numbered("STORE").is_ok());
        later.iter().for_each(|told| open.told(UidValidity::new(*told)));
        match open.still_numbered("STORE") {
            Ok(()) => "good",
            Err(UpstreamError::UidValidityChanged { .. }) => "void",
            Err(UpstreamError::Lost { .. }) => "lost",
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn rfc3501_2_3_1_1_another_uidvalidity_makes_uids_void_until_the_mailbox_is_opened_anew() {
        assert_eq!(numbered(&[7], &[]), "good");
        assert_eq!(numbered(&[7], &[7, 7]), "good");
        assert_eq!(numbered(&[6, 7], &[7]), "good");
        assert_eq!(numbered(&[7], &[8]), "void");
        // What comes back does not bring back what the numbers named.
        assert_eq!(numbered(&[7], &[8, 7]), "void");
        // None at all is refused where the mailbox is opened.
        assert_eq!(numbered(&[], &[]), "good");
        assert_eq!(numbered(&[7], &[0]), "lost");
        assert_eq!(numbered(&[7], &[0, 7]), "lost");
        let mut open =
            Open { opened: UidValidity::new(7), uid_validity: UidValidity::new(8), ..Open::default() };
        open.begin();
        assert!(open.still_numbered("STORE").is_ok());
    }

    #[test]
    fn rfc3501_7_4_1_each_expunge_is_a_message_less() {
        let mut open = Open::default();
        open.data(&Response::Expunge);
        assert!(!open.is_empty(), "nobody told how many there are");
        open.data(&Response::Exists(2));
        open.data(&Response::Expunge);
        assert!(!open.is_empty());
        open.data(&Response::Expunge);
        assert!(open.is_empty());
        open.data(&Response::Exists(1));
        assert!(!open.is_empty());
        open.data(&Response::Exists(0));
        assert!(open.is_empty());
        open.begin();
        assert!(!open.is_empty());
    }

    #[test]
    fn rfc3501_7_3_1_it_is_as_it_was_listed_until_upstream_tells_otherwise() {
        // Between SELECT and the end of the listing, and behind it.
        let stands = |meanwhile: &[Response<'_>], listed, later: &[Response<'_>]| {
            let mut open = Open::default();
            open.begin();
            open.told(UidValidity::new(7));
            open.data(&Response::Exists(5));
            open.done(Status::Ok);
            assert!(!open.is_as_listed(), "nobody has listed it");
            meanwhile.iter().for_each(|told| open.data(told));
            open.listed(listed);
            later.iter().for_each(|told| open.data(told));
            open.is_as_listed()
        };
        let (came, went) = (Response::Exists(6), Response::Expunge);
        assert!(stands(&[], 5, &[]));
        assert!(stands(&[Response::Exists(5)], 5, &[Response::Exists(5), Response::Other]));
        assert!(!stands(&[], 4, &[]) && !stands(&[], 6, &[]));
        assert!(!stands(&[], 5, &[Response::Exists(6)]));
        assert!(!stands(&[], 5, &[Response::Expunge]));
        assert!(!stands(&[], 5, &[Response::Vanished]));
        // As many as before, and not the same.
        assert!(!stands(&[], 5, &[Response::Expunge, Response::Exists(5)]));
        assert!(!stands(&[came, went], 5, &[]));
        let mut open = Open::default();
        open.told(UidValidity::new(7));
        open.data(&Response::Exists(0));
        open.done(Status::Ok);
        open.listed(0);
        assert!(open.is_as_listed());
        open.told(UidValidity::new(7));
        assert!(open.is_as_listed());
        open.told(UidValidity::new(8));
        assert!(!open.is_as_listed());
        open.listed(0);
        open.begin();
        assert!(!open.is_as_listed());
    }

    #[test]
    fn rfc3501_6_4_8_which_commands_go_by_uids() {
        for command in ["UID STORE 3 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 3", "UID MOVE 3 x", "EXPUNGE"] {
            assert!(goes_by_uids(command), "{command}");
        }
        for command in ["NOOP", "LIST \"\" \"*\"", "CAPABILITY", "SELECT \"UID \"", "LOGOUT"] {
            assert!(!goes_by_uids(command), "{command}");
        }
    }
}
