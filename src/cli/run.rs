//! `footbridge run`: the bridge in the foreground.

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{DONE, FAILED, WRONG, complain};
use crate::auth::oauth::fault::no_client_id;
use crate::config::Settings;
use crate::mail::Account;
use crate::mail::account::Auth;
use crate::server::{Server, StartError};

/// Binds, serves until SIGTERM, Ctrl-C or the end of its terminal, and lets running transfers end.
pub(super) async fn run(settings: Settings) -> u8 {
    no_core_files();
    settings.warnings.iter().for_each(|warning| warn!("{warning}"));
    nobody_signs_in(&settings.accounts).for_each(|warning| warn!("{warning}"));
    // Before the first connection: a signal from here on stops the bridge in order.
    let signals =
        signals().and_then(|stopping| until_hangup(&stopping).map_err(|error| not_received(&error)));
    let stopping = match signals {
        Ok(stopping) => stopping,
        Err(code) => return code,
    };
    let server = match Server::bind(&settings).await {
        Ok(server) => server,
        Err(error @ (StartError::Bind(_) | StartError::Taken { .. })) => return failed(&error.to_string()),
        Err(error) => {
            complain(&error.to_string());
            return WRONG;
        }
    };
    info!(version = env!("CARGO_PKG_VERSION"), accounts = settings.accounts.len(), "started");
    server.run(stopping).await;
    info!("stopped");
    DONE
}

/// What no mail program can say before somebody has set it up: a sentence for each account that nobody can sign in to.
fn nobody_signs_in(accounts: &[Arc<Account>]) -> impl Iterator<Item = String> {
    accounts.iter().filter_map(|account| match &account.auth {
        Auth::OAuth2(server) if server.client_id.is_none() => {
            Some(format!("{}: {}", account.address, no_client_id(server)))
        }
        _ => None,
    })
}

/// Passwords are never on disk, and a core file would have them.
#[cfg(unix)]
pub(super) fn no_core_files() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        warn!(%error, "core files cannot be switched off; one would hold passwords");
    }
}

/// Windows writes none unasked.
#[cfg(not(unix))]
pub(super) fn no_core_files() {}

/// Sentences, a line each, also where the log is off.
pub(super) fn failed(sentences: &str) -> u8 {
    sentences.lines().for_each(complain);
    FAILED
}

/// A token that a person or the system cancels to end the process; the exit code where none can be had, after the
/// sentence that says so.
pub(super) fn signals() -> Result<CancellationToken, u8> {
    cancelled_by_signals().map_err(|error| not_received(&error))
}

/// Says that without signals there is no orderly stop.
fn not_received(error: &io::Error) -> u8 {
    failed(&format!("signals cannot be received: {error}"))
}

/// A token that is cancelled with this one, and by SIGHUP where that means that the terminal is gone.
///
/// Where nobody sits at a terminal, SIGHUP comes from a service manager or from habit, and asks to read the
/// configuration anew. That is not done here, and no session may be lost over it.
///
/// A terminal's end comes as more than one signal: the system sends SIGHUP, so does the shell to its jobs, and at a
/// logout SIGTERM may come with them. So no SIGHUP is the second signal that ends the process at once, nor makes
/// another one that.
#[cfg(unix)]
fn until_hangup(signalled: &CancellationToken) -> io::Result<CancellationToken> {
    use std::io::IsTerminal;
    use tokio::signal::unix::{SignalKind, signal};
    // Asked now: a terminal that is gone is none.
    let at_terminal = io::stderr().is_terminal() || io::stdin().is_terminal();
    let mut hangup = signal(SignalKind::hangup())?;
    let stopping = signalled.child_token();
    let token = stopping.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if !at_terminal {
                info!(signal = "SIGHUP", "{NOTHING_READ}");
            } else if !token.is_cancelled() {
                info!(signal = "SIGHUP", "the terminal is gone, stopping");
                token.cancel();
            }
        }
    });
    Ok(stopping)
}

/// What SIGHUP is answered where it does not mean a terminal's end.
#[cfg(unix)]
const NOTHING_READ: &str = "nothing is read anew and every session goes on: certificates are looked at without a \
                            signal, a changed configuration needs a restart";

/// Windows has no SIGHUP; the end of a console comes as one of the signals.
#[cfg(windows)]
fn until_hangup(signalled: &CancellationToken) -> io::Result<CancellationToken> {
    Ok(signalled.clone())
}

/// A token that SIGTERM, SIGINT or Ctrl-C cancels; a second signal ends the process at once.
#[cfg(unix)]
fn cancelled_by_signals() -> io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopping = CancellationToken::new();
    let token = stopping.clone();
    tokio::spawn(async move {
        for done in ["stopping", "stopping at once"] {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            info!(signal, "{done}");
            if token.is_cancelled() {
                std::process::exit(i32::from(FAILED));
            }
            token.cancel();
        }
    });
    Ok(stopping)
}

/// A token that Ctrl-C, the end of the session or of the machine cancels; a second Ctrl-C ends the process at once.
#[cfg(windows)]
fn cancelled_by_signals() -> io::Result<CancellationToken> {
    use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_shutdown};
    let (mut ctrl_c, mut close, mut shutdown) = (ctrl_c()?, ctrl_close()?, ctrl_shutdown()?);
    let stopping = CancellationToken::new();
    let token = stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = ctrl_c.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
        info!("stopping");
        token.cancel();
        ctrl_c.recv().await;
        std::process::exit(i32::from(FAILED));
    });
    Ok(stopping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_nobody_can_sign_in_to_is_told_at_start() {
        let text = "[oauth2.google]\nclient_id = \"id\"\n[[account]]\naddress = \"ana@outlook.com\"\n\
                    [[account]]\naddress = \"ana@gmail.com\"\nauth = \"oauth2\"\n[[account]]\naddress = \"ana@gmx.net\"\n";
        let settings = crate::config::parse(text, std::path::Path::new("test.toml")).expect("good");
        let told = nobody_signs_in(&settings.accounts).collect::<Vec<_>>();
        assert_eq!(told.len(), 1, "{told:?}");
        let told = told.concat();
        assert!(
            told.starts_with("ana@outlook.com: no client_id") && told.contains("[oauth2.microsoft]"),
            "{told}"
        );
    }
}
