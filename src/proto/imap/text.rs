//! Tags, and text of ours that is fit for a response line.

/// What an app may use as a tag, at most.
///
/// RFC 3501 §9 sets no limit; apps use four to ten octets, and a hundred leave room for any that count in words.
pub const TAG: usize = 100;

/// Whether `octets` are a tag.
///
/// ```abnf
/// tag = 1*<any ASTRING-CHAR except "+">     ; RFC 3501 §9
/// ```
pub fn is_tag(octets: &[u8]) -> bool {
    (1..=TAG).contains(&octets.len()) && octets.iter().all(|octet| *octet != b'+' && is_astring_char(*octet))
}

/// ```abnf
/// ASTRING-CHAR = ATOM-CHAR / resp-specials     ; resp-specials = "]"
/// ```
fn is_astring_char(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"(){%*\"\\".contains(&octet)
}

/// `text` as `resp-text` allows it (RFC 3501 §9 `TEXT-CHAR`): one line, seven bits, bounded.
pub fn clean(text: &str) -> String {
    /// A response line of ours stays within what old apps take.
    const TEXT: usize = 500;
    let mut text: String = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).take(TEXT).collect();
    text = text.replace(|c: char| c.is_ascii_control(), " ");
    // A `[` at the front would be read as a response code.
    text.trim_start_matches(['[', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_legal_tags() {
        for tag in [".", "1", "A]", "a1.b2", "<x>", &"t".repeat(100)] {
            assert!(is_tag(tag.as_bytes()), "{tag}");
        }
        for tag in ["", "+", "a+", "*", "a b", "a(", "a{1}", "%", "\"a\"", "a\\", "\u{e4}", &"t".repeat(101)]
        {
            assert!(!is_tag(tag.as_bytes()), "{tag}");
        }
    }

    #[test]
    fn text_is_one_line_of_seven_bits_and_no_code() {
        assert_eq!(clean("[ALERT] h\u{e4}\r\nA1 OK"), "ALERT] h?  A1 OK");
        assert_eq!(clean(&"x".repeat(9_000)).len(), 500);
    }
}
