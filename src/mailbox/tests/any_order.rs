//! Whatever an app asks for in whatever order, and however upstream cuts and tells it: the octets are the message's.

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::*;
use crate::mailbox::beginning::cut;
use crate::proto::pop3::{Maildrop, MessageNumber, UniqueIds};

/// How upstream behaves.
#[derive(Clone, Debug)]
struct Manner {
    /// Octets of a write.
    write: usize,
    /// UID behind the body.
    behind: bool,
    /// What RFC822.SIZE says, in hundredths of the truth.
    told: usize,
    /// The first session ends after so many octets.
    ends: usize,
    /// This message is refused, with every set it is in.
    refused: Option<usize>,
    /// This message is not there any more.
    gone: Option<usize>,
    /// Partial fetches are broken, and nobody asks for any.
    broken: bool,
    /// Octets that either side may send before the other takes any.
    pipe: usize,
}

#[derive(Clone, Debug)]
enum Command {
    Retr(usize),
    Top(usize, u32),
    Begin(usize),
    Dele(usize),
    KeepAlive,
}

/// UIDs are 10 and on.
struct Upstream {
    messages: Vec<Vec<u8>>,
    manner: Manner,
}

impl Upstream {
    async fn serve(self: Arc<Self>, stream: DuplexStream, ends: usize) {
        let mut stream = BufReader::new(stream);
        let (mut line, mut left) = (String::new(), ends);
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            let answer = self.answer(line.trim_end());
            for write in answer.chunks(self.manner.write.max(answer.len() / 100)) {
                let write = &write[..write.len().min(left)];
                left -= write.len();
                if stream.write_all(write).await.is_err() || left == 0 {
                    return;
                }
                // Others may look at what came.
                tokio::task::yield_now().await;
            }
            line.clear();
        }
    }

    fn answer(&self, line: &str) -> Vec<u8> {
        let (tag, command) = line.split_once(' ').unwrap();
        let mut answer = Vec::new();
        let mut done = "OK";
        if command.starts_with("EXAMINE") {
            answer.extend(format!("* {} EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n", self.messages.len()).bytes());
        } else if command.ends_with("(UID RFC822.SIZE)") {
            for (at, message) in self.messages.iter().enumerate() {
                let told = (message.len() * self.manner.told).div_ceil(100);
                answer.extend(format!("* {} FETCH (UID {} RFC822.SIZE {told})\r\n", at + 1, at + 10).bytes());
            }
        } else if let Some((set, items)) =
            command.strip_prefix("UID FETCH ").and_then(|it| it.split_once(' '))
        {
            for at in named(set) {
                match self.messages.get(at) {
                    _ if self.manner.gone == Some(at) => {}
                    _ if self.manner.refused == Some(at) => done = "NO [UNAVAILABLE]",
                    Some(message) => answer.extend(self.fetched(at, message, items)),
                    None => {}
                }
            }
        }
        answer.extend(format!("{tag} {done} done\r\n").bytes());
        answer
    }

    fn fetched(&self, at: usize, message: &[u8], items: &str) -> Vec<u8> {
        let header = cut(&Bytes::copy_from_slice(message), 0);
        let (section, message) =
            if items.contains("[HEADER]") { ("HEADER", &header[..]) } else { ("", message) };
        assert!(!(self.manner.broken && items.contains('<')), "{items}");
        let part = items.split_once("<0.").map(|(_, part)| part.split('>').next().unwrap().parse().unwrap());
        let (origin, octets) = match part {
            Some(part) => ("<0>", &message[..message.len().min(part)]),
            None if items.contains('<') => {
                let (from, count) = items.split(['<', '>']).nth(1).unwrap().split_once('.').unwrap();
                let from = message.len().min(from.parse().unwrap());
                ("", &message[from..message.len().min(from + count.parse::<usize>().unwrap())])
            }
            None => ("", message),
        };
        let uid = at + 10;
        let (before, after) = if self.manner.behind {
            (String::new(), format!(" UID {uid}"))
        } else {
            (format!("UID {uid} "), String::new())
        };
        let mut answer =
            format!("* {} FETCH ({before}BODY[{section}]{origin} {{{}}}\r\n", at + 1, octets.len())
                .into_bytes();
        answer.extend_from_slice(octets);
        answer.extend(format!("{after})\r\n").bytes());
        answer
    }
}

fn named(set: &str) -> impl Iterator<Item = usize> {
    set.split(',').flat_map(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        first.parse::<usize>().unwrap() - 10..=last.parse::<usize>().unwrap() - 10
    })
}

/// No two lines are the same.
fn message(length: usize, at: usize) -> Vec<u8> {
    let lines = (0..)
        .map(|number: usize| if number == 1 { "\r\n".to_owned() } else { format!("{at}: {number}\r\n") });
    let mut text = String::new();
    for line in lines {
        if text.len() >= length {
            break;
        }
        text.push_str(&line);
    }
    text.truncate(length);
    text.into_bytes()
}

async fn check(messages: Vec<Vec<u8>>, manner: Manner, cache: u64, units: usize, commands: Vec<Command>) {
    let upstream = Arc::new(Upstream { messages, manner });
    let (served, sessions) = (upstream.clone(), std::sync::atomic::AtomicUsize::new(0));
    let dial: Dial = Arc::new(move || {
        let (ours, theirs) = tokio::io::duplex(served.manner.pipe);
        let first = sessions.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        tokio::spawn(served.clone().serve(ours, if first { served.manner.ends } else { usize::MAX }));
        Box::pin(async move { Ok(script::session_over(theirs)) })
    });
    let resources = Resources::in_memory(cache);
    let _taken = resources.ahead.clone().all_but(units);
    let mut account = account();
    if upstream.manner.broken {
        account.quirks = [Quirk::NoPartialFetch].into_iter().collect();
    }
    let Ok((mut mailbox, listing)) = open_over(dial, account, resources).await else {
        return assert!(upstream.manner.ends < 2000, "a listing that broke");
    };
    let sizes = listing.messages.iter().map(|message| (message.uid, message.octets));
    let mut maildrop = Maildrop::new(UniqueIds::inbox(listing.uid_validity), sizes);
    let mut broken = 0;
    for command in &commands {
        let (Command::Retr(at) | Command::Top(at, _) | Command::Begin(at) | Command::Dele(at)) = command
        else {
            mailbox.keep_alive().await;
            continue;
        };
        let at = at % upstream.messages.len();
        let number = MessageNumber::new(u32::try_from(at).unwrap() + 1).unwrap();
        let Ok((uid, _)) = maildrop.message(number) else { continue };
        let expected = &upstream.messages[at];
        let outcome = match command {
            Command::Retr(_) => match mailbox.retrieve(uid, &maildrop).await {
                Ok(mut body) => {
                    let announced = body.octets();
                    let (octets, end) = whole(&mut body).await;
                    end.map(|()| {
                        assert!(octets == *expected && announced == octets.len() as u64, "{command:?}")
                    })
                }
                Err(error) => Err(error),
            },
            Command::Top(_, lines) => {
                let beginning = mailbox.look(uid, *lines, &maildrop).await;
                beginning.map(|octets| {
                    let wanted = cut(&Bytes::copy_from_slice(expected), *lines);
                    assert!(octets.starts_with(&wanted) && expected.starts_with(&octets), "{command:?}");
                })
            }
            // An app that looks no further than the first octets.
            Command::Begin(_) => match mailbox.retrieve(uid, &maildrop).await {
                Ok(mut body) => body.chunk().await.map(|chunk| {
                    assert!(expected.starts_with(&chunk.unwrap_or_default()), "{command:?}");
                }),
                Err(error) => Err(error),
            },
            _ => {
                maildrop.mark_deleted(number).unwrap();
                Ok(())
            }
        };
        match outcome {
            Err(UpstreamError::Refused { .. }) if upstream.manner.refused == Some(at) => {}
            Err(UpstreamError::Gone) if upstream.manner.gone == Some(at) => {}
            // What the app had a part of.
            Err(UpstreamError::Lost { .. }) => broken += 1,
            Err(error) => panic!("{command:?}: {error:?}"),
            Ok(()) => {}
        }
    }
    assert!(broken <= 1, "{broken} messages broke");
    mailbox.close().await;
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..3_000, 3 => 15_000usize..70_000, 1 => Just(1_100_000usize)]
}

fn manner() -> impl Strategy<Value = Manner> {
    let ends = prop_oneof![3 => Just(usize::MAX), 2 => 1_500usize..200_000];
    let told = prop_oneof![3 => Just(100usize), 1 => Just(1usize), 1 => Just(300usize)];
    let one = || prop_oneof![3 => Just(None), 1 => (0usize..6).prop_map(Some)];
    let write = prop_oneof![1usize..50, 500usize..20_000];
    let pipe = prop_oneof![Just(64usize), Just(1 << 16)];
    (write, any::<bool>(), told, ends, one(), one(), any::<bool>(), pipe).prop_map(
        |(write, behind, told, ends, refused, gone, broken, pipe)| Manner {
            write,
            behind,
            told,
            ends,
            refused,
            gone,
            broken,
            pipe,
        },
    )
}

/// Mostly one after another, or one before another.
fn commands() -> impl Strategy<Value = Vec<Command>> {
    let run = |make: fn(usize) -> Command| {
        (0usize..9, 1usize..9, any::<bool>()).prop_map(move |(from, count, down)| {
            let mut run: Vec<_> = (from..from + count).map(make).collect();
            if down {
                run.reverse();
            }
            run
        })
    };
    let one = prop_oneof![
        (0usize..9).prop_map(Command::Retr),
        (0usize..9, 0u32..300).prop_map(|(at, lines)| Command::Top(at, lines)),
        (0usize..9).prop_map(Command::Begin),
        (0usize..9).prop_map(Command::Dele),
        Just(Command::KeepAlive),
    ];
    let run = prop_oneof![
        4 => run(Command::Retr),
        1 => run(|at| Command::Top(at, 1)),
        1 => run(|at| Command::Top(at, 0)),
        3 => one.prop_map(|command| vec![command]),
    ];
    prop::collection::vec(run, 1..8).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_octet_is_the_messages(
        lengths in prop::collection::vec(length(), 2..10),
        manner in manner(),
        cache in prop_oneof![Just(0u64), Just(1u64 << 20)],
        units in prop_oneof![Just(0usize), Just(2usize), Just(64usize)],
        commands in commands(),
    ) {
        let messages = lengths.iter().enumerate().map(|(at, length)| message(*length, at)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check(messages, manner, cache, units, commands));
    }
}
