//! The line to upstream: an upstream session of one mailbox, replaced when it is lost.

use std::pin::Pin;
use std::sync::Arc;

use crate::mail::{Account, Credential, UidValidity};
use crate::net::Connector;
use crate::upstream::UpstreamError;
use crate::upstream::imap::Session;

/// A session on its way.
type Dialling = Pin<Box<dyn Future<Output = Result<Session, UpstreamError>> + Send>>;

/// What a session is asked, until the answer.
pub(super) type Asking<'s, T> = Pin<Box<dyn Future<Output = Result<T, UpstreamError>> + Send + 's>>;

/// Makes sessions; a seam for tests.
pub(super) type Dial = Box<dyn Fn() -> Dialling + Send + Sync>;

/// See the module.
pub(super) struct Line {
    dial: Dial,
    folder: String,
    /// `None` until the mailbox was opened.
    uid_validity: Option<UidValidity>,
    session: Option<Session>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Logs in to the account's provider.
pub(super) fn provider(connector: Connector, account: Arc<Account>, credential: Credential) -> Dial {
    Box::new(move || {
        let (connector, account, credential) = (connector.clone(), account.clone(), credential.clone());
        Box::pin(async move { Session::log_in(&connector, &account, &credential).await })
    })
}

impl Line {
    pub(super) fn new(dial: Dial, folder: String) -> Self {
        Self { dial, folder, uid_validity: None, session: None }
    }

    /// A first session, and the numbering all later ones must have.
    pub(super) fn opened(&mut self, session: Session, uid_validity: UidValidity) {
        self.session = Some(session);
        self.uid_validity = Some(uid_validity);
    }

    /// A new session, nothing opened in it.
    pub(super) async fn dial(&self) -> Result<Session, UpstreamError> {
        (self.dial)().await
    }

    /// Runs a reading command, and once more over a fresh session if the one at hand turns out to be lost: it may
    /// have been so for long.
    pub(super) async fn read<T>(
        &mut self,
        work: impl for<'s> Fn(&'s Session) -> Asking<'s, T> + Send,
    ) -> Result<T, UpstreamError> {
        if let Some(session) = &self.session {
            match work(session).await {
                Err(UpstreamError::Lost { .. }) => self.session = None,
                outcome => return outcome,
            }
        }
        let session = self.dial().await?;
        let now = session.open("EXAMINE", &self.folder).await?.uid_validity;
        self.same(now)?;
        work(self.session.insert(session)).await
    }

    /// Whether UIDs still mean what they meant at login.
    pub(super) fn same(&self, now: UidValidity) -> Result<(), UpstreamError> {
        match self.uid_validity {
            Some(was) if was != now => Err(UpstreamError::UidValidityChanged { was, now }),
            _ => Ok(()),
        }
    }

    /// The session at hand, for good.
    pub(super) fn take(&mut self) -> Option<Session> {
        self.session.take()
    }
}
