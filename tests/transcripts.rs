//! Runs every conversation in `tests/transcripts/{pop3,imap,smtp}`, each against a bridge of its own.
//!
//! `cargo test --test transcripts pop3/dele` runs those whose name holds `pop3/dele`. Each is played twice:
//! a line a write, and an octet a write, which must make no difference (but where it says `writes: whole`).

mod support;

use std::collections::VecDeque;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use support::transcript::play::{Writes, play};
use support::transcript::script::{self, Script};

mod runner;

/// Conversations at a time: most of one is waiting for the other side.
const AT_ONCE: usize = 6;

struct Test {
    name: String,
    run: Box<dyn FnOnce() -> Result<(), String> + Send>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut tests = runner::tests();
    tests.extend(files().into_iter().map(conversation));
    let all = tests.len();
    tests.retain(|test| {
        filters.is_empty() || filters.iter().any(|filter| test.name.contains(filter.as_str()))
    });
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    run(tests, all)
}

/// Every file, in the order of its name.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files = Vec::new();
    for protocol in ["pop3", "imap", "smtp"] {
        let entries = std::fs::read_dir(root.join(protocol)).into_iter().flatten();
        files.extend(entries.map(|entry| entry.expect("readable").path()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    assert!(!files.is_empty(), "there are no conversations in {}", root.display());
    files.sort();
    files
}

fn conversation(file: PathBuf) -> Test {
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let name = format!("{folder}/{}", file.file_stem().unwrap_or_default().to_string_lossy());
    let run = move || {
        let script = script::read(&file).map_err(|failure| failure.to_string())?;
        play_both_ways(&script)
    };
    Test { name, run: Box::new(run) }
}

fn play_both_ways(script: &Script) -> Result<(), String> {
    for writes in [Writes::Whole, Writes::Octets] {
        if script.whole_lines_only && writes == Writes::Octets {
            continue;
        }
        let way = match writes {
            Writes::Whole => "",
            Writes::Octets => "(an octet a write) ",
        };
        on_a_runtime(play(script, writes)).map_err(|failure| format!("{way}{failure}"))?;
    }
    Ok(())
}

/// A runtime of its own: a bridge that spins or leaks tasks harms no other conversation.
fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}

/// Runs them and reports as the standard runner does.
fn run(tests: Vec<Test>, all: usize) -> ExitCode {
    let begun = Instant::now();
    let count = tests.len();
    println!("\nrunning {count} tests");
    let queue = Mutex::new(VecDeque::from(tests));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(test) = take(&queue) {
                    let Test { name, run } = test;
                    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(run))
                        .unwrap_or_else(|_| Err("the test panicked, see above".into()));
                    println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
                    if let Err(what) = outcome {
                        failures.lock().expect("no holder panics").push((name, what));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no holder panics");
    failures.sort();
    if !failures.is_empty() {
        println!("\nfailures:\n");
        failures.iter().for_each(|(name, what)| println!("---- {name} ----\n{what}\n"));
    }
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        count - failures.len(),
        failures.len(),
        all - count,
        begun.elapsed().as_secs_f64()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn take(queue: &Mutex<VecDeque<Test>>) -> Option<Test> {
    queue.lock().expect("no holder panics").pop_front()
}
