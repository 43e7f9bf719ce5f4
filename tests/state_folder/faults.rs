//! Each call to the system that is about a file of state fails once, whichever it is: mail flows, and what QUIT is answered is
//! so.

use std::path::Path;

use super::disk::failing;
use super::support::bridge::{Config, Home, Program};
use super::support::dovecot::Dovecot;
use super::{HINT, MESSAGES, filled, hide, shown};

/// A call, and an error that it may come to.
type Fault = (&'static str, &'static str);

/// What is hidden lies in a file that is put in place as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_quit_is_answered_is_so_whichever_call_about_what_is_hidden_fails() {
    let faults: &[Fault] = &[
        ("openat", "EMFILE"),
        ("openat", "EROFS"),
        ("write", "ENOSPC"),
        ("write", "EINTR"),
        ("fsync", "EIO"),
        ("rename", "EIO"),
        ("unlink", "EIO"),
    ];
    each("faults-hide@example.test", faults, "hidden-").await;
}

/// The ledger serves speed alone.
#[tokio::test(flavor = "multi_thread")]
async fn mail_flows_whichever_call_about_the_ledger_fails() {
    let faults: &[Fault] = &[
        ("openat", "EMFILE"),
        ("ftruncate", "ENOSPC"),
        ("pwrite64", "ENOSPC"),
        ("pread64", "EIO"),
        ("fdatasync", "EIO"),
    ];
    each("faults-ledger@example.test", faults, "ledger.redb").await;
}

async fn each(user: &str, faults: &[Fault], word: &str) {
    let mut direct = filled(user).await;
    let config = Config::new(user, &Dovecot::shared().imaps()).account("pop3.delete = \"hide\"");
    let files = names(&config, user, word).await;
    for (call, error) in faults {
        let mut failed = 0;
        for nth in 1.. {
            direct.ok(&format!("UID STORE 1:* -FLAGS.SILENT ({HINT})")).await;
            let home = Home::new(&config);
            let trace = home.config_file().with_file_name("trace");
            let paths = files.iter().map(|name| home.state().join(name)).chain([home.state()]);
            let command = failing(&home.command(), &trace, paths, call, error, nth);
            let mut bridge = Program::start_by(&home, command, "info");
            let done = hide(&bridge, user, &[2]).await;
            let what = format!("{call} {error} {nth}: {done}");
            assert!(done.starts_with("+OK") || done.starts_with("-ERR [SYS/"), "{what}");
            let after = shown(&bridge, user).await;
            assert!(bridge.terminate().success());
            // What nobody answered for is so or is not.
            let others: Vec<usize> = (1..=MESSAGES).filter(|number| *number != 2).collect();
            let all: Vec<usize> = (1..=MESSAGES).collect();
            let is_right = |shown: &[usize]| shown == others || (shown == all && !done.starts_with("+OK"));
            // Mail flows also where what is hidden cannot be read; the log says so.
            let told = bridge.log().contains("messages that were hidden are shown again");
            assert!(is_right(&after) || told && after == all, "{what}: shows {after:?}\n{}", bridge.log());
            let bridge = Program::start_in(&home, "info");
            let later = shown(&bridge, user).await;
            assert!(is_right(&later), "{what}: shows {later:?} later\n{}", bridge.log());
            bridge.kill();
            if !has_failed(&trace) {
                break;
            }
            failed = nth;
        }
        assert!(failed > 0, "no {call} was there to fail");
    }
    assert_eq!(direct.messages("INBOX").await.len(), MESSAGES);
}

/// The files of state whose names begin so, as a session without faults has them, and what they are while they are written.
async fn names(config: &Config, user: &str, word: &str) -> Vec<String> {
    let home = Home::new(config);
    let bridge = Program::start_in(&home, "info");
    assert!(hide(&bridge, user, &[2]).await.starts_with("+OK"));
    bridge.kill();
    let entries = std::fs::read_dir(home.state()).expect("it is there");
    let names = entries.map(|entry| entry.expect("it is read").file_name().into_string().expect("ASCII"));
    let names: Vec<String> = names.filter(|name| name.starts_with(word)).collect();
    assert!(!names.is_empty(), "no file is named {word}");
    names.iter().cloned().chain(names.iter().map(|name| format!(".{name}.new"))).collect()
}

fn has_failed(trace: &Path) -> bool {
    std::fs::read_to_string(trace).expect("strace wrote it").contains("(INJECTED)")
}
