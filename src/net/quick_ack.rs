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
