//! Real mail programs through the bridge to a real Dovecot and a real Postfix.
//!
//! The bridge is the program itself, as a child. Each test has a user, and so a mailbox, of its own.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../benches/throughput/relay.rs"]
#[allow(dead_code)] // The benchmark does more with it.
mod relay;

mod apps;
mod cache;
mod deletion;
mod held;
mod hiding;
mod ledger;
mod octets;
mod program;
mod unique_ids;

use support::bridge::{Config, Program, Remote};
use support::dovecot::Dovecot;
use support::imap::Imap;

/// A bridge to the shared Dovecot for one user, over implicit TLS.
fn bridge_for(user: &str) -> Program {
    Program::start(&config_for(user, &Dovecot::shared().imaps()), "debug")
}

fn config_for(user: &str, imap: &Remote) -> Config {
    Config::new(user, imap)
}

/// Fills the user's INBOX past the bridge; gives the session.
async fn fill(user: &str, messages: &[Vec<u8>]) -> Imap {
    let mut direct = Imap::direct(Dovecot::shared().imaps().port, user).await;
    for message in messages {
        let done = direct.append("INBOX", message).await;
        assert!(done.contains(" OK "), "{done}");
    }
    direct
}
