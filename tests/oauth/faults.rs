//! What goes wrong: with the sign-in, with the token server, behind the login.

use super::support::authority::Fault;
use super::support::bridge::{Config, Program};
use super::support::scripted::Upstream;
use super::support::token_server::{Answer, json};
use super::support::{PATIENCE, vault};
use super::{Account, world};

const HOUR: i64 = 3600;

/// Less than what makes a renewal due, more than what a login is made to wait for.
const SOON: i64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_sign_in_is_told_in_each_protocols_code_and_a_new_one_needs_no_restart() {
    let user = "revoked@example.test";
    let authority = &world().authority;
    let account = Account::new(user, &world().config(user), HOUR);
    let before = std::fs::read(account.home.state().join("vault")).expect("the vault");
    authority.revoke(user);
    let bridge = Program::start_in(&account.home, "debug");

    let cure = format!("run: footbridge account sign-in {user}");
    for _ in 0..2 {
        let answers = account.answers(&bridge).await;
        let codes = ["-ERR [SYS/PERM] ", "a NO [AUTHENTICATIONFAILED] ", "535 5.7.8 "];
        for (answer, code) in answers.iter().zip(codes) {
            assert!(answer.contains(code) && answer.contains(&cure), "{answer}");
        }
        assert!(answers[1].starts_with("* OK [ALERT] "), "{}", answers[1]);
    }
    assert_eq!(authority.refreshes(user), 1, "a dead one is not asked with again");
    let log = bridge.log();
    let told = log.lines().filter(|line| line.contains(&cure) && line.contains("WARN")).count();
    assert_eq!(told, 1, "{log}");
    let after = std::fs::read(account.home.state().join("vault")).expect("the vault");
    assert!(before == after, "the vault is as it was");

    vault::sign_in(&account.home.state(), authority, user, HOUR);
    let answers = account.answers(&bridge).await;
    for (answer, good) in answers.iter().zip(["+OK", "a OK ", "235 "]) {
        assert!(answer.contains(good), "{answer}");
    }
}

/// While the token lives, nobody notices that the token server does not do its work; afterwards apps are told to come
/// back later, not that anything is wrong with the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_that_fails_is_not_missed_while_the_token_lives() {
    let authority = &world().authority;
    let html = || Answer::Say(200, "text/html", "<html>down for maintenance</html>".into());
    let faults = [
        ("html", Fault::Says(html())),
        ("e500", Fault::Says(json(500, r#"{"error":"server_error"}"#))),
        ("e429", Fault::Says(Answer::Wait(429, 3))),
        ("stall", Fault::Says(Answer::Stall)),
    ];
    for (name, fault) in faults {
        let user = format!("{name}@example.test");
        let account = Account::new(&user, &world().config(&user), SOON);
        authority.fault(&user, Some(fault));
        let bridge = Program::start_in(&account.home, "debug");
        assert_lives(&account, &bridge).await;
        authority.until_refreshed(&user, 1).await;
        // What stalls is given up after half a minute only.
        if name == "stall" {
            assert_lives(&account, &bridge).await;
            continue;
        }
        authority.end_tokens(&user);
        assert_later(&account, &bridge).await;
        assert_eq!(authority.refreshes(&user), 1, "{name}: it is left alone for a while");
        assert!(!bridge.log().contains("maintenance"), "{}", bridge.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_that_is_not_there_is_not_missed_while_the_token_lives() {
    let user = "down@example.test";
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = closed.local_addr().expect("bound");
    drop(closed);
    let config = world().config(user);
    let config = config.replace("oauth2.tests.token_endpoint", &format!("\"http://{nobody}/token\""));
    let account = Account::new(user, &config, SOON);
    let bridge = Program::start_in(&account.home, "debug");
    assert_lives(&account, &bridge).await;
    world().authority.end_tokens(user);
    assert_later(&account, &bridge).await;
}

async fn assert_lives(account: &Account, bridge: &Program) {
    let answers = account.answers(bridge).await;
    for (answer, good) in answers.iter().zip(["+OK", "a OK ", "235 "]) {
        assert!(answer.contains(good), "{answer}");
    }
}

async fn assert_later(account: &Account, bridge: &Program) {
    // The session that is held is logged in, whatever became of its token; whoever comes beside it needs a login.
    let _held = account.pop3(bridge).await;
    let answers = account.answers(bridge).await;
    for (answer, code) in answers.iter().zip(["-ERR [SYS/TEMP] ", "a NO [UNAVAILABLE] ", "454 4.7.0 "]) {
        assert!(answer.contains(code) && answer.contains("try again later"), "{answer}");
        assert!(!answer.contains("sign-in"), "{answer}");
    }
}

/// Exchange takes the token of one mailbox with the name of another, and finds out with the first command.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_taken_and_serves_no_mailbox_is_told_as_what_it_is() {
    let user = "alias@example.test";
    let upstream = Upstream::good().await;
    let config = Config::new(user, &upstream.remote())
        .account("provider = \"outlook\"")
        .account("auth = \"oauth2\"")
        .account("oauth2 = \"tests\"");
    let config = world().authority.toml().iter().fold(config, |config, line| config.setting(line));
    let account = Account::new(user, &config, HOUR);
    let (count, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        while let Ok(mut wire) = upstream.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                wire.say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hi").await;
                while let Some(line) = wire.hear_or_end().await {
                    let mut words = line.split(' ');
                    let (tag, command) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                    let answer = match command {
                        "AUTHENTICATE" => {
                            let _ = count.send(());
                            "OK AUTHENTICATE completed."
                        }
                        "LOGOUT" => "OK bye",
                        _ => "BAD User is authenticated but not connected.",
                    };
                    wire.say(&format!("{tag} {answer}")).await;
                }
            });
        }
    });
    let bridge = Program::start_in(&account.home, "debug");
    let pop3 = account.try_pop3(bridge.pop3()).await.1;
    assert!(pop3.starts_with("-ERR [SYS/PERM] ") && pop3.contains("another mailbox"), "{pop3}");
    let imap = account.try_imap(bridge.imap()).await.1;
    assert!(imap.contains("a NO ") && !imap.contains("a OK"), "{imap}");
    for _ in 0..5 {
        let again = account.try_pop3(bridge.pop3()).await.1;
        assert!(again.starts_with("-ERR [SYS/PERM] "), "{again}");
    }
    let first = tokio::time::timeout(PATIENCE, counted.recv()).await;
    assert!(first.is_ok_and(|one| one.is_some()));
    let mut more = 0;
    while counted.try_recv().is_ok() {
        more += 1;
    }
    assert!(more <= 1, "it rests, and is not tried at each login: {more} more");
    serving.abort();
}
