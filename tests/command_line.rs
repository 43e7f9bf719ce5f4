//! The command line as a person or a service manager meets it: exit codes, what goes where, and an orderly stop.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

use footbridge::mail::{Listed, MessageSize, Numbering, Uid, UidValidity};
use footbridge::store::{Carried, Hidden, Ledger, Renumbered, Veil, Views};
use tempfile::TempDir;

/// The program, away from the user's own configuration.
fn footbridge(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footbridge"));
    command.args(arguments).env_remove("FOOTBRIDGE_CONFIG").env("XDG_CONFIG_HOME", "/nonexistent");
    command.env_remove("FOOTBRIDGE_STATE").env_remove("XDG_STATE_HOME");
    command.env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    footbridge(arguments).output().expect("it starts")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

/// A configuration in a folder of its own, and its path.
fn written(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("footbridge.toml");
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

const ACCOUNT: &str = "[[account]]\naddress = \"ana@gmx.net\"\n";

/// Ports that the system chooses.
const ANY_PORT: &str =
    "[listen]\npop3 = [\"127.0.0.1:0\"]\nimap = [\"127.0.0.1:0\"]\nsmtp = [\"127.0.0.1:0\"]\n";

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [
        &["status"][..],
        &["account", "sign-in"],
        &["cache"],
        &["cache", "wipe"],
        &["account", "sign-in", "a", "--device", "--no-browser"],
        &["--nonsense", "run"],
        &[],
        &["--log", "loud", "run"],
        &["check", "a", "b"],
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_end_with_0_and_go_to_standard_output() {
    for arguments in
        [&["--help"][..], &["--version"], &["run", "--help"], &["check", "--help"], &["demo", "--help"]]
    {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{arguments:?}");
    }
    let help = text(&output(&["account", "sign-in", "--help"]).stdout);
    for word in ["--device", "--no-browser", "--refresh-token", "vault"] {
        assert!(help.contains(word), "account sign-in --help says nothing of {word}");
    }
    assert!(text(&output(&["check", "--help"]).stdout).contains("--json"));
    let version = text(&output(&["--version"]).stdout);
    assert_eq!(version, format!("footbridge {}\n", env!("CARGO_PKG_VERSION")));
    let help = text(&output(&["--help"]).stdout);
    for word in [
        "run",
        "check",
        "--config",
        "FOOTBRIDGE_CONFIG",
        "XDG_CONFIG_HOME",
        "--log",
        "--state",
        "certificate",
        "account",
        "cache",
    ] {
        assert!(help.contains(word), "--help says nothing of {word}");
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_its_faults_on_standard_error() {
    let (_folder, path) =
        written("[cache]\nmemory = \"64\"\n[[account]]\naddress = \"a@tuta.com\"\nsecret = \"CANARY\"\n");
    for command in ["run", "check"] {
        let output = output(&["--config", &path, command]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 3, "{told}");
        assert!(
            told.lines().all(|line| line.starts_with("footbridge: ") && line.contains("footbridge.toml:")),
            "{told}"
        );
        assert!(output.stdout.is_empty() && !told.contains("CANARY"), "{told}");
    }
}

#[test]
fn the_configuration_may_be_named_behind_the_command_or_by_the_environment() {
    let (_folder, path) = written("[cache]\nmemory = \"64\"\n");
    let behind = output(&["check", "--config", &path]);
    let by_environment = footbridge(&["check"]).env("FOOTBRIDGE_CONFIG", &path).output().expect("it starts");
    let over_an_empty_one =
        footbridge(&["check", "--config", &path]).env("FOOTBRIDGE_CONFIG", "").output().expect("it starts");
    for output in [behind, by_environment, over_an_empty_one] {
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("is not a size"));
    }
}

#[cfg(not(any(windows, target_os = "macos")))]
#[test]
fn without_a_name_the_configuration_is_the_users_own() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("footbridge")).expect("made");
    std::fs::write(folder.path().join("footbridge/footbridge.toml"), "[cache]\nmemory = \"64\"\n")
        .expect("written");
    let output = footbridge(&["check"]).env("XDG_CONFIG_HOME", folder.path()).output().expect("it starts");
    assert!(text(&output.stderr).contains("is not a size"));
}

#[test]
fn an_empty_variable_names_no_configuration() {
    let output = footbridge(&["check"]).env("FOOTBRIDGE_CONFIG", "").output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("there is no configuration, neither "));
}

#[test]
fn a_missing_configuration_is_named() {
    let named = output(&["--config", "no-such-file.toml", "run"]);
    assert_eq!(named.status.code(), Some(2));
    assert!(text(&named.stderr).contains("no-such-file.toml: there is no such file"));
}

#[test]
fn a_port_that_is_taken_ends_with_1_and_one_sentence() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("an address");
    let (_folder, path) =
        written(&format!("[listen]\npop3 = [\"{address}\"]\nimap = []\nsmtp = []\n{ACCOUNT}"));
    let output = output(&["--config", &path, "--state", &state_of(&path), "--log", "off", "run"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.lines().count() == 1 && told.contains(&address.to_string()), "{told}");
}

/// The state folder that goes with a configuration.
fn state_of(path: &str) -> String {
    let folder = std::path::Path::new(path).parent().expect("a folder");
    folder.join("state").to_str().expect("UTF-8").to_owned()
}

/// `run`, once it has said that it started; what it says on standard error comes line by line.
fn started(path: &str, more: &[&str]) -> (Child, impl Iterator<Item = String>) {
    let state = state_of(path);
    let arguments = [&["--config", path, "--state", &state], more, &["run"]].concat();
    let mut child =
        footbridge(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let start = lines.by_ref().find(|line| line.contains("started"));
    assert!(start.is_some(), "it never said that it started");
    (child, lines)
}

#[cfg(unix)]
fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("sent");
}

#[cfg(unix)]
#[test]
fn a_signal_stops_it_in_order() {
    use rustix::process::Signal;
    let (_folder, path) = written(&format!("{ANY_PORT}{ACCOUNT}"));
    for one in [Signal::TERM, Signal::INT] {
        let (mut child, lines) = started(&path, &[]);
        signal(&child, one);
        let rest = lines.collect::<Vec<_>>();
        assert_eq!(child.wait().expect("ended").code(), Some(0), "{rest:#?}");
        assert!(rest.iter().any(|line| line.contains("stopped")), "{rest:#?}");
        let mut told = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().expect("piped"), &mut told).expect("read");
        assert_eq!(told, "", "the log goes to standard error");
    }
}

#[cfg(unix)]
#[test]
fn the_command_lines_level_goes_before_the_files() {
    let (_folder, path) = written(&format!("[log]\nlevel = \"error\"\n{ANY_PORT}{ACCOUNT}"));
    let (mut child, _lines) = started(&path, &["--log", "info"]);
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let (_folder, path) = written(&format!("{ANY_PORT}{ACCOUNT}"));
    let (mut child, lines) = started(&path, &["--log", "debug"]);
    drop(lines); // Standard error is a broken pipe from here on.
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}

/// A server that hangs up on everybody, and a configuration of it.
fn hangs_up() -> (TempDir, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    written(&format!(
        "[[account]]\naddress = \"ana@example.org\"\nimap = {{ host = \"127.0.0.1\", port = {port} }}\n\
         [[account]]\naddress = \"ben@example.org\"\nimap = {{ host = \"127.0.0.1\", port = {port} }}\n"
    ))
}

#[test]
fn check_says_what_is_wrong_in_the_order_of_the_accounts() {
    let (_folder, path) = hangs_up();
    let output = output(&["--config", &path, "check"]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}{}", text(&output.stderr));
    let addresses = told.lines().map(|line| line.split(':').next().unwrap_or_default()).collect::<Vec<_>>();
    assert!(addresses.is_sorted() && addresses.contains(&"ana@example.org"), "{told}");
    assert!(addresses.contains(&"ben@example.org"), "{told}");
    assert!(told.contains("no password was given, so no login was tried"), "{told}");
}

#[test]
fn check_looks_at_one_account_when_asked() {
    let (_folder, path) = hangs_up();
    let output = output(&["--config", &path, "check", "Ben@Example.org"]);
    let told = text(&output.stdout);
    assert!(told.contains("ben@example.org") && !told.contains("ana@example.org"), "{told}");
}

#[test]
fn check_takes_a_password_from_standard_input_and_never_shows_it() {
    let (_folder, path) = hangs_up();
    let mut child = footbridge(&["--config", &path, "--log", "trace", "check", "ana@example.org"]);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(b"CANARY\n").expect("written");
    let output = child.wait_with_output().expect("ended");
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(!told.contains("CANARY") && !told.contains("no password was given"), "{told}");
}

#[test]
fn an_address_of_nobody_is_a_wrong_command_line() {
    let (_folder, path) = written(ACCOUNT);
    let output = output(&["--config", &path, "check", "eve@example.org"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no account has the address eve@example.org"));
}

/// A configuration with TLS for mail programs, and a state folder that is not there yet.
fn with_tls(tls: &str) -> (TempDir, String, String) {
    let (folder, path) = written(&format!("{ANY_PORT}[tls]\n{tls}\n{ACCOUNT}"));
    let state = folder.path().join("state").to_str().expect("UTF-8").to_owned();
    (folder, path, state)
}

#[test]
fn the_certificate_is_made_once_shown_and_exported_without_its_key() {
    let (folder, path, state) = with_tls("local = \"offer\"");
    let certificate =
        |more: &[&str]| output(&[&["--config", &path, "--state", &state, "certificate"], more].concat());
    let shown = text(&certificate(&["show"]).stdout);
    for part in ["localhost, 127.0.0.1, ::1", "SHA-256", "valid from", &state] {
        assert!(shown.contains(part), "{shown}");
    }
    let exported = certificate(&["export"]);
    assert_eq!(exported.status.code(), Some(0));
    let pem = text(&exported.stdout);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("KEY"), "{pem}");
    assert_eq!(text(&certificate(&["show"]).stdout), shown, "the same again");

    let file = folder.path().join("ca.pem");
    let name = file.to_str().expect("UTF-8");
    assert_eq!(certificate(&["export", name]).status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(&file).expect("written"), pem);
    assert_eq!(certificate(&["export", name]).status.code(), Some(0), "it is there already");
    std::fs::write(&file, "mine").expect("written");
    let refused = certificate(&["export", name]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("this file is there already"));
    assert_eq!(std::fs::read_to_string(&file).expect("left"), "mine");
}

/// A pipe in the place of the file is not waited for, nor is a device like `/dev/zero` read to its end.
#[cfg(unix)]
#[test]
fn a_certificate_is_exported_into_no_pipe_that_is_there() {
    use std::io::Write;
    let (folder, path, state) = with_tls("local = \"offer\"");
    let export = |more: &[&str]| {
        output(&[&["--config", &path, "--state", &state, "certificate", "export"], more].concat())
    };
    let pem = export(&[]).stdout;
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("it is there").success());
    // Whoever reads the pipe finds the very certificate in it, so that a test of something else would not wait.
    let writing = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::OpenOptions::new().write(true).open(pipe).and_then(|mut pipe| pipe.write_all(&pem))
    });
    let refused = export(&[pipe.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(1), "it was not read");
    assert!(text(&refused.stderr).contains("this file is there already"));
    let read = std::fs::read(&pipe).expect("what was written");
    assert!(read.starts_with(b"-----BEGIN CERTIFICATE-----"));
    writing.join().expect("no panic").expect("it was read");
}

/// Faults of the state folder: one sentence, exit code 2, nothing changed.
#[cfg(unix)]
#[test]
fn a_state_folder_that_is_no_good_ends_with_2_and_one_sentence() {
    use std::fs::{Permissions, create_dir, read_dir, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, path, state) = with_tls("local = \"offer\"");
    let refused = |words: &str| {
        for command in [&["run"][..], &["certificate", "show"]] {
            let output = output(&[&["--config", &path, "--state", &state, "--log", "off"], command].concat());
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{told}");
            assert!(told.lines().count() == 1 && told.contains(words) && told.contains(&state), "{told}");
            assert!(output.stdout.is_empty());
        }
    };
    create_dir(&state).expect("made");
    set_permissions(&state, Permissions::from_mode(0o755)).expect("set");
    refused("others may enter");
    set_permissions(&state, Permissions::from_mode(0o500)).expect("set");
    refused("read-only");
    assert_eq!(read_dir(&state).expect("readable").count(), 0);
    set_permissions(&state, Permissions::from_mode(0o700)).expect("set");
    let file = std::path::Path::new(&state).join("local-tls.pem");
    std::fs::write(&file, "something else").expect("written");
    set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
    refused("move it away");
    assert_eq!(std::fs::read(&file).expect("left"), b"something else");
    std::fs::rename(&state, folder.path().join("elsewhere")).expect("moved");
    symlink(folder.path().join("elsewhere"), &state).expect("made");
    refused("symbolic link");
    std::fs::remove_file(&state).expect("removed");
    std::fs::write(&state, "a file").expect("written");
    refused("not a folder");
}

#[test]
fn an_own_certificate_that_does_not_match_its_key_ends_with_2() {
    let (folder, path, state) = with_tls("local = \"offer\"\ncertificate = \"own.pem\"\nkey = \"own.key\"");
    let write = |name: &str, content: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, content).expect("written");
        #[cfg(unix)]
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    };
    let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("made");
    let (one, other) = (made("localhost"), made("localhost"));
    write("own.pem", &one.cert.pem());
    write("own.key", &other.signing_key.serialize_pem());
    let show = || output(&["--config", &path, "--state", &state, "certificate", "show"]);
    let told = text(&show().stderr);
    assert_eq!(show().status.code(), Some(2), "{told}");
    assert!(
        told.contains("footbridge.toml:") && told.contains("does not belong to the certificate"),
        "{told}"
    );
    write("own.key", &one.signing_key.serialize_pem());
    assert!(text(&show().stdout).contains("it is your own"));
    assert!(!std::path::Path::new(&state).exists(), "no state folder is needed for it");
}

#[test]
fn a_bridge_password_is_shown_once_listed_by_its_name_and_taken_back() {
    let (folder, path) = written(&format!("{ACCOUNT}secret = {{ env = \"ANA_MAIL\" }}\n"));
    let state = folder.path().join("state");
    let password = |more: &[&str]| {
        let state = state.to_str().expect("UTF-8");
        let start = ["--config", &path, "--state", state, "account", "password", "ana@gmx.net"];
        footbridge(&[&start, more].concat()).env("ANA_MAIL", "CANARY").output().expect("it starts")
    };
    assert_eq!(
        (password(&["--list"]).status.code(), state.exists()),
        (Some(0), false),
        "looking makes nothing"
    );
    let made = password(&["--name", "copier"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let (shown, told) = (text(&made.stdout), text(&made.stderr));
    assert_eq!((shown.len(), shown.lines().count()), (33, 1), "{shown}");
    let letters = shown.trim_end();
    assert!(told.contains("\"copier\"") && told.contains("stored password itself no longer"), "{told}");
    assert!(!told.contains(letters));
    let second = password(&[]);
    assert!(!text(&second.stderr).contains("no longer"), "said with the first one");
    assert_ne!(text(&second.stdout), shown);

    let listed = text(&password(&["--list"]).stdout);
    let lines = listed.lines().collect::<Vec<_>>();
    assert!(
        lines.len() == 2 && lines[0].starts_with("copier    made 20") && lines[1].starts_with("mail app  "),
        "{listed}"
    );
    assert!(lines.iter().all(|line| line.ends_with("not used yet")) && !listed.contains(letters), "{listed}");
    let json = text(&password(&["--list", "--json"]).stdout);
    assert!(
        json.starts_with("[{\"") && json.contains("\"last_used\":null") && json.contains("\"copier\""),
        "{json}"
    );

    for (wrong, words) in [
        (&["--name", "copier"][..], "already"),
        (&["--name", ""], "1 to 64 characters"),
        (&["--revoke", "nobody"], "no bridge password"),
    ] {
        let refused = password(wrong);
        let told = text(&refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{told}");
        assert!(
            told.lines().count() == 1
                && told.starts_with("footbridge: ana@gmx.net: ")
                && told.contains(words),
            "{told}"
        );
    }
    let revoked = password(&["--revoke", "copier"]);
    assert_eq!((revoked.status.code(), revoked.stderr.len()), (Some(0), 0), "one is left");
    assert_eq!(text(&password(&["--list"]).stdout).lines().count(), 1);
    let revoked = password(&["--revoke", "mail app"]);
    let told = text(&revoked.stderr);
    assert_eq!((revoked.status.code(), revoked.stdout.len()), (Some(0), 0));
    assert!(told.contains("the stored password itself opens this account again"), "{told}");
    for wrong in [&["--revoke", "a", "--list"][..], &["--name", "a", "--list"], &["--json"]] {
        assert_eq!(password(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_bridge_password_that_would_open_nothing_is_not_made() {
    let (folder, path) = written(ACCOUNT);
    let state = folder.path().join("state");
    let password = |address: &str| {
        output(&[
            "--config",
            &path,
            "--state",
            state.to_str().expect("UTF-8"),
            "account",
            "password",
            address,
        ])
    };
    let unasked = password("ana@gmx.net");
    assert_eq!(unasked.status.code(), Some(2));
    assert!(text(&unasked.stderr).contains("would open nothing"), "{}", text(&unasked.stderr));
    let nobody = password("eve@gmx.net");
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("no account has the address eve@gmx.net"));
    assert!(!state.exists());
}

#[test]
fn accounts_are_listed_and_what_is_kept_of_one_is_removed() {
    let (folder, path) = written(&format!(
        "{ACCOUNT}\n[[account]]\naddress = \"bob@gmx.net\"\nsecret = {{ env = \"BOB_MAIL\" }}\n\n[log]\nlevel = \"info\"\n"
    ));
    let state = folder.path().join("state");
    let account = |more: &[&str]| {
        let start = ["--config", &path, "--state", state.to_str().expect("UTF-8"), "account"];
        footbridge(&[&start, more].concat()).env("BOB_MAIL", "CANARY").output().expect("it starts")
    };
    assert_eq!(account(&["password", "bob@gmx.net"]).status.code(), Some(0));
    let listed = text(&account(&["list"]).stdout);
    let lines = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect::<Vec<_>>();
    assert_eq!(lines[0], ["address", "provider", "auth", "secret", "bridge", "passwords", "sign-in"]);
    assert_eq!(lines[1], ["ana@gmx.net", "gmx-net", "password", "app", "0", "-"]);
    assert_eq!(lines[2], ["bob@gmx.net", "gmx-net", "password", "env", "1", "-"]);
    let json = text(&account(&["list", "--json"]).stdout);
    assert!(
        json.starts_with("[{")
            && json.contains("\"bridge_passwords\":1")
            && json.contains("\"sign_in\":null"),
        "{json}"
    );
    assert!(!listed.contains("CANARY") && !json.contains("CANARY"));

    // What POP3 programs hid, and unique-ids of mailboxes that were renumbered, of the other one too.
    let accounts = format!("{ACCOUNT}\n[[account]]\naddress = \"bob@gmx.net\"\n");
    let settings = footbridge::config::parse(&accounts, std::path::Path::new(&path)).expect("it is good");
    let view = |at: usize| Views::in_folder(&state).view(&settings.accounts[at], "INBOX");
    let renamed = |at: usize| Carried::in_folder(&state).mailbox(&settings.accounts[at], "INBOX");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let [number, now] = [7, 8].map(|number| UidValidity::new(number).expect("not 0"));
    let veil = Veil::new(Numbering::first(number));
    for at in [0, 1] {
        runtime.block_on(view(at).begin(None, veil.clone())).expect("written");
        let change = Renumbered { was: number, now, same: vec![(Uid::FIRST, Uid::FIRST)] };
        let names = runtime.block_on(async {
            let renamed = renamed(at);
            renamed.renumbered(&renamed.read().await, change).await
        });
        assert_eq!(names.count(), 1);
    }
    let known = || known_to_the_ledger(&state, &settings);
    listed_by_the_ledger(&state, &settings);
    assert_eq!(known(), [true, true]);
    let before = std::fs::read(&path).expect("there");
    // A sealed file does not tell whose it is.
    let cached =
        ["plain", "sealed"].map(|form| state.join("bodies").join(format!("{}.{form}", "0a".repeat(16))));
    let cache = || {
        std::fs::create_dir_all(state.join("bodies")).expect("made");
        cached.iter().for_each(|body| std::fs::write(body, "a message").expect("written"));
    };
    cache();
    let removed = text(&account(&["remove", "BOB@gmx.net"]).stdout);
    assert!(
        removed.contains("bob@gmx.net: the cache is emptied, of other accounts' messages too"),
        "{removed}"
    );
    assert_eq!(cached.each_ref().map(|body| body.exists()), [false, false]);
    assert!(removed.contains("bob@gmx.net: its bridge password is taken back"), "{removed}");
    assert!(removed.contains("bob@gmx.net: what the ledger knew of its mailboxes is removed"), "{removed}");
    assert_eq!(known(), [true, false]);
    // What nobody else knows stays for an account that is added again, and its user is told where.
    let begins =
        |line: &&str| line.starts_with("bob@gmx.net: which messages are hidden from its POP3 programs stays");
    let line = removed.lines().find(begins).expect("it is told");
    assert!(line.contains(&format!("delete {}", state.join("hidden-").display())), "{line}");
    let begins = |line: &&str| line.starts_with("bob@gmx.net: by which unique-ids");
    let line = removed.lines().find(begins).expect("it is told");
    assert!(line.contains(&format!("delete {}", state.join("unique-ids-").display())), "{line}");
    for at in [0, 1] {
        assert_eq!(runtime.block_on(view(at).read()), Hidden::These(veil.clone()));
        assert_eq!(runtime.block_on(renamed(at).read()).names(now).expect("kept").count(), 1);
    }
    assert!(removed.contains(&format!("now delete lines 4 to 6 of {path}")), "{removed}");
    assert_eq!(std::fs::read(&path).expect("there"), before, "the configuration is its user's");
    assert!(text(&account(&["list"]).stdout).contains("env     0 "));
    cache();
    let nobody = account(&["remove", "eve@gmx.net"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("nothing is kept for eve@gmx.net"));
    assert_eq!(cached.each_ref().map(|body| body.exists()), [true, true], "for nobody nothing is removed");

    // A bridge that runs and cannot be asked has the cache: what cannot be removed is not said to be.
    let state_folder = footbridge::store::Folder::open(&state).expect("there");
    let running = state_folder.hold_alone().expect("it can be locked").expect("none runs");
    let busy = account(&["remove", "bob@gmx.net"]);
    assert_eq!(busy.status.code(), Some(1));
    let told = text(&busy.stderr);
    assert!(
        told.contains("bob@gmx.net: its messages are still in the cache") && told.contains("stop it first"),
        "{told}"
    );
    assert_eq!(cached.each_ref().map(|body| body.exists()), [true, true]);
    drop(running);
}

/// Writes a message of the INBOX of each account down.
fn listed_by_the_ledger(state: &std::path::Path, settings: &footbridge::config::Settings) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let ledger = Ledger::in_folder(state);
        for account in &settings.accounts {
            let messages = vec![(Uid::FIRST, MessageSize::told(1))];
            let listed = Listed { uid_validity: UidValidity::FIRST, uid_next: None, messages };
            ledger.page(account, "INBOX").write(listed, Vec::new());
        }
        ledger.written().await;
        ledger.close().await;
    });
}

/// Of which accounts anything is known.
fn known_to_the_ledger(state: &std::path::Path, settings: &footbridge::config::Settings) -> Vec<bool> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let ledger = Ledger::in_folder(state);
        let mut known = Vec::new();
        for account in &settings.accounts {
            known.push(ledger.page(account, "INBOX").read().await.is_some());
        }
        ledger.close().await;
        known
    })
}

/// It knows nothing that the provider does not know, so an account is never kept for its sake.
#[test]
fn an_account_is_removed_whatever_is_wrong_with_the_ledger() {
    let (folder, path) = written(ACCOUNT);
    let state = folder.path().join("state");
    let start = ["--config", &path, "--state", state.to_str().expect("UTF-8"), "account"];
    let account = |more: &[&str]| {
        footbridge(&[&start, more].concat()).env("ANA_MAIL", "x").output().expect("it starts")
    };
    let remove = |code: i32, begins: &str, says: &str| {
        let stored = "[[account]]\naddress = \"ana@gmx.net\"\nsecret = { env = \"ANA_MAIL\" }\n";
        std::fs::write(&path, stored).expect("written");
        assert_eq!(account(&["password", "ana@gmx.net"]).status.code(), Some(0));
        let output = account(&["remove", "ana@gmx.net"]);
        let (told, complaint) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{told}{complaint}");
        assert!(told.contains("ana@gmx.net: its bridge password is taken back"), "{told}{complaint}");
        assert_eq!(complaint.lines().count(), usize::try_from(code).expect("0 or 1"), "{complaint}");
        let all = told + &complaint;
        let line = all.lines().find(|line| line.contains("ledger")).unwrap_or_else(|| panic!("{all}"));
        assert!(line.contains(begins) && line.contains(says), "{line}");
    };
    let settings = footbridge::config::parse(ACCOUNT, std::path::Path::new(&path)).expect("it is good");
    let file = state.join("ledger.redb");
    let still = "ana@gmx.net: what the ledger knows of its mailboxes is still there";

    listed_by_the_ledger(&state, &settings);
    remove(0, "ana@gmx.net: what the ledger knew of its mailboxes is removed", "");
    assert_eq!(known_to_the_ledger(&state, &settings), [false]);

    // Somebody else has it open, and is no bridge that runs with the folder.
    listed_by_the_ledger(&state, &settings);
    let database = redb::Database::open(&file).expect("nobody has it open");
    remove(1, still, "another footbridge has this file open");
    let format: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("about");
    let writing = database.begin_write().expect("it can be written");
    writing.open_table(format).expect("there").insert("format", 1000).expect("written");
    writing.commit().expect("written");
    drop(database);
    let before = std::fs::read(&file).expect("there");
    remove(1, still, "a newer footbridge wrote this file");
    assert!(std::fs::read(&file).expect("there") == before, "left alone");

    std::fs::remove_file(&file).expect("there");
    listed_by_the_ledger(&state, &settings);
    let mut damaged = std::fs::read(&file).expect("there");
    damaged[4096..].fill(0xff);
    std::fs::write(&file, damaged).expect("written");
    remove(0, "ana@gmx.net: the ledger was damaged", "all of it is removed");
    assert_eq!(known_to_the_ledger(&state, &settings), [false]);
}

/// Whoever comes first makes it, the others wait for the lock and find it.
#[test]
fn processes_that_start_at_once_show_one_and_the_same_certificate() {
    let (_folder, path, state) = with_tls("local = \"offer\"");
    let show = || {
        let mut command = footbridge(&["--config", &path, "--state", &state, "certificate", "show"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let all: Vec<Child> = (0..4).map(|_| show()).collect();
    let ended = all.into_iter().map(|child| child.wait_with_output().expect("it ends"));
    let shown: Vec<String> = ended
        .map(|output| {
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            text(&output.stdout)
        })
        .collect();
    assert!(shown.iter().all(|one| *one == shown[0] && one.contains("SHA-256")), "{shown:?}");
    let mut files: Vec<_> = std::fs::read_dir(&state)
        .expect("made")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect();
    files.sort();
    assert_eq!(files, ["local-tls.pem", "lock"]);
}

/// RFC 5280 §4.1.2.5: outside its days a certificate is refused by every mail program, none of which says why.
#[test]
fn a_certificate_that_is_over_or_not_valid_yet_is_told_by_run_show_and_check() {
    for (years, words) in [
        ((2001, 2002), ["this certificate ended on 2002-01-01", "put a new one here"]),
        ((2101, 2102), ["this certificate is valid from 2101-01-01 only", "set the clock"]),
    ] {
        let own = "[tls]\nlocal = \"offer\"\ncertificate = \"own.pem\"\nkey = \"own.key\"\n";
        let nobody = "imap = { host = \"127.0.0.1\", port = 9, security = \"tls\" }\n";
        let account = format!("[[account]]\naddress = \"ana@example.org\"\n{nobody}");
        let (folder, path) = written(&format!("{ANY_PORT}{own}{account}"));
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed").pem();
        for (name, content) in [("own.pem", certificate), ("own.key", key.serialize_pem())] {
            let file = folder.path().join(name);
            std::fs::write(&file, content).expect("written");
            #[cfg(unix)]
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("set");
        }
        let tells = |told: &str| {
            let lines: Vec<&str> = told.lines().filter(|line| line.contains("own.pem: this")).collect();
            assert!(lines.len() == 1 && words.iter().all(|word| lines[0].contains(word)), "{told}");
        };
        let shown = output(&["--config", &path, "certificate", "show"]);
        assert_eq!(shown.status.code(), Some(0));
        tells(&text(&shown.stdout));
        let checked = output(&["--config", &path, "check"]);
        assert_eq!(checked.status.code(), Some(1));
        tells(&text(&checked.stdout));

        let mut running = footbridge(&["--config", &path, "--state", &state_of(&path), "run"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = String::new();
        for line in BufReader::new(running.stderr.take().expect("piped")).lines() {
            log += &(line.expect("UTF-8") + "\n");
            if log.contains("started") {
                break;
            }
        }
        running.kill().expect("our own child");
        running.wait().expect("it ends");
        tells(&log);
    }
}

/// `footbridge cache` of a configuration: its exit code, standard output and standard error.
fn cache(path: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = output(&[&["--config", path, "--state", &state_of(path), "cache"], arguments].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_cache_is_looked_at_and_cleared_where_no_bridge_runs() {
    let (_folder, path) = written(&format!("[cache]\ndisk = \"1 GiB\"\n{ANY_PORT}{ACCOUNT}"));
    let (code, told, complaint) = cache(&path, &["stats"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{told}");
    assert!(told.contains("no footbridge runs") && told.contains("0 messages"), "{told}");
    assert!(!std::path::Path::new(&state_of(&path)).exists(), "looking makes nothing");
    let bodies = std::path::Path::new(&state_of(&path)).join("bodies");
    std::fs::create_dir_all(&bodies).expect("made");
    #[cfg(unix)]
    std::fs::set_permissions(state_of(&path), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("set");
    let name = "0123456789abcdef0123456789abcdef";
    std::fs::write(bodies.join(format!("{name}.plain")), [0; 1536]).expect("written");
    std::fs::write(bodies.join(format!(".{name}.1.new")), "half").expect("written");
    std::fs::write(bodies.join("README"), "not ours").expect("written");
    let (code, told, _) = cache(&path, &["stats"]);
    assert!(code == Some(0) && told.contains("1 message, 1.5 KiB of 1.0 GiB"), "{told}");
    assert!(told.contains("not sealed: other users"), "{told}");
    let (code, told, _) = cache(&path, &["stats", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(code, Some(0));
    assert_eq!((&told["running"], &told["since_start"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(
        told["disk"],
        serde_json::json!({ "bodies": 1, "octets": 1536, "bound": 1 << 30, "sealed": false })
    );
    let (code, told, _) = cache(&path, &["clear"]);
    assert!(code == Some(0) && told.contains("removed from the disk: 1 message, 1.5 KiB"), "{told}");
    let left = std::fs::read_dir(&bodies).expect("there").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["README"]);
    let (code, told, _) = cache(&path, &["clear", "--json"]);
    assert_eq!(code, Some(0));
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["disk"], serde_json::json!({ "bodies": 0, "octets": 0 }));
}

#[cfg(unix)]
#[test]
fn one_bridge_runs_with_a_state_folder_and_answers_the_command_line() {
    let (_folder, path) = written(&format!("{ANY_PORT}{ACCOUNT}"));
    let socket = std::path::Path::new(&state_of(&path)).join("control");
    let (mut first, _lines) = started(&path, &[]);
    let runs = |path: &str| {
        let (code, told, complaint) = cache(path, &["stats", "--json"]);
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{told}");
        serde_json::from_str::<serde_json::Value>(&told).expect("JSON")["running"] == true
    };
    assert!(runs(&path));
    let (code, told, _) = cache(&path, &["clear"]);
    assert!(code == Some(0) && told.contains("removed from memory: 0 messages"), "{told}");
    // It opens the ledger itself when it is asked about it, and has it open from then on.
    let state = state_of(&path);
    let settings = footbridge::config::parse(ACCOUNT, std::path::Path::new(&path)).expect("it is good");
    listed_by_the_ledger(std::path::Path::new(&state), &settings);
    let removed = output(&["--config", &path, "--state", &state, "account", "remove", "ana@gmx.net"]);
    let told = text(&removed.stdout);
    assert_eq!(removed.status.code(), Some(0), "{}", text(&removed.stderr));
    assert!(told.contains("ana@gmx.net: what the ledger knew of its mailboxes is removed"), "{told}");
    assert!(
        redb::Database::open(std::path::Path::new(&state).join("ledger.redb")).is_err(),
        "it has it open"
    );
    // A second one: one sentence, whatever ports it would have.
    let second = output(&["--config", &path, "--state", &state_of(&path), "--log", "off", "run"]);
    let told = text(&second.stderr);
    assert_eq!((second.status.code(), told.lines().count()), (Some(1), 1), "{told}");
    assert!(told.contains("another footbridge runs with this state folder"), "{told}");
    assert!(runs(&path), "which does the first no harm");
    // Killed, it leaves its socket; nobody answers there, and the next one takes its place.
    first.kill().expect("our own child");
    first.wait().expect("it ends");
    assert!(socket.exists() && !runs(&path));
    let (mut again, lines) = started(&path, &[]);
    assert!(runs(&path));
    signal(&again, rustix::process::Signal::TERM);
    lines.for_each(drop);
    assert_eq!(again.wait().expect("ended").code(), Some(0));
    assert!(!socket.exists() && !runs(&path));
}

/// Another one runs, and there is no way to ask it: exit code 1 and one sentence, and nothing is touched.
#[cfg(unix)]
#[test]
fn a_bridge_that_cannot_be_asked_is_told_of() {
    let (_folder, path) = written(&format!("{ANY_PORT}{ACCOUNT}"));
    std::fs::create_dir(state_of(&path)).expect("made");
    std::fs::set_permissions(state_of(&path), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("set");
    std::fs::write(std::path::Path::new(&state_of(&path)).join("control"), "in the way").expect("written");
    let (mut first, _lines) = started(&path, &[]);
    for command in ["stats", "clear"] {
        let (code, told, complaint) = cache(&path, &[command]);
        assert_eq!((code, told.as_str(), complaint.lines().count()), (Some(1), "", 1), "{complaint}");
    }
    first.kill().expect("our own child");
    first.wait().expect("it ends");
}
