//! An IMAP session up to its login: all of it is ours, upstream is asked for the login only.
//!
//! Pure: octets in, [`Step`]s out. The driver is `bridge::imap`.
//!
//! ```text
//!             ┌──────────────── refused ────────────────┐
//!             ▼                                         │
//!  greeting ─▶ NOT AUTHENTICATED ──LOGIN, AUTHENTICATE──▶ upstream is asked ──accepted──▶ the splice
//!             └──LOGOUT, three bad commands, too much, another protocol──▶ BYE, closed
//! ```
//!
//! RFC 3501 §6.1, §6.2; SASL-IR RFC 4959; literals RFC 7888; ID RFC 2971. STARTTLS (§6.2.1) ends the session, and another
//! one, which knows nothing of it, begins inside TLS.

mod command;
mod gather;
mod intruder;

use bytes::BytesMut;

use super::capability::{BEFORE_LOGIN, BEFORE_TLS};
use super::splice::id;
use super::text::clean;
use crate::mail::AppTls;
use crate::proto::sasl::{Exchange, Mechanism, Offer, Progress};
use command::{Command, Fault};
use gather::{Gather, Gathered};

/// Commands answered BAD before we say BYE: an app makes none, whoever guesses makes many.
const BAD_COMMANDS: u32 = 3;

/// What the driver does next.
#[derive(Debug)]
pub enum Step {
    /// Send this.
    Reply(String),
    /// Ask upstream, then call [`Session::accepted`] or [`Session::refused`].
    Login(Offer),
    /// Send this and begin TLS, unless octets have come behind the command; this session is over.
    BeginTls(String),
    /// Send this and close.
    Finish(String),
}

/// Why a login came to nothing, as the app is told (RFC 5530 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Name or password is wrong.
    AuthenticationFailed,
    /// Not now.
    Unavailable,
    /// Somebody has to set something right here.
    ContactAdmin,
    /// Too many connections.
    Limit,
}

/// The state machine.
#[derive(Debug)]
pub struct Session {
    tls: AppTls,
    gather: Gather,
    exchange: Option<Exchange>,
    /// Of the command that is being answered.
    tag: String,
    bad: u32,
    alerted: bool,
}

impl Session {
    /// A session without TLS whose greeting has not been sent yet.
    pub fn new() -> Self {
        Self::with_tls(AppTls::Off)
    }

    /// The same where there is, or may be, TLS.
    pub fn with_tls(tls: AppTls) -> Self {
        Self { tls, gather: Gather::new(), exchange: None, tag: String::new(), bad: 0, alerted: false }
    }

    /// The greeting; it never waits for upstream (RFC 3501 §7.1.1). None behind STARTTLS (§6.2.1).
    pub fn greeting(&self) -> Option<String> {
        self.tls.greets().then(|| format!("* OK [CAPABILITY {}] footbridge ready\r\n", self.capabilities()))
    }

    fn capabilities(&self) -> String {
        match self.tls {
            AppTls::Required => BEFORE_TLS.to_owned(),
            AppTls::Offered => format!("{BEFORE_LOGIN} STARTTLS"),
            _ => BEFORE_LOGIN.to_owned(),
        }
    }

    /// Takes octets from the front of `input` until there is something to do; `None` when all were taken and more
    /// are needed. What stands behind a login is left: it belongs to the splice.
    pub fn take(&mut self, input: &mut BytesMut) -> Option<Step> {
        loop {
            let step = match self.gather.take(input, self.exchange.is_some())? {
                Gathered::Line(text) if self.exchange.is_some() => self.answer(&text),
                // An empty line asks nothing; some apps send one behind a literal.
                Gathered::Line(text) if text.trim_ascii().is_empty() => continue,
                Gathered::Line(text) => self.command(&text),
                Gathered::GoOn => Step::Reply("+ go on\r\n".into()),
                Gathered::Refused { reason, .. } if self.exchange.is_some() => {
                    self.refuse(Some(self.tag.clone()), reason)
                }
                Gathered::Refused { tag, reason } => self.refuse(tag, reason),
                Gathered::Flood => Step::Finish("* BYE too many octets before login\r\n".into()),
                Gathered::TooMuch => Step::Finish("* BYE too much without a login, goodbye\r\n".into()),
                Gathered::Intruder => Step::Finish(intruder::FAREWELL.into()),
            };
            return Some(step);
        }
    }

    /// Upstream took the login: what upstream had to say (whole lines), then our tagged OK with the list.
    pub fn accepted(&self, alerts: &[impl AsRef<[u8]>], shown: &str) -> Vec<u8> {
        let mut reply: Vec<u8> = alerts.iter().flat_map(|line| line.as_ref()).copied().collect();
        reply.extend_from_slice(format!("{} OK [CAPABILITY {shown}] logged in\r\n", self.tag).as_bytes());
        reply
    }

    /// The login came to nothing; the app may try again. `alert`: the user should read it, so it is said as an
    /// ALERT too, once a connection (RFC 3501 §7.1).
    pub fn refused(&mut self, code: Code, reason: &str, alert: bool) -> String {
        let code = match code {
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::Unavailable => "UNAVAILABLE",
            Code::ContactAdmin => "CONTACTADMIN",
            Code::Limit => "LIMIT",
        };
        let reason = clean(reason);
        let alert = if alert && !self.alerted {
            self.alerted = true;
            format!("* OK [ALERT] {reason}\r\n")
        } else {
            String::new()
        };
        format!("{alert}{} NO [{code}] {reason}\r\n", self.tag)
    }

    fn command(&mut self, text: &[u8]) -> Step {
        let (tag, command) = match command::parse(text) {
            Ok(parsed) => parsed,
            Err(Fault { tag, reason }) => {
                let intruder = intruder::is_one(text);
                return if intruder {
                    Step::Finish(intruder::FAREWELL.into())
                } else {
                    self.refuse(tag, reason)
                };
            }
        };
        self.tag = tag;
        let tag = &self.tag;
        match command {
            Command::Capability => {
                let capabilities = self.capabilities();
                Step::Reply(format!("* CAPABILITY {capabilities}\r\n{tag} OK CAPABILITY completed\r\n"))
            }
            Command::StartTls => self.begin_tls(),
            // RFC 5530 §3.
            Command::Login(_) | Command::Authenticate { .. } if self.tls.bars_login() => Step::Reply(
                format!("{tag} NO [PRIVACYREQUIRED] TLS comes first; set the mail program to STARTTLS\r\n"),
            ),
            Command::Noop => Step::Reply(format!("{tag} OK NOOP completed\r\n")),
            Command::Id => Step::Reply(id(tag)),
            Command::Logout => Step::Finish(format!("* BYE logging out\r\n{tag} OK LOGOUT completed\r\n")),
            Command::Login(offer) => Step::Login(offer),
            Command::Authenticate { mechanism: None, .. } => {
                Step::Reply(format!("{tag} NO this mechanism is not offered\r\n"))
            }
            Command::Authenticate { mechanism: Some(mechanism), initial } => {
                self.begin(mechanism, initial.as_ref().map(|octets| octets.as_slice()))
            }
        }
    }

    fn begin_tls(&mut self) -> Step {
        if self.tls.can_begin() {
            return Step::BeginTls(format!("{} OK begin TLS\r\n", self.tag));
        }
        let there = if self.tls == AppTls::Off { "TLS is not offered here" } else { "TLS is there already" };
        self.refuse(Some(self.tag.clone()), there)
    }

    fn begin(&mut self, mechanism: Mechanism, initial: Option<&[u8]>) -> Step {
        let (exchange, progress) = Exchange::begin(mechanism, initial);
        self.exchange = Some(exchange);
        self.progress(progress)
    }

    fn answer(&mut self, line: &[u8]) -> Step {
        match &mut self.exchange {
            Some(exchange) => {
                let progress = exchange.answer(line);
                self.progress(progress)
            }
            None => self.refuse(None, "nothing was asked"),
        }
    }

    fn progress(&mut self, progress: Progress) -> Step {
        if let Progress::Challenge(challenge) = progress {
            return Step::Reply(format!("+ {challenge}\r\n"));
        }
        self.exchange = None;
        match progress {
            Progress::Offer(offer) => Step::Login(offer),
            Progress::Cancelled => Step::Reply(format!("{} BAD AUTHENTICATE cancelled\r\n", self.tag)),
            _ => self.refuse(Some(self.tag.clone()), "this is not what the mechanism wants"),
        }
    }

    fn refuse(&mut self, tag: Option<String>, reason: &str) -> Step {
        self.exchange = None;
        self.bad += 1;
        let reply = format!("{} BAD {reason}\r\n", tag.as_deref().unwrap_or("*"));
        if self.bad >= BAD_COMMANDS {
            return Step::Finish(format!("{reply}* BYE too many bad commands\r\n"));
        }
        Step::Reply(reply)
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
