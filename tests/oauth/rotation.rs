//! Power cuts: a refresh token that is good once must not be lost.

use std::time::Duration;

use super::support::authority::Fault;
use super::support::bridge::Program;
use super::support::vault;
use super::{Account, world};

/// The server's old refresh token is dead as soon as anything of the new ones is used. Killed before the request, while
/// the server answers, while the vault is written or during the login behind it: what is kept is always good.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_outlives_kill_9_at_any_instant_of_a_renewal() {
    const ROUNDS: usize = 20;
    let user = "rotation@example.test";
    let authority = &world().authority;
    let account = Account::new(user, &world().config(user), -1);
    let mut kept = Vec::new();
    for round in 1..=ROUNDS {
        let bridge = Program::start_in(&account.home, "info");
        let asked = authority.refreshes(user);
        // Every fourth answer never arrives.
        authority.fault(user, (round % 4 == 0).then_some(Fault::Lost));
        authority.end_tokens(user);
        let login = {
            let (address, password) = (account.address.clone(), account.password.clone());
            let pop3 = bridge.pop3();
            let home = account.home.clone();
            tokio::spawn(async move {
                let account = Account { address, password, home };
                account.try_pop3(pop3).await.1
            })
        };
        authority.until_refreshed(user, asked + 1).await;
        if round % 10 == 1 {
            // However slow this machine is, some renewals come to their end.
            assert!(login.await.expect("no panic").starts_with("+OK"), "a renewal that nothing disturbs");
        } else {
            // The instant is the test's input: up to what the vault and the login take, and a bit more.
            let wait = Duration::from_micros(u64::from(random()) * 150);
            tokio::time::sleep(wait).await;
            login.abort();
        }
        bridge.kill();
        kept.push(vault::kept(&account.home.state(), user)["refresh_token"].clone());
    }
    kept.dedup();
    assert!(kept.len() > 1, "some renewals were kept");
    authority.fault(user, None);
    authority.end_tokens(user);
    let bridge = Program::start_in(&account.home, "debug");
    account.pop3(&bridge).await.ok("QUIT").await;
    account.imap(&bridge).await.ok("NOOP").await;
    account.smtp(&bridge).await.ask("QUIT", "221").await;
}

/// Hashers of the standard library begin with random keys.
fn random() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0).to_le_bytes()[0]
}
