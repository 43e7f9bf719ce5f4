//! Logins that are refused before upstream is asked: why, and what the app is told.

use crate::auth::Denied;

/// Why an app may not go on; upstream was not asked. `Display` is what was logged; apps get [`LoginError::reply`].
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No account has this name. The app is told the same as for a wrong password.
    #[error("no account has this login name")]
    NoAccount,
    /// The app gave an empty password, which is none and no guess: some try that before they ask their user. The app is
    /// told the same whether the name is an account's or not.
    #[error("{}: no password was given", address.as_deref().unwrap_or("a login name of no account"))]
    NothingGiven {
        /// The account, where the name is one's.
        address: Option<String>,
    },
    /// The account's gate said no.
    #[error("{address}: {denied}")]
    Denied {
        /// The account.
        address: String,
        /// Why.
        denied: Denied,
    },
}

/// What an app has to be told, cut by the reply codes of the three protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `[AUTH]`, `[AUTHENTICATIONFAILED]`, 535: ask the user for the password.
    Wrong,
    /// `[SYS/TEMP]`, `[LIMIT]`, 454: the same password may do later.
    Later,
    /// `[SYS/PERM]`, `[CONTACTADMIN]`, 454: the app cannot cure it, its user can.
    NeedsUser,
    /// `[SYS/PERM]`, `[AUTHENTICATIONFAILED]`, 535: the same where the cure is to sign in at the provider.
    SignIn,
}

impl LoginError {
    /// Which reply it is. The name of nobody and a wrong password are the same (RFC 1939 §13).
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::NoAccount | Self::NothingGiven { .. } => Refusal::Wrong,
            Self::Denied { denied, .. } => match denied {
                Denied::Wrong | Denied::NoPassword { .. } | Denied::Resting { .. } => Refusal::Wrong,
                Denied::TooMany { .. } => Refusal::Later,
                Denied::SignIn { .. } | Denied::TokenRefused { .. } => Refusal::SignIn,
                Denied::Refused { .. } | Denied::Unreadable { .. } | Denied::Closed { .. } => {
                    Refusal::NeedsUser
                }
            },
        }
    }

    /// The words for the app: one line, printable, bounded; the same for the name of nobody and a wrong secret of
    /// ours. What upstream refused is told with the account, as upstream's own refusal was a moment before.
    pub fn reply(&self) -> String {
        const LONGEST: usize = 300; // With its code it fits every protocol's line (RFC 1939 §3: 512 octets).
        match self {
            Self::NoAccount | Self::Denied { denied: Denied::Wrong | Denied::NoPassword { .. }, .. } => {
                "login name or password is wrong".to_owned()
            }
            Self::NothingGiven { .. } => "no password was given; enter it in the mail program".to_owned(),
            Self::Denied { .. } => {
                let clean = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
                self.to_string().chars().take(LONGEST).map(clean).collect()
            }
        }
    }
}
