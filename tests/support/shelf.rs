//! An upstream with one read-only mailbox whose every octet the test chose: NULs, bare LFs and empty messages, which
//! real servers mend when they are stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::bridge::Remote;
use super::scripted::Upstream;
use super::wire::Wire;

/// A running shelf; dropped, it takes no more connections.
pub struct Shelf {
    remote: Remote,
    accepting: JoinHandle<()>,
    open: watch::Receiver<usize>,
    messages: Arc<Messages>,
}

impl Shelf {
    /// Serves these messages as UID 1, 2, 3 and so on.
    pub async fn start(messages: Vec<Vec<u8>>) -> Self {
        Self::with(Messages::new(messages, usize::MAX)).await
    }

    /// The same, but the first body that is asked for ends after so many octets, together with the connection.
    pub async fn that_breaks_off_once(messages: Vec<Vec<u8>>, after: usize) -> Self {
        Self::with(Messages::new(messages, after)).await
    }

    /// The same, but the message with this UID is never given, nor what a set has behind it.
    pub async fn that_refuses(messages: Vec<Vec<u8>>, uid: usize) -> Self {
        Self::with(Messages { refused: Some(uid), ..Messages::new(messages, usize::MAX) }).await
    }

    async fn with(messages: Messages) -> Self {
        let upstream = Upstream::good().await;
        let remote = upstream.remote();
        let messages = Arc::new(messages);
        let (count, open) = watch::channel(0);
        let served = messages.clone();
        let accepting = tokio::spawn(async move {
            // A handshake that fails is that connection's affair.
            loop {
                if let Ok(wire) = upstream.accept().await {
                    let (messages, count) = (served.clone(), count.clone());
                    count.send_modify(|open| *open += 1);
                    tokio::spawn(async move {
                        serve(wire, messages).await;
                        count.send_modify(|open| *open -= 1);
                    });
                }
            }
        });
        Self { remote, accepting, open, messages }
    }

    /// As the configuration names it.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// How many commands have asked for bodies.
    pub fn asked(&self) -> usize {
        self.messages.asked.load(Ordering::Relaxed)
    }

    /// Waits until the bridge has ended every connection.
    pub async fn deserted(&self) {
        let mut open = self.open.clone();
        let gone = tokio::time::timeout(PATIENCE, open.wait_for(|open| *open == 0)).await;
        drop(gone.expect("the bridge lets its connections go").expect("the shelf counts"));
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Messages {
    all: Vec<Vec<u8>>,
    /// After how many octets of a body the connection breaks off, once.
    break_off: AtomicUsize,
    /// Commands that asked for bodies.
    asked: AtomicUsize,
    /// UID of a message that is not given.
    refused: Option<usize>,
}

impl Messages {
    fn new(all: Vec<Vec<u8>>, break_off: usize) -> Self {
        Self { all, break_off: AtomicUsize::new(break_off), asked: AtomicUsize::new(0), refused: None }
    }
}

async fn serve(mut wire: Wire, messages: Arc<Messages>) {
    if wire.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] shelf\r\n").await.is_err() {
        return;
    }
    while let Some(line) = wire.hear_or_end().await {
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        let refused = messages.refused.filter(|uid| command.contains("BODY") && names(command, *uid));
        let given = refused.map_or(&messages.all[..], |uid| &messages.all[..uid - 1]);
        let answer = answer(command, given, &mut wire).await;
        if let (true, Some(untagged)) = (command.contains("BODY.PEEK[]"), &answer) {
            messages.asked.fetch_add(1, Ordering::Relaxed);
            let after = messages.break_off.swap(usize::MAX, Ordering::Relaxed);
            if let (Some(literal), true) = (memchr::memmem::find(untagged, b"}\r\n"), after != usize::MAX) {
                let _ = wire.send(&untagged[..untagged.len().min(literal + 3 + after)]).await;
                return;
            }
        }
        let done = match answer {
            Some(untagged) if refused.is_some() => {
                [untagged, format!("{tag} NO [UNAVAILABLE] UID FETCH Server error\r\n").into_bytes()].concat()
            }
            Some(untagged) => [untagged, format!("{tag} OK done\r\n").into_bytes()].concat(),
            None => format!("{tag} BAD not on this shelf\r\n").into_bytes(),
        };
        if wire.send(&done).await.is_err() || command == "LOGOUT" {
            let _ = wire.finish().await;
            return;
        }
    }
}

/// The untagged responses.
async fn answer(command: &str, messages: &[Vec<u8>], wire: &mut Wire) -> Option<Vec<u8>> {
    let word = command.split(' ').next().unwrap_or_default();
    match word {
        "CAPABILITY" => Some(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n".to_vec()),
        "LOGIN" | "NOOP" | "CHECK" | "UNSELECT" => Some(Vec::new()),
        "AUTHENTICATE" => {
            wire.send(b"+ \r\n").await.ok()?;
            let response = wire.hear_or_end().await?;
            base64::prelude::BASE64_STANDARD.decode(response).ok()?;
            Some(Vec::new())
        }
        "LIST" => Some(b"* LIST () \"/\" INBOX\r\n".to_vec()),
        "SELECT" | "EXAMINE" => Some(
            format!(
                "* {} EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 9] ids\r\n* OK [UIDNEXT {}] next\r\n",
                messages.len(),
                messages.len() + 1
            )
            .into_bytes(),
        ),
        "UID" => fetch(command.strip_prefix("UID FETCH ")?, messages),
        "LOGOUT" => Some(b"* BYE closed\r\n".to_vec()),
        _ => None,
    }
}

fn fetch(arguments: &str, messages: &[Vec<u8>]) -> Option<Vec<u8>> {
    let (set, items) = arguments.split_once(' ')?;
    let mut answer = Vec::new();
    for (uid, message) in (1..).zip(messages) {
        if !set.split(',').any(|range| holds(range, uid, messages.len())) {
            continue;
        }
        answer.extend(format!("* {uid} FETCH (UID {uid}").into_bytes());
        if items.contains("FLAGS") {
            answer.extend(b" FLAGS (\\Seen)");
        }
        if items.contains("RFC822.SIZE") {
            answer.extend(format!(" RFC822.SIZE {}", message.len()).into_bytes());
        }
        if let Some((_, rest)) = items.split_once("BODY.PEEK[]") {
            let (origin, part) = part_of(rest, message)?;
            answer.extend(format!(" BODY[]{origin} {{{}}}\r\n", part.len()).into_bytes());
            answer.extend(part);
        }
        answer.extend(b")\r\n");
    }
    Some(answer)
}

/// `<from.octets>`, where it is there.
fn part_of<'a>(rest: &str, message: &'a [u8]) -> Option<(String, &'a [u8])> {
    let Some((partial, _)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
        return Some((String::new(), message));
    };
    let (from, octets) = partial.split_once('.')?;
    let (from, octets): (usize, usize) = (from.parse().ok()?, octets.parse().ok()?);
    let part = message.get(from..).unwrap_or_default();
    Some((format!("<{from}>"), &part[..part.len().min(octets)]))
}

/// Whether the set of a UID FETCH names the message.
fn names(command: &str, uid: usize) -> bool {
    let set = command.strip_prefix("UID FETCH ").and_then(|rest| rest.split(' ').next());
    set.is_some_and(|set| set.split(',').any(|range| holds(range, uid, usize::MAX)))
}

fn holds(range: &str, uid: usize, last: usize) -> bool {
    let number = |text: &str| if text == "*" { last } else { text.parse().unwrap_or(0) };
    let (from, to) = range.split_once(':').unwrap_or((range, range));
    (number(from)..=number(to)).contains(&uid)
}
