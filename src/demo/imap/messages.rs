//! The commands of the selected state (RFC 3501 §6.4, RFC 4315, RFC 6851).

use std::num::NonZeroU32;

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::Vec1;
use imap_codec::imap_types::extensions::uidplus::{UidElement, UidSet};
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use imap_codec::imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::response::{Code, Data, Response};
use imap_codec::imap_types::sequence::SequenceSet;

use super::response::{Outcome, name_of, untagged};
use super::view::View;
use crate::demo::fetch;
use crate::demo::mailbox::{Message, Refusal, Store};
use crate::demo::search::keys;

/// Items of one FETCH; mail programs ask for a dozen.
const ITEMS: usize = 32;

/// Header fields named in one FETCH, each of which is looked for among all fields of a header.
const FIELDS: usize = 256;

/// Search keys of one SEARCH, each of which may look through all mail.
const KEYS: usize = 64;

/// What is answered about a selected mailbox that another session removed.
const GONE: &str = "the mailbox is gone";

/// Obeys a command about the selected mailbox; gives back one that is not.
pub(super) fn obey(
    body: CommandBody<'static>,
    view: &mut View,
    store: &mut Store,
    responses: &mut Vec<Response<'static>>,
) -> Result<Outcome, CommandBody<'static>> {
    let changes = matches!(
        body,
        CommandBody::Store { .. }
            | CommandBody::Expunge
            | CommandBody::ExpungeUid { .. }
            | CommandBody::Move { .. }
    );
    if view.folder(store).is_none() {
        return Ok(Outcome::No(None, GONE));
    }
    if changes && view.read_only {
        return Ok(Outcome::No(None, "the mailbox is open for reading only"));
    }
    Ok(match body {
        CommandBody::Check => Outcome::done("done"),
        CommandBody::Search { criteria, uid, charset } => {
            if keys(criteria.as_ref()) > KEYS {
                return Ok(Outcome::Bad("the demo looks at no more than 64 search keys"));
            }
            let known = charset.is_none_or(|charset| {
                ["utf-8", "us-ascii"].iter().any(|known| charset.as_ref().eq_ignore_ascii_case(known))
            });
            if !known {
                return Ok(Outcome::No(Some(Code::badcharset(Vec::new())), "UTF-8 and US-ASCII"));
            }
            let Some(folder) = view.folder(store) else { return Ok(Outcome::done("nothing")) };
            let found = view.candidates(folder).filter(|candidate| candidate.matches(criteria.as_ref()));
            let found = found.map(|candidate| if uid { candidate.message.uid } else { candidate.number });
            responses.push(Response::Data(Data::Search(found.collect())));
            Outcome::done("searched")
        }
        CommandBody::Store { sequence_set, kind, response, flags, uid } => {
            let marked = uids(&sequence_set, uid, view, store);
            match mark(&marked, kind, &flags, view, store, response == StoreResponse::Silent) {
                Ok(()) => Outcome::done("stored"),
                Err(refusal) => Outcome::refused(refusal),
            }
        }
        CommandBody::Copy { sequence_set, mailbox, uid } => {
            let meant = uids(&sequence_set, uid, view, store);
            match copy(&meant, &mailbox, view, store) {
                Ok(code) => Outcome::Ok(code, "copied"),
                Err(outcome) => outcome,
            }
        }
        CommandBody::Move { sequence_set, mailbox, uid } => {
            let meant = uids(&sequence_set, uid, view, store);
            match copy(&meant, &mailbox, view, store) {
                Ok(code) => {
                    // RFC 6851 §4.3: before the EXPUNGEs.
                    responses.extend(code.map(|code| untagged(code, "moved")));
                    remove(view, store, |message| meant.binary_search(&message.uid).is_ok());
                    Outcome::done("moved")
                }
                Err(outcome) => outcome,
            }
        }
        CommandBody::Expunge => {
            remove(view, store, |message| message.has(&Flag::Deleted));
            Outcome::done("expunged")
        }
        CommandBody::ExpungeUid { sequence_set } => {
            let meant = uids(&sequence_set, true, view, store);
            remove(view, store, |message| {
                message.has(&Flag::Deleted) && meant.binary_search(&message.uid).is_ok()
            });
            Outcome::done("expunged")
        }
        other => return Err(other),
    })
}

/// The sequence numbers and UIDs of those a set names, in ascending order.
fn named(set: &SequenceSet, by_uid: bool, view: &View, store: &Store) -> Vec<(NonZeroU32, NonZeroU32)> {
    let Some(folder) = view.folder(store) else { return Vec::new() };
    let named = view.named(set, by_uid, folder);
    named.map(|candidate| (candidate.number, candidate.message.uid)).collect()
}

/// The UIDs of those a set names, in ascending order.
fn uids(set: &SequenceSet, by_uid: bool, view: &View, store: &Store) -> Vec<NonZeroU32> {
    named(set, by_uid, view, store).into_iter().map(|(_, uid)| uid).collect()
}

/// A FETCH that is being answered: of each message what is asked for, told by the driver one by one.
///
/// Holds no message: one that is removed before its turn is passed over, as one that was removed before the command.
#[derive(Debug)]
pub(super) struct Fetching {
    folder: String,
    validity: NonZeroU32,
    /// Sequence numbers and UIDs.
    pub(super) meant: Vec<(NonZeroU32, NonZeroU32)>,
    /// No two are the same.
    pub(super) names: Vec<MessageDataItemName<'static>>,
    pub(super) by_uid: bool,
}

impl Fetching {
    /// The message as it is now, if it is still there.
    pub(super) fn message(&self, uid: NonZeroU32, store: &Store) -> Option<Message> {
        let folder = store.folder(&self.folder).filter(|folder| folder.validity == self.validity)?;
        folder.message(uid).cloned()
    }
}

/// Marks as read what is about to be (RFC 3501 §6.4.5), and says what is to be told of which messages.
pub(super) fn fetch(
    set: &SequenceSet,
    names: MacroOrMessageDataItemNames<'static>,
    by_uid: bool,
    view: &mut View,
    store: &mut Store,
) -> Result<Fetching, Outcome> {
    let named = match names {
        MacroOrMessageDataItemNames::Macro(short) => {
            short.expand().into_iter().map(imap_codec::imap_types::IntoStatic::into_static).collect()
        }
        MacroOrMessageDataItemNames::MessageDataItemNames(names) => names,
    };
    if named.len() > ITEMS {
        return Err(Outcome::Bad("the demo answers at most 32 items in one FETCH"));
    }
    if named.iter().map(fetch::fields).sum::<usize>() > FIELDS {
        return Err(Outcome::Bad("the demo looks for at most 256 header fields in one FETCH"));
    }
    let mut names = Vec::new();
    // RFC 3501 §6.4.8.
    if by_uid && !named.contains(&MessageDataItemName::Uid) {
        names.push(MessageDataItemName::Uid);
    }
    for name in named {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let validity = match view.folder(store) {
        Some(folder) => folder.validity,
        None => return Err(Outcome::No(None, GONE)),
    };
    let meant = self::named(set, by_uid, view, store);
    if !view.read_only && names.iter().any(fetch::is_reading) {
        let uids: Vec<_> = meant.iter().map(|(_, uid)| *uid).collect();
        // A message that has its fill of keywords is read all the same.
        let _ = mark(&uids, StoreType::Add, &[Flag::Seen], view, store, false);
    }
    Ok(Fetching { folder: view.folder.clone(), validity, meant, names, by_uid })
}

/// Changes the flags of each that can have them; an error is that of the last one that cannot.
fn mark(
    uids: &[NonZeroU32],
    kind: StoreType,
    flags: &[Flag<'static>],
    view: &mut View,
    store: &mut Store,
    silent: bool,
) -> Result<(), Refusal> {
    let Some(folder) = store.folder_mut(&view.folder) else { return Ok(()) };
    let mut outcome = Ok(());
    for uid in uids {
        let Some(message) = folder.message_mut(*uid) else { continue };
        match message.change_flags(kind, flags) {
            Ok(()) if silent => view.knows(message),
            Ok(()) => {}
            Err(refusal) => outcome = Err(refusal),
        }
    }
    outcome
}

/// All of them or none (RFC 3501 §6.4.7); COPYUID tells which became which (RFC 4315 §3).
fn copy(
    uids: &[NonZeroU32],
    mailbox: &Mailbox<'_>,
    view: &View,
    store: &mut Store,
) -> Result<Option<Code<'static>>, Outcome> {
    let target = name_of(mailbox);
    let validity = store.folder(&target).map(|folder| folder.validity);
    let Some(uid_validity) = validity else {
        return Err(Outcome::not_put(Refusal::NoSuchFolder));
    };
    let copies: Vec<Message> = view
        .folder(store)
        .map(|folder| uids.iter().filter_map(|uid| folder.message(*uid).cloned()).collect())
        .unwrap_or_default();
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for message in copies {
        match store.add(&target, message.octets, message.flags, message.date) {
            Ok(uid) => {
                from.push(UidElement::Single(message.uid));
                to.push(UidElement::Single(uid));
            }
            Err(refusal) => {
                // Copies stand behind all that was there.
                if let (Some(UidElement::Single(first)), Some(folder)) =
                    (to.first(), store.folder_mut(&target))
                {
                    folder.remove(|message| message.uid >= *first);
                }
                return Err(Outcome::not_put(refusal));
            }
        }
    }
    let sets = Vec1::try_from(from).ok().zip(Vec1::try_from(to).ok());
    Ok(sets.map(|(from, to)| Code::CopyUid { uid_validity, source: UidSet(from), destination: UidSet(to) }))
}

fn remove(view: &View, store: &mut Store, gone: impl Fn(&Message) -> bool) {
    if let Some(folder) = store.folder_mut(&view.folder) {
        folder.remove(gone);
    }
}
