//! The port a service is asked to have, or the next free one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// How many ports are tried from the wanted one on.
const NEIGHBOURS: u16 = 30;

/// Where the search goes on, so much further: Windows reserves ports by the hundred.
const ELSEWHERE: u16 = 10_000;

/// The first port from `wanted` on that is free on every loopback address this computer has, with those addresses; of
/// 0, ports that the system chooses. None of `others` is among them, though they may be free yet.
///
/// Free is what it was a moment ago: whoever binds it may find it taken.
pub(super) fn free_from(wanted: u16, others: &[u16]) -> Option<Vec<SocketAddr>> {
    let all = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let here: Vec<IpAddr> =
        all.into_iter().filter(|address| TcpListener::bind((*address, 0)).is_ok()).collect();
    let is_free = |port: &u16| {
        !others.contains(port) && here.iter().all(|address| TcpListener::bind((*address, *port)).is_ok())
    };
    let port = match wanted {
        0 => (0..NEIGHBOURS).filter_map(|_| chosen(*here.first()?)).find(is_free)?,
        _ => candidates(wanted).find(is_free)?,
    };
    Some(here.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

/// What is tried; behind the last port the search goes on among lower ones.
fn candidates(wanted: u16) -> impl Iterator<Item = u16> {
    let near = |from: u16| (0..NEIGHBOURS).filter_map(move |step| from.checked_add(step));
    near(wanted).chain(near(wanted.checked_add(ELSEWHERE).unwrap_or(ELSEWHERE)))
}

/// A port of this address that the system says is free.
fn chosen(address: IpAddr) -> Option<u16> {
    Some(TcpListener::bind((address, 0)).ok()?.local_addr().ok()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_0_the_system_chooses_one_port_for_all_loopback_addresses() {
        let found = free_from(0, &[]).expect("some port is free");
        assert!(found.iter().all(|address| address.port() == found[0].port() && address.port() != 0));
    }

    #[test]
    fn behind_the_last_port_the_search_goes_on_below() {
        assert!(candidates(u16::MAX).eq([u16::MAX].into_iter().chain(ELSEWHERE..ELSEWHERE + NEIGHBOURS)));
    }

    #[test]
    fn a_port_taken_on_either_loopback_address_is_passed_over() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(taken) = TcpListener::bind(address) else { continue }; // No IPv6 here.
            let port = taken.local_addr().unwrap().port();
            let found = free_from(port, &[]).expect("some port is free");
            assert!(found.iter().all(|found| found.port() != port), "{address}: {found:?}");
        }
    }
}
