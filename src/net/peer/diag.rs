//! One endpoint asked for by sock_diag(7): 72 octets there, some 120 back.
//!
//! `struct nlmsghdr` (netlink(7)) and behind it `struct inet_diag_req_v2`, answered by `struct inet_diag_msg`; numbers are in
//! the machine's own order, addresses and ports in the network's. The kernel answers before the question's system call
//! returns, so nothing here waits.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::ends::{Endpoint, Ends};

const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_HDRLEN: usize = 16;
const ENOENT: i32 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

/// A netlink header, a question, no more.
const QUESTION: usize = NLMSG_HDRLEN + 56;

/// Enough for an answer with attributes nobody asked for.
const ANSWER: usize = 1024;

/// The loopback interface is the first of every network namespace. Named, because an app's socket may be bound to it.
const LOOPBACK: u32 = 1;

/// Looks for the app's end.
///
/// # Errors
/// There is no such socket family here, it is not allowed, or the answer is none.
pub(super) fn ask(ends: Ends) -> io::Result<Endpoint> {
    let protocol = Protocol::from(NETLINK_SOCK_DIAG);
    let mut socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // A socket that was connected to nobody speaks to the kernel.
    socket.send(&question(ends))?;
    let mut octets = [0; ANSWER];
    let length = socket.read(&mut octets)?;
    answer(octets.get(..length).unwrap_or_default(), ends)
}

fn question(ends: Ends) -> Vec<u8> {
    let family = if ends.app.is_ipv4() { AF_INET } else { AF_INET6 };
    let any_state = u32::MAX;
    let no_cookie = u64::MAX;
    let mut octets = Vec::with_capacity(QUESTION);
    octets.extend(u32::try_from(QUESTION).unwrap_or_default().to_ne_bytes());
    octets.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    octets.extend(NLM_F_REQUEST.to_ne_bytes());
    octets.extend([0; 8]); // Sequence number and port: one question a socket.
    octets.extend([family, IPPROTO_TCP, 0, 0]);
    octets.extend(any_state.to_ne_bytes());
    octets.extend(ends.app.port().to_be_bytes());
    octets.extend(ends.ours.port().to_be_bytes());
    octets.extend(sixteen(ends.app.ip()));
    octets.extend(sixteen(ends.ours.ip()));
    octets.extend(LOOPBACK.to_ne_bytes());
    octets.extend(no_cookie.to_ne_bytes());
    octets
}

/// IPv4 has the first four.
fn sixteen(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

pub(super) fn answer(octets: &[u8], ends: Ends) -> io::Result<Endpoint> {
    understood(octets, ends).unwrap_or_else(|| Err(io::ErrorKind::InvalidData.into()))
}

/// `None` where it is too short.
fn understood(octets: &[u8], ends: Ends) -> Option<io::Result<Endpoint>> {
    let kind = u16::from_ne_bytes(part(octets, 4)?);
    let body = octets.get(NLMSG_HDRLEN..)?;
    if kind == NLMSG_ERROR {
        let errno = i32::from_ne_bytes(part(body, 0)?).checked_neg()?;
        let absent = errno == ENOENT;
        return Some(if absent { Ok(Endpoint::Absent) } else { Err(io::Error::from_raw_os_error(errno)) });
    }
    if kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let [family, state] = part(body, 0)?;
    let [local_port, remote_port] = [4, 6].map(|at| part(body, at).map(u16::from_be_bytes));
    let [local, remote] = [8, 24].map(|at| part(body, at).and_then(|octets| address(family, octets)));
    let found =
        Ends { app: SocketAddr::new(local?, local_port?), ours: SocketAddr::new(remote?, remote_port?) };
    let uid = u32::from_ne_bytes(part(body, 64)?);
    let inode = u32::from_ne_bytes(part(body, 68)?);
    // A listener stands in for a connection that is not there.
    let its = found == ends;
    Some(Ok(if its { Endpoint::new(state, uid, inode.into()) } else { Endpoint::Absent }))
}

fn part<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..)?.first_chunk().copied()
}

/// IPv4 in an IPv6 socket is IPv4.
fn address(family: u8, octets: [u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(part::<4>(&octets, 0)?).into()),
        AF_INET6 => Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(app: &str, ours: &str) -> Ends {
        Ends { app: app.parse().unwrap(), ours: ours.parse().unwrap() }
    }

    /// An answer as the kernel writes it.
    fn answered(
        family: u8,
        state: u8,
        ends: Ends,
        addresses: [[u8; 16]; 2],
        uid: u32,
        inode: u32,
    ) -> Vec<u8> {
        let mut octets = vec![124, 0, 0, 0];
        octets.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        octets.extend([0; 10]);
        octets.extend([family, state, 0, 0]);
        octets.extend(ends.app.port().to_be_bytes());
        octets.extend(ends.ours.port().to_be_bytes());
        octets.extend(addresses.concat());
        octets.extend([0; 24]); // Interface, cookie, timer, queues.
        octets.extend(uid.to_ne_bytes());
        octets.extend(inode.to_ne_bytes());
        octets.extend([0; 36]); // Attributes.
        octets
    }

    fn error(errno: i32) -> Vec<u8> {
        let mut octets = vec![0; 36];
        octets[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        octets[16..20].copy_from_slice(&(-errno).to_ne_bytes());
        octets
    }

    #[test]
    fn the_user_of_an_open_endpoint_is_read_in_each_family() {
        let v4 = ends("127.0.0.1:40000", "127.0.0.1:1143");
        let v6 = ends("[::1]:40000", "[::1]:1143");
        let plain = |ends: Ends| [ends.app, ends.ours].map(|address| sixteen(address.ip()));
        let mapped = [Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(); 2];
        for (family, ends, addresses) in
            [(AF_INET, v4, plain(v4)), (AF_INET6, v6, plain(v6)), (AF_INET6, v4, mapped)]
        {
            let open = answered(family, 1, ends, addresses, 1001, 7);
            assert_eq!(answer(&open, ends).unwrap(), Endpoint::Open { uid: 1001 });
            let half_closed = answered(family, 5, ends, addresses, 1001, 7);
            assert_eq!(answer(&half_closed, ends).unwrap(), Endpoint::Open { uid: 1001 });
            let orphan = answered(family, 5, ends, addresses, 0, 0);
            assert_eq!(answer(&orphan, ends).unwrap(), Endpoint::Closed);
            let time_wait = answered(family, 6, ends, addresses, 0, 0);
            assert_eq!(answer(&time_wait, ends).unwrap(), Endpoint::Closed);
        }
    }

    /// Where there is no connection of these addresses the kernel answers with who listens there.
    #[test]
    fn another_endpoint_than_the_one_asked_for_is_none() {
        let asked = ends("127.0.0.1:40000", "127.0.0.1:1143");
        let listener = ends("127.0.0.1:40000", "0.0.0.0:0");
        let addresses = [sixteen(listener.app.ip()), [0; 16]];
        let told = answer(&answered(AF_INET, 10, listener, addresses, 1001, 7), asked).unwrap();
        assert_eq!(told, Endpoint::Absent);
    }

    #[test]
    fn an_error_is_an_error_but_for_the_one_that_says_there_is_none() {
        let asked = ends("127.0.0.1:40000", "127.0.0.1:1143");
        assert_eq!(answer(&error(ENOENT), asked).unwrap(), Endpoint::Absent);
        let refused = answer(&error(1), asked).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    proptest! {
        /// Cut anywhere, or made of anything: an error or an answer, never a user who was not read.
        #[test]
        fn octets_that_are_no_answer_are_an_error(octets in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..88_usize) {
            let asked = ends("127.0.0.1:40000", "127.0.0.1:1143");
            let whole = answered(AF_INET, 1, asked, [sixteen(asked.app.ip()); 2], 1001, 7);
            prop_assert!(answer(&whole[..cut], asked).is_err());
            let user = matches!(answer(&octets, asked), Ok(Endpoint::Open { .. }));
            prop_assert!(!user);
        }
    }
}
