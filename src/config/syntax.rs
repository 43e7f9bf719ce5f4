//! From text to [`File`]; the first fault of syntax, of type or of an unknown key, in our own words.
//!
//! toml's own message shows the line and quotes the value, and either may be a password. So only what cannot be
//! one is taken from it: the place, what was expected, and the kind of what was found.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::faults::{Faults, did_you_mean};
use super::file::File;

/// Keys that will come; until then they are refused by name.
const NOT_YET: &[&str] =
    &["log.file", "smtp_device", "account.smtp_options.sent_copy", "account.smtp_options.outbox"];

/// Where people write a password that does not belong here.
const PASSWORDS: &[&str] = &["password", "passwd", "pass", "secret"];

/// The file, or nothing after its first fault was told.
pub(super) fn read(text: &str, faults: &mut Faults<'_>) -> Option<File> {
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            faults.at(error.span().unwrap_or_default(), syntax_fault(&error));
            return None;
        }
    };
    match File::deserialize(Deserializer::from(table.clone())) {
        Ok(file) => Some(file),
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let key = key_at(table.get_ref(), &span).unwrap_or_default();
            faults.at(span, shape_fault(&error, &key));
            None
        }
    }
}

/// The parser's descriptions are fixed texts: no octet of the file is in them.
fn syntax_fault(error: &Error) -> String {
    let message = error.message();
    let cure = if message.contains("escape") {
        "; a Windows path goes between single quotes: 'C:\\mail\\ca.pem'"
    } else if message.contains("string") {
        "; text goes between double quotes, on one line"
    } else if message.contains("duplicate") {
        "; each key stands once in its table, and [account.pop3] follows its own [[account]]"
    } else {
        ""
    };
    format!("this line is not TOML: {message}{cure}")
}

/// A wrong type or an unknown key.
fn shape_fault(error: &Error, key: &[String]) -> String {
    let name = name_of(key);
    let (found, expected) = error.message().rsplit_once(", expected ").unwrap_or((error.message(), ""));
    if key == ["account"] && kind_of(found) == "a table of keys" {
        return "an account begins with [[account]], two brackets on each side".to_owned();
    }
    if !found.starts_with("unknown field") {
        return format!("{name} has to be {}, not {}", wanted(expected), kind_of(found));
    }
    let known = expected.split('`').skip(1).step_by(2).collect::<Vec<_>>();
    let last = key.last().map(String::as_str).unwrap_or_default();
    if NOT_YET.contains(&key.join(".").as_str()) {
        return format!("this version does not know {name} yet; leave it out");
    }
    if PASSWORDS.contains(&last) {
        return format!(
            "{name} is not a key: passwords do not stand in this file, see secret in config/footbridge.toml"
        );
    }
    match did_you_mean(last, known.iter().copied()) {
        Some(meant) => format!("{name} is not a key; did you mean {meant}?"),
        None => format!("{name} is not a key; the keys here are: {}", known.join(", ")),
    }
}

/// What serde expected, for people.
fn wanted(expected: &str) -> &str {
    match expected {
        "a string" => "text between double quotes",
        "a sequence" => "a list between square brackets",
        "i64" => "a whole number",
        expected if expected.starts_with("struct") || expected == "a map" => "a table of keys",
        "" => "something else",
        expected => expected,
    }
}

/// The kind of what was found, without its value.
fn kind_of(found: &str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("string", "text"),
        ("integer", "a number"),
        ("floating point", "a number with a fraction"),
        ("boolean", "true or false"),
        ("sequence", "a list"),
        ("map", "a table of keys"),
    ];
    let found = found.split_once(": ").map_or(found, |(_, found)| found);
    KINDS.iter().find(|(start, _)| found.starts_with(start)).map_or("what stands there", |(_, kind)| kind)
}

/// The path of the key that stands at, or holds the value at, `span`.
fn key_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let deeper = || {
            let mut path = below(value, span)?;
            path.insert(0, key.get_ref().to_string());
            Some(path)
        };
        let here = covers(&key.span(), span).then(|| vec![key.get_ref().to_string()]);
        here.or_else(deeper)
    })
}

fn below(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<Vec<String>> {
    let inner = match value.get_ref() {
        DeValue::Table(table) => key_at(table, span),
        DeValue::Array(values) => values.iter().find_map(|value| below(value, span)),
        _ => None,
    };
    inner.or_else(|| covers(&value.span(), span).then(Vec::new))
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// A key as the file spells it: `[listen] pop3`, `[[account]] imap.host`.
fn name_of(key: &[String]) -> String {
    let key = key.iter().map(|part| clean(part)).collect::<Vec<_>>();
    match key.as_slice() {
        [] => "what stands here".to_owned(),
        ["account"] => "[[account]]".to_owned(),
        [table @ ("listen" | "tls" | "cache" | "log" | "vault")] => format!("[{table}]"),
        ["smtp_device"] => "[[smtp_device]]".to_owned(),
        ["oauth2"] => "[oauth2.NAME]".to_owned(),
        [key] => (*key).to_owned(),
        ["account", table @ ("pop3" | "smtp_options")] => format!("[account.{table}]"),
        ["account", table @ ("pop3" | "smtp_options"), key] => format!("[account.{table}] {key}"),
        ["account", rest @ ..] => format!("[[account]] {}", rest.join(".")),
        ["oauth2", name] => format!("[oauth2.{name}]"),
        ["oauth2", name, rest @ ..] => format!("[oauth2.{name}] {}", rest.join(".")),
        [table, rest @ ..] => format!("[{table}] {}", rest.join(".")),
    }
}

/// A key that no key looks like may be a slip of something secret.
fn clean(part: &str) -> &str {
    const LONGEST: usize = 40; // Twice the longest key there is.
    let plain = part.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-'));
    if plain && !part.is_empty() && part.len() <= LONGEST { part } else { "(a key of odd characters)" }
}
