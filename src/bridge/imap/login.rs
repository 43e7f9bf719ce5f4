//! Up to login: the app talks to us, upstream is asked for the login only.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Span, debug, info, warn};

use super::FAREWELL;
use crate::auth::Credentials;
use crate::bridge::{Admitted, Context, LoginError, Refusal, Seat, tell_of_late_tls, watched};
use crate::mail::Account;
use crate::net::{Buffered, Connector, Stream};
use crate::proto::imap::capability::Mask;
use crate::proto::imap::prelogin::{Code, Session, Step};
use crate::proto::imap::splice::Conversation;
use crate::proto::sasl::Offer;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Spliceable, login_for_splice};

/// Who logs in upstream; a test puts a stream of its own here.
pub(super) trait Provider {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;

    fn login(
        &self,
        account: &Arc<Account>,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<LoggedIn<Self::Stream>, UpstreamError>> + Send;
}

/// Upstream right after login.
pub(super) struct LoggedIn<U> {
    pub(super) wire: Buffered<U>,
    pub(super) capabilities: Vec<String>,
    pub(super) alerts: Vec<Bytes>,
}

impl Provider for Connector {
    type Stream = Stream;

    async fn login(
        &self,
        account: &Arc<Account>,
        credentials: &Credentials,
    ) -> Result<LoggedIn<Stream>, UpstreamError> {
        let Spliceable { wire, capabilities, alerts } = login_for_splice(self, account, credentials).await?;
        Ok(LoggedIn { wire, capabilities, alerts })
    }
}

/// An app that is logged in, and its upstream; the tagged OK is queued for the app.
pub(super) struct Opened<U> {
    pub(super) account: Arc<Account>,
    pub(super) wire: Buffered<U>,
    pub(super) conversation: Conversation,
    /// Held as long as the wire.
    pub(super) seat: Seat,
}

/// What the app is told of a login that came to nothing.
struct Told {
    code: Code,
    sentence: String,
    alert: bool,
}

/// How the time before login ended.
pub(super) enum Entry<U> {
    /// The app is logged in.
    LoggedIn(Box<Opened<U>>),
    /// It was told to begin TLS.
    BeginsTls,
    /// It left, was sent away, or the bridge stops.
    Left,
}

/// Serves the app until it is logged in.
pub(super) async fn log_in<S, P>(
    app: &mut Buffered<S>,
    context: &Context,
    provider: &P,
) -> io::Result<Entry<P::Stream>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    P: Provider + Sync,
{
    let mut session = Session::with_tls(context.app_tls);
    if let Some(greeting) = session.greeting() {
        app.queue(greeting.as_bytes());
    }
    let mut until = Instant::now() + context.connector.deadlines().app_login;
    loop {
        let step = tokio::select! {
            step = timeout_at(until, next(app, &mut session)) => step,
            () = context.stopping.cancelled() => return farewell(app, "* BYE footbridge is stopping\r\n").await,
        };
        match step {
            Ok(Ok(Some(Step::Reply(reply)))) => app.queue(reply.as_bytes()),
            Ok(Ok(Some(Step::BeginTls(_)))) if !app.input().is_empty() => {
                // Put there by somebody between (RFC 3501 §11.1, as CVE-2011-0411).
                info!("octets in the clear behind STARTTLS");
                return farewell(app, "* BYE nothing may follow STARTTLS\r\n").await;
            }
            Ok(Ok(Some(Step::BeginTls(reply)))) => {
                app.queue(reply.as_bytes());
                app.flush_moving(context.connector.deadlines().app_stall).await?;
                return Ok(Entry::BeginsTls);
            }
            Ok(Ok(Some(Step::Finish(reply)))) => {
                tell_of_late_tls(app.input(), context.app_tls);
                return farewell(app, &reply).await;
            }
            Ok(Ok(Some(Step::Login(offer)))) => {
                let asked = Instant::now();
                if let Some(opened) = answer(app, context, provider, &mut session, offer).await? {
                    return Ok(Entry::LoggedIn(Box::new(opened)));
                }
                until += asked.elapsed(); // The app's time does not run while it waits for us.
            }
            Ok(Ok(None)) => return Ok(Entry::Left),
            Ok(Err(error)) => return Err(error),
            Err(_) => return farewell(app, "* BYE no login in time\r\n").await,
        }
    }
}

/// The next step; what is queued is sent before we wait.
async fn next<S>(app: &mut Buffered<S>, session: &mut Session) -> io::Result<Option<Step>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if let Some(step) = session.take(app.input()) {
            return Ok(Some(step));
        }
        app.flush().await?;
        if app.fill().await? == 0 {
            return Ok(None);
        }
    }
}

/// Says the last words and closes.
async fn farewell<S, U>(app: &mut Buffered<S>, reply: &str) -> io::Result<Entry<U>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    app.queue(reply.as_bytes());
    if timeout(FAREWELL, app.shutdown()).await.is_ok() {
        app.linger().await;
    }
    Ok(Entry::Left)
}

async fn answer<S, P>(
    app: &mut Buffered<S>,
    context: &Context,
    provider: &P,
    session: &mut Session,
    offer: Offer,
) -> io::Result<Option<Opened<P::Stream>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Provider,
{
    app.flush_moving(context.connector.deadlines().app_stall).await?;
    let asked = async {
        let judged = context.accounts.admit(&offer.login, &offer.secret);
        Ok::<_, io::Error>(match watched(app, context.accounts.standing(), judged).await? {
            Ok(admitted) => ask(context, provider, admitted).await,
            Err(error) => Err(not_admitted(&error)),
        })
    };
    let asked = tokio::select! {
        asked = asked => asked,
        () = context.stopping.cancelled() => return Ok(None), // The next step says BYE.
    };
    match asked? {
        Ok((account, seat, LoggedIn { wire, capabilities, alerts })) => {
            let conversation = Conversation::new(&capabilities, Mask::new(&account.mask));
            app.queue(&session.accepted(&alerts, conversation.shown()));
            Ok(Some(Opened { account, wire, conversation, seat }))
        }
        Err(Told { code, sentence, alert }) => {
            app.queue(session.refused(code, &sentence, alert).as_bytes());
            Ok(None)
        }
    }
}

async fn ask<P>(
    context: &Context,
    provider: &P,
    admitted: Admitted,
) -> Result<(Arc<Account>, Seat, LoggedIn<P::Stream>), Told>
where
    P: Provider,
{
    Span::current().record("account", admitted.account.address.as_str());
    let backoff = context.resources.backoffs.of(&admitted.account);
    if let Err(error) = backoff.allows() {
        return Err(not_logged_in(context, &admitted, &error));
    }
    let Some(seat) = context.accounts.seat(&admitted).await else {
        let sentence = format!(
            "{}: all connections the provider allows are in use; close another mail app or wait",
            admitted.account.address
        );
        warn!("{sentence}");
        return Err(Told { code: Code::Limit, sentence, alert: true });
    };
    if seat.is_last() {
        context.resources.held.give_way(&admitted.account).await;
    }
    let login = || admitted.in_time(provider.login(&admitted.account, &admitted.credentials));
    let mut outcome = login().await;
    // Where the limit is not known, ours may be the one connection too many.
    if matches!(outcome, Err(UpstreamError::Unavailable { wait: None, .. }))
        && context.resources.held.give_way(&admitted.account).await
    {
        outcome = login().await;
    }
    backoff.heed(&outcome);
    match outcome {
        Ok(logged_in) => {
            context.accounts.accepted(&admitted);
            debug!("logged in");
            Ok((admitted.account.clone(), seat, logged_in))
        }
        Err(error) => Err(not_logged_in(context, &admitted, &error)),
    }
}

fn not_admitted(error: &LoginError) -> Told {
    let (code, alert) = match error.refusal() {
        Refusal::Wrong => (Code::AuthenticationFailed, false),
        Refusal::Later => (Code::Limit, false),
        Refusal::NeedsUser => (Code::ContactAdmin, true),
        Refusal::SignIn => (Code::AuthenticationFailed, true),
    };
    Told { code, sentence: error.reply(), alert }
}

/// RFC 5530 §3: AUTHENTICATIONFAILED makes an app ask its user for the password, so it is said only where upstream
/// judged the password or token, or where there is no token until the user signs in again; what the user must know
/// besides goes as an ALERT.
fn not_logged_in(context: &Context, admitted: &Admitted, error: &UpstreamError) -> Told {
    let sentence = error.sentence(&admitted.account);
    context.accounts.tell(admitted, error);
    if error.is_verdict(&admitted.credentials) {
        context.accounts.refused(admitted);
    }
    let code = if error.refuses_login() { Code::AuthenticationFailed } else { Code::Unavailable };
    Told { code, sentence, alert: error.needs_user() }
}
