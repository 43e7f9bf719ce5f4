//! `secret = ...`: where upstream's password comes from, and who else could change that.
//!
//! No value is ever shown: whoever misunderstands the key writes the password itself here.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::faults::Faults;
use super::file::{self, Place};
use super::permissions;
use crate::mail::Secret;
use crate::mail::account::SecretSource;

const CHOICES: &str = "write \"app\" or \"vault\", or one of { env = \"NAME\" }, { file = \"PATH\" }, { command = [\"PROGRAM\", \"ARGUMENT\"] }";

/// What is read of a file for its first line, in octets.
const LONGEST: usize = 4096;

/// `None` after a fault was told; `Some(None)` where nothing is said.
pub(super) fn check(
    secret: Option<&Spanned<file::Secret>>,
    path: &Path,
    faults: &mut Faults<'_>,
) -> Option<Option<SecretSource>> {
    let Some(secret) = secret else { return Some(None) };
    let outcome = match secret.get_ref() {
        file::Secret::Word(word) => by_word(word),
        file::Secret::Place(place) => by_place(place, path),
    };
    outcome.map(Some).map_err(|fault| tell(secret.span(), &fault, faults)).ok()
}

/// A secret that is needed at start: of a variable, or the first line of a file.
pub(super) fn read_now(place: &Place, path: &Path) -> Result<Secret, String> {
    match by_place(place, path)? {
        SecretSource::Env { secret, .. } => Ok(secret),
        SecretSource::File(file) => {
            let mut octets = zeroize::Zeroizing::new(Vec::with_capacity(LONGEST));
            std::fs::File::open(&file)
                .and_then(|open| open.take(LONGEST as u64).read_to_end(&mut octets))
                .map_err(|error| format!("the file {} cannot be read: {error}", file.display()))?;
            let line = octets.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
            if line.is_empty() {
                return Err(format!("the first line of {} is empty", file.display()));
            }
            if line.len() >= LONGEST {
                return Err(format!("the first line of {} is too long", file.display()));
            }
            Ok(Secret::new(line))
        }
        _ => {
            Err("write it here, or name a variable or a file: { env = \"NAME\" }, { file = \"PATH\" }"
                .to_owned())
        }
    }
}

fn tell(span: Range<usize>, fault: &str, faults: &mut Faults<'_>) {
    faults.at(span, format!("[[account]] secret: {fault}"));
}

fn by_word(word: &str) -> Result<SecretSource, String> {
    match word {
        "app" => Ok(SecretSource::App),
        "vault" => Ok(SecretSource::Vault),
        _ => Err(format!("this word is not known, and a password does not belong into this file; {CHOICES}")),
    }
}

fn by_place(place: &Place, path: &Path) -> Result<SecretSource, String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    match (&place.env, &place.file, &place.command) {
        (Some(name), None, None) => from_env(name),
        (None, Some(file), None) => from_file(folder.join(file), file.is_empty()),
        (None, None, Some(command)) => from_command(command, path),
        (None, None, None) => Err(format!("nothing is named; {CHOICES}")),
        _ => Err(format!("more than one place is named; {CHOICES}")),
    }
}

/// The name is not shown: it may be the password itself, and app passwords of some providers look like names.
fn from_env(name: &str) -> Result<SecretSource, String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!("env is not the name of a variable; {CHOICES}"));
    }
    let value = std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => {
            "the environment variable named in env is not set; set it before footbridge starts, or name another"
        }
        std::env::VarError::NotUnicode(_) => "the environment variable named in env is not UTF-8; set it again",
    })?;
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() || value.contains(['\r', '\n']) {
        return Err(
            "the environment variable named in env has to hold one line, the password; set it again".into()
        );
    }
    Ok(SecretSource::Env { name: name.to_owned(), secret: Secret::new(value) })
}

/// The file is read at each login; that it is there, and nobody else's to read, is said at start.
fn from_file(file: PathBuf, unnamed: bool) -> Result<SecretSource, String> {
    let shown = file.display();
    if unnamed {
        return Err(format!("file is empty; {CHOICES}"));
    }
    match std::fs::metadata(&file) {
        Err(error) => Err(format!("the file {shown} cannot be read: {error}; write the password into it")),
        Ok(metadata) if metadata.is_dir() => Err(format!("{shown} is a folder; name a file")),
        // Each login would wait in a thread of its own for somebody to write into a pipe.
        Ok(metadata) if !metadata.is_file() => {
            Err(format!("{shown} is no regular file; name one, or let a command print the password"))
        }
        Ok(metadata) if permissions::others_may_read(&metadata) => {
            Err(format!("others may read the file {shown}, or its group change it; run: chmod 600 {shown}"))
        }
        Ok(_) => Ok(SecretSource::File(file)),
    }
}

fn from_command(command: &[String], path: &Path) -> Result<SecretSource, String> {
    let Some((program, arguments)) = command.split_first().filter(|(program, _)| !program.is_empty()) else {
        return Err(format!("command is empty; {CHOICES}"));
    };
    if command.iter().any(|word| word.contains('\0')) {
        return Err("command has a NUL character; take it out".into());
    }
    permissions::nobody_else_writes(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // A bare name is looked for where the system looks for programs; a path is taken from the file's folder.
    let bare = Path::new(program).components().count() == 1 && !program.contains(['/', '\\']);
    let program = if bare { program.clone() } else { folder.join(program).to_string_lossy().into_owned() };
    Ok(SecretSource::Command(std::iter::once(program).chain(arguments.iter().cloned()).collect()))
}
