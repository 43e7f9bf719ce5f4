//! What one response says (RFC 3501 §7), read as leniently as servers write.

/// One response, borrowed from its text.
#[derive(Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// `tag OK ...`: a command is complete.
    Tagged {
        /// The command's tag.
        tag: &'a [u8],
        /// How it went.
        status: Status,
        /// Code and words.
        text: Text<'a>,
    },
    /// `* OK ...`, `* BYE ...`.
    Untagged {
        /// Which.
        status: Status,
        /// Code and words.
        text: Text<'a>,
    },
    /// `+ ...`, with what follows the plus.
    Continue(&'a [u8]),
    /// `* 5 FETCH (...)`: the list.
    Fetch(&'a [u8]),
    /// `* 5 EXISTS`.
    Exists(u32),
    /// `* 5 EXPUNGE`.
    Expunge,
    /// `* VANISHED ...` (RFC 7162 §3.2.10): some of them are gone.
    Vanished,
    /// `* CAPABILITY ...`: the list.
    Capability(&'a [u8]),
    /// `* LIST ...`: what follows.
    List(&'a [u8]),
    /// `* STATUS ...`: what follows (RFC 3501 §7.2.4).
    MailboxStatus(&'a [u8]),
    /// `* SEARCH ...`: the numbers.
    Search(&'a [u8]),
    /// `* ESEARCH ...`: what follows (RFC 4731 §3.1).
    Esearch(&'a [u8]),
    /// `* NAMESPACE ...`: what follows (RFC 2342 §5).
    Namespace(&'a [u8]),
    /// Any other untagged response.
    Other,
}

/// Of a status response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done, or information.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
    /// The connection is about to close.
    Bye,
    /// A greeting that says nobody has to log in.
    PreAuth,
}

/// What follows a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<'a> {
    /// Between the brackets: `ALERT`, `UIDVALIDITY 7`. A bracket that never closes is no code.
    pub code: Option<&'a [u8]>,
    /// The human-readable words; may be empty.
    pub words: &'a [u8],
}

impl<'a> Text<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let text = text.trim_ascii();
        let coded = text.strip_prefix(b"[").and_then(|inside| {
            let end = memchr::memchr(b']', inside)?;
            Some((inside.get(..end)?, inside.get(end + 1..)?))
        });
        match coded {
            Some((code, words)) => Text { code: Some(code), words: words.trim_ascii() },
            None => Text { code: None, words: text },
        }
    }

    /// The code's arguments, if its name is `name`: empty for one without any.
    pub fn argument(&self, name: &str) -> Option<&'a [u8]> {
        let (first, rest) = word(self.code?);
        first.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
    }
}

/// Reads one response, its line end already taken off. `None`: this is not IMAP.
pub fn parse(response: &[u8]) -> Option<Response<'_>> {
    let (first, rest) = word(response);
    match first {
        b"*" => untagged(rest),
        b"+" => Some(Response::Continue(rest)),
        _ if first.starts_with(b"+") => Some(Response::Continue(response.get(1..)?)),
        _ => {
            let (word, text) = word(rest);
            let status = completion(word)?;
            is_tag(first).then_some(Response::Tagged { tag: first, status, text: Text::parse(text) })
        }
    }
}

fn untagged(rest: &[u8]) -> Option<Response<'_>> {
    let (first, rest) = word(rest);
    if let Some(status) = status(first) {
        return Some(Response::Untagged { status, text: Text::parse(rest) });
    }
    if first.first().is_some_and(u8::is_ascii_digit) {
        return about_a_number(first, rest);
    }
    let is = |name: &str| first.eq_ignore_ascii_case(name.as_bytes());
    Some(if is("CAPABILITY") {
        Response::Capability(rest)
    } else if is("LIST") {
        Response::List(rest)
    } else if is("STATUS") {
        Response::MailboxStatus(rest)
    } else if is("SEARCH") {
        Response::Search(rest)
    } else if is("ESEARCH") {
        Response::Esearch(rest)
    } else if is("VANISHED") {
        Response::Vanished
    } else if is("NAMESPACE") {
        Response::Namespace(rest)
    } else if first.is_empty() {
        return None;
    } else {
        Response::Other
    })
}

fn about_a_number<'a>(number: &[u8], rest: &'a [u8]) -> Option<Response<'a>> {
    let (kind, items) =
        rest.split_at(rest.iter().position(|octet| b" \t(".contains(octet)).unwrap_or(rest.len()));
    Some(if kind.eq_ignore_ascii_case(b"FETCH") {
        Response::Fetch(items.trim_ascii())
    } else if kind.eq_ignore_ascii_case(b"EXISTS") {
        Response::Exists(self::number(number)?)
    } else if kind.eq_ignore_ascii_case(b"EXPUNGE") {
        Response::Expunge
    } else {
        Response::Other
    })
}

fn status(word: &[u8]) -> Option<Status> {
    completion(word).or_else(|| {
        if word.eq_ignore_ascii_case(b"BYE") {
            Some(Status::Bye)
        } else if word.eq_ignore_ascii_case(b"PREAUTH") {
            Some(Status::PreAuth)
        } else {
            None
        }
    })
}

fn completion(word: &[u8]) -> Option<Status> {
    if word.eq_ignore_ascii_case(b"OK") {
        Some(Status::Ok)
    } else if word.eq_ignore_ascii_case(b"NO") {
        Some(Status::No)
    } else if word.eq_ignore_ascii_case(b"BAD") {
        Some(Status::Bad)
    } else {
        None
    }
}

/// Ours are `A0001` and `B1`; whatever else upstream makes up is no tag.
fn is_tag(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|octet| octet.is_ascii_alphanumeric())
}

/// The first word and what follows it, spaces between them taken off.
pub(super) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    (first, rest.trim_ascii_start())
}

/// A decimal number that fits.
pub fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Words parted by spaces, as in a capability list.
pub fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|octet| *octet == b' ').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text<'a>(code: Option<&'a str>, words: &'a str) -> Text<'a> {
        Text { code: code.map(str::as_bytes), words: words.as_bytes() }
    }

    #[test]
    fn status_responses_in_every_shape() {
        // RFC 3501 §7.1; texts are missing in the wild, codes stay open.
        for (line, status, expected) in [
            ("* OK [UIDVALIDITY 7] hello", Status::Ok, text(Some("UIDVALIDITY 7"), "hello")),
            ("* ok", Status::Ok, text(None, "")),
            ("*  NO   [ALERT]", Status::No, text(Some("ALERT"), "")),
            ("* BAD [FOO unclosed", Status::Bad, text(None, "[FOO unclosed")),
            ("* BYE [", Status::Bye, text(None, "[")),
            ("* PREAUTH x", Status::PreAuth, text(None, "x")),
        ] {
            assert_eq!(parse(line.as_bytes()), Some(Response::Untagged { status, text: expected }), "{line}");
        }
        let tagged = |tag: &'static str, status, text| Response::Tagged { tag: tag.as_bytes(), status, text };
        assert_eq!(parse(b"A0001 OK"), Some(tagged("A0001", Status::Ok, text(None, ""))));
        assert_eq!(parse(b"b1 no [X] y "), Some(tagged("b1", Status::No, text(Some("X"), "y"))));
        assert_eq!(parse(b"+"), Some(Response::Continue(b"")));
        assert_eq!(parse(b"+ abc"), Some(Response::Continue(b"abc")));
        assert_eq!(parse(b"+abc"), Some(Response::Continue(b"abc")));
    }

    #[test]
    fn data_responses() {
        assert_eq!(parse(b"* 5 EXISTS"), Some(Response::Exists(5)));
        assert_eq!(parse(b"* 5 expunge"), Some(Response::Expunge));
        assert_eq!(parse(b"* 5 FETCH (UID 7)"), Some(Response::Fetch(b"(UID 7)")));
        assert_eq!(parse(b"* 5  FETCH(UID 7) "), Some(Response::Fetch(b"(UID 7)")));
        assert_eq!(parse(b"* STATUS a (MESSAGES 1)"), Some(Response::MailboxStatus(b"a (MESSAGES 1)")));
        assert_eq!(parse(b"* SEARCH"), Some(Response::Search(b"")));
        assert_eq!(parse(b"* LIST () NIL a"), Some(Response::List(b"() NIL a")));
        assert_eq!(parse(b"* CAPABILITY IMAP4rev1 X"), Some(Response::Capability(b"IMAP4rev1 X")));
        assert_eq!(parse(b"* ESEARCH (TAG \"A\") UID"), Some(Response::Esearch(b"(TAG \"A\") UID")));
        assert_eq!(parse(b"* 7 WHATEVER"), Some(Response::Other));
    }

    #[test]
    fn what_is_not_imap() {
        for line in ["", "* ", "hello", "SSH-2.0-x", "220 mx OK", "+OK", "<b> OK", "B1 PREAUTH x", "B1"] {
            let parsed = parse(line.as_bytes());
            assert!(matches!(parsed, None | Some(Response::Continue(_))), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number::<u32>(b"4294967295"), Some(u32::MAX));
        for digits in ["4294967296", "", "-1", "+1", "1.5", "1 "] {
            assert_eq!(number::<u32>(digits.as_bytes()), None, "{digits}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_something_or_nothing(line in any::<Vec<u8>>()) {
            parse(&line);
        }
    }
}
