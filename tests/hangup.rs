//! SIGHUP, with the program as it is run: under a service manager it ends nothing, at a terminal it means that the
//! terminal is gone.

mod support;

use support::bridge::{Config, Home, Program, Remote, signal};
use support::scripted::Begin;
use support::terminal;
use support::wire::Wire;

/// One account, whose provider nobody asks for.
fn config() -> Config {
    let nobody = Remote { host: "127.0.0.1".to_owned(), port: 1, security: Begin::Tls };
    Config::new("ana@example.org", &nobody)
}

/// A POP3, an IMAP and an SMTP app that have been greeted.
async fn apps(bridge: &Program) -> [Wire; 3] {
    let connect = async |address, greeting| {
        let mut app = Wire::connect(address).await.expect("the bridge answers");
        app.expect(greeting).await;
        app
    };
    [
        connect(bridge.pop3(), "+OK").await,
        connect(bridge.imap(), "* OK").await,
        connect(bridge.smtp(), "220 ").await,
    ]
}

async fn asked(apps: &mut [Wire; 3]) {
    let [pop3, imap, smtp] = apps;
    pop3.ask("USER ana@example.org", "+OK").await;
    imap.ask("a NOOP", "a OK").await;
    smtp.ask("NOOP", "250 ").await;
}

/// RFC 3501 §7.1.5 and RFC 5321 §3.8: BYE and 421; POP3 has no word for it.
async fn sent_away(apps: [Wire; 3]) {
    for (mut app, word) in apps.into_iter().zip(["", "* BYE footbridge is stopping", "421 4.3.2"]) {
        let said = String::from_utf8(app.hear_to_the_end().await).expect("text");
        assert!(said.starts_with(word), "{said} instead of {word}");
    }
}

/// Reload by habit, or by a service manager that is told to: no session may be lost.
#[tokio::test]
async fn without_a_terminal_it_loses_no_session() {
    let mut bridge = Program::start(&config(), "info");
    let mut apps = apps(&bridge).await;
    for _ in 0..2 {
        signal("HUP", bridge.id());
        bridge.until("nothing is read anew and every session goes on");
        asked(&mut apps).await;
    }
    assert!(bridge.terminate().success());
    sent_away(apps).await;
    let log = bridge.log();
    assert_eq!(log.matches("SIGHUP").count(), 2, "one line each: {log}");
}

/// A window that is closed: the apps hear that the bridge stops, and neither the shell's own SIGHUP nor a log that can
/// be written nowhere makes another end of it.
#[tokio::test]
async fn with_its_terminal_gone_it_stops_in_order() {
    let home = Home::new(&config());
    let mut bridge = Program::start_by(&home, terminal::window(&home.command()), "debug");
    let mut apps = apps(&bridge).await;
    asked(&mut apps).await;
    signal("USR1", bridge.id());
    sent_away(apps).await;
    let status = bridge.ended();
    assert_eq!(status.code(), Some(0), "{}", bridge.log());
}
