//! The vault's file: what was sealed opens, and with one octet changed, lost or added it does not; octets that nobody
//! sealed are no vault.
//!
//! The input is a file as it is, opened with the key of the seeds, and then the entries' JSON in a vault of its own.

use footbridge::auth::vault::{opened_with, sealed_with};

const MATERIAL: &[u8] = b"the material of fuzzing";

pub fn run(input: &[u8]) {
    if let Some(plain) = opened_with(MATERIAL, input) {
        assert_tight(input);
        assert_again(&plain);
    }
    assert!(opened_with(b"another material", input).is_none());
    let file = sealed_with(MATERIAL, input).expect("random octets");
    assert!(file.starts_with(b"footbridge-vault 1\n"));
    if let Some(plain) = opened_with(MATERIAL, &file) {
        assert_tight(&file);
        assert_again(&plain);
    }
}

/// What is written is read as the same.
fn assert_again(plain: &[u8]) {
    let file = sealed_with(MATERIAL, plain).expect("random octets");
    let again = opened_with(MATERIAL, &file).expect("what was sealed");
    assert!(*again == plain, "{}", plain.escape_ascii());
}

/// An octet of each part changed in a way that its neighbours choose, and the file cut and continued.
fn assert_tight(file: &[u8]) {
    let head = file.iter().enumerate().filter(|(_, octet)| **octet == b'\n').nth(1).expect("two lines").0 + 1;
    let (nonce, tag) = (head + 24, file.len() - 16);
    let chosen =
        file.iter().fold(7_usize, |chosen, octet| chosen.wrapping_mul(31).wrapping_add(usize::from(*octet)));
    for (from, to) in [(0, head), (head, nonce), (nonce, tag), (tag, file.len())] {
        assert!(from < to, "an empty part");
        let mut other = file.to_vec();
        other[from + chosen % (to - from)] ^= 1 << (chosen >> 8 & 7);
        assert!(opened_with(MATERIAL, &other).is_none(), "{}", other.escape_ascii());
        assert!(opened_with(MATERIAL, &file[..from + chosen % (to - from)]).is_none());
    }
    assert!(opened_with(MATERIAL, &[file, b"\0"].concat()).is_none());
    assert!(opened_with(b"another material", file).is_none());
}
