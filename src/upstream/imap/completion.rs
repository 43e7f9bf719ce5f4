//! How upstream ended a command: its verdict, its code, its words, and the wait it asks for.

use std::time::Duration;

use crate::proto::imap::response::{Status, Text};

/// The longest text of upstream's that gets into a sentence or a log, in octets.
const WORDS: usize = 200;

/// Codes that are about what a command names, and stay true however long is waited.
const OF_ONE: &[&str] = &["NONEXISTENT", "TRYCREATE", "NOPERM", "CANNOT", "ALREADYEXISTS"];

/// How long is waited where upstream throttles and names no time.
const THROTTLED: Duration = Duration::from_secs(60);

/// Whatever upstream asks for, it is asked again after this: nobody waits for a day without looking.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A tagged response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// OK, NO or BAD.
    pub status: Status,
    /// Its response code, upper case as far as it is a name; empty if there is none.
    pub code: String,
    /// Its words, cleaned.
    pub words: String,
}

impl Completion {
    /// What a tagged response says.
    pub fn new(status: Status, text: &Text<'_>) -> Self {
        let code = text.code.map(clean).unwrap_or_default().to_ascii_uppercase();
        Self { status, code, words: clean(text.words) }
    }

    /// The code's name.
    pub fn code_name(&self) -> &str {
        self.code.split(' ').next().unwrap_or_default()
    }

    /// Code and words, for a person.
    pub fn text(&self) -> String {
        match (self.code.is_empty(), self.words.is_empty()) {
            (true, true) => "it gives no reason".to_owned(),
            (true, false) => self.words.clone(),
            (false, true) => format!("[{}]", self.code),
            (false, false) => clean(format!("{} [{}]", self.words, self.code).as_bytes()),
        }
    }

    /// Whether it is the account that was asked for too much: in the code of RFC 9051 §7.1, or in Exchange's words.
    pub fn throttles(&self) -> bool {
        let words = self.words.to_ascii_lowercase();
        self.code_name() == "THROTTLED" || words.contains("throttled") || words.contains("backoff time:")
    }

    /// How long upstream asks us to wait, if it does. The words of a code that is about one folder or one message may be
    /// that folder's name (RFC 5530 §3).
    pub fn wait(&self) -> Option<Duration> {
        let words = if OF_ONE.contains(&self.code_name()) { "" } else { &self.words };
        wait_in(words).or_else(|| (self.code_name() == "THROTTLED").then_some(THROTTLED))
    }
}

/// The wait in `Suggested Backoff Time: 299961 milliseconds` or `try again in 5 minutes`, bounded.
fn wait_in(words: &str) -> Option<Duration> {
    let words = words.to_ascii_lowercase();
    let behind = ["backoff time:", "try again in", "retry after", "retry in"]
        .iter()
        .find_map(|said| words.split_once(said).map(|(_, behind)| behind.trim_start()))?;
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = behind.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit: String = unit.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    let wait = match unit.as_str() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => Duration::from_millis(number),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Duration::from_secs(number),
        "m" | "min" | "mins" | "minute" | "minutes" => Duration::from_secs(number.saturating_mul(60)),
        // Hours and days; what is not known is not shorter than it may be.
        _ => LONGEST,
    };
    Some(wait.min(LONGEST))
}

/// Upstream's words made fit for a sentence: printable, one line, bounded.
pub fn clean(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let printable = words.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cleaned = String::new();
    for character in printable {
        if cleaned.len() + character.len_utf8() > WORDS {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_that_is_asked_for() {
        let seconds = |words: &str| wait_in(words).map(|wait| wait.as_millis());
        assert_eq!(
            seconds("Request is throttled. Suggested Backoff Time: 299961 milliseconds"),
            Some(299_961)
        );
        assert_eq!(seconds("Too many logins, try again in 5 minutes"), Some(300_000));
        assert_eq!(seconds("retry after 30 seconds"), Some(30_000));
        assert_eq!(seconds("try again in 99999999999 hours"), Some(900_000));
        assert_eq!(seconds("try again in a while"), None);
        assert_eq!(seconds("Retry after 20"), Some(20_000));
        assert_eq!(seconds("try again in 2 min."), Some(120_000));
        for long in ["try again in 1 hour", "retry in 24 hours", "retry after 1h", "try again in 1 day"] {
            assert_eq!(seconds(long), Some(900_000), "{long}");
        }
        assert_eq!(seconds("try again in 99999999999999999999999"), None);
    }
}
