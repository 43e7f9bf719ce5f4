//! What an app that goes from message to message is given, and what the tests of that share.

mod beginnings;
mod downwards;
mod poison;
mod upwards;

use std::fmt::Write;

use super::*;
use crate::proto::pop3::{Maildrop, MessageNumber, UniqueIds};

/// A mailbox of messages with UIDs from 11 on, of these sizes as upstream tells them; then `rest`.
fn opened(sizes: &[u64], rest: &str) -> &'static str {
    let mut script = String::from("C: $a EXAMINE \"INBOX\"\nC: $b UID FETCH 1:* (UID RFC822.SIZE)\n");
    let _ = writeln!(script, "S: * {} EXISTS\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x", sizes.len());
    for (number, size) in (1..).zip(sizes) {
        let _ = writeln!(script, "S: * {number} FETCH (UID {} RFC822.SIZE {size})", number + 10);
    }
    format!("{script}S: $b OK x\n{rest}").leak()
}

fn reopened(rest: &str) -> &'static str {
    format!("C: $a EXAMINE \"INBOX\"\nS: * OK [UIDVALIDITY 7] x\nS: $a OK x\n{rest}").leak()
}

/// The app asks for `set`, which is answered so.
fn asked(set: &str, answers: &[String]) -> String {
    format!("C: $c UID FETCH {set} (UID BODY.PEEK[])\n{}\nS: $c OK x\n", answers.join("\n"))
}

fn body(uid: u32, text: &str) -> String {
    format!("R: * 1 FETCH (UID {uid} BODY[] {{{}}}\\r\\n{text})\\r\\n", text.len())
}

/// An app at its mailbox.
struct App {
    mailbox: Mailbox,
    maildrop: Maildrop,
}

impl App {
    async fn open(provider: &Provider) -> Self {
        let (mailbox, listing) = provider.open().await.unwrap();
        let messages = listing.messages.iter().map(|message| (message.uid, message.octets));
        Self { mailbox, maildrop: Maildrop::new(UniqueIds::inbox(listing.uid_validity), messages) }
    }

    async fn begin(&mut self, number: u32) -> Result<Body, UpstreamError> {
        self.mailbox.retrieve(uid(number), &self.maildrop).await
    }

    /// What comes of RETR, as text.
    async fn retr(&mut self, number: u32) -> String {
        match self.begin(number).await {
            Ok(mut body) => {
                let (octets, end) = whole(&mut body).await;
                let octets = String::from_utf8(octets).unwrap();
                match end {
                    Ok(()) => {
                        assert_eq!(octets.len() as u64, body.octets());
                        octets
                    }
                    Err(error) => format!("{octets} and then {error:?}"),
                }
            }
            Err(error) => format!("{error:?}"),
        }
    }

    async fn top(&mut self, number: u32, lines: u32) -> String {
        let beginning = self.mailbox.look(uid(number), lines, &self.maildrop).await;
        beginning.map_or_else(|error| format!("{error:?}"), |octets| String::from_utf8_lossy(&octets).into())
    }

    fn delete(&mut self, message: u32) {
        self.maildrop.mark_deleted(MessageNumber::new(message - 10).unwrap()).unwrap();
    }

    async fn kept(&self, number: u32) -> bool {
        self.mailbox.resources.bodies.has(&self.mailbox.key(uid(number)))
    }
}

/// RETR of each in turn.
async fn check(provider: Provider, expected: &[(u32, &str)]) {
    let mut app = App::open(&provider).await;
    for (number, expected) in expected {
        let heard = app.retr(*number).await;
        assert!(heard.starts_with(expected), "{number}: {heard}");
    }
    app.mailbox.close().await;
    provider.kept().await;
}

const FIVE: &[(u32, &str)] = &[(11, "one"), (12, "two"), (13, "three"), (14, "four"), (15, "five")];

fn from_two() -> Vec<String> {
    FIVE[1..].iter().map(|(uid, text)| body(*uid, text)).collect()
}
