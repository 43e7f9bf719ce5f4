//! One body, from upstream's literal to a channel, a read at a time.
//!
//! ```text
//!  B3 UID FETCH 7 (UID BODY.PEEK[])
//!  * 4 FETCH (UID 7 BODY[] {n}     ──▶ begun(n)        a foreign UID here: looked past
//!  n octets                        ──▶ chunks          a full channel stops the reading, and so the sender
//!   FLAGS ())                                          what follows must be FETCH's grammar, and a UID that
//!  B3 OK                           ──▶ complete        comes only now must be ours: else the body is not told complete
//! ```

use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use tokio::sync::{mpsc, oneshot};

use super::completion::Completion;
use super::conversation::{Conversation, Octets};
use super::refusal;
use crate::mail::{Uid, UidValidity};
use crate::proto::imap::response::{self, Response, Status};
use crate::proto::imap::scan::Event;
use crate::proto::imap::value::{self, Items, Value};
use crate::upstream::UpstreamError;

/// A body that nobody wants any more is read to its end up to this many octets; beyond, a new connection is cheaper.
pub const DRAINED: u64 = 64 * 1024;

/// What to fetch, and from which mailbox.
#[derive(Debug)]
pub struct Wanted {
    /// The message.
    pub uid: Uid,
    /// The numbering it belongs to.
    pub uid_validity: UidValidity,
    /// Which octets of it.
    pub part: Part,
}

/// Which octets of a message.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// All.
    Whole,
    /// At most so many from an offset on.
    Window {
        /// The first octet.
        from: u64,
        /// How many.
        octets: u64,
    },
    /// Its headers and the empty line behind them.
    Header,
}

/// Where a body goes.
#[derive(Debug)]
pub struct Sink {
    /// Told once how long it is, or why there is none.
    pub begun: oneshot::Sender<Result<u64, UpstreamError>>,
    /// Its octets, then `None` when it is complete; a channel that ends without has a part of a body.
    pub chunks: mpsc::Sender<Result<Option<Bytes>, UpstreamError>>,
    /// How long a full channel is waited for.
    pub stall: Duration,
}

/// Whether the conversation can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Yes.
    Usable,
    /// No: out of step, lost, or a long body was abandoned.
    Over,
}

impl Part {
    /// The command for the messages of a set.
    pub fn command(self, set: impl std::fmt::Display) -> String {
        match self {
            Part::Whole => format!("UID FETCH {set} (UID BODY.PEEK[])"),
            Part::Window { from, octets } => format!("UID FETCH {set} (UID BODY.PEEK[]<{from}.{octets}>)"),
            Part::Header => format!("UID FETCH {set} (UID BODY.PEEK[HEADER])"),
        }
    }

    /// Whether the item of this name brings it.
    pub fn is_named(self, name: &[u8]) -> bool {
        match self {
            Part::Whole => value::is_body(name, 0),
            Part::Window { from, .. } => value::is_body(name, from),
            Part::Header => value::is_header(name),
        }
    }

    /// The item that brings it, where it is no literal.
    pub fn inline<'a>(self, items: &Items<'a>) -> Option<Value<'a>> {
        match self {
            Part::Whole | Part::Window { .. } => items.body,
            Part::Header => items.header,
        }
    }
}

impl<S: Octets> Conversation<S> {
    /// Fetches one body.
    pub async fn fetch(&mut self, wanted: Wanted, sink: Sink) -> After {
        let Sink { begun, chunks, stall } = sink;
        let mut delivery = Delivery { wanted, begun: Some(begun), chunks, stall, state: State::Nothing };
        let numbered = self.heard().open.numbered_by(delivery.wanted.uid_validity);
        if let Err(error) = numbered.and_then(|()| self.may_fetch()) {
            delivery.fail(error).await;
            return After::Usable;
        }
        match self.deliver(&mut delivery).await {
            Ok(completion) => delivery.finish(&completion).await,
            Err(error) => {
                delivery.fail(error).await;
                After::Over
            }
        }
    }

    /// Everything up to the completion; an error ends the conversation.
    async fn deliver(&mut self, delivery: &mut Delivery) -> Result<Completion, UpstreamError> {
        let tag = self.wire_at_start().queue(&delivery.wanted.part.command(delivery.wanted.uid));
        self.wire().flush().await.map_err(|error| self.fault("FETCH", &error))?;
        loop {
            match self.wire().event().await.map_err(|error| self.fault("FETCH", &error))? {
                Event::Body { octets } => self.body(octets, delivery).await?,
                Event::BodyPart(_) => {}
                Event::Response(text) => {
                    if let Some(completion) = self.response_in_fetch(&text, &tag, delivery).await? {
                        return Ok(completion);
                    }
                }
            }
        }
    }

    async fn response_in_fetch(
        &mut self,
        text: &[u8],
        tag: &str,
        delivery: &mut Delivery,
    ) -> Result<Option<Completion>, UpstreamError> {
        self.heard().hear(text).map_err(|error| self.fault("FETCH", &error))?;
        self.heard().open.numbered_by(delivery.wanted.uid_validity)?;
        match response::parse(text) {
            Some(Response::Fetch(list)) => delivery.listed(list).await.map(|()| None),
            Some(Response::Tagged { tag: done, status, text }) if done == tag.as_bytes() => {
                Ok(Some(Completion::new(status, &text)))
            }
            Some(Response::Tagged { .. }) => Err(LOST),
            _ => Ok(None),
        }
    }

    /// A literal was announced: ours, another message's, or one more of ours.
    async fn body(&mut self, octets: u64, delivery: &mut Delivery) -> Result<(), UpstreamError> {
        let so_far = self.wire().so_far();
        let list = if let Some(Response::Fetch(list)) = response::parse(so_far) { list } else { b"" };
        let nameless = value::items(list).uid.is_none();
        let mut ours = delivery.begin(octets, list);
        // Exchange says so only behind the body.
        self.heard().uid_behind_body |= ours && nameless;
        while self.wire().body_left() > 0 {
            if !ours && delivery.state == State::Coming && self.wire().body_left() > DRAINED {
                return Err(LOST);
            }
            let event = match self.wire().event_at_hand() {
                Ok(Some(event)) => event,
                Ok(None) => {
                    let filled = self.wire().fill().await.map_err(|error| self.fault("FETCH", &error))?;
                    if filled == 0 {
                        return Err(self.fault("FETCH", &std::io::ErrorKind::UnexpectedEof.into()));
                    }
                    continue;
                }
                Err(error) => return Err(self.fault("FETCH", &error)),
            };
            let Event::BodyPart(part) = event else { return Err(LOST) };
            if ours {
                ours = delivery.chunk(part.freeze()).await?;
            }
        }
        Ok(())
    }
}

/// The conversation is out of step, or over.
pub const LOST: UpstreamError = UpstreamError::Lost { command: "FETCH" };

#[derive(Debug)]
struct Delivery {
    wanted: Wanted,
    /// `None` once told.
    begun: Option<oneshot::Sender<Result<u64, UpstreamError>>>,
    chunks: mpsc::Sender<Result<Option<Bytes>, UpstreamError>>,
    stall: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No body yet.
    Nothing,
    /// Our message came, without a body.
    Bodiless,
    /// Ours, or so it seems, is on its way in the response that is being read.
    Coming,
    /// Another literal of this response goes by; ours came before, or will.
    Foreign,
    /// All of it came, and it was ours.
    Whole,
}

impl Delivery {
    /// Whether the literal that was announced is to be handed on; `list` is what stood before it.
    fn begin(&mut self, octets: u64, list: &[u8]) -> bool {
        let named = value::last_name(list).is_some_and(|name| self.wanted.part.is_named(name));
        let uid = value::items(list).uid;
        let ours = self.begun.is_some() && named && uid.is_none_or(|uid| uid == self.wanted.uid.get());
        if !ours {
            if self.state == State::Nothing || self.state == State::Bodiless {
                self.state = State::Foreign;
            }
            return false;
        }
        self.state = State::Coming;
        self.begun.take().is_some_and(|begun| begun.send(Ok(octets)).is_ok())
    }

    /// Hands octets on. `false`: nobody wants them any more.
    async fn chunk(&mut self, octets: Bytes) -> Result<bool, UpstreamError> {
        match self.chunks.try_send(Ok(Some(octets))) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Full(octets)) => {
                match tokio::time::timeout(self.stall, self.chunks.send(octets)).await {
                    Ok(sent) => Ok(sent.is_ok()),
                    Err(_) => Err(LOST),
                }
            }
        }
    }

    /// The end of a FETCH response, its bodies replaced by empty literals.
    async fn listed(&mut self, list: &[u8]) -> Result<(), UpstreamError> {
        let items = value::items(list);
        match self.state {
            State::Coming => {
                let ours = items.uid == Some(self.wanted.uid.get());
                if !items.complete || !ours || !fits(list) {
                    return Err(LOST);
                }
                self.state = State::Whole;
            }
            State::Foreign => {
                if !items.complete || !fits(list) {
                    return Err(LOST);
                }
                self.state = State::Nothing;
            }
            State::Nothing | State::Bodiless if items.uid == Some(self.wanted.uid.get()) => {
                self.inline(&items).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A body that is no literal: a quoted string, or NIL.
    async fn inline(&mut self, items: &Items<'_>) -> Result<(), UpstreamError> {
        let octets = match self.wanted.part.inline(items) {
            Some(quoted @ Value::Quoted(_)) if items.complete => quoted.octets(),
            Some(_) => None,
            None => return Ok(()),
        };
        let Some(octets) = octets else {
            self.state = State::Bodiless;
            return Ok(());
        };
        let octets = Bytes::from(octets.into_owned());
        let told = self.begun.take().is_some_and(|begun| begun.send(Ok(octets.len() as u64)).is_ok());
        if told && !octets.is_empty() {
            self.chunk(octets).await?;
        }
        self.state = State::Whole;
        Ok(())
    }

    async fn finish(mut self, completion: &Completion) -> After {
        let error = match (self.state, completion.status) {
            (State::Whole, Status::Ok) => {
                let _ = tokio::time::timeout(self.stall, self.chunks.send(Ok(None))).await;
                return After::Usable;
            }
            // It came, and it was not all: nothing that is known to be whole.
            (State::Whole, _) | (_, Status::No | Status::Bad) => refusal::of_fetch(completion),
            (State::Bodiless, _) => UpstreamError::Refused {
                command: "FETCH",
                text: "it sent the message without a body".to_owned(),
            },
            _ => UpstreamError::Gone,
        };
        self.fail(error).await;
        After::Usable
    }

    async fn fail(&mut self, error: UpstreamError) {
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Err(error));
        } else {
            let _ = tokio::time::timeout(self.stall, self.chunks.send(Err(error))).await;
        }
    }
}

/// Whether what follows the last body is a FETCH response still: a literal that was announced too short leaves the
/// rest of the mail there.
pub fn fits(list: &[u8]) -> bool {
    const BODY: &[u8] = b"{0}\r\n";
    let Some(at) = memmem::rfind(list, BODY) else { return false };
    let tail = list.get(at + BODY.len()..).unwrap_or_default();
    tail.first().is_some_and(|octet| b" )".contains(octet)) && value::names(tail).all(value::is_item)
}
