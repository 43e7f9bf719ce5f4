use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;

/// An app that hears everything at once; logins are refused and noted.
struct App {
    session: Session,
    input: BytesMut,
    heard: String,
    offers: Vec<(String, Vec<u8>)>,
    closed: bool,
    begins_tls: bool,
}

impl App {
    fn new() -> Self {
        Self::with_tls(AppTls::Off)
    }

    fn with_tls(tls: AppTls) -> Self {
        Self {
            session: Session::with_tls(tls),
            input: BytesMut::new(),
            heard: String::new(),
            offers: Vec::new(),
            closed: false,
            begins_tls: false,
        }
    }

    fn says(&mut self, octets: impl AsRef<[u8]>) -> &mut Self {
        self.input.extend_from_slice(octets.as_ref());
        while !self.closed
            && let Some(step) = self.session.take(&mut self.input)
        {
            match step {
                Step::Reply(reply) => self.heard += &reply,
                Step::BeginTls(reply) => {
                    self.heard += &reply;
                    self.begins_tls = true;
                    return self;
                }
                Step::Finish(reply) => {
                    self.heard += &reply;
                    self.closed = true;
                }
                Step::Login(offer) => {
                    self.offers.push((offer.login, offer.secret.expose().to_vec()));
                    self.heard += &self.session.refused(Code::AuthenticationFailed, "no", false);
                }
            }
        }
        self
    }

    #[track_caller]
    fn heard(&mut self, expected: &str) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.heard), expected);
        self
    }

    fn heard_lines(&self) -> Vec<&str> {
        self.heard.lines().collect()
    }
}

/// The offer of one login, heard whole and octet by octet.
#[track_caller]
fn offered(text: impl AsRef<[u8]>) -> (String, Vec<u8>) {
    let mut whole = App::new();
    whole.says(text.as_ref());
    let mut split = App::new();
    for octet in text.as_ref() {
        split.says([*octet]);
    }
    assert_eq!((&whole.offers, &whole.heard), (&split.offers, &split.heard));
    assert_eq!(whole.offers.len(), 1, "{}", whole.heard);
    whole.offers.remove(0)
}

#[test]
fn the_greeting_is_one_ok_line_with_our_own_list() {
    // RFC 3501 §7.1.1, RFC 7888 §5.
    let greeting = Session::new().greeting().unwrap();
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 ") && greeting.ends_with("\r\n"));
    assert!(!greeting.contains("LITERAL-") && !greeting.contains("STARTTLS"));
}

#[test]
fn login_takes_every_form_of_string_in_any_mix() {
    // RFC 3501 §6.2.3, §9 astring; RFC 7888.
    let name = ["ana@x.org", "\"ana@x.org\"", "{9}\r\nana@x.org", "{9+}\r\nana@x.org"];
    let password = [
        ("p%s*w\\rd", "p%s*w\\rd"),
        ("\"p \\\"\\\\w\u{e4}\"", "p \"\\w\u{e4}"),
        ("{6}\r\n\"p {3}", "\"p {3}"),
        ("{4+}\r\na b ", "a b "),
        ("\"\"", ""),
        ("{0}\r\n", ""),
    ];
    for name in name {
        for (sent, meant) in password {
            let text = format!("a1 login {name} {sent}\r\n");
            assert_eq!(offered(&text), ("ana@x.org".into(), meant.as_bytes().to_vec()), "{text}");
        }
    }
    assert_eq!(offered("a LOGIN  ana  x \r\n"), ("ana".into(), b"x".to_vec()));
    assert_eq!(offered(b"a LOGIN ana \"p\xe4\"\n"), ("ana".into(), b"p\xe4".to_vec()));
}

#[test]
fn plus_comes_for_synchronising_literals_only() {
    let mut app = App::new();
    app.says("a LOGIN {3}\r\n").heard("+ go on\r\n").says("ana {1+}\r\nx").heard("").says("\r\n");
    app.heard("a NO [AUTHENTICATIONFAILED] no\r\n");
    assert_eq!(app.offers, [("ana".to_owned(), b"x".to_vec())]);
}

#[test]
fn control_octets_are_in_no_name_and_no_password() {
    for arguments in ["{4+}\r\nan\r\n x", "ana {3+}\r\nx\ny", "ana {1+}\r\n\0", "{2+}\r\n\ta x"] {
        let mut app = App::new();
        app.says(format!("a LOGIN {arguments}\r\n"));
        app.heard("a BAD control characters are in no name and no password\r\n");
        assert!(app.offers.is_empty());
    }
}

#[test]
fn authenticate_plain_in_its_three_ways() {
    // RFC 3501 §6.2.2, RFC 4959 §3.
    let text = BASE64_STANDARD.encode("\0ana\0x y");
    let meant = ("ana".to_owned(), b"x y".to_vec());
    assert_eq!(offered(format!("a AUTHENTICATE PLAIN {text}\r\n")), meant);
    assert_eq!(offered(format!("a authenticate plain\r\n{text}\r\n")), meant);
    let mut app = App::new();
    app.says("a AUTHENTICATE PLAIN\r\n")
        .heard("+ \r\n")
        .says("*\r\n")
        .heard("a BAD AUTHENTICATE cancelled\r\n");
    app.says("b AUTHENTICATE PLAIN =\r\n").heard("b BAD this is not what the mechanism wants\r\n");
    app.says("c AUTHENTICATE XOAUTH2 abc\r\n").heard("c NO this mechanism is not offered\r\n");
    app.says("d AUTHENTICATE LOGIN\r\nYW5h\r\neA==\r\n");
    app.heard("+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\nd NO [AUTHENTICATIONFAILED] no\r\n");
}

#[test]
fn a_line_of_twelve_thousand_octets_is_taken() {
    // RFC 4954 §4 names the size for AUTH; IMAP apps send the same tokens.
    let password = "x".repeat(9_000);
    let text = BASE64_STANDARD.encode(format!("\0ana\0{password}"));
    assert!(text.len() > 12_000);
    assert_eq!(offered(format!("a AUTHENTICATE PLAIN {text}\r\n")).1, password.as_bytes());
    assert_eq!(offered(format!("a AUTHENTICATE PLAIN\r\n{text}\r\n")).1, password.as_bytes());
}

#[test]
fn what_is_ours_before_login() {
    let mut app = App::new();
    app.says(". CAPABILITY\r\nA] NOOP\r\n1 noop \r\n");
    app.heard(&format!(
        "* CAPABILITY {BEFORE_LOGIN}\r\n. OK CAPABILITY completed\r\nA] OK NOOP completed\r\n1 OK NOOP completed\r\n"
    ));
    app.says("i ID (\"name\" {3}\r\nfoo)\r\n");
    let version = env!("CARGO_PKG_VERSION");
    app.heard(&format!(
        "+ go on\r\n* ID (\"name\" \"footbridge\" \"version\" \"{version}\")\r\ni OK ID completed\r\n"
    ));
    app.says("\r\nq LOGOUT\r\nx NOOP\r\n").heard("* BYE logging out\r\nq OK LOGOUT completed\r\n");
}

#[test]
fn the_tag_comes_back_exactly() {
    let tag = "T.]<>-_".repeat(14) + "99";
    let mut app = App::new();
    app.says(format!("{tag} NOOP\r\n")).heard(&format!("{tag} OK NOOP completed\r\n"));
    app.says(format!("{tag}x NOOP\r\n")).heard("* BAD a command begins with a tag\r\n");
    app.says("a+b NOOP\r\n").heard("* BAD a command begins with a tag\r\n");
}

/// RFC 3501 §6.2.1: offered where it can be begun and nowhere else.
#[test]
fn starttls_is_offered_where_tls_may_begin_and_nowhere_else() {
    let mut app = App::with_tls(AppTls::Offered);
    assert!(app.session.greeting().unwrap().contains(" STARTTLS]"));
    app.says("a CAPABILITY\r\n")
        .heard(&format!("* CAPABILITY {BEFORE_LOGIN} STARTTLS\r\na OK CAPABILITY completed\r\n"));
    app.says("b STARTTLS\r\nc NOOP\r\n").heard("b OK begin TLS\r\n");
    assert!(app.begins_tls && app.input == b"c NOOP\r\n"[..], "what follows is left for the driver to judge");
    for tls in [AppTls::Implicit, AppTls::Upgraded] {
        let mut app = App::with_tls(tls);
        app.says("a CAPABILITY\r\nb STARTTLS\r\n");
        app.heard(&format!(
            "* CAPABILITY {BEFORE_LOGIN}\r\na OK CAPABILITY completed\r\nb BAD TLS is there already\r\n"
        ));
    }
    assert!(Session::with_tls(AppTls::Upgraded).greeting().is_none());
}

/// RFC 3501 §6.2.3 LOGINDISABLED, RFC 5530 §3 PRIVACYREQUIRED.
#[test]
fn no_password_before_tls_where_it_is_required() {
    let mut app = App::with_tls(AppTls::Required);
    let greeting = app.session.greeting().unwrap();
    assert!(greeting.contains("STARTTLS LOGINDISABLED") && !greeting.contains("AUTH="), "{greeting}");
    app.says("a LOGIN ana x\r\nb AUTHENTICATE PLAIN\r\n");
    let told = "NO [PRIVACYREQUIRED] TLS comes first; set the mail program to STARTTLS\r\n";
    app.heard(&format!("a {told}b {told}"));
    assert!(app.offers.is_empty());
    app.says("c STARTTLS\r\n").heard("c OK begin TLS\r\n");
}

#[test]
fn three_bad_commands_are_the_last() {
    let mut app = App::new();
    app.says("a SELECT INBOX\r\nb STARTTLS\r\nc NOOP\r\nd LOGIN ana\r\ne NOOP\r\n");
    app.heard(
        "a BAD log in first\r\nb BAD TLS is not offered here\r\nc OK NOOP completed\r\n\
         d BAD LOGIN wants a name and a password\r\n* BYE too many bad commands\r\n",
    );
    assert!(app.closed);
}

#[test]
fn a_refused_synchronising_literal_gets_no_plus_and_the_next_line_is_a_command() {
    // RFC 3501 §7.5.
    let mut app = App::new();
    app.says("a LOGIN {9000}\r\nb NOOP\r\n")
        .heard("a BAD this literal is too long\r\nb OK NOOP completed\r\n");
    app.says("c SELECT {5}\r\nd NOOP\r\n");
    app.heard("c BAD this command takes no literal before login\r\nd OK NOOP completed\r\n");
}

#[test]
fn a_refused_non_synchronising_literal_is_eaten() {
    // RFC 7888 §4.
    let mut app = App::new();
    app.says(format!("a LOGIN {{9000+}}\r\n{} {{3+}}\r\nxyz\r\nb NOOP\r\n", "b LOGOUT\r\n".repeat(900)));
    app.heard("a BAD this literal is too long\r\nb OK NOOP completed\r\n");
}

#[test]
fn what_is_far_too_much_is_not_eaten() {
    let mut app = App::new();
    app.says("a LOGIN {1000000+}\r\n").heard("* BYE too many octets before login\r\n");
    let mut app = App::new();
    app.says(format!("a LOGIN {}\r\nb NOOP\r\n", "x".repeat(100_000)));
    app.heard("a BAD this command is too long\r\nb OK NOOP completed\r\n");
    app.says("x".repeat(400_000)).heard("* BYE too many octets before login\r\n");
    assert!(app.closed);
}

#[test]
fn other_protocols_get_one_line_and_nothing_of_theirs_back() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "POST /x HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "CONNECT a:1 HTTP/1.1\r\n",
        "GET /\r\n",
        "get http://x/\r\n",
        "PRI * HTTP/2.0\r\n",
        "Host: localhost\r\n",
        "X-Evil: a LOGIN b c\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "<script>alert(1)</script>\r\n",
        "{\"a\":1}\r\n",
        "\x16\x03\x01\x02",
        "\x05\x01\x00",
        "\u{0}",
        "\u{80}",
    ] {
        let mut app = App::new();
        app.says(line).says("a LOGIN eve x\r\n").heard(intruder::FAREWELL);
        assert!(app.closed && app.offers.is_empty(), "{line:?}");
    }
    let mut app = App::new();
    app.says("GET NOOP\r\nHost: NOOP\r\n").heard("GET OK NOOP completed\r\nHost: OK NOOP completed\r\n");
}

#[test]
fn what_stands_behind_a_login_is_left_for_the_splice() {
    let mut session = Session::new();
    let mut input = BytesMut::from(&b"a LOGIN ana x\r\nb SELECT INBOX\r\n"[..]);
    assert!(matches!(session.take(&mut input), Some(Step::Login(_))));
    assert_eq!(input, &b"b SELECT INBOX\r\n"[..]);
    let reply = session.accepted(&[&b"* OK [ALERT] hi\r\n"[..]], "IMAP4rev1 ID");
    assert_eq!(reply, b"* OK [ALERT] hi\r\na OK [CAPABILITY IMAP4rev1 ID] logged in\r\n");
}

#[test]
fn an_alert_is_said_once_and_cannot_forge_lines() {
    // RFC 3501 §7.1, RFC 5530 §3.
    let mut app = App::new();
    app.says("a LOGIN ana x\r\n");
    let first = app.session.refused(Code::Unavailable, "ana: bad\r\ncertificate", true);
    assert_eq!(first, "* OK [ALERT] ana: bad  certificate\r\na NO [UNAVAILABLE] ana: bad  certificate\r\n");
    assert_eq!(app.session.refused(Code::ContactAdmin, "x", true), "a NO [CONTACTADMIN] x\r\n");
}

#[test]
fn many_octets_before_login_are_the_end() {
    let mut app = App::new();
    for _ in 0..2 {
        app.says(format!("a LOGIN {}\r\n", "x".repeat(250_000)));
        app.heard("a BAD this command is too long\r\n");
    }
    app.says("x".repeat(30_000)).heard("* BYE too many octets before login\r\n");
    assert!(app.closed);
}

/// A program that asks and asks without a login keeps a place and a processor busy for nothing.
#[test]
fn many_commands_before_login_are_the_end_however_small() {
    let bye = "* BYE too much without a login, goodbye\r\n";
    for (asked, answer) in [
        ("a NOOP\r\n", "a OK NOOP completed\r\n"),
        ("\r\n", ""),
        ("a AUTHENTICATE PLAIN\r\n*\r\n", "+ \r\na BAD AUTHENTICATE cancelled\r\n"),
    ] {
        let (mut app, lines) = (App::new(), asked.matches('\n').count());
        app.says(asked.repeat(200 / lines)).heard(&answer.repeat(200 / lines));
        assert!(!app.closed, "{asked:?}");
        app.says(asked).heard(bye);
        assert!(app.closed, "{asked:?}");
    }
    let mut app = App::new();
    app.says(format!("a LOGIN {}", "{0}\r\n".repeat(201)))
        .heard(&format!("{}{bye}", "+ go on\r\n".repeat(200)));
}

/// RFC 3501 §6.1, §6.2: what apps say before login, and a user who does not find the password.
#[test]
fn an_app_may_ask_all_there_is_and_fail_many_times_before_it_logs_in() {
    let mut app = App::new();
    app.says("a CAPABILITY\r\nb ID NIL\r\nc NOOP\r\n".repeat(10));
    let password = "x".repeat(8 * 1024);
    for _ in 0..20 {
        app.says(format!("d LOGIN {{9}}\r\nana@x.org {{{}}}\r\n{password}\r\n", password.len()));
        app.says("e AUTHENTICATE LOGIN\r\nYW5h\r\neA==\r\n");
    }
    app.says("f LOGIN ana right\r\n");
    assert!(!app.closed && app.heard.ends_with("f NO [AUTHENTICATIONFAILED] no\r\n"));
    assert_eq!(app.offers.len(), 41);
}

proptest! {
    #[test]
    fn any_octets_panic_nowhere_and_any_split_gives_the_same(
        parts in prop::collection::vec(
            prop_oneof![
                "[ -~]{0,12}", Just("\r\n".to_owned()), Just("a LOGIN ".to_owned()), Just("{2}\r\n".to_owned()),
                Just("{2+}\r\n".to_owned()), Just("\"x\\\"\"".to_owned()), Just("b AUTHENTICATE PLAIN".to_owned()),
                Just("AGFuYQB4".to_owned()), Just("\u{0}".to_owned()), Just("\u{e4}".to_owned()),
            ],
            0..24,
        ),
        sizes in prop::collection::vec(1usize..9, 1..9),
    ) {
        let text = parts.concat().into_bytes();
        let (mut whole, mut split) = (App::new(), App::new());
        whole.says(&text);
        let (mut at, mut sizes) = (0, sizes.into_iter().cycle());
        while at < text.len() {
            let end = (at + sizes.next().unwrap_or(1)).min(text.len());
            split.says(&text[at..end]);
            at = end;
        }
        prop_assert_eq!(whole.heard_lines(), split.heard_lines());
        prop_assert_eq!(whole.offers, split.offers);
    }
}
