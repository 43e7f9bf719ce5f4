//! `footbridge demo`: a made-up mailbox, the bridge in front of it, and what to type into a mail program.
//!
//! ```text
//!  provider, in this process ══ TLS ══ bridge ══ POP3, IMAP, SMTP ══ trip: a message there and back; any mail program
//! ```

mod ports;
mod trip;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::DONE;
use super::run::{failed, no_core_files, signals};
use crate::config::{self, Settings};
use crate::demo::{ADDRESS, PASSWORD, Provider};
use crate::server::{Bound, Server};

/// Serves until Ctrl-C or SIGTERM.
pub(super) async fn demo() -> u8 {
    no_core_files();
    let stopping = match signals() {
        Ok(stopping) => stopping,
        Err(error) => return failed(&format!("signals cannot be received: {error}")),
    };
    match serve(stopping).await {
        Ok(()) => DONE,
        Err(sentences) => failed(&sentences),
    }
}

/// # Errors
/// A sentence, or a line each.
async fn serve(stopping: CancellationToken) -> Result<(), String> {
    let provider =
        Provider::start().await.map_err(|error| format!("the demo's mailbox cannot be made: {error}"))?;
    let server = bind(&provider).await?;
    let bound = server.bound();
    let serving = tokio::spawn(server.run(stopping.clone()));
    say(&introduction(&bound));
    let tried = tokio::select! {
        tried = there_and_back(&bound) => tried,
        () = stopping.cancelled() => Ok(()),
    };
    if tried.is_err() {
        stopping.cancel();
    } else if !stopping.is_cancelled() {
        say("\nPress Ctrl-C to end it; then all of this mail is gone.");
    }
    // Until the signal; the server then lets running transfers end.
    let ended = serving.await;
    tried?;
    ended.map_err(|_| "a fault in footbridge ended the demo; please report it".to_owned())
}

/// The bridge in front of the provider: on its usual ports, or on the next free ones.
///
/// Ports that were free a moment ago may be taken now, by a second demo for example: then once more.
async fn bind(provider: &Provider) -> Result<Server, String> {
    let mut last = String::new();
    for _ in 0..3 {
        let settings = settings(provider)?;
        match Server::bind(&settings).await {
            Ok(server) => return Ok(server),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn settings(provider: &Provider) -> Result<Settings, String> {
    let listen = [("pop3", 1110), ("imap", 1143), ("smtp", 1025)].map(|(key, usual)| {
        let free = ports::free_from(usual).ok_or_else(|| format!("no port from {usual} on is free"))?;
        let addresses: Vec<_> = free.iter().map(|address| format!("\"{address}\"")).collect();
        Ok(format!("{key} = [{}]", addresses.join(", ")))
    });
    let listen = listen.into_iter().collect::<Result<Vec<_>, String>>()?.join("\n");
    let server =
        |at: SocketAddr| format!("{{ host = \"127.0.0.1\", port = {}, security = \"tls\" }}", at.port());
    let text = format!(
        "[listen]\n{listen}\n[tls]\nroots = \"bundled\"\n[[account]]\naddress = \"{ADDRESS}\"\nimap = {}\nsmtp = {}\n",
        server(provider.imap),
        server(provider.smtp)
    );
    let mut settings = config::parse(&text, Path::new("demo")).map_err(|error| error.to_string())?;
    settings.tls = provider.trust.clone();
    Ok(settings)
}

fn introduction(bound: &Bound) -> String {
    let port = |addresses: &[SocketAddr]| addresses.first().map_or(0, SocketAddr::port);
    format!(
        "This is a made-up mailbox, with footbridge in front of it. Nothing is written to disk, and no message\n\
         leaves this computer: whatever you send arrives in the mailbox's own INBOX.\n\n\
         Set a mail program to:\n\n  \
         e-mail address   {ADDRESS}\n  \
         user name        {ADDRESS}\n  \
         password         {PASSWORD}\n  \
         server           localhost (127.0.0.1)\n  \
         IMAP port        {}\n  \
         POP3 port        {}\n  \
         SMTP port        {}\n  \
         encryption       none, for all three; authentication: normal password\n{}",
        port(&bound.imap),
        port(&bound.pop3),
        port(&bound.smtp),
        moved(bound)
    )
}

/// Which of the usual ports another program has.
fn moved(bound: &Bound) -> String {
    let usual = [("IMAP", &bound.imap, 1143), ("POP3", &bound.pop3, 1110), ("SMTP", &bound.smtp, 1025)];
    let taken =
        usual.iter().filter(|(_, addresses, usual)| addresses.iter().all(|address| address.port() != *usual));
    let taken = taken.map(|(name, _, usual)| format!("{name} {usual}")).collect::<Vec<_>>();
    if taken.is_empty() {
        return String::new();
    }
    format!(
        "\nUsual ports that another program has, so these are the next free ones: {}.\n",
        taken.join(", ")
    )
}

/// Sends a message through the bridge and fetches it back, and says so.
async fn there_and_back(bound: &Bound) -> Result<(), String> {
    let first =
        |addresses: &[SocketAddr]| addresses.first().copied().ok_or("a service has no port".to_owned());
    let (smtp, pop3) = (first(&bound.smtp)?, first(&bound.pop3)?);
    let fault = |step: &'static str| move |error| format!("the demo failed to {step}: {error}");
    let message = trip::Letter::new();
    trip::send(smtp, &message).await.map_err(fault("send a message by SMTP"))?;
    say(&format!("Sent a message by SMTP through the bridge:      \"{}\"  done", message.subject()));
    let (number, octets) = trip::fetch(pop3, &message).await.map_err(fault("fetch it back by POP3"))?;
    say(&format!(
        "Fetched it back by POP3 through the bridge:     message {number}, {octets} octets, complete  done"
    ));
    Ok(())
}

/// Whoever reads our output may stop early; that is no fault, and the demo goes on.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
