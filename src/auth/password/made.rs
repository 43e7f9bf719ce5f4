//! A bridge password's letters: 128 random bits, as they can be read out and typed.
//!
//! ```abnf
//! bridge-password = 6(4letter "-") 2letter     ; 26 letters of base32 (RFC 4648 §6), lower case
//! ```
//!
//! 32 octets with the dashes: some copiers have no room for more. Upper case, spaces and dashes anywhere are forgiven.

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::mail::Secret;

/// What 128 bits take, five a letter.
const LETTERS: usize = 26;

/// Letters between two dashes.
const GROUP: usize = 4;

/// RFC 4648 §6.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A new one, with its dashes; `None` where the system has no random octets.
pub(super) fn make() -> Option<Secret> {
    let mut random = Zeroizing::new([0; 16]);
    SystemRandom::new().fill(random.as_mut()).ok()?;
    let bits = Zeroizing::new(u128::from_be_bytes(*random));
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut text = Vec::with_capacity(LETTERS + LETTERS / GROUP);
    for at in 0..LETTERS {
        if at > 0 && at % GROUP == 0 {
            text.push(b'-');
        }
        // The first 25 letters carry 125 bits from the top, the last one the 3 that are left, and two zeroes.
        let five = match 123_u32.checked_sub(5 * u32::try_from(at).unwrap_or(0)) {
            Some(shift) => *bits >> shift,
            None => *bits << 2,
        } & 31;
        text.extend(usize::try_from(five).ok().and_then(|five| ALPHABET.get(five)));
    }
    Some(Secret::new(text))
}

/// The letters alone, lower case; `None` for what cannot be one.
pub(super) fn fold(offered: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let mut letters = Zeroizing::new(Vec::with_capacity(LETTERS));
    for octet in offered.expose().iter().filter(|octet| !matches!(octet, b'-' | b' ')) {
        let letter = octet.to_ascii_lowercase();
        if letters.len() == LETTERS || !ALPHABET.contains(&letter) {
            return None;
        }
        letters.push(letter);
    }
    (letters.len() == LETTERS).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_carries_128_bits_in_letters_a_copier_has_room_for() {
        let mut bits_seen = [[false; 2]; 128];
        for _ in 0..200 {
            let made = make().expect("random octets");
            let text = made.expose_str().expect("ASCII").to_owned();
            assert_eq!(text.len(), 32);
            assert!(text.split('-').map(str::len).eq([4, 4, 4, 4, 4, 4, 2]), "{text}");
            let letters = fold(&made).expect("its own");
            let values = letters.iter().map(|letter| ALPHABET.iter().position(|a| a == letter).expect("one"));
            let bits = values.flat_map(|value| (0..5).rev().map(move |bit| value >> bit & 1));
            let bits = bits.collect::<Vec<_>>();
            assert_eq!(bits[128..], [0, 0], "{text}");
            bits_seen.iter_mut().zip(&bits).for_each(|(seen, bit)| seen[*bit] = true);
        }
        // Each bit is now 0, now 1: one that never changed would be 1 in 2^199.
        assert!(bits_seen.iter().all(|seen| *seen == [true, true]));
    }

    #[test]
    fn dashes_spaces_and_case_are_forgiven_and_nothing_else() {
        let given = |text: &str| fold(&Secret::new(text)).map(|letters| letters.to_vec());
        let letters = Some(b"abcdefghijklmnopqrstuvwxyz".to_vec());
        for text in [
            "abcd-efgh-ijkl-mnop-qrst-uvwx-yz",
            "abcdefghijklmnopqrstuvwxyz",
            "ABCD EFGH IJKL MNOP QRST UVWX YZ",
            "-a-bcdefghijklmnopqrstuvwxyz ",
        ] {
            assert_eq!(given(text), letters, "{text}");
        }
        for text in [
            "",
            "-",
            "abcdefghijklmnopqrstuvwxy",
            "abcdefghijklmnopqrstuvwxyza",
            "abcdefghijklmnopqrstuvwxy1",
        ] {
            assert_eq!(given(text), None, "{text}");
        }
        assert_eq!(given(&"a".repeat(12_000)), None);
    }
}
