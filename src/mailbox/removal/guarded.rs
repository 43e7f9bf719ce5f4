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
//! Any doubt on the way takes our marks back, puts theirs back, and is an error. Where the messages have to be copied
//! first, what can be in doubt is looked at before that: else a server that always leaves some would be given one more
//! copy with every QUIT. Ours are not marked for that look. A server, or another program, may expunge what is marked, and
//! only what is copied bears that.
//!
//! One race is left: a message that
//! another program marks between the second SEARCH and EXPUNGE, which is one round trip, is removed with ours. Who
//! cannot live with it sets `delete = "flag"`, which never expunges.
//!
//! A connection that dies or falls silent while foreign marks are lifted: the next one puts them back before anything
//! else, but not while an EXPUNGE may still be on its way, which would find them then. It is past when ours are gone, or
//! when a later one was answered. Where they cannot be put back, or the bridge is stopped, they stay lifted and the log
//! says so. No mail is lost by that: what the other program meant to remove is still there.

use std::collections::BTreeSet;

use super::work::Work;
use crate::mail::Uid;
use crate::upstream::UpstreamError;
use crate::upstream::imap::Session;

/// Removes what is left of `work`, and nothing else.
pub(super) async fn expunge(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    let marked = deleted(session).await?;
    let expunged = mark_and_expunge(session, work, &marked).await;
    or_take_back(session, work, expunged).await?;
    // What cannot be put back is told when `work` ends.
    let _ = put_back(session, work).await;
    work.left = work.present(session, &work.left).await?;
    if work.left.is_empty() {
        return Ok(());
    }
    or_take_back(session, work, Err(doubt("it left messages in the mailbox"))).await
}

/// Whether [`expunge`] would do it, as far as that shows without a mark of ours.
///
/// # Errors
/// It would not; everything is as it was.
pub(super) async fn rehearse(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    let marked = deleted(session).await?;
    if marked.is_empty() {
        return finds_ours(session, work).await;
    }
    let lifted = lift(session, work, &marked).await;
    or_take_back(session, work, lifted).await?;
    put_back(session, work).await
}

/// Where nothing is marked SEARCH may also be one that never finds anything.
async fn finds_ours(session: &Session, work: &Work) -> Result<(), UpstreamError> {
    let searches = work.commands("SEARCH", &work.left, 0, |set| format!("UID SEARCH UID {set}"));
    let answers = work.run_all(session, searches).await?;
    let found: BTreeSet<Uid> = answers.into_iter().flat_map(|answer| answer.found).collect();
    let unseen: Vec<Uid> = work.left.iter().copied().filter(|uid| !found.contains(uid)).collect();
    none_there(session, work, &unseen).await
}

/// Lifts what others have `marked`, and looks whether that was all.
async fn lift(
    session: &Session,
    work: &mut Work,
    marked: &BTreeSet<Uid>,
) -> Result<BTreeSet<Uid>, UpstreamError> {
    let ours: BTreeSet<Uid> = work.left.iter().copied().collect();
    let foreign: Vec<Uid> = marked.difference(&ours).copied().collect();
    if !foreign.is_empty() {
        // Beside what an earlier attempt could not put back.
        work.lifted.extend(&foreign);
        work.store(session, &foreign, "-FLAGS.SILENT (\\Deleted)").await?;
    }
    let now = deleted(session).await?;
    if !now.is_subset(&ours) {
        return Err(doubt("other messages are marked deleted and would go too"));
    }
    Ok(now)
}

/// Makes ours the only marks there are, and expunges; `marked` are those that were there before.
async fn mark_and_expunge(
    session: &Session,
    work: &mut Work,
    marked: &BTreeSet<Uid>,
) -> Result<(), UpstreamError> {
    work.marked.extend(work.left.iter().filter(|uid| !marked.contains(uid)));
    work.store(session, &work.left, "+FLAGS.SILENT (\\Deleted)").await?;
    let now = lift(session, work, marked).await?;
    let unseen: Vec<Uid> = work.left.iter().copied().filter(|uid| !now.contains(uid)).collect();
    none_there(session, work, &unseen).await?;
    if now.is_empty() {
        // They went without us: whatever is marked by now is somebody else's.
        return Ok(());
    }
    let expunged = session.run("EXPUNGE", "EXPUNGE".to_owned()).await;
    match &expunged {
        Ok(_) => work.expunging = false,
        Err(UpstreamError::Lost { .. } | UpstreamError::TimedOut { .. } | UpstreamError::TooLarge) => {
            work.expunging = true;
        }
        Err(_) => {}
    }
    expunged.map(drop)
}

/// What SEARCH should have found and did not must be gone: one that is blind to ours is so to foreign marks too.
async fn none_there(session: &Session, work: &Work, unseen: &[Uid]) -> Result<(), UpstreamError> {
    if work.present(session, unseen).await?.is_empty() {
        return Ok(());
    }
    Err(doubt("it does not tell which messages are marked deleted"))
}

async fn deleted(session: &Session) -> Result<BTreeSet<Uid>, UpstreamError> {
    let answer = session.run("SEARCH", "UID SEARCH DELETED".to_owned()).await?;
    Ok(answer.found.into_iter().collect())
}

fn doubt(text: &str) -> UpstreamError {
    UpstreamError::Refused { command: "EXPUNGE", text: text.to_owned() }
}

/// Undoes what an error has left half done, where that can be.
async fn or_take_back<T>(
    session: &Session,
    work: &mut Work,
    outcome: Result<T, UpstreamError>,
) -> Result<T, UpstreamError> {
    match &outcome {
        // The session is over: the next one goes on, or takes back.
        Ok(_)
        | Err(UpstreamError::Lost { .. } | UpstreamError::TimedOut { .. } | UpstreamError::TooLarge) => {}
        // Our UIDs may name other messages now: nothing can be taken back by them.
        Err(UpstreamError::UidValidityChanged { .. }) => {}
        Err(_) => take_back(session, work).await,
    }
    outcome
}

/// What is left, over the next connection; an EXPUNGE that was not answered over the last one is past when that is nothing.
pub(super) async fn look_again(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    work.left = work.present(session, &work.left).await?;
    if work.left.is_empty() {
        work.marked.clear();
        work.expunging = false;
        put_back(session, work).await?;
    }
    Ok(())
}

/// As if nothing had been, as far as that is still possible.
pub(super) async fn take_back(session: &Session, work: &mut Work) {
    let marked: Vec<Uid> = std::mem::take(&mut work.marked).into_iter().collect();
    // What stays marked is what the app wanted to be rid of.
    let _ = work.store(session, &marked, "-FLAGS.SILENT (\\Deleted)").await;
    let _ = put_back(session, work).await;
}

/// Gives others the marks back that were lifted, unless an EXPUNGE may still come and find them.
pub(super) async fn put_back(session: &Session, work: &mut Work) -> Result<(), UpstreamError> {
    if work.expunging {
        return Ok(());
    }
    let lifted: Vec<Uid> = work.lifted.iter().copied().collect();
    work.store(session, &lifted, "+FLAGS.SILENT (\\Deleted)").await?;
    work.lifted.clear();
    Ok(())
}
