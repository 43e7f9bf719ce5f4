//! An upstream that says what a script tells it, for tests.
//!
//! ```text
//! K: IMAP4rev1 MOVE      first of all: capabilities that were told at the login
//! S: * OK ready          said, with CRLF
//! C: $a LOGIN x y        the next line must be this; $a binds the tag
//! S: $a OK done          $a is that tag
//! R: a\r\nb              said as it is, \r \n \0 \xNN escaped, no CRLF
//! W: 10                  ten seconds go by
//! EOF                    the connection ends
//! ```

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;

use super::backoff::Backoff;
use super::conversation::Conversation;
use super::session::Session;
use super::wire::Wire;
use crate::net::Buffered;

/// Plays `script`; whoever awaits the handle learns whether the client kept to it. At the end of the script without
/// `EOF` the client may hang up, or say LOGOUT and hang up, and nothing else.
pub fn play(script: &'static str) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    (theirs, tokio::spawn(perform(ours, script)))
}

async fn perform(stream: DuplexStream, script: &str) {
    let mut stream = BufReader::new(stream);
    let mut tags: HashMap<char, String> = HashMap::new();
    for (number, line) in script.lines().enumerate() {
        let line = line.trim_start();
        if line == "EOF" {
            return;
        } else if let Some(said) = line.strip_prefix("S: ") {
            let _ = stream.write_all(&[filled(said, &tags).as_bytes(), b"\r\n"].concat()).await;
        } else if let Some(said) = line.strip_prefix("R: ") {
            let _ = stream.write_all(&unescaped(&filled(said, &tags))).await;
        } else if let Some(seconds) = line.strip_prefix("W: ") {
            tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap())).await;
        } else if let Some(expected) = line.strip_prefix("C: ") {
            let mut heard = Vec::new();
            stream.read_until(b'\n', &mut heard).await.unwrap();
            let heard = shown(&heard);
            if let Some(name) = expected.strip_prefix('$').and_then(|rest| rest.chars().next()) {
                let tag = heard.split(' ').next().unwrap_or_default().to_owned();
                tags.insert(name, tag);
            }
            assert_eq!(filled(expected, &tags), heard, "line {} of\n{script}", number + 1);
        } else {
            let known = line.is_empty() || line.starts_with('#') || line.starts_with("K: ");
            assert!(known, "no such line: {line}");
        }
    }
    let mut rest = Vec::new();
    stream.read_until(b'\n', &mut rest).await.unwrap();
    let rest = shown(&rest);
    assert!(rest.is_empty() || rest.ends_with(" LOGOUT"), "behind the script: {rest}");
}

/// Without the last CRLF, odd octets escaped.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    line.iter().fold(String::new(), |mut text, octet| {
        match octet {
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => write!(text, "\\x{octet:02x}").unwrap(),
        }
        text
    })
}

fn filled(line: &str, tags: &HashMap<char, String>) -> String {
    tags.iter().fold(line.to_owned(), |line, (name, tag)| line.replace(&format!("${name}"), tag))
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            octets.push(*first);
            continue;
        }
        let (escape, behind) = rest.split_first().unwrap();
        rest = behind;
        octets.push(match escape {
            b'r' => b'\r',
            b'n' => b'\n',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let (digits, behind) = rest.split_at(2);
                rest = behind;
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            }
            other => panic!("no such escape: {}", char::from(*other)),
        });
    }
    octets
}

/// How long a scripted upstream may be silent.
pub const PATIENCE: Duration = Duration::from_secs(55);

/// A session, logged in already, with a scripted upstream.
pub fn session(script: &'static str) -> (Session, JoinHandle<()>) {
    session_heeding(script, &Backoff::default())
}

/// The same, which minds what upstream asks for there.
pub fn session_heeding(script: &'static str, backoff: &Backoff) -> (Session, JoinHandle<()>) {
    let (stream, play) = play(script);
    let told = script.trim_start().strip_prefix("K: ").and_then(|rest| rest.lines().next());
    (session_that_told(told, backoff, stream), play)
}

/// A session, logged in already, over a stream.
pub fn session_over(stream: DuplexStream) -> Session {
    session_that_told(None, &Backoff::default(), stream)
}

fn session_that_told(capabilities: Option<&str>, backoff: &Backoff, stream: DuplexStream) -> Session {
    let wire = Wire::new(Buffered::new(stream), PATIENCE);
    let mut conversation = Conversation::Client(async_imap::Client::new(wire));
    conversation.heard().capabilities = capabilities.map(|list| list.split(' ').map(str::to_owned).collect());
    conversation.heard().backoff = backoff.clone();
    Session::over(conversation)
}
