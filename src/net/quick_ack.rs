//! Acknowledgements at once, for an app that writes in small pieces.
//!
//! Old apps write a message line by line and leave Nagle's algorithm on (RFC 896): their second piece waits for our
//! acknowledgement of the first, which the system delays by some 40 ms because we have nothing to say to it.

use tokio::net::TcpStream;

/// A stream whose system can be told that the peer waits for an acknowledgement.
pub trait QuickAck {
    /// What comes from now on is acknowledged when it is read, until we write again. Where the system cannot be
    /// told, nothing happens.
    fn acknowledge_at_once(&self);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl QuickAck for TcpStream {
    fn acknowledge_at_once(&self) {
        // A socket that takes no option is broken, which the next read tells.
        let _ = socket2::SockRef::from(self).set_tcp_quickack(true);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl QuickAck for TcpStream {
    fn acknowledge_at_once(&self) {}
}

#[cfg(test)]
impl QuickAck for tokio::io::DuplexStream {
    fn acknowledge_at_once(&self) {}
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn the_system_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (app, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_app, (socket, _)) = (app.expect("it connects"), accepted.expect("it comes"));
        // As after an answer: the system waits whether the next one can carry the acknowledgement.
        SockRef::from(&socket).set_tcp_quickack(false).expect("a TCP socket");
        assert!(!SockRef::from(&socket).tcp_quickack().expect("a TCP socket"));
        socket.acknowledge_at_once();
        assert!(SockRef::from(&socket).tcp_quickack().expect("a TCP socket"));
    }
}
