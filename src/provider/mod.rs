//! What each provider is like: `config/providers.toml` compiled in and typed. No I/O.
//!
//! A fact that is absent from the table is `None` or empty here, and means "not known": nobody puts a
//! default in its place.

pub mod facts;
pub mod oauth2;
pub mod table;

pub use facts::{Auth, Kind, Provider, Server, ServerSecurity, UserName};
pub use oauth2::AuthorizationServer;
pub use table::Table;
