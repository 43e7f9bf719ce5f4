//! The mailbox as it stood at login: numbers, sizes, unique-ids, marks (RFC 1939 §4 to §7).
//!
//! ```text
//!  message-number   1 .. n in the order of UIDs, dies with the session
//!  unique-id        UIDVALIDITY.UID in INBOX, HASH.UIDVALIDITY.UID in any other mailbox; always the same. Of a message
//!                   that was met under an earlier UIDVALIDITY it is the one it had then
//!  octets           as told at login, until the session ends
//!  marks            deleted (DELE, lifted by RSET), retrieved, broken
//! ```

use super::MessageNumber;
use crate::mail::{Name, Names, Uid};

/// Sixteen octets a message, and as many for one with an older unique-id: 100,000 of them are 1.6 MB.
#[derive(Debug)]
pub struct Maildrop {
    ids: UniqueIds,
    messages: Vec<Message>,
    /// Of the messages not marked deleted.
    count: u32,
    octets: u64,
}

#[derive(Debug)]
struct Message {
    octets: u64,
    uid: Uid,
    deleted: bool,
    retrieved: Retrieved,
}

/// What became of a message's body in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retrieved {
    No,
    Whole,
    /// It broke off or was not what upstream had announced, and did not arrive since.
    Broken,
}

/// How unique-ids are made; frozen: another form would make every app fetch everything again.
///
/// Two mailboxes may share a UIDVALIDITY (RFC 2683 §3.4.3), so the mailbox is part of the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueIds {
    mailbox: Option<u32>,
    names: Names,
}

/// Why a command about a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotThere {
    /// There are not so many messages.
    NoSuchMessage,
    /// It is marked deleted.
    Deleted,
    /// Its body did not arrive whole: deleting it would lose it.
    Broken,
}

impl UniqueIds {
    /// Those of INBOX.
    pub fn inbox(names: impl Into<Names>) -> Self {
        Self { mailbox: None, names: names.into() }
    }

    /// Those of another mailbox; `hash` is the first 32 bits of the SHA-256 of its name as the user sees it, in UTF-8.
    pub fn mailbox(hash: u32, names: impl Into<Names>) -> Self {
        Self { mailbox: Some(hash), names: names.into() }
    }

    /// At most 41 octets of digits, letters, dots and a dash (RFC 1939 §7 allows 70).
    ///
    /// `UIDVALIDITY-TIMES.UID` where upstream came back to a UIDVALIDITY so many times, which it should never do.
    pub fn write(&self, uid: Uid, out: &mut Vec<u8>) {
        if let Some(hash) = self.mailbox {
            out.extend_from_slice(format!("{hash:08x}.").as_bytes());
        }
        let Name { numbering, uid } = self.names.of(uid);
        write_decimal(numbering.uid_validity.get().into(), out);
        if numbering.returned > 0 {
            out.push(b'-');
            write_decimal(numbering.returned.into(), out);
        }
        out.push(b'.');
        write_decimal(uid.get().into(), out);
    }
}

impl Maildrop {
    /// Takes the listing of the login, by ascending UID, sizes in octets. Messages beyond 32 bits are left out.
    pub fn new(ids: UniqueIds, listing: impl IntoIterator<Item = (Uid, u64)>) -> Self {
        let fresh = |(uid, octets)| Message { octets, uid, deleted: false, retrieved: Retrieved::No };
        let mut maildrop =
            Self { ids, messages: listing.into_iter().map(fresh).collect(), count: 0, octets: 0 };
        maildrop.messages.truncate(usize::try_from(u32::MAX).unwrap_or(usize::MAX));
        maildrop.reckon();
        maildrop
    }

    /// How many messages there are that are not marked deleted.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The sum of their sizes.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The message's UID and its size as told in the listing.
    ///
    /// # Errors
    /// [`NotThere`], also for a message marked deleted.
    pub fn message(&self, number: MessageNumber) -> Result<(Uid, u64), NotThere> {
        let message = index(number).and_then(|index| self.messages.get(index));
        match message {
            None => Err(NotThere::NoSuchMessage),
            Some(message) if message.deleted => Err(NotThere::Deleted),
            Some(message) => Ok((message.uid, message.octets)),
        }
    }

    /// The messages that are not marked deleted, from `uid` on: UIDs and sizes as told in the listing.
    pub fn from_uid(&self, uid: Uid) -> impl Iterator<Item = (Uid, u64)> {
        let first = self.messages.partition_point(|message| message.uid < uid);
        let messages = self.messages.get(first..).unwrap_or_default().iter();
        messages.filter(|message| !message.deleted).map(|message| (message.uid, message.octets))
    }

    /// The same from `uid` down, the nearest first.
    pub fn down_from_uid(&self, uid: Uid) -> impl Iterator<Item = (Uid, u64)> {
        let behind = self.messages.partition_point(|message| message.uid <= uid);
        let messages = self.messages.get(..behind).unwrap_or_default().iter().rev();
        messages.filter(|message| !message.deleted).map(|message| (message.uid, message.octets))
    }

    /// Marks it; nothing happens upstream (RFC 1939 §5 DELE).
    ///
    /// # Errors
    /// [`NotThere`]: also for a message whose body broke off in this session and did not arrive whole since. The
    /// app may have taken the part for the whole, and upstream's copy is then the only one. A message that upstream
    /// refused to give is no such case: the app knows that it has nothing, and its user may want to be rid of it.
    pub fn mark_deleted(&mut self, number: MessageNumber) -> Result<(), NotThere> {
        let (_, octets) = self.message(number)?;
        let message = self.message_mut(number).ok_or(NotThere::NoSuchMessage)?;
        if message.retrieved == Retrieved::Broken {
            return Err(NotThere::Broken);
        }
        message.deleted = true;
        self.count = self.count.saturating_sub(1);
        self.octets = self.octets.saturating_sub(octets);
        Ok(())
    }

    /// Lifts every mark (RFC 1939 §5 RSET).
    pub fn unmark_all(&mut self) {
        self.messages.iter_mut().for_each(|message| message.deleted = false);
        self.reckon();
    }

    /// The app was sent the whole message.
    pub fn retrieved_whole(&mut self, number: MessageNumber) {
        if let Some(message) = self.message_mut(number) {
            message.retrieved = Retrieved::Whole;
        }
    }

    /// The message's body broke off, or was not what had been announced. One that arrived whole before is there.
    pub fn broke(&mut self, number: MessageNumber) {
        if let Some(message) =
            self.message_mut(number).filter(|message| message.retrieved != Retrieved::Whole)
        {
            message.retrieved = Retrieved::Broken;
        }
    }

    /// What UPDATE removes, by ascending UID.
    pub fn deleted(&self) -> Vec<Uid> {
        self.messages.iter().filter(|message| message.deleted).map(|message| message.uid).collect()
    }

    /// What the app got whole, by ascending UID.
    pub fn retrieved(&self) -> Vec<Uid> {
        let whole = |message: &&Message| message.retrieved == Retrieved::Whole;
        self.messages.iter().filter(whole).map(|message| message.uid).collect()
    }

    /// `n size`, without a line end.
    pub fn write_scan_listing(&self, number: MessageNumber, octets: u64, out: &mut Vec<u8>) {
        write_decimal(number.get().into(), out);
        out.push(b' ');
        write_decimal(octets, out);
    }

    /// `n unique-id`, without a line end.
    pub fn write_unique_id_listing(&self, number: MessageNumber, uid: Uid, out: &mut Vec<u8>) {
        write_decimal(number.get().into(), out);
        out.push(b' ');
        self.ids.write(uid, out);
    }

    fn message_mut(&mut self, number: MessageNumber) -> Option<&mut Message> {
        index(number).and_then(|index| self.messages.get_mut(index))
    }

    fn reckon(&mut self) {
        let left = || self.messages.iter().filter(|message| !message.deleted);
        let (count, octets) = (left().count(), left().fold(0, |sum: u64, it| sum.saturating_add(it.octets)));
        self.count = u32::try_from(count).unwrap_or(u32::MAX);
        self.octets = octets;
    }

    /// The highest number, whether marked deleted or not.
    fn last(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }
}

fn index(number: MessageNumber) -> Option<usize> {
    usize::try_from(number.get()).ok()?.checked_sub(1)
}

/// Several times as fast as formatting, which is what LIST of a large maildrop spends its time on.
fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let from = out.len();
    loop {
        out.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(from..) {
        digits.reverse();
    }
}

/// Which of the two listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingKind {
    /// LIST.
    Scan,
    /// UIDL.
    UniqueId,
}

/// A multi-line listing on its way: written piece by piece, so that 100,000 lines are never held at once.
#[derive(Debug)]
pub struct Listing {
    kind: ListingKind,
    next: u32,
}

impl Listing {
    /// From the first message on; the reply's first line is not part of it.
    pub fn new(kind: ListingKind) -> Self {
        Self { kind, next: 1 }
    }

    /// Puts some `octets` of lines into `out`, with the final dot when they are the last; returns whether more follow.
    pub fn write(&mut self, maildrop: &Maildrop, octets: usize, out: &mut Vec<u8>) -> bool {
        while out.len() < octets {
            let Some(number) = MessageNumber::new(self.next).filter(|_| self.next <= maildrop.last()) else {
                out.extend_from_slice(b".\r\n");
                return false;
            };
            self.next = self.next.saturating_add(1);
            let Ok((uid, size)) = maildrop.message(number) else { continue };
            match self.kind {
                ListingKind::Scan => maildrop.write_scan_listing(number, size, out),
                ListingKind::UniqueId => maildrop.write_unique_id_listing(number, uid, out),
            }
            out.extend_from_slice(b"\r\n");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Numbering, UidValidity};

    fn uid(number: u32) -> Uid {
        Uid::new(number).expect("not 0")
    }

    fn number(number: u32) -> MessageNumber {
        MessageNumber::new(number).expect("not 0")
    }

    fn ids() -> UniqueIds {
        UniqueIds::inbox(validity(7))
    }

    fn validity(number: u32) -> UidValidity {
        UidValidity::new(number).expect("not 0")
    }

    fn maildrop(sizes: &[u64]) -> Maildrop {
        Maildrop::new(ids(), sizes.iter().zip(10..).map(|(octets, at)| (uid(at), *octets)))
    }

    fn listed(maildrop: &Maildrop, kind: ListingKind, octets: usize) -> String {
        let (mut listing, mut all) = (Listing::new(kind), Vec::new());
        loop {
            let mut piece = Vec::new();
            let more = listing.write(maildrop, octets, &mut piece);
            all.extend(piece);
            if !more {
                return String::from_utf8(all).expect("ASCII");
            }
        }
    }

    #[test]
    fn unique_ids_are_frozen() {
        let written = |ids: UniqueIds, at| {
            let mut out = Vec::new();
            ids.write(uid(at), &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        let most = validity(u32::MAX);
        assert_eq!(written(ids(), 12), "7.12");
        assert_eq!(written(UniqueIds::mailbox(0xabc, most), u32::MAX), "00000abc.4294967295.4294967295");
        // Of a message that was met under other UIDVALIDITYs, and where one of them came back.
        let name = |numbering, number| Name { numbering, uid: uid(number) };
        let [first, again] = [0, 3].map(|returned| Numbering { uid_validity: validity(7), returned });
        let now = Numbering { uid_validity: most, returned: u32::MAX };
        let names = || Names::carried(now, vec![(uid(1), name(first, 12)), (uid(2), name(again, 12))]);
        let of = [1, 2, u32::MAX].map(|number| written(UniqueIds::inbox(names()), number));
        assert_eq!(of, ["7.12", "7-3.12", "4294967295-4294967295.4294967295"]);
        assert_eq!(written(UniqueIds::mailbox(0xabc, names()), 2), "00000abc.7-3.12");
        assert_eq!(
            written(UniqueIds::mailbox(0xabc, names()), u32::MAX),
            "00000abc.4294967295-4294967295.4294967295"
        );
    }

    #[test]
    fn rfc1939_5_listings_skip_what_is_marked_deleted() {
        let mut maildrop = maildrop(&[100, 0, u64::MAX]);
        assert_eq!(listed(&maildrop, ListingKind::UniqueId, 1), "1 7.10\r\n2 7.11\r\n3 7.12\r\n.\r\n");
        maildrop.mark_deleted(number(2)).expect("there");
        for octets in [1, 5, 1000] {
            assert_eq!(
                listed(&maildrop, ListingKind::Scan, octets),
                "1 100\r\n3 18446744073709551615\r\n.\r\n"
            );
        }
        assert_eq!(listed(&Maildrop::new(ids(), []), ListingKind::Scan, 100), ".\r\n");
    }

    #[test]
    fn a_body_that_broke_off_keeps_its_message_until_it_arrives() {
        let mut maildrop = maildrop(&[1, 2]);
        maildrop.broke(number(1));
        assert_eq!(maildrop.mark_deleted(number(1)), Err(NotThere::Broken));
        assert_eq!(maildrop.mark_deleted(number(2)), Ok(()));
        maildrop.retrieved_whole(number(1));
        assert_eq!(maildrop.mark_deleted(number(1)), Ok(()));
        assert_eq!((maildrop.deleted(), maildrop.retrieved()), (vec![uid(10), uid(11)], vec![uid(10)]));
    }

    #[test]
    fn what_arrived_whole_once_is_not_broken_by_what_breaks_later() {
        let mut maildrop = maildrop(&[1]);
        maildrop.retrieved_whole(number(1));
        maildrop.broke(number(1));
        assert_eq!(maildrop.mark_deleted(number(1)), Ok(()));
    }

    #[test]
    fn what_follows_a_message_skips_what_is_marked_deleted() {
        let mut maildrop = maildrop(&[1, 2, 3, 4]);
        maildrop.mark_deleted(number(3)).expect("there");
        let from = |at| maildrop.from_uid(uid(at)).collect::<Vec<_>>();
        assert_eq!(from(11), [(uid(11), 2), (uid(13), 4)]);
        assert_eq!(from(1).len(), 3);
        assert!(from(14).is_empty());
    }

    #[test]
    fn a_message_takes_sixteen_octets() {
        assert_eq!(size_of::<Message>(), 16);
    }
}
