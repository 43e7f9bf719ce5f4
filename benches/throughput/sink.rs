//! A submission server that takes everything in, compares it and keeps nothing.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::messages::{Check, Messages};
use crate::wire::Wire;

/// Reads below TLS: rustls asks for 4 KiB at a time, and the sink must not be what is measured.
const READ: usize = 256 * 1024;

/// Listens on a free port, with TLS from the first octet, as long as this process lives. The messages of each
/// connection must be message 1, 2, 3 and so on.
pub fn start(tls: Arc<ServerConfig>, messages: Arc<Messages>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (tls, messages) = (tls.clone(), messages.clone());
            std::thread::spawn(move || {
                // Whatever fails here, the client on the peer's other side sees and tells it.
                let _ = serve(stream, tls, &messages);
            });
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream, tls: Arc<ServerConfig>, messages: &Messages) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut wire = Wire::new(StreamOwned::new(connection, Socket(BufReader::with_capacity(READ, stream))));
    wire.say("220 sink ESMTP\r\n")?;
    let mut number = 0;
    loop {
        let command = wire.line()?.to_ascii_uppercase();
        match command.split(' ').next().unwrap_or_default() {
            "EHLO" => {
                wire.say("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE\r\n250 AUTH PLAIN\r\n")?
            }
            "AUTH" => wire.say("235 welcome\r\n")?,
            "DATA" => {
                number += 1;
                wire.say("354 go on\r\n")?;
                wire.message(Check::new(messages, number))?;
                let whole = wire.line()? == ".";
                wire.say(if whole { "250 taken\r\n" } else { "554 not what was sent\r\n" })?;
            }
            "QUIT" => return wire.say("221 bye\r\n"),
            _ => wire.say("250 ok\r\n")?,
        }
    }
}

/// Buffered one way only.
struct Socket(BufReader<TcpStream>);

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
