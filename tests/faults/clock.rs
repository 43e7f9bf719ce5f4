//! A clock that is set while the bridge runs: by hand, by a network that is found late, by a battery that was empty.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::support::bridge::{Config, Home, Program};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::mail;
use crate::support::pop3::{Pop3, as_pop3_has_it};

const YEAR: u64 = 31_556_952;

/// The clock of one program.
struct Clock(TempDir);

impl Clock {
    fn new() -> Self {
        let clock = Self(TempDir::with_prefix("footbridge-clock-").expect("a temporary folder"));
        clock.set("+0");
        clock
    }

    /// Off by so much from now on, `-10y` for example.
    fn set(&self, off: &str) {
        // In one step: it is looked at all the time.
        let new = self.0.path().join("new");
        std::fs::write(&new, off).expect("a file is written");
        std::fs::rename(new, self.file()).expect("a file is renamed");
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("clock")
    }

    /// The program with this clock. The one that measures how long things take is not set by anybody.
    fn start(&self, config: &Config) -> Program {
        let home = Home::new(config);
        let mut command = home.command();
        command
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        Program::start_by(&home, command, "info")
    }
}

/// The library that tells a program another time.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder").map_while(Result::ok);
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    files.find(|file| file.exists()).expect("libfaketime is installed")
}

fn year() -> u64 {
    1970 + SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / YEAR
}

/// Sessions go on, new ones begin, messages come as they are and are deleted as asked.
#[tokio::test]
async fn a_clock_that_is_set_ends_no_session_and_loses_nothing() {
    let user = "clock@example.test";
    let imaps = Dovecot::shared().imaps();
    let messages: Vec<Vec<u8>> = (0..12).map(|number| mail::large(500 + 100 * number)).collect();
    let mut direct = Imap::direct(imaps.port, user).await;
    for message in &messages {
        let done = direct.append("INBOX", message).await;
        assert!(done.contains(" OK "), "{done}");
    }
    let clock = Clock::new();
    let config = Config::new(user, &imaps).account("pop3.delete = \"expunge\"");
    let mut bridge = clock.start(&config);
    let mut long = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    let mut left: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    for (number, off) in (1..).zip(["+1h", "-1h", "+10y", "-10y", "+0"]) {
        clock.set(off);
        // One that was open before: over the session upstream that it has, and from the cache.
        let octets = long.lines(&format!("RETR {number}")).await;
        assert!(octets == as_pop3_has_it(&messages[number - 1]), "message {number} at {off}");
        long.ok("RETR 1").await;
        long.rest().await;
        // One that begins, deletes and ends, by a session upstream that was held or a new one.
        let mut short = Pop3::login(bridge.pop3(), user, PASSWORD).await;
        let last = left.pop().expect("there are enough");
        let octets = short.lines(&format!("RETR {}", left.len() + 1)).await;
        assert!(octets == as_pop3_has_it(last), "the last message at {off}");
        short.ok(&format!("DELE {}", left.len() + 1)).await;
        short.ok("QUIT").await;
        let there: Vec<Vec<u8>> = direct.messages("INBOX").await.into_iter().map(|one| one.octets).collect();
        assert!(there == left, "{} messages at {off}", there.len());
    }
    long.ok("QUIT").await;
    assert!(bridge.terminate().success());
    let log = bridge.log();
    for year in [year() - 10, year(), year() + 10] {
        assert!(log.contains(&format!("{year}-")), "it was never {year}:\n{log}");
    }
    for level in [" WARN ", " ERROR "] {
        assert!(!log.contains(level), "{log}");
    }
}
