//! AUTHORIZATION: names, passwords, SASL (RFC 1939 §4, §7, RFC 5034 §4).

use super::transaction::lang;
use super::{Session, State, Step};
use crate::mail::AppTls;
use crate::proto::pop3::{Code, Command, Maildrop, Reply};
use crate::proto::sasl::{Exchange, Mechanism, Offer, Progress};

/// Refused logins a connection may have: enough for typing it again, few enough to make guessing slow. Upstream's
/// own failures do not count.
const REFUSED_LOGINS: u32 = 5;

const MECHANISMS: &[&str] = &["PLAIN", "LOGIN"];

/// RFC 2449 §6, RFC 3206 §6, RFC 5034 §3, RFC 6856 §2, §3.
const CAPABILITIES_BEFORE_LOGIN: &[&str] = &[
    "TOP",
    "UIDL",
    "USER",
    "SASL PLAIN LOGIN",
    "PIPELINING",
    "RESP-CODES",
    "AUTH-RESP-CODE",
    "UTF8 USER",
    "LANG",
];

/// Before TLS where no password may be sent without it; STLS from RFC 2595 §4.
const CAPABILITIES_BEFORE_TLS: &[&str] =
    &["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "UTF8", "LANG", "STLS"];

impl Session {
    /// `user` is the name of the USER just before this command: PASS may follow nothing else.
    pub(super) fn authorization(&mut self, user: Option<String>, command: Command) -> Step {
        match command {
            Command::Stls => self.begin_tls(),
            Command::User(_) | Command::Pass(_) | Command::AuthList | Command::Auth { .. }
                if self.tls.bars_login() =>
            {
                Step::Reply(Reply::err_with(
                    Code::SysPerm,
                    "TLS comes first; set the mail program to STARTTLS",
                ))
            }
            Command::User(name) => {
                self.state = State::Authorization(Some(name));
                Step::Reply(Reply::ok("send PASS"))
            }
            Command::Pass(secret) => match (user, secret) {
                (None, _) => Step::Reply(Reply::err("USER comes first")),
                (Some(login), Some(secret)) => self.offer(Offer { login, secret }),
                (Some(_), None) => self.login_refused(wrong_login()),
            },
            Command::AuthList => Step::Reply(Reply::lines("", MECHANISMS)),
            Command::Auth { mechanism, initial } => match Mechanism::from_name(&mechanism) {
                Some(mechanism) => self.begin(mechanism, initial.as_ref().map(|initial| initial.expose())),
                None => Step::Reply(Reply::err("no such mechanism; PLAIN and LOGIN are")),
            },
            Command::Capa => Step::Reply(self.capabilities_before_login()),
            Command::Utf8 => Step::Reply(Reply::ok("UTF-8 is welcome")),
            Command::Lang(language) => Step::Reply(lang(language.as_deref())),
            Command::Quit => Step::Finish(Reply::ok("bye")),
            _ => Step::Reply(Reply::err("log in first")),
        }
    }

    fn capabilities_before_login(&self) -> Reply {
        match self.tls {
            AppTls::Required => Reply::lines("", CAPABILITIES_BEFORE_TLS),
            AppTls::Offered => Reply::lines("", &[CAPABILITIES_BEFORE_LOGIN, &["STLS"]].concat()),
            _ => Reply::lines("", CAPABILITIES_BEFORE_LOGIN),
        }
    }

    /// RFC 2595 §4.
    fn begin_tls(&mut self) -> Step {
        if self.tls.can_begin() {
            return Step::BeginTls(Reply::ok("begin TLS"));
        }
        Step::Reply(Reply::err(if self.tls == AppTls::Off {
            "not supported here"
        } else {
            "TLS is there already"
        }))
    }

    fn begin(&mut self, mechanism: Mechanism, initial: Option<&[u8]>) -> Step {
        let (exchange, progress) = Exchange::begin(mechanism, initial);
        self.state = State::Exchange(exchange);
        self.sasl(progress)
    }

    pub(super) fn sasl(&mut self, progress: Progress) -> Step {
        let text = match progress {
            Progress::Challenge(base64) => return Step::Reply(Reply::challenge(base64)),
            Progress::Offer(offer) => return self.offer(offer),
            Progress::Cancelled => "cancelled",
            Progress::Malformed => "not what the mechanism wants",
        };
        self.login_refused(Reply::err_with(Code::Auth, text))
    }

    /// An empty password is no password and no guess: Outlook tries one before it asks the user, and upstream would count
    /// it.
    fn offer(&mut self, offer: Offer) -> Step {
        if offer.secret.expose().is_empty() {
            return self.login_failed(wrong_login());
        }
        self.state = State::LoggingIn;
        Step::Login(offer)
    }

    /// The mailbox is open: TRANSACTION.
    pub fn logged_in(&mut self, maildrop: Maildrop) -> Step {
        let text = format!("{} messages ({} octets)", maildrop.count(), maildrop.octets());
        self.state = State::Transaction(maildrop);
        self.bad = 0;
        Step::Reply(Reply::ok(&text))
    }

    /// The credentials are good; TRANSACTION, though nobody knows yet what is in the maildrop: [`Session::arrived`] or
    /// [`Session::not_coming`] follows.
    pub fn login_accepted(&mut self) -> Step {
        self.state = State::Coming;
        self.bad = 0;
        Step::Reply(Reply::ok("logged in"))
    }

    /// The maildrop has come.
    pub fn arrived(&mut self, maildrop: Maildrop) {
        if matches!(self.state, State::Coming) {
            self.state = State::Transaction(maildrop);
        }
    }

    /// The maildrop does not come, and this is what the login would have been told.
    pub fn not_coming(&mut self, reply: Reply) {
        if matches!(self.state, State::Coming) {
            self.state = State::Failed(reply);
        }
    }

    /// The credentials are wrong; the app may try again, a few times.
    pub fn login_refused(&mut self, reply: Reply) -> Step {
        self.refused = self.refused.saturating_add(1);
        let step = self.login_failed(reply);
        match step {
            Step::Reply(reply) if self.refused >= REFUSED_LOGINS => Step::Finish(reply),
            step => step,
        }
    }

    /// It did not work, and that is not the app's fault; it may try again.
    pub fn login_failed(&mut self, reply: Reply) -> Step {
        self.state = State::Authorization(None);
        Step::Reply(reply)
    }
}

/// In the words for an unknown name and for a wrong password (RFC 1939 §13).
fn wrong_login() -> Reply {
    Reply::err_with(Code::Auth, "login name or password is wrong")
}
