//! An IMAP session before login: any split gives the same steps, and what we say is whole lines.
//!
//! A login as `refused` is refused and one as `down` finds no provider, so that the session goes on; any other is taken.

use bytes::BytesMut;
use footbridge::mail::AppTls;
use footbridge::proto::imap::prelogin::{Code, Session, Step};

pub fn run(input: &[u8]) {
    let [whole, octets, pieces] = super::splits(input).map(|pieces| played(&pieces));
    assert_eq!(octets, whole);
    assert_eq!(pieces, whole);
}

/// Everything said to the app, logins among it.
fn played(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut session, mut input, mut said) =
        (Session::with_tls(AppTls::Offered), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(step) = session.take(&mut input) {
            let (words, last) = answer(&mut session, step);
            assert_lines(&words);
            said.extend_from_slice(&words);
            if last {
                return said;
            }
        }
        assert!(input.len() <= 3, "left lying: {}", input.escape_ascii());
    }
    said
}

fn answer(session: &mut Session, step: Step) -> (Vec<u8>, bool) {
    match step {
        Step::Reply(words) => (words.into_bytes(), false),
        Step::Finish(words) | Step::BeginTls(words) => (words.into_bytes(), true),
        Step::Login(offer) => {
            assert!(!offer.login.chars().any(|c| matches!(c, '\r' | '\n' | '\0')), "{:?}", offer.login);
            let secret = offer.secret.expose();
            assert!(!secret.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
            let mut words = match offer.login.as_str() {
                "refused" => {
                    session.refused(Code::AuthenticationFailed, "wrong\r\npassword", true).into_bytes()
                }
                "down" => session.refused(Code::Unavailable, "", false).into_bytes(),
                _ => return (session.accepted(&["* OK [ALERT] hello\r\n"], "IMAP4rev1"), true),
            };
            // The login belongs to what must be the same at any split.
            words.splice(..0, format!("* {} octets\r\n", secret.len()).into_bytes());
            (words, false)
        }
    }
}

#[track_caller]
fn assert_lines(words: &[u8]) {
    for line in words.split_inclusive(|octet| *octet == b'\n') {
        super::assert_reply_line(line);
    }
}
