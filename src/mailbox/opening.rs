//! From a login to an open mailbox and what is in it.
//!
//! ```text
//!  login ──nothing is held for it──▶ connect, log in, list ──▶ Open
//!    └──a session is──┬─ in another folder ──────────▶ list ──▶ Open
//!                     └─ in this folder ──▶ Coming ··▶ list ··▶ open, where upstream has it still
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::ahead::Ahead;
use super::held::{Claim, InUse, Left};
use super::hidden::Hiding;
use super::line::{self, Dial, Line};
use super::names::{self, Earlier};
use super::{Held, Listing, Mailbox, Resources, listing};
use crate::auth::{Credentials, Proof};
use crate::mail::Account;
use crate::net::Connector;
use crate::store::Hidden;
use crate::upstream::UpstreamError;
use crate::upstream::imap::WeakSession;

/// What a login comes to that is good.
#[derive(Debug)]
pub enum Opening<M = Mailbox, C = Coming> {
    /// Upstream has said so just now, and what is in the mailbox.
    Open(M, Listing),
    /// Upstream took the same login before, over a session that was held since and has this very folder open. What is in it
    /// now, and whether it is there at all, is yet to be heard.
    Coming(C),
}

/// A mailbox on its way, over the session that was held or, where that is of no use any more, over a fresh one. Dropping
/// it ends the session.
pub struct Coming {
    arrival: BoxFuture<'static, Result<(Mailbox, Listing), UpstreamError>>,
    /// The one that was held, while it is used.
    session: WeakSession,
    held: Held,
    account: Arc<Account>,
    claim: Claim,
}

impl Opening {
    /// Waits for one that is on its way.
    ///
    /// # Errors
    /// Those of [`Coming::arrival`].
    pub async fn listed(self) -> Result<(Mailbox, Listing), UpstreamError> {
        match self {
            Self::Open(mailbox, listing) => Ok((mailbox, listing)),
            Self::Coming(coming) => coming.arrival.await,
        }
    }
}

impl Coming {
    /// The mailbox: it is on its way only as long as this is polled. Cancel-safe; once it is there, or does not come, the
    /// rest of it is to be dropped.
    ///
    /// # Errors
    /// All that a login may come to.
    pub async fn arrival(&mut self) -> Result<(Mailbox, Listing), UpstreamError> {
        self.arrival.as_mut().await
    }

    /// The app has left before it came. Its session is held for the next login, which waits for what it is in the middle of;
    /// a fresh one that was to take its place is ended.
    pub async fn leave(self) {
        let Self { arrival, session, held, account, claim } = self;
        let session = session.upgrade();
        drop(arrival);
        if let Some(session) = session {
            let left = Left { session, folder: None, changed: false, news: 0 };
            held.enter(&account).leave(left, Some(&claim)).await;
        }
    }
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coming").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Mailbox {
    /// Logs in, examines the mailbox (read-only until [`Mailbox::update`]) and lists it in one stream.
    ///
    /// With a `proof`, over a session that an earlier login left behind, where there is one and this login may have it.
    pub async fn open(
        connector: Connector,
        account: Arc<Account>,
        credentials: Credentials,
        proof: Option<Proof>,
        resources: Resources,
    ) -> Result<Opening, UpstreamError> {
        let stall = connector.deadlines().app_stall;
        let claim = proof.map(|proof| Claim::new(&account, proof, connector.deadlines()));
        let (backoff, meter) = (resources.backoffs.of(&account), resources.meters.of(&account));
        let dial = line::provider(connector, account.clone(), credentials, backoff, meter);
        Self::open_by(dial, account, resources, stall, claim).await
    }

    pub(super) async fn open_by(
        dial: Dial,
        account: Arc<Account>,
        resources: Resources,
        stall: Duration,
        claim: Option<Claim>,
    ) -> Result<Opening, UpstreamError> {
        // What is held stays so.
        resources.backoffs.of(&account).allows()?;
        let in_use = resources.held.enter(&account);
        let left = match &claim {
            Some(claim) => in_use.take(claim).await,
            None => None,
        };
        let login = Login { dial, account, resources, stall, claim, in_use };
        match (left, &login.claim) {
            (Some(left), Some(claim)) if left.folder.as_deref() == Some(&*login.account.pop3.folder) => {
                let (account, claim) = (login.account.clone(), claim.clone());
                let (session, held) = (left.session.downgrade(), login.resources.held.clone());
                let arrival = Box::pin(login.list(Some(left)));
                Ok(Opening::Coming(Coming { arrival, session, held, account, claim }))
            }
            (left, _) => {
                let (mailbox, listing) = login.list(left).await?;
                Ok(Opening::Open(mailbox, listing))
            }
        }
    }

    /// With the exact sizes of the bodies that are in memory.
    fn with_sizes_of_bodies(&self, mut listing: Listing) -> Listing {
        let exact = self.resources.bodies.pop3_octets(&self.whose, &self.folder, self.uid_validity);
        for message in &mut listing.messages {
            message.octets =
                exact.get(&(message.uid, self.told(message.uid))).copied().unwrap_or(message.octets);
        }
        listing
    }
}

/// A login that is all but done.
struct Login {
    dial: Dial,
    account: Arc<Account>,
    resources: Resources,
    stall: Duration,
    claim: Option<Claim>,
    in_use: InUse,
}

impl Login {
    /// The flight that opens and lists the mailbox, over the session that was `left` if there is one.
    async fn list(self, mut left: Option<Left>) -> Result<(Mailbox, Listing), UpstreamError> {
        let Self { dial, account, resources, stall, claim, in_use } = self;
        let folder = account.pop3.folder.clone();
        let mut page = resources.ledger.page(&account, &folder);
        let renamed = resources.carried.mailbox(&account, &folder);
        let hiding = Hiding::of(&account, &resources.views);
        let mut line = Line::new(dial, folder.clone());
        let heard = left.as_ref().map_or(0, |left| left.news);
        let (session, mut examined, earlier, hidden) = loop {
            let held = left.is_some();
            let latest = left.as_ref().is_some_and(|left| in_use.is_latest(left.news));
            let session = async {
                match left.take() {
                    Some(left) => Ok(left.session),
                    None => line.dial().await,
                }
            };
            // What is hidden is older than the listing then: what is not listed of it is gone.
            let hidden = async {
                match &hiding {
                    Some(hiding) => Some(hiding.read().await),
                    None => None,
                }
            };
            let (session, known, kept, hidden) = tokio::join!(session, page.read(), renamed.read(), hidden);
            let session = session?;
            let was = known.as_ref().map(|known| known.uid_validity);
            match session.list(&folder, known, latest).await {
                Ok(examined) => break (session, examined, Earlier { was, kept, renamed }, hidden),
                Err(error) if !held || matches!(error, UpstreamError::Unavailable { .. }) => {
                    return Err(error);
                }
                // Silent, broken, or of a login that counts no longer: a fresh one knows.
                Err(error) => tracing::debug!(%error, "a session that was held is of no use"),
            }
        };
        let news = if examined.asked { in_use.news() } else { heard };
        let (uid_validity, lasting, asked) = (examined.listed.uid_validity, examined.lasting, examined.asked);
        let uid_next = examined.listed.uid_next;
        let learns = lasting && examined.identities.is_none();
        // Before the renumbering that the names tell of.
        let hidden = hidden.map(|hidden| {
            let was = match &hidden {
                Hidden::These(veil) => Some(veil.numbering.uid_validity).filter(|was| *was != uid_validity),
                Hidden::Nothing | Hidden::Unknown => None,
            };
            (hidden, was.map(|was| earlier.kept.names_under(was)))
        });
        let mut session = Some(session);
        let names = earlier.names(&mut examined, &mut session, &page).await;
        line.opened(session, uid_validity);
        let (listing, told) = listing::listing(examined, names, &page);
        let mut mailbox = Mailbox {
            line,
            whose: names::whose(&account, &listing.names).into(),
            folder: folder.into(),
            uid_validity,
            told,
            doubt: None,
            page,
            learns,
            stall,
            hiding,
            plan: None,
            ahead: Ahead::default(),
            claim,
            news,
            in_use,
            account,
            resources,
        };
        let listing = mailbox.with_sizes_of_bodies(listing);
        let listing = match hidden {
            Some(hidden) if lasting => mailbox.not_hidden(listing, hidden, (asked, uid_next)).await?,
            _ => listing,
        };
        let listing = mailbox.recent(listing).await?;
        Ok((mailbox, listing))
    }
}
