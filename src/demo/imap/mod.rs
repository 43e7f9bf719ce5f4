//! The demo's IMAP server: the driver. What is said is decided in `session`.
//!
//! ```text
//!  octets ──Fragmentizer──▶ one command ──session, over the store──▶ responses ──▶ one write
//!                              IDLE: the store's changes ──┘  └─ FETCH: item by item, written as the app reads
//! ```

mod folders;
mod messages;
mod response;
mod session;
mod view;

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

use imap_codec::decode::{Decoder, IdleDoneDecodeError};
use imap_codec::encode::Encoder;
use imap_codec::fragmentizer::{DecodeMessageError, FragmentInfo, Fragmentizer, LiteralAnnouncement};
use imap_codec::imap_types::IntoStatic;
use imap_codec::imap_types::core::{LiteralMode, Tag};
use imap_codec::imap_types::fetch::MessageDataItemName;
use imap_codec::imap_types::response::Response;
use imap_codec::{AuthenticateDataCodec, CommandCodec, GreetingCodec, IdleDoneCodec, ResponseCodec};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::entity::Entity;
use super::fetch;
use super::mailbox::{LARGEST_MESSAGE, Message};
use super::{Account, UPLOADS_FULL};
use crate::mail::Deadlines;
use crate::net::Buffered;
use messages::Fetching;
use session::{Next, Session};

/// A command without the message it may bring; also all that is read of an app that is not logged in.
const COMMAND: u32 = 64 * 1024;

/// Answers that may wait for one write; beyond it they are sent before the next command is obeyed or the next item of a
/// FETCH is looked at, so that nothing adds up in memory.
const UNSENT: usize = 64 * 1024;

/// Serves one app until it leaves.
pub(super) async fn serve<S>(stream: S, account: Arc<Account>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Conversation::new(stream, account).run().await
}

struct Conversation<S> {
    app: Buffered<S>,
    fragmentizer: Fragmentizer,
    changes: watch::Receiver<u64>,
    account: Arc<Account>,
    session: Session,
    expecting: Expecting,
    /// Room for the message that the command brings, where it is larger than a command.
    upload: Option<OwnedSemaphorePermit>,
    deadlines: Deadlines,
    since: Instant,
}

/// What the next message from the app is.
enum Expecting {
    Command,
    Authentication(Tag<'static>),
    Done(Tag<'static>),
    /// Nothing: the conversation is over.
    Nothing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    fn new(stream: S, account: Arc<Account>) -> Self {
        let (session, greeting) = Session::new(account.clone());
        let mut app = Buffered::new(stream);
        app.queue(&GreetingCodec::default().encode(&greeting).dump());
        Self {
            app,
            fragmentizer: Fragmentizer::new(LARGEST_MESSAGE + COMMAND),
            changes: account.changes(),
            account,
            session,
            expecting: Expecting::Command,
            upload: None,
            deadlines: Deadlines::default(),
            since: Instant::now(),
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            while !matches!(self.expecting, Expecting::Nothing)
                && let Some(fragment) = self.fragmentizer.progress()
            {
                self.take(fragment).await?;
                self.flush_much().await?;
            }
            // A line without end, too, has an end here.
            let over = matches!(self.expecting, Expecting::Nothing);
            if !over && self.fragmentizer.message_bytes().len() > self.allowed() {
                self.too_long();
            }
            if matches!(self.expecting, Expecting::Nothing) {
                return self.app.shutdown_moving(self.deadlines.app_stall).await;
            }
            self.app.flush_moving(self.deadlines.app_stall).await?;
            if !self.more().await? {
                return Ok(());
            }
        }
    }

    /// Waits for the app, or for news while it idles; `false` when it is gone.
    async fn more(&mut self) -> io::Result<bool> {
        let until = match self.session.is_logged_in() {
            true => Instant::now() + self.deadlines.imap_idle,
            false => self.since + self.deadlines.app_login,
        };
        let idling = matches!(self.expecting, Expecting::Done(_));
        tokio::select! {
            read = timeout_at(until, self.app.fill()) => {
                let came = read.unwrap_or(Ok(0))? > 0;
                let octets = self.app.input().split();
                self.fragmentizer.enqueue_bytes(&octets);
                Ok(came)
            }
            changed = self.changes.changed(), if idling => {
                if changed.is_err() {
                    return Ok(false); // The demo is over.
                }
                let news = self.account.with(|store| self.session.news(store));
                self.queue(&news);
                Ok(true)
            }
        }
    }

    /// Sends what waits if it is much: the app reads before more is made.
    async fn flush_much(&mut self) -> io::Result<()> {
        match self.app.queued() > UNSENT {
            true => self.app.flush_moving(self.deadlines.app_stall).await,
            false => Ok(()),
        }
    }

    fn queue(&mut self, responses: &[Response<'_>]) {
        for response in responses {
            self.app.queue(&ResponseCodec::default().encode(response).dump());
        }
    }

    fn say(&mut self, line: &str) {
        self.app.queue(line.as_bytes());
        self.app.queue(b"\r\n");
    }

    /// One line or literal; a message that is complete is obeyed.
    async fn take(&mut self, fragment: FragmentInfo) -> io::Result<()> {
        if let FragmentInfo::Line { announcement: Some(LiteralAnnouncement { mode, length }), .. } = fragment
        {
            self.literal_announced(mode, length);
        } else if self.fragmentizer.message_bytes().len() > self.allowed() {
            self.too_long();
        } else if self.fragmentizer.is_message_complete() {
            self.obey().await?;
            self.upload = None;
        }
        Ok(())
    }

    /// How many octets the command may have, with what it brings.
    fn allowed(&self) -> usize {
        COMMAND as usize + self.upload.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn too_long(&mut self) {
        let tag = self.tag();
        self.say(&format!("{tag} BAD a command of more than {COMMAND} octets is more than the demo reads"));
        self.leave();
    }

    fn leave(&mut self) {
        self.say("* BYE the rest of it cannot be told from the next command");
        self.expecting = Expecting::Nothing;
    }

    /// The tag of the command that is being read; `*` where it has none.
    fn tag(&self) -> String {
        self.fragmentizer.decode_tag().map_or("*".to_owned(), |tag| tag.inner().to_owned())
    }

    /// A synchronizing literal waits for our word (RFC 3501 §4.3); the other kind comes whatever we say (RFC 7888 §4).
    fn literal_announced(&mut self, mode: LiteralMode, length: u32) {
        let waits = mode == LiteralMode::Sync;
        match self.refusal(length) {
            None if waits => self.say("+ go ahead"),
            None => {}
            Some(refusal) => {
                let tag = self.tag();
                self.say(&format!("{tag} {refusal}"));
                match waits {
                    true => self.fragmentizer.skip_message(),
                    false => self.leave(),
                }
            }
        }
    }

    /// Makes room for a literal, or says why not.
    fn refusal(&mut self, length: u32) -> Option<String> {
        let held = self.fragmentizer.message_bytes().len();
        if held.saturating_add(length as usize) <= self.allowed() {
            return None;
        }
        if !self.session.is_logged_in() || !self.is_append() || self.upload.is_some() {
            return Some(format!("BAD a command of more than {COMMAND} octets is more than the demo reads"));
        }
        if length > LARGEST_MESSAGE {
            return Some("NO [TOOBIG] this is more than the demo takes".to_owned());
        }
        self.upload = self.account.upload(length);
        self.upload.is_none().then(|| format!("NO [LIMIT] {UPLOADS_FULL}"))
    }

    fn is_append(&self) -> bool {
        let mut words = self.fragmentizer.message_bytes().split(|octet| *octet == b' ');
        words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(b"APPEND"))
    }

    async fn obey(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.expecting, Expecting::Command) {
            Expecting::Command => self.command().await?,
            Expecting::Authentication(tag) => self.authentication(tag),
            Expecting::Done(tag) => self.done(&tag),
            Expecting::Nothing => self.expecting = Expecting::Nothing,
        }
        Ok(())
    }

    async fn command(&mut self) -> io::Result<()> {
        let command = match self.fragmentizer.decode_message(&CommandCodec::default()) {
            Ok(command) => command.into_static(),
            Err(error) => {
                let nul = matches!(error, DecodeMessageError::DecodingFailure(_)) && self.message_has_nul();
                self.not_understood(nul);
                return Ok(());
            }
        };
        let tag = command.tag.clone();
        let mut turn = self.account.with(|store| self.session.obey(command, store));
        self.queue(&turn.responses);
        if let Next::Fetch(fetching) = turn.next {
            self.fetch(&fetching).await?;
            turn = self.account.with(|store| self.session.fetched(tag.clone(), fetching.by_uid, store));
            self.queue(&turn.responses);
        }
        self.follow(turn.next, tag);
        Ok(())
    }

    /// Tells message after message; one is looked at when those before it are on their way.
    async fn fetch(&mut self, fetching: &Fetching) -> io::Result<()> {
        for (number, uid) in &fetching.meant {
            let message = self.account.with(|store| fetching.message(*uid, store));
            if let Some(message) = message {
                self.tell(*number, &message, &fetching.names).await?;
            }
        }
        Ok(())
    }

    /// One FETCH response, item by item; long literals leave without a copy.
    async fn tell(
        &mut self,
        number: NonZeroU32,
        message: &Message,
        names: &[MessageDataItemName<'_>],
    ) -> io::Result<()> {
        let entity = Entity::read(&message.octets);
        let mut before = format!("* {number} FETCH (");
        for item in names.iter().filter_map(|name| fetch::item(message, &entity, name)) {
            self.app.queue(std::mem::replace(&mut before, " ".to_owned()).as_bytes());
            self.app.queue(&item.text);
            match item.literal.len() > UNSENT {
                true => self.app.write_moving(&item.literal, self.deadlines.app_stall).await?,
                false => self.app.queue(&item.literal),
            }
            self.flush_much().await?;
        }
        if before == " " {
            self.app.queue(b")\r\n");
        }
        Ok(())
    }

    fn follow(&mut self, next: Next, tag: Tag<'static>) {
        self.expecting = match next {
            Next::Command | Next::Fetch(_) => Expecting::Command,
            Next::Authentication => Expecting::Authentication(tag),
            Next::Idle => Expecting::Done(tag),
            Next::Over => Expecting::Nothing,
        };
    }

    /// Real mail may have NUL octets, which no IMAP literal may (RFC 3501 §9).
    fn message_has_nul(&self) -> bool {
        self.fragmentizer.message_bytes().contains(&0)
    }

    fn not_understood(&mut self, nul: bool) {
        let tag = self.tag();
        if nul && tag != "*" {
            self.say(&format!("{tag} NO the message has a NUL octet, which the demo cannot keep"));
        } else {
            self.say(&format!("{tag} BAD not a command the demo understands"));
        }
        if self.session.mistakes_are_enough() {
            self.say("* BYE too many of them");
            self.expecting = Expecting::Nothing;
        }
    }

    fn authentication(&mut self, tag: Tag<'static>) {
        match self.fragmentizer.decode_message(&AuthenticateDataCodec::default()) {
            Ok(data) => {
                let data = data.into_static();
                let turn = self.session.authenticate(tag.clone(), data);
                self.queue(&turn.responses);
                self.follow(turn.next, tag);
            }
            Err(_) => self.say(&format!("{} BAD this is not base64", tag.inner())),
        }
    }

    fn done(&mut self, tag: &Tag<'static>) {
        let line = self.fragmentizer.message_bytes();
        let done: Result<_, IdleDoneDecodeError> = IdleDoneCodec::default().decode(line);
        match done {
            Ok(_) => self.say(&format!("{} OK IDLE is over", tag.inner())),
            Err(_) => self.say(&format!("{} BAD only DONE ends IDLE", tag.inner())),
        }
    }
}

#[cfg(test)]
mod tests;
