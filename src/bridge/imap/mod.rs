//! The IMAP driver: login is ours, then the splice.
//!
//! ```text
//!  app ══ login ══ proto::imap::prelogin          then     app ══ splice ══ upstream
//!            └── upstream::imap::login_for_splice                    └── proto::imap::splice
//! ```

mod clock;
mod login;
mod pipe;
mod splice;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use super::Context;
use crate::net::{Buffered, QuickAck};
use login::{Entry, Opened, Provider};
use splice::{Ending, Facts, Splice};

/// How long a peer may take for the last words; they fit the system's buffers, unless it reads nothing at all.
const FAREWELL: Duration = Duration::from_millis(250);

/// Serves one app until it leaves. The greeting never waits for upstream.
///
/// Gives the stream back where the app was told to begin TLS on it: it is to be served again, as
/// [`AppTls::Upgraded`](crate::mail::AppTls::Upgraded).
///
/// # Errors
/// The app's connection broke.
pub async fn serve<S>(app: S, context: Context) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + QuickAck + Unpin + Send,
{
    let provider = context.connector.clone();
    serve_with(app, context, provider).await
}

async fn serve_with<S, P>(app: S, context: Context, provider: P) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + QuickAck + Unpin + Send,
    P: Provider + Send + Sync,
{
    let mut app = Buffered::new(app);
    let begun = Instant::now();
    // On the heap, and gone before the splice: an idle session is to keep little.
    let opened = match Box::pin(login::log_in(&mut app, &context, &provider)).await? {
        Entry::LoggedIn(opened) => *opened,
        Entry::BeginsTls => return Ok(Some(app.into_parts().0)),
        Entry::Left => {
            info!(end = "left without login", seconds = begun.elapsed().as_secs(), "session ended");
            return Ok(None);
        }
    };
    let Opened { account, wire, conversation, seat: _seat } = opened;
    let deadlines = context.connector.deadlines().clone();
    let (meter, backoff) = (context.resources.meters.of(&account), context.resources.backoffs.of(&account));
    let splice = Splice::new(app, wire, conversation, deadlines).counted_on(meter).backing_off(backoff);
    let facts = splice.run(&account, &context.stopping).await;
    if let Ending::Upstream(error) = &facts.ending {
        warn!("{}", error.sentence(&account));
    }
    tell(&facts, begun);
    Ok(None)
}

fn tell(facts: &Facts, begun: Instant) {
    let Facts { ending, down, up, logout } = facts;
    let ending = match ending {
        Ending::Finished => "finished",
        Ending::AppGone => "the app hung up",
        Ending::AppStalled => "the app took nothing",
        Ending::AppIdle => "the app was silent",
        Ending::Upstream(_) => "upstream was lost",
        Ending::Stopping => "the bridge stops",
    };
    info!(end = ending, down, up, logout, seconds = begun.elapsed().as_secs(), "session ended");
}

#[cfg(test)]
mod tests;
