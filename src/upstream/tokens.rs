//! Access tokens from a list, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::auth::credentials::{AccessTokens, Credentials, NoToken, Pending};
use crate::mail::account::Auth;
use crate::mail::oauth2::{Grant, Mechanism, Redirect};
use crate::mail::{OAuth2, Secret};

/// Gives the first of its tokens for as long as nobody says that it was refused, then the next one.
#[derive(Debug)]
pub(crate) struct Listed {
    tokens: Mutex<VecDeque<Result<&'static str, NoToken>>>,
    renewals: Mutex<Vec<String>>,
}

impl Listed {
    /// Never empty: behind the last one the same fault comes again and again.
    pub(crate) fn new(tokens: impl IntoIterator<Item = Result<&'static str, NoToken>>) -> Arc<Self> {
        Arc::new(Self { tokens: Mutex::new(tokens.into_iter().collect()), renewals: Mutex::default() })
    }

    pub(crate) fn credentials(self: &Arc<Self>) -> Credentials {
        Credentials::Tokens(self.clone())
    }

    /// The tokens that were said to be refused.
    pub(crate) fn renewals(&self) -> Vec<String> {
        self.renewals.lock().unwrap().clone()
    }

    fn first(&self) -> Result<Secret, NoToken> {
        let tokens = self.tokens.lock().unwrap();
        tokens.front().expect("one token too many").clone().map(Secret::new)
    }
}

impl AccessTokens for Listed {
    fn current(&self) -> Pending<'_, Result<Secret, NoToken>> {
        Box::pin(async { self.first() })
    }

    fn renewed(&self, refused: Secret) -> Pending<'_, Result<Secret, NoToken>> {
        self.renewals.lock().unwrap().push(String::from_utf8(refused.expose().to_vec()).unwrap());
        let mut tokens = self.tokens.lock().unwrap();
        if tokens.len() > 1 {
            tokens.pop_front();
        }
        drop(tokens);
        Box::pin(async { self.first() })
    }
}

/// What a server that was signed out of says.
pub(crate) fn signed_out() -> NoToken {
    NoToken::SignIn { reason: "the sign-in was revoked".to_owned() }
}

/// What a server that does not answer comes to.
pub(crate) fn silent() -> NoToken {
    NoToken::Later { reason: "the token server login.example.org does not answer".to_owned() }
}

/// How an account logs in whose server wants these, the first one first.
pub(crate) fn by(mechanisms: &[Mechanism]) -> Auth {
    Auth::OAuth2(Arc::new(OAuth2 {
        id: "example".to_owned(),
        name: "Example".to_owned(),
        authorization_endpoint: None,
        token_endpoint: "https://login.example.org/token".to_owned(),
        device_authorization_endpoint: None,
        scopes: Vec::new(),
        extra_authorize: Vec::new(),
        login_hint: false,
        redirect: Redirect::Loopback { host: "127.0.0.1" },
        grant: Grant::User,
        mechanisms: mechanisms.to_vec(),
        client_id: None,
        client_secret: None,
        registration: None,
    }))
}
