//! Whoever tries bridge passwords.

use std::fs;

use tokio::task::JoinSet;

use super::support::bridge::Program;
use super::support::wire::Wire;
use super::{Account, world};

/// What the app is told.
const WRONG: &str = "-ERR [AUTH] login name or password is wrong";

/// Programs that guess at the same time; nearly all the connections there may be.
const GUESSERS: usize = 150;

/// What each tries over its connection, which is closed behind the last one.
const GUESSES: usize = 3;

/// What a wrong one may leave behind, in octets; a tenth of what the connections take while they are there.
const LEFT: u64 = 16 * 1024;

/// They wait for their answer, which is slow. The right one does not wait with them, and alone goes upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bridge_passwords_reach_nobody_and_hold_up_nobody() {
    let user = "guessed@example.test";
    let account = Account::new(user, &world().config(user), 3600);
    let bridge = Program::start_in(&account.home, "info");
    account.pop3(&bridge).await.ok("QUIT").await;
    let address = bridge.pop3();
    let round = || async {
        let mut guessers = JoinSet::new();
        for guesser in 0..GUESSERS {
            guessers.spawn(async move {
                let mut guess = Wire::connect(address).await.expect("the bridge answers");
                guess.expect("+OK").await;
                for number in 0..GUESSES {
                    guess.ask(&format!("USER {user}"), "+OK").await;
                    guess.ask(&format!("PASS wrong-{guesser}-{number}"), WRONG).await;
                }
            });
        }
        guessers
    };
    // What many connections need is there afterwards.
    round().await.join_all().await;
    let before = memory(bridge.id());
    let shown = world().authority.shown(user).len();

    let mut guessers = round().await;
    let mut rights = 0;
    while guessers.try_join_next().is_none() {
        let mut late = Wire::connect(address).await.expect("the bridge answers");
        late.expect("+OK").await;
        late.ask(&format!("USER {user}"), "+OK").await;
        late.say("PASS wrong").await;
        // Asked later and answered before the wrong one is.
        tokio::select! {
            biased;
            mut right = account.pop3(&bridge) => drop(right.ok("QUIT").await),
            () = late.fill() => panic!("the wrong one is answered first: {:?}", late.heard()),
        }
        rights += 1;
        late.expect(WRONG).await;
    }
    while let Some(guesser) = guessers.join_next().await {
        guesser.expect("every guess is answered");
    }
    let grown = memory(bridge.id()).saturating_sub(before);
    let wrong = GUESSERS * GUESSES;
    println!("{wrong} wrong ones, {rights} right ones meanwhile, {} KiB more resident", grown / 1024);
    assert!(rights > 0, "some were right");
    assert!(grown < LEFT * wrong as u64, "{grown} octets");
    let upstream = world().authority.shown(user).len() - shown;
    assert_eq!(upstream, 0, "the right ones have the session that is held, and the wrong ones none");
    assert_eq!(world().authority.refreshes(user), 0);
    let told = bridge.log().lines().filter(|line| line.contains("the password is wrong")).count();
    assert!(told < 20, "it fills no log: {told}");
}

/// Resident, in octets.
fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}
