//! What is no mail app: web pages, TLS, SSH and other protocols that reach a local port.
//!
//! A web page can make a browser send lines to any port of this machine; the first of them is an HTTP request, and
//! with it the connection ends, before any later line is read as a command. Nothing of theirs is sent back.

/// All they get.
pub(super) const FAREWELL: &str = "* BYE this is an IMAP server\r\n";

/// No command begins with a control octet or one of eight bits; TLS, SOCKS and much else do.
pub(super) fn begins_with(first: u8) -> bool {
    !first.is_ascii_graphic() && !matches!(first, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a line that is no command of ours is another protocol's. Only asked then: `GET` and `Host:` are tags.
pub(super) fn is_one(line: &[u8]) -> bool {
    let first = line.trim_ascii().split(|octet| octet.is_ascii_whitespace()).next().unwrap_or_default();
    let last = line.trim_ascii().rsplit(|octet| octet.is_ascii_whitespace()).next().unwrap_or_default();
    let second = line.trim_ascii().split(|octet| octet.is_ascii_whitespace()).nth(1).unwrap_or_default();
    last.to_ascii_uppercase().starts_with(b"HTTP/")
        || (is_method(first) && (second.first() == Some(&b'/') || second.contains(&b':')))
        || first.ends_with(b":")
        || first.starts_with(b"SSH-")
        || first.starts_with(b"<")
        || first.starts_with(b"{")
}

fn is_method(word: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] =
        [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI"];
    METHODS.iter().any(|method| word.eq_ignore_ascii_case(method))
}
