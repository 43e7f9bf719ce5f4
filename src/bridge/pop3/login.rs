//! From an offer to an open mailbox, or to the reply that says why not.

use std::sync::Arc;

use ring::digest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::Span;

use super::app::End;
use super::behind::{Behind, Coming, Open};
use super::provider::Provider;
use super::{Driver, refusal};
use crate::bridge::refusal::Refusal;
use crate::bridge::{Admitted, LoginError};
use crate::mail::account::{Pop3Options, SecretSource};
use crate::mail::{Account, Names};
use crate::mailbox::{Listing, Opening};
use crate::proto::pop3::{Code, Command, Maildrop, Reply, Step, UniqueIds};
use crate::proto::sasl::Offer;
use crate::upstream::UpstreamError;

impl<S, P> Driver<S, P>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Provider,
{
    /// The app's time to log in does not run while it waits for us.
    pub(super) async fn log_in(&mut self, offer: Offer) -> Result<Step, End> {
        let asked = Instant::now();
        let judged = self.accounts.admit_to_folder(&offer.login, &offer.secret);
        let admitted = self.app.watched(self.accounts.standing(), judged).await?;
        let step = match admitted {
            Ok((admitted, folder)) => self.open(admitted, folder).await?,
            Err(error) => self.not_admitted(&error),
        };
        self.login_by += asked.elapsed();
        Ok(step)
    }

    async fn open(&mut self, admitted: Admitted, folder: Option<String>) -> Result<Step, End> {
        Span::current().record("account", admitted.account.address.as_str());
        let account =
            folder.map_or_else(|| admitted.account.clone(), |name| showing(&admitted.account, name));
        let (credentials, proof) = (admitted.credentials.clone(), admitted.proof().clone());
        let opening = self.provider.open(account.clone(), credentials, proof);
        match self.app.awaited(admitted.in_time(opening)).await? {
            Ok(Opening::Open(mailbox, listing)) => {
                let maildrop = self.opened(&admitted, account, mailbox, listing);
                Ok(self.session.logged_in(maildrop))
            }
            Ok(Opening::Coming(mailbox)) => {
                self.behind = Behind::Coming(Coming { admitted, account, mailbox });
                Ok(self.session.login_accepted())
            }
            Err(error) => {
                let reply = self.not_opened(&admitted, &error);
                Ok(match is_wrong(&admitted, &error) {
                    true => self.session.login_refused(reply),
                    false => self.session.login_failed(reply),
                })
            }
        }
    }

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
                let maildrop = self.opened(&admitted, account, mailbox, listing);
                self.session.arrived(maildrop);
            }
            Err(error) => {
                let reply = self.not_opened(&admitted, &error);
                self.session.not_coming(reply);
            }
        }
    }

    /// The mailbox as the session sees it, of a login that was right.
    fn opened(
        &mut self,
        admitted: &Admitted,
        account: Arc<Account>,
        mailbox: P::Maildrop,
        listing: Listing,
    ) -> Maildrop {
        self.accounts.accepted(admitted);
        let ids = unique_ids(&account.pop3.folder, listing.names);
        let messages = listing.messages.into_iter().map(|message| (message.uid, message.octets));
        self.behind = Behind::Open(Open { account, mailbox, touched: Instant::now() });
        Maildrop::new(ids, messages)
    }

    /// What the app is told of a login that came to nothing, once the accounts have learnt of it.
    fn not_opened(&self, admitted: &Admitted, error: &UpstreamError) -> Reply {
        self.accounts.tell(admitted, error);
        if error.is_verdict(&admitted.credentials) {
            self.accounts.refused(admitted);
        }
        match is_wrong(admitted, error) {
            true => Reply::err_with(Code::Auth, &error.sentence(&admitted.account)),
            false => refusal(error, &admitted.account),
        }
    }

    fn not_admitted(&mut self, error: &LoginError) -> Step {
        let reply = |code| Reply::err_with(code, &error.reply());
        match error.refusal() {
            Refusal::Wrong => self.session.login_refused(reply(Code::Auth)),
            Refusal::Later => self.session.login_failed(reply(Code::SysTemp)),
            Refusal::NeedsUser | Refusal::SignIn => self.session.login_failed(reply(Code::SysPerm)),
        }
    }
}

/// Whether it was the app's own password that upstream refused. A stored one, or a token, is not what the app sent: it
/// must not ask the user for it.
fn is_wrong(admitted: &Admitted, error: &UpstreamError) -> bool {
    matches!(admitted.account.secret, SecretSource::App)
        && matches!(error, UpstreamError::LoginRefused { .. })
}

/// The account with another folder for this session. INBOX is the one name without case (RFC 3501 §5.1).
fn showing(account: &Account, name: String) -> Arc<Account> {
    let folder = if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name };
    let pop3 = Pop3Options { folder, ..account.pop3.clone() };
    Arc::new(Account { pop3, ..account.clone() })
}

/// INBOX goes without its name, which is the same in any case (RFC 3501 §5.1).
fn unique_ids(folder: &str, names: Names) -> UniqueIds {
    if folder.eq_ignore_ascii_case("INBOX") {
        return UniqueIds::inbox(names);
    }
    let hash = digest::digest(&digest::SHA256, folder.as_bytes());
    let first = hash.as_ref().first_chunk::<4>().copied().unwrap_or_default();
    UniqueIds::mailbox(u32::from_be_bytes(first), names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Uid, UidValidity};

    fn unique_id(folder: &str) -> String {
        let mut out = Vec::new();
        let validity = UidValidity::new(7).expect("not 0");
        unique_ids(folder, validity.into()).write(Uid::new(12).expect("not 0"), &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn unique_ids_are_frozen() {
        assert_eq!(unique_id("INBOX"), "7.12");
        assert_eq!(unique_id("Inbox"), "7.12");
        assert_eq!(unique_id("Archive"), "66f4804e.7.12");
        assert_eq!(unique_id("Entw\u{fc}rfe"), "ab5ee809.7.12");
    }
}
