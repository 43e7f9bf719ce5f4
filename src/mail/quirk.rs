//! What a provider's server does otherwise than the RFCs say.

/// One deviation, each said as it was seen. The provider table names them in lower case with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quirk {
    /// RFC822.SIZE (and POP LIST/STAT) is an estimate unless the admin turned on exact sizes; it can be far off.
    SizeEstimated,
    /// RFC822.SIZE was reported wrong or unusable by client authors.
    SizeWrong,
    /// BODY[]<offset.count> returns damaged data or stops early.
    NoPartialFetch,
    /// FETCH RFC822 / RFC822.TEXT returns nothing or NIL.
    FetchBodyOnly,
    /// SELECT fails with `NO SELECT Unsafe Login` unless the ID command was sent after log-in.
    IdAfterLogin,
    /// `ID ()` is a syntax error here.
    IdNotEmpty,
    /// IDLE is missing or not kept up.
    NoIdle,
    /// MOVE is missing or broken although other extensions are there.
    NoMove,
    /// STORE \Deleted on a set of messages fails.
    DeleteSingly,
    /// Only the newest messages of a big folder are visible.
    FolderCap,
    /// Commands over more than a given number of messages are cut short (MESSAGELIMIT, RFC 9738).
    MessageLimit,
    /// Command lines over about 1000 octets are refused.
    ShortLines,
    /// APPEND of a message that does not end with CRLF is a syntax error.
    AppendCrlf,
    /// SEARCH is incomplete: NOT, HEADER, UNSEEN or FLAGGED may be missing, slow or wrong.
    SearchWeak,
    /// Under load a FETCH sometimes returned the body of another message.
    WrongBody,
    /// A FETCH response sometimes lacks the body that was asked for.
    MissingBody,
    /// The server sends BYE over and over before it closes.
    ByeRepeated,
    /// A set such as 9:1 or 9,5,1 gets BAD; sets must ascend.
    DescendingSets,
    /// Numbers in responses are not digits only (floating point, -1 for MODSEQ).
    BadNumbers,
    /// BODYSTRUCTURE of some messages is malformed or does not match the message.
    Bodystructure,
    /// Response codes or status lines without text, empty COPYUID sets, missing `* OK`, trailing spaces.
    RespCodesBare,
    /// `* BYE Connection is closed. 13`, `Server Unavailable. 15`: back-end moves or overload.
    ByeReasons,
    /// Throttling comes as BAD or NO with a wait time in the text (`Suggested Backoff Time: N milliseconds`).
    ThrottleText,
    /// AUTHENTICATE says OK, and the first command says `BAD User is authenticated but not connected`.
    LateAuthFailure,
    /// SMTP files sent mail late (minutes) and may rewrite Message-ID.
    SentLate,
    /// Command lines over about 10,000 octets are refused.
    Line10k,
    /// A client with many users caps TLS at 1.2 here because TLS 1.3 connections failed at times.
    Tls12Max,
    /// Folders are labels: one message appears in several of them with different UIDs, and always in All Mail.
    Labels,
    /// \Deleted + EXPUNGE only removes the label; the message stays in All Mail, depending on a web setting.
    ExpungeArchives,
    /// POP shows a window of its own: messages once fetched may not show again, and a web setting decides what DELE does.
    PopView,
    /// APPEND of a message already present (same Message-ID) is merged or swallowed.
    AppendDedup,
    /// COPY into Drafts is refused.
    DraftsNoCopy,
    /// A folder that LIST shows cannot be SELECTed.
    UnselectableListed,
    /// ENABLE gives no untagged ENABLED.
    EnabledSilent,
    /// AUTHENTICATE PLAIN may fail where LOGIN works.
    PlainVsLogin,
    /// Authenticated SMTP is off until the user switches it on.
    SmtpOff,
    /// Mail from unknown senders goes to a separate folder that POP and INBOX never show.
    SpamGate,
    /// LIST (SPECIAL-USE) gives BAD although capabilities suggest otherwise.
    ListSpecialUseBad,
}

/// The quirks of one account's server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks(Vec<Quirk>);

impl Quirks {
    /// Whether the server has it.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.0.contains(&quirk)
    }
}

impl FromIterator<Quirk> for Quirks {
    fn from_iter<I: IntoIterator<Item = Quirk>>(quirks: I) -> Self {
        Self(quirks.into_iter().collect())
    }
}

impl Quirk {
    /// The quirk of this name in the provider table, `size-estimated` for example.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, quirk)| *quirk)
    }
}

const NAMES: &[(&str, Quirk)] = &[
    ("size-estimated", Quirk::SizeEstimated),
    ("size-wrong", Quirk::SizeWrong),
    ("no-partial-fetch", Quirk::NoPartialFetch),
    ("fetch-body-only", Quirk::FetchBodyOnly),
    ("id-after-login", Quirk::IdAfterLogin),
    ("id-not-empty", Quirk::IdNotEmpty),
    ("no-idle", Quirk::NoIdle),
    ("no-move", Quirk::NoMove),
    ("delete-singly", Quirk::DeleteSingly),
    ("folder-cap", Quirk::FolderCap),
    ("message-limit", Quirk::MessageLimit),
    ("short-lines", Quirk::ShortLines),
    ("append-crlf", Quirk::AppendCrlf),
    ("search-weak", Quirk::SearchWeak),
    ("wrong-body", Quirk::WrongBody),
    ("missing-body", Quirk::MissingBody),
    ("bye-repeated", Quirk::ByeRepeated),
    ("descending-sets", Quirk::DescendingSets),
    ("bad-numbers", Quirk::BadNumbers),
    ("bodystructure", Quirk::Bodystructure),
    ("resp-codes-bare", Quirk::RespCodesBare),
    ("bye-reasons", Quirk::ByeReasons),
    ("throttle-text", Quirk::ThrottleText),
    ("late-auth-failure", Quirk::LateAuthFailure),
    ("sent-late", Quirk::SentLate),
    ("line-10k", Quirk::Line10k),
    ("tls12-max", Quirk::Tls12Max),
    ("labels", Quirk::Labels),
    ("expunge-archives", Quirk::ExpungeArchives),
    ("pop-view", Quirk::PopView),
    ("append-dedup", Quirk::AppendDedup),
    ("drafts-no-copy", Quirk::DraftsNoCopy),
    ("unselectable-listed", Quirk::UnselectableListed),
    ("enabled-silent", Quirk::EnabledSilent),
    ("plain-vs-login", Quirk::PlainVsLogin),
    ("smtp-off", Quirk::SmtpOff),
    ("spam-gate", Quirk::SpamGate),
    ("list-special-use-bad", Quirk::ListSpecialUseBad),
];
