//! From `[listen]` to bound sockets, or to one sentence for each address that cannot be had.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::{info, warn};

use super::protocol::Protocol;
use crate::config::settings::Listen;

/// A bound socket and what is spoken there.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) protocol: Protocol,
    pub(super) address: SocketAddr,
    pub(super) socket: TcpListener,
}

/// Addresses that cannot be had, one sentence each: protocol, address, cure.
#[derive(Debug, thiserror::Error)]
#[error("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct BindError {
    faults: Vec<Fault>,
}

/// An address that cannot be had.
#[derive(Debug)]
struct Fault {
    protocol: Protocol,
    address: SocketAddr,
    source: io::Error,
}

/// Binds every address; all of them or none, but for a family this machine lacks.
pub(super) fn bind(listen: &Listen) -> Result<Vec<Listener>, BindError> {
    let (mut listeners, mut faults) = (Vec::new(), Vec::new());
    let services = [
        (Protocol::Pop3, &listen.pop3),
        (Protocol::Imap, &listen.imap),
        (Protocol::Smtp, &listen.smtp),
        (Protocol::Pop3s, &listen.pop3s),
        (Protocol::Imaps, &listen.imaps),
        (Protocol::Smtps, &listen.smtps),
    ];
    for (protocol, addresses) in services {
        let mut failed = Vec::new();
        let before = listeners.len();
        for address in addresses {
            match bind_one(protocol, *address) {
                Ok(listener) => listeners.push(listener),
                Err(fault) => failed.push(fault),
            }
        }
        let others = listeners.len() > before;
        faults.extend(failed.into_iter().filter(|fault| !passed_over(fault, others)));
    }
    if !faults.is_empty() {
        return Err(BindError { faults });
    }
    for Listener { protocol, address, .. } in &listeners {
        info!(protocol = protocol.key(), %address, "listening");
    }
    Ok(listeners)
}

fn bind_one(protocol: Protocol, address: SocketAddr) -> Result<Listener, Fault> {
    let fault = |source| Fault { protocol, address, source };
    // The standard library listens in one step and sets SO_REUSEADDR on Unix only, where it means no more than that
    // connections of an earlier run do not hold the port.
    let socket = std::net::TcpListener::bind(address).map_err(fault)?;
    socket.set_nonblocking(true).map_err(fault)?;
    let socket = TcpListener::from_std(socket).map_err(fault)?;
    let address = socket.local_addr().map_err(fault)?;
    Ok(Listener { protocol, address, socket })
}

/// Without IPv6 the listener on `::1` is missed by nobody while the protocol has another one.
fn passed_over(fault: &Fault, others: bool) -> bool {
    let passed_over = others && fault.lacks_family();
    if passed_over {
        warn!("{fault}");
    }
    passed_over
}

impl Fault {
    /// EADDRNOTAVAIL or EAFNOSUPPORT, which has no kind: 97 on Linux, 47 on macOS and the BSDs, 10047 on Windows.
    fn lacks_family(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrNotAvailable
            || matches!(self.source.raw_os_error(), Some(97 | 47 | 10047))
    }

    fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }

    /// Who else is known to use this port.
    fn likely_owner(&self) -> &'static str {
        match self.address.port() {
            1143 | 1025 => "another footbridge, Proton Bridge or DavMail may be running",
            1110 => "another footbridge or DavMail may be running",
            _ => "another footbridge may be running",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, address, source } = self;
        let (name, key) = (protocol.name(), protocol.key());
        let other_port = format!("give {key} another port in [listen]");
        write!(f, "{name} cannot listen on {address}: ")?;
        if self.is_taken() {
            write!(f, "the port is taken ({}); stop that program or {other_port}", self.likely_owner())
        } else if source.kind() == io::ErrorKind::PermissionDenied && cfg!(windows) {
            write!(
                f,
                "Windows has reserved the port (see: netsh interface ipv4 show excludedportrange protocol=tcp); \
                 {other_port}"
            )
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            write!(f, "ports below 1024 are the system's; {other_port}")
        } else if self.lacks_family() {
            let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
            write!(f, "this computer has no {family} there; take the address out of {key} in [listen]")
        } else {
            write!(f, "{source}; {other_port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    fn fault(address: &str, source: io::Error) -> Fault {
        Fault { protocol: Protocol::Imap, address: address.parse().unwrap(), source }
    }

    #[tokio::test]
    async fn port_zero_gets_a_port_of_its_own() {
        let listen =
            Listen { pop3: vec![any_port(), any_port()], imap: vec![any_port()], ..Listen::default() };
        let listeners = bind(&listen).unwrap();
        let ports: std::collections::HashSet<u16> =
            listeners.iter().map(|listener| listener.address.port()).collect();
        assert!(ports.len() == 3 && !ports.contains(&0));
    }

    #[tokio::test]
    async fn every_taken_port_is_named_and_none_is_kept() {
        let (one, two) =
            (TcpListener::bind(any_port()).await.unwrap(), TcpListener::bind(any_port()).await.unwrap());
        let (one_at, two_at) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        let listen = Listen { pop3: vec![one_at, any_port()], smtp: vec![two_at], ..Listen::default() };
        let told = bind(&listen).unwrap_err().to_string();
        let lines: Vec<&str> = told.lines().collect();
        let [pop3, smtp] = lines[..] else { panic!("{told}") };
        assert!(pop3.starts_with(&format!("POP3 cannot listen on {one_at}: the port is taken")), "{pop3}");
        assert!(smtp.ends_with("stop that program or give smtp another port in [listen]"), "{smtp}");
    }

    #[test]
    fn the_likely_owner_of_a_port_is_named() {
        let taken = |address| fault(address, io::ErrorKind::AddrInUse.into()).to_string();
        assert!(taken("127.0.0.1:1143").contains("Proton Bridge or DavMail"));
        assert!(taken("127.0.0.1:1110").contains("DavMail") && !taken("127.0.0.1:1110").contains("Proton"));
        assert!(!taken("127.0.0.1:5000").contains("DavMail"));
    }

    #[test]
    fn other_faults_come_with_their_cure() {
        let told = fault("127.0.0.1:143", io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(told.contains("another port in [listen]"), "{told}");
        let told = fault("[::1]:1143", io::ErrorKind::AddrNotAvailable.into()).to_string();
        assert_eq!(
            told,
            "IMAP cannot listen on [::1]:1143: this computer has no IPv6 there; \
             take the address out of imap in [listen]"
        );
    }

    #[test]
    fn a_missing_family_is_passed_over_while_there_is_another_listener() {
        let lacking = fault("[::1]:1143", io::ErrorKind::AddrNotAvailable.into());
        assert!(passed_over(&lacking, true));
        assert!(!passed_over(&lacking, false));
        let taken = fault("[::1]:1143", io::ErrorKind::AddrInUse.into());
        assert!(!passed_over(&taken, true));
    }

    /// An address of another machine (RFC 5737) is refused as a family that is not there is.
    #[tokio::test]
    async fn an_address_this_machine_lacks_is_a_fault_only_where_it_is_the_only_one() {
        let foreign: SocketAddr = "192.0.2.1:0".parse().unwrap();
        let alone = Listen { imap: vec![foreign], ..Listen::default() };
        assert!(bind(&alone).unwrap_err().to_string().contains("no IPv4 there"));
        let beside = Listen { imap: vec![foreign, any_port()], ..Listen::default() };
        assert_eq!(bind(&beside).unwrap().len(), 1);
    }
}
