//! One message from 354 to its verdict.
//!
//! ```text
//!  354 ──▶ octets pass ──▶ CRLF.CRLF ──▶ dot ──▶ verdict ──▶ the app is told it
//!              │ refused by us, cut by upstream: upstream is dropped without the dot,
//!              │ the rest is eaten to its true end ──▶ the app is told why
//!              └ the app is gone, the bridge stops: upstream is dropped without the dot
//! ```

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::{info, warn};

use super::relay::Login;
use super::{Conversation, shutting_down};
use crate::mail::account::BareNewline;
use crate::net::QuickAck;
use crate::proto::smtp::Reply;
use crate::proto::smtp::data::Decoded;
use crate::proto::smtp::reception::{Reception, Rules};
use crate::proto::smtp::session::LARGEST_MESSAGE;
use crate::upstream::UpstreamError;
use crate::upstream::submission::Cut;

/// How the reception of a message ended.
pub(super) enum End {
    /// The app is still there, and is told this.
    Told(Reply),
    /// It is not, or we are going.
    Closed(&'static str),
}

/// What happened while we waited for the app.
enum Arrival {
    Octets,
    HungUp,
    Silent,
    /// Upstream spoke, or is gone.
    Cut,
    Stopping,
}

impl<S, L> Conversation<S, L>
where
    S: AsyncRead + AsyncWrite + QuickAck + Unpin + Send,
    L: Login,
{
    pub(super) async fn receive(&mut self, largest: u64, eight_bit: bool) -> io::Result<End> {
        let bare_newline =
            self.relay.account().map_or(BareNewline::Mend, |account| account.smtp_options.bare_newline);
        let mut reception = Reception::new(Rules { largest, eight_bit, bare_newline });
        let end = self.pass(&mut reception).await;
        if !matches!(end, Ok(End::Told(_))) {
            self.relay.drop_upstream();
            info!(octets = reception.octets(), "message not sent: it broke off");
        }
        end
    }

    /// Octets pass until the end of the message, or until something cuts it.
    async fn pass(&mut self, reception: &mut Reception) -> io::Result<End> {
        loop {
            let Decoded { octets, ended } = reception.take(self.app.input());
            if let Some(refusal) = reception.refusal().cloned() {
                return self.give_up(reception, refusal, ended).await;
            }
            let stop = self.stop();
            let Some(submission) = self.relay.submission() else {
                let reply = Reply::new(451, 4, 2, "the connection to the provider is gone");
                return self.give_up(reception, reply, ended).await;
            };
            if ended {
                let verdict = tokio::select! {
                    biased;
                    verdict = submission.finish(octets) => verdict,
                    () = stop => Err(UpstreamError::Lost { command: "the end of the message" }),
                };
                return self.judged(reception, verdict).await.map(End::Told);
            }
            let sent = tokio::select! {
                biased;
                sent = submission.send(&octets) => sent,
                () = stop => return self.broken_off(Arrival::Stopping).await,
            };
            if let Err(cut) = sent {
                let reply = self.cut(cut);
                return self.give_up(reception, reply, false).await;
            }
            drop(octets); // So that the buffer can be used again.
            match self.arrival().await? {
                Arrival::Octets => {}
                Arrival::Cut => {
                    let cut = self.last_words().await;
                    let reply = self.cut(cut);
                    return self.give_up(reception, reply, false).await;
                }
                arrival => return self.broken_off(arrival).await,
            }
        }
    }

    async fn last_words(&mut self) -> Cut {
        match self.relay.submission() {
            Some(submission) => submission.last_words().await,
            None => Cut::Failed(UpstreamError::Lost { command: "DATA" }),
        }
    }

    /// No dot: upstream is dropped. The rest of the message is eaten, so that it is not read as commands.
    async fn give_up(&mut self, reception: &mut Reception, reply: Reply, ended: bool) -> io::Result<End> {
        self.relay.drop_upstream();
        info!(octets = reception.octets(), code = reply.code(), "message not sent: {}", reply.sentence());
        let mut ended = ended;
        while !ended {
            match self.arrival().await? {
                Arrival::Octets => ended = reception.take(self.app.input()).ended,
                arrival => return self.broken_off(arrival).await,
            }
            if reception.octets() > LARGEST_MESSAGE.saturating_mul(2) {
                let reply = Reply::new(421, 3, 4, "the message does not end");
                return self.finish(&reply, "the message did not end").await.map(End::Closed);
            }
        }
        Ok(End::Told(reply))
    }

    async fn broken_off(&mut self, arrival: Arrival) -> io::Result<End> {
        self.relay.drop_upstream();
        match arrival {
            Arrival::Stopping => {
                self.finish(&shutting_down(), "the bridge is stopping").await.map(End::Closed)
            }
            Arrival::Silent => {
                let reply = Reply::new(421, 4, 2, "silent for too long within a message, goodbye");
                self.finish(&reply, "the app was silent for too long").await.map(End::Closed)
            }
            _ => Ok(End::Closed("the app hung up within a message")),
        }
    }

    /// What the app is told once the dot went upstream, or did not.
    async fn judged(
        &mut self,
        reception: &Reception,
        verdict: Result<Result<Reply, Cut>, UpstreamError>,
    ) -> io::Result<Reply> {
        let octets = reception.octets();
        let recipients = self.session.recipients();
        match verdict {
            Ok(Ok(verdict)) => {
                let reply = verdict.clone().for_app();
                info!(octets, recipients, code = verdict.code(), "message judged: {}", verdict.sentence());
                if verdict.code() == 421 {
                    self.relay.drop_upstream();
                }
                if reply.is_positive() {
                    self.sent.messages += 1;
                    self.sent.recipients += u64::try_from(recipients).unwrap_or(u64::MAX);
                    self.sent.octets += octets;
                }
                Ok(reply)
            }
            Ok(Err(cut)) => {
                let reply = self.cut(cut);
                self.relay.drop_upstream();
                info!(octets, code = reply.code(), "message not sent: {}", reply.sentence());
                Ok(reply)
            }
            Err(error) => {
                self.relay.drop_upstream();
                // Not the sentence that every other fault gets: its advice is to try again.
                let address = self.relay.account().map_or("", |account| &account.address);
                warn!(octets, recipients, "{address}: message may have been sent, outcome unknown: {error}");
                let text =
                    format!("the message may have been sent, look before sending again: {address}: {error}");
                Ok(Reply::new(451, 4, 2, text))
            }
        }
    }

    fn cut(&mut self, cut: Cut) -> Reply {
        match cut {
            Cut::Answered(reply) => reply.for_app(),
            Cut::Failed(error) => {
                let sentence = self.relay.sentence(&error);
                warn!("{sentence}");
                Reply::new(451, 4, 2, format!("the message was not sent: {sentence}"))
            }
        }
    }

    /// Waits for octets of the app, and meanwhile for whatever ends the message early.
    async fn arrival(&mut self) -> io::Result<Arrival> {
        let spoke = self.app.queued() > 0;
        self.flush().await?;
        if spoke {
            self.app.get_ref().acknowledge_at_once();
        }
        let idle = self.deadlines.smtp_idle;
        let stop = self.stop();
        let submission = self.relay.submission();
        let spoken = async {
            match submission {
                Some(submission) => submission.spoken().await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            biased;
            read = timeout(idle, self.app.fill()) => match read {
                Err(_) => Arrival::Silent,
                Ok(Ok(1..)) => Arrival::Octets,
                // However it went, the app is gone.
                Ok(_) => Arrival::HungUp,
            },
            () = spoken => Arrival::Cut,
            () = stop => Arrival::Stopping,
        })
    }
}
