//! Nouns everybody uses: accounts, endpoints, uids, secrets. No I/O.

pub mod account;
pub mod app_tls;
pub mod date;
pub mod deadlines;
pub mod identity;
pub mod key_choice;
pub mod listed;
pub mod moment;
pub mod names;
pub mod oauth2;
pub mod quirk;
pub mod secret;
pub mod uid;

pub use account::Account;
pub use app_tls::AppTls;
pub use date::Date;
pub use deadlines::Deadlines;
pub use identity::{HeaderIdentity, Identity, ObjectId};
pub use key_choice::KeyChoice;
pub use listed::{Listed, MessageSize, ToldSize};
pub use moment::Moment;
pub use names::{Name, Names, Numbering};
pub use oauth2::OAuth2;
pub use quirk::{Quirk, Quirks};
pub use secret::{Credential, Secret};
pub use uid::{Uid, UidValidity};
