//! The mail that is moved: every message differs from every other, and none is held in memory.

use std::io::{self, Write};

/// A line of an attachment: 76 characters as base64 makes them, and CRLF.
const LINE: usize = 78;

/// Lines of the text that all messages are cut from, about 1 MB.
const LINES: usize = 13_001;

/// Messages numbered from 1: a header, then lines of one long text, each message's from another line on.
#[derive(Debug)]
pub struct Messages {
    headers: Vec<String>,
    text: Vec<u8>,
    lines: usize,
}

impl Messages {
    /// So many messages of about so many octets.
    pub fn new(count: u32, octets: usize) -> Self {
        Self { headers: (1..=count).map(header).collect(), text: text(), lines: octets / LINE }
    }

    /// Their numbers.
    pub fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.headers.len()
    }

    /// Exact octets of message `number`.
    pub fn octets(&self, number: usize) -> usize {
        self.header(number).len() + self.lines * LINE
    }

    /// Octets of all.
    pub fn total(&self) -> u64 {
        self.numbers().map(|number| self.octets(number) as u64).sum()
    }

    /// Writes message `number`, in pieces of at most so many octets.
    pub fn write(&self, number: usize, piece: usize, sink: &mut impl Write) -> io::Result<()> {
        let mut at = 0;
        while at < self.octets(number) {
            let next = self.piece(number, at);
            let next = &next[..next.len().min(piece)];
            sink.write_all(next)?;
            at += next.len();
        }
        Ok(())
    }

    /// Octets of message `number` from `at` on, as many as lie together; none at its end.
    fn piece(&self, number: usize, at: usize) -> &[u8] {
        let header = self.header(number);
        if let Some(rest) = header.as_bytes().get(at..).filter(|rest| !rest.is_empty()) {
            return rest;
        }
        let start = (number * 997 % LINES * LINE + at - header.len()) % self.text.len();
        let end = self.text.len().min(start + self.octets(number) - at);
        &self.text[start..end]
    }

    fn header(&self, number: usize) -> &str {
        self.headers.get(number - 1).map_or("", String::as_str)
    }
}

/// Compares octets that arrive with message `number`.
#[derive(Debug)]
pub struct Check<'a> {
    messages: &'a Messages,
    number: usize,
    at: usize,
}

impl<'a> Check<'a> {
    /// At its first octet.
    pub fn new(messages: &'a Messages, number: usize) -> Self {
        Self { messages, number, at: 0 }
    }

    /// How many octets are still to come.
    pub fn missing(&self) -> usize {
        self.messages.octets(self.number) - self.at
    }

    /// Takes at most what is missing from the front of `octets`; returns how much that was.
    pub fn take(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut rest = &octets[..octets.len().min(self.missing())];
        let taken = rest.len();
        while !rest.is_empty() {
            let expected = self.messages.piece(self.number, self.at);
            let length = expected.len().min(rest.len());
            if rest[..length] != expected[..length] {
                let place = format!("message {} differs at octet {} or behind it", self.number, self.at);
                return Err(io::Error::other(place));
            }
            rest = &rest[length..];
            self.at += length;
        }
        Ok(taken)
    }
}

fn header(number: u32) -> String {
    format!(
        "From: Ana <ana@example.org>\r\nTo: Bea <bea@example.org>\r\nSubject: number {number:05}\r\n\
         Message-ID: <{number:05}@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    )
}

/// What compresses as badly as a picture does, in case anybody on the way tries.
fn text() -> Vec<u8> {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(LINES * LINE);
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..LINES {
        for _ in 0..LINE - 2 {
            // xorshift64: any plain sequence does.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(BASE64[(state >> 58) as usize]);
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}
