//! A provider that is slow, and goes on: octets reach the app as they come, and nobody cuts what moves.

use std::time::Duration;

use super::USER;
use crate::support::bridge::{Config, InProcess};
use crate::support::dovecot::PASSWORD;
use crate::support::pop3::Pop3;
use crate::support::scripted::Upstream;
use crate::support::wire::Wire;

/// What there is to be had, three times.
const MESSAGE: &str = "Subject: slow\r\n\r\nan octet at a time\r\n";

/// The provider's part up to a body that is asked for; gives the command's tag and its UIDs.
async fn until_a_body_is_asked_for(provider: &mut Wire) -> (String, String) {
    loop {
        let line = provider.hear().await;
        let mut words = line.split(' ');
        let tag = words.next().unwrap_or_default();
        let untagged: &[String] = match words.next() {
            Some("EXAMINE") => &["* 3 EXISTS".into(), "* OK [UIDVALIDITY 7] x".into()],
            Some("UID") if line.contains("BODY.PEEK[]") => {
                let set = words.nth(1).unwrap_or_default();
                return (tag.to_owned(), set.to_owned());
            }
            Some("UID") => {
                &[1, 2, 3].map(|uid| format!("* {uid} FETCH (UID {uid} RFC822.SIZE {})", MESSAGE.len()))
            }
            _ => &[],
        };
        for line in untagged {
            provider.say(line).await;
        }
        provider.say(&format!("{tag} OK [CAPABILITY IMAP4rev1] done")).await;
    }
}

/// Says the message octet by octet, line ends as one, and each only when the app has heard the last.
async fn drip(provider: &mut Wire, app: &mut Wire, uid: u32, pause: Duration) {
    let announced = format!("* {uid} FETCH (UID {uid} BODY[] {{{}}}\r\n", MESSAGE.len());
    provider.send(announced.as_bytes()).await.expect("the bridge listens");
    let mut rest = MESSAGE;
    let mut first = true;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(if rest.starts_with("\r\n") { 2 } else { 1 });
        // Slowness is what is put to the test.
        tokio::time::sleep(pause).await;
        provider.send(piece.as_bytes()).await.expect("the bridge listens");
        if std::mem::take(&mut first) {
            app.expect("+OK").await;
        }
        assert_eq!(app.hear_exactly(piece.len()).await, piece.as_bytes());
        rest = behind;
    }
}

/// The second message in a row is read ahead together with the third.
#[tokio::test]
async fn each_octet_reaches_the_app_before_the_next_one_is_said_and_nothing_is_cut() {
    let upstream = Upstream::good().await;
    let mut settings = Config::new(USER, &upstream.remote()).parsed();
    settings.deadlines.upstream_progress = Duration::from_secs(2);
    let bridge = InProcess::start(settings).await;
    let provider = async {
        let mut provider = upstream.accepted().await;
        provider.say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready").await;
        let (tag, set) = until_a_body_is_asked_for(&mut provider).await;
        assert_eq!(set, "1");
        (provider, tag)
    };
    let app = async {
        let mut app = Pop3::login(bridge.pop3(), USER, PASSWORD).await;
        app.wire().say("RETR 1").await;
        app
    };
    let ((mut provider, tag), mut app) = tokio::join!(provider, app);
    // Longer in all than any silence may be.
    drip(&mut provider, app.wire(), 1, Duration::from_millis(80)).await;
    provider.say(&format!(")\r\n{tag} OK done")).await;
    app.wire().expect(".").await;
    app.wire().say("RETR 2").await;
    let (tag, set) = until_a_body_is_asked_for(&mut provider).await;
    assert_eq!(set, "2:3");
    drip(&mut provider, app.wire(), 2, Duration::from_millis(80)).await;
    provider.send(b")\r\n").await.expect("the bridge listens");
    app.wire().expect(".").await;
    app.wire().say("RETR 3").await;
    drip(&mut provider, app.wire(), 3, Duration::ZERO).await;
    provider.say(&format!(")\r\n{tag} OK done")).await;
    app.wire().expect(".").await;
}
