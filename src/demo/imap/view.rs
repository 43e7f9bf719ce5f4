//! The selected mailbox as the app knows it: message sequence numbers change only when it is told (RFC 3501 §2.3.1.2).

use std::num::NonZeroU32;

use imap_codec::imap_types::core::Vec1;
use imap_codec::imap_types::fetch::MessageDataItem;
use imap_codec::imap_types::flag::{Flag, FlagPerm};
use imap_codec::imap_types::response::{Code, Data, Response};
use imap_codec::imap_types::sequence::SequenceSet;

use super::response::{count, number, untagged};
use crate::demo::fetch;
use crate::demo::mailbox::{Folder, Message, Store};
use crate::demo::search::{Candidate, names};

/// What the app was told of one mailbox.
pub(super) struct View {
    pub(super) folder: String,
    validity: NonZeroU32,
    pub(super) read_only: bool,
    known: Vec<Known>,
}

/// One message as the app knows it.
struct Known {
    uid: NonZeroU32,
    /// That of the flags it was told.
    revision: u64,
}

/// The flags the demo keeps beside keywords.
const FLAGS: [Flag<'static>; 5] = [Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft];

impl View {
    /// Opens a mailbox and tells what SELECT tells (RFC 3501 §6.3.1).
    pub(super) fn open(folder: &Folder, read_only: bool, responses: &mut Vec<Response<'static>>) -> Self {
        let known: Vec<_> = folder
            .messages()
            .iter()
            .map(|message| Known { uid: message.uid, revision: message.revision })
            .collect();
        responses.push(Response::Data(Data::Flags(FLAGS.to_vec())));
        let permanent = match read_only {
            true => Vec::new(),
            false => FLAGS.into_iter().map(FlagPerm::Flag).chain([FlagPerm::Asterisk]).collect(),
        };
        responses.push(untagged(Code::PermanentFlags(permanent), "kept as long as the demo runs"));
        responses.push(Response::Data(Data::Exists(count(known.len()))));
        responses.push(Response::Data(Data::Recent(0)));
        let unseen = folder.messages().iter().position(|message| !message.has(&Flag::Seen));
        responses.extend(unseen.map(|at| untagged(Code::Unseen(number(at)), "the first one not read")));
        responses.push(untagged(Code::UidValidity(folder.validity), "of this run"));
        responses.push(untagged(Code::UidNext(folder.next_uid()), "the next one"));
        Self { folder: folder.name.clone(), validity: folder.validity, read_only, known }
    }

    /// The mailbox, if it is still the same one.
    pub(super) fn folder<'a>(&self, store: &'a Store) -> Option<&'a Folder> {
        store.folder(&self.folder).filter(|folder| folder.validity == self.validity)
    }

    /// Tells what changed since the app was told: what is gone, only where `expunges`, new messages, flags.
    pub(super) fn catch_up(&mut self, store: &Store, expunges: bool, responses: &mut Vec<Response<'static>>) {
        // Of a mailbox that was removed nothing more is told; commands about it are refused.
        let Some(folder) = self.folder(store) else { return };
        if expunges {
            self.forget(folder, responses);
        }
        for (at, known) in self.known.iter_mut().enumerate() {
            if let Some(message) =
                folder.message(known.uid).filter(|message| message.revision != known.revision)
            {
                known.revision = message.revision;
                responses.extend(flags(number(at), message));
            }
        }
        let last = self.known.last().map(|known| known.uid);
        let new = folder.messages().iter().filter(|message| last.is_none_or(|last| message.uid > last));
        let before = self.known.len();
        self.known.extend(new.map(|message| Known { uid: message.uid, revision: message.revision }));
        if self.known.len() > before {
            responses.push(Response::Data(Data::Exists(count(self.known.len()))));
        }
    }

    /// EXPUNGE for each that is gone; each number is that of the moment (RFC 3501 §7.4.1).
    fn forget(&mut self, folder: &Folder, responses: &mut Vec<Response<'static>>) {
        let mut at = 0;
        self.known.retain(|known| {
            let stays = folder.message(known.uid).is_some();
            match stays {
                true => at += 1,
                false => responses.push(Response::Data(Data::Expunge(number(at)))),
            }
            stays
        });
    }

    /// The app knows these flags, since it set them and asked for silence.
    pub(super) fn knows(&mut self, message: &Message) {
        let at = self.known.binary_search_by_key(&message.uid, |known| known.uid);
        if let Some(known) = at.ok().and_then(|at| self.known.get_mut(at)) {
            known.revision = message.revision;
        }
    }

    /// Those of the app's messages that are still there.
    pub(super) fn candidates<'a>(&self, folder: &'a Folder) -> impl Iterator<Item = Candidate<'a>> {
        let last_number = number(self.known.len().saturating_sub(1));
        let last_uid = self.known.last().map_or(NonZeroU32::MIN, |known| known.uid);
        self.known.iter().enumerate().filter_map(move |(at, known)| {
            Some(Candidate { message: folder.message(known.uid)?, number: number(at), last_number, last_uid })
        })
    }

    /// The same, named by a set of numbers or UIDs.
    pub(super) fn named<'a>(
        &self,
        set: &SequenceSet,
        by_uid: bool,
        folder: &'a Folder,
    ) -> impl Iterator<Item = Candidate<'a>> {
        self.candidates(folder).filter(move |candidate| match by_uid {
            true => names(set, candidate.message.uid, candidate.last_uid),
            false => names(set, candidate.number, candidate.last_number),
        })
    }

    /// CLOSE removes what is marked, in silence (RFC 3501 §6.4.2).
    pub(super) fn close(&self, store: &mut Store) {
        if !self.read_only
            && self.folder(store).is_some()
            && let Some(folder) = store.folder_mut(&self.folder)
        {
            folder.remove(|message| message.has(&Flag::Deleted));
        }
    }
}

/// The flags of a message with its UID, which tells them even to an app that counts otherwise.
fn flags(number: NonZeroU32, message: &Message) -> Option<Response<'static>> {
    let items = vec![MessageDataItem::Uid(message.uid), fetch::flags(message)];
    Some(Response::Data(Data::Fetch { seq: number, items: Vec1::try_from(items).ok()? }))
}
