//! What was answered is kept when the power is lost a moment later, and what the disk has then is never taken for more than it
//! is: each of the bridge's calls to the system is written down, and the bridge started again on the disk of every instant
//! between two of them.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::disk::{Disk, Event, Files, traced};
use super::support::bridge::{Config, Home, Program};
use super::support::dovecot::{Dovecot, PASSWORD};
use super::support::imap::Imap;
use super::support::pop3::Pop3;
use super::{HINT, MESSAGES, filled, hide, shown};

/// What each session hides of them, by its number in the mailbox.
const HIDDEN: [&[usize]; 3] = [&[2], &[1, 5], &[6]];

/// A state folder with these files in it, in place of the one they were in.
fn put(files: &Files, was: &Path, now: &Path) {
    let folder = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path).expect("a folder");
    folder(now);
    for (name, octets) in files {
        let path = now.join(name.strip_prefix(was).expect("it was in there"));
        folder(path.parent().expect("a file"));
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a file");
        file.write_all(octets).expect("it is written");
    }
}

/// Every disk that a power loss may have left, once, and how often such an answer had been sent before.
fn disks(trace: &Path, state: &Path, answer: &[u8]) -> Vec<(Files, usize)> {
    let (mut disk, mut answered, mut seen) = (Disk::new(state), 0, Vec::<(Files, usize)>::new());
    for line in fs::read_to_string(trace).expect("strace wrote it").lines() {
        match disk.hear(line) {
            Event::Nothing => continue,
            Event::Changed => {}
            Event::Sent(octets) if octets.starts_with(answer) => answered += 1,
            Event::Sent(_) => continue,
        }
        for files in disk.after_power_loss() {
            match seen.iter_mut().find(|(known, _)| *known == files) {
                // It is still so after the next answer.
                Some((_, last)) => *last = answered,
                None => seen.push((files, answered)),
            }
        }
    }
    seen
}

/// RFC 1939 §6: what QUIT says was done is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_hidden_stays_so_whenever_the_power_is_lost() {
    let user = "power-hide@example.test";
    let dovecot = Dovecot::shared();
    let mut direct = filled(user).await;
    let config = Config::new(user, &dovecot.imaps()).account("pop3.delete = \"hide\"");
    let home = Home::new(&config);
    let trace = home.config_file().with_file_name("trace");
    let mut bridge = Program::start_by(&home, traced(&home.command(), &trace), "info");
    for hidden in HIDDEN {
        assert!(hide(&bridge, user, hidden).await.starts_with("+OK"));
    }
    assert!(bridge.terminate().success());
    let disks = disks(&trace, &home.state(), b"+OK bye");
    assert!(disks.len() > 10, "only {} disks were seen", disks.len());
    // Each session that hides something comes behind one that looks.
    let sessions = |answered: usize| answered / 2;
    assert!(disks.iter().any(|(_, answered)| sessions(*answered) == HIDDEN.len()), "no answer was seen");
    direct.ok("SELECT INBOX").await;
    for (number, (files, answered)) in disks.iter().enumerate() {
        // What upstream would tell is not to make up for what is lost here.
        direct.ok(&format!("UID STORE 1:* -FLAGS.SILENT ({HINT})")).await;
        let home_after = Home::new(&config);
        put(files, &home.state(), &home_after.state());
        let bridge = Program::start_in(&home_after, "info");
        let there = shown(&bridge, user).await;
        // As after the last answer that was sent, or as after the next one, of which nobody knows.
        let as_after = |sessions: usize| {
            let hidden = HIDDEN.iter().take(sessions).copied().flatten();
            let hidden: Vec<usize> = hidden.copied().collect();
            (1..=MESSAGES).filter(|number| !hidden.contains(number)).collect::<Vec<_>>()
        };
        assert!(
            there == as_after(sessions(*answered)) || there == as_after(sessions(*answered) + 1),
            "disk {number}, behind {answered} answers, {:?}: shows {there:?}",
            files.iter().map(|(name, octets)| (name, octets.len())).collect::<Vec<_>>()
        );
        assert!(!bridge.log().contains("damaged"), "disk {number}: {}", bridge.log());
        bridge.kill();
    }
}

/// It is shown once, so it has to be good from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_password_that_was_shown_is_good_whenever_the_power_is_lost() {
    let user = "power-password@example.test";
    let dovecot = Dovecot::shared();
    Imap::direct(dovecot.imaps().port, user).await;
    let home = Home::new(&Config::new(user, &dovecot.imaps()));
    let secret = home.config_file().with_file_name("secret");
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret).expect("a file");
    writeln!(file, "{PASSWORD}").expect("it is written");
    let config = Config::new(user, &dovecot.imaps())
        .account(&format!("secret = {{ file = \"{}\" }}", secret.display()));
    fs::write(home.config_file(), config.text()).expect("it is written");
    let trace = home.config_file().with_file_name("trace");
    let mut making = home.command();
    making.args(["account", "password", user]);
    let output = traced(&making, &trace).output().expect("strace is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let password = String::from_utf8(output.stdout).expect("text").trim_end().to_owned();
    let disks = disks(&trace, &home.state(), password.as_bytes());
    assert!(disks.iter().any(|(_, shown)| *shown > 0), "nobody saw it shown");
    for (number, (files, shown)) in disks.iter().enumerate() {
        let home_after = Home::new(&config);
        put(files, &home.state(), &home_after.state());
        // It starts, whatever there is.
        let bridge = Program::start_in(&home_after, "info");
        let mut app = Pop3::connect(bridge.pop3()).await;
        app.ok(&format!("USER {user}")).await;
        app.wire().send(format!("PASS {password}\r\n").as_bytes()).await.expect("the bridge takes it");
        let told = app.wire().hear().await;
        assert!(told.starts_with("+OK") || *shown == 0, "disk {number}: {told}");
        bridge.kill();
    }
}
