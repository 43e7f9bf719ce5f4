//! The bulk that is moved through each peer. A scenario more is a row of the table and a function.

use std::io;
use std::net::TcpStream;

use crate::app::imap_command;
use crate::messages::{Check, Messages};
use crate::upstream::Account;
use crate::wire::Wire;

/// What a mail app writes at once, give or take.
const PIECE: usize = 64 * 1024;

/// Work through a peer, which is where the account says; returns the connection, still open.
pub type Work = fn(&Account, &Messages) -> io::Result<TcpStream>;

/// One row of the table.
#[derive(Debug)]
pub struct Scenario {
    /// As printed.
    pub name: &'static str,
    /// What footbridge is to reach with 20 messages of 20 MB.
    pub bar: &'static str,
    /// What is timed, login included.
    pub work: Work,
}

/// All of them, in the order they are run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "imap download",
        bar: "CPU <= 1.3 x nginx's, time <= 1.05 x nginx's, growth <= 8 MiB",
        work: imap_download,
    },
    Scenario { name: "pop3 download", bar: "CPU <= stunnel's, time <= 1.1 x stunnel's", work: pop3_download },
    Scenario {
        name: "smtp submission",
        bar: "CPU <= stunnel's, time <= 1.1 x stunnel's",
        work: smtp_submission,
    },
];

/// Every message in one UID FETCH.
fn imap_download(at: &Account, messages: &Messages) -> io::Result<TcpStream> {
    let mut wire = Wire::connect(at.ports.imap)?;
    wire.expect("* OK")?;
    imap_command(&mut wire, "a", &format!("LOGIN {} {}", at.user, at.password))?;
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

/// RETR of every message, one after another.
fn pop3_download(at: &Account, messages: &Messages) -> io::Result<TcpStream> {
    let mut wire = Wire::connect(at.ports.pop3)?;
    wire.expect("+OK")?;
    wire.ask(&format!("USER {}\r\n", at.user), "+OK")?;
    wire.ask(&format!("PASS {}\r\n", at.password), "+OK")?;
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
fn smtp_submission(at: &Account, messages: &Messages) -> io::Result<TcpStream> {
    let mut wire = Wire::connect(at.ports.smtp)?;
    wire.expect("220")?;
    wire.ask("EHLO app.example.org\r\n", "250-")?;
    while !wire.line()?.starts_with("250 ") {}
    wire.ask(&format!("AUTH PLAIN {}\r\n", at.plain()), "235")?;
    for number in messages.numbers() {
        wire.ask(&format!("MAIL FROM:<{}>\r\n", at.user), "250")?;
        wire.ask(&format!("RCPT TO:<bea{number}@example.org>\r\n"), "250")?;
        wire.ask("DATA\r\n", "354")?;
        messages.write(number, PIECE, wire.sink())?;
        wire.ask(".\r\n", "250")?;
    }
    Ok(wire.into_inner())
}
