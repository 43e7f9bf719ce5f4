//! Plays a script against a bridge: speaks for the app and for upstream, and hears what the bridge says to both.

mod hear;
mod leave;

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use footbridge::mail::Deadlines;
use tokio_util::sync::CancellationToken;

use self::hear::fill_any;
use super::Failure;
use super::script::{Action, Close, Part, Script, Step};
use super::text::{Variables, shown};
use crate::support::bridge::{Config, InProcess};
use crate::support::scripted::Upstream;
use crate::support::wire::{End, Wire};

/// How long one step may take.
pub const STEP: Duration = Duration::from_secs(10);

/// How many lines of the conversation a failure shows.
const SHOWN: usize = 14;

/// How the octets that we say are cut into writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// A line a write.
    Whole,
    /// An octet a write, for lines of ordinary length.
    Octets,
}

/// Starts a bridge as the script wants it and plays the script against it.
pub async fn play(script: &Script, writes: Writes) -> Result<(), Failure> {
    let upstream = Upstream::bind(script.begin, script.certificate).await.expect("a free port");
    let mut remote = upstream.remote();
    if script.refused {
        remote.port = refusing_port();
    }
    let mut config = Config::new("ana@example.org", &remote).smtp(&remote);
    for line in &script.account {
        config = config.account(line);
    }
    for line in &script.settings {
        config = config.setting(line);
    }
    let mut settings = config.parsed();
    // A rule about one session is not to depend on what becomes of it afterwards.
    settings.deadlines.hold = Duration::ZERO;
    // Until the play is over.
    let state = tempfile::tempdir().expect("a folder");
    settings.state = script.keeps_state.then(|| state.path().join("state"));
    for (name, milliseconds) in &script.deadlines {
        set(&mut settings.deadlines, name, Duration::from_millis(*milliseconds)).map_err(|what| Failure {
            place: script.protocol.clone(),
            what,
            before: Vec::new(),
        })?;
    }
    let bridge = InProcess::start(settings).await;
    let address = match script.protocol.as_str() {
        "pop3" => bridge.pop3(),
        "imap" => bridge.imap(),
        "smtp" => bridge.smtp(),
        other => panic!("a transcript's folder is pop3, imap or smtp, not {other}"),
    };
    let outcome = play_against(script, address, upstream, bridge.stopping(), writes).await;
    bridge.stop();
    outcome
}

/// Plays against whatever listens at `address`; `stopping` is what `<stop>` cancels.
pub async fn play_against(
    script: &Script,
    address: SocketAddr,
    upstream: Upstream,
    stopping: CancellationToken,
    writes: Writes,
) -> Result<(), Failure> {
    let mut player = Player {
        script,
        address,
        upstream,
        stopping,
        writes,
        wires: BTreeMap::new(),
        variables: Variables::new(),
        before: VecDeque::new(),
    };
    match player.play().await {
        Ok(()) => Ok(()),
        Err((place, what)) => Err(Failure { place, what, before: player.before.into() }),
    }
}

/// A port on which nobody listens: bound, never listened on, and kept so that nobody else gets it.
fn refusing_port() -> u16 {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let port = socket.local_addr().expect("bound").as_socket().expect("an address").port();
    std::mem::forget(socket);
    port
}

fn set(deadlines: &mut Deadlines, name: &str, value: Duration) -> Result<(), String> {
    let deadline = match name {
        "connect" => &mut deadlines.connect,
        "next_address" => &mut deadlines.next_address,
        "handshake" => &mut deadlines.handshake,
        "greeting" => &mut deadlines.greeting,
        "upstream_progress" => &mut deadlines.upstream_progress,
        "data_done" => &mut deadlines.data_done,
        "envelope" => &mut deadlines.envelope,
        "app_login" => &mut deadlines.app_login,
        "hold" => &mut deadlines.hold,
        "pop3_idle" => &mut deadlines.pop3_idle,
        "imap_idle" => &mut deadlines.imap_idle,
        "smtp_idle" => &mut deadlines.smtp_idle,
        "app_stall" => &mut deadlines.app_stall,
        "stop" => &mut deadlines.stop,
        _ => return Err(format!("there is no deadline {name}")),
    };
    *deadline = value;
    Ok(())
}

type Outcome = Result<(), String>;

struct Player<'a> {
    script: &'a Script,
    address: SocketAddr,
    upstream: Upstream,
    stopping: CancellationToken,
    writes: Writes,
    wires: BTreeMap<Part, Wire>,
    variables: Variables,
    before: VecDeque<String>,
}

impl Player<'_> {
    async fn play(&mut self) -> Result<(), (String, String)> {
        let script = self.script;
        for (name, text) in &script.values {
            let value = text.render(&self.variables).map_err(|what| (format!("let: {name}"), what))?;
            self.variables.insert(name.clone(), value);
        }
        for step in &script.steps {
            self.step(step).await.map_err(|what| (step.place.clone(), what))?;
        }
        let end = script.steps.last().map_or("an empty file".into(), |step| step.place.clone());
        let at_the_end = |what: String| (end.clone(), format!("after the last line: {what}"));
        match tokio::time::timeout(STEP, self.leave()).await {
            Ok(outcome) => outcome.map_err(at_the_end),
            Err(_) => Err(at_the_end(format!("the bridge does not end; {}", self.unread()))),
        }
    }

    async fn step(&mut self, step: &Step) -> Outcome {
        let outcome = tokio::time::timeout(STEP, self.act(&step.action)).await;
        outcome.unwrap_or_else(|_| {
            Err(format!("expected {}, heard nothing more; {}", wanted(&step.action), self.unread()))
        })
    }

    async fn act(&mut self, action: &Action) -> Outcome {
        match action {
            Action::Say(part, text) => {
                let octets = [text.render(&self.variables)?.as_slice(), b"\r\n"].concat();
                self.say(*part, &octets).await
            }
            Action::SayOctets(part, text) => {
                let octets = text.render(&self.variables)?;
                self.say(*part, &octets).await
            }
            Action::Hear(part, text) => self.hear(*part, text).await,
            Action::HearMany(part, text) => self.hear_many(*part, text).await,
            Action::HearOctets(part, text) => {
                let octets = text.render(&self.variables)?;
                self.hear_octets(*part, &octets).await
            }
            Action::Close(part, how) => self.close(*part, *how).await,
            Action::Closed { part, anything } => self.closed(*part, *anything).await,
            Action::Tls(part) => self.tls(*part).await,
            Action::TlsFails(part) => self.tls_fails(*part).await,
            Action::Stop => {
                self.stopping.cancel();
                Ok(())
            }
        }
    }

    async fn say(&mut self, part: Part, octets: &[u8]) -> Outcome {
        self.open(part).await?;
        self.note(part, true, octets);
        let cut = match self.writes {
            Writes::Octets if octets.len() <= 512 => 1,
            _ => octets.len().max(1),
        };
        let mut wire = self.wires.remove(&part).ok_or("no connection")?;
        let sent = {
            let send = async {
                for piece in octets.chunks(cut) {
                    wire.send(piece).await?;
                }
                Ok::<(), std::io::Error>(())
            };
            tokio::pin!(send);
            loop {
                // The others are heard meanwhile, so that a bridge that hands on what we say is not held up by us.
                tokio::select! {
                    sent = &mut send => break sent,
                    () = fill_any(&mut self.wires) => {}
                }
            }
        };
        self.wires.insert(part, wire);
        if let Err(error) = sent {
            // A bridge may close before it has heard all; what we then hear is what counts.
            self.note(part, true, format!("<not taken: {error}>").as_bytes());
        }
        Ok(())
    }

    async fn close(&mut self, part: Part, how: Close) -> Outcome {
        self.open(part).await?;
        self.note(part, true, b"<close>");
        match how {
            Close::Politely => self.wire(part)?.finish().await.map_err(|error| error.to_string()),
            Close::Cut => {
                self.wires.remove(&part);
                Ok(())
            }
            Close::Reset => {
                self.wire(part)?.reset_on_drop();
                self.wires.remove(&part);
                Ok(())
            }
        }
    }

    async fn tls(&mut self, part: Part) -> Outcome {
        let wire = self.wires.remove(&part).ok_or("no connection to secure")?;
        let secured = wire.accept_tls(self.upstream.server_tls()).await;
        let secured = secured.map_err(|error| format!("no TLS handshake: {error}"))?;
        self.wires.insert(part, secured);
        Ok(())
    }

    async fn tls_fails(&mut self, part: Part) -> Outcome {
        let secured = match self.wires.remove(&part) {
            Some(wire) => wire.accept_tls(self.upstream.server_tls()).await,
            None => self.upstream.accept().await,
        };
        secured.map_or(Ok(()), |_| Err("the bridge is content with this certificate".to_owned()))
    }

    /// Connects, or accepts, where there is no connection yet.
    async fn open(&mut self, part: Part) -> Outcome {
        if self.wires.contains_key(&part) {
            return Ok(());
        }
        let wire = match part {
            Part::App(_) => Wire::connect(self.address).await,
            Part::Upstream(_) => self.upstream.accept().await,
        };
        self.wires.insert(part, wire.map_err(|error| format!("no connection: {error}"))?);
        Ok(())
    }

    fn wire(&mut self, part: Part) -> Result<&mut Wire, String> {
        self.wires.get_mut(&part).ok_or_else(|| "the connection is gone".to_owned())
    }

    fn note(&mut self, part: Part, ours: bool, octets: &[u8]) {
        let (indent, who, number) = match (part, ours) {
            (Part::App(number), true) => ("", 'C', number),
            (Part::App(number), false) => ("", 'S', number),
            (Part::Upstream(number), true) => ("    ", 'S', number),
            (Part::Upstream(number), false) => ("    ", 'C', number),
        };
        if self.before.len() == SHOWN {
            self.before.pop_front();
        }
        self.before.push_back(format!("{indent}{who}{number}: {}", shown(octets)));
    }

    /// What was heard and fits nowhere, for a failure's text.
    fn unread(&self) -> String {
        let mut unread = Vec::new();
        for (part, wire) in &self.wires {
            let end = match wire.end() {
                Some(End::Closed) => " <closed>",
                Some(End::Broken) => " <broken off>",
                None => "",
            };
            if !wire.heard().is_empty() || !end.is_empty() {
                unread.push(format!("{part:?} still holds {}{end}", shown(wire.heard())));
            }
        }
        if unread.is_empty() { "nothing unread".to_owned() } else { unread.join("; ") }
    }
}

fn wanted(action: &Action) -> String {
    match action {
        Action::Say(_, text) | Action::SayOctets(_, text) => format!("{text:?} to be taken"),
        Action::Hear(_, text) | Action::HearMany(_, text) | Action::HearOctets(_, text) => {
            format!("{text:?}")
        }
        Action::Close(..) => "to leave".to_owned(),
        Action::Closed { .. } => "the end".to_owned(),
        Action::TlsFails(_) => "a TLS handshake that fails".to_owned(),
        Action::Tls(_) => "a TLS handshake".to_owned(),
        Action::Stop => "to stop".to_owned(),
    }
}
