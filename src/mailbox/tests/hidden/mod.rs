//! `delete = "hide"`: what is deleted stays upstream and is not shown any more.

mod hints;
mod renumbered;
mod sessions;

use std::path::Path;

use super::*;
use crate::mail::{Numbering, UidValidity};
use crate::proto::pop3::UniqueIds;
use crate::store::{Hidden, Runs, Veil, Views};

/// The mailbox with these UIDs, numbered `uid_validity`.
fn opened(uid_validity: u32, uids: &[u32]) -> String {
    let rows: String = uids
        .iter()
        .enumerate()
        .map(|(at, uid)| format!("S: * {} FETCH (UID {uid} RFC822.SIZE 10)\n", at + 1))
        .collect();
    format!(
        "C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH 1:* (UID RFC822.SIZE)\nS: * {} EXISTS\n\
         S: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [PERMANENTFLAGS ()] read-only\nS: $a OK x\n{rows}S: $b OK x\n",
        uids.len()
    )
}

/// Hints are asked for, and these are there.
fn hints(range: &str, found: &str) -> String {
    format!("C: $a UID SEARCH UID {range} KEYWORD $FootbridgeHidden\nS: * SEARCH{found}\nS: $a OK x\n")
}

fn selected(uid_validity: u32, flags: &str) -> String {
    format!(
        "C: $a SELECT \"INBOX\"\nS: * OK [UIDVALIDITY {uid_validity}] x\nS: * OK [PERMANENTFLAGS ({flags})] x\n\
         S: $a OK [READ-WRITE] x\n"
    )
}

fn marked(set: &str) -> String {
    format!("C: $a UID STORE {set} +FLAGS.SILENT ($FootbridgeHidden)\nS: $a OK x\n")
}

fn joined(parts: &[&str]) -> &'static str {
    parts.concat().leak()
}

fn provider(state: &Path, scripts: &[&'static str]) -> Provider {
    let mut provider = Provider::new(scripts).delete(Delete::Hide);
    provider.resources.views = Views::in_folder(state);
    provider
}

/// What one session is shown, and what comes of its QUIT after DELE of `deleted`.
async fn session(provider: Provider, deleted: &[u32]) -> (Vec<u32>, String) {
    let (mut mailbox, listing) = provider.open().await.unwrap();
    let shown = listing.messages.iter().map(|message| message.uid.get()).collect();
    let deleted: Vec<Uid> = deleted.iter().map(|number| uid(*number)).collect();
    let outcome = mailbox.update(&[], &deleted).await;
    mailbox.close().await;
    provider.kept().await;
    (shown, outcome.map_or_else(|error| error.to_string(), |()| "Ok".to_owned()))
}

async fn check(state: &Path, script: &[&str], deleted: &[u32]) -> (Vec<u32>, String) {
    session(provider(state, &[joined(script)]), deleted).await
}

/// Shows a mailbox to an app that leaves, and says which of its keywords are owed then.
async fn looked(provider: &Provider) -> Runs {
    let (mailbox, _) = provider.open().await.unwrap();
    mailbox.leave().await;
    match provider.resources.views.view(&provider.account, "INBOX").read().await {
        Hidden::These(veil) => veil.owed,
        _ => Runs::default(),
    }
}

/// What is hidden, whatever is known of keywords.
async fn hidden(state: &Path) -> Hidden {
    match Views::in_folder(state).view(&account(), "INBOX").read().await {
        Hidden::These(veil) => Hidden::These(Veil { hidden: veil.hidden, ..Veil::new(veil.numbering) }),
        unknown => unknown,
    }
}

fn runs(uids: &[u32]) -> Runs {
    uids.iter().map(|number| uid(*number)).collect()
}

fn numbering(uid_validity: u32) -> Numbering {
    Numbering::first(UidValidity::new(uid_validity).unwrap())
}

fn these(uid_validity: u32, uids: &[u32]) -> Hidden {
    Hidden::These(Veil { hidden: runs(uids), ..Veil::new(numbering(uid_validity)) })
}

/// The file of what is hidden.
fn file(state: &Path) -> std::path::PathBuf {
    let paths = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    { paths }.find(|path| path.to_string_lossy().contains("/hidden-")).unwrap()
}

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let state = outer.path().join("state");
    (outer, state)
}
