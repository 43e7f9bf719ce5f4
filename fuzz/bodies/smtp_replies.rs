//! Upstream's SMTP replies: whatever it says, the app gets replies of one code and of short clean lines.

use bytes::BytesMut;
use footbridge::proto::line::{Line, LineFramer};
use footbridge::proto::smtp::Capabilities;
use footbridge::proto::smtp::reply::{Reply, is_continued};

pub fn run(input: &[u8]) {
    let (mut framer, mut input, mut lines) = (LineFramer::new(1024), BytesMut::from(input), Vec::new());
    while let Some(line) = framer.take(&mut input) {
        let Line::Whole(line) = line else { continue };
        let last = !is_continued(&line);
        lines.push(line.to_vec());
        if last {
            whole(&std::mem::take(&mut lines));
        }
    }
}

fn whole(lines: &[Vec<u8>]) {
    let Some(reply) = Reply::from_upstream(lines) else { return };
    assert_reply(&reply);
    let told = reply.clone().for_app();
    assert_reply(&told);
    assert_ne!(told.code(), 421, "it is upstream that closes, not we");
    assert_eq!(told.is_positive(), reply.is_positive());
    let sentence = reply.sentence();
    assert!(sentence.is_ascii() && !sentence.contains('@'), "{sentence}");
    assert_ne!(Capabilities::from_ehlo(&reply).largest, Some(0), "no maximum is told as none");
}

/// RFC 5321 §4.2: one code in every line, `-` in all but the last.
#[track_caller]
pub(super) fn assert_reply(reply: &Reply) {
    let octets = reply.encode();
    let code = reply.code().to_string();
    assert!((200..600).contains(&reply.code()));
    let lines: Vec<&[u8]> = octets.split_inclusive(|octet| *octet == b'\n').collect();
    for (at, line) in lines.iter().enumerate() {
        super::assert_reply_line(line);
        assert!(line.starts_with(code.as_bytes()), "{}", line.escape_ascii());
        let separator = if at + 1 == lines.len() { b' ' } else { b'-' };
        assert_eq!(line[3], separator, "{}", octets.escape_ascii());
    }
    assert!(!lines.is_empty());
}
