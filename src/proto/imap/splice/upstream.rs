//! What upstream says.

use memchr::memchr;

use super::response::{self, Start, Status};
use super::{Act, Conversation, Entry, Purpose, REFUSAL, Stage, Tag};
use crate::proto::imap::capability::{self, Literals};
use crate::proto::imap::frame::Piece;

/// What becomes of the response that is going by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// None is, or not so far that the app saw of it.
    Start,
    /// It goes to the app.
    Pass,
    /// The app does not see it, or no more of it.
    Hide,
    /// It is held until its line is whole, and goes to the app with another list, which begins at this octet.
    Rewrite(usize),
}

/// A line with a list of capabilities, at most. Dovecot's is 700 octets; one that is longer than this is replaced
/// by the list the app saw last.
const LIST_LINE: usize = 8 * 1024;

/// What may stand behind a literal in a response: lists go on or end, and so does the line (RFC 3501 §9). Anything
/// else is a part of a body, or the body was longer than it said.
const BEHIND_LITERAL: &[u8] = b" )(]\r";

enum Seen {
    /// The app sees it.
    Shown,
    /// The app sees it under its own tag.
    Renamed(Tag),
    Hidden,
}

impl Conversation {
    /// Judges the front of what upstream sent. To be asked with no octets too: we may have something to say.
    pub fn from_upstream(&mut self, input: &[u8]) -> Act {
        if self.finished {
            return Act::Wait;
        }
        if self.upstream_course == Course::Start {
            if let Some(own) = self.take_own() {
                return Act::Replace(0, own);
            }
            match response::start(input) {
                None => return Act::Wait,
                Some(start) => {
                    if let Some(act) = self.begin_response(start) {
                        return act;
                    }
                }
            }
        }
        if let Course::Rewrite(list) = self.upstream_course {
            return self.rewrite(input, list);
        }
        if self.from_upstream.behind_literal()
            && input.first().is_some_and(|next| !BEHIND_LITERAL.contains(next))
        {
            self.lost_count = true;
        }
        if self.lost_count {
            return Act::Wait;
        }
        let Some(piece) = self.from_upstream.next(input) else {
            return Act::Wait;
        };
        let hidden = self.upstream_course == Course::Hide;
        if let (Some(refusal), Some(octets)) = (&mut self.refusal, input.get(..piece.octets())) {
            refusal.extend(octets.iter().take(REFUSAL.saturating_sub(refusal.len())));
        }
        if matches!(piece, Piece::End { literal: None, .. }) {
            self.response_ended();
        }
        if hidden { Act::Drop(piece.octets()) } else { Act::Pass(piece.octets()) }
    }

    /// Our own answer whose turn has come.
    fn take_own(&mut self) -> Option<Vec<u8>> {
        let overtaken = |entry: &&Entry| matches!(entry, Entry::Sent(sent) if sent.stage == Stage::Overtaken);
        let next = self.commands.iter().take_while(overtaken).count();
        let Some(Entry::Own { .. }) = self.commands.get(next) else {
            return None;
        };
        let Some(Entry::Own { reply, last }) = self.commands.remove(next) else {
            return None;
        };
        self.finished |= last;
        self.news = true;
        Some(reply)
    }

    fn begin_response(&mut self, start: Start<'_>) -> Option<Act> {
        if start != Start::Data {
            self.from_upstream.line_is_text();
        }
        self.upstream_course = Course::Pass;
        self.refusal = refuses(start).then(Vec::new);
        match start {
            Start::Data => {}
            Start::Continuation => self.continuation(),
            Start::Capability { list } => self.upstream_course = Course::Rewrite(list),
            Start::Text { status, .. } if self.refuses_our_done(b"", status) => {
                self.upstream_course = Course::Hide;
            }
            Start::Tagged { tag, status, .. } if self.refuses_our_done(tag, status) => {
                self.upstream_course = Course::Hide;
            }
            Start::Text { status, list } => {
                self.bye(status);
                if status == Status::Bad {
                    self.no_more_continuations(b"");
                }
                if let Some(list) = list {
                    self.upstream_course = Course::Rewrite(list);
                }
            }
            Start::Tagged { tag, list, .. } => match self.complete(tag) {
                Seen::Hidden => self.upstream_course = Course::Hide,
                Seen::Renamed(shown) => {
                    if let Some(refusal) = &mut self.refusal {
                        refusal.extend(&*shown);
                    }
                    return Some(Act::Replace(tag.len(), shown.into()));
                }
                Seen::Shown => {
                    if let Some(list) = list {
                        self.upstream_course = Course::Rewrite(list);
                    }
                }
            },
        }
        None
    }

    /// `+`: whose turn is it?
    fn continuation(&mut self) {
        let Some(continuation) = self.continuations.pop_front() else {
            return;
        };
        self.news = true;
        match continuation.purpose {
            Purpose::Literal => self.held = false,
            Purpose::Emulated => {
                self.held = false;
                self.upstream_course = Course::Hide;
            }
            Purpose::Idle => self.idle_entered(),
            Purpose::Renewal => {
                self.idle_entered();
                self.upstream_course = Course::Hide;
            }
        }
    }

    fn bye(&mut self, status: Status) {
        if status == Status::Bye {
            self.bye_seen = true;
            // After LOGOUT the tagged OK is still to come (RFC 3501 §6.1.3).
            self.closing = !self.logout_seen;
        }
    }

    /// The command that upstream knows by `tag` is done.
    fn complete(&mut self, tag: &[u8]) -> Seen {
        let found =
            self.commands.iter().position(|entry| matches!(entry, Entry::Sent(sent) if sent.wire() == tag));
        let Some(at) = found else {
            return Seen::Shown;
        };
        self.news = true;
        self.no_more_continuations(tag);
        let shown = match self.commands.get(at) {
            Some(Entry::Sent(sent)) => sent.tag.clone(),
            _ => return Seen::Shown,
        };
        if self.idle_answered(&shown) {
            return Seen::Hidden;
        }
        let removed = self.commands.remove(at);
        self.overtake(at);
        match removed {
            Some(Entry::Sent(sent)) => {
                self.closing |= sent.command.kind == super::Kind::Logout;
                if sent.renamed.is_some() { Seen::Renamed(sent.tag) } else { Seen::Shown }
            }
            _ => Seen::Shown,
        }
    }

    /// No `+` comes any more for a command that is done; a literal that waited for one was refused.
    fn no_more_continuations(&mut self, tag: &[u8]) {
        let waited = self.continuations.iter().rev().find(|waiting| *waiting.tag == *tag);
        let literal = waited.map(|waiting| waiting.purpose);
        self.continuations.retain(|waiting| *waiting.tag != *tag);
        if let Some(purpose @ (Purpose::Literal | Purpose::Emulated)) = literal {
            self.news = true;
            self.literal_refused(purpose);
        }
    }

    fn overtake(&mut self, before: usize) {
        for entry in self.commands.iter_mut().take(before) {
            if let Entry::Sent(sent) = entry
                && sent.stage == Stage::Running
            {
                sent.stage = Stage::Overtaken;
            }
        }
    }

    fn rewrite(&mut self, input: &[u8], list: usize) -> Act {
        match memchr(b'\n', input) {
            Some(end) => {
                let line = input.get(..=end).unwrap_or(input);
                let (line, names) = capability::rewrite(line, list, &self.mask);
                self.literals = Literals::of(names.iter().map(String::as_str));
                self.shown = capability::shown(names.iter().map(String::as_str), &self.mask);
                self.from_upstream.restart();
                self.response_ended();
                Act::Replace(end + 1, line)
            }
            None if input.len() < LIST_LINE => Act::Wait,
            None => {
                self.upstream_course = Course::Hide;
                let before = input.get(..list).unwrap_or_default();
                let close = if before.contains(&b'[') { "] done" } else { "" };
                let line = [before, b" ", self.shown.as_bytes(), close.as_bytes(), b"\r\n"].concat();
                Act::Replace(input.len(), line)
            }
        }
    }

    fn response_ended(&mut self) {
        self.upstream_course = Course::Start;
        self.finished |= self.closing;
        if let Some(refusal) = self.refusal.take() {
            self.refused = Some(refusal.trim_ascii_end().to_owned());
        }
    }
}

fn refuses(start: Start<'_>) -> bool {
    let (Start::Tagged { status, .. } | Start::Text { status, .. }) = start else { return false };
    matches!(status, Status::No | Status::Bad | Status::Bye)
}
