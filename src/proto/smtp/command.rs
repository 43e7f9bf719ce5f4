//! Command lines of an app (RFC 5321 §4.1.1), lenient where old apps are sloppy.

use super::path::{BadPath, Path};
use super::reply::Reply;
use super::{Capabilities, session::Offered};
use crate::mail::Secret;
use crate::proto::sasl::Mechanism;

/// ENVID (RFC 3461 §4.4).
const ENVID: usize = 100;

/// ORCPT (RFC 3461 §4.2).
const ORCPT: usize = 500;

/// A command that can be obeyed or refused, but not misunderstood.
#[derive(Clone, Debug)]
pub enum Command {
    /// EHLO; the name is taken whatever it is, since old apps send anything.
    Ehlo,
    /// HELO, likewise.
    Helo,
    /// AUTH (RFC 4954 §4).
    Auth {
        /// `None`: one that we do not speak.
        mechanism: Option<Mechanism>,
        /// As it stood on the line, in base64.
        initial: Option<Secret>,
    },
    /// MAIL FROM.
    Mail(MailFrom),
    /// RCPT TO.
    Rcpt(RcptTo),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// QUIT.
    Quit,
}

/// The reverse-path and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom {
    /// The reverse-path.
    pub path: Path,
    /// `SIZE=`, octets (RFC 1870 §6).
    pub size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152 §2); `Some(false)` is `BODY=7BIT`.
    pub eight_bit: Option<bool>,
    /// `SMTPUTF8` (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461 §4.3), as written.
    pub ret: Option<String>,
    /// `ENVID=` (RFC 3461 §4.4), as written.
    pub envid: Option<String>,
}

/// A forward-path and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptTo {
    /// The forward-path; never the null path.
    pub path: Path,
    /// `NOTIFY=` (RFC 3461 §4.1), as written.
    pub notify: Option<String>,
    /// `ORCPT=` (RFC 3461 §4.2), as written.
    pub orcpt: Option<String>,
}

/// A line that is no command we obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// No command of SMTP.
    Unknown,
    /// A command of SMTP that is not done here.
    NotImplemented,
    /// What follows the verb is wrong.
    Argument(&'static str),
    /// The reverse-path is none.
    Sender,
    /// The forward-path is none.
    Recipient,
    /// A parameter nobody offered.
    Parameter,
    /// HTTP, a header line, another protocol: whoever speaks is no mail app.
    NotSmtp,
}

impl SyntaxError {
    /// What the app is told; its own words are never in it.
    pub fn reply(self) -> Reply {
        match self {
            Self::Unknown => Reply::new(500, 5, 1, "command not recognised"),
            Self::NotImplemented => Reply::new(502, 5, 1, "command not implemented"),
            Self::Argument(text) => Reply::new(501, 5, 4, text),
            Self::Sender => Reply::new(501, 1, 7, "bad sender address syntax"),
            Self::Recipient => Reply::new(501, 1, 3, "bad recipient address syntax"),
            Self::Parameter => Reply::new(555, 5, 4, "parameter not offered"),
            Self::NotSmtp => Reply::new(221, 7, 0, "this is a mail submission port, goodbye"),
        }
    }
}

impl Command {
    /// Parses one command line, its line end already taken off.
    ///
    /// ```abnf
    /// ehlo = "EHLO" SP ( Domain / address-literal )     ; RFC 5321 §4.1.1.1, here: anything
    /// auth = "AUTH" SP sasl-mech [SP initial-response]  ; RFC 4954 §4
    /// mail = "MAIL FROM:" Reverse-path [SP Mail-parameters]
    /// rcpt = "RCPT TO:" ( "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]
    /// data = "DATA"   rset = "RSET"   quit = "QUIT"
    /// noop = "NOOP" [SP String]   vrfy = "VRFY" SP String   help = "HELP" [SP String]
    /// ```
    pub fn parse(line: &[u8]) -> Result<Self, SyntaxError> {
        if is_foreign(line) {
            return Err(SyntaxError::NotSmtp);
        }
        // A bare CR or a NUL would end somebody else's line.
        if line.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
            return Err(SyntaxError::Unknown);
        }
        let line = line.trim_ascii_end();
        let verb_ends = line.iter().position(|octet| !octet.is_ascii_alphanumeric()).unwrap_or(line.len());
        let (verb, argument) = line.split_at_checked(verb_ends).unwrap_or((line, b""));
        if !matches!(argument.first(), None | Some(b' ' | b'\t')) {
            return Err(SyntaxError::Unknown);
        }
        let argument = argument.trim_ascii();
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" => Ok(Self::Ehlo),
            b"HELO" => Ok(Self::Helo),
            b"AUTH" => auth(argument),
            b"MAIL" => mail(argument),
            b"RCPT" => rcpt(argument),
            b"DATA" => alone(argument, Self::Data),
            b"RSET" => alone(argument, Self::Rset),
            b"QUIT" => alone(argument, Self::Quit),
            b"NOOP" => Ok(Self::Noop),
            b"VRFY" => Ok(Self::Vrfy),
            b"HELP" => Ok(Self::Help),
            b"EXPN" | b"ETRN" | b"TURN" | b"SEND" | b"SOML" | b"SAML" | b"STARTTLS" | b"BDAT" => {
                Err(SyntaxError::NotImplemented)
            }
            _ => Err(SyntaxError::Unknown),
        }
    }

    /// Whether the line is a RCPT, without judging it.
    pub fn is_rcpt(line: &[u8]) -> bool {
        line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"RCPT "))
    }

    /// The verb of a line, if it is one we know.
    pub fn verb(line: &[u8]) -> &'static str {
        const VERBS: [&str; 11] =
            ["EHLO", "HELO", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "HELP", "QUIT"];
        let word = line.get(..4).unwrap_or(line);
        VERBS.into_iter().find(|verb| word.eq_ignore_ascii_case(verb.as_bytes())).unwrap_or("unknown")
    }
}

/// HTTP request lines, `Label:` header lines, other protocols' first octets: a web page or a port scan makes a
/// program send them here, and what follows is not meant for us.
pub fn is_foreign(line: &[u8]) -> bool {
    const FOREIGN: [&[u8]; 11] = [
        b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH", b"PRI",
        b"PROXY",
    ];
    let Some(first) = line.first() else {
        return false;
    };
    let word = line.split(|octet| *octet == b' ').next().unwrap_or(line);
    !first.is_ascii_alphabetic() && *first != b' '
        || FOREIGN.iter().any(|verb| word.eq_ignore_ascii_case(verb))
        || word.starts_with(b"SSH-")
        || word.ends_with(b":")
        || (word.contains(&b':') && word.split(|octet| *octet == b':').next().is_some_and(is_label))
}

/// A header field name that is no verb of ours with a forgotten space.
fn is_label(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
}

fn alone(argument: &[u8], command: Command) -> Result<Command, SyntaxError> {
    if argument.is_empty() { Ok(command) } else { Err(SyntaxError::Argument("no argument is allowed")) }
}

fn auth(argument: &[u8]) -> Result<Command, SyntaxError> {
    let mut words = argument.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(SyntaxError::Argument("a mechanism is missing"))?;
    let initial = words.next().map(Secret::new);
    match words.next() {
        None => Ok(Command::Auth { mechanism: Mechanism::from_name(mechanism), initial }),
        Some(_) => Err(SyntaxError::Argument("too many arguments")),
    }
}

fn mail(argument: &[u8]) -> Result<Command, SyntaxError> {
    let text = after_keyword(argument, "FROM").ok_or(SyntaxError::Argument("FROM:<address> is missing"))?;
    let (path, rest) = Path::take(text).map_err(|BadPath| SyntaxError::Sender)?;
    let mut mail = MailFrom { path, size: None, eight_bit: None, smtputf8: false, ret: None, envid: None };
    for (keyword, value) in parameters(rest)? {
        mail.parameter(&keyword, value)?;
    }
    Ok(Command::Mail(mail))
}

fn rcpt(argument: &[u8]) -> Result<Command, SyntaxError> {
    let text = after_keyword(argument, "TO").ok_or(SyntaxError::Argument("TO:<address> is missing"))?;
    let (path, rest) = Path::take(text).map_err(|BadPath| SyntaxError::Recipient)?;
    if path.is_null() {
        return Err(SyntaxError::Recipient);
    }
    let mut rcpt = RcptTo { path, notify: None, orcpt: None };
    for (keyword, value) in parameters(rest)? {
        rcpt.parameter(&keyword, value)?;
    }
    Ok(Command::Rcpt(rcpt))
}

/// `FROM:` or `TO:`, with spaces about the colon as some old apps put them.
fn after_keyword<'a>(argument: &'a [u8], keyword: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(argument).ok()?;
    let (word, rest) = text.split_once(':')?;
    word.trim_end_matches(' ').eq_ignore_ascii_case(keyword).then_some(rest)
}

/// ```abnf
/// esmtp-param   = esmtp-keyword ["=" esmtp-value]      ; RFC 5321 §4.1.2; a keyword twice is an error (§4.1.1.11)
/// ```
fn parameters(rest: &str) -> Result<Vec<(String, Option<&str>)>, SyntaxError> {
    let mut found: Vec<(String, Option<&str>)> = Vec::new();
    for word in rest.split([' ', '\t']).filter(|word| !word.is_empty()) {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let keyword = keyword.to_ascii_uppercase();
        if found.iter().any(|(known, _)| *known == keyword) {
            return Err(SyntaxError::Argument("a parameter stands twice"));
        }
        found.push((keyword, value));
    }
    Ok(found)
}

impl MailFrom {
    fn parameter(&mut self, keyword: &str, value: Option<&str>) -> Result<(), SyntaxError> {
        match (keyword, value) {
            ("SIZE", Some(value)) => self.size = Some(size(value)?),
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => self.eight_bit = Some(true),
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => self.eight_bit = Some(false),
            ("SMTPUTF8", None) => self.smtputf8 = true,
            ("RET", Some(value)) if ["FULL", "HDRS"].iter().any(|ret| value.eq_ignore_ascii_case(ret)) => {
                self.ret = Some(value.to_owned());
            }
            ("ENVID", Some(value)) if value.len() <= ENVID && is_xtext(value) => {
                self.envid = Some(value.to_owned());
            }
            // Whoever is logged in may name the author (RFC 4954 §5); upstream trusts us no further than our
            // own login, so it is not passed on.
            ("AUTH", Some(value)) if value == "<>" || is_xtext(value) => {}
            ("SIZE" | "RET" | "ENVID" | "SMTPUTF8" | "AUTH", _) => {
                return Err(SyntaxError::Argument("a parameter has a wrong value"));
            }
            _ => return Err(SyntaxError::Parameter),
        }
        Ok(())
    }

    /// Why it cannot go upstream with what is offered, if so.
    pub fn refusal(&self, offered: &Offered) -> Option<Reply> {
        if self.size.is_some_and(|size| size > offered.largest) {
            return Some(Reply::new(552, 3, 4, format!("the message may have {} octets", offered.largest)));
        }
        if (self.smtputf8 || self.path.needs_smtputf8()) && !offered.smtputf8
            || self.path.needs_smtputf8() && !self.smtputf8
        {
            return Some(no_smtputf8());
        }
        let not_offered = (self.ret.is_some() || self.envid.is_some()) && !offered.dsn
            || self.eight_bit.is_some() && !offered.body;
        not_offered.then(|| SyntaxError::Parameter.reply())
    }

    /// The command line for upstream, with CRLF; a parameter it lacks stays away.
    pub fn for_upstream(&self, upstream: &Capabilities) -> String {
        let mut line = format!("MAIL FROM:{}", self.path);
        if let Some(size) = self.size.filter(|_| upstream.size) {
            line.push_str(&format!(" SIZE={size}"));
        }
        if let Some(eight_bit) = self.eight_bit.filter(|_| upstream.eight_bit_mime) {
            line.push_str(if eight_bit { " BODY=8BITMIME" } else { " BODY=7BIT" });
        }
        if self.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        push_parameter(&mut line, "RET", self.ret.as_deref());
        push_parameter(&mut line, "ENVID", self.envid.as_deref());
        line.push_str("\r\n");
        line
    }
}

impl RcptTo {
    fn parameter(&mut self, keyword: &str, value: Option<&str>) -> Result<(), SyntaxError> {
        match (keyword, value) {
            ("NOTIFY", Some(value)) if is_notify(value) => self.notify = Some(value.to_owned()),
            ("ORCPT", Some(value)) if value.len() <= ORCPT && is_orcpt(value) => {
                self.orcpt = Some(value.to_owned());
            }
            ("NOTIFY" | "ORCPT", _) => return Err(SyntaxError::Argument("a parameter has a wrong value")),
            _ => return Err(SyntaxError::Parameter),
        }
        Ok(())
    }

    /// Why it cannot go upstream with what is offered, if so; `smtputf8` is whether MAIL said so.
    pub fn refusal(&self, offered: &Offered, smtputf8: bool) -> Option<Reply> {
        if self.path.needs_smtputf8() && !smtputf8 {
            return Some(no_smtputf8());
        }
        let dsn = self.notify.is_some() || self.orcpt.is_some();
        (dsn && !offered.dsn).then(|| SyntaxError::Parameter.reply())
    }

    /// The command line for upstream, with CRLF.
    pub fn for_upstream(&self) -> String {
        let mut line = format!("RCPT TO:{}", self.path);
        push_parameter(&mut line, "NOTIFY", self.notify.as_deref());
        push_parameter(&mut line, "ORCPT", self.orcpt.as_deref());
        line.push_str("\r\n");
        line
    }
}

/// RFC 6531 §3.5.
fn no_smtputf8() -> Reply {
    Reply::new(550, 6, 7, "addresses in other scripts need SMTPUTF8, which is not to be had here")
}

fn push_parameter(line: &mut String, keyword: &str, value: Option<&str>) {
    if let Some(value) = value {
        line.push_str(&format!(" {keyword}={value}"));
    }
}

/// ```abnf
/// size-value = 1*20DIGIT      ; RFC 1870 §6
/// ```
fn size(value: &str) -> Result<u64, SyntaxError> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_digit());
    if digits {
        Ok(value.parse().unwrap_or(u64::MAX))
    } else {
        Err(SyntaxError::Argument("SIZE is not a number"))
    }
}

/// ```abnf
/// xtext   = *( xchar / hexchar )        ; RFC 3461 §4
/// hexchar = "+" 2HEXDIG                 ; upper case
/// ```
fn is_xtext(value: &str) -> bool {
    let mut octets = value.bytes();
    while let Some(octet) = octets.next() {
        let sound = match octet {
            b'+' => octets.next().is_some_and(is_upper_hex) && octets.next().is_some_and(is_upper_hex),
            b'=' => false,
            _ => octet.is_ascii_graphic(),
        };
        if !sound {
            return false;
        }
    }
    true
}

fn is_upper_hex(octet: u8) -> bool {
    matches!(octet, b'0'..=b'9' | b'A'..=b'F')
}

/// ```abnf
/// notify-esmtp-value = "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" )    ; RFC 3461 §4.1
/// ```
fn is_notify(value: &str) -> bool {
    value.eq_ignore_ascii_case("NEVER")
        || value
            .split(',')
            .all(|word| ["SUCCESS", "FAILURE", "DELAY"].iter().any(|w| word.eq_ignore_ascii_case(w)))
}

/// ```abnf
/// original-recipient-address = addr-type ";" xtext      ; RFC 3461 §4.2
/// ```
fn is_orcpt(value: &str) -> bool {
    value.split_once(';').is_some_and(|(kind, address)| {
        let unicode = kind.eq_ignore_ascii_case("utf-8");
        is_label(kind.as_bytes())
            && (is_xtext(address) || unicode && !address.chars().any(|c| c.is_control() || c == ' '))
    })
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
