//! DATA: from 354 to the reply behind the dot.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{Submission, UpstreamError};
use crate::proto::smtp::Reply;

/// Why a message cannot go on: upstream spoke before the dot, or is gone. Nothing was accepted.
#[derive(Debug)]
pub enum Cut {
    /// Its reply; never a positive one.
    Answered(Reply),
    /// There was none.
    Failed(UpstreamError),
}

/// The dot travels with so much of the message, so that a small one is a single write.
const LAST_WRITE: usize = 4 * 1024;

/// For an answer that was there already when the message was cut.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Submission {
    /// Asks to send a message; 354 is the invitation.
    pub async fn data(&mut self) -> Result<Reply, UpstreamError> {
        self.still_there("DATA").await?;
        self.ask("DATA\r\n", "DATA", self.deadlines.envelope).await
    }

    /// Sends octets of the message, stuffed and with CRLF only. Slow but moving is never cut
    /// (RFC 5321 §4.5.3.2.5).
    ///
    /// # Errors
    /// The connection is of no use any more: drop it, and no message was sent.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), Cut> {
        let mut rest = octets;
        while !rest.is_empty() {
            let after = self.deadlines.envelope;
            match timeout(after, self.wire.write_unless_spoken_to(rest)).await {
                Ok(Ok(Some(written))) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                // Spoken to, or broken: what upstream said before it closed may still be there to read.
                Ok(_) => return Err(self.last_words().await),
                Err(_) => return Err(Cut::Failed(UpstreamError::TimedOut { command: "DATA", after })),
            }
        }
        Ok(())
    }

    /// Waits until upstream speaks or is gone, which cuts the message: then ask for the [`last_words`].
    /// Cancel-safe; for the time the app is silent.
    ///
    /// [`last_words`]: Self::last_words
    pub async fn spoken(&mut self) {
        self.wire.speaks_while_flushing().await;
    }

    /// Sends the message's last octets and the final dot, and waits for upstream's verdict.
    ///
    /// # Errors
    /// [`Cut`] inside means that the dot was not sent. An error means that the message may have been accepted:
    /// it must not be sent again (RFC 1047).
    pub async fn finish(&mut self, mut last: BytesMut) -> Result<Result<Reply, Cut>, UpstreamError> {
        // Up to the last write upstream may still cut it; from then on only its verdict counts.
        let early = last.split_to(last.len().saturating_sub(LAST_WRITE));
        if let Err(cut) = self.send(&early).await {
            return Ok(Err(cut));
        }
        if self.wire.speaks().now_or_never().is_some() {
            return Ok(Err(self.last_words().await));
        }
        last.extend_from_slice(b".\r\n");
        let (command, after) = ("the end of the message", self.deadlines.data_done);
        // What waits in the layers below may have a slow way to go.
        let sent = timeout(after, async {
            self.wire.write_all(&last).await?;
            self.wire.flush().await
        });
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(UpstreamError::Lost { command }),
            Err(_) => return Err(UpstreamError::TimedOut { command, after }),
        }
        let read = timeout(after, self.lettre.read_response()).await;
        let reply = self.answer(read, command, after)?;
        self.begun = false;
        Ok(Ok(reply))
    }

    /// What upstream said when it cut the message.
    pub async fn last_words(&mut self) -> Cut {
        let read = timeout(LAST_WORDS, self.lettre.read_response()).await;
        match self.answer(read, "DATA", LAST_WORDS) {
            Ok(reply) if reply.class() < 4 => {
                Cut::Answered(Reply::new(451, 3, 0, "the provider answered before the message had ended"))
            }
            Ok(reply) => Cut::Answered(reply),
            Err(error) => Cut::Failed(error),
        }
    }
}
