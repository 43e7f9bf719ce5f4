//! The protocols apps speak, as far as the server knows them.

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
    /// POP3 behind TLS from the first octet (RFC 8314 §3.2).
    Pop3s,
    /// IMAP, likewise.
    Imaps,
    /// Submission, likewise.
    Smtps,
}

impl Protocol {
    /// As a person writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pop3 => "POP3",
            Self::Imap => "IMAP",
            Self::Smtp => "SMTP",
            Self::Pop3s => "POP3 with TLS",
            Self::Imaps => "IMAP with TLS",
            Self::Smtps => "SMTP with TLS",
        }
    }

    /// Its key in `[listen]`.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
            Self::Smtp => "smtp",
            Self::Pop3s => "pop3s",
            Self::Imaps => "imaps",
            Self::Smtps => "smtps",
        }
    }

    /// What an app hears in place of the greeting when there is no room for it: a passing fault in each protocol
    /// (RFC 3206 §4; RFC 3501 §7.1.5, RFC 5530 §3; RFC 5321 §3.8, RFC 3463 §3.4). Nothing where only TLS would be
    /// understood: a handshake is not worth its work then.
    pub(super) fn refusal(self) -> &'static str {
        match self {
            Self::Pop3 => "-ERR [SYS/TEMP] too many connections, try again later\r\n",
            Self::Imap => "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
            Self::Smtp => "421 4.3.2 too many connections, try again later\r\n",
            Self::Pop3s | Self::Imaps | Self::Smtps => "",
        }
    }

    /// The same where the app has begun to speak, within TLS or without: its seat goes to another connection.
    pub(super) fn dismissal(self) -> &'static str {
        match self {
            Self::Pop3 | Self::Pop3s => Self::Pop3.refusal(),
            Self::Imap | Self::Imaps => Self::Imap.refusal(),
            Self::Smtp | Self::Smtps => Self::Smtp.refusal(),
        }
    }

    /// What a program of a user who may not come in hears in place of the greeting: a lasting fault in each protocol
    /// (RFC 3206 §4; RFC 3501 §7.1.5, RFC 5530 §3; RFC 5321 §3.1, RFC 3463 §3.8). To whom only TLS would be understood,
    /// nothing.
    pub(super) fn shut(self) -> &'static str {
        match self {
            Self::Pop3 => {
                "-ERR [SYS/PERM] this mail bridge is another user's, who may let you in; its log says how\r\n"
            }
            Self::Imap => {
                "* BYE [NOPERM] this mail bridge is another user's, who may let you in; its log says how\r\n"
            }
            Self::Smtp => {
                "554 5.7.1 this mail bridge is another user's, who may let you in; its log says how\r\n"
            }
            Self::Pop3s | Self::Imaps | Self::Smtps => "",
        }
    }

    /// The span of a connection; its driver records the account. At the highest level, so that a warning names its
    /// connection however little is logged.
    pub(super) fn span(self, conn: u64) -> Span {
        match self {
            Self::Pop3 | Self::Pop3s => tracing::error_span!("pop3", conn, account = Empty),
            Self::Imap | Self::Imaps => tracing::error_span!("imap", conn, account = Empty),
            Self::Smtp | Self::Smtps => tracing::error_span!("smtp", conn, account = Empty),
        }
    }

    /// Whether TLS begins with the first octet.
    pub(super) fn begins_with_tls(self) -> bool {
        matches!(self, Self::Pop3s | Self::Imaps | Self::Smtps)
    }
}
