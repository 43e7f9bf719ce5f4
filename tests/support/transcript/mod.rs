//! Conversations kept as text, and what plays them; `tests/transcripts/README.md` has the format.

pub mod play;
pub mod script;
pub mod text;

use std::fmt;

/// Why a transcript failed: where, and what was heard instead.
#[derive(Clone, Debug)]
pub struct Failure {
    /// `file:line`.
    pub place: String,
    /// One sentence.
    pub what: String,
    /// What was said and heard before, oldest first.
    pub before: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        for line in &self.before {
            write!(f, "\n        | {line}")?;
        }
        Ok(())
    }
}
