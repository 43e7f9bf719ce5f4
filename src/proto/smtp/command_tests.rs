use super::*;
use crate::proto::smtp::Capabilities;
use proptest::prelude::*;

fn name(line: &str) -> Result<&'static str, SyntaxError> {
    Command::parse(line.as_bytes()).map(|_| Command::verb(line.as_bytes()))
}

fn mail_from(line: &str) -> Result<MailFrom, SyntaxError> {
    match Command::parse(line.as_bytes())? {
        Command::Mail(mail) => Ok(mail),
        other => panic!("{other:?}"),
    }
}

fn rcpt_to(line: &str) -> Result<RcptTo, SyntaxError> {
    match Command::parse(line.as_bytes())? {
        Command::Rcpt(rcpt) => Ok(rcpt),
        other => panic!("{other:?}"),
    }
}

#[test]
fn verbs_in_any_case_and_with_trailing_space_rfc_5321_section_2_4() {
    for (line, verb) in [
        ("ehlo my pc", "EHLO"),
        ("EHLO", "EHLO"),
        ("Helo \u{e4}\u{f6}", "HELO"),
        ("mail from:<a@b.c>", "MAIL"),
        ("data ", "DATA"),
        ("Quit  ", "QUIT"),
        ("NOOP what ever", "NOOP"),
        ("VRFY ana", "VRFY"),
        ("help", "HELP"),
        ("rset", "RSET"),
    ] {
        assert_eq!(name(line), Ok(verb), "{line}");
    }
}

#[test]
fn unknown_and_unimplemented_are_told_apart_rfc_5321_section_4_2_4() {
    assert_eq!(name("FOO"), Err(SyntaxError::Unknown));
    assert_eq!(name(""), Err(SyntaxError::Unknown));
    assert_eq!(name("MAI FROM:<a@b>"), Err(SyntaxError::Unknown));
    assert_eq!(name("EXPN list"), Err(SyntaxError::NotImplemented));
    assert_eq!(name("BDAT 5 LAST"), Err(SyntaxError::NotImplemented));
    assert!(matches!(name("DATA now"), Err(SyntaxError::Argument(_))));
}

#[test]
fn web_pages_and_port_scans_are_no_mail_apps() {
    for line in [
        "GET / HTTP/1.1",
        "post / HTTP/1.1",
        "EHLO / HTTP/1.1",
        "\u{16}\u{3}\u{1}",
        "PROXY TCP4 127.0.0.1 127.0.0.1 1 2",
        "SSH-2.0-x",
        "PRI * HTTP/2.0",
        "Host: localhost",
        "X-Y:z",
        "MAIL:",
        "\u{e4}",
        "\u{5}\u{1}",
    ] {
        assert_eq!(name(line), Err(SyntaxError::NotSmtp), "{line}");
    }
    assert!(name("EHLO [IPv6:::1]").is_ok());
}

#[test]
fn text_that_no_protocol_begins_with_is_an_unknown_command_rfc_5321_section_4_2_4() {
    for line in [".", "..", "-", "<a@b>", "<html>", "{\"a\":1}", ":", "1", "\tx", "[::1]"] {
        assert_eq!(name(line), Err(SyntaxError::Unknown), "{line}");
    }
}

#[test]
fn a_control_octet_in_a_command_line_is_no_command() {
    assert_eq!(name("MAIL FROM:<a@b>\rRCPT TO:<c@d>"), Err(SyntaxError::Unknown));
    assert_eq!(name("RCPT TO:<a@b\0>"), Err(SyntaxError::Unknown));
}

#[test]
fn mail_with_what_old_apps_make_of_it() {
    for line in ["MAIL FROM:<a@b.c>", "MAIL FROM: <a@b.c>", "mail from : a@b.c", "MAIL From:<@x,@y:a@b.c>"] {
        assert_eq!(mail_from(line).map(|mail| mail.path.to_string()), Ok("<a@b.c>".into()), "{line}");
    }
    assert!(mail_from("MAIL FROM:<>").is_ok_and(|mail| mail.path.is_null()));
    assert!(matches!(mail_from("MAIL <a@b>"), Err(SyntaxError::Argument(_))));
    assert_eq!(mail_from("MAIL FROM:"), Err(SyntaxError::Sender));
    assert_eq!(rcpt_to("RCPT TO:<>"), Err(SyntaxError::Recipient));
    assert!(matches!(Command::parse(b"RCPT TO:<j\xf6rg@x.org>"), Err(SyntaxError::Recipient)), "Latin-1");
    assert_eq!(rcpt_to("RCPT TO:<postmaster>").map(|rcpt| rcpt.path.to_string()), Ok("<postmaster>".into()));
}

#[test]
fn parameters_of_mail_rfc_1870_rfc_6152_rfc_3461_rfc_6531() {
    let mail =
        mail_from("MAIL FROM:<a@b.c> size=100 BODY=8BitMIME RET=hdrs ENVID=a+2Bb SMTPUTF8 AUTH=<>").unwrap();
    assert_eq!((mail.size, mail.eight_bit, mail.smtputf8), (Some(100), Some(true), true));
    assert_eq!((mail.ret.as_deref(), mail.envid.as_deref()), (Some("hdrs"), Some("a+2Bb")));
}

#[test]
fn wrong_doubled_and_unknown_parameters_rfc_5321_section_4_1_1_11() {
    for bad in
        ["SIZE=x", "SIZE=", "SIZE", "SIZE=1 SIZE=1", "RET=ALL", "ENVID=a+2b", "ENVID=a ENVID=b", "SMTPUTF8=1"]
    {
        let found = mail_from(&format!("MAIL FROM:<a@b.c> {bad}"));
        assert!(matches!(found, Err(SyntaxError::Argument(_))), "{bad}: {found:?}");
    }
    for bad in ["BODY=9BIT", "BODY=BINARYMIME", "BY=3;R", "FOO", "NOTIFY=NEVER"] {
        assert_eq!(mail_from(&format!("MAIL FROM:<a@b.c> {bad}")), Err(SyntaxError::Parameter), "{bad}");
    }
    for bad in ["NOTIFY=NEVER,DELAY", "NOTIFY=", "ORCPT=x", "NOTIFY=NEVER NOTIFY=NEVER", "ORCPT=rfc822;a=b"] {
        let found = rcpt_to(&format!("RCPT TO:<a@b.c> {bad}"));
        assert!(matches!(found, Err(SyntaxError::Argument(_))), "{bad}: {found:?}");
    }
    assert_eq!(rcpt_to("RCPT TO:<a@b.c> SIZE=1"), Err(SyntaxError::Parameter));
}

#[test]
fn what_goes_upstream_is_what_the_app_wrote_and_upstream_has() {
    let mail = mail_from("MAIL FROM: a@b.c BODY=8BITMIME SIZE=7").unwrap();
    assert_eq!(mail.for_upstream(&Capabilities::default()), "MAIL FROM:<a@b.c>\r\n");
    let all = Capabilities { size: true, eight_bit_mime: true, ..Capabilities::default() };
    assert_eq!(mail.for_upstream(&all), "MAIL FROM:<a@b.c> SIZE=7 BODY=8BITMIME\r\n");
    let rcpt = rcpt_to("RCPT TO:<a@b.c> NOTIFY=success,DELAY ORCPT=rfc822;a+40b").unwrap();
    assert_eq!(rcpt.for_upstream(), "RCPT TO:<a@b.c> NOTIFY=success,DELAY ORCPT=rfc822;a+40b\r\n");
}

#[test]
fn auth_with_and_without_initial_response_rfc_4954_section_4() {
    let Ok(Command::Auth { mechanism, initial }) = Command::parse(b"auth plain AGEAYg==") else {
        panic!("not taken");
    };
    assert_eq!(mechanism, Some(Mechanism::Plain));
    assert_eq!(initial.map(|secret| secret.expose().to_vec()), Some(b"AGEAYg==".to_vec()));
    assert!(matches!(Command::parse(b"AUTH CRAM-MD5"), Ok(Command::Auth { mechanism: None, .. })));
    assert!(matches!(name("AUTH"), Err(SyntaxError::Argument(_))));
    assert!(matches!(name("AUTH PLAIN a b"), Err(SyntaxError::Argument(_))));
}

proptest! {
    #[test]
    fn any_octets_make_a_command_or_an_error(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::parse(&line);
    }

    #[test]
    fn nothing_that_leaves_for_upstream_holds_a_second_line(tail in "[ -~\\r\\n\\x00\\t\u{e4}]{0,60}") {
        for line in [format!("MAIL FROM:{tail}"), format!("RCPT TO:{tail}"), format!("RCPT TO:<a@b> {tail}")] {
            let upstream = match Command::parse(line.as_bytes()) {
                Ok(Command::Mail(mail)) => mail.for_upstream(&Capabilities::default()),
                Ok(Command::Rcpt(rcpt)) => rcpt.for_upstream(),
                _ => continue,
            };
            let inside = upstream.strip_suffix("\r\n").unwrap();
            prop_assert!(!inside.chars().any(char::is_control), "{inside:?}");
        }
    }
}
