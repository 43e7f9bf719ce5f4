//! Submission to the provider (RFC 6409) over lettre's low level.
//!
//! lettre reads the greeting, says EHLO, sends commands and reads replies. Its high level is not used: it fails a
//! whole message for one refused recipient, and ends a message that broke off as if it were whole. Replies are
//! taken verbatim from the stream below it (`wire.rs`), and after 354 the octets of the message, stuffed by the
//! app, go there directly.
//!
//! ```text
//!  login ──▶ envelope ──▶ data ──354──▶ send ... ──▶ finish ──▶ envelope ...      dropped: closed without a word
//! ```
//!
//! The law: the final dot is written by [`Submission::finish`] and by nothing else.

mod login;
mod pause;
mod transfer;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::response::Response;
use tokio::io::AsyncWriteExt;
use tokio::time::{error::Elapsed, timeout};

use super::UpstreamError;
use crate::auth::Credentials;
use crate::mail::{Account, Deadlines, Moment};
use crate::net::Connector;
use crate::proto::smtp::{Capabilities, Reply, session::Envelope};
pub use transfer::Cut;
pub use wire::Transport;
use wire::Wire;

/// How long upstream's answer to QUIT is waited for; nothing depends on it (RFC 5321 §4.1.1.10).
const GOODBYE: Duration = Duration::from_secs(2);

/// One authenticated connection. Dropped, it is closed without QUIT; in mid-message that means: no message.
pub struct Submission {
    lettre: AsyncSmtpConnection,
    wire: Wire<Box<dyn Transport>>,
    capabilities: Capabilities,
    deadlines: Deadlines,
    /// A MAIL was sent and its transaction is not over: RSET before the next one.
    begun: bool,
    /// When upstream spoke last.
    spoke: Moment,
}

/// What upstream said to a part of the envelope.
#[derive(Debug)]
pub enum Settled {
    /// One reply for each recipient.
    Recipients(Vec<Reply>),
    /// The reply to MAIL; no recipient counts.
    SenderRefused(Reply),
}

impl Submission {
    /// Connects and logs in. An account without smtp is [`UpstreamError::NoSubmission`].
    pub async fn login(
        connector: &Connector,
        account: &Account,
        credentials: &Credentials,
    ) -> Result<Self, UpstreamError> {
        login::login(connector, account, credentials).await
    }

    /// Logs in over a stream that is there already and safe; the greeting has not been read.
    pub async fn login_over(
        stream: impl Transport + 'static,
        deadlines: &Deadlines,
        account: &Account,
        credentials: &Credentials,
    ) -> Result<Self, UpstreamError> {
        login::login_over(stream, deadlines, account, credentials).await
    }

    /// What upstream offers.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Sends MAIL, where the envelope has one, and RCPTs: in one write if upstream pipelines (RFC 2920).
    ///
    /// # Errors
    /// After any the connection is of no use. A 421 is [`UpstreamError::Unavailable`].
    pub async fn envelope(&mut self, envelope: &Envelope) -> Result<Settled, UpstreamError> {
        // A reply nobody asked for would be taken for that to MAIL, and so on: a refused recipient for an accepted one.
        if envelope.mail.is_some() && self.wire.speaks().now_or_never().is_some() {
            return Err(UpstreamError::Lost { command: "MAIL" });
        }
        self.still_there(if envelope.mail.is_some() { "MAIL" } else { "RCPT" }).await?;
        let mut commands = Vec::with_capacity(envelope.recipients.len() + 2);
        if let Some(mail) = &envelope.mail {
            if std::mem::replace(&mut self.begun, true) {
                commands.push("RSET\r\n".to_owned());
            }
            commands.push(mail.for_upstream(&self.capabilities));
        }
        let before_recipients = commands.len();
        commands.extend(envelope.recipients.iter().map(|rcpt| rcpt.for_upstream()));
        let mut replies = if self.capabilities.pipelining {
            self.at_once(&commands).await?
        } else {
            self.one_by_one(&commands, before_recipients).await?
        };
        let recipients = replies.split_off(before_recipients.min(replies.len()));
        match replies.into_iter().find(|reply| !reply.is_positive()) {
            Some(refusal) => Ok(Settled::SenderRefused(refusal)),
            None => Ok(Settled::Recipients(recipients)),
        }
    }

    async fn at_once(&mut self, commands: &[String]) -> Result<Vec<Reply>, UpstreamError> {
        let wait = self.deadlines.envelope;
        let mut replies = vec![self.ask(&commands.concat(), "RCPT", wait).await?];
        while replies.len() < commands.len() {
            let read = timeout(wait, self.lettre.read_response()).await;
            replies.push(open(self.answer(read, "RCPT", wait)?)?);
        }
        Ok(replies)
    }

    /// A refused MAIL spares upstream the RCPTs.
    async fn one_by_one(&mut self, commands: &[String], needed: usize) -> Result<Vec<Reply>, UpstreamError> {
        let mut replies = Vec::with_capacity(commands.len());
        for command in commands {
            let reply = self.ask(command, "RCPT", self.deadlines.envelope).await?;
            let refused = !reply.is_positive();
            replies.push(reply);
            if refused && replies.len() <= needed {
                break;
            }
        }
        Ok(replies)
    }

    /// Says goodbye; the answer is waited for two seconds at most.
    pub async fn quit(mut self) {
        let _ = timeout(GOODBYE, self.lettre.command("QUIT\r\n")).await;
    }

    /// The same without waiting for the answer: somebody else waits for us.
    async fn quit_unheard(mut self) {
        let _ = self.wire.write_all(b"QUIT\r\n").await;
        let _ = self.wire.flush().await;
    }

    /// Sends command lines and reads the first reply.
    async fn ask(
        &mut self,
        commands: &str,
        name: &'static str,
        wait: Duration,
    ) -> Result<Reply, UpstreamError> {
        let read = timeout(wait, self.lettre.command(commands)).await;
        open(self.answer(read, name, wait)?)
    }

    /// The reply as upstream wrote it, if lettre read one.
    fn answer(
        &mut self,
        read: Result<Result<Response, Error>, Elapsed>,
        command: &'static str,
        after: Duration,
    ) -> Result<Reply, UpstreamError> {
        let read = read.map_err(|_| UpstreamError::TimedOut { command, after })?;
        let understood = read.is_ok() || read.is_err_and(|error| error.status().is_some());
        match self.wire.take_reply().flatten() {
            Some(reply) if understood => {
                self.spoke = Moment::now();
                Ok(reply)
            }
            _ => Err(UpstreamError::Lost { command }),
        }
    }
}

/// 421: upstream closes, whatever was asked (RFC 5321 §3.8).
fn open(reply: Reply) -> Result<Reply, UpstreamError> {
    match reply.code() {
        421 => Err(UpstreamError::Unavailable { text: reply.sentence(), wait: None }),
        _ => Ok(reply),
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission").field("capabilities", &self.capabilities).finish_non_exhaustive()
    }
}

/// Logs in as an app's AUTH would and leaves again. An account without smtp is [`UpstreamError::NoSubmission`].
pub async fn check_login(
    connector: &Connector,
    account: &Arc<Account>,
    credentials: &Credentials,
) -> Result<(), UpstreamError> {
    Submission::login(connector, account, credentials).await?.quit().await;
    Ok(())
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
