//! A listing that builds on an earlier one.
//!
//! ```text
//!  known + new = EXISTS   all is as it was, but for what is new
//!  known + new > EXISTS   something vanished: B3 UID SEARCH says what of the known is left
//!  known + new < EXISTS   what is known is wrong, or the server is: listed as if nothing were known
//! ```
//!
//! The last of the known is asked for once more, and what upstream says of its size has to be as before, as of any other
//! known one that it names: a mailbox that was restored from a backup may hand out its UIDs again, under the same
//! UIDVALIDITY.
//!
//! No message is taken for there, or for gone, unless the numbers add up.

use super::conversation::{Conversation, Octets, has};
use super::listing::{List, Ranges};
use crate::mail::{Listed, MessageSize, Uid};
use crate::proto::imap::response::Status;
use crate::upstream::UpstreamError;

/// How many known messages one SEARCH is about: an answer that names each by itself stays well below the longest
/// response we hold.
const SEARCHED: usize = 50_000;

impl<S: Octets> Conversation<S> {
    /// The mailbox that was opened, from what is `known` of it and what is `new`, and whether that is nothing; `None`
    /// where they do not make up what is there. `uid_next` is what upstream said when it was opened.
    pub(super) async fn catch_up(
        &mut self,
        known: &mut Listed,
        uid_next: Option<Uid>,
        new: &mut List,
    ) -> Result<Option<(Vec<(Uid, MessageSize)>, bool)>, UpstreamError> {
        let messages = &mut known.messages;
        let last = messages.last().map(|(uid, _)| *uid);
        // A server that does not tell, or that takes numbers back, is not built upon.
        let Some(uid_next) = uid_next.filter(|next| Some(*next) >= known.uid_next && Some(*next) > last)
        else {
            return Ok(None);
        };
        if let Some((uid, size)) = new.last_known
            && let Ok(at) = messages.binary_search_by_key(&uid, |(uid, _)| *uid)
            && messages.get(at).is_some_and(|(_, known)| known.as_told().differs(size.as_told()))
        {
            return Ok(None);
        }
        new.settle();
        // Mail that came since the mailbox was opened is welcome, but was not counted.
        let counted = new.messages.partition_point(|(uid, _)| *uid < uid_next);
        let before = messages.len();
        if before + counted > self.there(new) {
            let Some(left) = self.left_of(messages, new).await? else { return Ok(None) };
            keep_only(messages, left);
        }
        if messages.len() + counted != self.there(new) {
            return Ok(None);
        }
        let as_known = messages.len() == before && new.messages.is_empty();
        messages.append(&mut new.messages);
        Ok(Some((std::mem::take(messages), as_known)))
    }

    /// Which UIDs between the first and the last of `known` there are still; `None` where upstream does not say.
    async fn left_of(
        &mut self,
        known: &[(Uid, MessageSize)],
        list: &mut List,
    ) -> Result<Option<Ranges>, UpstreamError> {
        // RFC 4731; a part of RFC 9051.
        let compact = |list: &Vec<String>| has(list, "ESEARCH") || has(list, "IMAP4rev2");
        let compact = self.heard().capabilities.as_ref().is_some_and(compact);
        let answer = if compact { "RETURN (ALL) " } else { "" };
        self.wire().laborious();
        let mut tags = Vec::new();
        for part in known.chunks(SEARCHED) {
            if let (Some((first, _)), Some((last, _))) = (part.first(), part.last()) {
                tags.push(self.wire().queue(&format!("UID SEARCH {answer}UID {first}:{last}")));
            }
        }
        let mut all = true;
        for tag in tags {
            all &= self.completed(&tag, list, "SEARCH").await?.status == Status::Ok;
        }
        Ok((all && !list.unread).then(|| std::mem::take(&mut list.found)))
    }
}

/// Leaves those messages whose UIDs are in one of the ranges.
fn keep_only(messages: &mut Vec<(Uid, MessageSize)>, mut ranges: Ranges) {
    ranges.sort_unstable();
    let mut ranges = ranges.into_iter().peekable();
    messages.retain(|(uid, _)| {
        // Ranges may overlap: one that ends below this message ends below all that follow.
        while ranges.next_if(|(_, last)| last < uid).is_some() {}
        ranges.peek().is_some_and(|(first, _)| first <= uid)
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_in_a_range_stays(
            known in prop::collection::btree_set(1u32..60, 0..40),
            ranges in prop::collection::vec((1u32..60, 0u32..9), 0..9),
        ) {
            let uid = |number| Uid::new(number).unwrap();
            let expected: Vec<u32> = known.iter().copied()
                .filter(|uid| ranges.iter().any(|(first, more)| (*first..=first + more).contains(uid)))
                .collect();
            let mut messages: Vec<_> = known.into_iter().map(|number| (uid(number), MessageSize::UNKNOWN)).collect();
            keep_only(&mut messages, ranges.iter().map(|(first, more)| (uid(*first), uid(first + more))).collect());
            prop_assert_eq!(messages.iter().map(|(uid, _)| uid.get()).collect::<Vec<_>>(), expected);
        }
    }
}
