//! The commands about mailboxes as a whole, and APPEND (RFC 3501 §6.3, RFC 6154, RFC 4315).

use std::borrow::Cow;

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::Atom;
use imap_codec::imap_types::extensions::binary::LiteralOrLiteral8;
use imap_codec::imap_types::flag::{Flag, FlagNameAttribute};
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::response::{Code, Data, Response};
use imap_codec::imap_types::status::{StatusDataItem, StatusDataItemName};

use super::response::{Outcome, count, delimiter, name_of};
use crate::demo::mailbox::{Folder, Refusal, Store};

/// Obeys a command that needs no selected mailbox.
pub(super) fn obey(
    body: CommandBody<'static>,
    store: &mut Store,
    responses: &mut Vec<Response<'static>>,
) -> Outcome {
    match body {
        CommandBody::List { reference, mailbox_wildcard } => {
            list(&reference, &mailbox_wildcard, store, responses, false)
        }
        CommandBody::Lsub { reference, mailbox_wildcard } => {
            list(&reference, &mailbox_wildcard, store, responses, true)
        }
        CommandBody::Status { mailbox, item_names } => status(mailbox, &item_names, store, responses),
        CommandBody::Create { mailbox } => store.create(&name_of(&mailbox), None).into(),
        CommandBody::Delete { mailbox } => store.delete(&name_of(&mailbox)).into(),
        CommandBody::Rename { from, to } => store.rename(&name_of(&from), &name_of(&to)).into(),
        CommandBody::Subscribe { mailbox } => subscribe(&mailbox, true, store),
        CommandBody::Unsubscribe { mailbox } => subscribe(&mailbox, false, store),
        CommandBody::Append { mailbox, flags, date, message } => {
            let date = date.map_or_else(crate::demo::now, |date| *date.as_ref());
            append(&mailbox, flags, date, message, store)
        }
        _ => Outcome::Bad("not here, or not in the demo"),
    }
}

/// Twice what a name may have; a longer pattern costs time for every mailbox.
const PATTERN: usize = 512;

fn list(
    reference: &Mailbox<'_>,
    wildcard: &ListMailbox<'_>,
    store: &Store,
    responses: &mut Vec<Response<'static>>,
    subscribed: bool,
) -> Outcome {
    let pattern = match wildcard {
        ListMailbox::Token(token) => token.as_ref(),
        ListMailbox::String(string) => string.as_ref(),
    };
    // An empty name asks for the delimiter and the root (RFC 3501 §6.3.8).
    if pattern.is_empty() && !subscribed {
        let root = Mailbox::try_from("").ok();
        let items = vec![FlagNameAttribute::Noselect];
        responses.extend(
            root.map(|mailbox| Response::Data(Data::List { items, delimiter: delimiter(), mailbox })),
        );
        return Outcome::done("listed");
    }
    let reference = match reference {
        Mailbox::Inbox => "INBOX".to_owned(),
        other => name_of(other),
    };
    let pattern = [reference.as_bytes(), pattern].concat();
    if pattern.len() > PATTERN {
        return Outcome::Bad("a pattern of more than 512 octets is longer than any mailbox name of the demo");
    }
    for folder in store.folders().iter().filter(|folder| matches(&pattern, folder)) {
        let Ok(mailbox) = Mailbox::try_from(folder.name.clone()) else { continue };
        let (items, delimiter) = (attributes(folder, store), delimiter());
        if !subscribed {
            responses.push(Response::Data(Data::List { items, delimiter, mailbox }));
        } else if folder.subscribed {
            responses.push(Response::Data(Data::Lsub { items, delimiter, mailbox }));
        }
    }
    Outcome::done("listed")
}

/// INBOX has no case, other names have.
fn matches(pattern: &[u8], folder: &Folder) -> bool {
    let inbox = folder.name == "INBOX";
    let (mut pattern, name) = (pattern.to_vec(), folder.name.as_bytes());
    if inbox {
        pattern.make_ascii_uppercase();
    }
    fits(&pattern, name)
}

/// `*` stands for anything, `%` for anything but the delimiter. The places in the name that the pattern read so far
/// can have come to are kept, so that many wildcards cost no more than their number times the name's length.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut places = vec![false; name.len() + 1];
    if let Some(first) = places.first_mut() {
        *first = true;
    }
    for wanted in pattern {
        let mut next = vec![false; places.len()];
        let mut reached = false;
        for (at, place) in places.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| name.get(before));
            let here = match wanted {
                b'*' => reached | *place,
                b'%' => *place || (reached && before != Some(&b'/')),
                octet => {
                    before == Some(octet)
                        && at.checked_sub(1).and_then(|before| places.get(before)) == Some(&true)
                }
            };
            reached = here;
            if let Some(next) = next.get_mut(at) {
                *next = here;
            }
        }
        places = next;
    }
    places.last() == Some(&true)
}

fn attributes(folder: &Folder, store: &Store) -> Vec<FlagNameAttribute<'static>> {
    let below = format!("{}/", folder.name);
    let children = store.folders().iter().any(|other| other.name.starts_with(&below));
    let words = [Some(if children { "\\HasChildren" } else { "\\HasNoChildren" }), folder.role];
    let attribute =
        |word: &'static str| Some(FlagNameAttribute::from(Atom::try_from(word.strip_prefix('\\')?).ok()?));
    words.into_iter().flatten().filter_map(attribute).collect()
}

fn status(
    mailbox: Mailbox<'static>,
    names: &[StatusDataItemName],
    store: &Store,
    responses: &mut Vec<Response<'static>>,
) -> Outcome {
    let Some(folder) = store.folder(&name_of(&mailbox)) else {
        return Outcome::refused(Refusal::NoSuchFolder);
    };
    let all = folder.messages().len();
    let having = |flag| count(all - folder.lacking(&flag));
    let item = |name: &StatusDataItemName| {
        Some(match name {
            StatusDataItemName::Messages => StatusDataItem::Messages(count(all)),
            StatusDataItemName::Recent => StatusDataItem::Recent(0),
            StatusDataItemName::UidNext => StatusDataItem::UidNext(folder.next_uid()),
            StatusDataItemName::UidValidity => StatusDataItem::UidValidity(folder.validity),
            StatusDataItemName::Unseen => StatusDataItem::Unseen(count(folder.lacking(&Flag::Seen))),
            StatusDataItemName::Deleted => StatusDataItem::Deleted(having(Flag::Deleted)),
            StatusDataItemName::DeletedStorage => return None,
        })
    };
    let items = names.iter().filter_map(item).collect::<Vec<_>>();
    responses.push(Response::Data(Data::Status { mailbox, items: Cow::Owned(items) }));
    Outcome::done("told")
}

fn subscribe(mailbox: &Mailbox<'_>, subscribed: bool, store: &mut Store) -> Outcome {
    match store.folder_mut(&name_of(mailbox)) {
        Some(folder) => {
            folder.subscribed = subscribed;
            Outcome::done("done")
        }
        None => Outcome::refused(Refusal::NoSuchFolder),
    }
}

fn append(
    mailbox: &Mailbox<'_>,
    flags: Vec<Flag<'static>>,
    date: chrono::DateTime<chrono::FixedOffset>,
    message: LiteralOrLiteral8<'static>,
    store: &mut Store,
) -> Outcome {
    let octets = match message {
        LiteralOrLiteral8::Literal(literal) => literal.into_inner(),
        LiteralOrLiteral8::Literal8(_) => return Outcome::Bad("the demo has no BINARY"),
    };
    let name = name_of(mailbox);
    match store.add(&name, octets.as_ref().into(), flags, date) {
        Ok(uid) => {
            let code =
                store.folder(&name).map(|folder| Code::AppendUid { uid_validity: folder.validity, uid });
            Outcome::Ok(code, "appended")
        }
        Err(refusal) => Outcome::not_put(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn wildcards_of_rfc_3501_6_3_8() {
        let fits = |pattern: &str, name: &str| fits(pattern.as_bytes(), name.as_bytes());
        assert!(fits("*", "a/b") && fits("%", "ab") && !fits("%", "a/b"));
        assert!(fits("a/%", "a/b") && fits("%/b", "a/b") && fits("a%", "a") && fits("*b", "a/b"));
        assert!(!fits("a", "ab") && !fits("ab", "a") && fits("", "") && !fits("", "a"));
        assert!(fits(&"*%".repeat(1000), &"a".repeat(200)) && !fits(&"*a".repeat(201), &"a".repeat(200)));
    }
}
