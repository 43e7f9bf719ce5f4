//! A mail app as they are: one command, then its answer, then the next. It looks at every octet it gets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::messages::{Check, Messages};
use crate::upstream::Account;
use crate::wire::{self, Socket, Wire};

/// One app, set up for one account.
#[derive(Debug)]
pub struct App<'a> {
    /// Where it connects to, and as whom.
    pub account: &'a Account,
    /// Set where it speaks TLS itself.
    pub tls: Option<Arc<ClientConfig>>,
    /// What lies in the mailbox, from its first message on.
    pub messages: &'a Messages,
    /// How many of them.
    pub count: usize,
}

/// A connection of an app.
pub type Session = Wire<Stream>;

impl App<'_> {
    /// Numbers of the messages in the mailbox.
    pub fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.count
    }

    /// Logged in by POP3, and the number of messages is right (RFC 1939 §5 STAT is not asked for).
    pub fn pop3(&self) -> io::Result<Session> {
        let mut session = self.connect(self.account.ports.pop3)?;
        session.expect("+OK")?;
        session.ask(&format!("USER {}\r\n", self.account.user), "+OK")?;
        session.ask(&format!("PASS {}\r\n", self.account.password), "+OK")?;
        Ok(session)
    }

    /// Logged in by IMAP.
    pub fn imap(&self) -> io::Result<Session> {
        let mut session = self.connect(self.account.ports.imap)?;
        session.expect("* OK")?;
        let Account { user, password, .. } = self.account;
        imap_command(&mut session, "a", &format!("LOGIN {user} {password}"))?;
        Ok(session)
    }

    /// Logged in for submission.
    pub fn smtp(&self) -> io::Result<Session> {
        let mut session = self.connect(self.account.ports.smtp)?;
        session.expect("220")?;
        session.say("EHLO app.example.org\r\n")?;
        while !session.expect("250")?.starts_with("250 ") {}
        session.ask(&format!("AUTH PLAIN {}\r\n", self.account.plain()), "235")?;
        Ok(session)
    }

    /// Asks for message `number` by POP3 and compares it.
    pub fn retrieve(&self, session: &mut Session, number: usize) -> io::Result<()> {
        session.ask(&format!("RETR {number}\r\n"), "+OK")?;
        session.message(Check::new(self.messages, number))?;
        end_of_listing(session).map(|_| ())
    }

    fn connect(&self, address: SocketAddr) -> io::Result<Session> {
        let stream = wire::connect(address)?;
        let Some(tls) = &self.tls else { return Ok(Wire::new(Stream::Plain(stream))) };
        let client = ClientConnection::new(tls.clone(), address.ip().into()).map_err(io::Error::other)?;
        Ok(Wire::new(Stream::Tls(Box::new(StreamOwned::new(client, Socket::new(stream))))))
    }
}

/// Says an IMAP command and reads up to its OK.
pub fn imap_command<S: Read + Write>(wire: &mut Wire<S>, tag: &str, command: &str) -> io::Result<()> {
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

/// Says a POP3 command with an answer of many lines and reads it; returns how many there were.
pub fn listing(session: &mut Session, command: &str) -> io::Result<usize> {
    session.ask(&format!("{command}\r\n"), "+OK")?;
    end_of_listing(session)
}

fn end_of_listing(session: &mut Session) -> io::Result<usize> {
    let mut lines = 0;
    while session.line()? != "." {
        lines += 1;
    }
    Ok(lines)
}

/// With TLS or without.
#[derive(Debug)]
pub enum Stream {
    /// To a program on this machine.
    Plain(TcpStream),
    /// To the provider.
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Read for Stream {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(octets),
            Self::Tls(stream) => stream.read(octets),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(octets),
            Self::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
