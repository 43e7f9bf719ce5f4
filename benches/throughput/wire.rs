//! The client's end of a connection: fast enough to be no bottleneck, and it looks at every octet.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::messages::Check;

/// A read takes so much; more saves nothing.
const READ: usize = 256 * 1024;

/// A peer that moves nothing for so long hangs.
const STALL: Duration = Duration::from_secs(30);

/// A stream with what was read and not yet taken.
#[derive(Debug)]
pub struct Wire<S> {
    io: S,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire<TcpStream> {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(connect(address)?))
    }
}

/// A connection whose peer may not hang.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}

impl<S: Read + Write> Wire<S> {
    /// Nothing was read yet.
    pub fn new(io: S) -> Self {
        Self { io, buffer: vec![0; READ], start: 0, end: 0 }
    }

    /// The stream.
    pub fn into_inner(self) -> S {
        self.io
    }

    /// The stream, to write.
    pub fn sink(&mut self) -> &mut S {
        &mut self.io
    }

    /// Sends octets.
    pub fn say(&mut self, octets: &str) -> io::Result<()> {
        self.io.write_all(octets.as_bytes())?;
        self.io.flush()
    }

    /// Sends a command and reads one line, which must begin like this.
    pub fn ask(&mut self, command: &str, answer: &str) -> io::Result<String> {
        self.say(command)?;
        self.expect(answer)
    }

    /// Reads one line, which must begin like this.
    pub fn expect(&mut self, beginning: &str) -> io::Result<String> {
        let line = self.line()?;
        if line.starts_with(beginning) {
            return Ok(line);
        }
        Err(io::Error::other(format!("expected {beginning:?}, heard {line:?}")))
    }

    /// Reads one line; its end is taken off.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            let unread = self.unread()?;
            let end = unread.iter().position(|octet| *octet == b'\n');
            let taken = end.map_or(unread.len(), |end| end + 1);
            line.extend_from_slice(&unread[..taken]);
            self.start += taken;
            if end.is_some() {
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }

    /// Reads a message and compares it.
    pub fn message(&mut self, mut check: Check<'_>) -> io::Result<()> {
        while check.missing() > 0 {
            let taken = check.take(self.unread()?)?;
            self.start += taken;
        }
        Ok(())
    }

    /// What was read and not taken, at least one octet.
    fn unread(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = self.io.read(&mut self.buffer)?;
            if self.end == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }
}

/// A socket below TLS: rustls asks for 4 KiB at a time, and our own end must not be what is measured.
#[derive(Debug)]
pub struct Socket(BufReader<TcpStream>);

impl Socket {
    /// Buffered one way only.
    pub fn new(stream: TcpStream) -> Self {
        Self(BufReader::with_capacity(READ, stream))
    }
}

impl Read for Socket {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.0.read(octets)
    }
}

impl Write for Socket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
