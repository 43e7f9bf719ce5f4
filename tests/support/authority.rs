//! An authorization server with users, as providers have one: sign-in pages, codes with PKCE, tokens that end, rotate
//! and are revoked, and the introspection that mail servers ask (RFC 6749, RFC 7636, RFC 7662).
//!
//! It is strict where providers are: a refresh token gives a new one at each use, the one before it is dead as soon as
//! the new one, or an access token that came with it, has been used, and to use a dead one ends the whole sign-in.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use oauth2::{PkceCodeChallenge, PkceCodeVerifier, url};
use tokio::sync::watch;

use super::token_server::{Answer, Heard, TokenServer, json, refusal};

/// The id and the secret of the one client it knows.
pub const CLIENT: (&str, &str) = ("footbridge-tests", "c4nary-client-secret-81");

/// What every token holds, and no log may.
pub const CANARY: &str = "c4nary-token";

/// The scopes that are granted.
const SCOPES: &str = "imap smtp";

/// How long its access tokens live, in seconds.
const LIFE: u64 = 3600;

/// As long as those of large providers.
const LENGTH: usize = 1800;

/// What goes wrong with renewals.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This is said, and nothing changes.
    Says(Answer),
    /// The tokens change, and nobody hears of it.
    Lost,
}

/// A running server; gone when dropped.
pub struct Authority {
    server: TokenServer,
    users: Arc<Mutex<Users>>,
    renewals: watch::Receiver<usize>,
    /// It serves whatever becomes of the test that started it.
    _runtime: Runtime,
}

/// Dropped without waiting, as it may be inside of another one.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct Users {
    /// Counts what came with a refresh token.
    renewals: watch::Sender<usize>,
    signed_in: HashMap<String, User>,
    tokens: HashMap<String, Token>,
    codes: HashMap<String, Code>,
    count: usize,
}

#[derive(Default)]
struct User {
    /// The youngest generation of tokens that was used.
    used: usize,
    /// Access tokens up to this generation have ended.
    ended: usize,
    /// Tokens up to this generation are worth nothing.
    revoked: usize,
    fault: Option<Fault>,
    refreshes: usize,
    /// Mail servers and the access tokens they asked about.
    shown: Vec<(String, String)>,
}

#[derive(Clone)]
struct Token {
    user: String,
    generation: usize,
    refreshes: bool,
}

struct Code {
    user: String,
    redirect: String,
    challenge: String,
}

impl Authority {
    /// Listens on 127.0.0.1, in a runtime of its own.
    pub fn start() -> Self {
        // A runtime cannot be waited for inside of another one.
        std::thread::spawn(Self::start_here).join().expect("no panic")
    }

    fn start_here() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (sender, renewals) = watch::channel(0);
        let users = Arc::new(Mutex::new(Users::new(sender)));
        let known = users.clone();
        let server = runtime.block_on(TokenServer::start(move |heard| {
            known.lock().expect("no test panicked here").answer(heard)
        }));
        Self { server, users, renewals, _runtime: Runtime(Some(runtime)) }
    }

    /// The table of the configuration that names it.
    pub fn toml(&self) -> [String; 5] {
        [
            format!("oauth2.tests.client_id = \"{}\"", CLIENT.0),
            format!("oauth2.tests.client_secret = \"{}\"", CLIENT.1),
            format!("oauth2.tests.authorization_endpoint = \"{}\"", self.server.url("/authorize")),
            format!("oauth2.tests.token_endpoint = \"{}\"", self.server.url("/token")),
            "oauth2.tests.scopes = [\"imap\", \"smtp\"]".to_owned(),
        ]
    }

    /// Where the mail server of this name asks whose a token is.
    pub fn introspection(&self, server: &str) -> String {
        self.server.url(&format!("/introspect/{server}"))
    }

    /// An access token and a refresh token of a new sign-in; those of earlier ones are worth nothing.
    pub fn sign_in(&self, address: &str) -> (String, String) {
        self.revoke(address);
        self.users().grant(address)
    }

    /// All access tokens of the user end now.
    pub fn end_tokens(&self, address: &str) {
        let mut users = self.users();
        let newest = users.count;
        users.user(address).ended = newest;
    }

    /// The user's sign-in ends, and so do the tokens that came of it.
    pub fn revoke(&self, address: &str) {
        let mut users = self.users();
        let newest = users.count;
        users.user(address).revoked = newest;
    }

    /// What goes wrong with the user's renewals from now on, until it is `None`.
    pub fn fault(&self, address: &str, fault: Option<Fault>) {
        self.users().user(address).fault = fault;
    }

    /// How often tokens of this user were asked for with a refresh token.
    pub fn refreshes(&self, address: &str) -> usize {
        self.users().user(address).refreshes
    }

    /// Waits until that is so.
    pub async fn until_refreshed(&self, address: &str, times: usize) {
        let mut renewals = self.renewals.clone();
        let waiting = async {
            loop {
                renewals.borrow_and_update();
                if self.refreshes(address) >= times {
                    return;
                }
                renewals.changed().await.expect("the server lives as long as this");
            }
        };
        tokio::time::timeout(super::PATIENCE, waiting).await.expect("a renewal");
    }

    /// The names of the mail servers that were shown an access token of this user, with that token.
    pub fn shown(&self, address: &str) -> Vec<(String, String)> {
        self.users().user(address).shown.clone()
    }

    /// All tokens and codes there ever were.
    pub fn secrets(&self) -> Vec<String> {
        let users = self.users();
        users.tokens.keys().chain(users.codes.keys()).cloned().collect()
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().expect("no test panicked here")
    }
}

impl Users {
    fn new(renewals: watch::Sender<usize>) -> Self {
        let (signed_in, tokens, codes) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { renewals, signed_in, tokens, codes, count: 0 }
    }

    fn user(&mut self, address: &str) -> &mut User {
        self.signed_in.entry(address.to_owned()).or_default()
    }

    fn grant(&mut self, address: &str) -> (String, String) {
        self.count += 1;
        let generation = self.count;
        let mut token = |kind: &str| {
            let mut text = format!("{CANARY}.{kind}.{generation}.");
            let mut number = generation;
            while text.len() < LENGTH {
                // Different all over, so that a part of one shows whose it is.
                number =
                    number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let _ = write!(text, "{number:016x}");
            }
            text.truncate(LENGTH);
            let refreshes = kind == "refresh";
            self.tokens.insert(text.clone(), Token { user: address.to_owned(), generation, refreshes });
            text
        };
        (token("access"), token("refresh"))
    }

    fn answer(&mut self, heard: &Heard) -> Answer {
        match (heard.method.as_str(), heard.path.as_str()) {
            ("GET", "/authorize") => Answer::Say(200, "text/html", page(heard)),
            ("POST", "/consent") => self.consent(heard),
            ("POST", "/token") => self.token(heard),
            ("POST", path) if path.starts_with("/introspect/") => self.introspect(heard),
            _ => Answer::Say(404, "text/plain", "no such page".into()),
        }
    }

    /// What the form of the sign-in page sends.
    fn consent(&mut self, heard: &Heard) -> Answer {
        self.count += 1;
        let code = format!("{CANARY}.code.{}", self.count);
        let back = url::Url::parse_with_params(
            heard.field("redirect_uri"),
            [("code", code.as_str()), ("state", heard.field("state"))],
        );
        let Ok(back) = back else { return Answer::Say(400, "text/plain", "no redirect_uri".into()) };
        let redirect = heard.field("redirect_uri").to_owned();
        let challenge = heard.field("code_challenge").to_owned();
        self.codes.insert(code, Code { user: heard.field("login_hint").to_owned(), redirect, challenge });
        Answer::Redirect(back.into())
    }

    fn token(&mut self, heard: &Heard) -> Answer {
        if (heard.field("client_id"), heard.field("client_secret")) != CLIENT {
            return refusal("invalid_client");
        }
        match heard.field("grant_type") {
            "authorization_code" => self.code(heard),
            "refresh_token" => self.refresh(heard),
            _ => refusal("unsupported_grant_type"),
        }
    }

    fn code(&mut self, heard: &Heard) -> Answer {
        let Some(code) = self.codes.get(heard.field("code")) else { return refusal("invalid_grant") };
        let verifier = PkceCodeVerifier::new(heard.field("code_verifier").to_owned());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        if challenge.as_str() != code.challenge || heard.field("redirect_uri") != code.redirect {
            return refusal("invalid_grant");
        }
        let user = code.user.clone();
        self.give(&user)
    }

    fn refresh(&mut self, heard: &Heard) -> Answer {
        let Some(token) = self.tokens.get(heard.field("refresh_token")).cloned() else {
            return refusal("invalid_grant");
        };
        let newest = self.count;
        let user = self.user(&token.user);
        user.refreshes += 1;
        let fault = user.fault.clone();
        if let Some(Fault::Says(answer)) = fault {
            return self.counted(answer);
        }
        let user = self.user(&token.user);
        if !token.refreshes || token.generation < user.used {
            user.revoked = newest;
        }
        if token.generation <= user.revoked {
            return self.counted(refusal("invalid_grant"));
        }
        user.used = token.generation;
        let answer = self.give(&token.user);
        self.counted(if matches!(fault, Some(Fault::Lost)) { Answer::Stall } else { answer })
    }

    fn counted(&self, answer: Answer) -> Answer {
        self.renewals.send_modify(|count| *count += 1);
        answer
    }

    fn give(&mut self, user: &str) -> Answer {
        let (access, refresh) = self.grant(user);
        super::token_server::tokens(&access, &refresh, LIFE)
    }

    /// RFC 7662 §2.
    fn introspect(&mut self, heard: &Heard) -> Answer {
        let known = self.tokens.get(heard.field("token")).cloned();
        let Some(token) = known else { return json(200, r#"{"active":false}"#) };
        let user = self.user(&token.user);
        let server = heard.path.trim_start_matches("/introspect/").to_owned();
        user.shown.push((server, heard.field("token").to_owned()));
        if token.refreshes || token.generation <= user.ended.max(user.revoked) {
            return json(200, r#"{"active":false}"#);
        }
        user.used = user.used.max(token.generation);
        json(200, format!(r#"{{"active":true,"username":"{}","scope":"{SCOPES}"}}"#, token.user))
    }
}

/// A page whose form is sent by itself, as by a person who is signed in at the provider already.
fn page(heard: &Heard) -> String {
    let mut fields = String::new();
    for name in ["redirect_uri", "state", "code_challenge", "login_hint"] {
        let value = heard.field(name).replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let _ = writeln!(fields, "<input type=hidden name={name} value=\"{value}\">");
    }
    format!(
        "<!doctype html><title>Sign in</title><form method=post action=/consent>\n{fields}<button>Allow</button></form>\
         <script>document.forms[0].submit()</script>"
    )
}
