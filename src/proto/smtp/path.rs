//! Reverse-path and forward-path (RFC 5321 §4.1.2), as old apps write them.
//!
//! What is dangerous is refused: control octets, an unquoted `<` or `>`, parts over their limits. What is merely
//! unusual is upstream's to judge, which knows its own mailboxes: `foo..bar@example.org` passes as it stands.

use std::fmt;

/// 64 octets (RFC 5321 §4.5.3.1.1).
const LOCAL_PART: usize = 64;

/// 255 octets (RFC 5321 §4.5.3.1.2).
const DOMAIN: usize = 255;

/// 256 octets with brackets (RFC 5321 §4.5.3.1.3).
const PATH: usize = 256;

/// A path whose text may stand in a command line: no control octet, no unquoted bracket, within the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

/// Not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPath;

impl Path {
    /// Takes a path from the front of `text` and returns what follows it.
    ///
    /// ```abnf
    /// Path       = "<" [ A-d-l ":" ] Mailbox ">"      ; the source route A-d-l is dropped (RFC 5321 appendix C)
    /// Mailbox    = Local-part "@" ( Domain / address-literal )
    /// Local-part = Dot-string / Quoted-string
    /// ```
    ///
    /// Spaces before it, missing brackets and a missing domain are taken too; an empty path is the null one.
    pub fn take(text: &str) -> Result<(Self, &str), BadPath> {
        let text = text.trim_start_matches(' ');
        let (inside, rest) = match text.strip_prefix('<') {
            Some(text) => split_unquoted(text, '>').ok_or(BadPath)?,
            None => split_unquoted(text, ' ').unwrap_or((text, "")),
        };
        if !text.starts_with('<') && inside.is_empty() {
            return Err(BadPath);
        }
        if !rest.is_empty() && text.starts_with('<') && !rest.starts_with(' ') {
            return Err(BadPath);
        }
        Ok((Self(mailbox(inside.trim_matches(' '))?.to_owned()), rest))
    }

    /// `<>`: nobody wants an answer (RFC 5321 §4.5.5).
    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it can only travel with SMTPUTF8 (RFC 6531 §3.2).
    pub fn needs_smtputf8(&self) -> bool {
        !self.0.is_ascii()
    }
}

/// With brackets, as it goes upstream.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

/// Splits at the first `end` outside a quoted string; `end` itself is in neither part, unless it is the space.
fn split_unquoted(text: &str, end: char) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == end && !quoted => {
                let (inside, rest) = text.split_at_checked(at)?;
                return Some((inside, if end == ' ' { rest } else { rest.strip_prefix(end)? }));
            }
            _ => {}
        }
    }
    None
}

/// The mailbox without its source route, checked.
fn mailbox(inside: &str) -> Result<&str, BadPath> {
    let mailbox = match inside.strip_prefix('@') {
        Some(route) => route.split_once(':').ok_or(BadPath)?.1,
        None => inside,
    };
    if mailbox.is_empty() {
        return if inside.is_empty() { Ok(mailbox) } else { Err(BadPath) };
    }
    let (local, domain) = match split_unquoted(mailbox, '@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (mailbox, None),
    };
    let sound = mailbox.len() + 2 <= PATH && local_part(local) && domain.is_none_or(domain_part);
    if sound { Ok(mailbox) } else { Err(BadPath) }
}

fn local_part(local: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    let mut sound = !local.is_empty() && local.len() <= LOCAL_PART;
    for c in local.chars() {
        match c {
            c if c.is_control() => sound = false,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '\\' if !quoted => sound = false,
            _ => {}
        }
    }
    sound && !quoted
}

/// A name, or `[...]` with an IPv4, IPv6 or general address literal (RFC 5321 §4.1.3).
fn domain_part(domain: &str) -> bool {
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let allowed = |c: char| {
        !c.is_control()
            && !matches!(c, ' ' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | '@' | '"' | '\\')
    };
    let body = literal.unwrap_or(domain);
    !body.is_empty()
        && domain.len() <= DOMAIN
        && body.chars().all(allowed)
        && (literal.is_some() || !body.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(text: &str) -> Option<(String, String)> {
        Path::take(text).ok().map(|(path, rest)| (path.to_string(), rest.to_owned()))
    }

    fn whole(text: &str) -> Option<String> {
        taken(text).filter(|(_, rest)| rest.is_empty()).map(|(path, _)| path)
    }

    #[test]
    fn rfc_5321_section_4_1_2_forms() {
        for text in [
            "<>",
            "<ana@example.org>",
            "<postmaster>",
            "<\"a b\"@example.org>",
            "<\"a>b\\\"@c\"@example.org>",
            "<ana@[192.0.2.1]>",
            "<ana@[IPv6:2001:db8::1]>",
            "<foo..bar@docomo.example>",
            "<user.@docomo.example>",
        ] {
            assert_eq!(whole(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn old_apps_leave_brackets_out_and_put_spaces_in() {
        assert_eq!(whole(" <ana@example.org>").as_deref(), Some("<ana@example.org>"));
        assert_eq!(whole("ana@example.org").as_deref(), Some("<ana@example.org>"));
        assert_eq!(whole("< ana@example.org >").as_deref(), Some("<ana@example.org>"));
        assert_eq!(taken("ana@x.org SIZE=1"), Some(("<ana@x.org>".into(), " SIZE=1".into())));
    }

    #[test]
    fn a_source_route_is_dropped_rfc_5321_appendix_c() {
        assert_eq!(whole("<@a.org,@b.org:ana@c.org>").as_deref(), Some("<ana@c.org>"));
        assert_eq!(whole("<@a.org>"), None);
        assert_eq!(whole("<@a.org:>"), None);
    }

    #[test]
    fn limits_of_rfc_5321_section_4_5_3_1() {
        let local = |n: usize| format!("<{}@x.org>", "a".repeat(n));
        assert!(whole(&local(64)).is_some());
        assert!(whole(&local(65)).is_none());
        let path = |n: usize| format!("<a@{}>", "b".repeat(n));
        assert!(whole(&path(252)).is_some(), "256 octets with brackets");
        assert!(whole(&path(253)).is_none());
    }

    #[test]
    fn what_is_dangerous_is_refused() {
        for text in [
            "",
            "<",
            "<a@b",
            "<a@b>c",
            "<a b@c>",
            "<a@b\t>",
            "<a\r\nRCPT@c>",
            "<a\0@b>",
            "<\"a@b>",
            "<a@b@c>",
            "<a@>",
            "<a@b c>",
            "<a@[1>",
            "<a<b@c>",
            "<\"a\u{7f}\"@b>",
            "<a@b:25>",
            "<a@\u{85}b>",
        ] {
            assert_eq!(taken(text), None, "{text:?}");
        }
    }

    #[test]
    fn other_scripts_need_smtputf8() {
        let (path, _) = Path::take("<j\u{f6}rg@example.org>").unwrap();
        assert!(path.needs_smtputf8());
    }

    proptest! {
        #[test]
        fn whatever_passes_cannot_end_its_own_line_or_path(text in "\\PC{0,40}|[ -~\\r\\n\\x00\\t]{0,40}") {
            if let Ok((path, _)) = Path::take(&text) {
                let shown = path.to_string();
                prop_assert!(!shown.chars().any(char::is_control));
                prop_assert!(shown.len() <= 256);
                prop_assert_eq!(whole(&shown), Some(shown.clone()), "reads back as itself");
            }
        }
    }
}
