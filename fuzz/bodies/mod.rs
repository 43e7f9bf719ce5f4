//! What each fuzz target does with its input: feeds a parser or session and asserts what must hold for any octets.
//!
//! The fuzzer calls these over and over; `tests/fuzz_corpus.rs` calls them once with every seed. Inputs are the octets
//! as a peer would send them; a body that needs more than one stream says how they are told apart.

mod bridge_passwords;
mod config;
mod data;
mod imap_frame;
mod imap_prelogin;
mod imap_responses;
mod imap_splice;
mod lines;
mod message;
mod mutf7;
mod oauth_answer;
mod oauth_redirect;
mod peer_answer;
mod peer_table;
mod pop3;
mod sasl;
mod sasl_challenge;
mod smtp;
mod smtp_replies;
mod vault;

/// One target's body; panics where something does not hold.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its file in `fuzz_targets` and of its folder in `seeds`.
#[allow(dead_code, reason = "a fuzz target uses one of them, by name")]
pub const TARGETS: &[(&str, Body)] = &[
    ("bridge_passwords", bridge_passwords::run),
    ("config", config::run),
    ("data", data::run),
    ("imap_frame", imap_frame::run),
    ("imap_prelogin", imap_prelogin::run),
    ("imap_responses", imap_responses::run),
    ("imap_splice", imap_splice::run),
    ("lines", lines::run),
    ("message", message::run),
    ("mutf7", mutf7::run),
    ("oauth_answer", oauth_answer::run),
    ("oauth_redirect", oauth_redirect::run),
    ("peer_answer", peer_answer::run),
    ("peer_table", peer_table::run),
    ("pop3", pop3::run),
    ("sasl", sasl::run),
    ("sasl_challenge", sasl_challenge::run),
    ("smtp", smtp::run),
    ("smtp_replies", smtp_replies::run),
    ("vault", vault::run),
];

/// The body of this name.
#[allow(dead_code, reason = "the test over the seeds takes all of them")]
pub fn body(name: &str) -> Body {
    TARGETS.iter().find(|(known, _)| *known == name).expect("a target of TARGETS").1
}

/// The ways a stream may arrive: at once, octet by octet, and in pieces of sizes that its own octets choose.
fn splits(octets: &[u8]) -> [Vec<&[u8]>; 3] {
    // A congruential generator: the same input is always split the same way.
    let mut state =
        octets.iter().fold(7u32, |state, octet| state.wrapping_mul(31).wrapping_add(u32::from(*octet)));
    let (mut pieces, mut rest) = (Vec::new(), octets);
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, behind) = rest.split_at((1 + (state >> 28) as usize).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    [vec![octets], octets.chunks(1).collect(), pieces]
}

/// Asserts that a line of ours is one: printable ASCII, and within 512 octets with its CRLF.
#[track_caller]
pub fn assert_reply_line(line: &[u8]) {
    let text = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("no CRLF: {}", line.escape_ascii()));
    assert!(text.iter().all(|octet| matches!(octet, b' '..=b'~')), "odd octets: {}", line.escape_ascii());
    assert!(line.len() <= 512, "{} octets: {}", line.len(), line.escape_ascii());
}
