//! Sign-in with a browser: authorization code with PKCE, and a loopback address to come back to (RFC 6749 §4.1,
//! RFC 7636, RFC 8252).
//!
//! ```text
//!  begin ──▶ URL ──▶ the browser, wherever it is ──▶ the provider's pages
//!                                                         │ redirect with code and state
//!  grant ◀── exchange ◀── state equal? ◀── finish: the listener on loopback
//!                                      ◀── paste: the address the browser shows
//! ```
//!
//! Whatever else comes to the listener, from web pages or other programs of this machine, gets a fixed page and
//! changes nothing; programs of other users get nothing, where the system tells whose they are: a browser's command line,
//! which all users see, has the state in it. A redirect with our state ends the attempt, whatever it brings: the state is good once.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use oauth2::{AuthUrl, CsrfToken, PkceCodeChallenge, RedirectUrl};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::redirect::{self, Foreign, Redirected};
use super::sign_in::SignInError;
use super::{Grant, exchange, fault, grant};
use crate::mail::oauth2::Redirect;
use crate::mail::{OAuth2, Secret};
use crate::net::http::Client as Http;
use crate::net::peer::{Owner, Owners};

/// How long a sign-in may take: a password, a second factor, consent.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Connections at the same time: a browser opens some to spare.
const CONNECTIONS: usize = 16;

/// A connection that asks nothing is closed, so that others come in.
const SILENT: Duration = Duration::from_secs(10);

/// How long the browser may take to read the last page.
const LAST_PAGE: Duration = Duration::from_secs(2);

/// Ports tried until both families have the same one free.
const PORTS: usize = 8;

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Attempt {
    /// Where the person's browser goes. It is good for this attempt only and holds no secret but the state.
    pub url: String,
    server: OAuth2,
    redirect: String,
    state: Secret,
    verifier: Secret,
    listeners: Vec<TcpListener>,
    used: Arc<AtomicBool>,
}

impl Attempt {
    /// Opens the listener, where the server sends browsers to one, and makes the URL. `hint` is the address that
    /// signs in, passed on where the server may be told.
    ///
    /// # Errors
    /// The server has no such flow, the settings are wrong, or no port is free.
    pub async fn begin(server: &OAuth2, hint: Option<&str>) -> Result<Self, SignInError> {
        let Some(endpoint) = server.authorization_endpoint.clone() else {
            let way = "sign-in with a browser";
            return Err(SignInError::NotOffered { server: server.name.clone(), way });
        };
        let client = exchange::client(server)?;
        let (redirect, listeners) = match &server.redirect {
            Redirect::Loopback { host } => {
                let (listeners, port) = listen(host).await?;
                (format!("http://{host}:{port}"), listeners)
            }
            Redirect::Fixed(redirect) => (redirect.clone(), Vec::new()),
        };
        let endpoint =
            AuthUrl::new(endpoint).map_err(|_| fault::setting(server, "authorization_endpoint"))?;
        let back = RedirectUrl::new(redirect.clone()).map_err(|_| fault::setting(server, "redirect"))?;
        let client = client.set_auth_uri(endpoint).set_redirect_uri(back);

        let state = CsrfToken::new_random_len(32);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(|| state.clone())
            .add_scopes(exchange::scopes(server))
            .set_pkce_challenge(challenge);
        for (name, value) in &server.extra_authorize {
            request = request.add_extra_param(name, value);
        }
        if let Some(hint) = hint.filter(|_| server.login_hint) {
            request = request.add_extra_param("login_hint", hint);
        }
        let (url, _) = request.url();
        Ok(Self {
            url: url.into(),
            server: server.clone(),
            redirect,
            state: Secret::new(state.into_secret()),
            verifier: Secret::new(verifier.into_secret()),
            listeners,
            used: Arc::default(),
        })
    }

    /// Whether a browser on this machine can come back by itself; otherwise its address has to be pasted.
    pub fn listens(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Becomes true when a browser has come back, or the right text was pasted: from then on [`Attempt::finish`] must not
    /// be dropped.
    pub fn used(&self) -> Arc<AtomicBool> {
        self.used.clone()
    }

    fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Where the browser is sent back to.
    pub fn redirect(&self) -> &str {
        &self.redirect
    }

    /// Waits for the browser, exchanges the code, tells the person how it went. May be dropped and called again, or
    /// [`Attempt::paste`] instead, as long as no browser has come back.
    ///
    /// # Errors
    /// It is refused, nobody came within `deadline`, or the attempt was used before.
    pub async fn finish(&mut self, http: &Http, deadline: Duration) -> Result<Grant, SignInError> {
        if self.is_used() {
            return Err(SignInError::Used);
        }
        let mut visits = Visits::new(self.redirect.strip_prefix("http://").unwrap_or_default());
        let came = async {
            loop {
                let visit = visits.next(&self.listeners).await;
                match redirect::read(&visit.query, &self.state) {
                    Some(outcome) => break (visit, outcome),
                    // Nobody waits for the answer where the browser has gone.
                    None => drop(visit.answer.send(Page::FOREIGN)),
                }
            }
        };
        let (visit, outcome) =
            timeout(deadline, came).await.map_err(|_| SignInError::TimedOut { after: deadline })?;
        self.used.store(true, Ordering::Relaxed);
        self.listeners.clear();
        let result = self.settle(http, outcome).await;
        let page = match &result {
            Ok(_) => Page::DONE,
            Err(error) => Page::failed(&error.to_string()),
        };
        if visit.answer.send(page).is_ok() {
            visits.see_off().await;
        }
        result
    }

    /// The same with the address that the browser shows after the person has signed in, on any machine.
    ///
    /// # Errors
    /// [`SignInError::NotOurs`] changes nothing: another text may be pasted. The rest as [`Attempt::finish`].
    pub async fn paste(&mut self, http: &Http, text: &str) -> Result<Grant, SignInError> {
        if self.is_used() {
            return Err(SignInError::Used);
        }
        let query = redirect::pasted(text).ok_or(SignInError::NotOurs(
            "this is not the whole address that the browser shows at the end; copy all of it, with state=",
        ))?;
        let outcome = redirect::read(query, &self.state).ok_or(SignInError::NotOurs(
            "this address belongs to another sign-in; open the address of this one and paste where it ends",
        ))?;
        self.used.store(true, Ordering::Relaxed);
        self.listeners.clear();
        self.settle(http, outcome).await
    }

    async fn settle(&self, http: &Http, outcome: Redirected) -> Result<Grant, SignInError> {
        let code = match outcome {
            Redirected::Code(code) => code,
            Redirected::Refused { error, description } => {
                return Err(fault::refused(&self.server, &error, description.as_deref()).into());
            }
        };
        let answer = exchange::code(&self.server, http, &code, &self.verifier, &self.redirect).await?;
        let client_id = self.server.client_id.as_deref().unwrap_or_default();
        Ok(Grant::new(answer, client_id, grant::unix_now()))
    }
}

/// Listeners on one port of the system's choice: on 127.0.0.1, and for `localhost` on ::1, too, where there is one,
/// because browsers choose.
async fn listen(host: &str) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut last = None;
    for _ in 0..PORTS {
        let four = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let port = four.local_addr()?.port();
        if host != "localhost" {
            return Ok((vec![four], port));
        }
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            Ok(six) => return Ok((vec![four, six], port)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
            // No IPv6 here.
            Err(_) => return Ok((vec![four], port)),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// A request for the one address, and where its page goes.
struct Visit {
    query: String,
    answer: oneshot::Sender<Page>,
}

/// The connections of browsers and whoever else.
struct Visits {
    /// `Host` of the address, port included.
    authority: String,
    connections: JoinSet<bool>,
    came: mpsc::Receiver<Visit>,
    come: mpsc::Sender<Visit>,
}

impl Visits {
    fn new(authority: &str) -> Self {
        let (come, came) = mpsc::channel(CONNECTIONS);
        Self { authority: authority.to_owned(), connections: JoinSet::new(), came, come }
    }

    async fn next(&mut self, listeners: &[TcpListener]) -> Visit {
        loop {
            tokio::select! {
                Some(visit) = self.came.recv() => return visit,
                tcp = accept(listeners), if self.connections.len() < CONNECTIONS => {
                    self.connections.spawn(serve(tcp, self.authority.clone(), self.come.clone()));
                }
                Some(_) = self.connections.join_next(), if !self.connections.is_empty() => {}
            }
        }
    }

    /// Until the one who came last has its page.
    async fn see_off(&mut self) {
        let read = async {
            while let Some(ended) = self.connections.join_next().await {
                if ended.unwrap_or(false) {
                    return;
                }
            }
        };
        // Who does not read it misses a page, no more.
        let _ = timeout(LAST_PAGE, read).await;
    }
}

async fn accept(listeners: &[TcpListener]) -> TcpStream {
    poll_fn(|cx| {
        for listener in listeners {
            match listener.poll_accept(cx) {
                Poll::Ready(Ok((tcp, _))) => return Poll::Ready(tcp),
                // That of a connection that is gone already, as a rule.
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "a browser's connection could not be taken");
                    cx.waker().wake_by_ref();
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

/// One request; whether it was for the one address.
async fn serve(tcp: TcpStream, authority: String, come: mpsc::Sender<Visit>) -> bool {
    match Owners::default().of(&tcp).await {
        Ok(Owner::User(user)) => {
            tracing::warn!(
                user,
                "a program of another user of this computer came to the sign-in's address, refused"
            );
            return false;
        }
        // Another user's program must not get its redirect in by leaving before it is looked at; a browser stays for the page.
        Ok(Owner::Gone) => {
            tracing::debug!("whoever came to the sign-in's address was gone at once");
            return false;
        }
        Ok(Owner::Ours | Owner::Root | Owner::Nobody) | Err(_) => {}
    }
    let visited = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let page = match redirect::asked(&request, &authority) {
            Ok(query) => {
                let (answer, page) = oneshot::channel();
                visited.store(true, Ordering::Relaxed);
                Ok((Visit { query, answer }, page))
            }
            Err(foreign) => Err(Page::for_foreign(foreign)),
        };
        let come = come.clone();
        async move {
            let page = match page {
                Ok((visit, page)) => {
                    // Either fails where the attempt has ended.
                    let _ = come.send(visit).await;
                    page.await.unwrap_or(Page::FOREIGN)
                }
                Err(page) => page,
            };
            Ok::<_, Infallible>(page.response())
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENT)
        .max_buf_size(redirect::LONGEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a browser's connection ended");
    }
    visited.into_inner()
}

/// What a browser is shown. Nothing that came with a request is in it.
#[derive(Debug)]
struct Page {
    status: StatusCode,
    title: &'static str,
    words: Cow<'static, str>,
}

impl Page {
    const DONE: Self = Self::fixed(
        StatusCode::OK,
        "Signed in",
        "footbridge is signed in to this mailbox. You can close this window.",
    );
    const FOREIGN: Self = Self::fixed(
        StatusCode::BAD_REQUEST,
        "Not this sign-in",
        "This address does not belong to the sign-in that footbridge waits for. Open the address that footbridge \
         printed last.",
    );
    const WRONG_HOST: Self = Self::fixed(StatusCode::BAD_REQUEST, "Not here", "There is nothing here.");
    const NOT_FOUND: Self = Self::fixed(StatusCode::NOT_FOUND, "Not found", "There is nothing here.");
    const NOT_ALLOWED: Self =
        Self::fixed(StatusCode::METHOD_NOT_ALLOWED, "Not allowed", "This is not asked for in this way.");

    const fn fixed(status: StatusCode, title: &'static str, words: &'static str) -> Self {
        Self { status, title, words: Cow::Borrowed(words) }
    }

    const fn for_foreign(foreign: Foreign) -> Self {
        match foreign {
            Foreign::Host => Self::WRONG_HOST,
            Foreign::Path => Self::NOT_FOUND,
            Foreign::Method => Self::NOT_ALLOWED,
        }
    }

    fn failed(words: &str) -> Self {
        let words = format!("The sign-in came to nothing: {words}. You can close this window.");
        Self { status: StatusCode::OK, title: "Not signed in", words: words.into() }
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let title = self.title;
        let words = escaped(&self.words);
        let html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
             <h1>{title}</h1><p>{words}</p></html>\n"
        );
        let mut response = Response::new(Full::new(Bytes::from(html)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            ),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            // The address in the browser holds the code.
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests;
