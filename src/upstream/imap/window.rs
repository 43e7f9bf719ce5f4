//! Many bodies in a few commands, ahead of an app that asks for one after another.
//!
//! ```text
//!  B3 UID FETCH 7:9,12 (UID BODY.PEEK[])      several commands in flight, new ones while answers are read
//!  * 4 FETCH (UID 7 BODY[] {n} ...            ──▶ the slot of UID 7
//!  * 5 FETCH (FLAGS () BODY[] {n} ... UID 8)  ──▶ aside, then the slot of UID 8; from now on a UID a command
//!  B3 OK                                      what did not come is asked for once more, a UID a command
//!  B4 NO                                      the same, and from now on too; one alone that did not come is refused
//! ```
//!
//! What comes belongs to whom its UID says. A body of a set is whole when its response has ended as a FETCH response
//! does; one that was asked for by itself, when its command is done.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::completion::Completion;
use super::conversation::{Conversation, Octets};
use super::fetch::{After, DRAINED, LOST, Part, fits};
use super::refusal;
use super::shelf::{Begun, LARGE, Shelf};
use crate::mail::{Uid, UidValidity};
use crate::proto::imap::response::{self, Response, Status, Text};
use crate::proto::imap::scan::Event;
use crate::proto::imap::uid_set::sets;
use crate::proto::imap::value::{self, Value};
use crate::upstream::UpstreamError;

/// UIDs of a command: what a refusal of one of them makes to be asked for again.
const SET: usize = 64;

/// A command line of at most 1000 octets (RFC 2683 §3.2.1.5), less verb, items and tag.
const LINE: usize = 900;

/// Requests that wait for the session's task to look at them.
pub const REQUESTS: usize = 16;

/// What a session's task is given to read ahead; ends when the requests do.
#[derive(Debug)]
pub struct Ahead {
    /// Where bodies go; each UID that is asked for has a slot there.
    pub shelf: Shelf,
    /// UIDs, ascending, or in any order where `singly`.
    pub requests: mpsc::Receiver<Vec<Uid>>,
    /// The numbering they belong to.
    pub uid_validity: UidValidity,
    /// Which octets of each, from the first on.
    pub part: Part,
    /// Never several UIDs in a command.
    pub singly: bool,
    /// How long an app may take nothing while upstream waits.
    pub stall: Duration,
}

impl Drop for Ahead {
    /// However it ended, nobody waits for more.
    fn drop(&mut self) {
        self.shelf.fail_all(LOST);
    }
}

/// The other end of [`Ahead`]; dropped, what is on its way is read to its end if that is near.
#[derive(Debug)]
pub struct Window {
    /// Where the bodies come.
    pub shelf: Shelf,
    requests: mpsc::Sender<Vec<Uid>>,
}

impl Window {
    /// For bodies on `shelf`, asked for by `requests`.
    pub fn new(shelf: Shelf, requests: mpsc::Sender<Vec<Uid>>) -> Self {
        Self { shelf, requests }
    }

    /// Asks for messages in the order in which the app will take them, each with its size as it was told. `false`: not
    /// now.
    pub fn ask(&self, messages: &[(Uid, u64)]) -> bool {
        let Ok(permit) = self.requests.try_reserve() else { return false };
        self.shelf.expect(messages);
        permit.send(messages.iter().map(|(uid, _)| *uid).collect());
        true
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.shelf.end();
    }
}

impl<S: Octets> Conversation<S> {
    /// Reads bodies as they are asked for, until nobody asks for more.
    pub async fn read_ahead(&mut self, mut ahead: Ahead) -> After {
        let reading = Reading {
            talk: self,
            shelf: ahead.shelf.clone(),
            uid_validity: ahead.uid_validity,
            part: ahead.part,
            singly: ahead.singly,
            stall: ahead.stall,
            commands: VecDeque::new(),
            response: Content::Nothing,
            literal: Literal::Past,
        };
        match reading.run(&mut ahead.requests).await {
            Ok(()) => After::Usable,
            Err(error) => {
                ahead.shelf.fail_all(error);
                After::Over
            }
        }
    }
}

struct Reading<'a, S: Octets> {
    talk: &'a mut Conversation<S>,
    shelf: Shelf,
    uid_validity: UidValidity,
    part: Part,
    singly: bool,
    stall: Duration,
    /// In flight, in the order they were sent.
    commands: VecDeque<Command>,
    /// Of the response that is being read.
    response: Content,
    /// Where the octets of the literal go that is being read.
    literal: Literal,
}

struct Command {
    tag: String,
    /// Whose bodies, ascending; of a set, those that have not come.
    uids: Vec<Uid>,
    /// It asks for one message by itself.
    alone: bool,
    /// What came of that one.
    came: Came,
    /// Whose size instead: its body was empty, and nobody knows yet whether the message is.
    size_of: Option<Uid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Nothing,
    /// The message, without its body.
    Bodiless,
    Body,
}

/// What a response brought so far.
#[derive(Debug)]
enum Content {
    Nothing,
    /// A body, of this message as far as is known.
    Body(Uid),
    /// A body of whom is not known yet.
    Aside(BytesMut),
    /// Something else.
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Literal {
    Slot(Uid),
    Aside,
    Past,
}

impl<S: Octets> Reading<'_, S> {
    async fn run(mut self, requests: &mut mpsc::Receiver<Vec<Uid>>) -> Result<(), UpstreamError> {
        let (mut open, mut drained) = (true, 0);
        loop {
            while let Some(uids) = requests.try_recv().ok().filter(|_| open) {
                self.ask(&uids);
            }
            while self.commands.is_empty() {
                let since = Instant::now();
                let Some(uids) = requests.recv().await else { return Ok(()) };
                self.talk.wire_at_start();
                self.talk.was_left_alone(since);
                self.ask(&uids);
            }
            match self.talk.wire().event_at_hand() {
                Ok(Some(event)) => {
                    self.event(event).await?;
                    continue;
                }
                Ok(None) => {}
                Err(error) => return Err(self.fault(&error)),
            }
            if !open && self.left().saturating_add(drained) > DRAINED {
                return Err(LOST);
            }
            tokio::select! {
                filled = self.talk.wire().fill_and_flush() => match filled {
                    Ok(0) => return Err(self.fault(&io::ErrorKind::UnexpectedEof.into())),
                    Ok(octets) => {
                        self.shelf.hear();
                        drained += if open { 0 } else { octets as u64 };
                    }
                    Err(error) => return Err(self.fault(&error)),
                },
                uids = requests.recv(), if open => match uids {
                    Some(uids) => self.ask(&uids),
                    None => open = false,
                },
            }
        }
    }

    fn fault(&mut self, error: &io::Error) -> UpstreamError {
        self.talk.fault("FETCH", error)
    }

    fn left(&mut self) -> u64 {
        self.shelf.to_come(None).max(self.talk.wire().body_left())
    }

    fn may_ask(&mut self) -> Result<(), UpstreamError> {
        self.talk.heard().open.numbered_by(self.uid_validity)?;
        self.talk.may_fetch()
    }

    /// Sends commands for messages, by ascending UID, or in any order a UID a command.
    fn ask(&mut self, uids: &[Uid]) {
        self.singly |= self.talk.heard().uid_behind_body;
        if self.may_ask().is_err() {
            for uid in uids {
                let error = self.may_ask().err();
                self.shelf.fail(*uid, error);
            }
            return;
        }
        let most = if self.singly { 1 } else { SET };
        for uids in uids.chunks(most) {
            self.ask_in_sets(uids);
        }
    }

    fn ask_in_sets(&mut self, uids: &[Uid]) {
        let mut left = uids;
        for set in sets(uids, LINE, SET) {
            let last = set.rsplit([',', ':']).next().and_then(|last| last.parse().ok()).and_then(Uid::new);
            let named = left.iter().take_while(|uid| Some(**uid) <= last).count();
            let (uids, rest) = left.split_at(named);
            left = rest;
            let tag = self.talk.wire().queue(&self.part.command(set));
            let uids = uids.to_vec();
            let (alone, came) = (uids.len() == 1, Came::Nothing);
            self.commands.push_back(Command { tag, uids, alone, came, size_of: None });
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), UpstreamError> {
        match event {
            Event::Body { octets } => self.begin(octets).await,
            Event::BodyPart(part) => self.octets(part).await,
            Event::Response(text) => self.response(&text),
        }
    }

    async fn begin(&mut self, octets: u64) -> Result<(), UpstreamError> {
        self.literal = Literal::Past;
        if matches!(self.response, Content::Body(_) | Content::Aside(_)) {
            return Ok(());
        }
        self.response = Content::Foreign;
        let so_far = self.talk.wire().so_far();
        let Some(Response::Fetch(list)) = response::parse(so_far) else { return Ok(()) };
        if !value::last_name(list).is_some_and(|name| self.part.is_named(name)) {
            return Ok(());
        }
        match value::items(list).uid {
            Some(uid) => self.begin_of(Uid::new(uid), octets).await,
            None => self.begin_nameless(octets).await,
        }
    }

    async fn begin_of(&mut self, uid: Option<Uid>, octets: u64) -> Result<(), UpstreamError> {
        let Some(uid) = uid else { return Ok(()) };
        if let Part::Window { octets: asked, .. } = self.part
            && octets > asked
            && self.shelf.asked(uid).is_some()
        {
            self.shelf.fail(uid, Some(UpstreamError::TooLarge));
            return if octets > DRAINED { Err(LOST) } else { Ok(()) };
        }
        match self.shelf.begin(uid, octets, self.stall).await? {
            Begun::Taken => {
                self.response = Content::Body(uid);
                self.literal = Literal::Slot(uid);
                Ok(())
            }
            Begun::Refused if octets > DRAINED => Err(LOST),
            Begun::Foreign | Begun::Refused => Ok(()),
        }
    }

    /// Whose it is, is told behind it.
    async fn begin_nameless(&mut self, octets: u64) -> Result<(), UpstreamError> {
        self.talk.heard().uid_behind_body = true;
        let Some(command) = self.commands.front() else { return Ok(()) };
        if let ([uid], true) = (&command.uids[..], command.alone) {
            return self.begin_of(Some(*uid), octets).await;
        }
        let told = command.uids.iter().filter_map(|uid| self.shelf.asked(*uid)).max().unwrap_or_default();
        if octets > told.saturating_add(LARGE) || !self.shelf.has_room(octets) {
            return Err(LOST);
        }
        let body = BytesMut::with_capacity(usize::try_from(octets).unwrap_or_default());
        self.response = Content::Aside(body);
        self.literal = Literal::Aside;
        Ok(())
    }

    async fn octets(&mut self, part: BytesMut) -> Result<(), UpstreamError> {
        if let Literal::Slot(uid) = self.literal {
            if self.shelf.push(uid, part, self.stall).await? {
                return Ok(());
            }
            self.literal = Literal::Past;
            // Nobody wants the rest of it: a new connection is cheaper than a long one.
            return if self.talk.wire().body_left() > DRAINED { Err(LOST) } else { Ok(()) };
        }
        if let (Literal::Aside, Content::Aside(body)) = (self.literal, &mut self.response) {
            body.extend_from_slice(&part);
        }
        Ok(())
    }

    fn response(&mut self, text: &[u8]) -> Result<(), UpstreamError> {
        self.talk.heard().hear(text).map_err(|error| self.fault(&error))?;
        self.talk.heard().open.numbered_by(self.uid_validity)?;
        match response::parse(text) {
            Some(Response::Fetch(list)) => self.listed(list),
            Some(Response::Tagged { tag, status, text }) => self.completed(tag, status, &text),
            _ => Ok(()),
        }
    }

    /// The end of a FETCH response, its bodies replaced by empty literals.
    fn listed(&mut self, list: &[u8]) -> Result<(), UpstreamError> {
        let items = value::items(list);
        let uid = items.uid.and_then(Uid::new);
        let content = std::mem::replace(&mut self.response, Content::Nothing);
        let closed = items.complete && fits(list);
        if !closed && !matches!(content, Content::Nothing) {
            return Err(LOST);
        }
        match content {
            Content::Foreign => {}
            Content::Body(presumed) => {
                if uid != Some(presumed) {
                    return Err(LOST);
                }
                self.came(presumed, Came::Body);
            }
            Content::Aside(body) => {
                let uid = uid.ok_or(LOST)?;
                self.put(uid, body.freeze());
            }
            Content::Nothing => {
                self.sized(uid, items.size);
                let Some(uid) = uid.filter(|uid| self.shelf.asked(*uid).is_some()) else { return Ok(()) };
                match self.part.inline(&items) {
                    Some(quoted @ Value::Quoted(_)) if items.complete => {
                        let octets = quoted.octets().unwrap_or_default();
                        self.put(uid, Bytes::from(octets.into_owned()));
                    }
                    Some(_) => self.came(uid, Came::Bodiless),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// A body in one piece.
    fn put(&mut self, uid: Uid, body: Bytes) {
        if self.shelf.asked(uid).is_none() {
            return;
        }
        self.came_of_set(uid);
        if body.is_empty() {
            self.doubt(uid);
        } else if !self.shelf.put(uid, body) {
            self.shelf.fail(uid, None);
        }
    }

    /// A message of a set has come.
    fn came_of_set(&mut self, uid: Uid) {
        for command in self.commands.iter_mut().filter(|command| !command.alone) {
            command.uids.retain(|asked| *asked != uid);
        }
    }

    fn close(&mut self, uid: Uid) {
        if !self.shelf.close(uid) {
            self.doubt(uid);
        }
    }

    /// An empty body is one only where RFC822.SIZE says so too; else upstream has the message and does not give it.
    fn doubt(&mut self, uid: Uid) {
        if self.shelf.told(uid).is_some_and(|told| told > 0) {
            return self.judge(uid, None);
        }
        // However often it comes.
        if self.commands.iter().any(|command| command.size_of == Some(uid)) {
            return;
        }
        let tag = self.talk.wire().queue(&format!("UID FETCH {uid} (UID RFC822.SIZE)"));
        let (uids, came) = (Vec::new(), Came::Nothing);
        self.commands.push_back(Command { tag, uids, alone: false, came, size_of: Some(uid) });
    }

    /// A message whose body was empty is of this size.
    fn judge(&mut self, uid: Uid, size: Option<u64>) {
        if size == Some(0) {
            self.shelf.put(uid, Bytes::new());
            return;
        }
        let text = "it sent an empty message that is not empty".to_owned();
        // Of a part, the whole message tells.
        let whole = matches!(self.part, Part::Whole);
        self.shelf.fail(uid, whole.then_some(UpstreamError::Refused { command: "FETCH", text }));
    }

    fn sized(&mut self, uid: Option<Uid>, size: Option<u64>) {
        let doubted = self
            .commands
            .iter_mut()
            .find(|command| uid.is_some() && size.is_some() && command.size_of == uid);
        if let Some(uid) = doubted.and_then(|command| command.size_of.take()) {
            self.judge(uid, size);
        }
    }

    /// Something came of a message.
    fn came(&mut self, uid: Uid, came: Came) {
        let command = self.commands.iter_mut().find(|command| command.uids.binary_search(&uid).is_ok());
        match command {
            Some(command) if command.alone => command.came = came,
            _ if came == Came::Body => {
                self.came_of_set(uid);
                self.close(uid);
            }
            _ => {}
        }
    }

    fn completed(&mut self, tag: &[u8], status: Status, text: &Text<'_>) -> Result<(), UpstreamError> {
        self.talk.heard().begin();
        let at = self.commands.iter().position(|command| command.tag.as_bytes() == tag).ok_or(LOST)?;
        let command = self.commands.remove(at).ok_or(LOST)?;
        let completion = Completion::new(status, text);
        let refused = (status != Status::Ok).then(|| refusal::of_fetch(&completion));
        if matches!(refused, Some(UpstreamError::Lost { .. })) {
            return Err(LOST);
        }
        if let Some(uid) = command.size_of {
            self.judge(uid, None);
        }
        if let ([uid], true) = (&command.uids[..], command.alone) {
            self.settle(*uid, command.came, refused);
        } else {
            self.ask_again(command, refused, &completion);
        }
        Ok(())
    }

    /// What a set did not bring.
    fn ask_again(&mut self, command: Command, refused: Option<UpstreamError>, completion: &Completion) {
        let alone = command.uids.len() == 1;
        let missing: Vec<Uid> =
            command.uids.into_iter().filter(|uid| self.shelf.asked(*uid).is_some()).collect();
        let told = match &refused {
            // Asked to wait, nobody asks again at once.
            Some(UpstreamError::Unavailable { .. }) => true,
            // All others came, so that this is the one that was refused.
            Some(_) => alone,
            None => false,
        };
        if told {
            missing.iter().for_each(|uid| self.shelf.fail(*uid, Some(refusal::of_fetch(completion))));
            return;
        }
        if refused.is_some() {
            // Where one message is poison there may be more, and each would hold up a set of others.
            self.singly = true;
            self.shelf.refused();
        }
        // One of them may be why none came.
        for uid in missing {
            self.ask_in_sets(&[uid]);
            self.shelf.ask_again(uid);
        }
    }

    /// What a command for one message came to.
    fn settle(&mut self, uid: Uid, came: Came, refused: Option<UpstreamError>) {
        match (came, refused) {
            (Came::Body, None) => self.close(uid),
            (Came::Body, Some(refused)) => self.shelf.fail(uid, Some(refused)),
            // Not asked any more: another of its name has come, or the app has gone past it.
            _ if self.shelf.asked(uid).is_none() => {}
            (_, Some(refused)) => self.shelf.fail(uid, Some(refused)),
            (Came::Bodiless, None) => {
                let text = "it sent the message without a body".to_owned();
                self.shelf.fail(uid, Some(UpstreamError::Refused { command: "FETCH", text }));
            }
            (Came::Nothing, None) => self.shelf.fail(uid, Some(UpstreamError::Gone)),
        }
    }
}
