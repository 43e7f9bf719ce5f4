//! Command lines of an app (RFC 5321 §4.1.1), lenient where old apps are sloppy.

use memchr::memchr;

use super::parameters::{self, MailFrom, RcptTo};
use super::path::Path;
use super::syntax::SyntaxError;
use crate::mail::Secret;
use crate::proto::sasl::Mechanism;
use crate::proto::stranger;

/// A command that can be obeyed or refused, but not misunderstood.
#[derive(Clone, Debug)]
pub enum Command {
    /// EHLO; the name is taken whatever it is, since old apps send anything.
    Ehlo,
    /// HELO, likewise.
    Helo,
    /// STARTTLS (RFC 3207 §4).
    StartTls,
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
            b"STARTTLS" => alone(argument, Self::StartTls),
            b"AUTH" => auth(argument),
            b"MAIL" => mail(argument),
            b"RCPT" => rcpt(argument),
            b"DATA" => alone(argument, Self::Data),
            b"RSET" => alone(argument, Self::Rset),
            b"QUIT" => alone(argument, Self::Quit),
            b"NOOP" => Ok(Self::Noop),
            b"VRFY" => Ok(Self::Vrfy),
            b"HELP" => Ok(Self::Help),
            b"EXPN" | b"ETRN" | b"TURN" | b"SEND" | b"SOML" | b"SAML" | b"BDAT" => {
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
        const VERBS: [&str; 12] = [
            "STARTTLS", "EHLO", "HELO", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "HELP",
            "QUIT",
        ];
        let word = line.get(..4).unwrap_or(line);
        let begins =
            |verb: &&str| verb.as_bytes().get(..4).is_some_and(|verb| word.eq_ignore_ascii_case(verb));
        VERBS.into_iter().find(begins).unwrap_or("unknown")
    }
}

/// The first lines of HTTP and SSH, the proxy protocol's, and what begins with no octet of text as TLS and SOCKS do: a
/// web page or a port scan makes a program send them here, and what follows is not meant for us. Nor is what follows a
/// header line, whether of HTTP or of a message that was sent behind a DATA which was refused: others may have written it.
///
/// Other lines of text, a lone dot or `<html>`, are none of these.
fn is_foreign(line: &[u8]) -> bool {
    let word = line.split(|octet| *octet == b' ').next().unwrap_or(line);
    stranger::is_binary(line)
        || stranger::is_request(line)
        || stranger::is_header(line)
        || word.eq_ignore_ascii_case(b"PROXY")
        || word.starts_with(b"SSH-")
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
    let text = after_keyword(argument, b"FROM").ok_or(SyntaxError::Argument("FROM:<address> is missing"))?;
    let (path, rest) = path(text).ok_or(SyntaxError::Sender)?;
    let mut mail = MailFrom::new(path);
    for (keyword, value) in parameters::split(rest)? {
        mail.parameter(&keyword, value)?;
    }
    Ok(Command::Mail(mail))
}

fn rcpt(argument: &[u8]) -> Result<Command, SyntaxError> {
    let text = after_keyword(argument, b"TO").ok_or(SyntaxError::Argument("TO:<address> is missing"))?;
    let (path, rest) = path(text).ok_or(SyntaxError::Recipient)?;
    if path.is_null() {
        return Err(SyntaxError::Recipient);
    }
    let mut rcpt = RcptTo::new(path);
    for (keyword, value) in parameters::split(rest)? {
        rcpt.parameter(&keyword, value)?;
    }
    Ok(Command::Rcpt(rcpt))
}

/// `FROM:` or `TO:`, with spaces about the colon as some old apps put them.
fn after_keyword<'a>(argument: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (word, rest) = argument.split_at_checked(memchr(b':', argument)?)?;
    word.trim_ascii_end().eq_ignore_ascii_case(keyword).then(|| rest.get(1..).unwrap_or_default())
}

/// The path and its parameters; Latin-1 and its like, in which old apps write, are none (RFC 6531 §3.3: UTF-8).
fn path(text: &[u8]) -> Option<(Path, &str)> {
    Path::take(std::str::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
