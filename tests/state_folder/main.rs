//! What the bridge keeps in its state folder when the power is lost, and when the disk fails: real Dovecot, the bridge as a
//! process, and strace, which tells of its calls to the system or has them fail.

#[path = "../support/mod.rs"]
mod support;

mod disk;
mod faults;
mod power_loss;

use support::bridge::Program;
use support::dovecot::{Dovecot, PASSWORD};
use support::imap::Imap;
use support::pop3::Pop3;

/// Messages in a mailbox.
const MESSAGES: usize = 6;

/// The keyword upstream, which tells a bridge that knows nothing what was hidden.
const HINT: &str = "$FootbridgeHidden";

fn message(number: usize) -> Vec<u8> {
    format!("Subject: {number}\r\n\r\nthe body of {number}\r\n").into_bytes()
}

/// The user's mailbox is filled past the bridge; gives the session, in which it is open.
async fn filled(user: &str) -> Imap {
    let mut direct = Imap::direct(Dovecot::shared().imaps().port, user).await;
    for number in 1..=MESSAGES {
        let done = direct.append("INBOX", &message(number)).await;
        assert!(done.contains(" OK "), "{done}");
    }
    direct.ok("SELECT INBOX").await;
    direct
}

/// Which messages a POP3 app is shown, each looked at to the end.
async fn shown(bridge: &Program, user: &str) -> Vec<usize> {
    let mut app = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    let count = app.lines("LIST").await.split(|octet| *octet == b'\n').count() - 1;
    let mut numbers = Vec::new();
    for at in 1..=count {
        let octets = app.lines(&format!("RETR {at}")).await;
        let number = (1..=MESSAGES).find(|number| message(*number) == octets);
        numbers.push(number.unwrap_or_else(|| panic!("no message of ours: {}", octets.escape_ascii())));
    }
    app.ok("QUIT").await;
    numbers
}

/// Has some messages hidden in one session, behind one that looks; what QUIT is answered.
async fn hide(bridge: &Program, user: &str, these: &[usize]) -> String {
    let there = shown(bridge, user).await;
    let mut app = Pop3::login(bridge.pop3(), user, PASSWORD).await;
    for number in these {
        let at = there.iter().position(|shown| shown == number).expect("it is shown") + 1;
        app.ok(&format!("DELE {at}")).await;
    }
    app.wire().send(b"QUIT\r\n").await.expect("the bridge takes it");
    app.wire().hear().await
}
