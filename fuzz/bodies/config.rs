//! The configuration: any text is settings or faults, every fault names the file, and a secret that stands on a line
//! of its own is in none of them.
//!
//! The secret stands where the first NUL is, or at the end.

use std::path::Path;

use footbridge::config;

const SECRET: &str = "hunter2-CANARY";

pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (before, behind) = text.split_once('\0').unwrap_or((&text, ""));
    judge(&text);
    for value in [format!("{SECRET:?}"), SECRET.to_owned(), format!("{{ file = {SECRET:?}, x")] {
        for fault in judge(&format!("{before}\nsecret = {value}\n{behind}")) {
            assert!(!fault.contains("CANARY"), "{fault}");
        }
    }
}

fn judge(text: &str) -> Vec<String> {
    match config::parse(text, Path::new("test.toml")) {
        Ok(settings) => {
            assert!(!settings.accounts.is_empty());
            Vec::new()
        }
        Err(error) => {
            assert!(!error.faults.is_empty());
            for fault in &error.faults {
                assert!(fault.starts_with("test.toml:"), "{fault}");
                assert!(!fault.chars().any(|c| c.is_control()), "{fault:?}");
            }
            error.faults
        }
    }
}
