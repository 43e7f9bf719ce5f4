//! SMTP submission as apps speak it (RFC 5321, RFC 6409), and the words both ends share.
//!
//! ```text
//!  line ──command──▶ Command ──session──▶ Step ──bridge::smtp──▶ app, upstream
//!                    path                  reply
//!  DATA octets ──reception (data, guard)──▶ octets for upstream, or why not
//! ```
//!
//! The law: an argument that leaves here for upstream's command line holds no control octet; of a message only
//! `CRLF.CRLF` is the end, and no bare CR or LF leaves.

pub mod capabilities;
pub mod command;
pub mod data;
pub mod guard;
pub mod parameters;
pub mod path;
pub mod reception;
pub mod reply;
pub mod session;
pub mod syntax;

pub use capabilities::Capabilities;
pub use command::Command;
pub use path::Path;
pub use reception::Reception;
pub use reply::Reply;
pub use session::Session;
