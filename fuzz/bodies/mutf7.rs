//! Mailbox names: any octets are some name, and every name comes back from the wire as it was.

use footbridge::proto::imap::mutf7::{decode, encode};

pub fn run(input: &[u8]) {
    let name = decode(input);
    let wire = encode(&name);
    assert!(wire.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{wire}");
    assert_eq!(decode(wire.as_bytes()), name);
    let typed = String::from_utf8_lossy(input);
    assert_eq!(decode(encode(&typed).as_bytes()), typed);
}
