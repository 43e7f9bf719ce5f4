//! Bridge passwords, with the program as it is run: made by one process while another serves.

mod support;

use std::net::SocketAddr;

use support::bridge::{Program, command};
use support::provider::{Provider, plain};
use support::wire::Wire;

const ADDRESS: &str = "ana@example.org";
const STORED: &str = "CANARY stored";

async fn pop3(bridge: SocketAddr, password: &str) -> String {
    let mut app = Wire::connect(bridge).await.expect("the bridge answers");
    app.expect("+OK").await;
    app.ask(&format!("USER {ADDRESS}"), "+OK").await;
    app.say(&format!("PASS {password}")).await;
    let answer = app.hear().await;
    app.ask("QUIT", "+OK").await;
    answer
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
    app.say(&format!("AUTH PLAIN {}", plain(ADDRESS, password))).await;
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
    let mut provider = Provider::start(&[plain(ADDRESS, STORED)]).await;
    let config =
        provider.config(ADDRESS).account(&format!("secret = {{ command = [\"echo\", \"{STORED}\"] }}"));
    let mut program = Program::start(&config, "trace");

    assert!(pop3(program.pop3(), STORED).await.starts_with("+OK"), "the stored one, while there is no other");
    let copier = password(&program, &["--name", "copier"]);
    let shouted = copier.to_uppercase().replace('-', "");
    assert!(pop3(program.pop3(), &copier).await.starts_with("+OK"));
    assert!(imap(program.imap(), &copier).await.starts_with("a OK"));
    assert!(smtp(program.smtp(), &shouted).await.starts_with("235 "));
    password(&program, &["--revoke", "copier"]);
    let phone = password(&program, &["--name", "phone"]);
    // Each waits for its answer, which is slow: so they wait together.
    let wrong = tokio::join!(
        pop3(program.pop3(), &copier),
        pop3(program.pop3(), STORED),
        imap(program.imap(), "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aa"),
        smtp(program.smtp(), "x"),
    );
    for (answer, code, why) in [
        (wrong.0, "-ERR [AUTH]", "taken back"),
        (wrong.1, "-ERR [AUTH]", "the provider's, since there are others"),
        (wrong.2, "a NO [AUTHENTICATIONFAILED]", "nobody's"),
        (wrong.3, "535 5.7.8", "nobody's"),
    ] {
        assert!(
            answer.starts_with(code) && answer.ends_with("login name or password is wrong"),
            "{why}: {answer}"
        );
    }
    assert!(pop3(program.pop3(), &phone).await.starts_with("+OK"));

    // The three by POP3 have one session upstream after the other; IMAP and submission have one each.
    assert_eq!(provider.shown(), vec![plain(ADDRESS, STORED); 3], "upstream sees nothing of a wrong one");
    assert!(program.terminate().success());
    let listed = password(&program, &["--list"]);
    assert!(listed.starts_with("phone  made ") && listed.contains("last used 20"), "{listed}");
    for secret in [STORED, &copier, &shouted, &phone] {
        assert!(!program.log().contains(secret), "{}", program.log());
    }
}
