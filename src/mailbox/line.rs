//! The line to upstream: an upstream session of one mailbox, replaced when it is lost.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::auth::Credentials;
use crate::mail::{Account, Moment, UidValidity};
use crate::net::Connector;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Backoff, Meter, Session};

/// A session on its way.
type Dialling = Pin<Box<dyn Future<Output = Result<Session, UpstreamError>> + Send>>;

/// What a session is asked, until the answer.
pub(super) type Asking<'s, T> = Pin<Box<dyn Future<Output = Result<T, UpstreamError>> + Send + 's>>;

/// Makes sessions; a seam for tests.
pub(super) type Dial = Arc<dyn Fn() -> Dialling + Send + Sync>;

/// A session that was silent for longer may have ended without anybody saying so: a machine that slept, a router that
/// forgot the connection.
const FRESH: Duration = Duration::from_secs(60);

/// How long such a session has to show that it lives; an app that waits gives up after some half a minute.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Line {
    dial: Dial,
    folder: String,
    /// `None` until the mailbox was opened.
    uid_validity: Option<UidValidity>,
    session: Option<Session>,
    /// The mailbox is open in it for writing.
    changed: bool,
    /// When the session last answered.
    used: Moment,
    /// Upstream would not take the login any more.
    refused: Option<UpstreamError>,
}

/// Whether a session that answered then is taken to be alive. A clock that was set costs a NOOP, whichever way.
pub(super) fn is_fresh(answered: Moment) -> bool {
    answered.is_within(FRESH)
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Logs in to the account's provider.
pub(super) fn provider(
    connector: Connector,
    account: Arc<Account>,
    credentials: Credentials,
    backoff: Backoff,
    meter: Meter,
) -> Dial {
    Arc::new(move || {
        let (connector, account, credentials) = (connector.clone(), account.clone(), credentials.clone());
        let (backoff, meter) = (backoff.clone(), meter.clone());
        Box::pin(async move { Session::log_in(&connector, &account, &credentials, &backoff, meter).await })
    })
}

/// Makes sessions beside a line's own.
#[derive(Clone)]
pub(super) struct Spare {
    dial: Dial,
    folder: String,
    uid_validity: UidValidity,
}

impl Spare {
    /// A session in the mailbox, read-only, where UIDs still mean what they meant at login.
    pub(super) async fn open(&self) -> Result<Session, UpstreamError> {
        let session = (self.dial)().await?;
        let (was, now) = (self.uid_validity, session.open("EXAMINE", &self.folder).await?.uid_validity);
        if was == now { Ok(session) } else { Err(UpstreamError::UidValidityChanged { was, now }) }
    }
}

impl std::fmt::Debug for Spare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spare").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(dial: Dial, folder: String) -> Self {
        Self {
            dial,
            folder,
            uid_validity: None,
            session: None,
            changed: false,
            used: Moment::now(),
            refused: None,
        }
    }

    /// A first session, if it is still of use, and the numbering all later ones must have.
    pub(super) fn opened(&mut self, session: Option<Session>, uid_validity: UidValidity) {
        self.session = session;
        self.uid_validity = Some(uid_validity);
        self.changed = false;
        self.used = Moment::now();
    }

    /// What makes other sessions in the same mailbox.
    pub(super) fn spare(&self) -> Option<Spare> {
        Some(Spare { dial: self.dial.clone(), folder: self.folder.clone(), uid_validity: self.uid_validity? })
    }

    /// The same of one that has the mailbox open for writing.
    pub(super) fn changed(&mut self, session: Session, uid_validity: UidValidity) {
        self.opened(Some(session), uid_validity);
        self.changed = true;
    }

    /// A new session, nothing opened in it.
    ///
    /// A login that upstream refused is not tried again: an app asks for one message after the other, and the provider
    /// locks the account after a few. The app's next session passes the gate, which knows when to try.
    pub(super) async fn dial(&mut self) -> Result<Session, UpstreamError> {
        if let Some(refused) = self.refused.as_ref().and_then(UpstreamError::repeated) {
            return Err(refused);
        }
        let outcome = (self.dial)().await;
        self.refused = outcome.as_ref().err().and_then(UpstreamError::repeated);
        outcome
    }

    /// Runs a reading command, and once more over a fresh session if the one at hand turns out to be lost: it may
    /// have been so for long.
    pub(super) async fn read<T>(
        &mut self,
        work: impl for<'s> Fn(&'s Session) -> Asking<'s, T> + Send,
    ) -> Result<T, UpstreamError> {
        self.probe_if_stale().await;
        if let Some(session) = &self.session {
            match work(session).await {
                Err(UpstreamError::Lost { .. }) => self.session = None,
                // It may not even have been asked.
                Err(error @ UpstreamError::Unavailable { .. }) => return Err(error),
                outcome => {
                    self.used = Moment::now();
                    return outcome;
                }
            }
        }
        let session = self.dial().await?;
        let now = session.open("EXAMINE", &self.folder).await?.uid_validity;
        self.same(now)?;
        (self.changed, self.used) = (false, Moment::now());
        work(self.session.insert(session)).await
    }

    /// The session at hand, if it answered lately.
    pub(super) fn fresh(&self) -> Option<&Session> {
        self.session.as_ref().filter(|_| is_fresh(self.used))
    }

    /// The session answered then, and nobody told the line.
    pub(super) fn answered(&mut self, used: Moment) {
        self.used = used;
    }

    async fn probe_if_stale(&mut self) {
        if !is_fresh(self.used) {
            self.probe().await;
        }
    }

    /// Has the session say that it lives, and drops one that does not: the next command replaces it, if there is one.
    pub(super) async fn probe(&mut self) {
        let Some(session) = &self.session else { return };
        let noop = timeout(SIGN_OF_LIFE, session.run("NOOP", "NOOP".to_owned())).await;
        if matches!(noop, Err(_) | Ok(Err(UpstreamError::Lost { .. }))) {
            tracing::debug!("the session with the provider has died in silence");
            self.session = None;
        }
        self.used = Moment::now();
    }

    /// Whether UIDs still mean what they meant at login.
    pub(super) fn same(&self, now: UidValidity) -> Result<(), UpstreamError> {
        match self.uid_validity {
            Some(was) if was != now => Err(UpstreamError::UidValidityChanged { was, now }),
            _ => Ok(()),
        }
    }

    /// The session at hand, for good, if it lives.
    pub(super) async fn take(&mut self) -> Option<Session> {
        self.probe_if_stale().await;
        self.session.take()
    }

    /// The same for whoever leaves it, and whether it has the mailbox open for writing.
    pub(super) fn leave(&mut self) -> Option<(Session, bool)> {
        self.session.take().map(|session| (session, self.changed))
    }
}
