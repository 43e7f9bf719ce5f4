//! One message from 354 to its end: what leaves for upstream, or why nothing more does.

use bytes::BytesMut;

use super::data::{Decoded, Decoder};
use super::guard::Guard;
use super::reply::Reply;
use crate::mail::account::BareNewline;

/// What this account and this upstream allow.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Octets of a message (RFC 1870).
    pub largest: u64,
    /// Whether upstream offers 8BITMIME.
    pub eight_bit: bool,
    /// What a bare CR or LF does.
    pub bare_newline: BareNewline,
}

/// The reception of one message.
///
/// Once refused, octets are still taken up to the message's true end, so that what follows is a command again,
/// and thrown away.
#[derive(Debug)]
pub struct Reception {
    rules: Rules,
    decoder: Decoder,
    guard: Guard,
    refusal: Option<Reply>,
}

impl Reception {
    /// Nothing came yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, decoder: Decoder::default(), guard: Guard::new(rules.eight_bit), refusal: None }
    }

    /// Takes what can be judged; a message refused has no octets any more.
    pub fn take(&mut self, input: &mut BytesMut) -> Decoded {
        let mut decoded = self.decoder.decode(input);
        if self.refusal.is_none() {
            self.refusal = self.judge(&decoded.octets);
        }
        if self.refusal.is_some() {
            decoded.octets.clear();
        }
        decoded
    }

    /// Why the message must not go, as far as it came.
    pub fn refusal(&self) -> Option<&Reply> {
        self.refusal.as_ref()
    }

    /// Octets so far.
    pub fn octets(&self) -> u64 {
        self.decoder.octets()
    }

    fn judge(&mut self, octets: &[u8]) -> Option<Reply> {
        if self.decoder.octets() > self.rules.largest {
            let text = format!("the message has more than {} octets", self.rules.largest);
            return Some(Reply::new(552, 3, 4, text));
        }
        if self.rules.bare_newline == BareNewline::Reject && self.decoder.mended() > 0 {
            return Some(Reply::new(554, 6, 0, "the message has lines that do not end with CR LF"));
        }
        self.guard.look(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(rules: Rules, text: &[u8], piece: usize) -> (Vec<u8>, bool, Option<u16>) {
        let (mut reception, mut input, mut out, mut ended) =
            (Reception::new(rules), BytesMut::new(), Vec::new(), false);
        for piece in text.chunks(piece) {
            input.extend_from_slice(piece);
            let decoded = reception.take(&mut input);
            out.extend_from_slice(&decoded.octets);
            ended |= decoded.ended;
        }
        (out, ended, reception.refusal().map(Reply::code))
    }

    const RULES: Rules = Rules { largest: 10, eight_bit: true, bare_newline: BareNewline::Mend };

    #[test]
    fn a_message_of_the_largest_size_passes_and_one_octet_more_does_not_rfc_1870() {
        for piece in [1, 3, 100] {
            // Ten octets and a stuffed dot, which does not count.
            let (out, ended, refusal) = received(RULES, b"..234567\r\n.\r\n", piece);
            assert_eq!((out.len(), ended, refusal), (10, true, None));
            assert_eq!(received(RULES, b"..23456789\r\n.\r\n", piece).2, Some(552), "eleven");
            assert_eq!(received(RULES, b"123456789\r\n.\r\n", piece).2, Some(552), "eleven");
        }
    }

    #[test]
    fn bare_newlines_are_refused_where_the_account_says_so_and_the_true_end_is_found() {
        let rules = Rules { bare_newline: BareNewline::Reject, largest: 100, ..RULES };
        for piece in [1, 2, 100] {
            let (_, ended, refusal) = received(rules, b"a\n.\nb\r\n.\r\n", piece);
            assert_eq!((ended, refusal), (true, Some(554)));
            assert_eq!(received(rules, b"a\r\nb\r\n.\r\n", piece).2, None);
        }
    }
}
