//! The bridge ends as by a power cut, again and again, while apps retrieve and delete; every message is accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::bridge::{Config, Home, Program};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::{Imap, Stored};
use crate::support::wire::Wire;
use crate::{Dice, half_of, number_of};

/// Apps at the same time; each deletes the messages whose number is its own modulo this.
const APPS: usize = 3;

/// The INBOX is filled up to the second where less than the first is left.
const MESSAGES: (usize, usize) = (100, 300);

/// RFC 1939 §6: what was not deleted in a session that said QUIT is there, what was and heard +OK is in the Trash.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_that_moves_to_trash_loses_no_message() {
    rounds("trash", true).await;
}

/// The same where it is removed for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_that_expunges_loses_no_message_but_the_deleted() {
    rounds("expunge", false).await;
}

async fn rounds(delete: &str, trash: bool) {
    let mut dice = Dice::new(&format!("rounds with {delete}"));
    let user = format!("killed-{delete}@example.test");
    let imaps = Dovecot::shared().imaps();
    let mut direct = Imap::direct(imaps.port, &user).await;
    let config = Config::new(&user, &imaps).account(&format!("pop3.delete = \"{delete}\""));
    let home = Home::new(&config);
    let known = Arc::new(Mutex::new(Known::default()));
    for round in 0..half_of("FOOTBRIDGE_ROUNDS", 20) {
        fill(&mut direct, &known).await;
        let bridge = Program::start_in(&home, "debug");
        let dying = Arc::new(AtomicBool::new(false));
        let (quits, mut said) = mpsc::unbounded_channel();
        let apps: Vec<_> = (0..APPS)
            .map(|own| {
                let app = App {
                    bridge: bridge.pop3(),
                    user: user.clone(),
                    own,
                    dice: dice.split(),
                    known: known.clone(),
                    dying: dying.clone(),
                    quits: quits.clone(),
                };
                tokio::spawn(app.sessions())
            })
            .collect();
        // At any time, or while a removal is likely to be on its way.
        let mut micros = 500_000;
        if dice.one_in(2) {
            for _ in 0..1 + dice.below(6) {
                timeout(PATIENCE, said.recv()).await.expect("an app says QUIT").expect("apps go on");
            }
            micros = 20_000;
        }
        let instant = Duration::from_micros(u64::try_from(dice.below(micros)).expect("small"));
        tokio::time::sleep(instant).await;
        let log = bridge.log();
        dying.store(true, Ordering::SeqCst);
        bridge.kill();
        for app in apps {
            app.await.unwrap_or_else(|_| panic!("round {round}: an app saw what must not be"));
        }
        assert!(!log.contains("damaged"), "round {round}: the ledger did not outlive the kill:\n{log}");
        account(&mut direct, &known, trash, round).await;
    }
    let known = known.lock().expect("no app panicked");
    println!(
        "{delete}: {} messages, {} deleted and answered, {} deleted and not answered",
        known.octets.len(),
        known.answered.len(),
        known.asked.difference(&known.answered).count()
    );
    assert!(!known.answered.is_empty(), "nothing was put to the test");
}

/// What all apps know together.
#[derive(Default)]
struct Known {
    /// Of each message, by its number.
    octets: Vec<Vec<u8>>,
    unique_ids: BTreeMap<usize, String>,
    /// Deleted in a session that said QUIT.
    asked: BTreeSet<usize>,
    /// And heard +OK.
    answered: BTreeSet<usize>,
}

async fn fill(direct: &mut Imap, known: &Mutex<Known>) {
    let there = direct.messages("INBOX").await.len();
    if there >= MESSAGES.0 {
        return;
    }
    for _ in there..MESSAGES.1 {
        let octets = {
            let mut known = known.lock().expect("no app panicked");
            let number = known.octets.len();
            let text = ".a line of it\r\n".repeat(number % 50);
            let octets = format!("Subject: {number}\r\n\r\n{text}the end of {number}\r\n").into_bytes();
            known.octets.push(octets.clone());
            octets
        };
        let done = direct.append("INBOX", &octets).await;
        assert!(done.contains(" OK "), "{done}");
    }
}

/// A mail program that goes on until the bridge is gone.
struct App {
    bridge: SocketAddr,
    user: String,
    own: usize,
    dice: Dice,
    known: Arc<Mutex<Known>>,
    dying: Arc<AtomicBool>,
    quits: mpsc::UnboundedSender<()>,
}

impl App {
    async fn sessions(mut self) {
        while self.session().await.is_some() {}
        assert!(self.dying.load(Ordering::SeqCst), "the bridge ended a session of itself");
    }

    /// One session; `None` where the bridge is gone.
    async fn session(&mut self) -> Option<()> {
        let mut session = Session(Wire::connect(self.bridge).await.ok()?);
        session.line().await?;
        let user = format!("USER {}", self.user);
        for command in [user, format!("PASS {PASSWORD}")] {
            let answer = session.ask(&command).await?;
            assert!(answer.starts_with("+OK"), "{answer}");
        }
        let unique_ids = session.ask_lines("UIDL").await?.expect("UIDL is never refused");
        let unique_ids = String::from_utf8(unique_ids).expect("ASCII");
        let unique_ids: Vec<&str> = unique_ids.lines().collect();
        let mut deleted = Vec::new();
        for _ in 0..self.dice.below(16) {
            let position = self.dice.below(unique_ids.len());
            // Refused where another app has deleted it meanwhile, or this one has already.
            let Some(octets) = session.ask_lines(&format!("RETR {}", position + 1)).await? else { continue };
            let number = number_of(&octets);
            self.compare(number, &octets, unique_ids[position]);
            if number % APPS == self.own {
                let answer = session.ask(&format!("DELE {}", position + 1)).await?;
                assert!(answer.starts_with("+OK"), "{answer}");
                deleted.push(number);
            }
        }
        if self.dice.one_in(4) {
            return Some(()); // Gone without QUIT: nothing of it may be removed.
        }
        self.known().asked.extend(&deleted);
        let _ = self.quits.send(());
        let answer = session.ask("QUIT").await?;
        assert!(answer.starts_with("+OK"), "{answer}");
        self.known().answered.extend(&deleted);
        Some(())
    }

    fn compare(&self, number: usize, octets: &[u8], listed: &str) {
        let mut known = self.known();
        assert!(known.octets[number] == octets, "message {number} is not what was stored");
        let unique_id = listed.split(' ').nth(1).expect("a unique-id");
        let before = known.unique_ids.entry(number).or_insert_with(|| unique_id.to_owned());
        assert_eq!(before, unique_id, "the unique-id of message {number} has changed");
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no app panicked")
    }
}

/// A connection that may end at any octet; `None` is its end.
struct Session(Wire);

impl Session {
    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.0.hear_or_end()).await.expect("the bridge answers or is gone")
    }

    async fn ask(&mut self, command: &str) -> Option<String> {
        self.0.send(format!("{command}\r\n").as_bytes()).await.ok()?;
        self.line().await
    }

    /// The lines of a multi-line answer, or nothing where the command is refused.
    async fn ask_lines(&mut self, command: &str) -> Option<Option<Vec<u8>>> {
        let answer = self.ask(command).await?;
        if answer.starts_with("-ERR") {
            return Some(None);
        }
        let mut octets = Vec::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                return Some(Some(octets));
            }
            octets.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
            octets.extend_from_slice(b"\r\n");
        }
    }
}

/// Each message is in the INBOX or where it was deleted to, and in one place only.
async fn account(direct: &mut Imap, known: &Mutex<Known>, trash: bool, round: u64) {
    let begun = Instant::now();
    let (inbox, moved) = loop {
        // In this order: a move that Dovecot still carries out for the bridge that is gone hides nothing.
        let inbox = held(direct, "INBOX", known).await;
        let moved = held(direct, "Trash", known).await;
        match (inbox, moved) {
            (Some(inbox), Some(moved)) if inbox.keys().all(|number| !moved.contains_key(number)) => {
                break (inbox, moved);
            }
            _ => assert!(
                begun.elapsed() < PATIENCE,
                "round {round}: messages are half in INBOX, half in Trash"
            ),
        }
    };
    let known = known.lock().expect("no app panicked");
    for number in 0..known.octets.len() {
        let (kept, moved) = (inbox.get(&number), moved.contains_key(&number));
        if known.answered.contains(&number) {
            assert!(kept.is_none(), "round {round}: message {number} is back");
            assert_eq!(moved, trash, "round {round}: message {number} in Trash");
        } else if known.asked.contains(&number) {
            assert!(!trash || kept.is_some() || moved, "round {round}: message {number} is lost");
        } else {
            let kept = kept.unwrap_or_else(|| panic!("round {round}: message {number} is lost"));
            assert!(!kept.flags.contains("\\Deleted"), "round {round}: message {number} is marked");
        }
    }
}

/// What a folder holds, by number: each message once, whole. `None` where one was removed while it was being read:
/// Dovecot then tells of it without its octets, and stores no message that has none.
async fn held(direct: &mut Imap, folder: &str, known: &Mutex<Known>) -> Option<BTreeMap<usize, Stored>> {
    let mut held = BTreeMap::new();
    for stored in direct.messages(folder).await {
        if stored.octets.is_empty() {
            return None;
        }
        let number = number_of(&stored.octets);
        let whole = known.lock().expect("no app panicked").octets[number] == stored.octets;
        assert!(whole, "message {number} in {folder} is not what was stored");
        assert!(held.insert(number, stored).is_none(), "message {number} is twice in {folder}");
    }
    Some(held)
}
