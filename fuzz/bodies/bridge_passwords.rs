//! The file of bridge passwords: what is read is written and read as the same, a password opens an account only by its
//! own hash under its own key, and a wrong one opens nothing.

use footbridge::auth::password::{Verdict, judged_by};
use footbridge::mail::Secret;

/// As the seeds have it, with its key and its hash.
const RIGHT: &str = "aaaa-bbbb-cccc-dddd-eeee-ffff-aa";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const HASH: &str = "reRn8m2zoRyWnhN1TE9/R9eRXHNZTYI+7LVg+141Mq4=";

pub fn run(input: &[u8]) {
    let Some((written, verdict)) = judged_by(input, "ana", &Secret::new(RIGHT)) else { return };
    let text = std::str::from_utf8(&written).expect("JSON");
    match verdict {
        Verdict::Right => assert!(text.contains(KEY) && text.contains(HASH), "{text}"),
        Verdict::Wrong => assert!(text.contains("\"ana\": [\n"), "{text}"),
        Verdict::NoneYet => assert!(!text.contains("\"ana\": [\n"), "{text}"),
    }
    let forgiven = Secret::new(RIGHT.replace('-', " ").to_uppercase());
    assert_eq!(judged_by(input, "ana", &forgiven).expect("read before").1, verdict);
    for wrong in ["aaaa-bbbb-cccc-dddd-eeee-ffff-ab", RIGHT.trim_end_matches('a'), "", "\u{e4}"] {
        let (_, verdict) = judged_by(input, "ana", &Secret::new(wrong)).expect("read before");
        assert_ne!(verdict, Verdict::Right, "{wrong}");
    }
    let again = judged_by(&written, "ana", &Secret::new(RIGHT)).expect("what we write");
    assert_eq!(again, (written, verdict));
}
