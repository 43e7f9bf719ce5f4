//! Parameters of MAIL and RCPT (RFC 5321 §4.1.1.11): SIZE, BODY, SMTPUTF8, DSN.
//!
//! What upstream offers decides which are taken; values pass as the app wrote them, checked to be what their RFC
//! says, so that nothing else can hide in them.

use super::Capabilities;
use super::capabilities::Offered;
use super::path::Path;
use super::reply::Reply;
use super::syntax::SyntaxError;

/// ENVID (RFC 3461 §4.4).
const ENVID: usize = 100;

/// ORCPT (RFC 3461 §4.2).
const ORCPT: usize = 500;

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

/// ```abnf
/// esmtp-param   = esmtp-keyword ["=" esmtp-value]      ; RFC 5321 §4.1.2; a keyword twice is an error (§4.1.1.11)
/// ```
pub(super) fn split(rest: &str) -> Result<Vec<(String, Option<&str>)>, SyntaxError> {
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
    pub(super) fn new(path: Path) -> Self {
        Self { path, size: None, eight_bit: None, smtputf8: false, ret: None, envid: None }
    }

    pub(super) fn parameter(&mut self, keyword: &str, value: Option<&str>) -> Result<(), SyntaxError> {
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
    pub(super) fn new(path: Path) -> Self {
        Self { path, notify: None, orcpt: None }
    }

    pub(super) fn parameter(&mut self, keyword: &str, value: Option<&str>) -> Result<(), SyntaxError> {
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
        let is_type =
            !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        is_type && (is_xtext(address) || unicode && !address.chars().any(|c| c.is_control() || c == ' '))
    })
}
