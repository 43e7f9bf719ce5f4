//! The mailbox of a session that is held, watched: upstream tells what comes and goes (RFC 2177, IDLE).
//!
//! ```text
//!  held ──NOOP, IDLE──▶ watched ──4 min 30 s──▶ DONE, NOOP, IDLE ──▶ watched
//!                          ├─ a login that knows the mailbox as it was listed ──▶ answered; nothing is sent
//!                          ├─ EXISTS, EXPUNGE ──▶ DONE: whoever comes next asks
//!                          └─ anything else is asked ──▶ DONE, and that
//! ```
//!
//! IDLE tells late, and some servers' never: each is begun, and begun anew, behind a NOOP, which has upstream tell whatever
//! it has not told yet (RFC 3501 §6.1.2). Where that is news after an IDLE, the session is not watched any more, only kept.
//!
//! What is not certain is asked: a mailbox that was not listed since it was opened, or in which not all was quiet since; one
//! of which the login knows something else, or of which another session has heard since; a session over which nothing was
//! heard for five minutes, by the clock that runs while the machine sleeps, or on whose socket there is more than was read.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, timeout};

use super::conversation::{Conversation, Octets, has};
use super::listing::Examined;
use super::open::Stood;
use crate::mail::{Listed, Moment};
use crate::proto::imap::response::{self, Response};
use crate::upstream::UpstreamError;

/// How often upstream is asked for a sign of life: below the 29 minutes of RFC 2177 §3, the 12 minutes of silence that
/// the strictest providers were seen to bear, and the 5 minutes in which the meanest routers forget a connection.
pub(super) const RENEWED: Duration = Duration::from_secs(4 * 60 + 30);

/// What upstream told is believed for so long from its last sign of life on.
const BELIEVED: Duration = Duration::from_secs(5 * 60);

/// All that a session is kept by has to be done in this time: a login that comes meanwhile has a fresh one else.
const KEPT: Duration = Duration::from_secs(5);

/// How a session is kept that is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing is sent.
    #[default]
    Quiet,
    /// Upstream is asked now and then for a sign of life.
    Alive,
    /// The same, and the mailbox is watched where upstream has IDLE.
    Watched,
}

/// How it stands with that.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None` while somebody uses the session.
    keeping: Option<Keeping>,
    /// When upstream is asked next.
    due: Instant,
    /// The IDLE that runs.
    idling: Option<Idling>,
    /// It was refused, or did not tell what a NOOP told.
    no_use: bool,
}

#[derive(Debug)]
struct Idling {
    tag: String,
    since: Moment,
}

impl Default for Watch {
    fn default() -> Self {
        Self { keeping: None, due: Instant::now(), idling: None, no_use: false }
    }
}

impl Watch {
    /// Nobody has the session from now on.
    pub fn begin(&mut self, keeping: Keeping) {
        let now = Instant::now();
        if self.idling.is_none() {
            self.due = if keeping == Keeping::Watched && !self.no_use { now } else { now + RENEWED };
        }
        self.keeping = Some(keeping);
    }

    /// Whether nobody has asked anything since [`Watch::begin`] that had to be sent.
    pub fn is_held(&self) -> bool {
        self.keeping.is_some()
    }

    /// When something is to be done unasked.
    pub fn due(&self) -> Option<Instant> {
        self.keeping.filter(|keeping| *keeping != Keeping::Quiet).map(|_| self.due)
    }

    /// Somebody uses it.
    pub fn end(&mut self) {
        self.keeping = None;
    }

    /// Whether upstream tells news there.
    pub fn is_idling(&self) -> bool {
        self.idling.is_some()
    }

    /// Upstream has ended an IDLE by itself, which it is not to do for half an hour: another one would fare no better.
    pub fn hear(&mut self, response: &[u8]) {
        let Some(Response::Tagged { tag, .. }) = response::parse(response) else { return };
        if self.idling.take_if(|idling| idling.tag.as_bytes() == tag).is_some() {
            self.no_use = true;
        }
    }
}

impl Idling {
    fn begin(tag: String) -> Self {
        Self { tag, since: Moment::now() }
    }

    /// A clock that was set back is not believed either.
    fn is_fresh(&self) -> bool {
        self.since.is_within(BELIEVED)
    }
}

impl<S: Octets> Conversation<S> {
    /// [`Conversation::examine_and_list`], and how the mailbox stands by that is remembered.
    pub(super) async fn list(
        &mut self,
        folder: &str,
        known: Option<Listed>,
    ) -> Result<Examined, UpstreamError> {
        let examined = self.examine_and_list(folder, known).await?;
        let Examined { listed, lasting, .. } = &examined;
        let heard = self.heard();
        heard.open.listed(listed.messages.len());
        heard.stood = lasting.then(|| Stood::new(folder, listed));
        Ok(examined)
    }

    /// The folder as it is `known`, where that is how it stands and upstream would have told otherwise.
    pub(super) async fn watched(
        &mut self,
        watch: &mut Watch,
        folder: &str,
        known: &mut Option<Listed>,
    ) -> Result<Option<Examined>, UpstreamError> {
        if !watch.idling.as_ref().is_some_and(Idling::is_fresh) || !self.has_told_all(watch).await? {
            return Ok(None);
        }
        let heard = self.heard();
        let stood = heard.stood.as_ref().filter(|_| heard.open.is_as_listed());
        let Some(stood) = stood else { return Ok(None) };
        let Some(listed) = known.take_if(|known| stood.is(folder, known)) else { return Ok(None) };
        let listed = Listed { uid_next: stood.uid_next(), ..listed };
        let identities = self.identity().map(|_| Vec::new());
        Ok(Some(Examined { listed, as_known: true, asked: false, lasting: true, identities }))
    }

    /// Hears what is here already, and whether that is all.
    async fn has_told_all(&mut self, watch: &mut Watch) -> Result<bool, UpstreamError> {
        // The runtime looks at its sockets meanwhile.
        yield_now().await;
        match unconstrained(self.listen(watch)).now_or_never() {
            Some(Ok(())) => Ok(false),
            Some(Err(_)) => Err(UpstreamError::Lost { command: "IDLE" }),
            None => Ok(watch.is_idling() && !self.wire().has_more()),
        }
    }

    /// [`Conversation::keep`], which a login may be waiting for.
    pub(super) async fn keep_in_time(&mut self, watch: &mut Watch) -> Result<(), UpstreamError> {
        timeout(KEPT, self.keep(watch)).await.unwrap_or(Err(UpstreamError::Lost { command: "IDLE" }))
    }

    /// What is due while nobody has the session, or once there is news.
    async fn keep(&mut self, watch: &mut Watch) -> Result<(), UpstreamError> {
        watch.due = Instant::now() + RENEWED;
        let idled = watch.idling.is_some();
        self.stop_idling(watch).await?;
        let news = !self.heard().open.is_as_listed();
        if idled && news {
            tracing::debug!("news of the mailbox that is watched");
            return Ok(());
        }
        let watches = watch.keeping == Some(Keeping::Watched) && !watch.no_use && !news;
        self.wire_at_start().expect_sign_of_life();
        if !watches || !self.has_idle().await? {
            return self.run("NOOP", "NOOP").await.map(drop).or_else(refused_is_alive);
        }
        self.idle(watch).await?;
        if self.heard().open.is_as_listed() {
            if watch.is_idling() && !idled {
                tracing::debug!("the mailbox is watched");
            }
            return Ok(());
        }
        watch.no_use |= idled;
        self.stop_idling(watch).await
    }

    /// NOOP and IDLE in one flight, until upstream invites us to wait.
    async fn idle(&mut self, watch: &mut Watch) -> Result<(), UpstreamError> {
        self.wire().queue("NOOP");
        let tag = self.wire().queue("IDLE");
        self.wire().flush().await.map_err(|error| self.fault("IDLE", &error))?;
        loop {
            let text = self.wire().response().await.map_err(|error| self.fault("IDLE", &error))?;
            match response::parse(&text) {
                Some(Response::Continue(_)) => {
                    watch.idling = Some(Idling::begin(tag));
                    return Ok(());
                }
                Some(Response::Tagged { tag: done, .. }) if done == tag.as_bytes() => {
                    tracing::debug!("upstream does not let us wait for news");
                    watch.no_use = true;
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// [`Conversation::stop_idling`], for whoever waits.
    pub(super) async fn stop_idling_in_time(&mut self, watch: &mut Watch) -> Result<(), UpstreamError> {
        timeout(KEPT, self.stop_idling(watch)).await.unwrap_or(Err(UpstreamError::Lost { command: "IDLE" }))
    }

    /// Ends the IDLE that runs, if there is one: nothing else may be asked before.
    async fn stop_idling(&mut self, watch: &mut Watch) -> Result<(), UpstreamError> {
        let Some(Idling { tag, .. }) = watch.idling.take() else { return Ok(()) };
        self.wire_at_start().queue_octets(b"DONE\r\n");
        self.wire().expect_sign_of_life();
        self.wire().flush().await.map_err(|error| self.fault("IDLE", &error))?;
        loop {
            let text = self.wire().response().await.map_err(|error| self.fault("IDLE", &error))?;
            if matches!(response::parse(&text), Some(Response::Tagged { tag: done, .. }) if done == tag.as_bytes())
            {
                return Ok(());
            }
        }
    }

    /// RFC 2177 §3; a part of RFC 9051.
    async fn has_idle(&mut self) -> Result<bool, UpstreamError> {
        let list = self.capabilities().await?;
        Ok(has(list, "IDLE") || has(list, "IMAP4rev2"))
    }
}

/// Whoever refuses is there.
fn refused_is_alive(error: UpstreamError) -> Result<(), UpstreamError> {
    match error {
        UpstreamError::Refused { .. } | UpstreamError::Unavailable { .. } => Ok(()),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

    use super::super::script::session_over;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_upstream_told_is_believed_for_five_minutes_by_either_clock() {
        let told = Idling::begin("B1".to_owned());
        assert!(told.is_fresh());
        let minute = Duration::from_secs(60);
        let by_the_clock = |set: fn(SystemTime, Duration) -> SystemTime, time| {
            let since = told.since.by_clock(|clock| set(clock, time));
            Idling { tag: "B1".to_owned(), since }
        };
        assert!(by_the_clock(std::ops::Sub::sub, 4 * minute).is_fresh());
        assert!(!by_the_clock(std::ops::Sub::sub, 5 * minute).is_fresh(), "the machine slept");
        assert!(!by_the_clock(std::ops::Add::add, minute).is_fresh(), "the clock was set back");
        tokio::time::advance(4 * minute).await;
        assert!(told.is_fresh());
        tokio::time::advance(minute).await;
        assert!(!told.is_fresh());
    }

    /// As when the bridge that held it stops, or an IMAP app needs the connection.
    #[tokio::test(start_paused = true)]
    async fn a_session_that_nobody_has_ends_in_the_midst_of_keeping_too() {
        let (mut upstream, ours) = duplex(1 << 16);
        let session = session_over(ours);
        assert!(session.hold(Keeping::Alive).await.is_some());
        let mut heard = [0; 64];
        let length = upstream.read(&mut heard).await.unwrap();
        assert!(heard[..length].ends_with(b" NOOP\r\n"));
        drop(session);
        assert_eq!(upstream.read(&mut heard).await.unwrap(), 0);
    }

    /// Another app reads all mail, and removes one: more octets than are read in a row, behind which the news is.
    #[tokio::test(start_paused = true)]
    async fn what_lies_in_the_socket_was_told() {
        let (upstream, ours) = duplex(1 << 21);
        let mut upstream = BufReader::new(upstream);
        let session = session_over(ours);
        let list = [
            ("EXAMINE", "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 7] x\r\n$ OK x\r\n"),
            ("FETCH", "* 1 FETCH (UID 5 RFC822.SIZE 50)\r\n* 2 FETCH (UID 6 RFC822.SIZE 60)\r\n$ OK x\r\n"),
        ];
        let idle = [
            ("CAPABILITY", "* CAPABILITY IMAP4rev1 IDLE\r\n$ OK x\r\n"),
            ("NOOP", "$ OK x\r\n"),
            ("IDLE", "+ go\r\n"),
        ];
        let (examined, ()) = tokio::join!(session.list("INBOX", None, false), answer(&mut upstream, &list));
        let known = examined.unwrap().listed;
        assert!(session.hold(Keeping::Watched).await.is_some());
        answer(&mut upstream, &idle).await;
        let told = session.list("INBOX", Some(known.clone()), true).await.unwrap();
        assert_eq!((told.asked, told.listed.messages.len()), (false, 2));
        let news = "* 1 FETCH (FLAGS (\\Seen))\r\n".repeat(36_000) + "* 1 EXPUNGE\r\n* 1 EXISTS\r\n";
        upstream.write_all(news.as_bytes()).await.unwrap();
        let asks = async {
            let mut line = String::new();
            upstream.read_line(&mut line).await.unwrap();
            line
        };
        tokio::select! {
            told = session.list("INBOX", Some(known), true) => panic!("{told:?}"),
            line = asks => assert_eq!(line, "DONE\r\n"),
        }
    }

    async fn answer(upstream: &mut BufReader<DuplexStream>, replies: &[(&str, &str)]) {
        for (command, reply) in replies {
            let mut line = String::new();
            upstream.read_line(&mut line).await.unwrap();
            assert!(line.contains(command), "{line}");
            let tag = line.split(' ').next().unwrap();
            upstream.write_all(reply.replace('$', tag).as_bytes()).await.unwrap();
        }
    }
}
