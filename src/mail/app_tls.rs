//! TLS between an app and us.

/// How a session with an app stands to TLS as it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppTls {
    /// There is none, and none is offered.
    #[default]
    Off,
    /// Plain text; the app may begin TLS by STLS or STARTTLS.
    Offered,
    /// Plain text; the app must begin TLS before it logs in.
    Required,
    /// TLS since the first octet.
    Implicit,
    /// TLS begun by STLS or STARTTLS: everything said before is forgotten, and nobody greets again.
    Upgraded,
}

impl AppTls {
    /// Whether the app may begin TLS by a command.
    pub fn can_begin(self) -> bool {
        matches!(self, Self::Offered | Self::Required)
    }

    /// Whether no password may be sent yet.
    pub fn bars_login(self) -> bool {
        self == Self::Required
    }

    /// Whether the session begins with a greeting (RFC 2595 §4, RFC 3501 §6.2.1 and RFC 3207 §4.2 have none behind TLS).
    pub fn greets(self) -> bool {
        self != Self::Upgraded
    }
}
