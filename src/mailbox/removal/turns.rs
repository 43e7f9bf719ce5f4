//! Who may use the bare EXPUNGE of a mailbox: one removal after the other.
//!
//! Two apps of one account may say QUIT at the same time. Each would take the marks of the other for foreign ones and lift
//! them, or see none where the other has lifted them and is about to put them back, right before an EXPUNGE.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A removal's, until it ends.
pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;

/// For the life of the bridge; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::mailbox) struct Turns(Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>>);

impl Turns {
    /// The same for all who ask about one mailbox; names that differ in case may name one (RFC 3501 §5.1).
    pub(super) fn of(&self, whose: &str, folder: &str) -> Turn {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let mailbox = format!("{whose}\n{}", folder.to_lowercase());
        turns.get(&mailbox).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turn = Turn::default();
            turns.insert(mailbox, Arc::downgrade(&turn));
            turn
        })
    }
}
