//! Mailbox names on the wire: modified UTF-7 (RFC 3501 §5.1.3).
//!
//! ```text
//!  printable US-ASCII but "&"   as it is
//!  "&"                          "&-"
//!  everything else              "&" modified-BASE64 of UTF-16BE "-"      "," in place of "/", no padding
//! ```

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bits left over at the end are looked past when decoding: some servers write them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The name as it goes upstream.
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            end_shift(&mut shifted, &mut encoded);
            encoded.push(character);
            if character == '&' {
                encoded.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    end_shift(&mut shifted, &mut encoded);
    encoded
}

fn end_shift(shifted: &mut Vec<u8>, encoded: &mut String) {
    if !shifted.is_empty() {
        encoded.push('&');
        BASE64.encode_string(&shifted, encoded);
        encoded.push('-');
        shifted.clear();
    }
}

/// The name as a person reads it; a name that is not modified UTF-7 stays as it is, as some servers send UTF-8.
pub fn decode(name: &[u8]) -> String {
    decoded(name).unwrap_or_else(|| String::from_utf8_lossy(name).into_owned())
}

fn decoded(name: &[u8]) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut rest = std::str::from_utf8(name).ok()?;
    while let Some((before, shift)) = rest.split_once('&') {
        let (base64, behind) = shift.split_once('-')?;
        plain.push_str(before);
        if base64.is_empty() {
            plain.push('&');
        } else {
            let octets = BASE64.decode(base64).ok()?;
            let (units, []) = octets.as_chunks::<2>() else { return None };
            let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            plain.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = behind;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of RFC 3501 §5.1.3 and names of real servers.
    #[test]
    fn known_names() {
        for (plain, wire) in [
            ("INBOX", "INBOX"),
            ("A & B", "A &- B"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("Éléments supprimés", "&AMk-l&AOk-ments supprim&AOk-s"),
            ("😀", "&2D3eAA-"),
            ("a\tb", "a&AAk-b"),
        ] {
            assert_eq!(encode(plain), wire);
            assert_eq!(decode(wire.as_bytes()), plain);
        }
    }

    #[test]
    fn what_is_not_modified_utf7_stays_as_it_is() {
        for name in ["R&D", "a&!!-", "&AP-", "Entwürfe", "&2D0-"] {
            assert_eq!(decode(name.as_bytes()), name);
        }
    }

    proptest! {
        #[test]
        fn every_name_survives(name in any::<String>()) {
            let wire = encode(&name);
            prop_assert!(wire.bytes().all(|octet| matches!(octet, b' '..=b'~')));
            prop_assert_eq!(decode(wire.as_bytes()), name);
        }

        #[test]
        fn any_octets_decode_to_something(name in any::<Vec<u8>>()) {
            decode(&name);
        }
    }
}
