//! Secrets stay where they belong: in the vault, and on their way to whom they are for.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use super::support::authority::{CANARY, CLIENT, Fault};
use super::support::bridge::{Home, Program};
use super::support::dovecot::{Dovecot, PASSWORD};
use super::support::token_server::refusal;
use super::support::vault;
use super::{Account, submit, world};

/// The secret comes from a program, which tells what it was given itself.
const PROGRAM: &str = "tr '\\0' '\\n' </proc/self/environ >>BESIDE; tr '\\0' '\\n' </proc/$PPID/environ >>BESIDE; \
                       tr '\\0' ' ' </proc/$PPID/cmdline >>BESIDE; cat SECRET";

/// Logins by password and by token, renewals, a revoked sign-in, wrong passwords, mail sent and read: all of it at the
/// most talkative level.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_logs_processes_or_files() {
    let [user, other] = ["secret@example.test", "stored@example.test"];
    let place = tempfile::TempDir::with_prefix("footbridge-secrets-").expect("a folder");
    let [secret, beside] = ["secret", "beside"].map(|name| place.path().join(name));
    write(&secret, PASSWORD);
    let client_secret = place.path().join("client-secret");
    write(&client_secret, CLIENT.1);
    let [shown, shell_secret] = [&beside, &secret].map(|path| path.display().to_string());
    let script = PROGRAM.replace("BESIDE", &shown).replace("SECRET", &shell_secret).replace('\\', "\\\\");
    let config = world()
        .config(user)
        .replace("oauth2.tests.client_secret", &format!("{{ file = \"{}\" }}", client_secret.display()))
        .and(other, &Dovecot::shared().imaps())
        .account(&format!("secret = {{ command = [\"sh\", \"-c\", \"{script}\"] }}"));
    let home = Home::new(&config);
    // A command makes it something that others must not write.
    fs::set_permissions(home.config_file(), Permissions::from_mode(0o600)).expect("our own file");
    vault::sign_in(&home.state(), &world().authority, user, -1);
    let [account, stored] = [user, other].map(|user| Account {
        address: user.into(),
        password: home.bridge_password(user),
        home: home.clone(),
    });
    let mut bridge = Program::start_in(&home, "trace");

    account.pop3(&bridge).await.ok("QUIT").await;
    account.imap(&bridge).await.ok("NOOP").await;
    submit(&mut account.smtp(&bridge).await, user, "erin", "secrecy").await;
    stored.pop3(&bridge).await.ok("QUIT").await;
    stored.imap(&bridge).await.ok("NOOP").await;
    world().authority.end_tokens(user);
    account.imap(&bridge).await.ok("NOOP").await;
    let wrong = "c4nary-wrong-one";
    let guess = Account { password: wrong.into(), ..account };
    // Each waits for its answer, which is slow: so they wait together.
    let (guessed, ..) = tokio::join!(
        guess.try_pop3(bridge.pop3()),
        guess.try_imap(bridge.imap()),
        guess.try_smtp(bridge.smtp()),
    );
    let account = Account { password: account.password, ..guess };
    world().authority.fault(user, Some(Fault::Says(refusal("invalid_grant"))));
    let (_, wrong_user) = account.try_imap(bridge.imap()).await;
    assert!(wrong_user.contains("a OK"), "{wrong_user}");
    assert!(guessed.1.starts_with("-ERR"), "{}", guessed.1);

    let limits = fs::read_to_string(format!("/proc/{}/limits", bridge.id())).expect("it runs");
    let core: Vec<&str> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .expect("there is such a limit")
        .split_whitespace()
        .collect();
    assert_eq!(core[..2], ["0", "0"], "a core file would hold everything");
    let mut told = vec![("the log".to_owned(), Vec::new())];
    for name in ["cmdline", "environ"] {
        let octets = fs::read(format!("/proc/{}/{name}", bridge.id())).expect("it runs");
        told.push((name.to_owned(), octets));
    }
    assert!(bridge.terminate().success());
    told[0].1 = bridge.log().into_bytes();
    let children = fs::read(&beside).expect("the program that was started has told");
    assert!(children.windows(10).any(|octets| octets == b"footbridge"), "its parent's command line");
    told.push(("what a child was given".to_owned(), children));
    for file in files(&home.state()).into_iter().chain([home.config_file()]) {
        let mode = fs::metadata(&file).expect("our own file").permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read {}", file.display());
        told.push((file.display().to_string(), fs::read(&file).expect("our own file")));
    }
    assert!(told.len() >= 7, "vault, its key, bridge passwords, the configuration: {}", told.len());

    let mut secrets = vec![CANARY.to_owned(), CLIENT.1.into(), PASSWORD.into(), wrong.into()];
    for account in [&account, &stored] {
        secrets.extend([account.password.clone(), account.password.replace('-', "")]);
    }
    for secret in secrets.iter().flat_map(|secret| [vec![secret.clone()], in_base64(secret)].concat()) {
        for (name, octets) in &told {
            let found = octets.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in {name}");
        }
    }
}

/// As it stands in the middle of something longer, wherever that begins.
fn in_base64(secret: &str) -> Vec<String> {
    (0..3)
        .map(|before| {
            let text = BASE64_STANDARD_NO_PAD.encode([vec![0; before], secret.as_bytes().to_vec()].concat());
            // The first and the last characters hold bits of what stands around it.
            text[before + 1..text.len() - 2].to_owned()
        })
        .collect()
}

fn write(path: &Path, secret: &str) {
    fs::write(path, format!("{secret}\n")).expect("a file is written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("our own file");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("our own folder").flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}
