//! The commands before login.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::mail::Secret;
use crate::proto::imap::literal;
use crate::proto::imap::text::is_tag;
use crate::proto::sasl::{Mechanism, Offer};

/// A command that cannot be wrong.
#[derive(Debug)]
pub(super) enum Command {
    Capability,
    Noop,
    Logout,
    Id,
    StartTls,
    Login(Offer),
    /// `None`: a mechanism we do not speak.
    Authenticate {
        mechanism: Option<Mechanism>,
        initial: Option<Zeroizing<Vec<u8>>>,
    },
}

/// Why a line is none.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its tag, where it has one.
    pub tag: Option<String>,
    pub reason: &'static str,
}

/// Parses a whole command, its literals in place behind their announcements, its line end included.
///
/// ```abnf
/// command         = tag SP (command-any / command-nonauth) CRLF          ; RFC 3501 §9
/// command-any     = "CAPABILITY" / "LOGOUT" / "NOOP" / id                ; RFC 2971 §6
/// command-nonauth = "STARTTLS" / login / authenticate
/// login           = "LOGIN" SP userid SP password
/// authenticate    = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]      ; RFC 4959 §7
/// userid          = astring
/// password        = astring
/// ```
/// Doubled spaces and spaces at the end are let pass: some apps send them.
pub(super) fn parse(text: &[u8]) -> Result<(String, Command), Fault> {
    let Some(tag) = tag(text) else {
        return Err(Fault { tag: None, reason: "a command begins with a tag" });
    };
    match Arguments::behind(tag.len(), text).command() {
        Ok(command) => Ok((tag, command)),
        Err(reason) => Err(Fault { tag: Some(tag), reason }),
    }
}

/// The tag a line begins with.
pub(super) fn tag(text: &[u8]) -> Option<String> {
    let word = text.split(|octet| octet.is_ascii_whitespace()).next()?;
    is_tag(word).then(|| String::from_utf8_lossy(word).into_owned())
}

/// Whether the command that begins so takes literals before login.
pub(super) fn takes_literals(text: &[u8]) -> bool {
    tag(text).is_some_and(|tag| {
        let name = Arguments::behind(tag.len(), text).word();
        name.eq_ignore_ascii_case(b"LOGIN") || name.eq_ignore_ascii_case(b"ID")
    })
}

struct Arguments<'a> {
    rest: &'a [u8],
}

impl<'a> Arguments<'a> {
    fn behind(tag: usize, text: &'a [u8]) -> Self {
        Self { rest: text.get(tag..).unwrap_or_default() }
    }

    fn command(mut self) -> Result<Command, &'static str> {
        let name = self.word().to_ascii_uppercase();
        match name.as_slice() {
            b"CAPABILITY" => self.end(Command::Capability),
            b"NOOP" => self.end(Command::Noop),
            b"LOGOUT" => self.end(Command::Logout),
            b"ID" => Ok(Command::Id), // Whatever it says of itself: we neither keep it nor pass it on.
            b"LOGIN" => self.login(),
            b"AUTHENTICATE" => self.authenticate(),
            b"STARTTLS" => self.end(Command::StartTls),
            b"" => Err("a command is missing"),
            _ => Err("log in first"),
        }
    }

    fn login(mut self) -> Result<Command, &'static str> {
        const WRONG: &str = "LOGIN wants a name and a password";
        let name = Zeroizing::new(self.astring().ok_or(WRONG)?.into_owned());
        let password = Zeroizing::new(self.astring().ok_or(WRONG)?.into_owned());
        let unfit = |octet: &u8| matches!(octet, b'\r' | b'\n' | 0);
        // What no login name is, and what must not get into another command line.
        if password.iter().any(unfit) || name.iter().any(u8::is_ascii_control) {
            return Err("control characters are in no name and no password");
        }
        let login = String::from_utf8_lossy(&name).into_owned();
        let offer = Offer { login, secret: Secret::new(password.as_slice()) };
        self.end(Command::Login(offer))
    }

    fn authenticate(mut self) -> Result<Command, &'static str> {
        let mechanism = self.word();
        if mechanism.is_empty() {
            return Err("AUTHENTICATE wants a mechanism");
        }
        let mechanism = Mechanism::from_name(mechanism);
        let initial = self.word();
        let initial = (!initial.is_empty()).then(|| Zeroizing::new(initial.to_vec()));
        self.end(Command::Authenticate { mechanism, initial })
    }

    fn end(self, command: Command) -> Result<Command, &'static str> {
        if self.rest.trim_ascii().is_empty() {
            Ok(command)
        } else {
            Err("this command has too many arguments")
        }
    }

    /// The next octets up to a blank; empty at the line's end.
    fn word(&mut self) -> &'a [u8] {
        self.skip_blanks();
        let end = self.rest.iter().position(u8::is_ascii_whitespace).unwrap_or(self.rest.len());
        self.split(end)
    }

    /// ```abnf
    /// astring = 1*ASTRING-CHAR / string     ; string = quoted / literal
    /// ```
    /// Old apps leave quotes out where an atom may not have the octet (`%`, `*`, `\`, eight bits): up to the next
    /// blank it is taken as it is.
    fn astring(&mut self) -> Option<Cow<'a, [u8]>> {
        self.skip_blanks();
        match self.rest.first()? {
            b'"' => self.quoted().map(Cow::Owned),
            b'{' => match self.literal() {
                Some(octets) => Some(Cow::Borrowed(octets)),
                None => self.atom(),
            },
            _ => self.atom(),
        }
    }

    fn atom(&mut self) -> Option<Cow<'a, [u8]>> {
        let word = self.word();
        (!word.is_empty()).then_some(Cow::Borrowed(word))
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let (mut octets, mut escaped) = (Vec::new(), false);
        for (at, octet) in self.rest.iter().enumerate().skip(1) {
            match octet {
                b'\r' | b'\n' => return None,
                _ if escaped => {
                    octets.push(*octet);
                    escaped = false;
                }
                b'\\' => escaped = true,
                b'"' => {
                    self.split(at + 1);
                    return Some(octets);
                }
                _ => octets.push(*octet),
            }
        }
        None
    }

    fn literal(&mut self) -> Option<&'a [u8]> {
        let line_end = self.rest.iter().position(|octet| *octet == b'\n')?;
        let line = self.rest.get(..line_end)?;
        let announced = literal::announced(line.strip_suffix(b"\r").unwrap_or(line))?;
        if announced.at != 0 {
            return None;
        }
        self.split(line_end + 1);
        let octets = usize::try_from(announced.octets).ok()?;
        (octets <= self.rest.len()).then(|| self.split(octets))
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        self.split(blanks);
    }

    fn split(&mut self, at: usize) -> &'a [u8] {
        let (front, rest) = self.rest.split_at_checked(at).unwrap_or((self.rest, b""));
        self.rest = rest;
        front
    }
}
