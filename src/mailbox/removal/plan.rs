//! Where what is deleted goes: the account's `delete`, and the folders upstream has.

use std::fmt;

use super::super::Mailbox;
use crate::mail::Quirk;
use crate::mail::account::Delete;
use crate::upstream::UpstreamError;
use crate::upstream::imap::{Folder, Session, has};

/// What QUIT does with messages marked deleted; its `Display` is a clause for the user, "moved to the folder Trash".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalPlan {
    /// Moved to this folder; named as the user sees it (UTF-8).
    MoveTo(String),
    /// Removed for good.
    Expunge,
    /// Marked `\Deleted` and left where they are.
    Flag,
    /// Left as they are.
    Keep,
}

impl fmt::Display for RemovalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoveTo(folder) => write!(f, "moved to the folder {folder}"),
            Self::Expunge => f.write_str("removed for good"),
            Self::Flag => f.write_str("marked deleted and left where they are"),
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
    Keep,
}

impl Plan {
    pub(super) fn shown(&self) -> RemovalPlan {
        match self {
            Self::MoveTo { name, .. } => RemovalPlan::MoveTo(name.clone()),
            Self::Expunge => RemovalPlan::Expunge,
            Self::Flag => RemovalPlan::Flag,
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
        if let Some(plan) = &self.plan {
            return Ok(plan.clone());
        }
        let plan = match self.account.pop3.delete {
            Delete::Keep => Plan::Keep,
            Delete::Flag => Plan::Flag,
            delete => {
                let special_use_bad = self.account.quirks.has(Quirk::ListSpecialUseBad);
                let folders = self.line.read(|session| Box::pin(folders(session, special_use_bad))).await?;
                self.plan_with(delete, &folders)?
            }
        };
        Ok(self.plan.insert(plan).clone())
    }

    fn plan_with(&self, delete: Delete, folders: &[Folder]) -> Result<Plan, UpstreamError> {
        let labels = self.account.quirks.has(Quirk::Labels);
        // There EXPUNGE takes a label off or does what a setting on the web says: removing is what its Trash does.
        let trash_only = labels || self.account.quirks.has(Quirk::ExpungeArchives);
        let role = match delete {
            Delete::Archive if labels => Role::All,
            Delete::Archive => Role::Archive,
            _ => Role::Trash,
        };
        let found = self.find(role, folders);
        let here = found.is_some_and(|folder| self.is_maildrop(folder));
        match (delete, found) {
            (Delete::Archive, Some(_)) if here => Ok(Plan::Keep),
            (_, Some(_)) if here => Ok(Plan::Expunge),
            (Delete::Expunge, _) if !trash_only => Ok(Plan::Expunge),
            (_, Some(folder)) => move_to(folder),
            (Delete::Auto, None) if !trash_only => Ok(Plan::Expunge),
            (_, None) => Err(UpstreamError::NoFolder { folder: self.likeliest(role) }),
        }
    }

    /// By special use (RFC 6154 §2), else by the names the provider or others use.
    fn find<'f>(&self, role: Role, folders: &'f [Folder]) -> Option<&'f Folder> {
        let attribute = match role {
            Role::Trash => "trash",
            Role::Archive => "archive",
            Role::All => "all",
        };
        let usable = || folders.iter().filter(|folder| selectable(folder));
        usable().find(|folder| folder.attributes.iter().any(|has| has == attribute)).or_else(|| {
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
}

/// Every folder upstream shows.
async fn folders(session: &Session, special_use_bad: bool) -> Result<Vec<Folder>, UpstreamError> {
    let capabilities = session.capabilities().await?;
    let extended =
        has(&capabilities, "SPECIAL-USE") && has(&capabilities, "LIST-EXTENDED") && !special_use_bad;
    let mut answer = None;
    if extended {
        match session.run("LIST", r#"LIST "" "*" RETURN (SPECIAL-USE)"#.to_owned()).await {
            Ok(told) => answer = Some(told),
            // Not kept, though promised: the plain form may tell as much.
            Err(UpstreamError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let answer = match answer {
        Some(answer) => answer,
        None => session.run("LIST", r#"LIST "" "*""#.to_owned()).await?,
    };
    // INBOX at least is always there: no folder at all is an answer to doubt, and "no Trash" must not follow from it.
    if answer.folders.is_empty() {
        let text = "it lists no folder at all".to_owned();
        return Err(UpstreamError::Refused { command: "LIST", text });
    }
    Ok(answer.folders)
}

fn selectable(folder: &Folder) -> bool {
    !folder.attributes.iter().any(|attribute| attribute == "noselect" || attribute == "nonexistent")
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
