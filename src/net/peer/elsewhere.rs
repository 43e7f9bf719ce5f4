//! Systems that are not asked yet.

use std::io;

use tokio::net::TcpStream;

use super::Owner;

/// Cannot tell whose connections are.
#[derive(Clone, Debug, Default)]
pub struct Owners;

impl Owners {
    /// # Errors
    /// `Unsupported`, always.
    pub async fn of(&self, _: &TcpStream) -> io::Result<Owner> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Tells nothing of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends;

impl Ends {
    /// `None`, always.
    pub fn of(_: &TcpStream) -> Option<Self> {
        None
    }

    /// Cannot be told.
    pub fn is_closed(self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_taken_for_somebody() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(Ends::of(&app).is_none() && !Ends.is_closed());
        assert_eq!(Owners.of(&app).await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
