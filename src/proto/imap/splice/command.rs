//! The first words of an app's command line: enough to know what runs, and what must not pass.

use crate::proto::imap::text::{TAG, is_tag};

/// What an app asks for, as far as the splice minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The RFC's name, for the log and for sentences; "a command" where it is none we know.
    pub name: &'static str,
    /// What it means for the splice.
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Upstream answers at once or piece by piece: silence is a fault.
    Prompt,
    /// Upstream may work for minutes before it says a word.
    Laborious,
    /// RFC 2177.
    Idle,
    /// RFC 3501 §6.1.3.
    Logout,
    /// Answered by us: who the app is, is nobody's business upstream (RFC 2971 §4).
    Id,
    /// Answered BAD by us: it would end the framing, or the login.
    Forbidden,
}

/// How the line in front begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// A tag and the command behind it.
    Command { tag: &'a [u8], command: Command },
    /// Something that is no command; upstream will say so.
    Other,
}

/// A command shows itself within these octets, blanks included; else we refuse it, for we could not say what it is.
const LONGEST_START: usize = 10 * TAG;

const KNOWN: &[(&str, Kind)] = &[
    ("FETCH", Kind::Prompt),
    ("NOOP", Kind::Prompt),
    ("CAPABILITY", Kind::Prompt),
    ("SELECT", Kind::Prompt),
    ("EXAMINE", Kind::Prompt),
    ("LIST", Kind::Prompt),
    ("LSUB", Kind::Prompt),
    ("XLIST", Kind::Prompt),
    ("STATUS", Kind::Prompt),
    ("NAMESPACE", Kind::Prompt),
    ("ENABLE", Kind::Prompt),
    ("SUBSCRIBE", Kind::Prompt),
    ("UNSUBSCRIBE", Kind::Prompt),
    ("UNSELECT", Kind::Prompt),
    ("GETQUOTA", Kind::Prompt),
    ("GETQUOTAROOT", Kind::Prompt),
    ("APPEND", Kind::Laborious),
    ("CHECK", Kind::Laborious),
    ("CLOSE", Kind::Laborious),
    ("COPY", Kind::Laborious),
    ("CREATE", Kind::Laborious),
    ("DELETE", Kind::Laborious),
    ("EXPUNGE", Kind::Laborious),
    ("MOVE", Kind::Laborious),
    ("RENAME", Kind::Laborious),
    ("SEARCH", Kind::Laborious),
    ("SORT", Kind::Laborious),
    ("STORE", Kind::Laborious),
    ("THREAD", Kind::Laborious),
    ("IDLE", Kind::Idle),
    ("LOGOUT", Kind::Logout),
    ("ID", Kind::Id),
    ("AUTHENTICATE", Kind::Forbidden),
    ("COMPRESS", Kind::Forbidden),
    ("LOGIN", Kind::Forbidden),
    ("STARTTLS", Kind::Forbidden),
    ("UNAUTHENTICATE", Kind::Forbidden),
];

/// It must not go upstream, since there it might be a forbidden one; nor could its answer be told from others.
const HIDDEN: Command = Command { name: "a command", kind: Kind::Forbidden };

/// What stands in a tag's place where the app's cannot be repeated.
const NO_TAG: &[u8] = b"*";

const UNKNOWN: Command = Command { name: "a command", kind: Kind::Laborious };

/// Looks at the front of a command line; `None` while more octets are needed to say.
///
/// ```abnf
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF     ; RFC 3501 §9
/// uid     = "UID" SP (copy / fetch / search / store)
/// ```
/// More than one space is let pass: upstream may take it, so a forbidden command must not hide behind it.
pub(super) fn start(input: &[u8]) -> Option<Start<'_>> {
    let front = input.get(..LONGEST_START).unwrap_or(input); // However the octets are split, it comes out the same.
    let mut words = Words { rest: front };
    let begun = match words.next() {
        Word::Whole(tag) => behind(tag, words),
        Word::End => Some(Start::Other),
        Word::Unfinished => None,
    };
    begun.or((input.len() >= LONGEST_START).then_some(Start::Command { tag: NO_TAG, command: HIDDEN }))
}

/// A command whose tag is no tag is upstream's to refuse, unless upstream must not see it; one whose tag is longer
/// than ours may be is refused by us, who could not follow it.
fn behind<'a>(tag: &'a [u8], words: Words<'a>) -> Option<Start<'a>> {
    let command = named_in(words)?;
    Some(match command.kind {
        _ if is_tag(tag) => Start::Command { tag, command },
        Kind::Forbidden | Kind::Id => Start::Command { tag: NO_TAG, command },
        _ if tag.len() > TAG => Start::Command { tag: NO_TAG, command: HIDDEN },
        _ => Start::Other,
    })
}

fn named_in(mut words: Words<'_>) -> Option<Command> {
    let mut word = words.next();
    if matches!(word, Word::Whole(word) if word.eq_ignore_ascii_case(b"UID")) {
        word = words.next();
    }
    match word {
        Word::Whole(name) => Some(named(name)),
        Word::End => Some(UNKNOWN),
        Word::Unfinished => None,
    }
}

fn named(name: &[u8]) -> Command {
    KNOWN
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        .map_or(UNKNOWN, |(name, kind)| Command { name, kind: *kind })
}

struct Words<'a> {
    rest: &'a [u8],
}

enum Word<'a> {
    Whole(&'a [u8]),
    /// The line ended first.
    End,
    /// More octets are needed.
    Unfinished,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Word<'a> {
        let blanks = self.rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        let rest = self.rest.get(blanks..).unwrap_or_default();
        let end = rest.iter().position(|octet| matches!(octet, b' ' | b'\t' | b'\r' | b'\n'));
        let Some((word, rest)) = end.and_then(|end| rest.split_at_checked(end)) else {
            return Word::Unfinished;
        };
        self.rest = rest;
        if word.is_empty() { Word::End } else { Word::Whole(word) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(input: &str) -> Option<(String, &'static str, Kind)> {
        match start(input.as_bytes())? {
            Start::Command { tag, command } => {
                Some((String::from_utf8_lossy(tag).into(), command.name, command.kind))
            }
            Start::Other => Some((String::new(), "", Kind::Prompt)),
        }
    }

    #[test]
    fn tag_and_command_in_any_case_and_spacing() {
        assert_eq!(seen("a1 uid  fetch 1"), Some(("a1".into(), "FETCH", Kind::Prompt)));
        assert_eq!(seen(". Idle\r\n"), Some((".".into(), "IDLE", Kind::Idle)));
        assert_eq!(seen("A]  StartTLS\n"), Some(("A]".into(), "STARTTLS", Kind::Forbidden)));
        assert_eq!(seen(" a\tLOGIN x y"), Some(("a".into(), "LOGIN", Kind::Forbidden)));
        assert_eq!(seen("a+ compress x"), Some(("*".into(), "COMPRESS", Kind::Forbidden)));
        assert_eq!(seen("a XFOO\r\n"), Some(("a".into(), "a command", Kind::Laborious)));
        assert_eq!(seen("a\r\n"), Some(("a".into(), "a command", Kind::Laborious)));
    }

    #[test]
    fn what_is_no_command_is_upstreams_to_judge() {
        for line in ["\r\n", "* NOOP\r\n", "a+ IDLE\r\n"] {
            assert_eq!(start(line.as_bytes()), Some(Start::Other), "{line}");
        }
    }

    #[test]
    fn waits_for_the_whole_word() {
        for line in ["", "a", "a ", "a LOG", "a UID", "a UID FET"] {
            assert_eq!(start(line.as_bytes()), None, "{line}");
        }
    }
}
