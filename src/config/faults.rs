//! What is wrong, collected: every fault is one sentence with file, line, key, value and cure.
//!
//! The text of a line is never part of one: it may hold a secret.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

/// The faults of one file.
#[derive(Debug)]
pub(super) struct Faults<'a> {
    text: &'a str,
    path: &'a Path,
    found: Vec<(usize, String)>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(text: &'a str, path: &'a Path) -> Self {
        Self { text, path, found: Vec::new() }
    }

    /// A fault at a place of the text.
    pub(super) fn at(&mut self, span: Range<usize>, what: impl Display) {
        let line = line_of(self.text, span.start);
        self.found.push((line, format!("{}:{line}: {what}", self.path.display())));
    }

    /// A fault of the file as a whole.
    pub(super) fn whole(&mut self, what: impl Display) {
        self.found.push((0, format!("{}: {what}", self.path.display())));
    }

    /// The faults by line; empty where there are none.
    pub(super) fn into_sentences(mut self) -> Vec<String> {
        self.found.sort_by_key(|(line, _)| *line);
        self.found.into_iter().map(|(_, sentence)| sentence).collect()
    }
}

/// The line of an octet, counted from 1.
fn line_of(text: &str, octet: usize) -> usize {
    let before = text.as_bytes().get(..octet).unwrap_or(text.as_bytes());
    memchr::memchr_iter(b'\n', before).count() + 1
}

/// A value as it may be shown: quoted, control characters escaped, bounded.
pub(super) fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", value.get(..end).unwrap_or_default()),
        None => format!("{value:?}"),
    }
}

/// The known word that was most likely meant: a misspelling, or the beginning of it.
pub(super) fn did_you_mean<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    const BEGINNING: usize = 3; // Letters; fewer begin anything.
    let word = word.to_lowercase();
    let judged = known.into_iter().filter_map(|known| {
        let distance = distance(&word, known);
        // A third of the letters may be wrong; more is another word.
        let near = distance <= known.chars().count().max(3) / 3;
        let begun = word.len() >= BEGINNING && known.starts_with(&word);
        (near || begun).then_some((!near, distance, known))
    });
    judged.min().map(|(.., known)| known)
}

/// Letters to add, drop, change or swap with their neighbour; words are short, so the plain table will do.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 40; // A word of a configuration; a longer one is no misspelling of any.
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(LONGEST).collect(), b.chars().take(LONGEST).collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let changed = at(&last, j) + usize::from(from != to);
            let mut best = changed.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_word_and_another_word_finds_none() {
        let known = ["delete", "folder", "seen"];
        assert_eq!(did_you_mean("delte", known), Some("delete"));
        assert_eq!(did_you_mean("sene", known), Some("seen"));
        assert_eq!(did_you_mean("Folder", known), Some("folder"));
        assert_eq!(did_you_mean("del", known), Some("delete"));
        assert_eq!(did_you_mean("colour", known), None);
        assert_eq!(did_you_mean("", known), None);
    }

    #[test]
    fn lines_are_counted_from_one() {
        let mut faults = Faults::new("a\nb\n", Path::new("f.toml"));
        faults.at(2..3, "second");
        faults.at(0..1, "first");
        faults.at(99..99, "past the end");
        faults.whole("whole");
        let expected = ["f.toml: whole", "f.toml:1: first", "f.toml:2: second", "f.toml:3: past the end"];
        assert_eq!(faults.into_sentences(), expected);
    }

    #[test]
    fn a_value_is_shown_bounded_and_without_control_characters() {
        assert_eq!(shown("a\u{1b}[2J\n"), r#""a\u{1b}[2J\n""#);
        assert!(shown(&"x".repeat(10_000)).len() < 100);
    }
}
