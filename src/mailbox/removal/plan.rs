//! Where what is deleted goes: the account's `delete`, and the folders upstream has.

use std::fmt;

use super::super::Mailbox;
use crate::mail::Quirk;
use crate::mail::account::Delete;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Answer, Folder, Selected, Session, has};

/// What QUIT does with messages marked deleted; its `Display` is a clause for the user, "moved to the folder Trash".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalPlan {
    /// Moved to this folder; named as the user sees it (UTF-8).
    MoveTo(String),
    /// Removed for good.
    Expunge,
    /// Marked `\Deleted` and left where they are.
    Flag,
    /// Left as they are, and not shown to POP3 apps any more.
    Hide,
    /// Left as they are.
    Keep,
}

impl fmt::Display for RemovalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoveTo(folder) => write!(f, "moved to the folder {folder}"),
            Self::Expunge => f.write_str("removed for good"),
            Self::Flag => f.write_str("marked deleted and left where they are"),
            Self::Hide => f.write_str("left as they are and not shown to POP3 apps any more"),
            Self::Keep => f.write_str("left as they are"),
        }
    }
}

/// A [`RemovalPlan`] with what its commands need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mailbox) enum Plan {
    MoveTo {
        name: String,
        /// As it stands in a command.
        argument: String,
    },
    Expunge,
    Flag,
    Hide,
    Keep,
}

impl Plan {
    pub(super) fn shown(&self) -> RemovalPlan {
        match self {
            Self::MoveTo { name, .. } => RemovalPlan::MoveTo(name.clone()),
            Self::Expunge => RemovalPlan::Expunge,
            Self::Flag => RemovalPlan::Flag,
            Self::Hide => RemovalPlan::Hide,
            Self::Keep => RemovalPlan::Keep,
        }
    }
}

/// A folder looked for.
#[derive(Clone, Copy, Debug)]
enum Role {
    Trash,
    Archive,
    /// Where everything is, on servers whose folders are labels.
    All,
}

impl Mailbox {
    /// Found out once a session of the app.
    pub(super) async fn plan(&mut self) -> Result<Plan, UpstreamError> {
        let capabilities = match &self.plan {
            Some(plan) => return Ok(plan.clone()),
            None => self.line.read(|session| Box::pin(session.capabilities())).await?,
        };
        if let Some(plan) = self.settled_plan(&capabilities) {
            return Ok(plan);
        }
        let special_use_bad = self.account.quirks.has(Quirk::ListSpecialUseBad);
        let listed = self.line.read(|session| Box::pin(folders(session, special_use_bad))).await?;
        let plan = self.plan_with(&listed, &capabilities)?;
        Ok(self.plan.insert(plan).clone())
    }

    /// Whether what is deleted is left as it is.
    pub(super) fn keeps(&self) -> bool {
        self.account.pop3.delete == Delete::Keep || self.plan == Some(Plan::Keep)
    }

    /// The plan, where it does not depend on folders that were not looked up yet.
    pub(super) fn settled_plan(&mut self, capabilities: &[String]) -> Option<Plan> {
        self.plan = self.plan.take().or_else(|| match self.account.pop3.delete {
            Delete::Keep => Some(Plan::Keep),
            Delete::Hide => Some(Plan::Hide),
            Delete::Flag if !self.trash_only(capabilities) => Some(Plan::Flag),
            Delete::Expunge if !self.trash_only(capabilities) => Some(Plan::Expunge),
            _ => None,
        });
        self.plan.clone()
    }

    /// Opens the mailbox for writing and makes the plan, in one flight.
    pub(super) async fn open_and_plan(
        &mut self,
        session: &Session,
    ) -> Result<(Selected, Result<Plan, UpstreamError>), UpstreamError> {
        let extended = list_extended(session, self.account.quirks.has(Quirk::ListSpecialUseBad)).await?;
        let list = if extended { LIST_SPECIAL_USE } else { LIST };
        let capabilities = session.capabilities().await?;
        let namespaces = has(&capabilities, "NAMESPACE");
        let (selected, listed) =
            session.open_and_list_folders("SELECT", &self.folder, list, namespaces).await?;
        let listed = match listed {
            Err(UpstreamError::Refused { .. }) if extended => folders(session, true).await,
            listed => listed,
        };
        let plan = listed.and_then(believed).and_then(|listed| self.plan_with(&listed, &capabilities));
        if let Ok(plan) = &plan {
            self.plan = Some(plan.clone());
        }
        Ok((selected, plan))
    }

    /// Where EXPUNGE takes a label off, or does what a setting on the web says, and a mark alone may be enough for that:
    /// removing is what its Trash does, and what must not be removed is safe in the folder where everything is.
    fn trash_only(&self, capabilities: &[String]) -> bool {
        self.has_labels(capabilities) || self.account.quirks.has(Quirk::ExpungeArchives)
    }

    /// By its provider, or by what it says itself: it may be reached through a tunnel, or by a name of a company's own.
    fn has_labels(&self, capabilities: &[String]) -> bool {
        self.account.quirks.has(Quirk::Labels) || has(capabilities, GMAIL)
    }

    fn plan_with(&self, listed: &Answer, capabilities: &[String]) -> Result<Plan, UpstreamError> {
        let plan = self.plan_among(listed, capabilities)?;
        let moves = has(capabilities, "MOVE") && !self.account.quirks.has(Quirk::NoMove);
        if matches!(plan, Plan::MoveTo { .. }) && self.trash_only(capabilities) && !moves {
            // A COPY there is no copy, only one more label, and EXPUNGE may remove for ever what bears it.
            let text =
                "its folders are labels, and without MOVE nobody knows what removing one does".to_owned();
            return Err(UpstreamError::Refused { command: "MOVE", text });
        }
        Ok(plan)
    }

    fn plan_among(&self, listed: &Answer, capabilities: &[String]) -> Result<Plan, UpstreamError> {
        let delete = self.account.pop3.delete;
        let role = match delete {
            Delete::Archive if self.has_labels(capabilities) => Role::All,
            Delete::Archive => Role::Archive,
            Delete::Flag => Role::All,
            _ => Role::Trash,
        };
        let found = self.find(role, listed);
        let here = found.is_some_and(|folder| self.is_maildrop(folder));
        match (delete, found) {
            (Delete::Archive | Delete::Flag, Some(_)) if here => Ok(Plan::Keep),
            (_, Some(_)) if here => Ok(Plan::Expunge),
            (_, Some(folder)) if self.may_be_maildrop(folder, &listed.folders) => Err(doubt(
                "a folder whose name differs from the open one's in nothing but its case may be the same",
            )),
            (_, Some(folder)) => move_to(folder),
            // Nothing goes where others read it, and nothing is expunged because it would.
            (Delete::Auto, None)
                if listed.folders.iter().any(|folder| bears(folder, role) && is_foreign(folder, listed)) =>
            {
                Err(doubt("the only Trash that it shows is not this account's own"))
            }
            // The Trash may be what could not be read, and nothing is expunged on a guess.
            (Delete::Auto, None) if listed.unread_folders > 0 => {
                Err(doubt("its list of folders cannot be read"))
            }
            (Delete::Auto, None) if !self.trash_only(capabilities) => Ok(Plan::Expunge),
            (_, None) => Err(UpstreamError::NoFolder { folder: self.likeliest(role) }),
        }
    }

    /// By special use (RFC 6154 §2), else by the names the provider or others use; never another user's, or one that is
    /// shared. Of several with the attribute the one that is least deep in the tree: those of others, where no NAMESPACE
    /// tells which they are, stand below a folder of theirs.
    fn find<'f>(&self, role: Role, listed: &'f Answer) -> Option<&'f Folder> {
        let usable =
            || listed.folders.iter().filter(|folder| selectable(folder) && !is_foreign(folder, listed));
        usable().filter(|folder| bears(folder, role)).min_by_key(|folder| depth(folder)).or_else(|| {
            let names = self.names(role).iter();
            names.flat_map(|name| usable().find(|folder| is_named(folder, name))).next()
        })
    }

    fn names(&self, role: Role) -> &[String] {
        match role {
            Role::Trash => &self.account.folders.trash,
            Role::Archive => &self.account.folders.archive,
            Role::All => &self.account.folders.all,
        }
    }

    fn likeliest(&self, role: Role) -> String {
        let usual = match role {
            Role::Trash => "Trash",
            Role::Archive => "Archive",
            Role::All => "All Mail",
        };
        self.names(role).first().map_or(usual, String::as_str).to_owned()
    }

    fn is_maildrop(&self, folder: &Folder) -> bool {
        *folder.name == *self.folder
            || folder.name.eq_ignore_ascii_case("INBOX") && self.folder.eq_ignore_ascii_case("INBOX")
    }

    /// RFC 3501 §5.1 leaves it to the server whether case counts in names. Where it does the open folder is listed under
    /// its own name.
    fn may_be_maildrop(&self, folder: &Folder, folders: &[Folder]) -> bool {
        folder.name.to_lowercase() == self.folder.to_lowercase()
            && !folders.iter().any(|folder| self.is_maildrop(folder))
    }
}

/// The capability of Gmail alone: its own extensions.
const GMAIL: &str = "X-GM-EXT-1";

const LIST: &str = r#"LIST "" "*""#;

/// RFC 6154 §2, for servers that do not tell special uses in the plain form.
const LIST_SPECIAL_USE: &str = r#"LIST "" "*" RETURN (SPECIAL-USE)"#;

/// Every folder upstream shows, and which of them are others'.
async fn folders(session: &Session, special_use_bad: bool) -> Result<Answer, UpstreamError> {
    let mut listed = list(session, special_use_bad).await?;
    if has(&session.capabilities().await?, "NAMESPACE") {
        match session.run("NAMESPACE", "NAMESPACE".to_owned()).await {
            Ok(answer) => listed.foreign = answer.foreign,
            Err(UpstreamError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

async fn list(session: &Session, special_use_bad: bool) -> Result<Answer, UpstreamError> {
    if list_extended(session, special_use_bad).await? {
        match session.run("LIST", LIST_SPECIAL_USE.to_owned()).await {
            // Not kept, though promised: the plain form may tell as much.
            Err(UpstreamError::Refused { .. }) => {}
            told => return told.and_then(believed),
        }
    }
    session.run("LIST", LIST.to_owned()).await.and_then(believed)
}

async fn list_extended(session: &Session, special_use_bad: bool) -> Result<bool, UpstreamError> {
    let capabilities = session.capabilities().await?;
    Ok(!special_use_bad && has(&capabilities, "SPECIAL-USE") && has(&capabilities, "LIST-EXTENDED"))
}

/// INBOX at least is always there: no folder at all is an answer to doubt, and "no Trash" must not follow from it.
fn believed(listed: Answer) -> Result<Answer, UpstreamError> {
    if listed.folders.is_empty() {
        return Err(doubt("it lists no folder at all"));
    }
    Ok(listed)
}

fn doubt(text: &str) -> UpstreamError {
    UpstreamError::Refused { command: "LIST", text: text.to_owned() }
}

fn selectable(folder: &Folder) -> bool {
    !folder.attributes.iter().any(|attribute| attribute == "noselect" || attribute == "nonexistent")
}

/// Whether it has the attribute of this use.
fn bears(folder: &Folder, role: Role) -> bool {
    let attribute = match role {
        Role::Trash => "trash",
        Role::Archive => "archive",
        Role::All => "all",
    };
    folder.attributes.iter().any(|has| has == attribute)
}

fn is_foreign(folder: &Folder, listed: &Answer) -> bool {
    listed.foreign.iter().any(|prefix| folder.wire_name.starts_with(prefix))
}

/// Levels above it; INBOX, below which some servers keep all folders, is none.
fn depth(folder: &Folder) -> usize {
    let Some(delimiter) = folder.delimiter else { return 0 };
    let mut levels = folder.name.split(delimiter);
    let below_inbox = levels.next().is_some_and(|first| first.eq_ignore_ascii_case("INBOX"));
    levels.count().saturating_sub(usize::from(below_inbox))
}

/// In any case, also below INBOX, where some servers keep all folders.
fn is_named(folder: &Folder, name: &str) -> bool {
    let (shown, name) = (folder.name.to_lowercase(), name.to_lowercase());
    let below = folder.delimiter.and_then(|delimiter| shown.strip_prefix("inbox")?.strip_prefix(delimiter));
    shown == name || below == Some(&*name)
}

fn move_to(folder: &Folder) -> Result<Plan, UpstreamError> {
    // Exactly as upstream wrote it; a command is text.
    let argument = std::str::from_utf8(&folder.wire_name)
        .ok()
        .filter(|name| !name.contains(['\r', '\n', '\0']))
        .ok_or_else(|| UpstreamError::NoFolder { folder: folder.name.clone() })?;
    let argument = format!("\"{}\"", argument.replace('\\', "\\\\").replace('"', "\\\""));
    Ok(Plan::MoveTo { name: folder.name.clone(), argument })
}
