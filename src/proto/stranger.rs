//! Peers that speak another protocol: browsers above all, which any web page can send here. And what may stand before
//! the first word of one that speaks ours.

/// Whether the connection's first octets are no text at all: a TLS ClientHello, SOCKS, something binary.
pub fn is_binary(first: &[u8]) -> bool {
    first.first().is_some_and(|octet| !matches!(octet, b' '..=b'~' | b'\r' | b'\n' | b'\t'))
}

/// Telnet's "interpret as command" (RFC 854).
const IAC: u8 = 255;
/// UTF-8's byte order mark, which editors put before a script's first line.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whether the connection's first octets may be a byte order mark or the options of a telnet client.
pub fn is_preamble(first: &[u8]) -> bool {
    first.first().is_some_and(|octet| *octet == IAC || BOM.first() == Some(octet))
}

/// The line without the byte order mark or the telnet options before its first word.
///
/// ```text
/// IAC WILL|WONT|DO|DONT option     IAC SB ... IAC SE     IAC command          RFC 854, RFC 855
/// ```
pub fn without_preamble(line: &[u8]) -> &[u8] {
    let mut rest = line.strip_prefix(BOM).unwrap_or(line);
    while let [IAC, command, behind @ ..] = rest {
        rest = match command {
            250 => {
                let end = behind.windows(2).position(|pair| pair == [IAC, 240]);
                end.and_then(|end| behind.get(end + 2..)).unwrap_or_default()
            }
            251..=254 => behind.get(1..).unwrap_or_default(),
            _ => behind,
        };
    }
    rest
}

/// Whether a line, before login, is HTTP: a request line, or `Label:` as headers have it. For POP3, where no
/// keyword has a colon; in IMAP `GET` and `Host:` are tags. The octets of such a line are not sent back: what a page can
/// make us echo, it can use.
pub fn is_http(line: &[u8]) -> bool {
    let word = line.split(|octet| octet.is_ascii_whitespace()).next().unwrap_or_default();
    is_method(word) || word.get(1..).is_some_and(|behind| behind.contains(&b':'))
}

/// Whether a line is HTTP's first: a method that is known, or any word where a method stands, since a page that has
/// bound its own name to this machine may choose `EHLO` for one.
///
/// ```abnf
/// request-line = method SP request-target SP "HTTP/" DIGIT "." DIGIT      ; RFC 9112 §3
/// ```
pub fn is_request(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (method, _target, version, more) = (words.next(), words.next(), words.next(), words.next());
    method.is_some_and(is_method)
        || more.is_none()
            && version.and_then(|word| word.get(..5)).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"))
}

/// Whether a line is a header's, of HTTP or of a message: `token ":"` (RFC 9110 §5.6.2, RFC 5322 §2.2).
pub fn is_header(line: &[u8]) -> bool {
    let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
    let in_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    !name.is_empty() && name.len() < line.len() && name.iter().all(in_token)
}

/// Whether a word is a method of HTTP, in any case.
pub fn is_method(word: &[u8]) -> bool {
    METHODS.iter().any(|method| word.eq_ignore_ascii_case(method))
}

/// RFC 9110 §9, PATCH, the preface of HTTP/2, and what WebDAV adds that browsers let pages send.
const METHODS: &[&[u8]] = &[
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PRI",
    b"PROPFIND",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_headers_are_http_and_pop3_is_not() {
        for line in
            ["GET / HTTP/1.1", "get /", "POST /x HTTP/1.0", "Host: localhost:1110", "X-A:b", "PRI * HTTP/2.0"]
        {
            assert!(is_http(line.as_bytes()), "{line}");
        }
        for line in ["USER a:b", "CAPA", "", "DELE 1", "PASS GET / HTTP/1.1", "AUTH PLAIN"] {
            assert!(!is_http(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_request_line_is_one_whatever_its_method_rfc_9112_section_3() {
        for line in
            ["GET / HTTP/1.1", "get", "EHLO / HTTP/1.1", "MAIL /x http/1.0", "PRI * HTTP/2.0", "POST\t/"]
        {
            assert!(is_request(line.as_bytes()), "{line}");
        }
        for line in
            ["", "EHLO my pc", "EHLO HTTP/1.1", "Host: a", "MAIL FROM:<a@b> SIZE=1", "VRFY the web HTTP/1"]
        {
            assert!(!is_request(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_header_line_begins_with_a_token_and_a_colon_rfc_9110_section_5_1() {
        for line in ["Host: localhost", "X-A:b", "sec-ch-ua: \"x\"", "MAIL:", "a:"] {
            assert!(is_header(line.as_bytes()), "{line}");
        }
        for line in ["", ":", ".", "{\"a\":1}", "<a:b>", "MAIL FROM:<a@b>", "rcpt to : a", " folded: x"] {
            assert!(!is_header(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_client_hello_is_binary_and_a_stray_line_end_is_not() {
        assert!(is_binary(&[0x16, 3, 1, 2, 0]));
        assert!(is_binary(&[5, 1, 0]));
        assert!(!is_binary(b"\r\nCAPA"));
        assert!(!is_binary(b""));
    }

    #[test]
    fn what_telnet_and_editors_put_before_the_first_word_is_taken_off() {
        for before in [
            b"".as_slice(),
            b"\xef\xbb\xbf",
            b"\xff\xfb\x1f\xff\xfd\x03",
            b"\xff\xfa\x18\x00xterm\xff\xf0\xff\xf1",
        ] {
            assert_eq!(without_preamble(&[before, b"USER ana"].concat()), b"USER ana");
            assert!(before.is_empty() || is_preamble(before));
        }
        for cut in [b"\xff\xfb".as_slice(), b"\xff\xfa\x18", b"\xff\xff"] {
            assert_eq!(without_preamble(cut), b"");
        }
        assert_eq!(without_preamble(b"\xff"), b"\xff");
        assert!(!is_preamble(b"USER") && !is_preamble(&[0x16, 3, 1]));
    }
}
