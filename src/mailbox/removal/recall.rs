//! What copies are left of earlier QUITs, and what this one leaves to the next: a removal's side of `copies`.

use super::copies::Copied;
use super::work::Work;
use crate::mail::Uid;
use crate::upstream::UpstreamError;
use crate::upstream::imap::Session;

impl Work {
    /// Takes note of what has a copy in `folder` since an earlier QUIT, and of how that stands before there are more.
    pub(super) async fn recall(&mut self, session: &Session, folder: &str) -> Result<(), UpstreamError> {
        if self.before.is_some() {
            return Ok(());
        }
        let status = format!("STATUS {folder} (MESSAGES UIDNEXT UIDVALIDITY)");
        let standing = match session.run("STATUS", status).await {
            Ok(answer) => answer.standing,
            Err(UpstreamError::Refused { .. }) => None,
            Err(error) => return Err(error),
        };
        let Some(now) = standing else { return Ok(()) };
        self.before = Some((folder.to_owned(), now));
        self.earlier =
            self.earlier.take().filter(|earlier| earlier.folder == folder && earlier.is_there(now));
        if let Some(earlier) = &self.earlier {
            self.copied.extend(self.left.iter().filter(|uid| earlier.uids.contains(uid)));
        }
        Ok(())
    }

    /// What a later QUIT need not copy.
    pub(super) fn copied_in_vain(&mut self) -> Option<Copied> {
        let in_vain = self.left.iter().filter(|uid| self.copied.contains(uid)).count();
        if in_vain > 0 {
            tracing::warn!(in_vain, "messages were copied and could not be removed from where they are");
        }
        let earlier = self.earlier.take();
        let (folder, before) = match self.before.take() {
            Some((folder, before)) => (folder, Some(before)),
            None if in_vain > 0 => (String::new(), None),
            None => return earlier,
        };
        let earlier = earlier.map(|earlier| earlier.uids).unwrap_or_default();
        let made = self.copied.difference(&earlier).count();
        let removed = |uid: &Uid| self.wanted.contains(uid) && !self.left.contains(uid);
        let uids = self.copied.union(&earlier).copied().filter(|uid| !removed(uid)).collect();
        Some(Copied { folder, before, made, uids })
    }
}
