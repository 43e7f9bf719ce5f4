//! The usual port of a service, or the next free one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// How many ports are tried behind the usual one.
const NEIGHBOURS: u16 = 30;

/// Where the search goes on: Windows reserves ports by the hundred.
const ELSEWHERE: u16 = 10_000;

/// The first port from `usual` on that is free on every loopback address this computer has, with those addresses.
pub(super) fn free_from(usual: u16) -> Option<Vec<SocketAddr>> {
    let all = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let here: Vec<IpAddr> =
        all.into_iter().filter(|address| TcpListener::bind((*address, 0)).is_ok()).collect();
    let near = |from: u16| (0..NEIGHBOURS).filter_map(move |step| from.checked_add(step));
    let is_free = |port: &u16| here.iter().all(|address| TcpListener::bind((*address, *port)).is_ok());
    let port = near(usual).chain(near(usual.checked_add(ELSEWHERE)?)).find(is_free)?;
    Some(here.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_taken_on_either_loopback_address_is_passed_over() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(taken) = TcpListener::bind(address) else { continue }; // No IPv6 here.
            let port = taken.local_addr().unwrap().port();
            let found = free_from(port).expect("some port is free");
            assert!(found.iter().all(|found| found.port() != port), "{address}: {found:?}");
        }
    }
}
