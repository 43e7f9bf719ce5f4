//! An IMAP session after login, between two peers who say anything: octets are conserved, nobody is left waiting
//! without a reason, we say nothing inside what others say, and any split gives the same.
//!
//! An octet 1 goes before what the app says, 2 before what upstream says, and 3 renews IDLE.

use footbridge::proto::imap::capability::Mask;
use footbridge::proto::imap::splice::{Act, Conversation};

/// What a start, a list of capabilities or an announcement may keep waiting for.
const WAITING: usize = 8 * 1024;

#[derive(Debug, PartialEq)]
enum Turn<'a> {
    App(&'a [u8]),
    Upstream(&'a [u8]),
    Renew,
}

pub fn run(input: &[u8]) {
    let turns = turns(input);
    for capabilities in ["IMAP4rev1 IDLE", "IMAP4rev1 IDLE LITERAL+ ID"] {
        let whole = Between::play(capabilities, &turns, |octets| vec![octets]);
        for which in 1..3 {
            let split = Between::play(capabilities, &turns, |octets| super::splits(octets)[which].clone());
            assert_eq!(split, whole, "{capabilities}");
        }
    }
}

fn turns(mut input: &[u8]) -> Vec<Turn<'_>> {
    let mut turns = Vec::new();
    while let Some((first, rest)) = input.split_first() {
        let end = rest.iter().position(|octet| matches!(octet, 1..=3)).unwrap_or(rest.len());
        let (octets, behind) = rest.split_at(end);
        match first {
            2 => turns.push(Turn::Upstream(octets)),
            3 => turns.extend([Turn::Renew, Turn::App(octets)]),
            _ => turns.push(Turn::App(octets)),
        }
        input = behind;
    }
    turns
}

struct Between {
    conversation: Conversation,
    app: Side,
    upstream: Side,
}

/// What one of them said, as far as it lies in front of us, and what went on to the other.
#[derive(Default)]
struct Side {
    input: Vec<u8>,
    went: Vec<u8>,
    acts: usize,
}

impl Between {
    /// What upstream got and what the app got, as text.
    fn play<'a>(
        capabilities: &str,
        turns: &[Turn<'a>],
        split: impl Fn(&'a [u8]) -> Vec<&'a [u8]>,
    ) -> (String, String) {
        let capabilities: Vec<String> = capabilities.split(' ').map(str::to_owned).collect();
        let conversation = Conversation::new(&capabilities, Mask::default());
        let mut between = Self { conversation, app: Side::default(), upstream: Side::default() };
        for turn in turns {
            match turn {
                Turn::App(octets) => {
                    for piece in split(octets) {
                        between.app.input.extend_from_slice(piece);
                        between.hear_app();
                    }
                }
                Turn::Upstream(octets) => {
                    for piece in split(octets) {
                        between.upstream.input.extend_from_slice(piece);
                        between.hear_upstream();
                    }
                }
                Turn::Renew => between.conversation.renew_idle(),
            }
            between.settle();
        }
        (between.app.went.escape_ascii().to_string(), between.upstream.went.escape_ascii().to_string())
    }

    /// Both are heard until neither has more to say. Within a turn only one is, however it is split: which command
    /// upstream answers, and what literals it takes, is rightly a question of who was heard first.
    fn settle(&mut self) {
        loop {
            let up = self.hear_app();
            let down = self.hear_upstream();
            if !up && !down && !self.conversation.take_news() {
                break;
            }
        }
        self.assert_nobody_is_stuck();
    }

    fn hear_app(&mut self) -> bool {
        let mut acted = false;
        loop {
            let act = self.conversation.from_app(&self.app.input);
            if !self.app.obey(act) {
                return acted;
            }
            acted = true;
        }
    }

    fn hear_upstream(&mut self) -> bool {
        let mut acted = false;
        loop {
            let between = self.conversation.between_responses();
            let act = self.conversation.from_upstream(&self.upstream.input);
            if matches!(act, Act::Replace(0, _)) {
                assert!(between, "we speak in the middle of a response");
            }
            if !self.upstream.obey(act) {
                return acted;
            }
            acted = true;
        }
    }

    fn assert_nobody_is_stuck(&self) {
        let conversation = &self.conversation;
        assert!(
            self.upstream.input.len() < WAITING || conversation.finished() || conversation.lost_count(),
            "upstream waits for nothing"
        );
        // Otherwise the app waits for upstream: a `+`, the end of a renewal, or room for one more command.
        let awaited = conversation.running().is_some() || conversation.busy();
        assert!(self.app.input.len() < WAITING || awaited, "the app waits for nothing");
    }
}

impl Side {
    fn obey(&mut self, act: Act) -> bool {
        match act {
            Act::Wait => return false,
            Act::Pass(octets) => {
                assert!((1..=self.input.len()).contains(&octets), "{octets} of {}", self.input.len());
                self.went.extend(self.input.drain(..octets));
            }
            Act::Drop(octets) => {
                assert!((1..=self.input.len()).contains(&octets), "{octets} of {}", self.input.len());
                self.input.drain(..octets);
            }
            Act::Replace(octets, ours) => {
                assert!(octets <= self.input.len() && (octets > 0 || !ours.is_empty()));
                self.input.drain(..octets);
                self.went.extend(ours);
            }
        }
        self.acts += 1;
        assert!(self.acts < 1 << 20, "acts without end");
        true
    }
}
