//! What tells that a message is the same one although its UIDVALIDITY or UID is another.

use memchr::memchr;
use ring::digest::{Context, SHA256};

/// A message's identity: two messages that have the same one are the same message, or copies of it.
///
/// Sixteen octets, so that it can be kept of each message of a large mailbox: a hash, and for one that was made of a
/// header the octets of the whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; 16]);

/// Where the octets of the message stand in an identity made of a header.
const OCTETS: usize = 12;

/// In the first octet: made of a header.
const HEADER: u8 = 1;

/// What the server says of a message's identity, and under which name of a FETCH item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectId<'a> {
    /// EMAILID (RFC 8474 §5.1): the same for messages whose content is the same, and never another.
    Email(&'a [u8]),
    /// X-GM-MSGID, Gmail's: the same in each folder.
    Gmail(u64),
}

impl Identity {
    /// By the server's word.
    pub fn told(id: ObjectId<'_>) -> Self {
        let mut hash = Context::new(&SHA256);
        match id {
            ObjectId::Email(id) => {
                hash.update(b"EMAILID ");
                hash.update(id);
            }
            ObjectId::Gmail(id) => {
                hash.update(b"X-GM-MSGID ");
                hash.update(&id.to_be_bytes());
            }
        }
        let mut identity = hash.finish().as_ref().first_chunk().copied().unwrap_or_default();
        mark(&mut identity, 0);
        Self(identity)
    }

    /// The octets of the whole message, where the identity was made of a header; `None` for one by the server's word.
    pub fn octets(self) -> Option<u64> {
        let octets = self.0.last_chunk().copied().map(u32::from_le_bytes)?;
        (self.0.first()? & HEADER != 0).then_some(octets.into())
    }

    /// As it is kept.
    pub fn as_octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// The same, read back.
    pub fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }
}

fn mark(identity: &mut [u8; 16], kind: u8) {
    if let Some(first) = identity.first_mut() {
        *first = (*first & !HEADER) | kind;
    }
}

/// Makes an identity of a message's header while it goes by.
///
/// The lines count, not how they end, which is not the same at every server. A header proves something only where it
/// says which message this is: with a Message-ID (RFC 5322 §3.6.4), or with a Received line (RFC 5321 §4.4), which has
/// when and by whom the message was taken over.
#[derive(Clone)]
pub struct HeaderIdentity {
    hash: Context,
    /// The first octets of the line.
    beginning: [u8; BEGINNING],
    /// How many octets of the line came, a CR that waits among them.
    line: usize,
    /// A CR, which is not hashed if LF follows it.
    cr: bool,
    proves: bool,
    ended: bool,
}

/// The longest name we look for, with its colon.
const BEGINNING: usize = b"message-id:".len();

impl Default for HeaderIdentity {
    fn default() -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(b"header ");
        Self { hash, beginning: [0; BEGINNING], line: 0, cr: false, proves: false, ended: false }
    }
}

impl std::fmt::Debug for HeaderIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeaderIdentity").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl HeaderIdentity {
    /// Takes the next octets of the message; `true` once the header has ended, and what follows does not count.
    pub fn take(&mut self, mut octets: &[u8]) -> bool {
        while !self.ended && !octets.is_empty() {
            let end = memchr(b'\n', octets).unwrap_or(octets.len());
            let (piece, rest) = octets.split_at(end);
            self.piece(piece);
            octets = rest.get(1..).unwrap_or_default();
            if !rest.is_empty() {
                self.end_of_line();
            }
        }
        self.ended
    }

    fn piece(&mut self, mut piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if std::mem::take(&mut self.cr) {
            self.content(b"\r");
        }
        if let Some(before) = piece.strip_suffix(b"\r") {
            piece = before;
            self.cr = true;
        }
        self.content(piece);
    }

    fn content(&mut self, octets: &[u8]) {
        self.hash.update(octets);
        let room = self.beginning.get_mut(self.line..).unwrap_or_default();
        room.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
        self.line = self.line.saturating_add(octets.len());
    }

    fn end_of_line(&mut self) {
        self.cr = false;
        if self.line == 0 {
            self.ended = true;
            return;
        }
        self.hash.update(b"\n");
        let begins = |name: &[u8]| {
            self.line >= name.len()
                && self.beginning.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name))
        };
        self.proves |= begins(b"message-id:") || begins(b"received:");
        self.line = 0;
    }

    /// The identity of a message with this header and so many octets in all, header included; `None` where that would
    /// prove nothing.
    pub fn finish(mut self, octets: u64) -> Option<Identity> {
        if !self.ended && self.line > 0 {
            self.end_of_line(); // A message that is nothing but a header.
        }
        let octets = u32::try_from(octets).ok().filter(|_| self.proves)?;
        let mut identity: [u8; 16] = self.hash.finish().as_ref().first_chunk().copied()?;
        identity.get_mut(OCTETS..)?.copy_from_slice(&octets.to_le_bytes());
        mark(&mut identity, HEADER);
        Some(Identity(identity))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(header: &[u8], octets: u64) -> Option<Identity> {
        let mut identity = HeaderIdentity::default();
        identity.take(header);
        identity.finish(octets)
    }

    #[test]
    fn what_a_server_tells_is_one_identity_each_and_none_of_a_header() {
        let told = [
            ObjectId::Email(b"M1"),
            ObjectId::Email(b"M2"),
            ObjectId::Gmail(1),
            ObjectId::Gmail(1_278_455_344_230_334_865),
        ];
        let told = told.map(Identity::told);
        for (at, identity) in told.iter().enumerate() {
            assert!(!told[..at].contains(identity));
            assert_eq!(identity.octets(), None);
            assert_eq!(Identity::from_octets(*identity.as_octets()), *identity);
        }
    }

    #[test]
    fn the_header_counts_and_the_octets_and_not_how_lines_end_or_what_the_body_is() {
        let header = b"Received: by x\r\nSubject: a\r\n b\r\n\r\n";
        let one = of(header, 100).expect("it proves something");
        assert_eq!(one.octets(), Some(100));
        for same in [&b"Received: by x\nSubject: a\n b\n\nbody\r\n"[..], b"Received: by x\r\nSubject: a\n b"]
        {
            assert_eq!(of(same, 100), Some(one));
        }
        for other in [
            &b"Received: by x\r\nSubject: a\r\n\r\n b\r\n"[..],
            b"Received: by x\r\nSubject: a b\r\n\r\n",
            b"Received: by x\r\nSubject: a\r\r\n b\r\n\r\n",
            b"Received: by x\r\nSubject: a \r\n b\r\n\r\n",
        ] {
            assert_ne!(of(other, 100), Some(one));
        }
        assert_ne!(of(header, 101), Some(one));
        assert_eq!(of(header, u64::from(u32::MAX) + 1), None);
    }

    /// Scanners and scripts write mails that differ in nothing but their body.
    #[test]
    fn a_header_that_does_not_say_which_message_it_is_proves_nothing() {
        for (header, proves) in [
            ("MESSAGE-id: <1@x>\r\n\r\n", true),
            ("Subject: scan\r\nmessage-ID:<1@x>", true),
            ("received:\r\n\tby x\r\n\r\n", true),
            ("Subject: scan\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nMessage-ID: <1@x>\r\n", false),
            ("X-Received: by x\r\nReceived\r\nMessage-I", false),
            (" Message-ID: <1@x>\r\n\r\n", false),
            ("\r\nReceived: by x\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(of(header.as_bytes(), 10).is_some(), proves, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_split_of_any_octets_is_the_same(
            pieces in prop::collection::vec(
                prop_oneof!["[\r\n:A ]{0,5}", Just("Received: x".to_owned()), Just("\r\n".to_owned())],
                0..12,
            ),
            size in 1usize..5,
        ) {
            let header = pieces.concat().into_bytes();
            let mut identity = HeaderIdentity::default();
            for piece in header.chunks(size) {
                identity.take(piece);
            }
            prop_assert_eq!(identity.finish(9), of(&header, 9));
        }
    }
}
