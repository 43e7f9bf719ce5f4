//! The capabilities an app is shown: upstream's, less what cannot cross the bridge, plus what is ours.
//!
//! RFC 3501 §7.2.1. An app sees a list in three places (greeting, tagged OK of its login, untagged answer), and all
//! three come from here, so that they agree.

/// Before login all of it is ours; upstream is not known yet.
pub const BEFORE_LOGIN: &str = "IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN AUTH=LOGIN";

/// What is true before TLS where nobody may log in without it (RFC 3501 §6.2.3, §7.2.1).
pub const BEFORE_TLS: &str = "IMAP4rev1 LITERAL+ ID STARTTLS LOGINDISABLED";

/// Never shown after login, and why: login and TLS are over (STARTTLS, LOGINDISABLED, SASL-IR); another server would
/// be none of ours (referrals, JMAPACCESS); what would end the framing (UNAUTHENTICATE); credentials made from a
/// password the app may not have (URLAUTH). LITERAL- gives way to our LITERAL+: never both (RFC 7888 §5).
const NEVER: &[&str] = &[
    "STARTTLS",
    "LOGINDISABLED",
    "SASL-IR",
    "LOGIN-REFERRALS",
    "MAILBOX-REFERRALS",
    "JMAPACCESS",
    "UNAUTHENTICATE",
    "URLAUTH",
    "LITERAL+",
    "LITERAL-",
];

/// The same for capabilities that are written `NAME=value`.
const NEVER_VALUED: &[&str] = &["AUTH", "COMPRESS", "URLAUTH"];

/// What cannot be used without the first: hidden with it.
const NEEDED_BY: &[(&str, &[&str])] = &[
    ("CONDSTORE", &["QRESYNC"]),                                       // RFC 7162 §3.2
    ("ENABLE", &["QRESYNC", "UTF8=ACCEPT", "UTF8=ONLY", "IMAP4REV2"]), // RFC 5161 §2
    ("ESEARCH", &["ESORT", "SEARCHRES", "PARTIAL", "MULTISEARCH", "CONTEXT=SEARCH"]), // RFC 5267, 5182, 9394
    ("SORT", &["ESORT", "CONTEXT=SORT", "SORT=DISPLAY"]),              // RFC 5267, 5957
    ("LIST-EXTENDED", &["LIST-STATUS", "LIST-MYRIGHTS", "LIST-METADATA"]), // RFC 5819, 8440, 9590
];

/// What IMAP4rev2 has built in (RFC 9051 Appendix E): with one of them masked, IMAP4rev2 is not shown either.
const IN_REV2: &[&str] = &[
    "NAMESPACE",
    "UNSELECT",
    "UIDPLUS",
    "ESEARCH",
    "SEARCHRES",
    "ENABLE",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "MOVE",
    "BINARY",
    "SPECIAL-USE",
    "STATUS=SIZE",
];

/// How non-synchronising literals may go upstream (RFC 7888 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    /// LITERAL+: of any size.
    Plus,
    /// LITERAL- or IMAP4rev2: up to 4096 octets.
    Minus,
    /// Not at all.
    Synchronising,
}

impl Literals {
    /// What these capabilities say.
    pub fn of<'a>(capabilities: impl IntoIterator<Item = &'a str>) -> Self {
        capabilities.into_iter().fold(Self::Synchronising, |best, name| {
            if name.eq_ignore_ascii_case("LITERAL+") || best == Self::Plus {
                Self::Plus
            } else if name.eq_ignore_ascii_case("LITERAL-") || name.eq_ignore_ascii_case("IMAP4rev2") {
                Self::Minus
            } else {
                best
            }
        })
    }

    /// Whether `{n+}` may go upstream for `octets` octets.
    pub fn allows(self, octets: u64) -> bool {
        match self {
            Self::Plus => true,
            Self::Minus => octets <= 4096,
            Self::Synchronising => false,
        }
    }
}

/// What an account hides.
#[derive(Clone, Debug, Default)]
pub struct Mask(Vec<String>);

impl Mask {
    /// `names` in upper case; a name hides `NAME=value` too, and what needs it.
    pub fn new(names: &[String]) -> Self {
        let mut hidden: Vec<String> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
        for (name, dependents) in NEEDED_BY {
            if hidden.iter().any(|hidden| hidden == name) {
                hidden.extend(dependents.iter().map(|name| (*name).to_owned()));
            }
        }
        if hidden.iter().any(|hidden| IN_REV2.contains(&hidden.as_str())) {
            hidden.push("IMAP4REV2".into());
        }
        Self(hidden)
    }

    fn hides(&self, name: &str) -> bool {
        // IMAP4rev1 is what the session is; an app that misses it leaves.
        if name == "IMAP4REV1" {
            return false;
        }
        let family = name.split_once('=').map_or(name, |(family, _)| family);
        self.0.iter().any(|hidden| hidden == name || hidden == family)
    }
}

/// The list for the app: upstream's spelling and order, what must not be seen left out, ours added.
pub fn shown<'a>(upstream: impl IntoIterator<Item = &'a str>, mask: &Mask) -> String {
    let mut list = vec!["IMAP4rev1"];
    for name in upstream {
        let upper = name.to_ascii_uppercase();
        let known = list.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        if !known && !never(&upper) && !mask.hides(&upper) {
            list.push(name);
        }
    }
    for ours in ["LITERAL+", "ID"] {
        if !list.iter().any(|listed| listed.eq_ignore_ascii_case(ours)) && !mask.hides(ours) {
            list.push(ours);
        }
    }
    list.join(" ")
}

fn never(upper: &str) -> bool {
    NEVER.contains(&upper) || upper.split_once('=').is_some_and(|(family, _)| NEVER_VALUED.contains(&family))
}

/// Rewrites the list in a whole line; `list` is where the octets behind the word CAPABILITY begin. Before and
/// behind the list the line stays as it was.
///
/// ```abnf
/// capability-data = "CAPABILITY" *(SP capability) SP "IMAP4rev1" *(SP capability)     ; RFC 3501 §9
/// resp-text-code  = ... / capability-data                                              ; in brackets
/// ```
pub fn rewrite(line: &[u8], list: usize, mask: &Mask) -> (Vec<u8>, Vec<String>) {
    let (before, behind) = line.split_at_checked(list).unwrap_or((line, b""));
    let end = behind.iter().position(|octet| matches!(octet, b']' | b'\r' | b'\n')).unwrap_or(behind.len());
    let (names, behind) = behind.split_at_checked(end).unwrap_or((behind, b""));
    let names = String::from_utf8_lossy(names);
    let shown = shown(names.split_ascii_whitespace(), mask);
    let line = [before, b" ", shown.as_bytes(), behind].concat();
    (line, names.split_ascii_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_of(upstream: &str, mask: &[&str]) -> String {
        let mask: Vec<String> = mask.iter().map(|name| (*name).to_owned()).collect();
        shown(upstream.split(' '), &Mask::new(&mask))
    }

    #[test]
    fn what_cannot_cross_is_left_out_and_ours_is_added_once() {
        assert_eq!(
            shown_of(
                "IMAP4rev1 StartTLS LOGINDISABLED AUTH=PLAIN auth=XOAUTH2 SASL-IR LOGIN-REFERRALS MAILBOX-REFERRALS \
                 COMPRESS=DEFLATE UNAUTHENTICATE URLAUTH URLAUTH=BINARY LITERAL- IDLE UIDPLUS X-GM-EXT-1",
                &[]
            ),
            "IMAP4rev1 IDLE UIDPLUS X-GM-EXT-1 LITERAL+ ID"
        );
        assert_eq!(shown_of("imap4REV1 LITERAL+ ID ID idle", &[]), "IMAP4rev1 ID idle LITERAL+");
    }

    #[test]
    fn literal_plus_and_literal_minus_are_never_both_there() {
        // RFC 7888 §5.
        for upstream in ["IMAP4rev1 LITERAL-", "IMAP4rev1 LITERAL+", "IMAP4rev1"] {
            let list = shown_of(upstream, &[]);
            assert!(list.contains("LITERAL+") && !list.contains("LITERAL-"), "{list}");
        }
    }

    #[test]
    fn a_mask_takes_along_what_needs_the_masked() {
        let upstream = "IMAP4rev1 IMAP4rev2 ENABLE CONDSTORE QRESYNC SORT SORT=DISPLAY THREAD=REFS IDLE";
        assert_eq!(
            shown_of(upstream, &["CONDSTORE"]),
            "IMAP4rev1 IMAP4rev2 ENABLE SORT SORT=DISPLAY THREAD=REFS IDLE LITERAL+ ID"
        );
        assert_eq!(
            shown_of(upstream, &["SORT", "THREAD", "IDLE", "IMAP4REV1", "LITERAL+"]),
            "IMAP4rev1 ENABLE CONDSTORE QRESYNC ID"
        );
    }

    #[test]
    fn the_line_around_the_list_stays() {
        let mask = Mask::default();
        let of = |line: &str, word: &str| {
            let at = line.find(word).unwrap() + word.len();
            String::from_utf8(rewrite(line.as_bytes(), at, &mask).0).unwrap()
        };
        assert_eq!(
            of("* capability  IMAP4rev1   IDLE \r\n", "capability"),
            "* capability IMAP4rev1 IDLE LITERAL+ ID\r\n"
        );
        assert_eq!(
            of("a OK [Capability IMAP4rev1 AUTH=PLAIN] hello ]\r\n", "Capability"),
            "a OK [Capability IMAP4rev1 LITERAL+ ID] hello ]\r\n"
        );
        assert_eq!(of("* OK [CAPABILITY\n", "CAPABILITY"), "* OK [CAPABILITY IMAP4rev1 LITERAL+ ID\n");
    }

    #[test]
    fn how_literals_may_go_upstream() {
        assert_eq!(Literals::of(["IMAP4rev1", "literal+"]), Literals::Plus);
        assert_eq!(Literals::of(["LITERAL+", "IMAP4rev2"]), Literals::Plus);
        assert_eq!(Literals::of(["IMAP4REV2"]), Literals::Minus);
        assert_eq!(Literals::of(["IMAP4rev1"]), Literals::Synchronising);
        assert!(Literals::Minus.allows(4096) && !Literals::Minus.allows(4097));
    }
}
