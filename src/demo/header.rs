//! The header of a message: its fields, and what stands structured in some of them (RFC 5322 §2.2, RFC 2045 §5.1).
//!
//! Values come as they were written: encoded words (RFC 2047) stay, since IMAP's ENVELOPE has them so.

/// One field as it stands in the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Without the colon.
    pub(super) name: &'a [u8],
    /// Behind the colon, folded as it came.
    value: &'a [u8],
    /// The whole field, line ends included.
    pub(super) raw: &'a [u8],
}

impl Field<'_> {
    /// The value on one line (RFC 5322 §2.2.3).
    pub(super) fn value(&self) -> Vec<u8> {
        let unfolded: Vec<u8> = self.value.iter().copied().filter(|octet| !b"\r\n".contains(octet)).collect();
        unfolded.trim_ascii().to_vec()
    }
}

/// What is looked at of one header, in octets; mail has some ten thousand.
const HEADER: usize = 256 * 1024;

/// Parameters of one value, and addresses of one list, that are told.
const MEMBERS: usize = 500;

/// The fields of a header, whose empty line may be there or not; what lies beyond 256 KiB is not looked at.
pub(super) fn fields(header: &[u8]) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    let mut rest = header.get(..HEADER).unwrap_or(header);
    while !rest.is_empty() {
        let (raw, behind) = rest.split_at(field_end(rest));
        rest = behind;
        let mut halves = raw.splitn(2, |octet| *octet == b':');
        if let (Some(name), Some(value)) = (halves.next(), halves.next()) {
            found.push(Field { name: name.trim_ascii(), value, raw });
        }
    }
    found
}

/// The value of the first field of this name, in any case.
pub(super) fn value(header: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut found =
        fields(header).into_iter().filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    found.next().map(|field| field.value())
}

/// Behind the line end that no white space follows.
fn field_end(octets: &[u8]) -> usize {
    let mut ends = memchr::memchr_iter(b'\n', octets);
    let end = ends.find(|at| !matches!(octets.get(at + 1), Some(b' ' | b'\t')));
    end.map_or(octets.len(), |at| at + 1)
}

/// `text/plain; charset=utf-8`: the word in front in lower case, and the parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameterized {
    /// In lower case.
    pub(super) word: String,
    /// Names in lower case, values without quotes.
    pub(super) parameters: Vec<(String, Vec<u8>)>,
}

impl Parameterized {
    /// Reads a value of Content-Type or Content-Disposition (RFC 2045 §5.1, RFC 2183 §2).
    pub(super) fn read(value: &[u8]) -> Self {
        let mut pieces = split_unquoted(value, b';').into_iter();
        let word = pieces.next().unwrap_or_default();
        let word = String::from_utf8_lossy(word.trim_ascii()).to_ascii_lowercase();
        let parameters = pieces.filter_map(|piece| {
            let mut halves = piece.splitn(2, |octet| *octet == b'=');
            let name = String::from_utf8_lossy(halves.next()?.trim_ascii()).to_ascii_lowercase();
            Some((name, unquoted(halves.next()?.trim_ascii())))
        });
        Self { parameters: parameters.take(MEMBERS).collect(), word }
    }

    /// A parameter by its name in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

/// The pieces between these octets, where they stand outside of quotes.
fn split_unquoted(value: &[u8], at: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let pieces = value.split(|octet| {
        let here = *octet == at && !quoted;
        quoted ^= *octet == b'"' && !escaped;
        escaped = *octet == b'\\' && !escaped;
        here
    });
    pieces.collect()
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let inner = value.strip_prefix(b"\"").map(|inner| inner.strip_suffix(b"\"").unwrap_or(inner));
    let Some(inner) = inner else { return value.to_vec() };
    let mut escaped = false;
    let kept = inner.iter().filter(|octet| {
        escaped = **octet == b'\\' && !escaped;
        !escaped
    });
    kept.copied().collect()
}

/// One address of an address list, in the four parts of IMAP's ENVELOPE (RFC 3501 §7.4.2).
///
/// A group begins with a mailbox that has no host, its end has nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) name: Option<Vec<u8>>,
    pub(super) route: Option<Vec<u8>>,
    pub(super) mailbox: Option<Vec<u8>>,
    pub(super) host: Option<Vec<u8>>,
}

/// An address list of RFC 5322 §3.4, obsolete routes included; what is no address becomes a mailbox without a host.
pub(super) fn addresses(value: &[u8]) -> Vec<Address> {
    let mut reader = Reader::default();
    value.iter().for_each(|octet| reader.take(*octet));
    reader.end_address();
    reader.found.truncate(MEMBERS);
    reader.found
}

/// Where the next octet stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    Quoted,
    Comment(u32),
    Angle,
}

#[derive(Debug, Default)]
struct Reader {
    place: Place,
    escaped: bool,
    text: Vec<u8>,
    comment: Vec<u8>,
    angle: Option<Vec<u8>>,
    found: Vec<Address>,
}

impl Reader {
    fn take(&mut self, octet: u8) {
        if std::mem::take(&mut self.escaped) {
            return self.keep(octet);
        }
        match (self.place, octet) {
            (Place::Quoted | Place::Comment(_), b'\\') => self.escaped = true,
            (Place::Quoted, b'"') => self.place = Place::Text,
            (Place::Text, b'"') => self.place = Place::Quoted,
            (Place::Text, b'(') => self.place = Place::Comment(0),
            (Place::Comment(depth), b'(') => self.place = Place::Comment(depth.saturating_add(1)),
            (Place::Comment(0), b')') => self.place = Place::Text,
            (Place::Comment(depth), b')') => self.place = Place::Comment(depth - 1),
            (Place::Text, b'<') => {
                self.place = Place::Angle;
                self.angle = Some(Vec::new());
            }
            (Place::Angle, b'>') => self.place = Place::Text,
            (Place::Text, b',') => self.end_address(),
            (Place::Text, b':') => self.begin_group(),
            (Place::Text, b';') => {
                self.end_address();
                self.found.push(Address::default());
            }
            _ => self.keep(octet),
        }
    }

    fn keep(&mut self, octet: u8) {
        match self.place {
            Place::Text | Place::Quoted => self.text.push(octet),
            Place::Comment(_) => self.comment.push(octet),
            Place::Angle => self.angle.get_or_insert_default().push(octet),
        }
    }

    fn begin_group(&mut self) {
        let name = std::mem::take(&mut self.text).trim_ascii().to_vec();
        self.found.push(Address { mailbox: Some(name), ..Address::default() });
    }

    fn end_address(&mut self) {
        let some = |octets: Vec<u8>| Some(octets.trim_ascii().to_vec()).filter(|octets| !octets.is_empty());
        let (text, comment) = (some(std::mem::take(&mut self.text)), some(std::mem::take(&mut self.comment)));
        match (self.angle.take(), text) {
            (Some(angle), name) => self.found.push(address(name, &angle)),
            (None, Some(text)) => self.found.push(address(comment, &text)),
            (None, None) => {}
        }
    }
}

fn address(name: Option<Vec<u8>>, spec: &[u8]) -> Address {
    let (route, spec) = match spec.iter().position(|octet| *octet == b':') {
        Some(at) if spec.starts_with(b"@") => (spec.get(..at), spec.get(at + 1..).unwrap_or_default()),
        _ => (None, spec),
    };
    let spec = spec.trim_ascii();
    let (mailbox, host) = match memchr::memrchr(b'@', spec) {
        Some(at) => (spec.get(..at).unwrap_or_default(), spec.get(at + 1..).unwrap_or_default()),
        // Without a host it would be the beginning of a group.
        None => (spec, &b""[..]),
    };
    Address {
        name,
        route: route.map(<[u8]>::to_vec),
        mailbox: Some(unquoted(mailbox)),
        host: Some(host.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(list: &str) -> Vec<String> {
        let text = |part: &Option<Vec<u8>>| {
            part.as_ref().map_or("NIL".to_owned(), |part| String::from_utf8_lossy(part).into_owned())
        };
        let one = |a: &Address| format!("{}|{}|{}", text(&a.name), text(&a.mailbox), text(&a.host));
        addresses(list.as_bytes()).iter().map(one).collect()
    }

    #[test]
    fn addresses_of_rfc_5322_3_4() {
        assert_eq!(told("ana@example.org"), ["NIL|ana|example.org"]);
        assert_eq!(
            told("\"Doe, \\\"J\\\"\" <j@a.test>, b@c.test (Bea)"),
            ["Doe, \"J\"|j|a.test", "Bea|b|c.test"]
        );
        assert_eq!(told("=?utf-8?q?J=C3=B6rg?= <j@a.test>"), ["=?utf-8?q?J=C3=B6rg?=|j|a.test"]);
        assert_eq!(
            told("team: a@b.test, c@d.test;"),
            ["NIL|team|NIL", "NIL|a|b.test", "NIL|c|d.test", "NIL|NIL|NIL"]
        );
        assert_eq!(told("<@r.test:\"a b\"@c.test>, broken"), ["NIL|a b|c.test", "NIL|broken|"]);
        assert_eq!(told(" , "), [""; 0]);
    }

    #[test]
    fn folded_fields_are_unfolded_and_kept_raw() {
        let header = b"Subject: one\r\n two\r\nTO:x\r\nnonsense\r\n\r\n";
        assert_eq!(value(header, "subject").unwrap(), b"one two");
        assert_eq!(fields(header)[0].raw, b"Subject: one\r\n two\r\n");
        assert_eq!(value(header, "To").unwrap(), b"x");
        assert_eq!(fields(header).len(), 2);
    }

    #[test]
    fn headers_lists_and_parameters_have_an_end() {
        let long = [b"A: b\r\n".repeat(HEADER / 6 + 1).as_slice(), b"Subject: x\r\n"].concat();
        assert!(value(&long, "Subject").is_none() && value(&long, "A").is_some());
        assert_eq!(addresses(&b"a@b.test,".repeat(MEMBERS + 1)).len(), MEMBERS);
        assert_eq!(Parameterized::read(&b"a;c=d;".repeat(MEMBERS)).parameters.len(), MEMBERS);
    }

    #[test]
    fn parameters_of_rfc_2045_5_1() {
        let read = Parameterized::read(b"Multipart/Mixed; boundary=\"a;\\\"b\" ; Charset = utf-8");
        assert_eq!(read.word, "multipart/mixed");
        assert_eq!(read.parameter("boundary").unwrap(), b"a;\"b");
        assert_eq!(read.parameter("charset").unwrap(), b"utf-8");
    }

    proptest! {
        #[test]
        fn any_octets_are_read(octets: Vec<u8>) {
            addresses(&octets);
            Parameterized::read(&octets);
            let whole: Vec<u8> = fields(&octets).iter().flat_map(|field| field.raw.to_vec()).collect();
            prop_assert!(whole.len() <= octets.len());
        }
    }
}
