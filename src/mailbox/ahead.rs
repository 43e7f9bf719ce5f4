//! What an app that goes from message to message will ask for next, asked for before it does.
//!
//! ```text
//!  RETR 1   UID FETCH 11                    by itself: nobody knows yet what the app is about
//!  RETR 2   UID FETCH 12:75, 76:139, ...    it goes on: all that the window holds, in one flight
//!  RETR 3   from the shelf                  and so on; where half of the window is taken, more is asked for
//!
//!  RETR 9   UID FETCH 19                    the newest first: the same, but that sets are answered upwards, and so
//!  RETR 8   UID FETCH 18, 17, 16, ...       each is asked for by itself, in one flight
//! ```
//!
//! The window is as wide as it gets from the first: opened by doubling, it would cost an app that stays to the end a round
//! trip for each doubling, more than all the rest of a session. What that costs for an app that leaves is no more than
//! came in the meantime: who leaves, or asks for something else, ends the window, and with it the session where much
//! is still on its way.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::beginning::{FIRST, cut, cut_of_beginning, cut_of_header};
use super::line::is_fresh;
use super::{Body, Mailbox};
use crate::mail::{Quirk, Uid};
use crate::proto::dot::unstuffed_octets;
use crate::proto::pop3::Maildrop;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{DRAINED, Fetched, LARGE, Part, Shelf, Way, Window};

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
    /// Which way it went.
    way: Option<Way>,
    /// A message was refused together with all that were asked for with it: each is asked for by itself since.
    singly: bool,
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
    Headers,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            retrieved: None,
            looked_at: None,
            looks: true,
            steps: 1,
            gone_on: 0,
            way: None,
            singly: false,
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
            Kind::Headers => Part::Header,
        }
    }

    /// What of a message of so many octets is asked for.
    fn of(self, told: u64) -> u64 {
        match self {
            Kind::Bodies => told,
            Kind::Beginnings | Kind::Headers => told.min(FIRST),
        }
    }

    /// What TOP of so many lines is given.
    fn cut(self, octets: &Bytes, lines: u32) -> Option<Bytes> {
        match self {
            Kind::Bodies => Some(cut(octets, lines)),
            Kind::Beginnings => cut_of_beginning(octets, lines),
            Kind::Headers => cut_of_header(octets),
        }
    }
}

/// A message the app asks for, and what may follow it.
struct Step<'a> {
    uid: Uid,
    /// Which way the app goes from message to message, if it does.
    goes_on: Option<Way>,
    maildrop: &'a Maildrop,
}

/// The messages of `maildrop` from `uid` on, the way an app goes.
fn onward(maildrop: &Maildrop, way: Way, uid: Uid) -> impl Iterator<Item = (Uid, u64)> {
    let up = (way == Way::Up).then(|| maildrop.from_uid(uid));
    let down = (way == Way::Down).then(|| maildrop.down_from_uid(uid));
    up.into_iter().flatten().chain(down.into_iter().flatten())
}

impl Mailbox {
    /// [`Mailbox::body`] for an app that may go on to the messages behind this one in `maildrop`: from the second on,
    /// what it will ask for next is asked for with it.
    ///
    /// # Errors
    /// As [`Mailbox::body`].
    pub async fn retrieve(&mut self, uid: Uid, maildrop: &Maildrop) -> Result<Body, UpstreamError> {
        let goes_on = self.ahead.goes_on_retrieving(uid, maildrop);
        let step = Step { uid, goes_on: self.turned(goes_on), maildrop };
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
                    return Ok(self.coming(uid, fetched));
                }
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
        }
        self.body(uid).await
    }

    /// [`Mailbox::beginning`] for an app that may go on to look at the messages behind this one: from the second on,
    /// many beginnings are asked for at once; where partial fetches are broken, headers, or with lines of the body whole
    /// messages.
    ///
    /// # Errors
    /// As [`Mailbox::beginning`].
    pub async fn look(&mut self, uid: Uid, lines: u32, maildrop: &Maildrop) -> Result<Bytes, UpstreamError> {
        let goes_on = self.ahead.goes_on_looking(uid, maildrop);
        if self.resources.bodies.has(&self.key(uid)) {
            return self.beginning(uid, lines).await;
        }
        let kind = match lines {
            _ if !self.account.quirks.has(Quirk::NoPartialFetch) => Kind::Beginnings,
            0 => Kind::Headers,
            _ => Kind::Bodies,
        };
        // A body that is on its way is waited for: the app may be about to ask for it.
        if let Some(shelf) = &self.ahead.shelf
            && kind != Kind::Bodies
            && self.ahead.has(Kind::Bodies, uid)
        {
            match shelf.whole(uid).await {
                Ok(body) => return Ok(cut(&body, lines)),
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
        }
        let looks = lines <= FEW && self.ahead.looks;
        let step = Step { uid, goes_on: self.turned(goes_on.filter(|_| looks)), maildrop };
        if (self.ahead.has(kind, uid) || step.goes_on.is_some())
            && let Some(beginning) = self.beginning_ahead(kind, &step).await?
        {
            if let Some(cut) = kind.cut(&beginning, lines) {
                return Ok(cut);
            }
            // A session each time would be too dear.
            self.ahead.looks = self.ahead.shelf.as_ref().is_none_or(|shelf| shelf.to_come(None) <= DRAINED);
        }
        self.beginning(uid, lines).await
    }

    async fn beginning_ahead(&mut self, kind: Kind, step: &Step<'_>) -> Result<Option<Bytes>, UpstreamError> {
        self.pass(kind, step.uid).await;
        if let Some(beginning) = self.ahead.take(kind, step.uid) {
            self.read_on(step);
            return Ok(Some(self.looked_at(kind, step.uid, beginning).await));
        }
        // One that is large is looked at no further than needed.
        let told = step.maildrop.from_uid(step.uid).next().map_or(0, |(_, told)| told);
        if kind.of(told) > LARGE || !self.reads_ahead(kind, step).await {
            return Ok(None);
        }
        let Some(shelf) = &self.ahead.shelf else { return Ok(None) };
        match shelf.whole(step.uid).await {
            Ok(beginning) => {
                shelf.take(step.uid);
                Ok(Some(self.looked_at(kind, step.uid, beginning).await))
            }
            Err(Some(error)) => Err(error),
            Err(None) => Ok(None),
        }
    }

    /// A whole message that was fetched for a look at its beginning may be asked for next.
    async fn looked_at(&self, kind: Kind, uid: Uid, octets: Bytes) -> Bytes {
        if kind == Kind::Bodies {
            self.cache(uid, &octets).await;
        }
        octets
    }

    /// Whether the message is on its way through the window, which is opened for it, or widened, where that is right.
    async fn reads_ahead(&mut self, kind: Kind, step: &Step<'_>) -> bool {
        if self.ahead.window.is_none()
            && let Some(way) = step.goes_on
        {
            self.open_ahead(kind, step, way).await;
        }
        let Some(shelf) = self.ahead.open(kind) else { return false };
        if shelf.is_over() || !is_fresh(shelf.heard()) {
            return false;
        }
        if shelf.has(step.uid) {
            let near = step.goes_on.is_some() || shelf.to_come(Some(step.uid)) <= NEAR;
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
    async fn open_ahead(&mut self, kind: Kind, step: &Step<'_>, way: Way) {
        let (mut need, mut messages) = (0, 0);
        for (_, told) in onward(step.maildrop, way, step.uid) {
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
        let shelf = Shelf::new(bound, way, lease);
        let here = self.ahead.shelf.take().map(|shelf| shelf.clear()).unwrap_or_default();
        if kind == self.ahead.kind {
            for (uid, body) in &here {
                shelf.put(*uid, body.clone());
            }
        }
        self.keep_all(here).await;
        let singly = self.ahead.singly
            || way == Way::Down
            || [Quirk::WrongBody, Quirk::MissingBody].iter().any(|it| self.account.quirks.has(*it));
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
        let past = |frontier: &Uid| step.goes_on.is_some_and(|way| way.is_past(*frontier, uid));
        ahead.frontier = ahead.frontier.filter(past).or(Some(uid));
        let wanted = (uid, ahead.kind.of(told));
        if wanted.1 <= LARGE && step.goes_on.is_some() {
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
        let (Some(window), Some(way)) = (&ahead.window, step.goes_on) else { return false };
        let taken = batch.iter().fold(0, |sum, (_, octets)| sum + Shelf::cost(*octets));
        let mut room = window.shelf.room().unwrap_or_default().saturating_sub(taken);
        let frontier = ahead.frontier.filter(|frontier| way.is_past(*frontier, step.uid)).unwrap_or(step.uid);
        let mut reached = frontier;
        let behind = onward(step.maildrop, way, frontier).filter(|(uid, _)| way.is_past(*uid, frontier));
        for (uid, told) in behind {
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

    /// Which way the app goes on, where the window goes the same way or could be closed for it at no cost.
    fn turned(&mut self, goes_on: Option<Way>) -> Option<Way> {
        let way = goes_on?;
        if let Some(window) = self.ahead.window.as_ref().filter(|window| window.shelf.way() != way) {
            if window.shelf.to_come(None) > DRAINED {
                return None;
            }
            self.stop_ahead();
        }
        Some(way)
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
        let octets = body.len() as u64;
        if !self.is_doubtful(uid, octets)
            && let Some(mut keeper) = self.resources.bodies.keeping(self.key(uid), octets)
        {
            keeper.take(body);
            keeper.complete(unstuffed_octets(body)).await;
        }
    }

    /// Ends the window before anything else is asked: what is on its way is read to its end if that is near, else the
    /// session ends. Bodies that are here stay.
    pub(super) fn stop_ahead(&mut self) {
        let Some(window) = self.ahead.window.take() else { return };
        self.line.answered(window.shelf.heard());
        self.ahead.singly |= window.shelf.was_refused();
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
    /// Notes a RETR; which way the app goes from message to message, if it does.
    fn goes_on_retrieving(&mut self, uid: Uid, maildrop: &Maildrop) -> Option<Way> {
        self.looked_at = None;
        let last = self.retrieved.replace(uid)?;
        if last == uid {
            return None;
        }
        let way = way(last, uid, maildrop);
        self.gone_on = match way {
            Some(_) if way == self.way => self.gone_on + 1,
            Some(_) => 1,
            None => 0,
        };
        self.way = way;
        way.filter(|_| self.gone_on >= self.steps)
    }

    /// Notes a TOP; the same.
    fn goes_on_looking(&mut self, uid: Uid, maildrop: &Maildrop) -> Option<Way> {
        let last = self.looked_at.replace(uid)?;
        way(last, uid, maildrop)
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

/// Which way the message is the next one behind the last.
fn way(last: Uid, uid: Uid, maildrop: &Maildrop) -> Option<Way> {
    [Way::Up, Way::Down].into_iter().find(|way| {
        let next = onward(maildrop, *way, last).find(|(next, _)| *next != last);
        next.is_some_and(|(next, _)| next == uid)
    })
}
