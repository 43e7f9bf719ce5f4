//! The gate by itself, with stores of each test's own.

use super::*;
use crate::auth::Passwords;
use crate::auth::oauth::Grants;
use crate::auth::vault::{KeptGrant, Vault};
use crate::config;
use crate::mail::KeyChoice;

fn account(secret: &str) -> Arc<Account> {
    let text = format!("[[account]]\naddress = \"ana@gmx.net\"\nsecret = {secret}\n");
    let settings = config::parse(&text, std::path::Path::new("test.toml")).expect("a good configuration");
    settings.accounts.first().cloned().expect("an account")
}

/// A variable that cargo sets for every test.
const ENV: &str = "{ env = \"CARGO_PKG_NAME\" }";

async fn offer(gate: &Gate, account: &Account, text: &str) -> Result<Pass, Denied> {
    gate.admit(account, &Secret::new(text), Purpose::Reading, &Standing::default()).await
}

#[tokio::test(start_paused = true)]
async fn the_apps_password_goes_upstream_until_upstream_refuses_it() {
    let (gate, account) = (Gate::default(), account("\"app\""));
    let pass = offer(&gate, &account, "old").await.expect("unknown");
    gate.refused(&pass);
    assert!(
        matches!(offer(&gate, &account, "old").await, Err(Denied::Resting { wait }) if wait.as_secs() == 60)
    );
    let pass = offer(&gate, &account, "new").await.expect("unknown");
    gate.accepted(&pass);
    assert!(offer(&gate, &account, "new").await.is_ok());
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(offer(&gate, &account, "old").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_crowd_with_one_wrong_password_shows_it_once() {
    let (gate, account) = (Arc::new(Gate::default()), account("\"app\""));
    let first = offer(&gate, &account, "wrong").await.expect("unknown");
    let crowd = (0..20).map(|_| {
        let (gate, account) = (gate.clone(), account.clone());
        tokio::spawn(async move { offer(&gate, &account, "wrong").await })
    });
    let crowd = crowd.collect::<Vec<_>>();
    tokio::task::yield_now().await;
    gate.refused(&first);
    for one in crowd {
        assert!(matches!(one.await.expect("no panic"), Err(Denied::Resting { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_upstream_holds_up_nobody_for_ever() {
    let (gate, account) = (Gate::default(), account("\"app\""));
    let _first = offer(&gate, &account, "x").await.expect("unknown");
    assert!(offer(&gate, &account, "x").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_local_secret_never_goes_upstream() {
    let (gate, account) = (Gate::default(), account(ENV));
    for guess in ["", "footbridg", "footbridge ", "Footbridge"] {
        assert!(matches!(offer(&gate, &account, guess).await, Err(Denied::Wrong)), "{guess:?}");
    }
    assert!(offer(&gate, &account, "footbridge").await.is_ok());
}

/// Whose connection it is then keeps its seat, also while upstream is asked.
#[tokio::test(start_paused = true)]
async fn a_connection_is_right_as_soon_as_its_password_is_found_right() {
    let reached = |gate: Arc<Gate>, account: Arc<Account>, text: &'static str| async move {
        let standing = Standing::default();
        let pass = gate.admit(&account, &Secret::new(text), Purpose::Reading, &standing).await;
        (pass, standing.reached())
    };
    let (gate, stored) = (Arc::new(Gate::default()), account(ENV));
    assert_eq!(reached(gate.clone(), stored.clone(), "wrong").await.1, Reached::Silent);
    let (pass, right) = reached(gate.clone(), stored.clone(), "footbridge").await;
    assert_eq!(right, Reached::Right);
    gate.refused(&pass.expect("equal"));
    let (denied, right) = reached(gate, stored, "footbridge").await;
    assert!(denied.is_err() && right == Reached::Right, "upstream's refusal is no guess of the app's");

    let (gate, chosen) = (Arc::new(Gate::default()), account("\"app\""));
    let (pass, unknown) = reached(gate.clone(), chosen.clone(), "x").await;
    assert_eq!(unknown, Reached::Shown, "upstream judges");
    gate.accepted(&pass.expect("unknown"));
    assert_eq!(reached(gate, chosen, "x").await.1, Reached::Right);
}

#[tokio::test(start_paused = true)]
async fn a_stored_password_that_upstream_refused_rests_too() {
    let (gate, account) = (Gate::default(), account(ENV));
    let pass = offer(&gate, &account, "footbridge").await.expect("equal");
    gate.refused(&pass);
    assert!(matches!(offer(&gate, &account, "footbridge").await, Err(Denied::Refused { .. })));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(offer(&gate, &account, "footbridge").await.is_ok());
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_that_fails_is_unreadable() {
    let account =
        Account { secret: SecretSource::Command(Arc::new(["false".to_owned()])), ..(*account(ENV)).clone() };
    let denied = offer(&Gate::default(), &account, "x").await.expect_err("no secret");
    assert!(matches!(denied, Denied::Unreadable { .. }), "{denied}");
}

/// Guesses start no program each, and the right one waits for none of theirs.
#[cfg(unix)]
#[tokio::test]
async fn guesses_at_a_commands_secret_run_it_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    let script = format!("echo run >> '{}'; echo right", runs.display());
    let command = ["sh".to_owned(), "-c".to_owned(), script];
    let account = Account { secret: SecretSource::Command(Arc::new(command)), ..(*account(ENV)).clone() };
    let gate = Gate::default();
    for _ in 0..100 {
        assert!(matches!(offer(&gate, &account, "wrong").await, Err(Denied::Wrong)));
        assert_eq!(shown(&offer(&gate, &account, "right").await.expect("right")), b"right");
    }
    // Unless this machine stood still for five seconds.
    let runs = std::fs::read_to_string(runs).expect("it ran").lines().count();
    assert!(runs < 10, "{runs}");
}

/// A gate, and the bridge passwords that a command makes beside it.
fn with_state() -> (tempfile::TempDir, Gate, Passwords) {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().join("state");
    let gate = Gate::new(Stores::new(Some(&path)));
    (state, gate, Passwords::new(Some(&path)))
}

fn shown(pass: &Pass) -> &[u8] {
    match &pass.credentials {
        Credentials::Password(secret) => secret.expose(),
        Credentials::Tokens(_) => panic!("{pass:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_stored_secret_opens_until_there_is_a_bridge_password_and_stays_what_upstream_is_shown() {
    let ((_state, gate, passwords), account) = (with_state(), account(ENV));
    assert_eq!(shown(&offer(&gate, &account, "footbridge").await.expect("equal")), b"footbridge");
    let made = passwords.make("ANA@gmx.net", None).expect("made").password;
    assert!(matches!(offer(&gate, &account, "footbridge").await, Err(Denied::Wrong)));
    let pass = gate.admit(&account, &made, Purpose::Reading, &Standing::default()).await.expect("right");
    assert_eq!(shown(&pass), b"footbridge");
    passwords.revoke("ana@gmx.net", "mail app").expect("there");
    assert!(matches!(
        gate.admit(&account, &made, Purpose::Reading, &Standing::default()).await,
        Err(Denied::Wrong)
    ));
    assert!(offer(&gate, &account, "footbridge").await.is_ok());
}

/// What apps may not know opens nothing: neither a secret in the vault nor a refresh token.
#[tokio::test(start_paused = true)]
async fn an_account_that_needs_a_bridge_password_and_has_none_is_closed() {
    let (_state, gate, passwords) = with_state();
    let vault = Account { secret: SecretSource::Vault, ..(*account(ENV)).clone() };
    for account in [vault, with_oauth2()] {
        let denied = offer(&gate, &account, "footbridge").await.expect_err("closed");
        assert!(matches!(denied, Denied::NoPassword { .. }));
        assert!(denied.to_string().ends_with("run: footbridge account password ana@gmx.net"), "{denied}");
    }
    passwords.make("ana@gmx.net", None).expect("made");
    assert!(matches!(offer(&gate, &with_oauth2(), "footbridge").await, Err(Denied::Wrong)));
}

fn with_oauth2() -> Account {
    let server = crate::mail::OAuth2 {
        id: "test".into(),
        name: "Test".into(),
        authorization_endpoint: None,
        token_endpoint: "http://127.0.0.1:9/".into(),
        device_authorization_endpoint: None,
        scopes: Vec::new(),
        extra_authorize: Vec::new(),
        login_hint: false,
        redirect: crate::mail::oauth2::Redirect::Loopback { host: "127.0.0.1" },
        grant: crate::mail::oauth2::Grant::User,
        mechanisms: vec![crate::mail::oauth2::Mechanism::XOAuth2],
        client_id: None,
        client_secret: None,
        registration: None,
    };
    Account { auth: Auth::OAuth2(Arc::new(server)), ..(*account(ENV)).clone() }
}

#[tokio::test(start_paused = true)]
async fn bridge_passwords_that_cannot_be_read_let_nobody_in() {
    let ((state, gate, passwords), account) = (with_state(), account(ENV));
    let made = passwords.make("ana@gmx.net", None).expect("made").password;
    std::fs::write(state.path().join("state/bridge-passwords"), "{").expect("written");
    for offered in [made, Secret::new("footbridge")] {
        let denied =
            gate.admit(&account, &offered, Purpose::Reading, &Standing::default()).await.expect_err("closed");
        assert!(matches!(&denied, Denied::Closed { .. }), "{denied}");
    }
}

/// A wrong one asks no command, which could be slow, costly, or a window that asks the user.
#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_wrong_bridge_password_reads_no_secret() {
    let (state, gate, passwords) = with_state();
    let mark = state.path().join("asked");
    let touch = ["touch", mark.to_str().expect("UTF-8")].map(str::to_owned);
    let account = Account { secret: SecretSource::Command(Arc::new(touch)), ..(*account(ENV)).clone() };
    let made = passwords.make("ana@gmx.net", None).expect("made").password;
    assert!(matches!(offer(&gate, &account, "x").await, Err(Denied::Wrong)));
    assert!(!mark.exists());
    tokio::time::resume(); // A program takes its own time.
    assert!(matches!(
        gate.admit(&account, &made, Purpose::Reading, &Standing::default()).await,
        Err(Denied::Unreadable { .. }) // It prints nothing.
    ));
    assert!(mark.exists());
}

/// An account of this auth whose secret is in the vault, its gate, and the vault as a command sees it.
fn with_vault(auth: Auth) -> (tempfile::TempDir, Gate, Arc<Account>, Arc<Vault>, Secret) {
    let state = tempfile::tempdir().expect("a folder");
    let path = state.path().join("state");
    let account = Account { secret: SecretSource::Vault, auth, ..(*account(ENV)).clone() };
    let account = Arc::new(account);
    let trust = crate::net::tls::trust(crate::net::tls::Roots::Bundled, &[]).expect("roots");
    let connector = crate::net::Connector::new(trust.config, crate::mail::Deadlines::default());
    // A key file: no test asks the keychain of whoever runs it.
    let stores = Stores::open(Some(&path), KeyChoice::File, [&account], &connector).expect("a folder");
    let right = stores.passwords.make(&account.address, None).expect("made").password;
    let vault = Vault::new(crate::store::Folder::open(&path).expect("there"), KeyChoice::File);
    (state, Gate::new(stores), account, Arc::new(vault), right)
}

#[tokio::test(start_paused = true)]
async fn a_password_in_the_vault_is_shown_upstream_once_it_is_there() {
    let (_state, gate, account, vault, right) = with_vault(Auth::Password);
    let denied =
        gate.admit(&account, &right, Purpose::Reading, &Standing::default()).await.expect_err("none yet");
    assert!(matches!(denied, Denied::SignIn { .. }), "{denied}");
    assert!(denied.to_string().ends_with("run: footbridge account sign-in ana@gmx.net"), "{denied}");
    let put = |text: &'static str| {
        vault.change("ANA@gmx.net", |entry| entry.password = Some(Secret::new(text))).expect("written");
    };
    put("first");
    let pass = gate.admit(&account, &right, Purpose::Reading, &Standing::default()).await.expect("there");
    assert_eq!(shown(&pass), b"first");
    assert!(matches!(offer(&gate, &account, "first").await, Err(Denied::Wrong)), "apps do not know it");
    gate.refused(&pass);
    assert!(matches!(
        gate.admit(&account, &right, Purpose::Reading, &Standing::default()).await,
        Err(Denied::Refused { .. })
    ));
    put("second");
    let pass =
        gate.admit(&account, &right, Purpose::Reading, &Standing::default()).await.expect("another one");
    assert_eq!(shown(&pass), b"second");
}

/// A login may have what an earlier one left only where both show upstream the same, and upstream took it last.
#[tokio::test(start_paused = true)]
async fn what_a_login_proves() {
    let (_state, gate, account, vault, right) = with_vault(Auth::Password);
    let standing = Standing::default();
    let admit = || gate.admit(&account, &right, Purpose::Reading, &standing);
    let put = |text: &'static str| {
        vault.change("ANA@gmx.net", |entry| entry.password = Some(Secret::new(text))).expect("written");
    };
    put("first");
    let first = admit().await.expect("there");
    assert!(!first.proof.repeats(&first.proof), "upstream has not taken it yet");
    gate.accepted(&first);
    assert!(admit().await.expect("there").proof.repeats(&first.proof));
    put("second");
    let second = admit().await.expect("there");
    gate.accepted(&second);
    let again = admit().await.expect("there").proof;
    assert!(again.repeats(&second.proof) && !again.repeats(&first.proof));
    gate.refused(&second);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(!admit().await.expect("there").proof.repeats(&second.proof));
}

#[tokio::test(start_paused = true)]
async fn a_new_sign_in_proves_something_else() {
    let (_state, gate, account, vault, right) = with_vault(with_oauth2().auth);
    let standing = Standing::default();
    let admit = || gate.admit(&account, &right, Purpose::Reading, &standing);
    sign_in(&vault, "one", 1000);
    let first = admit().await.expect("signed in");
    gate.accepted(&first);
    sign_in(&vault, "another of the same sign-in", 1000);
    assert!(admit().await.expect("signed in").proof.repeats(&first.proof));
    sign_in(&vault, "two", 2000);
    let second = admit().await.expect("signed in");
    gate.accepted(&second);
    let again = admit().await.expect("signed in").proof;
    assert!(again.repeats(&second.proof) && !again.repeats(&first.proof));
}

/// What a sign-in at this second leaves: a token for an hour.
fn sign_in(vault: &Arc<Vault>, token: &str, signed_in_at: u64) {
    let mut grant = crate::auth::oauth::Grant::from_seed(Secret::new("refresh"), "our-client");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    grant.access_token = Some(Secret::new(token));
    (grant.obtained_at, grant.expires_at, grant.signed_in_at) = (now, now + 3600, signed_in_at);
    KeptGrant::new(vault.clone(), "ana@gmx.net").save(&grant).expect("written");
}

async fn token(pass: &Pass) -> Vec<u8> {
    match pass.credentials.current().await.expect("a token") {
        crate::mail::Credential::Token(token) => token.expose().to_vec(),
        credential => panic!("{credential:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_needs_a_sign_in_says_so_at_once_and_notices_one() {
    let (_state, gate, account, vault, right) = with_vault(with_oauth2().auth);
    for _ in 0..3 {
        let start = Instant::now();
        let denied = gate
            .admit(&account, &right, Purpose::Reading, &Standing::default())
            .await
            .expect_err("nobody signed in");
        assert!(matches!(denied, Denied::SignIn { .. }), "{denied}");
        assert!(denied.to_string().ends_with("run: footbridge account sign-in ana@gmx.net"), "{denied}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    assert!(matches!(offer(&gate, &account, "x").await, Err(Denied::Wrong)), "told to nobody else");
    sign_in(&vault, "one", 1000);
    let pass = gate.admit(&account, &right, Purpose::Reading, &Standing::default()).await.expect("signed in");
    assert_eq!(token(&pass).await, b"one");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_upstream_refused_rests_until_somebody_signs_in_anew() {
    let (_state, gate, account, vault, right) = with_vault(with_oauth2().auth);
    sign_in(&vault, "one", 1000);
    let standing = Standing::default();
    let admit = |purpose| gate.admit(&account, &right, purpose, &standing);
    for minutes in [1, 2, 4] {
        let pass = admit(Purpose::Reading).await.expect("shown");
        gate.refused(&pass);
        let denied = admit(Purpose::Reading).await.expect_err("rests");
        assert!(matches!(denied, Denied::TokenRefused { .. }), "{denied}");
        assert!(denied.to_string().contains("run: footbridge account sign-in ana@gmx.net"), "{denied}");
        tokio::time::advance(Duration::from_secs(60 * minutes - 1)).await;
        assert!(admit(Purpose::Reading).await.is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    let pass = admit(Purpose::Reading).await.expect("shown");
    gate.refused(&pass);
    let pass = admit(Purpose::Submission).await.expect("another matter");
    gate.accepted(&pass);
    sign_in(&vault, "two", 2000);
    let pass = admit(Purpose::Reading).await.expect("another sign-in");
    assert_eq!(token(&pass).await, b"two");
}

#[test]
fn accounts_that_keep_something_want_a_place_for_it() {
    let trust = crate::net::tls::trust(crate::net::tls::Roots::Bundled, &[]).expect("roots");
    let connector = crate::net::Connector::new(trust.config, crate::mail::Deadlines::default());
    let open = |account: Account| {
        Stores::open(None, KeyChoice::File, [&Arc::new(account)], &connector)
            .map_err(|error| error.to_string())
    };
    for account in [with_oauth2(), Account { secret: SecretSource::Vault, ..(*account(ENV)).clone() }] {
        let told = open(account).expect_err("no place");
        assert!(told.starts_with("ana@gmx.net: ") && told.contains("--state DIR"), "{told}");
    }
    for secret in ["\"app\"", ENV] {
        assert!(open((*account(secret)).clone()).is_ok(), "{secret}");
    }
}

#[test]
fn debug_prints_no_secret() {
    let pass = Pass {
        credentials: Credentials::Password(Secret::new("CANARY")),
        proof: Proof::new(Verdicts::new().mark(&Secret::new("CANARY")), true),
        answered_by: None,
        purpose: Purpose::Reading,
        judged: Secret::new("CANARY"),
        _trial: None,
        _shown: None,
    };
    assert!(!format!("{pass:?}{:?}", Gate::default()).contains("CANARY"));
}
