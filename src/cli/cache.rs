//! `footbridge cache`: what is kept of messages, and to be rid of it.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::{DONE, FAILED, WRONG, complain};
use crate::config::Settings;
use crate::server::control::{self, Request};
use crate::store::bodies::{Cleared, MemoryTier};
use crate::store::disk::{self, DiskTier, Removed};
use crate::store::{Alone, Folder, Stats};

/// What is kept, where, and what protects it.
pub(super) fn stats(settings: &Settings, as_json: bool) -> u8 {
    asked(settings, |state| {
        let running = control::ask::<Stats>(state, Request::CacheStats)?;
        let (runs, stats) = match running {
            Some(stats) => (true, stats),
            None => (false, measured(settings, state)?),
        };
        let folder = disk::folder_in(state);
        Ok(if as_json { in_json(runs, &stats, &folder) } else { in_words(runs, &stats, &folder) })
    })
}

/// Removes it, from memory and from the disk.
pub(super) fn clear(settings: &Settings, as_json: bool) -> u8 {
    asked(settings, |state| {
        let Cleared { memory, disk } = cleared(state)?;
        if as_json {
            return Ok(format!("{}\n", json!({ "memory": memory, "disk": disk })));
        }
        let of = |removed: &Removed| format!("{}, {}", messages(removed.bodies), size(removed.octets));
        Ok(format!("removed from memory: {}\nremoved from the disk: {}\n", of(&memory), of(&disk)))
    })
}

/// Has the bridge that runs remove all bodies, or removes those on the disk where none does.
pub(super) fn cleared(state: &Path) -> Result<Cleared, String> {
    if let Some(cleared) = control::ask(state, Request::CacheClear)? {
        return Ok(cleared);
    }
    let disk = without_bridge(state, disk::clear)?;
    Ok(Cleared { memory: Removed::default(), disk })
}

/// The exit code of what is done with the state folder, and what came of it on standard output.
fn asked(settings: &Settings, act: impl FnOnce(&Path) -> Result<String, String>) -> u8 {
    let Some(state) = &settings.state else {
        complain("there is no state folder, so no footbridge can be asked; name it with --state DIR");
        return WRONG;
    };
    let written = act(state).and_then(|text| {
        io::stdout().write_all(text.as_bytes()).map_err(|error| format!("this cannot be written: {error}"))
    });
    match written {
        Ok(()) => DONE,
        Err(sentence) => {
            complain(&sentence);
            FAILED
        }
    }
}

fn measured(settings: &Settings, state: &Path) -> Result<Stats, String> {
    let bound = settings.cache_disk;
    let disk = without_bridge(state, |folder| disk::measure(folder, bound))?;
    let memory = MemoryTier { bound: settings.cache_memory, ..MemoryTier::default() };
    Ok(Stats { memory, disk: Some(disk), ..Stats::default() })
}

/// Opens the folder of bodies where no bridge has it; no folder is made for that.
fn without_bridge<T: Default>(state: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, String> {
    let Some(_alone) = alone(state)? else { return Ok(T::default()) };
    let bodies = disk::folder_in(state);
    act(&bodies).map_err(|error| format!("{}: {error}", bodies.display()))
}

/// Keeps bridges from starting with the state folder; `None` where there is no folder.
///
/// # Errors
/// One runs, and was not to be asked.
pub(super) fn alone(state: &Path) -> Result<Option<Alone>, String> {
    if !state.exists() {
        return Ok(None);
    }
    let folder = Folder::open(state).map_err(|error| error.to_string())?;
    let alone = folder.hold_alone().map_err(|error| error.to_string())?.ok_or_else(|| {
        format!(
            "{}: a footbridge runs with this folder and cannot be asked here; stop it first",
            state.display()
        )
    })?;
    Ok(Some(alone))
}

fn in_json(runs: bool, stats: &Stats, folder: &Path) -> String {
    let Stats { memory, disk, from_memory, from_disk, missed } = stats;
    let since = runs.then(|| json!({ "from_memory": from_memory, "from_disk": from_disk, "missed": missed }));
    let object = json!({
        "running": runs,
        "memory": memory,
        "disk": disk,
        "folder": folder.to_string_lossy(),
        "since_start": since,
    });
    format!("{object}\n")
}

fn in_words(runs: bool, stats: &Stats, folder: &Path) -> String {
    let Stats { memory, disk, from_memory, from_disk, missed } = stats;
    let tier = |bodies: u64, octets: u64, bound: u64| match bound {
        0 => format!("{}, {}, and nothing more is kept here", messages(bodies), size(octets)),
        bound => format!("{}, {} of {}", messages(bodies), size(octets), size(bound)),
    };
    let mut text =
        if runs { String::new() } else { "no footbridge runs with this state folder\n".to_owned() };
    text += &format!("in memory: {}\n", tier(memory.bodies, memory.octets, memory.bound));
    let DiskTier { bodies, octets, bound, sealed } = disk.unwrap_or_default();
    text += &format!("on the disk: {}\n", tier(bodies, octets, bound));
    if bodies > 0 || bound > 0 {
        let protection = if sealed { SEALED } else { PLAIN };
        text += &format!("  in {}\n  {protection}\n", folder.display());
    }
    if runs {
        text += &format!(
            "since the start: {from_memory} had from memory, {from_disk} from the disk, {missed} asked for and not there\n"
        );
    }
    text
}

const SEALED: &str = "sealed with a key that is made from the vault's, which lies elsewhere: a copy of the folder, a backup or a \
     stolen disk does not open them; programs that run as you can";

const PLAIN: &str = "not sealed: other users of this machine cannot read them; programs that run as you, and whoever gets a copy of \
     the folder, a backup or this disk unencrypted, can";

fn messages(number: u64) -> String {
    if number == 1 { "1 message".to_owned() } else { format!("{number} messages") }
}

/// In the unit a person would choose, a digit behind the point.
fn size(octets: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if octets < 1024 {
        return format!("{octets} octets");
    }
    let mut tenths = octets.saturating_mul(10) / 1024;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if tenths >= 10 * 1024 {
            tenths /= 1024;
            unit = larger;
        }
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_as_a_person_would() {
        for (octets, told) in [
            (0, "0 octets"),
            (1023, "1023 octets"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (64 << 20, "64.0 MiB"),
            (2 << 30, "2.0 GiB"),
            (5 << 40, "5120.0 GiB"),
            (u64::MAX, "1717986918.3 GiB"),
        ] {
            assert_eq!(size(octets), told);
        }
    }
}
