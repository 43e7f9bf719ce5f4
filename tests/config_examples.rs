//! The example file is right and whole; what is wrong in a configuration is said with line, key and cure, all faults
//! of value at once, and never with a secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use footbridge::config::{self, Settings};
use footbridge::mail::account::{Auth, BareNewline, Delete, Endpoint, SecretSource, Security, Seen};
use footbridge::mail::oauth2::{Grant, Mechanism, Redirect};
use footbridge::mail::{KeyChoice, OAuth2};
use footbridge::provider::{Kind, Provider, Table};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn example() -> String {
    std::fs::read_to_string(folder().join("footbridge.toml")).expect("the example")
}

fn parse(text: &str) -> Result<Settings, Vec<String>> {
    config::parse(text, Path::new("test.toml")).map_err(|error| error.faults)
}

fn faults(text: &str) -> Vec<String> {
    parse(text).expect_err(text)
}

fn with_account(rest: &str) -> String {
    format!("[[account]]\naddress = \"ana@gmx.net\"\n{rest}\n")
}

#[test]
fn every_example_loads() {
    let mut loaded = 0;
    for entry in std::fs::read_dir(folder()).expect("config/") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name.starts_with("footbridge") && name.ends_with(".toml") {
            config::load(&path).unwrap_or_else(|error| panic!("{error}"));
            loaded += 1;
        }
    }
    assert!(loaded > 0);
}

#[test]
fn the_example_shows_the_defaults() {
    let (shown, bare) = (parse(&example()).expect("the example"), parse(&with_account("")).expect("bare"));
    assert_eq!(shown.listen, bare.listen);
    assert_eq!((shown.cache_memory, shown.cache_disk), (bare.cache_memory, bare.cache_disk));
    assert_eq!(shown.log_level, bare.log_level);
    let of = |settings: &Settings| format!("{:?}", settings.accounts);
    assert_eq!(of(&shown), of(&bare));
}

/// The keys that a table knows, as its own refusal of an unknown one lists them.
fn known_keys(text: &str) -> Vec<String> {
    let fault = faults(text).concat();
    let list = fault.split_once("the keys here are: ").unwrap_or_else(|| panic!("{fault}")).1;
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_example_has_every_key_that_is_known() {
    let switched_on = example().replace("\n#", "\n");
    let tables = [
        ("", "zzzzzz = 1"),
        ("listen", "[listen]\nzzzzzz = 1"),
        ("tls", "[tls]\nzzzzzz = 1"),
        ("cache", "[cache]\nzzzzzz = 1"),
        ("log", "[log]\nzzzzzz = 1"),
        ("vault", "[vault]\nzzzzzz = 1"),
        ("vault.key", "[vault]\nkey = { zzzzzz = 1 }"),
        ("oauth2.microsoft", "[oauth2.microsoft]\nzzzzzz = 1"),
        ("account", "[[account]]\nzzzzzz = 1"),
        ("account.imap", "[[account]]\nimap = { zzzzzz = 1 }"),
        ("account.smtp", "[[account]]\nsmtp = { zzzzzz = 1 }"),
        ("account.secret", "[[account]]\nsecret = { zzzzzz = 1 }"),
        ("account.pop3", "[[account]]\n[account.pop3]\nzzzzzz = 1"),
        ("account.smtp_options", "[[account]]\n[account.smtp_options]\nzzzzzz = 1"),
    ];
    let mut seen = 0;
    for (table, text) in tables {
        for key in known_keys(text) {
            let path = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
            let shown = match path.as_str() {
                "listen" | "tls" | "cache" | "log" | "vault" | "account.pop3" | "account.smtp_options" => {
                    format!("\n[{path}]\n")
                }
                "oauth2" => "\n[oauth2.microsoft]\n".to_owned(),
                "account" => "\n[[account]]\n".to_owned(),
                path if path.starts_with("account.imap.") || path.starts_with("account.smtp.") => {
                    format!("{key} = ")
                }
                path if path.starts_with("vault.key.") => format!("\nkey = {{ {key} = "),
                path if path.starts_with("account.secret.") => format!("\nsecret = {{ {key} = "),
                _ => format!("\n{key} = "),
            };
            assert!(switched_on.contains(&shown), "config/footbridge.toml does not show {path}");
            seen += 1;
        }
    }
    assert!(seen >= 30, "only {seen} keys were found");
}

#[test]
fn the_keys_that_the_example_switches_off_are_right_too() {
    // One `secret` at a time; files and variables that are not here are the only faults.
    for kept in ["\"vault\"", "{ env =", "{ file =", "{ command ="] {
        let lines = example();
        let lines = lines.lines().filter_map(|line| match line.strip_prefix('#') {
            _ if line.starts_with("secret = ") || line == "key = \"auto\"" => None,
            Some(off) if off.starts_with("secret") => off.contains(kept).then_some(off),
            Some(off) if !off.starts_with(' ') => Some(off),
            _ => Some(line),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let told = faults(&text);
        let missing = |fault: &String| {
            fault.contains("company-ca.pem")
                || fault.contains("localhost.pem: this file cannot be read")
                || fault.contains("named in env is not set")
                || fault.contains("ana.secret")
                || fault.contains("vault.passphrase")
                || fault.contains("has no user \"scanner\"")
        };
        assert!(told.iter().all(missing), "{told:#?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn users_are_told_by_name_or_number_and_a_wrong_one_with_its_cure() {
    use footbridge::config::settings::AllowUsers;
    let text = |users: &str| format!("[listen]\nallow_users = {users}\n{}", with_account(""));
    let allowed = |users: &str| parse(&text(users)).expect(users).listen.allow_users;
    let these = |ids: &[u32]| AllowUsers::These(ids.iter().copied().collect());
    assert_eq!(parse(&with_account("")).expect("bare").listen.allow_users, these(&[]));
    assert_eq!(allowed("[]"), these(&[]));
    assert_eq!(allowed("[\"root\", 1001, 1001]"), these(&[0, 1001]));
    assert_eq!(allowed("\"all\""), AllowUsers::All);
    for (users, cure) in [
        ("[\"no-such-user-here\"]", "has no user \"no-such-user-here\""),
        ("[1001, -1]", "-1 is no user id; id -u NAME tells a user's"),
        ("[\"1001\"]", "a user id goes without quotes; write 1001"),
        ("[\"*\"]", "write allow_users = \"all\""),
        ("\"root\"", "allow_users = \"root\" is not known; write a list, [\"root\"], or \"all\""),
        (
            "1001",
            "[listen] allow_users has to be a list of users between square brackets, or \"all\", not a number",
        ),
        (
            "[1.5]",
            "[listen] allow_users has to be a user's name between double quotes, or a user id, not a number",
        ),
    ] {
        let told = faults(&text(users));
        assert!(
            told.len() == 1 && told[0].contains(":2: [listen] allow_users") && told[0].contains(cure),
            "{told:#?}"
        );
    }
}

#[test]
fn the_name_of_a_variable_is_not_shown_it_may_be_the_password() {
    let told = faults("[[account]]\naddress = \"ana@gmx.net\"\nsecret = { env = \"CANARYCANARYCANARY\" }\n");
    assert!(told.len() == 1 && told[0].contains(":3: ") && !told[0].contains("CANARY"), "{told:#?}");
}

#[test]
fn an_unknown_key_is_refused_by_name_with_its_line_and_a_cure() {
    for (text, expected) in [
        ("\n[listne]\n", "test.toml:2: listne is not a key; did you mean listen?"),
        ("[cache]\nmemroy = \"0\"", "test.toml:2: [cache] memroy is not a key; did you mean memory?"),
        (
            "[[account]]\nadress = \"x\"",
            "test.toml:2: [[account]] adress is not a key; did you mean address?",
        ),
        (
            "[[account]]\n[account.pop3]\n\ndelet = 1",
            "test.toml:4: [account.pop3] delet is not a key; did you mean delete?",
        ),
        (
            "[[account]]\nimap = { hots = 1 }",
            "test.toml:2: [[account]] imap.hots is not a key; did you mean host?",
        ),
    ] {
        assert_eq!(faults(text), [expected]);
    }
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    for (text, key) in [
        ("[log]\nfile = \"x.log\"", "[log] file"),
        ("[[smtp_device]]\n", "[[smtp_device]]"),
        ("[[account]]\n[account.smtp_options]\nsent_copy = \"auto\"", "[account.smtp_options] sent_copy"),
        ("[[account]]\n[account.smtp_options]\noutbox = false", "[account.smtp_options] outbox"),
    ] {
        let told = faults(text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told.concat().contains(&format!("this version does not know {key} yet")), "{told:?}");
    }
}

#[test]
fn a_wrong_type_says_what_is_wanted() {
    for (text, expected) in [
        (
            "[cache]\nmemory = 64",
            "test.toml:2: [cache] memory has to be text between double quotes, not a number",
        ),
        (
            "[listen]\npop3 = \"127.0.0.1:1\"",
            "test.toml:2: [listen] pop3 has to be a list between square brackets, not text",
        ),
        (
            "[[account]]\nimap = \"imap.example.org\"",
            "test.toml:2: [[account]] imap has to be a table of keys, not text",
        ),
        (
            "[[account]]\nimap = { port = \"993\" }",
            "test.toml:2: [[account]] imap.port has to be a whole number, not text",
        ),
        (
            "[account]\naddress = \"a@b.c\"",
            "test.toml:1: an account begins with [[account]], two brackets on each side",
        ),
    ] {
        assert_eq!(faults(text), [expected]);
    }
}

#[test]
fn all_faults_of_value_are_told_at_once_in_the_order_of_the_lines() {
    let told = faults(
        r#"
[listen]
pop3 = ["0.0.0.0:110", "127.0.0.1"]
[tls]
roots = "sytem"
extra_roots = ["no-such-file.pem"]
[cache]
memory = "64"
[log]
level = "loud"
[[account]]
address = "nobody"
provider = "gmx"
username = ""
auth = "kerberos"
secret = "CANARY"
mask = ["NOT AN ATOM"]
imap = { host = "imaps://x", port = 99999, security = "none" }
[account.pop3]
delete = "tresh"
seen = "always"
folder = "a\nb"
[account.smtp_options]
bare_newline = "keep"
[[account]]
address = "tuta@tuta.com"
[[account]]
address = "TUTA@tuta.com"
"#,
    );
    let lines = told.iter().map(|fault| fault.split(':').nth(1).and_then(|line| line.parse::<u32>().ok()));
    let lines = lines.collect::<Option<Vec<_>>>().expect("each has a line");
    assert!(lines.is_sorted(), "{told:#?}");
    for line in [3, 5, 6, 8, 10, 12, 14, 15, 16, 17, 18, 20, 21, 22, 24, 26, 28] {
        assert!(lines.contains(&line), "nothing about line {line} in {told:#?}");
    }
    for key in ["imap.host", "imap.port", "imap.security"] {
        assert!(told.concat().contains(key), "nothing about {key} in {told:#?}");
    }
    assert!(!told.concat().contains("CANARY"));
    assert!(told.concat().contains("did you mean \"gmx-"), "{told:#?}");
}

#[test]
fn no_fault_quotes_what_may_be_a_secret() {
    for line in [
        "secret = CANARY",
        "secret = \"CANARY",
        "secret = 'CANARY",
        "secret = \"CANARY\"",
        "secret = [\"CANARY\"]",
        "secret = { CANARY",
        "secret = { file = \"x\", CANARY }",
        "secret = { env = \"CANARY secret\" }",
        "secret = { env = \"canary=CANARY\" }",
        "secret = { env = [\"CANARY\"] }",
        "secret = { command = \"pass CANARY\" }",
        "secret = { command = [\"\", \"CANARY\"] }",
        "secret = { command = [\"pass\", \"CANARY\"], env = \"x\" }",
        "secret = \"\\CANARY\"",
        "secret: CANARY",
        "CANARY",
        "\"CANARY of odd characters\" = 1",
        "password = \"CANARY\"",
        "address = \"x@gmx.net\" CANARY",
        "secret = \"app\"\nsecret = \"CANARY\"",
        "username = [\"CANARY\"]",
    ] {
        let told = faults(&with_account(line)).concat();
        assert!(!told.contains("CANARY"), "{line}: {told}");
        assert!(told.contains("test.toml:3:") || told.contains("test.toml:4:"), "{line}: {told}");
    }
}

#[test]
fn an_account_is_completed_from_the_table() {
    let settings = parse(&with_account("")).expect("a known domain");
    let account = settings.accounts.first().expect("one");
    assert_eq!(account.provider, Some("gmx-net"));
    let imap = Endpoint { host: "imap.gmx.net".into(), port: 993, security: Security::Tls };
    assert_eq!(account.imap.endpoint, imap);
    assert_eq!(account.imap.usernames, ["ana@gmx.net"]);
    assert!(account.smtp.is_some());
    assert!(matches!(account.secret, SecretSource::App));
    assert_eq!((account.pop3.delete, account.pop3.seen), (Delete::Auto, Seen::Never));
    assert_eq!(account.smtp_options.bare_newline, BareNewline::Mend);
}

#[test]
fn servers_spelled_out_go_before_the_table() {
    let text = with_account(
        "imap = { host = \"LOCALHOST\", port = 4430 }\nsmtp = { host = \"::1\", security = \"starttls\" }\nusername = \"a\"",
    );
    let settings = parse(&text).expect("good");
    let account = settings.accounts.first().expect("one");
    assert_eq!(account.provider, None, "an address alone says nothing about another server");
    assert_eq!(
        account.imap.endpoint,
        Endpoint { host: "localhost".into(), port: 4430, security: Security::Tls }
    );
    let smtp = account.smtp.as_ref().expect("smtp");
    assert_eq!(smtp.endpoint, Endpoint { host: "::1".into(), port: 587, security: Security::StartTls });
    assert_eq!((&account.imap.usernames, &smtp.usernames), (&vec!["a".to_owned()], &vec!["a".to_owned()]));
}

#[test]
fn a_domain_of_ones_own_at_a_known_server_gets_that_providers_quirks() {
    let text = "[[account]]\naddress = \"ana@example.org\"\nimap = { host = \"imap.gmail.com\" }";
    let settings = parse(text).expect("good");
    let account = settings.accounts.first().expect("one");
    assert!(account.quirks.has(footbridge::mail::Quirk::ExpungeArchives));
    assert!(account.smtp.is_none());
}

#[test]
fn a_provider_that_cannot_work_is_said_at_start() {
    for (domain, clause) in [
        ("tuta.com", "neither IMAP nor submission"),
        ("proton.me", "certificate of its own making"),
        ("rediffmail.com", "no IMAP server of Rediffmail is known"),
        ("example.org", "no provider is known for \"example.org\""),
    ] {
        let told = faults(&format!("[[account]]\naddress = \"ana@{domain}\""));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told.concat().contains(clause), "{told:?}");
    }
    let text = "[[account]]\naddress = \"ana@example.org\"\nauth = \"password\"\nimap = { host = \"outlook.office365.com\" }";
    let settings = parse(text).expect("the user knows better");
    assert!(settings.warnings.concat().contains("OAuth2 sign-in only"), "{:?}", settings.warnings);
}

/// The authorization server of the first account.
fn oauth2(text: &str) -> Arc<OAuth2> {
    let settings = parse(text).expect("good");
    let account = settings.accounts.first().expect("one");
    match &account.auth {
        Auth::OAuth2(server) => server.clone(),
        Auth::Password => panic!("{text}: a password"),
    }
}

#[test]
fn an_account_that_takes_a_sign_in_only_needs_its_address_only() {
    for text in [
        "[[account]]\naddress = \"ana@outlook.com\"",
        "[[account]]\naddress = \"ana@outlook.com\"\nsecret = \"vault\"",
        "[[account]]\naddress = \"ana@example.org\"\nimap = { host = \"outlook.office365.com\" }",
    ] {
        let server = oauth2(text);
        assert_eq!((server.id.as_str(), server.client_id.as_ref()), ("microsoft", None));
        assert_eq!(server.redirect, Redirect::Loopback { host: "localhost" });
        assert!(server.token_endpoint.contains("/common/"), "{}", server.token_endpoint);
        assert_eq!(server.scopes.iter().filter(|scope| *scope == "offline_access").count(), 1);
        assert_eq!(server.mechanisms, [Mechanism::XOAuth2]);
        let settings = parse(text).expect("good");
        assert!(settings.accounts.iter().all(|account| matches!(account.secret, SecretSource::Vault)));
    }
    // A password works at Gmail, too, so there it has to be said.
    let settings = parse("[[account]]\naddress = \"ana@gmail.com\"").expect("good");
    assert!(matches!(settings.accounts[0].auth, Auth::Password));
    assert_eq!(oauth2("[[account]]\naddress = \"ana@gmail.com\"\nauth = \"oauth2\"").id, "google");
}

#[test]
fn a_client_of_ones_own_and_its_tenant_complete_the_table() {
    let text = "[oauth2.microsoft]\nclient_id = \"id\"\ntenant = \"contoso.example\"\nclient_secret = \"s\"\n[[account]]\naddress = \"ana@outlook.com\"";
    let server = oauth2(text);
    assert_eq!(server.client_id.as_deref(), Some("id"));
    assert!(server.client_secret.is_some());
    assert!(server.authorization_endpoint.as_ref().is_some_and(|url| url.contains("/contoso.example/")));
    // Settings are printed when tests fail; the secret is not in them.
    assert!(!format!("{:?}", parse("[oauth2.google]\nclient_id = \"id\"\nclient_secret = \"CANARY\"\n[[account]]\naddress = \"ana@gmail.com\"\nauth = \"oauth2\"").expect("good")).contains("CANARY"));
}

#[test]
fn a_server_the_table_does_not_know_is_described() {
    let text = "[oauth2.own]\nclient_id = \"id\"\nauthorization_endpoint = \"https://sso.example.org/authorize\"\ntoken_endpoint = \"http://127.0.0.1:8080/token\"\nscopes = [\"mail\"]\nsasl = [\"OAUTHBEARER\"]\nredirect = \"https://sso.example.org/done\"\n[[account]]\naddress = \"ana@example.org\"\noauth2 = \"own\"\nimap = { host = \"imap.example.org\" }";
    let server = oauth2(text);
    assert_eq!((server.name.as_str(), server.scopes.as_slice()), ("own", &["mail".to_owned()][..]));
    assert_eq!(server.redirect, Redirect::Fixed("https://sso.example.org/done".into()));
    assert_eq!((server.grant, server.mechanisms.as_slice()), (Grant::User, &[Mechanism::OAuthBearer][..]));
    let nobody = "[oauth2.app]\nclient_id = \"id\"\nclient_secret = \"s\"\ngrant = \"client_credentials\"\ntoken_endpoint = \"https://sso.example.org/token\"\n[[account]]\naddress = \"ana@example.org\"\noauth2 = \"app\"\nimap = { host = \"imap.example.org\" }";
    assert_eq!(oauth2(nobody).grant, Grant::ClientCredentials);
}

#[test]
fn what_seals_the_stored_secrets_is_chosen_by_a_word_or_a_file() {
    let with = |key: &str| format!("[vault]\nkey = {key}\n{}", with_account(""));
    let chosen = |key: &str| parse(&with(key)).expect("good").vault_key;
    assert_eq!(parse(&with_account("")).expect("good").vault_key, KeyChoice::Auto);
    assert_eq!(chosen("\"keychain\""), KeyChoice::Keychain);
    assert_eq!(chosen("\"credential\""), KeyChoice::Credential);
    assert_eq!(chosen("\"file\""), KeyChoice::File);
    for (key, clause) in [
        ("\"keychian\"", "did you mean \"keychain\"?"),
        ("\"CANARY horse battery\"", "a passphrase does not belong into this file"),
        ("{ passphrase_file = \"\" }", "no file is named"),
        ("{ passphrase_file = \"nowhere\" }", "cannot be read"),
        ("{ passphrase_file = \".\" }", "is not a file"),
    ] {
        let told = faults(&with(key));
        assert_eq!(told.len(), 1, "{key}: {told:#?}");
        assert!(told[0].contains(clause) && told[0].contains("test.toml:2: [vault] key: "), "{told:#?}");
        assert!(!told[0].contains("CANARY"), "{told:#?}");
    }
}

#[test]
fn what_is_wrong_with_a_sign_in_is_said_at_start() {
    let outlook = "[[account]]\naddress = \"ana@outlook.com\"\n";
    let own = |rest: &str| format!("[oauth2.own]\n{rest}\n{outlook}");
    for (text, clause) in [
        (format!("{outlook}auth = \"oauth2\"\nsecret = \"app\""), "do not go together"),
        (with_account("auth = \"oauth2\""), "oauth2 = \"NAME\""),
        (format!("{outlook}oauth2 = \"mircosoft\""), "did you mean \"microsoft\"?"),
        (format!("{outlook}oauth2 = \"microsoft-app\""), "it needs [oauth2.microsoft-app] with its tenant"),
        (own("client_id = \"id\""), "[oauth2.own] is not in the provider table"),
        (format!("[oauth2.gogle]\nclient_id = \"id\"\n{outlook}"), "did you mean [oauth2.google]?"),
        (own("token_endpoint = \"https://x.example/t\""), "authorization_endpoint is missing"),
        (own("token_endpoint = \"http://x.example/t\""), "is not a URL of https"),
        (own("token_endpoint = \"http://localhost@x.example/t\""), "is not a URL of https"),
        (format!("[oauth2.microsoft]\ntenant = \"a/../b\"\n{outlook}"), "is not a tenant"),
        (format!("[oauth2.microsoft-app]\nclient_id = \"id\"\n{outlook}"), "tenant is missing"),
        (format!("[oauth2.yandex]\nclient_id = \"id\"\n{outlook}"), "redirect is missing"),
        (format!("[oauth2.microsoft]\nscopes = [\"a b\"]\n{outlook}"), "is not a scope"),
        (format!("[oauth2.microsoft]\nsasl = [\"PLAIN\"]\n{outlook}"), "\"XOAUTH2\" or \"OAUTHBEARER\""),
        (format!("[oauth2.microsoft]\nsasl = []\n{outlook}"), "names no mechanism"),
        (format!("[oauth2.microsoft]\ngrant = \"password\"\n{outlook}"), "grant"),
        (format!("[oauth2.microsoft]\nclient_secret = {{ command = [\"x\"] }}\n{outlook}"), "client_secret"),
    ] {
        let told = faults(&text);
        assert_eq!(told.len(), 1, "{text}: {told:#?}");
        assert!(told.concat().contains(clause), "{text}: {told:#?}");
    }
    let warned =
        "[oauth2.google]\nclient_id = \"id\"\n[[account]]\naddress = \"ana@gmail.com\"\nauth = \"oauth2\"";
    assert!(parse(warned).expect("good").warnings.concat().contains("refuses a client without its secret"));
}

#[test]
fn every_row_of_the_table_completes_an_account_or_says_why_not() {
    let text = |rows: &[&Provider]| -> String {
        let account = |row: &&Provider| {
            format!("[[account]]\naddress = \"{0}@example.org\"\nprovider = \"{0}\"\n", row.id)
        };
        rows.iter().map(account).collect()
    };
    let rows = Table::builtin().rows();
    let usable =
        |row: &&Provider| row.kind != Kind::Bridge && row.imap.as_ref().is_some_and(|imap| !imap.is_empty());
    let (good, bad) = rows.iter().partition::<Vec<_>, _>(usable);
    let told = faults(&text(&bad));
    assert_eq!(told.len(), bad.len(), "{told:#?}");
    for (row, fault) in bad.iter().zip(told) {
        assert!(fault.contains(&row.name), "{fault}");
    }
    let settings = parse(&text(&good)).expect("all of them work");
    for (row, account) in good.iter().zip(&settings.accounts) {
        assert_eq!(account.provider, Some(row.id.as_str()));
        let endpoint = row.imap.iter().flatten().next().and_then(|server| server.endpoint("example.org"));
        assert_eq!(Some(&account.imap.endpoint), endpoint.as_ref());
        assert_eq!(account.imap.usernames, row.imap_usernames(&account.address));
        assert_eq!(account.smtp.is_some(), row.smtp.is_some());
    }
}

#[test]
fn a_login_name_leads_to_one_account() {
    let told = faults(
        "[[account]]\naddress = \"a@gmx.net\"\nlogin = \"b@gmx.net\"\n[[account]]\naddress = \"B@gmx.net\"",
    );
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told.concat().starts_with("test.toml:5: [[account]] address = \"B@gmx.net\" is taken"),
        "{told:?}"
    );
    assert!(parse("[[account]]\naddress = \"a@gmx.net\"\nlogin = \"A@gmx.net\"").is_ok());
}

#[test]
fn a_file_without_accounts_is_refused() {
    assert!(faults("").concat().contains("there is no [[account]]"));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine() {
    let text = format!("\u{feff}{}", with_account("").replace('\n', "\r\n"));
    assert!(parse(&text).is_ok());
}

#[test]
fn what_is_not_utf_8_is_told_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("footbridge.toml");
    std::fs::write(&path, b"[log]\nlevel = \"\xe4\"\n").expect("written");
    let fault = config::load(&path).expect_err("latin-1").to_string();
    assert!(fault.contains("line 2 is not UTF-8"), "{fault}");
    std::fs::write(&path, b"\xff\xfe[\0").expect("written");
    let fault = config::load(&path).expect_err("utf-16").to_string();
    assert!(fault.contains("UTF-16"), "{fault}");
}

#[test]
fn file_names_are_taken_from_the_folder_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("footbridge.toml");
    let key = rcgen::generate_simple_self_signed(["ca.example.org".to_owned()]).expect("a certificate");
    std::fs::write(folder.path().join("ca.pem"), key.cert.pem()).expect("written");
    let text = format!("[tls]\nextra_roots = [\"ca.pem\"]\n{}", with_account(""));
    std::fs::write(&path, &text).expect("written");
    config::load(&path).unwrap_or_else(|error| panic!("{error}"));
    let told = faults(&text).concat();
    assert!(told.starts_with("test.toml:2: [tls] extra_roots: "), "{told}");
}

#[test]
fn tls_for_apps_is_off_until_asked_for() {
    let parse =
        |text: &str| config::parse(text, Path::new("test.toml")).unwrap_or_else(|error| panic!("{error}"));
    let settings = parse(&with_account(""));
    assert!(!settings.shows_certificate());
    for tls in [
        "[tls]\nlocal = \"offer\"\n",
        "[tls]\nlocal = \"require\"\n",
        "[listen]\nimaps = [\"127.0.0.1:0\"]\n",
    ] {
        assert!(parse(&format!("{tls}{}", with_account(""))).shows_certificate(), "{tls}");
    }
    let told = faults(&format!("[tls]\ncertificate = \"x.pem\"\n{}", with_account(""))).concat();
    assert!(told.contains("test.toml:2: [tls] certificate needs its key"), "{told}");
    let told = faults(&format!("[tls]\nkey = \"x.pem\"\n{}", with_account(""))).concat();
    assert!(told.contains("test.toml:2: [tls] key needs its certificate"), "{told}");
    let told = faults(&format!("[listen]\nimaps = [\"0.0.0.0:1993\"]\n{}", with_account(""))).concat();
    assert!(told.contains("only loopback"), "{told}");
    let told = faults(&format!("[listen]\nimaps = [\"127.0.0.1:1143\"]\n{}", with_account(""))).concat();
    assert!(told.contains("127.0.0.1:1143 twice"), "{told}");
}

#[cfg(unix)]
mod modes {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Writes a configuration into a private folder, sets modes, and loads it.
    fn load(secret: &str, modes: &[(&str, u32)]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("footbridge.toml");
        std::fs::write(&path, with_account(&format!("secret = {secret}"))).expect("written");
        std::fs::write(folder.path().join("secret"), "CANARY\n").expect("written");
        for (name, mode) in modes {
            let mode = Permissions::from_mode(*mode);
            std::fs::set_permissions(folder.path().join(name), mode).expect("set");
        }
        config::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_wants_a_file_and_a_folder_that_nobody_else_writes() {
        let command = "{ command = [\"pass\", \"mail\"] }";
        assert!(load(command, &[("footbridge.toml", 0o644)]).is_ok());
        for mode in [0o646, 0o664] {
            let fault = load(command, &[("footbridge.toml", mode)]).expect_err("writable");
            assert!(fault.contains("others may write") && fault.contains("chmod go-w"), "{fault}");
        }
        let fault = load(command, &[("footbridge.toml", 0o644), (".", 0o777)]).expect_err("writable");
        assert!(fault.contains("others may write"), "{fault}");
        assert!(load("\"app\"", &[("footbridge.toml", 0o666)]).is_ok(), "nothing is run");
    }

    #[test]
    fn a_secret_wants_a_file_that_others_cannot_read() {
        let file = "{ file = \"secret\" }";
        assert!(load(file, &[("secret", 0o600)]).is_ok());
        assert!(load(file, &[("secret", 0o640)]).is_ok(), "a service's group");
        for mode in [0o644, 0o604, 0o660] {
            let fault = load(file, &[("secret", mode)]).expect_err("open");
            assert!(fault.contains("chmod 600") && !fault.contains("CANARY"), "{fault}");
        }
        assert!(load("{ file = \"nothing\" }", &[]).expect_err("missing").contains("cannot be read"));
        assert!(load("{ file = \".\" }", &[]).expect_err("a folder").contains("is a folder"));
        let told = load("{ file = \"/dev/null\" }", &[]).expect_err("a device");
        assert!(told.contains("no regular file"), "{told}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_taken_or_refused_with_its_place(text in "\\PC{0,200}") {
        for fault in parse(&text).err().unwrap_or_default() {
            proptest::prop_assert!(fault.starts_with("test.toml:"), "{fault}");
        }
    }

    #[test]
    fn whatever_slips_in_the_example_no_fault_quotes_a_secret(
        cut in proptest::num::usize::ANY,
        length in 0..40_usize,
        put in proptest::option::of(proptest::char::any()),
    ) {
        let text = example().replace("\nsecret = \"app\"", "\nsecret = \"CANARY\"");
        let mut characters = text.chars().collect::<Vec<_>>();
        let cut = cut % characters.len();
        characters.splice(cut..characters.len().min(cut + length), put);
        let text = characters.into_iter().collect::<String>();
        for fault in parse(&text).err().unwrap_or_default() {
            proptest::prop_assert!(!fault.contains("CANARY"), "{fault}");
        }
    }
}
