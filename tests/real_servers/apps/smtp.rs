//! SMTP apps.

use super::{python, run, succeed};
use crate::support::bridge::{Config, Program, Remote};
use crate::support::dovecot::{Dovecot, PASSWORD};
use crate::support::mail;
use crate::support::postfix::Postfix;
use crate::support::wire::Wire;

fn submitting(user: &str, smtp: &Remote) -> Program {
    Program::start(&Config::new(user, &Dovecot::shared().imaps()).smtp(smtp), "debug")
}

/// What came, with the headers that Postfix put before it taken off; line ends are LF.
fn delivered(recipient: &str, count: usize) -> Vec<String> {
    let whole = Postfix::shared().delivered(recipient, count);
    let text = whole.iter().map(|octets| octets.iter().map(|octet| char::from(*octet)).collect::<String>());
    text.map(|text| text.split_once("X-Begin: here\n").expect("the app's first header is there").1.to_owned())
        .collect()
}

fn latin(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect::<String>().replace("\r\n", "\n")
}

/// Attachments, 8-bit text, dots; PLAIN and LOGIN; a refused recipient among good ones.
#[tokio::test]
async fn smtplib_over_tls() {
    let user = "smtplib@example.test";
    let bridge = submitting(user, &Postfix::shared().smtps());
    let sent = python(include_str!("smtplib_session.py"), bridge.smtp(), &[user, PASSWORD]);
    let arrived = delivered("bob", 3);
    let mut sent: Vec<String> = latin(&sent).split("=====\n").map(str::to_owned).collect();
    sent.pop();
    assert_eq!(sent.len(), 3);
    for message in sent {
        assert!(arrived.contains(&message), "not arrived as it was sent: {message}");
    }
}

#[tokio::test]
async fn msmtp_over_starttls() {
    let user = "msmtp@example.test";
    let bridge = submitting(user, &Postfix::shared().submission());
    let port = format!("--port={}", bridge.smtp().port());
    let body = format!("Subject: by msmtp\n\n.\n..\n{} 8-bit \u{e4}\n", mail::CANARY);
    for auth in ["--auth=plain", "--auth=login"] {
        let arguments = [
            "--host=127.0.0.1",
            &port,
            auth,
            &format!("--user={user}"),
            &format!("--passwordeval=echo {PASSWORD}"),
            "--tls=off",
            "--set-date-header=off",
            "--set-from-header=off",
            "--set-msgid-header=off",
            "--from",
            user,
            "carol@example.test",
        ];
        // An option that an older msmtp does not know yet is left out.
        let known = run("msmtp", &["--help"], b"").said;
        let arguments: Vec<&str> = arguments
            .into_iter()
            .filter(|argument| {
                !argument.starts_with("--set-")
                    || known.contains(argument.split('=').next().unwrap_or_default())
            })
            .collect();
        succeed("msmtp", &arguments, format!("X-Begin: here\n{body}").as_bytes());
    }
    for arrived in delivered("carol", 2) {
        assert_eq!(arrived, latin(body.as_bytes()));
    }
}

/// 25 MB through curl, octet by octet the same.
#[tokio::test]
async fn curl_sends_a_large_message() {
    let user = "curl-smtp@example.test";
    let bridge = submitting(user, &Postfix::shared().smtps());
    let message = [b"X-Begin: here\r\n".as_slice(), &mail::large(25 * 1000 * 1000)].concat();
    let url = format!("smtp://{}", bridge.smtp());
    let login = format!("{user}:{PASSWORD}");
    let to = ["--mail-from", user, "--mail-rcpt", "dave@example.test"];
    succeed("curl", &[&["-sS", "-u", &login, "-T", "-", &url], &to[..]].concat(), &message);
    let arrived = delivered("dave", 1);
    assert!(arrived[0].as_bytes() == latin(&message[15..]).as_bytes(), "the large message arrived changed");
}

/// RFC 1870 §6.1: more than upstream takes is refused at MAIL, before its octets travel.
#[tokio::test]
async fn a_message_above_upstreams_limit_is_refused_at_mail() {
    let user = "size@example.test";
    let bridge = submitting(user, &Postfix::shared().smtps());
    let mut app = logged_in(&bridge, user).await;
    app.ask("MAIL FROM:<a@example.test> SIZE=99999999", "552 5.3.4").await;
    app.ask("QUIT", "221").await;
}

/// RFC 5321 §3.3: each recipient has upstream's own answer, and the message goes to those that were taken.
#[tokio::test]
async fn recipients_are_answered_one_by_one() {
    let user = "recipients@example.test";
    let bridge = submitting(user, &Postfix::shared().submission());
    let mut app = logged_in(&bridge, user).await;
    let begin = "MAIL FROM:<a@example.test>\r\nRCPT TO:<erin@example.test>\r\nRCPT TO:<nobody-here@example.test>\r\n\
                 RCPT TO:<frank@example.test>\r\nDATA";
    app.say(begin).await;
    app.expect("250").await;
    app.expect("250").await;
    app.expect("550 5.1.1").await;
    app.expect("250").await;
    app.expect("354").await;
    app.ask("X-Begin: here\r\n\r\nto two\r\n.", "250 2.0.0").await;
    app.ask("QUIT", "221").await;
    assert_eq!(delivered("erin", 1), ["\nto two\n"]);
    assert_eq!(delivered("frank", 1), ["\nto two\n"]);
}

/// An app that goes away in the middle of DATA has sent nothing (RFC 5321 §4.1.1.4).
#[tokio::test]
async fn a_message_that_breaks_off_is_not_sent() {
    let user = "broken-off@example.test";
    let bridge = submitting(user, &Postfix::shared().smtps());
    let mut app = logged_in(&bridge, user).await;
    app.ask("MAIL FROM:<a@example.test>", "250").await;
    app.ask("RCPT TO:<grace@example.test>", "250").await;
    app.ask("DATA", "354").await;
    app.say("X-Begin: here\r\n\r\nhalf").await;
    drop(app);
    // What comes later comes alone.
    let mut app = logged_in(&bridge, user).await;
    app.ask("MAIL FROM:<a@example.test>", "250").await;
    app.ask("RCPT TO:<grace@example.test>", "250").await;
    app.ask("DATA", "354").await;
    app.ask("X-Begin: here\r\n\r\nwhole\r\n.", "250").await;
    app.ask("QUIT", "221").await;
    assert_eq!(delivered("grace", 1), ["\nwhole\n"]);
    let begun = Postfix::shared().log().matches("from=<a@example.test>").count();
    assert!(begun >= 1);
}

async fn logged_in(bridge: &Program, user: &str) -> Wire {
    let mut app = Wire::connect(bridge.smtp()).await.expect("the bridge answers");
    app.expect("220").await;
    app.say("EHLO old.example").await;
    while !app.hear().await.starts_with("250 ") {}
    let response = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("\0{user}\0{PASSWORD}"));
    app.ask(&format!("AUTH PLAIN {response}"), "235").await;
    app
}
