//! The TOML, field for field; unknown keys are refused.
//!
//! A field stands here when its feature exists. Words that stand for a choice are text here and checked in
//! [`super::settings`], so that all faults of value can be told at once; [`Spanned`] keeps their line.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use toml::Spanned;

/// Text that knows its place.
pub type Text = Spanned<String>;

/// The whole file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// `[listen]`
    pub listen: Listen,
    /// `[tls]`
    pub tls: Tls,
    /// `[cache]`
    pub cache: Cache,
    /// `[log]`
    pub log: Log,
    /// `[vault]`
    pub vault: Vault,
    /// `[oauth2.NAME]`
    pub oauth2: BTreeMap<String, Spanned<OAuth2>>,
    /// `[[account]]`
    pub account: Vec<Spanned<Account>>,
}

/// `[listen]`: addresses and ports.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// POP3.
    pub pop3: Option<Vec<Text>>,
    /// IMAP.
    pub imap: Option<Vec<Text>>,
    /// Submission.
    pub smtp: Option<Vec<Text>>,
    /// POP3, TLS from the first octet.
    pub pop3s: Vec<Text>,
    /// IMAP, TLS from the first octet.
    pub imaps: Vec<Text>,
    /// Submission, TLS from the first octet.
    pub smtps: Vec<Text>,
    /// Whose programs are served besides our own user's.
    pub allow_users: Option<Spanned<Users>>,
}

/// `allow_users = ...`
pub enum Users {
    /// `"all"`
    Word(String),
    /// A list.
    List(Vec<Spanned<User>>),
}

/// One of `allow_users`.
pub enum User {
    /// As the system's list of users has it.
    Name(String),
    /// A user id.
    Number(i64),
}

/// `[tls]`: trust upstream, and what apps are shown.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// `"both"`, `"system"` or `"bundled"`.
    pub roots: Option<Text>,
    /// PEM files.
    pub extra_roots: Vec<Text>,
    /// `"off"`, `"offer"` or `"require"`.
    pub local: Option<Text>,
    /// A PEM file.
    pub certificate: Option<Text>,
    /// A PEM file.
    pub key: Option<Text>,
}

/// `[cache]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// A size with its unit.
    pub memory: Option<Text>,
    /// The same.
    pub disk: Option<Text>,
}

/// `[log]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `"error"` to `"trace"`.
    pub level: Option<Text>,
}

/// `[vault]`: stored secrets.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    /// What seals them.
    pub key: Option<Spanned<VaultKey>>,
}

/// `[vault] key = ...`
pub enum VaultKey {
    /// A word: `"auto"`, `"keychain"`, `"credential"` or `"file"`.
    Word(String),
    /// A file with a passphrase.
    Passphrase(Passphrase),
}

/// `[vault] key = { ... }`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passphrase {
    /// A file whose first line it is.
    pub passphrase_file: Option<String>,
}

/// `[oauth2.NAME]`: an authorization server, and what we are to it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuth2 {
    /// Our name there.
    pub client_id: Option<Text>,
    /// What goes with it.
    pub client_secret: Option<Spanned<Secret>>,
    /// What `{tenant}` in the endpoints stands for.
    pub tenant: Option<Text>,
    /// The redirect as registered.
    pub redirect: Option<Text>,
    /// Where a browser goes.
    pub authorization_endpoint: Option<Text>,
    /// Where tokens come from.
    pub token_endpoint: Option<Text>,
    /// Where device codes come from.
    pub device_authorization_endpoint: Option<Text>,
    /// What is asked for.
    pub scopes: Option<Vec<Text>>,
    /// SASL mechanisms, the one to use first.
    pub sasl: Option<Vec<Text>>,
    /// `"authorization_code"` or `"client_credentials"`
    pub grant: Option<Text>,
}

/// `[[account]]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// What the app logs in as.
    pub address: Option<Text>,
    /// Another name for the same.
    pub login: Option<Text>,
    /// A row of the provider table.
    pub provider: Option<Text>,
    /// Where mail is read.
    pub imap: Option<Spanned<Server>>,
    /// Where mail is submitted.
    pub smtp: Option<Spanned<Server>>,
    /// The upstream user name.
    pub username: Option<Text>,
    /// `"password"` or `"oauth2"`
    pub auth: Option<Text>,
    /// Which `[oauth2.NAME]` tokens come from.
    pub oauth2: Option<Text>,
    /// Where the secret comes from.
    pub secret: Option<Spanned<Secret>>,
    /// IMAP capabilities hidden from the apps.
    pub mask: Vec<Text>,
    /// `[account.pop3]`
    pub pop3: Pop3,
    /// `[account.smtp_options]`
    pub smtp_options: SmtpOptions,
}

/// `imap = { ... }`, `smtp = { ... }`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// A host name or an IP address.
    pub host: Option<Text>,
    /// The usual port of the protocol and the security, where absent.
    pub port: Option<Spanned<i64>>,
    /// `"tls"` or `"starttls"`.
    pub security: Option<Text>,
}

/// `secret = ...`
pub enum Secret {
    /// A word: `"app"` or `"vault"`. Anything else may be a password, which is never printed.
    Word(String),
    /// A place: exactly one key.
    Place(Place),
}

/// `secret = { ... }`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Place {
    /// A variable of the environment.
    pub env: Option<String>,
    /// A file.
    pub file: Option<String>,
    /// A program and its arguments.
    pub command: Option<Vec<String>>,
}

/// `[account.pop3]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pop3 {
    /// The mailbox shown.
    pub folder: Option<Text>,
    /// What DELE does.
    pub delete: Option<Text>,
    /// When `\Seen` is set.
    pub seen: Option<Text>,
    /// How old a message may be to be shown.
    pub recent: Option<Text>,
    /// Whether a look may be answered by what upstream told since the last one.
    pub watch: bool,
}

/// `[account.smtp_options]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpOptions {
    /// Bare CR or LF in DATA.
    pub bare_newline: Option<Text>,
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsersVisitor)
    }
}

struct UsersVisitor;

impl<'de> Visitor<'de> for UsersVisitor {
    type Value = Users;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of users between square brackets, or \"all\"")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Users, E> {
        Ok(Users::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Users, A::Error> {
        let mut users = Vec::new();
        while let Some(user) = list.next_element()? {
            users.push(user);
        }
        Ok(Users::List(users))
    }
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UserVisitor)
    }
}

struct UserVisitor;

impl Visitor<'_> for UserVisitor {
    type Value = User;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user's name between double quotes, or a user id")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<User, E> {
        Ok(User::Name(name.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<User, E> {
        Ok(User::Number(number))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"app\", or a table with env, file or command")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Secret, E> {
        Ok(Secret::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        Place::deserialize(MapAccessDeserializer::new(map)).map(Secret::Place)
    }
}

impl<'de> Deserialize<'de> for VaultKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VaultKeyVisitor)
    }
}

struct VaultKeyVisitor;

impl<'de> Visitor<'de> for VaultKeyVisitor {
    type Value = VaultKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\", \"keychain\", \"credential\", \"file\", or a table with passphrase_file")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<VaultKey, E> {
        Ok(VaultKey::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<VaultKey, A::Error> {
        Passphrase::deserialize(MapAccessDeserializer::new(map)).map(VaultKey::Passphrase)
    }
}
