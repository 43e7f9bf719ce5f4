//! A message's way through the bridge and back, spoken as an old mail program speaks: SMTP there, POP3 back.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::DateTime;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::demo::{ADDRESS, PASSWORD};

/// Every step takes milliseconds; on a very busy machine seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reply line is far shorter.
const LINE: u64 = 4096;

/// The first message of a demo.
pub(super) struct Letter {
    id: String,
    date: String,
}

impl Letter {
    /// A message that no other demo sent.
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        Self {
            id: format!("<first-{}-{}@footbridge.test>", since.as_nanos(), std::process::id()),
            date: DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc2822(),
        }
    }

    pub(super) fn subject(&self) -> &'static str {
        "Hello from footbridge"
    }

    /// As it stands in a mailbox.
    fn lines(&self) -> Vec<String> {
        let Self { id, date } = self;
        let subject = self.subject();
        let lines = [
            &format!("From: footbridge <{ADDRESS}>"),
            &format!("To: <{ADDRESS}>"),
            &format!("Subject: {subject}"),
            &format!("Date: {date}"),
            &format!("Message-ID: {id}"),
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
            "",
            "This message went by SMTP to the bridge, by TLS to the mailbox, and is read through the bridge again.",
            "",
            ".a line with a dot in front, and some letters beyond ASCII: Brücke, passerelle à péage",
            "",
            "Reply to it: the reply arrives here too.",
        ];
        lines.into_iter().map(str::to_owned).collect()
    }
}

/// Submits the message (RFC 6409): AUTH PLAIN, one recipient.
pub(super) async fn send(smtp: SocketAddr, letter: &Letter) -> io::Result<()> {
    let mut talk = Talk::open(smtp).await?;
    talk.smtp_reply("220").await?;
    talk.smtp("EHLO localhost", "250").await?;
    let login = BASE64.encode(format!("\0{ADDRESS}\0{PASSWORD}"));
    talk.smtp(&format!("AUTH PLAIN {login}"), "235").await?;
    talk.smtp(&format!("MAIL FROM:<{ADDRESS}>"), "250").await?;
    talk.smtp(&format!("RCPT TO:<{ADDRESS}>"), "250").await?;
    talk.smtp("DATA", "354").await?;
    let stuffed: Vec<_> = letter.lines().iter().map(|line| stuffed(line)).collect();
    talk.smtp(&format!("{}\r\n.", stuffed.join("\r\n")), "250").await?;
    talk.smtp("QUIT", "221").await
}

/// Finds the message by POP3 (RFC 1939) and compares it; its number and its octets.
pub(super) async fn fetch(pop3: SocketAddr, letter: &Letter) -> io::Result<(u32, usize)> {
    let mut talk = Talk::open(pop3).await?;
    talk.pop3_reply().await?;
    talk.pop3(&format!("USER {ADDRESS}")).await?;
    talk.pop3(&format!("PASS {PASSWORD}")).await?;
    let listing = talk.pop3("STAT").await?;
    let last: u32 = listing.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    // It came last; a mail program may have sent another one meanwhile.
    for number in (1..=last).rev() {
        talk.pop3(&format!("RETR {number}")).await?;
        let lines = talk.pop3_lines().await?;
        if lines == letter.lines() {
            talk.pop3("QUIT").await?;
            return Ok((number, lines.iter().map(|line| line.len() + 2).sum()));
        }
    }
    Err(io::Error::other("it is not there as it was sent"))
}

fn stuffed(line: &str) -> String {
    if line.starts_with('.') { format!(".{line}") } else { line.to_owned() }
}

/// A conversation in lines.
struct Talk {
    stream: BufReader<TcpStream>,
}

impl Talk {
    async fn open(at: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(timeout(PATIENCE, TcpStream::connect(at)).await??) })
    }

    async fn smtp(&mut self, command: &str, wanted: &str) -> io::Result<()> {
        self.say(command).await?;
        self.smtp_reply(wanted).await
    }

    /// A reply's last line has a space behind its code (RFC 5321 §4.2).
    async fn smtp_reply(&mut self, wanted: &str) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            if !line.starts_with(wanted) {
                return Err(io::Error::other(line));
            }
            if line.get(3..4) != Some("-") {
                return Ok(());
            }
        }
    }

    async fn pop3(&mut self, command: &str) -> io::Result<String> {
        self.say(command).await?;
        self.pop3_reply().await
    }

    async fn pop3_reply(&mut self) -> io::Result<String> {
        let line = self.line().await?;
        if line.starts_with("+OK") { Ok(line) } else { Err(io::Error::other(line)) }
    }

    /// The lines before the one with a dot alone, their stuffing taken off.
    async fn pop3_lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            match line.strip_prefix('.') {
                Some("") => return Ok(lines),
                Some(rest) => lines.push(rest.to_owned()),
                None => lines.push(line),
            }
        }
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(format!("{line}\r\n").as_bytes())).await?
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LINE);
        timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await??;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
