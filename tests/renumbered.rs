//! RFC 1939 §7: what a POP3 program is told of a mailbox that its provider numbers anew, where the provider says which
//! messages are the same.

mod support;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use support::bridge::{Config, Home, Program};
use support::dovecot::PASSWORD;
use support::pop3::Pop3;
use support::scripted::Upstream;
use support::wire::Wire;

const USER: &str = "ana@example.org";

/// What the program says when the ledger is on the disk.
const WRITTEN: &str = "the ledger is written";

/// A provider's INBOX; a folder Other is empty.
#[derive(Default)]
struct Inbox {
    /// How the provider tells that a message is the same: a capability, and its FETCH item.
    tells: (&'static str, &'static str),
    uid_validity: u32,
    /// UID, what the item says, the message.
    messages: Vec<(u32, String, String)>,
}

impl Inbox {
    fn answer(&self, command: &str) -> String {
        let last = self.messages.last().map_or(0, |(uid, ..)| *uid);
        if command == "EXAMINE \"INBOX\"" {
            let Self { uid_validity, messages, .. } = self;
            let next = last + 1;
            return format!(
                "* {} EXISTS\r\n* OK [UIDVALIDITY {uid_validity}] x\r\n* OK [UIDNEXT {next}] x\r\n",
                messages.len()
            );
        }
        let Some((set, items)) = command.strip_prefix("UID FETCH ").and_then(|fetch| fetch.split_once(' '))
        else {
            return String::new();
        };
        let mut answer = String::new();
        for (number, (uid, says, message)) in (1..).zip(&self.messages) {
            if !is_in(*uid, set, last) {
                continue;
            }
            let octets = message.len();
            let told = if items == "(UID BODY.PEEK[])" {
                format!("BODY[] {{{octets}}}\r\n{message}")
            } else {
                assert_eq!(items, format!("(UID RFC822.SIZE {})", self.tells.1));
                format!("RFC822.SIZE {octets} {} {says}", self.tells.1)
            };
            let _ = write!(answer, "* {number} FETCH (UID {uid} {told})\r\n");
        }
        answer
    }
}

/// RFC 3501 §9, sequence-set; `*` is the last one.
fn is_in(uid: u32, set: &str, last: u32) -> bool {
    let number = |text: &str| if text == "*" { last } else { text.parse().expect("a UID") };
    set.split(',').any(|range| {
        let (first, second) = range.split_once(':').unwrap_or((range, range));
        let (first, second) = (number(first), number(second));
        (first.min(second)..=first.max(second)).contains(&uid)
    })
}

/// A provider with one account, whose INBOX the test changes.
struct Provider {
    inbox: Arc<Mutex<Inbox>>,
    home: Home,
}

impl Provider {
    async fn start(tells: (&'static str, &'static str)) -> Self {
        let upstream = Upstream::good().await;
        let home = Home::new(&Config::new(USER, &upstream.remote()));
        let inbox = Arc::new(Mutex::new(Inbox { tells, ..Inbox::default() }));
        let serving = inbox.clone();
        tokio::spawn(async move {
            loop {
                tokio::spawn(serve(upstream.accepted().await, serving.clone()));
            }
        });
        Self { inbox, home }
    }

    fn now_has(&self, uid_validity: u32, messages: Vec<(u32, String, String)>) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        *inbox = Inbox { uid_validity, messages, ..*inbox };
    }
}

async fn serve(mut bridge: Wire, inbox: Arc<Mutex<Inbox>>) {
    bridge.say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready").await;
    let mut in_other = false;
    while let Some(line) = bridge.hear_or_end().await {
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = {
            let inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
            let capability = inbox.tells.0;
            if command.starts_with("EXAMINE ") {
                in_other = command == "EXAMINE \"Other\"";
            }
            let untagged = match (in_other, command.starts_with("EXAMINE ")) {
                (false, _) => inbox.answer(command),
                (true, true) => "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 1] x\r\n".to_owned(),
                (true, false) => String::new(),
            };
            format!("{untagged}{tag} OK [CAPABILITY IMAP4rev1 {capability}] done\r\n")
        };
        if bridge.send(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A whole session: UIDL, and RETR of each; unique-ids and messages, in the order of the listing.
async fn retrieved(bridge: &Program) -> Vec<(String, String)> {
    let mut session = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
    let listed = String::from_utf8(session.lines("UIDL").await).expect("ASCII");
    let mut all = Vec::new();
    for line in listed.lines() {
        let (number, id) = line.split_once(' ').expect("a number and an id");
        let message = String::from_utf8(session.lines(&format!("RETR {number}")).await).expect("ASCII");
        all.push((id.to_owned(), message.trim_end().lines().last().expect("a line").to_owned()));
    }
    session.ok("QUIT").await;
    all
}

/// Gmail: X-GM-MSGID is the message's own in every folder, and stays when UIDVALIDITY does not. All messages here have
/// the same size and the same header, so that nothing else tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn at_gmail_unique_ids_stay_with_their_messages_through_renumberings() {
    let provider = Provider::start(("X-GM-EXT-1", "X-GM-MSGID")).await;
    // No two messages have the same id there; should they, neither is known again, nor is one without.
    let id = |name: &str| match name {
        "ann" => "1278455344230334865",
        "ben" => "1278455344230334866",
        "new" => "1266894439832287888",
        "tw1" | "tw2" => "1278455344230334899",
        _ => "NIL",
    };
    let message = |(uid, name): &(u32, &str)| {
        (*uid, id(name).to_owned(), format!("Message-ID: <one@x>\r\nSubject: a\r\n\r\n{name}\r\n"))
    };
    let mut whose: HashMap<String, String> = HashMap::new();
    let mut ids: HashMap<&str, String> = HashMap::new();
    let rounds: [(u32, &[(u32, &str)]); 4] = [
        (7, &[(3, "ann"), (5, "ben"), (8, "tw1"), (9, "tw2"), (12, "nil")]),
        (8, &[(1, "tw2"), (3, "ben"), (5, "new"), (8, "nil"), (9, "ann"), (10, "tw1")]),
        (9, &[(3, "new"), (5, "ann"), (12, "ben"), (13, "nil")]),
        // RFC 3501 §2.3.1.1 forbids it; then it is no proof.
        (7, &[(3, "ben"), (5, "nil"), (8, "ann"), (12, "new")]),
    ];
    for (uid_validity, messages) in rounds {
        provider.now_has(uid_validity, messages.iter().map(message).collect());
        let mut bridge = Program::start_in(&provider.home, "debug");
        let told = retrieved(&bridge).await;
        let names: Vec<&str> = told.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, messages.iter().map(|(_, name)| *name).collect::<Vec<_>>());
        let alike: HashSet<&String> = told.iter().map(|(id, _)| id).collect();
        assert_eq!(alike.len(), told.len(), "two alike: {told:?}");
        for (told, (_, name)) in told.iter().zip(messages) {
            let before = whose.insert(told.0.clone(), (*name).to_owned());
            assert!(before.is_none_or(|before| before == *name), "used again: {told:?}");
            match (ids.insert(name, told.0.clone()), id(name)) {
                (Some(before), _) if ["ann", "ben", "new"].contains(name) => {
                    assert_eq!(told.0, before, "{name}")
                }
                (Some(before), _) => assert_ne!(told.0, before, "{name}: nothing proves it"),
                (None, _) => {}
            }
        }
        bridge.until(WRITTEN);
        assert_eq!(retrieved(&bridge).await, told, "the next look");
        assert!(bridge.terminate().success());
        let bridge = Program::start_in(&provider.home, "debug");
        assert_eq!(retrieved(&bridge).await, told, "after a restart");
        assert!(!bridge.log().contains("WARN"), "{}", bridge.log());
    }
}

/// Messages of a mailbox that has many.
const MANY: u32 = 100_000;

/// How much more memory a login that finds it renumbered may take.
const GROWTH: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_messages_keep_their_unique_ids_in_little_memory() {
    let provider = Provider::start(("OBJECTID", "EMAILID")).await;
    let message = |uid: u32, name: u32| (uid, format!("(M{name})"), String::from("x\r\n"));
    provider.now_has(7, (1..=MANY).map(|uid| message(uid, uid)).collect());
    let unique_ids = async |bridge: &Program| {
        let mut session = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        let listed = String::from_utf8(session.lines("UIDL").await).expect("ASCII");
        session.ok("QUIT").await;
        bridge.until(WRITTEN);
        listed
    };
    let expected = |name: fn(u32) -> u32| {
        (1..=MANY).fold(String::new(), |told, number| told + &format!("{number} 7.{}\r\n", name(number)))
    };
    let mut bridge = Program::start_in(&provider.home, "debug");
    let first = unique_ids(&bridge).await;
    assert!(first == expected(|number| number));
    assert!(bridge.terminate().success());

    provider.now_has(8, (1..=MANY).map(|uid| message(uid, MANY + 1 - uid)).collect());
    // Large pieces of memory go back to the system at once, so that what is counted is what was held.
    let mut command = provider.home.command();
    command.env("MALLOC_MMAP_THRESHOLD_", "65536");
    let bridge = Program::start_by(&provider.home, command, "debug");
    // The code that is needed, and the ledger, are in memory then.
    Pop3::login(bridge.pop3(), &format!("{USER}/Other"), PASSWORD).await.ok("QUIT").await;
    bridge.until(WRITTEN);
    let before = bridge.most_memory();
    let second = unique_ids(&bridge).await;
    assert!(
        second == expected(|number| MANY + 1 - number),
        "{:?}",
        second.lines().take(3).collect::<Vec<_>>()
    );
    let grown = bridge.most_memory().saturating_sub(before);
    println!("{grown} octets more for {MANY} messages that were renumbered");
    assert!(grown < GROWTH, "{grown} octets");
}
