//! What is done through each peer. A scenario more is a row of the table and a function.

use std::io;
use std::net::TcpStream;

use crate::messages::{Check, Messages};
use crate::ports::Ports;
use crate::upstream::{ADDRESS, AUTH_PLAIN, PASSWORD};
use crate::wire::Wire;

/// What a mail app writes at once, give or take.
const PIECE: usize = 64 * 1024;

/// Work through a peer that listens at these ports; returns the connection, still open.
pub type Work = fn(&Ports, &Messages) -> io::Result<TcpStream>;

/// One row of the table.
#[derive(Debug)]
pub struct Scenario {
    /// As printed.
    pub name: &'static str,
    /// What is timed, login included.
    pub work: Work,
}

/// All of them, in the order they are run.
pub const ALL: &[Scenario] = &[
    Scenario { name: "imap download", work: imap_download },
    Scenario { name: "pop3 download", work: pop3_download },
    Scenario { name: "smtp submission", work: smtp_submission },
];

/// Every message in one UID FETCH.
fn imap_download(ports: &Ports, messages: &Messages) -> io::Result<TcpStream> {
    let mut wire = Wire::connect(ports.imap)?;
    wire.expect("* OK")?;
    imap_command(&mut wire, "a", &format!("LOGIN {ADDRESS} {PASSWORD}"))?;
    imap_command(&mut wire, "b", "EXAMINE INBOX")?;
    wire.say("c UID FETCH 1:* (BODY.PEEK[])\r\n")?;
    for number in messages.numbers() {
        let line = wire.expect(&format!("* {number} FETCH ("))?;
        let announced = format!("{{{}}}", messages.octets(number));
        if !line.ends_with(&announced) {
            return Err(io::Error::other(format!("expected {announced} in {line:?}")));
        }
        wire.message(Check::new(messages, number))?;
        wire.line()?;
    }
    wire.expect("c OK")?;
    Ok(wire.into_inner())
}

/// Says a command and reads up to its OK.
fn imap_command(wire: &mut Wire<TcpStream>, tag: &str, command: &str) -> io::Result<()> {
    wire.say(&format!("{tag} {command}\r\n"))?;
    loop {
        let line = wire.line()?;
        if line.starts_with(&format!("{tag} OK")) {
            return Ok(());
        }
        if !line.starts_with('*') {
            return Err(io::Error::other(format!("{command}: {line}")));
        }
    }
}

/// RETR of every message, one after another.
fn pop3_download(ports: &Ports, messages: &Messages) -> io::Result<TcpStream> {
    let mut wire = Wire::connect(ports.pop3)?;
    wire.expect("+OK")?;
    wire.ask(&format!("USER {ADDRESS}\r\n"), "+OK")?;
    wire.ask(&format!("PASS {PASSWORD}\r\n"), "+OK")?;
    for number in messages.numbers() {
        wire.ask(&format!("RETR {number}\r\n"), "+OK")?;
        wire.message(Check::new(messages, number))?;
        if wire.line()? != "." {
            return Err(io::Error::other(format!("message {number} does not end")));
        }
    }
    Ok(wire.into_inner())
}

/// Every message to one recipient, in one session.
fn smtp_submission(ports: &Ports, messages: &Messages) -> io::Result<TcpStream> {
    let mut wire = Wire::connect(ports.smtp)?;
    wire.expect("220")?;
    wire.ask("EHLO app.example.org\r\n", "250-")?;
    while !wire.line()?.starts_with("250 ") {}
    wire.ask(&format!("AUTH PLAIN {AUTH_PLAIN}\r\n"), "235")?;
    for number in messages.numbers() {
        wire.ask(&format!("MAIL FROM:<{ADDRESS}>\r\n"), "250")?;
        wire.ask("RCPT TO:<bea@example.org>\r\n", "250")?;
        wire.ask("DATA\r\n", "354")?;
        messages.write(number, PIECE, wire.sink())?;
        wire.ask(".\r\n", "250")?;
    }
    Ok(wire.into_inner())
}
