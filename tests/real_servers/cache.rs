//! Messages once fetched, through restarts and faults of the disk.

use std::path::{Path, PathBuf};
use std::time::Instant;

use footbridge::auth::Vault;
use footbridge::mail::{KeyChoice, Secret};
use footbridge::store::Folder;

use crate::support::PATIENCE;
use crate::support::bridge::{Config, Home, Program};
use crate::support::cut::Cut;
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::mail;
use crate::support::pop3::Pop3;

fn bodies(program: &Program) -> PathBuf {
    program.state().join("bodies")
}

/// The files in a folder, which need not be there.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("our names")).collect()
}

/// Every message of the maildrop, by RETR.
async fn retrieved(program: &Program, user: &str, count: usize) -> Vec<Vec<u8>> {
    retrieved_with(program, user, PASSWORD, count).await
}

async fn retrieved_with(program: &Program, user: &str, password: &str, count: usize) -> Vec<Vec<u8>> {
    let mut app = Pop3::login(program.pop3(), user, password).await;
    let mut messages = Vec::new();
    for number in 1..=count {
        messages.push(app.lines(&format!("RETR {number}")).await);
    }
    app.ok("QUIT").await;
    messages
}

fn stats(program: &Program, home: &Home) -> serde_json::Value {
    let output = home.command().args(["cache", "stats", "--json"]).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}{}", program.log());
    serde_json::from_str(&told).expect("JSON")
}

/// Waits until so many are on the disk: they are written behind the app's back.
fn until_kept(program: &Program, home: &Home, count: usize) {
    let begun = Instant::now();
    while stats(program, home)["disk"]["bodies"] != count {
        assert!(begun.elapsed() < PATIENCE, "{}", program.log());
    }
}

/// RETR, a restart, RETR again: the same octets, and none of a body from upstream; after `cache clear` they come anew.
#[tokio::test]
async fn a_restart_costs_no_body_octets_upstream() {
    let user = "restart@example.test";
    // One larger than memory keeps, and no larger than what may wait for a disk.
    let messages = [2_000, 70_000, 200_000, 1_000_000, 3_000_000].map(mail::large);
    let octets: usize = messages.iter().map(Vec::len).sum();
    crate::fill(user, &messages).await;
    let way = Cut::before(&Dovecot::shared().imaps()).await;
    let home = Home::new(&Config::new(user, &way.remote()));

    let mut program = Program::start_in(&home, "debug");
    assert!(retrieved(&program, user, messages.len()).await == messages);
    assert!(way.heard() > octets as u64);
    until_kept(&program, &home, messages.len());
    program.terminate();
    let kept = files(&bodies(&program));
    assert_eq!(kept.len(), messages.len(), "{kept:?}\n{}", program.log());

    let before = way.heard();
    let mut program = Program::start_in(&home, "debug");
    assert!(retrieved(&program, user, messages.len()).await == messages);
    assert!(way.heard() - before < 100_000, "{} octets for logins and listings", way.heard() - before);
    let told = stats(&program, &home);
    assert_eq!(told["since_start"]["from_disk"], messages.len(), "{told}");
    assert_eq!(told["disk"]["bodies"], messages.len(), "{told}");

    let cleared = home.command().args(["cache", "clear", "--json"]).output().expect("it starts");
    let cleared: serde_json::Value = serde_json::from_slice(&cleared.stdout).expect("JSON");
    assert_eq!(cleared["disk"]["bodies"], messages.len(), "{cleared}");
    assert!(files(&bodies(&program)).is_empty());
    let before = way.heard();
    assert!(retrieved(&program, user, messages.len()).await == messages);
    assert!(way.heard() - before > octets as u64);
    program.terminate();
}

/// SIGTERM and kill -9 in the middle of a body: nothing of it has a final name, and the next start removes the rest.
#[tokio::test]
async fn a_body_that_was_not_whole_when_the_bridge_ended_is_not_there_at_the_next_start() {
    let user = "midway@example.test";
    let message = mail::large(20_000_000);
    crate::fill(user, std::slice::from_ref(&message)).await;
    let home = Home::new(&Config::new(user, &Dovecot::shared().imaps()));
    for killed in [false, true] {
        let mut program = Program::start_in(&home, "debug");
        let mut app = Pop3::login(program.pop3(), user, PASSWORD).await;
        app.ok("RETR 1").await;
        app.wire().hear_exactly(2_000_000).await;
        // And takes no more, so that it cannot have gone on to the end.
        if killed {
            program.kill();
        } else {
            program.terminate();
            assert!(files(&bodies(&program)).is_empty(), "{:?}", files(&bodies(&program)));
        }
        let left = files(&home.state().join("bodies"));
        assert!(left.iter().all(|name| name.ends_with(".new")), "{left:?}");
    }
    let mut program = Program::start_in(&home, "debug");
    let told = stats(&program, &home);
    assert_eq!(told["disk"]["bodies"], 0, "{told}");
    assert!(retrieved(&program, user, 1).await == [message]);
    program.terminate();
    let left = files(&bodies(&program));
    assert!(left.iter().all(|name| name.ends_with(".plain")), "{left:?}");
}

/// Wiped, damaged and exchanged under a running bridge: the octets are right all the same.
#[tokio::test]
async fn whatever_happens_to_the_files_under_a_running_bridge_the_octets_are_right() {
    let user = "tampered@example.test";
    let messages = [mail::large(1_500_000), mail::large(2_000_000), mail::large(1_500_001)];
    crate::fill(user, &messages).await;
    // Nothing from memory.
    let config = Config::new(user, &Dovecot::shared().imaps()).setting("cache.memory = \"0\"");
    let home = Home::new(&config);
    let mut program = Program::start_in(&home, "debug");
    let folder = bodies(&program);
    type Harm = fn(&Path, &[String]);
    let harms: [Harm; 5] = [
        |_, _| {},
        |folder, _| std::fs::remove_dir_all(folder).expect("removed"),
        |folder, names| {
            for name in names {
                let mut octets = std::fs::read(folder.join(name)).expect("read");
                let middle = octets.len() / 2;
                octets[middle] ^= 1;
                std::fs::write(folder.join(name), octets).expect("written");
            }
        },
        |folder, names| {
            for name in names {
                let file = std::fs::File::options().write(true).open(folder.join(name)).expect("opened");
                file.set_len(1_000_000).expect("cut");
            }
        },
        |folder, names| {
            for pair in names.windows(2) {
                std::fs::copy(folder.join(&pair[0]), folder.join(&pair[1])).expect("copied");
            }
        },
    ];
    assert!(retrieved(&program, user, messages.len()).await == messages);
    for harm in harms {
        until_kept(&program, &home, messages.len());
        harm(&folder, &files(&folder));
        assert!(retrieved(&program, user, messages.len()).await == messages);
    }
    program.terminate();
}

/// What is in the folder's place cannot be written to, as on a disk that is full or read-only: mail flows, and one warning
/// tells.
#[tokio::test]
async fn a_disk_that_cannot_be_written_costs_one_warning_and_no_mail() {
    let user = "no-disk@example.test";
    let messages = [2_000, 70_000, 2_000_000].map(mail::large);
    crate::fill(user, &messages).await;
    let config = Config::new(user, &Dovecot::shared().imaps()).setting("cache.memory = \"0\"");
    let home = Home::new(&config);
    let mut program = Program::start_in(&home, "info");
    let folder = bodies(&program);
    std::fs::write(&folder, "in the way").expect("written");
    for _ in 0..2 {
        assert!(retrieved(&program, user, messages.len()).await == messages);
    }
    program.terminate();
    let log = program.log();
    assert_eq!(log.matches("messages are not kept on the disk for now").count(), 1, "{log}");
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert_eq!(std::fs::read(&folder).expect("left as it was"), b"in the way");
}

/// With the vault's key elsewhere, in a passphrase here, the files show nothing, and serve after a restart all the same.
#[tokio::test]
async fn messages_are_sealed_where_the_vaults_key_lies_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let user = "sealed@example.test";
    let messages = [2_000, 70_000, 1_500_000].map(mail::large);
    crate::fill(user, &messages).await;
    let config = Config::new(user, &Dovecot::shared().imaps())
        .account("secret = \"vault\"")
        .setting("vault.key = { passphrase_file = \"vault.passphrase\" }");
    let home = Home::new(&config);
    let passphrase = home.config_file().with_file_name("vault.passphrase");
    std::fs::write(&passphrase, "correct horse").expect("written");
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).expect("our own file");
    let folder = Folder::open(&home.state()).expect("a state folder");
    let vault = Vault::new(folder, KeyChoice::PassphraseFile(passphrase));
    vault.change(user, |entry| entry.password = Some(Secret::new(PASSWORD))).expect("the vault is written");
    let password = home.bridge_password(user);
    for from_disk in [0, messages.len()] {
        let mut program = Program::start_in(&home, "debug");
        assert!(retrieved_with(&program, user, &password, messages.len()).await == messages);
        let told = stats(&program, &home);
        assert_eq!(
            (&told["since_start"]["from_disk"], &told["disk"]["sealed"]),
            (&from_disk.into(), &true.into())
        );
        until_kept(&program, &home, messages.len());
        program.terminate();
    }
    let names = files(&home.state().join("bodies"));
    assert_eq!(names.len(), messages.len());
    for name in names {
        let octets = std::fs::read(home.state().join("bodies").join(&name)).expect("read");
        let shows = |words: &str| octets.windows(words.len()).any(|window| window == words.as_bytes());
        assert!(name.ends_with(".sealed") && !shows(mail::CANARY) && !shows(user), "{name}");
    }
}
