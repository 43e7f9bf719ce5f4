//! Whether this computer still has the address from which a connection goes out.
//!
//! ```text
//!  connection ──its address──▶ OwnAddresses ◀──every 4 s── one task, while there are connections
//!       ▲                          │
//!       └───── an error ◀──────────┘ gone at two looks, three seconds apart
//! ```
//!
//! In another network, or when a VPN has ended, nothing that is sent from the old address arrives, nor does any answer;
//! but the system says nothing of it, and TCP goes on trying for a quarter of an hour.
//!
//! A look is an attempt to bind to the address, some microseconds and the same on every system; their own ways to tell of
//! a change are as many as there are systems. Whatever else fails about it decides nothing. An address of loopback is
//! never looked at.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Between two looks. An app that waits is to have its answer within ten seconds, a new login to the provider included.
const LOOK: Duration = Duration::from_secs(4);

/// From a look at which an address was missing to the one that decides: one that is renewed is away for a moment, and one of
/// IPv6 that is given anew cannot be bound to for some two seconds (RFC 4862 §5.4, duplicate address detection).
const AGAIN: Duration = Duration::from_secs(3);

/// The address from which a connection went out is not this computer's any more.
#[derive(Debug, thiserror::Error)]
#[error("this computer no longer has the address that the connection used")]
pub(super) struct Gone;

impl Gone {
    /// Whether this is why a stream failed.
    pub(super) fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl From<Gone> for io::Error {
    fn from(gone: Gone) -> Self {
        Self::new(io::ErrorKind::ConnectionAborted, gone)
    }
}

/// Those from which connections go out; a clone has the same ones.
#[derive(Clone)]
pub(super) struct OwnAddresses(Arc<Shared>);

struct Shared {
    is_ours: Box<dyn Fn(SocketAddr) -> bool + Send + Sync>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// Each once, its port 0.
    addresses: Vec<(SocketAddr, Weak<CancellationToken>)>,
    /// The task is there.
    looking: bool,
}

/// One that is looked at until this is dropped.
#[derive(Clone)]
pub(super) struct InUse(Arc<CancellationToken>);

impl Default for OwnAddresses {
    fn default() -> Self {
        Self::told_by(is_ours)
    }
}

/// A system that has no port left may say the same as one that has not the address: then no address is to be had.
fn is_ours(address: SocketAddr) -> bool {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    !is_missing(address) || is_missing(any)
}

/// No firewall asks the user about a socket that never listens.
fn is_missing(address: SocketAddr) -> bool {
    let bound = Socket::new(Domain::for_address(address), Type::STREAM, None)
        .and_then(|socket| socket.bind(&SockAddr::from(address)));
    bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

impl OwnAddresses {
    fn told_by(is_ours: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { is_ours: Box::new(is_ours), used: Mutex::default() }))
    }

    /// The first answer of `connect` that comes while the address it would go out from is there.
    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<Watched> {
        let source = source(to).ok().and_then(|source| self.watch(source));
        let tcp = unless_gone(source, TcpStream::connect(to)).await?;
        let local = tcp.local_addr()?;
        Ok(Watched::new(tcp, self.watch(local)))
    }

    fn watch(&self, local: SocketAddr) -> Option<InUse> {
        (!local.ip().is_loopback()).then(|| self.look_at(local))
    }

    fn look_at(&self, mut local: SocketAddr) -> InUse {
        local.set_port(0);
        let mut used = self.used();
        let known = used.addresses.iter().find(|(address, _)| *address == local);
        let token = known.and_then(|(_, token)| token.upgrade()).unwrap_or_else(|| {
            let token = Arc::new(CancellationToken::new());
            used.addresses.retain(|(address, _)| *address != local);
            used.addresses.push((local, Arc::downgrade(&token)));
            token
        });
        if !std::mem::replace(&mut used.looking, true) {
            tokio::spawn(self.clone().look());
        }
        InUse(token)
    }

    async fn look(self) {
        loop {
            sleep(LOOK).await;
            let Some(missing) = self.missing() else { return };
            if missing.is_empty() {
                continue;
            }
            sleep(AGAIN).await;
            for address in missing {
                if !(self.0.is_ours)(address) {
                    self.give_up(address);
                }
            }
        }
    }

    /// Which of them are not ours; `None` where none is in use, which is the end of the task.
    fn missing(&self) -> Option<Vec<SocketAddr>> {
        let mut missing: Vec<_> = {
            let mut used = self.used();
            used.addresses.retain(|(_, token)| token.strong_count() > 0);
            used.looking = !used.addresses.is_empty();
            used.looking.then(|| used.addresses.iter().map(|(address, _)| *address).collect())
        }?;
        missing.retain(|address| !(self.0.is_ours)(*address));
        Some(missing)
    }

    /// Whoever comes with this address later has it anew.
    fn give_up(&self, gone: SocketAddr) {
        let token = {
            let mut used = self.used();
            let at = used.addresses.iter().position(|(address, _)| *address == gone);
            at.and_then(|at| used.addresses.swap_remove(at).1.upgrade())
        };
        if let Some(token) = token {
            tracing::info!(
                "this computer no longer has the address {}; connections to providers that used it are given up",
                gone.ip()
            );
            token.cancel();
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for OwnAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnAddresses")
    }
}

/// From which address a connection would go out. Nothing is sent for it.
fn source(to: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.connect(&SockAddr::from(to))?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

async fn unless_gone<T>(address: Option<InUse>, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let Some(InUse(token)) = address else { return work.await };
    tokio::select! {
        biased;
        outcome = work => outcome,
        () = token.cancelled() => Err(Gone.into()),
    }
}

/// A connection that ends with [`Gone`] when its address does. What it could not send by then never goes out, should the
/// address come back: whoever asked for it has been told that it failed.
pub struct Watched {
    tcp: TcpStream,
    address: Option<OnAddress>,
}

/// Both wait by themselves, since reading and writing may be different tasks'.
struct OnAddress {
    in_use: InUse,
    reading: Pin<Box<WaitForCancellationFutureOwned>>,
    writing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Watched {
    fn new(tcp: TcpStream, address: Option<InUse>) -> Self {
        let address = address.map(|in_use| {
            let gone = || Box::pin(in_use.0.as_ref().clone().cancelled_owned());
            OnAddress { reading: gone(), writing: gone(), in_use: in_use.clone() }
        });
        Self { tcp, address }
    }

    /// The connection itself, for its addresses and options.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// What was done, or the end where it has to wait and the address is gone.
    fn written<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.address {
            Some(address) if done.is_pending() => {
                address.writing.as_mut().poll(cx).map(|()| Err(Gone.into()))
            }
            _ => done,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.address.as_ref().is_some_and(|address| address.in_use.0.is_cancelled()) {
            // It is over either way.
            let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tcp.fmt(f)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        match &mut self.address {
            Some(address) if read.is_pending() => {
                address.reading.as_mut().poll(cx).map(|()| Err(Gone.into()))
            }
            _ => read,
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.tcp).poll_write(cx, octets);
        self.written(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.tcp).poll_write_vectored(cx, parts);
        self.written(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.tcp).poll_flush(cx);
        self.written(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.tcp).poll_shutdown(cx);
        self.written(cx, done)
    }
}

#[cfg(test)]
mod tests;
