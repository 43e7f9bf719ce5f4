//! How a login lists its mailbox: from what the ledger knows, with what upstream says.
//!
//! ```text
//!  ledger ──read while the login is under way──▶ known ─┐
//!  upstream ◀── EXAMINE, and what came behind it ───────┴──▶ listed ──▶ the app
//!  ledger ◀── written in the background, where anything is new ─┘
//! ```

use super::{Listing, Message};
use crate::mail::{Listed, MessageSize, Names, ToldSize, Uid};
use crate::store::Page;
use crate::upstream::imap::Examined;

/// What upstream told of the messages' sizes, by ascending UID.
pub(super) type Told = Vec<(Uid, ToldSize)>;

/// The mailbox as the app is shown it, and what was told of it; what is new of it goes into the ledger.
pub(super) fn listing(examined: Examined, names: Names, page: &Page) -> (Listing, Told) {
    let Examined { mut listed, as_known, lasting, identities, .. } = examined;
    page.correct(&mut listed);
    if lasting && !as_known {
        page.write(to_remember(&listed), identities.unwrap_or_default());
    }
    let told = listed.messages.iter().map(|(uid, size)| (*uid, size.as_told())).collect();
    let shown = |(uid, size): (_, MessageSize)| Message { uid, octets: size.octets() };
    let messages = listed.messages.into_iter().map(shown).collect();
    (Listing { uid_validity: listed.uid_validity, names, messages }, told)
}

/// Up to the first message of which no size was told: it, and what follows, is asked for again the next time.
fn to_remember(listed: &Listed) -> Listed {
    let sized = listed.messages.iter().take_while(|(_, size)| size.is_known()).count();
    let messages = listed.messages.get(..sized).unwrap_or_default().to_vec();
    let behind = |uid: Uid| Uid::new(uid.get().checked_add(1)?);
    // Mail that came while we listed has a higher UID than we were told to expect.
    let last = messages.last().map(|(uid, _)| *uid);
    let uid_next = match (listed.uid_next, last) {
        (Some(next), Some(last)) if next <= last => behind(last),
        (next, _) => next,
    };
    Listed { uid_next, messages, ..*listed }
}
