//! A stream with its unread octets and its unsent octets.
//!
//! Knows nothing of lines or protocols: `proto` looks at [`Buffered::input`] and takes what it understands.
//! Replies are queued and leave in one write when nothing more is ready (two writes cost a peer with delayed
//! acknowledgements 40 ms).

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A read takes at most this much: a few TLS records, so that bulk moves in few system calls.
const READ: usize = 64 * 1024;

/// What an idle connection keeps; a command fits, and hundreds of idle connections stay cheap.
const IDLE_READ: usize = 4 * 1024;

/// A stream, what was read from it and not yet taken, and what is to be written and not yet sent.
#[derive(Debug)]
pub struct Buffered<S> {
    io: S,
    input: BytesMut,
    output: BytesMut,
    /// The size of the next read: grows while reads come back full, falls back when they do not.
    appetite: usize,
}

impl<S> Buffered<S> {
    /// Wraps a stream of which nothing was read yet.
    pub fn new(io: S) -> Self {
        Self { io, input: BytesMut::new(), output: BytesMut::new(), appetite: IDLE_READ }
    }

    /// What was read and not taken yet; take from its front.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Puts octets behind those that wait to be sent.
    pub fn queue(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }

    /// How many octets wait to be sent.
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// The stream itself, for its addresses and options.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// The stream, its unread and its unsent octets.
    pub fn into_parts(self) -> (S, BytesMut, BytesMut) {
        (self.io, self.input, self.output)
    }
}

impl<S: AsyncRead + Unpin> Buffered<S> {
    /// Waits for more input and returns how much came; 0 is the end of the stream. Cancel-safe.
    pub async fn fill(&mut self) -> io::Result<usize> {
        if self.input.is_empty() && self.input.capacity() < self.appetite {
            self.input = BytesMut::with_capacity(self.appetite);
        } else {
            self.input.reserve(self.appetite);
        }
        let room = self.input.capacity() - self.input.len();
        let taken = (&mut self.io).take(self.appetite as u64).read_buf(&mut self.input).await?;
        self.appetite = if taken >= self.appetite.min(room) {
            (self.appetite * 4).min(READ)
        } else if taken < IDLE_READ {
            IDLE_READ
        } else {
            self.appetite
        };
        Ok(taken)
    }
}

impl<S: AsyncWrite + Unpin> Buffered<S> {
    /// Sends everything queued. Cancel-safe: what was sent is no longer queued.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            if self.io.write_buf(&mut self.output).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if self.output.capacity() > READ {
            self.output = BytesMut::new();
        }
        self.io.flush().await
    }

    /// Sends what is queued, then `octets` without copying them.
    pub async fn write_through(&mut self, octets: &[u8]) -> io::Result<()> {
        if !self.output.is_empty() {
            // Together in one write where the whole is small.
            if octets.len() <= IDLE_READ {
                self.queue(octets);
                return self.flush().await;
            }
            self.flush().await?;
        }
        self.io.write_all(octets).await
    }

    /// Sends what is queued and closes our direction.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.io.shutdown().await
    }
}
