//! From an endpoint to an authenticated connection (RFC 3207, RFC 8314, RFC 4954).
//!
//! Nothing upstream says before TLS is believed, and nothing it said counts afterwards. Only a mechanism that is
//! offered is used, so a password never goes where it was not asked for.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::wire::{Transport, Wire};
use super::{GOODBYE, Submission, UpstreamError};
use crate::auth::Credentials;
use crate::mail::account::{Account, Endpoint, Security, Service};
use crate::mail::{Credential, Deadlines, Quirk, Secret};
use crate::net::{Connector, Stream};
use crate::proto::smtp::{Capabilities, Reply};

const STARTTLS: &str = "STARTTLS";
const AUTH: &str = "AUTH";

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

pub(super) async fn login(
    connector: &Connector,
    account: &Account,
    credentials: &Credentials,
) -> Result<Submission, UpstreamError> {
    let service = service(account)?;
    let submission = connect(connector, &service.endpoint).await?;
    authenticate(submission, account, service, credentials, Some(connector)).await
}

pub(super) async fn login_over(
    stream: impl Transport + 'static,
    deadlines: &Deadlines,
    account: &Account,
    credentials: &Credentials,
) -> Result<Submission, UpstreamError> {
    let service = service(account)?;
    let stream: Box<dyn Transport> = Box::new(stream);
    let opened = open(stream, &service.endpoint, Greeting::Expected, deadlines).await?;
    authenticate(opened.into_submission(deadlines), account, service, credentials, None).await
}

/// Tries the user names in their order.
async fn authenticate(
    mut submission: Submission,
    account: &Account,
    service: &Service,
    credentials: &Credentials,
    connector: Option<&Connector>,
) -> Result<Submission, UpstreamError> {
    let credential = &credentials.current().await?;
    let mut refused = None;
    for username in &service.usernames {
        let mut outcome = submission.authenticate(username, credential).await;
        // Some servers close once they refused a login.
        if let (true, Err(UpstreamError::Lost { .. }), Some(connector)) =
            (refused.is_some(), &outcome, connector)
        {
            submission = connect(connector, &service.endpoint).await?;
            outcome = submission.authenticate(username, credential).await;
        }
        match outcome {
            Ok(()) => return Ok(submission),
            Err(UpstreamError::LoginRefused { text }) => refused = refused.or(Some(text)),
            Err(error) => return Err(error),
        }
    }
    // The app waits, and the password must not be tried again: a word of goodbye, and that is all.
    let _ = timeout(GOODBYE, submission.quit_unheard()).await;
    Err(login_refused(account, refused))
}

fn service(account: &Account) -> Result<&Service, UpstreamError> {
    account.smtp.as_ref().ok_or(UpstreamError::NoSubmission)
}

fn login_refused(account: &Account, text: Option<String>) -> UpstreamError {
    let text = text.unwrap_or_default();
    if account.quirks.has(Quirk::SmtpOff) {
        let text =
            format!("{text} (sending by SMTP is off at this provider until switched on in its settings)");
        return UpstreamError::LoginRefused { text };
    }
    UpstreamError::LoginRefused { text }
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
        }
    }
}

impl Submission {
    async fn authenticate(&mut self, username: &str, credential: &Credential) -> Result<(), UpstreamError> {
        let Credential::Password(password) = credential else {
            return Err(UpstreamError::Refused {
                command: AUTH,
                text: "tokens are not known yet".to_owned(),
            });
        };
        let Capabilities { auth_plain, auth_login, .. } = self.capabilities;
        let reply = match (auth_plain, auth_login) {
            (true, _) => {
                let reply = self.auth_plain(username, password).await?;
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

    /// RFC 4616, with initial response.
    async fn auth_plain(&mut self, username: &str, password: &Secret) -> Result<Reply, UpstreamError> {
        let mut message = Zeroizing::new(Vec::with_capacity(username.len() + password.expose().len() + 2));
        message.push(0);
        message.extend_from_slice(username.as_bytes());
        message.push(0);
        message.extend_from_slice(password.expose());
        self.secret_line("AUTH PLAIN ", &message).await
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
        let mut line = Zeroizing::new(String::with_capacity(before.len() + secret.len() / 3 * 4 + 8));
        line.push_str(before);
        BASE64_STANDARD.encode_string(secret, &mut line);
        line.push_str("\r\n");
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
