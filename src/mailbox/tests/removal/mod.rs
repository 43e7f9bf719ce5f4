//! What DELE comes to at QUIT, and what its tests share.

mod bare;
mod by_uid;
mod plan;
mod sessions;

use super::*;

const OPENED: &str = r#"
    C: $a EXAMINE "INBOX"
    C: $b UID FETCH 1:* (UID RFC822.SIZE)
    S: * 0 EXISTS
    S: * OK [UIDVALIDITY 7] x
    S: $a OK x
    S: $b OK x
"#;

const SELECTED: &str = r#"
    C: $a SELECT "INBOX"
    S: * OK [UIDVALIDITY 7] x
    S: $a OK [READ-WRITE] x
"#;

/// Nothing special: what a removal that depends on no folder asks for.
const CAPABLE: &str = r#"
    C: $a CAPABILITY
    S: * CAPABILITY IMAP4rev1
    S: $a OK x
"#;

/// What a server can do besides.
fn capable(capabilities: &str) -> String {
    format!("C: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 {capabilities}\nS: $a OK x")
}

/// Capabilities, then the mailbox and the folders in one flight.
fn flown(capabilities: &str, folders: &str) -> String {
    let capable = capable(capabilities);
    format!(
        "{OPENED}
        {capable}
        C: $a SELECT \"INBOX\"
        C: $b LIST \"\" \"*\"
        S: * OK [UIDVALIDITY 7] x
        S: $a OK [READ-WRITE] x
        S: * LIST () \"/\" INBOX
        {folders}
        S: $b OK x"
    )
}

fn joined(parts: &[&str]) -> &'static str {
    parts.join("\n").leak()
}

/// The Trash's name in a command.
const BIN: &str = r#""Bin &AOk-""#;

const TRASH: &str = r#"S: * LIST (\HasNoChildren \Trash) "/" "Bin &AOk-""#;

/// A command that is answered OK, and nothing else.
fn done(command: &str) -> String {
    format!("C: $a {command}\nS: $a OK x")
}

/// Marked deleted, these UIDs.
fn marked(set: &str) -> String {
    done(&format!(r"UID STORE {set} +FLAGS.SILENT (\Deleted)"))
}

fn copied(set: &str) -> String {
    done(&format!("UID COPY {set} {BIN}"))
}

/// A look at which of these UIDs are there.
fn look(set: &str, there: &[u32]) -> String {
    format!("C: $a UID FETCH {set} (UID)\n{}S: $a OK x", told_of(there))
}

fn told_of(uids: &[u32]) -> String {
    (1..).zip(uids).map(|(number, uid)| format!("S: * {number} FETCH (UID {uid})\n")).collect()
}

/// Moved whole, as the look tells that travels with it.
fn moved(set: &str, folder: &str) -> String {
    format!("C: $a UID MOVE {set} {folder}\nC: $b UID FETCH {set} (UID)\nS: $a OK x\nS: $b OK x")
}

/// Removed whole by UID.
fn expunged(set: &str) -> String {
    let expunge = format!("C: $a UID EXPUNGE {set}\nC: $b UID FETCH {set} (UID)\nS: $a OK x\nS: $b OK x");
    [marked(set), expunge].join("\n")
}

/// What `update` says for DELE of 3, 4 and 9.
async fn update(provider: Provider) -> String {
    let (mut mailbox, _) = provider.open().await.unwrap();
    let outcome = mailbox.update(&[], &[uid(9), uid(3), uid(4)]).await;
    mailbox.close().await;
    provider.kept().await;
    match outcome {
        Ok(()) => "Ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

async fn check(delete: Delete, scripts: &[&'static str]) -> String {
    update(Provider::new(scripts).delete(delete)).await
}

const EXPUNGED: &str = r#"
    C: $a UID SEARCH DELETED
    S: * SEARCH 1 2 4
    S: $a OK x
    C: $a UID STORE 3:4,9 +FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID STORE 1:2 -FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID SEARCH DELETED
    S: * SEARCH 3 4 9
    S: $a OK x
    C: $a EXPUNGE
    S: * 3 EXPUNGE
    S: $a OK x
    C: $a UID STORE 1:2 +FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID FETCH 3:4,9 (UID)
    S: $a OK x"#;

/// Our marks and no other: 4 was marked by somebody else, as 1 and 2 were.
const TAKEN_BACK: &str = r#"
    C: $a UID STORE 3,9 -FLAGS.SILENT (\Deleted)
    S: $a OK x
    C: $a UID STORE 1:2 +FLAGS.SILENT (\Deleted)
    S: $a OK x"#;

/// All of ours are there.
const THERE: &str = r#"
    C: $a UID FETCH 3:4,9 (UID)
    S: * 3 FETCH (UID 3)
    S: * 4 FETCH (UID 4)
    S: * 5 FETCH (UID 9)
    S: $a OK x"#;

/// How the Trash stands before a COPY.
const STANDS: &str = r#"
    C: $a STATUS "Bin &AOk-" (MESSAGES UIDNEXT UIDVALIDITY)
    S: * STATUS "Bin &AOk-" (MESSAGES 5 UIDNEXT 10 UIDVALIDITY 1)
    S: $a OK x"#;

/// With a Trash, of a mailbox that was listed with the messages 3, 4 and 9, the first of so many octets.
fn flown_listed(size: u32, capabilities: &str) -> String {
    let opened = format!(
        "C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH 1:* (UID RFC822.SIZE)\n\
         S: * 3 EXISTS\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x\n\
         S: * 1 FETCH (UID 3 RFC822.SIZE {size})\nS: * 2 FETCH (UID 4 RFC822.SIZE 20)\n\
         S: * 3 FETCH (UID 9 RFC822.SIZE 30)\nS: $b OK x\n"
    );
    flown(capabilities, TRASH).replace(OPENED, &opened)
}
