//! Accounts: whose a mailbox is, what the file tells of them, and all of one forgotten.

use super::*;

fn account(address: &str, host: &str) -> Account {
    let text = format!(
        "[[account]]\naddress = \"{address}\"\nimap = {{ host = \"{host}\", port = 993, security = \"tls\" }}\n"
    );
    let settings = crate::config::parse(&text, Path::new("test.toml")).unwrap();
    Account::clone(&settings.accounts[0])
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_users_alone_and_names_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let account = account("canary@example.org", "imap.example.org");
    ledger.page(&account, "Canaries").write(told(7, &[(1, 10)]), Vec::new());
    ledger.written().await;
    ledger.close().await;
    let file = path.join(FILE);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let octets = String::from_utf8_lossy(&fs::read(&file).unwrap()).to_lowercase();
    assert!(!octets.contains("canar") && !octets.contains("example"));
}

/// The same UIDVALIDITY means nothing on another server (RFC 3501 §2.3.1.1): an account that moved is another one.
#[test]
fn address_server_user_and_folder_name_a_mailbox() {
    let ana = account("ana@example.org", "imap.example.org");
    let mut ann = ana.clone();
    ann.imap.usernames = vec!["ann".to_owned()];
    let names = [
        key(&ana, "INBOX"),
        key(&ana, "Archive"),
        key(&account("bob@example.org", "imap.example.org"), "INBOX"),
        key(&account("ana@example.org", "imap.example.net"), "INBOX"),
        key(&ann, "INBOX"),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{at}");
    }
    assert_eq!(key(&account("ana@example.org", "IMAP.example.org"), "INBOX"), key(&ana, "INBOX"));
}

/// Also where the configuration has another server, or another folder, or no such account any more.
#[tokio::test]
async fn an_account_is_forgotten_by_its_address_alone_with_what_is_not_written_yet() {
    let (_outer, path) = place();
    let ledger = Ledger::in_folder(&path);
    let (ana, bob) =
        (account("ana@example.org", "imap.example.org"), account("bob@example.org", "imap.example.org"));
    let moved = account("Ana@example.org", "imap.example.net");
    let all = [(&ana, "INBOX"), (&ana, "Archive"), (&moved, "INBOX"), (&bob, "INBOX")];
    let listed = told(7, &[(1, 10), (500, 20)]);
    let known = async || {
        let mut known = Vec::new();
        for (account, folder) in all {
            let before = ledger.page(account, folder).before().await;
            known.push(before.map_or(0, |before| before.identities.len()));
        }
        known
    };
    for (account, folder) in all {
        ledger.page(account, folder).write(listed.clone(), news(&listed, &[(500, said(1))]).identities);
        let page = ledger.page(account, folder);
        page.learner(validity(7), uid(1)).unwrap().learn(seen(1));
    }
    ledger.written().await;
    assert_eq!(known().await, [2, 2, 2, 2]);
    // What waits is not written afterwards, nor kept in memory: of another account it is.
    let held_up = ledger.hold_up().await;
    for (account, folder) in all {
        let page = ledger.page(account, folder);
        page.write(told(8, &[(1, 10)]), vec![(uid(1), said(1))]);
        page.learn(validity(8), uid(1), MessageSize::exact(11, ToldSize::of(10)));
    }
    let forgetting = ledger.forget("ANA@example.org");
    drop(held_up);
    let forgotten = forgetting.await;
    ledger.written().await;
    assert_eq!(forgotten, Ok(Forgotten { mailboxes: 3, begun_anew: false }));
    assert_eq!(known().await, [0, 0, 0, 1]);
    assert!(ledger.0.as_ref().unwrap().learnt().is_empty());
    assert_eq!(ledger.forget("ana@example.org").await, Ok(Forgotten::default()));
    ledger.close().await;
    // Nothing is made in order to forget.
    let elsewhere = path.join("elsewhere");
    let nothing = Ledger::in_folder(&elsewhere).forget("ana@example.org").await;
    assert_eq!((nothing, elsewhere.exists()), (Ok(Forgotten::default()), false));
}
