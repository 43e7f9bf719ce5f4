//! Why the provider did not do what we asked, cut by what we do about it.

use std::time::Duration;

use crate::auth::{Credentials, NoToken};
use crate::mail::{Account, UidValidity};
use crate::net::ConnectError;

/// Every text is one plain clause without the account, which the driver adds; upstream's own words are cleaned
/// (printable, one line, bounded) before they get in here.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// There is no connection to talk over.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What answered does not speak the protocol; needs the user.
    #[error("{host} is not {expected} server")]
    NotTheProtocol {
        /// Host of the endpoint.
        host: String,
        /// "an IMAP", "an SMTP submission".
        expected: &'static str,
    },
    /// TLS is demanded and upstream does not offer it, or upstream spoke before it was up; needs the user.
    #[error("{host} does not offer a safe connection: {reason}")]
    NoTls {
        /// Host of the endpoint.
        host: String,
        /// One plain clause.
        reason: &'static str,
    },
    /// Upstream judged the credential and refused it; needs the user (RFC 5530 AUTHENTICATIONFAILED, EXPIRED).
    #[error("the provider refused the password: {text}")]
    LoginRefused {
        /// Upstream's words.
        text: String,
    },
    /// Upstream would not take a fresh access token; needs the user.
    #[error("the provider refused the sign-in: {text}")]
    TokenRefused {
        /// Upstream's words.
        text: String,
    },
    /// Upstream took the login and serves no mailbox for it, as Exchange does where the token is of another mailbox than
    /// the user name; needs the user.
    #[error("the provider took the login and opens no mailbox for it: {text}")]
    NotServed {
        /// Upstream's words.
        text: String,
    },
    /// There is no access token: the user has to sign in, or the token server cannot be asked now.
    #[error(transparent)]
    NoToken(#[from] NoToken),
    /// Upstream cannot now: BYE at greeting, `[UNAVAILABLE]`, `[INUSE]`, `[LIMIT]`, 421, 4yz at login.
    #[error("the provider cannot serve now: {text}")]
    Unavailable {
        /// Upstream's words.
        text: String,
        /// How long it asks us to wait.
        wait: Option<Duration>,
    },
    /// Tagged NO or BAD: understood, refused, nothing changed (RFC 3501 §7.1.2).
    #[error("the provider refused {command}: {text}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Upstream's words.
        text: String,
    },
    /// Tagged BAD to SEARCH: it cannot do that, nor will it later (RFC 3501 §7.1.3).
    #[error("the provider cannot search in that way: {text}")]
    CannotSearch {
        /// Upstream's words.
        text: String,
    },
    /// UIDVALIDITY moved under an open session: every UID we hold is void (RFC 3501 §2.3.1.1).
    #[error("the mailbox was renumbered")]
    UidValidityChanged {
        /// At login.
        was: UidValidity,
        /// Now.
        now: UidValidity,
    },
    /// The message is no longer there.
    #[error("the message is no longer there")]
    Gone,
    /// Upstream gave another message's text under this one's UID.
    #[error("the provider gave another message in place of this one")]
    Foreign,
    /// The connection ended, broke or lost its synchronisation; what was asked may have happened.
    #[error("the connection to the provider was lost during {command}")]
    Lost {
        /// What was going on.
        command: &'static str,
    },
    /// No answer in time, so it may have happened: nothing that changes mail is repeated.
    #[error("the provider did not answer {command} within {} seconds", after.as_secs())]
    TimedOut {
        /// What was asked.
        command: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// More octets than we take.
    #[error("the provider's answer is larger than this bridge takes")]
    TooLarge,
    /// The account names no submission server; needs the user.
    #[error("no server to send through is configured")]
    NoSubmission,
    /// Nothing was hidden: this machine cannot keep in mind what is.
    #[error("what is deleted cannot be hidden: {text}")]
    NotHidden {
        /// One sentence with its cure.
        text: String,
    },
    /// The mailbox the account names is not there, or cannot be selected; needs the user.
    #[error("there is no folder {folder}")]
    NoFolder {
        /// As the user sees its name.
        folder: String,
    },
}

impl UpstreamError {
    /// Whether the user has to do something before it can work: `[SYS/PERM]` rather than `[SYS/TEMP]` (RFC 3206 §4).
    pub fn needs_user(&self) -> bool {
        matches!(
            self,
            Self::Connect(ConnectError::Tls { .. })
                | Self::NotTheProtocol { .. }
                | Self::NoTls { .. }
                | Self::LoginRefused { .. }
                | Self::TokenRefused { .. }
                | Self::NotServed { .. }
                | Self::NoToken(NoToken::SignIn { .. })
                | Self::NoSubmission
                | Self::NoFolder { .. }
        )
    }

    /// Whether what was shown must not be shown again at once: upstream judged it, or took a token and found out afterwards
    /// that it is good for nothing. A password that was taken is right, whatever came then.
    pub fn is_verdict(&self, shown: &Credentials) -> bool {
        match self {
            Self::LoginRefused { .. } | Self::TokenRefused { .. } => true,
            Self::NotServed { .. } => matches!(shown, Credentials::Tokens(_)),
            _ => false,
        }
    }

    /// The same once more, where upstream judged what it was shown: for whoever keeps it from being shown again and again.
    pub(crate) fn repeated(&self) -> Option<Self> {
        match self {
            Self::LoginRefused { text } => Some(Self::LoginRefused { text: text.clone() }),
            Self::TokenRefused { text } => Some(Self::TokenRefused { text: text.clone() }),
            _ => None,
        }
    }

    /// Whether the app is to be told that the login failed for good, for all it knows: the credential was judged, or
    /// there is none until the user signs in again (RFC 5530 AUTHENTICATIONFAILED, RFC 4954 535).
    pub fn refuses_login(&self) -> bool {
        matches!(
            self,
            Self::LoginRefused { .. } | Self::TokenRefused { .. } | Self::NoToken(NoToken::SignIn { .. })
        )
    }

    /// One plain sentence for a person: which account, what happened, what to do. At most 400 octets, printable,
    /// one line; no secret, no mail. The same words in all three protocols, in `check` and in the log.
    pub fn sentence(&self, account: &Account) -> String {
        let advice = match self {
            Self::Connect(ConnectError::Tls { .. }) => {
                "no password was sent; check host name, port and clock"
            }
            Self::Connect(ConnectError::NameNotFound { .. }) => "check the network and the host name",
            Self::Connect(_) => "check the network and try again",
            Self::NotTheProtocol { .. } | Self::NoTls { .. } => {
                "no password was sent; check host, port and security"
            }
            Self::LoginRefused { .. } => "check user name and password; many providers want an app password",
            Self::TokenRefused { .. } | Self::NoToken(NoToken::SignIn { .. }) => {
                return bounded(format!(
                    "{address}: {self}; run: footbridge account sign-in {address}",
                    address = account.address
                ));
            }
            Self::NotServed { .. } => {
                "the user name may be an alias or another mailbox than the one signed in to, IMAP may be switched off \
                 there, or too many connections are open"
            }
            Self::NoToken(NoToken::Later { .. }) => "try again later",
            Self::NoSubmission => "name it with smtp = { host = ... } in the account",
            Self::NoFolder { .. } => "create it or name another one in the configuration",
            Self::UidValidityChanged { .. } => "nothing was removed; fetch again",
            Self::Unavailable { wait: Some(wait), .. } => {
                let seconds = wait.as_millis().div_ceil(1000);
                return bounded(format!("{}: {self}; it asks to wait {seconds} s", account.address));
            }
            Self::Unavailable { .. } | Self::Lost { .. } | Self::TimedOut { .. } | Self::Foreign => {
                "try again later"
            }
            Self::Refused { .. }
            | Self::CannotSearch { .. }
            | Self::Gone
            | Self::TooLarge
            | Self::NotHidden { .. } => "",
        };
        let help = match (self, account.help) {
            (Self::LoginRefused { .. }, Some(page)) => format!(", see {page}"),
            _ => String::new(),
        };
        let separator = if advice.is_empty() { "" } else { "; " };
        bounded(format!("{}: {self}{separator}{advice}{help}", account.address))
    }
}

/// Cut to 400 octets at a character's border; control characters made spaces.
fn bounded(text: String) -> String {
    let end = (0..=400.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.chars()
        .scan(0, |at, c| {
            let from = *at;
            *at += c.len_utf8();
            (from + c.len_utf8() <= end).then_some(if c.is_control() { ' ' } else { c })
        })
        .collect()
}
