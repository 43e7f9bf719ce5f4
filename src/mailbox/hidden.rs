//! What POP3 apps are not shown though it is there: `[account.pop3] delete = "hide"`.
//!
//! ```text
//!  login   all that is listed, less what store::views has hidden
//!  QUIT    SELECT, same UIDVALIDITY ──▶ store::views, on the disk ──▶ the keyword, where upstream keeps keywords ──▶ +OK
//! ```
//!
//! The file decides. The keyword is a hint for when the file knows nothing of the mailbox: upstream has renumbered it (what
//! keeps its unique-id then stays hidden without), or the state folder is lost or another machine's. Then it is searched
//! for until upstream has answered, and what bears it becomes the file; the file says that it was. So it costs no later
//! login anything, and a message that another footbridge hid later is shown here.
//!
//! A keyword is owed until it is known to be set, or never to be kept; the file says so of each. What is owed when a session
//! begins, since a bridge was killed over it, say, is set with what that session hides, or once its app has left.
//!
//! What is hidden is read before the mailbox is listed, so what is not listed of it is gone for ever, and is forgotten with
//! the next change. Where upstream's UIDNEXT does not say that such a UID is never given again, it is forgotten at once: a
//! message that comes with it later is another one. A listing of a mailbox that is watched is older than that: what it does
//! not have may have come, and been hidden, since.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use super::removal::FLIGHT;
use super::{Listing, Mailbox, Message};
use crate::mail::account::Delete;
use crate::mail::{Account, Name, Names, Numbering, Quirk, Uid};
use crate::proto::imap::uid_set::sets;
use crate::store::{Hidden, NotHidden, Runs, Veil, View, Views};
use crate::upstream::UpstreamError;
use crate::upstream::imap::{HIDDEN, Session};

/// What a hint may hold up a QUIT for, in SELECT and in STORE.
const HINT: Duration = Duration::from_secs(10);

/// Messages whose keywords are set beside those that a session hides.
const OWED: usize = 5000;

/// A command line of at most 1000 octets (RFC 2683 §3.2.1.5), less the rest of it.
const LINE: usize = 900;

/// One session's part in it.
#[derive(Debug)]
pub(super) struct Hiding {
    view: View,
    /// What its UIDs are of; `None` where they end with the session and are of no use later (RFC 4315 §3, UIDNOTSTICKY).
    numbering: Option<Numbering>,
    /// Hidden once, and not there any more.
    gone: Runs,
    /// What the file was of when it was read.
    read: Option<Numbering>,
    /// What could not be written into it then.
    unwritten: Option<Veil>,
    /// As far as this session knows, keywords are to be set on these.
    owed: Runs,
    /// On these they are, or need not be, which the file does not say yet.
    settled: Runs,
    /// They were to be set in this session, and could not be.
    tried: bool,
}

/// How upstream stands to keywords.
enum Keywords {
    /// It keeps them, here.
    Kept(Session),
    NotKept,
    /// It does not say now.
    Unknown,
}

impl Hiding {
    /// `None` where DELE does something else: then all is shown.
    pub(super) fn of(account: &Account, views: &Views) -> Option<Self> {
        let view = || views.view(account, &account.pop3.folder);
        (account.pop3.delete == Delete::Hide).then(|| Self {
            view: view(),
            numbering: None,
            gone: Runs::default(),
            read: None,
            unwritten: None,
            owed: Runs::default(),
            settled: Runs::default(),
            tried: false,
        })
    }

    /// What is hidden now.
    pub(super) async fn read(&self) -> Hidden {
        self.view.read().await
    }

    /// On the disk when this returns, with what could not be written before.
    async fn hide(&mut self, numbering: Numbering, uids: Runs) -> Result<(), NotHidden> {
        if let Some(veil) = &self.unwritten {
            self.view.begin(self.read, veil.clone()).await?;
            self.unwritten = None;
        }
        self.view.hide(numbering, uids.clone(), self.gone.clone()).await?;
        self.owed = self.owed.with(&uids);
        Ok(())
    }
}

impl Mailbox {
    /// The whole listing without what is `hidden`, which was read before it, as were the `earlier` names of that; its UIDs
    /// outlive the session. Nothing is gone for its sake if it was not `asked` for since.
    pub(super) async fn not_hidden(
        &mut self,
        mut listing: Listing,
        (hidden, earlier): (Hidden, Option<Names>),
        (asked, uid_next): (bool, Option<Uid>),
    ) -> Result<Listing, UpstreamError> {
        let Some(hiding) = &mut self.hiding else { return Ok(listing) };
        let now = listing.names.now();
        hiding.numbering = Some(now);
        let known = match &hidden {
            Hidden::Unknown => return Ok(listing),
            Hidden::These(veil) => Some(veil.numbering),
            Hidden::Nothing => None,
        };
        hiding.read = known;
        let renumbered = known.is_some_and(|was| was != now);
        let mut veil = match hidden {
            Hidden::These(veil) if !renumbered => veil,
            _ if listing.messages.is_empty() => return Ok(listing),
            Hidden::These(was) => {
                let hidden = known_again(&was, earlier, &listing);
                let veil = Veil { hidden, ..Veil::new(now) };
                // What upstream is asked next may be the last that is heard of it.
                if !veil.hidden.is_empty() {
                    self.begin(&veil).await;
                }
                let (before, again) = (was.hidden.count(), veil.hidden.count());
                warn!(
                    "{}: the provider has renumbered the mailbox {}: {before} messages were hidden, {again} are known \
                     again and still are, as are those with the keyword {HIDDEN}; any others are shown",
                    self.account.address, self.folder
                );
                veil
            }
            _ => Veil::new(now),
        };
        if !veil.asked
            && !listing.messages.is_empty()
            && let Some((hints, owed)) = self.hints(&listing.messages, &veil.hidden).await?
        {
            let others = hints.without(&veil.hidden);
            if !others.is_empty() && !renumbered {
                warn!(
                    "{}: {} messages in {} bear the keyword {HIDDEN} of another state folder, and are not shown here \
                     either",
                    self.account.address,
                    others.count(),
                    self.folder
                );
            }
            veil = Veil { hidden: veil.hidden.with(&hints), owed, asked: true, ..veil };
            self.begin(&veil).await;
        }
        if asked {
            self.forget_gone(&veil.hidden, &listing, uid_next).await;
        }
        if let Some(hiding) = &mut self.hiding {
            hiding.owed = veil.owed.without(&hiding.gone);
        }
        listing.messages.retain(|message| !veil.hidden.has(message.uid));
        listing.messages.shrink_to_fit();
        debug!(hidden = veil.hidden.count(), "what is hidden is not shown");
        Ok(listing)
    }

    /// Writes what came to light at the login; what cannot be written is, at the latest, with what this session hides.
    async fn begin(&mut self, veil: &Veil) {
        let Some(hiding) = &mut self.hiding else { return };
        let written = hiding.view.begin(hiding.read, veil.clone()).await;
        if let Err(error) = &written {
            warn!("{error}; until then what is hidden is looked up at each login");
        }
        hiding.unwritten = written.is_err().then(|| veil.clone());
    }

    async fn forget_gone(&mut self, hidden: &Runs, listing: &Listing, uid_next: Option<Uid>) {
        // What such a server does not list may come back when other mail has gone.
        let proves = !self.account.quirks.has(Quirk::FolderCap);
        let Some(hiding) = self.hiding.as_mut().filter(|_| proves && !hidden.is_empty()) else { return };
        hiding.gone = hidden.without(&listing.messages.iter().map(|message| message.uid).collect());
        let never_again = hiding.gone.last().is_none_or(|last| uid_next.is_some_and(|next| last < next));
        if !never_again
            && let Some(numbering) = hiding.numbering
            && let Err(error) = hiding.view.forget(numbering, hiding.gone.clone()).await
        {
            debug!(%error, "what is gone is still among what is hidden");
        }
    }

    /// What of these bears the keyword, and what of `hidden` lacks it, none where upstream cannot tell; `None` where it does
    /// not tell now.
    async fn hints(
        &mut self,
        messages: &[Message],
        hidden: &Runs,
    ) -> Result<Option<(Runs, Runs)>, UpstreamError> {
        match self.search(messages, &format!("KEYWORD {HIDDEN}")).await {
            Ok(found) => {
                let hints: Runs = found.into_iter().collect();
                let owed = hidden.without(&hints);
                Ok(Some((hints, owed)))
            }
            Err(UpstreamError::CannotSearch { text }) => {
                debug!(text, "the provider does not search for keywords");
                Ok(Some(Default::default()))
            }
            Err(UpstreamError::Refused { text, .. }) => {
                debug!(text, "the provider does not search for keywords now");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Hides these from now on. On the disk when this returns; a hint that upstream does not take is no fault.
    ///
    /// # Errors
    /// Nothing is hidden.
    pub(super) async fn hide(&mut self, uids: &[Uid]) -> Result<(), UpstreamError> {
        self.stop_ahead();
        // By what its messages would be known again: whoever is hidden here is not retrieved once more.
        let learnt = self.page.write_learnt();
        let (keywords, ()) = tokio::join!(self.select_for_hints(), learnt);
        let keywords = keywords?;
        let hidden = self.hide_here(uids).await;
        match (&hidden, keywords) {
            (Err(_), Keywords::Kept(session)) => self.line.changed(session, self.uid_validity),
            (Err(_), _) => {}
            (Ok(()), keywords) => self.set_hints(keywords, uids).await,
        }
        hidden
    }

    /// The app has left: sets what is owed since an earlier session, and notes what is settled.
    pub(super) async fn settle_hints(&mut self) {
        if self.owes().await {
            if let Ok(keywords) = self.select_for_hints().await {
                self.set_hints(keywords, &[]).await;
            }
            if let Some(hiding) = &self.hiding {
                hiding.view.set_in_vain(hiding.tried);
            }
        }
        self.note_settled().await;
    }

    /// Whether anything is owed, as the file says by now: the session before may have settled it since.
    async fn owes(&mut self) -> bool {
        let Some(hiding) = &mut self.hiding else { return false };
        if hiding.owed.is_empty() || hiding.tried || hiding.view.is_in_vain() {
            return false;
        }
        hiding.owed = match hiding.read().await {
            Hidden::These(veil) if Some(veil.numbering) == hiding.numbering => veil.owed,
            _ => Runs::default(),
        };
        !hiding.owed.is_empty()
    }

    /// Notes what is settled.
    pub(super) async fn note_settled(&mut self) {
        let Some(hiding) = &mut self.hiding else { return };
        let settled = std::mem::take(&mut hiding.settled);
        if !settled.is_empty()
            && let Some(numbering) = hiding.numbering
            && let Err(error) = hiding.view.settle(numbering, settled).await
        {
            debug!(%error, "keywords that are set are still owed");
        }
    }

    /// Sets the keyword on these and on what is owed besides, where upstream keeps it.
    async fn set_hints(&mut self, keywords: Keywords, uids: &[Uid]) {
        let Some(hiding) = &mut self.hiding else { return };
        let session = match keywords {
            Keywords::Kept(session) => session,
            Keywords::NotKept => return hiding.settled = std::mem::take(&mut hiding.owed),
            Keywords::Unknown => return hiding.tried = true,
        };
        let due: Vec<Uid> = uids.iter().copied().chain(hiding.owed.uids().take(OWED)).collect();
        match timeout(HINT, leave_hints(&session, &due)).await {
            Ok(Ok(())) => {
                hiding.settled = due.into_iter().collect();
                hiding.owed = hiding.owed.without(&hiding.settled);
                hiding.view.set_in_vain(false);
            }
            Ok(Err(error)) => {
                debug!(%error, "the keyword {HIDDEN} is not kept at the provider");
                hiding.tried = true;
            }
            Err(_) => return hiding.tried = true, // In the middle of a command: not to be used any more.
        }
        self.line.changed(session, self.uid_validity);
    }

    async fn hide_here(&mut self, uids: &[Uid]) -> Result<(), UpstreamError> {
        let Some(hiding) = &mut self.hiding else { return Ok(()) };
        let Some(numbering) = hiding.numbering else {
            let text = "the provider's numbers of messages end with each session".to_owned();
            return Err(UpstreamError::NotHidden { text });
        };
        let hidden = hiding.hide(numbering, uids.iter().copied().collect()).await;
        hidden.map_err(|error| UpstreamError::NotHidden { text: error.to_string() })
    }

    /// A session in which the keyword can be set, if it is to be had at once.
    ///
    /// # Errors
    /// Only that the mailbox was renumbered.
    async fn select_for_hints(&mut self) -> Result<Keywords, UpstreamError> {
        let Some(session) = self.line.take().await else { return Ok(Keywords::Unknown) };
        let selected = match timeout(HINT, session.open("SELECT", &self.folder)).await {
            Ok(Ok(selected)) => selected,
            Ok(Err(error)) => {
                debug!(%error, "no keyword is set at the provider");
                return Ok(Keywords::Unknown);
            }
            Err(_) => return Ok(Keywords::Unknown),
        };
        if let Err(error) = self.line.same(selected.uid_validity) {
            self.line.changed(session, self.uid_validity);
            return Err(error);
        }
        if selected.may_hide && !selected.read_only {
            return Ok(Keywords::Kept(session));
        }
        self.line.changed(session, self.uid_validity);
        Ok(Keywords::NotKept)
    }
}

/// What is certainly the same as a message that was hidden, under its `earlier` name: it keeps its unique-id, too.
fn known_again(was: &Veil, earlier: Option<Names>, listing: &Listing) -> Runs {
    let earlier = earlier.filter(|names| names.now() == was.numbering);
    let earlier = earlier.unwrap_or_else(|| Names::own(was.numbering));
    let hidden = &was.hidden;
    let older = earlier.older().iter().filter(|(uid, _)| hidden.has(*uid));
    let older: HashSet<Name> = older.map(|(_, name)| *name).collect();
    let uids = listing.messages.iter().map(|message| message.uid);
    let same = uids.filter(|uid| {
        let name = listing.names.of(*uid);
        older.contains(&name) || (hidden.has(name.uid) && earlier.of(name.uid) == name)
    });
    same.collect()
}

async fn leave_hints(session: &Session, uids: &[Uid]) -> Result<(), UpstreamError> {
    let store = |set: &String| ("STORE", format!("UID STORE {set} +FLAGS.SILENT ({HIDDEN})"));
    for flight in sets(uids, LINE, usize::MAX).chunks(FLIGHT) {
        for answer in session.flight(flight.iter().map(store).collect()).await? {
            answer?;
        }
    }
    Ok(())
}
