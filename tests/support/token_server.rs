//! A token server over plain HTTP on loopback whose every answer the test says, for answers no good server gives.
//!
//! Knows nothing of the bridge, so that tests inside and outside of it can use it.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One request.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub path: String,
    /// What stands behind `?`, or in the body of a form; each name's last value.
    pub form: BTreeMap<String, String>,
    /// Which request it is, counted from 0.
    pub number: usize,
}

impl Heard {
    /// A value of the form, empty where it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }
}

/// What the server says.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status, content type, body.
    Say(u16, &'static str, String),
    /// Status, and after how many seconds to come back.
    Wait(u16, u64),
    /// Sends a browser elsewhere.
    Redirect(String),
    /// Nothing, ever.
    Stall,
}

/// A JSON answer.
pub fn json(status: u16, body: impl Into<String>) -> Answer {
    Answer::Say(status, "application/json", body.into())
}

/// A refusal as RFC 6749 §5.2 has it.
pub fn refusal(error: &str) -> Answer {
    json(400, format!(r#"{{"error":"{error}","error_description":"because"}}"#))
}

/// Tokens as RFC 6749 §5.1 has them.
pub fn tokens(access: &str, refresh: &str, seconds: u64) -> Answer {
    json(
        200,
        format!(
            r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":{seconds},"refresh_token":"{refresh}","scope":"imap smtp"}}"#
        ),
    )
}

/// Gone when dropped.
#[derive(Debug)]
pub struct TokenServer {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    count: watch::Receiver<usize>,
    serving: JoinHandle<()>,
}

impl TokenServer {
    /// Listens on 127.0.0.1 and answers what `answer` says.
    pub async fn start(answer: impl Fn(&Heard) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let shared = Arc::new(Shared { answer: Box::new(answer), heard: heard.clone(), counted });
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let shared = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| serve(&shared, request));
                    // A client that hangs up is no fault of the server.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(tcp), service)
                        .await;
                });
            }
        });
        Self { port, heard, count, serving }
    }

    /// The address of a path on it, with its `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no test panicked").clone()
    }

    /// Waits until so many requests have come.
    pub async fn until(&self, requests: usize) {
        let mut count = self.count.clone();
        count.wait_for(|count| *count >= requests).await.expect("the server lives as long as this");
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Shared {
    answer: Box<dyn Fn(&Heard) -> Answer + Send + Sync>,
    heard: Arc<Mutex<Vec<Heard>>>,
    counted: watch::Sender<usize>,
}

async fn serve(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let form = [query, &body].into_iter().flat_map(oauth2::url::form_urlencoded::parse);
    let form = form.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
    let heard = {
        let mut all = shared.heard.lock().expect("no test panicked");
        let heard = Heard { method, path, form, number: all.len() };
        all.push(heard.clone());
        heard
    };
    let answer = (shared.answer)(&heard);
    shared.counted.send_modify(|count| *count += 1);
    match answer {
        Answer::Say(status, kind, body) => {
            let answer = Response::builder().status(status).header("content-type", kind);
            Ok(answer.body(Full::new(body.into())).expect("a status and a type of the test"))
        }
        Answer::Wait(status, seconds) => {
            let answer = Response::builder().status(status).header("retry-after", seconds);
            Ok(answer.body(Full::default()).expect("a status of the test"))
        }
        Answer::Redirect(url) => {
            let answer = Response::builder().status(302).header("location", url);
            Ok(answer.body(Full::default()).expect("a URL of the test"))
        }
        Answer::Stall => std::future::pending().await,
    }
}
