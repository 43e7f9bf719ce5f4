//! What the session asks of upstream, and how upstream's faults are told to an app.

use std::sync::Arc;

use tracing::warn;

use crate::auth::Credentials;
use crate::bridge::login::{Accounts, Admitted};
use crate::bridge::refusal::{LoginError, Refusal};
use crate::mail::Account;
use crate::net::{ConnectError, Connector};
use crate::proto::sasl::Offer;
use crate::proto::smtp::Reply;
use crate::proto::smtp::session::{Answer, Envelope};
use crate::upstream::UpstreamError;
use crate::upstream::submission::{Settled, Submission};

/// A way to an authenticated connection; tests have another one than the driver.
pub(super) trait Login: Send {
    fn login(
        &self,
        account: &Account,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Submission, UpstreamError>> + Send;
}

impl Login for Connector {
    async fn login(&self, account: &Account, credentials: &Credentials) -> Result<Submission, UpstreamError> {
        Submission::login(self, account, credentials).await
    }
}

/// The upstream end of one session: whoever logged in, and the connection while there is one.
pub(super) struct Relay<L> {
    login: L,
    accounts: Accounts,
    admitted: Option<Admitted>,
    submission: Option<Submission>,
    /// Upstream would not take the login any more. It is not tried again in this session: an app may send one message after
    /// the other, and the provider locks the account after a few.
    refused: Option<UpstreamError>,
}

impl<L: Login> Relay<L> {
    pub(super) fn new(login: L, accounts: Accounts) -> Self {
        Self { login, accounts, admitted: None, submission: None, refused: None }
    }

    /// Whose session this is.
    pub(super) fn account(&self) -> Option<&Arc<Account>> {
        self.admitted.as_ref().map(|admitted| &admitted.account)
    }

    /// The connection, while it is of use.
    pub(super) fn submission(&mut self) -> Option<&mut Submission> {
        self.submission.as_mut()
    }

    /// Closes the connection without a word: no dot, no QUIT.
    pub(super) fn drop_upstream(&mut self) {
        self.submission = None;
    }

    /// Says goodbye, if there is a connection left.
    pub(super) async fn leave(self) {
        if let Some(submission) = self.submission {
            submission.quit().await;
        }
    }

    /// Has the app's password judged here.
    ///
    /// # Errors
    /// What the app is told of a wrong one, for example.
    pub(super) async fn admit(&self, offer: &Offer) -> Result<Admitted, Reply> {
        let judged = self.accounts.admit_submission(&offer.login, &offer.secret).await;
        judged.map_err(|error| not_admitted(&error))
    }

    /// Asks upstream now, so that 235 means that it took the login.
    pub(super) async fn login(&mut self, admitted: Admitted) -> Answer {
        match admitted.in_time(self.login.login(&admitted.account, &admitted.credentials)).await {
            Ok(submission) => {
                self.accounts.accepted(&admitted);
                let capabilities = *submission.capabilities();
                self.submission = Some(submission);
                self.admitted = Some(admitted);
                Answer::LoggedIn(capabilities)
            }
            Err(error) => {
                if error.is_verdict(&admitted.credentials) {
                    self.accounts.refused(&admitted);
                }
                self.accounts.tell(&admitted, &error);
                let sentence = error.sentence(&admitted.account);
                Answer::NotLoggedIn(not_logged_in(&error, sentence))
            }
        }
    }

    /// Sends a part of the envelope. Where it begins a transaction, a connection that upstream closed meanwhile, or on
    /// which the login counts no longer, is replaced once, unseen: nothing was told to the app, and nothing was sent.
    pub(super) async fn envelope(&mut self, envelope: &Envelope) -> Answer {
        let mut fresh = false;
        loop {
            let error = match self.connected(envelope.mail.is_some(), &mut fresh).await {
                Ok(submission) => match submission.envelope(envelope).await {
                    Ok(Settled::Recipients(replies)) => {
                        return Answer::Recipients(replies.into_iter().map(Reply::for_app).collect());
                    }
                    Ok(Settled::SenderRefused(reply)) if !fresh && wants_login(&reply) => {
                        UpstreamError::Unavailable { text: reply.sentence(), wait: None }
                    }
                    Ok(Settled::SenderRefused(reply)) => return Answer::SenderRefused(reply.for_app()),
                    Err(error) => error,
                },
                Err(error) => return self.lost(&error),
            };
            self.drop_upstream();
            let stale = matches!(error, UpstreamError::Lost { .. } | UpstreamError::Unavailable { .. });
            if fresh || envelope.mail.is_none() || !stale {
                return self.lost(&error);
            }
        }
    }

    /// The connection, or a new one where a transaction may begin; `fresh` is set when it is new.
    async fn connected(
        &mut self,
        may_connect: bool,
        fresh: &mut bool,
    ) -> Result<&mut Submission, UpstreamError> {
        let lost = UpstreamError::Lost { command: "the transaction" };
        let submission = match (self.submission.take(), &self.admitted) {
            (Some(submission), _) => submission,
            (None, Some(admitted)) if may_connect => {
                if let Some(refused) = self.refused.as_ref().and_then(UpstreamError::repeated) {
                    return Err(refused);
                }
                *fresh = true;
                let outcome = self.login.login(&admitted.account, &admitted.credentials).await;
                if outcome.as_ref().is_err_and(|error| error.is_verdict(&admitted.credentials)) {
                    self.accounts.refused(admitted);
                }
                self.refused = outcome.as_ref().err().and_then(UpstreamError::repeated);
                outcome?
            }
            _ => return Err(lost),
        };
        Ok(self.submission.insert(submission))
    }

    /// Asks to send the message.
    pub(super) async fn data(&mut self) -> Answer {
        let Some(submission) = &mut self.submission else {
            return self.lost(&UpstreamError::Lost { command: "DATA" });
        };
        match submission.data().await {
            Ok(reply) if reply.code() == 354 => Answer::Data(reply),
            Ok(reply) => {
                // Neither invitation nor refusal: it may be in the midst of a message, for all we know.
                if reply.class() < 4 {
                    self.drop_upstream();
                }
                Answer::Data(reply.for_app())
            }
            Err(error) => {
                self.drop_upstream();
                self.lost(&error)
            }
        }
    }

    /// The transaction is void, and the app may try again: 4yz.
    fn lost(&mut self, error: &UpstreamError) -> Answer {
        let sentence = self.sentence(error);
        warn!("{sentence}");
        Answer::Lost(void(error, sentence))
    }

    /// One plain sentence about a fault, with the account.
    pub(super) fn sentence(&self, error: &UpstreamError) -> String {
        self.account().map_or_else(|| error.to_string(), |account| error.sentence(account))
    }
}

/// RFC 4954 §6: authentication required, or gone bad: a token ends while a connection lasts.
fn wants_login(reply: &Reply) -> bool {
    matches!(reply.code(), 530 | 535)
}

/// Nothing went upstream (RFC 4954 §6).
fn not_admitted(error: &LoginError) -> Reply {
    match error.refusal() {
        Refusal::Wrong | Refusal::SignIn => Reply::new(535, 7, 8, error.reply()),
        Refusal::Later | Refusal::NeedsUser => Reply::new(454, 7, 0, error.reply()),
    }
}

/// RFC 4954 §6.
fn not_logged_in(error: &UpstreamError, sentence: String) -> Reply {
    match error {
        error if error.refuses_login() => Reply::new(535, 7, 8, sentence),
        UpstreamError::NoTls { .. } | UpstreamError::Connect(ConnectError::Tls { .. }) => {
            Reply::new(454, 7, 5, sentence)
        }
        _ => Reply::new(454, 7, 0, sentence),
    }
}

/// RFC 3463 §3.5: what is wrong is between us and upstream.
fn void(error: &UpstreamError, sentence: String) -> Reply {
    match error {
        UpstreamError::Connect(ConnectError::Tls { .. }) | UpstreamError::NoTls { .. } => {
            Reply::new(451, 7, 5, sentence)
        }
        UpstreamError::Connect(_) => Reply::new(451, 4, 1, sentence),
        UpstreamError::LoginRefused { .. }
        | UpstreamError::TokenRefused { .. }
        | UpstreamError::NoToken(_) => Reply::new(451, 7, 0, sentence),
        UpstreamError::Unavailable { .. } => Reply::new(451, 3, 2, sentence),
        _ => Reply::new(451, 4, 2, sentence),
    }
}
