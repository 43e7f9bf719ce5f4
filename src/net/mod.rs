//! Names, addresses, connect, TLS: the ground.

mod address;
mod ahead;
pub mod buffered;
pub mod connect;
mod fault;
pub mod http;
mod linger;
pub mod local_tls;
mod own_address;
mod pace;
pub mod peer;
mod quick_ack;
pub mod tls;

pub use buffered::Buffered;
pub use connect::{ConnectError, Connector, Stream};
pub use linger::linger;
pub use local_tls::LocalTls;
pub use quick_ack::QuickAck;
