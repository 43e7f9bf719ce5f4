//! The first words of what upstream says: enough to know whether it is data or text, and whose.

use crate::proto::imap::text::TAG;

/// How the response in front begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// `+`: the literal or the IDLE may go on (RFC 3501 §7.5).
    Continuation,
    /// The end of the command with this tag (RFC 3501 §7.1).
    Tagged { tag: &'a [u8], status: Status, list: Option<usize> },
    /// `* OK`, `* NO`, `* BAD`, `* BYE`, `* PREAUTH`: text behind it.
    Text { status: Status, list: Option<usize> },
    /// `* CAPABILITY`; the list begins here.
    Capability { list: usize },
    /// Everything else: the only kind of line that may announce a literal.
    Data,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
    Bye,
    /// PREAUTH, or a word that no RFC has.
    Other,
}

const UNTAGGED: &[&[u8]] = &[b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH", b"CAPABILITY"];

/// Looks at the front of a response; `None` while more octets are needed to say.
///
/// ```abnf
/// response-tagged = tag SP resp-cond-state CRLF                                   ; RFC 3501 §9
/// response-data   = "*" SP (resp-cond-state / ... / message-data / capability-data) CRLF
/// continue-req    = "+" SP (resp-text / base64) CRLF
/// ```
/// Taken in any case and with any number of spaces; it says as early as it can.
pub(super) fn start(input: &[u8]) -> Option<Start<'_>> {
    match input.first()? {
        b'+' => Some(Start::Continuation),
        b'*' => untagged(input, blanks(input, 1)),
        _ => tagged(input),
    }
}

fn untagged(input: &[u8], at: usize) -> Option<Start<'_>> {
    let rest = input.get(at..)?;
    let length = word(rest);
    let Some(found) = UNTAGGED.iter().find(|known| begins(known, rest.get(..length).unwrap_or(rest))) else {
        return Some(Start::Data);
    };
    if length == rest.len() {
        return None;
    }
    if length < found.len() {
        return Some(Start::Data);
    }
    if found == b"CAPABILITY" {
        return Some(Start::Capability { list: at + length });
    }
    let status = status(found);
    code(input, at + length).map(|list| Start::Text { status, list })
}

/// A word longer than a tag may be makes the line text of nobody's, however much of it is there.
fn tagged(input: &[u8]) -> Option<Start<'_>> {
    const NOBODYS: Option<Start<'_>> = Some(Start::Text { status: Status::Other, list: None });
    let length = word(input);
    if length > TAG {
        return NOBODYS;
    }
    let at = blanks(input, length);
    let rest = input.get(at..)?;
    let status_length = word(rest);
    if status_length > TAG {
        return NOBODYS;
    }
    if status_length == rest.len() {
        return None;
    }
    let (tag, status) = (input.get(..length)?, status(rest.get(..status_length)?));
    code(input, at + status_length).map(|list| Start::Tagged { tag, status, list })
}

/// Where the list begins when the code `[CAPABILITY` stands at `at`; the outer `None` while that is not clear.
fn code(input: &[u8], at: usize) -> Option<Option<usize>> {
    const CODE: &[u8] = b"[CAPABILITY";
    let at = blanks(input, at);
    let rest = input.get(at..)?;
    let candidate = rest.get(..CODE.len()).unwrap_or(rest);
    if !begins(CODE, candidate) {
        return Some(None);
    }
    let behind = rest.get(CODE.len())?;
    Some(matches!(behind, b' ' | b']' | b'\r' | b'\n').then_some(at + CODE.len()))
}

fn status(word: &[u8]) -> Status {
    const KNOWN: [(&[u8], Status); 4] =
        [(b"OK", Status::Ok), (b"NO", Status::No), (b"BAD", Status::Bad), (b"BYE", Status::Bye)];
    KNOWN
        .iter()
        .find(|(known, _)| word.eq_ignore_ascii_case(known))
        .map_or(Status::Other, |(_, status)| *status)
}

fn begins(known: &[u8], candidate: &[u8]) -> bool {
    known.get(..candidate.len()).is_some_and(|front| front.eq_ignore_ascii_case(candidate))
}

fn word(octets: &[u8]) -> usize {
    octets.iter().take_while(|octet| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n')).take(TAG + 1).count()
}

/// The first place from `at` on that is no blank, at most [`TAG`] further.
fn blanks(octets: &[u8], at: usize) -> usize {
    let blank = |octet: &&u8| matches!(octet, b' ' | b'\t');
    at + octets.get(at..).unwrap_or_default().iter().take_while(blank).take(TAG).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_lines() {
        assert_eq!(start(b"+ go"), Some(Start::Continuation));
        assert_eq!(start(b"* 1"), Some(Start::Data));
        assert_eq!(start(b"* LI"), Some(Start::Data));
        assert_eq!(start(b"* OKAY x"), Some(Start::Data));
        assert_eq!(start(b"* BYE bye"), Some(Start::Text { status: Status::Bye, list: None }));
        assert_eq!(start(b"* no"), None);
        assert_eq!(start(b"* no\r\n"), Some(Start::Text { status: Status::No, list: None }));
        assert_eq!(start(b"*  Capability  IMAP"), Some(Start::Capability { list: 13 }));
        assert_eq!(start(b"a1  ok done"), Some(Start::Tagged { tag: b"a1", status: Status::Ok, list: None }));
        assert_eq!(
            start(b"a OK  [capability IMAP4rev1]"),
            Some(Start::Tagged { tag: b"a", status: Status::Ok, list: Some(17) })
        );
        assert_eq!(start(b"* OK [CAPABILITYX]"), Some(Start::Text { status: Status::Ok, list: None }));
    }

    #[test]
    fn waits_no_longer_than_it_must() {
        for line in ["", "*", "* ", "* C", "* OK", "* OK ", "* OK [CAP", "* OK [CAPABILITY", "a", "a ", "a O"]
        {
            assert_eq!(start(line.as_bytes()), None, "{line:?}");
        }
        for line in ["* F", "* OK x", "* OK [UID", "a NO n"] {
            assert!(start(line.as_bytes()).is_some(), "{line:?}");
        }
    }

    #[test]
    fn what_is_said_early_stays_true() {
        let long = "x".repeat(150);
        let blanks = " ".repeat(150);
        for line in [
            format!("a {long} y\r\n"),
            format!("{long} OK y\r\n"),
            long.clone(),
            format!("a{blanks}OK{blanks}[CAPABILITY X]\r\n"),
            format!("*{blanks}CAPABILITY{blanks}X\r\n"),
            "a OK [CAPABILITY IMAP4rev1] done\r\n".into(),
            "* OK [CAPABILITYX] done\r\n".into(),
            "a\r\nb OK\r\n".into(),
        ] {
            let line = line.as_bytes();
            for early in (0..line.len()).filter_map(|length| start(&line[..length])) {
                assert_eq!(Some(early), start(line), "{}", line.escape_ascii());
            }
        }
    }

    #[test]
    fn no_line_is_waited_for_for_ever() {
        for line in ["x".repeat(400), "* ".to_owned() + &" ".repeat(400), "a ".to_owned() + &"x".repeat(400)]
        {
            assert!(start(line.as_bytes()).is_some(), "{line}");
        }
    }
}
