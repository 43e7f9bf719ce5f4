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
//!
//! A connection that dies or falls silent while foreign marks are lifted: the next one puts them back before anything
//! else. Where there is none, or the bridge is stopped, they stay lifted and the log says so. No mail is lost by that: what the
//! other program meant to remove is still there.

use std::collections::BTreeSet;

use super::work::Work;
use crate::mail::Uid;
use crate::upstream::UpstreamError;
use crate::upstream::imap::Session;

/// Removes what is left of `work`, and nothing else.
pub(super) async fn expunge(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    let marked = deleted(session, work).await?;
    match mark_and_expunge(session, work, &marked).await {
        Ok(()) => {}
        // The session is over: the next one goes on, or takes back.
        Err(
            error @ (UpstreamError::Lost { .. } | UpstreamError::TimedOut { .. } | UpstreamError::TooLarge),
        ) => return Err(error),
        // Our UIDs may name other messages now: nothing can be taken back by them.
        Err(error @ UpstreamError::UidValidityChanged { .. }) => return Err(error),
        Err(error) => {
            take_back(session, work).await;
            return Err(error);
        }
    }
    // What cannot be put back is told when `work` ends.
    let _ = put_back(session, work).await;
    work.left = work.present(session, &work.left).await?;
    if work.left.is_empty() { Ok(()) } else { Err(doubt("it left messages in the mailbox")) }
}

/// Makes ours the only marks there are, and expunges; `marked` are those that were there before.
async fn mark_and_expunge(
    session: &Session,
    work: &mut Work,
    marked: &BTreeSet<Uid>,
) -> Result<(), UpstreamError> {
    let ours: BTreeSet<Uid> = work.left.iter().copied().collect();
    work.marked.extend(ours.difference(marked));
    work.store(session, &work.left, "+FLAGS.SILENT (\\Deleted)").await?;
    work.lifted = marked.difference(&ours).copied().collect();
    work.store(session, &work.lifted, "-FLAGS.SILENT (\\Deleted)").await?;
    let now = deleted(session, work).await?;
    if !now.is_subset(&ours) {
        return Err(doubt("other messages are marked deleted and would go too"));
    }
    // A SEARCH that does not find ours would not have found foreign ones either.
    let unseen: Vec<Uid> = ours.difference(&now).copied().collect();
    if !work.present(session, &unseen).await?.is_empty() {
        return Err(doubt("it does not tell which messages are marked deleted"));
    }
    work.run(session, "EXPUNGE", "EXPUNGE".to_owned()).await.map(drop)
}

async fn deleted(session: &Session, work: &Work) -> Result<BTreeSet<Uid>, UpstreamError> {
    let answer = work.run(session, "SEARCH", "UID SEARCH DELETED".to_owned()).await?;
    Ok(answer.found.into_iter().collect())
}

fn doubt(text: &str) -> UpstreamError {
    UpstreamError::Refused { command: "EXPUNGE", text: text.to_owned() }
}

/// As if nothing had been, as far as that is still possible.
pub(super) async fn take_back(session: &Session, work: &mut Work) {
    let marked: Vec<Uid> = std::mem::take(&mut work.marked).into_iter().collect();
    // What stays marked is what the app wanted to be rid of.
    let _ = work.store(session, &marked, "-FLAGS.SILENT (\\Deleted)").await;
    let _ = put_back(session, work).await;
}

async fn put_back(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    work.store(session, &work.lifted, "+FLAGS.SILENT (\\Deleted)").await?;
    work.lifted.clear();
    Ok(())
}
