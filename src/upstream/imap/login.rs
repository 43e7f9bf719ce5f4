//! Logging in: AUTHENTICATE PLAIN where it is offered, else LOGIN (RFC 3501 §6.2.2, §6.2.3).
//!
//! Only over a connection that [`super::greeting`] made; no mechanism that was not offered, no LOGIN where
//! LOGINDISABLED is.

use async_imap::{Authenticator, Client};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::conversation::{self, Conversation, Octets, has};
use super::greeting;
use super::refusal;
use super::wire::Wire;
use crate::auth::Credentials;
use crate::mail::{Account, Credential, Quirk, Secret};
use crate::net::{Connector, Stream};
use crate::proto::imap::response::{self, Response, Status};
use crate::upstream::UpstreamError;

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
    initial_response: bool,
    login: bool,
    /// `LITERAL+` or `LITERAL-`: a short literal may go without being asked for (RFC 7888).
    literals: bool,
}

/// The most a `LITERAL-` server takes unasked, in octets (RFC 7888 §5).
const UNASKED: usize = 4096;

/// Logs in, with each user name in turn: as long as upstream judged the last one, and over the same connection as
/// long as upstream keeps it open.
pub async fn log_in<D: Dial>(
    dial: &D,
    account: &Account,
    credentials: &Credentials,
) -> Result<Conversation<D::Octets>, UpstreamError> {
    let Credential::Password(password) = credentials.current().await? else {
        return Err(UpstreamError::Refused { command: "LOGIN", text: "tokens are not known yet".to_owned() });
    };
    let password = &password;
    let mut kept = None;
    let mut refused = None;
    for username in &account.imap.usernames {
        let used = kept.is_some();
        let mut outcome = attempt(dial, kept.take(), account, username, password).await;
        if used && matches!(outcome, Err((UpstreamError::Lost { .. }, _))) {
            outcome = attempt(dial, None, account, username, password).await;
        }
        match outcome {
            Ok(conversation) => return prepared(conversation, account).await,
            Err((error @ UpstreamError::LoginRefused { .. }, client)) => {
                kept = client;
                // What the likeliest name was told is what the user should read.
                refused.get_or_insert(error);
            }
            Err((error, _)) => return Err(error),
        }
    }
    Err(refused.unwrap_or(UpstreamError::LoginRefused { text: "there is no user name".to_owned() }))
}

type Failed<S> = (UpstreamError, Option<Client<Wire<S>>>);

/// One user name, by PLAIN or LOGIN, and by LOGIN after PLAIN where the server is known for needing that.
async fn attempt<D: Dial>(
    dial: &D,
    kept: Option<Client<Wire<D::Octets>>>,
    account: &Account,
    username: &str,
    password: &Secret,
) -> Result<Conversation<D::Octets>, Failed<D::Octets>> {
    let mut client = match kept {
        Some(client) => client,
        None => dial.dial().await.map_err(|error| (error, None))?,
    };
    let offered = offered(&mut client).await.map_err(|error| (error, None))?;
    if username.contains(['\r', '\n', '\0'])
        || password.expose().iter().any(|octet| b"\r\n\0".contains(octet))
    {
        let text = "user name or password holds a character that cannot be sent".to_owned();
        return Err((UpstreamError::LoginRefused { text }, Some(client)));
    }
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
    let message = [b"\0", username.as_bytes(), b"\0", password.expose()].concat();
    let mut exchange = Plain { message: Zeroizing::new(message), answers: 0 };
    let mut mechanism = Zeroizing::new("PLAIN".to_owned());
    if offered.initial_response {
        mechanism.push(' ');
        BASE64_STANDARD.encode_string(&*exchange.message, &mut mechanism);
    }
    begin(&mut client);
    match client.authenticate(&*mechanism, &mut exchange).await {
        Ok(session) => Ok(Conversation::Session(session)),
        Err((error, mut client)) => {
            let error = conversation::fault(&mut *client.get_mut(), "AUTHENTICATE", error, refusal::of_login);
            Err((error, reusable(client)))
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
