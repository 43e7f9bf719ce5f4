//! From a host to a connection that may be shown a password: greeting and TLS.
//!
//! ```text
//!  implicit TLS   connect, handshake ──▶ greeting ──▶ ready
//!  STARTTLS       connect ──▶ greeting ──▶ STARTTLS ──▶ handshake ──▶ ready, and nothing said before is believed
//! ```

use std::time::Duration;

use async_imap::Client;

use super::conversation::{self, Octets};
use super::refusal;
use super::wire::Wire;
use crate::mail::account::{Endpoint, Security};
use crate::net::{Buffered, Connector, Stream};
use crate::proto::imap::response::{self, Response, Status};
use crate::upstream::UpstreamError;

/// Opens a connection over which a password may go.
pub async fn open(connector: &Connector, endpoint: &Endpoint) -> Result<Client<Wire<Stream>>, UpstreamError> {
    let patience = connector.deadlines().upstream_progress;
    let stream = connector.connect(endpoint).await?;
    let wire = Wire::new(Buffered::new(stream), patience);
    let mut client = greeted(wire, &endpoint.host, connector.deadlines().greeting).await?;
    match endpoint.security {
        Security::Tls => Ok(client),
        Security::StartTls => {
            start_tls(&mut client, endpoint).await?;
            let plain = client.into_inner().take();
            let (plain, ahead, _) = plain.ok_or_else(|| injected(endpoint))?.into_parts();
            // Whoever sits on the line could have put them there (RFC 3501 §6.2.1; CVE-2011-0411 is its SMTP cousin).
            if !ahead.is_empty() {
                return Err(injected(endpoint));
            }
            let secure = connector.secure(plain, endpoint).await?;
            // A new wire: what was heard before TLS is gone with the old one.
            Ok(Client::new(Wire::new(Buffered::new(secure), patience)))
        }
    }
}

/// Reads the greeting within `deadline`, which is for all of it: an app waits for us meanwhile.
pub async fn greeted<S: Octets>(
    mut wire: Wire<S>,
    host: &str,
    deadline: Duration,
) -> Result<Client<Wire<S>>, UpstreamError> {
    let late = UpstreamError::TimedOut { command: "greeting", after: deadline };
    match tokio::time::timeout(deadline, greeting(&mut wire, host)).await {
        Ok(greeted) => greeted.map(|()| Client::new(wire)),
        Err(_) => Err(late),
    }
}

async fn greeting<S: Octets>(wire: &mut Wire<S>, host: &str) -> Result<(), UpstreamError> {
    let other = || UpstreamError::NotTheProtocol { host: host.to_owned(), expected: "an IMAP" };
    let (name, patience) = ("greeting", wire.patience());
    let imap = wire.speaks_imap().await;
    if !imap.map_err(|error| refusal::of_stream(name, &error, wire.heard(), patience))? {
        return Err(other());
    }
    let text = wire.response().await.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::FileTooLarge => other(),
        _ => refusal::of_stream(name, &error, wire.heard(), patience),
    })?;
    match response::parse(&text) {
        Some(Response::Untagged { status: Status::Ok, .. }) => Ok(()),
        Some(Response::Untagged { status: Status::Bye, .. }) => {
            let text = wire.heard().bye.clone().unwrap_or_default();
            let asked = wire.heard().backoff.refuses();
            Err(asked.unwrap_or(UpstreamError::Unavailable { text, wait: None }))
        }
        // Logged in as whom? And whoever can say so before TLS can keep us from asking for it.
        Some(Response::Untagged { status: Status::PreAuth, .. }) => {
            Err(UpstreamError::NoTls { host: host.to_owned(), reason: "it says that nobody has to log in" })
        }
        _ => Err(other()),
    }
}

async fn start_tls<S: Octets>(
    client: &mut Client<Wire<S>>,
    endpoint: &Endpoint,
) -> Result<(), UpstreamError> {
    // Asked without looking whether it is offered: nothing said before TLS is believed, and it saves a round trip.
    conversation::run(client, "STARTTLS", "STARTTLS").await.map_err(|error| match error {
        UpstreamError::Refused { .. } => {
            UpstreamError::NoTls { host: endpoint.host.clone(), reason: "it refuses STARTTLS" }
        }
        other => other,
    })
}

fn injected(endpoint: &Endpoint) -> UpstreamError {
    UpstreamError::NoTls {
        host: endpoint.host.clone(),
        reason: "something spoke before the connection was safe",
    }
}
