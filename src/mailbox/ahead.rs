//! What an app that goes from message to message will ask for next, asked for before it does.
//!
//! ```text
//!  RETR 1   UID FETCH 11                    by itself: nobody knows yet what the app is about
//!  RETR 2   UID FETCH 12:75, 76:139, ...    it goes on: all that the window holds, in one flight
//!  RETR 3   from the shelf                  and so on; where half of the window is taken, more is asked for
//! ```
//!
//! The window is as wide as it gets from the first: opened by doubling, it would cost an app that stays to the end a round
//! trip for each doubling, more than all the rest of a session. What that costs for an app that leaves is no more than
//! came in the meantime: who leaves, or asks for something else, ends the window, and with it the session where much
//! is still on its way.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::beginning::{FIRST, cut, cut_of_beginning};
use super::line::Used;
use super::{Body, Mailbox};
use crate::mail::{Quirk, Uid};
use crate::proto::dot::unstuffed_octets;
use crate::proto::pop3::Maildrop;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{DRAINED, Fetched, LARGE, Part, Shelf, Window};

/// The widest window of one session, in octets: what a gigabit a second brings in 60 ms, a round trip across a
/// continent.
const WIDEST: u64 = 8 << 20;

/// All sessions together.
const ALL: usize = 64 << 20;

/// What a window is measured in.
const UNIT: u64 = 64 * 1024;

/// A narrower window is not worth its trouble.
const NARROWEST: u32 = 4;

/// What comes before a message that the app did not ask for: up to this much it is waited for, beyond a new session is
/// quicker.
const NEAR: u64 = 256 * 1024;

/// TOP of more lines is no look at what there is, and its beginnings would not do.
const FEW: u32 = 100;

/// Memory for reading ahead, for all sessions of a run; a session that gets none goes on without.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL / (64 * 1024))))
    }
}

impl Budget {
    /// As much as there is, up to so many octets.
    fn lease(&self, octets: u64) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(octets.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let left = u32::try_from(self.0.available_permits()).unwrap_or(u32::MAX);
        let units = wanted.min(left);
        (units >= NARROWEST.min(wanted)).then(|| self.0.clone().try_acquire_many_owned(units).ok())?
    }
}

#[cfg(test)]
impl Budget {
    /// All of it but so many units, as long as it is held.
    pub(super) fn all_but(self, units: usize) -> OwnedSemaphorePermit {
        let units = u32::try_from(self.left() - units).unwrap();
        self.0.try_acquire_many_owned(units).unwrap()
    }

    /// Units that are left.
    pub(super) fn left(&self) -> usize {
        self.0.available_permits()
    }
}

/// What is read ahead, and where the app is.
#[derive(Debug)]
pub(super) struct Ahead {
    /// The last RETR.
    retrieved: Option<Uid>,
    /// The last TOP, if no RETR came since.
    looked_at: Option<Uid>,
    /// Whether beginnings are read ahead: not once one that was too short for what the app wants has cost a session.
    looks: bool,
    /// How often in a row the app must go on before a window opens; grows with each that was opened in vain.
    steps: u32,
    gone_on: u32,
    window: Option<Window>,
    /// Of the window, and what is left of it when it is closed.
    shelf: Option<Shelf>,
    kind: Kind,
    /// Everything up to here was asked for, or did not have to be.
    frontier: Option<Uid>,
}

/// What is on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bodies,
    Beginnings,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            retrieved: None,
            looked_at: None,
            looks: true,
            steps: 1,
            gone_on: 0,
            window: None,
            shelf: None,
            kind: Kind::Bodies,
            frontier: None,
        }
    }
}

impl Kind {
    fn part(self) -> Part {
        match self {
            Kind::Bodies => Part::Whole,
            Kind::Beginnings => Part::Window { from: 0, octets: FIRST },
        }
    }

    /// What of a message of so many octets is asked for.
    fn of(self, told: u64) -> u64 {
        match self {
            Kind::Bodies => told,
            Kind::Beginnings => told.min(FIRST),
        }
    }
}

/// A message the app asks for, and what may follow it.
struct Step<'a> {
    uid: Uid,
    /// The app goes from message to message.
    goes_on: bool,
    maildrop: &'a Maildrop,
}

impl Mailbox {
    /// [`Mailbox::body`] for an app that may go on to the messages behind this one in `maildrop`: from the second on,
    /// what it will ask for next is asked for with it.
    ///
    /// # Errors
    /// As [`Mailbox::body`].
    pub async fn retrieve(&mut self, uid: Uid, maildrop: &Maildrop) -> Result<Body, UpstreamError> {
        let goes_on = self.ahead.goes_on_retrieving(uid, maildrop);
        let step = Step { uid, goes_on, maildrop };
        self.pass(Kind::Bodies, uid).await;
        if let Some(body) = self.kept(uid).await {
            self.read_on(&step);
            return Ok(body);
        }
        if let Some(body) = self.ahead.take(Kind::Bodies, uid) {
            self.read_on(&step);
            self.cache(uid, &body).await;
            return Ok(Body::here(body));
        }
        if self.reads_ahead(Kind::Bodies, &step).await
            && let Some(shelf) = &self.ahead.shelf
        {
            match shelf.coming(uid).await {
                Ok(coming) => {
                    let fetched = Fetched::from_shelf(coming);
                    return Ok(Body::coming(fetched, &self.resources.bodies, self.key(uid)));
                }
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
        }
        self.body(uid).await
    }

    /// [`Mailbox::beginning`] for an app that may go on to look at the messages behind this one: from the second on,
    /// many beginnings are asked for at once.
    ///
    /// # Errors
    /// As [`Mailbox::beginning`].
    pub async fn look(&mut self, uid: Uid, lines: u32, maildrop: &Maildrop) -> Result<Bytes, UpstreamError> {
        let goes_on = self.ahead.goes_on_looking(uid, maildrop);
        if self.resources.bodies.has(&self.key(uid)) {
            return self.beginning(uid, lines).await;
        }
        // A body that is on its way is waited for: the app may be about to ask for it.
        if let Some(shelf) = self.ahead.shelf.as_ref().filter(|_| self.ahead.has(Kind::Bodies, uid)) {
            match shelf.whole(uid).await {
                Ok(body) => return Ok(cut(&body, lines)),
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
        }
        let looks = goes_on && lines <= FEW && self.ahead.looks;
        let broken = self.account.quirks.has(Quirk::NoPartialFetch);
        let step = Step { uid, goes_on: looks && !broken, maildrop };
        if (self.ahead.has(Kind::Beginnings, uid) || step.goes_on)
            && let Some(beginning) = self.beginning_ahead(&step).await?
        {
            if let Some(cut) = cut_of_beginning(&beginning, lines) {
                return Ok(cut);
            }
            // A session each time would be too dear.
            self.ahead.looks = self.ahead.shelf.as_ref().is_none_or(|shelf| shelf.to_come(None) <= DRAINED);
        }
        self.beginning(uid, lines).await
    }

    async fn beginning_ahead(&mut self, step: &Step<'_>) -> Result<Option<Bytes>, UpstreamError> {
        self.pass(Kind::Beginnings, step.uid).await;
        if let Some(beginning) = self.ahead.take(Kind::Beginnings, step.uid) {
            self.read_on(step);
            return Ok(Some(beginning));
        }
        if !self.reads_ahead(Kind::Beginnings, step).await {
            return Ok(None);
        }
        let Some(shelf) = &self.ahead.shelf else { return Ok(None) };
        match shelf.whole(step.uid).await {
            Ok(beginning) => {
                shelf.take(step.uid);
                Ok(Some(beginning))
            }
            Err(Some(error)) => Err(error),
            Err(None) => Ok(None),
        }
    }

    /// Whether the message is on its way through the window, which is opened for it, or widened, where that is right.
    async fn reads_ahead(&mut self, kind: Kind, step: &Step<'_>) -> bool {
        if self.ahead.window.is_none() && step.goes_on {
            self.open_ahead(kind, step).await;
        }
        let Some(shelf) = self.ahead.open(kind) else { return false };
        let (at, clock) = shelf.heard();
        if shelf.is_over() || !Used(at, clock).is_fresh() {
            return false;
        }
        if shelf.has(step.uid) {
            let near = step.goes_on || shelf.to_come(Some(step.uid)) <= NEAR;
            self.ahead.in_vain(!near);
            if near {
                self.read_on(step);
            }
            return near;
        }
        if shelf.to_come(None) > NEAR {
            self.ahead.in_vain(true);
            return false;
        }
        self.ask_and_read_on(step)
    }

    /// Opens a window as wide as what is left needs and memory allows.
    async fn open_ahead(&mut self, kind: Kind, step: &Step<'_>) {
        let (mut need, mut messages) = (0, 0);
        for (_, told) in step.maildrop.from_uid(step.uid) {
            messages += 1;
            need += Shelf::cost(kind.of(told).min(LARGE));
            if need >= WIDEST {
                break;
            }
        }
        // Nothing follows, or nobody answered lately.
        if messages < 2 || self.line.fresh().is_none() {
            return;
        }
        let Some(lease) = self.resources.ahead.lease(need.min(WIDEST)) else { return };
        let bound = UNIT * lease.num_permits() as u64;
        let shelf = Shelf::new(bound, lease);
        let here = self.ahead.shelf.take().map(|shelf| shelf.clear()).unwrap_or_default();
        if kind == self.ahead.kind {
            for (uid, body) in &here {
                shelf.put(*uid, body.clone());
            }
        }
        self.keep_all(here).await;
        let singly = [Quirk::WrongBody, Quirk::MissingBody].iter().any(|it| self.account.quirks.has(*it));
        let Some(session) = self.line.fresh() else { return };
        let window = session.read_ahead(shelf.clone(), self.uid_validity, kind.part(), singly, self.stall);
        let window = window.await;
        let ahead = &mut self.ahead;
        (ahead.window, ahead.shelf, ahead.kind, ahead.frontier) = (window, Some(shelf), kind, None);
    }

    /// Asks for a message that is not on its way, and for more behind it.
    fn ask_and_read_on(&mut self, step: &Step<'_>) -> bool {
        let ahead = &mut self.ahead;
        let Some(window) = &ahead.window else { return false };
        let Some((uid, told)) = step.maildrop.from_uid(step.uid).next() else { return false };
        ahead.frontier = ahead.frontier.filter(|frontier| step.goes_on && *frontier > uid).or(Some(uid));
        let wanted = (uid, ahead.kind.of(told));
        if wanted.1 <= LARGE && step.goes_on {
            return self.read_on_from(step, vec![wanted]);
        }
        let asked = window.ask(&[wanted]);
        self.read_on(step);
        asked
    }

    fn read_on(&mut self, step: &Step<'_>) {
        self.read_on_from(step, Vec::new());
    }

    /// Asks for a batch, and for as much behind it as there is room for where half of the window was taken.
    fn read_on_from(&mut self, step: &Step<'_>, mut batch: Vec<(Uid, u64)>) -> bool {
        let ahead = &self.ahead;
        let (Some(window), true) = (&ahead.window, step.goes_on) else { return false };
        let taken = batch.iter().fold(0, |sum, (_, octets)| sum + Shelf::cost(*octets));
        let mut room = window.shelf.room().unwrap_or_default().saturating_sub(taken);
        let frontier = ahead.frontier.filter(|frontier| *frontier > step.uid).unwrap_or(step.uid);
        let mut reached = frontier;
        for (uid, told) in step.maildrop.from_uid(frontier).filter(|(uid, _)| *uid > frontier) {
            let octets = ahead.kind.of(told);
            // What is large is asked for when the app wants it, and nothing is asked for past it.
            if octets > LARGE || Shelf::cost(octets) > room {
                break;
            }
            reached = uid;
            if !window.shelf.has(uid) && !self.resources.bodies.has(&self.key(uid)) {
                room -= Shelf::cost(octets);
                batch.push((uid, octets));
            }
        }
        let idle = batch.is_empty() && window.shelf.is_empty();
        let asked = batch.is_empty() || window.ask(&batch);
        if asked {
            self.ahead.frontier = Some(reached);
        }
        if idle {
            // Nothing is left to be read ahead now, and others may need the memory.
            self.stop_ahead();
            self.ahead.shelf = None;
        }
        asked
    }

    /// The app went on to this message: what is before it, and here, is kept in the cache and nowhere else.
    async fn pass(&self, kind: Kind, uid: Uid) {
        let Some(shelf) = self.ahead.shelf.as_ref().filter(|_| self.ahead.kind == kind) else { return };
        self.keep_all(shelf.pass(uid)).await;
    }

    async fn keep_all(&self, here: Vec<(Uid, Bytes)>) {
        if self.ahead.kind == Kind::Bodies {
            for (uid, body) in here {
                self.cache(uid, &body).await;
            }
        }
    }

    async fn cache(&self, uid: Uid, body: &Bytes) {
        if let Some(mut keeper) = self.resources.bodies.keeping(self.key(uid), body.len() as u64) {
            keeper.take(body);
            keeper.complete(unstuffed_octets(body)).await;
        }
    }

    /// Ends the window before anything else is asked: what is on its way is read to its end if that is near, else the
    /// session ends. Bodies that are here stay.
    pub(super) fn stop_ahead(&mut self) {
        let Some(window) = self.ahead.window.take() else { return };
        let (at, clock) = window.shelf.heard();
        self.line.answered(Used(at, clock));
        if window.shelf.is_over() || window.shelf.to_come(None) > DRAINED {
            self.line.leave();
        }
    }

    /// The same for good: bodies that are here go into the cache.
    pub(super) async fn keep_ahead(&mut self) {
        self.stop_ahead();
        if let Some(shelf) = self.ahead.shelf.take() {
            self.keep_all(shelf.clear()).await;
        }
    }
}

impl Ahead {
    /// Notes a RETR; whether the app goes from message to message.
    fn goes_on_retrieving(&mut self, uid: Uid, maildrop: &Maildrop) -> bool {
        self.looked_at = None;
        let last = self.retrieved.replace(uid);
        if last == Some(uid) {
            return false;
        }
        self.gone_on = if follows(last, uid, maildrop) { self.gone_on + 1 } else { 0 };
        self.gone_on >= self.steps
    }

    /// Notes a TOP; the same.
    fn goes_on_looking(&mut self, uid: Uid, maildrop: &Maildrop) -> bool {
        let last = self.looked_at.replace(uid);
        follows(last, uid, maildrop)
    }

    /// A window that was opened in vain makes the next one harder to open.
    fn in_vain(&mut self, vain: bool) {
        if vain {
            self.steps = self.steps.saturating_mul(4);
            self.gone_on = 0;
        }
    }

    /// Whether bodies are on their way.
    pub(super) fn is_coming(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.shelf.to_come(None) > 0)
    }

    /// The shelf of a window that is open.
    fn open(&self, kind: Kind) -> Option<&Shelf> {
        let window = self.window.as_ref().filter(|_| self.kind == kind)?;
        Some(&window.shelf)
    }

    fn has(&self, kind: Kind, uid: Uid) -> bool {
        self.kind == kind && self.shelf.as_ref().is_some_and(|shelf| shelf.has(uid))
    }

    fn take(&self, kind: Kind, uid: Uid) -> Option<Bytes> {
        self.shelf.as_ref().filter(|_| self.kind == kind)?.take(uid)
    }
}

/// Whether the message is the next one behind the last.
fn follows(last: Option<Uid>, uid: Uid, maildrop: &Maildrop) -> bool {
    let Some(last) = last else { return false };
    let next = maildrop.from_uid(last).find(|(next, _)| *next > last);
    next.is_some_and(|(next, _)| next == uid)
}
