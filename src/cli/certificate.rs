//! `footbridge certificate`: what mail programs are shown, and what they have to trust.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::{DONE, FAILED, WRONG, complain};
use crate::config::Settings;
use crate::net::local_tls::{Description, Facts, LocalTls};

/// Names, validity, fingerprint, files.
pub(super) fn show(settings: &Settings) -> u8 {
    let Some(Description { files, authority, certificate, complaint }) = describe(settings) else {
        return WRONG;
    };
    let mut text = String::new();
    if let Some(facts) = &certificate {
        text +=
            &format!("certificate shown to mail programs: {}\n{}", facts.names.join(", "), paragraph(facts));
    }
    text += &match &authority {
        Some((facts, _)) => {
            format!(
                "authority that mail programs have to trust (footbridge certificate export)\n{}",
                paragraph(facts)
            )
        }
        None => "it is your own; mail programs have to trust the authority that signed it\n".to_owned(),
    };
    for file in files {
        text += &format!("file: {}\n", file.display());
    }
    if let Some(complaint) = complaint {
        text += &format!("{complaint}\n");
    }
    if !settings.shows_certificate() {
        text += "no mail program is shown it yet: set local in [tls], or pop3s, imaps, smtps in [listen]\n";
    }
    told(io::stdout().write_all(text.as_bytes()))
}

fn paragraph(facts: &Facts) -> String {
    format!("  valid from {} to {}\n  SHA-256 {}\n", facts.not_before, facts.not_after, facts.fingerprint)
}

/// The authority's certificate; what is there already is never overwritten.
pub(super) fn export(settings: &Settings, file: Option<&Path>) -> u8 {
    let Some(description) = describe(settings) else { return WRONG };
    let Some((_, pem)) = description.authority else {
        complain("tls.certificate is your own: mail programs have to trust the authority that signed it");
        return FAILED;
    };
    let Some(path) = file else { return told(io::stdout().write_all(pem.as_bytes())) };
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => told(file.write_all(pem.as_bytes())),
        Err(_) if holds(path, pem.as_bytes()) => DONE,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            complain(&format!("{}: this file is there already; name another one", path.display()));
            FAILED
        }
        Err(error) => {
            complain(&format!("{}: the certificate cannot be written: {error}", path.display()));
            FAILED
        }
    }
}

/// Whether the file has these octets already. A pipe would be waited for, and a device be read without end.
fn holds(path: &Path, octets: &[u8]) -> bool {
    let regular =
        std::fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() == octets.len() as u64);
    regular && std::fs::read(path).is_ok_and(|there| there == octets)
}

/// Made where there is none; a fault has been told.
fn describe(settings: &Settings) -> Option<Description> {
    let Some(source) = settings.certificate_source() else {
        complain("there is no place for the certificate; name a folder with --state DIR");
        return None;
    };
    match LocalTls::open(&source) {
        Ok(tls) => Some(tls.description()),
        Err(error) => {
            complain(&error.to_string());
            None
        }
    }
}

fn told(written: io::Result<()>) -> u8 {
    match written {
        Ok(()) => DONE,
        Err(error) => {
            complain(&format!("the certificate cannot be written: {error}"));
            FAILED
        }
    }
}
