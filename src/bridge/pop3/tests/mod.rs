//! The driver over a duplex pipe and a scripted mailbox, under a paused clock.

mod faults;
mod flow;
mod held;
mod log;
mod waiting;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::provider::{Arriving, Inbox, Octets, Provider};
use super::{Accounts, Driver};
use crate::auth::{Credentials, Proof};
use crate::config;
use crate::mail::{Account, Deadlines, Uid, UidValidity};
use crate::mailbox::{Listing, Message, Opening};
use crate::proto::pop3::Maildrop;
use crate::upstream::UpstreamError;

/// What a body does, chunk by chunk.
#[derive(Clone)]
pub(super) enum Event {
    Chunk(Bytes),
    /// The connection is lost.
    Lost,
    /// Nothing more comes.
    Hang,
    /// Waits until it is told.
    Wait(Arc<Notify>),
}

#[derive(Clone)]
pub(super) struct Mail {
    /// As in the listing.
    size: u64,
    /// As announced with the body.
    announced: u64,
    events: Vec<Event>,
    refused: bool,
}

/// The scripted mailbox, and what was done to it.
#[derive(Default)]
pub(super) struct Mailbox {
    mails: Vec<Mail>,
    /// Its session upstream was held.
    held: bool,
    login_error: Option<fn() -> UpstreamError>,
    login_takes: Duration,
    /// UIDs under which another message's text comes.
    pub(super) foreign: Vec<u32>,
    update_takes: Duration,
    update_error: Option<fn() -> UpstreamError>,
    opened: u32,
    closed: u32,
    left: u32,
    kept_alive: u32,
    passwords: Vec<Vec<u8>>,
    updates: Vec<(Vec<u32>, Vec<u32>)>,
    bodies: Vec<u32>,
    learnt: Vec<(u32, u64)>,
    beginnings: Vec<u32>,
}

#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<Mailbox>>);

/// A login that goes on.
pub(super) struct Flight {
    script: Script,
    listed: BoxFuture<'static, Result<(Script, Listing), UpstreamError>>,
}

pub(super) struct Flowing {
    octets: u64,
    events: std::vec::IntoIter<Event>,
}

impl Mail {
    pub(super) fn of(text: &[u8]) -> Self {
        Self::in_chunks(&[text])
    }

    pub(super) fn in_chunks(chunks: &[&[u8]]) -> Self {
        let size = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let events = chunks.iter().filter(|chunk| !chunk.is_empty());
        let events = events.map(|chunk| Event::Chunk(Bytes::copy_from_slice(chunk))).collect();
        Self { size, announced: size, events, refused: false }
    }

    pub(super) fn with(announced: u64, events: Vec<Event>) -> Self {
        Self { size: announced, announced, events, refused: false }
    }

    pub(super) fn refused() -> Self {
        Self { refused: true, ..Self::of(b"x") }
    }
}

impl Script {
    pub(super) fn new(mails: impl IntoIterator<Item = Mail>) -> Self {
        let script = Self::default();
        script.seen().mails = mails.into_iter().collect();
        script
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Mailbox> {
        self.0.lock().expect("no test panics while it looks")
    }

    fn mail(&self, uid: Uid) -> Result<Mail, UpstreamError> {
        let mail = self.seen().mails.get(uid.get() as usize - 10).cloned().ok_or(UpstreamError::Gone)?;
        match mail.refused {
            true => {
                Err(UpstreamError::Refused { command: "FETCH", text: "[UNAVAILABLE] Server error".into() })
            }
            false => Ok(mail),
        }
    }
}

impl Provider for Script {
    type Maildrop = Self;
    type Coming = Flight;

    async fn open(
        &self,
        _: Arc<Account>,
        credentials: Credentials,
        _: Proof,
    ) -> Result<Opening<Self, Flight>, UpstreamError> {
        let held = self.seen().held;
        let listed = self.clone().list(credentials);
        match held {
            true => Ok(Opening::Coming(Flight { script: self.clone(), listed: Box::pin(listed) })),
            false => listed.await.map(|(mailbox, listing)| Opening::Open(mailbox, listing)),
        }
    }
}

impl Script {
    async fn list(self, credentials: Credentials) -> Result<(Self, Listing), UpstreamError> {
        let takes = self.seen().login_takes;
        tokio::time::sleep(takes).await;
        let mut seen = self.seen();
        let Credentials::Password(secret) = credentials else { panic!("{credentials:?}") };
        seen.passwords.push(secret.expose().to_vec());
        if let Some(error) = seen.login_error {
            return Err(error());
        }
        seen.opened += 1;
        let uid = |at| Uid::new(at).expect("not 0");
        let mails = seen.mails.iter().zip(10..);
        let messages = mails.map(|(mail, at)| Message { uid: uid(at), octets: mail.size }).collect();
        let uid_validity = UidValidity::new(7).expect("not 0");
        drop(seen);
        Ok((self, Listing { uid_validity, names: uid_validity.into(), messages }))
    }
}

impl Arriving<Script> for Flight {
    async fn arrival(&mut self) -> Result<(Script, Listing), UpstreamError> {
        self.listed.as_mut().await
    }

    async fn leave(self) {
        self.script.seen().left += 1;
    }
}

impl Inbox for Script {
    type Body = Flowing;

    async fn retrieve(&mut self, uid: Uid, _: &Maildrop) -> Result<Flowing, UpstreamError> {
        self.seen().bodies.push(uid.get());
        let mail = self.mail(uid)?;
        Ok(Flowing { octets: mail.announced, events: mail.events.into_iter() })
    }

    async fn look(&mut self, uid: Uid, _: u32, _: &Maildrop) -> Result<Bytes, UpstreamError> {
        self.seen().beginnings.push(uid.get());
        let chunks = self.mail(uid)?.events.into_iter().filter_map(|event| match event {
            Event::Chunk(chunk) => Some(chunk),
            _ => None,
        });
        Ok(chunks.collect::<Vec<_>>().concat().into())
    }

    async fn vouch(&mut self, uid: Uid) -> Result<(), UpstreamError> {
        match self.seen().foreign.contains(&uid.get()) {
            true => Err(UpstreamError::Foreign),
            false => Ok(()),
        }
    }

    fn learnt(&mut self, uid: Uid, octets: u64) {
        self.seen().learnt.push((uid.get(), octets));
    }

    async fn update(&mut self, seen: &[Uid], deleted: &[Uid]) -> Result<(), UpstreamError> {
        let numbers = |uids: &[Uid]| uids.iter().map(|uid| uid.get()).collect();
        let takes = self.seen().update_takes;
        tokio::time::sleep(takes).await;
        let mut state = self.seen();
        state.updates.push((numbers(seen), numbers(deleted)));
        state.update_error.map_or(Ok(()), |error| Err(error()))
    }

    async fn keep_alive(&mut self) {
        self.seen().kept_alive += 1;
    }

    async fn leave(self) {
        self.seen().left += 1;
    }

    async fn close(self) {
        self.seen().closed += 1;
    }
}

impl Octets for Flowing {
    fn octets(&self) -> u64 {
        self.octets
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            match self.events.next() {
                None => return Ok(None),
                Some(Event::Chunk(chunk)) => return Ok(Some(chunk)),
                Some(Event::Lost) => return Err(UpstreamError::Lost { command: "FETCH" }),
                Some(Event::Hang) => std::future::pending().await,
                Some(Event::Wait(told)) => told.notified().await,
            }
        }
    }
}

/// The app's end, and the driver behind it.
pub(super) struct Talk {
    app: DuplexStream,
    driver: JoinHandle<std::io::Result<Option<DuplexStream>>>,
    stopping: CancellationToken,
}

pub(super) fn deadlines() -> Deadlines {
    Deadlines::default()
}

/// `room` is what the pipe holds before the app reads; `pop3` are lines of `[account.pop3]`.
pub(super) fn talk_with(script: &Script, room: usize, pop3: &str) -> Talk {
    talk_through(script, room, accounts(pop3))
}

pub(super) fn accounts(pop3: &str) -> Accounts {
    let text = format!("[[account]]\naddress = \"ana@gmx.net\"\nsecret = \"app\"\n[account.pop3]\n{pop3}\n");
    let settings = config::parse(&text, Path::new("test.toml")).expect("a good configuration");
    Accounts::new(settings.accounts)
}

/// One more connection to a bridge that has these accounts.
pub(super) fn talk_through(script: &Script, room: usize, accounts: Accounts) -> Talk {
    let (app, ours) = tokio::io::duplex(room);
    let stopping = CancellationToken::new();
    let driver = Driver::new(
        ours,
        crate::proto::pop3::Session::new(),
        accounts,
        script.clone(),
        deadlines(),
        stopping.clone(),
    );
    Talk { app, driver: tokio::spawn(driver.serve()), stopping }
}

pub(super) fn talk(script: &Script) -> Talk {
    talk_with(script, 64 * 1024, "")
}

pub(super) const LOGIN: &str = "USER ana@gmx.net\r\nPASS x\r\n";

impl Talk {
    pub(super) async fn send(&mut self, text: &str) {
        self.app.write_all(text.as_bytes()).await.expect("the driver listens");
    }

    /// Reads until what came ends with `end`.
    pub(super) async fn hear(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            let octet = self.app.read_u8().await;
            let octet =
                octet.unwrap_or_else(|_| panic!("closed after {:?}", String::from_utf8_lossy(&heard)));
            heard.push(octet);
        }
        String::from_utf8_lossy(&heard).into_owned()
    }

    pub(super) async fn line(&mut self) -> String {
        self.hear("\r\n").await
    }

    /// Greeting and login.
    pub(super) async fn logged_in(mut self) -> Self {
        self.send(LOGIN).await;
        for _ in 0..3 {
            assert!(self.line().await.starts_with("+OK"));
        }
        self
    }

    /// All that still comes, to the end of the connection.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.app.read_to_end(&mut rest).await.expect("an end");
        rest
    }

    pub(super) async fn rest_text(&mut self) -> String {
        String::from_utf8_lossy(&self.rest().await).into_owned()
    }

    /// The driver has ended.
    pub(super) async fn over(self) {
        drop(self.app);
        self.driver.await.expect("no panic").expect("no error");
    }
}

/// A whole session said at once: what came back without greeting and login.
pub(super) async fn session(script: &Script, commands: &str) -> String {
    let mut talk = talk(script).logged_in().await;
    talk.send(commands).await;
    talk.app.shutdown().await.expect("open");
    let heard = talk.rest_text().await;
    talk.over().await;
    heard
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
