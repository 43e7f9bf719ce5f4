//! What a refusal means, in words for the person who has to do something about it.
//!
//! Answers hold three things we read: the error's name (RFC 6749 §5.2, §4.1.2.1), Microsoft's number (`AADSTS50076`)
//! and a few words of Google's. Nothing else of an answer is shown or logged.

use std::time::Duration;

use crate::auth::NoToken;
use crate::mail::OAuth2;
use crate::net::http::HttpError;

/// Why there are no tokens.
#[derive(Clone, Debug)]
pub struct Fault {
    /// For whoever asked.
    pub why: NoToken,
    /// The refresh token is dead for good: to ask again with it is of no use.
    pub dead: bool,
    /// How long the server wants to be left alone; zero where it does not say.
    pub pause: Duration,
}

impl Fault {
    /// The user has to do something; what was asked with may be good.
    pub fn sign_in(reason: impl Into<String>) -> Self {
        Self { why: NoToken::SignIn { reason: reason.into() }, dead: false, pause: Duration::ZERO }
    }

    /// It may pass.
    pub fn later(reason: impl Into<String>) -> Self {
        Self { why: NoToken::Later { reason: reason.into() }, dead: false, pause: Duration::ZERO }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.why.fmt(f)
    }
}

/// Why there is no answer that means anything; each is one plain clause.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheard {
    #[error("the token server cannot be asked: {0}")]
    Http(#[from] HttpError),
    #[error("the token server {host} has trouble (status {status})")]
    Trouble { host: String, status: u16, pause: Duration },
    #[error("the token server {host} gave an answer that is none of a token server (status {status})")]
    NotUnderstood { host: String, status: u16 },
}

impl From<Unheard> for Fault {
    fn from(unheard: Unheard) -> Self {
        let pause = match &unheard {
            Unheard::Trouble { pause, .. } => *pause,
            Unheard::Http(_) | Unheard::NotUnderstood { .. } => Duration::ZERO,
        };
        Self { pause, ..Self::later(unheard.to_string()) }
    }
}

/// A server's refusal: its error name and its description, as they came.
pub fn refused(server: &OAuth2, error: &str, description: Option<&str>) -> Fault {
    let name = name(error);
    let description = description.unwrap_or_default();
    if let Some(number) = aadsts(description) {
        if let Some((_, effect, words)) = AADSTS.iter().find(|(known, ..)| *known == number) {
            return effect.fault(&format!("{words} (AADSTS{number})"));
        }
        let fault = by_name(server, &name, description);
        return with_number(fault, number);
    }
    by_name(server, &name, description)
}

/// The same for a code that a browser brought, which is no sign-in yet that could have ended.
pub fn refused_code(server: &OAuth2, error: &str, description: Option<&str>) -> Fault {
    if error == "invalid_grant" && aadsts(description.unwrap_or_default()).is_none() {
        let words =
            "the token server does not take the code, which is good for a few minutes and once; begin again";
        return Dead.fault(&format!("{words} (invalid_grant)"));
    }
    refused(server, error, description)
}

/// There is no client id for this server.
pub fn no_client_id(server: &OAuth2) -> Fault {
    let place = server.registration.as_ref().map_or_else(String::new, |page| format!(" at {page}"));
    Fault::sign_in(format!(
        "no client_id is set for {}; register one{place} and set client_id in [oauth2.{}]",
        server.name, server.id
    ))
}

/// A value of the settings cannot be used.
pub(super) fn setting(server: &OAuth2, key: &str) -> Fault {
    Fault::sign_in(format!("{key} of [oauth2.{}] is no web address", server.id))
}

/// What a refusal does to the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It is dead: only a person who signs in gets another.
    Dead,
    /// Somebody has to change something first; then it may serve again.
    Cure,
    /// It passes by itself.
    Passes,
}
use Effect::{Cure, Dead, Passes};

impl Effect {
    fn fault(self, reason: &str) -> Fault {
        match self {
            Dead => Fault { dead: true, ..Fault::sign_in(reason) },
            Cure => Fault::sign_in(reason),
            Passes => Fault::later(reason),
        }
    }
}

/// Microsoft's numbers, as its list of AADSTS error codes explains them.
const AADSTS: &[(u32, Effect, &str)] = &[
    (16000, Dead, "several accounts are signed in there; sign in and choose the one of this mailbox"),
    (16003, Dead, "this account is not known to the organisation's directory; sign in with another one"),
    (
        50011,
        Cure,
        "the address the browser is sent back to is not registered for this client_id; add http://localhost to its platform \"Mobile and desktop applications\"",
    ),
    (
        50020,
        Dead,
        "this account belongs to another organisation, or is a personal one, which this tenant does not admit",
    ),
    (50034, Dead, "this account does not exist in this tenant; check tenant and address"),
    (
        50053,
        Cure,
        "the account is locked after too many wrong passwords, or the sign-in came from a blocked address",
    ),
    (50055, Dead, "the account's password has expired; change it at the provider and sign in again"),
    (50057, Cure, "the account was disabled by the organisation"),
    (50059, Cure, "the token server cannot tell the tenant; set tenant to the organisation's id or domain"),
    (50072, Dead, "the organisation demands that a second factor is set up; sign in again"),
    (50074, Dead, "a second factor is demanded; sign in again"),
    (
        50076,
        Dead,
        "a second factor is demanded, because of a changed rule of the organisation or another place; sign in again",
    ),
    (50078, Dead, "the proof by a second factor has expired; sign in again"),
    (50079, Dead, "the organisation demands that a second factor is set up; sign in again"),
    (50097, Cure, "the organisation admits known devices only, and this program cannot prove the device"),
    (50105, Cure, "the organisation's administrator has to assign this account to the app"),
    (50126, Dead, "the user name or the password was wrong"),
    (50132, Dead, "the sign-in ended, or the password was changed; sign in again"),
    (50133, Dead, "the password was changed or the sign-in has expired; sign in again"),
    (50158, Dead, "the organisation demands a further proof; sign in again"),
    (50173, Dead, "the password was changed or sign-ins were revoked; sign in again"),
    (50194, Cure, "this client_id is for one organisation only; set tenant to that organisation's id"),
    (50196, Passes, "the token server was asked too often and wants a pause"),
    (53000, Cure, "the organisation admits managed devices only (conditional access)"),
    (53001, Cure, "the organisation admits devices of its domain only (conditional access)"),
    (53003, Cure, "the organisation's conditional access blocks this sign-in; ask its administrator"),
    (54005, Dead, "the code was used already; sign in again"),
    (
        65001,
        Dead,
        "nobody has consented to this app's access to mail; sign in again, or let the organisation's administrator consent",
    ),
    (65004, Dead, "the consent was declined; sign in again and accept"),
    (70000, Dead, "the sign-in was revoked or has ended; sign in again"),
    (70008, Dead, "the sign-in has expired or was revoked; sign in again"),
    (70011, Cure, "the token server does not know what is asked for; check the scopes"),
    (70043, Dead, "the organisation demands that people sign in again after some time"),
    (90002, Cure, "there is no such tenant; check tenant"),
    (90033, Passes, "the token server has trouble"),
    (90055, Passes, "the token server was asked too often and wants a pause"),
    (90093, Dead, "only an administrator of the organisation may consent to this app"),
    (90094, Dead, "an administrator of the organisation has to consent to this app"),
    (500011, Cure, "the organisation has no Exchange Online that this app could reach"),
    (530003, Cure, "the organisation admits managed devices only"),
    (530034, Cure, "an administrator has blocked this app"),
    (650052, Cure, "the organisation has no subscription to the mail service this app asks for"),
    (
        650057,
        Cure,
        "this client_id has no permission for mail; add IMAP.AccessAsUser.All and SMTP.Send to it",
    ),
    (700003, Dead, "the device was removed from the organisation; sign in again"),
    (700016, Cure, "the tenant does not know this client_id; check client_id and tenant"),
    (700082, Dead, "the sign-in has expired because it was not used for 90 days; sign in again"),
    (
        700084,
        Dead,
        "the sign-in ends after 24 hours because this client_id is registered as a web page; register it as \"Mobile and desktop applications\" and sign in again",
    ),
    (7000112, Cure, "the client_id was disabled in this tenant"),
    (7000215, Cure, "the client_secret is wrong; it has to be the secret's value, not its id"),
    (
        7000218,
        Cure,
        "a client_secret is demanded; set \"Allow public client flows\" to yes for this client_id",
    ),
    (7000222, Cure, "the client_secret has expired; make a new one"),
];

/// Microsoft's number in a description, where there is one.
fn aadsts(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest.get(..digits).filter(|digits| digits.len() <= 8)?.parse().ok()
}

fn with_number(fault: Fault, number: u32) -> Fault {
    let why = match fault.why {
        NoToken::SignIn { reason } => NoToken::SignIn { reason: format!("{reason} (AADSTS{number})") },
        NoToken::Later { reason } => NoToken::Later { reason: format!("{reason} (AADSTS{number})") },
    };
    Fault { why, ..fault }
}

fn is_google(server: &OAuth2) -> bool {
    let host = server.token_endpoint.split('/').nth(2).unwrap_or_default();
    host == "googleapis.com" || host.ends_with(".googleapis.com") || server.id == "google"
}

fn by_name(server: &OAuth2, error: &str, description: &str) -> Fault {
    let (effect, words) = match error {
        "invalid_grant" if description.contains("invalid_rapt") => {
            (Dead, "the organisation demands that people sign in again after some time")
        }
        "invalid_grant" if is_google(server) => (
            Dead,
            "the sign-in was revoked, or has ended: Google ends it after a change of the password, and after 7 days \
             while the project's publishing status is \"Testing\" (set it to \"In production\"); sign in again",
        ),
        "invalid_grant" | "interaction_required" | "login_required" | "consent_required" => {
            (Dead, "the sign-in was revoked or has ended; sign in again")
        }
        "invalid_client" => {
            (Cure, "the token server does not know this client_id or does not take its client_secret")
        }
        "unauthorized_client" => (Cure, "this client_id may not sign in in this way"),
        "access_denied" => (Dead, "access was denied by the person who signed in or by an administrator"),
        "invalid_scope" => (Cure, "the token server does not grant what is asked for; check the scopes"),
        "admin_policy_enforced" | "org_internal" => {
            (Cure, "the organisation does not admit this app; ask its administrator")
        }
        "redirect_uri_mismatch" => {
            (Cure, "the address the browser is sent back to is not registered for this client_id")
        }
        "unsupported_grant_type" | "unsupported_response_type" => {
            (Cure, "the token server does not offer this kind of sign-in")
        }
        "expired_token" => (Dead, "the time to enter the code is over; sign in again"),
        "server_error" | "temporarily_unavailable" | "slow_down" | "authorization_pending" => {
            (Passes, "the token server has trouble")
        }
        _ => (Cure, "the token server refuses the request"),
    };
    match error {
        "" => effect.fault(words),
        error => effect.fault(&format!("{words} ({error})")),
    }
}

/// An error's name as it may be shown; empty where it is none.
fn name(error: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.');
    if error.len() <= 40 && error.bytes().all(plain) { error.to_owned() } else { String::new() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::oauth2::{Grant, Mechanism, Redirect};

    /// A server whose token endpoint is `url`.
    pub(in crate::auth::oauth) fn server(url: &str) -> OAuth2 {
        OAuth2 {
            id: "example".into(),
            name: "Example".into(),
            authorization_endpoint: Some("https://login.example.org/authorize?audience=mail".into()),
            token_endpoint: url.to_owned(),
            device_authorization_endpoint: None,
            scopes: vec!["imap".into(), "smtp".into()],
            extra_authorize: vec![("prompt".into(), "select_account".into())],
            login_hint: true,
            redirect: Redirect::Loopback { host: "127.0.0.1" },
            grant: Grant::User,
            mechanisms: vec![Mechanism::XOAuth2],
            client_id: Some("our-client".into()),
            client_secret: None,
            registration: Some("https://login.example.org/register".into()),
        }
    }

    fn told(error: &str, description: &str) -> Fault {
        refused(&server("https://login.example.org/token"), error, Some(description))
    }

    fn effect(fault: &Fault) -> Effect {
        match (&fault.why, fault.dead) {
            (NoToken::SignIn { .. }, true) => Dead,
            (NoToken::SignIn { .. }, false) => Cure,
            (NoToken::Later { .. }, _) => Passes,
        }
    }

    /// RFC 6749 §5.2: what a person has to do something about, and what passes.
    #[test]
    fn error_names_are_told_apart() {
        for (error, expected) in [
            ("invalid_grant", Dead),
            ("invalid_client", Cure),
            ("unauthorized_client", Cure),
            ("access_denied", Dead),
            ("temporarily_unavailable", Passes),
            ("server_error", Passes),
            ("something_new", Cure),
        ] {
            let fault = told(error, "");
            assert_eq!(effect(&fault), expected, "{error}");
            assert!(fault.to_string().ends_with(&format!("({error})")), "{fault}");
        }
    }

    #[test]
    fn microsofts_numbers_say_more_than_the_name() {
        let fault = told("invalid_grant", "AADSTS50076: Due to a configuration change ... Trace ID: 1");
        assert!(fault.to_string().contains("second factor") && fault.to_string().contains("(AADSTS50076)"));
        // Conditional access may let it through again elsewhere: not dead, though the name says so.
        assert_eq!(effect(&told("invalid_grant", "AADSTS53003: Access has been blocked")), Cure);
        assert_eq!(effect(&told("invalid_grant", "AADSTS90033: A transient error")), Passes);
        assert!(told("invalid_grant", "AADSTS700082: x").to_string().contains("90 days"));
        assert!(told("invalid_client", "AADSTS7000218: x").to_string().contains("public client flows"));
        let unknown = told("invalid_grant", "AADSTS99999999: x");
        assert!(
            unknown.dead && unknown.to_string().ends_with("(invalid_grant) (AADSTS99999999)"),
            "{unknown}"
        );
    }

    /// A code that came too late is no sign-in that was revoked.
    #[test]
    fn a_code_that_is_not_taken_is_told_apart_from_a_sign_in_that_ended() {
        let told = |description| {
            refused_code(&server("https://login.example.org/token"), "invalid_grant", description).to_string()
        };
        assert!(told(None).starts_with("the token server does not take the code"));
        assert!(told(Some("AADSTS70008: expired")).ends_with("(AADSTS70008)"));
    }

    #[test]
    fn googles_testing_mode_is_named_as_a_cause() {
        let google = server("https://oauth2.googleapis.com/token");
        let fault = refused(&google, "invalid_grant", Some("Token has been expired or revoked."));
        assert!(fault.dead && fault.to_string().contains("7 days"), "{fault}");
        let fault = refused(&google, "invalid_grant", Some("reauth related error invalid_rapt"));
        assert!(fault.to_string().contains("sign in again after some time"), "{fault}");
        assert!(!told("invalid_grant", "").to_string().contains("Google"));
    }

    /// A description may hold anything, a token among them; a name that is none may hold markup or line ends.
    #[test]
    fn nothing_of_an_answer_is_shown_but_names_and_numbers() {
        let long = "x".repeat(41);
        for hostile in ["<script>", "a\r\nb", "ein Wort", long.as_str()] {
            let fault = told(hostile, "access_token=abc");
            assert_eq!(fault.to_string(), "the token server refuses the request");
        }
        let fault = told("invalid_grant", "AADSTS<b>1</b> secret");
        assert!(!fault.to_string().contains("secret") && !fault.to_string().contains("<b>"), "{fault}");
        assert_eq!(aadsts("AADSTS123456789"), None);
    }

    #[test]
    fn a_missing_client_id_says_where_to_get_one() {
        let fault = no_client_id(&server("https://login.example.org/token")).to_string();
        let place =
            "register one at https://login.example.org/register and set client_id in [oauth2.example]";
        assert!(fault.ends_with(place), "{fault}");
    }
}
