//! Programs of other users of this machine at the bridge's ports: real processes under real user ids.
#![cfg(target_os = "linux")]

mod support;

use std::net::SocketAddr;
#[cfg(feature = "demo")]
use std::path::Path;
use std::process::Output;

use footbridge::config::Settings;
use footbridge::server::Bound;
use tokio::process::Command;
use tokio::time::timeout;

use support::PATIENCE;
use support::bridge::{Config, InProcess, Program, Remote};
use support::process::ordinary_user;
use support::scripted::Begin;

/// A user that nobody is.
const OTHER: u32 = 424_242;

/// The `nobody` of every Linux.
const NOBODY: u32 = 65534;

/// Connects as an app, hears a line, says farewell, hears the rest.
const VISIT: &str = r#"
exec 3<>"/dev/tcp/$0/$1" || exit 9
IFS= read -r -t 20 line <&3 && printf '%s\n' "$line"
printf '%s\r\n' "$2" >&3
cat <&3
"#;

/// Listener, farewell, what it is greeted with, what it is refused with.
const PROTOCOLS: [(&str, &str, &str, &str); 3] = [
    ("pop3", "QUIT", "+OK", "-ERR [SYS/PERM]"),
    ("imap", "a LOGOUT", "* OK", "* BYE [NOPERM]"),
    ("smtp", "QUIT", "220", "554 5.7.1"),
];

/// Where only root may start programs of other users.
fn must_be_root() {
    assert!(
        ordinary_user().is_none(),
        "only root can start a program of another user: run these tests as root, in a container for example"
    );
}

/// What a program of this user heard, line by line.
async fn visit(user: u32, host: &str, port: u16, farewell: &str) -> Vec<String> {
    let mut app = Command::new("bash");
    app.args(["-c", VISIT, host, &port.to_string(), farewell]).uid(user).gid(user).current_dir("/");
    let done = timeout(PATIENCE, app.kill_on_drop(true).output()).await;
    let Output { status, stdout, stderr } = done.expect("it is answered").expect("bash is there");
    assert!(status.code() != Some(9), "{host}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text").lines().map(str::to_owned).collect()
}

/// Each protocol over IPv4, over IPv6, and over IPv4 from an IPv6 socket.
async fn expect_everywhere(bound: &Bound, user: u32, served: bool) {
    for (protocol, farewell, greeting, refusal) in PROTOCOLS {
        let addresses = match protocol {
            "pop3" => &bound.pop3,
            "imap" => &bound.imap,
            _ => &bound.smtp,
        };
        let port = |at: usize| addresses[at].port();
        for (host, port) in [("127.0.0.1", port(0)), ("::ffff:127.0.0.1", port(0)), ("::1", port(1))] {
            let heard = visit(user, host, port, farewell).await;
            let first = heard.first().map(String::as_str).unwrap_or_default();
            if served {
                assert!(
                    first.starts_with(greeting) && heard.len() > 1,
                    "{protocol} {host} {user}: {heard:?}"
                );
            } else {
                assert!(
                    first.starts_with(refusal) && heard.len() == 1,
                    "{protocol} {host} {user}: {heard:?}"
                );
            }
        }
    }
}

fn config(more: &str) -> Config {
    let nobody = Remote { host: "127.0.0.1".into(), port: 9, security: Begin::Tls };
    let config = Config::new("ana@example.org", &nobody).smtp(&nobody);
    if more.is_empty() { config } else { config.setting(more) }
}

/// On IPv4 and IPv6 in each protocol.
fn on_both(more: &str) -> Settings {
    let mut config = config(more);
    for (protocol, ..) in PROTOCOLS {
        config = config.setting(&format!("listen.{protocol} = [\"127.0.0.1:0\", \"[::1]:0\"]"));
    }
    config.parsed()
}

#[tokio::test]
async fn only_our_own_user_is_served_unless_more_is_said() {
    must_be_root();
    let bridge = InProcess::start(on_both("")).await;
    expect_everywhere(bridge.bound(), 0, true).await;
    expect_everywhere(bridge.bound(), OTHER, false).await;
    expect_everywhere(bridge.bound(), NOBODY, false).await;
}

#[tokio::test]
async fn users_are_allowed_by_name_and_by_number_and_others_are_not() {
    must_be_root();
    let bridge = InProcess::start(on_both("listen.allow_users = [\"nobody\", 424242]")).await;
    expect_everywhere(bridge.bound(), OTHER, true).await;
    expect_everywhere(bridge.bound(), NOBODY, true).await;
    expect_everywhere(bridge.bound(), 0, true).await;
    expect_everywhere(bridge.bound(), OTHER + 1, false).await;
}

#[tokio::test]
async fn all_users_are_allowed_where_it_says_so() {
    must_be_root();
    let bridge = InProcess::start(on_both("listen.allow_users = \"all\"")).await;
    expect_everywhere(bridge.bound(), OTHER, true).await;
}

/// The log names the user, the number of connections and the cure, and does not repeat itself.
#[tokio::test]
async fn the_log_tells_of_a_user_once_a_minute() {
    must_be_root();
    let mut bridge = Program::start(&config(""), "info");
    let refused = |address: SocketAddr| visit(OTHER, "127.0.0.1", address.port(), "QUIT");
    for address in [bridge.pop3(), bridge.imap(), bridge.smtp(), bridge.pop3()] {
        assert_eq!(refused(address).await.len(), 1);
    }
    assert!(bridge.terminate().success());
    let log = bridge.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("424242")).collect();
    let [line] = told[..] else { panic!("{log}") };
    for part in ["WARN", "another user", "allow_users = [424242]", "connections=1"] {
        assert!(line.contains(part), "{line}");
    }
}

/// The demo of an ordinary user: open to that user, to root, and to nobody else.
#[cfg(feature = "demo")]
#[tokio::test]
async fn the_demo_is_for_its_own_user_and_root() {
    must_be_root();
    let folder = support::process::folder("footbridge-other-users-");
    // Where the tests are built, another user may not be able to go. Copied by another process: one that a test beside this
    // one starts meanwhile would have our file open for writing, and a program that is written to cannot be run.
    let program = folder.path().join("footbridge");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_footbridge")).arg(&program).status().await;
    assert!(copied.expect("cp is there").success());
    let (_demo, ports) = demo(&program, OTHER).await;
    for ((protocol, farewell, greeting, refusal), port) in PROTOCOLS.into_iter().zip(ports) {
        for user in [OTHER, 0] {
            let heard = visit(user, "127.0.0.1", port, farewell).await;
            assert!(heard[0].starts_with(greeting), "{protocol} {user}: {heard:?}");
        }
        let heard = visit(NOBODY, "127.0.0.1", port, farewell).await;
        assert!(heard[0].starts_with(refusal) && heard.len() == 1, "{protocol}: {heard:?}");
    }
}

/// A running demo of this user, stopped when dropped, and its ports in the order of [`PROTOCOLS`].
#[cfg(feature = "demo")]
async fn demo(program: &Path, user: u32) -> (tokio::process::Child, [u16; 3]) {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let mut demo = Command::new(program);
    demo.arg("demo").uid(user).gid(user).current_dir("/").env("HOME", "/nonexistent");
    demo.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let mut demo = demo.kill_on_drop(true).spawn().expect("it starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let mut ports = [0; 3];
    loop {
        let line =
            timeout(PATIENCE, lines.next_line()).await.expect("it speaks").expect("text").expect("no end");
        for (at, label) in ["POP3 port", "IMAP port", "SMTP port"].iter().enumerate() {
            if let Some(port) = line.trim().strip_prefix(label) {
                ports[at] = port.trim().parse().expect("a port");
            }
        }
        if line.contains("Press Ctrl-C") {
            // The rest is read, so that the demo never waits for a reader.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (demo, ports);
        }
    }
}
