//! What went wrong on the way to upstream, as one plain clause.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::own_address::Gone;

/// Names of a foreign certificate that are told: enough to see whose it is.
const NAMES_TOLD: usize = 3;

/// The longest text of rustls that is passed on, in characters.
const TEXT: usize = 120;

/// Why the TLS handshake failed.
pub(super) fn handshake(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(fault) => tls(fault),
        None => format!("the handshake failed, {}", reach(error)),
    }
}

/// Why an address could not be reached.
pub(super) fn reach(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if Gone::is_in(error) => "this computer no longer has the address that the connection used",
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "the connection was broken off"
        }
        io::ErrorKind::UnexpectedEof => "the connection was closed before it was safe",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
            "there is no way to it in this network"
        }
        io::ErrorKind::AddrNotAvailable => "this computer has no address to reach it from",
        io::ErrorKind::PermissionDenied => "a firewall or a rule of this computer forbids it",
        io::ErrorKind::TimedOut => "it does not answer",
        _ if is_exhaustion(error) => "this program has no free connections left",
        _ => "the connection failed",
    }
}

/// Whether it is the network this computer is in: nothing of the attempt reached the server. A host that cannot be reached
/// may be one that is down, of which its own router tells.
pub(super) fn is_ours(error: &io::Error) -> bool {
    let networkless = matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown | io::ErrorKind::AddrNotAvailable
    );
    networkless || Gone::is_in(error)
}

/// EMFILE or ENFILE: no descriptor is free. WSAEMFILE on Windows.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 10024))
}

fn tls(fault: &Error) -> String {
    match fault {
        Error::InvalidCertificate(certificate) => self::certificate(certificate),
        Error::NoCertificatesPresented => "it showed no certificate".into(),
        Error::UnsupportedNameType => "its name cannot stand in a certificate".into(),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => "it does not speak TLS on this port".into(),
        Error::AlertReceived(alert) => self::alert(*alert),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => OUTDATED.into(),
        Error::PeerIncompatible(_) => NOTHING_IN_COMMON.into(),
        other => format!("the handshake failed ({})", clean(&other.to_string())),
    }
}

const OUTDATED: &str = "it offers only outdated TLS (older than 1.2)";
const NOTHING_IN_COMMON: &str = "it shares no safe encryption with this program";

fn alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => OUTDATED.into(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            NOTHING_IN_COMMON.into()
        }
        AlertDescription::UnrecognisedName => "it does not know this name".into(),
        AlertDescription::CertificateRequired | AlertDescription::BadCertificate => {
            "it demands a certificate of this computer".into()
        }
        AlertDescription::AccessDenied => "it denies access".into(),
        other => format!("it ended the handshake ({})", clean(&format!("{other:?}"))),
    }
}

fn certificate(fault: &CertificateError) -> String {
    use CertificateError as Fault;
    match fault {
        Fault::Expired | Fault::ExpiredContext { .. } => "its certificate has expired".into(),
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => "its certificate is not valid yet".into(),
        Fault::UnknownIssuer => {
            "its certificate is signed by an authority this computer does not know".into()
        }
        Fault::NotValidForName => "its certificate is for another name".into(),
        Fault::NotValidForNameContext { presented, .. } => another_name(presented),
        Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. } => {
            "its certificate is not for a server".into()
        }
        Fault::Revoked => "its certificate was revoked".into(),
        Fault::BadEncoding => "its certificate is damaged".into(),
        Fault::BadSignature => {
            "its certificate names an authority this computer knows, which did not sign it".into()
        }
        Fault::UnsupportedSignatureAlgorithmContext { .. }
        | Fault::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate is signed in a way that is no longer safe".into()
        }
        // rustls has no variant of its own for it; self-signed servers made with a usual recipe are like that.
        Fault::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority, not of a server".into()
        }
        other => format!("its certificate cannot be trusted ({})", clean(&other.to_string())),
    }
}

/// Telling whose certificate it is mostly tells which host name to configure.
fn another_name(presented: &[String]) -> String {
    let names: Vec<&str> = presented.iter().filter_map(|name| dns_name(name)).take(NAMES_TOLD).collect();
    match names.as_slice() {
        [] => "its certificate is for another name".into(),
        names => format!("its certificate is for another name ({})", names.join(", ")),
    }
}

/// A name such as `DnsName("*.example.org")`, as webpki writes it; nothing that is not a plain host name.
fn dns_name(presented: &str) -> Option<&str> {
    let name = presented.strip_prefix("DnsName(\"")?.strip_suffix("\")")?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*'));
    (plain && name.len() <= 64).then_some(name)
}

/// One line, printable, bounded.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_certificate_tells_its_plain_names_only() {
        let told = |names: &[&str]| another_name(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let names = ["DnsName(\"*.hoster.example\")", "IpAddress(192.0.2.1)", "DnsName(\"x\r\n* OK\")"];
        assert_eq!(told(&names), "its certificate is for another name (*.hoster.example)");
        assert_eq!(told(&[]), "its certificate is for another name");
        assert_eq!(told(&["DnsName(\"a\")"; 100]), "its certificate is for another name (a, a, a)");
    }

    #[test]
    fn what_rustls_says_is_one_short_line() {
        let error = Error::General("a\r\nb\u{7}".repeat(1000));
        let clause = tls(&error);
        assert!(clause.len() < 200 && clause.chars().all(|c| !c.is_control()), "{clause}");
    }

    #[test]
    fn outdated_servers_are_named_so() {
        assert_eq!(tls(&Error::AlertReceived(AlertDescription::ProtocolVersion)), OUTDATED);
        assert_eq!(tls(&PeerIncompatible::ServerDoesNotSupportTls12Or13.into()), OUTDATED);
        assert_eq!(tls(&PeerIncompatible::NoCipherSuitesInCommon.into()), NOTHING_IN_COMMON);
    }
}
