//! An app from its first octet on: TLS where it wants it, and the driver of its protocol.
//!
//! ```text
//!  pop3s, imaps, smtps ───────────▶ TLS ──▶ driver
//!  a plain port, ClientHello ─────▶ TLS ──▶ driver
//!  a plain port, silence ─────────▶ driver ──STLS, STARTTLS──▶ TLS ──▶ driver, which knows nothing of before
//! ```
//!
//! Everything here happens in the connection's own task.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info};

use super::Session;
use super::lent::{Lent, lend};
use super::protocol::Protocol;
use super::refused::turn_away;
use crate::bridge::{Context, Standing, imap, pop3, smtp};
use crate::mail::AppTls;
use crate::net::local_tls::{AppStream, advice};
use crate::net::{LocalTls, QuickAck};

/// How long an app on a plain port may take to begin TLS unasked before it is greeted.
///
/// In all three protocols the server speaks first, so an app set to TLS can be told from one that waits for the
/// greeting only by what it sends within a moment. Most send within a few milliseconds, but curl reads its list of
/// authorities first, which took it up to 47 ms on a busy computer: less would turn such apps away now
/// and then. Nobody waits where TLS is off or the port is one with TLS.
const UNASKED: Duration = Duration::from_millis(50);

/// How long TLS may take to bring our last word to an app whose seat is another's already.
const PARTING: Duration = Duration::from_millis(250);

/// Such apps at the same time; the others hear nothing. Each still has a descriptor.
static PARTING_NOW: Semaphore = Semaphore::const_new(32);

/// What a dismissed app said and nobody read is thrown away up to this, lest the system take our word back.
const UNREAD: usize = 64 * 1024;

/// One app's whole stay, cut where `standing` says so; boxed, so that a session costs no more than its own driver.
pub(super) fn stay(
    protocol: Protocol,
    app: TcpStream,
    context: Context,
    tls: Option<LocalTls>,
    standing: Standing,
) -> Session {
    let context = Context { accounts: context.accounts.on(standing.clone()), ..context };
    match tls {
        Some(tls) => Box::pin(with_tls(protocol, app, context, tls, standing)),
        None => Box::pin(async move { plainly(protocol, app, context, &standing).await.map(|_| ()) }),
    }
}

async fn with_tls(
    protocol: Protocol,
    app: TcpStream,
    mut context: Context,
    tls: LocalTls,
    standing: Standing,
) -> io::Result<()> {
    let at_once = protocol.begins_with_tls() || context.app_tls.can_begin() && says_hello(&app).await?;
    let app = if at_once {
        context.app_tls = AppTls::Implicit;
        app
    } else {
        let plain = context.clone();
        context.app_tls = AppTls::Upgraded;
        match plainly(protocol, app, plain, &standing).await? {
            Some(app) => app,
            None => return Ok(()),
        }
    };
    let shaken = standing.until_cut(shake_hands(app, &context, &tls)).await;
    let Some(app) = shaken.flatten() else { return Ok(()) };
    let (app, back) = lend(app, &standing);
    match standing.until_cut(drive(protocol, app, context)).await {
        Some(ended) => ended.map(|_| ()),
        None => {
            if let Some(app) = back.take() {
                part_within_tls(protocol, app).await;
            }
            Ok(())
        }
    }
}

/// A stay without TLS, or as long as there is none: then it gives the connection back.
async fn plainly(
    protocol: Protocol,
    app: TcpStream,
    context: Context,
    standing: &Standing,
) -> io::Result<Option<TcpStream>> {
    let (app, back) = lend(app, standing);
    match standing.until_cut(drive(protocol, app, context)).await {
        Some(ended) => Ok(ended?.and_then(Lent::into_inner)),
        None => {
            if let Some(app) = back.take() {
                part(protocol, &app);
            }
            Ok(None)
        }
    }
}

/// The last word to an app that gives way; nobody is waited for.
fn part(protocol: Protocol, app: &TcpStream) {
    info!("not logged in yet, gave way to another connection");
    turn_away(app, protocol.dismissal());
    let (mut octets, mut read) = ([0; 4096], 0);
    while let Ok(taken @ 1..) = app.try_read(&mut octets) {
        read += taken;
        if read >= UNREAD {
            return;
        }
    }
}

async fn part_within_tls(protocol: Protocol, mut app: AppStream<TcpStream>) {
    info!("not logged in yet, gave way to another connection");
    let Ok(_one) = PARTING_NOW.try_acquire() else { return };
    let words = async {
        app.write_all(protocol.dismissal().as_bytes()).await?;
        app.shutdown().await
    };
    if !matches!(timeout(PARTING, words).await, Ok(Ok(()))) {
        debug!("an app was gone before it was dismissed");
    }
}

/// Whether the first octets are a TLS handshake's (RFC 8446 §5.1); no command begins so.
async fn says_hello(app: &TcpStream) -> io::Result<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    match timeout(UNASKED, app.peek(&mut first)).await {
        Ok(peeked) => Ok(peeked? == 1 && first == [HANDSHAKE]),
        Err(_) => Ok(false),
    }
}

/// `None` after a handshake that came to nothing, which has been told.
async fn shake_hands(app: TcpStream, context: &Context, tls: &LocalTls) -> Option<AppStream<TcpStream>> {
    let handshake = tls.accept(app, context.connector.deadlines().handshake);
    match context.stopping.run_until_cancelled(handshake).await? {
        Ok(app) => {
            debug!(version = ?app.version(), "TLS");
            Some(app)
        }
        Err(error) => {
            info!(%error, "{}", advice(&error));
            None
        }
    }
}

/// The driver of the protocol.
async fn drive<S>(protocol: Protocol, app: S, context: Context) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + QuickAck + Unpin + Send,
{
    match protocol {
        Protocol::Pop3 | Protocol::Pop3s => Box::pin(pop3::serve(app, context)).await,
        Protocol::Imap | Protocol::Imaps => Box::pin(imap::serve(app, context)).await,
        Protocol::Smtp | Protocol::Smtps => Box::pin(smtp::serve(app, context)).await,
    }
}
