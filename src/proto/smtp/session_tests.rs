use super::*;
use crate::proto::smtp::syntax::SyntaxError;
use proptest::prelude::*;

fn upstream() -> Capabilities {
    Capabilities {
        size: true,
        largest: Some(1000),
        eight_bit_mime: true,
        dsn: true,
        ..Capabilities::default()
    }
}

fn logged_in() -> Session {
    let (mut session, _) = Session::new();
    session.handle_line(b"EHLO x");
    assert!(matches!(session.handle_line(b"AUTH PLAIN AGEAYg=="), Step::Ask(Request::Login(_))));
    assert_eq!(code(session.resume(Answer::LoggedIn(upstream()))), 235);
    session
}

fn code(step: Step) -> u16 {
    match step {
        Step::Reply(reply) | Step::Finish(reply) | Step::Receive { reply, .. } => reply.code(),
        other => panic!("{other:?}"),
    }
}

fn say(session: &mut Session, line: &str) -> u16 {
    code(session.handle_line(line.as_bytes()))
}

fn ok() -> Reply {
    Reply::new(250, 1, 5, "ok")
}

/// One RCPT and upstream's answer to it.
fn rcpt(session: &mut Session, reply: Reply) -> Vec<u16> {
    assert!(matches!(session.handle_line(b"RCPT TO:<a@b>"), Step::Gathered));
    assert!(matches!(session.settle(), Step::Ask(Request::Envelope(_))));
    match session.resume(Answer::Recipients(vec![reply])) {
        Step::Replies(replies) => replies.iter().map(Reply::code).collect(),
        other => panic!("{other:?}"),
    }
}

fn ends(session: &mut Session, line: &str) -> bool {
    matches!(session.handle_line(line.as_bytes()), Step::Finish(reply) if reply.code() == 221)
}

#[test]
fn what_is_another_protocols_ends_the_session_and_text_does_not() {
    for line in
        ["GET / HTTP/1.1", "EHLO / HTTP/1.1", "\u{16}\u{3}\u{1}", "Host: localhost", "foo:bar", "MAIL:"]
    {
        assert!(ends(&mut Session::new().0, line), "{line}");
        assert!(ends(&mut logged_in(), line), "{line}");
    }
    for line in [".", "WIBBLE", "<html>"] {
        assert_eq!(say(&mut Session::new().0, line), 500, "{line}");
        assert_eq!(say(&mut logged_in(), line), 500, "{line}");
    }
}

/// A page chooses the method, a line too long hides it: the headers that follow are then the first to show what it is.
#[test]
fn a_request_line_too_long_to_be_read_does_not_hide_its_headers() {
    let (mut session, _) = Session::new();
    assert_eq!(say(&mut session, &format!("EHLO /{} HTTP/1.1", "x".repeat(COMMAND_LINE))), 500);
    assert!(ends(&mut session, "Host: localhost:1025"));
    let (mut session, _) = Session::new();
    assert_eq!(code(session.handle_too_long()), 500);
    assert!(ends(&mut session, "Host: localhost:1025"));
}

/// An app that does not wait for 354: its lone dot is no command, but a message is no list of commands either, and
/// its text may be somebody else's.
#[test]
fn behind_a_data_that_was_refused_a_dot_is_500_and_a_message_ends_the_session() {
    let mut session = logged_in();
    assert_eq!(say(&mut session, "DATA"), 503);
    assert_eq!(say(&mut session, "."), 500);
    assert_eq!(say(&mut session, "DATA"), 503);
    assert_eq!(say(&mut session, "hello"), 500);
    assert!(ends(&mut session, "Subject: hello"));
}

#[test]
fn commands_out_of_order_rfc_5321_section_4_1_4() {
    let mut session = logged_in();
    for line in ["RCPT TO:<a@b>", "DATA", "AUTH PLAIN AGEAYg=="] {
        assert_eq!(say(&mut session, line), 503, "{line}");
    }
    assert_eq!(say(&mut session, "MAIL FROM:<a@b>"), 250);
    for line in ["MAIL FROM:<a@b>", "DATA", "AUTH LOGIN"] {
        assert_eq!(say(&mut session, line), 503, "{line}");
    }
}

#[test]
fn nothing_but_auth_before_auth_rfc_6409_section_4_3() {
    let (mut session, greeting) = Session::new();
    assert_eq!(greeting.code(), 220);
    assert_eq!(say(&mut session, "AUTH LOGIN"), 503, "EHLO first");
    assert_eq!(say(&mut session, "HELO x"), 250);
    for line in ["MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA"] {
        assert_eq!(say(&mut session, line), 530, "{line}");
    }
    for (line, expected) in
        [("NOOP", 250), ("RSET", 250), ("VRFY a", 252), ("HELP", 214), ("EXPN a", 502), ("QUIT", 221)]
    {
        assert_eq!(say(&mut session, line), expected, "{line}");
    }
}

#[test]
fn without_a_login_one_cannot_talk_for_ever() {
    let (mut session, _) = Session::new();
    for _ in 0..100 {
        assert_eq!(say(&mut session, "NOOP"), 250);
    }
    assert_eq!(say(&mut session, "NOOP"), 421);
    let mut session = logged_in();
    for _ in 0..1000 {
        assert_eq!(say(&mut session, "NOOP"), 250);
    }
}

#[test]
fn an_exchange_is_cancelled_and_malformed_rfc_4954_section_4() {
    let (mut session, _) = Session::new();
    session.handle_line(b"EHLO x");
    assert_eq!(say(&mut session, "AUTH PLAIN"), 334);
    assert_eq!(say(&mut session, "*"), 501);
    assert_eq!(say(&mut session, "AUTH LOGIN"), 334);
    assert_eq!(say(&mut session, "!!"), 501);
    assert_eq!(say(&mut session, "AUTH PLAIN ="), 501);
    assert_eq!(say(&mut session, "AUTH CRAM-MD5"), 504);
    assert_eq!(say(&mut session, "AUTH PLAIN"), 334);
    assert_eq!(code(session.handle_too_long()), 500);
    assert_eq!(say(&mut session, "NOOP"), 250, "a command again");
}

#[test]
fn mail_goes_upstream_with_the_first_recipient_only() {
    let mut session = logged_in();
    say(&mut session, "MAIL FROM:<a@b>");
    for mail_expected in [true, false] {
        assert!(matches!(session.handle_line(b"RCPT TO:<c@d>"), Step::Gathered));
        let Step::Ask(Request::Envelope(envelope)) = session.settle() else { panic!("not asked") };
        assert_eq!((envelope.mail.is_some(), envelope.recipients.len()), (mail_expected, 1));
        session.resume(Answer::Recipients(vec![ok()]));
    }
}

#[test]
fn data_needs_a_recipient_that_was_accepted_rfc_5321_section_3_3() {
    let mut session = logged_in();
    say(&mut session, "MAIL FROM:<a@b>");
    assert_eq!(rcpt(&mut session, Reply::new(550, 1, 1, "no")), [550]);
    assert_eq!(say(&mut session, "DATA"), 554);
    assert_eq!(rcpt(&mut session, ok()), [250]);
    assert!(matches!(session.handle_line(b"DATA"), Step::Ask(Request::Data)));
    let step = session.resume(Answer::Data(Reply::bare(354, "go")));
    assert!(matches!(step, Step::Receive { largest: 1000, eight_bit: true, .. }), "{step:?}");
    assert_eq!(code(session.resume(Answer::Received(ok()))), 250);
    assert_eq!(say(&mut session, "DATA"), 503, "the transaction is over");
    assert_eq!(say(&mut session, "MAIL FROM:<a@b>"), 250);
}

#[test]
fn ehlo_and_rset_forget_the_transaction_rfc_5321_section_4_1_4() {
    for (line, forgotten) in [("EHLO x", true), ("HELO x", true), ("RSET", true), ("NOOP", false)] {
        let mut session = logged_in();
        say(&mut session, "MAIL FROM:<a@b>");
        rcpt(&mut session, ok());
        assert_eq!(say(&mut session, line), 250);
        let asked = matches!(session.handle_line(b"DATA"), Step::Ask(Request::Data));
        assert_eq!(asked, !forgotten, "{line}");
    }
}

#[test]
fn recipients_over_the_limit_are_told_to_come_later_rfc_5321_section_4_5_3_1_10() {
    let mut session = logged_in();
    say(&mut session, "MAIL FROM:<a@b>");
    for _ in 0..5_000 {
        assert_eq!(rcpt(&mut session, ok()), [250]);
    }
    assert_eq!(say(&mut session, "RCPT TO:<a@b>"), 452);
    assert!(matches!(session.handle_line(b"DATA"), Step::Ask(Request::Data)), "those accepted are kept");
}

#[test]
fn a_batch_has_a_bound_and_takes_recipients_only() {
    let mut session = logged_in();
    say(&mut session, "MAIL FROM:<a@b>");
    let mut gathered = 0;
    while session.gathers(b"rcpt to:<c@d>") {
        session.handle_line(b"rcpt to:<c@d>");
        gathered += 1;
    }
    assert_eq!(gathered, 100);
    assert!(!logged_in().gathers(b"DATA"));
}

#[test]
fn what_the_app_was_told_before_auth_is_held_after_it() {
    // The app's only EHLO offered 8BITMIME, and upstream lacks it: BODY is taken, and 8-bit content refused later.
    let (mut session, _) = Session::new();
    session.handle_line(b"EHLO x");
    session.handle_line(b"AUTH PLAIN AGEAYg==");
    session.resume(Answer::LoggedIn(Capabilities::default()));
    assert_eq!(say(&mut session, "MAIL FROM:<a@b> BODY=8BITMIME"), 250);
    // Asked again it is told better.
    session.handle_line(b"EHLO x");
    assert_eq!(say(&mut session, "MAIL FROM:<a@b> BODY=8BITMIME"), SyntaxError::Parameter.reply().code());
}

#[test]
fn dsn_and_smtputf8_only_where_upstream_has_them_rfc_3461_rfc_6531() {
    let mut session = logged_in();
    assert_eq!(say(&mut session, "MAIL FROM:<\u{e4}@b> SMTPUTF8"), 550);
    assert_eq!(say(&mut session, "MAIL FROM:<\u{e4}@b>"), 550);
    assert_eq!(say(&mut session, "MAIL FROM:<a@b> RET=FULL ENVID=x"), 250);
    assert_eq!(say(&mut session, "RCPT TO:<\u{e4}@b>"), 550);
    assert!(matches!(session.handle_line(b"RCPT TO:<c@d> NOTIFY=NEVER"), Step::Gathered));
    let (mut session, _) = Session::new();
    session.handle_line(b"EHLO x");
    session.handle_line(b"AUTH PLAIN AGEAYg==");
    session.resume(Answer::LoggedIn(Capabilities { smtputf8: true, ..Capabilities::default() }));
    assert_eq!(say(&mut session, "MAIL FROM:<a@b> RET=FULL"), 555);
    assert_eq!(say(&mut session, "MAIL FROM:<\u{e4}@b> SMTPUTF8"), 250);
    assert_eq!(say(&mut session, "RCPT TO:<c@d> ORCPT=rfc822;c@d"), 555);
    assert!(matches!(session.handle_line("RCPT TO:<\u{e4}@d>".as_bytes()), Step::Gathered));
}

#[test]
fn an_odd_answer_to_data_is_no_invitation() {
    let mut session = logged_in();
    say(&mut session, "MAIL FROM:<a@b>");
    rcpt(&mut session, ok());
    session.handle_line(b"DATA");
    assert_eq!(code(session.resume(Answer::Data(ok()))), 451);
    assert_eq!(say(&mut session, "DATA"), 503);
}

#[test]
fn a_lost_transaction_cannot_go_on_without_the_recipients_it_had() {
    let mut session = logged_in();
    say(&mut session, "MAIL FROM:<a@b>");
    rcpt(&mut session, ok());
    session.handle_line(b"RCPT TO:<c@d>");
    session.settle();
    session.resume(Answer::Lost(Reply::new(451, 4, 2, "gone")));
    assert_eq!(say(&mut session, "RCPT TO:<e@f>"), 451);
    assert_eq!(say(&mut session, "DATA"), 451);
    assert_eq!(say(&mut session, "MAIL FROM:<a@b>"), 250, "begins anew");
}

proptest! {
    /// No line, in whatever state, is left without an answer, and none but those of the app's RCPTs go upstream.
    #[test]
    fn every_line_is_answered(lines in prop::collection::vec(
        "(MAIL FROM:|RCPT TO:|DATA|RSET|EHLO|NOOP|AUTH PLAIN|AUTH LOGIN|QUIT|\\*)[ -~]{0,12}", 0..30)) {
        let mut session = logged_in();
        for line in lines {
            let step = session.handle_line(line.as_bytes());
            let step = match step {
                Step::Gathered => session.settle(),
                step => step,
            };
            match step {
                Step::Ask(Request::Envelope(envelope)) => {
                    let replies = envelope.recipients.iter().map(|_| ok()).collect();
                    prop_assert!(matches!(session.resume(Answer::Recipients(replies)), Step::Replies(_)));
                }
                Step::Ask(Request::Data) => {
                    session.resume(Answer::Data(Reply::bare(354, "go")));
                    session.resume(Answer::Received(ok()));
                }
                Step::Ask(Request::Login(_)) => prop_assert!(false, "logged in already"),
                Step::Finish(_) => break,
                Step::Replies(replies) => prop_assert!(!replies.is_empty()),
                Step::Reply(_) => {}
                step => prop_assert!(false, "{step:?}"),
            }
            prop_assert!(!session.is_gathering());
        }
    }
}

/// RFC 3207 §4: offered where it can be begun, not within TLS.
#[test]
fn starttls_is_offered_where_tls_may_begin_and_nowhere_else() {
    for (tls, offered) in [
        (AppTls::Off, false),
        (AppTls::Offered, true),
        (AppTls::Required, true),
        (AppTls::Implicit, false),
        (AppTls::Upgraded, false),
    ] {
        let mut session = Session::with_tls(tls);
        let Step::Reply(reply) = session.handle_line(b"EHLO me") else { panic!("no reply") };
        let text = String::from_utf8(reply.encode()).unwrap();
        assert_eq!(text.contains("STARTTLS"), offered, "{tls:?}");
        assert_eq!(text.contains("AUTH"), tls != AppTls::Required, "{tls:?}");
        let step = session.handle_line(b"STARTTLS");
        assert_eq!(matches!(&step, Step::BeginTls(reply) if reply.code() == 220), offered, "{tls:?}");
    }
}

/// RFC 3207 §4: 530 to everything that needs a password.
#[test]
fn no_password_before_tls_where_it_is_required() {
    let mut session = Session::with_tls(AppTls::Required);
    session.handle_line(b"EHLO me");
    for command in ["AUTH PLAIN AGFuYQB4", "AUTH LOGIN", "MAIL FROM:<a@b.c>", "RCPT TO:<a@b.c>", "DATA"] {
        let step = session.handle_line(command.as_bytes());
        assert!(matches!(&step, Step::Reply(reply) if reply.code() == 530), "{command}: {step:?}");
    }
    assert!(matches!(session.handle_line(b"STARTTLS x"), Step::Reply(reply) if reply.code() == 501));
}
