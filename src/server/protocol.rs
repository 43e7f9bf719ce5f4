//! The three protocols apps speak, as far as the server knows them.

use tracing::Span;
use tracing::field::Empty;

/// What the apps of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// RFC 1939.
    Pop3,
    /// RFC 3501.
    Imap,
    /// RFC 6409.
    Smtp,
}

impl Protocol {
    /// As a person writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pop3 => "POP3",
            Self::Imap => "IMAP",
            Self::Smtp => "SMTP",
        }
    }

    /// Its key in `[listen]`.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
            Self::Smtp => "smtp",
        }
    }

    /// What an app hears in place of the greeting when there is no room for it: a passing fault in each protocol
    /// (RFC 3206 §4; RFC 3501 §7.1.5, RFC 5530 §3; RFC 5321 §3.8, RFC 3463 §3.4).
    pub(super) fn refusal(self) -> &'static str {
        match self {
            Self::Pop3 => "-ERR [SYS/TEMP] too many connections, try again later\r\n",
            Self::Imap => "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
            Self::Smtp => "421 4.3.2 too many connections, try again later\r\n",
        }
    }

    /// The span of a connection; its driver records the account. At the highest level, so that a warning names its
    /// connection however little is logged.
    pub(super) fn span(self, conn: u64) -> Span {
        match self {
            Self::Pop3 => tracing::error_span!("pop3", conn, account = Empty),
            Self::Imap => tracing::error_span!("imap", conn, account = Empty),
            Self::Smtp => tracing::error_span!("smtp", conn, account = Empty),
        }
    }
}
