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
//! of which the login knows something else; a session over which nothing was heard for five minutes, by the clock that runs
//! while the machine sleeps.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::conversation::{Conversation, Octets, has};
use super::listing::Examined;
use super::open::Stood;
use crate::mail::Listed;
use crate::proto::imap::response::{self, Response};
use crate::upstream::UpstreamError;

/// How often upstream is asked for a sign of life: below the 29 minutes of RFC 2177 §3, the 12 minutes of silence that
/// the strictest providers were seen to bear, and the 5 minutes in which the meanest routers forget a connection.
pub(super) const RENEWED: Duration = Duration::from_secs(4 * 60 + 30);

/// What upstream told is believed for so long from its last sign of life on.
const BELIEVED: Duration = Duration::from_secs(5 * 60);

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
    /// By two clocks: only the second runs while the machine sleeps, and only the first never jumps.
    since: (Instant, SystemTime),
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
        Self { tag, since: (Instant::now(), SystemTime::now()) }
    }

    /// A clock that was set back is not believed either.
    fn is_fresh(&self) -> bool {
        let (at, clock) = self.since;
        at.elapsed() < BELIEVED && clock.elapsed().is_ok_and(|age| age < BELIEVED)
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
    pub(super) fn watched(
        &mut self,
        watch: &Watch,
        folder: &str,
        known: &mut Option<Listed>,
    ) -> Result<Option<Examined>, UpstreamError> {
        if !watch.idling.as_ref().is_some_and(Idling::is_fresh) {
            return Ok(None);
        }
        self.wire().hear_at_hand().map_err(|error| self.fault("IDLE", &error))?;
        let heard = self.heard();
        let stood = heard.stood.as_ref().filter(|_| heard.open.is_as_listed());
        let Some(stood) = stood else { return Ok(None) };
        let Some(listed) = known.take_if(|known| stood.is(folder, known)) else { return Ok(None) };
        let listed = Listed { uid_next: stood.uid_next(), ..listed };
        let identities = self.identity().map(|_| Vec::new());
        Ok(Some(Examined { listed, as_known: true, lasting: true, identities }))
    }

    /// What is due while nobody has the session, or once there is news.
    pub(super) async fn keep(&mut self, watch: &mut Watch) -> Result<(), UpstreamError> {
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

    /// Ends the IDLE that runs, if there is one: nothing else may be asked before.
    pub(super) async fn stop_idling(&mut self, watch: &mut Watch) -> Result<(), UpstreamError> {
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
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_upstream_told_is_believed_for_five_minutes_by_either_clock() {
        let told = Idling::begin("B1".to_owned());
        assert!(told.is_fresh());
        let (at, clock) = told.since;
        let minute = Duration::from_secs(60);
        let by_the_clock = |clock| Idling { tag: "B1".to_owned(), since: (at, clock) };
        assert!(by_the_clock(clock - 4 * minute).is_fresh());
        assert!(!by_the_clock(clock - 5 * minute).is_fresh(), "the machine slept");
        assert!(!by_the_clock(clock + minute).is_fresh(), "the clock was set back");
        tokio::time::advance(4 * minute).await;
        assert!(told.is_fresh());
        tokio::time::advance(minute).await;
        assert!(!told.is_fresh());
    }
}
