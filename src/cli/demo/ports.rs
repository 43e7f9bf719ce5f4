//! The usual port of a service, or the next free one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

/// How many ports are tried behind the usual one.
const NEIGHBOURS: u16 = 30;

/// Where the search goes on: Windows reserves ports by the hundred.
const ELSEWHERE: u16 = 10_000;

/// The first port from `usual` on that is free on both loopback addresses.
pub(super) fn free_from(usual: u16) -> Option<u16> {
    let near = |from: u16| (0..NEIGHBOURS).filter_map(move |step| from.checked_add(step));
    near(usual).chain(near(usual.checked_add(ELSEWHERE)?)).find(|port| is_free(*port))
}

fn is_free(port: u16) -> bool {
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].into_iter().all(|address| {
        match TcpListener::bind((address, port)) {
            Ok(_) => true,
            // A family this computer lacks takes no port from anybody.
            Err(error) => !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_taken_on_either_loopback_address_is_passed_over() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(taken) = TcpListener::bind(address) else { continue }; // No IPv6 here.
            let port = taken.local_addr().unwrap().port();
            assert!(!is_free(port), "{address}");
            assert_ne!(free_from(port), Some(port));
        }
    }
}
