//! Whose is a body that is not as long as upstream listed it?
//!
//! Some servers, under load, give another message's text under the UID that was asked for. An app that got it would delete
//! the message that it never saw. So its header is asked for once more, by itself, and has to be the same.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::Mailbox;
use super::body::Header;
use crate::mail::{Quirk, ToldSize, Uid};
use crate::upstream::UpstreamError;
use crate::upstream::imap::Headers;

/// The header is asked for at once; this is for a session that has to be replaced first.
const ASKED: Duration = Duration::from_secs(60);

/// A body in doubt.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) uid: Uid,
    octets: u64,
    /// What went by.
    pub(super) header: Header,
}

impl Doubt {
    pub(super) fn of(uid: Uid, octets: u64) -> Self {
        Self { uid, octets, header: Arc::new(OnceLock::new()) }
    }
}

impl Mailbox {
    /// Whether a body of so many octets may be another message's, where that is known to happen: one that is not as long as
    /// upstream listed it. It is not kept, and [`Mailbox::vouch`] finds out.
    pub(super) fn is_doubtful(&self, uid: Uid, octets: u64) -> bool {
        self.account.quirks.has(Quirk::WrongBody) && self.told(uid).differs(ToldSize::of(octets))
    }

    /// Whether the body that was [retrieved](Mailbox::retrieve_and_learn) last, all of whose octets have come, is this
    /// message's, where that is in doubt: upstream gives the header once more, by itself. To be asked before the app is told
    /// that it has the message, which it may delete then.
    ///
    /// # Errors
    /// [`UpstreamError::Foreign`]; all that a FETCH may come to.
    pub async fn vouch(&mut self, uid: Uid) -> Result<(), UpstreamError> {
        let Some(Doubt { octets, header, .. }) = self.doubt.as_ref().filter(|doubt| doubt.uid == uid) else {
            return Ok(());
        };
        let (octets, header) = (*octets, header.get().copied().ok_or(UpstreamError::Foreign)?);
        self.stop_ahead();
        let uid_validity = self.uid_validity;
        let looked = self
            .line
            .read(|session| {
                let until = Instant::now() + ASKED;
                let headers =
                    Headers { wanted: vec![(uid, octets)], uid_validity, until, octets: octets.max(1) };
                Box::pin(session.headers(headers))
            })
            .await?;
        let now = looked.identities.first().map(|(_, identity)| *identity);
        if !looked.at.contains(&uid) || now != header {
            return Err(UpstreamError::Foreign);
        }
        self.doubt = None;
        Ok(())
    }
}
