//! The vault's key in a real keychain: gnome-keyring on a D-Bus session of the test's own.
//!
//! A session's environment must be there before the process starts, so each test runs this program again, under
//! `dbus-run-session` and with a home folder of its own; nothing of the user's keychain is seen or touched.

use std::fs;
use std::io::Write;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};

use footbridge::auth::vault::{Vault, VaultError};
use footbridge::mail::KeyChoice;
use footbridge::mail::Secret;
use footbridge::store::Folder;

type Test = (&'static str, fn(&Session));

const TESTS: [Test; 4] = [
    ("the_key_is_kept_where_other_programs_of_the_user_find_it", the_key_is_kept),
    ("a_locked_keychain_costs_nothing_but_the_wait", a_locked_keychain),
    ("an_entry_that_was_removed_is_missed_and_not_made_anew", a_removed_entry),
    ("without_a_keychain_there_is_a_key_file", without_a_keychain),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, name, home] = &arguments[..]
        && word == "in-session"
    {
        let (_, test) = TESTS.iter().find(|(known, _)| known == name).expect("a test of this name");
        test(&Session { home: home.into() });
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let chosen: Vec<&Test> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let mut failed = 0;
    for (name, _) in &chosen {
        let outcome = panic::catch_unwind(|| in_session(name));
        failed += usize::from(outcome.is_err());
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
    }
    println!(
        "\ntest result: {}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out\n",
        if failed == 0 { "ok" } else { "FAILED" },
        chosen.len() - failed,
        TESTS.len() - chosen.len(),
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one test with a home and a bus of its own; both end with it.
fn in_session(name: &str) {
    let home = tempfile::Builder::new().prefix("footbridge-keychain-").tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program");
    let output = Command::new("dbus-run-session")
        .arg("--")
        .arg(program)
        .args(["in-session", name])
        .arg(home.path())
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null())
        .output()
        .expect("dbus-run-session (Debian's packages dbus, gnome-keyring, libsecret-tools)");
    assert!(output.status.success(), "{}", said(&output));
}

fn said(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|octets| String::from_utf8_lossy(octets));
    format!("{}\n{out}\n{error}", output.status)
}

struct Session {
    home: PathBuf,
}

/// A keyring daemon of the test's own, ended with this.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended with its bus.
        let _ = self.0.wait();
        while name_has_owner() {}
    }
}

/// Whether somebody is the keychain on this bus; asks the bus alone, which starts none.
fn name_has_owner() -> bool {
    ask_bus("NameHasOwner").contains("boolean true")
}

fn ask_bus(method: &str) -> String {
    let method = format!("org.freedesktop.DBus.{method}");
    let bus = ["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"];
    run("dbus-send", &[&bus[..], &[&method, "string:org.freedesktop.secrets"]].concat())
}

impl Session {
    /// A keyring daemon with its keyring open, at work when this returns.
    fn unlocked_keyring(&self) -> Daemon {
        let mut daemon = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon");
        daemon.stdin.take().expect("piped").write_all(b"password").expect("written");
        while !name_has_owner() {
            assert!(daemon.try_wait().expect("a child").is_none(), "it ended");
        }
        Daemon(daemon)
    }

    /// Ends the daemon that the bus started.
    fn end_started_keyring(&self) {
        let answer = ask_bus("GetConnectionUnixProcessID");
        run("kill", &[answer.split_whitespace().last().expect("a process id")]);
        while name_has_owner() {}
    }

    fn lock_keyring(&self) {
        run(
            "dbus-send",
            &[
                "--session",
                "--print-reply",
                "--dest=org.freedesktop.secrets",
                "/org/freedesktop/secrets",
                "org.freedesktop.Secret.Service.Lock",
                "array:objpath:/org/freedesktop/secrets/collection/login",
            ],
        );
    }

    fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// As a process that starts now has it.
    fn vault(&self, choice: KeyChoice) -> Vault {
        Vault::new(Folder::open(&self.state()).expect("a state folder"), choice)
    }

    fn octets(&self) -> Vec<u8> {
        fs::read(self.state().join("vault")).expect("a vault")
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("started");
    assert!(output.status.success(), "{program}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn store(vault: &Vault, password: &str) -> Result<(), VaultError> {
    vault.change("ana@example.org", |entry| entry.password = Some(Secret::new(password)))
}

fn stored(vault: &Vault) -> Result<Option<String>, VaultError> {
    let entry = vault.entry("ana@example.org")?;
    Ok(entry.and_then(|entry| entry.password?.expose_str().map(str::to_owned)))
}

fn key_file(state: &Path) -> bool {
    state.join("vault.key").exists()
}

fn the_key_is_kept(session: &Session) {
    let _daemon = session.unlocked_keyring();
    store(&session.vault(KeyChoice::Auto), "secret").expect("stored");
    assert!(!key_file(&session.state()));
    for choice in [KeyChoice::Auto, KeyChoice::Keychain] {
        let vault = session.vault(choice);
        assert_eq!(stored(&vault).expect("opened").as_deref(), Some("secret"));
        assert!(vault.describe().expect("opened").contains("keychain"));
    }
    let octets = session.octets();
    let head = String::from_utf8_lossy(&octets);
    let id = head.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
    let search = Command::new("secret-tool").args(["search", "--all", "service", "footbridge"]).output();
    assert_eq!(
        said(&search.expect("secret-tool")).matches("attribute.username = ").count(),
        1,
        "one entry for the vault"
    );
    let key = Command::new("secret-tool").args(["lookup", "service", "footbridge", "username", id]).output();
    assert_eq!(
        key.expect("secret-tool").stdout.len(),
        32,
        "the vault's id names the entry, a key of 256 bits"
    );
}

fn a_locked_keychain(session: &Session) {
    let daemon = session.unlocked_keyring();
    let open = session.vault(KeyChoice::Auto);
    store(&open, "secret").expect("stored");
    session.lock_keyring();
    let before = session.octets();
    let vault = session.vault(KeyChoice::Auto);
    for error in [
        stored(&vault).expect_err("locked"),
        store(&vault, "other").expect_err("locked"),
        vault.set_aside().expect_err("locked"),
    ] {
        assert!(matches!(error, VaultError::KeyUnavailable { .. }), "{error}");
        assert!(error.to_string().contains("unlock it"), "{error}");
    }
    assert_eq!(session.octets(), before);
    assert_eq!(stored(&open).expect("opened before").as_deref(), Some("secret"));

    // Unlocked as a login to the desktop does it.
    drop(daemon);
    let _daemon = session.unlocked_keyring();
    assert_eq!(stored(&session.vault(KeyChoice::Auto)).expect("unlocked").as_deref(), Some("secret"));
    assert!(!key_file(&session.state()));
}

fn a_removed_entry(session: &Session) {
    let _daemon = session.unlocked_keyring();
    store(&session.vault(KeyChoice::Keychain), "secret").expect("stored");
    run("secret-tool", &["clear", "service", "footbridge"]);
    let vault = session.vault(KeyChoice::Keychain);
    let before = session.octets();
    let error = store(&vault, "other").expect_err("no key");
    assert!(matches!(error, VaultError::NoKey { .. }), "{error}");
    assert_eq!(session.octets(), before);
    let kept = vault.set_aside().expect("renamed").expect("there was one");
    assert_eq!(fs::read(kept).expect("kept"), before);
    store(&vault, "anew").expect("a new vault");
    assert_eq!(stored(&session.vault(KeyChoice::Keychain)).expect("opened").as_deref(), Some("anew"));
}

/// The daemon that the bus would start has no keyring yet, and nobody whom it could ask for a password.
fn without_a_keychain(session: &Session) {
    let error = store(&session.vault(KeyChoice::Keychain), "secret").expect_err("no keychain");
    assert!(matches!(error, VaultError::KeyUnavailable { .. }), "{error}");
    assert!(!session.state().join("vault").exists());
    store(&session.vault(KeyChoice::Auto), "secret").expect("stored");
    assert!(key_file(&session.state()));

    // A keychain that comes later changes nothing for this vault, and serves the next one of the same process.
    session.end_started_keyring();
    let _daemon = session.unlocked_keyring();
    assert_eq!(stored(&session.vault(KeyChoice::Auto)).expect("opened").as_deref(), Some("secret"));
    fs::remove_file(session.state().join("vault")).expect("removed");
    fs::remove_file(session.state().join("vault.key")).expect("removed");
    store(&session.vault(KeyChoice::Auto), "secret").expect("stored");
    assert!(!key_file(&session.state()));
}
