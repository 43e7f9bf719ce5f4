//! From an endpoint to an authenticated connection (RFC 3207, RFC 8314, RFC 4954).
//!
//! Nothing upstream says before TLS is believed, and nothing it said counts afterwards. Only a mechanism that is
//! offered is used, so neither password nor token goes where it was not asked for.

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::wire::{Transport, Wire};
use super::{GOODBYE, Submission, UpstreamError};
use crate::auth::Credentials;
use crate::mail::account::{Account, Endpoint, Security, Service};
use crate::mail::oauth2::Mechanism;
use crate::mail::{Credential, Deadlines, Moment, Quirk, Secret};
use crate::net::{Connector, Stream};
use crate::proto::smtp::{Capabilities, Reply};
use crate::upstream::sasl::{self, Fault};

const STARTTLS: &str = "STARTTLS";
const AUTH: &str = "AUTH";

/// What a server says that takes no more than 512 octets of a command (RFC 5321 §4.2.4, RFC 4954 §4).
const LINE_TOO_LONG: u16 = 500;

/// An AUTH command with the message in it is no longer than this, CRLF included: of a longer one Postfix takes the first
/// 2,048 octets and refuses what is left of the token with 535, as if the token were bad.
const LONGEST_AUTH: usize = 2048;

/// A connection in the clear or not, of which greeting and EHLO are over.
struct Opened<S> {
    lettre: AsyncSmtpConnection,
    wire: Wire<S>,
    capabilities: Capabilities,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    Expected,
    /// STARTTLS came before; no second greeting is sent (RFC 3207 §4.2).
    MadeUp,
}

/// Where connections come from, greeted and safe; a seam for tests.
pub(super) trait Dial: Send {
    /// One more.
    fn dial(&mut self) -> impl Future<Output = Result<Submission, UpstreamError>> + Send;
}

/// Connections to an account's server.
struct Provider<'a> {
    connector: &'a Connector,
    endpoint: &'a Endpoint,
}

impl Dial for Provider<'_> {
    async fn dial(&mut self) -> Result<Submission, UpstreamError> {
        connect(self.connector, self.endpoint).await
    }
}

/// One connection that is there already.
struct One<'a, S> {
    stream: Option<S>,
    deadlines: &'a Deadlines,
    account: &'a Account,
}

impl<S: Transport + 'static> Dial for One<'_, S> {
    async fn dial(&mut self) -> Result<Submission, UpstreamError> {
        let stream = self.stream.take().ok_or(UpstreamError::Lost { command: AUTH })?;
        greeted(stream, self.deadlines, self.account).await
    }
}

pub(super) async fn login(
    connector: &Connector,
    account: &Account,
    credentials: &Credentials,
) -> Result<Submission, UpstreamError> {
    let endpoint = &service(account)?.endpoint;
    authenticated(Provider { connector, endpoint }, account, credentials).await
}

pub(super) async fn login_over(
    stream: impl Transport + 'static,
    deadlines: &Deadlines,
    account: &Account,
    credentials: &Credentials,
) -> Result<Submission, UpstreamError> {
    authenticated(One { stream: Some(stream), deadlines, account }, account, credentials).await
}

/// Greeting and EHLO over a stream that is safe.
pub(super) async fn greeted(
    stream: impl Transport + 'static,
    deadlines: &Deadlines,
    account: &Account,
) -> Result<Submission, UpstreamError> {
    let stream: Box<dyn Transport> = Box::new(stream);
    let opened = open(stream, &service(account)?.endpoint, Greeting::Expected, deadlines).await?;
    Ok(opened.into_submission(deadlines))
}

/// Connects and logs in with each user name in turn. A token that none gets in with is renewed, once.
pub(super) async fn authenticated(
    mut dial: impl Dial,
    account: &Account,
    credentials: &Credentials,
) -> Result<Submission, UpstreamError> {
    let service = service(account)?;
    let mut credential = credentials.current().await?;
    let password = match &credential {
        Credential::Password(password) => Some(password),
        Credential::Token(_) => None,
    };
    sasl::sendable(&service.usernames, password)?;
    let mut submission = dial.dial().await?;
    let mut renewed = false;
    loop {
        let Err(error) = in_turn(&mut dial, &mut submission, account, &credential, renewed).await else {
            return Ok(submission);
        };
        if !renewed && matches!(error, UpstreamError::TokenRefused { .. }) {
            renewed = true;
            if let Some(other) = credentials.renewed(&credential).await? {
                tracing::debug!("the provider refused the access token; another one is tried");
                credential = other;
                continue;
            }
        }
        if is_refusal(&error) {
            // The app waits, and it must not be tried again: a word of goodbye, and that is all.
            let _ = timeout(GOODBYE, submission.quit_unheard()).await;
        }
        return Err(explained(account, error));
    }
}

/// Tries the user names in their order; `used`: one was refused over this connection before.
async fn in_turn(
    dial: &mut impl Dial,
    submission: &mut Submission,
    account: &Account,
    credential: &Credential,
    mut used: bool,
) -> Result<(), UpstreamError> {
    let service = service(account)?;
    let mut refused = None;
    for username in &service.usernames {
        let mut outcome = submission.authenticate(account, &service.endpoint, username, credential).await;
        // Some servers close once they refused a login.
        if used && matches!(outcome, Err(UpstreamError::Lost { .. })) {
            *submission = dial.dial().await?;
            outcome = submission.authenticate(account, &service.endpoint, username, credential).await;
        }
        used = true;
        match outcome {
            Err(error) if is_refusal(&error) => refused = refused.or(Some(error)),
            outcome => return outcome,
        }
    }
    Err(refused.unwrap_or(UpstreamError::LoginRefused { text: "there is no user name".to_owned() }))
}

fn is_refusal(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::LoginRefused { .. } | UpstreamError::TokenRefused { .. })
}

fn service(account: &Account) -> Result<&Service, UpstreamError> {
    account.smtp.as_ref().ok_or(UpstreamError::NoSubmission)
}

fn explained(account: &Account, mut error: UpstreamError) -> UpstreamError {
    if let UpstreamError::LoginRefused { text } | UpstreamError::TokenRefused { text } = &mut error {
        if account.quirks.has(Quirk::SmtpOff) {
            text.push_str(" (sending by SMTP is off at this provider until switched on in its settings)");
        } else if text.contains("SmtpClientAuthentication is disabled") {
            // Exchange, for a whole organisation or one mailbox; no other token helps.
            text.push_str(" (whoever administers the mailbox has to allow authenticated SMTP)");
        }
    }
    error
}

async fn connect(connector: &Connector, endpoint: &Endpoint) -> Result<Submission, UpstreamError> {
    let deadlines = connector.deadlines();
    let stream = connector.connect(endpoint).await?;
    let (stream, greeting) = match endpoint.security {
        Security::Tls => (stream, Greeting::Expected),
        Security::StartTls => (starttls(connector, stream, endpoint).await?, Greeting::MadeUp),
    };
    let stream: Box<dyn Transport> = Box::new(stream);
    Ok(open(stream, endpoint, greeting, deadlines).await?.into_submission(deadlines))
}

/// RFC 3207 §4: what was learnt in the clear is forgotten, and octets that came in the clear behind the 220
/// would be taken for part of what comes safely.
async fn starttls(
    connector: &Connector,
    stream: Stream,
    endpoint: &Endpoint,
) -> Result<Stream, UpstreamError> {
    let deadlines = connector.deadlines();
    let stream = offer_starttls(stream, endpoint, deadlines).await?;
    Ok(connector.secure(stream, endpoint).await?)
}

pub(super) async fn offer_starttls<S: Transport + 'static>(
    stream: S,
    endpoint: &Endpoint,
    deadlines: &Deadlines,
) -> Result<S, UpstreamError> {
    let no_tls = |reason| UpstreamError::NoTls { host: endpoint.host.clone(), reason };
    let mut opened = open(stream, endpoint, Greeting::Expected, deadlines).await?;
    if !opened.capabilities.starttls {
        return Err(no_tls("STARTTLS is not offered"));
    }
    let after = deadlines.upstream_progress;
    let read = timeout(after, opened.lettre.command("STARTTLS\r\n")).await;
    let read = read.map_err(|_| UpstreamError::TimedOut { command: STARTTLS, after })?;
    match (read, opened.wire.take_reply().flatten()) {
        (Ok(_), Some(reply)) if reply.code() == 220 => {}
        (_, Some(_)) => return Err(no_tls("STARTTLS was refused")),
        (_, None) => return Err(UpstreamError::Lost { command: STARTTLS }),
    }
    match opened.wire.take_stream() {
        Some((stream, unread)) if unread.is_empty() => Ok(stream),
        Some(_) => Err(no_tls("it spoke before the connection was safe")),
        None => Err(UpstreamError::Lost { command: STARTTLS }),
    }
}

/// Greeting and EHLO. Our name is an address literal: there is no other that could be true (RFC 5321 §4.1.4).
async fn open<S: Transport + 'static>(
    stream: S,
    endpoint: &Endpoint,
    greeting: Greeting,
    deadlines: &Deadlines,
) -> Result<Opened<S>, UpstreamError> {
    let wire = Wire::new(stream);
    match greeting {
        Greeting::MadeUp => wire.make_up_greeting(),
        Greeting::Expected => {
            let after = deadlines.greeting;
            timeout(after, wire.speaks())
                .await
                .map_err(|_| UpstreamError::TimedOut { command: "with a greeting", after })?;
        }
    }
    let (after, name) = (deadlines.upstream_progress, ClientId::default());
    let opening = AsyncSmtpConnection::connect_with_transport(Box::new(wire.clone()), &name);
    let read = timeout(after, opening).await;
    if greeting == Greeting::Expected {
        judge_greeting(wire.take_reply(), endpoint)?;
    }
    // The reply first: where EHLO is refused, lettre says QUIT and waits.
    match (wire.take_reply().flatten(), read) {
        (Some(reply), Ok(Ok(lettre))) if reply.is_positive() => {
            let capabilities = Capabilities::from_ehlo(&reply);
            Ok(Opened { lettre, wire, capabilities })
        }
        (Some(reply), _) if reply.class() == 4 => {
            Err(UpstreamError::Unavailable { text: reply.sentence(), wait: None })
        }
        // HELO would be left, and without EHLO there is no AUTH.
        (Some(reply), _) => Err(UpstreamError::Refused { command: "EHLO", text: reply.sentence() }),
        (None, Err(_)) => Err(UpstreamError::TimedOut { command: "EHLO", after }),
        (None, Ok(_)) => Err(UpstreamError::Lost { command: "EHLO" }),
    }
}

/// 220, or why there is no session (RFC 5321 §3.1).
fn judge_greeting(greeting: Option<Option<Reply>>, endpoint: &Endpoint) -> Result<(), UpstreamError> {
    match greeting {
        Some(Some(reply)) if reply.is_positive() => Ok(()),
        Some(Some(reply)) => Err(UpstreamError::Unavailable { text: reply.sentence(), wait: None }),
        Some(None) => {
            Err(UpstreamError::NotTheProtocol { host: endpoint.host.clone(), expected: "an SMTP submission" })
        }
        None => Err(UpstreamError::Lost { command: "the greeting" }),
    }
}

impl Opened<Box<dyn Transport>> {
    fn into_submission(self, deadlines: &Deadlines) -> Submission {
        Submission {
            lettre: self.lettre,
            wire: self.wire,
            capabilities: self.capabilities,
            deadlines: deadlines.clone(),
            begun: false,
            spoke: Moment::now(),
        }
    }
}

impl Submission {
    async fn authenticate(
        &mut self,
        account: &Account,
        endpoint: &Endpoint,
        username: &str,
        credential: &Credential,
    ) -> Result<(), UpstreamError> {
        match credential {
            Credential::Password(password) => self.with_password(username, password).await,
            Credential::Token(token) => self.with_token(account, endpoint, username, token).await,
        }
    }

    async fn with_password(&mut self, username: &str, password: &Secret) -> Result<(), UpstreamError> {
        let Capabilities { auth_plain, auth_login, .. } = self.capabilities;
        let reply = match (auth_plain, auth_login) {
            (true, _) => {
                let reply = self.secret_line("AUTH PLAIN ", &sasl::plain(username, password)).await?;
                // Offered, and yet not to be had. After any other refusal the password counts as judged.
                if auth_login && reply.code() == 504 {
                    self.auth_login(username, password).await?
                } else {
                    reply
                }
            }
            (false, true) => self.auth_login(username, password).await?,
            (false, false) => {
                let text = "it offers no login that this bridge knows (PLAIN or LOGIN); check host, port and security".to_owned();
                return Err(UpstreamError::Refused { command: AUTH, text });
            }
        };
        judge_auth(&reply)
    }

    /// By the first mechanism for tokens that is offered (RFC 7628 §3.2).
    async fn with_token(
        &mut self,
        account: &Account,
        endpoint: &Endpoint,
        username: &str,
        token: &Secret,
    ) -> Result<(), UpstreamError> {
        let Capabilities { auth_xoauth2, auth_oauthbearer, .. } = self.capabilities;
        let mechanism = sasl::for_token(account, AUTH, |mechanism| match mechanism {
            Mechanism::XOAuth2 => auth_xoauth2,
            Mechanism::OAuthBearer => auth_oauthbearer,
        })?;
        let message = sasl::bearer(mechanism, username, endpoint, token)?;
        let reply = self.auth_bearer(sasl::name(mechanism), &message).await?;
        if reply.code() != 334 {
            return judge_auth(&reply).map_err(|error| sasl::judged(error, None));
        }
        let fault = Fault::read(&challenge(&reply));
        let outcome = match self.secret_line("", sasl::dismissal(mechanism)).await {
            Ok(reply) => judge_auth(&reply),
            Err(error) => Err(error),
        };
        outcome.map_err(|error| sasl::judged(error, fault))
    }

    /// To the verdict, or the challenge that says why it will be bad. In one line, which some servers insist on; in two
    /// where that is too long, or where the server asks for it.
    async fn auth_bearer(&mut self, mechanism: &str, message: &[u8]) -> Result<Reply, UpstreamError> {
        let before = format!("{AUTH} {mechanism}");
        if before.len() + " \r\n".len() + message.len().div_ceil(3) * 4 <= LONGEST_AUTH {
            let reply = self.secret_line(&format!("{before} "), message).await?;
            match reply.code() {
                LINE_TOO_LONG => {}
                334 if challenge(&reply).is_empty() => return self.secret_line("", message).await,
                _ => return Ok(reply),
            }
        }
        let asked = self.ask(&format!("{before}\r\n"), AUTH, self.deadlines.upstream_progress).await?;
        match asked.code() {
            334 => self.secret_line("", message).await,
            _ => Ok(asked),
        }
    }

    /// Two prompts, whose words differ from server to server.
    async fn auth_login(&mut self, username: &str, password: &Secret) -> Result<Reply, UpstreamError> {
        let asked = self.ask("AUTH LOGIN\r\n", AUTH, self.deadlines.upstream_progress).await?;
        if asked.code() != 334 {
            return Ok(asked);
        }
        let asked = self.secret_line("", username.as_bytes()).await?;
        if asked.code() != 334 {
            return Ok(asked);
        }
        self.secret_line("", password.expose()).await
    }

    /// Writes a line with a secret in it past lettre, whose buffers are not wiped.
    async fn secret_line(&mut self, before: &str, secret: &[u8]) -> Result<Reply, UpstreamError> {
        let after = self.deadlines.upstream_progress;
        let mut line = sasl::encoded(before, secret);
        line.push_str("\r\n"); // There is room for it.
        let exchange = timeout(after, async {
            self.wire.write_all(line.as_bytes()).await.ok()?;
            self.wire.flush().await.ok()?;
            Some(self.lettre.read_response().await)
        });
        match exchange.await {
            Ok(Some(read)) => super::open(self.answer(Ok(read), AUTH, after)?),
            Ok(None) => Err(UpstreamError::Lost { command: AUTH }),
            Err(_) => Err(UpstreamError::TimedOut { command: AUTH, after }),
        }
    }
}

/// What a 334 asks; nothing where that is no base64.
fn challenge(reply: &Reply) -> Vec<u8> {
    sasl::decoded(reply.text().next().unwrap_or_default().as_bytes())
}

/// RFC 4954 §6: 4yz may work later, 5yz will not; 50z is about the command and not about the password.
fn judge_auth(reply: &Reply) -> Result<(), UpstreamError> {
    let text = reply.sentence();
    match reply.code() {
        200..=299 => Ok(()),
        500..=504 => Err(UpstreamError::Refused { command: AUTH, text }),
        505..=599 => Err(UpstreamError::LoginRefused { text }),
        _ => Err(UpstreamError::Unavailable { text, wait: None }),
    }
}
