//! One POP3 session: which command is legal when, and what it asks of the mailbox.
//!
//! Pure: lines and answers in, [`Step`]s out. The driver is `bridge::pop3`.
//!
//! ```text
//!  AUTHORIZATION ──login accepted──▶ TRANSACTION ──QUIT──▶ UPDATE ──▶ +OK or -ERR, closed
//!        └──QUIT──▶ closed                 └──hang-up, time-out──▶ closed, nothing removed
//! ```
//!
//! A login may be accepted while its maildrop is still coming: then the first command that needs it waits, and where it
//! does not come the next one hears what the login would have heard.
//!
//! RFC 1939 §4 to §7, CAPA from RFC 2449, AUTH from RFC 5034, STLS from RFC 2595 §4: the session ends there, and
//! another one, which knows nothing of it, begins inside TLS. Not here: APOP, whose digest could not be forwarded
//! as a login.
//!
//! UTF8 and LANG from RFC 6856. Names and passwords are UTF-8 anyway, or whatever else the app sends. Messages pass as
//! upstream has them, with UTF8 and without: it allows UTF-8 in headers and wants none, and what an upstream that was
//! not told of UTF-8 (RFC 6855) gives is for everybody. Our words are English and ASCII.

mod authorization;
mod transaction;

use zeroize::Zeroize;

use self::transaction::{before_maildrop, transaction};
use super::command::{COMMAND_LIMIT, SASL_LIMIT};
use super::maildrop::NotThere;
use super::{Command, Listing, Maildrop, MessageNumber, Reply, SyntaxError};
use crate::mail::{AppTls, Uid};
use crate::proto::line::Line;
use crate::proto::sasl::{Exchange, Offer};
use crate::proto::stranger;

/// Bad commands before login: old apps probe (XTND, XSENDER, LAST and such), and who guesses more is no mail app.
const BAD_BEFORE_LOGIN: u32 = 10;

/// Bad commands in a row after login that are answered and borne; the next one ends the session.
const BAD_AFTER_LOGIN: u32 = 20;

/// What the driver does next.
#[derive(Debug)]
pub enum Step {
    /// Send it; go on with the next line.
    Reply(Reply),
    /// Send it, then the listing.
    List(Reply, Listing),
    /// Open the mailbox for this offer, then [`Session::logged_in`], [`Session::login_accepted`],
    /// [`Session::login_refused`] or [`Session::login_failed`].
    Login(Offer),
    /// The maildrop is still coming: once the driver has told [`Session::arrived`] or [`Session::not_coming`], this
    /// command is for [`Session::resume`].
    Await(Command),
    /// Send the whole message, then [`Session::retrieved`]; the octets are those of the listing.
    Retrieve {
        /// Which one.
        number: MessageNumber,
        /// The same, upstream.
        uid: Uid,
        /// Its size as LIST told it.
        octets: u64,
    },
    /// Send the message's headers and so many lines.
    Top {
        /// Which one.
        number: MessageNumber,
        /// The same, upstream.
        uid: Uid,
        /// Lines of its body.
        lines: u32,
    },
    /// UPDATE: remove what is marked, then [`Session::updated`].
    Update {
        /// What the app got whole.
        retrieved: Vec<Uid>,
        /// What is to be removed.
        deleted: Vec<Uid>,
    },
    /// Send it and begin TLS, unless octets have come behind the command; this session is over.
    BeginTls(Reply),
    /// Send it and close.
    Finish(Reply),
}

/// The state machine.
#[derive(Debug)]
pub struct Session {
    tls: AppTls,
    state: State,
    bad: u32,
    refused: u32,
}

#[derive(Debug)]
enum State {
    /// AUTHORIZATION; with the name if USER was the last command.
    Authorization(Option<String>),
    /// AUTHORIZATION, the next line is a SASL answer.
    Exchange(Exchange),
    /// AUTHORIZATION, the driver asks upstream.
    LoggingIn,
    /// TRANSACTION whose maildrop is still coming.
    Coming,
    Transaction(Maildrop),
    /// TRANSACTION whose maildrop does not come: whatever the app says next is told why, and that is all.
    Failed(Reply),
    /// UPDATE, or over.
    Update,
}

impl Session {
    /// A session without TLS whose greeting is yet to be sent.
    pub fn new() -> Self {
        Self::with_tls(AppTls::Off)
    }

    /// The same where there is, or may be, TLS.
    pub fn with_tls(tls: AppTls) -> Self {
        Self { tls, state: State::Authorization(None), bad: 0, refused: 0 }
    }

    /// The greeting: no time stamp, since APOP is not offered (RFC 1939 §7). None behind STLS (RFC 2595 §4).
    pub fn greeting(&self) -> Option<Reply> {
        self.tls.greets().then(|| Reply::ok("footbridge POP3 ready"))
    }

    /// Octets of the next line, its end included; changes at login.
    pub fn line_limit(&self) -> usize {
        if self.is_logged_in() { COMMAND_LIMIT } else { SASL_LIMIT }
    }

    /// Whether the login is done.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.state, State::Coming | State::Transaction(_) | State::Failed(_) | State::Update)
    }

    /// The maildrop in TRANSACTION.
    pub fn maildrop(&self) -> Option<&Maildrop> {
        match &self.state {
            State::Transaction(maildrop) => Some(maildrop),
            _ => None,
        }
    }

    /// How the app stands to TLS.
    pub fn tls(&self) -> AppTls {
        self.tls
    }

    /// Looks at the connection's first octets before a line has come.
    pub fn dismisses(&self, first: &[u8]) -> Option<Reply> {
        let text = match self.tls {
            AppTls::Off => "this port speaks POP3 in plain text, without TLS",
            AppTls::Offered | AppTls::Required => "TLS begins at once here, or with STLS",
            AppTls::Implicit | AppTls::Upgraded => "this port speaks POP3",
        };
        let binary = stranger::is_binary(first) && !stranger::is_preamble(first);
        binary.then(|| Reply::err(text))
    }

    /// Takes the app's next line. The first value is the command's name, for the log: empty for what is none.
    pub fn handle_line(&mut self, line: Line) -> (&'static str, Step) {
        let mut line = match line {
            Line::Whole(line) => line,
            Line::TooLong => return ("", self.not_a_command(SyntaxError::TooLong)),
        };
        let (name, step) = self.handle_whole(&line);
        line.zeroize(); // It may hold a password.
        (name, step)
    }

    fn handle_whole(&mut self, line: &[u8]) -> (&'static str, Step) {
        if let State::Exchange(exchange) = &mut self.state {
            let progress = exchange.answer(line);
            return ("AUTH", self.sasl(progress));
        }
        let line = if self.is_logged_in() { line } else { stranger::without_preamble(line) };
        if !self.is_logged_in() && stranger::is_http(line) {
            return ("", Step::Finish(Reply::err("this port speaks POP3")));
        }
        match Command::parse(line) {
            Ok(command) => (command.name(), self.handle_command(command)),
            Err(error) => ("", self.not_a_command(error)),
        }
    }

    fn not_a_command(&mut self, error: SyntaxError) -> Step {
        if matches!(self.state, State::Failed(_)) {
            return self.fail();
        }
        // A line too long for an answer ends the exchange too: the app is told, and the next line is a command.
        if !self.is_logged_in() && error != SyntaxError::Empty {
            self.state = State::Authorization(None);
        }
        let text = match error {
            SyntaxError::Empty => return Step::Reply(Reply::err("empty line")),
            SyntaxError::NotHere => return Step::Reply(Reply::err("not supported here")),
            SyntaxError::NoSuchMessage => return Step::Reply(NotThere::NoSuchMessage.into()),
            SyntaxError::Unknown => "unknown command",
            SyntaxError::Arguments => "wrong arguments",
            SyntaxError::TooLong => "line too long",
        };
        self.bad = self.bad.saturating_add(1);
        if self.bad > if self.is_logged_in() { BAD_AFTER_LOGIN } else { BAD_BEFORE_LOGIN } {
            return Step::Finish(Reply::err("too many bad commands"));
        }
        Step::Reply(Reply::err(text))
    }

    fn handle_command(&mut self, command: Command) -> Step {
        match &mut self.state {
            State::Transaction(maildrop) => {
                self.bad = 0;
                match command {
                    Command::Quit => self.quit(),
                    command => transaction(maildrop, command),
                }
            }
            State::Coming => {
                self.bad = 0;
                match command {
                    Command::Quit => self.quit(),
                    command => before_maildrop(command).unwrap_or_else(Step::Await),
                }
            }
            State::Failed(_) => self.fail(),
            State::Authorization(user) => {
                let user = user.take();
                self.authorization(user, command)
            }
            _ => Step::Reply(Reply::err("not in this state")),
        }
    }

    /// The command of [`Step::Await`], now that it is known what became of the maildrop.
    pub fn resume(&mut self, command: Command) -> Step {
        self.handle_command(command)
    }

    /// The last word.
    fn fail(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Update) {
            State::Failed(reply) => Step::Finish(reply),
            _ => Step::Finish(Reply::err("not in this state")),
        }
    }

    /// From here on, and only here, mail disappears (RFC 1939 §6).
    fn quit(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Update) {
            State::Transaction(maildrop) => {
                Step::Update { retrieved: maildrop.retrieved(), deleted: maildrop.deleted() }
            }
            _ => Step::Finish(Reply::ok("bye")),
        }
    }

    /// UPDATE is over; `refusal` says why not everything was removed (RFC 1939 §6).
    pub fn updated(&mut self, refusal: Option<Reply>) -> Step {
        Step::Finish(refusal.unwrap_or_else(|| Reply::ok("bye")))
    }

    /// The app was sent the whole message.
    pub fn retrieved(&mut self, number: MessageNumber) {
        if let State::Transaction(maildrop) = &mut self.state {
            maildrop.retrieved_whole(number);
        }
    }

    /// The message's body broke off before the app was sent an octet of it.
    pub fn broke(&mut self, number: MessageNumber) {
        if let State::Transaction(maildrop) = &mut self.state {
            maildrop.broke(number);
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
