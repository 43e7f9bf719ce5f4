//! One connection, logged in: commands conducted by async-imap, one at a time.

use std::collections::BTreeMap;
use std::io;

use async_imap::error::Error;
use async_imap::{Client, Connection, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use super::completion::Completion;
use super::heard::{Answer, Heard};
use super::open;
use super::refusal;
use super::wire::Wire;
use crate::net::Buffered;
use crate::proto::imap::response::{self, Response, Status};
use crate::upstream::UpstreamError;

/// What a conversation may run over.
pub trait Octets: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Octets for S {}

/// Commands over whose messages, thousands maybe, a server may sit in silence. One that is cut short and tried again
/// from the start would never come to its end.
const LABORIOUS: &[&str] = &["COPY", "MOVE", "STORE", "EXPUNGE", "SEARCH"];

/// Commands that have done all there is to do where no message is left.
const PASSING_OVER: &[&str] = &["FETCH", "SEARCH", "STORE"];

/// A command of a flight that is not done.
struct Waiting {
    /// Its place among the others.
    at: usize,
    name: &'static str,
    tag: String,
}

/// async-imap's two types of a connection: LOGIN with literals leaves us the first.
#[derive(Debug)]
pub enum Conversation<S: Octets> {
    /// Logged in by a command of our own.
    Client(Client<Wire<S>>),
    /// Logged in by async-imap.
    Session(Session<Wire<S>>),
}

impl<S: Octets> Conversation<S> {
    /// Runs a command to its completion; what came with it is in the answer.
    ///
    /// # Errors
    /// A tagged NO or BAD, or an OK to a part of it, leaves the conversation usable; see [`UpstreamError`] for all others.
    pub async fn run(&mut self, name: &'static str, command: &str) -> Result<Answer, UpstreamError> {
        let by_uids = open::goes_by_uids(command);
        if by_uids {
            self.may_name_messages(name)?;
        }
        if open::opens(name) {
            self.heard().open.begin();
        }
        let refused = run(self.connection(), name, command).await.err().map(|error| self.ended(name, error));
        if open::opens(name) {
            self.heard().open.done(if refused.is_none() { Status::Ok } else { Status::No });
        }
        if by_uids && matches!(refused, None | Some(UpstreamError::Refused { .. })) {
            self.heard().open.still_numbered(name)?;
        }
        self.came_to(name, refused)
    }

    /// Runs commands in one flight, to the completion of the last; each must be right whatever becomes of those
    /// before it (RFC 3501 §5.5).
    ///
    /// # Errors
    /// [`UpstreamError::UidValidityChanged`]: nothing was sent, or what was done is of no use; the conversation is usable.
    /// After all others it is over.
    pub async fn flight(
        &mut self,
        commands: &[(&'static str, String)],
    ) -> Result<Vec<Result<Answer, UpstreamError>>, UpstreamError> {
        let first = commands.first().map_or("NOOP", |(name, _)| *name);
        if commands.iter().any(|(_, command)| open::goes_by_uids(command)) {
            self.may_name_messages(first)?;
        }
        self.wire_at_start();
        if commands.iter().any(|(name, _)| open::opens(name)) {
            self.heard().open.begin();
        }
        if commands.iter().any(|(name, _)| LABORIOUS.contains(name)) {
            self.wire().laborious();
        }
        let mut waiting = Vec::with_capacity(commands.len());
        for (at, (name, command)) in commands.iter().enumerate() {
            waiting.push(Waiting { at, name, tag: self.wire().queue(command) });
        }
        let mut answers = BTreeMap::new();
        while !waiting.is_empty() {
            let (Waiting { at, name, .. }, completion) = self.completion(&mut waiting).await?;
            if open::opens(name) {
                self.heard().open.done(completion.status);
            }
            // What came with a refusal is in the next answer: it may be of a command that is not done yet.
            let refused = (completion.status != Status::Ok)
                .then(|| refusal::of_command(name, &completion))
                .map(|error| self.ended(name, error));
            answers.insert(at, self.came_to(name, refused));
        }
        self.heard().open.still_numbered(first)?;
        Ok(answers.into_values().collect())
    }

    /// What a command that is done came to. UIDs that are not there are passed over without an error (RFC 3501 §6.4.8), but
    /// some servers refuse any set of them in a mailbox that has become empty.
    fn came_to(
        &mut self,
        name: &'static str,
        refused: Option<UpstreamError>,
    ) -> Result<Answer, UpstreamError> {
        match refused {
            Some(UpstreamError::Refused { .. })
                if PASSING_OVER.contains(&name) && self.heard().open.is_empty() => {}
            Some(error) => return Err(error),
            None => {}
        }
        whole(name, self.heard().take_answer())
    }

    /// The door of every command that goes by UIDs: what upstream has said unasked since the last one is heard first.
    fn may_name_messages(&mut self, name: &'static str) -> Result<(), UpstreamError> {
        self.wire().hear_at_hand().map_err(|error| self.fault(name, &error))?;
        self.heard().open.still_numbered(name)
    }

    /// Sends what is queued and reads to the completion of one of those that are `waiting`, which it is no longer then:
    /// what does not depend on each other may be done in any order (RFC 3501 §5.5).
    async fn completion(
        &mut self,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(Waiting, Completion), UpstreamError> {
        let name = waiting.first().map_or("NOOP", |first| first.name);
        self.wire().flush().await.map_err(|error| self.fault(name, &error))?;
        loop {
            let text = self.wire().response().await.map_err(|error| self.fault(name, &error))?;
            if let Some(Response::Tagged { tag, status, text }) = response::parse(&text)
                && let Some(at) = waiting.iter().position(|one| one.tag.as_bytes() == tag)
            {
                return Ok((waiting.remove(at), Completion::new(status, &text)));
            }
        }
    }

    /// Whether mail may be asked for: not while upstream asks to be left alone.
    ///
    /// # Errors
    /// [`UpstreamError::Unavailable`], with the time that is left.
    pub fn may_fetch(&mut self) -> Result<(), UpstreamError> {
        self.heard().backoff.allows()
    }

    /// The stream, for commands of our own; between two commands only.
    pub fn wire(&mut self) -> &mut Wire<S> {
        self.connection().get_mut()
    }

    /// The same, at the beginning of a command: the last one's answer is forgotten.
    pub fn wire_at_start(&mut self) -> &mut Wire<S> {
        let wire = self.wire();
        wire.begin();
        wire
    }

    /// What upstream said so far.
    pub fn heard(&mut self) -> &mut Heard {
        self.wire().heard()
    }

    /// What a fault of the borrowed stream comes to.
    pub fn fault(&mut self, command: &'static str, error: &io::Error) -> UpstreamError {
        let patience = self.wire().patience();
        let error = refusal::of_stream(command, error, self.heard(), patience);
        self.ended(command, error)
    }

    /// A session that upstream ends with BYE is lost like any other: a fresh one may do better, if there may be one. What
    /// is refused behind a BYE is refused for that.
    fn ended(&mut self, command: &'static str, error: UpstreamError) -> UpstreamError {
        let heard = self.heard();
        match (&heard.bye, error) {
            (
                Some(bye),
                UpstreamError::Unavailable { .. }
                | UpstreamError::Refused { .. }
                | UpstreamError::CannotSearch { .. },
            ) => {
                tracing::warn!(%bye, "the provider ended the session");
                heard.backoff.refuses().unwrap_or(UpstreamError::Lost { command })
            }
            (_, error) => error,
        }
    }

    /// Upstream's capabilities after login, asked for if nothing told them yet.
    pub async fn capabilities(&mut self) -> Result<&[String], UpstreamError> {
        if self.heard().capabilities.is_none() {
            self.run("CAPABILITY", "CAPABILITY").await?;
        }
        capabilities(self.connection()).await
    }

    /// The stream for good, with what upstream said behind the last command.
    pub fn into_stream(mut self) -> Option<Buffered<S>> {
        self.wire().take()
    }

    fn connection(&mut self) -> &mut Connection<Wire<S>> {
        match self {
            Self::Client(client) => client,
            Self::Session(session) => session,
        }
    }
}

/// What was done in part was not done: who asked might take the rest for done, or for not there.
fn whole(name: &'static str, answer: Answer) -> Result<Answer, UpstreamError> {
    if !answer.is_cut_short() {
        return Ok(answer);
    }
    let text = answer.completion.as_ref().map(Completion::text).unwrap_or_default();
    Err(UpstreamError::Refused { command: name, text: format!("it was done in part only: {text}") })
}

/// Runs a command to its completion on a connection, logged in or not.
pub(super) async fn run<S: Octets>(
    connection: &mut Connection<Wire<S>>,
    name: &'static str,
    command: &str,
) -> Result<(), UpstreamError> {
    connection.get_mut().begin();
    if LABORIOUS.contains(&name) {
        connection.get_mut().laborious();
    }
    let result = connection.run_command_and_check_ok(command, None).await;
    result.map_err(|error| fault(connection.get_mut(), name, error, refusal::of_command))
}

/// What async-imap's error comes to; `refused` judges a NO or BAD.
pub(super) fn fault<S>(
    wire: &mut Wire<S>,
    name: &'static str,
    error: Error,
    refused: fn(&'static str, &Completion) -> UpstreamError,
) -> UpstreamError {
    let patience = wire.patience();
    let heard = wire.heard();
    match (error, &heard.answer.completion) {
        // Its own text is the debug form of a guess; upstream's words were heard.
        (Error::No(_) | Error::Bad(_), Some(completion)) => refused(name, completion),
        (Error::Io(error), _) => refusal::of_stream(name, &error, heard, patience),
        _ => refusal::of_stream(name, &io::ErrorKind::UnexpectedEof.into(), heard, patience),
    }
}

/// The capabilities, asked for if nothing told them since they were last forgotten.
pub(super) async fn capabilities<S: Octets>(
    connection: &mut Connection<Wire<S>>,
) -> Result<&[String], UpstreamError> {
    if connection.get_mut().heard().capabilities.is_none() {
        run(connection, "CAPABILITY", "CAPABILITY").await?;
    }
    // An OK without any list: a server that can do nothing.
    Ok(connection.get_mut().heard().capabilities.get_or_insert_default())
}

/// Whether `capability` is among `list`, in any case.
pub fn has(list: &[String], capability: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(capability))
}
