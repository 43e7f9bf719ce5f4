//! Programs people use, as they are: curl, mpop, msmtp, and Python's poplib, imaplib and smtplib.

mod imap;
mod pop3;
mod smtp;
mod tls;

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::process::program;

/// What a program did.
pub struct Done {
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard output and error, for a failure's text.
    pub said: String,
    /// Whether its exit code was 0.
    pub success: bool,
}

/// Runs a program to its end, with a bound to the wait.
pub fn run(name: &str, arguments: &[&str], input: &[u8]) -> Done {
    let mut child = Command::new("timeout")
        .arg("60")
        .arg(program(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout is there");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // A program that reads nothing closes it early.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("our own child");
    writing.join().expect("writing does not panic");
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    Done { out: output.stdout, said, success: output.status.success() }
}

/// The same, and it must succeed.
pub fn succeed(name: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let done = run(name, arguments, input);
    assert!(done.success, "{name} {arguments:?}: {}", done.said);
    done.out
}

/// Runs a Python script, read from its input, with the bridge's host and port and more arguments; a failed assertion fails.
pub fn python(script: &str, bridge: SocketAddr, arguments: &[&str]) -> Vec<u8> {
    let (host, port) = (bridge.ip().to_string(), bridge.port().to_string());
    let all = [&["-", &host, &port], arguments].concat();
    succeed("python3", &all, script.as_bytes())
}
