//! Handshakes that came to nothing: what the user can do.

use std::io;

use tokio_rustls::rustls::{AlertDescription, Error};

/// What the log says of a handshake's error: what happened, and the cure.
pub fn advice(error: &io::Error) -> &'static str {
    const TOO_OLD: &str = "the mail program's TLS is too old, 1.2 and 1.3 are spoken here; update it, or set it to no \
                           encryption: what it says to footbridge does not leave this computer (local = \"require\" in \
                           [tls] would forbid that)";
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(
            Error::PeerIncompatible(_)
            | Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            ),
        ) => TOO_OLD,
        Some(Error::InvalidMessage(_)) => {
            "what came on a port with TLS is none, or an SSL older than TLS; set the mail program to SSL/TLS, or name the \
             plain port in it"
        }
        _ => "no TLS with the mail program; does it trust the certificate? See footbridge certificate show",
    }
}
