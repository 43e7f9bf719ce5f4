//! What a server says of a token it does not take (RFC 7628 §3.2.2), in base64: whatever it is, what gets into a
//! sentence is short and printable.
//!
//! Read as it is, and once more as the JSON in the base64.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use footbridge::upstream::challenge_says;

pub fn run(input: &[u8]) {
    assert_said(input);
    let encoded = BASE64_STANDARD.encode(input);
    let (said, padded) = (assert_said(encoded.as_bytes()), format!(" {encoded}\r\n"));
    if padded.len() <= 4096 {
        assert_eq!(assert_said(padded.as_bytes()), said, "blanks around it change what it says");
    }
}

fn assert_said(challenge: &[u8]) -> Option<(String, bool)> {
    let (said, passing) = challenge_says(challenge)?;
    assert!(challenge.len() <= 4096);
    assert!(said.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{said:?}");
    assert!(("scope x".len()..=3 * 90).contains(&said.len()), "{said:?}");
    let status = said.strip_prefix("status ");
    let status = status.map(|status| status.split(", ").next().unwrap_or_default());
    assert!(status.is_some() || ["scope ", "schemes "].iter().any(|name| said.starts_with(name)), "{said:?}");
    let first = status.unwrap_or_default().trim_start_matches(['+', '0']);
    let known = ["5", "429", "server_error", "temporarily_unavailable"];
    assert!(!passing || known.iter().any(|known| first.starts_with(known)), "{said:?}");
    Some((said, passing))
}
