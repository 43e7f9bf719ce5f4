//! An IMAP session after login, as the bridge in the middle sees it: whose octets pass, and which do not.
//!
//! Pure: octets that lie in front go in, an [`Act`] comes out; the driver is `bridge::imap::splice`. It looks at the
//! first words of each command and response and at where lines and literals end, and lets everything pass as it is,
//! but for:
//!
//! ```text
//!  from the app                                         from upstream
//!  LOGIN, STARTTLS, COMPRESS ... ─▶ BAD by us           * CAPABILITY, [CAPABILITY ...] ─▶ rewritten
//!  ID ───────────────────────────▶ answered by us       + and tagged OK that nobody asked for but us ─▶ hidden
//!  {n+} that upstream lacks ──────▶ {n}, held till +
//! ```
//!
//! Its law: nothing of ours is ever put inside a line or literal of theirs, and our answers keep the order of the
//! commands (RFC 3501 §5.5).

mod app;
mod command;
mod idle;
mod response;
mod upstream;

use std::collections::VecDeque;

use super::capability::{Literals, Mask, shown};
use super::frame::Frame;
use super::text::clean;
pub(in crate::proto::imap) use app::id;
use command::{Command, Kind};
use idle::Idle;

/// What to do with the octets in front of what one side sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// So many go to the other side as they are.
    Pass(usize),
    /// So many go nowhere.
    Drop(usize),
    /// So many go nowhere, and these go to the other side in their place; none, for what is only said.
    Replace(usize, Vec<u8>),
    /// Nothing, until more octets or news from the other side come.
    Wait,
}

/// How long upstream's silence is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It answers at once or piece by piece.
    Prompt,
    /// It may work for minutes first: a search, a copy of thousands.
    Laborious,
}

/// Commands under way at once. A pipelining app sends some dozens; with more it waits for answers.
const COMMANDS: usize = 256;

/// Commands in a row that we ourselves answer BAD before we say BYE. Upstream counts its own.
const BAD_COMMANDS: u32 = 20;

/// As much of a refusal is looked at for what it asks of us: what servers say of a wait is within the first words.
pub const REFUSAL: usize = 512;

/// One session after login.
#[derive(Debug)]
pub struct Conversation {
    mask: Mask,
    literals: Literals,
    /// The list as the app last saw it.
    shown: String,
    from_app: Frame,
    app_course: app::Course,
    /// An announced literal waits for upstream's `+`: nothing more of the app's goes up before.
    held: bool,
    from_upstream: Frame,
    upstream_course: upstream::Course,
    commands: VecDeque<Entry>,
    /// Who waits for a `+`, in the order of asking.
    continuations: VecDeque<Continuation>,
    idle: Option<Idle>,
    /// How many IDLEs upstream has entered.
    idles: u32,
    /// What we ourselves have to say upstream, once the app's command has ended.
    to_upstream: Option<Vec<u8>>,
    bad: u32,
    bye_seen: bool,
    logout_seen: bool,
    /// The session ends with the response that is going by.
    closing: bool,
    finished: bool,
    /// What upstream called a literal was none, or had another length.
    lost_count: bool,
    /// Something came from upstream that may let the app's octets go on.
    news: bool,
    started: Option<&'static str>,
    /// A refusal of upstream's that is going by, as far as it has come.
    refusal: Option<Vec<u8>>,
    refused: Option<Vec<u8>>,
}

type Tag = Box<[u8]>;

#[derive(Debug)]
enum Entry {
    /// Sent upstream, its tagged response not here yet.
    Sent(Sent),
    /// Our own answer, due when the commands before it are done.
    Own { reply: Vec<u8>, last: bool },
}

#[derive(Debug)]
struct Sent {
    /// The app's tag.
    tag: Tag,
    /// The tag upstream knows the command by, where it is another one.
    renamed: Option<Tag>,
    command: Command,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its last line has not gone up yet.
    Incomplete,
    /// Upstream is to answer.
    Running,
    /// IDLE: silence is what was asked for.
    Quiet,
    /// Upstream answered a later command first; it may never answer this one.
    Overtaken,
}

#[derive(Debug)]
struct Continuation {
    /// The tag upstream knows the command by.
    tag: Tag,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The app's IDLE.
    Idle,
    /// The app's synchronising literal.
    Literal,
    /// The app's non-synchronising literal, which upstream must be asked for.
    Emulated,
    /// Our own IDLE.
    Renewal,
}

impl Conversation {
    /// A session right after login: upstream's capabilities, and what of them the account hides.
    pub fn new(capabilities: &[String], mask: Mask) -> Self {
        let names = || capabilities.iter().map(String::as_str);
        Self {
            literals: Literals::of(names()),
            shown: shown(names(), &mask),
            mask,
            from_app: Frame::default(),
            app_course: app::Course::Start,
            held: false,
            from_upstream: Frame::default(),
            upstream_course: upstream::Course::Start,
            commands: VecDeque::new(),
            continuations: VecDeque::new(),
            idle: None,
            idles: 0,
            to_upstream: None,
            bad: 0,
            bye_seen: false,
            logout_seen: false,
            closing: false,
            finished: false,
            lost_count: false,
            news: false,
            started: None,
            refusal: None,
            refused: None,
        }
    }

    /// The capabilities as the app sees them.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether the app is sending a literal, so that its next octets may come piece by piece.
    pub fn literal_coming(&self) -> bool {
        !self.held && self.from_app.within_literal()
    }

    /// Whether both sides said good-bye: LOGOUT is done, or upstream's or our BYE has gone by.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Whether upstream's literals have lengths other than announced: what follows would be taken for what it is not,
    /// so nothing may follow.
    pub fn lost_count(&self) -> bool {
        self.lost_count
    }

    /// Whether the app said LOGOUT.
    pub fn logout_seen(&self) -> bool {
        self.logout_seen
    }

    /// Whether upstream said something since the last call that may let held octets of the app go on.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// The name of the command that began since the last call.
    pub fn take_started(&mut self) -> Option<&'static str> {
        self.started.take()
    }

    /// The line with which upstream refused something since the last call, `a1 NO [THROTTLED] later` or `* BYE later`,
    /// without its line end; no more than its first [`REFUSAL`] octets.
    pub fn take_refusal(&mut self) -> Option<Vec<u8>> {
        self.refused.take()
    }

    /// The command upstream is to answer now, and how long its silence is let pass.
    pub fn running(&self) -> Option<(&'static str, Patience)> {
        if self.held {
            return Some(("a literal", Patience::Prompt));
        }
        if let Some(idle) = &self.idle
            && idle.renewing()
        {
            return Some(("IDLE", Patience::Prompt));
        }
        self.sent().find(|sent| sent.stage == Stage::Running).map(|sent| {
            let patience = match sent.command.kind {
                Kind::Laborious => Patience::Laborious,
                _ => Patience::Prompt,
            };
            (sent.command.name, patience)
        })
    }

    /// Whether something the app asked for is still to come, to its last octet.
    pub fn busy(&self) -> bool {
        self.held
            || !self.between_responses()
            || self.commands.iter().any(|entry| match entry {
                Entry::Sent(sent) => sent.stage == Stage::Running,
                Entry::Own { .. } => true,
            })
    }

    /// Whether what the app has seen ends with a whole response, so that we may say something.
    pub fn between_responses(&self) -> bool {
        !matches!(self.upstream_course, upstream::Course::Pass)
    }

    /// The last lines for an app whose upstream is lost, or who is sent away; `None` in the middle of a response,
    /// where nothing we could say would be understood.
    pub fn last_words(&self, code: &str, reason: &str) -> Option<Vec<u8>> {
        if !self.between_responses() || self.finished {
            return None;
        }
        let mut words = Vec::new();
        if !self.bye_seen {
            words.extend_from_slice(format!("* BYE {code}{}\r\n", clean(reason)).as_bytes());
        }
        if let Some(logout) = self.sent().find(|sent| sent.command.kind == Kind::Logout) {
            words.extend_from_slice(&[&logout.tag, &b" OK logged out\r\n"[..]].concat());
        }
        Some(words)
    }

    fn sent(&self) -> impl Iterator<Item = &Sent> {
        self.commands.iter().filter_map(|entry| match entry {
            Entry::Sent(sent) => Some(sent),
            Entry::Own { .. } => None,
        })
    }
}

impl Sent {
    /// The tag upstream knows it by.
    fn wire(&self) -> &[u8] {
        self.renamed.as_deref().unwrap_or(&self.tag)
    }
}

#[cfg(test)]
mod tests;
