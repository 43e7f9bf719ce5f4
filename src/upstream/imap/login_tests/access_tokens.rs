//! Access tokens (RFC 7628, XOAUTH2), shown, renewed and refused.

use super::*;

/// ana's token `token` as XOAUTH2 shows it.
fn xoauth2(token: &str) -> String {
    shown(Mechanism::XOAuth2, "ana", token)
}

fn shown(mechanism: Mechanism, username: &str, token: &str) -> String {
    let endpoint = account(&[], &[]).imap.endpoint;
    let message = sasl::bearer(mechanism, username, &endpoint, &Secret::new(token)).unwrap();
    sasl::encoded("", &message).to_string()
}

/// What Google says to a token that it does not take.
const CHALLENGE: &str =
    "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";

const BOTH: &[Mechanism] = &[Mechanism::XOAuth2, Mechanism::OAuthBearer];

/// The error of a login as ana with the tokens of this list, or `Ok`.
async fn check_tokens(tokens: &Arc<Listed>, mechanisms: &[Mechanism], scripts: &[String]) -> String {
    check_tokens_of(&Account { auth: tokens::by(mechanisms), ..account(&["ana"], &[]) }, tokens, scripts)
        .await
}

async fn check_tokens_of(account: &Account, tokens: &Arc<Listed>, scripts: &[String]) -> String {
    let scripts: Vec<&'static str> = scripts.iter().map(|script| &*script.clone().leak()).collect();
    match attempt_with(account, &tokens.credentials(), &scripts).await.unwrap_err() {
        UpstreamError::Refused { command: "test", text } => format!("Ok {text}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_by_the_first_mechanism_of_the_account_that_is_offered() {
    let greeting = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER AUTH=XOAUTH2] ready";
    for (mechanisms, name) in
        [(BOTH, "XOAUTH2"), (&[Mechanism::OAuthBearer, Mechanism::XOAuth2], "OAUTHBEARER")]
    {
        let tokens = Listed::new([Ok("t0ken")]);
        let message = shown(mechanisms[0], "ana", "t0ken");
        let script = format!(
            "{greeting}\nC: $a AUTHENTICATE {name} {message}\nS: * CAPABILITY IMAP4rev1 MOVE\nS: $a OK welcome"
        );
        let heard = check_tokens(&tokens, mechanisms, &[script]).await;
        assert_eq!(heard, r#"Ok Some(["IMAP4rev1", "MOVE"]) []"#);
        assert_eq!(tokens.renewals().len(), 0);
    }
    let tokens = Listed::new([Ok("t0ken")]);
    let script = "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2] ready".to_owned();
    let heard = check_tokens(&tokens, &[Mechanism::OAuthBearer], &[script]).await;
    assert!(
        heard.starts_with(
            r#"Refused { command: "AUTHENTICATE", text: "it offers no login with OAuth2 (OAUTHBEARER)"#
        ),
        "{heard}"
    );
}

#[tokio::test]
async fn a_token_goes_in_two_lines_where_one_would_not_do() {
    // No SASL-IR (RFC 4959); and Exchange takes no line of 10,000 octets.
    let long: &str = "x".repeat(9000).leak();
    for (ir, token) in [("", "t0ken"), (" SASL-IR", long)] {
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1{ir} AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2
            S: +
            C: {}
            S: $a OK [CAPABILITY IMAP4rev1] welcome",
            xoauth2(token)
        );
        let heard = check_tokens(&Listed::new([Ok(token)]), BOTH, &[script]).await;
        assert!(heard.starts_with("Ok"), "{heard}");
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_once_and_nobody_hears_of_it_rfc_7628_section_3_2_3() {
    let (old, new) = (xoauth2("old"), xoauth2("new"));
    let again = format!(
        "C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2
        S: $b OK done
        C: $c AUTHENTICATE XOAUTH2 {new}
        S: $c OK [CAPABILITY IMAP4rev1] welcome"
    );
    let fresh = format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
        C: $a AUTHENTICATE XOAUTH2 {new}
        S: $a OK [CAPABILITY IMAP4rev1] welcome"
    );
    let refused = |end: &str| {
        format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {old}
            S: + {CHALLENGE}
            C: \n{end}"
        )
    };
    for scripts in [
        // The connection stays, says goodbye, hangs up with NO, hangs up without.
        vec![refused(&format!("S: $a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\n{again}"))],
        vec![refused("S: * BYE wrong\nS: $a NO AUTHENTICATE failed.\nEOF"), fresh.clone()],
        vec![refused("S: $a NO AUTHENTICATE failed.\nEOF"), fresh.clone()],
        vec![refused("EOF"), fresh.clone()],
    ] {
        let tokens = Listed::new([Ok("old"), Ok("new")]);
        let heard = check_tokens(&tokens, BOTH, &scripts).await;
        assert!(heard.starts_with("Ok"), "{heard}\n{scripts:?}");
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_the_end_of_it_and_the_reason_is_told() {
    for mechanism in BOTH {
        let answer = match mechanism {
            Mechanism::XOAuth2 => "",
            Mechanism::OAuthBearer => "AQ==", // RFC 7628 §3.2.3
        };
        let name = sasl::name(*mechanism);
        let (old, new) = (shown(*mechanism, "ana", "old"), shown(*mechanism, "ana", "new"));
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1 AUTH={name} SASL-IR] ready
            C: $a AUTHENTICATE {name} {old}
            S: + {CHALLENGE}
            C: {answer}
            S: $a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)
            C: $b CAPABILITY
            S: * CAPABILITY IMAP4rev1 AUTH={name}
            S: $b OK done
            C: $c AUTHENTICATE {name}
            S: + okay
            C: {new}
            S: + {CHALLENGE}
            C: {answer}
            S: $c NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
        );
        let tokens = Listed::new([Ok("old"), Ok("new"), Ok("third")]);
        let heard = check_tokens(&tokens, BOTH, &[script]).await;
        let text = "Invalid credentials (Failure) [AUTHENTICATIONFAILED] \
                    (status 400, scope https://mail.google.com/, schemes Bearer)";
        assert_eq!(heard, format!("TokenRefused {{ text: \"{text}\" }}"));
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

#[tokio::test]
async fn user_names_are_tried_before_a_token_is_renewed() {
    // A guess at the name that is wrong must not cost a request to the token server at each login.
    let account = Account { auth: tokens::by(BOTH), ..account(&["ana@example.org", "ana"], &[]) };
    let script = format!(
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
        C: $a AUTHENTICATE XOAUTH2 {}
        S: $a NO AUTHENTICATE failed.
        C: $b CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2
        S: $b OK done
        C: $c AUTHENTICATE XOAUTH2 {}
        S: $c OK [CAPABILITY IMAP4rev1] welcome",
        shown(Mechanism::XOAuth2, "ana@example.org", "t0ken"),
        xoauth2("t0ken")
    );
    let tokens = Listed::new([Ok("t0ken")]);
    let heard = check_tokens_of(&account, &tokens, &[script]).await;
    assert!(heard.starts_with("Ok") && tokens.renewals().is_empty(), "{heard}");
}

#[tokio::test]
async fn a_server_that_cannot_judge_now_costs_no_token() {
    let challenge = sasl::encoded("", br#"{"status":"503"}"#);
    for answer in [
        format!("S: + {}\nC: \nS: $a NO failed", *challenge),
        "S: $a NO [UNAVAILABLE] later".to_owned(),
        "S: $a NO [ALERT] Too many simultaneous connections. (Failure)".to_owned(),
    ] {
        let tokens = Listed::new([Ok("old"), Ok("new")]);
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {}
            {answer}",
            xoauth2("old")
        );
        let heard = check_tokens(&tokens, BOTH, &[script]).await;
        assert!(heard.starts_with("Unavailable"), "{answer}: {heard}");
        assert_eq!(tokens.renewals().len(), 0);
    }
}

#[tokio::test]
async fn without_a_token_no_connection_is_made_and_without_another_one_no_second_try() {
    for (fault, kind) in [(tokens::signed_out(), "NoToken(SignIn"), (tokens::silent(), "NoToken(Later")] {
        let heard = check_tokens(&Listed::new([Err(fault.clone())]), BOTH, &[]).await;
        assert!(heard.starts_with(kind), "{heard}");
        let script = format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {}
            S: $a NO AUTHENTICATE failed.",
            xoauth2("old")
        );
        let tokens = Listed::new([Ok("old"), Err(fault)]);
        let heard = check_tokens(&tokens, BOTH, &[script]).await;
        assert!(heard.starts_with(kind), "{heard}");
        assert_eq!(tokens.renewals(), ["old"]);
    }
}

#[tokio::test]
async fn a_user_name_that_could_write_fields_goes_nowhere() {
    for name in ["ana\x01auth=Bearer x", "ana\r\nx LOGOUT", "ana\n", "ana\0"] {
        let account = Account { auth: tokens::by(BOTH), ..account(&["ana", name], &[]) };
        let heard = check_tokens_of(&account, &Listed::new([Ok("t0ken")]), &[]).await;
        assert!(heard.starts_with("LoginRefused"), "{name:?}: {heard}");
        assert!(
            matches!(attempt(&account, "x", &[]).await, Err(UpstreamError::LoginRefused { .. })),
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn a_login_that_is_taken_with_no_mailbox_behind_it_is_found_out_at_once() {
    // Exchange, in the flight with the capabilities; not asked where a server is not known for it.
    let account = Account { auth: tokens::by(BOTH), ..account(&["ana"], &[Quirk::LateAuthFailure]) };
    let login = |capabilities: &str, end: &str| {
        format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
            C: $a AUTHENTICATE XOAUTH2 {}
            S: $a OK {capabilities}AUTHENTICATE completed.
            {end}",
            xoauth2("t0ken")
        )
    };
    let asked = "C: $b CAPABILITY
            C: $c NAMESPACE
            S: * CAPABILITY IMAP4 IMAP4rev1 MOVE
            S: $b OK CAPABILITY completed.";
    let refused = "S: $c BAD User is authenticated but not connected.";
    let tokens = Listed::new([Ok("t0ken")]);
    for script in [
        login("", &format!("{asked}\n{refused}")),
        login(
            "[CAPABILITY IMAP4rev1] ",
            "C: $c NAMESPACE\nS: $c BAD User is authenticated but not connected.",
        ),
        login("", &format!("{asked}\nS: $c BAD Command Error. 12")),
    ] {
        let heard = check_tokens_of(&account, &tokens, &[script]).await;
        assert!(heard.starts_with("NotServed"), "{heard}");
    }
    let fine = format!("{asked}\nS: * NAMESPACE ((\"\" \"/\")) NIL NIL\nS: $c OK NAMESPACE completed.");
    let heard = check_tokens_of(&account, &tokens, &[login("", &fine)]).await;
    assert_eq!(heard, r#"Ok Some(["IMAP4", "IMAP4rev1", "MOVE"]) []"#);
    let busy =
        format!("{asked}\nS: $c BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds");
    let heard = check_tokens_of(&account, &tokens, &[login("", &busy)]).await;
    assert!(heard.starts_with("Unavailable"), "{heard}");
    assert_eq!(tokens.renewals().len(), 0, "another token would not help");
}
