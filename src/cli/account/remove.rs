//! `footbridge account remove`: what this machine keeps of an account goes; its lines of the configuration, which may
//! have comments that nobody else can judge, are named and left to the user.
//!
//! So is what was hidden instead of deleted, and the unique-ids that outlived a UIDVALIDITY: the provider cannot give them
//! again, they are nothing but numbers, and an account is often removed to be added anew. Its programs, which are still
//! there, would fetch all of that once more, deleted mail too.

use std::fs;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::super::{DONE, FAILED, cache, complain};
use crate::auth::Passwords;
use crate::auth::vault::Vault;
use crate::config::Settings;
use crate::server::control::{self, Request};
use crate::store::bodies::Cleared;
use crate::store::ledger::{self, Ledger};
use crate::store::{Folder, carried, views};

/// Removes what is kept, and tells what was.
pub(super) async fn remove(settings: &Settings, file: &Path, address: &str) -> u8 {
    let folded = address.to_lowercase();
    let position = settings.accounts.iter().position(|account| account.logins.contains(&folded));
    let account = position.and_then(|at| settings.accounts.get(at));
    let address = account.map_or(address, |account| &account.address);
    let Forgotten { stored, passwords, stays } = match forget(settings, address) {
        Ok(forgotten) => forgotten,
        Err(sentence) => {
            complain(&format!("{address}: {sentence}"));
            return FAILED;
        }
    };
    let mut told = String::new();
    if stored {
        told += &format!("{address}: what the vault held is removed\n");
    }
    match passwords {
        0 => {}
        1 => told += &format!("{address}: its bridge password is taken back\n"),
        many => told += &format!("{address}: its {many} bridge passwords are taken back\n"),
    }
    let listed = match settings.state.as_deref() {
        Some(state) => listed(state, address).await,
        None => Ok(ledger::Forgotten::default()),
    };
    if let Ok(ledger::Forgotten { mailboxes, begun_anew }) = listed {
        if mailboxes > 0 {
            told += &format!("{address}: what the ledger knew of its mailboxes is removed\n");
        }
        if begun_anew {
            told += &format!(
                "{address}: the ledger was damaged, so that all of it is removed; each mailbox is listed once more\n"
            );
        }
    }
    for (what, place) in stays {
        told += &format!(
            "{address}: {what} stays known, should the account be added again; to forget it delete {}\n",
            place.display()
        );
    }
    // Where nobody has heard of the address nothing of others is removed for it.
    let known = position.is_some() || !told.is_empty();
    let emptied = settings.state.as_deref().filter(|_| known).map_or(Ok(false), emptied);
    if emptied == Ok(true) {
        told += &format!(
            "{address}: the cache is emptied, of other accounts' messages too; they are fetched again\n"
        );
    }
    if let Some(position) = position {
        let text = fs::read_to_string(file).unwrap_or_default();
        let place = match lines(&text, position, settings.accounts.len()) {
            Some(lines) => format!("lines {} to {} of {}", lines.start(), lines.end(), file.display()),
            None => format!("its [[account]] in {}", file.display()),
        };
        told += &format!("{address}: now delete {place}, and restart footbridge\n");
    }
    if told.is_empty() {
        complain(&format!(
            "nothing is kept for {address}, and no account has this address; if one had it, messages of it may be in the \
             cache until \"footbridge cache clear\""
        ));
        return FAILED;
    }
    let _ = io::stdout().write_all(told.as_bytes());
    let mut code = DONE;
    if let Err(sentence) = listed {
        complain(&format!(
            "{address}: what the ledger knows of its mailboxes is still there: {sentence}; the file may be removed while no \
             footbridge runs"
        ));
        code = FAILED;
    }
    if let Err(sentence) = emptied {
        complain(&format!("{address}: its messages are still in the cache: {sentence}"));
        code = FAILED;
    }
    code
}

/// Has the ledger forget the account's mailboxes: by the bridge that runs, which has it open, or where none does by itself.
async fn listed(state: &Path, address: &str) -> Result<ledger::Forgotten, String> {
    if let Some(forgotten) = control::ask(state, Request::LedgerForget { address: address.to_owned() })? {
        return Ok(forgotten);
    }
    match cache::alone(state)? {
        Some(_alone) => Ledger::without_log(state).forget(address).await,
        None => Ok(ledger::Forgotten::default()),
    }
}

/// Empties the cache of messages; `true` where there were any. Sealed files do not tell whose they are, so all go.
fn emptied(state: &Path) -> Result<bool, String> {
    let Cleared { memory, disk } = cache::cleared(state)?;
    Ok(memory.bodies > 0 || disk.bodies > 0)
}

/// What was kept.
#[derive(Default)]
struct Forgotten {
    /// In the vault.
    stored: bool,
    /// Bridge passwords.
    passwords: usize,
    /// What is left, and where.
    stays: Vec<(&'static str, PathBuf)>,
}

fn forget(settings: &Settings, address: &str) -> Result<Forgotten, String> {
    let Some(state) = settings.state.as_deref().filter(|state| fs::symlink_metadata(state).is_ok()) else {
        return Ok(Forgotten::default());
    };
    let folder = Folder::open(state).map_err(|error| error.to_string())?;
    // First what opens the account here, then what opens it at the provider.
    let passwords = Passwords::new(Some(state)).forget(address).map_err(|error| error.to_string())?;
    let vault = Vault::new(folder.clone(), settings.vault_key.clone());
    let stored = vault.remove(address).map_err(|error| error.to_string())?;
    let hidden = views::about(&folder, address).map_err(|error| error.to_string())?;
    let renamed = carried::about(&folder, address).map_err(|error| error.to_string())?;
    let stays = [
        ("which messages are hidden from its POP3 programs", hidden),
        ("by which unique-ids its POP3 programs know messages that were renumbered", renamed),
    ];
    let stays = stays.into_iter().filter_map(|(what, place)| Some((what, place?))).collect();
    Ok(Forgotten { stored, passwords, stays })
}

/// The lines of the account at this position among so many, counted from 1; `None` where they are not written as
/// `[[account]]` tables.
fn lines(text: &str, position: usize, accounts: usize) -> Option<RangeInclusive<usize>> {
    let heads = |line: &str| {
        let line = line.split_whitespace().collect::<String>();
        let head = line.starts_with('[');
        (head && line.starts_with("[[account]]"), head && !line.starts_with("[account."))
    };
    let starts = text.lines().enumerate().filter(|(_, line)| heads(line).0).map(|(at, _)| at);
    let starts = starts.collect::<Vec<_>>();
    if starts.len() != accounts {
        return None;
    }
    let start = *starts.get(position)?;
    let own = text.lines().enumerate().skip(start + 1).take_while(|(_, line)| !heads(line).1);
    // Comments right before the next table are the next one's.
    let counts = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let last = own.filter(|(_, line)| counts(line)).map(|(at, _)| at).last().unwrap_or(start);
    Some(start + 1..=last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_account_end_before_the_next_table_and_its_comments() {
        let text = "# mine\n[log]\nlevel = \"info\"\n\n[[account]]\naddress = \"a@b.c\"\n# why\nmask = [\n  \"IDLE\",\n]\n\
                    [account.pop3]\nfolder = \"x\"\n\n# the other\n[[ account ]]\naddress = \"d@e.f\"\n[tls]\nlocal = \"off\"\n";
        assert_eq!(lines(text, 0, 2), Some(5..=12));
        assert_eq!(lines(text, 1, 2), Some(15..=16));
        assert_eq!(lines(text, 2, 2), None);
        assert_eq!(lines("account = [{ address = \"a@b.c\" }]\n", 0, 1), None);
    }
}
