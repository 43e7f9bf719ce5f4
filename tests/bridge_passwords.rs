//! Bridge passwords, with the program as it is run: made by one process while another serves.

mod support;

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use support::bridge::{Config, Program, command};
use support::scripted::Upstream;
use support::wire::Wire;
use tokio::sync::mpsc;

const ADDRESS: &str = "ana@example.org";
const STORED: &str = "CANARY stored";

/// A server for IMAP and submission that notes the passwords it is shown and takes all of them.
async fn upstream(server: Upstream, speaks_imap: bool, shown: mpsc::UnboundedSender<String>) {
    while let Ok(mut wire) = server.accept().await {
        let shown = shown.clone();
        tokio::spawn(async move {
            wire.say(if speaks_imap {
                "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi"
            } else {
                "220 hi"
            })
            .await;
            while let Some(line) = heard(&mut wire).await {
                let mut words = line.split(' ').map(str::to_owned);
                let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                if line.contains(" PLAIN ") {
                    let last = BASE64_STANDARD.decode(words.next_back().unwrap_or_default()).expect("base64");
                    let _ = shown.send(String::from_utf8(last).expect("text"));
                }
                let answers: &[&str] = match (first.as_str(), second.as_str()) {
                    ("EHLO", _) => &["250-localhost", "250 AUTH PLAIN"],
                    ("AUTH", _) => &["235 2.7.0 in"],
                    ("QUIT", _) => &["221 2.0.0 bye"],
                    (_, "CAPABILITY") => &["* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN"],
                    (_, "EXAMINE" | "SELECT") => {
                        &["* 0 EXISTS", "* OK [UIDVALIDITY 7] x", "* OK [UIDNEXT 1] x"]
                    }
                    (_, "LOGOUT") => &["* BYE bye"],
                    _ => &[],
                };
                for answer in answers {
                    wire.say(answer).await;
                }
                if speaks_imap {
                    wire.say(&format!("{first} OK done")).await;
                }
            }
        });
    }
}

async fn heard(wire: &mut Wire) -> Option<String> {
    loop {
        if let Some(line) = wire.take_line() {
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
        if wire.end().is_some() {
            return None;
        }
        wire.fill().await;
    }
}

async fn pop3(bridge: SocketAddr, password: &str) -> String {
    let mut app = Wire::connect(bridge).await.expect("the bridge answers");
    app.expect("+OK").await;
    app.ask(&format!("USER {ADDRESS}"), "+OK").await;
    app.say(&format!("PASS {password}")).await;
    app.hear().await
}

async fn imap(bridge: SocketAddr, password: &str) -> String {
    let mut app = Wire::connect(bridge).await.expect("the bridge answers");
    app.expect("* OK").await;
    app.say(&format!("a LOGIN {ADDRESS} \"{password}\"")).await;
    app.hear().await
}

async fn smtp(bridge: SocketAddr, password: &str) -> String {
    let mut app = Wire::connect(bridge).await.expect("the bridge answers");
    app.expect("220").await;
    app.say("EHLO old.example").await;
    while !app.hear().await.starts_with("250 ") {}
    app.say(&format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{ADDRESS}\0{password}")))).await;
    app.hear().await
}

/// `footbridge account password` beside a bridge that runs.
fn password(program: &Program, more: &[&str]) -> String {
    let mut command = command();
    command.arg("--config").arg(program.config_file()).arg("--state").arg(program.state());
    let output = command.args(["account", "password", ADDRESS]).args(more).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_opens_all_three_protocols_and_never_goes_upstream() {
    let (imap_server, smtp_server) = (Upstream::good().await, Upstream::good().await);
    let config = Config::new(ADDRESS, &imap_server.remote())
        .smtp(&smtp_server.remote())
        .account(&format!("secret = {{ command = [\"echo\", \"{STORED}\"] }}"));
    let (shown, mut seen) = mpsc::unbounded_channel();
    tokio::spawn(upstream(imap_server, true, shown.clone()));
    tokio::spawn(upstream(smtp_server, false, shown));
    let mut program = Program::start(&config, "trace");

    assert!(pop3(program.pop3(), STORED).await.starts_with("+OK"), "the stored one, while there is no other");
    let copier = password(&program, &["--name", "copier"]);
    let shouted = copier.to_uppercase().replace('-', "");
    assert!(pop3(program.pop3(), &copier).await.starts_with("+OK"));
    assert!(imap(program.imap(), &copier).await.starts_with("a OK"));
    assert!(smtp(program.smtp(), &shouted).await.starts_with("235 "));
    let wrong = [
        pop3(program.pop3(), STORED).await,
        imap(program.imap(), "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aa").await,
        smtp(program.smtp(), "x").await,
    ];
    for (answer, code) in wrong.iter().zip(["-ERR [AUTH]", "a NO [AUTHENTICATIONFAILED]", "535 5.7.8"]) {
        assert!(answer.starts_with(code) && answer.ends_with("login name or password is wrong"), "{answer}");
    }
    password(&program, &["--revoke", "copier"]);
    let phone = password(&program, &["--name", "phone"]);
    assert!(pop3(program.pop3(), &copier).await.starts_with("-ERR [AUTH]"), "taken back");
    assert!(pop3(program.pop3(), &phone).await.starts_with("+OK"));

    let expected = format!("\0{ADDRESS}\0{STORED}");
    for _ in 0..5 {
        assert_eq!(seen.recv().await.as_deref(), Some(expected.as_str()));
    }
    assert!(seen.try_recv().is_err(), "upstream sees nothing of a wrong one");
    assert!(program.terminate().success());
    let listed = password(&program, &["--list"]);
    assert!(listed.starts_with("phone  made ") && listed.contains("last used 20"), "{listed}");
    for secret in [STORED, &copier, &shouted, &phone] {
        assert!(!program.log().contains(secret), "{}", program.log());
    }
}
