//! What the app says.

use super::command::{self, Command, Kind, Start};
use super::idle::Idle;
use super::{Act, BAD_COMMANDS, COMMANDS, Continuation, Conversation, Entry, Purpose, Sent, Stage, Tag};
use crate::proto::imap::frame::Piece;
use crate::proto::imap::literal::Announced;

/// What becomes of the command that is going by.
#[derive(Debug)]
pub(super) enum Course {
    /// None is.
    Start,
    /// It goes upstream; the tag, where it has one.
    Pass(Option<Tag>),
    /// The line that ends IDLE goes upstream.
    Done,
    /// It goes nowhere, and this is the answer; none, where upstream has answered already.
    Swallow(Option<Answer>),
}

#[derive(Debug)]
pub(super) struct Answer {
    tag: Tag,
    kind: Kind,
}

impl Conversation {
    /// Judges the front of what the app sent. To be asked with no octets too: we may have something to say.
    pub fn from_app(&mut self, input: &[u8]) -> Act {
        if self.held {
            return Act::Wait;
        }
        if self.from_app.at_start() {
            if let Some(octets) = self.to_upstream.take() {
                return Act::Replace(0, octets);
            }
            if !self.begin_command(input) {
                return Act::Wait;
            }
        }
        let Some(piece) = self.from_app.next(input) else {
            return Act::Wait;
        };
        match &mut self.app_course {
            Course::Swallow(_) => self.swallow(piece),
            _ => self.pass(piece, input),
        }
    }

    /// Sets the course for the command in front; `false` when its time has not come or more octets are needed.
    fn begin_command(&mut self, input: &[u8]) -> bool {
        if input.is_empty() || self.idle.as_ref().is_some_and(Idle::renewing) || !self.has_room() {
            return false;
        }
        if self.idle.is_some() {
            self.app_course = Course::Done;
            return true;
        }
        match command::start(input) {
            None => return false,
            Some(Start::Other) => self.app_course = Course::Pass(None),
            Some(Start::Command { tag, command }) => self.begin(tag.into(), command),
        }
        true
    }

    fn has_room(&mut self) -> bool {
        if self.commands.len() >= COMMANDS {
            self.commands
                .retain(|entry| !matches!(entry, Entry::Sent(sent) if sent.stage == Stage::Overtaken));
        }
        self.commands.len() < COMMANDS
    }

    fn begin(&mut self, tag: Tag, command: Command) {
        self.started = Some(command.name);
        if matches!(command.kind, Kind::Forbidden | Kind::Id) {
            self.app_course = Course::Swallow(Some(Answer { tag, kind: command.kind }));
            return;
        }
        self.bad = 0;
        self.logout_seen |= command.kind == Kind::Logout;
        self.app_course = Course::Pass(Some(tag.clone()));
        let sent = Sent { tag, renamed: None, command, stage: Stage::Incomplete };
        self.commands.push_back(Entry::Sent(sent));
    }

    fn pass(&mut self, piece: Piece, input: &[u8]) -> Act {
        match piece {
            Piece::Part(octets) | Piece::Literal(octets) => Act::Pass(octets),
            Piece::End { octets, literal: None } => {
                self.command_sent();
                Act::Pass(octets)
            }
            Piece::End { octets, literal: Some(literal) } => self.announce(octets, literal, input),
        }
    }

    fn command_sent(&mut self) {
        match std::mem::replace(&mut self.app_course, Course::Start) {
            Course::Done => self.idle_done(),
            Course::Pass(Some(_)) => {
                // The last one begun is the one that ended: commands do not interleave.
                let last = self.commands.iter_mut().rev().find_map(|entry| match entry {
                    Entry::Sent(sent) if sent.stage == Stage::Incomplete => Some(sent),
                    _ => None,
                });
                let Some(sent) = last else { return };
                sent.stage = Stage::Running;
                if sent.command.kind == Kind::Idle {
                    let tag = sent.tag.clone();
                    self.idle_asked(tag);
                }
            }
            _ => {}
        }
    }

    /// A line that announces a literal. Only `+` from upstream lets the literal go on, unless it need not be asked
    /// (RFC 3501 §7.5, RFC 7888 §4).
    fn announce(&mut self, octets: usize, literal: Announced, input: &[u8]) -> Act {
        let Course::Pass(tag) = &self.app_course else {
            return Act::Pass(octets); // In IDLE; upstream judges it.
        };
        if literal.non_synchronising && self.literals.allows(literal.octets) {
            return Act::Pass(octets);
        }
        let answered = tag.is_some() && !self.sent().any(|sent| sent.stage == Stage::Incomplete);
        if answered && !literal.non_synchronising {
            // Upstream has answered before the command's end: no `+` comes, the app's next line is a command.
            self.from_app.restart();
            self.app_course = Course::Start;
            return Act::Pass(octets);
        }
        let purpose = if literal.non_synchronising { Purpose::Emulated } else { Purpose::Literal };
        // Without a tag: upstream refuses it with an untagged BAD.
        let tag = tag.clone().unwrap_or_default();
        self.continuations.push_back(Continuation { tag, purpose });
        self.held = true;
        if purpose == Purpose::Literal {
            return Act::Pass(octets);
        }
        let line = input.get(..octets).unwrap_or(input);
        let plus = line.iter().rposition(|octet| *octet == b'+').unwrap_or(octets);
        let behind = line.get(plus + 1..).unwrap_or_default();
        Act::Replace(octets, [line.get(..plus).unwrap_or(line), behind].concat())
    }

    fn swallow(&mut self, piece: Piece) -> Act {
        if let Piece::End { literal, .. } = piece {
            match literal {
                Some(literal) if literal.non_synchronising => {}
                // The app waits for `+` and gets our answer: its next line is a command (RFC 3501 §7.5).
                Some(_) => self.swallowed(false),
                None => self.swallowed(true),
            }
        }
        Act::Drop(piece.octets())
    }

    fn swallowed(&mut self, whole: bool) {
        self.from_app.restart();
        if let Course::Swallow(Some(answer)) = std::mem::replace(&mut self.app_course, Course::Start) {
            let entry = self.own(&answer, whole);
            self.commands.push_back(entry);
        }
    }

    fn own(&mut self, answer: &Answer, whole: bool) -> Entry {
        let tag = String::from_utf8_lossy(&answer.tag);
        if answer.kind == Kind::Id && whole {
            self.bad = 0;
            return Entry::Own { reply: id(&tag).into_bytes(), last: false };
        }
        if answer.kind == Kind::Id {
            let reply = format!("{tag} NO the bridge takes no synchronising literal in ID\r\n");
            return Entry::Own { reply: reply.into_bytes(), last: false };
        }
        self.bad += 1;
        let last = self.bad >= BAD_COMMANDS;
        let bye = if last { "* BYE too many bad commands\r\n" } else { "" };
        let reply = format!("{tag} BAD the bridge does not take this command after login\r\n{bye}");
        Entry::Own { reply: reply.into_bytes(), last }
    }

    /// Upstream answered a command whose literal was announced and not yet asked for: it refused it.
    pub(super) fn literal_refused(&mut self, purpose: Purpose) {
        self.held = false;
        if purpose == Purpose::Emulated {
            // The app has sent the literal already, or will (RFC 7888 §4).
            self.app_course = Course::Swallow(None);
        } else {
            self.app_course = Course::Start;
            self.from_app.restart();
        }
    }
}

/// The answer to ID, the same before login and after (RFC 2971 §3.2).
pub(in crate::proto::imap) fn id(tag: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("* ID (\"name\" \"footbridge\" \"version\" \"{version}\")\r\n{tag} OK ID completed\r\n")
}
