//! The folder is a real one, and what is damaged in it, or full, is made so.

mod damage;
mod kept;
mod place;
mod tables;
mod waiting;
mod whose;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use redb::Database;
use redb::backends::FileBackend;

use super::book::FILE;
use super::fault::Fault;
use super::file::{Learnt, News};
use super::*;
use crate::mail::{HeaderIdentity, Identity, Listed, MessageSize, ObjectId, ToldSize, Uid, UidValidity};
use crate::store::Folder;

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn validity(number: u32) -> UidValidity {
    UidValidity::new(number).unwrap()
}

fn listed(uid_validity: u32, sizes: impl IntoIterator<Item = (u32, MessageSize)>) -> Listed {
    let messages: Vec<_> = sizes.into_iter().map(|(number, size)| (uid(number), size)).collect();
    let uid_next = Uid::new(messages.last().map_or(1, |(uid, _)| uid.get() + 1));
    Listed { uid_validity: validity(uid_validity), uid_next, messages }
}

fn told(uid_validity: u32, sizes: &[(u32, u64)]) -> Listed {
    listed(uid_validity, sizes.iter().map(|(number, octets)| (*number, MessageSize::told(*octets))))
}

fn news(listed: &Listed, identities: &[(u32, Identity)]) -> News {
    let identities = identities.iter().map(|(number, identity)| (uid(*number), *identity)).collect();
    News { listed: listed.clone(), identities }
}

/// By the server's word.
fn said(number: u64) -> Identity {
    Identity::told(ObjectId::Gmail(number))
}

/// Made of a header.
fn seen(number: u64) -> Identity {
    let mut header = HeaderIdentity::default();
    header.take(format!("Message-ID: <{number}>\r\n\r\n").as_bytes());
    header.finish(number).unwrap()
}

/// A place for a state folder, and what keeps it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("state");
    (outer, path)
}

/// One mailbox, whatever its name is.
fn page(ledger: &Ledger, key: Key) -> Page {
    Page::about(ledger.0.clone(), key)
}

async fn write(ledger: &Ledger, key: Key, listed: &Listed) {
    page(ledger, key).write(listed.clone(), Vec::new());
    ledger.written().await;
}

async fn read(ledger: &Ledger, key: Key) -> Option<Listed> {
    page(ledger, key).read().await
}

/// What is known of identities, as a login that finds the mailbox renumbered is told.
async fn identities(ledger: &Ledger) -> Vec<(u32, Identity)> {
    let before = page(ledger, 1).before().await.unwrap();
    before.identities.into_iter().map(|(uid, identity)| (uid.get(), identity)).collect()
}

/// The file's octets after some writing, and every state that was ever whole.
fn written(path: &Path) -> (Vec<u8>, Vec<Listed>) {
    let states: Vec<Listed> = (1..4)
        .map(|state| {
            let sizes = (1..2000).filter(|number| number % state == 0);
            told(state, &sizes.map(|number| (number * 3, u64::from(number))).collect::<Vec<_>>())
        })
        .collect();
    let file = Folder::open(path).unwrap().open_file(FILE).unwrap();
    let database = file::open(file).unwrap();
    for state in &states {
        file::write(&database, 1, Some(&news(state, &[])), None).unwrap();
    }
    drop(database);
    (fs::read(path.join(FILE)).unwrap(), states)
}
