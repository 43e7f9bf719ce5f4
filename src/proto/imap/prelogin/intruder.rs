//! What is no mail app: web pages, TLS, SSH and other protocols that reach a local port.
//!
//! A web page can make a browser send lines to any port of this machine; the first of them is an HTTP request, and
//! with it the connection ends, before any later line is read as a command. Nothing of theirs is sent back.

use crate::proto::stranger::is_method;

/// All they get.
pub(super) const FAREWELL: &str = "* BYE this is an IMAP server\r\n";

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
