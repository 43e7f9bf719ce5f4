//! The announcement of a literal at the end of a line (RFC 3501 §4.3, RFC 7888, RFC 3516).

/// A literal announced at a line's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// How many octets follow the CRLF.
    pub octets: u64,
    /// `{n+}`: the sender does not wait for a continuation request (RFC 7888 §4).
    pub non_synchronising: bool,
    /// Where the announcement begins in the line: `~`, if there is one, or `{`.
    pub at: usize,
}

/// The literal that `line`, its CRLF already taken off, announces.
///
/// ```abnf
/// literal  = "{" number64 ["+"] "}" CRLF *CHAR8     ; RFC 3501 §9, RFC 7888 §8
/// literal8 = "~{" number64 ["+"] "}" CRLF *OCTET    ; RFC 3516 §7
/// ```
/// Only for lines that may carry one: never for the human-readable text of OK, NO, BAD, BYE, PREAUTH and `+`,
/// which may end in `{5}` and announce nothing. A number over 63 bits announces nothing either.
pub fn announced(line: &[u8]) -> Option<Announced> {
    let inside = line.strip_suffix(b"}")?;
    let (inside, non_synchronising) = match inside.strip_suffix(b"+") {
        Some(inside) => (inside, true),
        None => (inside, false),
    };
    let digits = inside.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let (before, digits) = inside.split_at_checked(inside.len() - digits)?;
    let before = before.strip_suffix(b"{")?;
    let octets = std::str::from_utf8(digits).ok()?.parse::<i64>().ok()?;
    let at = before.strip_suffix(b"~").unwrap_or(before).len();
    Some(Announced { octets: octets.unsigned_abs(), non_synchronising, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_and_where_they_begin() {
        let plain = Announced { octets: 12, non_synchronising: false, at: 4 };
        assert_eq!(announced(b"a b {12}"), Some(plain));
        assert_eq!(announced(b"a b {12+}"), Some(Announced { non_synchronising: true, ..plain }));
        assert_eq!(announced(b"a b ~{12}"), Some(plain));
    }

    #[test]
    fn what_announces_nothing() {
        for line in
            ["", "}", "{}", "{+}", "{1", "1}", "{-1}", "{1 }", "{1}\"", "{9223372036854775808}", "{1++}"]
        {
            assert_eq!(announced(line.as_bytes()), None, "{line}");
        }
    }
}
