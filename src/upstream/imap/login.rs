//! Logging in: with a password by AUTHENTICATE PLAIN where it is offered, else by LOGIN (RFC 3501 §6.2.2, §6.2.3);
//! with an access token by XOAUTH2 or OAUTHBEARER (RFC 7628).
//!
//! Only over a connection that [`super::greeting`] made; no mechanism that was not offered, no LOGIN where
//! LOGINDISABLED is.
//!
//! ```text
//!  token ──▶ each user name ──refused──▶ another token, asked for once ──▶ each user name ──refused──▶ TokenRefused
//! ```

use async_imap::{Authenticator, Client};
use zeroize::Zeroizing;

use super::conversation::{self, Conversation, Octets, has};
use super::greeting;
use super::refusal;
use super::wire::Wire;
use crate::auth::Credentials;
use crate::mail::oauth2::Mechanism;
use crate::mail::{Account, Credential, Quirk, Secret};
use crate::net::{Connector, Stream};
use crate::proto::imap::response::{self, Response, Status};
use crate::upstream::UpstreamError;
use crate::upstream::sasl::{self, Fault};

/// Where connections come from, greeted and safe; a seam for tests.
pub trait Dial: Send + Sync {
    /// What they are made of.
    type Octets: Octets;

    /// One more.
    fn dial(&self) -> impl Future<Output = Result<Client<Wire<Self::Octets>>, UpstreamError>> + Send;
}

/// Connections to an account's server.
#[derive(Debug)]
pub struct Provider<'a> {
    /// The way there.
    pub connector: &'a Connector,
    /// Whose.
    pub account: &'a Account,
}

impl Dial for Provider<'_> {
    type Octets = Stream;

    async fn dial(&self) -> Result<Client<Wire<Stream>>, UpstreamError> {
        greeting::open(self.connector, &self.account.imap.endpoint).await
    }
}

/// What is known about upstream's side of one login.
#[derive(Clone, Copy, Debug)]
struct Offered {
    plain: bool,
    xoauth2: bool,
    oauthbearer: bool,
    initial_response: bool,
    login: bool,
    /// `LITERAL+` or `LITERAL-`: a short literal may go without being asked for (RFC 7888).
    literals: bool,
}

/// The most a `LITERAL-` server takes unasked, in octets (RFC 7888 §5).
const UNASKED: usize = 4096;

/// Logs in, with each user name in turn: as long as upstream judged the last one, and over the same connection as
/// long as upstream keeps it open. A token that no user name gets in with is renewed, once.
pub async fn log_in<D: Dial>(
    dial: &D,
    account: &Account,
    credentials: &Credentials,
) -> Result<Conversation<D::Octets>, UpstreamError> {
    let shown = credentials.current().await?;
    let password = match &shown {
        Credential::Password(password) => Some(password),
        Credential::Token(_) => None,
    };
    sasl::sendable(&account.imap.usernames, password)?;
    let mut kept = None;
    let mut outcome = in_turn(dial, &mut kept, account, &shown).await;
    if matches!(outcome, Err(UpstreamError::TokenRefused { .. }))
        && let Some(other) = credentials.renewed(&shown).await?
    {
        tracing::debug!("the provider refused the access token; another one is tried");
        outcome = in_turn(dial, &mut kept, account, &other).await;
    }
    prepared(outcome?, account).await
}

async fn in_turn<D: Dial>(
    dial: &D,
    kept: &mut Option<Client<Wire<D::Octets>>>,
    account: &Account,
    credential: &Credential,
) -> Result<Conversation<D::Octets>, UpstreamError> {
    let mut refused = None;
    for username in &account.imap.usernames {
        let used = kept.is_some();
        let mut outcome = attempt(dial, kept.take(), account, username, credential).await;
        if used && matches!(outcome, Err((UpstreamError::Lost { .. }, _))) {
            outcome = attempt(dial, None, account, username, credential).await;
        }
        match outcome {
            Ok(conversation) => return Ok(conversation),
            Err((
                error @ (UpstreamError::LoginRefused { .. } | UpstreamError::TokenRefused { .. }),
                client,
            )) => {
                *kept = client;
                // What the likeliest name was told is what the user should read.
                refused.get_or_insert(error);
            }
            Err((error, _)) => return Err(error),
        }
    }
    Err(refused.unwrap_or(UpstreamError::LoginRefused { text: "there is no user name".to_owned() }))
}

type Failed<S> = (UpstreamError, Option<Client<Wire<S>>>);

/// One user name.
async fn attempt<D: Dial>(
    dial: &D,
    kept: Option<Client<Wire<D::Octets>>>,
    account: &Account,
    username: &str,
    credential: &Credential,
) -> Result<Conversation<D::Octets>, Failed<D::Octets>> {
    let mut client = match kept {
        Some(client) => client,
        None => dial.dial().await.map_err(|error| (error, None))?,
    };
    let offered = offered(&mut client).await.map_err(|error| (error, None))?;
    match credential {
        Credential::Password(password) => {
            with_password(dial, client, offered, account, username, password).await
        }
        Credential::Token(token) => with_token(client, offered, account, username, token).await,
    }
}

/// By PLAIN or LOGIN, and by LOGIN after PLAIN where the server is known for needing that.
async fn with_password<D: Dial>(
    dial: &D,
    client: Client<Wire<D::Octets>>,
    offered: Offered,
    account: &Account,
    username: &str,
    password: &Secret,
) -> Result<Conversation<D::Octets>, Failed<D::Octets>> {
    if !offered.plain {
        return login(client, offered, username, password).await;
    }
    match plain(client, offered, username, password).await {
        Err((UpstreamError::LoginRefused { .. }, client))
            if account.quirks.has(Quirk::PlainVsLogin) && offered.login =>
        {
            let client = match client {
                Some(client) => client,
                None => dial.dial().await.map_err(|error| (error, None))?,
            };
            login(client, offered, username, password).await
        }
        outcome => outcome,
    }
}

async fn offered<S: Octets>(client: &mut Client<Wire<S>>) -> Result<Offered, UpstreamError> {
    let list = conversation::capabilities(client).await?;
    Ok(Offered {
        plain: has(list, "AUTH=PLAIN"),
        xoauth2: has(list, "AUTH=XOAUTH2"),
        oauthbearer: has(list, "AUTH=OAUTHBEARER"),
        initial_response: has(list, "SASL-IR"),
        login: !has(list, "LOGINDISABLED"),
        literals: has(list, "LITERAL+") || has(list, "LITERAL-"),
    })
}

/// The message of RFC 4616 §2.
struct Plain {
    message: Zeroizing<Vec<u8>>,
    /// Challenges so far; a server that asks although the message went with the command gets it once more.
    answers: u8,
}

impl Authenticator for &mut Plain {
    type Response = Zeroizing<Vec<u8>>;

    fn process(&mut self, _: &[u8]) -> Self::Response {
        self.answers = self.answers.saturating_add(1);
        if self.answers == 1 { self.message.clone() } else { Zeroizing::new(Vec::new()) }
    }
}

async fn plain<S: Octets>(
    mut client: Client<Wire<S>>,
    offered: Offered,
    username: &str,
    password: &Secret,
) -> Result<Conversation<S>, Failed<S>> {
    let mut exchange = Plain { message: sasl::plain(username, password), answers: 0 };
    let mechanism = match offered.initial_response {
        true => sasl::encoded("PLAIN ", &exchange.message),
        false => Zeroizing::new("PLAIN".to_owned()),
    };
    begin(&mut client);
    match client.authenticate(&*mechanism, &mut exchange).await {
        Ok(session) => Ok(Conversation::Session(session)),
        Err((error, mut client)) => {
            let error = conversation::fault(&mut *client.get_mut(), "AUTHENTICATE", error, refusal::of_login);
            Err((error, reusable(client)))
        }
    }
}

/// The exchange of RFC 7628 §3.2, and that of XOAUTH2, which is the same in other words.
struct Bearer {
    mechanism: Mechanism,
    message: Zeroizing<Vec<u8>>,
    /// It went with the command.
    sent: bool,
    fault: Option<Fault>,
}

impl Authenticator for &mut Bearer {
    type Response = Zeroizing<Vec<u8>>;

    fn process(&mut self, challenge: &[u8]) -> Self::Response {
        if !std::mem::replace(&mut self.sent, true) {
            return self.message.clone();
        }
        self.fault = self.fault.take().or_else(|| Fault::read(challenge));
        Zeroizing::new(sasl::dismissal(self.mechanism).to_vec())
    }
}

/// By the first mechanism for tokens that is offered, in one line where that may be (RFC 4959), else in two.
async fn with_token<S: Octets>(
    mut client: Client<Wire<S>>,
    offered: Offered,
    account: &Account,
    username: &str,
    token: &Secret,
) -> Result<Conversation<S>, Failed<S>> {
    let offers = |mechanism| match mechanism {
        Mechanism::XOAuth2 => offered.xoauth2,
        Mechanism::OAuthBearer => offered.oauthbearer,
    };
    let exchange = sasl::for_token(account, "AUTHENTICATE", offers).and_then(|mechanism| {
        let message = sasl::bearer(mechanism, username, &account.imap.endpoint, token)?;
        Ok(Bearer { mechanism, message, sent: false, fault: None })
    });
    let mut exchange = match exchange {
        Ok(exchange) => exchange,
        Err(error) => return Err((error, Some(client))),
    };
    let name = sasl::name(exchange.mechanism);
    let mut command = Zeroizing::new(name.to_owned());
    if offered.initial_response {
        let line = sasl::encoded(&format!("{name} "), &exchange.message);
        if line.len() <= sasl::LONGEST_LINE {
            exchange.sent = true;
            command = line;
        }
    }
    begin(&mut client);
    match client.authenticate(&*command, &mut exchange).await {
        Ok(session) => Ok(Conversation::Session(session)),
        Err((error, mut client)) => {
            let error = conversation::fault(client.get_mut(), "AUTHENTICATE", error, refusal::of_login);
            Err((sasl::judged(error, exchange.fault), reusable(client)))
        }
    }
}

async fn login<S: Octets>(
    mut client: Client<Wire<S>>,
    offered: Offered,
    username: &str,
    password: &Secret,
) -> Result<Conversation<S>, Failed<S>> {
    if !offered.login {
        let text = "it takes no password here".to_owned();
        return Err((UpstreamError::Refused { command: "LOGIN", text }, Some(client)));
    }
    begin(&mut client);
    let Some(password) = quotable(password.expose()).filter(|_| quotable(username.as_bytes()).is_some())
    else {
        return login_with_literals(client, offered, username, password).await;
    };
    match client.login(username, password).await {
        Ok(session) => Ok(Conversation::Session(session)),
        Err((error, mut client)) => {
            let error = conversation::fault(client.get_mut(), "LOGIN", error, refusal::of_login);
            Err((error, reusable(client)))
        }
    }
}

/// What may stand in a quoted string (RFC 3501 §4.3): async-imap escapes quotes, and some servers trip over
/// the escapes, so a string with any goes as a literal too.
fn quotable(octets: &[u8]) -> Option<&str> {
    let plain = octets.iter().all(|octet| matches!(octet, b' '..=b'~') && !b"\"\\".contains(octet));
    std::str::from_utf8(octets).ok().filter(|_| plain)
}

/// LOGIN with both arguments as literals, which async-imap does not write.
async fn login_with_literals<S: Octets>(
    mut client: Client<Wire<S>>,
    offered: Offered,
    username: &str,
    password: &Secret,
) -> Result<Conversation<S>, Failed<S>> {
    match literals(client.get_mut(), offered, [username.as_bytes(), password.expose()]).await {
        Ok(()) => Ok(Conversation::Client(client)),
        Err(error) => Err((error, reusable(client))),
    }
}

async fn literals<S: Octets>(
    wire: &mut Wire<S>,
    offered: Offered,
    arguments: [&[u8]; 2],
) -> Result<(), UpstreamError> {
    let [username, password] = arguments;
    let asked = !(offered.literals && username.len().max(password.len()) <= UNASKED);
    let plus = if asked { "" } else { "+" };
    let tag = wire.queue(&format!("LOGIN {{{}{plus}}}", username.len()));
    if asked {
        go_ahead(wire, &tag).await?;
    }
    wire.queue_octets(username);
    wire.queue_octets(format!(" {{{}{plus}}}\r\n", password.len()).as_bytes());
    if asked {
        go_ahead(wire, &tag).await?;
    }
    wire.queue_octets(password);
    wire.queue_octets(b"\r\n");
    finished(wire, &tag, false).await
}

async fn go_ahead<S: Octets>(wire: &mut Wire<S>, tag: &str) -> Result<(), UpstreamError> {
    finished(wire, tag, true).await
}

/// Waits for the completion of our LOGIN, or for a continuation request if one is due.
async fn finished<S: Octets>(wire: &mut Wire<S>, tag: &str, continues: bool) -> Result<(), UpstreamError> {
    let patience = wire.patience();
    let fault = |error: std::io::Error, wire: &mut Wire<S>| {
        refusal::of_stream("LOGIN", &error, wire.heard(), patience)
    };
    if let Err(error) = wire.flush().await {
        return Err(fault(error, wire));
    }
    loop {
        let text = match wire.response().await {
            Ok(text) => text,
            Err(error) => return Err(fault(error, wire)),
        };
        match response::parse(&text) {
            Some(Response::Continue(_)) if continues => return Ok(()),
            Some(Response::Tagged { tag: done, status, .. }) if done == tag.as_bytes() => {
                return match (status, &wire.heard().answer.completion) {
                    (Status::Ok, _) if !continues => Ok(()),
                    (_, Some(completion)) => Err(refusal::of_login("LOGIN", completion)),
                    _ => Err(UpstreamError::Lost { command: "LOGIN" }),
                };
            }
            _ => {}
        }
    }
}

/// Forgets what holds only until login: the capabilities may be others behind it (RFC 3501 §6.2.2).
fn begin<S: Octets>(client: &mut Client<Wire<S>>) {
    let wire = client.get_mut();
    wire.begin();
    wire.heard().capabilities = None;
}

/// The connection, if upstream did not end it. A refused login leaves the capabilities as they were; they are asked
/// for again, once.
fn reusable<S: Octets>(mut client: Client<Wire<S>>) -> Option<Client<Wire<S>>> {
    let heard = client.get_mut().heard();
    (heard.bye.is_none() && heard.answer.completion.is_some()).then_some(client)
}

/// Asks what shows whether a mailbox stands behind the login, in one flight with the capabilities, which an app is told
/// next: Exchange takes the token of one mailbox for another one, and of one whose IMAP is off, and finds out afterwards.
/// Not for sessions of our own, whose first command shows the same.
pub async fn connected<S: Octets>(
    conversation: &mut Conversation<S>,
    account: &Account,
) -> Result<(), UpstreamError> {
    if !account.quirks.has(Quirk::LateAuthFailure) {
        return Ok(());
    }
    let mut commands = vec![("NAMESPACE", "NAMESPACE".to_owned())];
    if conversation.heard().capabilities.is_none() {
        commands.insert(0, ("CAPABILITY", "CAPABILITY".to_owned()));
    }
    match conversation.flight(&commands).await?.pop() {
        Some(Err(UpstreamError::Refused { text, .. })) => Err(UpstreamError::NotServed { text }),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Sends what some servers must hear before the first SELECT. Nothing in it is the user's (RFC 2971 §3.3).
async fn prepared<S: Octets>(
    mut conversation: Conversation<S>,
    account: &Account,
) -> Result<Conversation<S>, UpstreamError> {
    if account.quirks.has(Quirk::IdAfterLogin) {
        const ID: &str = concat!(
            r#"ID ("name" "footbridge" "version" ""#,
            env!("CARGO_PKG_VERSION"),
            r#"" "vendor" "footbridge")"#
        );
        match conversation.run("ID", ID).await {
            // Refused: then it was not needed.
            Ok(_) | Err(UpstreamError::Refused { .. } | UpstreamError::Unavailable { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(conversation)
}
