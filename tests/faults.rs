//! Faults upstream, and apps that misbehave: the same in all three protocols where it applies.

mod support;

#[path = "faults/apps.rs"]
mod apps;
#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/floods.rs"]
mod floods;
#[path = "faults/login.rs"]
mod login;
#[path = "faults/positions.rs"]
mod positions;
#[path = "faults/slow.rs"]
mod slow;
#[path = "faults/transfers.rs"]
mod transfers;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use support::bridge::InProcess;
use support::dovecot::PASSWORD;
use support::wire::Wire;

/// Whose account is used.
const USER: &str = "ana@example.org";

/// The protocols an app may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Pop3,
    Imap,
    Smtp,
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Pop3, Protocol::Imap, Protocol::Smtp];

impl Protocol {
    fn address(self, bridge: &InProcess) -> SocketAddr {
        match self {
            Self::Pop3 => bridge.pop3(),
            Self::Imap => bridge.imap(),
            Self::Smtp => bridge.smtp(),
        }
    }

    /// Connects, hears the greeting and, by SMTP, says EHLO.
    async fn open(self, bridge: &InProcess) -> Wire {
        let mut app = Wire::connect(self.address(bridge)).await.expect("the bridge answers");
        match self {
            Self::Pop3 => drop(app.expect("+OK").await),
            Self::Imap => drop(app.expect("* OK").await),
            Self::Smtp => {
                app.expect("220").await;
                app.say("EHLO old.example").await;
                while !app.hear().await.starts_with("250 ") {}
            }
        }
        app
    }

    /// Tries to log in; gives the line that answers, and what came untagged before it.
    async fn log_in(self, app: &mut Wire) -> String {
        match self {
            Self::Pop3 => {
                app.ask(&format!("USER {USER}"), "+OK").await;
                app.say(&format!("PASS {PASSWORD}")).await;
                app.hear().await
            }
            Self::Imap => {
                app.say(&format!("a1 LOGIN {USER} {PASSWORD}")).await;
                loop {
                    let line = app.hear().await;
                    if let Some(answer) = line.strip_prefix("a1 ") {
                        return answer.to_owned();
                    }
                }
            }
            Self::Smtp => {
                app.say(&format!("AUTH PLAIN {}", sasl_plain())).await;
                app.hear().await
            }
        }
    }

    /// A command that always works shows that the session goes on.
    async fn goes_on(self, app: &mut Wire) {
        match self {
            // NOOP is for the TRANSACTION state only (RFC 1939 §5).
            Self::Pop3 => drop(app.ask(&format!("USER {USER}"), "+OK").await),
            Self::Imap => drop(app.ask("a2 NOOP", "a2 OK").await),
            Self::Smtp => drop(app.ask("NOOP", "250").await),
        }
    }
}

fn sasl_plain() -> String {
    BASE64_STANDARD.encode(format!("\0{USER}\0{PASSWORD}"))
}
