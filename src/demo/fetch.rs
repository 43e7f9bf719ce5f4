//! What FETCH tells of one message, item by item (RFC 3501 §6.4.5, §7.4.2). Pure.
//!
//! The octets of a message are never copied: an item is what stands before them, and where they are.

mod structure;

use std::borrow::Cow;
use std::num::NonZeroU32;

use imap_codec::ResponseCodec;
use imap_codec::encode::Encoder;
use imap_codec::imap_types::core::{AString, IString, NString, Vec1};
use imap_codec::imap_types::datetime::DateTime;
use imap_codec::imap_types::envelope::{Address, Envelope};
use imap_codec::imap_types::fetch::{MessageDataItem, MessageDataItemName, Part, Section};
use imap_codec::imap_types::flag::FlagFetch;
use imap_codec::imap_types::response::{Data, Response};

use super::entity::{Content, Entity};
use super::header;
use super::mailbox::Message;

/// One item as it is sent: `text`, then `literal`.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// With the octet count of the literal, where there is one.
    pub(super) text: Vec<u8>,
    /// The message's own octets, or a selection of its header fields; empty where the text is all.
    pub(super) literal: Cow<'a, [u8]>,
}

/// Whether fetching this sets `\Seen`.
pub(super) fn is_reading(name: &MessageDataItemName<'_>) -> bool {
    match name {
        MessageDataItemName::BodyExt { peek, .. } => !peek,
        MessageDataItemName::Rfc822 | MessageDataItemName::Rfc822Text => true,
        _ => false,
    }
}

/// How many header fields this names.
pub(super) fn fields(name: &MessageDataItemName<'_>) -> usize {
    match name {
        MessageDataItemName::BodyExt {
            section: Some(Section::HeaderFields(_, names) | Section::HeaderFieldsNot(_, names)),
            ..
        } => names.as_ref().len(),
        _ => 0,
    }
}

/// FLAGS, which are told unasked too.
pub(super) fn flags(message: &Message) -> MessageDataItem<'static> {
    MessageDataItem::Flags(message.flags.iter().cloned().map(FlagFetch::Flag).collect())
}

/// The item of this name; `None` for what the demo does not offer (BINARY).
pub(super) fn item<'a>(
    message: &'a Message,
    entity: &'a Entity<'a>,
    name: &MessageDataItemName<'_>,
) -> Option<Item<'a>> {
    let whole = |item| Item { text: written(item), literal: Cow::default() };
    Some(whole(match name {
        MessageDataItemName::Uid => MessageDataItem::Uid(message.uid),
        MessageDataItemName::Flags => flags(message),
        MessageDataItemName::InternalDate => {
            MessageDataItem::InternalDate(DateTime::try_from(message.date).ok()?)
        }
        MessageDataItemName::Rfc822Size => MessageDataItem::Rfc822Size(number(message.octets.len())),
        MessageDataItemName::Envelope => MessageDataItem::Envelope(envelope(entity.header)),
        MessageDataItemName::Body => MessageDataItem::Body(structure::plain(entity)),
        MessageDataItemName::BodyStructure => MessageDataItem::BodyStructure(structure::extended(entity)),
        MessageDataItemName::Rfc822 => {
            return Some(literal(MessageDataItem::Rfc822(NString(None)), Cow::Borrowed(&message.octets)));
        }
        MessageDataItemName::Rfc822Header => {
            return Some(literal(MessageDataItem::Rfc822Header(NString(None)), Cow::Borrowed(entity.header)));
        }
        MessageDataItemName::Rfc822Text => {
            return Some(literal(MessageDataItem::Rfc822Text(NString(None)), Cow::Borrowed(entity.body)));
        }
        MessageDataItemName::BodyExt { section, partial, .. } => {
            let nil = MessageDataItem::BodyExt {
                section: section.as_ref().map(imap_codec::imap_types::ToStatic::to_static),
                origin: partial.map(|(origin, _)| origin),
                data: NString(None),
            };
            let found = match section {
                None => Some(Cow::Borrowed(&*message.octets)),
                Some(section) => self::section(entity, section),
            };
            // A section that is not there stays NIL.
            let Some(octets) = found else { return Some(whole(nil)) };
            return Some(literal(nil, piece(octets, *partial)));
        }
        MessageDataItemName::Binary { .. } | MessageDataItemName::BinarySize { .. } => return None,
    }))
}

/// The item as it stands in a FETCH response.
fn written(item: MessageDataItem<'static>) -> Vec<u8> {
    let (before, behind) = (b"* 1 FETCH (", b")\r\n");
    let alone = Data::Fetch { seq: NonZeroU32::MIN, items: Vec1::from(item) };
    let response = ResponseCodec::default().encode(&Response::Data(alone)).dump();
    let item = response.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
    item.unwrap_or_default().to_vec()
}

/// An item with these octets where its NIL stands; a body is a literal, be it short.
fn literal<'a>(nil: MessageDataItem<'static>, octets: Cow<'a, [u8]>) -> Item<'a> {
    let mut text = written(nil);
    text.truncate(text.len().saturating_sub(b"NIL".len()));
    text.extend_from_slice(format!("{{{}}}\r\n", octets.len()).as_bytes());
    Item { text, literal: octets }
}

/// The octets of a section; `None` where the message has no such part.
fn section<'a>(entity: &'a Entity<'a>, section: &Section<'_>) -> Option<Cow<'a, [u8]>> {
    Some(match section {
        Section::Part(part) => Cow::Borrowed(at(entity, part)?.body),
        Section::Mime(part) => Cow::Borrowed(at(entity, part)?.header),
        Section::Header(part) => Cow::Borrowed(message_at(entity, part.as_ref())?.header),
        Section::Text(part) => Cow::Borrowed(message_at(entity, part.as_ref())?.body),
        Section::HeaderFields(part, names) => {
            Cow::Owned(chosen(message_at(entity, part.as_ref())?, |name| named(names.as_ref(), name)))
        }
        Section::HeaderFieldsNot(part, names) => {
            Cow::Owned(chosen(message_at(entity, part.as_ref())?, |name| !named(names.as_ref(), name)))
        }
    })
}

fn at<'a>(entity: &'a Entity<'a>, part: &Part) -> Option<&'a Entity<'a>> {
    entity.part(part.0.as_ref())
}

/// HEADER and TEXT with a part number are those of a message within (RFC 3501 §6.4.5).
fn message_at<'a>(entity: &'a Entity<'a>, part: Option<&Part>) -> Option<&'a Entity<'a>> {
    let Some(part) = part else { return Some(entity) };
    match &at(entity, part)?.content {
        Content::Message(inner) => Some(inner),
        Content::Leaf | Content::Parts(_) => None,
    }
}

fn named(names: &[AString<'_>], name: &[u8]) -> bool {
    names.iter().any(|known| known.as_ref().eq_ignore_ascii_case(name))
}

/// Whole fields, and the empty line behind them.
fn chosen(entity: &Entity<'_>, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let fields = header::fields(entity.header).into_iter().filter(|field| wanted(field.name));
    let mut octets: Vec<u8> = fields.flat_map(|field| field.raw.iter().copied()).collect();
    octets.extend_from_slice(b"\r\n");
    octets
}

/// `<origin.count>`: what lies behind the end is an empty string.
fn piece(octets: Cow<'_, [u8]>, partial: Option<(u32, NonZeroU32)>) -> Cow<'_, [u8]> {
    let Some((origin, count)) = partial else { return octets };
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let begin = size(origin).min(octets.len());
    let end = begin.saturating_add(size(count.get())).min(octets.len());
    match octets {
        Cow::Borrowed(octets) => Cow::Borrowed(octets.get(begin..end).unwrap_or_default()),
        Cow::Owned(octets) => Cow::Owned(octets.get(begin..end).unwrap_or_default().to_vec()),
    }
}

/// ENVELOPE; Sender and Reply-To default to From (RFC 3501 §7.4.2).
fn envelope(header: &[u8]) -> Envelope<'static> {
    let text = |name| header::value(header, name).map_or(NString(None), |value| string(&value));
    let list = |name| header::value(header, name).map(|value| header::addresses(&value)).unwrap_or_default();
    let from = list("From");
    let or_from = |name| Some(list(name)).filter(|list| !list.is_empty()).unwrap_or_else(|| from.clone());
    Envelope {
        date: text("Date"),
        subject: text("Subject"),
        sender: addresses(&or_from("Sender")),
        reply_to: addresses(&or_from("Reply-To")),
        from: addresses(&from),
        to: addresses(&list("To")),
        cc: addresses(&list("Cc")),
        bcc: addresses(&list("Bcc")),
        in_reply_to: text("In-Reply-To"),
        message_id: text("Message-ID"),
    }
}

fn addresses(list: &[header::Address]) -> Vec<Address<'static>> {
    let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(NString(None), |part| string(part));
    let address = |address: &header::Address| Address {
        name: part(&address.name),
        adl: part(&address.route),
        mailbox: part(&address.mailbox),
        host: part(&address.host),
    };
    list.iter().map(address).collect()
}

/// Quoted where it can be; 8-bit goes as a literal.
fn string(octets: &[u8]) -> NString<'static> {
    NString(IString::try_from(octets.to_vec()).ok())
}

/// No message is larger than the store takes.
fn number(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imap_codec::imap_types::command::CommandBody;
    use imap_codec::imap_types::fetch::MacroOrMessageDataItemNames;
    use imap_codec::{CommandCodec, decode::Decoder};

    const MAIL: &str = "From: Ana <ana@a.test>\r\nTo: b@b.test\r\nSubject: Hi\r\n there\r\nMessage-ID: <1@a.test>\r\n\
        Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nHello\r\n--x\r\n\
        Content-Type: application/pdf; name=\"a b.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=\"a b.pdf\"\r\n\r\nQUJD\r\n--x--\r\n";

    /// What stands behind `* 1 FETCH` for these item names.
    fn fetched(mail: &str, names: &str) -> String {
        let message = Message {
            uid: NonZeroU32::new(7).unwrap(),
            flags: vec![],
            revision: 0,
            date: "2026-01-02T03:04:05Z".parse::<chrono::DateTime<chrono::FixedOffset>>().unwrap(),
            octets: mail.as_bytes().into(),
        };
        let command = format!("a FETCH 1 ({names})\r\n");
        let (_, command) = CommandCodec::default().decode(command.as_bytes()).unwrap();
        let CommandBody::Fetch {
            macro_or_item_names: MacroOrMessageDataItemNames::MessageDataItemNames(names),
            ..
        } = command.body
        else {
            panic!("no item names")
        };
        let entity = Entity::read(&message.octets);
        let items = names.iter().filter_map(|name| item(&message, &entity, name));
        let items: Vec<_> = items.map(|item| [item.text, item.literal.into_owned()].concat()).collect();
        format!("({})", String::from_utf8(items.join(&b' ')).unwrap())
    }

    #[test]
    fn envelope_of_rfc_3501_7_4_2() {
        assert_eq!(
            fetched(MAIL, "ENVELOPE"),
            "(ENVELOPE (NIL \"Hi there\" ((\"Ana\" NIL \"ana\" \"a.test\")) ((\"Ana\" NIL \"ana\" \"a.test\")) \
             ((\"Ana\" NIL \"ana\" \"a.test\")) ((NIL NIL \"b\" \"b.test\")) NIL NIL NIL \"<1@a.test>\"))"
        );
    }

    #[test]
    fn body_and_bodystructure() {
        assert_eq!(
            fetched(MAIL, "BODY"),
            "(BODY ((\"TEXT\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 0)\
             (\"application\" \"pdf\" (\"name\" \"a b.pdf\") NIL NIL \"base64\" 4) \"mixed\"))"
        );
        let extended = fetched(MAIL, "BODYSTRUCTURE");
        assert!(extended.contains("NIL (\"attachment\" (\"filename\" \"a b.pdf\"))"), "{extended}");
        assert!(extended.contains("\"mixed\" (\"boundary\" \"x\")"), "{extended}");
        let within = format!("Content-Type: message/rfc822\r\n\r\n{MAIL}");
        let within = fetched(&within, "BODYSTRUCTURE");
        assert!(within.contains("\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7bit\""), "{within}");
        assert!(within.contains("\"Hi there\"") && within.contains("\"pdf\""), "{within}");
    }

    #[test]
    fn sections_and_partials_of_rfc_3501_6_4_5() {
        let body = |section: &str| fetched(MAIL, &format!("BODY.PEEK[{section}"));
        assert_eq!(body("1]"), "(BODY[1] {5}\r\nHello)");
        assert_eq!(body("2]<1.2>"), "(BODY[2]<1> {2}\r\nUJ)");
        assert_eq!(body("2]<9.2>"), "(BODY[2]<9> {0}\r\n)");
        assert_eq!(body("3]"), "(BODY[3] NIL)");
        assert_eq!(
            body("HEADER.FIELDS (subject X-None)]"),
            "(BODY[HEADER.FIELDS (subject X-None)] {23}\r\nSubject: Hi\r\n there\r\n\r\n)"
        );
        assert!(body("2.MIME]").contains("base64") && !body("2.MIME]").contains("QUJD"));
        assert!(body("HEADER]").ends_with("boundary=x\r\n\r\n)"));
        assert!(body("TEXT]<0.3>").ends_with("{3}\r\n--x)"));
        assert_eq!(fetched(MAIL, "RFC822.SIZE UID"), format!("(RFC822.SIZE {} UID 7)", MAIL.len()));
    }

    #[test]
    fn eight_bit_headers_go_as_literals() {
        let told = fetched("Subject: Grüße\r\n\r\n", "ENVELOPE");
        assert!(told.contains("{7}\r\nGrüße"), "{told}");
    }
}
