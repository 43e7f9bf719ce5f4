//! Conversations with the demo's IMAP server, over a pipe.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::demo::sample;

/// An app's end; the provider runs beside it.
struct App {
    stream: DuplexStream,
    heard: String,
}

fn account() -> Arc<Account> {
    Arc::new(Account::new(sample::store(crate::demo::now()).unwrap()))
}

impl App {
    fn of(account: &Arc<Account>) -> Self {
        let (stream, provider) = duplex(1 << 20);
        tokio::spawn(serve(provider, account.clone()));
        Self { stream, heard: String::new() }
    }

    async fn logged_in(account: &Arc<Account>) -> Self {
        let mut app = Self::of(account);
        app.until("* OK").await;
        app.ask("LOGIN demo@footbridge.test demo").await;
        app
    }

    /// Everything up to the line that begins so.
    async fn until(&mut self, beginning: &str) -> String {
        loop {
            let mut at = 0;
            for line in self.heard.clone().split_inclusive("\r\n") {
                at += line.len();
                if line.starts_with(beginning) && line.ends_with("\r\n") {
                    let rest = self.heard.split_off(at);
                    return std::mem::replace(&mut self.heard, rest);
                }
            }
            let mut octets = [0; 4096];
            let taken = self.stream.read(&mut octets).await.unwrap();
            assert!(taken > 0, "it hung up before {beginning}, after {}", self.heard);
            self.heard.push_str(std::str::from_utf8(&octets[..taken]).unwrap());
        }
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The answer to a command.
    async fn ask(&mut self, command: &str) -> String {
        self.say(&format!("a {command}\r\n")).await;
        self.until("a ").await
    }

    /// The same of a command that must succeed.
    async fn done(&mut self, command: &str) -> String {
        let answer = self.ask(command).await;
        assert!(answer.lines().last().unwrap().starts_with("a OK"), "{command}: {answer}");
        answer
    }
}

#[tokio::test]
async fn nothing_but_login_before_login() {
    let mut app = App::of(&account());
    let greeting = app.until("* OK").await;
    assert!(greeting.contains("[CAPABILITY IMAP4REV1 AUTH=PLAIN"), "{greeting}");
    assert!(app.ask("SELECT INBOX").await.starts_with("a BAD"));
    assert!(app.ask("LOGIN demo@footbridge.test wrong").await.starts_with("a NO [AUTHENTICATIONFAILED]"));
    app.say("a AUTHENTICATE PLAIN\r\n").await;
    app.until("+ ").await;
    app.say("AGRlbW9AZm9vdGJyaWRnZS50ZXN0AGRlbW8=\r\n").await;
    assert!(app.until("a ").await.starts_with("a OK [CAPABILITY"));
    assert!(app.ask("LOGIN a b").await.starts_with("a BAD"));
    assert!(app.done("LOGOUT").await.starts_with("* BYE"));
}

#[tokio::test]
async fn a_login_by_literals_waits_for_the_word_to_go_ahead() {
    let mut app = App::of(&account());
    app.until("* OK").await;
    app.say("a LOGIN {20}\r\n").await;
    app.until("+ ").await;
    app.say("demo@footbridge.test {4+}\r\ndemo\r\n").await;
    assert!(app.until("a ").await.starts_with("a OK"));
}

#[tokio::test]
async fn folders_with_special_use_of_rfc_6154() {
    let mut app = App::logged_in(&account()).await;
    let listed = app.done("LIST \"\" *").await;
    assert!(listed.contains("* LIST (\\HasNoChildren \\Trash) \"/\" Trash\r\n"), "{listed}");
    assert!(listed.contains("* LIST (\\HasChildren) \"/\" Projects\r\n"), "{listed}");
    assert!(listed.contains("\"/\" \"Projects/Garten &- Hof\"\r\n"), "{listed}");
    assert!(app.done("LIST \"\" \"\"").await.starts_with("* LIST (\\Noselect) \"/\" \"\""));
    assert!(!app.done("LIST \"\" %").await.contains("Garten"));
    app.done("CREATE new/").await;
    app.done("UNSUBSCRIBE new").await;
    assert!(
        !app.done("LSUB \"\" *").await.contains("new") && app.ask("CREATE new").await.starts_with("a NO")
    );
    app.done("RENAME new other").await;
    app.done("DELETE other").await;
    assert!(app.ask("STATUS other (MESSAGES)").await.starts_with("a NO"));
    let status = app.done("STATUS inbox (MESSAGES UIDNEXT UNSEEN)").await;
    assert!(status.starts_with("* STATUS INBOX (MESSAGES 5 UIDNEXT 6 UNSEEN 2)"), "{status}");
    assert!(app.done("NAMESPACE").await.starts_with("* NAMESPACE ((\"\" \"/\")) NIL NIL"));
}

#[tokio::test]
async fn select_tells_what_rfc_3501_6_3_1_asks_for() {
    let mut app = App::logged_in(&account()).await;
    let told = app.done("SELECT INBOX").await;
    for wanted in [
        "* FLAGS (",
        "* 5 EXISTS",
        "* 0 RECENT",
        "[UNSEEN 4]",
        "[UIDVALIDITY 2]",
        "[UIDNEXT 6]",
        "[PERMANENTFLAGS (",
        "a OK [READ-WRITE]",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(app.done("EXAMINE INBOX").await.contains("a OK [READ-ONLY]"));
    assert!(app.ask("STORE 1 +FLAGS (\\Deleted)").await.starts_with("a NO"));
    app.done("FETCH 4 BODY[]").await;
    assert!(!app.done("FETCH 4 FLAGS").await.contains("Seen"), "EXAMINE changes nothing");
    assert!(app.ask("SELECT none").await.starts_with("a NO"));
    assert!(app.ask("FETCH 1 FLAGS").await.starts_with("a BAD"), "RFC 3501 §6.3.1: then none is selected");
}

#[tokio::test]
async fn reading_sets_seen_and_peeking_does_not() {
    let mut app = App::logged_in(&account()).await;
    app.done("SELECT INBOX").await;
    app.done("UID FETCH 5 BODY.PEEK[]").await;
    assert!(app.done("FETCH 5 FLAGS").await.contains("FLAGS ())"));
    app.done("UID FETCH 5 BODY[TEXT]<0.10>").await;
    assert!(app.done("FETCH 5 FLAGS").await.contains("FLAGS (\\Seen)"));
    let silent = app.done("STORE 5 FLAGS.SILENT (\\Flagged work)").await;
    assert!(!silent.contains("FETCH"), "{silent}");
    assert!(app.done("STORE 5 -FLAGS (WORK)").await.starts_with("* 5 FETCH (UID 5 FLAGS (\\Flagged))"));
    assert!(app.done("UID SEARCH SUBJECT bridges UNSEEN").await.starts_with("* SEARCH 4\r\n"));
    assert!(app.ask("SEARCH CHARSET klingon ALL").await.starts_with("a NO [BADCHARSET"));
}

#[tokio::test]
async fn move_and_expunge_tell_uids_and_numbers() {
    let mut app = App::logged_in(&account()).await;
    app.done("SELECT INBOX").await;
    let moved = app.done("UID MOVE 1,3 Trash").await;
    assert!(moved.contains("* OK [COPYUID 7 1,3 1,2]"), "{moved}");
    // Each number is that of the moment (RFC 3501 §7.4.1).
    assert!(moved.contains("* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n"), "{moved}");
    assert!(app.ask("COPY 1 none").await.starts_with("a NO [TRYCREATE]"));
    assert!(app.done("COPY 1 Archive").await.contains("a OK [COPYUID 5 2 2]"));
    app.done("STORE 1:2 +FLAGS (\\Deleted)").await;
    assert!(app.done("UID EXPUNGE 4").await.contains("* 2 EXPUNGE"));
    assert!(app.done("EXPUNGE").await.contains("* 1 EXPUNGE"));
    app.done("STORE 1 +FLAGS (\\Deleted)").await;
    assert!(!app.done("CLOSE").await.contains("EXPUNGE"));
    assert!(app.done("STATUS INBOX (MESSAGES)").await.contains("MESSAGES 0"));
}

#[tokio::test]
async fn append_tells_its_uid_and_refuses_what_it_cannot_keep() {
    let mut app = App::logged_in(&account()).await;
    app.say("a APPEND Sent (\\Seen) {14}\r\n").await;
    app.until("+ ").await;
    app.say("Subject: x\r\n\r\n\r\n").await;
    assert!(app.until("a ").await.starts_with("a OK [APPENDUID 3 2]"));
    app.say("a APPEND Sent {5+}\r\nab\0cd\r\n").await;
    let refused = app.until("a ").await;
    assert!(refused.starts_with("a NO") && refused.contains("NUL"), "{refused}");
    app.say("a APPEND Sent {99999999}\r\n").await;
    assert!(app.until("a ").await.starts_with("a NO [TOOBIG]"));
    assert!(app.ask("APPEND none {1+}\r\nx").await.starts_with("a NO [TRYCREATE]"));
    app.done("NOOP").await;
}

#[tokio::test]
async fn idle_tells_what_another_session_does() {
    let account = account();
    let (mut idler, mut other) = (App::logged_in(&account).await, App::logged_in(&account).await);
    idler.done("SELECT INBOX").await;
    idler.say("a IDLE\r\n").await;
    idler.until("+ ").await;
    other.done("APPEND INBOX {1+}\r\nx").await;
    assert_eq!(idler.until("* ").await, "* 6 EXISTS\r\n");
    other.done("SELECT INBOX").await;
    other.done("STORE 2 +FLAGS (\\Deleted)").await;
    assert!(idler.until("* 2 FETCH").await.contains("Deleted"));
    other.done("EXPUNGE").await;
    assert_eq!(idler.until("* ").await, "* 2 EXPUNGE\r\n");
    idler.say("DONE\r\n").await;
    assert!(idler.until("a ").await.starts_with("a OK"));
}

/// RFC 3501 §7.4.1: not while the app may have sequence numbers on the way.
#[tokio::test]
async fn no_expunge_is_told_in_answer_to_a_command_by_numbers() {
    let account = account();
    let (mut app, mut other) = (App::logged_in(&account).await, App::logged_in(&account).await);
    app.done("SELECT INBOX").await;
    other.done("SELECT INBOX").await;
    other.done("UID MOVE 1 Trash").await;
    let fetched = app.done("FETCH 1:2 UID").await;
    assert_eq!(fetched, "* 2 FETCH (UID 2)\r\na OK fetched\r\n");
    assert!(app.done("NOOP").await.contains("* 1 EXPUNGE"));
}

#[tokio::test]
async fn who_talks_nonsense_is_told_and_after_a_while_left() {
    let mut app = App::logged_in(&account()).await;
    assert!(app.ask("FROBNICATE").await.starts_with("a BAD"));
    for _ in 0..20 {
        app.say("a FROBNICATE\r\n").await;
    }
    app.until("* BYE").await;
}

/// A stack that overflows would end the whole process: what nests is refused before it nests deeply.
#[tokio::test]
async fn what_nests_without_end_is_refused() {
    let mut app = App::logged_in(&account()).await;
    app.done("SELECT INBOX").await;
    for nest in ["NOT ", "(", "OR "] {
        let answer = app.ask(&format!("SEARCH {}ALL", nest.repeat(10_000))).await;
        assert!(answer.starts_with("a BAD"), "{nest}");
    }
}

proptest::proptest! {
    /// Any octets: no panic, and the same answers however they come split.
    #[test]
    fn any_octets_get_the_same_answers_in_any_split(
        words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..20),
        tail: Vec<u8>,
        size in 1_usize..50,
    ) {
        let all = [LOGIN.as_bytes(), words.concat().as_bytes(), tail.as_slice(), b"\r\n"].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let whole = runtime.block_on(answers(&all, all.len()));
        proptest::prop_assert_eq!(runtime.block_on(answers(&all, size)), whole);
    }
}

const LOGIN: &str = "a LOGIN demo@footbridge.test demo\r\n";

const WORDS: [&str; 16] = [
    "a SELECT INBOX\r\n",
    "b FETCH 1:* (ENVELOPE BODYSTRUCTURE)\r\n",
    "c IDLE\r\n",
    "DONE\r\n",
    "{5}\r\n",
    "{5+}\r\n",
    "a",
    " ",
    "\r\n",
    "\"",
    "(",
    "d UID MOVE 1:* Trash\r\n",
    "e APPEND INBOX {3+}\r\n",
    "f AUTHENTICATE PLAIN\r\n",
    "g LIST \"\" *\r\n",
    "h UID FETCH * BODY[1.2.HEADER.FIELDS (A)]<0.1>\r\n",
];

async fn answers(octets: &[u8], size: usize) -> String {
    let sample = sample::store(chrono::DateTime::UNIX_EPOCH.fixed_offset()).unwrap();
    let (mut app, provider) = duplex(1 << 20);
    let serving = tokio::spawn(serve(provider, Arc::new(Account::new(sample))));
    for piece in octets.chunks(size.max(1)) {
        // It may have hung up by now.
        let _ = app.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let _ = app.shutdown().await;
    let mut heard = Vec::new();
    app.read_to_end(&mut heard).await.unwrap();
    serving.await.unwrap().unwrap();
    String::from_utf8(heard).unwrap()
}

/// Commands of one read do not pile their answers up in memory.
#[tokio::test]
async fn an_app_that_does_not_read_is_not_obeyed_further() {
    let account = account();
    let message = [b"Subject: x\r\n\r\n".as_slice(), &vec![b'x'; 150 * 1024]].concat();
    account.with(|store| store.add("INBOX", message.into(), Vec::new(), crate::demo::now())).unwrap();
    let mut app = App::logged_in(&account).await;
    app.ask("SELECT INBOX").await;
    let pipelined = "x FETCH * BODY.PEEK[]\r\n".repeat(10) + "y CREATE behind\r\n";
    app.stream.write_all(pipelined.as_bytes()).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(account.with(|store| store.folder("behind").is_none()));
    app.until("y OK").await;
    assert!(account.with(|store| store.folder("behind").is_some()));
}

/// A message of 300 KiB, and a login that has INBOX selected.
async fn with_large(count: usize) -> (Arc<Account>, Conversation<DuplexStream>, DuplexStream) {
    let account = account();
    let message = [b"Subject: x\r\n\r\n".as_slice(), &vec![b'x'; 300 * 1024]].concat();
    for _ in 0..count {
        let message = message.as_slice().into();
        account.with(|store| store.add("INBOX", message, Vec::new(), crate::demo::now())).unwrap();
    }
    let (mut app, provider) = duplex(16 * 1024);
    app.write_all(format!("{LOGIN}b SELECT INBOX\r\n").as_bytes()).await.unwrap();
    let conversation = Conversation::new(provider, account.clone());
    (account, conversation, app)
}

/// Runs the provider's side until it waits for the app, whatever for.
async fn run_until_it_waits(conversation: &mut Conversation<DuplexStream>) {
    let mut running = std::pin::pin!(conversation.run());
    for _ in 0..100 {
        let ended = std::future::poll_fn(|cx| std::task::Poll::Ready(running.as_mut().poll(cx))).await;
        assert!(ended.is_pending(), "it hung up");
    }
}

/// An app that asks for much and reads nothing costs no more than what waits for one write.
#[tokio::test]
async fn what_a_fetch_holds_for_an_app_that_does_not_read_has_a_bound() {
    for items in ["BODY.PEEK[] RFC822 BODY.PEEK[TEXT] BODY.PEEK[1]<0.200000>", "FLAGS BODY.PEEK[]<0.50000>"] {
        let (account, mut conversation, mut app) = with_large(20).await;
        app.write_all(format!("c FETCH 6:25 ({items})\r\n").as_bytes()).await.unwrap();
        run_until_it_waits(&mut conversation).await;
        let queued = conversation.app.queued();
        assert!(queued <= 2 * UNSENT, "{queued} octets are held");
        account.with(|store| {
            let messages = store.folder("INBOX").unwrap().messages();
            assert!(messages.iter().all(|message| Arc::strong_count(&message.octets) == 1));
        });
    }
}

/// RFC 2180 §4.1: a message whose turn has not come is looked at when it comes.
#[tokio::test]
async fn a_fetch_looks_at_a_message_when_those_before_it_are_on_their_way() {
    let (account, mut conversation, mut app) = with_large(3).await;
    app.write_all(b"c FETCH 6:8 BODY[]\r\n").await.unwrap();
    let serving = tokio::spawn(async move { conversation.run().await });
    let mut app = App { stream: app, heard: String::new() };
    app.until("* 6 FETCH").await;
    account.with(|store| store.folder_mut("INBOX").unwrap().remove(|message| message.uid.get() == 7));
    let rest = app.until("c ").await;
    assert!(rest.contains("\r\n* 8 FETCH") || rest.contains(")* 8 FETCH"), "{}", rest.len());
    assert!(!rest.contains("* 7 FETCH"), "its octets were made before the app took those of the one before");
    serving.abort();
}

#[tokio::test]
async fn items_named_twice_are_told_once_and_too_many_are_refused() {
    let mut app = App::logged_in(&account()).await;
    app.done("SELECT INBOX").await;
    let told = app.done("FETCH 1 (UID FLAGS UID BODY.PEEK[]<0.1> BODY.PEEK[]<0.2> BODY.PEEK[]<0.1>)").await;
    assert_eq!(
        told,
        "* 1 FETCH (UID 1 FLAGS (\\Seen) BODY[]<0> {1}\r\nF BODY[]<0> {2}\r\nFr)\r\na OK fetched\r\n"
    );
    let many = |count: u32| {
        (0..count).map(|at| format!("BODY.PEEK[]<{}.1>", 5000 + at)).collect::<Vec<_>>().join(" ")
    };
    app.done(&format!("FETCH 1 ({})", many(32))).await;
    let refused = app.ask(&format!("UID FETCH 1 ({})", many(33))).await;
    assert!(refused.starts_with("a BAD") && refused.contains("at most 32 items"), "{refused}");
    let fields =
        |count: usize| format!("FETCH 1 (UID BODY[HEADER.FIELDS.NOT ({})])", vec!["x"; count].join(" "));
    let refused = app.ask(&fields(257)).await;
    assert!(refused.starts_with("a BAD") && refused.contains("at most 256 header fields"), "{refused}");
    app.done(&fields(256)).await;
    app.ask(&format!("FETCH 5 ({})", ["BODY[]"; 100].join(" "))).await;
    assert!(!app.done("FETCH 5 FLAGS").await.contains("Seen"), "what is refused reads nothing");
}

/// What an app says costs no more than a command, unless it is a message and there is room.
#[tokio::test]
async fn a_command_has_a_length_and_only_append_brings_more() {
    let mut stranger = App::of(&account());
    stranger.until("* OK").await;
    stranger.say("a LOGIN demo@footbridge.test {70000}\r\n").await;
    assert!(stranger.until("a ").await.contains("BAD a command of more than 65536 octets"));
    stranger.say("a APPEND INBOX {70000}\r\n").await;
    assert!(stranger.until("a ").await.contains("a BAD"));
    stranger.say("a LOGIN x {70000+}\r\n").await;
    stranger.until("* BYE").await;

    let mut app = App::logged_in(&account()).await;
    app.say(&format!("a APPEND INBOX {{70000+}}\r\n{}\r\n", "x".repeat(70_000))).await;
    assert!(app.until("a ").await.starts_with("a OK"));
    app.say(&format!("a NOOP{}", "x".repeat(70_000))).await;
    assert!(app.until("a ").await.contains("BAD a command of more than"), "before its line ends");
    app.until("* BYE").await;
}

#[tokio::test]
async fn messages_on_their_way_share_a_bounded_room() {
    let account = account();
    let mut apps = Vec::new();
    for _ in 0..4 {
        let mut app = App::logged_in(&account).await;
        app.say(&format!("a APPEND INBOX {{{LARGEST_MESSAGE}}}\r\n")).await;
        app.until("+ ").await;
        apps.push(app);
    }
    let mut late = App::logged_in(&account).await;
    late.say("a APPEND INBOX {70000}\r\n").await;
    assert!(late.until("a ").await.starts_with("a NO [LIMIT]"));
    late.done("APPEND INBOX {1+}\r\nx").await;
    // One of them goes, and its room comes free.
    let gone = apps.pop().map(|app| app.stream);
    drop(gone);
    while account.upload(LARGEST_MESSAGE).is_none() {
        tokio::task::yield_now().await;
    }
    late.say(&format!("a APPEND INBOX {{70000+}}\r\n{}\r\n", "x".repeat(70_000))).await;
    assert!(late.until("a ").await.starts_with("a OK"));
}

#[tokio::test]
async fn keys_and_patterns_and_flags_have_a_number() {
    let mut app = App::logged_in(&account()).await;
    app.done("SELECT INBOX").await;
    app.done(&format!("SEARCH {}", ["SEEN"; 64].join(" "))).await;
    for many in [["SEEN"; 65].join(" "), format!("({})", ["OR SEEN NOT SEEN"; 20].join(" "))] {
        let answer = app.ask(&format!("SEARCH {many}")).await;
        assert!(answer.starts_with("a BAD") && answer.contains("64 search keys"), "{answer}");
    }
    app.done(&format!("LIST \"\" \"{}\"", "*".repeat(512))).await;
    assert!(app.ask(&format!("LIST \"\" \"{}\"", "*".repeat(513))).await.contains("a BAD a pattern"));
    let flags: Vec<_> = (0..33).map(|at| format!("flag{at}")).collect();
    let refused = app.ask(&format!("STORE 1 FLAGS ({})", flags.join(" "))).await;
    assert!(refused.starts_with("a NO the demo keeps at most 32 flags"), "{refused}");
}
