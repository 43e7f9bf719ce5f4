//! What the person at the keyboard is shown and says while a sign-in waits.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::super::complain;
use super::say;
use crate::auth::oauth::code::Attempt;
use crate::auth::oauth::device::Device;
use crate::auth::oauth::{Grant, SignInError};
use crate::mail::Secret;
use crate::net::http::Client as Http;

/// Where to sign in, and what happens then.
pub(super) fn show_address(attempt: &Attempt, address: &str, opened: bool) {
    let mut text = if opened {
        format!("A browser opens this address; sign in there as {address}:")
    } else {
        format!("Open this address in a browser, and sign in there as {address}:")
    };
    let _ = write!(text, "\n\n{}\n\n", attempt.url);
    if attempt.listens() {
        let _ = write!(
            text,
            "The browser comes back by itself. One on another machine ends at an error page instead, whose address begins with \
             {}: copy the whole of it, paste it here, and press Enter.",
            attempt.redirect()
        );
    } else {
        let _ = write!(
            text,
            "The browser ends at an address that begins with {}: copy the whole of it, paste it here, and press Enter.",
            attempt.redirect()
        );
    }
    say(&text);
}

/// Which code to type in, and where.
pub(super) fn show_code(codes: &Device, address: &str) {
    let Device { user_code, verification_uri, verification_uri_complete, .. } = codes;
    let mut text = format!(
        "Open this address on any device, and sign in there as {address}:\n\n{verification_uri}\n\nand type in this code: \
         {user_code}"
    );
    if let Some(complete) = verification_uri_complete {
        let _ = write!(text, "\n\nor this one, which has the code in it:\n\n{complete}");
    }
    say(&text);
}

/// Waits for the browser, or for the pasted address of where it ended.
pub(super) async fn signed_in(
    attempt: &mut Attempt,
    http: &Http,
    pasted: &mut mpsc::Receiver<Secret>,
    patience: Duration,
) -> Result<Grant, SignInError> {
    let end = Instant::now() + patience;
    let used = attempt.used();
    let mut ended = false;
    loop {
        let listens = attempt.listens();
        let text = {
            let mut browser =
                std::pin::pin!(attempt.finish(http, end.saturating_duration_since(Instant::now())));
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut browser => {
                        return outcome.map_err(|error| match error {
                            SignInError::TimedOut { .. } => SignInError::TimedOut { after: patience },
                            error => error,
                        });
                    }
                    line = pasted.recv(), if !ended => match line {
                        // It comes late: a browser was here already, and its code is being exchanged.
                        Some(_) if used.load(Ordering::Relaxed) => {}
                        Some(line) if line.expose().trim_ascii().is_empty() => {}
                        Some(line) => break line,
                        None if listens => ended = true,
                        None => return Err(SignInError::NotOurs(
                            "standard input has ended, and no browser can come back by itself: there is no port in redirect",
                        )),
                    },
                }
            }
        };
        match attempt.paste(http, text.expose_str().unwrap_or_default()).await {
            Err(error @ SignInError::NotOurs(_)) => complain(&error.to_string()),
            outcome => return outcome,
        }
    }
}

/// Waits with the time that is left before the person's eyes, where they look at a terminal; else says it once.
pub(super) async fn counted_down<T>(patience: Duration, coming: impl Future<Output = T>) -> T {
    let mut screen = io::stderr();
    if !screen.is_terminal() {
        let _ = writeln!(screen, "Waiting for {} minutes at most.", patience.as_secs().div_ceil(60));
        return coming.await;
    }
    let end = Instant::now() + patience;
    let _line = Line;
    let mut coming = std::pin::pin!(coming);
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            outcome = &mut coming => return outcome,
            _ = second.tick() => {
                let left = end.saturating_duration_since(Instant::now()).as_secs();
                let line = format!("Waiting, {}:{:02} left ", left / 60, left % 60);
                let _ = write!(screen, "\r{line}").and_then(|()| screen.flush());
            }
        }
    }
}

/// The countdown's line, which is empty afterwards, also where the wait was given up.
struct Line;

impl Drop for Line {
    fn drop(&mut self) {
        let mut screen = io::stderr();
        let _ = write!(screen, "\r{:24}\r", "").and_then(|()| screen.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::mail::Deadlines;
    use crate::mail::account::Auth;
    use crate::net::Connector;

    /// Five minutes, whatever is pasted meanwhile that is of no use.
    #[tokio::test(start_paused = true)]
    async fn nobody_who_comes_ends_the_wait_after_its_time() {
        let text = "[oauth2.x]\nclient_id = \"c\"\nauthorization_endpoint = \"https://x.example/a\"\n\
                    token_endpoint = \"https://x.example/t\"\nscopes = [\"m\"]\n\
                    [[account]]\naddress = \"ana@gmx.net\"\nauth = \"oauth2\"\noauth2 = \"x\"\n";
        let settings = config::parse(text, Path::new("test.toml")).expect("a good configuration");
        let account = settings.accounts.first().expect("one");
        let Auth::OAuth2(server) = &account.auth else { panic!("{account:?}") };
        let http = Http::new(Connector::new(settings.tls.clone(), Deadlines::default()));
        let patience = crate::auth::oauth::code::PATIENCE;
        for stays_open in [true, false] {
            let mut attempt = Attempt::begin(server, None).await.expect("a free port");
            let (sender, mut pasted) = mpsc::channel(4);
            for line in ["", "https://elsewhere.example/?code=1", "http://127.0.0.1/?code=1&state=wrong"] {
                sender.send(Secret::new(line)).await.expect("open");
            }
            let sender = stays_open.then_some(sender);
            let begun = Instant::now();
            let outcome = signed_in(&mut attempt, &http, &mut pasted, patience).await;
            assert!(
                matches!(outcome, Err(SignInError::TimedOut { after }) if after == patience),
                "{outcome:?}"
            );
            assert!(begun.elapsed() >= patience && patience == Duration::from_secs(300));
            drop(sender);
        }
    }
}
