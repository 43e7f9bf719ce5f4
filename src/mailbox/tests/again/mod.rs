//! Listing a mailbox that was listed before.

mod identities;
mod listed;
mod restored;
mod sizes;

use super::*;
use crate::proto::pop3::UniqueIds;

/// UIDs 3, 5 and 8.
const FIRST: &str = r#"
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 1:* (UID RFC822.SIZE)
    S: * 3 EXISTS
    S: * OK [UIDVALIDITY 7] numbers
    S: * OK [UIDNEXT 9] next
    S: $a OK done
    S: * 1 FETCH (UID 3 RFC822.SIZE 30)
    S: * 2 FETCH (UID 5 RFC822.SIZE 50)
    S: * 3 FETCH (UID 8 RFC822.SIZE 80)
    S: $b OK done
"#;

/// The last listing when the mailbox was found like this, one time after the other; with `capabilities` told.
async fn listings(scripts: &[&'static str]) -> String {
    let (provider, _folder) = Provider::new(scripts).ledger();
    let mut heard = String::new();
    for _ in scripts {
        let outcome = provider.open().await;
        heard = match outcome {
            Ok((mailbox, listing)) => {
                mailbox.close().await;
                shown(&listing)
            }
            Err(error) => format!("{error:?}"),
        };
        provider.resources.ledger.written().await;
    }
    provider.kept().await;
    heard
}

fn shown(listing: &Listing) -> String {
    let messages = listing.messages.iter().map(|message| format!(" {}:{}", message.uid, message.octets));
    listing.uid_validity.to_string() + &messages.collect::<String>()
}

/// What the flight says where UID 8 is the last that is known, when the mailbox was opened with so many messages and this
/// UIDNEXT, and what comes then.
fn again(exists: u32, uid_next: u32, rest: &str) -> &'static str {
    since(8, exists, uid_next, rest)
}

/// The same with what is asked from UID `from` on.
fn since(from: u32, exists: u32, uid_next: u32, rest: &str) -> &'static str {
    let script = format!(
        r#"
        C: $a EXAMINE "INBOX"
        C: $b UID FETCH {from}:* (UID RFC822.SIZE)
        S: * {exists} EXISTS
        S: * OK [UIDVALIDITY 7] numbers
        S: * OK [UIDNEXT {uid_next}] next
        S: $a OK done
        {rest}
    "#
    );
    script.leak()
}
