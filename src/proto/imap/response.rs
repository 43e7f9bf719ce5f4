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
    /// `* CAPABILITY ...`: the list.
    Capability(&'a [u8]),
    /// `* LIST ...`: what follows.
    List(&'a [u8]),
    /// `* SEARCH ...`: the numbers.
    Search(&'a [u8]),
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
    } else if is("SEARCH") {
        Response::Search(rest)
    } else if first.is_empty() {
        return None;
    } else {
        Response::Other
    })
}

fn about_a_number<'a>(number: &[u8], rest: &'a [u8]) -> Option<Response<'a>> {
    let (kind, items) =
        rest.split_at(rest.iter().position(|octet| b" (".contains(octet)).unwrap_or(rest.len()));
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
