//! Which messages of a listing meet a search key (RFC 3501 §6.4.4).

use super::removal::LIMITED;
use super::{Mailbox, Message};
use crate::mail::{Quirk, Uid};
use crate::upstream::UpstreamError;

/// How many messages one SEARCH is about: an answer that names each by itself stays well below the longest response
/// we hold.
const MOST: usize = 50_000;

impl Mailbox {
    /// The UIDs of those of `messages`, ascending, that meet `key`, each once. Where upstream does such a
    /// search in part only it is asked for smaller parts.
    ///
    /// # Errors
    /// [`UpstreamError::Refused`]: nobody knows which; [`UpstreamError::CannotSearch`]: nor will anybody.
    pub(super) async fn search(
        &mut self,
        messages: &[Message],
        key: &str,
    ) -> Result<Vec<Uid>, UpstreamError> {
        let mut most = if self.account.quirks.has(Quirk::MessageLimit) { LIMITED } else { MOST };
        let (mut left, mut found) = (messages, Vec::new());
        while let Some((part, rest)) = left.split_at_checked(left.len().min(most))
            && let (Some(first), Some(last)) = (part.first(), part.last())
        {
            let command = format!("UID SEARCH UID {}:{} {key}", first.uid, last.uid);
            let searched = self.line.read(|session| {
                let command = command.clone();
                Box::pin(async move { session.run("SEARCH", command).await })
            });
            match searched.await {
                Ok(answer) => {
                    // Upstream may name others, and the same again and again.
                    let mut told = answer.found;
                    told.retain(|uid| part.binary_search_by_key(uid, |message| message.uid).is_ok());
                    told.sort_unstable();
                    told.dedup();
                    found.extend(told);
                    left = rest;
                }
                Err(UpstreamError::Refused { .. } | UpstreamError::CannotSearch { .. })
                    if part.len() > LIMITED =>
                {
                    most = LIMITED
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}
