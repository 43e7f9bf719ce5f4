//! What POP3 asks of a mailbox: listing, bodies, removal.
//!
//! ```text
//!  Mailbox ─┬─ opening   from a login to what is in it
//!           ├─ line      the upstream session, replaced when it is lost
//!           ├─ body      from the cache, or as it comes
//!           ├─ doubt     whose a body is that is not as long as it was listed
//!           ├─ rest      what the cache could not give to its end
//!           ├─ ahead     what an app that goes from message to message will ask for next
//!           ├─ beginning headers and some lines, without the rest
//!           ├─ listing   what is in it: what the ledger knows, and what is new
//!           ├─ names     which of its messages go by older unique-ids, since it was renumbered
//!           ├─ search    which of them meet a search key
//!           ├─ recent    the part of it that is new enough to be shown
//!           ├─ held      the session after the app has left, for its next login
//!           ├─ hidden    the part of it that was deleted by being hidden
//!           └─ removal   what DELE comes to, at QUIT and never later
//! ```

mod ahead;
mod beginning;
mod body;
mod doubt;
mod held;
mod hidden;
mod keeping;
mod line;
mod listing;
mod names;
mod opening;
mod recent;
mod removal;
mod resources;
mod rest;
mod search;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use ahead::Budget;
pub use body::Body;
pub use held::Held;
pub use opening::{Coming, Opening};
pub use removal::RemovalPlan;
pub use resources::Resources;

use crate::mail::{Account, MessageSize, Names, ToldSize, Uid, UidValidity};
use crate::proto::pop3::Maildrop;
use crate::store::{BodyKey, Page};
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Fetched, Part, Session, Wanted};
use ahead::Ahead;
use body::Learns;
use doubt::Doubt;
use held::{Claim, InUse, Left};
use hidden::Hiding;
use line::Line;
use rest::Rest;

/// One app's view of one mailbox; holds an upstream session while it lasts and replaces a lost one
/// behind the scenes where UIDVALIDITY is still the same.
#[derive(Debug)]
pub struct Mailbox {
    line: Line,
    account: Arc<Account>,
    resources: Resources,
    /// Every body of this mailbox has a key that begins with these.
    whose: Arc<str>,
    folder: Arc<str>,
    uid_validity: UidValidity,
    /// What upstream told of its messages' sizes.
    told: listing::Told,
    /// The body asked for last is not as long as upstream listed it, where it may be another message's.
    doubt: Option<Doubt>,
    /// What the ledger has of it.
    page: Page,
    /// Upstream does not tell by what messages would be known again, so their headers have to.
    learns: bool,
    /// How long an app may pause within a body.
    stall: Duration,
    /// Where DELE hides.
    hiding: Option<Hiding>,
    /// What DELE comes to, once that was looked up.
    plan: Option<removal::Plan>,
    /// Bodies the app has not asked for yet.
    ahead: Ahead,
    /// Of whom the session may be, and who may have it next; `None`: nobody.
    claim: Option<Claim>,
    /// The last that its session has heard of it: see [`InUse::news`].
    news: u64,
    in_use: InUse,
}

/// The mailbox as it stood at login.
#[derive(Debug)]
pub struct Listing {
    /// The numbering of every UID below.
    pub uid_validity: UidValidity,
    /// What their unique-ids are made of.
    pub names: Names,
    /// By ascending UID.
    pub messages: Vec<Message>,
}

/// One message of a [`Listing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID.
    pub uid: Uid,
    /// RFC822.SIZE, or the exact octets once the body was seen.
    pub octets: u64,
}

impl Mailbox {
    /// A body of this mailbox went to an app whole, and POP3 counts so many octets of it: what LIST says from the next
    /// session on (RFC 1939 §11).
    pub fn learnt(&self, uid: Uid, octets: u64) {
        if self.doubt.as_ref().is_none_or(|doubt| doubt.uid != uid) {
            self.page.learn(self.uid_validity, uid, MessageSize::exact(octets, self.told(uid)));
        }
    }

    /// The whole message, `BODY.PEEK[]`. Returns once upstream's literal has been announced, or from the cache.
    ///
    /// A long body that is dropped before its end costs the upstream session, which the next call replaces.
    ///
    /// # Errors
    /// [`UpstreamError::Refused`] and [`UpstreamError::Gone`] concern this message only.
    pub async fn body(&mut self, uid: Uid) -> Result<Body, UpstreamError> {
        if let Some(body) = self.kept(uid).await {
            return Ok(body);
        }
        self.stop_ahead();
        let (uid_validity, stall) = (self.uid_validity, self.stall);
        let fetched = self
            .line
            .read(|session| {
                Box::pin(async move {
                    let wanted = Wanted { uid, uid_validity, part: Part::Whole };
                    let fetched = session.fetch(wanted, stall).await?;
                    if fetched.octets == 0 {
                        believe_empty(session, uid).await?;
                    }
                    Ok(fetched)
                })
            })
            .await?;
        Ok(self.coming(uid, fetched))
    }

    fn coming(&self, uid: Uid, fetched: Fetched) -> Body {
        let key = (!self.is_doubtful(uid, fetched.octets)).then(|| self.key(uid));
        Body::coming(fetched, &self.resources.bodies, key)
    }

    fn told(&self, uid: Uid) -> ToldSize {
        let at = self.told.binary_search_by_key(&uid, |(uid, _)| *uid).ok();
        at.and_then(|at| self.told.get(at)).map_or(ToldSize::UNKNOWN, |(_, told)| *told)
    }

    /// [`Mailbox::retrieve`] of a message that is to be known again should upstream renumber its mailbox: what goes by of
    /// its header is remembered where upstream has nothing better.
    ///
    /// # Errors
    /// As [`Mailbox::retrieve`].
    pub async fn retrieve_and_learn(&mut self, uid: Uid, maildrop: &Maildrop) -> Result<Body, UpstreamError> {
        let body = self.retrieve(uid, maildrop).await?;
        self.doubt = self.is_doubtful(uid, body.octets()).then(|| Doubt::of(uid, body.octets()));
        if let Some(doubt) = &self.doubt {
            return Ok(body.learning(Some(Learns::Doubt(doubt.header.clone()))));
        }
        let learner = self.learns.then(|| self.page.learner(self.uid_validity, uid)).flatten();
        Ok(body.learning(learner.map(Learns::Ledger)))
    }

    /// The whole message, if the cache has it.
    async fn kept(&self, uid: Uid) -> Option<Body> {
        let key = self.key(uid);
        let kept = self.resources.bodies.open(&key).await?;
        let rest = Rest::new(self.line.spare(), &self.resources, &self.account, key, self.stall);
        Some(Body::kept(kept, rest))
    }

    /// Keeps the upstream session from timing out while the app is silent; call now and then. Takes seconds at most:
    /// a session that is lost is replaced by the next command.
    pub async fn keep_alive(&mut self) {
        self.stop_ahead();
        self.line.probe().await;
    }

    /// The app has said all it had to say: its session upstream is held for its next login, or ended as by
    /// [`Mailbox::close`], which is right where bodies are still on their way through it, or where it is not clear what
    /// became of a removal.
    pub async fn leave(mut self) {
        if self.ahead.is_coming() {
            return self.close().await;
        }
        self.keep_ahead().await;
        self.settle_hints().await;
        if let Some((session, changed)) = self.line.leave() {
            let left = Left { session, folder: Some(self.folder), changed, news: self.news };
            self.in_use.leave(left, self.claim.as_ref()).await;
        }
    }

    /// Ends the upstream session politely (LOGOUT, never CLOSE).
    pub async fn close(mut self) {
        self.keep_ahead().await;
        self.note_settled().await;
        if let Some((session, _)) = self.line.leave() {
            session.log_out().await;
        }
    }

    fn key(&self, uid: Uid) -> BodyKey {
        BodyKey {
            account: self.whose.clone(),
            mailbox: self.folder.clone(),
            uid_validity: self.uid_validity,
            uid,
            told: self.told(uid),
        }
    }
}

/// An empty body is one only where RFC822.SIZE says so too; else upstream has the message and does not give it.
async fn believe_empty(session: &Session, uid: Uid) -> Result<(), UpstreamError> {
    let answer = session.run("FETCH", format!("UID FETCH {uid} (UID RFC822.SIZE)")).await?;
    let size = answer.fetched.iter().find(|(told, _)| *told == uid).map(|(_, size)| *size);
    match size.filter(|size| size.is_known()).map(MessageSize::octets) {
        Some(0) => Ok(()),
        _ => Err(UpstreamError::Refused {
            command: "FETCH",
            text: "it sent an empty message that is not empty".to_owned(),
        }),
    }
}
