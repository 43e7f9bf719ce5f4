//! A session with the provider in a task of its own, and the handle that asks it.
//!
//! ```text
//!  Session ──asks──▶ task: Conversation ══ upstream
//!     ▲                │ answers, one for each ask
//!     └── chunks ◀─────┘ bounded: who does not take them stops the reading
//! ```
//!
//! A panic in the task, a broken connection and a missed deadline look the same from outside: the answer is an error
//! and the session is over. Dropping the handle ends the task and the connection. Between two asks the task listens, so
//! that an end of the connection is found when it comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::backoff::Backoff;
use super::conversation::{Conversation, Octets};
use super::fetch::{After, LOST, Part, Sink, Wanted};
use super::headers::{Headers, Looked};
use super::heard::Answer;
use super::idle::given_up;
use super::listing::{self, Examined, Selected};
use super::log_in;
use super::meter::Meter;
use super::shelf::{Shelf, Taking};
use super::watch::{Keeping, Watch};
use super::window::{Ahead, REQUESTS, Window};
use crate::auth::Credentials;
use crate::mail::{Account, Listed, Moment, UidValidity};
use crate::net::Connector;
use crate::upstream::UpstreamError;

/// Chunks on their way to an app that is slower than upstream: four reads.
const CHUNKS: usize = 4;

/// A session that is logged in.
#[derive(Debug)]
pub struct Session {
    asks: mpsc::Sender<Ask>,
    logged_in: Moment,
}

/// A session that somebody else has, who may have dropped it.
#[derive(Debug)]
pub struct WeakSession {
    asks: mpsc::WeakSender<Ask>,
    logged_in: Moment,
}

impl WeakSession {
    /// The session, if anybody has it still.
    pub fn upgrade(&self) -> Option<Session> {
        Some(Session { asks: self.asks.upgrade()?, logged_in: self.logged_in })
    }
}

/// Tells once that all that was asked of a session before has been answered to the end, and that it is held.
#[derive(Debug)]
pub struct Settled(oneshot::Receiver<()>);

impl Settled {
    /// `false` if the session is over.
    pub async fn wait(self) -> bool {
        self.0.await.is_ok()
    }
}

/// A body on its way.
#[derive(Debug)]
pub struct Fetched {
    /// Its length.
    pub octets: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Session(mpsc::Receiver<Result<Option<Bytes>, UpstreamError>>),
    Shelf(Taking),
}

type Reply<T> = oneshot::Sender<Result<T, UpstreamError>>;

enum Ask {
    Run { name: &'static str, command: String, reply: Reply<Answer> },
    Flight { commands: Vec<(&'static str, String)>, reply: Reply<Vec<Result<Answer, UpstreamError>>> },
    List { folder: String, known: Option<Listed>, latest: bool, reply: Reply<Examined> },
    Capabilities { reply: Reply<Vec<String>> },
    Headers { headers: Headers, reply: Reply<Looked> },
    Fetch { wanted: Wanted, sink: Sink },
    ReadAhead(Ahead),
    Hold { keeping: Keeping, settled: oneshot::Sender<()> },
}

impl Session {
    /// Connects and logs in, if upstream has not asked to be left alone: what it asks for is heeded from now on.
    pub async fn log_in(
        connector: &Connector,
        account: &Arc<Account>,
        credentials: &Credentials,
        backoff: &Backoff,
        meter: Meter,
    ) -> Result<Self, UpstreamError> {
        backoff.allows()?;
        let heeding = backoff.clone();
        let (connector, account, credentials) = (connector.clone(), account.clone(), credentials.clone());
        let (asks, asked) = mpsc::channel(1);
        let (told, logged_in) = oneshot::channel();
        let task = async move {
            // An app that gives up ends the attempt too.
            let mut told = told;
            let outcome = tokio::select! {
                outcome = log_in(&connector, &account, &credentials) => outcome,
                () = told.closed() => return,
            };
            match outcome {
                Ok(mut conversation) => {
                    conversation.wire().allow_for_work(connector.deadlines().upstream_work);
                    conversation.heard().backoff = heeding;
                    conversation.wire().count_on(meter);
                    let _ = told.send(Ok(()));
                    serve(conversation, asked).await;
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            }
        };
        tokio::spawn(task.in_current_span());
        let logged_in = logged_in.await.unwrap_or(Err(UpstreamError::Lost { command: "login" }));
        backoff.heed(&logged_in);
        logged_in?;
        Ok(Self::asked_by(asks))
    }

    /// A session over a conversation that is logged in already.
    #[cfg(test)]
    pub fn over<S: Octets>(conversation: Conversation<S>) -> Self {
        let (asks, asked) = mpsc::channel(1);
        tokio::spawn(serve(conversation, asked).in_current_span());
        Self::asked_by(asks)
    }

    fn asked_by(asks: mpsc::Sender<Ask>) -> Self {
        Self { asks, logged_in: Moment::now() }
    }

    /// For whoever may want it while another one has it.
    pub fn downgrade(&self) -> WeakSession {
        WeakSession { asks: self.asks.downgrade(), logged_in: self.logged_in }
    }

    /// How long ago upstream took the login.
    pub fn age(&self) -> Duration {
        self.logged_in.age()
    }

    /// Runs a command to its completion.
    ///
    /// # Errors
    /// A tagged NO or BAD leaves the session usable.
    pub async fn run(&self, name: &'static str, command: String) -> Result<Answer, UpstreamError> {
        self.ask(name, |reply| Ask::Run { name, command, reply }).await
    }

    /// Runs commands in one flight, and answers each; each must be right whatever becomes of those before it
    /// (RFC 3501 §5.5), and all of them must fit into what a server takes before it is listened to.
    ///
    /// # Errors
    /// The mailbox was renumbered meanwhile, or before and nothing was sent. After all others the session is over, and how
    /// far it came is not known. A command's own NO or BAD is its answer.
    pub async fn flight(
        &self,
        commands: Vec<(&'static str, String)>,
    ) -> Result<Vec<Result<Answer, UpstreamError>>, UpstreamError> {
        let name = commands.first().map_or("NOOP", |(name, _)| *name);
        self.ask(name, |reply| Ask::Flight { commands, reply }).await
    }

    /// SELECT or EXAMINE of a folder, named as the user sees it.
    pub async fn open(&self, verb: &'static str, folder: &str) -> Result<Selected, UpstreamError> {
        let answer = self.run(verb, format!("{verb} {}", listing::quoted(folder))).await;
        listing::selected(verb, folder, answer)
    }

    /// The same, with `list` in the same flight, and NAMESPACE where `namespaces` says; what they tell comes second.
    pub async fn open_and_list_folders(
        &self,
        verb: &'static str,
        folder: &str,
        list: &str,
        namespaces: bool,
    ) -> Result<(Selected, Result<Answer, UpstreamError>), UpstreamError> {
        let mut commands =
            vec![(verb, format!("{verb} {}", listing::quoted(folder))), ("LIST", list.to_owned())];
        if namespaces {
            commands.push(("NAMESPACE", "NAMESPACE".to_owned()));
        }
        let mut answers = self.ask(verb, |reply| Ask::Flight { commands, reply }).await?.into_iter();
        let (Some(mut opened), Some(mut listed)) = (answers.next(), answers.next()) else {
            return Err(UpstreamError::Lost { command: verb });
        };
        // A server may answer two at a time. NAMESPACE that is refused tells nothing.
        if let Ok(listed) = &mut listed {
            for other in
                [opened.as_mut().ok(), answers.next().and_then(Result::ok).as_mut()].into_iter().flatten()
            {
                listed.folders.append(&mut other.folders);
                listed.unread_folders += other.unread_folders;
                listed.foreign.append(&mut other.foreign);
            }
        }
        Ok((listing::selected(verb, folder, opened)?, listed))
    }

    /// Opens a folder read-only and lists it, from what is known of it where that is right. Nothing is asked where the
    /// session is held, watches the folder, and knows it to stand so; and only if that is the `latest` that anybody knows.
    pub async fn list(
        &self,
        folder: &str,
        known: Option<Listed>,
        latest: bool,
    ) -> Result<Examined, UpstreamError> {
        let folder = folder.to_owned();
        self.ask("FETCH", |reply| Ask::List { folder, known, latest, reply }).await
    }

    /// Looks at the headers of many messages in the mailbox that is open, as long as it may.
    pub async fn headers(&self, headers: Headers) -> Result<Looked, UpstreamError> {
        self.ask("FETCH", |reply| Ask::Headers { headers, reply }).await
    }

    /// Upstream's capabilities after login.
    pub async fn capabilities(&self) -> Result<Vec<String>, UpstreamError> {
        self.ask("CAPABILITY", |reply| Ask::Capabilities { reply }).await
    }

    /// Fetches a body; returns once its literal was announced. `stall`: how long whoever takes it may pause.
    pub async fn fetch(&self, wanted: Wanted, stall: Duration) -> Result<Fetched, UpstreamError> {
        let (chunk, chunks) = mpsc::channel(CHUNKS);
        let octets = self
            .ask("FETCH", |begun| Ask::Fetch { wanted, sink: Sink { begun, chunks: chunk, stall } })
            .await?;
        Ok(Fetched { octets, source: Source::Session(chunks) })
    }

    /// Reads ahead onto `shelf` until the window is dropped; nothing else can be asked meanwhile. The first octets of
    /// each message that `part` says, never several UIDs in a command where `singly`. `stall` as in
    /// [`Session::fetch`].
    ///
    /// `None` if the session is over.
    pub async fn read_ahead(
        &self,
        shelf: Shelf,
        uid_validity: UidValidity,
        part: Part,
        singly: bool,
        stall: Duration,
    ) -> Option<Window> {
        let (request, requests) = mpsc::channel(REQUESTS);
        let ahead = Ahead { shelf: shelf.clone(), requests, uid_validity, part, singly, stall };
        self.asks.send(Ask::ReadAhead(ahead)).await.ok()?;
        Some(Window::new(shelf, request))
    }

    /// Leaves the session alone, `keeping` it so, until the next command, whose answer has to begin within seconds: else it
    /// is lost. `None` if it is over.
    pub async fn hold(&self, keeping: Keeping) -> Option<Settled> {
        let (settled, waiting) = oneshot::channel();
        self.asks.send(Ask::Hold { keeping, settled }).await.ok()?;
        Some(Settled(waiting))
    }

    /// Returns when the session is over, which one that is held is as soon as upstream has ended it.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let asks = self.asks.clone();
        async move { asks.closed().await }
    }

    /// Says LOGOUT and waits for the end of the connection, never for long.
    pub async fn log_out(self) {
        let goodbye = self.run("LOGOUT", "LOGOUT".to_owned());
        let _ = tokio::time::timeout(FAREWELL, goodbye).await;
    }

    async fn ask<T>(
        &self,
        name: &'static str,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, UpstreamError> {
        let (reply, answer) = oneshot::channel();
        let lost = UpstreamError::Lost { command: name };
        if self.asks.send(ask(reply)).await.is_err() {
            return Err(lost);
        }
        answer.await.unwrap_or(Err(lost))
    }
}

/// Nobody waits for a farewell longer than this.
const FAREWELL: Duration = Duration::from_secs(2);

impl Fetched {
    /// A body that was read ahead.
    pub fn from_shelf((octets, taking): (u64, Taking)) -> Self {
        Self { octets, source: Source::Shelf(taking) }
    }

    /// The next octets, or `None` behind the last of a complete body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match &mut self.source {
            Source::Session(chunks) => chunks.recv().await.unwrap_or(Err(LOST)),
            Source::Shelf(taking) => taking.chunk().await,
        }
    }
}

/// Whoever dropped the handle in the middle of a command that changes something may still have it done: so long.
const UNHEARD: Duration = Duration::from_secs(60);

/// Answers until nobody asks any more, or until the conversation is over.
async fn serve<S: Octets>(mut conversation: Conversation<S>, mut asks: mpsc::Receiver<Ask>) {
    let (mut watch, mut next) = (Watch::default(), VecDeque::new());
    while let Some(ask) = conversation.until_asked(&mut asks, &mut next, &mut watch).await {
        let ask = match unasked(&mut conversation, &mut watch, ask).await {
            Ok(None) => continue,
            Ok(Some(ask)) => ask,
            Err(error) => {
                tracing::debug!(%error, "a session that was watched was lost");
                break;
            }
        };
        watch.end();
        let unheard = if ask.changes() { UNHEARD } else { Duration::ZERO };
        let usable = tokio::select! {
            biased;
            usable = obey(&mut conversation, &mut watch, ask) => usable,
            () = given_up(&mut asks, &mut next, unheard) => false,
        };
        if !usable || conversation.heard().bye.is_some() {
            break;
        }
    }
    tracing::debug!(received = conversation.wire().received(), "upstream session ended");
}

/// Answers what needs no answer of upstream's. Anything else is given back.
async fn unasked<S: Octets>(
    conversation: &mut Conversation<S>,
    watch: &mut Watch,
    ask: Ask,
) -> Result<Option<Ask>, UpstreamError> {
    match ask {
        Ask::Hold { keeping, settled } => {
            let _ = settled.send(());
            watch.begin(keeping);
            Ok(None)
        }
        Ask::List { folder, mut known, latest: true, reply } => {
            match conversation.watched(watch, &folder, &mut known).await? {
                Some(examined) => {
                    let _ = reply.send(Ok(examined));
                    Ok(None)
                }
                None => Ok(Some(Ask::List { folder, known, latest: true, reply })),
            }
        }
        other => Ok(Some(other)),
    }
}

/// Asks upstream, and answers; `false` if the conversation is over.
async fn obey<S: Octets>(conversation: &mut Conversation<S>, watch: &mut Watch, ask: Ask) -> bool {
    if let Err(error) = conversation.stop_idling_in_time(watch).await {
        tracing::debug!(%error, "a session that was watched was lost");
        return false;
    }
    match ask {
        // Nothing is to be asked.
        Ask::Hold { .. } => true,
        Ask::Run { name, command, reply } => {
            answer(conversation, reply, async |talk| talk.run(name, &command).await).await
        }
        Ask::Flight { commands, reply } => {
            answer(conversation, reply, async |talk| talk.flight(&commands).await).await
        }
        Ask::List { folder, known, reply, .. } => {
            answer(conversation, reply, async |talk| talk.list(&folder, known).await).await
        }
        Ask::Headers { headers, reply } => {
            answer(conversation, reply, async |talk| talk.headers(&headers).await).await
        }
        Ask::Capabilities { reply } => {
            answer(conversation, reply, async |talk| Ok(talk.capabilities().await?.to_vec())).await
        }
        Ask::Fetch { wanted, sink } => conversation.fetch(wanted, sink).await == After::Usable,
        Ask::ReadAhead(ahead) => conversation.read_ahead(ahead).await == After::Usable,
    }
}

impl Ask {
    /// Whether upstream may be in the middle of changing something.
    fn changes(&self) -> bool {
        const READING: &[&str] = &[
            "FETCH",
            "SEARCH",
            "STATUS",
            "NOOP",
            "LIST",
            "NAMESPACE",
            "EXAMINE",
            "SELECT",
            "CAPABILITY",
            "LOGOUT",
        ];
        match self {
            Self::Run { name, .. } => !READING.contains(name),
            Self::Flight { .. } => true,
            Self::List { .. }
            | Self::Headers { .. }
            | Self::Capabilities { .. }
            | Self::Fetch { .. }
            | Self::ReadAhead(_)
            | Self::Hold { .. } => false,
        }
    }
}

/// Answers one ask; `false` if the conversation is over. Whoever asked may be gone: then it is not begun to be
/// answered half, what was asked is done.
async fn answer<S: Octets, T>(
    conversation: &mut Conversation<S>,
    reply: Reply<T>,
    work: impl AsyncFnOnce(&mut Conversation<S>) -> Result<T, UpstreamError>,
) -> bool {
    let outcome = work(conversation).await;
    let usable = match &outcome {
        Err(UpstreamError::Lost { .. } | UpstreamError::TimedOut { .. } | UpstreamError::TooLarge) => false,
        Err(_) | Ok(_) => true,
    };
    let _ = reply.send(outcome);
    usable
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::super::script::session_over;
    use super::*;

    /// How long a session that nobody has any more goes on with a command to which upstream says something each second
    /// and never the end.
    async fn goes_on(name: &'static str) -> Duration {
        let (mut upstream, ours) = duplex(1 << 16);
        let session = session_over(ours);
        let trickles = tokio::spawn(async move {
            while upstream.write_all(b"* OK still working\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let asked = timeout(Duration::from_secs(5), session.run(name, format!("{name} 1"))).await;
        assert!(asked.is_err(), "{asked:?}");
        drop(session);
        let left = Instant::now();
        timeout(Duration::from_secs(3600), trickles).await.expect("upstream is left").expect("no panic");
        left.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_for_whoever_has_left() {
        assert!(goes_on("SEARCH").await <= Duration::from_secs(1));
        let removing = goes_on("MOVE").await;
        assert!((UNHEARD..=UNHEARD + Duration::from_secs(1)).contains(&removing), "{removing:?}");
    }
}
