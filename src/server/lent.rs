//! A stream that a driver has until it is dropped for want of a seat, and that then comes back for a last word.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::bridge::Standing;
use crate::net::QuickAck;

/// What the driver has. Dropped, it closes the stream, unless its connection was dismissed.
#[derive(Debug)]
pub(super) struct Lent<S> {
    io: Option<S>,
    standing: Standing,
    back: Arc<Mutex<Option<S>>>,
}

/// Where it comes back to.
#[derive(Debug)]
pub(super) struct Back<S>(Arc<Mutex<Option<S>>>);

/// Lends a stream to the driver of the connection that has come as far as `standing`.
pub(super) fn lend<S>(io: S, standing: &Standing) -> (Lent<S>, Back<S>) {
    let back = Arc::default();
    (Lent { io: Some(io), standing: standing.clone(), back: Arc::clone(&back) }, Back(back))
}

impl<S> Lent<S> {
    /// The stream for good.
    pub(super) fn into_inner(mut self) -> Option<S> {
        self.io.take()
    }
}

impl<S> Back<S> {
    /// The stream, once the driver was dropped with it in its hands, and its connection dismissed.
    pub(super) fn take(self) -> Option<S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        if self.standing.is_dismissed() {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = self.io.take();
        }
    }
}

/// Only [`Lent::into_inner`] takes the stream away, and nobody has the rest of it then.
macro_rules! of_stream {
    ($lent:expr, $io:ident => $call:expr) => {
        match &mut $lent.io {
            Some($io) => $call,
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_stream!(self, io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        of_stream!(self, io => Pin::new(io).poll_write(cx, octets))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_stream!(self, io => Pin::new(io).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_stream!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

impl<S: QuickAck> QuickAck for Lent<S> {
    fn acknowledge_at_once(&self) {
        if let Some(io) = &self.io {
            io.acknowledge_at_once();
        }
    }
}
