//! The ends of a connection, and what the kernel has on one.

use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Both ends of a connection, IPv4 written as IPv4 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub(super) app: SocketAddr,
    pub(super) ours: SocketAddr,
}

impl Ends {
    /// `None` where the connection is no more.
    pub fn of(app: &TcpStream) -> Option<Self> {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let (theirs, ours) = (app.peer_addr().ok()?, app.local_addr().ok()?);
        Some(Self { app: canonical(theirs), ours: canonical(ours) })
    }
}

/// What the kernel has on the endpoint that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// There, and a program of this user has it open.
    Open {
        /// The user.
        uid: u32,
    },
    /// There, but no program has it any more. The kernel gives user 0 for such a one, which means nothing.
    Closed,
    /// Not there.
    Absent,
}

impl Endpoint {
    /// From a row of either source: `state` as in the kernel's `tcp_states.h`.
    pub(super) fn new(state: u8, uid: u32, inode: u64) -> Self {
        // ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING: connected once, and an app may have ended
        // its direction already. The inode tells whether a program still has it.
        match state {
            1 | 4 | 5 | 8 | 9 | 11 if inode != 0 => Self::Open { uid },
            _ => Self::Closed,
        }
    }

    pub(super) fn user(self) -> Option<u32> {
        match self {
            Self::Open { uid } => Some(uid),
            Self::Closed | Self::Absent => None,
        }
    }
}
