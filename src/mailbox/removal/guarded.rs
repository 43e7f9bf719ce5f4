//! Expunging on a server that has only the bare EXPUNGE, which removes whatever is marked (RFC 3501 §6.4.3).
//!
//! ```text
//!  UID SEARCH DELETED      whose marks are there already?
//!  UID STORE ours +\Deleted
//!  UID STORE foreign -\Deleted
//!  UID SEARCH DELETED      ours and nothing else? then
//!  EXPUNGE
//!  UID STORE foreign +\Deleted
//! ```
//!
//! Any doubt on the way takes our marks back, puts theirs back, and is an error. One race is left: a message that
//! another program marks between the second SEARCH and EXPUNGE, which is one round trip, is removed with ours. Who
//! cannot live with it sets `delete = "flag"`, which never expunges.

use std::collections::BTreeSet;

use super::carry_out::Work;
use crate::mail::Uid;
use crate::upstream::UpstreamError;
use crate::upstream::imap::Session;

/// Removes what is left of `work`, and nothing else.
pub(super) async fn expunge(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    match mark_and_expunge(session, work).await {
        Ok(()) => {}
        // The next session puts the foreign marks back.
        Err(error @ UpstreamError::Lost { .. }) => return Err(error),
        Err(error) => {
            take_back(session, work).await;
            return Err(error);
        }
    }
    if put_back(session, work).await.is_err() {
        tracing::warn!("marks of another program that were lifted for EXPUNGE could not be put back");
    }
    work.left = work.present(session).await?;
    if work.left.is_empty() {
        return Ok(());
    }
    let text = "it left messages in the mailbox".to_owned();
    Err(UpstreamError::Refused { command: "EXPUNGE", text })
}

/// Makes ours the only marks there are, and expunges.
async fn mark_and_expunge(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    let ours: BTreeSet<Uid> = work.left.iter().copied().collect();
    let foreign: Vec<Uid> = deleted(session).await?.into_iter().filter(|uid| !ours.contains(uid)).collect();
    work.store(session, &work.left, "+FLAGS.SILENT (\\Deleted)").await?;
    work.lifted = foreign;
    work.store(session, &work.lifted, "-FLAGS.SILENT (\\Deleted)").await?;
    if !deleted(session).await?.iter().all(|uid| ours.contains(uid)) {
        let text = "other messages are marked deleted and would go too".to_owned();
        return Err(UpstreamError::Refused { command: "EXPUNGE", text });
    }
    session.run("EXPUNGE", "EXPUNGE".to_owned()).await.map(drop)
}

async fn deleted(session: &Session) -> Result<Vec<Uid>, UpstreamError> {
    Ok(session.run("SEARCH", "UID SEARCH DELETED".to_owned()).await?.found)
}

/// As if nothing had been, as far as that is still possible.
async fn take_back(session: &Session, work: &mut Work) {
    let unmarked = work.store(session, &work.left, "-FLAGS.SILENT (\\Deleted)").await;
    if unmarked.and(put_back(session, work).await).is_err() {
        tracing::warn!("marks set or lifted for EXPUNGE could not be taken back");
    }
}

async fn put_back(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    work.store(session, &work.lifted, "+FLAGS.SILENT (\\Deleted)").await?;
    work.lifted.clear();
    Ok(())
}
