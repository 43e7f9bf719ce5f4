//! What is wrong with a command line, and what the app is told about it.

use super::Reply;

/// A line that is no command we obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// No command of SMTP.
    Unknown,
    /// A command of SMTP that is not done here.
    NotImplemented,
    /// What follows the verb is wrong.
    Argument(&'static str),
    /// The reverse-path is none.
    Sender,
    /// The forward-path is none.
    Recipient,
    /// A parameter nobody offered.
    Parameter,
    /// HTTP, a header line, another protocol: whoever speaks is no mail app.
    NotSmtp,
}

impl SyntaxError {
    /// What the app is told; its own words are never in it.
    pub fn reply(self) -> Reply {
        match self {
            Self::Unknown => Reply::new(500, 5, 1, "command not recognised"),
            Self::NotImplemented => Reply::new(502, 5, 1, "command not implemented"),
            Self::Argument(text) => Reply::new(501, 5, 4, text),
            Self::Sender => Reply::new(501, 1, 7, "bad sender address syntax"),
            Self::Recipient => Reply::new(501, 1, 3, "bad recipient address syntax"),
            Self::Parameter => Reply::new(555, 5, 4, "parameter not offered"),
            Self::NotSmtp => Reply::new(221, 7, 0, "this is a mail submission port, goodbye"),
        }
    }
}
