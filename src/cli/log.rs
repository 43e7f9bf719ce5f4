//! The log: tracing to standard error, one line a fact.

use std::io::IsTerminal;
use std::panic;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log: our own lines up to `level`, warnings of the crates below us.
///
/// What comes by the `log` crate is not taken in: async-imap writes whole commands there.
pub(super) fn start(level: LevelFilter) {
    let ours = env!("CARGO_PKG_NAME");
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(ours, level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A standard error that was closed behind us must not become a panic.
        .log_internal_errors(false)
        .with_target(false);
    // A second start, in a test's process, changes nothing.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    panic::set_hook(Box::new(|info| match is_damage(info) {
        true => tracing::debug!("{}", place_of(info)),
        false => tracing::error!("{}", place_of(info)),
    }));
}

/// redb panics over a file that deserves no trust; the ledger catches that, and has a sentence for it.
fn is_damage(info: &panic::PanicHookInfo<'_>) -> bool {
    info.location().is_some_and(|place| place.file().contains("redb-"))
}

/// Where it happened. The message is left out: it may quote what a peer sent, mail and addresses among it.
fn place_of(info: &panic::PanicHookInfo<'_>) -> String {
    match info.location() {
        Some(place) => format!("a fault in footbridge at {place}; please report this line"),
        None => "a fault in footbridge; please report it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place_and_without_its_message() {
        let told = Arc::new(Mutex::new(String::new()));
        let here = told.clone();
        let usual = panic::take_hook();
        // Other tests may fail meanwhile, in other files.
        panic::set_hook(Box::new(move |info| {
            if info.location().is_some_and(|place| place.file() == file!()) {
                *here.lock().expect("no panic while locked") = place_of(info);
            }
        }));
        let caught = panic::catch_unwind(|| panic!("ana@example.org said CANARY"));
        panic::set_hook(usual);
        assert!(caught.is_err());
        let told = told.lock().expect("no panic while locked");
        assert!(told.contains(file!()) && !told.contains("CANARY") && !told.contains('@'), "{told}");
    }
}
