//! `footbridge account sign-in` and what `check` says of it, with the program as it is run, a token server and a
//! provider of the test's own.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use oauth2::url::Url;
use support::PATIENCE;
use support::bridge::{Config, Program, command, signal};
use support::process::Log;
use support::provider::{Provider, plain, xoauth2};
use support::terminal;
use support::token_server::{Answer, Heard, TokenServer, json, refusal, tokens};
use support::wire::Wire;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ADDRESS: &str = "ana@example.org";
const ACCESS: &str = "CANARY-access";
const REFRESH: &str = "CANARY-refresh";
const PASSWORD: &str = "CANARY pass";

/// A provider that takes the one token and the one password.
async fn provider() -> Provider {
    Provider::start(&[xoauth2(ADDRESS, ACCESS), plain(ADDRESS, PASSWORD)]).await
}

/// An account of this provider that signs in to `tokens`.
fn oauth2(provider: &Provider, tokens: &TokenServer, more: &[&str]) -> Config {
    let urls = [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("device_authorization_endpoint", "/device"),
    ];
    let config = urls.iter().fold(provider.config(ADDRESS), |config, (key, path)| {
        config.setting(&format!("oauth2.test.{key} = \"{}\"", tokens.url(path)))
    });
    let config = more.iter().fold(config, |config, line| config.setting(&format!("oauth2.test.{line}")));
    config.setting("oauth2.test.scopes = [\"imap\", \"smtp\"]").account("oauth2 = \"test\"")
}

/// Gives the good tokens to whoever asks.
async fn giving() -> TokenServer {
    TokenServer::start(|_| tokens(ACCESS, REFRESH, 3600)).await
}

/// A configuration and a state folder of the test's own.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new(config: &Config) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("footbridge.toml"), config.text()).expect("written");
        Self { folder }
    }

    /// Of a provider that the table knows; nobody is asked.
    fn of_gmail() -> Self {
        let text = "[[account]]\naddress = \"ana@gmail.com\"\nauth = \"oauth2\"\n";
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("footbridge.toml"), text).expect("written");
        Self { folder }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(&self.folder.path().join("footbridge.toml"), &self.state());
        command.args(arguments);
        command
    }

    fn start(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(&[&["account", "sign-in", ADDRESS], arguments].concat()))
    }

    /// Runs it to its end with these lines on its standard input.
    async fn output(&self, arguments: &[&str], input: &'static str) -> (Option<i32>, String, String) {
        ended(self.command(arguments), input).await
    }

    fn kept(&self) -> bool {
        self.state().join("vault").exists()
    }

    /// Nothing that was not there before; a folder and its lock hold nothing.
    fn assert_nothing_kept(&self) {
        let files = std::fs::read_dir(self.state()).map(|files| {
            let names = files.map(|file| file.expect("an entry").file_name().into_string().expect("UTF-8"));
            names.filter(|name| name != "lock").collect::<Vec<_>>()
        });
        let files = files.unwrap_or_default();
        assert!(files.is_empty(), "{files:?}");
    }
}

/// The program, without a screen, a keychain or a credential of the developer's.
fn bare(config: &Path, state: &Path) -> Command {
    let mut command = command();
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "CREDENTIALS_DIRECTORY", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    command.args(["--log", "trace", "--config"]).arg(config).arg("--state").arg(state);
    command
}

async fn ended(mut command: Command, input: &'static str) -> (Option<i32>, String, String) {
    let output = tokio::task::spawn_blocking(move || {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("footbridge starts");
        // One that does not ask has closed it already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    });
    let Output { status, stdout, stderr } = output.await.expect("no panic");
    let texts = [stdout, stderr].map(|octets| String::from_utf8(octets).expect("UTF-8"));
    assert_silent(&texts);
    let [out, err] = texts;
    (status.code(), out, err)
}

fn assert_silent(texts: &[String]) {
    for text in texts {
        let encoded = plain(ADDRESS, PASSWORD);
        assert!(!text.contains("CANARY") && !text.contains(&encoded), "{text}");
    }
}

/// A sign-in that waits for its person.
struct Running {
    child: Child,
    out: Log,
    err: Log,
    lines: mpsc::Receiver<String>,
    errors: mpsc::Receiver<String>,
}

impl Running {
    fn of(mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("footbridge starts");
        let (out, err) = (Log::default(), Log::default());
        let lines = out.follow(child.stdout.take().expect("piped"));
        let errors = err.follow(child.stderr.take().expect("piped"));
        Self { child, out, err, lines, errors }
    }

    /// The first line that begins so.
    fn line(&self, beginning: &str) -> String {
        let next = || self.lines.recv_timeout(PATIENCE);
        std::iter::from_fn(|| next().ok())
            .find(|line| line.starts_with(beginning))
            .unwrap_or_else(|| panic!("{beginning} never came:\n{}{}", self.out.text(), self.err.text()))
    }

    /// Waits for an error that contains this.
    fn complaint(&self, words: &str) {
        let next = || self.errors.recv_timeout(PATIENCE);
        let found = std::iter::from_fn(|| next().ok()).any(|line| line.contains(words));
        assert!(found, "{words} never came:\n{}", self.err.text());
    }

    /// What the browser is sent with.
    fn asked(&self, tokens: &TokenServer) -> BTreeMap<String, String> {
        let url = Url::parse(&self.line(&tokens.url("/authorize"))).expect("a URL");
        url.query_pairs().into_owned().collect()
    }

    fn paste(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    async fn end(mut self) -> (Option<i32>, String, String) {
        tokio::task::spawn_blocking(move || {
            let code = self.child.wait().expect("it ends").code();
            // To the last line.
            while self.lines.recv_timeout(PATIENCE).is_ok() {}
            while self.errors.recv_timeout(PATIENCE).is_ok() {}
            let texts = [self.out.text(), self.err.text()];
            assert_silent(&texts);
            let [out, err] = texts;
            (code, out, err)
        })
        .await
        .expect("no panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The browser comes back; its page.
async fn browse(redirect: &str, query: &str) -> String {
    let url = Url::parse(redirect).expect("a URL");
    let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
    let mut browser = tokio::net::TcpStream::connect((host, port)).await.expect("it listens");
    let request = format!("GET /?{query} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    browser.write_all(request.as_bytes()).await.expect("it reads");
    let mut page = String::new();
    browser.read_to_string(&mut page).await.expect("a page");
    page
}

async fn pop3(program: &Program, password: &str) -> String {
    let mut app = Wire::connect(program.pop3()).await.expect("the bridge answers");
    app.expect("+OK").await;
    app.ask(&format!("USER {ADDRESS}"), "+OK").await;
    app.say(&format!("PASS {password}")).await;
    app.hear().await
}

/// The whole way of README.md: a mail program waits for a sign-in, the browser brings it, the mail program gets in.
#[tokio::test(flavor = "multi_thread")]
async fn from_the_browser_to_the_mail_program() {
    let (provider, server) = (provider().await, giving().await);
    let config = oauth2(&provider, &server, &["client_id = \"our-client\""]);
    let mut bridge = Program::start(&config, "trace");
    let run = |arguments: &[&str]| {
        let mut command = bare(&bridge.config_file(), &bridge.state());
        command.args(arguments);
        command
    };
    let (code, made, _) = ended(run(&["account", "password", ADDRESS, "--name", "copier"]), "").await;
    assert_eq!(code, Some(0));
    let made = made.trim_end();
    let waiting = pop3(&bridge, made).await;
    assert!(waiting.starts_with("-ERR [SYS/PERM]") && waiting.contains("account sign-in"), "{waiting}");
    let (code, told, _) = ended(run(&["check"]), "").await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("nobody has signed in to it yet; run: footbridge account sign-in"), "{told}");

    let signing = Running::of(run(&["account", "sign-in", "ANA@example.org", "--no-browser"]));
    let asked = signing.asked(&server);
    let field = |name: &str| asked.get(name).map_or("", String::as_str);
    assert_eq!((field("client_id"), field("scope")), ("our-client", "imap smtp"));
    assert_eq!((field("login_hint"), field("code_challenge_method")), (ADDRESS, "S256"));
    let arguments = std::fs::read(format!("/proc/{}/cmdline", signing.child.id())).expect("it runs");
    let wrong = browse(field("redirect_uri"), "code=CANARY-code&state=wrong").await;
    assert!(wrong.starts_with("HTTP/1.1 400") && !wrong.contains("CANARY"), "{wrong}");
    let page = browse(field("redirect_uri"), &format!("code=CANARY-code&state={}", field("state"))).await;
    assert!(page.contains("You can close this window") && !page.contains("CANARY"), "{page}");
    let (code, told, log) = signing.end().await;
    assert_eq!(code, Some(0), "{told}{log}");
    for words in [
        "signed in to test; that is kept in the vault",
        "IMAP login at localhost works",
        "submission login at localhost works",
        "mail programs go on with the bridge passwords they have",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let heard = server.heard();
    assert_eq!(
        (heard.len(), heard[0].field("code"), heard[0].field("grant_type")),
        (1, "CANARY-code", "authorization_code")
    );
    let verifier = heard[0].field("code_verifier");
    assert!(verifier.len() >= 43, "RFC 7636 §4.1");
    for secret in [verifier, "CANARY"] {
        assert!(!String::from_utf8_lossy(&arguments).contains(secret));
        assert!(!told.contains(secret) && !log.contains(secret));
        let vault = std::fs::read(bridge.state().join("vault")).expect("it is there");
        assert!(!String::from_utf8_lossy(&vault).contains(secret));
    }

    assert!(pop3(&bridge, made).await.starts_with("+OK"), "the bridge that runs knows of it");
    let (code, told, _) = ended(run(&["check"]), "").await;
    assert_eq!(code, Some(0), "{told}");
    for words in [
        "the vault is sealed with the key file",
        "signed in to test since 20",
        "the access token is good until 20",
        "it is good for imap smtp",
        "mail programs have 1 bridge password, last used 20",
        "moved to the folder Bin",
    ] {
        assert!(told.contains(words), "nothing of {words} in\n{told}");
    }
    assert_eq!(server.heard().len(), 1, "one that is fresh is not renewed");
    assert!(bridge.terminate().success());
    assert_silent(&[bridge.log()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_pasted_where_the_browser_is_elsewhere() {
    let (provider, server) = (provider().await, giving().await);
    // A redirect without a port: nothing on this machine listens for it.
    for more in
        [&["client_id = \"c\""][..], &["client_id = \"c\"", "redirect = \"https://ours.example/back\""]]
    {
        let home = Home::new(&oauth2(&provider, &server, more));
        let mut signing = home.start(&["--no-browser"]);
        let asked = signing.asked(&server);
        let (back, state) = (asked["redirect_uri"].clone(), asked["state"].clone());
        signing.paste("");
        signing.paste("https://example.org/");
        signing.complaint("this is not the whole address");
        signing.paste(&format!("{back}?code=CANARY-code&state=wrong"));
        signing.complaint("this address belongs to another sign-in");
        assert!(!home.kept());
        signing.paste(&format!("  {back}?state={state}&code=CANARY-code "));
        let (code, told, _) = signing.end().await;
        assert_eq!(code, Some(0), "{told}");
        let next =
            format!("now make a password for your mail program: footbridge account password {ADDRESS}");
        assert!(told.contains("IMAP login at localhost works") && told.contains(&next), "{told}");
        assert!(home.kept());
    }
}

/// RFC 6749 §4.1.2.1: the person says no; and RFC 6749 §5.2: the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_comes_to_nothing_keeps_nothing_and_says_why() {
    let provider = provider().await;
    for (query, words) in [
        ("error=access_denied&error_description=CANARY%3Cb%3E", "access was denied"),
        ("code=CANARY-code", "does not take the code"),
    ] {
        let server = TokenServer::start(|_| refusal("invalid_grant")).await;
        let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
        let signing = home.start(&["--no-browser"]);
        let asked = signing.asked(&server);
        let page = browse(&asked["redirect_uri"], &format!("{query}&state={}", asked["state"])).await;
        assert!(page.contains("came to nothing") && !page.contains("CANARY"), "{page}");
        let (code, _, told) = signing.end().await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(&format!("footbridge: {ADDRESS}: ")) && told.contains(words), "{told}");
        home.assert_nothing_kept();
    }
}

/// RFC 8628: with a code, asked for or because there is no browser here.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_code_that_is_typed_in_elsewhere() {
    let provider = provider().await;
    for option in [&["--device"][..], &[]] {
        let server = TokenServer::start(|heard: &Heard| match (heard.path.as_str(), heard.number) {
            ("/device", _) => device_codes(),
            (_, 1) => refusal("authorization_pending"),
            _ => tokens(ACCESS, REFRESH, 3600),
        })
        .await;
        let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
        let (code, told, _) = home.start(option).end().await;
        assert_eq!(code, Some(0), "{told}");
        assert!(
            told.contains("https://example.org/d") && told.contains("type in this code: ABCD-EFGH"),
            "{told}"
        );
        assert!(told.contains("IMAP login at localhost works") && home.kept(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_nobody_types_in_ends_in_words() {
    let provider = provider().await;
    let server = TokenServer::start(|heard: &Heard| match heard.path.as_str() {
        "/device" => device_codes(),
        _ => refusal("expired_token"),
    })
    .await;
    let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
    let (code, _, told) = home.start(&["--device"]).end().await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("the time to enter the code is over; sign in again (expired_token)"), "{told}");
    home.assert_nothing_kept();
}

fn device_codes() -> Answer {
    json(
        200,
        r#"{"device_code":"CANARY-device","user_code":"ABCD-EFGH","verification_uri":"https://example.org/d",
            "expires_in":900,"interval":1}"#,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_proven_and_kept_as_the_server_changed_it() {
    let (provider, server) = (provider().await, giving().await);
    let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
    let sign_in = ["account", "sign-in", ADDRESS, "--refresh-token"];
    let (code, told, _) = home.output(&sign_in, "CANARY-given\n").await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("kept in the vault") && told.contains("IMAP login at localhost works"), "{told}");
    let heard = server.heard();
    assert_eq!((heard.len(), heard[0].field("refresh_token")), (1, "CANARY-given"));

    let refusing = TokenServer::start(|_| refusal("invalid_grant")).await;
    let home = Home::new(&oauth2(&provider, &refusing, &["client_id = \"c\""]));
    for (input, words) in [("CANARY-dead\n", "revoked or has ended"), ("", "no refresh token was given")] {
        let (code, _, told) = home.output(&sign_in, input).await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(words), "{told}");
        home.assert_nothing_kept();
    }
}

/// RFC 6749 §4.4: one token is asked for to prove that it works, and nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_present_the_client_is_proven() {
    let (provider, server) = (provider().await, giving().await);
    let more = ["client_id = \"c\"", "client_secret = \"CANARY-secret\"", "grant = \"client_credentials\""];
    let home = Home::new(&oauth2(&provider, &server, &more));
    let (code, told, _) = home.output(&["account", "sign-in", ADDRESS], "").await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("submission login at localhost works"), "{told}");
    let heard = server.heard();
    assert_eq!((heard.len(), heard[0].field("grant_type")), (1, "client_credentials"));
    home.assert_nothing_kept();
    let (code, _, told) = home.output(&["account", "sign-in", ADDRESS, "--device"], "").await;
    assert_eq!(code, Some(2), "{told}");
    let (_, told, _) = home.output(&["check"], "").await;
    assert!(told.contains("the access token is good until") && !told.contains("signed in to"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_of_the_configuration_is_proven() {
    let (provider, server) = (provider().await, giving().await);
    let config = oauth2(&provider, &server, &["client_id = \"c\""]);
    let config =
        config.account("auth = \"oauth2\"").account("secret = { command = [\"echo\", \"CANARY-seed\"] }");
    let home = Home::new(&config);
    let (code, told, log) = home.output(&["account", "sign-in", ADDRESS], "").await;
    assert_eq!(code, Some(0), "{told}{log}");
    assert_eq!(server.heard()[0].field("refresh_token"), "CANARY-seed");
    let (code, _, told) = home.output(&["account", "sign-in", ADDRESS, "--refresh-token"], "x\n").await;
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("given by secret in [[account]]"), "{told}");
}

/// A damaged vault is no reason to lose a token that the server has just changed, nor is a token that proves bad one to
/// move the vault.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_of_the_configuration_sets_a_damaged_vault_aside_once_it_has_proven_good() {
    let provider = provider().await;
    let server = TokenServer::start(|heard| match heard.number {
        1 => refusal("invalid_grant"),
        _ => tokens(ACCESS, REFRESH, 3600),
    })
    .await;
    let config = oauth2(&provider, &server, &["client_id = \"c\""]);
    let config =
        config.account("auth = \"oauth2\"").account("secret = { command = [\"echo\", \"CANARY-seed\"] }");
    let home = Home::new(&config);
    let sign_in = ["account", "sign-in", ADDRESS];
    assert_eq!(home.output(&sign_in, "").await.0, Some(0));
    let vault = home.state().join("vault");
    let mut octets = std::fs::read(&vault).expect("there");
    *octets.last_mut().expect("some") ^= 1;
    std::fs::write(&vault, &octets).expect("written");

    let (code, _, told) = home.output(&sign_in, "").await;
    assert!(code == Some(1) && told.contains("nothing was changed"), "{told}");
    assert_eq!(std::fs::read(&vault).expect("left"), octets);
    let (code, told, log) = home.output(&sign_in, "").await;
    assert_eq!(code, Some(0), "{told}{log}");
    assert!(told.contains("vault.damaged; other accounts") && told.contains("IMAP login"), "{told}");
    assert_eq!(std::fs::read(home.state().join("vault.damaged")).expect("kept"), octets);
    let (_, told, _) = home.output(&["check"], "").await;
    assert!(told.contains("the vault is sealed") && told.contains("IMAP login"), "{told}");
    // Proven once, and kept: nobody asked again.
    assert_eq!(server.heard().len(), 3);
}

/// A program that gives a secret may ask its user for it, or be counted.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_gives_the_secret_runs_once_a_check() {
    let (provider, server) = (provider().await, giving().await);
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    let script = format!("echo run >> '{}'; echo CANARY-seed", runs.display());
    let secret = format!("secret = {{ command = [\"sh\", \"-c\", {script:?}] }}");
    let signing_in = oauth2(&provider, &server, &["client_id = \"c\""]).account("auth = \"oauth2\"");
    for config in [signing_in.account(&secret), provider.config(ADDRESS).account(&secret)] {
        let home = Home::new(&config);
        for command in [&["check"][..], &["check"]] {
            let _ = std::fs::remove_file(&runs);
            home.output(command, "").await;
            assert_eq!(std::fs::read_to_string(&runs).expect("it ran"), "run\n");
        }
    }
}

/// Revoked at the provider while the access token lives by its date: one sentence says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_sign_in_is_told_once() {
    let provider = provider().await;
    let server = TokenServer::start(|heard| match heard.number {
        0 => tokens("CANARY-revoked", REFRESH, 3600),
        _ => refusal("invalid_grant"),
    })
    .await;
    let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
    let (code, told, _) =
        home.output(&["account", "sign-in", ADDRESS, "--refresh-token"], "CANARY-given\n").await;
    assert_eq!(code, Some(1), "{told}");
    let (code, told, _) = home.output(&["check"], "").await;
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(told.matches("account sign-in").count(), 1, "{told}");
    assert!(told.contains("no submission login was tried"), "{told}");
}

/// What is shut is told once for the machine, and what is asked for is what helps.
#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_does_not_open_is_told_once_and_its_cure_is_no_sign_in_where_that_would_lose_more() {
    let (provider, server) = (provider().await, giving().await);
    let folder = tempfile::tempdir().expect("a folder");
    let passphrase = folder.path().join("passphrase");
    let write = |text: &str| {
        std::fs::write(&passphrase, text).expect("written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).expect("ours");
        }
    };
    write("CANARY-right\n");
    let config = oauth2(&provider, &server, &["client_id = \"c\""])
        .setting(&format!("vault.key = {{ passphrase_file = {:?} }}", passphrase.display().to_string()));
    let home = Home::new(&config);
    let sign_in = ["account", "sign-in", ADDRESS, "--refresh-token"];
    assert_eq!(home.output(&sign_in, "CANARY-given\n").await.0, Some(0));
    let listed = async || {
        let (_, table, _) = home.output(&["account", "list"], "").await;
        let (_, json, _) = home.output(&["account", "list", "--json"], "").await;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        (table, json[0]["sign_in"].clone())
    };
    let (table, json) = listed().await;
    assert!(table.contains("since ") && json["needed"] == false && json["fault"].is_null(), "{table}{json}");

    write("CANARY-wrong\n");
    let (table, json) = listed().await;
    assert!(table.contains("not known: ") && table.contains("bring back the right one"), "{table}");
    assert!(!table.contains("needed:") && json["needed"].is_null(), "{table}{json}");
    assert!(json["fault"].as_str().is_some_and(|fault| fault.contains("bring back the right one")), "{json}");
    let (code, told, _) = home.output(&["check"], "").await;
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(told.matches("bring back the right one").count(), 1, "{told}");
    assert!(told.contains("is in the vault, which does not open; so no login was tried"), "{told}");

    write("CANARY-right\n");
    let vault = home.state().join("vault");
    let mut octets = std::fs::read(&vault).expect("there");
    *octets.last_mut().expect("some") ^= 1;
    std::fs::write(&vault, &octets).expect("written");
    let (table, json) = listed().await;
    assert!(
        table.contains("needed: ") && table.contains("damaged") && json["needed"] == true,
        "{table}{json}"
    );
}

/// Whoever looks makes nothing: a folder that is not there holds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn looking_makes_no_state_folder() {
    let (provider, server) = (provider().await, giving().await);
    for config in [
        oauth2(&provider, &server, &["client_id = \"c\""]),
        provider.config(ADDRESS).account("secret = \"vault\""),
    ] {
        let home = Home::new(&config);
        for look in [&["account", "list"][..], &["check"], &["account", "password", ADDRESS, "--list"]] {
            let (_, told, log) = home.output(look, "").await;
            assert!(!log.contains("state folder"), "{told}{log}");
            assert!(!home.state().exists(), "{look:?}");
        }
        let (code, told, _) = home.output(&["account", "list"], "").await;
        assert!(code == Some(0) && told.contains("needed: "), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_client_id_it_is_said_where_to_get_one() {
    let (provider, server) = (provider().await, giving().await);
    let home = Home::of_gmail();
    let (code, out, told) = home.output(&["account", "sign-in", "ana@gmail.com"], "").await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{told}");
    for words in [
        "footbridge: ana@gmail.com: no client_id is set for Google; register one at https://console.cloud.google.com/",
        "footbridge.toml:\n\n  [oauth2.google]\n  client_id = \"...\"\n  client_secret = \"...\"\n",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let home = Home::new(&oauth2(&provider, &server, &[]));
    let (code, _, told) = home.output(&["account", "sign-in", ADDRESS], "").await;
    assert_eq!(code, Some(1));
    assert!(told.contains("[oauth2.test]\n  client_id = \"...\"\n\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_stored_nothing_is_signed_in() {
    let provider = provider().await;
    for (secret, words) in [
        ("\"app\"", "its mail programs send the provider's password"),
        ("{ command = [\"echo\", \"CANARY\"] }", "its password is read where secret in [[account]] says"),
    ] {
        let home = Home::new(&provider.config(ADDRESS).account(&format!("secret = {secret}")));
        let (code, told, _) = home.output(&["account", "sign-in", ADDRESS], "").await;
        assert_eq!(code, Some(0));
        assert!(told.lines().count() == 1 && told.contains(words), "{told}");
        assert!(!home.state().exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_proven_and_then_stored() {
    let provider = provider().await;
    let home = Home::new(&provider.config(ADDRESS).account("secret = \"vault\""));
    let sign_in = ["account", "sign-in", ADDRESS];
    let (code, told, _) = home.output(&sign_in, "CANARY wrong\n").await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("refused the password") && told.contains("nothing was stored"), "{told}");
    let (code, _, told) = home.output(&sign_in, "\n").await;
    assert!(code == Some(1) && told.contains("no password was given"), "{told}");
    home.assert_nothing_kept();
    let (_, told, _) = home.output(&["check"], "").await;
    assert!(told.contains("there is no password in the vault; run: footbridge account sign-in"), "{told}");

    let (code, told, _) = home.output(&sign_in, "CANARY pass\n").await;
    assert_eq!(code, Some(0), "{told}");
    for words in ["IMAP login", "submission login", "stored in the vault", "now make a password"] {
        assert!(told.contains(words), "{told}");
    }
    let (code, told, _) = home.output(&["check"], "").await;
    assert_eq!(code, Some(1), "no mail program gets in yet: {told}");
    for words in ["its password is in the vault", "IMAP login", "so no mail program gets in; run:"] {
        assert!(told.contains(words), "{told}");
    }
}

/// A vault that does not open any more is kept, and a new one begun; the others are told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_vault_is_set_aside_by_a_new_sign_in_only() {
    let provider = provider().await;
    let home = Home::new(&provider.config(ADDRESS).account("secret = \"vault\""));
    let sign_in = ["account", "sign-in", ADDRESS];
    assert_eq!(home.output(&sign_in, "CANARY pass\n").await.0, Some(0));
    let vault = home.state().join("vault");
    let mut octets = std::fs::read(&vault).expect("there");
    *octets.last_mut().expect("some") ^= 1;
    std::fs::write(&vault, &octets).expect("written");
    let (code, told, _) = home.output(&["check"], "").await;
    assert!(code == Some(1) && told.contains("the vault is damaged"), "{told}");
    assert_eq!(home.output(&sign_in, "CANARY wrong\n").await.0, Some(1));
    assert_eq!(std::fs::read(&vault).expect("left"), octets);
    let (code, told, _) = home.output(&sign_in, "CANARY pass\n").await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("vault.damaged; other accounts"), "{told}");
    assert_eq!(std::fs::read(home.state().join("vault.damaged")).expect("kept"), octets);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_it_leaves_nothing_behind() {
    let (provider, server) = (provider().await, giving().await);
    let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
    for name in ["INT", "TERM"] {
        let signing = home.start(&["--no-browser"]);
        let asked = signing.asked(&server);
        signal(name, signing.child.id());
        let (code, _, told) = signing.end().await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("stopped; nothing was changed"), "{told}");
        home.assert_nothing_kept();
        let port = Url::parse(&asked["redirect_uri"]).expect("a URL").port().expect("a port");
        assert!(Wire::connect(([127, 0, 0, 1], port).into()).await.is_err(), "nobody listens any more");
    }
    assert!(server.heard().is_empty());
}

/// On a terminal nothing of it is seen, and the terminal echoes again afterwards, also after Ctrl-C.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_not_shown() {
    let (provider, server) = (provider().await, giving().await);
    let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
    for (arguments, prompt, answer, code) in [
        (&["account", "sign-in", ADDRESS, "--refresh-token"][..], "(not shown): ", "^C", 1),
        (&["account", "sign-in", ADDRESS, "--refresh-token"], "(not shown): ", "CANARY-typed", 0),
    ] {
        let command = home.command(arguments);
        let seen = tokio::task::spawn_blocking(move || terminal::run(&command, prompt, answer));
        let seen = seen.await.expect("no panic");
        assert_eq!((seen.code, seen.echoes), (code, true), "{}", seen.screen);
        assert_silent(&[seen.screen]);
    }
    assert_eq!(server.heard()[0].field("refresh_token"), "CANARY-typed");
    let app = Home::new(&provider.config(ADDRESS));
    for (answer, code) in [("^C", 1), (PASSWORD, 0)] {
        let command = app.command(&["check"]);
        let prompt = "check without logging in): ";
        let seen = tokio::task::spawn_blocking(move || terminal::run(&command, prompt, answer));
        let seen = seen.await.expect("no panic");
        assert_eq!((seen.code, seen.echoes), (code, true), "{}", seen.screen);
        assert_silent(&[seen.screen]);
    }
}

/// The keys that README.md names.
#[tokio::test(flavor = "multi_thread")]
async fn check_as_json() {
    let (provider, server) = (provider().await, giving().await);
    let config = oauth2(&provider, &server, &["client_id = \"c\""]);
    let home = Home::new(&config.and("ben@example.org", &provider.imap));
    let sign_in = ["account", "sign-in", ADDRESS, "--refresh-token"];
    assert_eq!(home.output(&sign_in, "CANARY-given\n").await.0, Some(0));
    assert_eq!(home.output(&["account", "password", ADDRESS], "").await.0, Some(0));
    let (code, told, _) = home.output(&["check", "--json"], "").await;
    assert_eq!(code, Some(0), "{told}");
    let whole: serde_json::Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!((whole["ok"].as_bool(), whole["warnings"].as_array().map(Vec::len)), (Some(true), Some(0)));
    let sealed = &whole["findings"][0];
    assert_eq!((sealed["kind"].as_str(), sealed["ok"].as_bool()), (Some("vault"), Some(true)));
    let kinds = |at: usize| {
        let findings = whole["accounts"][at]["findings"].as_array().expect("a list");
        assert!(findings.iter().all(|one| one["ok"] == true && one["sentence"].is_string()), "{findings:?}");
        findings.iter().map(|one| one["kind"].as_str().expect("a word")).collect::<Vec<_>>()
    };
    assert_eq!(whole["accounts"][0]["address"], ADDRESS);
    assert_eq!(kinds(0), ["bridge_passwords", "sign_in", "token", "imap", "deletion", "smtp"]);
    assert_eq!(kinds(1), ["password", "imap"]);

    drop(server);
    let (code, told, _) = home.output(&["check", "--json", "ben@example.org"], "CANARY wrong\n").await;
    assert_eq!(code, Some(1), "{told}");
    let whole: serde_json::Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!((whole["ok"].as_bool(), whole["findings"].as_array().map(Vec::len)), (Some(false), Some(0)));
    assert_eq!(whole["accounts"][0]["ok"], false);
    assert_eq!(whole["accounts"][0]["findings"][0]["kind"], "imap");
}

/// A token that the mail server refuses is told with what to do; the sign-in stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_as_somebody_else_is_told() {
    let provider = provider().await;
    let server = TokenServer::start(|_| tokens("CANARY-of-another", REFRESH, 3600)).await;
    let home = Home::new(&oauth2(&provider, &server, &["client_id = \"c\""]));
    let (code, told, _) =
        home.output(&["account", "sign-in", ADDRESS, "--refresh-token"], "CANARY-given\n").await;
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains(
            "refused the sign-in: not this one [AUTHENTICATIONFAILED]; run: footbridge account sign-in"
        ),
        "{told}"
    );
    assert!(told.ends_with("no submission login was tried, since the same would be shown there\n"), "{told}");
    assert!(!told.contains("now make a password"), "{told}");
}
