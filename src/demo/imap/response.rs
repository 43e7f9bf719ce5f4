//! What the responses of all commands are made of: outcomes, texts, numbers, names (RFC 3501 §7).

use std::num::NonZeroU32;

use imap_codec::imap_types::core::{QuotedChar, Tag, Text};
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::response::{Code, CodeOther, Response, Status};

use crate::demo::mailbox::Refusal;

/// The outcome of one command: what its tagged response says.
pub(super) enum Outcome {
    Ok(Option<Code<'static>>, &'static str),
    No(Option<Code<'static>>, &'static str),
    Bad(&'static str),
}

impl Outcome {
    pub(super) fn done(text: &'static str) -> Self {
        Self::Ok(None, text)
    }

    /// A refusal of the store; TRYCREATE where a folder to put mail into is missing (RFC 3501 §6.3.11).
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::No(None, refusal.clause())
    }

    pub(super) fn not_put(refusal: Refusal) -> Self {
        let code = (refusal == Refusal::NoSuchFolder).then_some(Code::TryCreate);
        Self::No(code, refusal.clause())
    }
}

impl From<Result<(), Refusal>> for Outcome {
    fn from(result: Result<(), Refusal>) -> Self {
        result.map_or_else(Self::refused, |()| Self::done("done"))
    }
}

/// The name of a mailbox as it stands on the wire; INBOX has no case (RFC 3501 §5.1).
pub(super) fn name_of(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => "INBOX".to_owned(),
        Mailbox::Other(other) => String::from_utf8_lossy(other.as_ref()).into_owned(),
    }
}

pub(super) fn tagged(tag: Tag<'static>, outcome: Outcome) -> Response<'static> {
    let tag = Some(tag);
    let status = match outcome {
        Outcome::Ok(code, said) => Status::ok(tag, code, text(said)),
        Outcome::No(code, said) => Status::no(tag, code, text(said)),
        Outcome::Bad(said) => Status::bad(tag, None, text(said)),
    };
    let Ok(status) = status;
    Response::Status(status)
}

/// `* OK [code] text`.
pub(super) fn untagged(code: Code<'static>, said: &'static str) -> Response<'static> {
    let Ok(status) = Status::ok(None, Some(code), text(said));
    Response::Status(status)
}

/// Our own words, which are fit for it.
pub(super) fn text(said: &'static str) -> Text<'static> {
    Text::unvalidated(said)
}

/// A response code the codec has no name for.
pub(super) fn code(word: &'static str) -> Option<Code<'static>> {
    Some(Code::Other(CodeOther::unvalidated(word.as_bytes())))
}

/// The delimiter between the levels of a mailbox name.
pub(super) fn delimiter() -> Option<QuotedChar> {
    QuotedChar::try_from('/').ok()
}

/// A number that counts messages.
pub(super) fn count(messages: usize) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}

/// The message sequence number of a place.
pub(super) fn number(at: usize) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(count(at))
}
