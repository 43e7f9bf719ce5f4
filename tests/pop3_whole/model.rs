//! Random POP3 sessions beside a random IMAP client, and a model that knows what has to be where after each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::support::bridge::{Config, Home, Program};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::imap::Imap;
use crate::support::pop3::{Pop3, as_pop3_has_it, beginning};
use crate::{Dice, half_of, number_of};

/// Sessions of one mailbox, before a new one keeps the account short.
const SESSIONS_OF_A_MAILBOX: u64 = 25;

/// RFC 1939 §6: only what was deleted in a session that ended with QUIT is removed, and nothing else is touched.
#[tokio::test(flavor = "multi_thread")]
async fn any_sessions_that_expunge_remove_what_they_should_and_nothing_else() {
    sessions("expunge", Place::Nowhere).await;
}

/// The same where it goes to the Trash.
#[tokio::test(flavor = "multi_thread")]
async fn any_sessions_that_move_to_trash_remove_what_they_should_and_nothing_else() {
    sessions("trash", Place::Trash).await;
}

async fn sessions(delete: &str, goes: Place) {
    let mut dice = Dice::new(&format!("sessions with {delete}"));
    let mut left = half_of("FOOTBRIDGE_SESSIONS", 30);
    for mailbox in 0.. {
        let user = format!("model-{delete}-{mailbox}@example.test");
        let mut world = World::new(&user, delete, goes, dice.split()).await;
        for _ in 0..left.min(SESSIONS_OF_A_MAILBOX) {
            world.session().await;
            world.check().await;
        }
        left = left.saturating_sub(SESSIONS_OF_A_MAILBOX);
        if left == 0 {
            break;
        }
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Inbox,
    Trash,
    Archive,
    Nowhere,
    /// Removed by both clients at the same time: either may have been first.
    OutOfInbox,
}

/// What is known of a message; its number, in its subject, is its place in [`World::messages`].
#[derive(Debug)]
struct Message {
    uid: u32,
    /// As RETR has to give it.
    octets: Vec<u8>,
    place: Place,
    /// By the IMAP client.
    marked_deleted: bool,
    seen: bool,
    unique_id: Option<String>,
    /// It was retrieved whole, so the next session's LIST knows its octets.
    retrieved_before: bool,
}

/// One command after login.
#[derive(Clone, Copy, Debug)]
enum Command {
    Retr(usize),
    Top(usize, usize),
    List,
    ListOne(usize),
    Uidl,
    UidlOne(usize),
    Stat,
    Dele(usize),
    Rset,
    Noop,
    Quit,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retr(number) => write!(f, "RETR {number}"),
            Self::Top(number, lines) => write!(f, "TOP {number} {lines}"),
            Self::List => f.write_str("LIST"),
            Self::ListOne(number) => write!(f, "LIST {number}"),
            Self::Uidl => f.write_str("UIDL"),
            Self::UidlOne(number) => write!(f, "UIDL {number}"),
            Self::Stat => f.write_str("STAT"),
            Self::Dele(number) => write!(f, "DELE {number}"),
            Self::Rset => f.write_str("RSET"),
            Self::Noop => f.write_str("NOOP"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

/// A session as its app may see it.
struct View {
    /// The messages there at login, in order.
    maildrop: Vec<usize>,
    /// What LIST said of each, once it did.
    sizes: Vec<Option<usize>>,
    /// Positions in the maildrop.
    deleted: BTreeSet<usize>,
    retrieved: BTreeSet<usize>,
    /// Messages that the IMAP client has removed since login.
    gone: BTreeSet<usize>,
    /// Those of them that it removed while the commands being answered were on their way.
    going: BTreeSet<usize>,
}

impl View {
    /// The position of a message that may be asked for by this number.
    fn position(&self, number: usize) -> Option<usize> {
        let position = number.checked_sub(1)?;
        (position < self.maildrop.len() && !self.deleted.contains(&position)).then_some(position)
    }

    fn positions(&self) -> Vec<usize> {
        (0..self.maildrop.len()).filter(|position| !self.deleted.contains(position)).collect()
    }
}

/// One mailbox, its two clients, and what has to be in it.
struct World {
    dice: Dice,
    user: String,
    goes: Place,
    home: Home,
    /// Always there, but while it is being replaced.
    bridge: Option<Program>,
    direct: Imap,
    messages: Vec<Message>,
    /// Whose each unique-id is, for ever (RFC 1939 §7).
    unique_ids: BTreeMap<String, usize>,
    /// Told where the test fails.
    story: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.user, self.story.join("\n"));
        }
    }
}

impl World {
    async fn new(user: &str, delete: &str, goes: Place, dice: Dice) -> Self {
        let dovecot = Dovecot::shared();
        let config = Config::new(user, &dovecot.imaps())
            .account(&format!("pop3.delete = \"{delete}\""))
            .account("pop3.seen = \"retrieved\"");
        let home = Home::new(&config);
        Self {
            dice,
            user: user.to_owned(),
            goes,
            bridge: Some(Program::start_in(&home, "debug")),
            home,
            direct: Imap::direct(dovecot.imaps().port, user).await,
            messages: Vec::new(),
            unique_ids: BTreeMap::new(),
            story: Vec::new(),
        }
    }

    async fn session(&mut self) {
        self.restart_perhaps();
        for _ in 0..self.dice.below(5) {
            self.other_client().await;
        }
        self.story.push("login".to_owned());
        let bridge = self.bridge.as_ref().expect("it runs").pop3();
        let mut app = Pop3::login(bridge, &self.user, PASSWORD).await;
        let maildrop = self.numbers(|message| message.place == Place::Inbox);
        let mut view = View {
            sizes: vec![None; maildrop.len()],
            maildrop,
            deleted: BTreeSet::new(),
            retrieved: BTreeSet::new(),
            gone: BTreeSet::new(),
            going: BTreeSet::new(),
        };
        // Over a session that was held the mailbox is still coming: what the other client does before the first look at it
        // may or may not be in it.
        app.wire().send(b"STAT\r\n").await.expect("the bridge takes it");
        self.answer(&mut app, &mut view, Command::Stat).await;
        for _ in 0..self.dice.below(10) {
            let commands = self.commands(&view);
            self.exchange(&mut app, &mut view, &commands).await;
        }
        self.end(app, &mut view).await;
        for number in view.retrieved {
            self.messages[number].retrieved_before = true;
        }
    }

    fn restart_perhaps(&mut self) {
        match self.dice.below(6) {
            0 => self.kill_and_restart(),
            1 => {
                self.story.push("the bridge is stopped and started".to_owned());
                let mut bridge = self.bridge.take().expect("it runs");
                assert!(bridge.terminate().success());
                self.bridge = Some(Program::start_in(&self.home, "debug"));
            }
            _ => {}
        }
    }

    fn kill_and_restart(&mut self) {
        self.story.push("the bridge is killed and started".to_owned());
        self.bridge.take().expect("it runs").kill();
        self.bridge = Some(Program::start_in(&self.home, "debug"));
        // Sizes are written behind the app's back, so the last ones may have to be learnt again.
        self.messages.iter_mut().for_each(|message| message.retrieved_before = false);
    }

    /// One command, or several in one packet.
    fn commands(&mut self, view: &View) -> Vec<Command> {
        let count = if self.dice.one_in(2) { 1 } else { 2 + self.dice.below(5) };
        (0..count).map(|_| self.command(view.maildrop.len())).collect()
    }

    fn command(&mut self, messages: usize) -> Command {
        // Now and then a number that no message has.
        let number = self.dice.below(messages + 2).max(usize::from(!self.dice.one_in(10)));
        match self.dice.below(16) {
            0..=3 => Command::Retr(number),
            4..=5 => Command::Top(number, self.dice.below(12)),
            6 => Command::List,
            7 => Command::ListOne(number),
            8 => Command::Uidl,
            9 => Command::UidlOne(number),
            10 => Command::Stat,
            11..=13 => Command::Dele(number),
            14 if self.dice.one_in(2) => Command::Rset,
            _ => Command::Noop,
        }
    }

    /// Sends commands in one packet and hears each answer; the other client may do something meanwhile.
    async fn exchange(&mut self, app: &mut Pop3, view: &mut View, commands: &[Command]) {
        let mut packet = String::new();
        for command in commands {
            packet.push_str(&format!("{command}\r\n"));
        }
        self.story.push(format!("C: {}", packet.trim_end().replace("\r\n", " | ")));
        app.wire().send(packet.as_bytes()).await.expect("the bridge takes it");
        if self.dice.one_in(3) {
            view.going = self.other_client().await;
            view.gone.extend(&view.going);
        }
        for command in commands {
            self.answer(app, view, *command).await;
        }
        view.going.clear();
    }

    async fn answer(&mut self, app: &mut Pop3, view: &mut View, command: Command) {
        let first = app.wire().hear().await;
        let ok = first.starts_with("+OK");
        assert!(ok || first.starts_with("-ERR"), "{command}: {first}");
        match command {
            Command::Retr(number) => {
                let octets = if ok { Some(app.rest().await) } else { None };
                if let Some(message) = self.given(view, command, number, octets.as_deref(), usize::MAX) {
                    view.retrieved.insert(message);
                }
            }
            Command::Top(number, lines) => {
                let octets = if ok { Some(app.rest().await) } else { None };
                self.given(view, command, number, octets.as_deref(), lines);
            }
            Command::List | Command::Uidl => {
                assert!(ok, "{command}: {first}");
                let text = String::from_utf8(app.rest().await).expect("ASCII");
                let lines: Vec<&str> = text.lines().collect();
                let positions = view.positions();
                assert_eq!(lines.len(), positions.len(), "{command}: {lines:?}");
                for (position, line) in positions.into_iter().zip(lines) {
                    self.listed(view, command, position, line);
                }
            }
            Command::ListOne(number) | Command::UidlOne(number) => {
                let position = view.position(number);
                assert_eq!(ok, position.is_some(), "{command}: {first}");
                if let Some(position) = position {
                    self.listed(view, command, position, first.trim_start_matches("+OK "));
                }
            }
            Command::Stat => Self::counted(view, &first),
            Command::Dele(number) => {
                let position = view.position(number);
                let there = position.is_some_and(|position| !view.gone.contains(&view.maildrop[position]));
                assert!(ok || !there, "{command}: {first}");
                assert!(!ok || position.is_some(), "{command}: {first}");
                if ok {
                    view.deleted.extend(position);
                }
            }
            Command::Rset => {
                assert!(ok, "{first}");
                view.deleted.clear();
            }
            Command::Noop => assert!(ok, "{first}"),
            Command::Quit => {
                assert!(ok, "{first}");
                self.removed(view);
            }
        }
    }

    /// RETR's or TOP's octets are the message's; it may be refused only where there is none, or none any more.
    fn given(
        &self,
        view: &View,
        command: Command,
        number: usize,
        octets: Option<&[u8]>,
        lines: usize,
    ) -> Option<usize> {
        let Some(position) = view.position(number) else {
            assert!(octets.is_none(), "{command} gives something");
            return None;
        };
        let message = view.maildrop[position];
        let Some(octets) = octets else {
            assert!(view.gone.contains(&message), "{command} is refused");
            return None;
        };
        let whole = &self.messages[message].octets;
        let expected = if lines == usize::MAX { whole } else { beginning(whole, lines) };
        assert!(
            octets == expected,
            "{command} of message {message}: {:?}, expected {:?}",
            octets.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        Some(message)
    }

    /// A line of LIST or UIDL.
    fn listed(&mut self, view: &mut View, command: Command, position: usize, line: &str) {
        let (number, told) = line.split_once(' ').unwrap_or_else(|| panic!("{command}: {line}"));
        assert_eq!(number, (position + 1).to_string(), "{command}");
        let number = view.maildrop[position];
        let message = &mut self.messages[number];
        if matches!(command, Command::Uidl | Command::UidlOne(_)) {
            let known = message.unique_id.get_or_insert_with(|| told.to_owned());
            assert_eq!(known, told, "the unique-id of message {number} has changed");
            let whose = *self.unique_ids.entry(told.to_owned()).or_insert(number);
            assert_eq!(whose, number, "the unique-id {told} is used twice");
            return;
        }
        let (size, octets) = (told.parse::<usize>().expect("a number"), message.octets.len());
        assert_eq!(*view.sizes[position].get_or_insert(size), size, "message {number} changes its size");
        // Before it was seen: as the server has it, that is without a line end that POP3 adds.
        let less = if message.retrieved_before { 0 } else { 2 };
        assert!(size <= octets && size + less >= octets, "message {number} has {octets}, not {size}");
    }

    fn counted(view: &View, told: &str) {
        let positions = view.positions();
        let mut words = told.split(' ').skip(1).map(|word| word.parse::<usize>().expect("a number"));
        assert_eq!(words.next(), Some(positions.len()), "{told}");
        let sizes = positions.iter().map(|position| view.sizes[*position]);
        if let Some(octets) = sizes.sum::<Option<usize>>() {
            assert_eq!(words.next(), Some(octets), "{told}");
        }
    }

    /// QUIT was answered +OK.
    fn removed(&mut self, view: &View) {
        for number in &view.retrieved {
            self.messages[*number].seen = true;
        }
        for position in &view.deleted {
            let number = view.maildrop[*position];
            if view.going.contains(&number) {
                self.messages[number].place = Place::OutOfInbox;
            } else if !view.gone.contains(&number) {
                self.messages[number].place = self.goes;
            }
        }
    }

    async fn end(&mut self, mut app: Pop3, view: &mut View) {
        let way = self.dice.below(12);
        match way {
            0..=5 => {
                let mut commands = if self.dice.one_in(2) { self.commands(view) } else { Vec::new() };
                commands.push(Command::Quit);
                self.exchange(&mut app, view, &commands).await;
                assert_eq!(app.wire().hear_to_the_end().await, b"");
            }
            6 => self.story.push("the app closes".to_owned()),
            7 => {
                self.story.push("the app resets".to_owned());
                app.wire().reset_on_drop();
            }
            8 => {
                self.story.push("the app closes before the answers".to_owned());
                let all = format!("RETR 1\r\nLIST\r\nDELE 1\r\nRETR {}\r\n", view.maildrop.len());
                app.wire().send(all.as_bytes()).await.expect("the bridge takes it");
            }
            // RFC 1939 §3: a command ends with CRLF.
            9..=10 => {
                let part: &[u8] = if way == 9 { b"QUI" } else { b"QUIT" };
                self.story.push(format!("the app closes behind {}", part.escape_ascii()));
                app.wire().send(part).await.expect("the bridge takes it");
                app.wire().finish().await.expect("the bridge takes it");
                app.wire().hear_to_the_end().await;
            }
            _ => {
                self.kill_and_restart();
                // Nor need it have kept what this session learnt.
                view.retrieved.clear();
            }
        }
    }

    /// Does one thing as another mail program would; gives what it removed from the INBOX.
    async fn other_client(&mut self) -> BTreeSet<usize> {
        let some = self.some_of_inbox();
        let uids =
            some.iter().map(|number| self.messages[*number].uid.to_string()).collect::<Vec<_>>().join(",");
        let what = self.dice.below(8);
        if what < 4 || some.is_empty() {
            self.append().await;
            return BTreeSet::new();
        }
        self.direct.ok("SELECT INBOX").await;
        match what {
            4 => {
                self.other(&format!("UID STORE {uids} +FLAGS.SILENT (\\Seen)"), &some).await;
                some.iter().for_each(|number| self.messages[*number].seen = true);
                BTreeSet::new()
            }
            5 => {
                self.other(&format!("UID STORE {uids} +FLAGS.SILENT (\\Deleted)"), &some).await;
                some.iter().for_each(|number| self.messages[*number].marked_deleted = true);
                BTreeSet::new()
            }
            6 => {
                let marked = self.numbers(|message| message.place == Place::Inbox && message.marked_deleted);
                self.other("EXPUNGE", &marked).await;
                self.gone(marked, Place::Nowhere)
            }
            _ => {
                self.other(&format!("UID MOVE {uids} Archive"), &some).await;
                self.gone(some, Place::Archive)
            }
        }
    }

    async fn other(&mut self, command: &str, messages: &[usize]) {
        self.story.push(format!("   other client: {command}, messages {messages:?}"));
        self.direct.ok(command).await;
    }

    fn gone(&mut self, numbers: Vec<usize>, place: Place) -> BTreeSet<usize> {
        numbers.iter().for_each(|number| self.messages[*number].place = place);
        numbers.into_iter().collect()
    }

    fn some_of_inbox(&mut self) -> Vec<usize> {
        let inbox = self.numbers(|message| message.place == Place::Inbox);
        let count = 1 + self.dice.below(2);
        let some = (0..count).filter(|_| !inbox.is_empty()).map(|_| inbox[self.dice.below(inbox.len())]);
        some.collect::<BTreeSet<_>>().into_iter().collect()
    }

    async fn append(&mut self) {
        for _ in 0..1 + self.dice.below(3) {
            let number = self.messages.len();
            let octets = self.written(number);
            let done = self.direct.append("INBOX", &octets).await;
            let uid = done.split("[APPENDUID ").nth(1).and_then(|rest| rest.split([' ', ']']).nth(1));
            let uid = uid.and_then(|uid| uid.parse().ok()).unwrap_or_else(|| panic!("{done}"));
            self.story.push(format!("   other client: APPEND of message {number}, UID {uid}"));
            self.messages.push(Message {
                uid,
                octets: as_pop3_has_it(&octets),
                place: Place::Inbox,
                marked_deleted: false,
                seen: false,
                unique_id: None,
                retrieved_before: false,
            });
        }
    }

    /// A message; no CR before CRLF, which Dovecot does not keep.
    fn written(&mut self, number: usize) -> Vec<u8> {
        const LINES: [&[u8]; 8] =
            [b"", b".", b"..", b".dot", b"a plain line", b"bare \r CR", b"8-bit \xe4\xff", b"+OK 1 2"];
        let mut octets = format!("Subject: {number}\r\n\r\n").into_bytes();
        let lines = if self.dice.one_in(8) { 3000 } else { self.dice.below(12) };
        for _ in 0..lines {
            octets.extend_from_slice(LINES[self.dice.below(LINES.len())]);
            octets.extend_from_slice(if self.dice.one_in(5) { b"\n" } else { b"\r\n" });
        }
        if self.dice.one_in(4) {
            octets.extend_from_slice(b"no line end");
        }
        octets
    }

    fn numbers(&self, wanted: impl Fn(&Message) -> bool) -> Vec<usize> {
        (0..).zip(&self.messages).filter(|(_, message)| wanted(message)).map(|(number, _)| number).collect()
    }

    /// Every message is where it has to be, once, with its octets and its marks.
    async fn check(&mut self) {
        for (folder, place) in [("INBOX", Place::Inbox), ("Trash", Place::Trash), ("Archive", Place::Archive)]
        {
            let mut found = BTreeMap::new();
            for stored in self.direct.messages(folder).await {
                let number = number_of(&stored.octets);
                assert!(
                    as_pop3_has_it(&stored.octets) == self.messages[number].octets,
                    "{number} in {folder}"
                );
                assert!(found.insert(number, stored).is_none(), "message {number} is twice in {folder}");
            }
            for (number, message) in (0..).zip(&self.messages) {
                let stored = found.get(&number);
                match message.place {
                    Place::OutOfInbox if place != Place::Inbox => {}
                    wanted => {
                        let there = stored.is_some();
                        assert_eq!(there, wanted == place, "message {number} in {folder}: {message:?}");
                    }
                }
                if let Some(stored) = stored.filter(|_| place == Place::Inbox) {
                    assert_eq!(stored.uid, message.uid, "message {number}");
                    let flags = ["\\Deleted", "\\Seen"].map(|flag| stored.flags.contains(flag));
                    assert_eq!(flags, [message.marked_deleted, message.seen], "message {number}: {stored:?}");
                }
            }
        }
    }
}
