//! More apps than seats, with the drivers of the bridge, over loopback.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;
use crate::bridge::Stores;
use crate::mail::Deadlines;

/// A bridge whose one account opens with a variable that cargo sets for every test; its provider never says a word.
struct Bridge {
    running: Running,
    provider: std::net::TcpListener,
}

fn bridge(limits: Limits) -> Bridge {
    bridge_to("{ env = \"CARGO_PKG_NAME\" }", limits)
}

/// The same with the account's secret elsewhere.
fn bridge_to(secret: &str, limits: Limits) -> Bridge {
    let provider = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = provider.local_addr().unwrap().port();
    let server = format!("{{ host = \"127.0.0.1\", port = {port} }}");
    let text = format!(
        "[[account]]\naddress = \"ana@gmx.net\"\nsecret = {secret}\nimap = {server}\nsmtp = {server}\n"
    );
    let settings = crate::config::parse(&text, Path::new("test.toml")).unwrap();
    let connector = Connector::new(settings.tls, Deadlines::default());
    let context = Arc::new(Context::new(&settings.accounts, connector, 0, Stores::new(None)));
    let running = start_with(limits, Duration::ZERO, move |protocol, app, standing| {
        app::stay(protocol, app, Context::clone(&context), None, standing)
    });
    Bridge { running, provider }
}

type App = BufReader<TcpStream>;

/// Connects, and reads the greeting.
async fn enter(bridge: &Bridge, protocol: Protocol) -> App {
    let address = bridge.running.addresses.iter().find(|(of, _)| *of == protocol).unwrap().1;
    let mut app = BufReader::new(TcpStream::connect(address).await.unwrap());
    let greeting = line(&mut app).await;
    assert!(["+OK ", "* OK ", "220 "].iter().any(|begin| greeting.starts_with(begin)), "{greeting}");
    app
}

/// The next line; nothing at the end.
async fn line(app: &mut App) -> String {
    let mut line = String::new();
    app.read_line(&mut line).await.unwrap();
    line
}

async fn say(app: &mut App, text: &str) {
    app.write_all(text.as_bytes()).await.unwrap();
}

/// Cut off, its verdict would be lost, and the next one with the same password would show it again: a provider that counts
/// them locks the account.
#[tokio::test]
async fn whose_password_is_with_the_provider_keeps_its_seat_until_the_verdict() {
    let bridge = bridge_to("\"app\"", Limits::new(1, 1, 1, 1));
    let mut guesser = enter(&bridge, Protocol::Imap).await;
    say(&mut guesser, "a LOGIN ana@gmx.net wrong\r\n").await;
    let provider = bridge.provider;
    let asked = tokio::task::spawn_blocking(move || provider.accept()).await.unwrap().unwrap();
    let (protocol, address) = *bridge.running.addresses.iter().find(|(of, _)| *of == Protocol::Imap).unwrap();
    let mut newcomer = BufReader::new(TcpStream::connect(address).await.unwrap());
    let heard = line(&mut newcomer).await;
    assert_eq!(heard, protocol.refusal());
    drop(asked);
    assert!(line(&mut guesser).await.starts_with("a NO "));
    let _newcomer = TcpStream::connect(address).await.unwrap();
    assert!(
        line(&mut guesser).await.starts_with("* BYE "),
        "without a verdict it is one that has shown nothing"
    );
}

/// RFC 3206 §4, RFC 3501 §7.1.5, RFC 5321 §3.8: a passing fault, in the words of each protocol, then the end.
#[tokio::test]
async fn a_silent_app_gives_its_seat_to_a_newcomer_and_is_told_so() {
    let bridge = bridge(Limits::new(3, 1, 1, 1));
    for (protocol, told) in [
        (Protocol::Pop3, "-ERR [SYS/TEMP] "),
        (Protocol::Imap, "* BYE [UNAVAILABLE] "),
        (Protocol::Smtp, "421 4.3.2 "),
    ] {
        let mut silent = enter(&bridge, protocol).await;
        let _newcomer = enter(&bridge, protocol).await;
        let heard = line(&mut silent).await;
        assert!(heard.starts_with(told) && heard.ends_with("\r\n"), "{heard}");
        assert_eq!(line(&mut silent).await, "", "closed behind it");
    }
}

#[tokio::test]
async fn a_guesser_that_is_slowed_gives_way_before_an_older_silent_app() {
    let bridge = bridge(Limits::new(2, 2, 2, 2));
    let mut silent = enter(&bridge, Protocol::Imap).await;
    let mut guesser = enter(&bridge, Protocol::Pop3).await;
    say(&mut guesser, "USER ana@gmx.net\r\nPASS wrong\r\n").await;
    assert!(line(&mut guesser).await.starts_with("+OK"));
    // Known as a guesser once the reply to USER has left: the password is judged at once.
    let _newcomer = enter(&bridge, Protocol::Smtp).await;
    assert!(line(&mut guesser).await.starts_with("-ERR [SYS/TEMP] "));
    say(&mut silent, "a NOOP\r\n").await;
    assert!(line(&mut silent).await.starts_with("a OK"), "still there");
}

#[tokio::test]
async fn whoever_showed_the_right_password_keeps_its_seat_while_a_thousand_come_and_go() {
    let bridge = bridge(Limits::new(3, 3, 3, 3));
    let mut right = enter(&bridge, Protocol::Imap).await;
    say(&mut right, "a NOOP\r\na LOGIN ana@gmx.net footbridge\r\n").await;
    assert!(line(&mut right).await.starts_with("a OK"));
    let mut newcomers = std::collections::VecDeque::new();
    for number in 0..1000 {
        let mut newcomer = enter(&bridge, Protocol::Imap).await;
        if number % 2 == 0 {
            say(&mut newcomer, "b LOGIN ana@gmx.net wrong\r\n").await;
        }
        newcomers.push_back(newcomer);
        newcomers.truncate(10);
    }
    let waits = timeout(Duration::ZERO, line(&mut right)).await;
    assert!(waits.is_err(), "upstream is still being asked: {waits:?}");
}

/// An app may send its commands and its end at once, and reads the answers then.
#[tokio::test]
async fn an_app_that_ended_its_direction_hears_that_its_password_was_wrong() {
    let bridge = bridge(Limits::default());
    for (protocol, said, last) in [
        (Protocol::Pop3, "USER ana@gmx.net\r\nPASS wrong\r\nQUIT\r\n", "-ERR [AUTH] "),
        (Protocol::Imap, "a LOGIN ana@gmx.net wrong\r\na LOGOUT\r\n", "a NO [AUTHENTICATIONFAILED] "),
        (Protocol::Smtp, "EHLO x\r\nAUTH PLAIN AGFuYUBnbXgubmV0AHdyb25n\r\nQUIT\r\n", "535 5.7.8 "),
    ] {
        let mut app = enter(&bridge, protocol).await;
        say(&mut app, said).await;
        app.shutdown().await.unwrap();
        let mut heard = String::new();
        app.read_to_string(&mut heard).await.unwrap();
        assert!(heard.lines().any(|line| line.starts_with(last)), "{heard}");
    }
}
