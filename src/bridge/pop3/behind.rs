//! What is behind an app's session: nothing yet, a mailbox that is on its way, or an open one.
//!
//! ```text
//!  PASS, its session upstream was held ──▶ +OK ──▶ Coming ──▶ Open, as after any other login
//!                                                     └─────▶ -ERR to the next command, which is the last
//! ```
//!
//! What is on its way moves whenever the driver waits: for the app's next line, or for the mailbox itself.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Driver;
use super::app::End;
use super::login::{judge, maildrop, not_opened};
use super::provider::{Inbox, Provider};
use crate::bridge::{Accounts, Admitted};
use crate::mail::Account;
use crate::mailbox::{self, Listing};
use crate::proto::pop3::{Command, Step};
use crate::upstream::UpstreamError;

/// See the module.
pub(super) enum Behind<M> {
    /// No login, or no mailbox for it.
    Nothing,
    Coming(Coming<M>),
    Open(Open<M>),
}

/// A mailbox that is on its way, of a login that was accepted.
pub(super) struct Coming<M> {
    pub(super) admitted: Admitted,
    /// With the folder that this session shows.
    pub(super) account: Arc<Account>,
    pub(super) mailbox: mailbox::Coming<M>,
}

/// An open mailbox.
pub(super) struct Open<M> {
    pub(super) account: Arc<Account>,
    pub(super) mailbox: M,
    /// When upstream last heard of us.
    pub(super) touched: Instant,
}

impl<M> Behind<M> {
    pub(super) fn open(&self) -> Option<&Open<M>> {
        match self {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Open<M>> {
        match self {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }

    /// What comes of a mailbox that is on its way; never where none is. Cancel-safe. [`Driver::arrived`] is next, and
    /// nothing before it.
    pub(super) async fn arrival(&mut self) -> Result<(M, Listing), UpstreamError> {
        match self {
            Self::Coming(coming) => coming.mailbox.as_mut().await,
            _ => std::future::pending().await,
        }
    }
}

impl<M: Inbox> Behind<M> {
    /// The app has left. `well`: its session upstream may be held, which one whose mailbox is on its way may as well,
    /// once that has come.
    pub(super) async fn left(self, well: bool, accounts: &Accounts) {
        match self {
            Self::Open(open) if well => open.mailbox.leave().await,
            Self::Open(open) => open.mailbox.close().await,
            Self::Coming(Coming { admitted, mailbox, .. }) if well => match mailbox.await {
                Ok((mailbox, _)) => {
                    accounts.accepted(&admitted);
                    mailbox.leave().await;
                }
                Err(error) => judge(accounts, &admitted, &error),
            },
            Self::Coming(_) | Self::Nothing => {}
        }
    }
}

impl<S, P> Driver<S, P>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Provider,
{
    /// Waits for the mailbox, and goes on with the command that needs it.
    pub(super) async fn await_mailbox(&mut self, command: Command) -> Result<Step, End> {
        if matches!(self.behind, Behind::Coming(_)) {
            let outcome = self.app.awaited(self.behind.arrival()).await?;
            self.arrived(outcome);
        }
        Ok(self.session.resume(command))
    }

    /// The mailbox has come, or does not come: the session knows from now on.
    pub(super) fn arrived(&mut self, outcome: Result<(P::Maildrop, Listing), UpstreamError>) {
        let Behind::Coming(coming) = std::mem::replace(&mut self.behind, Behind::Nothing) else { return };
        let Coming { admitted, account, .. } = coming;
        match outcome {
            Ok((mailbox, listing)) => {
                self.accounts.accepted(&admitted);
                self.session.arrived(maildrop(&account, listing));
                self.behind = Behind::Open(Open { account, mailbox, touched: Instant::now() });
            }
            Err(error) => {
                judge(&self.accounts, &admitted, &error);
                self.session.not_coming(not_opened(&admitted, &error));
            }
        }
    }
}
