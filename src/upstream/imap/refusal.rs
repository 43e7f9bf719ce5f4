//! What a refusal means, cut by what we do about it.
//!
//! Servers say "wrong password", "not now" and "not this" in the same NO. The response code decides where there is
//! one that tells (RFC 5530); else the words do, since a temporary fault that is called a wrong password makes apps
//! ask their user for a new one.

use std::io;
use std::time::Duration;

use super::completion::Completion;
use super::heard::Heard;
use crate::proto::imap::response::Status;
use crate::upstream::UpstreamError;

/// Codes of a server that cannot now (RFC 5530 §3), and those of providers.
const NOT_NOW: &[&str] = &["UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "THROTTLED"];

/// Codes of a credential that was judged, or of an account that waits for its owner.
const JUDGED: &[&str] = &[
    "AUTHENTICATIONFAILED",
    "AUTHORIZATIONFAILED",
    "EXPIRED",
    "PRIVACYREQUIRED",
    "CONTACTADMIN",
    "WEBALERT",
];

/// Words of servers that cannot now and give no code, lower case.
const NOT_NOW_WORDS: &[&str] = &[
    "too many",
    "try again later",
    "try again in",
    "temporar",
    "rate limit",
    "unavailable",
    "throttl",
    "backoff",
    "back-off",
    "internal error",
    "internal server error",
    "server error",
    "system error",
    "server busy",
    "server is busy",
    "timeout",
    "timed out",
    "maximum number of",
    "exceeded",
    "but not connected",
];

/// Codes of a login that counts no longer, in mid-session: a token that has ended, a password that was changed. A fresh
/// login shows what is the matter.
const ENDED: &[&str] = &["AUTHENTICATIONFAILED", "EXPIRED"];

/// The same in words: Exchange's, before and after the BYE behind which it does not close, and Google's.
const ENDED_WORDS: &[&str] = &[
    "accesstokenexpired",
    "session invalidated",
    "command received in invalid state",
    "invalid credentials",
];

/// What a refused login comes to.
pub fn of_login(command: &'static str, completion: &Completion) -> UpstreamError {
    let code = completion.code_name();
    if NOT_NOW.contains(&code) || (!JUDGED.contains(&code) && says_not_now(&completion.words)) {
        return not_now(completion);
    }
    match completion.status {
        Status::Bad => UpstreamError::Refused { command, text: completion.text() },
        _ => UpstreamError::LoginRefused { text: completion.text() },
    }
}

/// What a refused command comes to.
pub fn of_command(command: &'static str, completion: &Completion) -> UpstreamError {
    let words = completion.words.to_ascii_lowercase();
    // Exchange takes a login and finds out at the first command that it cannot serve it.
    if words.contains("authenticated but not connected") {
        return UpstreamError::NotServed { text: completion.text() };
    }
    if has_ended(completion) {
        return UpstreamError::Lost { command };
    }
    if NOT_NOW.contains(&completion.code_name()) || completion.wait().is_some() {
        return not_now(completion);
    }
    if command == "SEARCH" && completion.status == Status::Bad {
        return UpstreamError::CannotSearch { text: completion.text() };
    }
    UpstreamError::Refused { command, text: completion.text() }
}

/// What a refused FETCH of one message comes to: that message's fault, whatever the code, since Yahoo answers
/// `[UNAVAILABLE]` for the same one for ever; but a wait that upstream asks for holds for all, and so does a login that
/// counts no longer.
pub fn of_fetch(completion: &Completion) -> UpstreamError {
    if has_ended(completion) {
        return UpstreamError::Lost { command: "FETCH" };
    }
    match completion.wait() {
        Some(_) => not_now(completion),
        None => UpstreamError::Refused { command: "FETCH", text: completion.text() },
    }
}

fn has_ended(completion: &Completion) -> bool {
    let words = completion.words.to_ascii_lowercase();
    let ended =
        ENDED.contains(&completion.code_name()) || ENDED_WORDS.iter().any(|said| words.contains(said));
    if ended {
        tracing::warn!(said = completion.text(), "the provider no longer knows the session");
    }
    ended
}

fn not_now(completion: &Completion) -> UpstreamError {
    UpstreamError::Unavailable { text: completion.text(), wait: completion.wait() }
}

fn says_not_now(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    NOT_NOW_WORDS.iter().any(|said| words.contains(said))
}

/// What a fault of the stream during `command` comes to.
pub fn of_stream(
    command: &'static str,
    error: &io::Error,
    heard: &Heard,
    patience: Duration,
) -> UpstreamError {
    match error.kind() {
        io::ErrorKind::TimedOut if heard.bye.is_none() => {
            UpstreamError::TimedOut { command, after: patience }
        }
        io::ErrorKind::FileTooLarge => UpstreamError::TooLarge,
        _ => match &heard.bye {
            Some(bye) => heard
                .backoff
                .refuses()
                .unwrap_or(UpstreamError::Unavailable { text: bye.clone(), wait: None }),
            None => UpstreamError::Lost { command },
        },
    }
}
