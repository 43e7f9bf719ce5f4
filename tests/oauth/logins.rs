//! What goes well: apps see no token, and none of what happens to it.

use tokio::task::JoinSet;

use super::support::authority::{Authority, Fault};
use super::support::bridge::{Config, Home, Program};
use super::support::cut::Cut;
use super::support::dovecot::Dovecot;
use super::support::token_server::json;
use super::support::vault;
use super::{Account, submit, world};

/// Longer than the life of any test.
const HOUR: i64 = 3600;

const MESSAGE: &[u8] = b"Subject: one\r\n\r\nbody\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn apps_with_a_bridge_password_read_and_send_by_either_mechanism() {
    for (mechanism, user) in [("XOAUTH2", "xoauth2@example.test"), ("OAUTHBEARER", "bearer@example.test")] {
        let config = world().config(user).setting(&format!("oauth2.tests.sasl = [\"{mechanism}\"]"));
        let account = Account::new(user, &config, HOUR);
        let bridge = Program::start_in(&account.home, "debug");
        let mut imap = account.imap(&bridge).await;
        assert!(imap.append("INBOX", MESSAGE).await.contains(" OK "));
        let mut pop3 = account.pop3(&bridge).await;
        assert_eq!(pop3.lines("RETR 1").await, MESSAGE);
        pop3.ok("QUIT").await;
        let mut smtp = account.smtp(&bridge).await;
        let recipient = if mechanism == "XOAUTH2" { "bob" } else { "carol" };
        submit(&mut smtp, user, recipient, mechanism).await;
        smtp.ask("QUIT", "221").await;
        let delivered = world().postfix().delivered(recipient, 1).concat();
        assert!(String::from_utf8_lossy(&delivered).contains(&format!("Subject: {mechanism}")));
        assert_eq!(world().authority.refreshes(user), 0, "the token of the sign-in lives");
        let log = world().postfix().log();
        assert!(log.contains(&format!("sasl_method={mechanism}, sasl_username={user}")), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_is_renewed_during_the_login_once_for_all_that_come() {
    let user = "expired@example.test";
    let account = Account::new(user, &world().config(user), -1);
    let bridge = Program::start_in(&account.home, "debug");
    account.pop3(&bridge).await.ok("QUIT").await;
    assert_eq!(world().authority.refreshes(user), 1);
    account.imap(&bridge).await.ok("NOOP").await;
    account.smtp(&bridge).await.ask("QUIT", "221").await;
    assert_eq!(world().authority.refreshes(user), 1);
}

/// By its date it is good, but the provider has ended it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_provider_has_ended_is_renewed_during_the_login() {
    let user = "ended@example.test";
    let account = Account::new(user, &world().config(user), HOUR);
    world().authority.end_tokens(user);
    let bridge = Program::start_in(&account.home, "debug");
    let mut smtp = account.smtp(&bridge).await;
    smtp.ask("QUIT", "221").await;
    assert_eq!(world().authority.refreshes(user), 1);
    account.imap(&bridge).await.ok("NOOP").await;
    account.pop3(&bridge).await.ok("QUIT").await;
    assert_eq!(world().authority.refreshes(user), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_logins_at_once_with_a_token_that_has_ended_make_one_renewal() {
    let user = "crowd@example.test";
    let account = Account::new(user, &world().config(user), -1);
    let bridge = Program::start_in(&account.home, "info");
    let account = std::sync::Arc::new(account);
    let [pop3, imap, smtp] = [bridge.pop3(), bridge.imap(), bridge.smtp()];
    let mut logins = JoinSet::new();
    for number in 0..200 {
        let account = account.clone();
        logins.spawn(async move {
            let (_app, answer) = match number % 3 {
                0 => account.try_pop3(pop3).await,
                1 => account.try_imap(imap).await,
                _ => account.try_smtp(smtp).await,
            };
            answer
        });
    }
    let answers = logins.join_all().await;
    let good = |answer: &&String| {
        answer.starts_with("+OK") || answer.starts_with("235 ") || answer.contains("a OK ")
    };
    let bad: Vec<&String> = answers.iter().filter(|answer| !good(answer)).collect();
    assert!(bad.is_empty(), "{} of {}: {bad:?}", bad.len(), answers.len());
    assert_eq!(world().authority.refreshes(user), 1);
}

/// A connection upstream that is lost is made again unseen, and by then the token has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_in_mid_session_is_seen_by_no_app_of_pop3_and_of_smtp_before_data() {
    let user = "midway@example.test";
    let authority = &world().authority;
    let (imap, smtp) =
        (Cut::before(&world().dovecot.imaps()).await, Cut::before(&world().postfix().smtps()).await);
    let account = Account::new(user, &world().config_with(user, &imap.remote(), &smtp.remote()), HOUR);
    let bridge = Program::start_in(&account.home, "debug");
    let mut filling = account.imap(&bridge).await;
    for _ in 0..2 {
        assert!(filling.append("INBOX", MESSAGE).await.contains(" OK "));
    }
    filling.ok("LOGOUT").await;

    let mut pop3 = account.pop3(&bridge).await;
    authority.end_tokens(user);
    imap.cut();
    assert_eq!(pop3.lines("RETR 1").await, MESSAGE);
    assert_eq!(authority.refreshes(user), 1);

    // A program that has just begun: a token that was renewed a moment ago is not renewed again for the asking.
    drop(bridge);
    let bridge = Program::start_in(&account.home, "debug");
    let mut pop3 = account.pop3(&bridge).await;
    pop3.ok("DELE 1").await;
    authority.end_tokens(user);
    imap.cut();
    pop3.ok("QUIT").await;
    assert_eq!(authority.refreshes(user), 2);
    assert!(account.pop3(&bridge).await.ok("STAT").await.starts_with("+OK 1 "), "it was removed");

    drop(bridge);
    let bridge = Program::start_in(&account.home, "debug");
    let mut app = account.smtp(&bridge).await;
    authority.end_tokens(user);
    smtp.cut();
    submit(&mut app, user, "dave", "midway").await;
    assert_eq!(authority.refreshes(user), 3);
    app.ask("QUIT", "221").await;
    assert_eq!(world().postfix().delivered("dave", 1).len(), 1);
}

/// Two accounts of two providers in one bridge: whatever is renewed, each server is shown tokens of its own user alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_to_the_server_of_its_account_alone() {
    let authority = Authority::start();
    let servers = ["one", "two"].map(|name| Dovecot::for_tokens(&authority.introspection(name)));
    let users = ["one@example.test", "two@example.test"];
    let config = Config::new(users[0], &servers[0].imaps()).account("auth = \"oauth2\"");
    let config = config.account("oauth2 = \"tests\"").and(users[1], &servers[1].imaps());
    let config = config.account("auth = \"oauth2\"").account("oauth2 = \"tests\"");
    let home = Home::new(&authority.toml().iter().fold(config, |config, line| config.setting(line)));
    let accounts = users.map(|user| {
        vault::sign_in(&home.state(), &authority, user, -1);
        Account { address: user.into(), password: home.bridge_password(user), home: home.clone() }
    });
    let bridge = Program::start_in(&home, "debug");
    for round in 0..3 {
        for account in &accounts {
            account.pop3(&bridge).await.ok("QUIT").await;
            account.imap(&bridge).await.ok("NOOP").await;
        }
        // In the last round the one's renewal fails, and nobody serves it with the other's token.
        authority.fault(users[0], (round == 1).then(|| Fault::Says(json(503, "{}"))));
        users.iter().for_each(|user| authority.end_tokens(user));
        if round == 1 {
            // The session that is held is logged in, whatever became of its token.
            let _held = accounts[0].pop3(&bridge).await;
            let (_, answer) = accounts[0].try_pop3(bridge.pop3()).await;
            assert!(answer.starts_with("-ERR [SYS/TEMP]"), "{answer}");
            break;
        }
    }
    for (user, name) in users.iter().zip(["one", "two"]) {
        let shown = authority.shown(user);
        assert!(shown.len() >= 4 && shown.iter().all(|(server, _)| server == name), "{}", shown.len());
    }
}
