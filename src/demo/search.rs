//! SEARCH: whether a message is meant (RFC 3501 §6.4.4). Pure.

use std::num::NonZeroU32;

use chrono::NaiveDate;
use imap_codec::imap_types::flag::Flag;
use imap_codec::imap_types::search::SearchKey;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

use super::decode;
use super::entity::Entity;
use super::header;
use super::mailbox::Message;

/// A message where it stands in the app's view of the mailbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) message: &'a Message,
    /// Its message sequence number.
    pub(super) number: NonZeroU32,
    /// What `*` stands for among the sequence numbers, and among the UIDs.
    pub(super) last_number: NonZeroU32,
    pub(super) last_uid: NonZeroU32,
}

/// Whether the set names this number; `*` is the largest there is.
pub(super) fn names(set: &SequenceSet, number: NonZeroU32, largest: NonZeroU32) -> bool {
    let value = |given: &SeqOrUid| match given {
        SeqOrUid::Value(value) => *value,
        SeqOrUid::Asterisk => largest,
    };
    set.0.as_ref().iter().any(|sequence| match sequence {
        Sequence::Single(only) => value(only) == number,
        // Either end may come first (RFC 3501 §9, seq-range).
        Sequence::Range(from, to) => {
            let (from, to) = (value(from), value(to));
            (from.min(to)..=from.max(to)).contains(&number)
        }
    })
}

/// How many keys there are, with those within others.
pub(super) fn keys(all: &[SearchKey<'_>]) -> usize {
    let one = |key: &SearchKey<'_>| match key {
        SearchKey::And(within) => 1 + keys(within.as_ref()),
        SearchKey::Not(within) => 1 + keys(std::slice::from_ref(&**within)),
        SearchKey::Or(left, right) => {
            1 + keys(std::slice::from_ref(&**left)) + keys(std::slice::from_ref(&**right))
        }
        _ => 1,
    };
    all.iter().map(one).sum()
}

impl Candidate<'_> {
    /// Whether every key holds.
    pub(super) fn matches(&self, keys: &[SearchKey<'_>]) -> bool {
        keys.iter().all(|key| self.is(key))
    }

    fn is(&self, key: &SearchKey<'_>) -> bool {
        let message = self.message;
        match key {
            SearchKey::All | SearchKey::Old => true,
            // Nothing is \Recent here.
            SearchKey::New | SearchKey::Recent => false,
            SearchKey::And(keys) => self.matches(keys.as_ref()),
            SearchKey::Not(key) => !self.is(key),
            SearchKey::Or(one, other) => self.is(one) || self.is(other),
            SearchKey::SequenceSet(set) => names(set, self.number, self.last_number),
            SearchKey::Uid(set) => names(set, message.uid, self.last_uid),
            SearchKey::Answered => message.has(&Flag::Answered),
            SearchKey::Deleted => message.has(&Flag::Deleted),
            SearchKey::Draft => message.has(&Flag::Draft),
            SearchKey::Flagged => message.has(&Flag::Flagged),
            SearchKey::Seen => message.has(&Flag::Seen),
            SearchKey::Keyword(word) => message.has(&Flag::Keyword(word.clone())),
            SearchKey::Unanswered => !message.has(&Flag::Answered),
            SearchKey::Undeleted => !message.has(&Flag::Deleted),
            SearchKey::Undraft => !message.has(&Flag::Draft),
            SearchKey::Unflagged => !message.has(&Flag::Flagged),
            SearchKey::Unseen => !message.has(&Flag::Seen),
            SearchKey::Unkeyword(word) => !message.has(&Flag::Keyword(word.clone())),
            SearchKey::Larger(octets) => message.octets.len() as u64 > u64::from(*octets),
            SearchKey::Smaller(octets) => (message.octets.len() as u64) < u64::from(*octets),
            SearchKey::Before(date) => self.received() < *date.as_ref(),
            SearchKey::On(date) => self.received() == *date.as_ref(),
            SearchKey::Since(date) => self.received() >= *date.as_ref(),
            SearchKey::SentBefore(date) => self.sent().is_some_and(|sent| sent < *date.as_ref()),
            SearchKey::SentOn(date) => self.sent().is_some_and(|sent| sent == *date.as_ref()),
            SearchKey::SentSince(date) => self.sent().is_some_and(|sent| sent >= *date.as_ref()),
            SearchKey::Bcc(text) => self.field_has("Bcc", text.as_ref()),
            SearchKey::Cc(text) => self.field_has("Cc", text.as_ref()),
            SearchKey::From(text) => self.field_has("From", text.as_ref()),
            SearchKey::Subject(text) => self.field_has("Subject", text.as_ref()),
            SearchKey::To(text) => self.field_has("To", text.as_ref()),
            SearchKey::Header(name, text) => {
                self.field_has(&String::from_utf8_lossy(name.as_ref()), text.as_ref())
            }
            SearchKey::Body(text) => self.body_has(text.as_ref()),
            SearchKey::Text(text) => self.header_has(text.as_ref()) || self.body_has(text.as_ref()),
        }
    }

    /// INTERNALDATE, its time and zone disregarded (RFC 3501 §6.4.4).
    fn received(&self) -> NaiveDate {
        self.message.date.date_naive()
    }

    fn sent(&self) -> Option<NaiveDate> {
        let date = header::value(Entity::read(&self.message.octets).header, "Date")?;
        let date = String::from_utf8(date).ok()?;
        // A comment may stand behind the zone (RFC 5322 §3.3).
        let date = date.split('(').next().unwrap_or_default().trim();
        Some(chrono::DateTime::parse_from_rfc2822(date).ok()?.date_naive())
    }

    /// Whether a field of this name has the text; an empty text asks whether there is such a field.
    fn field_has(&self, name: &str, text: &[u8]) -> bool {
        let entity = Entity::read(&self.message.octets);
        let wanted = wanted(text);
        let mut fields = header::fields(entity.header).into_iter();
        fields.any(|field| {
            field.name.eq_ignore_ascii_case(name.as_bytes())
                && decode::value(&field.value()).contains(&wanted)
        })
    }

    fn header_has(&self, text: &[u8]) -> bool {
        let entity = Entity::read(&self.message.octets);
        let wanted = wanted(text);
        let whole = |field: &header::Field<'_>| [field.name, b": ", &field.value()].concat();
        header::fields(entity.header).iter().any(|field| decode::value(&whole(field)).contains(&wanted))
    }

    fn body_has(&self, text: &[u8]) -> bool {
        decode::body(&Entity::read(&self.message.octets)).contains(&wanted(text))
    }
}

/// Upper and lower case are the same (RFC 3501 §6.4.4).
fn wanted(text: &[u8]) -> String {
    String::from_utf8_lossy(text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use imap_codec::CommandCodec;
    use imap_codec::decode::Decoder;
    use imap_codec::imap_types::command::CommandBody;

    const MAIL: &str = "From: =?utf-8?q?J=C3=B6rg?= <j@a.test>\r\nDate: Fri, 2 Jan 2026 23:30:00 -0500 (EST)\r\n\
        Subject: Rent\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n";

    fn found(key: &str) -> bool {
        let number = |n| NonZeroU32::new(n).unwrap();
        let message = Message {
            uid: number(40),
            flags: vec![Flag::Seen, Flag::try_from("Work").unwrap()],
            revision: 0,
            date: "2026-01-03T05:00:00Z".parse::<chrono::DateTime<chrono::FixedOffset>>().unwrap(),
            octets: MAIL.as_bytes().into(),
        };
        let candidate =
            Candidate { message: &message, number: number(3), last_number: number(5), last_uid: number(90) };
        let command = format!("a SEARCH CHARSET UTF-8 {key}\r\n");
        let (_, command) = CommandCodec::default().decode(command.as_bytes()).unwrap();
        let CommandBody::Search { criteria, .. } = command.body else { panic!("no SEARCH") };
        candidate.matches(criteria.as_ref())
    }

    #[test]
    fn keys_of_rfc_3501_6_4_4() {
        for key in [
            "ALL",
            "SEEN",
            "KEYWORD work",
            "3",
            "2:*",
            "*:1",
            "UID 40",
            "UID 30:50",
            "FROM \"a.TEST\"",
            "SUBJECT rent",
            "ON 3-Jan-2026",
            "SENTON 2-Jan-2026",
            "SINCE 1-Jan-2026",
            "SENTBEFORE 3-Jan-2026",
            "LARGER 10",
            "SMALLER 9999",
            "HEADER Date \"\"",
            "TEXT rent",
            "OR DELETED SEEN",
            "NOT DELETED",
            "(SEEN UNDELETED)",
            "BODY {6+}\r\ngr\u{fc}\u{df}",
            "FROM {5+}\r\nJ\u{d6}rg",
        ] {
            assert!(found(key), "{key}");
        }
        for key in [
            "UNSEEN",
            "4:*",
            "UID *",
            "NEW",
            "SUBJECT other",
            "BEFORE 3-Jan-2026",
            "HEADER X-None \"\"",
            "TO j",
        ] {
            assert!(!found(key), "{key}");
        }
    }
}
