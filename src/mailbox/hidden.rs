//! What POP3 apps are not shown though it is there: `[account.pop3] delete = "hide"`.
//!
//! ```text
//!  login   all that is listed, less what store::views has hidden
//!  QUIT    SELECT, same UIDVALIDITY ──▶ store::views, on the disk ──▶ the keyword, where upstream keeps keywords ──▶ +OK
//! ```
//!
//! The file decides. The keyword is a hint for when the file knows nothing of the mailbox: upstream has renumbered it (what
//! keeps its unique-id then stays hidden without), or the state folder is lost or another machine's. Then, once, it is searched for, and what bears it becomes the file. So
//! it costs no later login anything, and a message that another footbridge hid later is shown here.
//!
//! What is hidden is read before the mailbox is listed, so what is not listed of it is gone for ever, and is forgotten with
//! the next change. Where upstream's UIDNEXT does not say that such a UID is never given again, it is forgotten at once: a
//! message that comes with it later is another one.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use super::removal::FLIGHT;
use super::{Listing, Mailbox, Message};
use crate::mail::account::Delete;
use crate::mail::{Account, Name, Names, Quirk, Uid};
use crate::proto::imap::uid_set::sets;
use crate::store::{Hidden, Runs, View, Views};
use crate::upstream::UpstreamError;
use crate::upstream::imap::{HIDDEN, Session};

/// What a hint may hold up a QUIT for, in SELECT and in STORE.
const HINT: Duration = Duration::from_secs(10);

/// A command line of at most 1000 octets (RFC 2683 §3.2.1.5), less the rest of it.
const LINE: usize = 900;

/// One session's part in it.
#[derive(Debug)]
pub(super) struct Hiding {
    view: View,
    /// Hidden once, and not there any more.
    gone: Runs,
    /// UIDs that end with the session are of no use later (RFC 4315 §3, UIDNOTSTICKY).
    lasting: bool,
}

impl Hiding {
    /// `None` where DELE does something else: then all is shown.
    pub(super) fn of(account: &Account, views: &Views) -> Option<Self> {
        let view = || views.view(account, &account.pop3.folder);
        (account.pop3.delete == Delete::Hide).then(|| Self {
            view: view(),
            gone: Runs::default(),
            lasting: false,
        })
    }

    /// What is hidden now.
    pub(super) async fn read(&self) -> Hidden {
        self.view.read().await
    }
}

impl Mailbox {
    /// The whole listing without what is `hidden`, which was read before it, as were the `earlier` names of that; its UIDs
    /// outlive the session.
    pub(super) async fn not_hidden(
        &mut self,
        mut listing: Listing,
        (hidden, earlier): (Hidden, Option<Names>),
        uid_next: Option<Uid>,
    ) -> Result<Listing, UpstreamError> {
        let Some(hiding) = &mut self.hiding else { return Ok(listing) };
        hiding.lasting = true;
        let view = hiding.view.clone();
        let hidden = match hidden {
            Hidden::Unknown => return Ok(listing),
            Hidden::These(uid_validity, hidden) if uid_validity == self.uid_validity => hidden,
            _ if listing.messages.is_empty() => return Ok(listing),
            before => {
                let mut hints = self.hints(&listing.messages).await?;
                if let (Hidden::These(_, before), Some(earlier)) = (&before, &earlier) {
                    hints = hints.with(&known_again(before, earlier, &listing));
                    let (before, again) = (before.count(), hints.count());
                    warn!(
                        "{}: the provider has renumbered the mailbox {}: {before} messages were hidden, {again} are \
                         known again and still are; any others are shown",
                        self.account.address, self.folder
                    );
                } else if !hints.is_empty() {
                    warn!(
                        "{}: {} messages in {} bear the keyword {HIDDEN} of another state folder, and are not shown \
                         here either",
                        self.account.address,
                        hints.count(),
                        self.folder
                    );
                }
                if let Err(error) = view.begin(self.uid_validity, hints.clone()).await {
                    warn!("{error}; until then what is hidden is looked up at each login");
                }
                hints
            }
        };
        self.forget_gone(&hidden, &listing, uid_next).await;
        listing.messages.retain(|message| !hidden.has(message.uid));
        listing.messages.shrink_to_fit();
        debug!(hidden = hidden.count(), "what is hidden is not shown");
        Ok(listing)
    }

    async fn forget_gone(&mut self, hidden: &Runs, listing: &Listing, uid_next: Option<Uid>) {
        // What such a server does not list may come back when other mail has gone.
        let proves = !self.account.quirks.has(Quirk::FolderCap);
        let Some(hiding) = self.hiding.as_mut().filter(|_| proves && !hidden.is_empty()) else { return };
        hiding.gone = hidden.without(&listing.messages.iter().map(|message| message.uid).collect());
        let never_again = hiding.gone.last().is_none_or(|last| uid_next.is_some_and(|next| last < next));
        if !never_again && let Err(error) = hiding.view.forget(self.uid_validity, hiding.gone.clone()).await {
            debug!(%error, "what is gone is still among what is hidden");
        }
    }

    /// What of these bears the keyword.
    async fn hints(&mut self, messages: &[Message]) -> Result<Runs, UpstreamError> {
        match self.search(messages, &format!("KEYWORD {HIDDEN}")).await {
            Ok(found) => Ok(found.into_iter().collect()),
            Err(UpstreamError::Refused { text, .. }) => {
                debug!(text, "the provider does not search for keywords");
                Ok(Runs::default())
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
        let session = self.select_for_hints().await?;
        let hidden = self.hide_here(uids).await;
        let Some(session) = session else { return hidden };
        if hidden.is_ok() {
            match timeout(HINT, leave_hints(&session, uids)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "the keyword {HIDDEN} is not kept at the provider"),
                Err(_) => return hidden, // In the middle of a command: not to be used any more.
            }
        }
        self.line.changed(session, self.uid_validity);
        hidden
    }

    async fn hide_here(&self, uids: &[Uid]) -> Result<(), UpstreamError> {
        let Some(hiding) = &self.hiding else { return Ok(()) };
        if !hiding.lasting {
            let text = "the provider's numbers of messages end with each session".to_owned();
            return Err(UpstreamError::NotHidden { text });
        }
        let hidden = hiding.view.hide(self.uid_validity, uids, hiding.gone.clone()).await;
        hidden.map_err(|error| UpstreamError::NotHidden { text: error.to_string() })
    }

    /// A session in which the keyword can be set, if it is to be had at once.
    ///
    /// # Errors
    /// Only that the mailbox was renumbered.
    async fn select_for_hints(&mut self) -> Result<Option<Session>, UpstreamError> {
        let Some(session) = self.line.take().await else { return Ok(None) };
        let selected = match timeout(HINT, session.open("SELECT", &self.folder)).await {
            Ok(Ok(selected)) => selected,
            Ok(Err(error)) => {
                debug!(%error, "no keyword is set at the provider");
                return Ok(None);
            }
            Err(_) => return Ok(None),
        };
        if let Err(error) = self.line.same(selected.uid_validity) {
            self.line.changed(session, self.uid_validity);
            return Err(error);
        }
        if selected.may_hide && !selected.read_only {
            return Ok(Some(session));
        }
        self.line.changed(session, self.uid_validity);
        Ok(None)
    }
}

/// What is certainly the same as a message that was `hidden` under its `earlier` name: it keeps its unique-id, too.
fn known_again(hidden: &Runs, earlier: &Names, listing: &Listing) -> Runs {
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
