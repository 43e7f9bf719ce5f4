use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::mail::UidValidity;
use crate::proto::pop3::{Code, UniqueIds};

fn maildrop(sizes: &[u64]) -> Maildrop {
    let ids = UniqueIds::inbox(UidValidity::new(7).expect("not 0"));
    Maildrop::new(ids, sizes.iter().zip(10..).map(|(octets, at)| (Uid::new(at).expect("not 0"), *octets)))
}

fn in_transaction(sizes: &[u64]) -> Session {
    let mut session = Session::new();
    say(&mut session, "USER ana");
    say(&mut session, "PASS x");
    session.logged_in(maildrop(sizes));
    session
}

/// Accepted, and the maildrop is still coming.
fn accepted() -> Session {
    let mut session = Session::new();
    say(&mut session, "USER ana");
    say(&mut session, "PASS x");
    assert!(matches!(session.login_accepted(), Step::Reply(reply) if reply.octets() == b"+OK logged in\r\n"));
    session
}

fn step(session: &mut Session, line: &str) -> Step {
    session.handle_line(Line::Whole(BytesMut::from(line))).1
}

/// A step as text: replies and listings as sent, requests by their name.
fn say(session: &mut Session, line: &str) -> String {
    let shown = |reply: &Reply| String::from_utf8_lossy(reply.octets()).into_owned();
    match step(session, line) {
        Step::Reply(reply) => shown(&reply),
        Step::List(reply, mut listing) => {
            let mut octets = reply.octets().to_vec();
            let maildrop = session.maildrop().expect("listings are for TRANSACTION");
            while listing.write(maildrop, octets.len() + 10, &mut octets) {}
            String::from_utf8_lossy(&octets).into_owned()
        }
        Step::Login(offer) => {
            format!("login {} {}", offer.login, String::from_utf8_lossy(offer.secret.expose()))
        }
        Step::Await(command) => format!("await {}", command.name()),
        Step::Retrieve { uid, octets, .. } => format!("retrieve {uid} {octets}"),
        Step::Top { uid, lines, .. } => format!("top {uid} {lines}"),
        Step::Update { retrieved, deleted } => {
            format!("update {:?} {:?}", numbers(&retrieved), numbers(&deleted))
        }
        Step::BeginTls(reply) => format!("{}TLS follows", shown(&reply)),
        Step::Finish(reply) => format!("{}closed", shown(&reply)),
    }
}

fn numbers(uids: &[Uid]) -> Vec<u32> {
    uids.iter().map(|uid| uid.get()).collect()
}

#[test]
fn rfc1939_4_the_greeting_is_one_short_line_without_a_stamp() {
    let greeting = Session::new().greeting();
    let text = String::from_utf8_lossy(greeting.unwrap().octets()).into_owned();
    assert!(text.starts_with("+OK ") && text.ends_with("\r\n") && text.len() <= 512);
    assert!(!text.contains('<') && text.lines().count() == 1);
}

#[test]
fn rfc1939_7_pass_follows_user_and_nothing_else() {
    let mut session = Session::new();
    assert_eq!(say(&mut session, "PASS x"), "-ERR USER comes first\r\n");
    assert_eq!(say(&mut session, "USER nobody@example.org"), "+OK send PASS\r\n");
    assert!(say(&mut session, "CAPA").starts_with("+OK"));
    assert_eq!(say(&mut session, "PASS x"), "-ERR USER comes first\r\n");
    say(&mut session, "USER eve");
    assert!(say(&mut session, "USER ana").starts_with("+OK"));
    assert!(say(&mut session, "").starts_with("-ERR"));
    assert_eq!(say(&mut session, "PASS  two words "), "login ana  two words ");
}

#[test]
fn rfc1939_4_a_refused_login_may_be_tried_again_and_not_for_ever() {
    let mut session = Session::new();
    for last in [false, false, false, false, true] {
        say(&mut session, "USER ana");
        assert_eq!(say(&mut session, "PASS x"), "login ana x");
        let step = session.login_refused(Reply::err_with(Code::Auth, "no"));
        assert_eq!(matches!(step, Step::Finish(_)), last);
    }
}

#[test]
fn a_login_that_upstream_could_not_judge_does_not_count() {
    let mut session = Session::new();
    for _ in 0..20 {
        say(&mut session, "USER ana");
        say(&mut session, "PASS x");
        let step = session.login_failed(Reply::err_with(Code::SysTemp, "down"));
        assert!(matches!(step, Step::Reply(_)));
    }
}

#[test]
fn an_empty_password_is_refused_here() {
    let mut session = Session::new();
    for line in ["PASS ", "PASS", "PASS\t"].repeat(5) {
        say(&mut session, "USER ana");
        assert_eq!(say(&mut session, line), "-ERR [AUTH] login name or password is wrong\r\n");
    }
    assert!(say(&mut session, "AUTH PLAIN AGFuYQA=").starts_with("-ERR [AUTH]"));
    say(&mut session, "USER ana");
    assert_eq!(say(&mut session, "PASS x"), "login ana x", "an empty one is no guess");
}

#[test]
fn rfc5034_4_auth_in_all_its_forms() {
    let mut session = Session::new();
    assert_eq!(say(&mut session, "auth"), "+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n");
    assert_eq!(say(&mut session, "AUTH PLAIN AGFuYQB4"), "login ana x");
    session.login_failed(Reply::err("no"));
    assert_eq!(say(&mut session, "AUTH PLAIN"), "+ \r\n");
    assert_eq!(say(&mut session, "AGFuYQB4"), "login ana x");
    session.login_failed(Reply::err("no"));
    assert_eq!(say(&mut session, "AUTH LOGIN"), "+ VXNlcm5hbWU6\r\n");
    assert_eq!(say(&mut session, "YW5h"), "+ UGFzc3dvcmQ6\r\n");
    assert_eq!(say(&mut session, "eA=="), "login ana x");
}

#[test]
fn rfc5034_4_auth_refused_goes_on_with_commands() {
    let mut session = Session::new();
    say(&mut session, "AUTH PLAIN");
    assert!(say(&mut session, "*").starts_with("-ERR [AUTH]"));
    assert!(say(&mut session, "AUTH PLAIN =").starts_with("-ERR [AUTH]"));
    say(&mut session, "AUTH LOGIN");
    assert!(say(&mut session, "!!").starts_with("-ERR [AUTH]"));
    for mechanism in ["XOAUTH2", "OAUTHBEARER", "CRAM-MD5", "NTLM"] {
        assert!(say(&mut session, &format!("AUTH {mechanism}")).starts_with("-ERR "));
        let token = "eA==".repeat(2000);
        assert!(say(&mut session, &format!("AUTH {mechanism} {token}")).starts_with("-ERR "));
    }
    say(&mut session, "AUTH PLAIN");
    let long = format!("{}\r\n", "eA==".repeat(2000));
    assert!(long.len() < session.line_limit());
    assert!(say(&mut session, long.trim_end()).starts_with("-ERR [AUTH]"));
    assert!(say(&mut session, "USER ana").starts_with("+OK"));
    say(&mut session, "AUTH PLAIN");
    assert!(matches!(session.handle_line(Line::TooLong).1, Step::Reply(_)));
    assert!(say(&mut session, "USER ana").starts_with("+OK"));
}

#[test]
fn rfc2449_5_capabilities_before_and_after_login() {
    let list = |text: String| {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(
            (lines.first().map(String::as_str), lines.last().map(String::as_str)),
            (Some("+OK"), Some("."))
        );
        lines[1..lines.len() - 1].to_vec()
    };
    let before = list(say(&mut Session::new(), "CAPA"));
    assert_eq!(
        before,
        [
            "TOP",
            "UIDL",
            "USER",
            "SASL PLAIN LOGIN",
            "PIPELINING",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "UTF8 USER",
            "LANG"
        ]
    );
    let after = list(say(&mut in_transaction(&[]), "CAPA"));
    assert_eq!(after, ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "UTF8 USER", "LANG"]);
}

#[test]
fn rfc6856_utf8_before_login_only_and_lang_always() {
    let (mut before, mut after) = (Session::new(), in_transaction(&[]));
    assert!(say(&mut before, "utf8").starts_with("+OK"));
    assert!(say(&mut before, "UTF8").starts_with("+OK"), "again does no harm");
    assert!(say(&mut after, "UTF8").starts_with("-ERR"));
    for session in [&mut before, &mut after] {
        assert!(say(session, "LANG").ends_with("\r\nen English\r\n.\r\n"));
        for language in ["*", "en", "EN", "i-default"] {
            assert!(say(session, &format!("LANG {language}")).starts_with("+OK en "), "{language}");
        }
        assert!(say(session, "LANG de").starts_with("-ERR"));
    }
    say(&mut before, "USER j\u{f6}rg");
    assert_eq!(say(&mut before, "PASS \u{e4} "), "login j\u{f6}rg \u{e4} ");
}

#[test]
fn a_byte_order_mark_and_telnet_options_before_the_first_word_are_passed_over() {
    for before in [b"\xef\xbb\xbf".as_slice(), b"\xff\xfb\x1f", b"\xff\xfd\x03\xff\xfb\x18"] {
        let mut session = Session::new();
        assert!(session.dismisses(before).is_none());
        let line = BytesMut::from([before, b"USER ana"].concat().as_slice());
        assert!(matches!(session.handle_line(Line::Whole(line)), ("USER", Step::Reply(_))));
        assert_eq!(say(&mut session, "PASS x"), "login ana x");
        let (_, step) = Session::new().handle_line(Line::Whole(before.into()));
        assert!(matches!(step, Step::Reply(_)));
    }
}

#[test]
fn rfc1939_3_commands_in_the_wrong_state() {
    let mut before = Session::new();
    for line in ["STAT", "LIST", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "NOOP"] {
        assert_eq!(say(&mut before, line), "-ERR log in first\r\n", "{line}");
    }
    assert_eq!(say(&mut before, "QUIT"), "+OK bye\r\nclosed");
    let mut after = in_transaction(&[]);
    for line in ["USER ana", "PASS x", "AUTH", "AUTH PLAIN AGFuYQB4"] {
        assert_eq!(say(&mut after, line), "-ERR already logged in\r\n", "{line}");
    }
    assert!(say(&mut after, "APOP ana c4c9334bac560ecc979e58001b3e22fb").starts_with("-ERR"));
    assert!(say(&mut after, "STLS").starts_with("-ERR"));
}

#[test]
fn rfc1939_3_twenty_bad_commands_are_borne_after_login() {
    let mut session = in_transaction(&[5]);
    for _ in 0..3 {
        for _ in 0..20 {
            assert_eq!(say(&mut session, "XTND XMIT"), "-ERR unknown command\r\n");
        }
        assert_eq!(say(&mut session, "STAT"), "+OK 1 5\r\n");
    }
    for _ in 0..20 {
        say(&mut session, "RETR");
        say(&mut session, ""); // Not even a command: it does not count.
    }
    assert!(say(&mut session, "RETR x").ends_with("closed"));
}

#[test]
fn before_login_ten_bad_commands_are_borne_and_no_http() {
    let mut session = Session::new();
    for _ in 0..10 {
        assert_eq!(say(&mut session, "XTND XMIT"), "-ERR unknown command\r\n");
    }
    assert!(say(&mut session, "XTND XMIT").ends_with("closed"));
    for line in ["GET / HTTP/1.1", "POST /x HTTP/1.1", "Host: a<script>"] {
        let said = say(&mut Session::new(), line);
        assert!(said.starts_with("-ERR") && said.ends_with("closed") && !said.contains("script"), "{said}");
    }
    assert!(Session::new().dismisses(&[0x16, 3, 1]).is_some());
    assert!(Session::new().dismisses(b"CAPA").is_none());
}

#[test]
fn rfc1939_5_one_walk_through_transaction() {
    let mut session = in_transaction(&[100, 200, 300]);
    assert_eq!(say(&mut session, "STAT"), "+OK 3 600\r\n");
    assert_eq!(say(&mut session, "LIST 2"), "+OK 2 200\r\n");
    assert_eq!(say(&mut session, "UIDL 2"), "+OK 2 7.11\r\n");
    assert_eq!(say(&mut session, "RETR 3"), "retrieve 12 300");
    session.retrieved(MessageNumber::new(3).expect("not 0"));
    assert_eq!(say(&mut session, "TOP 1 10"), "top 10 10");
    assert_eq!(say(&mut session, "DELE 2"), "+OK marked deleted\r\n");
    assert_eq!(say(&mut session, "STAT"), "+OK 2 400\r\n");
    assert_eq!(say(&mut session, "LIST"), "+OK 2 messages (400 octets)\r\n1 100\r\n3 300\r\n.\r\n");
    assert_eq!(say(&mut session, "UIDL"), "+OK\r\n1 7.10\r\n3 7.12\r\n.\r\n");
    for line in ["LIST 2", "UIDL 2", "RETR 2", "TOP 2 0", "DELE 2"] {
        assert_eq!(say(&mut session, line), "-ERR the message is marked deleted\r\n", "{line}");
    }
    for line in ["LIST 4", "UIDL 0", "RETR 4294967296", "TOP 4 0", "DELE 4"] {
        assert_eq!(say(&mut session, line), "-ERR no such message\r\n", "{line}");
    }
    assert_eq!(say(&mut session, "QUIT"), "update [12] [11]");
    assert!(matches!(session.updated(None), Step::Finish(reply) if reply.octets() == b"+OK bye\r\n"));
}

#[test]
fn while_its_maildrop_is_coming_a_session_answers_what_it_can() {
    let mut session = accepted();
    assert!(session.is_logged_in() && session.maildrop().is_none());
    let waiting = ["STAT", "LIST", "LIST 1", "UIDL", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1"];
    for line in waiting {
        let name = line.split(' ').next().expect("a word");
        assert_eq!(say(&mut session, line), format!("await {name}"));
    }
    assert_eq!(say(&mut session, "NOOP"), "+OK\r\n");
    assert_eq!(say(&mut session, "RSET"), "+OK no message is marked deleted\r\n");
    assert_eq!(say(&mut session, "PASS x"), "-ERR already logged in\r\n");
    assert_eq!(say(&mut session, "RETR 0"), "-ERR no such message\r\n");
    assert_eq!(say(&mut session, "CAPA"), say(&mut in_transaction(&[]), "CAPA"));
    let Step::Await(command) = step(&mut session, "RETR 2") else { panic!("it waits") };
    session.arrived(maildrop(&[100, 200]));
    assert!(matches!(session.resume(command), Step::Retrieve { octets: 200, .. }));
    assert_eq!(say(&mut session, "STAT"), "+OK 2 300\r\n");
    session.not_coming(Reply::err("too late"));
    assert_eq!(say(&mut session, "STAT"), "+OK 2 300\r\n");
}

#[test]
fn rfc1939_6_quit_before_the_maildrop_has_come_removes_nothing() {
    let mut session = accepted();
    assert_eq!(say(&mut session, "QUIT"), "+OK bye\r\nclosed");
    session.arrived(maildrop(&[1]));
    assert!(session.maildrop().is_none());
}

#[test]
fn a_maildrop_that_does_not_come_is_the_last_word_whatever_is_asked() {
    for line in ["STAT", "NOOP", "QUIT", "CAPA", "XTND", "", "RETR 0"] {
        let mut session = accepted();
        session.not_coming(Reply::err_with(Code::SysTemp, "down"));
        assert!(session.is_logged_in());
        assert_eq!(say(&mut session, line), "-ERR [SYS/TEMP] down\r\nclosed", "{line}");
    }
    let mut session = accepted();
    let Step::Await(command) = step(&mut session, "STAT") else { panic!("it waits") };
    session.not_coming(Reply::err("down"));
    assert!(matches!(session.resume(command), Step::Finish(reply) if reply.octets() == b"-ERR down\r\n"));
}

#[test]
fn rfc1939_6_rset_leaves_nothing_for_update() {
    let mut session = in_transaction(&[1, 2]);
    say(&mut session, "DELE 1");
    say(&mut session, "DELE 2");
    assert_eq!(say(&mut session, "RSET"), "+OK 2 messages (3 octets)\r\n");
    assert_eq!(say(&mut session, "QUIT"), "update [] []");
}

#[test]
fn a_message_that_broke_off_is_not_deleted_until_it_came_whole() {
    let mut session = in_transaction(&[1, 2]);
    let first = MessageNumber::new(1).expect("not 0");
    session.broke(first);
    assert!(say(&mut session, "DELE 1").starts_with("-ERR [SYS/TEMP]"));
    say(&mut session, "DELE 2");
    session.retrieved(first);
    assert!(say(&mut session, "DELE 1").starts_with("+OK"));
}

/// Keyword and number of a random session.
fn script() -> impl Strategy<Value = Vec<(u8, u32)>> {
    prop::collection::vec((0u8..8, 0u32..7), 0..40)
}

proptest! {
    /// The reference is a list of (size, deleted), asked the slow way.
    #[test]
    fn marks_numbers_and_sums_are_those_of_a_simple_model(sizes in prop::collection::vec(0u64..1000, 0..6), script in script()) {
        let mut session = in_transaction(&sizes);
        let mut model: Vec<(u64, bool)> = sizes.iter().map(|size| (*size, false)).collect();
        for (command, number) in script {
            let at = (number as usize).checked_sub(1).filter(|at| *at < model.len());
            let here = at.filter(|at| !model[*at].1);
            match command {
                0 => {
                    let said = say(&mut session, &format!("DELE {number}"));
                    prop_assert_eq!(said.starts_with("+OK"), here.is_some());
                    if let Some(at) = here { model[at].1 = true; }
                }
                1 => {
                    say(&mut session, "RSET");
                    model.iter_mut().for_each(|message| message.1 = false);
                }
                2 => {
                    let expected = here.map(|at| format!("+OK {number} {}\r\n", model[at].0));
                    let said = say(&mut session, &format!("LIST {number}"));
                    prop_assert_eq!(Some(said).filter(|said| said.starts_with('+')), expected);
                }
                3 => prop_assert_eq!(say(&mut session, &format!("RETR {number}")).starts_with("retrieve"), here.is_some()),
                4 => prop_assert_eq!(say(&mut session, &format!("TOP {number} 0")).starts_with("top"), here.is_some()),
                5 => prop_assert_eq!(say(&mut session, &format!("UIDL {number}")).starts_with("+OK"), here.is_some()),
                _ => { say(&mut session, "NOOP"); }
            }
            let left: Vec<u64> = model.iter().filter(|message| !message.1).map(|message| message.0).collect();
            prop_assert_eq!(say(&mut session, "STAT"), format!("+OK {} {}\r\n", left.len(), left.iter().sum::<u64>()));
            prop_assert_eq!(say(&mut session, "LIST").lines().count(), left.len() + 2);
        }
        let deleted: Vec<u32> = model.iter().zip(10..).filter(|(message, _)| message.1).map(|(_, uid)| uid).collect();
        prop_assert_eq!(say(&mut session, "QUIT"), format!("update [] {deleted:?}"));
    }

    #[test]
    fn any_lines_are_answered(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
        let mut failed = accepted();
        failed.not_coming(Reply::err("no"));
        for mut session in [Session::new(), accepted(), failed, in_transaction(&[1])] {
            for line in &lines {
                session.handle_line(Line::Whole(BytesMut::from(line.as_slice())));
            }
        }
    }
}

/// RFC 2595 §4: STLS in AUTHORIZATION only, advertised only where it can be begun.
#[test]
fn stls_is_offered_where_tls_may_begin_and_nowhere_else() {
    for (tls, offered) in [
        (AppTls::Off, false),
        (AppTls::Offered, true),
        (AppTls::Required, true),
        (AppTls::Implicit, false),
        (AppTls::Upgraded, false),
    ] {
        let mut session = Session::with_tls(tls);
        assert_eq!(session.greeting().is_none(), tls == AppTls::Upgraded);
        assert_eq!(say(&mut session, "CAPA").contains("STLS"), offered, "{tls:?}");
        assert_eq!(say(&mut session, "STLS").ends_with("TLS follows"), offered, "{tls:?}");
    }
}

/// RFC 3206 §4: the user has to change something, and another password would not help.
#[test]
fn no_password_before_tls_where_it_is_required() {
    let mut session = Session::with_tls(AppTls::Required);
    let capabilities = say(&mut session, "CAPA");
    assert!(capabilities.lines().all(|line| line != "USER" && !line.starts_with("SASL")), "{capabilities}");
    for command in ["USER ana", "PASS x", "AUTH", "AUTH PLAIN AGFuYQB4"] {
        assert!(say(&mut session, command).starts_with("-ERR [SYS/PERM] TLS comes first"), "{command}");
    }
}
