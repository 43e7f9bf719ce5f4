//! Names, addresses, connect, TLS: the ground.

mod address;
pub mod buffered;
pub mod connect;
mod fault;
pub mod tls;

pub use buffered::Buffered;
pub use connect::{ConnectError, Connector, Stream};
