//! Whole commands, literals included, out of what an app sends before login.
//!
//! A command is collected only within limits that a login needs; of what is over them the octets are eaten, so that
//! the next line is a command again, and of what is far over them nothing is (RFC 3501 §7.5, RFC 7888 §4).

use bytes::BytesMut;
use zeroize::Zeroizing;

use super::command;
use crate::proto::imap::frame::{Frame, Piece};
use crate::proto::imap::literal::Announced;
use crate::proto::stranger;

/// A command and its literals, or a line of SASL: 12,288 octets of base64 are what RFC 4954 §4 wants of AUTH, and
/// there is room for the words before them.
const COMMAND: usize = 16 * 1024;

/// A name or a password; tokens that old apps send as passwords are below this.
const LITERAL: u64 = 8 * 1024;

/// What is eaten of one refused command before the connection is not worth keeping.
const EATEN: u64 = 256 * 1024;

/// Everything before login. An app needs a few hundred octets, and with the longest SASL exchanges some ten thousand;
/// whoever needs more than two commands refused as over-long takes is no app.
const BEFORE_LOGIN: u64 = 2 * EATEN;

/// Commands, lines of SASL and announced literals before login. A login has three of them at most, and an app asks for
/// the list and says its name once; who says more than this, which fits into few octets, is no mail app, and costs only
/// time.
const ASKED_BEFORE_LOGIN: u32 = 200;

/// What came of the octets.
#[derive(Debug)]
pub(super) enum Gathered {
    /// A whole command with its literals in place, or a line of SASL; line ends included.
    Line(Zeroizing<Vec<u8>>),
    /// A literal was announced and may come.
    GoOn,
    /// A command that was not taken went by, or waits for a `+` that it will not get.
    Refused { tag: Option<String>, reason: &'static str },
    /// Too much to eat.
    Flood,
    /// More was asked than a login takes.
    TooMuch,
    /// The first octet is no mail app's.
    Intruder,
}

#[derive(Debug)]
pub(super) struct Gather {
    frame: Frame,
    text: Zeroizing<Vec<u8>>,
    refused: Option<&'static str>,
    eaten: u64,
    taken: u64,
    asked: u32,
}

impl Gather {
    pub(super) fn new() -> Self {
        Self {
            frame: Frame::default(),
            text: Zeroizing::default(),
            refused: None,
            eaten: 0,
            taken: 0,
            asked: 0,
        }
    }

    /// Takes pieces until something came of them. A line of `sasl` announces no literal.
    pub(super) fn take(&mut self, input: &mut BytesMut, sasl: bool) -> Option<Gathered> {
        loop {
            if self.frame.at_start() {
                if sasl {
                    self.frame.line_is_text();
                } else if stranger::is_binary(input) {
                    return Some(Gathered::Intruder);
                }
            }
            let piece = self.frame.next(input)?;
            self.taken += piece.octets() as u64;
            self.collect(&input.split_to(piece.octets()));
            if self.eaten > EATEN || self.taken > BEFORE_LOGIN {
                return Some(Gathered::Flood);
            }
            if matches!(piece, Piece::End { .. }) {
                self.asked += 1;
                if self.asked > ASKED_BEFORE_LOGIN {
                    return Some(Gathered::TooMuch);
                }
            }
            match piece {
                Piece::End { literal: None, .. } => return Some(self.whole()),
                Piece::End { literal: Some(literal), .. } => {
                    if let Some(gathered) = self.announced(literal) {
                        return Some(gathered);
                    }
                }
                Piece::Part(_) | Piece::Literal(_) => {}
            }
        }
    }

    fn collect(&mut self, octets: &[u8]) {
        if self.refused.is_some() {
            self.eaten += octets.len() as u64;
            return;
        }
        if self.text.capacity() == 0 {
            // Never moved while it grows: no copy of a password stays behind.
            self.text.reserve_exact(COMMAND);
        }
        let room = COMMAND - self.text.len().min(COMMAND);
        let (fitting, rest) = octets.split_at_checked(room).unwrap_or((octets, b""));
        self.text.extend_from_slice(fitting); // Of a command that is refused too: its tag is in front.
        if !rest.is_empty() {
            self.refused = Some("this command is too long");
            self.eaten += rest.len() as u64;
        }
    }

    fn whole(&mut self) -> Gathered {
        match self.refused {
            Some(_) => self.refuse(),
            None => Gathered::Line(std::mem::take(&mut self.text)),
        }
    }

    /// `+` only when the whole command may go on (RFC 3501 §4.3, §7.5).
    fn announced(&mut self, literal: Announced) -> Option<Gathered> {
        if self.refused.is_none() {
            self.refused = self.objection(literal.octets);
        }
        match self.refused {
            None if literal.non_synchronising => None,
            None => Some(Gathered::GoOn),
            Some(_) if !literal.non_synchronising => {
                self.frame.restart();
                Some(self.refuse())
            }
            Some(_) => (literal.octets > EATEN).then_some(Gathered::Flood),
        }
    }

    fn objection(&self, octets: u64) -> Option<&'static str> {
        if !command::takes_literals(&self.text) {
            return Some("this command takes no literal before login");
        }
        if octets > LITERAL || self.text.len() as u64 + octets > COMMAND as u64 {
            return Some("this literal is too long");
        }
        None
    }

    fn refuse(&mut self) -> Gathered {
        let reason = self.refused.take().unwrap_or("this command was not understood");
        let tag = command::tag(&self.text);
        self.text = Zeroizing::default();
        self.eaten = 0;
        Gathered::Refused { tag, reason }
    }
}
