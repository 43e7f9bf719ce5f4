//! Values with a form of their own: sizes, host names, words that stand for a choice.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use toml::Spanned;

use super::faults::{Faults, did_you_mean, shown};

/// A size with its unit, in octets: `"64 MiB"`, `"1.000"` is none.
pub(super) fn octets(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" if number == "0" => 1,
        "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A time in days with its unit, one at least: `"30 days"`, `"2 weeks"`.
pub(super) fn days(text: &str) -> Option<u32> {
    const CENTURY: u32 = 36_525;
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "d" | "day" | "days" => 1,
        "w" | "week" | "weeks" => 7,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(factor).filter(|days| (1..=CENTURY).contains(days))
}

/// A DNS name in lower case, or an IP address without brackets.
pub(super) fn host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bare {
        return address.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    is_dns_name(name).then(|| name.to_ascii_lowercase())
}

/// RFC 1123 §2.1; what looks like an address but is none, `1.2.3`, is no name either.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(label) && !last.bytes().all(|octet| octet.is_ascii_digit())
}

/// Listening addresses: loopback only.
pub(super) fn loopback(texts: &[Spanned<String>], key: &str, faults: &mut Faults<'_>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    let reason = if key.ends_with('s') {
        "others on the network could try passwords here, and the certificate is for this computer's own names"
    } else {
        "passwords and mail are not encrypted here and others on the network could read them"
    };
    for text in texts {
        let given = shown(text.get_ref());
        match text.get_ref().parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => addresses.push(address),
            Ok(address) => faults.at(
                text.span(),
                format!(
                    "[listen] {key} = {given}: only loopback addresses are allowed, because {reason}; write \"127.0.0.1:{}\"",
                    address.port()
                ),
            ),
            Err(_) => faults.at(
                text.span(),
                format!(
                    "[listen] {key} = {given} is not an address with a port; write \"127.0.0.1:PORT\" or \"[::1]:PORT\""
                ),
            ),
        }
    }
    addresses
}

/// One of a few words; `None` after a fault was told, and where the key is absent.
pub(super) fn choice<T: Copy>(
    text: &Option<Spanned<String>>,
    key: &str,
    words: &[(&'static str, T)],
    faults: &mut Faults<'_>,
) -> Option<T> {
    let text = text.as_ref()?;
    let word = text.get_ref().as_str();
    if let Some((_, value)) = words.iter().find(|(known, _)| *known == word) {
        return Some(*value);
    }
    let given = shown(word);
    let known = || words.iter().map(|(known, _)| *known);
    let list = known().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let fault = if let Some(meant) = did_you_mean(word, known()) {
        format!("{key} = {given} is not known; did you mean \"{meant}\"?")
    } else {
        format!("{key} = {given} is not known; write one of {list}")
    };
    faults.at(text.span(), fault);
    None
}

/// Text that goes into a protocol's line: not empty, nothing that could end the line.
pub(super) fn plain(text: &Option<Spanned<String>>, key: &str, faults: &mut Faults<'_>) -> Option<String> {
    let text = text.as_ref()?;
    if text.get_ref().is_empty() {
        faults.at(text.span(), format!("{key} is empty; leave it out for its default"));
        return None;
    }
    if text.get_ref().chars().any(char::is_control) {
        let given = shown(text.get_ref());
        faults.at(text.span(), format!("{key} = {given} has a control character; take it out"));
        return None;
    }
    Some(text.get_ref().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(octets("64 MiB"), Some(64 * 1024 * 1024));
        assert_eq!(octets("0"), Some(0));
        assert_eq!(octets(" 2gib "), Some(2 << 30));
        assert_eq!(octets("5 kB"), Some(5_000));
        assert_eq!(octets("7 B"), Some(7));
        for wrong in ["", "64", "MiB", "-1 MiB", "1.5 GiB", "64 MiB 3", "64 Mi", "99999999999 GiB", "²"] {
            assert_eq!(octets(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_have_units() {
        assert_eq!(days("30 days"), Some(30));
        assert_eq!(days(" 1day"), Some(1));
        assert_eq!(days("2 Weeks"), Some(14));
        for wrong in
            ["", "30", "days", "0 days", "-1 days", "1.5 days", "2 hours", "9999999999 days", "40000 days"]
        {
            assert_eq!(days(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for (given, kept) in [
            ("IMAP.example.org", "imap.example.org"),
            ("localhost", "localhost"),
            ("imap.example.org.", "imap.example.org"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ] {
            assert_eq!(host(given).as_deref(), Some(kept));
        }
        let long = format!("{}.org", "a".repeat(64));
        for wrong in [
            "",
            ".",
            "a..b",
            "imap example.org",
            "münchen.de",
            "imaps://a.b",
            "a:993",
            "-a.b",
            "a_b.c",
            "1.2.3",
            &long,
        ] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
