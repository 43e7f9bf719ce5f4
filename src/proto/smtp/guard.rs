//! What must not be in a message, looked for while it passes.

use memchr::memchr;

use super::reply::Reply;

/// A message that went through so many servers goes in circles (RFC 5321 §6.3).
const MAX_RECEIVED: u32 = 100;

/// Header field by which every server marks a message it passed on (RFC 5321 §4.4).
const RECEIVED: &[u8] = b"received:";

/// Looks at every octet that leaves for upstream.
#[derive(Debug)]
pub struct Guard {
    eight_bit: bool,
    header: Header,
    received: u32,
}

/// Where in the header the next octet stands.
#[derive(Debug)]
enum Header {
    /// So many octets of the line equal `RECEIVED`.
    Matched(usize),
    /// On a line that is looked at no further.
    Skipping,
    /// Behind the empty line.
    Over,
}

impl Guard {
    /// `eight_bit`: whether upstream takes octets above 127.
    pub fn new(eight_bit: bool) -> Self {
        Self { eight_bit, header: Header::Matched(0), received: 0 }
    }

    /// Looks at the next octets; a reason to refuse the message, if there is one.
    pub fn look(&mut self, octets: &[u8]) -> Option<Reply> {
        if !self.eight_bit && !octets.is_ascii() {
            // RFC 6152 §3: no conversion here, so the message cannot go.
            return Some(Reply::new(
                554,
                6,
                3,
                "the provider takes no 8-bit content, and this message has some",
            ));
        }
        self.count_received(octets);
        (self.received > MAX_RECEIVED)
            .then(|| Reply::new(554, 4, 6, "too many Received fields: this message goes in circles"))
    }

    fn count_received(&mut self, mut octets: &[u8]) {
        while let Some((first, rest)) = octets.split_first() {
            self.header = match self.header {
                Header::Over => return,
                Header::Matched(0) if *first == b'\r' => Header::Over,
                Header::Matched(at) if RECEIVED.get(at).is_some_and(|o| o.eq_ignore_ascii_case(first)) => {
                    if at + 1 == RECEIVED.len() {
                        self.received += 1;
                        Header::Skipping
                    } else {
                        Header::Matched(at + 1)
                    }
                }
                Header::Matched(_) | Header::Skipping => match memchr(b'\n', octets) {
                    Some(lf) => {
                        octets = octets.get(lf + 1..).unwrap_or_default();
                        self.header = Header::Matched(0);
                        continue;
                    }
                    None => {
                        self.header = Header::Skipping;
                        return;
                    }
                },
            };
            octets = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(guard: &mut Guard, text: &[u8], piece: usize) -> bool {
        text.chunks(piece).any(|piece| guard.look(piece).is_some())
    }

    #[test]
    fn more_than_100_received_fields_are_a_loop_rfc_5321_section_6_3() {
        for piece in [1, 2, 7, 10_000] {
            let field = "ReCeived: from a\r\n\tby b\r\n";
            assert!(!refused(&mut Guard::new(true), field.repeat(100).as_bytes(), piece));
            assert!(refused(&mut Guard::new(true), field.repeat(101).as_bytes(), piece));
        }
    }

    #[test]
    fn a_body_may_say_received_as_often_as_it_likes() {
        let text = format!("Subject: x\r\n\r\n{}", "Received: y\r\n".repeat(200));
        assert!(!refused(&mut Guard::new(true), text.as_bytes(), 3));
    }

    #[test]
    fn eight_bit_octets_need_8bitmime_rfc_6152_section_3() {
        assert!(refused(&mut Guard::new(false), b"\r\n\xe4", 10));
        assert!(!refused(&mut Guard::new(true), b"\r\n\xe4\0", 10));
        assert!(!refused(&mut Guard::new(false), b"\r\na\0", 10));
    }
}
