//! Messages of every shape that real mailboxes hold.

/// What is in every body and must be in no log.
pub const CANARY: &str = "body-canary-Zx81";

/// `count` small messages of mixed shape, each different.
pub fn mixed(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(one).collect()
}

/// A message as large as the usual limit of a provider, with lines of ordinary length.
pub fn large(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    let mut number = 0u64;
    while message.len() < octets {
        // Different on every line, so that a piece lost or doubled shows.
        message.extend_from_slice(
            format!("{number:012} ..{CANARY} 0123456789abcdefghijklmnopqrstuvwxyz\r\n").as_bytes(),
        );
        number += 1;
    }
    message.truncate(octets - 2);
    message.extend_from_slice(b"\r\n");
    message
}

fn one(number: usize) -> Vec<u8> {
    let header =
        format!("From: ana@example.test\r\nSubject: message {number}\r\nMessage-ID: <{number}@test>\r\n");
    let long = "x".repeat(200 * (number + 1));
    let body: Vec<u8> = match number % 16 {
        0 => format!("{CANARY} plain\r\n").into_bytes(),
        1 => b"8-bit \xe4\xf6\xfc \xff\xfe\r\n".to_vec(),
        2 => b"NUL \0 in \0\0 it\r\n".to_vec(),
        3 => b"a bare \r CR and \r\r\n two\r\n".to_vec(),
        4 => b"bare LF\nat line\nends\n".to_vec(),
        5 => b"no line end at the end".to_vec(),
        6 => b".\r\n..\r\n.leading\r\n...\r\nmiddle.\r\n.".to_vec(),
        7 => b".\n.\r.\n..bare\n".to_vec(),
        8 => Vec::new(),
        9 => format!("{long}\r\n").into_bytes(),
        10 => long.into_bytes(),
        11 => b"ends with a CR\r".to_vec(),
        12 => b"\r\n\r\n\r\n".to_vec(),
        13 => b"From the start\r\n>From quoted\r\n".to_vec(),
        14 => b"+OK looks like an answer\r\n-ERR too\r\n* 1 EXISTS\r\nt1 OK done\r\n".to_vec(),
        _ => (0..=255u8).collect(),
    };
    match number % 23 {
        // Headers only, without the empty line behind them.
        7 => header.into_bytes(),
        // Nothing but the empty line.
        11 => b"\r\n".to_vec(),
        // No header at all.
        13 => body,
        _ => [header.as_bytes(), b"\r\n", &body].concat(),
    }
}
