//! A transcript's text, taken apart into steps.

use std::path::Path;

use super::Failure;
use super::text::Text;
use crate::support::certs::Kind;
use crate::support::scripted::Begin;

/// Who is played: the app, or upstream; and which of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Connects to the bridge.
    App(u8),
    /// The bridge connects to it.
    Upstream(u8),
}

/// One thing to do, and the line that says so.
#[derive(Clone, Debug)]
pub struct Step {
    /// `file:line`.
    pub place: String,
    /// What to do.
    pub action: Action,
}

/// What a line asks for.
#[derive(Clone, Debug)]
pub enum Action {
    /// Says a line, CRLF added.
    Say(Part, Text),
    /// Says octets as they are.
    SayOctets(Part, Text),
    /// Hears a line.
    Hear(Part, Text),
    /// Hears lines of this form until one of another comes, which is left for the next step.
    HearMany(Part, Text),
    /// Hears these octets, and says nothing of what follows.
    HearOctets(Part, Text),
    /// Ends our direction, or the connection.
    Close(Part, Close),
    /// Hears the end; `anything` lets octets go before it.
    Closed {
        /// Whose connection.
        part: Part,
        /// Whether what was said before the end matters.
        anything: bool,
    },
    /// The TLS handshake in mid-conversation.
    Tls(Part),
    /// The TLS handshake, from the first octet or in mid-conversation, that the bridge breaks off.
    TlsFails(Part),
    /// The bridge is told to stop, as by SIGTERM.
    Stop,
}

/// How a played part leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// FIN (over TLS close_notify first), still listening.
    Politely,
    /// FIN without TLS close_notify.
    Cut,
    /// RST.
    Reset,
}

/// An answer to a line that may come at any time.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The line.
    pub heard: Text,
    /// What upstream then says.
    pub answers: Vec<Text>,
}

/// A whole transcript.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// `pop3`, `imap` or `smtp`.
    pub protocol: String,
    /// Lines of the account's table.
    pub account: Vec<String>,
    /// Lines above the accounts.
    pub settings: Vec<String>,
    /// Names of deadlines and their milliseconds.
    pub deadlines: Vec<(String, u64)>,
    /// When the scripted upstream begins TLS.
    pub begin: Begin,
    /// Nobody listens upstream.
    pub refused: bool,
    /// The certificate upstream shows.
    pub certificate: Kind,
    /// The bridge has a state folder.
    pub keeps_state: bool,
    /// It is played a line a write only.
    pub whole_lines_only: bool,
    /// Values from `let:` and `default:`.
    pub values: Vec<(String, Text)>,
    /// Answers at any time.
    pub rules: Vec<Rule>,
    /// In order.
    pub steps: Vec<Step>,
}

/// Reads a file; `given:` is looked for in the folder `given` beside the protocol's folder.
pub fn read(file: &Path) -> Result<Script, Failure> {
    let mut script = Script::default();
    let folder = file.parent().unwrap_or(Path::new("."));
    script.protocol = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let given = folder.with_file_name("given");
    let text = std::fs::read_to_string(file).map_err(|e| failure(&short(file), 0, &e.to_string()))?;
    if !text.starts_with("# ") {
        return Err(failure(&short(file), 1, "the first line is `# ` and the RFC's section or the reason"));
    }
    take(&mut script, &short(file), &text, &given)?;
    Ok(script)
}

/// Adds text to a script; for the files and for the runner's own tests.
pub fn take(script: &mut Script, name: &str, text: &str, given: &Path) -> Result<(), Failure> {
    for (at, line) in text.lines().enumerate() {
        if let Some(wanted) = line.strip_prefix("given:") {
            let file = given.join(format!("{}.txt", wanted.trim()));
            let text = std::fs::read_to_string(&file)
                .map_err(|e| failure(name, at + 1, &format!("{}: {e}", file.display())))?;
            take(script, &short(&file), &text, given)?;
        } else {
            one_line(script, &format!("{name}:{}", at + 1), line)
                .map_err(|what| failure(name, at + 1, &what))?;
        }
    }
    Ok(())
}

fn one_line(script: &mut Script, place: &str, line: &str) -> Result<(), String> {
    let bare = line.trim_start();
    if bare.is_empty() || bare.starts_with('#') {
        return Ok(());
    }
    match line.len() - bare.len() {
        0 => flush_left(script, place, line),
        1..=7 => upstream(script, place, bare),
        _ => answer(script, bare),
    }
}

fn flush_left(script: &mut Script, place: &str, line: &str) -> Result<(), String> {
    if line == "<stop>" {
        script.steps.push(Step { place: place.into(), action: Action::Stop });
        return Ok(());
    }
    if let Some(said) = Said::parse(line) {
        let part = Part::App(said.number);
        let action = said.action(part, said.who == 'C')?;
        script.steps.push(Step { place: place.into(), action });
        return Ok(());
    }
    let (key, value) = line.split_once(':').ok_or("neither a key nor said by C or S")?;
    directive(script, key, value.trim())
}

fn directive(script: &mut Script, key: &str, value: &str) -> Result<(), String> {
    match key {
        "account" => script.account.push(value.to_owned()),
        "settings" => script.settings.push(value.to_owned()),
        "deadline" => {
            let (name, time) = value.split_once('=').ok_or("deadline: NAME = MILLISECONDS")?;
            let time = time.trim().parse().map_err(|_| "milliseconds are a number")?;
            script.deadlines.push((name.trim().to_owned(), time));
        }
        "upstream" => match value {
            "tls" => script.begin = Begin::Tls,
            "starttls" => script.begin = Begin::StartTls,
            "refused" => script.refused = true,
            _ => return Err("upstream: tls | starttls | refused".into()),
        },
        "state" if value == "kept" => script.keeps_state = true,
        "state" => return Err("state: kept".into()),
        "certificate" => {
            script.certificate = match value {
                "good" => Kind::Good,
                "expired" => Kind::Expired,
                "wrong-name" => Kind::WrongName,
                "unknown-authority" => Kind::UnknownAuthority,
                _ => return Err("certificate: good | expired | wrong-name | unknown-authority".into()),
            }
        }
        "writes" if value == "whole" => script.whole_lines_only = true,
        "let" | "default" => {
            let (name, value) = value.split_once('=').ok_or("let: NAME = TEXT")?;
            let name = name.trim().to_owned();
            if key == "let" || !script.values.iter().any(|(known, _)| *known == name) {
                script.values.push((name, Text::parse(value.trim())?));
            }
        }
        _ => return Err(format!("{key:?} is no key of a transcript")),
    }
    Ok(())
}

fn upstream(script: &mut Script, place: &str, line: &str) -> Result<(), String> {
    if let Some(heard) = line.strip_prefix("on:") {
        script.rules.push(Rule { heard: Text::parse(heard.trim())?, answers: Vec::new() });
        return Ok(());
    }
    let said = Said::parse(line).ok_or("indented lines are C:, S: or on:")?;
    let action = said.action(Part::Upstream(said.number), said.who == 'S')?;
    script.steps.push(Step { place: place.into(), action });
    Ok(())
}

/// A line of an `on:` rule.
fn answer(script: &mut Script, line: &str) -> Result<(), String> {
    let said =
        Said::parse(line).filter(|said| said.who == 'S' && said.line).ok_or("a rule's answers are S:")?;
    let rule = script.rules.last_mut().ok_or("eight spaces belong to an on: rule")?;
    rule.answers.push(Text::parse(said.text)?);
    Ok(())
}

/// `C: text`, `S2> text`.
struct Said<'a> {
    who: char,
    number: u8,
    many: bool,
    line: bool,
    text: &'a str,
}

impl<'a> Said<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (who, rest) = ['C', 'S'].into_iter().find_map(|who| Some((who, line.strip_prefix(who)?)))?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = rest.split_at(digits);
        let number = if number.is_empty() { 1 } else { number.parse().ok()? };
        let (many, rest) = rest.strip_prefix('*').map_or((false, rest), |rest| (true, rest));
        let line = rest.starts_with(':');
        let text = rest.strip_prefix([':', '>'])?;
        Some(Self { who, number, many, line, text: text.strip_prefix(' ').unwrap_or(text) })
    }

    /// `ours`: whether the test plays whoever says this.
    fn action(&self, part: Part, ours: bool) -> Result<Action, String> {
        match (ours, self.text) {
            (true, "<close>") => return Ok(Action::Close(part, Close::Politely)),
            (true, "<cut>") => return Ok(Action::Close(part, Close::Cut)),
            (true, "<reset>") => return Ok(Action::Close(part, Close::Reset)),
            (true, "<tls fails>") => return Ok(Action::TlsFails(part)),
            (true, "<tls>") => return Ok(Action::Tls(part)),
            (false, "<closed>") => return Ok(Action::Closed { part, anything: false }),
            (false, "<closed ...>") => return Ok(Action::Closed { part, anything: true }),
            _ => {}
        }
        let text = Text::parse(self.text)?;
        Ok(match (ours, self.line) {
            (true, true) => Action::Say(part, text),
            (true, false) => Action::SayOctets(part, text),
            (false, true) if self.many => Action::HearMany(part, text),
            (false, true) => Action::Hear(part, text),
            (false, false) => Action::HearOctets(part, text),
        })
    }
}

fn short(file: &Path) -> String {
    let parts: Vec<_> = file.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

fn failure(name: &str, line: usize, what: &str) -> Failure {
    Failure { place: format!("{name}:{line}"), what: what.to_owned(), before: Vec::new() }
}
