//! The command line, one file a command.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong. What a person asked for goes
//! to standard output, the log and faults to standard error.

mod account;
mod ask;
mod cache;
mod certificate;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod log;
mod logins;
mod place;
mod report;
mod run;
mod when;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::OsStringValueParser;
use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::auth::Stores;
use crate::config::{self, Settings, settings::LEVELS};
use crate::mail::Account;
use crate::net::Connector;

/// Everything worked.
const DONE: u8 = 0;
/// Something that was tried failed.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const WRONG: u8 = 2;

/// Threads that carry mail: a handful of apps and a provider far away keep no more busy, and each costs memory.
const THREADS: usize = 4;

/// A local mail bridge: old mail programs speak plain POP3, IMAP and SMTP to localhost, footbridge speaks TLS
/// to the provider.
#[derive(Debug, Parser)]
#[command(name = "footbridge", version, about, max_term_width = 100)]
struct Arguments {
    /// The configuration file. Without it: footbridge/footbridge.toml in the user's configuration folder
    /// ($XDG_CONFIG_HOME or ~/.config; ~/Library/Application Support on macOS; %APPDATA% on Windows), or else
    /// /etc/footbridge/footbridge.toml.
    #[arg(long, value_name = "FILE", env = "FOOTBRIDGE_CONFIG", global = true, value_parser = OsStringValueParser::new())]
    config: Option<OsString>,
    /// The folder of what outlives a run: sign-ins and stored passwords, bridge passwords, messages once fetched, which messages
    /// POP3 mailboxes held, the certificate that mail programs are shown. One bridge at a time runs with it. Made where it is needed and not there. Without this: footbridge in the user's state folder ($XDG_STATE_HOME or ~/.local/state; within
    /// ~/Library/Application Support on macOS, %LOCALAPPDATA% on Windows).
    #[arg(long, value_name = "DIR", env = "FOOTBRIDGE_STATE", global = true, value_parser = OsStringValueParser::new())]
    state: Option<OsString>,
    /// How much is logged: off, error, warn, info, debug or trace; goes before [log] level.
    #[arg(long, value_name = "LEVEL", value_parser = level, global = true)]
    log: Option<LevelFilter>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bridge in the foreground until Ctrl-C, SIGTERM or the end of its terminal; the log goes to standard error.
    Run,
    /// Try the bridge without an account: a made-up mailbox, the bridge in front of it, until Ctrl-C.
    ///
    /// A small provider runs inside this process, with some mail. No configuration is read, nothing is written to
    /// disk, no message leaves this machine. Says what to type into a mail program.
    #[cfg(feature = "demo")]
    Demo {
        #[command(flatten)]
        ports: demo::Ports,
    },
    /// Check the configuration and log in to each account's IMAP and SMTP servers; says what POP3 deletions do.
    ///
    /// Says, too, how sign-ins and access tokens stand, which are renewed if need be, where stored secrets are and what that
    /// protects against, and whether there are bridge passwords. Where the mail program sends the provider's password (secret
    /// = "app"), it is asked for here, or read from standard input, one line an account.
    Check {
        /// This account only.
        address: Option<String>,
        /// One JSON object instead of sentences; README.md names its keys.
        #[arg(long)]
        json: bool,
    },
    /// The accounts of the configuration, and what is kept for them on this machine.
    Account {
        #[command(subcommand)]
        action: account::Action,
    },
    /// What is kept of messages once fetched, in memory and in the state folder; asks the bridge that runs, if one does.
    Cache {
        #[command(subcommand)]
        action: Cache,
    },
    /// The certificate that mail programs are shown where they use TLS ([tls] local, or pop3s, imaps, smtps in
    /// [listen]); made where there is none yet.
    Certificate {
        #[command(subcommand)]
        action: Certificate,
    },
}

#[derive(Debug, Subcommand)]
enum Cache {
    /// How many and how large, the bounds, how often they served, and whether they are sealed.
    Stats {
        /// One JSON object instead of sentences; README.md names its keys.
        #[arg(long)]
        json: bool,
    },
    /// Removes them from memory and from the disk, and says how many. What POP3 programs know messages by, and what is
    /// hidden from them, is kept elsewhere and stays.
    Clear {
        /// One JSON object instead of sentences.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Certificate {
    /// Its names, its validity, its fingerprint, and where its files are.
    Show,
    /// Writes the authority that mail programs have to trust, as PEM; no key is in it. certs/README.md says how to
    /// make them.
    Export {
        /// The file to write, which must not be there yet. Without it: standard output.
        file: Option<PathBuf>,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Asked-for help goes to standard output and is no failure; clap knows which is which.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { DONE });
        }
    };
    // What the others find out is their output; the log is for what nobody expected.
    let level = |usual| arguments.log.unwrap_or(usual);
    let places = (arguments.config, arguments.state);
    match arguments.command {
        Command::Run => configured(places, |settings| {
            log::start(level(settings.log_level));
            on_threads(run::run(settings))
        }),
        #[cfg(feature = "demo")]
        Command::Demo { ports } => {
            log::start(level(LevelFilter::WARN));
            on_threads(demo::demo(ports))
        }
        Command::Check { address, json } => configured(places, |settings| {
            log::start(level(LevelFilter::WARN));
            on_threads(check::check(settings, address.as_deref(), json))
        }),
        Command::Account { action } => {
            let file = place_of(places.0.clone());
            configured(places, |settings| {
                log::start(level(LevelFilter::WARN));
                let file = file.unwrap_or_default(); // Told by now, where there is none.
                on_threads(async move { account::act(&settings, &file, action).await })
            })
        }
        Command::Cache { action } => configured(places, |settings| {
            log::start(level(LevelFilter::WARN));
            ExitCode::from(match action {
                Cache::Stats { json } => cache::stats(&settings, json),
                Cache::Clear { json } => cache::clear(&settings, json),
            })
        }),
        Command::Certificate { action } => configured(places, |settings| {
            log::start(level(LevelFilter::WARN));
            ExitCode::from(match action {
                Certificate::Show => certificate::show(&settings),
                Certificate::Export { file } => certificate::export(&settings, file.as_deref()),
            })
        }),
    }
}

/// What the command line says of the configuration file and the state folder.
type Places = (Option<OsString>, Option<OsString>);

/// Goes on with the configuration, or says what is wrong with it.
fn configured(places: Places, then: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    match settings(places) {
        Ok(settings) => then(settings),
        Err(faults) => {
            faults.iter().for_each(|fault| complain(fault));
            ExitCode::from(WRONG)
        }
    }
}

/// Runs a command to its end and makes its code the process's.
fn on_threads(command: impl Future<Output = u8>) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the system gives no threads: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(command);
    // A name lookup or a read from a terminal that hangs must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// What is kept for these accounts, for a command that makes no state folder for a look; the exit code where it cannot
/// be had, after the sentence that says why.
fn stores<'a>(
    settings: &Settings,
    accounts: impl IntoIterator<Item = &'a Arc<Account>>,
    connector: &Connector,
) -> Result<Stores, u8> {
    Stores::look(settings.state.as_deref(), settings.vault_key.clone(), accounts, connector).map_err(
        |error| {
            complain(&error.to_string());
            WRONG
        },
    )
}

/// One sentence to standard error, which may be closed: that is no fault of ours.
fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "footbridge: {sentence}");
}

fn settings((path, state): Places) -> Result<Settings, Vec<String>> {
    let path = place_of(path).map_err(|fault| vec![fault])?;
    let mut settings = config::load(&path).map_err(|error| error.faults)?;
    settings.state = match state.filter(|path| !path.is_empty()) {
        Some(path) => Some(PathBuf::from(path)),
        None => place::state(),
    };
    Ok(settings)
}

/// The configuration file. An empty variable is one that is not set; environment files of service managers write it so.
fn place_of(path: Option<OsString>) -> Result<PathBuf, String> {
    path.filter(|path| !path.is_empty()).map_or_else(place::usual, |path| Ok(PathBuf::from(path)))
}

fn level(word: &str) -> Result<LevelFilter, String> {
    let known = LEVELS.iter().find(|(known, _)| *known == word);
    known.map(|(_, level)| *level).ok_or_else(|| "write off, error, warn, info, debug or trace".into())
}
