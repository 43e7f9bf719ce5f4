//! One SMTP session: which command is legal when, and what it asks of upstream.
//!
//! Pure: lines and answers in, [`Step`]s out. The driver is `bridge::smtp`.
//!
//! ```text
//!  ANONYMOUS ──AUTH, upstream took it──▶ LOGGED IN ──MAIL──▶ RCPT ... ──DATA, 354──▶ message ──▶ LOGGED IN
//!      └──────────QUIT──────────▶ closed ◀──QUIT──┘   └──RSET, EHLO──▶ LOGGED IN
//! ```
//!
//! STARTTLS (RFC 3207) ends the session, and another one, which knows nothing of it, begins inside TLS.
//!
//! RFC 5321 §4.1.4 (order), RFC 4954 (AUTH), RFC 2920 (pipelining). MAIL is answered here and travels with the
//! first RCPT, so it costs no round trip; a refusal of the sender shows there. RCPTs that the app pipelines are
//! gathered and go upstream together.

mod transaction;

use std::borrow::Cow;

use super::capabilities::Offered;
use super::command::Command;
use super::parameters::{MailFrom, RcptTo};
use super::syntax::SyntaxError;
use super::{Capabilities, Reply};
use crate::mail::AppTls;
use crate::proto::sasl::{Exchange, Mechanism, Offer, Progress};
use crate::proto::stranger;
use transaction::{Batch, Transaction};

/// A command line: well over the 512 octets of RFC 5321 §4.5.3.1.4, since parameters make them longer.
const COMMAND_LINE: usize = 4096;

/// An AUTH line (RFC 4954 §4) and its CRLF; the longest line there is.
pub const LONGEST_LINE: usize = 12_288 + 2;

/// The largest message we begin to take; above what any provider takes, so upstream's own bound is the one that
/// counts. What it bounds is how long an app can keep a connection busy with one message.
pub const LARGEST_MESSAGE: u64 = 1 << 30;

/// Mistakes an app may make before we close; RFC 5321 §3.8 forbids to close at the first.
const MISTAKES: u32 = 20;

/// Lines before login: a dozen logs in, and some apps try every mechanism they know; who says more than this is
/// no mail app, and costs only time (RFC 5321 §7.8).
const LINES_BEFORE_LOGIN: u32 = 100;

/// What the driver does next.
#[derive(Debug)]
pub enum Step {
    /// Answer.
    Reply(Reply),
    /// Answer each in this order.
    Replies(Vec<Reply>),
    /// Nothing yet: the line waits with others for [`Session::settle`].
    Gathered,
    /// Ask, then [`Session::resume`].
    Ask(Request),
    /// Answer, then take the message and tell what became of it by [`Answer::Received`].
    Receive {
        /// 354.
        reply: Reply,
        /// Octets the message may have.
        largest: u64,
        /// Whether upstream takes 8-bit content.
        eight_bit: bool,
    },
    /// Answer and begin TLS, unless octets have come behind the command; this session is over.
    BeginTls(Reply),
    /// Answer and close.
    Finish(Reply),
}

/// What only upstream can answer.
#[derive(Debug)]
pub enum Request {
    /// Whether this login is good; upstream is asked now, so that 235 means that it took it.
    Login(Offer),
    /// MAIL, where it was not sent yet, and RCPTs.
    Envelope(Envelope),
    /// DATA.
    Data,
}

/// A part of the envelope that goes upstream in as few writes as it allows.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The sender, if this begins the transaction upstream.
    pub mail: Option<MailFrom>,
    /// Recipients in the app's order; at least one.
    pub recipients: Vec<RcptTo>,
}

/// What came of a [`Request`].
#[derive(Debug)]
pub enum Answer {
    /// Upstream took the login and offers this.
    LoggedIn(Capabilities),
    /// It did not.
    NotLoggedIn(Reply),
    /// Upstream's reply for each recipient.
    Recipients(Vec<Reply>),
    /// Upstream refused the sender, and therefore every recipient.
    SenderRefused(Reply),
    /// The transaction is void; nothing was or will be sent.
    Lost(Reply),
    /// Upstream's reply to DATA.
    Data(Reply),
    /// The message was taken to its end, and this is what the app is told.
    Received(Reply),
}

/// The state machine.
#[derive(Debug)]
pub struct Session {
    tls: AppTls,
    greeted: bool,
    /// The app's last EHLO was answered with 8BITMIME. Apps do not ask again after AUTH: BODY is then taken from
    /// them even where upstream lacks 8BITMIME, is not passed on, and 8-bit content is refused when it comes.
    told_eight_bit: bool,
    login: Login,
    transaction: Transaction,
    batch: Batch,
    mistakes: u32,
    lines_before_login: u32,
}

#[derive(Debug)]
enum Login {
    Anonymous,
    Exchanging(Exchange),
    Asked,
    In(Capabilities),
}

impl Session {
    /// A session without TLS and its greeting, which waits for nobody.
    pub fn new() -> (Self, Reply) {
        (Self::with_tls(AppTls::Off), Self::greeting())
    }

    /// RFC 5321 §4.3.1; not behind STARTTLS (RFC 3207 §4.2).
    pub fn greeting() -> Reply {
        Reply::bare(220, "localhost ESMTP footbridge")
    }

    /// A session where there is, or may be, TLS.
    pub fn with_tls(tls: AppTls) -> Self {
        Self {
            tls,
            greeted: false,
            told_eight_bit: false,
            login: Login::Anonymous,
            transaction: Transaction::None,
            batch: Batch::default(),
            mistakes: 0,
            lines_before_login: 0,
        }
    }

    /// Whether an app's first octets are another protocol's, which may never send a line end.
    pub fn is_foreign(&self, opening: &[u8]) -> bool {
        !self.greeted && stranger::is_binary(opening)
    }

    /// Takes one line without its line end.
    pub fn handle_line(&mut self, line: &[u8]) -> Step {
        self.lines_before_login += u32::from(!self.is_logged_in());
        if self.lines_before_login > LINES_BEFORE_LOGIN {
            return Step::Finish(Reply::new(421, 7, 0, "too much without a login, goodbye"));
        }
        if matches!(self.login, Login::Exchanging(_))
            && let Login::Exchanging(mut exchange) = std::mem::replace(&mut self.login, Login::Anonymous)
        {
            let progress = exchange.answer(line);
            return self.progress(exchange, progress);
        }
        if line.len() > COMMAND_LINE && !line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "))
        {
            return self.handle_too_long();
        }
        match Command::parse(line) {
            Ok(command) => self.obey(command),
            Err(SyntaxError::NotSmtp) => Step::Finish(SyntaxError::NotSmtp.reply()),
            Err(error) => self.mistake(error.reply()),
        }
    }

    /// What to call a line in the log: its verb if it is one of ours, never its words.
    pub fn name_of(&self, line: &[u8]) -> &'static str {
        match self.login {
            Login::Exchanging(_) => "authentication",
            _ => Command::verb(line),
        }
    }

    /// A line over every limit went by.
    pub fn handle_too_long(&mut self) -> Step {
        match self.login {
            Login::Exchanging(_) => {
                self.login = Login::Anonymous;
                self.mistake(Reply::new(500, 5, 6, "authentication line too long"))
            }
            _ => self.mistake(Reply::new(500, 5, 2, "line too long")),
        }
    }

    /// Goes on with what upstream said.
    pub fn resume(&mut self, answer: Answer) -> Step {
        match answer {
            Answer::LoggedIn(capabilities) => {
                self.login = Login::In(capabilities);
                self.lines_before_login = 0;
                Step::Reply(Reply::new(235, 7, 0, "authentication successful"))
            }
            Answer::NotLoggedIn(reply) => {
                self.login = Login::Anonymous;
                self.mistake(reply)
            }
            Answer::Recipients(replies) => self.recipients_answered(replies),
            Answer::SenderRefused(reply) => self.envelope_failed(Transaction::SenderRefused, reply),
            Answer::Lost(reply) => self.envelope_failed(Transaction::Lost, reply),
            Answer::Data(reply) => self.data_answered(reply),
            Answer::Received(reply) => self.received(reply),
        }
    }

    /// Whether the app is logged in.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.login, Login::In(_))
    }

    fn obey(&mut self, command: Command) -> Step {
        match command {
            Command::Auth { .. } | Command::Mail(_) | Command::Rcpt(_) | Command::Data
                if self.tls.bars_login() =>
            {
                // RFC 3207 §4.
                Step::Reply(Reply::new(530, 7, 0, "TLS comes first; set the mail program to STARTTLS"))
            }
            Command::StartTls => self.begin_tls(),
            Command::Ehlo => self.ehlo(),
            Command::Helo => {
                self.hello(false);
                Step::Reply(Reply::bare(250, "localhost"))
            }
            Command::Auth { mechanism, initial } => {
                let initial = initial.as_ref().map(crate::mail::Secret::expose);
                self.auth(mechanism, initial)
            }
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Rset => {
                self.transaction = Transaction::None;
                Step::Reply(Reply::new(250, 0, 0, "forgotten"))
            }
            Command::Noop => Step::Reply(Reply::new(250, 0, 0, "ok")),
            Command::Vrfy => Step::Reply(Reply::new(252, 5, 2, "cannot say, but send and see")),
            Command::Help => Step::Reply(Reply::new(214, 0, 0, "see RFC 5321 and RFC 6409")),
            Command::Quit => Step::Finish(Reply::new(221, 0, 0, "goodbye")),
        }
    }

    fn mistake(&mut self, reply: Reply) -> Step {
        self.mistakes += 1;
        if self.is_gathering() {
            return self.gather(reply);
        }
        if self.mistakes > MISTAKES {
            return Step::Finish(Reply::new(421, 7, 0, "too many errors, goodbye"));
        }
        Step::Reply(reply)
    }

    /// EHLO and HELO clear the transaction (RFC 5321 §4.1.4).
    fn hello(&mut self, told_eight_bit: bool) {
        self.greeted = true;
        self.told_eight_bit = told_eight_bit;
        self.transaction = Transaction::None;
    }

    /// Before AUTH what we hold ourselves, after it what holds at both ends.
    fn ehlo(&mut self) -> Step {
        let mut lines: Vec<Cow<'static, str>> = vec!["localhost".into()];
        if let Login::In(upstream) = self.login {
            self.hello(upstream.eight_bit_mime);
            lines.push(format!("SIZE {}", largest(&upstream)).into());
            let offers = [
                (upstream.pipelining, "PIPELINING"),
                (upstream.eight_bit_mime, "8BITMIME"),
                (upstream.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
                (upstream.dsn, "DSN"),
                (upstream.smtputf8, "SMTPUTF8"),
            ];
            lines.extend(offers.into_iter().filter(|(offered, _)| *offered).map(|(_, name)| name.into()));
        } else {
            self.hello(true);
            lines.push(format!("SIZE {LARGEST_MESSAGE}").into());
            lines.extend(["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"].map(Into::into));
            if self.tls.can_begin() {
                lines.push("STARTTLS".into());
            }
            // The second form is all that Outlook Express 4 and its age understand.
            if !self.tls.bars_login() {
                lines.extend(["AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN"].map(Into::into));
            }
        }
        Step::Reply(Reply::lines(250, lines))
    }

    /// RFC 3207 §4.
    fn begin_tls(&mut self) -> Step {
        match self.tls {
            AppTls::Off => self.mistake(SyntaxError::NotImplemented.reply()),
            AppTls::Implicit | AppTls::Upgraded => {
                self.mistake(Reply::new(503, 5, 1, "TLS is there already"))
            }
            _ if self.is_logged_in() => self.mistake(Reply::new(503, 5, 1, "too late for TLS")),
            _ => Step::BeginTls(Reply::new(220, 0, 0, "begin TLS")),
        }
    }

    /// RFC 4954 §4.
    fn auth(&mut self, mechanism: Option<Mechanism>, initial: Option<&[u8]>) -> Step {
        if self.is_logged_in() {
            return Step::Reply(Reply::new(503, 5, 1, "already authenticated"));
        }
        if !self.greeted {
            return Step::Reply(Reply::new(503, 5, 1, "EHLO first"));
        }
        let Some(mechanism) = mechanism else {
            return self.mistake(Reply::new(504, 5, 4, "this mechanism is not offered"));
        };
        let (exchange, progress) = Exchange::begin(mechanism, initial);
        self.progress(exchange, progress)
    }

    fn progress(&mut self, exchange: Exchange, progress: Progress) -> Step {
        match progress {
            Progress::Challenge(text) => {
                self.login = Login::Exchanging(exchange);
                Step::Reply(Reply::challenge(text))
            }
            Progress::Offer(offer) => {
                self.login = Login::Asked;
                Step::Ask(Request::Login(offer))
            }
            Progress::Cancelled => self.mistake(Reply::new(501, 7, 0, "authentication cancelled")),
            Progress::Malformed => {
                self.mistake(Reply::new(501, 5, 2, "this is not what the mechanism asks for"))
            }
        }
    }

    fn offered(&self, upstream: &Capabilities) -> Offered {
        Offered {
            largest: largest(upstream),
            body: upstream.eight_bit_mime || self.told_eight_bit,
            smtputf8: upstream.smtputf8,
            dsn: upstream.dsn,
        }
    }
}

fn largest(upstream: &Capabilities) -> u64 {
    upstream.largest.map_or(LARGEST_MESSAGE, |largest| largest.min(LARGEST_MESSAGE))
}

#[cfg(test)]
#[path = "../session_tests.rs"]
mod tests;
