//! POP3 (RFC 1939): grammar, the maildrop, and the session that says what to do next.
//!
//! ```text
//!  line ──▶ Command ──▶ Session ──▶ Step ──▶ bridge::pop3, which does it and tells the session
//!                          └ Maildrop: numbers, sizes, unique-ids, marks
//! ```

pub mod command;
pub mod maildrop;
pub mod reply;
pub mod session;
pub mod top;

pub use command::{Command, MessageNumber, SyntaxError};
pub use maildrop::{Listing, Maildrop, UniqueIds};
pub use reply::{Code, Reply};
pub use session::{Session, Step};
pub use top::TopCutter;
