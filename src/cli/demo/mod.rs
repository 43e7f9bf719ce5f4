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

/// The ports asked for, one a service.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Ports {
    /// Where POP3 is spoken, or at the next free port; 0: at any free one.
    #[arg(long, value_name = "PORT", default_value_t = 1110)]
    pub(super) pop3: u16,
    /// Where IMAP is spoken, or at the next free port; 0: at any free one.
    #[arg(long, value_name = "PORT", default_value_t = 1143)]
    pub(super) imap: u16,
    /// Where SMTP is spoken, or at the next free port; 0: at any free one.
    #[arg(long, value_name = "PORT", default_value_t = 1025)]
    pub(super) smtp: u16,
}

/// Free ports that another program took before they were bound, a second demo that starts at this moment for example:
/// so often others are looked for.
const TRIES: u32 = 10;

/// Serves until Ctrl-C or SIGTERM.
pub(super) async fn demo(ports: Ports) -> u8 {
    no_core_files();
    let stopping = match signals() {
        Ok(stopping) => stopping,
        Err(code) => return code,
    };
    match serve(ports, stopping).await {
        Ok(()) => DONE,
        Err(sentences) => failed(&sentences),
    }
}

/// # Errors
/// A sentence, or a line each.
async fn serve(ports: Ports, stopping: CancellationToken) -> Result<(), String> {
    let provider =
        Provider::start().await.map_err(|error| format!("the demo's mailbox cannot be made: {error}"))?;
    let server = bind(ports, &provider).await?;
    let bound = server.bound();
    let serving = tokio::spawn(server.run(stopping.clone()));
    say(&introduction(ports, &bound));
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

/// The bridge in front of the provider: on the ports asked for, or on the next free ones.
async fn bind(ports: Ports, provider: &Provider) -> Result<Server, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let settings = settings(ports, provider)?;
        match Server::bind(&settings).await {
            Ok(server) => return Ok(server),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn settings(ports: Ports, provider: &Provider) -> Result<Settings, String> {
    let services = [("pop3", ports.pop3), ("imap", ports.imap), ("smtp", ports.smtp)];
    let (mut listen, mut given) = (String::new(), Vec::new());
    for (key, wanted) in services {
        // The port that another service is asked to have is that one's, also where it is the next free one.
        let others = services.iter().map(|(_, other)| *other).filter(|other| *other != wanted);
        let others: Vec<u16> = others.chain(given.iter().copied()).collect();
        let free = ports::free_from(wanted, &others).ok_or_else(|| {
            format!("for {key} no port from {wanted} on is free; name another one with --{key} PORT")
        })?;
        given.extend(free.first().map(SocketAddr::port));
        let addresses: Vec<_> = free.iter().map(|address| format!("\"{address}\"")).collect();
        listen += &format!("{key} = [{}]\n", addresses.join(", "));
    }
    let server =
        |at: SocketAddr| format!("{{ host = \"127.0.0.1\", port = {}, security = \"tls\" }}", at.port());
    let text = format!(
        "[listen]\n{listen}[tls]\nroots = \"bundled\"\n[[account]]\naddress = \"{ADDRESS}\"\nimap = {}\nsmtp = {}\n",
        server(provider.imap),
        server(provider.smtp)
    );
    let mut settings = config::parse(&text, Path::new("demo")).map_err(|error| error.to_string())?;
    settings.tls = provider.trust.clone();
    Ok(settings)
}

fn introduction(ports: Ports, bound: &Bound) -> String {
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
        moved(ports, bound)
    )
}

/// Which of the ports asked for are not to be had: another program has them, or only an administrator may.
fn moved(ports: Ports, bound: &Bound) -> String {
    let wanted = [
        ("IMAP", &bound.imap, ports.imap),
        ("POP3", &bound.pop3, ports.pop3),
        ("SMTP", &bound.smtp, ports.smtp),
    ];
    let taken = wanted.iter().filter(|(_, addresses, wanted)| {
        *wanted != 0 && addresses.iter().all(|address| address.port() != *wanted)
    });
    let taken = taken.map(|(name, _, wanted)| format!("{name} {wanted}")).collect::<Vec<_>>();
    if taken.is_empty() {
        return String::new();
    }
    format!(
        "\nThese ports are in use, or this user may not have them, so the next free ones are taken: {}.\n",
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        ports: Ports,
    }

    fn ports(words: &[&str]) -> [u16; 3] {
        let words = std::iter::once("demo").chain(words.iter().copied());
        let Ports { pop3, imap, smtp } = Arguments::try_parse_from(words).unwrap().ports;
        [pop3, imap, smtp]
    }

    #[test]
    fn a_port_that_is_not_named_is_the_usual_one() {
        assert_eq!(ports(&[]), [1110, 1143, 1025]);
        assert_eq!(ports(&["--smtp", "0", "--imap", "2143"]), [1110, 2143, 0]);
    }
}
