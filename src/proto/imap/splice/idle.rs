//! IDLE (RFC 2177), and how it is renewed while the app sleeps.
//!
//! ```text
//!  a IDLE ▶ Asked ──+──▶ Running ──DONE of the app──▶ upstream's tagged OK
//!                        ▲  └─renew: DONE──▶ Ending ──tagged OK, hidden──▶ Again ─┐
//!                        └────────────────── + , hidden ──────────────────────────┘
//! ```
//!
//! An upstream that ends its IDLE by itself when our DONE is under way answers that DONE with BAD, which is hidden too.
//!
//! After a renewal upstream knows the IDLE by a tag of ours; its tagged response is given the app's again.

use super::response::Status;
use super::{Continuation, Conversation, Entry, Purpose, Stage, Tag};

#[derive(Debug)]
pub(super) struct Idle {
    /// The app's tag.
    tag: Tag,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Asked,
    Running,
    Ending,
    Again,
}

impl Idle {
    /// Whether we are between our DONE and upstream's new `+`; the app's own DONE waits for that.
    pub(super) fn renewing(&self) -> bool {
        matches!(self.step, Step::Ending | Step::Again)
    }
}

impl Conversation {
    /// Which IDLE upstream is in, counted from 1; `None` where it is in none.
    pub fn idling(&self) -> Option<u32> {
        self.idle.as_ref().filter(|idle| idle.step == Step::Running).map(|_| self.idles)
    }

    /// Ends upstream's IDLE and begins a new one, unseen by the app, whose DONE may come at any time: "terminate the
    /// IDLE and re-issue it at least every 29 minutes" (RFC 2177 §3).
    pub fn renew_idle(&mut self) {
        let can = self.from_app.at_start();
        if let Some(idle) = &mut self.idle
            && idle.step == Step::Running
            && can
        {
            idle.step = Step::Ending;
            self.to_upstream = Some(b"DONE\r\n".to_vec());
            self.news = true;
        }
    }

    pub(super) fn idle_asked(&mut self, tag: Tag) {
        self.continuations.push_back(Continuation { tag: tag.clone(), purpose: Purpose::Idle });
        self.idle = Some(Idle { tag, step: Step::Asked });
    }

    pub(super) fn idle_done(&mut self) {
        if let Some(idle) = self.idle.take() {
            self.set_stage(&idle.tag, Stage::Running);
        }
    }

    pub(super) fn idle_entered(&mut self) {
        self.idles = self.idles.wrapping_add(1);
        if let Some(idle) = &mut self.idle {
            idle.step = Step::Running;
            let tag = idle.tag.clone();
            self.set_stage(&tag, Stage::Quiet);
        }
    }

    /// Upstream's tagged response to the command the app knows by `tag`. `true` when it answers our DONE and the app
    /// must not see it.
    pub(super) fn idle_answered(&mut self, tag: &[u8]) -> bool {
        let Some(idle) = self.idle.as_mut().filter(|idle| *idle.tag == *tag) else {
            return false;
        };
        if idle.step != Step::Ending {
            self.idle = None; // Refused, or ended by upstream.
            return false;
        }
        idle.step = Step::Again;
        let ours = format!("footbridge{}", self.idles);
        self.to_upstream = Some(format!("{ours} IDLE\r\n").into_bytes());
        let ours: Tag = ours.into_bytes().into();
        self.continuations.push_back(Continuation { tag: ours.clone(), purpose: Purpose::Renewal });
        for entry in &mut self.commands {
            if let Entry::Sent(sent) = entry
                && *sent.tag == *tag
            {
                sent.renamed = Some(ours.clone());
            }
        }
        true
    }

    /// Whether a refusal that no command of the app's explains answers our DONE: upstream had ended its IDLE by itself
    /// when it came. Until the new `+` the app has no command under way.
    pub(super) fn refuses_our_done(&self, tag: &[u8], status: Status) -> bool {
        let again = self.idle.as_ref().is_some_and(|idle| idle.step == Step::Again);
        again && status == Status::Bad && (tag.is_empty() || tag.eq_ignore_ascii_case(b"DONE"))
    }

    fn set_stage(&mut self, tag: &[u8], stage: Stage) {
        for entry in &mut self.commands {
            if let Entry::Sent(sent) = entry
                && *sent.tag == *tag
                && sent.stage != Stage::Overtaken
            {
                sent.stage = stage;
            }
        }
    }
}
