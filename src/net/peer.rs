//! Whose program is at the other end of a connection within this machine.
//!
//! TCP tells nobody who is speaking (`SO_PEERCRED` is for Unix sockets), but both ends of such a connection are the same
//! kernel's, and it keeps the user id of each:
//!
//! ```text
//!  app ── 127.0.0.1:40000 ═══════ 127.0.0.1:1143 ── us
//!         └ the endpoint looked for: local 40000, remote 1143, its user id and inode
//!
//!  sock_diag(7), one endpoint ──none, or no answer──▶ /proc/net/tcp, tcp6 ──cannot be read──▶ an error
//! ```
//!
//! The first is one question and one answer, whatever the number of connections. The tables are a text of all of them,
//! for whose sake the kernel walks its whole hash table, a hundred times as long even with ten connections; they serve
//! where sock_diag(7) is not there, or not allowed.
//!
//! Within a user namespace, as containers without root have one, the kernel shows each user that the namespace does not
//! map as one and the same id, 65534 (user_namespaces(7)). To us they are one user: who allows one of them allows them
//! all. Where we ourselves are not mapped either, we cannot be told from them, and nobody counts as our own.
//!
//! This is the one place that knows how a system tells; only Linux does so far. Elsewhere the answer is an error of kind
//! `Unsupported`.

#[cfg(target_os = "linux")]
mod diag;
#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod table;

#[cfg(target_os = "linux")]
pub use ends::Ends;
#[cfg(target_os = "linux")]
pub use linux::Owners;
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub use linux::{in_answer, in_table};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Ends, Owners};

/// Whether this system can tell at all.
pub const CAN_TELL: bool = cfg!(target_os = "linux");

/// Whose program is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It runs under our own (effective) user id.
    Ours,
    /// The administrator's.
    Root,
    /// Another user's, by id.
    User(u32),
    /// Nobody's any more: the program closed the connection, or ended. Whose it was is not told.
    Gone,
    /// The system does not have that end: the connection was changed on its way, by a packet filter's redirection for
    /// example.
    Nobody,
}
