//! Names, addresses, connect, TLS: the ground.

pub mod buffered;
pub mod connect;
pub mod tls;

pub use buffered::Buffered;
pub use connect::{ConnectError, Connector, Stream};
