//! MAIL, RCPT and DATA (RFC 5321 §3.3), and the RCPTs that wait to go upstream together.

use super::super::Reply;
use super::super::command::Command;
use super::super::parameters::{MailFrom, RcptTo};
use super::{Envelope, Login, Request, Session, Step};

/// Recipients of one message. RFC 5321 §4.5.3.1.8 wants 100 at least; providers take 100 to 2,000 and say so
/// themselves, so this one only ends what went mad.
const RECIPIENTS: usize = 5_000;

/// RCPTs that go upstream in one write: their replies fit the socket buffers however long they are, so neither
/// side waits for the other to read (RFC 2920 §3.1).
const BATCH: usize = 100;

#[derive(Debug)]
pub(super) enum Transaction {
    None,
    Open(Open),
    /// The reply to MAIL, which every RCPT now gets.
    SenderRefused(Reply),
    /// The connection on which recipients were accepted is gone: without RSET nothing may be sent, since it
    /// would not reach them.
    Lost(Reply),
}

#[derive(Debug)]
pub(super) struct Open {
    mail: MailFrom,
    /// MAIL went upstream.
    begun: bool,
    asked: bool,
    accepted: usize,
}

/// RCPTs in the app's order.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<Waiting>);

#[derive(Debug)]
enum Waiting {
    Forward(RcptTo),
    /// Refused by us; its reply waits for those before it.
    Answered(Reply),
}

impl Session {
    /// Whether this line joins the RCPTs that wait; if not, [`Session::settle`] comes first.
    pub fn gathers(&self, line: &[u8]) -> bool {
        self.batch.0.len() < BATCH && self.is_logged_in() && Command::is_rcpt(line)
    }

    /// Whether RCPTs wait.
    pub fn is_gathering(&self) -> bool {
        !self.batch.0.is_empty()
    }

    /// Lets the RCPTs that wait go upstream.
    pub fn settle(&mut self) -> Step {
        let recipients: Vec<RcptTo> = self.batch.0.iter().filter_map(Waiting::forwarded).cloned().collect();
        match &self.transaction {
            Transaction::Open(open) if !recipients.is_empty() => {
                let mail = (!open.begun).then(|| open.mail.clone());
                Step::Ask(Request::Envelope(Envelope { mail, recipients }))
            }
            _ => self.recipients_answered(Vec::new()),
        }
    }

    /// A RCPT that was no good among others that wait: its answer waits too.
    pub(super) fn gather(&mut self, reply: Reply) -> Step {
        self.batch.0.push(Waiting::Answered(reply));
        Step::Gathered
    }

    pub(super) fn mail(&mut self, mail: MailFrom) -> Step {
        let Login::In(upstream) = &self.login else {
            return Step::Reply(Reply::new(530, 7, 0, "authentication required"));
        };
        if matches!(self.transaction, Transaction::Open(_)) {
            return Step::Reply(Reply::new(503, 5, 1, "a message has been begun already"));
        }
        if let Some(refusal) = mail.refusal(&self.offered(upstream)) {
            return Step::Reply(refusal);
        }
        self.transaction = Transaction::Open(Open { mail, begun: false, asked: false, accepted: 0 });
        Step::Reply(Reply::new(250, 1, 0, "ok"))
    }

    pub(super) fn rcpt(&mut self, rcpt: RcptTo) -> Step {
        let Login::In(upstream) = &self.login else {
            return Step::Reply(Reply::new(530, 7, 0, "authentication required"));
        };
        let offered = self.offered(upstream);
        let waiting = match &mut self.transaction {
            Transaction::None => Waiting::Answered(Reply::new(503, 5, 1, "MAIL first")),
            Transaction::SenderRefused(reply) | Transaction::Lost(reply) => Waiting::Answered(reply.clone()),
            Transaction::Open(open) => {
                open.asked = true;
                let taken = open.accepted + self.batch.0.iter().filter_map(Waiting::forwarded).count();
                match rcpt.refusal(&offered, open.mail.smtputf8) {
                    Some(refusal) => Waiting::Answered(refusal),
                    None if taken >= RECIPIENTS => {
                        Waiting::Answered(Reply::new(452, 5, 3, "too many recipients, send the rest later"))
                    }
                    None => Waiting::Forward(rcpt),
                }
            }
        };
        match waiting {
            Waiting::Answered(reply) if self.batch.0.is_empty() => Step::Reply(reply),
            waiting => {
                self.batch.0.push(waiting);
                Step::Gathered
            }
        }
    }

    pub(super) fn data(&mut self) -> Step {
        if !self.is_logged_in() {
            return Step::Reply(Reply::new(530, 7, 0, "authentication required"));
        }
        match &self.transaction {
            Transaction::Open(open) if open.accepted > 0 => Step::Ask(Request::Data),
            Transaction::Open(open) if open.asked => no_recipients(),
            Transaction::None => Step::Reply(Reply::new(503, 5, 1, "MAIL first")),
            Transaction::Open(_) => Step::Reply(Reply::new(503, 5, 1, "RCPT first")),
            Transaction::SenderRefused(_) => no_recipients(),
            Transaction::Lost(reply) => Step::Reply(reply.clone()),
        }
    }

    pub(super) fn recipients_answered(&mut self, replies: Vec<Reply>) -> Step {
        if let Transaction::Open(open) = &mut self.transaction {
            open.begun |= !replies.is_empty();
            open.accepted += replies.iter().filter(|reply| reply.is_positive()).count();
        }
        let mut replies = replies.into_iter();
        let missing = || Reply::new(451, 3, 0, "not asked");
        let settled = std::mem::take(&mut self.batch.0).into_iter().map(|waiting| match waiting {
            Waiting::Forward(_) => replies.next().unwrap_or_else(missing),
            Waiting::Answered(reply) => reply,
        });
        Step::Replies(settled.collect())
    }

    /// Every recipient that waits gets `reply`, and so does each that follows.
    pub(super) fn envelope_failed(&mut self, state: fn(Reply) -> Transaction, reply: Reply) -> Step {
        self.transaction = state(reply.clone());
        if self.batch.0.is_empty() {
            return Step::Reply(reply);
        }
        let settled = std::mem::take(&mut self.batch.0).into_iter().map(|waiting| match waiting {
            Waiting::Forward(_) => reply.clone(),
            Waiting::Answered(reply) => reply,
        });
        Step::Replies(settled.collect())
    }

    pub(super) fn data_answered(&mut self, reply: Reply) -> Step {
        match &self.login {
            Login::In(upstream) if reply.code() == 354 => Step::Receive {
                reply: Reply::bare(354, "end with a dot on a line of its own"),
                largest: super::largest(upstream),
                eight_bit: upstream.eight_bit_mime,
            },
            _ => {
                self.transaction = Transaction::None;
                // 2yz to DATA is nonsense, and the app must not take it for an invitation.
                Step::Reply(if reply.class() < 4 {
                    Reply::new(451, 3, 0, "odd answer from the provider")
                } else {
                    reply
                })
            }
        }
    }

    pub(super) fn received(&mut self, reply: Reply) -> Step {
        self.transaction = Transaction::None;
        if reply.is_positive() {
            self.mistakes = 0;
        }
        Step::Reply(reply)
    }

    /// Recipients upstream accepted for the message under way.
    pub fn recipients(&self) -> usize {
        match &self.transaction {
            Transaction::Open(open) => open.accepted,
            _ => 0,
        }
    }
}

impl Waiting {
    fn forwarded(&self) -> Option<&RcptTo> {
        match self {
            Self::Forward(rcpt) => Some(rcpt),
            Self::Answered(_) => None,
        }
    }
}

fn no_recipients() -> Step {
    Step::Reply(Reply::new(554, 5, 1, "no valid recipients"))
}
