//! What was found out about an account: sentences for a person, and the same as JSON for a program.

use std::fmt::Display;

use serde::Serialize;

use crate::mail::Account;

/// What a finding is about. The words are the JSON's and stay: README.md lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The provider's password, stored or asked for.
    Password,
    /// Who signed in, when, and whether it still counts.
    SignIn,
    /// The access token: until when, and for what.
    Token,
    /// What mail programs show.
    BridgePasswords,
    /// The server mail is read from.
    Imap,
    /// What a deletion by POP3 does.
    Deletion,
    /// The server mail is sent through.
    Smtp,
    /// What the provider is known to want.
    Provider,
    /// Where stored secrets are, and what that protects against.
    Vault,
    /// What mail programs are shown where they use TLS.
    Certificate,
    /// A fault of footbridge itself.
    Program,
}

/// One thing found out.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    kind: Kind,
    /// Nothing has to be done about it.
    ok: bool,
    /// One line, without a secret; begins with the account's address where it is about one.
    sentence: String,
}

impl Finding {
    /// Of the whole machine, where `sentence` is a fault.
    pub(super) fn of_machine(kind: Kind, sentence: Result<String, String>) -> Self {
        let ok = sentence.is_ok();
        Self { kind, ok, sentence: sentence.unwrap_or_else(|fault| fault) }
    }

    pub(super) fn sentence(&self) -> &str {
        &self.sentence
    }

    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }
}

/// What was found out about one account.
#[derive(Debug)]
pub(super) struct Report {
    address: String,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(account: &Account) -> Self {
        Self { address: account.address.clone(), findings: Vec::new() }
    }

    /// A clause that needs the account before it.
    pub(super) fn good(&mut self, kind: Kind, clause: impl Display) {
        let sentence = format!("{}: {clause}", self.address);
        self.findings.push(Finding { kind, ok: true, sentence });
    }

    /// A clause that needs the account before it, of what somebody has to cure.
    pub(super) fn bad(&mut self, kind: Kind, clause: impl Display) {
        self.fault(kind, format!("{}: {clause}", self.address));
    }

    /// A whole sentence of what somebody has to cure.
    pub(super) fn fault(&mut self, kind: Kind, sentence: String) {
        self.findings.push(Finding { kind, ok: false, sentence });
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(super) fn is_ok(&self) -> bool {
        self.findings.iter().all(Finding::is_ok)
    }
}
