//! A submission server that takes everything in, compares it and keeps nothing.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::messages::{Check, Messages};
use crate::wire::{Socket, Wire};

/// Listens on a free port, with TLS from the first octet, as long as this process lives. What is sent to `beaN@...`
/// must be message N.
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
    let mut wire = Wire::new(StreamOwned::new(connection, Socket::new(stream)));
    wire.say("220 sink ESMTP\r\n")?;
    let mut number = 0;
    loop {
        let command = wire.line()?.to_ascii_uppercase();
        match command.split(' ').next().unwrap_or_default() {
            "EHLO" => wire.say(
                "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE\r\n250 AUTH PLAIN XOAUTH2\r\n",
            )?,
            "AUTH" => wire.say("235 welcome\r\n")?,
            "RCPT" => {
                number = digits(&command);
                wire.say("250 ok\r\n")?;
            }
            "DATA" => {
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

/// The first number in a command; 0 where there is none, which is no message's.
fn digits(command: &str) -> usize {
    let from = command.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let end = from.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(from.len());
    from[..end].parse().unwrap_or_default()
}
