//! An SMTP session, line by line: every command gets its one reply, nobody is asked before a login, and what goes
//! into upstream's command lines has no control octet.
//!
//! A line that begins with `<` is not the app's: it is the next reply of upstream, who says 250 where there is none.
//! The name `wrong` is refused.

use std::collections::VecDeque;

use bytes::BytesMut;
use footbridge::mail::AppTls;
use footbridge::proto::line::{Line, LineFramer};
use footbridge::proto::smtp::session::{Answer, Envelope, LONGEST_LINE, Request, Step};
use footbridge::proto::smtp::{Capabilities, Reply, Session};

use super::smtp_replies::assert_reply;

pub fn run(input: &[u8]) {
    for upstream in [
        Capabilities::default(),
        Capabilities {
            size: true,
            largest: Some(9_000),
            dsn: true,
            smtputf8: true,
            ..Capabilities::default()
        },
    ] {
        Conversation::new(input, upstream).play(input);
    }
}

struct Conversation {
    session: Session,
    upstream: Capabilities,
    answers: VecDeque<Reply>,
    /// Commands of the app, and replies to it.
    commands: usize,
    replies: usize,
    over: bool,
}

impl Conversation {
    fn new(input: &[u8], upstream: Capabilities) -> Self {
        let session = Session::with_tls(AppTls::Offered);
        assert_reply(&Session::greeting());
        let lines = input.split(|octet| *octet == b'\n').filter_map(|line| line.strip_prefix(b"<"));
        let answers =
            lines.filter_map(|line| Reply::from_upstream(&[line.trim_ascii_end().to_vec()])).collect();
        Self { session, upstream, answers, commands: 0, replies: 0, over: false }
    }

    fn play(mut self, input: &[u8]) {
        let (mut framer, mut input) = (LineFramer::new(LONGEST_LINE), BytesMut::from(input));
        while let Some(line) = framer.take(&mut input) {
            if self.over {
                return;
            }
            match line {
                Line::Whole(line) if line.first() == Some(&b'<') => {}
                Line::Whole(line) => self.line(&line),
                Line::TooLong => {
                    self.settle();
                    self.commands += 1;
                    let step = self.session.handle_too_long();
                    self.obey(step);
                }
            }
        }
        self.settle();
        assert!(self.over || self.replies == self.commands, "{} to {}", self.replies, self.commands);
    }

    /// As the driver does: RCPTs wait for one another, anything else waits for them.
    fn line(&mut self, line: &[u8]) {
        if !self.session.gathers(line) {
            self.settle();
        }
        if !self.over {
            self.commands += 1;
            let step = self.session.handle_line(line);
            self.obey(step);
        }
    }

    fn settle(&mut self) {
        if self.session.is_gathering() {
            let step = self.session.settle();
            self.obey(step);
            assert!(!self.session.is_gathering());
        }
    }

    fn obey(&mut self, step: Step) {
        let step = match step {
            Step::Ask(request) => {
                let answer = self.ask(request);
                return self.resume(answer);
            }
            step => step,
        };
        match step {
            Step::Gathered => assert!(self.session.is_gathering()),
            Step::Reply(reply) => self.said(&reply),
            Step::Replies(replies) => replies.iter().for_each(|reply| self.said(reply)),
            Step::Receive { reply, largest, .. } => {
                assert_eq!(reply.code(), 354);
                assert!(
                    largest <= self.upstream.largest.unwrap_or(u64::MAX) && self.session.recipients() > 0
                );
                assert_reply(&reply);
                let answer = self.answer().for_app();
                self.resume(Answer::Received(answer));
            }
            Step::Finish(reply) | Step::BeginTls(reply) => {
                self.said(&reply);
                self.over = true;
            }
            Step::Ask(_) => unreachable!("asked above"),
        }
    }

    fn resume(&mut self, answer: Answer) {
        let step = self.session.resume(answer);
        assert!(!matches!(step, Step::Ask(_) | Step::Gathered), "an answer asks again: {step:?}");
        self.obey(step);
    }

    fn said(&mut self, reply: &Reply) {
        assert_reply(reply);
        self.replies += 1;
    }

    fn answer(&mut self) -> Reply {
        self.answers.pop_front().unwrap_or_else(|| Reply::new(250, 1, 5, "ok"))
    }

    fn ask(&mut self, request: Request) -> Answer {
        if let Request::Login(offer) = request {
            assert!(!self.session.is_logged_in());
            assert!(!offer.login.is_empty() && !offer.login.chars().any(char::is_control));
            assert!(!offer.secret.expose().iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
            return match offer.login.as_str() {
                "wrong" => Answer::NotLoggedIn(Reply::new(535, 7, 8, "wrong")),
                _ => Answer::LoggedIn(self.upstream),
            };
        }
        assert!(self.session.is_logged_in(), "{request:?} before a login");
        match request {
            Request::Envelope(envelope) => self.envelope(&envelope),
            Request::Data => {
                assert!(self.session.recipients() > 0, "DATA for nobody");
                let reply = self.answers.pop_front().unwrap_or_else(|| Reply::bare(354, "go on"));
                Answer::Data(reply)
            }
            Request::Login(_) => unreachable!("asked above"),
        }
    }

    fn envelope(&mut self, envelope: &Envelope) -> Answer {
        assert!(!envelope.recipients.is_empty());
        if let Some(mail) = &envelope.mail {
            assert_command("MAIL FROM:<", &mail.for_upstream(&self.upstream));
            let reply = self.answer();
            match reply.code() {
                421 => return Answer::Lost(reply.for_app()),
                _ if !reply.is_positive() => return Answer::SenderRefused(reply.for_app()),
                _ => {}
            }
        }
        for rcpt in &envelope.recipients {
            assert_command("RCPT TO:<", &rcpt.for_upstream());
        }
        Answer::Recipients(envelope.recipients.iter().map(|_| self.answer().for_app()).collect())
    }
}

/// One command on one line, whatever the app put into it.
#[track_caller]
fn assert_command(begins: &str, line: &str) {
    let command = line.strip_suffix("\r\n").expect("CRLF");
    assert!(command.starts_with(begins) && command.contains('>'), "{command:?}");
    assert!(!command.chars().any(char::is_control), "{command:?}");
}
