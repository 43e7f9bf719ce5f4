//! Whatever happens to the provider's end of a POP3 session, and at whichever octet: nothing is lost, no part of a
//! message is ended as if it were all, and `+OK` to QUIT means that the deleted message has gone where it should.
//!
//! `FOOTBRIDGE_POSITIONS` says at how many octets of a session, each at another; a failure prints the octet.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::support::PATIENCE;
use crate::support::bridge::{Config, InProcess};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::flawed::{Flaw, Flawed};
use crate::support::imap::Imap;
use crate::support::mail;
use crate::support::pop3::as_pop3_has_it;
use crate::support::wire::Wire;

/// Sessions of a test.
const POSITIONS: usize = 60;

/// Sessions at a time: much of one may be waiting.
const AT_ONCE: usize = 4;

/// How long a provider may be silent, where that is what is wrong with it, and where it is not.
const SILENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

#[tokio::test]
async fn a_connection_that_breaks_at_any_octet_loses_nothing() {
    each(Flaw::Reset).await;
}

#[tokio::test]
async fn a_connection_that_ends_at_any_octet_loses_nothing() {
    each(Flaw::Ends).await;
}

/// And holds nobody up for ever.
#[tokio::test]
async fn a_provider_that_falls_silent_at_any_octet_loses_nothing() {
    each(Flaw::Silence).await;
}

#[tokio::test]
async fn noise_at_any_octet_loses_nothing() {
    each(Flaw::Noise(b"\0\xff)\x16 {x}\r\n(~".to_vec())).await;
}

#[tokio::test]
async fn a_line_that_is_none_at_any_octet_loses_nothing() {
    each(Flaw::Noise(b"\r\n* SPAM (a b\r\n".to_vec())).await;
}

async fn each(flaw: Flaw) {
    let name = format!("{flaw:?}").chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let user = |number: usize| format!("{}-{number}@example.test", name.to_lowercase());
    let octets = Account::new(user(0)).await.session(None).await;
    let tasks = Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    let sessions =
        std::env::var("FOOTBRIDGE_POSITIONS").map_or(POSITIONS, |text| text.parse().expect("a number"));
    let stride = (octets / sessions.min(octets)).max(1);
    let first = usize::try_from(RandomState::new().hash_one(&name) % stride as u64).expect("small");
    let all: Vec<usize> = (first..octets).step_by(stride).collect();
    let shares = all.chunks(all.len().div_ceil(AT_ONCE)).enumerate().map(async |(number, share)| {
        let mut account = Account::new(user(number)).await;
        for after in share {
            println!("{flaw:?} after {after} of {octets} octets");
            account.session(Some((*after, flaw.clone()))).await;
        }
    });
    join_all(shares).await;
    // Of bridges that have stopped nothing goes on.
    let begun = Instant::now();
    while tasks.num_alive_tasks() > before {
        assert!(begun.elapsed() < PATIENCE, "{} tasks, {before} before", tasks.num_alive_tasks());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A mailbox with two messages at the beginning of each session.
struct Account {
    user: String,
    direct: Imap,
    /// How many messages there were so far: no two are the same.
    count: usize,
}

/// What the app knows at the end.
#[derive(Debug, Default)]
struct Known {
    deleted: bool,
    said_quit: bool,
    heard_ok: bool,
}

impl Account {
    async fn new(user: String) -> Self {
        let direct = Imap::direct(Dovecot::shared().imaps().port, &user).await;
        Self { user, direct, count: 0 }
    }

    /// One session; how many octets the provider said.
    async fn session(&mut self, flaw: Option<(usize, Flaw)>) -> usize {
        let told = format!("{flaw:?}");
        let messages = [self.message(900), self.message(5_000)];
        for message in &messages {
            let done = self.direct.append("INBOX", message).await;
            assert!(done.contains(" OK "), "{done}");
        }
        let silence = if matches!(flaw, Some((_, Flaw::Silence))) { SILENCE.0 } else { SILENCE.1 };
        let way = Flawed::before(&Dovecot::shared().imaps(), flaw).await;
        let mut settings = Config::new(&self.user, &way.remote()).account("pop3.delete = \"trash\"").parsed();
        settings.deadlines.greeting = silence;
        settings.deadlines.upstream_progress = silence;
        settings.deadlines.upstream_work = silence;
        let bridge = InProcess::start(settings).await;
        let app = App(Wire::connect(bridge.pop3()).await.expect("the bridge answers"));
        let known = app.session(&self.user, &messages).await;
        let octets = way.said();
        assert!(known.heard_ok || told != "None", "without a flaw all goes well");
        bridge.stopped().await;
        self.check(&messages, &known, &told).await;
        octets
    }

    fn message(&mut self, octets: usize) -> Vec<u8> {
        self.count += 1;
        let header = format!("Subject: {}\r\n", self.count).into_bytes();
        [header, mail::large(octets)].concat()
    }

    /// Each message is where it must be, once and whole; then the mailbox is empty again.
    async fn check(&mut self, messages: &[Vec<u8>; 2], known: &Known, flaw: &str) {
        let begun = Instant::now();
        let (inbox, trash) = loop {
            // In this order: a move that Dovecot still carries out for a bridge that has given up hides nothing.
            let inbox = self.held("INBOX").await;
            let trash = self.held("Trash").await;
            if !inbox.contains(&messages[0]) || !trash.contains(&messages[0]) {
                break (inbox, trash);
            }
            assert!(begun.elapsed() < PATIENCE, "{flaw}: the message is in two places");
        };
        let asked = known.deleted && known.said_quit;
        let (kept, moved) = (inbox.contains(&messages[0]), trash.contains(&messages[0]));
        assert!(kept != moved, "{flaw}: {known:?}: in INBOX {kept}, in Trash {moved}");
        assert!(!moved || asked, "{flaw}: {known:?}: removed, and nobody asked for it");
        assert!(moved || !(asked && known.heard_ok), "{flaw}: {known:?}: +OK, and it is still there");
        assert!(inbox.contains(&messages[1]), "{flaw}: the other message is lost");
        assert_eq!(inbox.len() + trash.len(), 2, "{flaw}: there is a message twice");
        for folder in ["INBOX", "Trash"] {
            self.direct.ok(&format!("SELECT {folder}")).await;
            self.direct.ok("UID STORE 1:* +FLAGS.SILENT (\\Deleted)").await;
            self.direct.ok("EXPUNGE").await;
        }
    }

    async fn held(&mut self, folder: &str) -> Vec<Vec<u8>> {
        let messages = self.direct.messages(folder).await;
        for message in &messages {
            assert!(!message.flags.contains("\\Deleted"), "{folder}: a message is left marked");
        }
        messages.into_iter().map(|message| message.octets).collect()
    }
}

/// An app that goes on as long as it is answered, and logs in once more where it was refused.
struct App(Wire);

impl App {
    /// Hangs up at the end.
    async fn session(mut self, user: &str, messages: &[Vec<u8>; 2]) -> Known {
        let mut known = Known::default();
        self.until_the_end(user, messages, &mut known).await;
        known
    }

    /// `None` where the connection has ended.
    async fn until_the_end(&mut self, user: &str, messages: &[Vec<u8>; 2], known: &mut Known) -> Option<()> {
        assert!(self.line().await?.starts_with("+OK"));
        // The second login meets no flaw; on a computer that is busy with others it may be refused all the same.
        let (mut refusals, begun) = (Vec::new(), Instant::now());
        while let Some(refusal) = self.log_in(user).await? {
            refusals.push(refusal);
            assert!(begun.elapsed() < PATIENCE, "nobody can log in any more: {refusals:#?}");
        }
        let listing = self.lines("LIST").await??;
        assert_eq!(listing.iter().filter(|octet| **octet == b'\n').count(), 2, "both messages are listed");
        let mut whole = [false; 2];
        for (at, message) in messages.iter().enumerate() {
            if let Some(octets) = self.lines(&format!("RETR {}", at + 1)).await? {
                assert!(octets == as_pop3_has_it(message), "message {} is another, or not whole", at + 1);
                whole[at] = true;
            }
        }
        known.deleted = self.ask("DELE 1").await?.starts_with("+OK");
        assert!(known.deleted || !whole[0], "DELE of what came whole is refused");
        known.said_quit = true;
        known.heard_ok = self.ask("QUIT").await?.starts_with("+OK");
        Some(())
    }

    /// Why it was refused, if it was.
    async fn log_in(&mut self, user: &str) -> Option<Option<String>> {
        assert!(self.ask(&format!("USER {user}")).await?.starts_with("+OK"));
        let answer = self.ask(&format!("PASS {PASSWORD}")).await?;
        // The password is right, and no app must ask its user for another one.
        let refused = answer.starts_with("-ERR [SYS/TEMP] ") || answer.starts_with("-ERR [SYS/PERM] ");
        assert!(refused || answer.starts_with("+OK"), "{answer}");
        Some(refused.then_some(answer))
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.0.hear_or_end()).await.expect("the bridge answers, or ends the session")
    }

    async fn ask(&mut self, command: &str) -> Option<String> {
        self.0.send(format!("{command}\r\n").as_bytes()).await.ok()?;
        self.line().await
    }

    /// The lines of a multi-line answer, or `Some(None)` where the command is refused.
    async fn lines(&mut self, command: &str) -> Option<Option<Vec<u8>>> {
        if !self.ask(command).await?.starts_with("+OK") {
            return Some(None);
        }
        let mut octets = Vec::new();
        loop {
            let line = self.line().await?;
            match line.strip_prefix('.') {
                Some("") => return Some(Some(octets)),
                Some(unstuffed) => octets.extend_from_slice(unstuffed.as_bytes()),
                None => octets.extend_from_slice(line.as_bytes()),
            }
            octets.extend_from_slice(b"\r\n");
        }
    }
}
