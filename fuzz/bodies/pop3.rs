//! A POP3 session, line by line: replies are replies, the numbers of STAT, LIST, UIDL and RETR agree, and only QUIT
//! removes what was marked.
//!
//! The name `wrong` is refused, `down` finds no provider, `held` is accepted and has its maildrop when it is needed, `gone` is
//! accepted and does not get it, any other has the maildrop. Message 3 breaks off.

use bytes::BytesMut;
use footbridge::mail::{AppTls, Uid, UidValidity};
use footbridge::proto::line::LineFramer;
use footbridge::proto::pop3::maildrop::ListingKind;
use footbridge::proto::pop3::{Code, Listing, Maildrop, Reply, Session, Step, UniqueIds};

const SIZES: [u64; 4] = [120, 0, 70_000, u64::MAX / 8];
const FIRST_UID: u32 = 11;

pub fn run(input: &[u8]) {
    let [whole, octets, pieces] = super::splits(input).map(|pieces| played(&pieces));
    assert_eq!(octets, whole);
    assert_eq!(pieces, whole);
}

/// Everything the app is sent but messages.
fn played(pieces: &[&[u8]]) -> String {
    let mut session = Session::with_tls(AppTls::Offered);
    let (mut framer, mut input) = (LineFramer::new(session.line_limit()), BytesMut::new());
    let mut sent = session.greeting().expect("TLS has not begun").octets().to_vec();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            framer.set_limit(session.line_limit());
            let Some(line) = framer.take(&mut input) else { break };
            let listed = session.maildrop().map(listed);
            let (name, step) = session.handle_line(line);
            let (octets, last) = answer(&mut session, name, step, listed);
            sent.extend_from_slice(&octets);
            if last {
                return sent.escape_ascii().to_string();
            }
        }
    }
    sent.escape_ascii().to_string()
}

fn answer(session: &mut Session, name: &str, step: Step, listed: Option<Vec<(Uid, u64)>>) -> (Vec<u8>, bool) {
    let reply = match step {
        Step::Reply(reply) => reply,
        Step::Finish(reply) | Step::BeginTls(reply) => return (checked(&reply), true),
        Step::List(reply, listing) => {
            let maildrop = session.maildrop().expect("listings are for TRANSACTION");
            return ([checked(&reply), written(maildrop, listing)].concat(), false);
        }
        Step::Login(offer) => {
            assert!(!offer.login.chars().any(char::is_control));
            assert!(!offer.secret.expose().iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
            assert!(!offer.secret.expose().is_empty() && !session.is_logged_in());
            let step = match offer.login.as_str() {
                "wrong" => session.login_refused(Reply::err_with(Code::Auth, "no\r\n\u{e4} no")),
                "down" => session.login_failed(Reply::err_with(Code::SysTemp, &"down ".repeat(200))),
                "held" => session.login_accepted(),
                "gone" => {
                    let accepted = session.login_accepted();
                    session.not_coming(Reply::err_with(Code::SysTemp, "gone"));
                    accepted
                }
                _ => session.logged_in(maildrop()),
            };
            let (octets, last) = answer(session, name, step, None);
            return ([b"login ", offer.secret.expose(), b"\n", &octets].concat(), last);
        }
        Step::Await(command) => {
            assert!(listed.is_none() && session.is_logged_in(), "what has come is not waited for");
            session.arrived(maildrop());
            let listed = session.maildrop().map(self::listed);
            let step = session.resume(command);
            assert!(!matches!(step, Step::Await(_)), "it has come");
            return answer(session, name, step, listed);
        }
        Step::Retrieve { number, uid, octets } => {
            let listed = listed.expect("messages are for TRANSACTION");
            assert!(listed.contains(&(uid, octets)), "a message that is not listed");
            match number.get() {
                3 => session.broke(number),
                _ => session.retrieved(number),
            }
            return (format!("message {number:?}\n").into_bytes(), false);
        }
        Step::Top { uid, lines, .. } => {
            let listed = listed.expect("messages are for TRANSACTION");
            assert!(listed.iter().any(|(listed, _)| *listed == uid), "a message that is not listed");
            return (format!("top {uid} {lines}\n").into_bytes(), false);
        }
        Step::Update { retrieved, deleted } => {
            assert_eq!(name, "QUIT", "only QUIT removes");
            let left: Vec<Uid> = listed.expect("TRANSACTION").into_iter().map(|(uid, _)| uid).collect();
            let all = maildrop();
            let marked: Vec<Uid> = self::listed(&all)
                .into_iter()
                .map(|(uid, _)| uid)
                .filter(|uid| !left.contains(uid))
                .collect();
            assert_eq!(deleted, marked, "what is removed is what is no longer listed");
            let refusal = (deleted.len() > 2).then(|| Reply::err_with(Code::SysTemp, "kept"));
            let step = session.updated(refusal);
            assert!(matches!(step, Step::Finish(_)));
            let (octets, last) = answer(session, name, step, None);
            return ([format!("update {retrieved:?} {deleted:?}\n").into_bytes(), octets].concat(), last);
        }
    };
    (checked(&reply), false)
}

/// RFC 1939 §3: a status in upper case, 512 octets at most, and what follows ends with the dot line.
#[track_caller]
fn checked(reply: &Reply) -> Vec<u8> {
    let octets = reply.octets();
    let lines: Vec<&[u8]> = octets.split_inclusive(|octet| *octet == b'\n').collect();
    lines.iter().for_each(|line| super::assert_reply_line(line));
    assert!([&b"+OK"[..], b"-ERR ", b"+ "].iter().any(|status| octets.starts_with(status)));
    let dots = lines.iter().filter(|line| **line == b".\r\n").count();
    assert_eq!(dots, usize::from(lines.len() > 1));
    assert!(dots == 0 || octets.ends_with(b"\r\n.\r\n"));
    octets.to_vec()
}

fn maildrop() -> Maildrop {
    let ids = UniqueIds::inbox(UidValidity::new(7).expect("not 0"));
    let uid = |at| Uid::new(at).expect("not 0");
    Maildrop::new(ids, SIZES.into_iter().zip(FIRST_UID..).map(|(octets, at)| (uid(at), octets)))
}

fn written(maildrop: &Maildrop, mut listing: Listing) -> Vec<u8> {
    let mut octets = Vec::new();
    while listing.write(maildrop, octets.len() + 1, &mut octets) {}
    octets.split_inclusive(|octet| *octet == b'\n').for_each(|line| super::assert_reply_line(line));
    assert!(octets == b".\r\n" || octets.ends_with(b"\r\n.\r\n"));
    octets
}

/// What is not marked, UID and size, as LIST and UIDL tell it; STAT's numbers are those of the lists.
fn listed(maildrop: &Maildrop) -> Vec<(Uid, u64)> {
    let lines = |kind| {
        let octets = written(maildrop, Listing::new(kind));
        let text = String::from_utf8(octets).expect("ASCII");
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(number, what)| (number.to_owned(), what.to_owned())).collect::<Vec<_>>()
    };
    let (scan, ids) = (lines(ListingKind::Scan), lines(ListingKind::UniqueId));
    let both = scan.iter().zip(&ids).map(|((number, octets), (same, id))| {
        assert_eq!(number, same);
        let uid = id.strip_prefix("7.").and_then(|uid| uid.parse().ok()).and_then(Uid::new).expect("7.UID");
        (uid, octets.parse().expect("a size"))
    });
    let listed: Vec<(Uid, u64)> = both.collect();
    assert_eq!(scan.len(), ids.len());
    assert_eq!(maildrop.count() as usize, listed.len());
    assert_eq!(maildrop.octets(), listed.iter().map(|(_, octets)| octets).sum::<u64>());
    listed
}
